"""Evidence of a build that has just come to its end: gathered from the store, written beside it.

The bill of materials costs the most and depends on the image alone, and on who writes it, so it is
remembered by these.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from orchestrator.artifacts import names
from orchestrator.evidence import folder as evidence
from orchestrator.evidence import gathering, sbom
from orchestrator.evidence.subject import Subject
from reproducibility import canonical
from reproducibility import digest as digests
from reproducibility.digest import Digest
from reproducibility.errors import InfrastructureError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from orchestrator.artifacts.model import BuildResult
    from orchestrator.evidence.keys import Private
    from orchestrator.lock.file import Lock
    from orchestrator.store import Store
    from reproducibility.manifest import Tree

_KIND = "sbom"
_DOCUMENTS = (names.SBOM_FILES, names.SBOM)


@dataclass(frozen=True)
class Evidence:
    """What evidence is made from, beside the result.

    `spec`, `lock_file`: bytes of the files that were read. `epoch`: the image's time, seconds.
    `boot`: the unpacked packages of the boot files by the input's name. `sign`: keys that sign.
    `clock`: gives seconds since 1970-01-01 UTC.
    """

    spec: bytes
    lock_file: bytes
    lock: Lock
    epoch: int
    boot: Mapping[str, Tree]
    store: Store
    sign: tuple[Private, ...] = ()
    clock: Callable[[], float] = time.time

    def write(self, folder: Path, result: BuildResult) -> None:
        """Write everything into a new output directory, beside image, archive, result and logs.

        Raises:
            DamagedBlob: a blob is missing or damaged.
            InfrastructureError: the disk is full, or a file cannot be read.
        """
        subject = Subject(
            result=result,
            spec=self.spec,
            lock_file=self.lock_file,
            lock=self.lock,
            epoch=self.epoch,
            finished=int(self.clock()),
            actions=self._actions(result),
        )
        try:
            evidence.write(folder, subject, made=self._bill(subject), sign=self.sign)
        except OSError as error:
            raise InfrastructureError(
                f"the evidence cannot be written: {error.strerror}",
                subject=str(error.filename or folder),
                remedy="free some space, or give another folder with --out",
            ) from error

    def _actions(self, result: BuildResult) -> dict[str, object]:
        wanted = dict.fromkeys(step.action for step in result.steps if step.action is not None)
        return {str(one): canonical.loads(self.store.read(one)) for one in wanted}

    def _bill(self, subject: Subject) -> dict[str, bytes]:
        """Both documents of the bill of materials by file name."""
        result = subject.result
        named = [sbom.FORMAT, gathering.decided_by(), result.image.blake3, result.cpio.path]
        key = digests.of_bytes(
            canonical.dumps([*named, str(result.root.tree), str(result.spec), str(result.lock)])
        )
        known = self.store.recall(_KIND, key)
        if known is not None:
            try:
                return {
                    name: self.store.read(Digest.parse(str(known[name]))) for name in _DOCUMENTS
                }
            except (InfrastructureError, InputError, KeyError):  # damaged: it is made again
                pass
        tree = self.store.load_tree(result.root.tree)
        contents = gathering.contents(result, tree, self.boot, self.store)
        subject = replace(subject, contents=contents)
        files = sbom.files(subject)
        made = {names.SBOM_FILES: files, names.SBOM: sbom.document(subject, files)}
        kept = {name: str(self.store.put_bytes(data)) for name, data in made.items()}
        self.store.remember(_KIND, key, kept)
        return made

"""Lets another process compute again what the orchestrator itself computed; compares the digests.

Boot files, root, image and archive run in no engine. What must change no bit of them is varied
about the process: hash seed, locale, time zone, umask, current folder, number of CPUs and so of
threads, the order in which folders are listed (`made_again`, `artifacts/remaking`).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from containers.host import process
from orchestrator.artifacts import model as built
from orchestrator.artifacts import remade, remaking
from orchestrator.artifacts.names import IMAGE_STEP
from orchestrator.audit import made_again, model
from orchestrator.audit.explaining import explain
from orchestrator.store import DamagedBlob
from reproducibility import canonical
from reproducibility import digest as digests
from reproducibility.codes import COMPUTED, OUTPUT_FILE
from reproducibility.compare import Check
from reproducibility.digest import Digest
from reproducibility.errors import InfrastructureError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from threading import Event

    from orchestrator.artifacts.finished import Finished
    from orchestrator.audit.request import Request
    from orchestrator.audit.subject import Subject
    from orchestrator.store import Store

_PROGRAM = made_again.__name__
_SECONDS = 3600
_SAMPLES = "samples"


@dataclass(frozen=True)
class Answer:
    """Answer of the other process.

    `found`: digests by what they are of. `failed`: why it did not come to its end. `surroundings`:
    names of what was otherwise there. `alike`: of what should have been and was not.
    """

    found: Mapping[str, Digest]
    failed: str
    surroundings: tuple[str, ...]
    alike: tuple[str, ...]


def every(audited: Subject) -> tuple[str, ...]:
    """The steps in this process, the image's among them."""
    return (*(step.name for step in audited.steps if step.in_process), IMAGE_STEP)


def wanted(request: Request, audited: Subject) -> tuple[str, ...]:
    """Those of them that are to be computed again."""
    return tuple(name for name in every(audited) if request.wants(name))


def ask(
    request: Request, audited: Finished, steps: tuple[str, ...], store: Store, stop: Event
) -> Answer:
    """Let another process compute steps again. `audited`: the build, of which it reads the result.

    Raises:
        InfrastructureError: it ended without an answer; says what it said.
        DamagedBlob: a blob was missing or damaged, and was moved aside.
        Stopped: `stop` was set.
    """
    with store.temporary() as folder:
        sample = folder / _SAMPLES
        sample.mkdir()
        for name in "abc":
            (sample / name).touch()
        places = {name: str(getattr(request, name)) for name in ("spec", "lock", "out")}
        said = str(audited.result_digest)
        asked = {**places, "result": said, "sample": str(sample), "wanted": list(steps)}
        (folder / made_again.REQUEST).write_bytes(canonical.dumps(asked))
        with remaking.elsewhere(_PROGRAM, folder, store) as running:
            status = process.wait(running, seconds=_SECONDS, stop=stop)
        return _answer(folder, sample, status)


def _answer(folder: Path, sample: Path, status: int) -> Answer:
    try:
        said = canonical.loads((folder / remade.ANSWER).read_bytes())
        if said["damaged"]:
            raise DamagedBlob(Digest.parse(said["damaged"]), "it, or nothing, elsewhere")
        ours = made_again.surroundings(sample)
        if len(os.sched_getaffinity(0)) == 1:
            # There are not two numbers of CPUs to have.
            del ours["processors"]
        alike = remaking.alike(ours, said["surroundings"])
        return Answer(
            {name: Digest.parse(found) for name, found in said["found"].items()},
            said["failed"],
            tuple(sorted(ours.keys() - set(alike))),
            alike,
        )
    except (OSError, InputError, KeyError, TypeError, AttributeError) as error:
        raise InfrastructureError(
            f"the process that computes again what the build computed ended "
            f"{remaking.how(status)}: {remaking.said(folder)}",
            subject=_PROGRAM,
            remedy="see whether this machine has memory enough (`free`), and audit again",
        ) from error


def compared(
    audited: Subject, steps: tuple[str, ...], answer: Answer, store: Store
) -> Iterator[model.Computation]:
    """Return what was computed again, held against what the build's result names."""
    for name, expected in audited.expected.items():
        in_image = name not in audited.recorded
        if (IMAGE_STEP if in_image else name) not in steps:
            continue
        found = answer.found.get(name)
        check = _check(name, expected, found, answer)
        explanation = None
        if found is not None and check.code is not COMPUTED["same"] and found != expected:
            explanation = _explained(expected, found, store)
        yield model.Computation(
            name=name,
            expected=expected,
            found=found,
            check=built.Check.model_validate(check.document()),
            explanation=explanation,
        )


def _check(name: str, expected: Digest, found: Digest | None, answer: Answer) -> Check:
    if found is None:
        reason = f"it could not be computed: {answer.failed or 'no reason was said'}"
        return Check(COMPUTED["failed"], name, reason)
    if found != expected:
        return Check(COMPUTED["differs"], name, f"the build names {expected}, now it is {found}")
    if answer.alike:
        reason = f"the process that computed it had the same {', '.join(answer.alike)}"
        return Check(COMPUTED["same-surroundings"], name, reason)
    return Check(COMPUTED["same"], name, f"another process computed it again: {found}")


def _explained(expected: Digest, found: Digest, store: Store) -> model.Explanation | None:
    """Why two trees differ; None where they are none, or are not in the store any more."""
    try:
        return explain(store.load_tree(expected), store, store.load_tree(found), store)
    except (DamagedBlob, InputError):
        return None


def files(finished: Finished) -> Iterator[Check]:
    """Tell whether image and archive in the output folder are those that the result names."""
    for path, expected in (
        (finished.image, finished.image_digest),
        (finished.archive, finished.archive_digest),
    ):
        try:
            found = digests.of_file(path)
        except OSError as error:
            reason = f"it cannot be read: {error.strerror}"
            yield Check(OUTPUT_FILE["differs"], path.name, reason)
            continue
        if found == expected:
            yield Check(OUTPUT_FILE["same"], path.name, f"it has the digest {found}")
        else:
            reason = f"the result names {expected}, and the file has {found}"
            yield Check(OUTPUT_FILE["differs"], path.name, reason)

"""Transport of Go modules (go command): the published toolchain, and the sources of commands.

The go command verifies each module against the public checksum database; what it learnt there lies
in its module cache afterwards, and is kept in the lock (`checksum_database`). The cache is made
anew in a scratch folder each time, writable (`-modcacherw`), so that it can be removed again.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field, TypeAdapter

from containers.host import process
from orchestrator.golang import environment as go_environment
from orchestrator.inputs import answers, checksum_database, unpack, vendoring
from orchestrator.inputs.answers import Kind
from orchestrator.inputs.known import NOTHING, Held, Known, Made, unpacked
from orchestrator.inputs.transport import LARGEST, Clients, RefusedError, Store
from orchestrator.lock.file import Absent, GoModule, Recorded
from orchestrator.store.blobs import BLOB_TIME, DamagedBlob
from reproducibility import digest as digests
from reproducibility import gomodule
from reproducibility.errors import InfrastructureError, InputError, OtherContentError
from reproducibility.manifest import Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from containers.host.process import Completed
    from orchestrator.architecture import Architecture
    from orchestrator.inputs.answers import Judged
    from reproducibility.digest import Digest

# Settings of the person's that decide where modules come from and what is verified how.
_SETTINGS = (
    "GOAUTH", "GOINSECURE", "GONOPROXY", "GONOSUMDB", "GOPRIVATE", "GOPROXY", "GOSUMDB", "GOVCS",
)  # fmt: skip
# Those of them that keep modules from the log, or from whoever serves the others.
_PRIVATE = ("GOINSECURE", "GONOPROXY", "GONOSUMDB", "GOPRIVATE")
_ENVIRONMENT = TypeAdapter(dict[str, str])
_PROGRAM = re.compile(r"bin/[^/]+|pkg/tool/[^/]+/[^/]+")
_TOO_OLD = re.compile(r"requires go >= \S+")


class _Downloaded(BaseModel):
    """Output of `go mod download -json`; other keys do not matter."""

    zip: str = Field(alias="Zip")
    sum: str = Field(alias="Sum")


_DOWNLOADED = TypeAdapter(_Downloaded)


@dataclass(frozen=True, slots=True)
class ModuleRequest:
    """A module version; `host` for the toolchain of a machine, None for a source of commands."""

    name: str
    module: str
    version: str
    host: Architecture | None = None


@dataclass(frozen=True)
class GoTransport:
    """`go mod download` and `go mod vendor`.

    `go`: gives the path of a go command; called when one is needed first. `known`: what may be in
    the store, of which nothing is downloaded again that the public log names by the same hash.
    """

    clients: Clients
    go: Callable[[], Path]
    known: Known = NOTHING

    def resolve(self, request: ModuleRequest, store: Store) -> GoModule:
        """Pin a module with the public log's record; it is in the store. As `Transport.resolve`.

        It is downloaded, but where the log's record of today names what the store has.
        """
        label = f"{request.name} ({request.module}@{request.version})"
        log: Recorded | Absent
        known = self._proved(request, store)
        if known is not None:
            blake3, held, log = known
        else:
            with store.temporary() as scratch:
                archive, claimed = self._download(label, request.module, request.version, scratch)
                log = checksum_database.entry(scratch / "modules", request.module, request.version)
                blake3 = store.put_file(archive, move=True)
            held = self._held(request, blake3, store)
            if held.h1 != claimed:
                raise InfrastructureError(
                    f"{label}: the go command says {claimed}, its zip has {held.h1}", subject=label
                )
        if request.module == gomodule.TOOLCHAIN and isinstance(log, Absent):
            raise InfrastructureError(
                f"{label}: {log.reason}",
                subject=label,
                remedy="unset GONOSUMDB, GOPRIVATE and GOSUMDB for golang.org/toolchain",
            )
        return GoModule(
            name=request.name,
            host=request.host,
            version=request.version,
            module=request.module,
            where=f"{request.module}/@v/{request.version}.zip",
            size=store.blob(blake3).stat().st_size,
            blake3=blake3,
            h1=held.h1,
            tree=held.tree,
            log=log,
        )

    def _proved(self, request: ModuleRequest, store: Store) -> tuple[Digest, Held, Recorded] | None:
        """A module in the store that the log's record of today names; None where there is none.

        Nor is one that is not published any more, or that is none of the log's business: nothing
        but a download says what that is.
        """
        kept = self.known.modules.get((request.module, request.version))
        if kept is None or not store.has(kept.blake3) or self.is_private(store):
            return None
        try:
            if not self.is_published(request.module, request.version, store):
                return None
            log = self.log_entry(request.module, request.version, store)
            if isinstance(log, Absent):
                return None
            store.blob(kept.blake3)
            held = self._held(request, kept.blake3, store)
            if held.h1 != log.h1(request.module, request.version):
                return None
        except (DamagedBlob, InputError, RefusedError):
            return None
        return kept.blake3, held, log

    def is_private(self, store: Store) -> bool:
        """Return whether the person's settings keep any module from the log."""
        with store.temporary() as scratch:
            settings = self._environment(scratch)
        return settings.get("GOSUMDB") == "off" or any(map(settings.get, _PRIVATE))

    def _held(self, request: ModuleRequest, blake3: Digest, store: Store) -> Held:
        """Return what a module's zip in the store holds, its bytes compared with their name."""
        what = {"go-module": str(blake3), "module": f"{request.module}@{request.version}"}

        def unpack() -> Made:
            archive = store.blob(blake3)
            return Made(*self._tree(request.module, request.version, archive, store))

        return unpacked(what, self.known.held.get(blake3, ()), store, unpack)

    def fetch(self, pinned: GoModule, store: Store) -> None:
        """Download the pinned module. As `Transport.fetch`."""
        with store.temporary() as scratch:
            archive, h1 = self._download(pinned.label, pinned.module, pinned.version, scratch)
            found = digests.of_file(archive)
            if found != pinned.blake3 or h1 != pinned.h1:
                raise OtherContentError(
                    f"{pinned.label} is not what the lock pins: expected {pinned.blake3} "
                    f"({pinned.h1}), found {found} ({h1})",
                    subject=pinned.where,
                )
            store.put_file(archive, move=True)

    def unpack(self, pinned: GoModule, store: Store) -> Tree:
        """The module's files; for the toolchain a GOROOT. As `Transport.unpack`."""
        archive = store.blob(pinned.blake3)
        tree, h1 = self._tree(pinned.module, pinned.version, archive, store)
        if h1 != pinned.h1:
            raise OtherContentError(
                f"{pinned.label} is not what the lock pins: expected {pinned.h1}, found {h1}",
                subject=pinned.where,
            )
        return tree

    def log_entry(self, module: str, version: str, store: Store) -> Recorded | Absent:
        """Return what the public log says of a module version, without downloading the module.

        The go command is given a module of that name with other content, from a folder. It asks
        the log, refuses the content, and leaves the log's answer and proof in its cache.

        Raises:
            InfrastructureError: the log could not be asked.
        """
        label = f"the public log's record of {module}@{version}"
        with store.temporary() as scratch:
            proxy = checksum_database.decoy(scratch / "decoy", module, version)
            environment = self._environment(scratch)
            first = f"{proxy.as_uri()},{environment.get('GOPROXY', '')}".rstrip(",")
            environment |= {"GOPROXY": first, "GONOSUMDB": "", "GOPRIVATE": "", "GONOPROXY": ""}
            command = ("mod", "download", "-json", f"{module}@{version}")
            try:
                # The decoy is gone afterwards, so nobody could run the command line again.
                self._ask(
                    label,
                    command,
                    environment,
                    scratch,
                    where=f"{module}@{version}",
                    offline_too=False,
                )
            except RefusedError as error:
                absent = checksum_database.no_record(error.output, module, version)
                if absent is not None:
                    return absent
                if error.kind is Kind.MISMATCH:
                    return checksum_database.entry(scratch / "modules", module, version)
                raise
        raise InfrastructureError(
            f"{label} could not be had: the go command took a module without asking the log",
            remedy="unset GOSUMDB, or set it to sum.golang.org",
        )

    def is_published(self, module: str, version: str, store: Store) -> bool:
        """Return whether there is a module version, without downloading it.

        Raises:
            InfrastructureError: it could not be found out.
        """
        try:
            self._list(f"{module}@{version}", (), store)
        except RefusedError as error:
            if error.kind is Kind.MISSING:
                return False
            raise
        return True

    def versions(self, module: str, store: Store) -> tuple[str, ...]:
        """Return the versions of a module that whoever serves modules lists; maybe not all.

        Raises:
            InfrastructureError: they could not be had.
        """
        return tuple(self._list(module, ("-versions",), store).split()[1:])

    def _list(self, what: str, options: tuple[str, ...], store: Store) -> str:
        with store.temporary() as scratch:
            environment = self._environment(scratch)
            command = ("list", "-m", *options, what)
            return self._ask(what, command, environment, scratch, where=what, withheld=True)

    def vendor(  # noqa: PLR0913 - what decides what lies in it
        self,
        label: str,
        tree: Tree,
        store: Store,
        replaced: Sequence[str] = (),
        *,
        nested: Sequence[str] = (),
        published: bool = False,
    ) -> Made:
        """A module's tree with everything its packages import in `vendor/`.

        `replaced`: dependencies to take in another version, each as `module@version`; the module's
        own go.mod and go.sum then say so. `nested`: folders with modules of their own that go.mod
        names; their packages come to lie in `vendor/`, and they go. `published`: the tree is a
        module's archive; if one has a `vendor/` at all, then a list and no packages
        (golang/go#37397).

        Raises:
            InputError: not a module, or one that the go command cannot vendor as it stands.
            InfrastructureError: a dependency could not be had.
        """
        if tree.get("go.mod") is None:
            raise InputError(f"{label} is no Go module: it has no go.mod", subject=label)
        if published:
            tree = tree.where(lambda entry: not entry.path.startswith("vendor/"))
        without = tuple(f"{folder}/" for folder in nested)
        if tree.get("vendor/modules.txt") is not None and not replaced:
            return Made(tree.where(lambda entry: not entry.path.startswith(without)))
        with store.temporary() as scratch:
            folder = scratch / "module"
            store.export(tree, folder, BLOB_TIME, self.clients.stop)
            environment = self._environment(scratch)

            def ask(*arguments: str) -> str:
                what = f"{label} (its dependencies)"
                return self._ask(what, arguments, environment, folder, where=label)

            try:
                lasting = vendoring.gather(ask, replaced)
            except RefusedError as error:
                raise _refusal(label, error, missing=f"{label} needs what is not there") from error
            vendored = store.put_tree(folder, move=True)
        entries = (
            replace(entry, executable=False)
            for entry in vendored
            if not entry.path.startswith(without)
        )
        return Made(Tree(entries), lasting=lasting)

    def _tree(self, module: str, version: str, archive: Path, store: Store) -> tuple[Tree, str]:
        toolchain = module == gomodule.TOOLCHAIN
        prefix = f"{module}@{version}/"

        def place(name: str) -> str:
            if not name.startswith(prefix):
                raise InputError(f"the module's zip holds {name}", subject=prefix)
            inside = name[len(prefix) :]
            return gomodule.installed_name(inside) if toolchain else inside

        unpacked = unpack.zip_tree(
            archive,
            store,
            place=place,
            executable=lambda path: toolchain and _PROGRAM.fullmatch(path) is not None,
        )
        return unpacked.tree, gomodule.h1(unpacked.sha256)

    def _download(self, label: str, module: str, version: str, scratch: Path) -> tuple[Path, str]:
        """The module's zip in the scratch folder's cache, and its hash as the go command says."""
        command = ("mod", "download", "-json", f"{module}@{version}")
        environment = self._environment(scratch)
        where = self._again(command, environment, scratch)
        try:
            output = self._ask(label, command, environment, scratch, where=where, withheld=True)
        except RefusedError as error:
            absent = checksum_database.no_record(error.output, module, version)
            if absent is not None:
                raise checksum_database.NoRecordError(label, absent) from error
            if not (_TOO_OLD.search(error.output) and '"Sum"' in error.answer):
                raise _refusal(label, error) from error
            # It is there, verified. Whether it can be built, the image's own Go will say.
            output = error.answer
        answer = answers.document(_DOWNLOADED, output, what="go mod download -json")
        archive = Path(answer.zip)
        try:
            size = archive.stat().st_size
        except (OSError, ValueError) as error:
            raise InfrastructureError(
                f"the go command says that it put {label} where nothing can be read: {error}",
                subject=repr(answer.zip),
            ) from error
        if size > LARGEST:
            raise InputError(f"the module is larger than {LARGEST} bytes", subject=label)
        return archive, answer.sum

    def _ask(  # noqa: PLR0913 - what is asked, and how its failure is told
        self,
        label: str,
        arguments: tuple[str, ...],
        environment: dict[str, str],
        directory: Path,
        *,
        where: str,
        offline_too: bool = True,
        withheld: bool = False,
    ) -> str:
        """Return what the go command answers.

        `offline_too`: a failure is asked about again without a network. `withheld`: as `answers.go`
        has it.
        """
        command = [str(self.go()), *arguments]
        nowhere = {**environment, "GOPROXY": "off", "GOSUMDB": "off"}

        def again() -> Completed:
            stop = self.clients.stop
            return self.clients.run(
                command, environment=nowhere, directory=directory, stop=stop, check=False
            )

        def judge(done: Completed) -> Judged:
            names = [part for word in arguments for part in re.split("[@=]", word)]
            asked = offline_too and environment.get("GOPROXY") != "off"
            return answers.go(done, names, again if asked else None, withheld=withheld)

        done = self.clients.ask(label, command, environment, directory, judge=judge, where=where)
        return done.stdout.decode(errors="replace")

    def _again(
        self, arguments: tuple[str, ...], environment: dict[str, str], directory: Path
    ) -> str:
        """A shell line that asks the same; settings come from where the go command takes them."""
        go = str(self.go())
        elsewhere = {
            name: f'"$({shlex.quote(go)} env {name})"'
            for name in _SETTINGS
            if name in environment and self.clients.environ.get(name) != environment[name]
        }
        return process.replayable([go, *arguments], environment, directory, expressions=elsewhere)

    def _environment(self, scratch: Path) -> dict[str, str]:
        """The go command's environment: the person's settings, everything else fixed."""
        own = self.clients.environment("GOENV", *_SETTINGS, prefixes=("GIT_",))
        fixed = go_environment.download(scratch)
        answer = self.clients.run(
            [str(self.go()), "env", "-json", *_SETTINGS],
            environment={**own, **fixed},
            directory=scratch,
        )
        said = answers.document(_ENVIRONMENT, answer.stdout, what="go env -json")
        settings = {key: said[key] for key in _SETTINGS if said.get(key)}
        return {**own, **settings, **fixed, "GOENV": "off"}


def _refusal(label: str, error: RefusedError, *, missing: str = "") -> InputError | RefusedError:
    """The error for a refusal: the person's matter if it is about the module itself.

    `missing`: what to say where something does not exist.
    """
    if error.kind is Kind.MISSING:
        return InputError(
            f"{missing or f'there is no {label}'}: {error.output}",
            subject=label,
            remedy="ask for another version in the spec, or look at `go env GOPROXY`",
            missing=True,
        )
    if error.kind is Kind.MISMATCH:
        return OtherContentError(
            f"{label} is not what the public log or a go.sum says: {error.output}",
            subject=label,
            remedy=answers.go_advice(error.output),
        )
    if error.kind is Kind.CONTENT:
        told = f"the go command cannot use {label} as it stands: {error.output}"
    else:
        return error
    return InputError(told, subject=label, remedy=answers.go_advice(error.output))

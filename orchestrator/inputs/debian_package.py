"""Transport of Debian packages through apt: indexes to lock, `apt-helper download-file` to fetch.

An index is needed only to lock; a locked package is fetched by its place in the pool and its
SHA-256, and one that is locked anew only where the store has not got those very bytes.
"""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.architecture import ARCHITECTURES, FACTS
from orchestrator.inputs import answers, apt_index, deb_archive
from orchestrator.inputs.answers import Kind
from orchestrator.inputs.apt import Apt
from orchestrator.inputs.known import NOTHING, Known, Made, unpacked
from orchestrator.inputs.side_by_side import mapped
from orchestrator.inputs.transport import Clients, RefusedError, Store
from orchestrator.lock.file import DebianPackage
from orchestrator.lock.model import RootPackage
from reproducibility import digest as digests
from reproducibility.digest import Digest
from reproducibility.errors import InfrastructureError, InputError, OtherContentError
from reproducibility.manifest import Tree
from reproducibility.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from orchestrator.architecture import Architecture

# Where a spec names the packages of which everything that they depend on is pinned too.
ROOT_PACKAGES = "[root.gcc] packages"
# A metapackage leads to the package, or by one more of its kind.
_HOPS = 3
_NO_KEY = re.compile(r"NO_PUBKEY|is not signed|couldn't be verified")


@dataclass(frozen=True, slots=True)
class PackageRequest:
    """A package of a suite; `host` where only that machine needs it.

    `follow`: how the names of packages start to which a metapackage leads; empty to follow none.
    """

    name: str
    package: str
    suite: str
    architecture: Architecture
    host: Architecture | None = None
    follow: str = ""


@dataclass(frozen=True, slots=True)
class PoolRequest:
    """A package by its place in the pool, vouched for by its SHA-256: no index is asked.

    `suite`: decides which of the machine's mirrors it comes from.
    """

    name: str
    package: str
    version: str
    suite: str
    where: str
    sha256: Digest


@dataclass(frozen=True)
class DebianTransport:
    """Debian packages. `root`: where the machine's apt configuration lies.

    `known`: what may be in the store, of which nothing is downloaded again that today's index names
    by the same hash.
    """

    clients: Clients
    root: Path = Path("/")
    known: Known = NOTHING
    # One question to one index at a time; downloads go on beside it.
    _asking: threading.RLock = field(default_factory=threading.RLock)
    # Where indexes that were read are kept, if they are: apt's environment by suite and
    # architecture.
    _shared: list[Path] = field(default_factory=list)
    _read: dict[tuple[str, Architecture], dict[str, str]] = field(default_factory=dict)

    @contextmanager
    def one_state(self, store: Store) -> Iterator[None]:
        """Read the index of each suite once within this context.

        So what is pinned there is of one state of the suite, and one download.
        """
        with store.temporary() as folder:
            self._shared.append(folder)
            try:
                yield
            finally:
                self._shared.remove(folder)
                self._read.clear()

    @cached_property
    def _apt(self) -> Apt:
        return Apt(self.clients, self.root)

    def resolve(self, request: PackageRequest | PoolRequest, store: Store) -> DebianPackage:
        """Pin what the suite has of a package today, or what lies in a place of the pool.

        A metapackage is followed to the package that it stands for. Raises as `Transport.resolve`.
        """
        known = self.known
        with store.temporary() as scratch:
            if isinstance(request, PoolRequest):
                label = f"{request.name} ({request.package})"
                name, version, host = request.package, request.version, None
                where, sha256 = request.where, request.sha256
                # No index names it, so only a download says whether it is still there.
                known = NOTHING
            else:
                label = f"{request.name} ({request.package} of {request.suite}, "
                label += f"{request.architecture})"
                with self._asking:
                    stanza = self._stanza(label, request, scratch)
                name, version, host = stanza["Package"], stanza["Version"], request.host
                where, sha256 = stanza["Filename"], Digest("sha256", stanza["SHA256"])
        blake3, size = self._had(label, where, sha256, request.suite, store, known)
        pinned = DebianPackage(
            name=request.name,
            host=host,
            version=version,
            package=name,
            suite=request.suite,
            where=where,
            size=size,
            blake3=blake3,
            sha256=sha256,
            tree=blake3,
        )
        held = unpacked(
            {"debian-package": str(blake3)},
            self.known.held.get(blake3, ()),
            store,
            lambda: Made(self.unpack(pinned, store)),
        )
        return pinned.model_copy(update={"tree": held.tree})

    def _had(  # noqa: PLR0913 - what is wanted, from where, to where
        self, label: str, where: str, sha256: Digest, suite: str, store: Store, known: Known
    ) -> tuple[Digest, int]:
        """BLAKE3 and size of a package, by its SHA-256: in the store already, or downloaded."""
        blake3 = known.package(sha256, store)
        if blake3 is not None:
            return blake3, store.blob(blake3).stat().st_size
        with store.temporary() as scratch:
            package = self._apt.download(label, where, sha256, suite, scratch)
            size = package.stat().st_size
            return store.put_file(package, move=True), size

    def fetch(self, pinned: DebianPackage, store: Store) -> None:
        """Download the pinned package. Raises as `Transport.fetch`."""
        self.bring(pinned, store)

    def bring(self, pinned: DebianPackage | RootPackage, store: Store) -> None:
        """Download a pinned package, whatever it is for. Raises as `Transport.fetch`."""
        with store.temporary() as scratch:
            package = self._apt.download(
                pinned.label,
                pinned.where,
                pinned.sha256,
                pinned.suite,
                scratch,
                size=pinned.size,
            )
            found = digests.of_file(package)
            if found != pinned.blake3:
                raise OtherContentError(
                    f"{pinned.label} is not what the lock pins: expected {pinned.blake3}, "
                    f"found {found}",
                    subject=pinned.where,
                )
            store.put_file(package, move=True)

    def closure(  # noqa: PLR0913 - what is asked for, of what, and how it is told
        self,
        packages: Sequence[str],
        suite: str,
        architecture: Architecture,
        store: Store,
        *,
        essential: bool = False,
        named: str = ROOT_PACKAGES,
    ) -> tuple[RootPackage, ...]:
        """Pin packages and everything that they depend on, as apt would install them on nothing.

        What they recommend is left out. Sorted by name; the packages are in the store afterwards.
        `essential`: with what every Debian system has. `named`: where the names stand, for errors.

        Raises:
            InputError: the suite has not all of them, or not for this architecture (`missing`); or
                a package is not what its index promises.
            InfrastructureError: something could not be had, or apt would not install them.
        """
        label = f"{' '.join(packages)} of {suite}, {architecture}"
        with store.temporary() as scratch, self._asking:
            environment = self._updated(label, suite, architecture, scratch)
            lacking = self._lacking(packages, architecture, environment, scratch)
            if lacking:
                raise self._without(lacking, suite, architecture, store, named)
            further = ["?essential"] if essential else []
            names = self._needed(
                label, packages, further, architecture, environment, scratch, named
            )
            show = [self._apt.program("apt-cache"), "--no-all-versions", "show", *names]
            shown = self.clients.run(show, environment=environment, directory=scratch)
            stanzas = apt_index.stanzas(shown.stdout)
        found = {one["Package"]: one for one in stanzas}
        if found.keys() != names:
            raise InfrastructureError("apt does not say where packages lie", subject=label)
        wanted = [found[name] for name in sorted(names)]
        return tuple(mapped(lambda stanza: self._pinned(stanza, suite, store), wanted))

    def _lacking(
        self,
        packages: Sequence[str],
        architecture: Architecture,
        environment: Mapping[str, str],
        scratch: Path,
    ) -> list[str]:
        """Those of the names that no package in the index has."""
        show = [self._apt.program("apt-cache"), "--no-all-versions", "show"]
        show += apt_index.exactly(packages, architecture)
        shown = self.clients.run(show, environment=environment, directory=scratch, check=False)
        found = {stanza["Package"] for stanza in apt_index.stanzas(shown.stdout)}
        lacking = [name for name in packages if name not in found]
        if lacking and answers.is_machines_fault(shown, answers.text_of(shown)):
            raise InfrastructureError(
                f"apt-cache does not say whether there is a package {lacking[0]}: "
                f"{answers.text_of(shown)}",
                subject=f"exit status {shown.status}",
            )
        return lacking

    def _without(
        self,
        lacking: Sequence[str],
        suite: str,
        architecture: Architecture,
        store: Store,
        named: str,
    ) -> InputError:
        """Tell names that are wrong from packages that only other architectures have."""
        nowhere = list(lacking)
        for other in ARCHITECTURES:
            if other != architecture and nowhere:
                with store.temporary() as scratch:
                    label = f"{' '.join(nowhere)} of {suite}, {other}"
                    environment = self._updated(label, suite, other, scratch)
                    nowhere = self._lacking(nowhere, other, environment, scratch)
        if nowhere:
            return InputError(
                f"{suite} has no package {' '.join(nowhere)} for any of {', '.join(ARCHITECTURES)}",
                subject=named,
                remedy="correct the name there, or name another suite",
            )
        return InputError(
            f"{suite} has {' '.join(lacking)} for other architectures, not for {architecture}",
            subject=named,
            remedy="name other packages there",
            missing=True,
        )

    def _needed(  # noqa: PLR0913 - as `closure`
        self,
        label: str,
        packages: Sequence[str],
        further: Sequence[str],
        architecture: Architecture,
        environment: Mapping[str, str],
        scratch: Path,
        named: str,
    ) -> set[str]:
        """The names of all packages that apt would install. `further`: patterns of some."""
        simulated = ["--simulate", "--quiet", "--no-install-recommends", "install"]
        command = [self._apt.program("apt-get"), *simulated, *further]
        command += apt_index.exactly(packages, architecture)
        done = self.clients.run(command, environment=environment, directory=scratch, check=False)
        said = done.stdout.decode("utf-8", "replace")
        if done.status:
            told = redact((done.stderr.decode("utf-8", "replace") or said).strip())
            raise InfrastructureError(
                f"apt would not install {label}: {told}",
                subject=f"exit status {done.status}",
                remedy="try again later, where the suite is in the middle of a change; or name "
                f"other packages in {named}",
            )
        names = apt_index.installed(said)
        if not names.issuperset(packages):
            raise InfrastructureError(f"apt does not say what it would install: {said[:200]!r}")
        return names

    def _pinned(self, stanza: Mapping[str, str], suite: str, store: Store) -> RootPackage:
        where, sha256 = stanza["Filename"], Digest("sha256", stanza["SHA256"])
        label = f"{stanza['Package']} {stanza['Version']}"
        blake3, size = self._had(label, where, sha256, suite, store, self.known)
        return RootPackage(
            package=stanza["Package"],
            version=stanza["Version"],
            suite=suite,
            where=where,
            size=size,
            sha256=sha256,
            blake3=blake3,
        )

    def unpack(self, pinned: DebianPackage, store: Store) -> Tree:
        """The package's regular files (links are left out). Raises as `Transport.unpack`."""
        with deb_archive.opened(pinned, store) as archive:
            return Tree(deb_archive.files(archive, store))

    def _stanza(self, label: str, request: PackageRequest, scratch: Path) -> Mapping[str, str]:
        """Return what the suite's signed index says of a package."""
        environment = self._updated(label, request.suite, request.architecture, scratch)
        apt_cache = self._apt.program("apt-cache")
        followed = request.package
        for _ in range(_HOPS):
            stanza = self._shown(followed, request, label, apt_cache, environment, scratch)
            further = list(apt_index.depended(stanza.get("Depends", ""), request.follow))
            if not further:
                return stanza
            if len(further) > 1:
                break
            followed = further[0]
        raise InputError(
            f"{request.package} of {request.suite} does not stand for one package",
            subject=label,
            remedy="name the package itself in the spec",
        )

    def _updated(
        self, label: str, suite: str, architecture: Architecture, scratch: Path
    ) -> dict[str, str]:
        """Read a suite's signed index; return the environment in which apt uses it."""
        known = self._read.get((suite, architecture))
        if known is not None:
            return known
        folder = scratch
        if self._shared:
            folder = self._shared[-1] / str(len(self._read))
            folder.mkdir(exist_ok=True)
        environment = self._apt.configuration(suite, [FACTS[architecture].debian], folder)
        apt_get = self._apt.program("apt-get")
        update = [apt_get, "--error-on=any", "update", answers.APT_STRUCTURED]
        # The configuration is gone afterwards, so nobody could run the command line again.
        where = f"{self._apt.mirror(suite).uri}, {suite}"
        try:
            self.clients.ask(
                f"the package index for {label}",
                update,
                environment,
                scratch,
                judge=answers.apt,
                where=where,
            )
        except RefusedError as error:
            if _NO_KEY.search(error.output):
                raise InfrastructureError(
                    error.summary, subject=error.subject, remedy="install debian-archive-keyring"
                ) from error
            if error.kind is Kind.MISMATCH:
                raise InfrastructureError(
                    f"the mirror's index for {architecture} is not the one that its "
                    f"release file signs: {error.summary}",
                    subject=error.subject,
                    remedy="try again later; a kernel or a boot loader can also be named by its "
                    "place in the pool: `pool` and `sha256` in the spec",
                ) from error
            raise
        if self._shared:
            self._read[suite, architecture] = environment
        return environment

    def _shown(  # noqa: PLR0913 - what is asked of whom, and where
        self,
        package: str,
        request: PackageRequest,
        label: str,
        apt_cache: str,
        environment: Mapping[str, str],
        scratch: Path,
    ) -> Mapping[str, str]:
        """The stanza of a package in the indexes that were read."""
        name = f"{package}:{FACTS[request.architecture].debian}"
        show = [apt_cache, "--no-all-versions", "show", name]
        shown = self.clients.run(show, environment=environment, directory=scratch, check=False)
        for stanza in apt_index.stanzas(shown.stdout):
            if stanza["Package"] == package:
                return stanza
        raise InputError(
            f"{request.suite} has no package {package} for {request.architecture}",
            subject=label,
            remedy="name another suite in the spec, [debian] suite",
            missing=True,
        )

"""Runs apt with a private configuration, and downloads files of the pool (apt-helper).

Everything goes through a private configuration in a scratch folder: the machine's own mirror,
proxies and credentials, but none of its package lists, hooks or other sources.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from containers.host import process
from orchestrator.inputs import answers, apt_configuration, apt_sources
from orchestrator.inputs.answers import Kind
from orchestrator.inputs.transport import LARGEST, Clients, RefusedError
from reproducibility import digest as digests
from reproducibility.errors import InfrastructureError, InputError, OtherContentError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.inputs.apt_sources import Mirror
    from reproducibility.digest import Digest

_HELPER = Path("/usr/lib/apt/apt-helper")


@dataclass(frozen=True)
class Apt:
    """Programs of apt. `root`: where the machine's apt configuration lies."""

    clients: Clients
    root: Path = Path("/")
    _mirror: list[Mirror] = field(default_factory=list)

    def mirror(self, suite: str) -> Mirror:
        """The machine's mirror of a suite. Raises as `apt_sources.mirror`."""
        if not self._mirror:
            self._mirror.append(apt_sources.mirror(self.root, suite, self.clients.environ))
        return self._mirror[0]

    def program(self, name: str) -> str:
        """The path of a program of apt.

        Raises:
            InfrastructureError: it is not installed.
        """
        return process.find(
            name, reason="to read Debian's signed package indexes", remedy="install apt"
        )

    def configuration(
        self, suite: str, architectures: Sequence[str], scratch: Path
    ) -> dict[str, str]:
        """Write the private configuration; returns the environment that makes apt use it."""
        environment = self.clients.environment("APT_CONFIG")
        dump = [self.program("apt-config"), "dump"]
        settings = self.clients.run(dump, environment=environment, directory=scratch).stdout
        written = apt_configuration.write(
            scratch / "apt",
            self.mirror(suite).deb822(suite, architectures),
            architectures,
            settings.decode(),
        )
        return {**environment, "APT_CONFIG": str(written), "LC_ALL": "C.UTF-8"}

    def download(  # noqa: PLR0913 - which file, and where to
        self,
        label: str,
        where: str,
        sha256: Digest,
        suite: str,
        scratch: Path,
        *,
        size: int | None = None,
    ) -> Path:
        """A file of the pool, its hash verified by apt and by us. Raises as `Transport.fetch`.

        `size`: its bytes, where they are known.
        """
        if not _HELPER.exists():
            raise InfrastructureError(
                f"apt is not installed; it is needed to fetch {label}",
                subject=str(_HELPER),
                remedy="install apt, or bring the inputs along: `orchestrate fetch --bundle`",
            )
        environment = self.configuration(suite, [], scratch)
        target = scratch / "package.deb"
        uri = f"{self.mirror(suite).uri}/{where}"
        command = [str(_HELPER), "download-file", uri, str(target), f"SHA256:{sha256.hex}"]
        try:
            self.clients.ask(
                label,
                [*command, answers.APT_STRUCTURED],
                environment,
                scratch,
                judge=answers.apt,
                where=uri,
                size=size,
            )
        except RefusedError as error:
            if error.kind is Kind.MISMATCH:
                raise OtherContentError(
                    f"{label} is not what was promised: expected {sha256}; {error.output}",
                    subject=where,
                ) from error
            if error.kind is Kind.MISSING:
                name = label.partition(" ")[0]
                raise InputError(
                    f"the mirror no longer has {label}",
                    subject=where,
                    remedy=f"run `orchestrate lock --update {name}`; where the spec gives its "
                    "place in the pool, correct that first; mirrors drop superseded versions",
                    missing=True,
                ) from error
            raise
        found = digests.sha256_of_file(target)
        if found != sha256:
            raise InputError(
                f"{label} is not what was promised: expected {sha256}, found {found}",
                subject=where,
            )
        if target.stat().st_size > LARGEST:
            raise InputError(f"the package is larger than {LARGEST} bytes", subject=label)
        return target

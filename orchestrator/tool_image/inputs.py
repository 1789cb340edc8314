"""What the container image is made from: Debian packages through apt, wheels through pip.

Each comes through the person's own client, as the inputs of builds do, and is kept: a second image
from the same locks needs no network.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from containers.host.scratch import Scratch
from orchestrator.architecture import FACTS
from orchestrator.inputs import answers
from orchestrator.inputs.debian_package import DebianTransport
from orchestrator.inputs.transport import RefusedError
from orchestrator.qemu.platforms import PLATFORMS
from orchestrator.tool_image import lock
from reproducibility import canonical
from reproducibility import digest as digests
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from containers.host.process import Completed
    from orchestrator.architecture import Architecture
    from orchestrator.inputs.answers import Judged
    from orchestrator.inputs.transport import Clients, Store
    from orchestrator.lock.model import RootPackage

# What the tool needs of a Debian system beside what every one has; all else follows from these.
_SYSTEM: Final = (
    "apt",  # fetches packages
    "bubblewrap",  # the sandbox, with libseccomp2
    "ca-certificates",
    "debian-archive-keyring",  # what apt trusts indexes by
    "libseccomp2",
    "python3",
    "python3-pip",  # fetches the bootstrap Go; installs the wheels
    "tzdata",  # time zones of the file that a person mounts, or names in TZ
)
# PEP 600: the image's C library is at least that old; and the names from before it.
_GLIBC: Final = 41
_LEGACY: Final = ("manylinux2014", "manylinux2010", "manylinux1", "linux")
_WHEELS: Final = ".wheels"
# A requirement of a lock: its name and version.
_REQUIREMENT = re.compile(r"(?m)^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)")


def wanted() -> tuple[str, ...]:
    """The names of the Debian packages that the image is asked to have: no more is decided here.

    What boots images is what `orchestrate boot` says that it starts.
    """
    boot = {row.qemu_package for row in FACTS.values()}
    boot |= {file.package for machine in PLATFORMS for file in machine.firmware}
    return tuple(sorted({*_SYSTEM, *boot}))


def pin(
    architecture: Architecture, suite: str, store: Store, clients: Clients
) -> tuple[RootPackage, ...]:
    """What the suite has today of all packages of the image; they are in the store afterwards.

    Raises:
        InputError: the suite does not have all of them for that architecture.
        InfrastructureError: something could not be had.
    """
    return DebianTransport(clients).closure(
        wanted(), suite, architecture, store, essential=True, named="the container image's packages"
    )


def packages(pinned: Iterable[RootPackage], store: Store, clients: Clients, folder: Path) -> None:
    """Lay the pinned packages into a new folder, under the names that they have on a mirror.

    Raises:
        InputError: the mirror has not got one of them any more, or has other bytes under its name.
        InfrastructureError: one could not be had.
    """
    transport = DebianTransport(clients)

    def bring(package: RootPackage) -> None:
        if not store.has(package.blake3):
            clients.require_network(package.label)
            clients.events.started(package.label, "fetching")
            transport.bring(package, store)
            clients.events.finished(package.label)

    pinned = tuple(pinned)
    try:
        with ThreadPoolExecutor(max_workers=4) as pool:
            list(pool.map(bring, pinned))
    except InputError as error:
        if not error.missing:
            raise
        raise InputError(
            f"{error.summary}, which {lock.FILE} pins: mirrors drop superseded versions",
            subject=error.subject,
            remedy=f"{lock.AGAIN}, which gives another image; or have apt use a mirror that keeps "
            "old versions (an archive of snapshots), or another one for this run: "
            "SOURCERY_DEBIAN_MIRROR",
            missing=True,
        ) from error
    folder.mkdir()
    for package in pinned:
        # Copies: whoever installs them may be another user, and the store is the store's.
        shutil.copyfile(store.blob(package.blake3), folder / package.where.rpartition("/")[2])


def platforms(architecture: Architecture) -> list[str]:
    """The platform tags of wheels that the image's C library can load, the best one first."""
    ending = FACTS[architecture].wheel
    recent = [f"manylinux_2_{minor}" for minor in range(_GLIBC, 4, -1)]
    return [f"{name}_{ending}" for name in (*recent, *_LEGACY)]


def wheels(
    requirements: Path, python: str, architecture: Architecture, cache: Path, clients: Clients
) -> Path:
    """The folder of the wheels that a lock pins, for a Python (`3.13`) and an architecture.

    It is kept below `cache` under a name of what was asked for, complete or not at all. The hashes
    are checked by pip here, and again when the wheels are installed.

    Raises:
        InputError: there is no wheel of something, or not with the hash that the lock has.
        InfrastructureError: pip could not be asked.
    """
    text = requirements.read_bytes()
    options = [
        "--no-deps", "--only-binary=:all:", "--require-hashes", f"--python-version={python}",
        "--implementation=cp", f"--abi=cp{python.replace('.', '')}", "--abi=abi3", "--abi=none",
        *(f"--platform={name}" for name in platforms(architecture)),
    ]  # fmt: skip
    asked = digests.of_bytes(text + canonical.dumps(options))
    place = cache / f"{asked.hex[:32]}{_WHEELS}"
    if place.is_dir():
        return place
    cache.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(Scratch(cache, ".fetching")) as scratch:
        into, log = scratch.folder / "wheels", scratch.folder / "log"
        command = [
            sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-input",
            "--retries=1", "--quiet", *options, f"--dest={into}", f"--log={log}",
            f"--requirement={requirements}",
        ]  # fmt: skip
        environment = clients.environment(prefixes=("PIP_",)) | {"PIP_REQUIRE_VIRTUALENV": "0"}

        def judge(done: Completed) -> Judged:
            told = log.read_text(errors="replace") if log.exists() else ""
            log.unlink(missing_ok=True)
            return answers.pip(done, [name for name, _ in required(text.decode())], told)

        clients.events.started("wheels", "fetching")
        try:
            clients.ask("the wheels", command, environment, scratch.folder, judge=judge)
        except RefusedError as error:
            if error.kind not in {answers.Kind.MISMATCH, answers.Kind.MISSING}:
                raise
            raise InputError(
                error.summary, subject=str(requirements), remedy="pin others: `make relock`"
            ) from error
        clients.events.finished("wheels")
        into.rename(place)
    return place


def required(text: str) -> list[tuple[str, str]]:
    """Name and version of each requirement of a lock."""
    return _REQUIREMENT.findall(text)


def requirements(text: str, own: Path) -> str:
    """A lock of Python packages with one more, the wheel of the project itself.

    `own`: its file, whose name says what it is (PEP 427).
    """
    name, version = own.name.split("-")[:2]
    sha256 = digests.sha256_of_file(own)
    return f"{text.rstrip()}\n{name}=={version} --hash=sha256:{sha256.hex}\n"

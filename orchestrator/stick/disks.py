"""Describes a block device and what uses it, from sysfs, mountinfo and swaps.

Sources: Linux, Documentation/ABI/stable/sysfs-block; proc_pid_mountinfo(5); proc_swaps(5).
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from reproducibility.errors import InputError

_SECTOR = 512  # what /sys counts in, whatever the disk does
_MOUNT_FIELDS = 5
_ESCAPED = re.compile(r"\\([0-7]{3})")
# What the running system cannot do without.
_SYSTEM = ("/", "/boot", "/boot/efi", "/efi", "/usr", "/etc", "/var", "/home", "/nix", "/sysroot")


@dataclass(frozen=True, slots=True)
class Use:
    """Use of a disk or a part of it.

    `device`: kernel name, such as `sdb1`. `how`: `mounted`, `swap`, or `held` (LVM, RAID, an
    encrypted volume). `where`: the mount point, or who holds it.
    """

    device: str
    how: str
    where: str

    def __str__(self) -> str:
        if self.how == "mounted":
            return f"{self.device} is mounted on {self.where}"
        return f"{self.device} is {'swap space' if self.how == 'swap' else f'in {self.where}'}"


@dataclass(frozen=True, slots=True)
class Target:
    """Target of a write: a block device or a file.

    `kind`: `disk`, `partition` or `file`. `size`, `block`: bytes of all of it and of a logical
    block. `removable`: made to be taken out (removable medium, USB, SD card). `disk`: of a
    partition, the disk that it lies on. `system`: the running system depends on it. `number`,
    `sequence`: by what it is known again: of a disk the kernel's number (`8:16`) and the sequence
    number of what is plugged in (empty before Linux 5.15), of a file its device and inode.
    `in_dev`: a file among the device nodes, where somebody wrote to a stick that was not there.
    """

    path: Path
    kind: str
    size: int
    block: int = _SECTOR
    model: str = ""
    removable: bool = False
    read_only: bool = False
    disk: str = ""
    uses: tuple[Use, ...] = ()
    system: bool = False
    number: str = ""
    sequence: str = ""
    in_dev: bool = False


@dataclass(frozen=True, slots=True)
class Kernel:
    """Folders of the kernel's interfaces (/sys, /proc, /dev); others in tests."""

    proc: Path = Path("/proc")
    sys: Path = Path("/sys")
    dev: Path = Path("/dev")

    def examine(self, path: Path, needed: tuple[Path, ...] = ()) -> Target:
        """Look at a disk or a file. `needed`: files whose disk must not be written to.

        Raises:
            InputError: it is not there, or neither a disk nor a file.
            OSError: the kernel tells nothing of it.
        """
        try:
            found = path.stat()
        except OSError as error:
            raise InputError(
                f"nothing can be written there: {error.strerror}",
                subject=str(path),
                remedy="`lsblk` shows the disks of this machine",
            ) from error
        if stat.S_ISREG(found.st_mode):
            return Target(
                path,
                "file",
                found.st_size,
                number=f"{found.st_dev}:{found.st_ino}",
                in_dev=self._is_among_devices(path, found.st_dev),
            )
        if not stat.S_ISBLK(found.st_mode):
            raise InputError(
                "this is neither a disk nor a file",
                subject=str(path),
                remedy="`lsblk` shows the disks of this machine",
            )
        return self.disk(path, numbered(found.st_rdev), needed)

    def disk(self, path: Path, number: str, needed: tuple[Path, ...]) -> Target:
        """A block device by its number, such as `8:16`; see `examine`."""
        folder = (self.sys / "dev/block" / number).resolve(strict=True)
        # First: what is plugged in after this has another, so that its facts are not mixed up.
        sequence = _read(folder / "diskseq")
        size = int(_read(folder / "size") or 0) * _SECTOR
        if (folder / "partition").exists():
            parent = folder.parent.name
            return Target(path, "partition", size, disk=str(Path("/dev", parent)))
        device = folder / "device"
        names = [_read(device / "vendor"), _read(device / "model") or _read(device / "name")]
        parts = self._parts(folder)
        uses = self._uses(parts)
        return Target(
            path,
            "disk",
            size,
            block=int(_read(folder / "queue/logical_block_size") or _SECTOR),
            model=" ".join(name for name in names if name),
            removable=_read(folder / "removable") == "1"
            or any(part.startswith("usb") for part in folder.parts)
            or _read(device / "type") == "SD",
            read_only=_read(folder / "ro") == "1",
            uses=tuple(uses),
            system=any(use.how == "mounted" and use.where in _SYSTEM for use in uses)
            or any(_lies_on(file, folder, parts) for file in needed),
            number=number,
            sequence=sequence,
        )

    def _is_among_devices(self, path: Path, device: int) -> bool:
        """Return True for a file in /dev itself, not in /dev/shm where that is mounted there."""
        if not path.resolve().is_relative_to(self.dev.resolve()):
            return False
        return device == self.dev.stat().st_dev

    def _parts(self, folder: Path) -> dict[str, str]:
        """Names and numbers of a disk, its partitions, and everything built on them."""
        found: dict[str, str] = {}
        waiting = [folder]
        while waiting:
            here = waiting.pop()
            if here.name in found:
                continue
            found[here.name] = _read(here / "dev")
            waiting += [path.parent for path in sorted(here.glob("*/partition"))]
            waiting += [path.resolve() for path in sorted(here.glob("holders/*"))]
        return found

    def _uses(self, parts: dict[str, str]) -> list[Use]:
        uses = [
            Use(name, "held", _holder(holder))
            for name in parts
            for holder in sorted((self.sys / "class/block" / name / "holders").glob("*"))
        ]
        names = {number: name for name, number in parts.items()}
        for line in _read(self.proc / "self/mountinfo").splitlines():
            fields, _, rest = line.partition(" - ")
            words, source = fields.split(" "), rest.split(" ")[1:2]
            if len(words) < _MOUNT_FIELDS:
                continue
            # A file system of several disks has a number of its own, and names one of them.
            given = _name(source[0]) if source else ""
            name = names.get(words[2], given if given in parts else "")
            if name:
                uses.append(Use(name, "mounted", _unescaped(words[4])))
        for line in _read(self.proc / "swaps").splitlines()[1:]:
            name = _name(_unescaped(line.partition(" ")[0].partition("\t")[0]))
            if name in parts:
                uses.append(Use(name, "swap", ""))
        return uses


def _lies_on(file: Path, folder: Path, parts: dict[str, str]) -> bool:
    """Return whether a file lies on a disk, or is what a loop device shows as one."""
    backing = _read(folder / "loop/backing_file")
    if backing and Path(backing).exists() and file.samefile(backing):
        return True
    return numbered(file.stat().st_dev) in parts.values()


def _holder(path: Path) -> str:
    given = _read(path.resolve() / "dm/name")
    return f"{given} ({path.name})" if given else path.name


def _name(source: str) -> str:
    """The kernel's name of a device by its path; links such as /dev/mapper/x are followed."""
    return Path(source).resolve().name if source.startswith("/") and "\0" not in source else ""


def numbered(device: int) -> str:
    """A device's number as the kernel writes it."""
    return f"{os.major(device)}:{os.minor(device)}"


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match[1], 8)), text)


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8", "replace").strip()
    except OSError:
        return ""

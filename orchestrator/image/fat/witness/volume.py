"""Compares an image region by region (MBR, boot sector, FSInfo, FATs, directories, slack).

Sources: fatgen103, "Boot Sector and BPB Structure", "FAT32 FSInfo Sector Structure and Backup Boot
Sector"; UEFI specification 2.10, section 5.2.1 "Legacy Master Boot Record".
"""

from __future__ import annotations

import errno
import os
import struct
import sys
from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator.image.fat.witness import folders, loader
from reproducibility import regular
from reproducibility.errors import ComparisonError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from orchestrator.image.fat.witness.folders import Folder, Plan
    from orchestrator.image.fat.witness.loader import Installed, Packages
    from reproducibility.manifest import Tree

_SECTOR = 512
_FIRST = 2048
_MIB = 1 << 20
_PIECE = 1 << 20
_ZEROS = bytes(_PIECE)
_MOST_FINDINGS = 8

# What runs where no loader is: the next boot device, or else a halt.
_NO_LOADER = b"\xcd\x18\xf4\xeb\xfd"
_NO_LOADER_HEAD = b"\xeb\x58\x90MSWIN4.1"

_END = 0x0FFFFFFF
_MARK = b"\x55\xaa"
_BACKUP = 6
# fatgen103: fewer are FAT16; 16 away from the limit.
_LEAST_CLUSTERS = 65_525 + 16
_LEAST_RESERVED = 32
_PAGE = 4096 // _SECTOR
_PER_FAT_SECTOR = _SECTOR // 4

# Where the fields start, from the last one on.
_RECORD_FIELDS = (
    (510, "the signature of the master boot record"), (446, "the partition table"),
    (440, "the disk's signature"), (0, "the code of the master boot record"),
)  # fmt: skip
_BOOT_FIELDS = (
    (510, "signature"), (90, "boot code"), (82, "file system's name"), (71, "label"),
    (67, "volume ID"), (66, "extended signature"), (64, "drive"), (52, "reserved bytes"),
    (50, "sector of the backup"), (48, "sector of FSInfo"), (44, "root's cluster"),
    (42, "version"), (40, "flags"), (36, "sectors of a FAT"), (32, "sectors"),
    (28, "hidden sectors"), (26, "heads"), (24, "sectors of a track"),
    (22, "sectors of a FAT16's FAT"), (21, "media byte"), (19, "sectors of a FAT16"),
    (17, "entries of a FAT16's root"), (16, "number of FATs"), (14, "reserved sectors"),
    (13, "sectors of a cluster"), (11, "bytes of a sector"), (0, "boot code"),
)  # fmt: skip


@dataclass(frozen=True)
class Expected:
    """Expected content of the image: what it must be made from.

    `tree`: with the finished `ldlinux.sys`. `signature`: 32 bits, the disk's. `epoch`: seconds.
    `free_space`: bytes that must be free at least. `packages`: of the BIOS loader, where there is
    one. `loader_as_found`: there is one whose packages are not at hand: its code in the master boot
    record and the boot sector is taken from the image, and only the rest is compared.
    """

    tree: Tree
    label: str
    volume_id: int
    signature: int
    epoch: int
    free_space: int
    packages: Packages | None = None
    loader_as_found: bool = False


def findings(image: Path, expected: Expected) -> list[str]:
    """Return the regions that are not what they must be, a sentence each, 8 at most.

    The content of the files is not looked at, but for `ldlinux.sys`.

    Raises:
        OSError: the image cannot be read.
    """
    with regular.opened(image) as stream:
        volume = _Volume(stream.fileno(), expected)
        try:
            volume.check()
        except _Enough:
            pass
        except ComparisonError as error:
            volume.findings.append(error.summary)
        return volume.findings


class _Enough(Exception):  # noqa: N818 - not an error: no more findings are wanted
    """As many findings as are shown."""


@dataclass(frozen=True, slots=True)
class _Geometry:
    """Sectors of a cluster; reserved ones; those of a FAT; all of the volume."""

    per_cluster: int
    reserved: int
    fat: int
    sectors: int

    @property
    def cluster(self) -> int:
        return self.per_cluster * _SECTOR

    @property
    def data(self) -> int:
        """The sector of the volume at which the clusters start."""
        return self.reserved + 2 * self.fat

    @property
    def clusters(self) -> int:
        return (self.sectors - self.data) // self.per_cluster

    def complaint(self, size: int) -> str:
        """Return what cannot be, in words; empty where nothing is. `size`: bytes of the image."""
        unit = max(_PAGE, self.per_cluster)
        if self.per_cluster.bit_count() != 1 or self.per_cluster > 64:  # noqa: PLR2004 - 32 KiB
            return f"a cluster of {self.per_cluster} sectors"
        if (_FIRST + self.sectors) * _SECTOR != size or size % _MIB:
            return f"{self.sectors} sectors in an image of {size} bytes"
        if not _LEAST_RESERVED <= self.reserved < _LEAST_RESERVED + unit or self.data % unit:
            return f"{self.reserved} reserved sectors, and clusters from sector {self.data} on"
        # Room for as many clusters as there would be if the FATs took none.
        room = (self.sectors - _LEAST_RESERVED) // self.per_cluster
        needed = -(-(room + 2) // _PER_FAT_SECTOR)
        if self.clusters < _LEAST_CLUSTERS or self.fat != needed:
            return f"FATs of {self.fat} sectors for {self.clusters} clusters"
        return ""


class _Volume:
    def __init__(self, descriptor: int, expected: Expected) -> None:
        self._descriptor = descriptor
        self._expected = expected
        self._size = os.fstat(descriptor).st_size
        self.findings: list[str] = []

    def check(self) -> None:
        """All regions, in the order in which they can be understood."""
        geometry = self._geometry()
        if geometry is None:
            return
        wanted = self._expected
        where = folders.plan(wanted.tree, wanted.label, geometry.cluster)
        used = where.next - folders.ROOT_CLUSTER
        free = (geometry.clusters - used) * geometry.cluster
        if free < wanted.free_space:
            self._say(f"free space: {free} bytes, should be {wanted.free_space} at least")
        if free < 0:
            return
        installed = self._installed(geometry, where)
        self._check_record(geometry, installed)
        self._check_zeros("the gap before the partition", _SECTOR, _FIRST * _SECTOR)
        self._check_reserved(geometry, installed, used)
        self._check_tables(geometry, where)
        self._check_folders(geometry, where, installed)
        self._check_slack(geometry, where)
        end = self._at(geometry.data) + used * geometry.cluster
        self._check_zeros("the free space", end, self._size)

    @staticmethod
    def _at(sector: int) -> int:
        """Byte of the image at which a sector of the volume starts."""
        return (_FIRST + sector) * _SECTOR

    def _geometry(self) -> _Geometry | None:
        """As the boot sector says it, or else its backup: what it says must be possible."""
        said = []
        for sector in (0, _BACKUP):
            data = self._read(self._at(sector), _SECTOR)
            if len(data) < _SECTOR:
                self._say(f"an image of {self._size} bytes has no boot sector")
                return None
            per_cluster, reserved, sectors, fat = struct.unpack("<13xBH16xII472x", data)
            geometry = _Geometry(per_cluster, reserved, fat, sectors)
            complaint = geometry.complaint(self._size)
            if not complaint:
                return geometry
            said.append(f"sector {sector} of the volume says {complaint}")
        self._say("boot sector: " + "; ".join(said))
        return None

    def _installed(self, geometry: _Geometry, where: Plan) -> Installed | None:
        wanted = self._expected
        if wanted.packages is None:
            return self._found() if wanted.loader_as_found else None
        cluster = where.files.get(loader.SYSTEM, 0)
        first = geometry.data + (cluster - folders.ROOT_CLUSTER) * geometry.per_cluster
        installed = loader.installed(wanted.packages, wanted.tree, first)
        for at in range(0, len(installed.system), _SECTOR):
            where_found = self._at(first) + at
            self._compare(loader.SYSTEM, where_found, installed.system[at : at + _SECTOR])
        return installed

    def _found(self) -> Installed:
        """The code that lies on the image; that of `ldlinux.sys` is a file's content."""
        sector = self._read(self._at(0), _SECTOR)
        return loader.as_found(self._read(0, _SECTOR), sector)

    def _check_record(self, geometry: _Geometry, installed: Installed | None) -> None:
        code = installed.record if installed else _NO_LOADER
        last = _FIRST + geometry.sectors - 1
        partition = b"\x80" + _chs(_FIRST) + b"\x0c" + _chs(last)
        partition += struct.pack("<II", _FIRST, geometry.sectors)
        record = code.ljust(440, b"\0") + self._expected.signature.to_bytes(4, "little") + b"\0\0"
        record += partition.ljust(64, b"\0") + _MARK
        self._compare("sector 0", 0, record, _RECORD_FIELDS)

    def _check_reserved(self, geometry: _Geometry, installed: Installed | None, used: int) -> None:
        boot = self._boot_sector(geometry, installed)
        last = folders.ROOT_CLUSTER + used - 1
        information = b"RRaA".ljust(484, b"\0") + b"rrAa"
        information += struct.pack("<II", geometry.clusters - used, last)
        information = information.ljust(510, b"\0") + _MARK
        third = _MARK.rjust(_SECTOR, b"\0")
        for start, which in ((0, ""), (_BACKUP, "the backup of ")):
            at = self._at(start)
            self._compare(f"{which}the boot sector", at, boot, _BOOT_FIELDS)
            self._compare(f"{which}FSInfo", at + _SECTOR, information)
            self._compare(f"{which}the third boot sector", at + 2 * _SECTOR, third)
            end = geometry.reserved if start else _BACKUP
            self._check_zeros("a reserved sector", self._at(start + 3), self._at(end))

    def _boot_sector(self, geometry: _Geometry, installed: Installed | None) -> bytes:
        wanted = self._expected
        head = installed.head if installed else _NO_LOADER_HEAD
        code = installed.code if installed else _NO_LOADER
        common = struct.pack("<HBHB", _SECTOR, geometry.per_cluster, geometry.reserved, 2)
        common += bytes(4) + b"\xf8" + bytes(2)
        common += struct.pack("<HHII", 63, 255, _FIRST, geometry.sectors)
        own = struct.pack("<IIIHH", geometry.fat, 0, folders.ROOT_CLUSTER, 1, _BACKUP) + bytes(12)
        own += b"\x80\0\x29" + wanted.volume_id.to_bytes(4, "little")
        own += wanted.label.ljust(11).encode("ascii") + b"FAT32".ljust(8)
        return (head + common + own + code).ljust(510, b"\0") + _MARK

    def _check_tables(self, geometry: _Geometry, where: Plan) -> None:
        table = array("I", range(1, where.next + 1))
        table[0], table[1] = 0x0FFFFFF8, _END
        for last in where.ends:
            table[last] = _END
        if sys.byteorder == "big":
            table.byteswap()
        data = memoryview(table).cast("B")
        for number, name in enumerate(("the first FAT", "the second FAT")):
            start = self._at(geometry.reserved + number * geometry.fat)
            for at in range(0, len(data), _PIECE):
                self._compare(name, start + at, data[at : at + _PIECE])
            self._check_zeros(name, start + len(data), start + geometry.fat * _SECTOR)

    def _check_folders(self, geometry: _Geometry, where: Plan, installed: Installed | None) -> None:
        wanted = self._expected
        pinned = frozenset({loader.SYSTEM} if installed else ())
        writing = folders.Writing(where, wanted.label, wanted.epoch, pinned)
        for folder in where.folders:
            content = writing.content(folder, folder.clusters * geometry.cluster)
            at = self._byte(geometry, folder.cluster)
            if self._read(at, len(content)) != content:
                self._say_record(writing, folder, at, content)

    def _say_record(self, writing: folders.Writing, folder: Folder, at: int, wanted: bytes) -> None:
        found = self._read(at, len(wanted))
        first = _first_difference(found, wanted)
        number, byte = divmod(first, folders.RECORD)
        whose = f"the directory /{folder.path}"
        for index, (path, record) in enumerate(writing.records(folder)):
            if index == number:
                whose += f", the record of {path}, {folders.field_at(record, byte)}"
        self._say(f"{whose}: {_how(at, found, wanted)}")

    def _check_slack(self, geometry: _Geometry, where: Plan) -> None:
        size = geometry.cluster
        for entry in self._expected.tree.files():
            rest = -entry.size % size
            if rest:
                at = self._byte(geometry, where.files[entry.path]) + entry.size
                if self._read(at, rest) != _ZEROS[:rest]:
                    self._compare(f"behind the end of {entry.path}", at, _ZEROS[:rest])

    def _byte(self, geometry: _Geometry, cluster: int) -> int:
        """Byte of the image at which a cluster starts."""
        return self._at(geometry.data) + (cluster - folders.ROOT_CLUSTER) * geometry.cluster

    def _check_zeros(self, name: str, start: int, end: int) -> None:
        for first, last in _parts(self._descriptor, start, end):
            for at in range(first, last, _PIECE):
                length = min(_PIECE, last - at)
                self._compare(name, at, memoryview(_ZEROS)[:length])

    def _compare(
        self,
        name: str,
        at: int,
        wanted: bytes | memoryview,
        fields: tuple[tuple[int, str], ...] = (),
    ) -> None:
        found = self._read(at, len(wanted))
        if found == wanted:
            return
        first = _first_difference(found, bytes(wanted))
        which = next((f", {field}" for start, field in fields if first >= start), "")
        self._say(f"{name}{which}: {_how(at, found, bytes(wanted))}")

    def _read(self, at: int, size: int) -> bytes:
        """Bytes of the image; fewer where it ends."""
        data = os.pread(self._descriptor, size, at)
        while more := os.pread(self._descriptor, size - len(data), at + len(data)):
            data += more
        return data

    def _say(self, finding: str) -> None:
        self.findings.append(finding)
        if len(self.findings) >= _MOST_FINDINGS:
            raise _Enough


def _parts(descriptor: int, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Find the written bytes between two places: what is a hole is zero (lseek(2))."""
    at = start
    while at < end:
        try:
            at = os.lseek(descriptor, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole from here on
                return
            yield at, end
            return
        stop = min(os.lseek(descriptor, at, os.SEEK_HOLE), end)
        if at < stop:
            yield at, stop
        at = stop


def _chs(sector: int) -> bytes:
    """Cylinder, head and sector; what has none (from cylinder 1024 on) has the last there is."""
    cylinder, rest = divmod(sector, 255 * 63)
    head, number = divmod(rest, 63)
    if cylinder > 1023:  # noqa: PLR2004 - ten bits
        return b"\xfe\xff\xff"
    return bytes((head, number + 1 | (cylinder & 0x300) >> 2, cylinder & 0xFF))


def _differing(found: bytes, wanted: bytes) -> bytes:
    """Not zero where two pieces differ; a byte that is missing differs."""
    size = len(found)
    one, two = int.from_bytes(found, "big"), int.from_bytes(wanted[:size], "big")
    return (one ^ two).to_bytes(size, "big").ljust(len(wanted), b"\xff")


def _first_difference(found: bytes, wanted: bytes) -> int:
    differing = _differing(found, wanted)
    return len(differing) - len(differing.lstrip(b"\0"))


def _how(start: int, found: bytes, wanted: bytes) -> str:
    differing = _differing(found, wanted)
    first = _first_difference(found, wanted)
    count = len(differing) - differing.count(0)
    is_ = f"{found[first]:#04x}" if first < len(found) else "missing"
    more = f" (and {count - 1} more)" if count > 1 else ""
    return f"byte {start + first} is {is_}, should be {wanted[first]:#04x}{more}"

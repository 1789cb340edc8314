"""A second reader for the tests: slow, short, and stricter than any system that mounts a stick.

It shares no code with the writer and refuses everything that fatgen103 does not ask for, down to
the bytes that no system looks at: they too must be the same in every image.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

ROOT_CLUSTER = 2
END = 0x0FFFFFFF
_SHORT = re.compile(rb"[A-Z0-9!#$%&'()\-@^_`{}~]{1,8} *")
_TAIL = re.compile(rb"[A-Z0-9!#$%&'()\-@^_`{}~]{0,3} *")


@dataclass(frozen=True)
class Found:
    """`files`: path -> content, None for an empty folder. `order`: first clusters as met."""

    files: dict[str, bytes | None]
    aliases: dict[str, bytes]
    attributes: dict[str, int]
    clusters: int
    bytes_per_cluster: int


def read(image: bytes, *, label: bytes, volume_id: int, stamp: tuple[int, int]) -> Found:
    """Read a disk image, and assert everything."""
    record = image[:512]
    assert record[510:] == b"\x55\xaa"
    status, kind, start, count = struct.unpack("<B3xB3xII", record[446:462])
    assert (status, kind, start) == (0x80, 0x0C, 2048)
    assert record[462:510] == bytes(48)
    assert _zero(image[512 : start * 512])
    assert len(image) == (start + count) * 512
    assert len(image) % (1 << 20) == 0
    return _Volume(image[start * 512 :], start, label.ljust(11), volume_id, stamp).found()


class _Volume:
    def __init__(
        self, data: bytes, hidden: int, label: bytes, volume_id: int, stamp: tuple[int, int]
    ) -> None:
        self.data, self.label, self.stamp = data, label, stamp
        head = struct.unpack("<HBHBHHBHHHIIIHHIHH12xBBBI11s8s", data[11:90])
        size, per_cluster, reserved, fats, roots, small, media, small_fat, track, heads = head[:10]
        hidden_found, sectors, fat, flags, version, root, info, backup = head[10:18]
        assert (size, fats, roots, small, media, small_fat) == (512, 2, 0, 0, 0xF8, 0)
        assert (track, heads, hidden_found) == (63, 255, hidden)
        assert (flags, version, root, info, backup) == (0, 0, ROOT_CLUSTER, 1, 6)
        assert head[18:] == (0x80, 0, 0x29, volume_id, label, b"FAT32   ")
        assert sectors * 512 == len(data)
        assert reserved >= 32
        self.start = (reserved + 2 * fat) * 512
        assert self.start % 4096 == 0
        self.size = per_cluster * 512
        self.clusters = (len(data) - self.start) // self.size
        assert self.clusters >= 65_525 + 16
        assert fat * 128 >= self.clusters + 2
        first, second = (data[at * 512 : (at + fat) * 512] for at in (reserved, reserved + fat))
        assert first == second
        self.fat = struct.unpack(f"<{fat * 128}I", first)
        assert self.fat[:2] == (0x0FFFFFF8, 0x0FFFFFFF)
        assert not any(self.fat[self.clusters + 2 :])
        self.free = self.fat[2 : self.clusters + 2].count(0)
        self._check_reserved(reserved)
        self.next = ROOT_CLUSTER
        self.files: dict[str, bytes | None] = {}
        self.aliases: dict[str, bytes] = {}
        self.attributes: dict[str, int] = {}

    def _check_reserved(self, reserved: int) -> None:
        data = self.data
        assert data[510:512] == data[1022:1024] == data[1534:1536] == b"\x55\xaa"
        assert data[: 3 * 512] == data[6 * 512 : 9 * 512]
        assert _zero(data[3 * 512 : 6 * 512])
        assert _zero(data[9 * 512 : reserved * 512])
        lead, struct_, free, last = struct.unpack("<I480xIII", data[512 : 512 + 496])
        assert (lead, struct_, free) == (0x41615252, 0x61417272, self.free)
        assert self.fat[last] == END
        assert not any(self.fat[last + 1 :])

    def found(self) -> Found:
        # Folders take the first clusters, in the order of their paths.
        pending = {"": (ROOT_CLUSTER, 0)}
        files: list[tuple[str, str, int, int]] = []
        while pending:
            path = min(pending)
            cluster, above = pending.pop(path)
            assert cluster == self.next
            pending |= self._folder(path, cluster, above, files)
        # Files follow, folder by folder, name by name.
        for folder, name, cluster, size in sorted(files):
            path = f"{folder}/{name}" if folder else name
            if size == 0:
                assert cluster == 0
                self.files[path] = b""
                continue
            assert cluster == self.next
            content = self._chain(cluster)
            assert -(-size // self.size) * self.size == len(content)
            assert _zero(content[size:])
            self.files[path] = content[:size]
        assert self.clusters - self.free == self.next - ROOT_CLUSTER
        unused = self.data[self.start + (self.next - ROOT_CLUSTER) * self.size :]
        assert _zero(unused)
        return Found(self.files, self.aliases, self.attributes, self.clusters, self.size)

    def _chain(self, cluster: int) -> bytes:
        start = cluster
        while self.fat[cluster] != END:
            assert self.fat[cluster] == cluster + 1
            cluster += 1
        self.next = cluster + 1
        at = self.start + (start - ROOT_CLUSTER) * self.size
        return self.data[at : at + (self.next - start) * self.size]

    def _folder(
        self, path: str, cluster: int, above: int, files: list[tuple[str, str, int, int]]
    ) -> dict[str, tuple[int, int]]:
        content = self._chain(cluster)
        records = [content[at : at + 32] for at in range(0, len(content), 32)]
        end = next((i for i, one in enumerate(records) if not one[0]), len(records))
        assert not any(map(any, records[end:]))
        assert (end - 1) * 32 // self.size == (len(content) - 1) // self.size
        if path:
            assert self._short(records[0]) == (b".          ", 0x10, cluster, 0)
            assert self._short(records[1]) == (b"..         ", 0x10, above, 0)
            rest = records[2:end]
        else:
            assert self._short(records[0]) == (self.label, 0x08, 0, 0)
            rest = records[1:end]
        folders = {}
        names = []
        long: list[bytes] = []
        aliases = set()
        for record in rest:
            if record[11] == 0x0F:
                long.append(record)
                continue
            alias, attributes, first, size = self._short(record)
            assert _SHORT.fullmatch(alias[:8])
            assert _TAIL.fullmatch(alias[8:])
            assert alias not in aliases
            aliases.add(alias)
            name = _long(long, alias) if long else _plain(alias)
            long = []
            names.append(name)
            whole = f"{path}/{name}" if path else name
            self.aliases[whole], self.attributes[whole] = alias, attributes
            if attributes == 0x10:
                assert size == 0
                folders[whole] = (first, cluster if path else 0)
            else:
                assert attributes in {0x20, 0x27}
                files.append((path, name, first, size))
        assert not long
        assert names == sorted(names)
        # No alias may be another file's name, in whatever case.
        upper = {name.upper(): name for name in names}
        for name in names:
            assert upper.get(_plain(self.aliases[_at(path, name)]), name) == name
        if path and not names:
            self.files[path] = None
        return folders

    def _short(self, record: bytes) -> tuple[bytes, int, int, int]:
        fields = struct.unpack("<11sBBBHHHHHHHI", record)
        name, attributes, flags, tenths, ctime, cdate, adate, high, wtime, wdate, low, size = fields
        date, clock = self.stamp
        assert (flags, tenths) == (0, 0)
        assert (cdate, adate, wdate, ctime, wtime) == (date, date, date, clock, clock)
        return name, attributes, high << 16 | low, size


def _zero(piece: bytes) -> bool:
    return piece == bytes(len(piece))


def _at(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


def _plain(alias: bytes) -> str:
    base, tail = alias[:8].decode().rstrip(), alias[8:].decode().rstrip()
    return f"{base}.{tail}" if tail else base


def _long(records: list[bytes], alias: bytes) -> str:
    check = 0
    for byte in alias:
        check = ((check >> 1) + ((check & 1) << 7) + byte) % 256
    units = b""
    for number, record in enumerate(reversed(records), 1):
        last = number == len(records)
        assert record[0] == (number | 0x40 if last else number)
        assert (record[11], record[12], record[13]) == (0x0F, 0, check)
        assert record[26:28] == b"\0\0"
        units += record[1:11] + record[14:26] + record[28:32]
    text = units.decode("utf-16-le", "surrogatepass")
    name, zero, filler = text.partition("\0")
    assert len(name.encode("utf-16-le")) > (len(records) - 1) * 26
    assert filler == "\uffff" * len(filler)
    assert zero or len(units) == len(name.encode("utf-16-le"))
    return name

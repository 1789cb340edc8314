"""A program: verifies folders that are made to be large, and says what memory each took.

Run as `python -m tests.unit.hostile_folders`. Each case is verified in a process of its own, and
gives a line of JSON: the case's name, the peak of memory in bytes, and how it was refused, as codes
and files of the findings.
"""

from __future__ import annotations

import json
import struct
import sys
import tempfile
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import zstandard

from orchestrator.artifacts import model, names
from orchestrator.audit import model as audits
from orchestrator.evidence import dsse, keys
from orchestrator.verify.folder import Verifier
from reproducibility import canonical
from tests.unit.hostile_inputs import apart, one_segment, zeros
from tests.unit.orchestrator.verify import world

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.unit.orchestrator.verify.world import Build

_KEYS = [keys.generate() for _ in range(3)]
_SECTOR = 512
_RECORD = struct.Struct("<11sBBBHHHHHHHI")


@dataclass(frozen=True)
class Place:
    """Where a case is made. `build`: an honest one; `folder`: where it is to lie."""

    build: Build
    folder: Path
    scratch: Path

    def without_image(self) -> Path:
        """The honest folder with an image of no size, so that it is not read."""
        self.build.write(self.folder, *_KEYS)
        for name in ("sourcery.img", "sourcery.cpio.zst"):
            (self.folder / name).write_bytes(b"")
        return self.folder

    def with_file(self, name: str, path: Path) -> None:
        """Write the folder with another image or archive, whose digests the result names."""
        forged = self.build.copy()
        one = world.measured(path.parent)[path.name]
        said = {"size": one.size, "blake3": one.blake3, "sha256": one.sha256}
        if name == "image":
            forged.image = path
        else:
            forged.archive = path
        forged.result[name].update(said)
        forged.write(self.folder, *_KEYS)


# -- documents -------------------------------------------------------------------------------------


def _result(place: Place) -> None:
    """As many steps as the largest text can have."""
    folder = place.without_image()
    document = dict(place.build.result)
    (one, *_) = document["steps"]
    document["steps"] = [{**one, "name": f"a/{number}"} for number in range(9_500)]
    data = model.dumps(model.BuildResult.model_validate(document))
    _large(folder / names.RESULT, data)


def _audit(place: Place) -> None:
    folder = place.without_image()
    document = dict(place.build.audit or {})
    (one, *_) = document["steps"]
    document["steps"] = [{**one, "name": f"a/{number}"} for number in range(7_500)]
    _large(folder / names.AUDIT, audits.dumps(audits.AuditResult.model_validate(document)))


def _large(path: Path, data: bytes) -> None:
    if not 6 << 20 < len(data) < 8 << 20:
        raise ValueError(f"{len(data)} bytes")
    path.write_bytes(data)


def _actions(place: Place) -> None:
    """As many values as there may be, in a form that is right."""
    folder = place.without_image()
    many: dict[str, object] = {f"blake3:{number:064}": {} for number in range(90_000)}
    (folder / names.ACTIONS).write_bytes(canonical.dumps(many))


def _signatures(place: Place) -> None:
    folder = place.without_image()
    own = _KEYS[0].public.keyid
    signatures = tuple(dsse.Signature(own, bytes([number]) * 64) for number in range(250))
    one = dsse.Envelope(b"{}", signatures=signatures)
    (folder / names.PROVENANCE).write_bytes(dsse.dumps([one]) * 200)


def _statements(place: Place) -> None:
    folder = place.without_image()
    subject = {"name": "sourcery.img", "digest": {"sha256": "0" * 64}}
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{**subject, "name": f"{number}"} for number in range(30_000)],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {},
    }
    (folder / names.PROVENANCE).write_bytes(dsse.dumps([dsse.Envelope(canonical.dumps(statement))]))


def _sums(place: Place) -> None:
    folder = place.without_image()
    lines = b"".join(b"%064d  %06d\n" % (0, number) for number in range(108_000))
    for name in names.SUMS:
        (folder / name).write_bytes(lines)


def _lock(place: Place) -> None:
    folder = place.without_image()
    (folder / names.LOCK).write_bytes(
        b'{"a":[' + b"{}," * 49_000 + b'"' + b"a" * (7 << 20) + b'"]}'
    )


def _deep(place: Place) -> None:
    folder = place.without_image()
    for name in (names.RESULT, names.ACTIONS, names.AUDIT, names.SBOM):
        (folder / name).write_bytes(b'{"a":' * (3 << 20))


def _junit(place: Place) -> None:
    """Larger than any text."""
    place.build.write(place.folder, *_KEYS)
    with (place.folder / names.JUNIT).open("ab") as stream:
        stream.truncate(64 << 20)
    world.seal(place.folder, place.build.known)


def _bill(place: Place) -> None:
    place.build.write(place.folder, *_KEYS)
    for name in (names.SBOM, names.SBOM_FILES):
        (place.folder / name).write_bytes(b'{"files":[' + b"{}," * 190_000 + b"{}]}")


def _files(place: Place) -> None:
    folder = place.without_image()
    for number in range(20_001):
        (folder / names.LOGS / f"{number:0200}").touch()


# -- image and archive -----------------------------------------------------------------------------


def _record(name: bytes, attributes: int, cluster: int, size: int) -> bytes:
    return _RECORD.pack(
        name, attributes, 0, 0, 0, 0x21, 0x21, cluster >> 16, 0, 0x21, cluster & 0xFFFF, size
    )


def _volume(path: Path, fat: array[int], content: Sequence[tuple[int, bytes]]) -> None:
    """A volume with one sector a cluster. `content`: what lies at a cluster."""
    sectors = -(-4 * len(fat) // _SECTOR)
    first = 32 + 2 * sectors
    boot = bytearray(_SECTOR)
    total = first + len(fat) - 2
    struct.pack_into("<3s8sHBHBHHBHHHII", boot, 0, b"\xeb\x58\x90", b"SYSLINUX", _SECTOR, 1, 32, 2,
                     0, 0, 0xF8, 0, 0, 0, 0, total)  # fmt: skip
    struct.pack_into("<IHHIHH", boot, 36, sectors, 0, 0, 2, 1, 6)
    struct.pack_into("<BBBI11s8s", boot, 64, 0x80, 0, 0x29, 1, b"SOURCERY   ", b"FAT32   ")
    boot[510:] = b"\x55\xaa"
    start = 2048
    table = bytearray(_SECTOR)
    struct.pack_into("<446xB3xB3xII48xH", table, 0, 0x80, 0x0C, start, total, 0xAA55)
    with path.open("wb") as stream:
        stream.write(table)
        stream.truncate((start + total) * _SECTOR)
        stream.seek(start * _SECTOR)
        stream.write(boot)
        for copy in range(2):
            stream.seek((start + 32 + copy * sectors) * _SECTOR)
            stream.write(fat.tobytes())
        for cluster, data in content:
            stream.seek((start + first + cluster - 2) * _SECTOR)
            stream.write(data)


def _chained(fat: array[int], begin: int, end: int) -> None:
    """Chain clusters to one file or folder."""
    for cluster in range(begin, end - 1):
        fat[cluster] = cluster + 1
    fat[end - 1] = 0x0FFFFFFF


def _many_files(place: Place) -> None:
    """Four times the files of the default image, all empty, in two folders."""
    count, folders = 100_000, 2
    each = -(-(count // folders + 2) * 32 // _SECTOR)
    fat = array("I", bytes(4 * (3 + folders * each + 70_000)))
    fat[:2] = array("I", [0x0FFFFFF8, 0x0FFFFFFF])
    _chained(fat, 2, 3)
    root = _record(b"SOURCERY   ", 8, 0, 0)
    content = []
    for folder in range(folders):
        begin = 3 + folder * each
        _chained(fat, begin, begin + each)
        root += _record(b"D%07d   " % folder, 0x10, begin, 0)
        inside = _record(b".          ", 0x10, begin, 0)
        inside += _record(b"..         ", 0x10, 0, 0)
        files = range(folder * count // folders, (folder + 1) * count // folders)
        inside += b"".join(_record(b"%08d   " % one, 0x20, 0, 0) for one in files)
        content.append((begin, inside))
    path = place.scratch / "sourcery.img"
    _volume(path, fat, [(2, root), *content])
    place.with_file("image", path)


def _archive_bomb(place: Place) -> None:
    """The honest archive, and 256 MiB of zeros behind it."""
    path = place.scratch / "sourcery.cpio.zst"
    packer = zstandard.ZstdCompressor(level=1)
    with (
        place.build.archive.open("rb") as packed,
        path.open("wb") as out,
        packer.stream_writer(out, closefd=False) as stream,
    ):
        zstandard.ZstdDecompressor().copy_stream(packed, stream)
        for piece in zeros(256 << 20):
            stream.write(piece)
    place.with_file("cpio", path)


def _archive_window(place: Place) -> None:
    path = place.scratch / "sourcery.cpio.zst"
    path.write_bytes(one_segment())
    place.with_file("cpio", path)


# -- the program -----------------------------------------------------------------------------------

# Each with a finding that it must be refused for.
CASES: dict[str, tuple[Callable[[Place], None], tuple[str, str]]] = {
    "result: 9,500 steps": (_result, ("file-missing", "a-0.log")),
    "audit: 7,500 steps": (_audit, ("file-differs", names.AUDIT)),
    "actions: 90,000": (_actions, ("link-broken", names.ACTIONS)),
    "statements: 50,000 signatures": (_signatures, ("file-unreadable", names.PROVENANCE)),
    "statements: 30,000 subjects": (_statements, ("statement-differs", names.PROVENANCE)),
    "sums: 108,000 names": (_sums, ("file-missing", "000000")),
    "lock: 7 MiB in 49,000 values": (_lock, ("file-unreadable", names.LOCK)),
    "documents: 3 million deep": (_deep, ("file-unreadable", names.RESULT)),
    "JUnit: 64 MiB": (_junit, ("statement-differs", names.PROVENANCE)),
    "bill: 190,000 objects": (_bill, ("bill-differs", names.SBOM)),
    "folder: 20,001 logs": (_files, ("file-unreadable", "out")),
    "image: 100,000 files": (_many_files, ("archive-differs", "sourcery.cpio.zst")),
    "archive: 256 MiB of zeros": (_archive_bomb, ("archive-differs", "sourcery.cpio.zst")),
    "archive: a window of 2 GiB": (_archive_window, ("archive-differs", "sourcery.cpio.zst")),
}  # fmt: skip


def _made(scratch: Path, wanted: Sequence[str]) -> None:
    """Make cases, each in a folder of its number."""
    build = world.made(scratch / "build")
    for number, name in enumerate(wanted):
        place = Place(build, scratch / str(number) / "out", scratch / str(number) / "more")
        place.scratch.mkdir(parents=True)
        make, _ = CASES[name]
        make(place)


def _verified(folder: Path) -> None:
    """Raise what was found: that is what a reader in a process of its own tells."""
    given = {key.public.keyid: key.public for key in _KEYS}
    found = Verifier(given).verify(folder)
    raise FindingsError([f"{one.code} {one.file.rpartition('/')[2]}" for one in found.findings])


class FindingsError(Exception):
    """What was found."""

    def __init__(self, told: list[str]) -> None:
        super().__init__(", ".join(dict.fromkeys(told)))


def main() -> None:
    """Run the cases that are named, or all."""
    wanted = sys.argv[1:] or [*CASES]
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        # Apart: a process that has threads, as packing and hashing start them, cannot be forked.
        made = apart(lambda _: _made(scratch, wanted), scratch)
        if made["refused"]:
            raise SystemExit(made["refused"])
        for number, name in enumerate(wanted):
            told = apart(_verified, scratch / str(number) / "out")
            print(json.dumps({"case": name, **told}), flush=True)  # noqa: T201 - its answer


if __name__ == "__main__":
    main()

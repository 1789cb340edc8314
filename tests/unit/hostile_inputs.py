"""A program: gives each reader small files that promise much, and says what memory each took.

Run as `python -m tests.unit.hostile_inputs`. Each case runs in a process of its own, and gives a
line of JSON: the case's name, the size of the file in bytes, the peak of memory in bytes, and how
it was refused, as the error's class and words.
"""

from __future__ import annotations

import io
import json
import lzma
import os
import resource
import struct
import sys
import tarfile
import tempfile
import zipfile
import zlib
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import zstandard

from orchestrator.artifacts.finished import Finished
from orchestrator.boot import elf, kernel, modules, syslinux
from orchestrator.image.cpio import reader as unpacking
from orchestrator.image.cpio import witness as archive_read_back
from orchestrator.image.fat import reader
from orchestrator.inputs import bundle, bundle_header, unpack
from orchestrator.inputs.debian_package import DebianTransport
from orchestrator.inputs.transport import Clients
from orchestrator.lock import file as lock
from orchestrator.qemu import archive as part_of_archive
from orchestrator.spec import model as spec
from orchestrator.store import Store
from reproducibility.errors import ComparisonError, InputError
from reproducibility.manifest import MAGIC, Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    Read = Callable[[Path], object]

# What is promised or unpacked: more than a reader may take.
LARGE = 400 << 20
ZEROS = bytes(1 << 20)
DIGEST = "0" * 64
# So that a reader that believes everything ends here, and not the machine.
MOST_MEMORY = 6 << 30


# -- what is packed small and is large -------------------------------------------------------------


def zeros(count: int) -> Iterator[bytes]:
    for _ in range(count // len(ZEROS)):
        yield ZEROS


def zst(parts: Iterable[bytes], **parameters: int) -> bytes:
    given = zstandard.ZstdCompressionParameters(compression_level=1, **parameters)
    out = io.BytesIO()
    packer = zstandard.ZstdCompressor(compression_params=given)
    with packer.stream_writer(out, closefd=False) as stream:
        for part in parts:
            stream.write(part)
    return out.getvalue()


def xz(parts: Iterable[bytes]) -> bytes:
    packer = lzma.LZMACompressor(preset=0)
    return b"".join([*map(packer.compress, parts), packer.flush()])


def gz(parts: Iterable[bytes]) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join([*map(packer.compress, parts), packer.flush()])


def header(kind: bytes, size: int, name: str = "x") -> bytes:
    """A header of a tar archive."""
    member = tarfile.TarInfo(name)
    member.type, member.size = kind, size
    return member.tobuf(tarfile.GNU_FORMAT)


def long_name(kind: bytes = tarfile.GNUTYPE_LONGNAME) -> Iterator[bytes]:
    yield header(kind, LARGE)
    yield from zeros(LARGE)


def negative_size() -> Iterator[bytes]:
    yield header(tarfile.REGTYPE, -1, bundle_header.NAME)
    yield from zeros(LARGE)


def sparse() -> Iterator[bytes]:
    records = b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n29 GNU.sparse.realsize=123456\n"
    yield header(tarfile.XHDTYPE, len(records)) + records.ljust(512, b"\0")
    yield header(tarfile.REGTYPE, LARGE) + b"999999999\n"
    for _ in range(64):
        yield b"1\n" * (1 << 19)


def large_file() -> Iterator[bytes]:
    yield header(tarfile.REGTYPE, LARGE, "./boot/vmlinuz-6.12")
    yield from zeros(LARGE)
    yield bytes(1024)


def many_members() -> Iterator[bytes]:
    piece = b"".join(header(tarfile.REGTYPE, 0, f"{n:04}" + "n" * 90) for n in range(1000))
    for _ in range(300):
        yield piece


def long_names() -> Iterator[bytes]:
    rest = b"/n" * 2000
    before, after = header(tarfile.GNUTYPE_LONGNAME, 8 + len(rest)), header(tarfile.REGTYPE, 0)
    for number in range(100_000):
        yield before + (f"{number:08}".encode() + rest).ljust(4096, b"\0") + after


def deb(packing: str, data: bytes, size: int | None = None) -> bytes:
    out = b"!<arch>\n"
    for name, content in (
        ("debian-binary", b"2.0\n"),
        ("control.tar", bytes(1024)),
        (f"data.tar{packing}", data),
    ):
        told = size if size is not None and content is data else len(content)
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{told:<10}`\n".encode()
        out += content + b"\n" * (len(content) % 2)
    return out


def zipped(method: int, promised: int = 4) -> bytes:
    """One file of 400 MiB, of which its entry says that it has a few bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive, archive.open("x", "w") as member:
        for piece in zeros(LARGE):
            member.write(piece)
    data = bytearray(out.getvalue())
    at = data.rindex(b"PK\x01\x02") + 24
    data[at : at + 4] = promised.to_bytes(4, "little")
    return bytes(data)


def cpio_header(mode: int, size: int, length: int) -> bytes:
    fields = (1, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, length, 0)
    return b"070701" + b"".join(b"%08X" % field for field in fields)


def long_cpio_name() -> Iterator[bytes]:
    yield cpio_header(0o100644, 0, LARGE)
    yield from zeros(LARGE)


def large_source() -> Iterator[bytes]:
    yield cpio_header(0o100644, LARGE, 5) + b"a.go\0" + bytes(1)
    yield from zeros(LARGE)


def many_cpio_names() -> Iterator[bytes]:
    for number in range(100_000):
        name = f"{number:08}".encode() + b"/n" * 1900 + b".go"
        member = cpio_header(0o100644, 12, len(name) + 1) + name + b"\0"
        yield member + bytes(-len(member) % 4) + b"//go:embed x"


def one_segment() -> bytes:
    """A Zstandard frame whose one window is 2 GiB, of zeros."""
    block = (128 << 10) << 3 | 1 << 1
    blocks = (block.to_bytes(3, "little") + b"\0") * (2 << 30 >> 17)
    return bytes.fromhex("28b52ffd") + b"\xe4" + (2 << 30).to_bytes(8, "little") + blocks


def volume(sectors: int) -> bytes:
    """A boot sector whose file allocation tables have so many sectors."""
    sector = bytearray(1 << 16)
    struct.pack_into("<3s8sHBHBHHBHHHII", sector, 0, b"\xeb\x58\x90", b"SYSLINUX", 512, 1, 32, 2,
                     0, 0, 0xF8, 0, 0, 0, 0, 0x0FFFFFFF)  # fmt: skip
    struct.pack_into("<IHHIHH", sector, 36, sectors, 0, 0, 2, 1, 6)
    sector[510:512] = b"\x55\xaa"
    return bytes(sector)


def installer() -> bytes:
    """SYSLINUX's installer, with the start of an ELF file of 65,535 sections in each sector."""
    start = (b"\xeb\x58\x90SYSLINUX\0".ljust(510, b"\0")) + b"\x55\xaa\r\nSYSLINUX "
    found = bytearray(start.ljust(1000 << 10, b"\0"))
    for at in range(1024, len(found) - 512, 512):
        struct.pack_into("<7s", found, at, b"\x7fELF\x01\x01\x01")
        struct.pack_into("<HHIIIIIHHHHHH", found, at + 16, 1, 3, 1, 0, 0, 52, 0, 52, 0, 0, 40,
                         20_000, 0)  # fmt: skip
    return bytes(found)


def manifest(paths: Iterable[str]) -> bytes:
    return MAGIC + b"".join(f"f 0 {DIGEST} {path}\n".encode() for path in paths)


def deep(count: int) -> Iterator[str]:
    """Paths of as many parts as there can be, that share none."""
    return (f"{number:06}" + "/n" * 199 for number in range(count))


# -- who reads it ----------------------------------------------------------------------------------


def read_bundle(path: Path) -> object:
    wanted = SimpleNamespace(inputs=(), digest=f"blake3:{DIGEST}")
    with closing(Store(path.with_name("store"))) as store:
        bundle.read(path, cast("Any", wanted), store, "amd64")
    return None


def read_bundle_head(path: Path) -> object:
    with path.open("rb") as stream:
        if not bundle_header.is_bundle(stream):
            raise InputError("no bundle")
    return None


def read_package(path: Path) -> object:
    with closing(Store(path.with_name("store"))) as store:
        pinned = SimpleNamespace(blake3=store.put_file(path), label="x", where="x")
        return DebianTransport(Clients()).unpack(cast("Any", pinned), store)


def read_zip(path: Path) -> object:
    with closing(Store(path.with_name("store"))) as store:
        return unpack.zip_tree(path, store, place=lambda name: name, executable=lambda _: False)


def read_archive(path: Path) -> object:
    folder = path.with_name("out")
    folder.mkdir()
    unpacking.unpack(path, folder)
    return None


def read_part(path: Path) -> object:
    return part_of_archive.take(path, "amd64", path.with_name("out"))


def read_back(path: Path) -> object:
    found = archive_read_back.findings(path, Tree(), 0)
    if found:
        raise ComparisonError(found[0])
    return found


def read_kernel(path: Path) -> object:
    return kernel.startable(path.read_bytes(), "arm64", "x", uefi=False)


def read_module(packing: str) -> Read:
    return lambda path: modules._unpacked(path.read_bytes(), packing, "x")


def read_loader(path: Path) -> object:
    data = path.read_bytes()
    tree = Tree.parse(manifest(sorted([syslinux.MASTER, syslinux.INSTALLER])))
    return syslinux.loader(tree, lambda _: data)


def read_section(path: Path) -> object:
    return elf.section(path.read_bytes(), ".modinfo", "x")


CASES: dict[str, tuple[Callable[[], bytes], Read]] = {
    "bundle: name of 400 MiB": (lambda: zst(long_name()), read_bundle),
    "bundle: extended header of 400 MiB": (lambda: zst(long_name(tarfile.XHDTYPE)), read_bundle),
    "bundle: sparse": (lambda: zst(sparse()), read_bundle),
    "bundle: window of 128 MiB": (lambda: zst(long_name(), window_log=27), read_bundle),
    "bundle's head: a negative size": (lambda: zst(negative_size()), read_bundle_head),
    "package: name of 400 MiB, zst": (lambda: deb(".zst", zst(long_name())), read_package),
    "package: name of 400 MiB, xz": (lambda: deb(".xz", xz(long_name())), read_package),
    "package: file of 400 MiB": (lambda: deb(".xz", xz(large_file())), read_package),
    "package: sparse": (lambda: deb(".xz", xz(sparse())), read_package),
    "package: 300,000 members": (lambda: deb(".xz", xz(many_members())), read_package),
    "package: 400 MB of names": (lambda: deb(".xz", xz(long_names())), read_package),
    "package: part of a negative size": (lambda: deb(".xz", b"", -60), read_package),
    "zip: deflated": (lambda: zipped(zipfile.ZIP_DEFLATED), read_zip),
    "zip: bzip2": (lambda: zipped(zipfile.ZIP_BZIP2), read_zip),
    "zip: lzma": (lambda: zipped(zipfile.ZIP_LZMA), read_zip),
    "archive: name of 400 MiB": (lambda: zst(long_cpio_name()), read_archive),
    "archive: source of 400 MiB": (lambda: zst(large_source()), read_part),
    "archive: 400 MB of names": (lambda: zst(many_cpio_names()), read_part),
    "archive read back: window of 2 GiB": (one_segment, read_back),
    "kernel: 400 MiB": (lambda: gz(zeros(LARGE)), read_kernel),
    "module: gz": (lambda: gz(zeros(LARGE)), read_module(".gz")),
    "module: xz": (lambda: xz(zeros(LARGE)), read_module(".xz")),
    "module: zst": (lambda: zst(zeros(LARGE)), read_module(".zst")),
    "module: zst, window of 2 GiB": (one_segment, read_module(".zst")),
    "module: 65,535 sections": (
        lambda: struct.pack(
            "<7s9xHHIQQQIHHHHHH", b"\x7fELF\x02\x01\x01", 1, 3, 1, 0, 0, 64, 0, 64, 0, 0, 64,
            65_535, 0,
        ) + bytes(1000 << 10),
        read_section,
    ),
    "loader: an ELF file in each sector": (installer, read_loader),
    "image: tables of 8 GiB": (lambda: volume(16 << 20), lambda path: reader.read(path, offset=0)),
    "manifest: 100,000 parts": (
        lambda: manifest(["d/" * 100_000 + "f"]),
        lambda path: Tree.parse(path.read_bytes()),
    ),
    "manifest: deep paths": (
        lambda: manifest(deep(2000)),
        lambda path: Tree.parse(path.read_bytes()),
    ),
    "manifest: long paths": (
        lambda: manifest(f"{number:03}" + ("/" + "n" * 20) * 190 for number in range(240)),
        lambda path: Tree.parse(path.read_bytes()),
    ),
    "manifest: many lines": (
        lambda: MAGIC + b"\n" * 1_000_000,
        lambda path: Tree.parse(path.read_bytes()),
    ),
    "spec: many tables": (lambda: b"a=[" + b"[],{}," * 170_000 + b"]", spec.load),
    "lock: many tables": (
        lambda: b'{"a": [' + b"[],{}," * 170_000 + b"0]}",
        lock.load,
    ),
    "result: many lists": (
        lambda: b"[" + b"[[]]," * 200_000 + b"0]",
        lambda path: Finished.load(path.parent),
    ),
}  # fmt: skip


def run(name: str) -> dict[str, object]:
    """Run a case in a process of its own."""
    make, read = CASES[name]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "result.json")
        path.write_bytes(make())
        return {"case": name, "size": path.stat().st_size, **apart(read, path)}


def apart(read: Read, path: Path) -> dict[str, Any]:
    """Run a reader in a process of its own; its peak of memory, and how it refused."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ours)
        _report(theirs, read, path)
    os.close(theirs)
    with os.fdopen(ours, "rb") as stream:
        told = stream.read()
    os.waitpid(child, 0)
    found: dict[str, Any] = json.loads(told or b'{"peak": 0, "refused": "killed"}')
    return found


def _report(answer: int, read: Read, path: Path) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    refused = ""
    try:
        read(path)
    except BaseException as error:  # noqa: BLE001 - told, whatever it is
        refused = f"{type(error).__name__}: {str(error)[:200]}"
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = int(status.partition("VmHWM:")[2].split()[0]) << 10
    os.write(answer, json.dumps({"peak": peak, "refused": refused}).encode())
    os._exit(0)


def main() -> None:
    """Run the cases that are named, or all."""
    for name in sys.argv[1:] or CASES:
        print(json.dumps(run(name)), flush=True)  # noqa: T201 - a program's answer


if __name__ == "__main__":
    main()

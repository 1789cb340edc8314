"""One architecture's part of a build's archive, as a kernel unpacks it, and the kernel itself.

What only other architectures need is left out, and the boot files, which a machine that has got the
archive needs no more, and folders named `testdata`, which no build reads (go help packages), unless
a package above embeds files. Whatever else is in the root stays, byte for byte and with its time:
the go command looks at both before it takes something from the seed.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blake3 import blake3

from orchestrator.architecture import ARCHITECTURES
from orchestrator.image.cpio import newc
from orchestrator.image.cpio import reader as unpacking
from orchestrator.image.cpio import writer as cpio
from reproducibility import digest, regular
from reproducibility.digest import Digest
from reproducibility.errors import ComparisonError, InfrastructureError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path
    from typing import BinaryIO

    from orchestrator.image.cpio.reader import Member, Source

FOLDER = "initramfs"
KERNEL = "vmlinuz"
ARCHIVE = "sourcery.cpio.zst"
# Where firmware and boot loaders look.
_BOOT = frozenset({"boot", "EFI", "extlinux", "loader", "syslinux"})
# Where Go's rules hold.
_SOURCE = frozenset({"go", "src"})
_TEST_DATA = "testdata"
_EMBEDS = b"//go:embed"
_PAGE = 4096
# Of the kernel's account of a file or a folder in memory.
_INODE = 1024


@dataclass(frozen=True, slots=True)
class Part:
    """What a machine starts from.

    `unpacked`: bytes of memory that its files take. `digest`: of the part. `whole`: of the archive
    that it was taken from.
    """

    architecture: str
    kernel: Path
    archive: Path
    size: int
    unpacked: int
    digest: Digest
    whole: Digest

    def document(self) -> dict[str, object]:
        """The part as a JSON object."""
        return {
            "architecture": self.architecture,
            "kernel": str(self.kernel),
            "archive": str(self.archive),
            "size": self.size,
            "unpacked": self.unpacked,
            "blake3": self.digest.hex,
        }


def needed(path: str, architecture: str, embedding: frozenset[str] = frozenset()) -> bool:
    """Whether one architecture needs a file or a folder of the root.

    `embedding`: the folders of packages that embed files.
    """
    parts = path.split("/")
    if parts[0] in _BOOT:
        return False
    others = {f"linux_{name}" for name in ARCHITECTURES if name != architecture}
    if parts[0] in others or (parts[:3] == ["go", "pkg", "tool"] and others & {*parts[3:4]}):
        return False
    if parts[0] not in _SOURCE or _TEST_DATA not in parts:
        return True
    above = parts[: parts.index(_TEST_DATA)]
    return any("/".join(above[:length]) in embedding for length in range(1, len(above) + 1))


def take(archive: Path, architecture: str, folder: Path, expected: Digest | None = None) -> Part:
    """Write one architecture's part of an archive, and its kernel, into a folder.

    The same archive gives the same bytes. `expected`: of the whole archive.

    Raises:
        InputError: it is no archive of a build, or one without that kernel.
        ComparisonError: it is another one than expected.
        InfrastructureError: it cannot be read, or the folder not be written.
    """
    kernel, part = folder / KERNEL, folder / ARCHIVE
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with regular.opened(archive) as packed:
                embedding = _embedding(unpacking.Source(packed, archive))
            with regular.opened(archive) as packed, part.open("wb") as sink:
                reader = _Hashed(packed)
                source = unpacking.Source(reader, archive)
                unpacked = _take(source, architecture, embedding, kernel, sink)
                whole = reader.end()
            _compare(whole, expected, archive)
            size = part.stat().st_size
            return Part(architecture, kernel, part, size, unpacked, digest.of_file(part), whole)
        except BaseException:
            for path in (part, kernel):
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InfrastructureError(
            f"what boots from the archive cannot be made: {error.strerror}",
            subject=str(error.filename or folder),
            remedy="name a folder with some hundred MB of room with --log",
        ) from error


def _compare(whole: Digest, expected: Digest | None, archive: Path) -> None:
    if expected is not None and whole != expected:
        raise ComparisonError(
            f"the archive is not the one that was built: blake3 {whole.hex}, "
            f"and its result says {expected.hex}",
            subject=str(archive),
            remedy="build again",
        )


def _embedding(source: Source) -> frozenset[str]:
    """The folders of packages that embed files; test files do not count."""
    found = set()
    for member in unpacking.members(source):
        folder, _, name = member.path.rpartition("/")
        if not name.endswith(".go") or name.endswith("_test.go"):
            source.skip(member)
        elif _embeds(source.content(member)):
            found.add(folder)
    return frozenset(found)


def _embeds(pieces: Iterable[bytes]) -> bool:
    """Whether a file embeds others; all of it is taken in any case."""
    found = False
    end = b""
    for piece in pieces:
        found = found or _EMBEDS in end + piece
        end = piece[1 - len(_EMBEDS) :]
    return found


def _take(
    source: Source, architecture: str, embedding: frozenset[str], kernel: Path, sink: BinaryIO
) -> int:
    """Bytes of memory that what was taken needs."""
    wanted = f"boot/{architecture}/{KERNEL}"
    memory = 0
    found = False
    with cpio.compressor().stream_writer(sink, closefd=False) as stream:
        writer = _Writer(stream.write)
        for member in unpacking.members(source):
            if needed(member.path, architecture, embedding):
                memory += _INODE + member.size + -member.size % _PAGE
                writer.add(member, source)
            elif member.path == wanted:
                found = True
                with kernel.open("wb") as file:
                    file.writelines(source.content(member))
            else:
                source.skip(member)
        writer.end()
    if not found:
        raise InputError(
            f"there is no kernel for {architecture} in the archive",
            subject=f"{source.archive}: {wanted}",
            remedy="write a [boot] table in the spec, `orchestrate lock`, and build again",
        )
    return memory


class _Writer:
    """An archive, member by member, numbered anew."""

    def __init__(self, put: Callable[[bytes], object]) -> None:
        self._put = put
        self._number = 0
        self._total = 0

    def add(self, member: Member, source: Source) -> None:
        self._number += 1
        start = newc.header(member.path, self._number, member.mode, member.size, epoch=member.time)
        self._put(start)
        for piece in source.content(member):
            self._put(piece)
        self._put(bytes(-member.size % newc.WORD))
        self._total += newc.length(member.path, member.size)

    def end(self) -> None:
        self._put(newc.end(self._total))


class _Hashed:
    """A file that is read once, and its digest."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._hasher = blake3(max_threads=blake3.AUTO)

    def read(self, size: int, /) -> bytes:
        data = self._stream.read(size)
        self._hasher.update(data)
        return data

    def end(self) -> Digest:
        while self.read(1 << 20):
            pass
        return Digest("blake3", self._hasher.hexdigest())

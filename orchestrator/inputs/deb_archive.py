"""Reads the files of a Debian package: the `data.tar` in its ar archive (deb(5), ar(5))."""

from __future__ import annotations

import contextlib
import io
import os
import tarfile
from typing import TYPE_CHECKING, cast

from orchestrator.files import decompression
from orchestrator.inputs import tar_members, unpack
from orchestrator.inputs.transport import LARGEST
from reproducibility import digest as digests
from reproducibility import regular
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from orchestrator.inputs.transport import Store
    from orchestrator.lock.model import DebianPackage, RootPackage
    from reproducibility.manifest import Entry

_AR = b"!<arch>\n"
_AR_HEADER = 60
# debian-binary, control.tar and data.tar, and a few that others may have put between.
_MOST_PARTS = 16
# Beside the files' content: the headers and the padding of so many members as there may be.
_FRAMES = 1 << 30


@contextlib.contextmanager
def opened(pinned: DebianPackage | RootPackage, store: Store) -> Iterator[tarfile.TarFile]:
    """Open the members of a package in the store, to be read as a stream, to the end.

    Raises:
        InputError: it is no whole Debian package.
    """
    path = store.blob(pinned.blake3)
    what = f"{pinned.label} is not a whole Debian package"
    with (
        unpack.refusing_damage(what, pinned.where),
        regular.opened(path, follow=False) as package,
        _content(package) as content,
        tarfile.open(mode="r|", fileobj=content, tarinfo=tar_members.PackageMember) as archive,
    ):
        yield archive
        # The archive's own end lies before that of the stream, whose checksums come last.
        for _ in digests.chunks(content):
            pass


def _content(package: BinaryIO) -> BinaryIO:
    """The unpacked `data.tar` of a package (deb(5), ar(5)), as a stream."""
    if package.read(len(_AR)) != _AR:
        raise ValueError("it does not start as an ar archive")
    seen: list[bytes] = []
    while len(seen) < _MOST_PARTS:
        header = package.read(_AR_HEADER)
        size = header[48:58].rstrip()
        if len(header) < _AR_HEADER or header[58:] != b"`\n" or not size.isdigit():
            raise EOFError("no data.tar is in it, or it is cut short")
        seen.append(header[:16].rstrip(b" ").rstrip(b"/"))
        if seen[0] != b"debian-binary":
            raise ValueError("its first part is not debian-binary")
        name, _, suffix = seen[-1].decode("ascii", "replace").partition(".tar")
        if name == "data":
            part = _Part(package, int(size))
            limit = (
                decompression.limit(int(size), LARGEST + _FRAMES) if suffix else LARGEST + _FRAMES
            )
            return decompression.reader(cast("BinaryIO", part), suffix, limit)
        package.seek(int(size) + int(size) % 2, os.SEEK_CUR)
    raise ValueError("no data.tar is among its first parts")


class _Part(io.RawIOBase):
    """The next so many bytes of a file."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # what io gives
        data = self._file.read(min(len(buffer), self._left))
        if self._left and buffer and not data:
            raise EOFError("it is cut short")
        self._left -= len(data)
        buffer[: len(data)] = data
        return len(data)


def files(
    archive: tarfile.TarFile,
    store: Store,
    keep: Callable[[str], bool] = lambda _: True,
    links: dict[str, str] | None = None,
) -> Iterator[Entry]:
    """Put a package's regular files into the store; their entries.

    `keep`: whether a path is wanted. `links`: gets the targets of links by path, symbolic ones as
    they are written, others with a `/` in front.

    Raises:
        InputError: they are too large.
    """
    total = 0
    for member in tar_members.each(archive, tar_members.MOST_IN_PACKAGE):
        name = member.name.removeprefix("./").rstrip("/")
        if not keep(name):
            continue
        if links is not None and member.issym():
            links[name] = member.linkname
        elif links is not None and member.islnk():
            links[name] = "/" + member.linkname.removeprefix("./")
        if not member.isreg():
            continue
        total += member.size
        stream = archive.extractfile(member)
        if total > LARGEST or stream is None:
            raise InputError(f"the package holds more than {LARGEST} bytes", subject=name)
        yield unpack.keep_stream(
            stream,  # type: ignore[arg-type]
            member.size,
            name,
            store,
            executable=bool(member.mode & 0o111),
        )

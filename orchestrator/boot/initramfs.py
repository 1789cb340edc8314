"""Packs the initramfs, which a kernel unpacks to memory and starts /init of.

The content is fixed: members sorted by path, inode numbers counted from 1, owner 0, time 0. The
compression is Zstandard at a fixed level, in libzstd's single-threaded mode. A kernel that cannot
unpack that gets the plain archive: every kernel takes it, and gzip's bytes depend on which zlib a
machine has. Sources: Linux Documentation/filesystems/ramfs-rootfs-initramfs.rst and
Documentation/driver-api/early-userspace/buffer-format.rst.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import zstandard

from orchestrator.image.cpio import newc

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from orchestrator.boot.modules import Module

# Level 19 saves another tenth and takes twenty times as long.
LEVEL: Final = 10
# What decides the compressed bytes: libzstd promises none from one version to the next.
COMPRESSION: Final = f"libzstd {'.'.join(map(str, zstandard.ZSTD_VERSION))}, level {LEVEL}"
# Where /init looks for modules.
MODULES: Final = "modules"

_FOLDERS = ("dev", MODULES, "proc", "stick", "sys")
# The kernel opens /dev/console for /init, before anything is mounted.
_NODES = {"dev/console": (0o020600, (5, 1)), "dev/null": (0o020666, (1, 3))}


def packed(init: bytes, modules: Iterable[Module], *, compressed: bool) -> bytes:
    """The initramfs with the program `init` and the kernel modules."""
    members = list(_members(init, modules))
    total = sum(newc.length(path, len(content)) for path, _, _, content in members)
    pieces = _pieces(members, total)
    if not compressed:
        return b"".join(pieces)
    size = total + len(newc.end(total))
    compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compressobj(size)
    return b"".join([*map(compressor.compress, pieces), compressor.flush()])


_Member = tuple[str, int, tuple[int, int], bytes]


def _members(init: bytes, modules: Iterable[Module]) -> Iterator[_Member]:
    """Path, mode, device numbers, content; sorted by path."""
    found: list[_Member] = [(path, newc.FOLDER, (0, 0), b"") for path in _FOLDERS]
    found += [(path, mode, device, b"") for path, (mode, device) in _NODES.items()]
    found.append(("init", newc.PROGRAM, (0, 0), init))
    found += [(f"{MODULES}/{one.file}", newc.FILE, (0, 0), one.content) for one in modules]
    return iter(sorted(found, key=lambda member: member[0]))


def _pieces(members: list[_Member], total: int) -> Iterator[bytes]:
    for inode, (path, mode, device, content) in enumerate(members, 1):
        yield newc.header(path, inode, mode, len(content), device=device)
        yield content
        yield bytes(-len(content) % newc.WORD)
    yield newc.end(total)

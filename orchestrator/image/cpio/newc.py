"""Headers of cpio archives in the "newc" format, which a kernel unpacks to memory.

Source: Linux Documentation/driver-api/early-userspace/buffer-format.rst.
"""

from __future__ import annotations

from typing import Final

FOLDER: Final = 0o040755
PROGRAM: Final = 0o100755
FILE: Final = 0o100644
# Headers and contents start at multiples of it.
WORD: Final = 4

_MAGIC = b"070701"
_HEADER = 110
_BLOCK = 512
_TRAILER = "TRAILER!!!"
_KIND = 0o170000


def header(  # noqa: PLR0913 - the fields of the format
    path: str,
    inode: int,
    mode: int,
    size: int = 0,
    *,
    epoch: int = 0,
    device: tuple[int, int] = (0, 0),
) -> bytes:
    """A member's header and name, padded; its content of `size` bytes follows, padded too.

    `mode`: kind and permissions. `epoch`: seconds since 1970-01-01 UTC. `device`: major and minor
    number of a device node.
    """
    links = 2 if mode & _KIND == FOLDER & _KIND else 1
    name = path.encode() + b"\0"
    # Inode, mode, owner, group, links, time, size, the file system's device, the node's device,
    # length of the name, sum.
    fields = (inode, mode, 0, 0, links, epoch, size, 0, 0, *device, len(name), 0)
    start = _MAGIC + b"".join(b"%08X" % value for value in fields) + name
    return start + bytes(-len(start) % WORD)


def length(path: str, size: int) -> int:
    """Bytes of a member: header, name, content, each padded."""
    named = _HEADER + len(path.encode()) + 1
    return named + -named % WORD + size + -size % WORD


def end(total: int) -> bytes:
    """The last member, and zeros up to a whole block; `total`: bytes of all members before."""
    trailer = header(_TRAILER, 0, 0)
    return trailer + bytes(-(total + len(trailer)) % _BLOCK)

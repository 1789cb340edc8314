"""Recognises a bundle by how it begins.

The rest of a bundle is read and written in `bundle`.
"""

from __future__ import annotations

import contextlib
import tarfile
from typing import TYPE_CHECKING

import zstandard

from orchestrator.inputs.tar_members import PlainMember
from reproducibility import canonical
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from typing import BinaryIO

# The first member, and the keys of the JSON object in it.
NAME = "bundle.json"
KEYS = frozenset({"schema", "lock", "host"})
# One more: which second root is in the bundle, if one is: a digest of all that is pinned of it.
ROOT = "root.gcc"
# And one for what isolates on a build farm's workers.
WORKERS = "workers"
# A zstd frame's magic number (RFC 8878, 3.1.1).
MAGIC = b"\x28\xb5\x2f\xfd"
_LARGEST = 1 << 12


def is_bundle(stream: BinaryIO) -> bool:
    """Return whether a file is a bundle of any lock, read from where the stream stands.

    Raises:
        OSError: it cannot be read.
    """
    try:
        with zstandard.ZstdDecompressor().stream_reader(stream, closefd=False) as reader:
            head = reader.read(tarfile.BLOCKSIZE)
            member = PlainMember.frombuf(head, "ascii", "strict")
            if member.name != NAME or not 0 <= member.size <= _LARGEST:
                return False
            text = reader.read(member.size)
    except (zstandard.ZstdError, tarfile.TarError, UnicodeError):
        return False
    with contextlib.suppress(InputError):
        header = canonical.loads(text)
        return isinstance(header, dict) and header.keys() - {ROOT, WORKERS} == KEYS
    return False

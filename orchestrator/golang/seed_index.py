"""Index of the compile seed (a read-only Go build cache): its format, and merging several.

Format 1: the magic `SRCSEED1`, then records of 72 bytes sorted by action ID: action ID (32 bytes),
output ID (32 bytes, SHA-256 of the output), size (8 bytes, big-endian). The outputs lie beside the
index as files named `<2 hex>/<62 hex>` of the output ID.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from reproducibility.errors import InfrastructureError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

MAGIC = b"SRCSEED1"
INDEX = "index"
_RECORD = 72
_ACTION = 32
_OUTPUT = 32


def records(index: bytes) -> dict[bytes, bytes]:
    """Action ID -> the rest of its record.

    Raises:
        InputError: not a seed index of format 1.
    """
    body = index.removeprefix(MAGIC)
    if len(body) == len(index) or len(body) % _RECORD:
        raise InputError("not a compile seed's index of format 1")
    starts = range(0, len(body), _RECORD)
    found = {body[at : at + _ACTION]: body[at + _ACTION : at + _RECORD] for at in starts}
    if len(found) != len(body) // _RECORD or list(found) != sorted(found):
        raise InputError("a compile seed's index is not sorted, or names an action twice")
    return found


def outputs(index: bytes) -> dict[str, int]:
    """Return the places of an index's outputs beside it, with their sizes in bytes.

    Raises:
        InputError: not a seed index of format 1.
    """
    found = {}
    for rest in records(index).values():
        name = rest[:_OUTPUT].hex()
        found[f"{name[:2]}/{name[2:]}"] = int.from_bytes(rest[_OUTPUT:], "big")
    return found


def merge(indexes: Iterable[bytes]) -> bytes:
    """Merge several indexes into one.

    Raises:
        InfrastructureError: one action has two outputs: compiling is not deterministic.
    """
    merged: dict[bytes, bytes] = {}
    for index in indexes:
        for action, output in records(index).items():
            if merged.setdefault(action, output) != output:
                raise InfrastructureError(
                    "the same compilation gave two different outputs",
                    subject=f"go action {action.hex()}",
                    remedy="run `orchestrate build --rebuild` to find the step that varies",
                )
    return MAGIC + b"".join(action + merged[action] for action in sorted(merged))

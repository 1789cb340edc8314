"""Records of the store: what is remembered of a key, as JSON sealed with its own BLAKE3.

A record is JSON with the BLAKE3 of its own content in it, the seal. A changed byte would otherwise
name another blob, or none, and what it named before would look as if nobody needed it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reproducibility import canonical
from reproducibility import digest as digests
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

_SEAL = "seal"
_PREFIX = "blake3:"
_HEX = re.compile(r"[0-9a-f]{64}")
# Tells of the run that made a result, partly in others' words: nothing in it is needed.
_PROVENANCE = "provenance"
# Values that name trees, whatever else the record names.
_TREES = ("outputs", "tree", "refers")


@dataclass(frozen=True, slots=True)
class References:
    """The digits of BLAKE3 digests: of all blobs that a record names, and of the trees of those.

    A tree may be named where it is not said that it is one.
    """

    blobs: frozenset[str]
    trees: frozenset[str]


def sealed(document: dict[str, Any]) -> bytes:
    """The bytes of a record."""
    return canonical.pretty({**document, _SEAL: _seal(document)})


def opened(data: bytes, *, subject: str = "a record") -> dict[str, Any]:
    """Return what a record says.

    One without a seal was written by an earlier version; it is taken as it is.

    Raises:
        InputError: it was cut short or changed.
    """
    return _opened(data, subject)[0]


def references(data: bytes, *, subject: str = "a record") -> References:
    """Return what a record needs.

    Raises:
        InputError: it was cut short or changed, as far as that can be seen: in a record without a
            seal, something begins like a digest and is none.
    """
    document, is_sealed = _opened(data, subject)
    document.pop(_PROVENANCE, None)
    named = [document.get(name) for name in _TREES]
    return References(
        frozenset(_mentioned(document, strict=not is_sealed)),
        frozenset(_mentioned(named, strict=not is_sealed)),
    )


def _opened(data: bytes, subject: str) -> tuple[dict[str, Any], bool]:
    """Return what a record says, and whether it has a seal."""
    found = canonical.loads(data, subject=subject)
    if not isinstance(found, dict):
        raise InputError("not a record of the store: no JSON object", subject=subject)
    seal = found.pop(_SEAL, None)
    if seal is not None and seal != _seal(found):
        raise InputError("a record of the store was changed after it was written", subject=subject)
    return found, seal is not None


def _mentioned(value: object, *, strict: bool) -> Iterator[str]:
    """The digits of every BLAKE3 digest that a value is made of.

    What begins like one and is none is text; `strict`: it is refused, as a digest that was changed.
    """
    if isinstance(value, str):
        if value.startswith(_PREFIX):
            digits = value.removeprefix(_PREFIX)
            if _HEX.fullmatch(digits):
                yield digits
            elif strict:
                raise InputError(f"not a digest: {value!r}")
    elif isinstance(value, dict):
        for item in value.values():
            yield from _mentioned(item, strict=strict)
    elif isinstance(value, list):
        for item in value:
            yield from _mentioned(item, strict=strict)


def _seal(document: dict[str, Any]) -> str:
    return digests.of_bytes(canonical.pretty(document)).hex

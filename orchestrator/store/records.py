"""Records of the store: what is remembered of a key, as JSON sealed with its own BLAKE3.

A record is JSON with the BLAKE3 of its own content in it, the seal. A changed byte would otherwise
name another blob, or none, and what it named before would look as if nobody needed it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from reproducibility import canonical
from reproducibility import digest as digests
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

_SEAL = "seal"
_PREFIX = "blake3:"
_HEX = re.compile(r"[0-9a-f]{64}")


def sealed(document: dict[str, Any]) -> bytes:
    """The bytes of a record."""
    return canonical.pretty({**document, _SEAL: _seal(document)})


def opened(data: bytes, *, subject: str = "a record") -> dict[str, Any]:
    """Return what a record says.

    One without a seal was written by an earlier version; it is taken as it is.

    Raises:
        InputError: it was cut short or changed.
    """
    found = canonical.loads(data, subject=subject)
    if not isinstance(found, dict):
        raise InputError("not a record of the store: no JSON object", subject=subject)
    seal = found.pop(_SEAL, None)
    if seal is not None and seal != _seal(found):
        raise InputError("a record of the store was changed after it was written", subject=subject)
    return found


def mentioned(value: object) -> Iterator[str]:
    """The digits of every BLAKE3 digest that a record's values are.

    Raises:
        InputError: something begins like a digest and is none.
    """
    if isinstance(value, str):
        if value.startswith(_PREFIX):
            digits = value.removeprefix(_PREFIX)
            if not _HEX.fullmatch(digits):
                raise InputError(f"not a digest: {value!r}")
            yield digits
    elif isinstance(value, dict):
        for item in value.values():
            yield from mentioned(item)
    elif isinstance(value, list):
        for item in value:
            yield from mentioned(item)


def _seal(document: dict[str, Any]) -> str:
    return digests.of_bytes(canonical.pretty(document)).hex

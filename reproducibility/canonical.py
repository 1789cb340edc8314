"""Canonical JSON: one value has one byte sequence, so that its digest means something.

UTF-8, keys sorted, no insignificant white space, no floating point numbers (their text form is not
unique between writers) and no duplicate keys on reading. Follows the intent of RFC 8785 for the
subset of JSON that the project uses.
"""

from __future__ import annotations

import json
import math
from typing import Any

from reproducibility.errors import InputError


def dumps(value: object) -> bytes:
    """Canonical bytes of a JSON value.

    Raises:
        TypeError: the value holds a float or something that JSON cannot carry.
    """
    _refuse_floats(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def pretty(value: object) -> bytes:
    """Sorted, indented JSON for files that people read in a diff; ends with a newline."""
    return (json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False) + "\n").encode()


def loads(data: bytes | str, *, subject: str = "JSON") -> Any:  # noqa: ANN401 - JSON is any value
    """Parse JSON, refusing duplicate keys and non-finite numbers.

    Raises:
        InputError: not JSON, or a key appears twice; names the line and column.
    """
    try:
        return json.loads(data, object_pairs_hook=_unique, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise InputError(
            f"not valid JSON: {error.msg}",
            subject=f"{subject}, line {error.lineno}, column {error.colno}",
        ) from error
    except (UnicodeDecodeError, ValueError) as error:
        raise InputError(f"not valid JSON: {error}", subject=subject) from error


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for key, value in pairs:
        if key in seen:
            message = f"the key {key!r} appears twice"
            raise ValueError(message)
        seen[key] = value
    return seen


def _no_constant(name: str) -> float:
    message = f"{name} is not a JSON number"
    raise ValueError(message)


def _refuse_floats(value: object) -> None:
    if isinstance(value, float):
        message = f"canonical JSON carries no floating point number: {value!r}"
        if math.isfinite(value):
            message += " (use an integer or a string)"
        raise TypeError(message)
    if isinstance(value, dict):
        for item in value.values():
            _refuse_floats(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_floats(item)

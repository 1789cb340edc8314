"""Sums of the files in an output directory, as `sha256sum --check` and `b3sum --check` read them.

One line a file: the digest in hexadecimal digits, two spaces, the name; sorted by name. A name with
a backslash or a line break has them escaped, and its line begins with a backslash (GNU coreutils
manual, "md5sum invocation"; b3sum does the same).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

_LINE = re.compile(r"(\\?)([0-9a-f]{64})  (.+)")
_ESCAPED = {"\\": "\\\\", "\n": "\\n", "\r": "\\r"}
_MEANT = {escape: sign for sign, escape in _ESCAPED.items()}
_REMEDY = "build again: `orchestrate build`"


def dumps(digests: Mapping[str, str]) -> bytes:
    """Lines for files by name. `digests`: 64 hexadecimal digits each."""
    return "".join(_line(name, digests[name]) for name in sorted(digests)).encode()


def parse(data: bytes, subject: str) -> dict[str, str]:
    """Read the lines back: digests by file name.

    Raises:
        InputError: a line has another form, or a name is there twice; says which.
    """
    try:
        lines = data.decode().split("\n")
    except UnicodeDecodeError as error:
        raise _refused(f"it is not UTF-8: {error.reason}", subject) from error
    if lines.pop():
        raise _refused("its last line does not end", subject)
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise _refused(f"line {number} is not a digest, two spaces and a name", subject)
        name = _named(match[3]) if match[1] else match[3]
        if name in found:
            raise _refused(f"line {number} names {name} a second time", subject)
        found[name] = match[2]
    return found


def _line(name: str, digits: str) -> str:
    escaped = "".join(_ESCAPED.get(sign, sign) for sign in name)
    return f"{'' if escaped == name else chr(92)}{digits}  {escaped}\n"


def _named(escaped: str) -> str:
    return re.sub(r"\\[\\nr]", lambda match: _MEANT[match[0]], escaped)


def _refused(words: str, subject: str) -> InputError:
    return InputError(
        f"these are not the sums of a build: {words}", subject=subject, remedy=_REMEDY
    )

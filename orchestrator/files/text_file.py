"""Decodes text files of a person's: UTF-8, with or without a byte order mark."""

from __future__ import annotations

import codecs

from reproducibility.errors import InputError

# The longer marks first: UTF-32's begins with UTF-16's. Without a mark, text in Latin letters shows
# by its zeros.
_OTHERS = (
    (codecs.BOM_UTF32_LE, "UTF-32 (little-endian)"),
    (codecs.BOM_UTF32_BE, "UTF-32 (big-endian)"),
    (codecs.BOM_UTF16_LE, "UTF-16 (little-endian)"),
    (codecs.BOM_UTF16_BE, "UTF-16 (big-endian)"),
)


def decoded(data: bytes, what: str, subject: str) -> str:
    """The text of a file, every end of line as one line feed.

    `what`: the file in words; `subject`: its place.

    Raises:
        InputError: it is not UTF-8; says what it is, as far as that shows.
    """
    encoding = next((name for mark, name in _OTHERS if data.startswith(mark)), _unmarked(data))
    if encoding:
        raise _refused(f"{what} is not UTF-8 but {encoding}", subject)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _refused(f"{what} is not UTF-8", f"{subject}, line {line}") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def without_mark(data: bytes, what: str, subject: str) -> bytes:
    """The bytes of a UTF-8 file after its byte order mark. Raises as `decoded`, where it shows."""
    if data.startswith(tuple(mark for mark, _ in _OTHERS)) or _unmarked(data):
        decoded(data, what, subject)
    return data.removeprefix(codecs.BOM_UTF8)


def _unmarked(data: bytes) -> str:
    head = data[:4]
    if len(head) < len(codecs.BOM_UTF32_LE) or 0 not in head:
        return ""
    zeros = [value == 0 for value in head]
    return {
        (False, True, True, True): "UTF-32 (little-endian)",
        (True, True, True, False): "UTF-32 (big-endian)",
        (False, True, False, True): "UTF-16 (little-endian)",
        (True, False, True, False): "UTF-16 (big-endian)",
    }.get((zeros[0], zeros[1], zeros[2], zeros[3]), "")


def _refused(summary: str, subject: str) -> InputError:
    return InputError(
        summary,
        subject=subject,
        remedy="save it as UTF-8 (an editor names it so; `iconv -t UTF-8` converts)",
    )

"""Renders a serial line's bytes (ECMA-48) to the lines that stay on a terminal. Pure.

No terminal is imitated: lines that a program draws again become the last drawing of them, and
sequences that move the cursor elsewhere are left out.
"""

from __future__ import annotations

import re

# ECMA-48: control sequences, control strings (OSC, DCS, PM, APC), other escapes of two bytes.
_ERASE_LINE = re.compile(r"\x1b\[[012]?K")
_SEQUENCE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]P^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])"
)
_UNSEEN = re.compile(r"[\x00-\x07\x0b\x0c\x0e-\x1f\x7f]")
_COMPILING = re.compile(r"compiling (\S+) \.\.\.")


def text(raw: bytes) -> str:
    """The lines that stay on the screen; no control characters but newlines and tabs.

    A program that ended in the middle of a line leaves its text without a newline at the end.
    """
    words = raw.decode("utf-8", "replace")
    # A regular expression for the carriage returns before a newline would try each again.
    *lines, last = words.split("\n")
    return "\n".join(_line(line) for line in (*(line.rstrip("\r") for line in lines), last))


def _line(line: str) -> str:
    """A line after all carriage returns, erasures and backspaces in it."""
    if "\x1b" not in line and "\r" not in line and "\b" not in line:
        return _UNSEEN.sub("", line)
    # An erasure is kept as a character of its own while the other sequences go.
    line = _SEQUENCE.sub("", _ERASE_LINE.sub("\x00", line))
    shown: list[str] = []
    at = 0
    for character in line:
        if character == "\r":
            at = 0
        elif character == "\b":
            at = max(at - 1, 0)
        elif character == "\x00":
            del shown[at:]
        else:
            shown[at : at + 1] = [character]
            at += 1
    return _UNSEEN.sub("", "".join(shown)).rstrip(" ")


def last_line(raw: bytes) -> str:
    """The last line with something on it; empty where there is none."""
    lines = (line.strip() for line in reversed(text(raw).split("\n")))
    return next(filter(None, lines), "")


def compiled(raw: bytes) -> list[str]:
    """Names of the commands that the device said it compiles, in that order, each once.

    The device says so only where that takes longer than a third of a second.
    """
    found = _COMPILING.findall(raw.decode("utf-8", "replace"))
    return list(dict.fromkeys(found))

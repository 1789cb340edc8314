"""Escapes control, format and bidirectional characters in text from outside. Pure.

Such are control characters (C0, DEL, C1), marks of the writing direction, line and paragraph
separators, format characters without a shape, and lone surrogates (bytes that are not UTF-8). What
shapes the signs around it stays: joiners within words and emoji, the tags of a flag.
"""

from __future__ import annotations

import re

# What no name in a tree may hold: C0, DEL and C1 controls, directional formatting characters
# (Unicode UAX #9, section 2), line and paragraph separators. For use within a regular expression's
# brackets.
CONTROLS = "\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
# General categories Cc, Cf, Zl, Zp and Cs of Unicode 17.0, and the blocks in which more of Cf may
# come.
_UNSEEN = (
    "\x00-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb\U000110bd\U000110cd"
    "\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# What has no shape of its own and stays, since it gives shape to what it stands in: the joiners
# between two signs beyond ASCII (Persian, Bengali and other scripts, emoji), and the tags that name
# a region behind a black flag (Unicode TS #51, section 1.4.9).
_SHOWN = rf"[^\x00-\x7f{_UNSEEN}]"
_SHAPING = (
    rf"(?P<kept>(?<={_SHOWN})[\u200c\u200d](?={_SHOWN})"
    "|\U0001f3f4[\U000e0020-\U000e007e]{1,8}\U000e007f)"
)
_LINES = re.compile(rf"{_SHAPING}|\r\n|(?![\n\t])[{_UNSEEN}]")
_ANY = re.compile(rf"{_SHAPING}|[{_UNSEEN}]")
_IN_JSON = re.compile(rf"{_SHAPING}|(?!\n)[{_UNSEEN}]")
_CONTROL = re.compile(f"[{CONTROLS}]")


def lines(text: str) -> str:
    r"""Return the text with such characters as `\x1b`, `\u202e`; line feeds and tabs stay."""
    return text if text.isprintable() else _LINES.sub(_spelled, text)


def line(text: str) -> str:
    """Escape as `lines` does, and line feeds and tabs too: for what is one line."""
    return text if text.isprintable() else _ANY.sub(_spelled, text)


def in_json(text: str) -> str:
    """A JSON text with such characters as JSON's own escapes, which change nothing of its value."""
    return _IN_JSON.sub(_escaped, text)


def control_in(name: str) -> str:
    """The first character of a name that no name in a tree may hold, spelled out; or nothing."""
    if name.isprintable():
        return ""
    found = _CONTROL.search(name)
    return _spelled(found) if found else ""


def _spelled(found: re.Match[str]) -> str:
    if found.lastgroup == "kept":
        return found[0]
    # "\r\n" is what some programs end their lines with.
    return "\n" if found[0] == "\r\n" else found[0].encode("unicode_escape").decode()


def _escaped(found: re.Match[str]) -> str:
    if found.lastgroup == "kept":
        return found[0]
    units = found[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))

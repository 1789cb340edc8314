"""Addresses that a page may lead to: relative ones of its own site, and https ones. Pure.

An address is a value that was looked at when it was made, so that no text from outside becomes one
by itself. `javascript:`, `data:`, other hosts by `//host`, user information: there is no form for
them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Flag, auto
from typing import ClassVar
from urllib.parse import quote

_LONGEST = 2000
# Section 3.3 of RFC 3986 without the colon, which a first segment may not have, and without the
# segments "." and "..", but for those that lead up at the beginning.
_SEGMENT = r"(?!\.{1,2}(?:[/#]|\Z))(?:[A-Za-z0-9._~!$&'()*+,;=@-]|%[0-9A-F]{2})+"
_WITHIN = re.compile(rf"(?:\.\./){{0,8}}{_SEGMENT}(?:/{_SEGMENT})*(?:#[a-z][a-z0-9-]*)?")
# Parts of a path that are no name of a file or folder.
_NOWHERE = frozenset({"", ".", ".."})
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
# Section 3 of RFC 3986: a host by name, path, query and fragment in their own characters.
_AFTER = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*"
_HOST = rf"{_LABEL}(?:\.{_LABEL})*(?::[0-9]{{1,5}})?"
_HTTPS = re.compile(rf"https://{_HOST}(?:[/?]{_AFTER})?(?:#{_AFTER})?")
# A folder that pages are served in: a host by name or number, and no user information.
_SERVED = re.compile(
    rf"https?://(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:.]{{2,45}}\])(?::[0-9]{{1,5}})?"
    r"/(?:(?:[A-Za-z0-9._~-]|%[0-9A-Fa-f]{2})+/)*"
)


class Reach(Flag):
    """How far the links of a page lead: at least to its own sections."""

    SECTIONS = 0
    SITE = auto()
    WORLD = auto()


class Address:
    """Address other than a section of the same page. `reach`: how far it leads."""

    reach: ClassVar[Reach]


@dataclass(frozen=True)
class Within(Address):
    """Relative address of a file of the same site, with a fragment if need be.

    Raises:
        ValueError: it is none, or could lead out of the site by a scheme, a host or an absolute
            path. It may begin with `../`; how deep a page lies, its writer knows.
    """

    path: str
    reach = Reach.SITE

    def __post_init__(self) -> None:
        if len(self.path) > _LONGEST or not _WITHIN.fullmatch(self.path):
            raise ValueError(f"no relative address of a site: {self.path[:_LONGEST]!r}")

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True)
class Https(Address):
    """Address of a page elsewhere, by https.

    Raises:
        ValueError: it is none, is longer than 2,000 characters, or has user information.
    """

    url: str
    reach = Reach.WORLD

    def __post_init__(self) -> None:
        if len(self.url) > _LONGEST or not _HTTPS.fullmatch(self.url):
            raise ValueError(f"no https address: {self.url[:_LONGEST]!r}")

    def __str__(self) -> str:
        return self.url


def https(url: str) -> Https | None:
    """A text from outside as an address; None where it is no https address."""
    try:
        return Https(url)
    except ValueError:
        return None


def is_folder(url: str) -> bool:
    """Whether a text is the public address of a folder of pages: `https://host/folder/`."""
    return len(url) <= _LONGEST and _SERVED.fullmatch(url) is not None


def within(folder: str, name: str) -> Within | None:
    """The address of a file by its path in a folder of the site, whatever characters it has.

    None for a path that no address can have: an empty one, an absolute one, one with `.` or `..`.
    """
    if _NOWHERE & set(name.split("/")):
        return None
    try:
        return Within(folder + quote(name, safe="/", errors="surrogateescape"))
    except ValueError:
        return None

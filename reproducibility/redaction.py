"""Redacts user names and passwords in text before it is shown. Pure.

Two ways, since neither is enough by itself: addresses are known by their form (RFC 3986), and the
secrets of the addresses that are known beforehand are looked for in every spelling that a program
may give them.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus, unquote, unquote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HIDDEN = "***"

_SCHEME = r"(?<![A-Za-z0-9+.-])(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)"
# What a password may hold although it must not by the letter (a slash, a question mark) is taken
# for a part of it only where what comes before cannot be a host and a port.
_NO_HOST = r"(?!\[)[^\s/?#@:\"<>]*:(?![0-9]*(?:[/?#,|'\")\]}]|$))[^\s@\"<>]*[/?#][^\s\"<>]*(?=@)"
_PLAIN = re.compile(rf"{_SCHEME}://(?P<user>[^\s/?#\"<>]*(?=@)|{_NO_HOST})@")
_ENCODED = re.compile(
    rf"{_SCHEME}(?P<start>%3A%2F%2F)(?P<user>(?:(?!%2F|%3F|%23|%40|[\s/?#@\"<>]).)*)"
    r"(?P<end>%40)",
    re.IGNORECASE,
)
_HEADER = re.compile(
    r"(?P<name>\bauthorization:\s*(?:basic|bearer)\s+)(?P<secret>[^\s\"']+)", re.IGNORECASE
)
# Here a name says who the host is to take the connection for; it opens nothing by itself.
_NAMES_ONLY = frozenset({"ssh", "git+ssh", "svn+ssh", "svn", "rsync"})
# Shorter ones would take pieces out of ordinary words.
_SHORTEST = 4


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """The text without the user information of the addresses in it, and without `secrets`.

    `secrets`: as `secrets_of` gives them.
    """
    text = _PLAIN.sub(lambda found: f"{found['scheme']}://{_kept(found)}@", text)
    text = _ENCODED.sub(lambda found: f"{found['scheme']}{found['start']}{HIDDEN}%40", text)
    text = _HEADER.sub(lambda found: found["name"] + HIDDEN, text)
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return text


def _kept(found: re.Match[str]) -> str:
    name, colon, _ = found["user"].partition(":")
    if found["scheme"].lower() in _NAMES_ONLY:
        return f"{name}:{HIDDEN}" if colon else name
    return HIDDEN


def secrets_of(values: Iterable[str]) -> frozenset[str]:
    """The passwords (and tokens in their place) in addresses, in every usual spelling.

    `values`: of settings that may hold addresses: with a scheme or (a proxy's) without one, several
    of them with anything between.
    """
    found = {spelling for value in values for one in _raw(value) for spelling in _spellings(one)}
    return frozenset(one for one in found if len(one) >= _SHORTEST)


def _raw(value: str) -> Iterator[str]:
    """The user information of addresses in a value: the password, else all, and as basic sends it.

    A name without a password is a token, unless the scheme takes names only.
    """
    for header in _HEADER.finditer(value):
        yield header["secret"]
    users = [(found["scheme"].lower(), found["user"]) for found in _PLAIN.finditer(value)]
    # As it stands, with whatever signs the password has: what the forms above do not see.
    for part in re.split(r"[\s,|]+(?=[A-Za-z][A-Za-z0-9+.-]*://|direct\b|off\b|\Z)", value):
        scheme, colon, rest = part.rpartition("://")
        authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
        user, at, _ = authority.rpartition("@")
        # Without a scheme it may be anybody's mail address, or a sentence.
        if at and re.fullmatch(r"\S+" if colon else r"\S*:\S*", user):
            users.append((scheme.lower() if colon else "http", user))
    for scheme, user in users:
        name, colon, password = user.partition(":")
        if colon:
            yield password
            for one in {user, f"{unquote(name)}:{unquote(password)}"}:
                yield base64.b64encode(one.encode(errors="surrogateescape")).decode().rstrip("=")
        elif scheme not in _NAMES_ONLY:
            yield name


def _spellings(secret: str) -> Iterator[str]:
    plain = {secret, unquote(secret, errors="surrogateescape"), unquote_plus(secret)}
    for one in plain:
        yield one
        for safe in ("", "/", "!$&'()*+,;=:", "!$&'()*+,;=:@/"):
            encoded = quote(one, safe=safe, errors="surrogateescape")
            yield encoded
            yield re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), encoded)
        yield quote_plus(one, errors="surrogateescape")
        yield one.replace("\\", "\\\\").replace('"', '\\"')

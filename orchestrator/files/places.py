"""Paths that a person gives: made absolute where they enter, or refused there with a reason.

Clients, engines and temporary files work in folders of their own, where a relative path would mean
another place. And a path goes into other programs' syntax: the lists that colons part, quoted
texts, lines, JSON. What has no way of being quoted there is refused before any work begins.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from reproducibility import visible
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

# GOPATH is a list that colons part; apt.conf(5) has no way to write a quote within quotes.
_NOT_IN_A_STORE = {":": "a colon", '"': "a double quote"}

# Variables of clients that run in other folders: one path, paths that colons part, words that are
# paths or addresses.
_ONE = frozenset(
    {
        *("APT_CONFIG", "CURL_CA_BUNDLE", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"),
        *("GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_SSL_CERT", "GIT_SSL_KEY", "GOENV", "HOME"),
        *("NETRC", "PIP_CACHE_DIR", "PIP_CERT", "PIP_CLIENT_CERT", "PIP_CONFIG_FILE"),
        *("REQUESTS_CA_BUNDLE", "SSH_AUTH_SOCK", "SSL_CERT_FILE", "TMPDIR"),
        *("XDG_CACHE_HOME", "XDG_CONFIG_HOME"),
    }
)
_PARTED = frozenset({"PATH", "SSL_CERT_DIR", "XDG_CONFIG_DIRS"})
_WORDS = frozenset({"PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_INDEX_URL"})
_OFF = {"GOENV": "off"}


def absolute(given: str | Path, name: str) -> Path:
    """The path that was given, from the root on. `name`: what it was given as, such as `--out`.

    Parts `..` are followed through symbolic links, as the kernel does; others that are handed the
    path would strike them out.

    Raises:
        InputError: it is empty, not UTF-8, holds control characters, or starts from a folder that
            is gone.
    """
    text = os.fspath(given)
    if not text:
        raise InputError(
            f"{name} is empty", subject=name, remedy="give a path, or leave the option out"
        )
    try:
        path = Path(text).absolute()
        whole = str(path.resolve()) if ".." in path.parts else str(path)
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(
            f"{name} cannot be found from here: {getattr(error, 'strerror', None) or error}",
            subject=repr(text),
            remedy="go to a folder that exists, or give a path that starts with /",
        ) from error
    try:
        whole.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"{name} is not UTF-8, which results and logs are written in",
            subject=repr(os.fsencode(whole)),
            remedy="rename the folder, or give another one",
        ) from error
    if visible.control_in(whole):
        raise InputError(
            f"{name} holds a line break or another control character, which lists of files cannot",
            subject=repr(whole),
            remedy="rename the folder, or give another one",
        )
    return Path(whole)


def store(given: str | Path, name: str = "--store") -> Path:
    """The same for the store, whose path goes into the settings of the clients that fetch.

    Raises:
        InputError: as `absolute`; or it holds what those settings cannot.
    """
    path = absolute(given, name)
    for sign, word in _NOT_IN_A_STORE.items():
        if sign in str(path):
            raise InputError(
                f"the store's path holds {word}, which settings of the go command and of apt "
                "cannot hold",
                subject=str(path),
                remedy="give another folder with --store",
            )
    return path


def own(spec: Path, lock: Path, store: Path) -> tuple[Path, ...]:
    """Return the paths of what a project makes itself, which is never content of its image.

    `lock` pins folders without it and `build` compares without it, so both must leave out the same.
    Output folders and bundles, whose places only a build is told, are known by what lies in them
    (`inputs.content`).
    """
    return spec, lock, store


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """A person's variables, with every path that a client is to find from another folder."""
    return {name: _variable(name, value) for name, value in variables.items()}


def _variable(name: str, value: str) -> str:
    if not value or value == _OFF.get(name):
        return value
    if name in _ONE:
        return _from_here(value)
    if name in _PARTED:
        # An empty part of PATH means the current folder.
        return os.pathsep.join(_from_here(part or ".") for part in value.split(os.pathsep))
    if name in _WORDS:
        words = (word if ":" in word else _from_here(word) for word in value.split())
        return " ".join(words)
    return value


def _from_here(path: str) -> str:
    try:
        return os.path.abspath(path)  # noqa: PTH100 - a text as the person wrote it
    except OSError:  # the current folder is gone, and so is what was meant
        return path

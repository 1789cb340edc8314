"""Address of a container engine (DOCKER_HOST), and whether anything listens there.

Kept apart from the engine's library, which takes long to import and leaves a socket open that it
could not connect.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import socket
from contextlib import closing
from urllib.parse import urlsplit

from reproducibility.errors import InfrastructureError
from reproducibility.redaction import HIDDEN, redact, secrets_of

REMEDY = "start a container engine or set DOCKER_HOST to one, or use --engine sandbox"
# Seconds within which an engine that is there takes a connection, and answers what it is asked
# first. One that is started by that very connection (systemd's sockets) needs some of them.
PATIENCE = 10
_USUAL = "unix:///var/run/docker.sock"
_UNIX = ("unix", "http+unix")
_TCP = ("tcp", "http", "https")
# What the library says of an address without quoting any of it.
_PLAIN = frozenset({"Port out of range 0-65535", "Invalid IPv6 URL"})
_OTHER = "or use --engine sandbox"
_FORMS = "DOCKER_HOST is unix:///path/to/docker.sock or tcp://host:port"


def address() -> str:
    """The engine's address: what DOCKER_HOST says, else the usual one."""
    return os.environ.get("DOCKER_HOST", "").strip() or _USUAL


def shown() -> str:
    """The address as it may be printed: without a password."""
    shown = redact(address(), secrets_of([address()]))
    scheme, separator, rest = shown.rpartition("://")
    # What reads like a host, a port and a path is a password that holds a slash.
    if scheme not in _UNIX and _beyond(rest):
        return f"{scheme}{separator}{HIDDEN}@{rest.rpartition('@')[2]}"
    return shown


def remedy() -> str:
    """Return what to do about an engine that does not answer at its address."""
    if not os.environ.get("DOCKER_HOST", "").strip():
        return REMEDY
    if os.environ.get("DOCKER_TLS_VERIFY") or os.environ.get("DOCKER_CERT_PATH"):
        return (
            "start a container engine there, set DOCKER_HOST to another one, and see whether "
            f"DOCKER_CERT_PATH holds the ca.pem, cert.pem and key.pem that it takes; {_OTHER}"
        )
    return f"start a container engine there, set DOCKER_HOST to another one, {_OTHER}"


def knock() -> None:
    """See whether anybody listens, where that is a Unix socket of this machine.

    Raises:
        InfrastructureError: nobody does.
    """
    scheme, _, rest = address().partition("://")
    if scheme not in _UNIX:
        return
    path = "/" + rest.lstrip("/")
    with closing(socket.socket(socket.AF_UNIX)) as connection:
        # Whoever has no room for another connection would keep us for ever.
        connection.settimeout(PATIENCE)
        try:
            connection.connect(path)
        except OSError as error:
            raise InfrastructureError(
                f"no container engine answers: {error.strerror or error}",
                subject=shown(),
                remedy=remedy(),
            ) from error


def check() -> None:
    """See whether the address is of a form by which an engine can be reached from here.

    Raises:
        InfrastructureError: it is not; says which forms there are, or how to get to such an engine.
    """
    scheme, separator, rest = address().partition("://")
    if not separator:
        # As the engine's library reads it: a host and a port.
        scheme, rest = "tcp", address()
    if scheme in _UNIX:
        if rest and not rest.startswith("/"):
            raise _refused("it names a relative path", f"{_FORMS}, from the root on")
    elif scheme == "ssh":
        _check_ssh(rest)
    elif scheme in _TCP:
        if _port(rest) is None:
            raise _refused("it names no port", _FORMS)
    else:
        raise _refused(f"{scheme}:// is no way to reach an engine from here", _FORMS)


def _port(rest: str) -> int | None:
    """Return the port that an address names, if any.

    Nothing of the address is quoted: what reads like a host or a port may be a password.
    """
    try:
        port = urlsplit(f"//{rest}").port
    except ValueError as error:
        words = str(error) if str(error) in _PLAIN else "its port is no number"
        raise _refused(words, _FORMS) from None
    if _beyond(rest):
        raise _refused(
            "its user name or password holds a /, ? or #",
            f"write these in it as %2F, %3F and %23; {_FORMS}",
        )
    return port


def _beyond(rest: str) -> bool:
    """Return whether user information goes on where host and port should have ended."""
    return "@" in rest[len(re.split(r"[/?#]", rest, maxsplit=1)[0]) :]


def _check_ssh(rest: str) -> None:
    """Refuse an address by ssh where the engine's library lacks what it needs for that."""
    port = _port(rest)
    if importlib.util.find_spec("paramiko") is None:
        there = urlsplit(f"//{rest}")
        where = f"{there.username}@{there.hostname}" if there.username else f"{there.hostname}"
        where = shlex.join([*(["-p", str(port)] if port else []), where])
        raise _refused(
            "engines are not reached by ssh:// here",
            "let ssh carry the engine's socket to this machine, "
            f"`ssh -nNT -L /tmp/engine.sock:/var/run/docker.sock {where}`, "
            "and set DOCKER_HOST to unix:///tmp/engine.sock",
        )


def _refused(words: str, what: str) -> InfrastructureError:
    return InfrastructureError(
        f"DOCKER_HOST cannot be used: {words}", subject=shown(), remedy=f"{what}; {_OTHER}"
    )

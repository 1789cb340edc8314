"""Where a container engine is, and whether anybody listens there; asks nothing of it.

Kept apart from the engine's library, which takes long to import and leaves a socket open that it
could not connect.
"""

from __future__ import annotations

import os
import socket
from contextlib import closing

from reproducibility.errors import InfrastructureError

REMEDY = "start a container engine or set DOCKER_HOST to one, or use --engine sandbox"
_USUAL = "unix:///var/run/docker.sock"
_UNIX = ("unix://", "http+unix://")


def address() -> str:
    """The engine's address: what DOCKER_HOST says, else the usual one."""
    return os.environ.get("DOCKER_HOST") or _USUAL


def knock() -> None:
    """See whether anybody listens, where that is a Unix socket of this machine.

    Raises:
        InfrastructureError: nobody does.
    """
    host = address()
    if not host.startswith(_UNIX):
        return
    path = "/" + host.partition("://")[2].lstrip("/")
    with closing(socket.socket(socket.AF_UNIX)) as connection:
        try:
            connection.connect(path)
        except OSError as error:
            raise InfrastructureError(
                f"no container engine answers: {error.strerror or error}",
                subject=host,
                remedy=REMEDY,
            ) from error

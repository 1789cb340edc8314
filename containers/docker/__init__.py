"""The `docker` engine: one container an action, on the container engine that DOCKER_HOST names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from containers.docker import address

if TYPE_CHECKING:
    from pathlib import Path

    from containers.engine import Engine


PURPOSE = "to run build steps in containers, where you prefer that"


def connect(scratch: Path) -> Engine:
    """The engine that the environment names, seen to answer.

    Raises:
        InfrastructureError: none answers, or it runs no Linux containers.
    """
    address.check()
    address.knock()
    from containers.docker import engine  # noqa: PLC0415 - its library takes long to import

    return engine.connect(scratch)

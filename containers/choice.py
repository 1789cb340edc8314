"""Chooses the engine: Docker where one answers, else bubblewrap, else an error with a remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from containers.docker import address
from containers.sandbox.engine import SandboxEngine
from reproducibility.errors import InfrastructureError, InputError

if TYPE_CHECKING:
    from pathlib import Path

    from containers.engine import Engine

NAMES = ("auto", "sandbox", "docker")


def choose(name: str, scratch: Path) -> Engine:
    """The engine of a name of `NAMES`, seen to work; a context manager, not yet entered.

    `scratch`: folder for temporary files, on a disk with room.

    Raises:
        InfrastructureError: it is not there or does not work; says what to install and why.
        InputError: not one of the names.
    """
    if name not in NAMES:
        raise InputError(
            f"there is no engine {name!r}", subject="--engine", remedy=f"one of {', '.join(NAMES)}"
        )
    refused: list[InfrastructureError] = []
    if name in {"auto", "docker"}:
        try:
            return _docker(scratch)
        except InfrastructureError as error:
            refused.append(error)
    if name in {"auto", "sandbox"}:
        try:
            engine = SandboxEngine(scratch)
            engine.check()
        except InfrastructureError as error:
            refused.append(error)
        else:
            return engine
    if len(refused) == 1:
        raise refused[0]
    raise InfrastructureError(
        "nothing here can isolate build steps: " + "; ".join(error.summary for error in refused),
        subject="; ".join(error.subject for error in refused if error.subject),
        remedy="either of these will do: " + "; or ".join(error.remedy for error in refused),
    )


def _docker(scratch: Path) -> Engine:
    address.check()
    address.knock()
    from containers.docker import engine as docker  # noqa: PLC0415 - its library takes long to import

    return docker.connect(scratch)

"""The engines that there are, and which of them a build gets.

An engine is a package with a text `PURPOSE` (what it is good for) and a function `connect`, which
gives the engine, seen to work, for a folder for temporary files. To add one is to write the package
and its line in `ENGINES`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from reproducibility.errors import InfrastructureError, InputError

if TYPE_CHECKING:
    from pathlib import Path

    from containers.engine import Engine

ENGINES = {
    "sandbox": "containers.sandbox",
    "docker": "containers.docker",
}
# Those that need no settings, the first that works being taken where nobody says which.
CANDIDATES = ("docker", "sandbox")
AUTOMATIC = "auto"


def names() -> tuple[str, ...]:
    """What `--engine` may be."""
    return (AUTOMATIC, *ENGINES)


def purpose(name: str) -> str:
    """What an engine is good for, completing "needed"."""
    text: str = importlib.import_module(ENGINES[name]).PURPOSE
    return text


def connect(name: str, scratch: Path) -> Engine:
    """The engine of a name of `names()`, seen to work; a context manager, not yet entered.

    `scratch`: folder for temporary files, on a disk with room.

    Raises:
        InfrastructureError: it is not there or does not work; says what to install and why.
        InputError: not one of the names.
    """
    if name not in names():
        raise InputError(
            f"there is no engine {name!r}",
            subject="--engine",
            remedy=f"one of {', '.join(names())}",
        )
    refused: list[InfrastructureError] = []
    for one in CANDIDATES if name == AUTOMATIC else (name,):
        try:
            # Imported only now: the library of one takes long.
            engine: Engine = importlib.import_module(ENGINES[one]).connect(scratch)
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

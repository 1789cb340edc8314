"""Registry of engines, and the choice of the one that a build gets.

An engine is a package with a text `PURPOSE` (what it is good for) and a function `connect`, which
gives the engine, seen to work, for a folder for temporary files; one of `CONFIGURED` is given what
a person has said of it too. To add one is to write the package and its line in `ENGINES`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from reproducibility.errors import InfrastructureError, InputError

if TYPE_CHECKING:
    from pathlib import Path

    from containers.engine import Engine
    from containers.remote.farm import Settings

ENGINES = {
    "sandbox": "containers.sandbox",
    "docker": "containers.docker",
    "remote": "containers.remote",
}
# Those that need settings, and the option that brings them.
CONFIGURED = {"remote": "--farm"}
# Those that need none: what every machine may have.
LOCAL = tuple(name for name in ENGINES if name not in CONFIGURED)
# Of these, the first that works is taken where nobody says which.
CANDIDATES = ("docker", "sandbox")
AUTOMATIC = "auto"


def names() -> tuple[str, ...]:
    """Return the values that `--engine` takes."""
    return (AUTOMATIC, *ENGINES)


def purpose(name: str) -> str:
    """Return what an engine is needed for, in words that complete "needed"."""
    text: str = importlib.import_module(ENGINES[name]).PURPOSE
    return text


def check(name: str, *, configured: bool) -> None:
    """Refuse a name that there is no engine of, and settings that are missing or of no use.

    Raises:
        InputError: see above.
    """
    if name not in names():
        raise InputError(
            f"there is no engine {name!r}",
            subject="--engine",
            remedy=f"one of {', '.join(names())}",
        )
    option = CONFIGURED.get(name)
    if option and not configured:
        raise InputError(
            f"the engine {name!r} needs a file that says where it is",
            subject=option,
            remedy=f"give {option} FILE; docs/farm.md says what stands in it",
        )
    if configured and not option:
        raise InputError(
            f"the engine {name!r} takes no such file",
            subject=", ".join(CONFIGURED.values()),
            remedy=f"give --engine {', '.join(CONFIGURED)} with it",
        )


def connect(name: str, scratch: Path, settings: Settings | None = None) -> Engine:
    """Return the engine of a name of `names()`, checked to work; a context manager to enter.

    `scratch`: folder for temporary files, on a disk with room. `settings`: for one of `CONFIGURED`.

    Raises:
        InfrastructureError: it is not there or does not work; says what to install and why.
        InputError: not one of the names; one that needs settings without them, or the other way.
    """
    check(name, configured=settings is not None)
    if settings is not None:
        found: Engine = importlib.import_module(ENGINES[name]).connect(scratch, settings)
        return found
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

"""Holds `--only` against the names of what an audit can run: steps, native/ARCH, root/NAME. Pure.

A toolchain that is built otherwise than in the build has a name like a step's, so that the same
patterns choose it. Only what `--native` and `--root` ask for is run at all.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from orchestrator.architecture import host
from orchestrator.audit.request import no_such_step
from orchestrator.golang import native
from orchestrator.lock.file import GCC
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.architecture import Architecture
    from orchestrator.audit.request import Request
    from orchestrator.audit.subject import Finding

_ROOT = f"root/{GCC}"


def chosen(
    request: Request, found: Finding, foreign: Sequence[Architecture]
) -> tuple[Architecture, ...]:
    """Return whose toolchains are to build themselves: of those asked for the ones that match.

    `foreign`: those that `--native` names.

    Raises:
        InputError: a pattern matches nothing, or what has to be asked for by another option; or
            what that option asks for matches none.
    """
    if not request.only:
        return tuple(foreign)
    steps = [step.name for step in found.result.steps]
    of = {native.name(name): name for name in found.architectures if name != host()}
    links = _links(found)
    asked = [*steps, *map(native.name, foreign), *(links if request.root else ())]
    for pattern in request.only:
        if _matching([pattern], asked):
            continue
        for name in _matching([pattern], [*of, *links]):
            raise _to_be_asked_for(pattern, name, of)
        raise no_such_step([pattern], [*steps, *of, *links])
    wanted = tuple(name for name in foreign if request.wants(native.name(name)))
    if foreign and not wanted:
        raise _left_out(f"--native {foreign[0]}", native.name(foreign[0]))
    if request.root and len(_matching(request.only, links)) < len(links):
        raise _left_out(f"--root {request.root}", f"{_ROOT}/*")
    return wanted


def _links(found: Finding) -> list[str]:
    """Names of what a chain from the second root makes, as its steps have them."""
    gcc = found.wanted.root.gcc
    versions = () if gcc is None else (*gcc.versions, found.wanted.go.version)
    return [f"{_ROOT}/{version}" for version in versions] or [_ROOT]


def _matching(patterns: Sequence[str], names: Sequence[str]) -> list[str]:
    return [name for name in names if any(fnmatchcase(name, pattern) for pattern in patterns)]


def _to_be_asked_for(pattern: str, name: str, of: dict[str, Architecture]) -> InputError:
    option = f"--native {of[name]}" if name in of else f"--root {GCC}"
    return InputError(
        f"{pattern} matches {name}, which is no step of the build",
        subject="--only",
        remedy=f"add {option}",
    )


def _left_out(option: str, name: str) -> InputError:
    return InputError(
        f"{option} and --only exclude each other: no pattern chooses all of {name}",
        subject="--only",
        remedy=f"add --only '{name}', or leave {option.partition(' ')[0]} out",
    )

"""Refuses places to write to: a file of another kind, a finished build's own, a missing folder."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from orchestrator.artifacts import names
from reproducibility import regular
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

# Bytes at a file's beginning that show its kind.
_BEGINNING = 4096
_BUILDS = frozenset(
    {
        *(names.RESULT, names.ACTIONS, names.PROVENANCE, names.SBOM, names.JUNIT, names.REPORT),
        *(names.SBOM_FILES, names.AUDIT, names.LOGS, *names.SUMS, *names.COPIES),
    }
)
_REMEDY = "give another place"


@dataclass(frozen=True)
class Kind:
    """A kind of file. `name`: for a person; `begins`: matches the beginning of such a file."""

    name: str
    begins: re.Pattern[bytes]


PAGE: Final = Kind("an HTML page", re.compile(rb"\s*(<!doctype html\b|<html\b)", re.IGNORECASE))
CYCLONEDX: Final = Kind(
    "a CycloneDX document", re.compile(rb'\s*\{.*"bomFormat"\s*:\s*"CycloneDX"', re.DOTALL)
)


def require(target: Path, kind: Kind) -> None:
    """Require that a file may be written: it is new, or a file of this kind that is replaced.

    Raises:
        InputError: its folder is missing, it is something else, or a build's own file.
    """
    require_folder(target)
    beside = target.parent / names.RESULT
    if target.name in _BUILDS and os.path.lexists(beside):
        raise InputError(
            "a finished build has a file of its own of this name here",
            subject=str(target),
            remedy=_REMEDY,
        )
    try:
        mode = target.lstat().st_mode
    except FileNotFoundError:
        return
    except OSError as error:
        raise _unreadable(target, error) from error
    if not stat.S_ISREG(mode):
        raise InputError(
            f"this is {regular.kind(mode)}, and would be replaced by a file",
            subject=str(target),
            remedy=_REMEDY,
        )
    try:
        with regular.opened(target, follow=False) as stream:
            data = stream.read(_BEGINNING)
    except OSError as error:
        raise _unreadable(target, error) from error
    if data and not kind.begins.match(data):
        raise InputError(
            f"there is a file already that is not {kind.name}, and it is not overwritten",
            subject=str(target),
            remedy="give another place, or remove that file first",
        )


def require_folder(target: Path) -> None:
    """Require that the folder that something is to be written into is there.

    Raises:
        InputError: it is not.
    """
    if not target.parent.is_dir():
        raise InputError(
            f"there is no folder {target.parent}",
            subject=str(target),
            remedy="make it first, or give another place",
        )


def require_outside(target: Path, out: Path) -> None:
    """Require that something is not written into a finished build.

    Raises:
        InputError: it would be.
    """
    if target.resolve().is_relative_to(out.resolve()):
        raise InputError(
            f"this is in the output folder {out}, to which nothing but evidence is added",
            subject=str(target),
            remedy=_REMEDY,
        )


def _unreadable(target: Path, error: OSError) -> InputError:
    return InputError(
        f"it cannot be seen what would be replaced: {error.strerror}",
        subject=str(target),
        remedy=_REMEDY,
    )

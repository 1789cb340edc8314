"""Digest of the program itself, so that another build of the same version is told apart."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import containers
import orchestrator
import reproducibility
from orchestrator import resources
from reproducibility import canonical, digest, regular

if TYPE_CHECKING:
    from reproducibility.digest import Digest

_PACKAGES = (containers, orchestrator, reproducibility)
# What Python makes of the sources says nothing more, and differs between machines.
_LEFT_OUT = "__pycache__"


@cache
def running() -> Digest:
    """Return `installed` as it was first, whatever is installed since.

    Raises:
        OSError: a file of the installation cannot be read.
    """
    return installed()


def installed() -> Digest:
    """Digest of all files that are installed now (paths and contents).

    Raises:
        OSError: a file of the installation cannot be read.
    """
    digests: dict[str, str] = {}
    for package in _PACKAGES:
        top = Path(str(package.__file__)).resolve().parent
        for path in sorted(top.rglob("*")):
            if path.is_file() and _LEFT_OUT not in path.parts:
                name = f"{top.name}/{path.relative_to(top).as_posix()}"
                digests[name] = str(digest.of_bytes(regular.read(path)))
    # A wheel has it within its packages, a checkout beside them.
    beside = resources.userland()
    for path in sorted(beside.rglob("*")):
        if path.is_file():
            digests[f"userland/{path.relative_to(beside).as_posix()}"] = str(digest.of_file(path))
    return digest.of_bytes(canonical.dumps(digests))

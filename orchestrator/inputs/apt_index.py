"""Names of packages as apt takes them, and what apt says of packages: stanzas, dependencies.

Nothing here runs anything.
"""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from debian.deb822 import Packages

from orchestrator.architecture import FACTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orchestrator.architecture import Architecture

_FIELDS = {"Filename", "Package", "SHA256", "Version"}
# What `apt-get --simulate` says of each package, such as `Inst libc6 (2.41-12 ...)`.
_INSTALLED = re.compile(r"^Inst ([a-z0-9][a-z0-9.+-]*)(?::[a-z0-9]+)? ", re.MULTILINE)


def exactly(packages: Sequence[str], architecture: Architecture) -> list[str]:
    """Names as apt takes them for nothing else.

    `g++` alone might be the package `g+`, to be installed, and `x-` the package `x`, to be removed
    (apt-get(8)); a dot would make a pattern of a name that no package has.
    """
    return [f"{name}:{FACTS[architecture].debian}" for name in packages]


def stanzas(shown: bytes) -> list[dict[str, str]]:
    """What `apt-cache show` says of packages; what is no stanza is no such package."""
    found = []
    with contextlib.suppress(ValueError):
        # As text: python-debian would guess at the encoding of bytes that are no UTF-8.
        lines = shown.decode("utf-8", "replace").split("\n")
        for stanza in Packages.iter_paragraphs(lines, use_apt_pkg=False):
            if stanza.keys() >= _FIELDS:
                found.append(dict(stanza))  # noqa: PERF401 - what came before a mistake counts
    return found


def depended(depends: str, start: str) -> Iterator[str]:
    """The packages that a Depends field names whose names start so; none if `start` is empty."""
    for group in depends.split(",") if start else ():
        for alternative in group.split("|"):
            name = alternative.split("(")[0].strip().partition(":")[0]
            if name.startswith(start):
                yield name


def installed(said: str) -> set[str]:
    """The names of the packages that `apt-get --simulate install` would install."""
    return {found[1] for found in _INSTALLED.finditer(said)}

"""Layers of the container image: the root file system's tar, parted into Debian and the tool.

A registry and an engine keep what they have: a new version of the tool is a new second layer, a
tenth of the first one. Layers are not compressed, so no compressor's version is in their digests.
"""

from __future__ import annotations

import re
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAMES: Final = ("debian", "tool")
# pip's place on Debian, and what the tool is given besides.
_TOOL = re.compile(r"(?:usr/local|project|var/cache/sourcery)(?:/|$)")
# The engine makes the devices that a container has.
_LEFT_OUT = re.compile(r"dev/")
_STATUS: Final = "var/lib/dpkg/status"
_LARGEST_STATUS = 64 << 20
_FIELD = re.compile(r"(?m)^(Package|Status|Version): (.+)$")


@dataclass(frozen=True)
class Parted:
    """Layers as files, in their order, and what is installed: version by package."""

    layers: tuple[Path, ...]
    installed: dict[str, str]


def part(tar: Path, folder: Path) -> Parted:
    """Part a root file system into layers. `folder`: gets them.

    Members keep their order, times, owners and extended attributes.

    Raises:
        InfrastructureError: it is no tar of a Debian system.
        OSError: it cannot be read, or a layer not be written.
    """
    paths = tuple(folder / f"{name}.tar" for name in NAMES)
    installed: dict[str, str] | None = None
    try:
        with (
            tarfile.open(tar, "r:") as whole,
            tarfile.open(paths[0], "w", format=tarfile.PAX_FORMAT) as debian,
            tarfile.open(paths[1], "w", format=tarfile.PAX_FORMAT) as tool,
        ):
            for member in whole:
                place = member.name.removeprefix("./")
                if _LEFT_OUT.match(place):
                    continue
                if place == _STATUS and member.size <= _LARGEST_STATUS:
                    installed = packages(_content(whole, member).decode())
                target = tool if _TOOL.match(place) else debian
                content = whole.extractfile(member) if member.isreg() else None
                target.addfile(member, content)
    except tarfile.TarError as error:
        raise InfrastructureError(
            f"the root file system is no tar: {error}", subject=str(tar)
        ) from error
    if installed is None:
        raise InfrastructureError("the root file system has no packages", subject=str(tar))
    return Parted(paths, installed)


def _content(whole: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    stream = whole.extractfile(member)
    return stream.read() if stream is not None else b""


def packages(status: str) -> dict[str, str]:
    """Version by name of the packages that dpkg has installed (`/var/lib/dpkg/status`)."""
    found = {}
    for text in status.split("\n\n"):
        fields = dict(_FIELD.findall(text))
        if fields.get("Status", "").endswith(" installed"):
            found[fields["Package"]] = fields.get("Version", "")
    return found


def differing(wanted: dict[str, str], found: dict[str, str]) -> Iterator[str]:
    """Packages in which what is installed is not what was wanted, in words."""
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            yield (
                f"{name}: pinned {wanted.get(name, 'not at all')}, "
                f"installed {found.get(name, 'not at all')}"
            )

"""Lock of the tool's container image (`container-image.lock`): its Debian packages, its epoch.

The Python packages in the image are those of `requirements.lock`. Nothing here fetches anything.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from containers.host import durable
from orchestrator.architecture import Architecture
from orchestrator.files.document import shaped
from orchestrator.lock.model import RootPackage, Text
from reproducibility import canonical, regular
from reproducibility.errors import InfrastructureError, InputError

if TYPE_CHECKING:
    from pathlib import Path

FILE: Final = "container-image.lock"
AGAIN: Final = "pin what there is today: `make relock-image`"
SCHEMA: Literal[1] = 1
_LARGEST = 4 << 20
_MOST_VALUES = 50_000
_PYTHON = re.compile(r"(3\.[0-9]+)[.~-]")

Packages = Annotated[tuple[RootPackage, ...], Field(strict=False, min_length=1)]


class ImageLock(BaseModel):
    """What the image consists of. `epoch`: seconds since 1970-01-01 UTC, its files' latest time.

    `suite`: of Debian. `packages`: by the architecture of the image, sorted by name.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    schema_version: Literal[1] = Field(default=SCHEMA, alias="schema")
    suite: Text
    # From 1980 on, which tar, zip and FAT all have, into the year 2100.
    epoch: int = Field(ge=315_532_800, lt=4_102_444_800)
    packages: dict[Architecture, Packages]

    @property
    def created(self) -> str:
        """The epoch as RFC 3339 has it."""
        return datetime.fromtimestamp(self.epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def of(self, architecture: Architecture) -> tuple[RootPackage, ...]:
        """The packages of an architecture's image.

        Raises:
            InputError: none are pinned for it.
        """
        found = self.packages.get(architecture)
        if found is None:
            raise InputError(
                f"no packages are pinned for {architecture}",
                subject=FILE,
                remedy="pin them on such a machine: `make relock-image`",
            )
        return found


def python_version(packages: tuple[RootPackage, ...]) -> str:
    """The image's Python, such as `3.13`.

    Raises:
        InputError: there is none among the packages.
    """
    for package in packages:
        if package.package == "python3" and (found := _PYTHON.match(package.version)):
            return found[1]
    raise InputError("no python3 is among the pinned packages", subject=FILE, remedy=AGAIN)


def dump(lock: ImageLock) -> bytes:
    """The lock's file form: sorted JSON, one value a line."""
    return canonical.pretty(lock.model_dump(mode="json", by_alias=True))


def parse(data: bytes, subject: str = FILE) -> ImageLock:
    """A lock from its file form.

    Raises:
        InputError: it is none, or one of another schema.
    """
    if len(data) > _LARGEST:
        raise InputError(f"more than {_LARGEST} bytes", subject=subject, remedy=AGAIN)
    document = canonical.loads(data, subject=subject, most=_MOST_VALUES, remedy=AGAIN)
    return shaped(
        ImageLock,
        document,
        lambda words: InputError(f"the lock is {words}", subject=subject, remedy=AGAIN),
        most=_MOST_VALUES,
    )


def load(path: Path) -> ImageLock:
    """Read a lock.

    Raises:
        InputError: there is none, or it is refused.
    """
    try:
        data = regular.read(path, limit=_LARGEST)
    except OSError as error:
        raise InputError(
            f"cannot read the lock: {error.strerror}", subject=str(path), remedy=AGAIN
        ) from error
    return parse(data, str(path))


def save(lock: ImageLock, path: Path) -> None:
    """Write a lock in one step.

    Raises:
        InfrastructureError: it cannot be written.
    """
    try:
        durable.write(path, dump(lock))
    except OSError as error:
        raise InfrastructureError(
            f"cannot write the lock: {error.strerror}", subject=str(path)
        ) from error

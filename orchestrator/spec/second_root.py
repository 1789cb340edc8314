"""Models of the spec's `[root.gcc]` table: a second root for the chain of Go toolchains.

`orchestrate audit --root gcc` builds the spec's Go once more from it: GCC's Go builds the first of
`versions`, that the next one, and the last the Go of `[go]`. No build needs any of it.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.spec.diagnostics import Mistake

if TYPE_CHECKING:
    from collections.abc import Iterator

# The first release that is published as a module golang.org/toolchain (go.dev/blog/toolchain).
_FIRST_MODULE = 21
# A newer one needs Go 1.20 (go.dev/doc/install/source), and GCC 12 to 15 have Go 1.18
# (gcc.gnu.org/gcc-12/changes.html).
_LAST_BY_GCC = 21

Version = Annotated[str, Field(pattern=r"^1\.[1-9][0-9]\.(?:0|[1-9][0-9]?)$")]
Package = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.+-]+$")]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Gcc(_Model):
    """`[root.gcc]`: Debian packages that GCC's Go comes in, and the versions on the way up."""

    packages: Annotated[tuple[Package, ...], Field(strict=False)] = Field(
        min_length=1,
        max_length=16,
        description='a list of packages of the suite in [debian], such as "gccgo-14"; what they '
        "depend on is pinned too",
    )
    versions: Annotated[tuple[Version, ...], Field(strict=False)] = Field(
        min_length=1,
        max_length=16,
        description='a list of Go releases such as "1.21.13", each built by the one before',
    )

    def mistakes(self, go: str) -> Iterator[Mistake]:
        """Return what is wrong between the packages, and between the versions.

        `go`: the spec's own version, which the last of these builds.

        Go 1.N is built by 1.M, M being N-2 rounded down to an even number
        (go.dev/doc/install/source).
        """
        for name in sorted({one for one in self.packages if self.packages.count(one) > 1}):
            named = ("root", "gcc", "packages")
            yield Mistake(named, f"{name} is named twice", "expected each package once")
        place = ("root", "gcc", "versions")
        first = self.versions[0]
        if _minor(first) != _FIRST_MODULE:
            why = "GCC's Go cannot build it" if _minor(first) > _LAST_BY_GCC else "no module has it"
            yield Mistake(
                place,
                f"Go {first} cannot be the first: {why}",
                f"expected 1.{_FIRST_MODULE}, which GCC's Go builds",
            )
        for before, version in pairwise((*self.versions, go)):
            needed = (_minor(version) - 2) // 2 * 2
            if _parts(before) >= _parts(version):
                yield Mistake(
                    place,
                    f"Go {before} does not come before Go {version}",
                    "expected versions from the oldest to the newest, all before [go] version",
                )
            elif _minor(before) < needed:
                yield Mistake(
                    place,
                    f"Go {before} cannot build Go {version}",
                    f"expected 1.{needed}.0 or later before it",
                )


class Roots(_Model):
    """`[root]`: further roots that a chain of toolchains can begin with."""

    gcc: Gcc | None = Field(default=None, description="the table [root.gcc]")


def _parts(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _minor(version: str) -> int:
    return _parts(version)[1]

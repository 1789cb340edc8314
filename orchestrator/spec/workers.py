"""Model of the spec's `[workers]` table: what a build farm's workers need, and no build elsewhere.

bubblewrap travels with every action to a farm (`containers/remote`), so it is pinned for each
architecture that workers have. No image depends on it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field

from containers.architecture import Architecture
from orchestrator.spec.diagnostics import Mistake

if TYPE_CHECKING:
    from collections.abc import Iterator


class Workers(BaseModel):
    """`[workers]`: the architectures of a farm's workers; none for no farm."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    architectures: Annotated[tuple[Architecture, ...], Field(strict=False)] = Field(
        default=(), description='a list of architectures of workers, such as ["amd64"]'
    )

    def mistakes(self) -> Iterator[Mistake]:
        """Return what is wrong between them."""
        for found, count in Counter(self.architectures).items():
            if count > 1:
                place = ("workers", "architectures")
                yield Mistake(place, f"{found!r} appears twice", "name it once")

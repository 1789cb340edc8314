"""Engines that run actions, and the isolation that they enforce."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from containers.engine import Engine


def choose(name: str, scratch: Path) -> Engine:
    """The engine for `--engine`: `auto`, `sandbox` or `docker`; see `containers.choice`."""
    from containers import choice  # noqa: PLC0415 - most who import this package run no action

    return choice.choose(name, scratch)

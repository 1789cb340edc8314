"""Where an action runs: the engines, and the isolation that they keep."""

from __future__ import annotations

# Not from `typing`: programs that start before every action import this package too.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from containers.engine import Engine


def choose(name: str, scratch: Path) -> Engine:
    """The engine for `--engine`: `auto`, `sandbox` or `docker`; see `containers.choice`."""
    from containers import choice  # noqa: PLC0415 - most who import this package run no action

    return choice.choose(name, scratch)

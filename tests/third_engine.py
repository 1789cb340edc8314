"""A third engine, as a package would give it: it makes what a table says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fakes import FakeEngine, made

if TYPE_CHECKING:
    from pathlib import Path

    from containers.engine import Engine


PURPOSE = "to show that a further engine is one line"


def connect(scratch: Path) -> Engine:
    """See `containers.registry`."""
    del scratch
    return FakeEngine({"a": made(b"1")}, name="third")

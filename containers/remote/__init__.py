"""Remote engine: actions on a build farm that speaks the Remote Execution API v2."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from containers.engine import Engine
    from containers.remote.farm import Settings

PURPOSE = "to run build steps on a build farm (Remote Execution API v2)"


def connect(scratch: Path, settings: Settings) -> Engine:
    """The engine of a farm, seen to answer.

    Raises:
        InfrastructureError: it does not answer, or cannot do what is needed.
    """
    # Its library writes what it thinks of connections to standard error, unless told before.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from containers.remote import engine  # noqa: PLC0415 - its library takes long to import

    return engine.connect(scratch, settings)

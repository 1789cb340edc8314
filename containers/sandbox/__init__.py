"""The `sandbox` engine: bubblewrap, for machines without a container engine; needs no daemon."""

from __future__ import annotations

# Not from `typing`: the launcher, which starts before every action, imports this package too.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

    from containers.engine import Engine


PURPOSE = "to run build steps in isolation without a container engine (bubblewrap)"


def connect(scratch: Path) -> Engine:
    """The engine of this machine, seen to work.

    Raises:
        InfrastructureError: bubblewrap is not there, too old, or refused by this machine.
    """
    from containers.sandbox.engine import SandboxEngine  # noqa: PLC0415 - `run` needs a part only

    engine = SandboxEngine(scratch)
    engine.check()
    return engine

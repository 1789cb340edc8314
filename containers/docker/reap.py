"""Reaper process: removes what a run left on a container engine when its orchestrator was killed.

Run by path as a process of its own, in a session of its own (`reaper.py` starts it). It
waits until the orchestrator ends, however that happens, and then removes every container and
volume with the run's label, unless the orchestrator said before that nothing is left.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time

_PATIENCE = 60.0
# What was asked of the engine just before the end may appear a moment later: so many looks in a
# row, so many seconds apart, must find nothing.
_QUIET = 4
_PAUSE = 0.5


def main(request: str) -> None:
    """Wait for the orchestrator's end, then remove what it left.

    `request`: JSON with `label` (`key=value`), `parent` (process id) and `path` (for imports).
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    told = json.loads(request)
    sys.path[:] = told["path"]
    if not _left_clean(told["parent"]):
        sweep(told["label"])


def _left_clean(parent: int) -> bool:
    """Wait for the end of the orchestrator; whether it said that nothing is left."""
    try:
        descriptor = os.pidfd_open(parent)
    except ProcessLookupError:
        return False
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    poll.register(0, select.POLLIN)
    ready = {number for number, _ in poll.poll()}
    return 0 in ready and os.read(0, 1) != b""


def sweep(label: str) -> None:
    """Remove everything with a label until nothing new has appeared for a while."""
    from containers.docker.api import Api  # noqa: PLC0415 - found on the path that main() sets
    from reproducibility.errors import InfrastructureError  # noqa: PLC0415 - the same

    api = Api()
    deadline = time.monotonic() + _PATIENCE
    quiet = 0
    while quiet < _QUIET and time.monotonic() < deadline:
        try:
            quiet = quiet + 1 if api.remove_labelled(label) == 0 else 0
        except InfrastructureError:
            quiet = 0
        time.sleep(_PAUSE)


if __name__ == "__main__":
    main(sys.argv[1])

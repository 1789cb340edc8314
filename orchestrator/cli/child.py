"""`python -m orchestrator.cli.child PARENT WORDS...`: `orchestrate WORDS...` for a night.

It is asked to end, as by SIGTERM, once the night that started it (the process PARENT) is gone.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import NoReturn

from containers.host import system
from orchestrator.cli import entry


def main() -> NoReturn:
    """Carry out the command line; ends the process with its exit status."""
    parent = int(sys.argv.pop(1))
    system.prctl(system.PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it was gone before the kernel knew whom to watch
        sys.exit(128 + signal.SIGTERM)
    entry.main()


if __name__ == "__main__":
    main()

"""Console script `orchestrate`: installs signal handlers, then imports the command line.

Loading takes longer than a person needs for Ctrl-C. A signal that comes meanwhile is told as soon
as there is what can tell it. Before the first line here runs, signals are Python's.
"""

from __future__ import annotations

from typing import NoReturn

from orchestrator.cli.signals import Noted


def main() -> NoReturn:
    """Run the command line; ends the process with its exit status."""
    noted = Noted()
    noted.listen()
    from orchestrator.cli.main import main as carry_out  # what takes so long

    carry_out(noted)

"""The command line: the only part of the project that prints, asks for attention, or exits.

`main` parses the arguments (`commands`), then carries the command out (`main`) under one handler
that turns every error into words and an exit status. What a command needs beyond that is imported
when it runs, so that `--help` and a build with nothing to do start fast.
"""

from orchestrator.cli.main import main

__all__ = ["main"]

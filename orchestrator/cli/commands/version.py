"""Arguments and options of `orchestrate version`, for typer."""

from __future__ import annotations

from orchestrator.cli.options import Json, Quiet, Verbose
from orchestrator.cli.session import Call, Manner


def version(*, json: Json = False, verbose: Verbose = False, quiet: Quiet = False) -> Call:
    """Print the version of this program, and that of Python."""
    from orchestrator.cli.views import machine as view

    return Call(view.version, Manner(json, verbose, quiet))

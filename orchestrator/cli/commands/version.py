"""`orchestrate version` as typer reads it."""

from __future__ import annotations

from orchestrator.cli.options import Json, Quiet, Verbose
from orchestrator.cli.session import Call, Manner


def version(*, json: Json = False, verbose: Verbose = False, quiet: Quiet = False) -> Call:
    """Say which version this is, and on which Python it runs."""
    from orchestrator.cli.views import machine as view

    return Call(view.version, Manner(json, verbose, quiet))

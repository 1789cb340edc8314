"""Arguments and options of `orchestrate policy`, for typer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.options import Json, Quiet, Verbose, place
from orchestrator.cli.session import Call, Manner

EXAMPLES = (("What does this policy demand?", "orchestrate policy explain policy.toml"),)


def explain(
    *,
    policy: Annotated[
        Path,
        typer.Argument(parser=place("FILE"), metavar="FILE", help="A policy, as TOML."),
    ],
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> Call:
    """Say in plain words what a policy demands, and what it does not.

    Exit status 0: it demands something and has not expired; 1: it refuses every folder, since it
    demands nothing or has expired; 2: it cannot be read.
    """
    from orchestrator.cli.views import verify as view

    return Call(lambda session: view.explain(policy, session), Manner(json, verbose, quiet))

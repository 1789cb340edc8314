"""Arguments and options of `orchestrate compare`, for typer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.options import Json, Quiet, Verbose, place
from orchestrator.cli.session import Call, Manner

EXAMPLES = (
    ("Two images", "orchestrate compare out/sourcery.img other.img"),
    ("Two folders, file by file", "orchestrate compare out-here out-there"),
)


def compare(
    *,
    first: Annotated[
        Path, typer.Argument(parser=place("A"), metavar="A", help="A file or a folder.")
    ],
    second: Annotated[
        Path, typer.Argument(parser=place("B"), metavar="B", help="Another one of the same kind.")
    ],
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> Call:
    """Compare two files or two folders, byte by byte (BLAKE3), and show where they differ.

    In folders only names, content and executable bits count, not times or owners. Exit status 0:
    the same; 1: they differ.
    """
    from orchestrator.cli.views import compare as view

    manner = Manner(json, verbose, quiet)
    return Call(lambda session: view.compare(first, second, session), manner)

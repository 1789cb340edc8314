"""Arguments and options of `orchestrate report`, for typer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.options import FLAG, OUT, Json, Quiet, Verbose, place
from orchestrator.cli.session import Call, Manner

EXAMPLES = (
    ("The page of the build in out/, in a browser", "orchestrate report --open"),
    ("The page of another build, elsewhere", "orchestrate report nightly -o /tmp/nightly.html"),
)


def report(
    *,
    folder: Annotated[
        Path,
        typer.Argument(parser=place("DIR"), metavar="DIR", help="Output folder of a build."),
    ] = OUT,
    file: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            parser=place("--output"),
            metavar="FILE",
            help="Write the page there; the folder stays as it is.",
            rich_help_panel="Files and folders",
        ),
    ] = None,
    open_it: Annotated[
        bool, typer.Option("--open", metavar=FLAG, help="Show the page in a browser.")
    ] = False,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> Call:
    """Make the page about a finished build, and print where it is.

    One HTML file for a browser: the verdict and what it rests on, the chain of steps, audit,
    checks, time line, what is on the image, inputs, isolation. It loads nothing and needs no
    script, and is the same bytes for the same result. In the folder it is report.html, made where
    it is missing or is not of this result; nothing else changes but the sums that name it.

    Exit status 0: the page is there, whatever the build's verdict; 2: there is no finished build.
    """
    from orchestrator.cli.views import report as view

    options = view.Options(folder, file, show=open_it)
    return Call(lambda session: view.report(options, session), Manner(json, verbose, quiet))

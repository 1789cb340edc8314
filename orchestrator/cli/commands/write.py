"""Arguments and options of `orchestrate write`, for typer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.options import FLAG, OUT, Json, Out, Quiet, Verbose, place
from orchestrator.cli.session import Call, Manner

EXAMPLES = (
    ("The image of the last build", "orchestrate write /dev/sdX"),
    ("Without confirmation, for scripts", "orchestrate write /dev/sdX --yes --json"),
)


def write(
    *,
    device: Annotated[
        Path,
        typer.Argument(
            parser=place("DEVICE"), metavar="DEVICE", help="A whole disk, or an existing file."
        ),
    ],
    image: Annotated[
        Path | None,
        typer.Option(
            "--image",
            parser=place("--image"),
            metavar="FILE",
            help="Another image than that of the last build, with its result.json beside it.",
            rich_help_panel="Files and folders",
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            metavar=FLAG,
            help="Allow a disk that is not removable or larger than 256 GiB, but never one in use; "
            "allow a build whose verdict is FAIL.",
        ),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", metavar=FLAG, help="Do not ask for confirmation.")
    ] = False,
    out: Out = OUT,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> Call:
    """Write the image to a stick, and read it back. All data on the stick is lost.

    The image is compared with the result of its build first, which must not be FAIL. Disks that are
    in use, or that the running system lies on, are refused. What will be lost is shown, and must
    be confirmed. What other programs would find of the old disk behind the image, such as the copy
    of a partition table, is overwritten. Exit status 1: the stick gives back other bytes than were
    written, or something of the old disk is still found.
    """
    from orchestrator.cli.views import write as view

    options = view.Options(device, out, image, force, yes)
    return Call(lambda session: view.write(options, session), Manner(json, verbose, quiet))

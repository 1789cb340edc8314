"""The commands that take a finished image further, as typer reads them; see `commands.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.commands import application
from orchestrator.cli.options import (
    FLAG,
    OUT,
    Architecture,
    Json,
    Out,
    Quiet,
    StoreFolder,
    Verbose,
    place,
    store_folder,
)
from orchestrator.cli.registering import command as _command
from orchestrator.cli.session import Call, Manner

__all__ = ["application"]


@_command(
    application,
    ("A shell in the image's root, on this machine", "orchestrate run amd64"),
    ("One command, compiled when it is needed", "orchestrate run amd64 -- ls -l /"),
    ("Another architecture, emulated", "orchestrate run arm64 -- go version"),
)
def run(
    *,
    architecture: Annotated[
        Architecture, typer.Argument(metavar="ARCH", help="amd64, arm64 or riscv64.")
    ],
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="-- COMMAND...", help="By default the shell, gosh."),
    ] = None,
    out: Out = OUT,
    store: StoreFolder = None,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> Call:
    """Run a command in the root of a build, in namespaces on this machine, without booting it.

    As on the device: the root is read-only, /bin and /tmp lie in memory, the environment is the
    stick's own, and a stub is compiled when it is first run. There is no network. Needs no rights;
    foreign architectures need an emulator (qemu-user). The exit status is the command's; 127: there
    is none of that name, 126: it cannot be run.
    """
    from orchestrator.cli import running

    options = running.Options(architecture.value, tuple(command or ()), out, store_folder(store))
    return Call(lambda session: running.run(options, session), Manner(json, verbose, quiet))


@_command(
    application,
    ("The image of the last build", "orchestrate write /dev/sdX"),
    ("Without being asked, for scripts", "orchestrate write /dev/sdX --yes --json"),
)
def write(
    *,
    device: Annotated[
        Path,
        typer.Argument(
            parser=place("DEVICE"), metavar="DEVICE", help="A whole disk, or a file that is there."
        ),
    ],
    image: Annotated[
        Path | None,
        typer.Option(
            "--image",
            parser=place("--image"),
            metavar="FILE",
            help="Another image, with its result.json beside it.",
            rich_help_panel="Files and folders",
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            metavar=FLAG,
            help="A disk that is not removable, or larger than 256 GiB, but never one in use; "
            "or a build whose verdict is FAIL.",
        ),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", metavar=FLAG, help="Do not ask.")] = False,
    out: Out = OUT,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> Call:
    """Put the image on a stick, and read it back. What the stick holds is lost.

    The image is compared with the result of its build first, which must not be FAIL. Disks that are
    in use, or that the running system lies on, are refused. What will be lost is shown, and asked
    about. Exit status 1: the stick gives back other bytes than were written.
    """
    from orchestrator.cli import writing

    options = writing.Options(device, out, image, force, yes)
    return Call(lambda session: writing.write(options, session), Manner(json, verbose, quiet))

"""`orchestrate run` as typer reads it."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.options import (
    OUT,
    Architecture,
    Json,
    Out,
    Quiet,
    StoreFolder,
    Verbose,
    store_folder,
)
from orchestrator.cli.session import Call, Manner

EXAMPLES = (
    ("A shell in the image's root, on this machine", "orchestrate run amd64"),
    ("One command, compiled when it is needed", "orchestrate run amd64 -- ls -l /"),
    ("Another architecture, emulated", "orchestrate run arm64 -- go version"),
)

*_FIRST, _LAST = Architecture


def run(
    *,
    architecture: Annotated[
        Architecture,
        typer.Argument(metavar="ARCH", help=f"{', '.join(_FIRST)} or {_LAST}."),
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
    from orchestrator.cli.views import run as view

    options = view.Options(architecture.value, tuple(command or ()), out, store_folder(store))
    return Call(lambda session: view.run(options, session), Manner(json, verbose, quiet))

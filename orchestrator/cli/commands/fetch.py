"""Arguments and options of `orchestrate fetch`, for typer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.options import (
    LOCK,
    SPEC,
    Json,
    Lock,
    Quiet,
    Spec,
    StoreFolder,
    Verbose,
    place,
    store_folder,
)
from orchestrator.cli.session import Call, Manner, Session

EXAMPLES = (
    ("Then `orchestrate build --offline` needs no network", "orchestrate fetch"),
    ("Carry the inputs to another machine", "orchestrate fetch --bundle inputs.tar.zst"),
)


def fetch(
    *,
    bundle: Annotated[
        Path | None,
        typer.Option(
            parser=place("--bundle"),
            metavar="FILE",
            help="Write the inputs to this file too, for `build --bundle` elsewhere.",
        ),
    ] = None,
    root: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Fetch what `audit --root NAME` needs too; gcc is GCC's Go, some 300 MB.",
        ),
    ] = None,
    spec: Spec = SPEC,
    lock: Lock = LOCK,
    store: StoreFolder = None,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> Call:
    """Fetch every locked input into the store, each verified against the lock.

    What only an audit from another root needs ([root.gcc] in the spec) is left to that audit, which
    fetches it itself, or to --root. Where the lock does not pin it for this machine, --root is
    refused with the reason, and nothing is fetched (exit status 2).
    """
    from orchestrator.cli.views import inputs as view

    where = view.Where(spec, lock, store_folder(store))

    def run(session: Session) -> int:
        return view.fetch(where, bundle, root, session)

    return Call(run, Manner(json, verbose, quiet))

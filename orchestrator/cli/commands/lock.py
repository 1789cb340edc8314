"""Arguments and options of `orchestrate lock`, for typer."""

from __future__ import annotations

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
    store_folder,
)
from orchestrator.cli.session import Call, Manner

EXAMPLES = (
    ("Pin what is new in the spec, keep the rest", "orchestrate lock"),
    (
        "Resolve two inputs again, and show what changed",
        "orchestrate lock --update uname --update kernel.amd64",
    ),
    ("Whatever is newer", "orchestrate lock --update all"),
    ("For scripts", "orchestrate lock --update all --json | jq .changes"),
)


def lock(
    *,
    update: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Resolve this input again, although it is pinned; may be given several times; all "
            "for every one.",
        ),
    ] = None,
    spec: Spec = SPEC,
    lock: Lock = LOCK,
    store: StoreFolder = None,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> Call:
    """Pin every input that the spec names by version and digest, in the lock file.

    Inputs come through their own package clients, with this machine's mirrors, proxies and
    credentials. What is pinned and still wanted stays as it is. Nothing is written if nothing
    changed.
    """
    from orchestrator.cli.views import inputs as view

    anew = frozenset(update or ())
    where = view.Where(spec, lock, store_folder(store))
    return Call(lambda session: view.lock(where, anew, session), Manner(json, verbose, quiet))

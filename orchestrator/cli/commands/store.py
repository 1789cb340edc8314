"""Arguments and options of `orchestrate store`, for typer."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.options import Json, Quiet, StoreFolder, Verbose, store_folder
from orchestrator.cli.session import Call, Manner

GC_EXAMPLES = (
    ("Drop what no build used for 30 days", "orchestrate store gc"),
    ("Drop everything", "orchestrate store gc --unused-for 0"),
)


def gc(
    *,
    unused_for: Annotated[
        float,
        typer.Option(
            "--unused-for",
            metavar="DAYS",
            min=0,
            help="Keep what was used in the last so many days.",
        ),
    ] = 30,
    store: StoreFolder = None,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> Call:
    """Remove results that were not used lately, and everything that only they refer to.

    If a record that names what is needed cannot be read, nothing is removed.
    """
    from orchestrator.cli.views import store as view

    manner = Manner(json, verbose, quiet)
    return Call(lambda session: view.gc(store_folder(store), unused_for, session), manner)


def verify(
    *,
    store: StoreFolder = None,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> Call:
    """Read everything in the store and compare it with its digest.

    A damaged blob is moved aside, and the next build that needs it makes it again. Exit status 1:
    something was damaged; 4: something could not be read.
    """
    from orchestrator.cli.views import store as view

    manner = Manner(json, verbose, quiet)
    return Call(lambda session: view.verify(store_folder(store), session), manner)


def size(
    *,
    store: StoreFolder = None,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> Call:
    """Show how much disk space the store takes, part by part."""
    from orchestrator.cli.views import store as view

    manner = Manner(json, verbose, quiet)
    return Call(lambda session: view.size(store_folder(store), session), manner)

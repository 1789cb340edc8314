"""Arguments and options of `orchestrate store`, for typer."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.options import (
    STATE,
    Json,
    Quiet,
    State,
    StoreFolder,
    Verbose,
    is_given,
    store_folder,
)
from orchestrator.cli.session import Call, Manner, Session

GC_EXAMPLES = (
    ("Drop what no build used for 30 days", "orchestrate store gc"),
    ("Drop everything", "orchestrate store gc --unused-for 0"),
    ("Keep what the last 7 nights used", "orchestrate store gc --keep-nights 7"),
    (
        "Of nights that are kept elsewhere",
        "orchestrate store gc --keep-nights 7 --state /srv/nightly",
    ),
)


def gc(
    context: typer.Context,
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
    keep_nights: Annotated[
        int | None,
        typer.Option(
            "--keep-nights",
            metavar="N",
            min=1,
            help="Keep what builds of the last N nights used, and what was used since; nights are "
            "those of `orchestrate nightly` that made an image.",
        ),
    ] = None,
    state: State = STATE,
    store: StoreFolder = None,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> Call:
    """Remove results that were not used lately, and everything that only they refer to.

    If a record that names what is needed cannot be read, nothing is removed. Neither is anything
    with --keep-nights, which is said, while there are fewer nights, or where the clock says that
    one of them is still to come.

    Exit status 0: also where nothing was removed; 2: there is no store, or no history of nights; 4:
    a build is using the store, or something in it cannot be read.
    """
    from orchestrator.cli.views import store as view

    if keep_nights is not None and is_given(context, "unused_for"):
        raise typer.BadParameter(
            "--keep-nights and --unused-for exclude each other: give nights, or days."
        )
    if keep_nights is None and is_given(context, "state"):
        raise typer.BadParameter("--state is where --keep-nights finds nights: give both.")

    def run(session: Session) -> int:
        folder = store_folder(store)
        if keep_nights is not None:
            return view.gc_by_nights(folder, keep_nights, state, session)
        return view.gc(folder, unused_for, session)

    return Call(run, Manner(json, verbose, quiet))


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

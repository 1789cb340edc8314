"""Arguments and options of `orchestrate doctor`, for typer."""

from __future__ import annotations

from orchestrator.cli.options import OUT, Json, Out, Quiet, StoreFolder, Verbose, store_folder
from orchestrator.cli.session import Call, Manner

EXAMPLES = (("Before the first build", "orchestrate doctor"),)


def doctor(
    *,
    out: Out = OUT,
    store: StoreFolder = None,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> Call:
    """Check what this machine lacks, why it is needed, and how to get it.

    Exit status 0: a build can run; 4: something that it needs is missing.
    """
    from orchestrator.cli.views import machine as view

    manner = Manner(json, verbose, quiet)
    return Call(lambda session: view.doctor(store_folder(store), out, session), manner)

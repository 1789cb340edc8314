"""Arguments and options of `orchestrate nightly`, for typer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.options import FLAG, Json, Quiet, Verbose, place, store_folder
from orchestrator.cli.session import Call, Manner, Session

EXAMPLES = (
    ("One night, from a new lock to the page", "orchestrate nightly"),
    ("As a file says", "orchestrate nightly --config /etc/sourcery/nightly.toml"),
    ("What would be done", "orchestrate nightly --show-config"),
    ("For scripts", "orchestrate nightly --json | jq -r .word"),
    ("Every night, by systemd", "orchestrate nightly --units /etc/systemd/system"),
)


def nightly(
    *,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            parser=place("--config"),
            metavar="FILE",
            help="Configuration. [dim]\\[default: nightly.toml, and without that file the usual "
            "for everything][/dim]",
            rich_help_panel="Files and folders",
        ),
    ] = None,
    show_config: Annotated[
        bool,
        typer.Option(
            "--show-config",
            metavar=FLAG,
            help="Show the whole configuration with every default, and do nothing.",
        ),
    ] = False,
    units: Annotated[
        Path | None,
        typer.Option(
            "--units",
            parser=place("--units"),
            metavar="FOLDER",
            help="Write a service and a timer for systemd into this folder, and do nothing else.",
        ),
    ] = None,
    user: Annotated[
        str,
        typer.Option(
            "--user",
            metavar="NAME",
            help="With --units: the user that nights run as.",
        ),
    ] = "root",
    tell_failure: Annotated[
        bool,
        typer.Option(
            "--tell-failure",
            metavar=FLAG,
            hidden=True,
            help="Tell of a night that systemd ended, which says of it in $MONITOR_...",
        ),
    ] = False,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> Call:
    """Lock anew, build, audit, boot and verify, unattended, and say in one word what came of it.

    The word is, from the worst down: not-deterministic, check-failed, build-failed, boot-failed,
    infrastructure, inputs-changed, tool-changed, unchanged. What changed since the night before,
    what follows from it, and since when something is wrong, is kept in a history and shown on
    pages that any web server can serve.

    The project's own lock is never changed. A mirror that is down is no fault of the product: the
    lock of the night before is built then. A night that was killed goes on when it is begun again
    on the same day.

    Exit status 0: unchanged, or only inputs or the tool changed; 1: not deterministic, or a check
    failed; 2: wrong usage or configuration; 3: the build or a boot failed; 4: network, engine or
    disk. docs/nightly.md says of each word whose matter it is and what to do first.
    """
    from orchestrator.cli.views import nightly as view

    def run(session: Session) -> int:
        from orchestrator.nightly import config as configs

        if tell_failure:
            return view.tell_failure(config, session)
        if units is not None:
            found = configs.load(config, lambda: view.store_of(user))
            return view.units(found, units, user, session)
        found = configs.load(config, lambda: store_folder(None))
        if show_config:
            return view.show(found, session)
        return view.nightly(found, session)

    return Call(run, Manner(json, verbose, quiet))

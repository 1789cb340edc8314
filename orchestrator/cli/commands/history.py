"""Arguments and options of `orchestrate history`, for typer."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated

import typer

from orchestrator.cli.options import STATE, Json, Quiet, State, Verbose, is_given
from orchestrator.cli.session import Call, Manner

EXAMPLES = (
    ("Every night in its word", "orchestrate history"),
    ("Those of this year", "orchestrate history --since 2026-01-01"),
    ("The words alone, for a script", "orchestrate history --json | jq -r '.nights[].word'"),
)
SHOW_EXAMPLES = (
    ("The last night", "orchestrate history show"),
    ("A night by its number, with every step and check", "orchestrate history show 12 -v"),
    ("By its date", "orchestrate history show 2026-01-12"),
)
BISECT_EXAMPLES = (
    ("Since when is something not deterministic?", "orchestrate history bisect"),
    ("Only what was seen to be so lately", "orchestrate history bisect --since 40"),
)
_DIGITS = re.compile(r"[0-9]{1,18}")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

# A night as a person names it: by its number, or by its date.
Named = int | str


def _night(given: str) -> Named:
    if _DIGITS.fullmatch(given):
        return int(given)
    try:
        if _DATE.fullmatch(given):
            return str(date.fromisoformat(given))
    except ValueError:
        pass
    raise typer.BadParameter(f"{given!r} is no number of a night and no date as 2026-01-31.")


# A type that typer does not take, since it is of two; the parser gives it.
_Since = Annotated[
    str | None,
    typer.Option(
        "--since",
        parser=_night,
        metavar="DATE|NUMBER",
        help="Only this night and later ones; of a date, the first night of it or after it.",
    ),
]


def history(
    context: typer.Context,
    *,
    since: _Since = None,
    state: State = STATE,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> Call | None:
    """List the nights of `orchestrate nightly`, each with its word; show one, or bisect them.

    Exit status 0: whatever the nights' words are; 2: there is no history in that folder.
    docs/history.md says what is kept of a night, and for how long.
    """
    if context.invoked_subcommand is not None:
        _require_none(context)
        return None
    from orchestrator.cli.views import history as view

    return Call(lambda session: view.nights(state, since, session), Manner(json, verbose, quiet))


def show(
    *,
    night: Annotated[
        str | None,
        typer.Argument(
            parser=_night,
            metavar="[NIGHT]",
            help="Number or date of a night; the last one if there is none.",
        ),
    ] = None,
    state: State = STATE,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> Call:
    """Show what is known of a night: its stages, what changed, what is wrong, what it is made of.

    Steps, checks and inputs of a night go when retention has dropped them (`keep` of the nights'
    configuration); the rest stays.

    Exit status 0: whatever the night's word is; 2: there is no such night, or no history.
    """
    from orchestrator.cli.views import history as view

    return Call(lambda session: view.show(state, night, session), Manner(json, verbose, quiet))


def bisect(
    *,
    since: _Since = None,
    state: State = STATE,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> Call:
    """Say in which night, and at which step, something that was given the same came out otherwise.

    Builds of all nights count, and what their audits saw. Of a night, the first such step in the
    order of the plan is named first: those after it may only follow from it. It is also said until
    which night it was seen, and whether the last build still has it.

    Exit status 0: nothing came out otherwise; 1: something did; 2: there is no history.
    """
    from orchestrator.cli.views import history as view

    return Call(lambda session: view.bisect(state, since, session), Manner(json, verbose, quiet))


def _require_none(context: typer.Context) -> None:
    """Refuse options before the name of a subcommand, which has its own."""
    given = [name for name in context.params if is_given(context, name)]
    if given:
        name = context.invoked_subcommand
        raise typer.BadParameter(f"options of `{name}` are given after it: `history {name} ...`.")

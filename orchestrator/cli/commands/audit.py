"""Arguments and options of `orchestrate audit`, for typer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from containers import registry
from orchestrator.cli.options import (
    FLAG,
    LOCK,
    OUT,
    SPEC,
    Engine,
    FarmFile,
    Jobs,
    Json,
    Lock,
    Offline,
    Quiet,
    Spec,
    StoreFolder,
    Verbose,
    place,
    store_folder,
)
from orchestrator.cli.session import Call, Manner, Session

_WHAT = "What is audited"

EXAMPLES = (
    ("Every step again, otherwise", "orchestrate audit"),
    ("All variations but two", "orchestrate audit --vary -order,-user"),
    ("One variation alone", "orchestrate audit --vary -all,+host"),
    ("Half an hour each night", "orchestrate audit --budget 30m"),
    ("Which condition a step depends on", "orchestrate audit --only 'commands/*' --bisect"),
    (
        "A foreign toolchain builds itself, and no more",
        "orchestrate audit --native arm64 --only native/arm64",
    ),
    ("From GCC's Go, and no more", "orchestrate audit --root gcc --only 'root/*'"),
    (
        "On all workers of a build farm at once",
        "orchestrate audit --engine remote --farm farm.toml",
    ),
    ("For scripts", "orchestrate audit --json | jq .coverage"),
)


def audit(
    *,
    vary: Annotated[
        str,
        typer.Option(
            "--vary",
            metavar="+NAME,-NAME",
            help="Variations of conditions: begins with all; -NAME leaves one out, +NAME takes it "
            "in, all stands for every one; docs/variations.md lists them.",
            rich_help_panel=_WHAT,
        ),
    ] = "+all",
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="PATTERN",
            help="Only steps whose names match, as in 'commands/*'; may be given several times.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    rounds: Annotated[
        int,
        typer.Option(
            "--rounds",
            min=1,
            max=100,
            metavar="N",
            help="Run each action so often, each time with other choices, such as another order.",
            rich_help_panel=_WHAT,
        ),
    ] = 1,
    budget: Annotated[
        str,
        typer.Option(
            "--budget",
            metavar="TIME",
            help="Begin no further action after this time (90s, 30m, 2h); those not audited for "
            "longest come first.",
            rich_help_panel=_WHAT,
        ),
    ] = "",
    bisect: Annotated[
        bool,
        typer.Option(
            "--bisect",
            metavar=FLAG,
            help="Find the smallest set of variations that makes a step differ.",
            rich_help_panel=_WHAT,
        ),
    ] = False,
    whole: Annotated[
        bool,
        typer.Option(
            "--whole",
            metavar=FLAG,
            help="Build everything from the inputs once more, end to end, instead of step by step.",
            rich_help_panel=_WHAT,
        ),
    ] = False,
    native: Annotated[
        list[str] | None,
        typer.Option(
            "--native",
            metavar="ARCH",
            help="Let the toolchain for another architecture build itself, in an emulator, and "
            "compare it with the cross build; may be given several times; all for every one.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    root: Annotated[
        str | None,
        typer.Option(
            "--root",
            metavar="NAME",
            help="Build the Go toolchain from another root too: gcc, which begins with GCC's Go, "
            "as [root.gcc] in the spec says.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    engine: Engine = registry.AUTOMATIC,
    jobs: Jobs = 0,
    offline: Offline = False,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            parser=place("--out"),
            metavar="FOLDER",
            help="Output folder of the build; audit.json is written into it.",
            rich_help_panel="Files and folders",
        ),
    ] = OUT,
    spec: Spec = SPEC,
    lock: Lock = LOCK,
    store: StoreFolder = None,
    farm: FarmFile = None,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> Call:
    """Run every step of a finished build again under other conditions, and compare what it gives.

    Each action gets the inputs that the build gave it, so one that differs is found itself and not
    by what follows from it. What the orchestrator computes itself (boot files, root, image,
    archive) is computed again by another process. Results that are missing in the cache are built
    first. With `--engine auto` it is the engine that made the build.

    With --native the toolchain for another architecture runs as its own programs and builds all of
    itself besides: on a farm's workers of that architecture, or emulated by qemu-user, which takes
    long. What is known of each toolchain, by architecture, bootstrap root and engine, is shown as
    a matrix at the end.

    With --root gcc the chain of toolchains is built from GCC's Go as well, which takes some 15
    minutes more, and must come to the same bits; add --only 'root/*' to do nothing else.

    What is found of a step is kept at once. Ctrl-C stops cleanly; the same command continues from
    there, and begins anew once an audit has come to its end. Exit status 0: nothing failed; 1:
    something did; 2: wrong usage, or a build of another spec or lock. docs/audit.md says what an
    audit proves.
    """
    from orchestrator.cli.views import audit as view

    def run(session: Session) -> int:
        from orchestrator import farm_file
        from orchestrator.audit import request

        if told := request.surprise(vary):
            session.note(told)
        asked = request.Request(
            spec=spec,
            lock=lock,
            out=out,
            store=store_folder(store),
            engine=engine,
            jobs=jobs,
            offline=offline,
            vary=request.selected(vary),
            rounds=rounds,
            only=tuple(only or ()),
            budget=request.seconds(budget) if budget else None,
            whole=whole,
            bisect=bisect,
            native=tuple(native or ()),
            root=root,
            farm=farm_file.load(farm) if farm else None,
        )
        return view.audit(asked, session)

    return Call(run, Manner(json, verbose, quiet))

"""The commands and their options, as typer reads them.

Each function here only turns its arguments into a `Call`; what the call does is in the modules
beside this one, and begins after the whole command line has been read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.options import (
    FLAG,
    LOCK,
    OUT,
    SPEC,
    Architecture,
    Bundle,
    Engine,
    Json,
    Lock,
    Out,
    Quiet,
    Spec,
    StoreFolder,
    Verbose,
    place,
    store_folder,
)
from orchestrator.cli.registering import application
from orchestrator.cli.registering import command as _command
from orchestrator.cli.session import Call, Manner, Session

__all__ = ["application"]

_store = typer.Typer(
    name="store",
    help="Look after the store: its size, its health, what is no longer needed.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@_command(
    application,
    ("Everything that the spec asks for", "orchestrate build"),
    (
        "One architecture, without a container engine",
        "orchestrate build --arch amd64 --engine sandbox",
    ),
    ("On a machine without network", "orchestrate build --offline --bundle inputs.tar.zst"),
    ("Run every step again, compare with what is remembered", "orchestrate build --rebuild"),
    ("For scripts", "orchestrate build --json | jq .image.blake3"),
)
def build(
    *,
    arch: Annotated[
        list[Architecture] | None,
        typer.Option(
            "--arch",
            metavar="amd64|arm64|riscv64",
            help="Only this architecture of the spec; may be given several times.",
        ),
    ] = None,
    engine: Annotated[
        Engine,
        typer.Option(
            help="What isolates the steps: bubblewrap (sandbox), Docker, or what is there."
        ),
    ] = "auto",
    jobs: Annotated[
        int,
        typer.Option(
            "--jobs", "-j", min=0, metavar="N", help="Steps at once; 0 fits this machine."
        ),
    ] = 0,
    offline: Annotated[
        bool,
        typer.Option(
            "--offline", metavar=FLAG, help="Any attempt to fetch is an error that names the input."
        ),
    ] = False,
    rebuild: Annotated[
        bool,
        typer.Option(
            "--rebuild",
            metavar=FLAG,
            help="Run every step again and compare with what is remembered.",
        ),
    ] = False,
    bundle: Bundle = None,
    spec: Spec = SPEC,
    lock: Lock = LOCK,
    out: Out = OUT,
    store: StoreFolder = None,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> Call:
    """Build the image that the spec describes, and say whether it is what it must be.

    Go's toolchain is built three times for this machine and once for every other architecture, each
    step alone in a sandbox without network; results are compared with each other and with the
    published release. Steps that ran before are remembered. Ctrl-C stops cleanly; the next run goes
    on from there.
    """
    from orchestrator.cli import building

    def run(session: Session) -> int:
        from orchestrator.build import Options

        options = Options(
            spec=spec,
            lock=lock,
            out=out,
            architectures=tuple(name.value for name in arch or ()),
            engine=engine,
            jobs=jobs,
            offline=offline,
            bundle=bundle,
            rebuild=rebuild,
            store=store_folder(store),
        )
        return building.build(options, session)

    return Call(run, Manner(json, verbose, quiet))


@_command(
    application,
    ("Pin what is new in the spec, keep the rest", "orchestrate lock"),
    ("Look one input up again, and say what moved", "orchestrate lock --update go"),
)
def lock(
    *,
    update: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Look this input up again, though it is pinned."),
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
    moved.
    """
    from orchestrator.cli import inputs

    where = inputs.Where(spec, lock, store_folder(store))
    return Call(lambda session: inputs.lock(where, update, session), Manner(json, verbose, quiet))


@_command(
    application,
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
    spec: Spec = SPEC,
    lock: Lock = LOCK,
    store: StoreFolder = None,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> Call:
    """Bring every locked input into the store, each checked against the lock."""
    from orchestrator.cli import inputs

    where = inputs.Where(spec, lock, store_folder(store))
    return Call(lambda session: inputs.fetch(where, bundle, session), Manner(json, verbose, quiet))


@_command(
    application,
    ("Two images", "orchestrate compare out/sourcery.img other.img"),
    ("Two folders, file by file", "orchestrate compare out-here out-there"),
)
def compare(
    *,
    first: Annotated[
        Path, typer.Argument(parser=place("A"), metavar="A", help="A file or a folder.")
    ],
    second: Annotated[
        Path, typer.Argument(parser=place("B"), metavar="B", help="Another one of the same kind.")
    ],
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> Call:
    """Compare two files or two folders, byte by byte (BLAKE3), and say where they differ.

    In folders only names, content and executable bits count, not times or owners. Exit status 0:
    the same; 1: they differ.
    """
    from orchestrator.cli import comparing

    manner = Manner(json, verbose, quiet)
    return Call(lambda session: comparing.compare(first, second, session), manner)


@_command(
    application,
    ("Before the first build", "orchestrate doctor"),
)
def doctor(
    *,
    out: Out = OUT,
    store: StoreFolder = None,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> Call:
    """Say what is missing on this machine, why it is needed, and how to get it.

    Exit status 0: a build can run; 4: something that it needs is missing.
    """
    from orchestrator.cli import machine

    manner = Manner(json, verbose, quiet)
    return Call(lambda session: machine.doctor(store_folder(store), out, session), manner)


@_command(application)
def version(*, json: Json = False, verbose: Verbose = False, quiet: Quiet = False) -> Call:
    """Say which version this is, and on which Python it runs."""
    from orchestrator.cli import machine

    return Call(machine.version, Manner(json, verbose, quiet))


@_command(
    _store,
    ("Drop what no build used for 30 days", "orchestrate store gc"),
    ("Drop everything", "orchestrate store gc --unused-for 0"),
)
def gc(
    *,
    unused_for: Annotated[
        float,
        typer.Option("--unused-for", metavar="DAYS", min=0, help="Keep what was used since."),
    ] = 30,
    store: StoreFolder = None,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> Call:
    """Remove results that were not used lately, and everything that only they refer to.

    Something that says what is needed and cannot be read stops it before anything is removed.
    """
    from orchestrator.cli import storing

    manner = Manner(json, verbose, quiet)
    return Call(lambda session: storing.gc(store_folder(store), unused_for, session), manner)


@_command(_store)
def verify(
    *,
    store: StoreFolder = None,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> Call:
    """Read everything in the store and compare it with its digest.

    A damaged blob is moved aside, and made again by the next build that needs it. Exit status 1:
    something was damaged; 4: something could not be read.
    """
    from orchestrator.cli import storing

    manner = Manner(json, verbose, quiet)
    return Call(lambda session: storing.verify(store_folder(store), session), manner)


@_command(_store)
def size(
    *,
    store: StoreFolder = None,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> Call:
    """Say how much room the store takes on the disk, part by part."""
    from orchestrator.cli import storing

    manner = Manner(json, verbose, quiet)
    return Call(lambda session: storing.size(store_folder(store), session), manner)


application.add_typer(_store)

"""`orchestrate build` as typer reads it."""

from __future__ import annotations

from typing import Annotated

import typer

from containers import registry
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
    store_folder,
)
from orchestrator.cli.session import Call, Manner, Session

EXAMPLES = (
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
            metavar="|".join(Architecture),
            help="Only this architecture of the spec; may be given several times.",
        ),
    ] = None,
    engine: Engine = registry.AUTOMATIC,
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
    from orchestrator.cli.views import build as view

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
        return view.build(options, session)

    return Call(run, Manner(json, verbose, quiet))

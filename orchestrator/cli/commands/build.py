"""Arguments and options of `orchestrate build`, for typer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from containers import registry
from orchestrator.cli import passphrase
from orchestrator.cli.options import (
    FLAG,
    LOCK,
    OUT,
    SPEC,
    Architecture,
    Bundle,
    Engine,
    FarmFile,
    Jobs,
    Json,
    Lock,
    Offline,
    Out,
    Quiet,
    Spec,
    StoreFolder,
    Verbose,
    place,
    store_folder,
)
from orchestrator.cli.passphrase import PassphraseFile
from orchestrator.cli.session import Call, Manner, Session

EXAMPLES = (
    ("Everything that the spec asks for", "orchestrate build"),
    (
        "One architecture, without a container engine",
        "orchestrate build --arch amd64 --engine sandbox",
    ),
    ("On a build farm", "orchestrate build --engine remote --farm farm.toml"),
    ("On a machine without network", "orchestrate build --offline --bundle inputs.tar.zst"),
    ("Run every step again, compare with the cached results", "orchestrate build --rebuild"),
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
    jobs: Jobs = 0,
    offline: Offline = False,
    rebuild: Annotated[
        bool,
        typer.Option(
            "--rebuild",
            metavar=FLAG,
            help="Run every step again and compare with the cached results.",
        ),
    ] = False,
    bundle: Bundle = None,
    sign: Annotated[
        list[Path] | None,
        typer.Option(
            "--sign",
            parser=place("--sign"),
            metavar="KEY",
            help="Sign the evidence with this private key; may be given several times.",
            rich_help_panel="Keys",
        ),
    ] = None,
    passphrase_file: PassphraseFile = None,
    spec: Spec = SPEC,
    lock: Lock = LOCK,
    out: Out = OUT,
    store: StoreFolder = None,
    farm: FarmFile = None,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> Call:
    """Build the image that the spec describes, and check that it is what it must be.

    Go's toolchain is built three times for this machine and once for every other architecture, each
    step alone in a sandbox without network; results are compared with each other and with the
    published release. Results of steps are cached. Ctrl-C stops cleanly; the next run continues
    from there.
    """
    from orchestrator.cli.views import build as view

    def run(session: Session) -> int:
        from orchestrator import farm_file
        from orchestrator.build import Options

        registry.check(engine, configured=farm is not None)
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
            farm=farm_file.load(farm) if farm else None,
            # Before the work: a key that cannot be used is better known now.
            sign=tuple(passphrase.load(key, passphrase_file, session.note) for key in sign or ()),
        )
        return view.build(options, session)

    return Call(run, Manner(json, verbose, quiet))

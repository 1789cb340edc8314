"""Arguments and options of `orchestrate verify`, for typer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.options import Json, Quiet, Verbose, place
from orchestrator.cli.session import Call, Manner

EXAMPLES = (
    ("Does everything in a folder fit together?", "orchestrate verify out"),
    ("And was it signed by this key?", "orchestrate verify out --key builder.pub"),
    ("Does it meet what we demand?", "orchestrate verify out --policy policy.toml"),
    ("Do enough independent builders agree?", "orchestrate verify a b c --policy policy.toml"),
)


def verify(
    *,
    folders: Annotated[
        list[Path],
        typer.Argument(
            parser=place("DIR"), metavar="DIR...", help="Output folders of builds, one or more."
        ),
    ],
    key: Annotated[
        list[Path] | None,
        typer.Option(
            "--key",
            parser=place("--key"),
            metavar="FILE",
            help="Public key of somebody who may sign; may be given again.",
        ),
    ] = None,
    policy: Annotated[
        Path | None,
        typer.Option(
            "--policy",
            parser=place("--policy"),
            metavar="FILE",
            help="What is demanded, as TOML; `orchestrate policy explain` says it in words.",
        ),
    ] = None,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> Call:
    """Verify finished builds from their folders alone, and judge them by a policy.

    Needs no network, engine, store or checkout. Every file is hashed again, the image is read, and
    its tree, its toolchains and their module hashes are derived and followed to the public log.
    Links, verdicts and signatures are checked. Of each claim it says whether it was derived here,
    is signed by somebody, or only stated.

    Exit status 0: everything that is demanded holds; 1: refused; 2: wrong usage, an unreadable
    policy or key, or no such folder. docs/verify.md says how to read it.
    """
    from orchestrator.cli.views import verify as view

    options = view.Options(tuple(folders), tuple(key or ()), policy)
    return Call(lambda session: view.verify(options, session), Manner(json, verbose, quiet))

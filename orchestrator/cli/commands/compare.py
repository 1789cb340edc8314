"""Arguments and options of `orchestrate compare`, for typer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.options import FLAG, Json, Quiet, StoreFolder, Verbose, place
from orchestrator.cli.session import Call, Manner

EXAMPLES = (
    ("Two images: what differs, where, and why", "orchestrate compare out/sourcery.img other.img"),
    ("Two builds: other inputs, or not deterministic?", "orchestrate compare out-here out-there"),
    ("Two folders, file by file", "orchestrate compare one-folder other-folder"),
    (
        "Archives of other compressors",
        "orchestrate compare a.zst b.zst --tolerate archive-compression",
    ),
)


_TREE = "blake3:"


def _side(name: str) -> Callable[[str], Path]:
    """A parser that makes a path absolute, and leaves the digest of a tree as it is."""
    path = place(name)

    def side(given: str) -> Path:
        return Path(given) if given.startswith(_TREE) else path(given)

    return side


def compare(
    *,
    first: Annotated[
        Path,
        typer.Argument(
            parser=_side("A"),
            metavar="A",
            help="A file, a folder, the output folder of a build, or a tree in the store "
            "(blake3:...).",
        ),
    ],
    second: Annotated[
        Path, typer.Argument(parser=_side("B"), metavar="B", help="Another one of the same kind.")
    ],
    tolerate: Annotated[
        list[str] | None,
        typer.Option(
            "--tolerate",
            metavar="NAME",
            help="Do not count this kind of difference; may be given again. "
            "[dim]archive-compression, gzip-header[/dim]",
        ),
    ] = None,
    deep: Annotated[
        bool,
        typer.Option(
            "--deep", metavar=FLAG, help="Hand the first file that differs to diffoscope, too."
        ),
    ] = False,
    store: StoreFolder = None,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> Call:
    """Compare two files, folders, builds or trees, and say where they differ and why.

    Of two builds, other inputs come first: what follows from them is no fault of the build. Then
    every byte counts, by BLAKE3. Where something differs, it is named by what lies there (a field
    of an image, a file in it, a section, a line), with the class of its cause and how sure that is.

    In folders only names, content and executable bits count, not times or owners. Exit status 0:
    the same, or only what is tolerated differs; 1: they differ; 2: something is missing, or they
    are not of one kind. docs/compare.md says how to read it.
    """
    from orchestrator.cli.views import compare as view

    one, other = (
        view.tree(str(side)) if str(side).startswith(_TREE) else side for side in (first, second)
    )
    options = view.Options(one, other, tuple(tolerate or ()), deep, store)
    return Call(lambda session: view.compare(options, session), Manner(json, verbose, quiet))

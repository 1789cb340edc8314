"""Options that several commands share, as typer annotations."""

from __future__ import annotations

import os
import pwd
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from containers import registry
from orchestrator.architecture import ARCHITECTURES
from orchestrator.files import places
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable


# An architecture's Go name; typer reads lists of enumerations only, and type checkers no members
# out of a table.
if TYPE_CHECKING:

    class Architecture(StrEnum):
        """An architecture's Go name."""
else:
    Architecture = StrEnum("Architecture", {name.upper(): name for name in ARCHITECTURES})


def place(name: str) -> Callable[[str], Path]:
    """Return a parser that makes the path of an option or argument `name` absolute."""

    def path(given: str) -> Path:
        return places.absolute(given, name)

    return path


def _store(given: str) -> Path:
    return places.store(given)


def _engine(given: str) -> str:
    if given not in registry.names():
        known = ", ".join(map(repr, registry.names()))
        raise typer.BadParameter(f"{given!r} is not one of {known}.")
    return given


# An option without a value; typer would show its type.
FLAG = ""
_OUTPUT = "Output"
_PLACES = "Files and folders"

Spec = Annotated[
    Path,
    typer.Option(
        "--spec",
        parser=place("--spec"),
        metavar="FILE",
        help="Spec: what goes on the image.",
        rich_help_panel=_PLACES,
    ),
]
Lock = Annotated[
    Path,
    typer.Option(
        "--lock",
        parser=place("--lock"),
        metavar="FILE",
        help="Lock file: every input, pinned by version and digest.",
        rich_help_panel=_PLACES,
    ),
]
Out = Annotated[
    Path,
    typer.Option(
        "--out",
        parser=place("--out"),
        metavar="FOLDER",
        help="Output folder, replaced in one step at the end; a mount point is filled in place, "
        "result.json last.",
        rich_help_panel=_PLACES,
    ),
]
StoreFolder = Annotated[
    Path | None,
    typer.Option(
        "--store",
        parser=_store,
        metavar="FOLDER",
        help="Cache of inputs and finished steps. [dim]\\[default: "
        "$XDG_CACHE_HOME/sourcery or ~/.cache/sourcery][/dim]",
        rich_help_panel=_PLACES,
    ),
]
Engine = Annotated[
    str,
    typer.Option(
        "--engine",
        parser=_engine,
        metavar="|".join(registry.names()),
        help="What isolates the steps: bubblewrap (sandbox), Docker, or what is there; or a build "
        "farm (remote, with --farm).",
    ),
]
FarmFile = Annotated[
    Path | None,
    typer.Option(
        "--farm",
        parser=place("--farm"),
        metavar="FILE",
        help="Build farm that --engine remote runs the steps on: where it is, how it is used.",
        rich_help_panel=_PLACES,
    ),
]
Jobs = Annotated[
    int,
    typer.Option(
        "--jobs", "-j", min=0, metavar="N", help="Steps in parallel; 0 fits this machine."
    ),
]
Offline = Annotated[
    bool,
    typer.Option(
        "--offline",
        metavar=FLAG,
        help="Use no network; an input that would be fetched is an error.",
    ),
]
Bundle = Annotated[
    Path | None,
    typer.Option(
        "--bundle",
        parser=place("--bundle"),
        metavar="FILE",
        help="Read inputs from this file, made by `orchestrate fetch --bundle`.",
        rich_help_panel=_PLACES,
    ),
]
State = Annotated[
    Path,
    typer.Option(
        "--state",
        parser=place("--state"),
        metavar="FOLDER",
        help="Folder that nights are kept in: `state` of the nights' configuration.",
        rich_help_panel=_PLACES,
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json",
        metavar=FLAG,
        help="Print the result as JSON on standard output, and nothing else there.",
        rich_help_panel=_OUTPUT,
    ),
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        metavar=FLAG,
        help="Show every step, and a traceback for an unexpected error.",
        rich_help_panel=_OUTPUT,
    ),
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        metavar=FLAG,
        help="Print errors only; the exit status is the result.",
        rich_help_panel=_OUTPUT,
    ),
]

SPEC = Path("sourcery.toml")
LOCK = Path("sourcery.lock")
OUT = Path("out")
STATE = Path("nightly")


def is_given(context: typer.Context, name: str) -> bool:
    """Tell whether a parameter was typed, and does not have its default."""
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def store_folder(given: Path | None) -> Path:
    """Return the store's folder: the one given, else `sourcery` in the user's cache folder.

    A relative XDG_CACHE_HOME does not count (XDG Base Directory Specification, "Basics"), and
    neither does a relative HOME.

    Raises:
        InputError: there is no such folder, or its path is one that clients cannot be given.
    """
    if given is not None:
        return given
    cache = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if cache.is_absolute():
        return places.store(cache / "sourcery", "XDG_CACHE_HOME")
    return places.store(_home() / ".cache" / "sourcery", "HOME")


def _home() -> Path:
    home = Path(os.environ.get("HOME", ""))
    if home.is_absolute():
        return home
    try:
        home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        home = Path()
    if not home.is_absolute():
        raise InputError(
            "this user has no home folder, where the store would lie",
            subject="HOME",
            remedy="give a folder with --store",
        )
    return home

"""The application that commands are registered with, and how one is."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import typer

from orchestrator.cli.session import Call

_HELP = (
    "Make root file systems that are mostly source, and prove what they are made of.\n\n"
    "One FAT32 image boots PCs, ARM and RISC-V boards, holds the Go toolchain and all source code, "
    "and compiles a command the first time somebody types it."
)

_STATUSES = """[bold]Exit status[/bold]
0      done; a build: every comparison that could be made holds
1      built, but a comparison failed
2      bad usage, spec or lock
3      a build step failed
4      network, engine or disk; or the answer could not be written
128+N  stopped by signal N"""


def command(
    group: typer.Typer, *examples: tuple[str, str]
) -> Callable[[Callable[..., Call]], Callable[..., Call]]:
    """Register a command: its docstring is its help, with examples (what for, what to type) below.

    typer keeps line breaks, so the lines of a paragraph are joined here.
    """
    shown = [f"[dim]# {purpose}[/dim]\n[cyan]{typed}[/cyan]" for purpose, typed in examples]

    def register(function: Callable[..., Call]) -> Callable[..., Call]:
        paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
        return group.command(
            help="\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs),
            epilog="\n".join(["[bold]Examples[/bold]", *shown]) if shown else None,
        )(function)

    return register


application = typer.Typer(
    name="orchestrate",
    help=_HELP,
    epilog=_STATUSES,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

"""Registers every command of the typer application, in the order in which `--help` lists them.

A command's options are defined in `commands/`, what it does and shows in `views/`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable

import typer

from orchestrator.cli.commands import (
    audit,
    boot,
    build,
    compare,
    doctor,
    evidence,
    fetch,
    history,
    lock,
    nightly,
    policy,
    report,
    run,
    store,
    verify,
    version,
    write,
)
from orchestrator.cli.session import Call

_HELP = (
    "Make root file systems that are mostly source, and prove what they are made of.\n\n"
    "One FAT32 image boots PCs, ARM and RISC-V boards, holds the Go toolchain and all source code, "
    "and compiles a command the first time somebody types it."
)

_STATUSES = """[bold]Exit status[/bold]
0      done; a build or an audit: every comparison that could be made holds
1      built or audited, but a comparison failed
2      bad usage, spec or lock
3      a build step failed
4      network, engine or disk; or the answer could not be written
128+N  stopped by signal N"""

_Examples = tuple[tuple[str, str], ...]


def _register(group: typer.Typer, function: Callable[..., Call], examples: _Examples = ()) -> None:
    """Register a command: its docstring is its help, with examples (purpose, command) below."""
    group.command(help=_help(function), epilog=_epilog(examples))(function)


def _help(function: Callable[..., object]) -> str:
    """Return a docstring with each paragraph on one line, since typer keeps line breaks."""
    paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _epilog(examples: _Examples) -> str | None:
    shown = [f"[dim]# {purpose}[/dim]\n[cyan]{typed}[/cyan]" for purpose, typed in examples]
    return "\n".join(["[bold]Examples[/bold]", *shown]) if shown else None


application = typer.Typer(
    name="orchestrate",
    help=_HELP,
    epilog=_STATUSES,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_register(application, build.build, build.EXAMPLES)
_register(application, lock.lock, lock.EXAMPLES)
_register(application, fetch.fetch, fetch.EXAMPLES)
_register(application, audit.audit, audit.EXAMPLES)
_register(application, compare.compare, compare.EXAMPLES)
_register(application, verify.verify, verify.EXAMPLES)
_register(application, evidence.sign, evidence.SIGN_EXAMPLES)
_register(application, evidence.export, evidence.EXPORT_EXAMPLES)
_register(application, evidence.schema, evidence.SCHEMA_EXAMPLES)
_register(application, report.report, report.EXAMPLES)
_register(application, nightly.nightly, nightly.EXAMPLES)
_register(application, doctor.doctor, doctor.EXAMPLES)
_register(application, version.version)
_register(application, run.run, run.EXAMPLES)
_register(application, write.write, write.EXAMPLES)
_register(application, boot.boot, boot.EXAMPLES)

_store = typer.Typer(
    name="store",
    help="Manage the store, the cache of inputs and finished steps: size, integrity, cleaning up.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
_register(_store, store.gc, store.GC_EXAMPLES)
_register(_store, store.verify)
_register(_store, store.size)
application.add_typer(_store)

# Without the name of a subcommand it lists the nights.
_history = typer.Typer(name="history", rich_markup_mode="rich")
_history.callback(
    invoke_without_command=True,
    help=_help(history.history),
    epilog=_epilog(history.EXAMPLES),
)(history.history)
_register(_history, history.show, history.SHOW_EXAMPLES)
_register(_history, history.bisect, history.BISECT_EXAMPLES)
application.add_typer(_history)

_policy = typer.Typer(
    name="policy",
    help="Policies of `orchestrate verify`: what is demanded of a finished build.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
_register(_policy, policy.explain, policy.EXAMPLES)
application.add_typer(_policy)

_key = typer.Typer(
    name="key",
    help="Make keys that sign the evidence of builds.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)
_register(_key, evidence.new, evidence.NEW_EXAMPLES)
application.add_typer(_key)

"""Fills the whole matrix of a finished build: `make audit-full`.

What the matrix of an audit still lacks says itself which command fills it. Each is run once, on
both engines, and at the end the whole audit on the engine that made the build, so that `audit.json`
is that of every step, and the matrix is shown with all its cells. What was found is remembered by
the store, so that a run that was interrupted goes on where it was. Where no container engine
answers, one is started on a socket and in folders of its own, and ended.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from containers import registry
from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    # Options of an audit -> its exit status, and what it printed with --json, if anything.
    Audit = Callable[[Sequence[str]], tuple[int, dict[str, Any]]]

# Of the commands that the matrix names.
_COMMAND = ["orchestrate", "audit"]
# Quick, and an audit like any other: it shows the matrix.
_LOOK = ("--only", "image")
_SIGNALLED = 128


def fill(audit: Audit, engines: Collection[str], say: Callable[[str], None]) -> int:
    """Run whatever the matrix lacks on these engines, each command once; the worst exit status."""
    status, found = audit(_LOOK)
    worst, done = status, set[tuple[str, ...]]()
    while status < _SIGNALLED and (wanted := _next(found, engines, done)):
        done.add(wanted)
        say(f"== {shlex.join([*_COMMAND, *wanted])}")
        status, more = audit(wanted)
        worst = max(worst, status)
        # One that failed prints what went wrong instead.
        found = more if "matrix" in more else found
    if worst < _SIGNALLED:
        say("== orchestrate audit")
        worst = max(worst, audit(())[0])
    return worst


def _next(
    found: dict[str, Any], engines: Collection[str], done: Collection[tuple[str, ...]]
) -> tuple[str, ...] | None:
    """The first command that an open cell names, and that has not been run."""
    for cell in found.get("matrix", ()):
        words = tuple(shlex.split(cell["command"])[len(_COMMAND) :])
        if words and cell["engine"] in engines and words not in done:
            return words
    return None


@contextmanager
def with_engines(say: Callable[[str], None]) -> Iterator[set[str]]:
    """Names of the engines that work here, one of our own among them where that can be had."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sourcery-full-")))
        working = set()
        for name in registry.LOCAL:
            if not _works(name, folder) and name == "docker":
                _own_docker(folder, stack, say)
            if _works(name, folder):
                working.add(name)
            else:
                say(f"== NO ENGINE {name} HERE: its cells stay open")
        yield working


def _works(name: str, folder: Path) -> bool:
    try:
        with registry.connect(name, folder / "scratch"):
            return True
    except InfrastructureError:
        return False


def _own_docker(folder: Path, stack: ExitStack, say: Callable[[str], None]) -> None:
    from tests.integration.private_docker import PrivateDocker

    program = shutil.which("dockerd")
    if program is None or os.geteuid() != 0:
        return
    try:
        os.environ["DOCKER_HOST"] = stack.enter_context(
            PrivateDocker(program, folder / "docker")
        ).host
    except pytest.skip.Exception as error:
        say(f"== {error}")


def main(arguments: Sequence[str]) -> int:
    """Fill the matrix; `arguments`: further options of every audit, such as --out."""

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)  # noqa: T201 - a program

    def audit(options: Sequence[str]) -> tuple[int, dict[str, Any]]:
        # At the end a person reads what came of it all; before that, this program does.
        shown = [] if not options else ["--json"]
        command = [sys.executable, "-m", "orchestrator", "audit", *options, *shown, *arguments]
        stdout = subprocess.PIPE if shown else None
        ran = subprocess.run(command, stdout=stdout, check=False)
        document = json.loads(ran.stdout) if ran.stdout else {}
        if "error" in document:
            say(f"error: {document['error']['summary']}\n  {document['error']['remedy']}")
        status = ran.returncode
        return (status if status >= 0 else _SIGNALLED - status), document

    with with_engines(say) as engines:
        return fill(audit, engines, say)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

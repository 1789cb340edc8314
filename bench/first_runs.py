"""First runs of the commands on the stick, on this machine, in the root of a build.

The clock runs where the commands run: a small program (`first_runs.go`) is compiled in the root by
the device's own go command, starts each stub with `-h`, and says how long that took.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.run import session as sessions
from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from orchestrator.run.binfmt import Interpreter

_DRIVER = Path(__file__).with_suffix(".go")
_VARIABLE = "FIRST_RUNS"
# The program's source comes in a variable: the root is read-only, and there is no other way in.
_SCRIPT = (
    f'mkdir -p /tmp/first_runs && cd /tmp/first_runs && echo "${_VARIABLE}" > main.go '
    "&& go build -o first_runs main.go && exec ./first_runs"
)
# Of a shell and of installcommand: there is no such command, or it cannot be run.
_NOT_RUN = {126, 127}


@dataclass(frozen=True)
class FirstRun:
    """What came of a command's first run.

    `there`: seconds until the compiled program was in /bin and ran. `seconds`: until its end, where
    it ends by itself (`stopped`: it does not); what a command does in between is its own matter.
    `size`: the program's bytes. `words`: the end of what it said. `again`, `bare`: seconds of
    further runs, by the stub and by the program.
    """

    name: str
    seconds: float
    there: float
    status: int
    stopped: bool
    size: int
    words: str
    again: float
    bare: float

    @property
    def started(self) -> bool:
        """Whether it was compiled, and run."""
        return self.size > 0 and self.status not in _NOT_RUN


def measure(
    root: Path,
    architecture: str,
    names: Iterable[str] = (),
    *,
    interpreter: Interpreter | None = None,
    again: bool = False,
) -> list[FirstRun]:
    """Run commands for the first time, one after the other; all of them where none is named.

    `root`: of a finished build (`orchestrator.artifacts.finished`). `again`: run each several times
    more.

    Raises:
        InfrastructureError: the namespaces cannot be made, or the timing program fails.
    """
    words = [*(["-again"] if again else []), *names]
    invocation = sessions.Invocation(
        root,
        architecture,
        ("gosh", "-c", " ".join([_SCRIPT, *words])),
        interpreter,
        {_VARIABLE: _DRIVER.read_text("utf-8")},
    )
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as said:
        nothing = os.open(os.devnull, os.O_RDONLY)
        try:
            ended = sessions.run(invocation, (nothing, out.fileno(), said.fileno()))
        finally:
            os.close(nothing)
        out.seek(0)
        said.seek(0)
        if ended.status != 0:
            tail = said.read()[-2000:].decode("utf-8", "replace")
            raise InfrastructureError(
                f"the first runs could not be timed: exit status {ended.status}",
                subject=ended.refusal or tail,
            )
        return [FirstRun(**json.loads(line)) for line in out]


def figures(runs: Sequence[FirstRun]) -> dict[str, float]:
    """Median, 95th percentile and slowest of the first runs until the program ran, in seconds."""
    seconds = sorted(run.there for run in runs)
    return {
        "median": statistics.median(seconds),
        "95th": seconds[min(len(seconds) - 1, len(seconds) * 95 // 100)],
        "slowest": seconds[-1],
    }


def overhead(runs: Sequence[FirstRun]) -> float:
    """Median of what a further run by the stub costs over the bare program, in seconds."""
    return statistics.median(run.again - run.bare for run in runs if run.again)


def document(architecture: str, runs: Sequence[FirstRun]) -> dict[str, Any]:
    """The table as data."""
    return {
        "schema": 1,
        "architecture": architecture,
        "figures": figures(runs),
        "commands": [
            {
                "name": run.name,
                "there": round(run.there, 3),
                "seconds": round(run.seconds, 3),
                "size": run.size,
                "status": run.status,
                "stopped": run.stopped,
            }
            for run in runs
        ],
    }


def table(architecture: str, runs: Sequence[FirstRun]) -> str:
    """The table as Markdown, the slowest first."""
    found = figures(runs)
    lines = [
        f"# First runs of the {len(runs)} commands for {architecture}",
        "",
        ", ".join(f"{name} {seconds:.3f} s" for name, seconds in found.items()),
        "",
        "| command | until it ran, s | until its end, s | size, KiB |",
        "| --- | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {run.name} | {run.there:.3f} | {'stopped' if run.stopped else f'{run.seconds:.3f}'} "
        f"| {run.size / 1024:.0f} |"
        for run in sorted(runs, key=lambda run: (-run.there, run.name))
    ]
    return "\n".join(lines) + "\n"

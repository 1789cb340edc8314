"""`make fuzz`: every parser for some seconds, and a table of what came of it.

    python -m tests.fuzz [--seconds N] [--target NAME]... [--engine atheris|mutation] [--seed N]
                         [--findings FOLDER] [--list]

Exit status 1 where there is a finding; the inputs that made them stay in a folder.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.child import PATIENCE
from tests.fuzz.ledger import Ledger
from tests.fuzz.target import ROOT
from tests.fuzz.targets import TARGETS

_COVERED = re.compile(r"^#\d+\s+(?P<what>\w+)\s+cov: (?P<covered>\d+)", re.MULTILINE)
# Seconds for a process to start and to end, beside those that it fuzzes.
_GRACE = 60 + PATIENCE
_HEADINGS = ("target", "executions", "seconds", "each s", "coverage", "peak MiB", "findings")


@dataclass(frozen=True)
class Row:
    """What came of one target. `coverage`: the seeds' and what was reached besides; or empty."""

    target: str
    executions: int
    seconds: float
    coverage: str
    peak: int
    findings: int

    def cells(self) -> tuple[str, ...]:
        """The row as text."""
        rate = self.executions / self.seconds if self.seconds else 0
        return (
            self.target,
            f"{self.executions:,}",
            f"{self.seconds:.0f}",
            f"{rate:,.0f}",
            self.coverage or "-",
            str(self.peak),
            str(self.findings),
        )


def main() -> int:
    """Fuzz what was asked for; the exit status."""
    asked = _asked()
    if asked.list:
        sys.stdout.write("".join(f"{name}\n" for name in TARGETS))
        return 0
    engine = asked.engine or _engine()
    folder = Path(asked.findings)
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    status = 0
    # Also where what started this ignores it, as a shell does for what runs in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _say(_line(_HEADINGS))
    try:
        for name in asked.target or TARGETS:
            rows.append(_fuzzed(name, engine, asked, folder))
            _say(_line(rows[-1].cells()))
    except KeyboardInterrupt:
        _say("stopped")
        status = 130
    found = sum(row.findings for row in rows)
    _say(
        f"{len(rows)} targets, {sum(row.executions for row in rows):,} executions in "
        f"{sum(row.seconds for row in rows):.0f} s by {engine}, {found} findings, "
        f"at most {max((row.peak for row in rows), default=0)} MiB"
        + (f"; the inputs are in {folder}" if found else "")
    )
    return status or (1 if found else 0)


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make fuzz")
    parser.add_argument("--seconds", type=float, default=20, help="for each target (default 20)")
    parser.add_argument("--target", action="append", choices=list(TARGETS), metavar="NAME")
    parser.add_argument("--engine", choices=["atheris", "mutation"])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--findings", default=str(ROOT / ".cache" / "fuzz-findings"))
    parser.add_argument("--list", action="store_true", help="the names of the targets")
    return parser.parse_args()


def _engine() -> str:
    if importlib.util.find_spec("atheris"):
        return "atheris"
    _say("atheris is not installed for this Python: seeds are edited, without looking at coverage")
    return "mutation"


def _fuzzed(name: str, engine: str, asked: argparse.Namespace, folder: Path) -> Row:
    with tempfile.TemporaryDirectory(prefix="fuzzing-") as place:
        ledger, log = Path(place, "ledger"), Path(place, "log")
        own = Path(place, "findings")
        own.mkdir()
        command = [sys.executable, "-m", "tests.fuzz.child", name, str(asked.seconds), engine]
        command += [str(asked.seed), str(ledger), str(own)]
        environment = {**os.environ, "TMPDIR": place, "PYTHONHASHSEED": "0"}
        began = time.monotonic()
        with log.open("wb") as stream:
            child = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=stream, stderr=stream,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )  # fmt: skip
            status, peak = _ended(child, asked.seconds + _GRACE)
        took = time.monotonic() - began
        words = log.read_text("utf-8", "replace")
        with Ledger.opened(ledger) as done:
            executions, left = done.executions, done.input
        if status != 0 and left is None and not executions:
            raise SystemExit(f"{name} cannot be fuzzed:\n{words[-2000:]}")
        if left is not None:
            # It ended in the middle of an input: killed, or the interpreter itself crashed.
            (own / f"{name}-0").write_bytes(left)
            (own / f"{name}-0.txt").write_text(f"ended with status {status}\n\n{words[-4000:]}")
        found = 0
        for path in own.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
            found += path.suffix == ".txt"
        return Row(name, executions, took, _coverage(words), peak >> 10, found)


def _ended(child: subprocess.Popen[bytes], seconds: float) -> tuple[int, int]:
    """Exit status, and KiB of memory at the peak, of a process that is ended when it must be."""
    until = time.monotonic() + seconds
    try:
        while True:
            pid, status, used = os.wait4(child.pid, os.WNOHANG)
            if pid:
                child.returncode = os.waitstatus_to_exitcode(status)
                return child.returncode, used.ru_maxrss
            if time.monotonic() > until:
                os.killpg(child.pid, signal.SIGKILL)
            time.sleep(0.1)
    except KeyboardInterrupt:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        raise


def _coverage(words: str) -> str:
    """What the seeds reached, and what was reached besides, in the counts of atheris."""
    counts = [(found["what"], int(found["covered"])) for found in _COVERED.finditer(words)]
    first = next((count for what, count in counts if what == "INITED"), None)
    return "" if first is None else f"{first} +{counts[-1][1] - first}"


def _line(cells: tuple[str, ...]) -> str:
    name, *numbers = cells
    return f"{name:<22}" + "".join(f"{cell:>12}" for cell in numbers)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

"""A program: throws inputs at one target for some seconds, and writes down what it found.

    python -m tests.fuzz.child NAME SECONDS ENGINE SEED LEDGER FINDINGS

`ENGINE`: `atheris`, which is guided by what the inputs reach, or `mutation`, which is not. Run by
`tests.fuzz`, which watches over it. A finding does not end it: each is kept once, by its place.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
import time
import traceback
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fuzz.ledger import Ledger
    from tests.fuzz.target import Target

# Seconds that an input of less than 1 MiB may take.
PATIENCE = 20
# Bytes of address space.
_ROOM = 4 << 30
# Whose code atheris looks into.
_LOOKED_INTO = ["containers", "orchestrator", "reproducibility", "debian", "pyfatfs"]


class HungError(Exception):
    """An input takes longer than `PATIENCE`."""


class Watch:
    """A target under watch. `findings`: a folder for them."""

    def __init__(self, target: Target, ledger: Ledger, findings: Path) -> None:
        self._target = target
        self._ledger = ledger
        self._findings = findings
        self._known: set[str] = set()
        # What this process has taken before is no input's.
        self._most = _peak()

    def __call__(self, data: bytes) -> None:
        """Give an input to the target."""
        from tests.fuzz.target import LARGEST, MEMORY, place

        data = data[:LARGEST]
        self._ledger.begin(data)
        try:
            with _limited():
                self._target.accepts(data)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            self._keep(place(error), data, traceback.format_exc())
        peak = _peak()
        if peak > max(MEMORY, self._most):
            self._keep("memory", data, f"{peak >> 20} MiB")
            self._most = peak
        self._ledger.end()

    def _keep(self, where: str, data: bytes, words: str) -> None:
        if where in self._known:
            return
        self._known.add(where)
        name = f"{self._target.name}-{len(self._known)}"
        (self._findings / name).write_bytes(data)
        (self._findings / f"{name}.txt").write_text(f"{where}\n\n{words}\n")


def _peak() -> int:
    """The most memory that this process has taken, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _hung(_number: int, _frame: object) -> None:
    raise HungError(f"it takes longer than {PATIENCE} s")


def _guided(name: str, seconds: float, seed: int, ledger: Path, findings: Path) -> None:
    """Fuzz with atheris, which does not come back."""
    import atheris

    with atheris.instrument_imports(include=_LOOKED_INTO, enable_loader_override=False):
        from tests.fuzz.ledger import Ledger
        from tests.fuzz.mutation import drawn, mutated
        from tests.fuzz.targets import TARGETS

    from tests.fuzz.target import LARGEST

    target = TARGETS[name]
    corpus = ledger.parent / f"{name}.seeds"
    corpus.mkdir(exist_ok=True)
    for number, data in enumerate(target.seeds()):
        (corpus / str(number)).write_bytes(data)

    def mutate(data: bytes, most: int, number: int) -> bytes:
        random = Random(number)  # noqa: S311 - not a secret
        if random.getrandbits(1):
            return bytes(atheris.Mutate(data, most))
        return mutated(data, drawn(random))[:most]

    with Ledger.opened(ledger) as opened:
        arguments = [
            f"-max_total_time={max(1, round(seconds))}",
            f"-max_len={LARGEST}",
            f"-seed={seed or 1}",
            *("-rss_limit_mb=0", "-timeout=0", "-print_final_stats=1", str(corpus)),
        ]
        atheris.Setup(
            [sys.argv[0], *arguments], Watch(target, opened, findings), custom_mutator=mutate
        )
        atheris.Fuzz()


def _plain(name: str, seconds: float, seed: int, ledger: Path, findings: Path) -> None:
    """Fuzz with edits of the seeds alone."""
    from tests.fuzz.ledger import Ledger
    from tests.fuzz.mutation import drawn, mutated
    from tests.fuzz.targets import TARGETS

    target = TARGETS[name]
    seeds = [b"", *target.seeds()]
    random = Random(seed)  # noqa: S311 - not a secret
    until = time.monotonic() + seconds
    with Ledger.opened(ledger) as opened:
        watch = Watch(target, opened, findings)
        while time.monotonic() < until:
            watch(mutated(random.choice(seeds), drawn(random)))


def main() -> None:
    """Fuzz one target."""
    name, seconds, engine, seed, ledger, findings = sys.argv[1:]
    fuzz = _guided if engine == "atheris" else _plain
    signal.signal(signal.SIGALRM, _hung)
    # What goes far beyond what is allowed does not take the whole machine.
    resource.setrlimit(resource.RLIMIT_AS, (_ROOM, _ROOM))
    with contextlib.suppress(KeyboardInterrupt):
        fuzz(name, float(seconds), int(seed), Path(ledger), Path(findings))
    # What is left are folders of the scratch place: the interpreter's end removes them.
    sys.stdout.flush()


if __name__ == "__main__":
    os.environ.setdefault("PYTHONHASHSEED", "0")
    main()

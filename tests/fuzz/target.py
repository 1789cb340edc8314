"""What is fuzzed: a function that reads bytes, what it may answer, and bytes that it can read."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from reproducibility.errors import ComparisonError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Path(__file__).resolve().parents[2]
# What is asked of every parser: of less than so many bytes it makes at most so many of memory.
LARGEST = (1 << 20) - 1
MEMORY = 300 << 20

_ROOMS = tuple(f"{ROOT / room}/" for room in ("containers", "orchestrator", "reproducibility"))


def nothing() -> Sequence[bytes]:
    """No inputs."""
    return ()


@dataclass(frozen=True)
class Target:
    """A parser.

    `run`: gives it bytes. `seeds`: inputs that it can read. `refusals`: the errors that are an
    answer; anything else is a finding. `nasty`: further inputs, which ask for much memory or time.
    `examples`: how many a test tries; few where one takes long.
    """

    name: str
    run: Callable[[bytes], object]
    seeds: Callable[[], Sequence[bytes]]
    refusals: tuple[type[Exception], ...] = (InputError, ComparisonError)
    nasty: Callable[[], Sequence[bytes]] = nothing
    examples: int = 50

    def accepts(self, data: bytes) -> bool:
        """Whether it reads an input; False where it refuses it as it should.

        Raises:
            Exception: a finding.
        """
        try:
            self.run(data)
        except self.refusals:
            return False
        return True


def place(error: BaseException) -> str:
    """The innermost line of the project that an error came through, and what kind it is.

    Findings with the same place are one finding.
    """
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename.startswith(_ROOMS)]
    if not own:
        return type(error).__name__
    where = Path(own[-1].filename).relative_to(ROOT)
    return f"{type(error).__name__} in {where}, line {own[-1].lineno}"

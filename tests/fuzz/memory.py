"""A program: gives every target the worst of inputs, and prints what it takes of memory at most.

    python -m tests.fuzz.memory [NAME...]

The output is a JSON object: by target, the peak of the memory of a process that reads all its
inputs, in bytes. Inputs have less than 1 MiB.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import traceback
from typing import TYPE_CHECKING

from tests.fuzz.target import LARGEST
from tests.fuzz.targets import TARGETS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import NoReturn

    from tests.fuzz.target import Target

# Repeated up to the size: what nests, what is many, what is long.
_PATTERNS = (b"\0", b"\xff", b"[", b'{"a":', b"[[],", b"1", b"a\n", b"a/", b'"')


_ROOM = 2 << 30


def _inputs(target: Target) -> Iterator[bytes]:
    yield from target.nasty()
    yield from target.seeds()
    for pattern in _PATTERNS:
        yield pattern * (LARGEST // len(pattern))


def main() -> None:
    """Measure all targets, or those that are named; exit status 1 where one fails."""
    peaks = {}
    failed = False
    for name in sys.argv[1:] or TARGETS:
        inputs = list(_inputs(TARGETS[name]))
        peaks[name], ended_well = _peak(TARGETS[name], inputs)
        failed |= not ended_well
    sys.stdout.write(json.dumps(peaks))
    sys.exit(failed)


def _peak(target: Target, inputs: Sequence[bytes]) -> tuple[int, bool]:
    """Bytes of memory that a process of its own takes, and whether it met no error."""
    child = os.fork()
    if child == 0:
        _read(target, inputs)
    _, status, used = os.wait4(child, 0)
    return used.ru_maxrss << 10, status == 0


def _read(target: Target, inputs: Sequence[bytes]) -> NoReturn:
    status = 1
    # What goes far beyond what is allowed does not take the whole machine.
    resource.setrlimit(resource.RLIMIT_AS, (_ROOM, _ROOM))
    try:
        for data in inputs:
            if len(data) > LARGEST:
                raise ValueError(f"an input of {len(data)} bytes")  # noqa: TRY301 - told below
            target.accepts(data)
        status = 0
    except Exception:  # noqa: BLE001 - whatever it is, it is told
        sys.stderr.write(f"{target.name}: {traceback.format_exc(limit=-3)}\n")
    finally:
        # Nothing of the parent's is closed or removed.
        os._exit(status)


if __name__ == "__main__":
    main()

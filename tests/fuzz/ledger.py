"""What a fuzzing process has done, where another process sees it: also after a crash or a kill."""

from __future__ import annotations

import contextlib
import mmap
import struct
from typing import TYPE_CHECKING

from tests.fuzz.target import LARGEST

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Executions; bytes of the present input, and one more; then that input.
_HEAD = struct.Struct("<QQ")


class Ledger:
    """Executions, and the input that is being read just now, in a file that is mapped."""

    def __init__(self, mapped: mmap.mmap) -> None:
        self._mapped = mapped

    @classmethod
    @contextlib.contextmanager
    def opened(cls, path: Path) -> Iterator[Ledger]:
        """A ledger in a file, which is made where it is not there."""
        with path.open("a+b") as stream:
            stream.truncate(_HEAD.size + LARGEST)
            with mmap.mmap(stream.fileno(), _HEAD.size + LARGEST) as mapped:
                yield cls(mapped)

    @property
    def executions(self) -> int:
        """Inputs that were read to the end."""
        return int(_HEAD.unpack_from(self._mapped)[0])

    @property
    def input(self) -> bytes | None:
        """What is being read; None between two inputs."""
        _, size = _HEAD.unpack_from(self._mapped)
        return self._mapped[_HEAD.size : _HEAD.size + size - 1] if size else None

    def begin(self, data: bytes) -> None:
        """An input is about to be read."""
        self._mapped[_HEAD.size : _HEAD.size + len(data)] = data
        _HEAD.pack_into(self._mapped, 0, self.executions, len(data) + 1)

    def end(self) -> None:
        """It was."""
        _HEAD.pack_into(self._mapped, 0, self.executions + 1, 0)

"""Transcript of a serial line, written as it comes: a text log and an asciicast recording.

`<name>.log`: the lines that stayed on the screen. `<name>.cast`: everything with its times, in the
asciicast format, version 2 (https://docs.asciinema.org/manual/asciicast/v2/): a header, then one
`[seconds, "o", text]` a line.
"""

from __future__ import annotations

import codecs
import json
import os
import time
from typing import TYPE_CHECKING, Self

from orchestrator.qemu import screen
from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# What a serial line's shell takes for the size of its terminal.
COLUMNS, ROWS = 80, 24
# Bytes that are waited for the end of a line; a longer one comes in pieces.
_LONGEST_LINE = 1 << 16


class Transcript:
    """Both files of one boot, written while it is open; it stands in for a log file of pexpect.

    `log`, `cast`: their paths.
    """

    def __init__(
        self, folder: Path, name: str, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin anew.

        Raises:
            InfrastructureError: the folder cannot be written.
        """
        self.log = folder / f"{name}.log"
        self.cast = folder / f"{name}.cast"
        self._now = now
        self._began = now()
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._line = b""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._log = self.log.open("w", encoding="utf-8")
            self._cast = self.cast.open("w", encoding="utf-8")
        except OSError as error:
            raise InfrastructureError(
                f"cannot write the transcript: {error.strerror}",
                subject=str(error.filename),
                remedy="name a folder that you may write with --log",
            ) from error
        self._cast.write(json.dumps({"version": 2, "width": COLUMNS, "height": ROWS}) + "\n")

    @property
    def seconds(self) -> float:
        """Seconds since it began."""
        return self._now() - self._began

    def write(self, data: bytes) -> None:
        """Keep what came."""
        words = self._decoder.decode(data)
        if words:
            self._cast.write(json.dumps([round(self.seconds, 3), "o", words]) + "\n")
        *lines, self._line = (self._line + data).split(b"\n")
        if len(self._line) > _LONGEST_LINE:
            lines.append(self._line)
            self._line = b""
        for line in lines:
            self._log.write(screen.text(line.rstrip(b"\r")) + "\n")

    def flush(self) -> None:
        """Bring it to the disk's files, for somebody who reads along."""
        self._log.flush()
        self._cast.flush()

    @property
    def last_line(self) -> str:
        """The last line that is not empty, finished or not; empty where there is none."""
        unfinished = screen.text(self._line.rstrip(b"\r")).strip()
        if unfinished:
            return unfinished
        self.flush()
        with self.log.open("rb") as written:
            size = written.seek(0, os.SEEK_END)
            written.seek(max(0, size - 2 * _LONGEST_LINE))
            return screen.last_line(written.read())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._line:
            self._log.write(screen.text(self._line.rstrip(b"\r")) + "\n")
        self._log.close()
        self._cast.close()

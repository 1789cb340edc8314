"""Starts and ends the reaper process (`reap`), which outlives an orchestrator that is killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from reproducibility.errors import InfrastructureError

_PROGRAM = Path(__file__).with_name("reap.py")
_PATIENCE = 15.0


class Reaper:
    """The reaper process of one run."""

    def __init__(self, label: str) -> None:
        """Start it; `label`: `key=value`, which everything of the run carries.

        Raises:
            InfrastructureError: it cannot be started.
        """
        request = {
            "label": label,
            "parent": os.getpid(),
            "path": [path or "." for path in sys.path],
        }
        descriptor, self._out = os.pipe()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - argv list, no shell
                [sys.executable, "-I", str(_PROGRAM), json.dumps(request)],
                stdin=descriptor,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            os.close(self._out)
            raise InfrastructureError(f"cannot start the reaper: {error.strerror}") from error
        finally:
            os.close(descriptor)

    def close(self, *, clean: bool) -> None:
        """Let it end: at once where nothing is left (`clean`), else when it has removed that.

        It is not waited for long: an engine that does not answer is asked by it for a minute more.
        """
        with suppress(BrokenPipeError):
            if clean:
                os.write(self._out, b"c")
        os.close(self._out)
        try:
            self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            # Nobody will wait for it any more, and that is how it is meant.
            self._process.returncode = 0

"""Programs that read images, run with an environment made from nothing."""

from __future__ import annotations

import os
import subprocess


def run(program: str, *arguments: object) -> tuple[int, str]:
    """The exit status and all that was written."""
    environment = {
        "PATH": os.environ["PATH"],
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        "MTOOLSRC": os.devnull,
    }
    done = subprocess.run(
        [program, *map(str, arguments)],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    return done.returncode, done.stdout.decode()

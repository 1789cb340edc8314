"""Programs that read FAT images, run with an environment made from nothing."""

from __future__ import annotations

import os
import shutil
import subprocess

# dosfstools installs into sbin, which is not on every user's PATH.
_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
_ENVIRONMENT = {"PATH": _PATH, "LC_ALL": "C.UTF-8", "TZ": "UTC", "MTOOLSRC": os.devnull}


def find(program: str) -> str | None:
    return shutil.which(program, path=_PATH)


def run(program: str, *arguments: object) -> tuple[int, str]:
    """The exit status and all that was written."""
    command = [find(program) or program, *map(str, arguments)]
    done = subprocess.run(
        command,
        env=_ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    return done.returncode, done.stdout.decode()

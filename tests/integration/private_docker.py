"""A container engine of our own for tests: started, and stopped so that nothing of it is left."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import Self

import docker
import pytest

_PATIENCE = 60.0
_PAUSE = 0.1
_MNT_DETACH = 2
_MOUNT_POINT = 4


class PrivateDocker:
    """`dockerd` with its own socket, folders and containerd, and no bridge or firewall rule.

    `hidden`: a folder that it sees empty, as an engine on another machine would.
    """

    def __init__(self, program: str, folder: Path, hidden: Path | None = None) -> None:
        # Who starts it may be killed.
        self._command = ["setpriv", "--pdeathsig", "TERM", program]
        if hidden is not None:
            covered = 'mount -t tmpfs none "$0" && exec "$@"'
            within = ["unshare", "--mount", "sh", "-c", covered, str(hidden)]
            self._command = [*within, *self._command]
        self._folder = folder
        self.host = f"unix://{folder / 'docker.sock'}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True)
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *self._command,
                    *("--data-root", str(self._folder / "data")),
                    *("--exec-root", str(self._folder / "exec")),
                    *("--pidfile", str(self._folder / "pid")),
                    *("--host", self.host),
                    *("--bridge", "none", "--iptables=false", "--ip-masq=false"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            self._wait()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _wait(self) -> None:
        deadline = time.monotonic() + _PATIENCE
        while True:
            if self._listens():
                with closing(docker.DockerClient(self.host, timeout=60)) as client:
                    client.ping()
                return
            ended = self._process is None or self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                said = (self._folder / "log").read_text(errors="replace")[-2000:]
                pytest.skip(f"dockerd does not start here: {said}")
            time.sleep(_PAUSE)

    def _listens(self) -> bool:
        """Whether the socket can be connected (the library leaves one open that it could not)."""
        with closing(socket.socket(socket.AF_UNIX)) as connection, suppress(OSError):
            connection.connect(self.host.removeprefix("unix://"))
            return True
        return False

    def close(self) -> None:
        """Stop the engine and its containerd, unmount what they left, remove the folder."""
        containerd = self._containerd()
        if self._process is not None:
            _end(self._process)
        if containerd is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(containerd, signal.SIGKILL)
            os.close(containerd)
        library = ctypes.CDLL(None, use_errno=True)
        for point in _mounts_below(self._folder):
            library.umount2(os.fsencode(point), _MNT_DETACH)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _containerd(self) -> int | None:
        """A descriptor of its containerd, which stays that process's even when it has ended."""
        with suppress(OSError, ValueError):
            return os.pidfd_open(int((self._folder / "exec/containerd/containerd.pid").read_text()))
        return None


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _mounts_below(folder: Path) -> list[str]:
    """Mount points below a folder, the innermost first."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [line.split()[_MOUNT_POINT].encode().decode("unicode_escape") for line in lines]
    return sorted((point for point in points if Path(point).is_relative_to(folder)), reverse=True)

"""What hostile attempts reach for on the machine, and whether any of it was touched.

Everything here belongs to the tests: sockets that listen, a file, a process, keys, System V
objects. An attempt's own word is not enough: afterwards all of it is looked at from outside.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

_ADD_KEY = {"x86_64": 248, "aarch64": 217, "riscv64": 217}
_KEYCTL = {"x86_64": 250, "aarch64": 219, "riscv64": 219}
_SEARCH, _UNLINK = 10, 9
_RINGS = {"session": -3, "user": -4}
_IPC_CREAT = 0o1000
_IPC_RMID = 0
_EVENT = Path("/sys/devices/virtual/mem/null/uevent")
SECRET = "what no action may read"  # noqa: S105 - for nobody


class Machine:
    """What is there to be reached while it is open."""

    def __init__(self, folder: Path) -> None:
        """`folder`: where the secret file and a socket lie; everybody may look into it."""
        self._folder = folder
        self._library = ctypes.CDLL(None, use_errno=True)
        self._stack = ExitStack()
        self._connected: list[str] = []
        self._ending = threading.Event()
        self.token = f"token-{secrets.token_hex(8)}"
        self._queue = 0x50000000 | int.from_bytes(os.urandom(3)) << 1
        self._port = 0
        self._host = socket.gethostname()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._secret = self._folder / "secret"
            self._secret.write_text(SECRET)
            self._secret.chmod(0o644)
            for name, family, kind, address in self._addresses():
                listening = stack.enter_context(closing(socket.socket(family, kind)))
                listening.bind(address)
                self._port = self._port or listening.getsockname()[1]
                self._hear(name, listening, stack)
            (self._folder / "socket").chmod(0o666)
            self._victim = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
            stack.callback(self._victim.wait)
            stack.callback(self._victim.kill)
            for ring in _RINGS:
                self._plant(ring)
                stack.callback(self._take_away, ring, self._key)
            stack.callback(self._remove_shared, self._queue)
            self._shared(self._queue, _IPC_CREAT | 0o666)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ending.set()
        self._stack.close()

    def _addresses(self) -> Iterator[tuple[str, int, int, Any]]:
        yield "TCP", socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0)
        with suppress(OSError), socket.create_server(("::1", 0), family=socket.AF_INET6):
            yield "TCP on IPv6", socket.AF_INET6, socket.SOCK_STREAM, ("::1", self._port)
        yield "UDP", socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", self._port)
        yield "abstract socket", socket.AF_UNIX, socket.SOCK_STREAM, "\0" + self.token
        yield "socket", socket.AF_UNIX, socket.SOCK_STREAM, str(self._folder / "socket")

    def _hear(self, name: str, listening: socket.socket, stack: ExitStack) -> None:
        listening.settimeout(0.1)
        datagrams = listening.type == socket.SOCK_DGRAM
        if not datagrams:
            listening.listen()

        def wait() -> None:
            while not self._ending.is_set():
                with suppress(TimeoutError):
                    if datagrams:
                        listening.recv(1)
                    else:
                        listening.accept()[0].close()
                    self._connected.append(name)

        thread = threading.Thread(target=wait)
        thread.start()
        stack.callback(thread.join)
        stack.callback(self._ending.set)

    def order(self) -> dict[str, object]:
        """What the program is told of it."""
        return {
            "Port": self._port,
            "Abstract": self.token,
            "Socket": str(self._folder / "socket"),
            "Secret": str(self._secret),
            "Process": self._victim.pid,
            "Key": self._key,
            "Queue": self._queue,
            "Token": self.token,
        }

    def tell_of_devices(self) -> None:
        """Have the kernel say over and over that a device changed, while it is open."""
        if not os.access(_EVENT, os.W_OK):
            return

        def tell() -> None:
            while not self._ending.wait(0.2):
                _EVENT.write_text("change")

        thread = threading.Thread(target=tell)
        thread.start()
        self._stack.callback(thread.join)
        self._stack.callback(self._ending.set)

    def harm(self) -> list[str]:
        """What was done to it; empty where nothing was."""
        found = [f"{name} was reached" for name in sorted(set(self._connected))]
        if self._victim.poll() is not None:
            found.append("the process has ended")
        if self._secret.read_text() != SECRET:
            found.append("the file was changed")
        if socket.gethostname() != self._host:
            found.append("the host name was changed")
        found += [f"a key was left in the {ring} keyring" for ring in _RINGS if self._left(ring)]
        if self._shared(self._queue + 1, 0):
            found.append("System V objects are left")
            self._remove_shared(self._queue + 1)
        found += [f"process {pid} is left" for pid in self.processes()]
        return found

    def processes(self) -> list[int]:
        """Process ids of what an action started."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                line = (process / "cmdline").read_bytes()
                if line.startswith(b"/bin/hostile") and self.token.encode() in line:
                    found.append(int(process.name))
        return found

    @property
    def _key(self) -> str:
        return f"key-{self.token}"

    def _plant(self, ring: str) -> None:
        data = SECRET.encode()
        self._call(_ADD_KEY, b"user", self._key.encode(), data, len(data), _RINGS[ring])

    def _left(self, ring: str) -> bool:
        return self._take_away(ring, f"planted-{self.token}")

    def _take_away(self, ring: str, name: str) -> bool:
        number = self._call(_KEYCTL, _SEARCH, _RINGS[ring], b"user", name.encode(), 0)
        if number < 0:
            return False
        self._call(_KEYCTL, _UNLINK, number, _RINGS[ring])
        return True

    def _call(self, numbers: dict[str, int], *arguments: bytes | int) -> int:
        typed = [ctypes.c_long(part) if isinstance(part, int) else part for part in arguments]
        number = ctypes.c_long(numbers[os.uname().machine])
        return int(self._library.syscall(number, *typed))

    def _shared(self, key: int, flags: int) -> bool:
        """Whether there are System V objects of a key, made if the flags say so."""
        found = [
            self._library.shmget(key, ctypes.c_size_t(4096 if flags else 1), flags),
            self._library.semget(key, 1 if flags else 0, flags),
            self._library.msgget(key, flags),
        ]
        return any(number >= 0 for number in found)

    def _remove_shared(self, key: int) -> None:
        self._library.shmctl(self._library.shmget(key, ctypes.c_size_t(1), 0), _IPC_RMID, None)
        self._library.semctl(self._library.semget(key, 0, 0), 0, _IPC_RMID)
        self._library.msgctl(self._library.msgget(key, 0), _IPC_RMID, None)

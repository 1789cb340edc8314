"""A connection that can be cut: it hands on bytes until it is told to stop."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self

_PIECE = 1 << 16


class Proxy:
    """Listens on a port of 127.0.0.1 and hands on to another one; a context manager."""

    def __init__(self, port: int) -> None:
        """`port`: where connections lead to."""
        self._to = port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    @property
    def port(self) -> int:
        """Where it listens."""
        found: int = self._listening.getsockname()[1]
        return found

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.cut()

    def cut(self) -> None:
        """Cut all connections that there are."""
        with self._lock:
            cut, self._open = self._open, set()
        for one in cut:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                inner, _ = self._listening.accept()
                try:
                    outer = socket.create_connection(("127.0.0.1", self._to))
                except OSError:
                    inner.close()  # nobody is there now
                    continue
                with self._lock:
                    self._open |= {inner, outer}
                for pair in ((inner, outer), (outer, inner)):
                    threading.Thread(target=self._hand_on, args=pair, daemon=True).start()

    def _hand_on(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(_PIECE):
                sink.sendall(piece)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

"""A stream from a container engine is closed before anything else is asked of the engine."""

from __future__ import annotations

import socketserver
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING

import pytest

from containers.docker.api import Api
from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PIECE = bytes(1 << 16)
_PATIENCE = 30.0


class Server(socketserver.ThreadingUnixStreamServer):
    """An engine that keeps a container from being removed as long as it sends from it."""

    daemon_threads = True
    asked: list[str]
    sending: threading.Lock
    waited: bool


class Handler(BaseHTTPRequestHandler):
    """Answers what the library asks of it."""

    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def address_string(self) -> str:
        """A socket in a folder has no address."""
        return ""

    def _say(self, status: int, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        """The version, and an archive that has no end."""
        self.server.asked.append(self.path)
        if self.path.endswith("/version"):
            self._say(200, b'{"ApiVersion": "1.44"}')
        elif "absent" in self.path:
            self._say(404, b'{"message": "no such file"}')
        elif "broken" in self.path:
            self._say(500, b'{"message": "the disk is broken"}')
        else:
            assert self.headers["Accept-Encoding"] == "identity"
            with self.server.sending, suppress(OSError):
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                while True:
                    self.wfile.write(b"%x\r\n" % len(_PIECE) + _PIECE + b"\r\n")
            self.close_connection = True

    def do_DELETE(self) -> None:
        """A container is removed when nothing is sent from it any more."""
        self.server.asked.append(self.path)
        self.server.waited = self.server.sending.acquire(timeout=_PATIENCE)
        self._say(204, b"")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    place = tmp_path / "docker.sock"
    monkeypatch.setenv("DOCKER_HOST", f"unix://{place}")
    with Server(str(place), Handler) as server:
        server.asked, server.sending = [], threading.Lock()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.mark.parametrize("path", ["/work/out", None], ids=["archive", "export"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_an_error_closes_the_stream_before_the_container_is_removed(
    server: Server, path: str | None, error: BaseException
) -> None:
    api = Api()

    def fetch() -> None:
        try:
            with api.tar("fetch", "c", path) as pieces:
                assert pieces is not None
                next(pieces)
                raise error
        finally:
            api.remove_container("c")

    with pytest.raises(type(error)):
        fetch()
    api.close()
    assert server.waited
    wanted = "export" if path is None else "archive?path=%2Fwork%2Fout"
    assert [asked.rpartition("/")[2] for asked in server.asked][1:] == [
        wanted,
        "c?v=True&link=False&force=True",
    ]


def test_what_is_not_there_and_what_fails_is_said(server: Server) -> None:
    api = Api()
    with api.tar("fetch", "c", "/absent") as pieces:
        assert pieces is None
    with (
        pytest.raises(InfrastructureError, match="cannot fetch: the disk is broken"),
        api.tar("fetch", "c", "/broken"),
    ):
        pytest.fail("not reached")
    api.close()
    assert len(server.asked) == 3

"""Errors of a container engine in the project's words, and retries only for what may pass."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import docker
import pytest
import requests
from docker.errors import APIError, DockerException, NotFound

from containers import registry
from containers.docker import address as docker_address
from containers.docker import api as docker_api
from containers.docker.api import Api, asking
from containers.sandbox.engine import SandboxEngine
from orchestrator import doctor
from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def refusal(status: int, words: str = "words") -> APIError:
    response = requests.Response()
    response.status_code = status
    kind = NotFound if status == 404 else APIError
    return kind(words, response=response, explanation=words)


class Client:
    """A client that answers as told, an exception by raising it."""

    def __init__(self, *answers: object) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, Any]] = []
        self.closed = False

    def _answer(self, what: str, subject: object = None) -> object:
        self.asked.append((what, subject))
        answer = self.answers.pop(0) if self.answers else None
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def info(self) -> object:
        return self._answer("info")

    def remove_container(self, name: str, **_: object) -> None:
        self._answer("remove container", name)

    def remove_volume(self, name: str, **_: object) -> None:
        self._answer("remove volume", name)

    def containers(self, **wanted: object) -> object:
        return self._answer("containers", wanted["filters"])

    def volumes(self, **wanted: object) -> object:
        return self._answer("volumes", wanted["filters"])

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """No waiting between attempts."""
    monkeypatch.setattr(time, "sleep", lambda _: None)


def api(client: Client) -> Api:
    found = Api()
    found._idle.append(client)  # type: ignore[arg-type] # as far as it is used
    return found


@pytest.mark.parametrize(
    "passing",
    [refusal(503), refusal(502), requests.ConnectionError("reset"), requests.Timeout("slow")],
)
def test_what_may_pass_is_asked_again(passing: Exception) -> None:
    client = Client(passing, passing, {"ID": "x"})
    assert api(client).ask("say", lambda lent: lent.info()) == {"ID": "x"}
    assert len(client.asked) == 3


@pytest.mark.parametrize("final", [refusal(404), refusal(409), refusal(500), DockerException("no")])
def test_what_is_final_is_not(final: Exception) -> None:
    client = Client(final, {"ID": "x"})
    with pytest.raises(InfrastructureError, match="cannot say what it is"):
        api(client).ask("say what it is", lambda lent: lent.info())
    assert len(client.asked) == 1


def test_what_does_not_pass_is_given_up() -> None:
    client = Client(*[refusal(503)] * 9)
    with pytest.raises(InfrastructureError, match="words"):
        api(client).ask("say", lambda lent: lent.info())
    assert len(client.asked) == 5


def test_errors_say_where_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://engine:2375")
    with pytest.raises(InfrastructureError) as refused, asking("do it"):
        raise refusal(500, "the disk is full")
    assert refused.value.summary == "the container engine cannot do it: the disk is full"
    assert refused.value.subject == "tcp://engine:2375"
    assert "--engine sandbox" in refused.value.remedy


@pytest.mark.parametrize("scheme", ["tcp", "ssh", "https"])
def test_errors_show_no_password_of_the_engines_address(
    monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    address = f"{scheme}://me:s3cret@engine:2375"
    monkeypatch.setenv("DOCKER_HOST", address)
    with pytest.raises(InfrastructureError) as refused, asking("do it"):
        raise DockerException(f"Invalid bind address format: {address}, or (me, s3cret)")
    assert "s3cret" not in str(refused.value)
    assert refused.value.subject.endswith("@engine:2375")


def test_other_errors_are_not_touched() -> None:
    with pytest.raises(KeyError), asking("do it"):
        raise KeyError


@pytest.mark.parametrize(
    "fine", [refusal(404), refusal(409, "removal of container x is already in progress")]
)
def test_removing_what_goes_is_fine(fine: Exception) -> None:
    api(Client(fine)).remove_container("x")
    api(Client(refusal(404))).remove_volume("x")


def test_removing_what_is_in_use_is_an_error() -> None:
    with pytest.raises(InfrastructureError, match="volume is in use"):
        api(Client(refusal(409, "volume is in use"))).remove_volume("x")


def test_everything_with_a_label_is_removed() -> None:
    client = Client([{"Id": "c1"}, {"Id": "c2"}], None, None, {"Volumes": [{"Name": "v1"}]}, None)
    assert api(client).remove_labelled("key=value") == 3
    assert client.asked == [
        ("containers", {"label": "key=value"}),
        *(("remove container", "c1"), ("remove container", "c2")),
        *(("volumes", {"label": "key=value"}), ("remove volume", "v1")),
    ]
    assert api(Client([], {"Volumes": None})).remove_labelled("key=value") == 0


def test_clients_are_lent_given_back_and_closed() -> None:
    client = Client()
    pool = api(client)
    with pool.lend("ask") as lent:
        assert id(lent) == id(client)
        assert not pool._idle
    with pytest.raises(InfrastructureError), pool.lend("ask"):
        raise refusal(500)
    assert len(pool._idle) == 1
    pool.close()
    assert client.closed
    assert not pool._idle


def test_nobody_at_the_socket_is_found_out_before_the_library_asks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(docker, "from_env", lambda **_: pytest.fail("asked"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/absent.sock")
    with pytest.raises(InfrastructureError, match="No such file or directory"):
        Api().ask("say", lambda client: client.info())
    deaf = tmp_path / "deaf.sock"
    with closing(socket.socket(socket.AF_UNIX)) as bound:
        bound.bind(str(deaf))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{deaf}")
    with pytest.raises(InfrastructureError, match="Connection refused"):
        Api().ask("say", lambda client: client.info())


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "ssh://user@engine"])
def test_other_addresses_are_left_to_the_library(
    monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)
    docker_address.knock()


@pytest.mark.parametrize(
    ("address", "words", "remedy"),
    [
        ("ssh://root:secret@box:22", "not reached by ssh", "docker.sock -p 22 root@box`"),
        ("ssh://box", "not reached by ssh", "docker.sock box`"),
        ("unix://run/docker.sock", "relative path", "from the root on"),
        ("tcp://box", "no port", "tcp://host:port"),
        ("tcp://box:99999", "Port out of range", "tcp://host:port"),
        ("tcp://[::1:2375", "Invalid IPv6", "tcp://host:port"),
        ("box", "no port", "tcp://host:port"),
        ("tcp://user:s3cr/secret@127.0.0.1:9", "port is no number", "tcp://host:port"),
        ("tcp://user:123/secret@127.0.0.1:9", "holds a /", "%2F"),
        ("ssh://user:123?secret@box", "holds a /", "%3F"),
        ("fd://3", "fd:// is no way", "unix:///path"),
        ("npipe:////./pipe/engine", "npipe:// is no way", "unix:///path"),
        ("sssh://box", "sssh:// is no way", "tcp://host:port"),
    ],
)
def test_an_address_of_no_use_is_refused_in_fitting_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, address: str, words: str, remedy: str
) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)
    monkeypatch.setattr(docker, "from_env", lambda **_: pytest.fail("asked"))
    with pytest.raises(InfrastructureError, match=words) as refused:
        registry.connect("docker", tmp_path)
    assert remedy in refused.value.remedy
    assert "--engine sandbox" in refused.value.remedy
    assert "set DOCKER_HOST to one" not in refused.value.remedy
    said = str(refused.value.diagnostics())
    assert not [part for part in ("secret", "s3cr", "123") if part in said]


@pytest.fixture(params=["silent", "dribbling", "about"])
def stuck(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An engine that takes connections and then says nothing, or a byte now and then, or only its
    version.
    """
    kept: list[socket.socket] = []
    over = threading.Event()

    def serve(connection: socket.socket) -> None:
        with suppress(OSError):
            connection.recv(4096)
            if request.param == "about" and connection is kept[0]:
                said = b'{"ApiVersion": "1.44"}'
                head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
                connection.sendall(head + b"%d\r\n\r\n" % len(said) + said)
            while request.param == "dribbling" and not over.wait(0.1):
                connection.sendall(b"H")

    def listen(listening: socket.socket) -> None:
        with suppress(OSError):
            while not over.is_set():
                connection, _ = listening.accept()
                kept.append(connection)
                threading.Thread(target=serve, args=(connection,)).start()

    place = tmp_path / "stuck.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(place))
        listening.listen()
        thread = threading.Thread(target=listen, args=(listening,))
        thread.start()
        yield f"unix://{place}"
        over.set()
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()
        for connection in kept:
            connection.close()


@pytest.mark.parametrize("ask", ["docker", "auto", "doctor"])
def test_an_engine_that_stays_silent_is_given_up_within_seconds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, stuck: str, ask: str
) -> None:
    assert docker_address.PATIENCE <= 10
    monkeypatch.setattr(docker_address, "PATIENCE", 1)
    monkeypatch.setattr(docker_api, "_LONGEST_FIRST", 1.5)
    monkeypatch.setattr("containers.sandbox.bubblewrap.find", lambda: "/bwrap")
    monkeypatch.setattr(SandboxEngine, "check", lambda _: None)
    monkeypatch.setenv("DOCKER_HOST", stuck)
    if ask == "auto":
        assert registry.connect("auto", tmp_path).name == "sandbox"
        return
    if ask == "doctor":
        found = {finding.name: finding for finding in doctor.engines()}["engine docker"]
        words, remedy = found.found, found.remedy
    else:
        with pytest.raises(InfrastructureError) as refused:
            registry.connect("docker", tmp_path)
        words, remedy = refused.value.summary, refused.value.remedy
    assert "takes the connection and does not answer within" in words
    assert "restart it if it hangs" in remedy


def test_an_engine_that_is_none_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(**_: object) -> None:
        raise TypeError("not what an engine says")

    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    monkeypatch.setattr(docker, "from_env", none)
    with pytest.raises(InfrastructureError, match="what is there is none"):
        Api().meet()

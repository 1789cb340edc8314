"""Errors of a container engine in the project's words, and retries only for what may pass."""

from __future__ import annotations

import socket
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import docker
import pytest
import requests
from docker.errors import APIError, DockerException, NotFound

from containers import docker_address
from containers.docker_api import Api, asking
from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
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

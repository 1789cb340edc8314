"""Talks to a container engine: one client a thread, errors in the project's words, retries.

Only what asks or removes is retried, and only on errors that may pass: a lost connection, a busy
engine.
"""

from __future__ import annotations

import threading
from concurrent.futures import Future
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import docker
import requests
import tenacity
from docker.errors import (
    APIError,
    DockerException,
    NotFound,
    create_api_error_from_http_exception,
)

from containers.docker import address
from reproducibility.errors import InfrastructureError
from reproducibility.redaction import redact, secrets_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from docker.api.client import APIClient

# Seconds that the engine may take to answer. Filling a volume or removing a large one takes long.
_TIMEOUT = 300
# Seconds for the first questions together, however slowly bytes dribble in.
_LONGEST_FIRST = 1.5 * address.PATIENCE
_PASSING = frozenset({429, 502, 503, 504})
_CONFLICT = 409
_PIECE = 1 << 20
_Result = TypeVar("_Result")


class Api:
    """A container engine's API, as the environment says where it is (DOCKER_HOST and the like)."""

    def __init__(self) -> None:
        self._idle: list[APIClient] = []
        self._lock = threading.Lock()

    @contextmanager
    def lend(self, what: str) -> Iterator[APIClient]:
        """A client that no other thread uses meanwhile; `what` completes "cannot ...".

        Raises:
            InfrastructureError: no engine answers, or it refuses what is asked of it.
        """
        with asking(what):
            with self._lock:
                client = self._idle.pop() if self._idle else None
            if client is None:
                address.knock()
                client = _client(_TIMEOUT)
            try:
                yield client
            finally:
                with self._lock:
                    self._idle.append(client)

    def meet(self) -> dict[str, Any]:
        """Return what the engine says of itself: the first request, answered within seconds.

        Raises:
            InfrastructureError: no engine, or one that takes the connection and stays silent.
        """
        address.check()
        address.knock()
        client, about = _within(_LONGEST_FIRST, _introduced)
        client.timeout = _TIMEOUT
        with self._lock:
            self._idle.append(client)
        return about

    def ask(self, what: str, question: Callable[[APIClient], _Result]) -> _Result:
        """Ask something that can be asked again.

        Raises:
            InfrastructureError: no answer, or a refusal.
        """
        with self.lend(what) as client:
            return _retrying(question, client)

    @contextmanager
    def tar(
        self, what: str, container: str, path: str | None = None
    ) -> Iterator[Iterator[bytes] | None]:
        """A path of a container as a tar stream, or all its files; None where there is no such.

        On leaving, the connection is closed, however much of the stream has been read: as long as
        the engine has something to send, it keeps the container from being removed.

        Raises:
            InfrastructureError: no answer, or a refusal.
        """
        with self.lend(what) as client:
            place = f"{client.base_url}/v{client.api_version}/containers/{container}"
            answer = client.get(
                f"{place}/export" if path is None else f"{place}/archive",
                params={} if path is None else {"path": path},
                # Else it would be compressed, which takes longer than to send it.
                headers={"Accept-Encoding": "identity"},
                stream=True,
                timeout=client.timeout,
            )
            with closing(answer):
                if answer.status_code == requests.codes.not_found:
                    yield None
                else:
                    _check(answer)
                    yield answer.iter_content(_PIECE)

    def close(self) -> None:
        """Close the connections; the API can still be used afterwards."""
        with self._lock:
            idle, self._idle = self._idle, []
        for client in idle:
            client.close()

    def remove_container(self, container: str) -> None:
        """Remove a container, running or not; one that is gone is fine."""

        def remove(client: APIClient) -> None:
            with _gone_is_fine():
                client.remove_container(container, force=True, v=True)

        self.ask("remove a container", remove)

    def remove_volume(self, volume: str) -> None:
        """Remove a volume; one that is gone is fine."""

        def remove(client: APIClient) -> None:
            with _gone_is_fine():
                client.remove_volume(volume, force=True)

        self.ask("remove a volume", remove)

    def remove_labelled(self, label: str) -> int:
        """Remove all containers and volumes with a label (`key=value`); how many there were."""
        wanted = {"label": label}
        containers = self.ask(
            "list containers", lambda client: client.containers(all=True, filters=wanted)
        )
        for container in containers:
            self.remove_container(container["Id"])
        volumes = self.ask("list volumes", lambda client: client.volumes(filters=wanted))
        found = volumes.get("Volumes") or []
        for volume in found:
            self.remove_volume(volume["Name"])
        return len(containers) + len(found)


def _check(answer: requests.Response) -> None:
    try:
        answer.raise_for_status()
    except requests.HTTPError as error:
        create_api_error_from_http_exception(error)


def _client(seconds: int) -> APIClient:
    return docker.from_env(timeout=seconds, use_ssh_client=True).api


def _introduced() -> tuple[APIClient, dict[str, Any]]:
    """A client, and what the engine says of itself. Any of its errors means: no such engine."""
    with asking("say what it is"):
        try:
            client = _client(address.PATIENCE)
            # Which parts it is made of is told apart from the rest.
            parts = client.version(api_version=False).get("Components")
            return client, {**client.info(), "Components": parts}
        except (DockerException, requests.RequestException) as error:
            if _silent(error):
                raise _silence(address.PATIENCE) from error
            raise
        except Exception as error:
            raise DockerException(f"what is there is none: {error}") from error


def _within(seconds: float, question: Callable[[], _Result]) -> _Result:
    """The answer to a question, however slowly the other side dribbles bytes.

    Raises:
        InfrastructureError: it took longer; or what the question raises.
    """
    answer: Future[_Result] = Future()

    def ask() -> None:
        try:
            answer.set_result(question())
        except BaseException as error:  # noqa: BLE001 - it belongs to the one who asked
            answer.set_exception(error)

    threading.Thread(target=ask, name="first question", daemon=True).start()
    try:
        return answer.result(seconds)
    except TimeoutError as error:
        raise _silence(seconds) from error


def _silence(seconds: float) -> InfrastructureError:
    return InfrastructureError(
        f"the container engine takes the connection and does not answer within {seconds:.0f} s",
        subject=address.shown(),
        remedy=f"restart it if it hangs; {address.remedy()}",
    )


def _silent(error: BaseException | None) -> bool:
    """Return whether an error, or what it came of, is a time-out."""
    while error is not None:
        if isinstance(error, requests.Timeout):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Turn the engine's errors into the project's; `what` completes "cannot ..."."""
    try:
        yield
    except (DockerException, requests.RequestException) as error:
        words = error.explanation if isinstance(error, APIError) else None
        told = redact(str(words or error), secrets_of([address.address()]))
        raise InfrastructureError(
            f"the container engine cannot {what}: {told}",
            subject=address.shown(),
            remedy=address.remedy(),
        ) from error


@contextmanager
def _gone_is_fine() -> Iterator[None]:
    try:
        yield
    except NotFound:
        pass
    except APIError as error:
        # "removal of container ... is already in progress"
        if error.status_code != _CONFLICT or "already in progress" not in str(error):
            raise


def _retrying(question: Callable[[APIClient], _Result], client: APIClient) -> _Result:
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_may_pass),
        wait=tenacity.wait_random_exponential(multiplier=0.2, max=4),
        stop=tenacity.stop_after_attempt(5),
        reraise=True,
    )
    return retrying(question, client)


def _may_pass(error: BaseException) -> bool:
    if isinstance(error, APIError):
        return error.status_code in _PASSING
    return isinstance(error, requests.ConnectionError | requests.Timeout)

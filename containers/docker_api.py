"""Talks to a container engine: one client a thread, errors in the project's words, retries.

Only what asks or removes is retried, and only on errors that may pass: a lost connection, a busy
engine.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import docker
import requests
import tenacity
from docker.errors import APIError, DockerException, NotFound

from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from docker.api.client import APIClient

# Seconds that the engine may take to answer. Filling a volume or removing a large one takes long.
_TIMEOUT = 300
_PASSING = frozenset({429, 502, 503, 504})
_CONFLICT = 409
_Result = TypeVar("_Result")


class Api:
    """A container engine's API, as the environment says where it is (DOCKER_HOST and the like)."""

    def __init__(self) -> None:
        self._local = threading.local()

    @property
    def client(self) -> APIClient:
        """This thread's client.

        Raises:
            InfrastructureError: no engine answers.
        """
        client: APIClient | None = getattr(self._local, "client", None)
        if client is None:
            with asking("say what it is"):
                client = docker.from_env(timeout=_TIMEOUT, use_ssh_client=True).api
            self._local.client = client
        return client

    def ask(self, what: str, question: Callable[[APIClient], _Result]) -> _Result:
        """Ask something that can be asked again.

        Raises:
            InfrastructureError: no answer, or a refusal; `what` completes "cannot ...".
        """
        with asking(what):
            return _retrying(question, self.client)

    def remove_container(self, container: str) -> None:
        """Remove a container, running or not; one that is gone is fine."""

        def remove(client: APIClient) -> None:
            client.remove_container(container, force=True, v=True)

        with asking("remove a container"), _gone_is_fine():
            _retrying(remove, self.client)

    def remove_volume(self, volume: str) -> None:
        """Remove a volume; one that is gone is fine."""

        def remove(client: APIClient) -> None:
            client.remove_volume(volume, force=True)

        with asking("remove a volume"), _gone_is_fine():
            _retrying(remove, self.client)

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


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Turn the engine's errors into the project's; `what` completes "cannot ..."."""
    try:
        yield
    except (DockerException, requests.RequestException) as error:
        words = error.explanation if isinstance(error, APIError) else None
        raise InfrastructureError(
            f"the container engine cannot {what}: {words or error}",
            subject=os.environ.get("DOCKER_HOST", "the engine's usual address"),
            remedy="start a container engine or set DOCKER_HOST to one, or use --engine sandbox",
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

"""How a container is started, and what its init says where it cannot run the command."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
from docker.errors import APIError

from containers.docker import watch
from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from pathlib import Path

    from docker.api.client import APIClient

_FATAL = "[FATAL tini (7)] exec /bin/nothing failed: No such file or directory\n"


class Client:
    """Starts nothing, and says why."""

    def __init__(self, words: str) -> None:
        self._words = words

    def start(self, container: str) -> None:
        raise APIError(f"{container}: {self._words}", explanation=self._words)


def test_an_engine_without_an_init_is_told_from_other_failures() -> None:
    lacking = Client('exec: "docker-init": executable file not found in $PATH')
    with pytest.raises(InfrastructureError, match="has no init") as caught:
        watch._start(cast("APIClient", lacking), "container")
    assert "docker-init" in caught.value.remedy
    with pytest.raises(APIError, match="no space"):
        watch._start(cast("APIClient", Client("no space left on device")), "container")


def test_a_command_that_the_init_cannot_run_did_not_run(tmp_path: Path) -> None:
    stderr = tmp_path / "stderr"
    stderr.write_text(_FATAL)
    assert watch._not_run(127, stderr) == _FATAL.strip()
    assert watch._not_run(1, stderr) == ""
    stderr.write_text("a shell: nothing: not found\n")
    assert watch._not_run(127, stderr) == ""

"""The reaper cleans up after an orchestrator that did not, and leaves one alone that did."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from containers.docker import api, reap
from containers.docker.reaper import Reaper
from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    import pytest

_CHECKOUT = Path(__file__).resolve().parents[4]
_PARENT = """
import sys
from containers.docker import reaper as module
module._PROGRAM = __import__("pathlib").Path(sys.argv[1])
reaper = module.Reaper("label=value")
print(reaper._process.pid, flush=True)
sys.stdin.read()
"""
# Does what the reaper does up to the sweep, and writes instead of sweeping.
_PRETENDER = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])["path"]
from containers.docker import reap
reap.sweep = lambda label: open({said!r}, "w").write(label)
reap.main(sys.argv[1])
"""


def test_an_orchestrator_that_cleaned_up_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent")
    reaper = Reaper("label=value")
    reaper.close(clean=True)
    assert reaper._process.returncode == 0


def test_a_killed_orchestrator_is_cleaned_up_after(tmp_path: Path) -> None:
    said, program = tmp_path / "said", tmp_path / "pretender.py"
    program.write_text(_PRETENDER.format(said=str(said)))
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT, str(program)],
        env={**os.environ, "PYTHONPATH": str(_CHECKOUT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as parent:
        assert parent.stdout is not None
        reaper = os.pidfd_open(int(parent.stdout.readline()))
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        # Its end is seen by everybody who holds a descriptor of it.
        assert select.select([reaper], [], [], 60)[0]
        os.close(reaper)
    assert said.read_text() == "label=value"


def test_it_looks_until_nothing_new_appears(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[int | Exception] = [2, InfrastructureError("busy"), 0, 0, 1, 0, 0, 0, 0, 99]
    asked: list[str] = []

    def remove(_: object, label: str) -> int:
        asked.append(label)
        answer = found.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(api.Api, "remove_labelled", remove)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    reap.sweep("label=value")
    assert found == [99]
    assert set(asked) == {"label=value"}


def test_a_parent_that_is_gone_already_is_cleaned_up_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    swept: list[str] = []
    kept = list(sys.path)
    handlers = {number: signal.getsignal(number) for number in (2, 15, 1)}
    monkeypatch.setattr(reap, "sweep", swept.append)
    try:
        reap.main(json.dumps({"label": "a=b", "parent": gone.pid, "path": kept}))
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        sys.path[:] = kept
    assert swept == ["a=b"]

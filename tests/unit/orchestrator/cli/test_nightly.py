"""`orchestrate nightly` apart from the nights: units, and what the unit of failure tells."""

from __future__ import annotations

import json
import pwd
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator.cli.main import run
from orchestrator.cli.views import nightly as view
from orchestrator.nightly import keeping
from orchestrator.nightly.state import State

if TYPE_CHECKING:
    from collections.abc import Mapping

Captured = pytest.CaptureFixture[str]
RUN = "ab" * 16
ENDED: Mapping[str, str] = {
    "MONITOR_SERVICE_RESULT": "exit-code",
    "MONITOR_EXIT_STATUS": "4",
    "MONITOR_INVOCATION_ID": RUN,
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a configuration that has everything told into `told`."""
    text = f"[notify]\ncommand = ['/bin/sh', '-c', 'cat > \"$0\"', '{tmp_path}/told']\n"
    (tmp_path / "nightly.toml").write_text(text)
    for name, value in ENDED.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def tell(place: Path) -> int:
    return run(["nightly", "--config", str(place / "nightly.toml"), "--tell-failure"])


def test_a_run_that_told_nobody_is_told(place: Path) -> None:
    assert tell(place) == 0
    assert json.loads((place / "told").read_bytes())["status"] == "4"


def test_a_run_that_told_of_itself_is_not_told_again(place: Path) -> None:
    state = State(place / "nightly")
    keeping.keep_answered(state, {"INVOCATION_ID": RUN})
    assert tell(place) == 0
    assert not (place / "told").exists()


def test_a_configuration_with_a_mistake_is_told_all_the_same(place: Path) -> None:
    path = place / "nightly.toml"
    path.write_text(f"jobs = -1\n{path.read_text()}")
    assert tell(place) == 0
    assert (place / "told").exists()


def test_a_configuration_that_says_nobody_is_an_error(place: Path, capsys: Captured) -> None:
    (place / "nightly.toml").write_text("[notify]\nmale = 'root'\n")
    assert tell(place) == 2
    assert "does not say whom to tell" in capsys.readouterr().err


def test_the_store_in_a_unit_is_that_of_its_user(monkeypatch: pytest.MonkeyPatch) -> None:
    # systemd gives no such variable; that of whoever writes the units is not the user's.
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    monkeypatch.setenv("HOME", "/elsewhere")
    home = Path(pwd.getpwnam("daemon").pw_dir)
    assert view.store_of("daemon") == home / ".cache" / "sourcery"


def test_an_unknown_user_has_no_store(place: Path, capsys: Captured) -> None:
    words = ["nightly", "--config", str(place / "nightly.toml"), "--units", str(place)]
    assert run([*words, "--user", "nobody-of-that-name"]) == 2
    assert "[store] folder" in capsys.readouterr().err

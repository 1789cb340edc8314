"""What the sandbox says that it can vary on a machine, and why not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from containers.host import system
from containers.sandbox import capability
from reproducibility import variations

if TYPE_CHECKING:
    from pathlib import Path


def refused(program: Path, processors: int = 2, no_mounts: str = "") -> dict[str, str]:
    found = capability.capabilities(str(program), processors, no_mounts)
    assert set(found) == set(variations.NAMES)
    assert all(one.how for one in found.values())
    return {name: one.refusal for name, one in found.items() if one.refusal}


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bubblewrap on a machine that can do everything."""
    monkeypatch.setattr(capability, "refused_flag", lambda _: "")
    monkeypatch.setattr(capability, "_RANDOMIZE", tmp_path / "randomize")
    (tmp_path / "randomize").write_text("2\n")
    made = tmp_path / "bwrap"
    made.touch(0o755)
    return made


def test_only_the_clock_is_refused_where_a_machine_can_do_all(program: Path) -> None:
    assert refused(program) == variations.REFUSED


def test_what_needs_a_namespace_of_the_launchers_own(program: Path) -> None:
    found = refused(program, no_mounts="no tmpfs can be mounted here: EPERM")
    assert set(found) == {"domain", "order", "time"}
    assert "EPERM" in found["domain"]


def test_one_processor_is_not_varied(program: Path) -> None:
    assert set(refused(program, processors=1)) == {"cpus", "time"}


def test_fixed_addresses_are_no_other_where_they_always_are(program: Path, tmp_path: Path) -> None:
    (tmp_path / "randomize").write_text("0\n")
    assert "randomize_va_space" in refused(program)["aslr"]
    (tmp_path / "randomize").unlink()
    assert "No such file" in refused(program)["aslr"]


def test_a_set_user_id_bubblewrap_loses_the_flag(program: Path) -> None:
    program.chmod(0o4755)
    assert set(refused(program)) == {"aslr", "time"}


def test_a_filter_around_this_process_is_told(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()

    def forbidden(_: int) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(system, "add_personality", forbidden)
    found = refused(program)
    assert {"aslr", "kernel"} <= set(found)
    assert "Operation not permitted" in found["kernel"]


def test_the_trial_leaves_this_process_as_it_is() -> None:
    release = os.uname().release
    capability.refused_flag(system.UNAME26)
    assert os.uname().release == release

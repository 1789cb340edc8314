"""Which engine it is, and its actions' processors: its own word, not this machine's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from containers.docker.engine import DockerEngine
from containers.sandbox import bubblewrap
from containers.sandbox.engine import SandboxEngine
from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from pathlib import Path


def docker(folder: Path, **about: Any) -> DockerEngine:  # noqa: ANN401 - JSON
    """An engine that says this of itself."""
    engine = DockerEngine(folder)
    engine._about = {"OSType": "linux", **about}
    return engine


def test_two_container_engines_are_told_apart_by_their_own_ids(tmp_path: Path) -> None:
    one, other = (docker(tmp_path, ID=own, ServerVersion="28.1") for own in ("ID:1", "ID:2"))
    assert one.name == other.name
    assert one.identity != other.identity
    assert one.identity.document() == {"name": "docker", "identity": "ID:1", "version": "28.1"}


def test_an_engine_without_an_id_goes_by_its_machines_name(tmp_path: Path) -> None:
    assert docker(tmp_path, ID="", Name="far-away").identity.own == "far-away"
    assert docker(tmp_path).identity.own == "it gives no ID"


def test_a_container_engines_processors_are_its_own_machines(tmp_path: Path) -> None:
    assert docker(tmp_path, NCPU=93).processors == 93


@pytest.mark.parametrize("said", [None, 0, -1, "4"])
def test_an_engine_that_does_not_say_its_processors(tmp_path: Path, said: object) -> None:
    with pytest.raises(InfrastructureError, match="how many processors") as seen:
        assert docker(tmp_path, NCPU=said).processors
    assert seen.value.remedy


def test_the_sandbox_is_this_kernel_and_the_processors_that_this_process_may_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bwrap"
    program.write_text("#!/bin/sh\necho bubblewrap 0.11.0\n")
    program.chmod(0o755)
    monkeypatch.setattr(bubblewrap, "find", lambda: str(program))
    engine = SandboxEngine(tmp_path)
    assert engine.identity.version == "0.11.0"
    assert os.uname().release in engine.identity.own
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 8})
    assert engine.processors == 3

"""Which engine is taken, and what a person hears where there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from containers import registry
from containers.docker import address
from containers.docker import engine as docker
from containers.docker.engine import DockerEngine
from containers.remote.farm import Farm, Settings
from containers.sandbox.engine import SandboxEngine
from reproducibility.errors import InfrastructureError, InputError
from reproducibility.manifest import Tree

if TYPE_CHECKING:
    from pathlib import Path


def answers(monkeypatch: pytest.MonkeyPatch, **about: str) -> None:
    """A container engine answers."""
    monkeypatch.setattr(DockerEngine, "about", lambda _: {"OSType": "linux", **about})
    monkeypatch.setattr(address, "knock", lambda: None)


def is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """No container engine answers."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")


def works(monkeypatch: pytest.MonkeyPatch) -> None:
    """bubblewrap is there and works."""
    monkeypatch.setattr("containers.sandbox.bubblewrap.find", lambda: "/bwrap")
    monkeypatch.setattr(SandboxEngine, "check", lambda _: None)


def fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """bubblewrap is not there."""
    monkeypatch.setenv("PATH", "/nonexistent")


def test_auto_takes_docker_where_it_answers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answers(monkeypatch)
    works(monkeypatch)
    assert registry.connect("auto", tmp_path).name == "docker"


def test_auto_takes_the_sandbox_where_docker_is_silent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    is_silent(monkeypatch)
    works(monkeypatch)
    assert registry.connect("auto", tmp_path).name == "sandbox"


def test_auto_does_not_take_an_engine_without_linux_containers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answers(monkeypatch, OSType="windows")
    works(monkeypatch)
    assert registry.connect("auto", tmp_path).name == "sandbox"
    with pytest.raises(InfrastructureError, match="runs windows containers"):
        registry.connect("docker", tmp_path)


def test_none_says_what_to_install_for_each(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    is_silent(monkeypatch)
    fails(monkeypatch)
    with pytest.raises(
        InfrastructureError, match="nothing here can isolate build steps"
    ) as refused:
        registry.connect("auto", tmp_path)
    assert "No such file or directory" in refused.value.summary
    assert "bwrap is not installed" in refused.value.summary
    assert "unix:///nonexistent/docker.sock" in refused.value.subject
    assert "apt install bubblewrap" in refused.value.remedy
    assert "start a container engine" in refused.value.remedy


def test_an_engine_asked_for_by_name_is_not_replaced(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    is_silent(monkeypatch)
    works(monkeypatch)
    with pytest.raises(InfrastructureError, match="no container engine answers"):
        registry.connect("docker", tmp_path)
    answers(monkeypatch)
    assert registry.connect("sandbox", tmp_path).name == "sandbox"
    fails(monkeypatch)
    monkeypatch.undo()
    fails(monkeypatch)
    with pytest.raises(InfrastructureError, match="bwrap is not installed"):
        registry.connect("sandbox", tmp_path)


def test_other_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no engine 'podman'"):
        registry.connect("podman", tmp_path)


def test_an_engine_is_used_inside_its_block(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answers(monkeypatch)
    engine = docker.connect(tmp_path)
    with pytest.raises(InfrastructureError, match="outside its `with` block"):
        _ = engine._label


def test_a_further_engine_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(registry.ENGINES, "third", "tests.third_engine")
    assert registry.names() == ("auto", "sandbox", "docker", "remote", "third")
    assert registry.connect("third", tmp_path).name == "third"
    # Nobody gets it who did not ask for it.
    answers(monkeypatch)
    assert registry.connect("auto", tmp_path).name == "docker"


def test_a_farm_needs_its_file_and_nothing_else_takes_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs a file") as caught:
        registry.connect("remote", tmp_path)
    assert caught.value.subject == "--farm"
    settings = Settings(Farm("unix:/nowhere", {}), lambda *_: Tree())
    for name in (registry.AUTOMATIC, *registry.LOCAL):
        with pytest.raises(InputError, match="takes no such file"):
            registry.connect(name, tmp_path, settings)


def test_auto_takes_no_farm() -> None:
    assert set(registry.CANDIDATES) == set(registry.LOCAL)
    assert set(registry.ENGINES) == {*registry.LOCAL, *registry.CONFIGURED}

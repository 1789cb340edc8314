"""A bubblewrap that is missing, too old or forbidden is told with what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from containers.sandbox import bubblewrap
from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def pretend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `bwrap` on PATH that says a version."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path / "bwrap"


def says(program: Path, text: str) -> None:
    program.write_text(f"#!/bin/sh\necho '{text}'\n")
    program.chmod(0o755)


@pytest.mark.parametrize("version", ["0.8.0", "0.11.2", "1.0.0"])
def test_a_new_one_is_found(pretend: Path, version: str) -> None:
    says(pretend, f"bubblewrap {version}")
    assert bubblewrap.find() == str(pretend)


@pytest.mark.parametrize("answer", ["bubblewrap 0.7.9", "bubblewrap 0.4.1", "something else"])
def test_an_old_one_is_refused(pretend: Path, answer: str) -> None:
    says(pretend, answer)
    with pytest.raises(InfrastructureError, match="too old") as refused:
        bubblewrap.find()
    assert "--engine docker" in refused.value.remedy


@pytest.mark.usefixtures("pretend")
def test_a_missing_one_is_told_with_its_reason() -> None:
    with pytest.raises(
        InfrastructureError, match="isolation without a container engine"
    ) as refused:
        bubblewrap.find()
    assert "apt install bubblewrap" in refused.value.remedy


@pytest.mark.parametrize(
    ("setting", "value", "remedy"),
    [
        ("kernel.unprivileged_userns_clone", "0", "sysctl kernel.unprivileged_userns_clone=1"),
        ("user.max_user_namespaces", "0", "sysctl user.max_user_namespaces"),
        ("kernel.apparmor_restrict_unprivileged_userns", "1", "bwrap-userns-restrict"),
        ("nothing", "", "seccomp=unconfined"),
    ],
)
def test_the_remedy_fits_the_machine(
    monkeypatch: pytest.MonkeyPatch, setting: str, value: str, remedy: str
) -> None:
    monkeypatch.setattr(bubblewrap, "_setting", lambda name: value if name == setting else "")
    error = bubblewrap.refusal("No permissions to create a new namespace")
    assert remedy in error.remedy
    assert "No permissions" in error.summary


def test_settings_are_read_from_the_kernel() -> None:
    assert bubblewrap._setting("kernel.ostype") == "Linux"
    assert bubblewrap._setting("kernel.absent") == ""

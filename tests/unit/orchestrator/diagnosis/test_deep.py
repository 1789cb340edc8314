"""What diffoscope is given, and what is made of its answers."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from orchestrator.diagnosis import deep
from reproducibility.errors import InfrastructureError, InputError

if TYPE_CHECKING:
    from pathlib import Path

    Files = tuple[Path, Path]


@pytest.fixture
def files(tmp_path: Path) -> Files:
    for name in ("one", "two"):
        (tmp_path / name).write_text(name)
    return tmp_path / "one", tmp_path / "two"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program of that name on PATH, whose script a test writes."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    return folder / deep.PROGRAM


def script(place: Path, text: str) -> None:
    place.write_text(f"#!/bin/sh\n{text}\n")
    place.chmod(0o755)


def test_it_is_asked_for_text_and_its_status_1_is_an_answer(files: Files, installed: Path) -> None:
    script(
        installed, 'for last; do before=$other; other=$last; done; cat "$before" "$other"; exit 1'
    )
    assert deep.report(*files) == ["onetwo"]


def test_a_long_report_is_cut(files: Files, installed: Path) -> None:
    script(installed, "seq 1 1000; exit 1")
    found = deep.report(*files)
    assert (len(found), found[-1]) == (401, "... 600 more lines")


def test_a_failure_is_told(files: Files, installed: Path) -> None:
    script(installed, "echo no such tool >&2; exit 2")
    with pytest.raises(InfrastructureError, match="status 2: no such tool"):
        deep.report(*files)


def test_it_may_be_missing(files: Files, installed: Path) -> None:
    assert not installed.exists()
    with pytest.raises(InputError) as caught:
        deep.report(*files)
    assert "pip install sourcery-orchestrator[deep]" in caught.value.remedy


def test_a_large_file_is_not_given(
    files: Files, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(installed, "exit 0")
    monkeypatch.setattr(deep, "LARGEST", 2)
    with pytest.raises(InputError, match="3 bytes"):
        deep.report(*files)

"""Scratch folders in a place that everybody can write to, such as /tmp: only our own are swept."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from containers.host import scratch
from containers.host.scratch import Scratch, sweep

if TYPE_CHECKING:
    from pathlib import Path


def leave(parent: Path, name: str) -> Path:
    """What a killed process leaves: a lock that nobody holds, and a folder."""
    (parent / f"{name}.lock").write_bytes(b"")
    folder = parent / name
    folder.mkdir()
    (folder / "file").write_bytes(b"")
    return folder


def test_another_users_folder_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = leave(tmp_path, "engine-1")
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: 12_345)
        assert sweep(tmp_path, "engine") == []
    assert (folder / "file").exists()
    assert sweep(tmp_path, "engine") == ["engine-1"]
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_may_not_be_opened_is_no_hindrance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(tmp_path, "engine-1")
    usual = os.open

    def refuse(path: Path, flags: int, mode: int = 0o777) -> int:
        if path.name == "engine-1.lock":
            raise PermissionError(13, "Permission denied", str(path))
        return usual(path, flags, mode)

    monkeypatch.setattr(os, "open", refuse)
    made = Scratch(tmp_path, "engine")
    assert made.swept == []
    assert made.folder.is_dir()
    made.close()


def test_links_lead_nowhere(tmp_path: Path) -> None:
    victim = leave(tmp_path, "victim")
    parent = tmp_path / "parent"
    parent.mkdir()
    # A lock that is a link is not opened; a folder that is one is removed, not emptied.
    (parent / "engine-1.lock").symlink_to(tmp_path / "victim.lock")
    (parent / "engine-1").symlink_to(victim)
    (parent / "engine-2.lock").write_bytes(b"")
    (parent / "engine-2").symlink_to(victim)
    assert sweep(parent, "engine") == ["engine-2"]
    assert sorted(path.name for path in parent.iterdir()) == ["engine-1", "engine-1.lock"]
    assert (victim / "file").exists()


def test_what_cannot_be_removed_is_left_to_a_later_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave(tmp_path, "engine-1")
    made = Scratch(tmp_path, "other")

    def refuse(folder: Path) -> None:
        raise PermissionError(1, "Operation not permitted", str(folder))

    with monkeypatch.context() as patch:
        patch.setattr(scratch, "remove", refuse)
        assert sweep(tmp_path, "engine") == []
        with pytest.raises(PermissionError):
            made.close()
    # The locks are there still, and held by nobody.
    assert sweep(tmp_path, "engine") == ["engine-1"]
    assert sweep(tmp_path, "other") == [made.folder.name]
    assert list(tmp_path.iterdir()) == []

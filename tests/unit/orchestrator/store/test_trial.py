"""What a folder must be able to do is tried, on mounts that cannot do it where that can be had."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator import doctor
from orchestrator.store import Store, trial
from reproducibility import manifest
from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parents[4]


def mounted(folder: Path, options: str, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command where a file system in memory is mounted on a folder with such options."""
    own = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    script = (
        f"mount -t tmpfs -o {options.replace(',ro', '')} none {shlex.quote(str(folder))}; "
        + (f"mount -o remount,ro {shlex.quote(str(folder))}; " if ",ro" in options else "")
        + shlex.join(command)
    )
    return subprocess.run(
        ["unshare", *own, "--mount", "sh", "-ec", script],  # noqa: S607 - found on PATH
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.needs_tools("unshare", "mount")
@pytest.mark.parametrize(
    ("options", "words", "remedy"),
    [
        ("noexec", "programs cannot be run from it: Permission denied", "without `noexec`"),
        ("size=1m,ro", "nothing can be written there: Read-only file system", "--store"),
    ],
)
def test_the_doctor_tries_the_store_s_disk(
    tmp_path: Path, options: str, words: str, remedy: str
) -> None:
    program = (
        "import json, sys; from pathlib import Path; from orchestrator import doctor\n"
        "from orchestrator.store import trial\n"
        "found = doctor.abilities('disk', Path(sys.argv[1], 'not', 'yet'), trial.store)\n"
        "print(json.dumps([found.document(), [str(p) for p in Path(sys.argv[1]).iterdir()]]))"
    )
    done = mounted(tmp_path, options, sys.executable, "-c", program, str(tmp_path))
    assert done.returncode == 0, done.stderr
    found, left = json.loads(done.stdout)
    assert found["state"] == "missing"
    assert words in found["found"]
    assert remedy in found["remedy"]
    assert left == []


@pytest.mark.needs_tools("unshare", "mount")
@pytest.mark.parametrize("command", ["lock", "fetch", "build"])
def test_a_store_without_programs_is_refused_before_the_work(tmp_path: Path, command: str) -> None:
    done = mounted(
        tmp_path, "noexec", sys.executable, "-m", "orchestrator", command, "--store", str(tmp_path)
    )
    assert done.returncode == 4, done.stderr
    assert "programs cannot be run from it" in done.stderr
    assert "noexec" in done.stderr
    assert "--store" in done.stderr


def test_this_machine_s_disk_will_do_and_nothing_is_left(tmp_path: Path) -> None:
    assert [lack for lack in trial.store(tmp_path) if lack.needed] == []
    assert [lack for lack in trial.output(tmp_path) if lack.needed] == []
    assert list(tmp_path.iterdir()) == []
    trial.require_store(tmp_path)


def refuses(number: int) -> Callable[..., Any]:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


def test_locks_that_are_refused_or_hold_nobody_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", refuses(errno.ENOLCK))
    with pytest.raises(InfrastructureError, match="cannot be locked: No locks available"):
        trial.require_store(tmp_path)
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    with pytest.raises(InfrastructureError, match="two hold one lock") as refused:
        trial.require_store(tmp_path)
    assert "--store" in refused.value.remedy


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK])
def test_a_store_without_hard_links_works_and_is_told(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", refuses(number))
    trial.require_store(tmp_path)
    found = doctor.abilities("disk", tmp_path, trial.store)
    assert found.state == "optional"
    assert "no hard links" in found.found
    assert found.remedy
    (tmp_path / "content").mkdir()
    (tmp_path / "content" / "file").write_bytes(b"content")
    store = Store(tmp_path / "store")
    try:
        place = store.checkout(store.put_tree(tmp_path / "content"), 315_532_800)
        assert manifest.scan(place).get("file") is not None
    finally:
        store.close()


def test_times_and_modes_that_do_not_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    utime = os.utime

    def coarse(path: Path, times: tuple[int, int] | None) -> None:
        utime(path, None if times is None else (times[0] // 2 * 2, times[1] // 2 * 2))

    monkeypatch.setattr(os, "utime", coarse)
    monkeypatch.setattr(Path, "chmod", lambda *_: None)
    words = [lack.words for lack in trial.store(tmp_path) if lack.needed]
    assert any("does not keep the times" in word for word in words)
    assert any("does not keep the modes" in word for word in words)


def test_an_output_without_exchange_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: SimpleNamespace(renameat2=lambda *_: -1))
    monkeypatch.setattr(ctypes, "get_errno", lambda: errno.EINVAL)
    found = doctor.abilities("disk", tmp_path, trial.output)
    assert found.state == "optional"
    assert "cannot change places at once" in found.found
    assert "--out" in found.remedy

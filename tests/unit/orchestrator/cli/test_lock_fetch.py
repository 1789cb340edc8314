"""What `lock` and `fetch` do and say."""

from __future__ import annotations

import importlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from orchestrator import inputs
from orchestrator.cli.main import run
from orchestrator.inputs import bundle as bundles
from orchestrator.inputs import resolve
from orchestrator.lock import differences, parts
from orchestrator.lock import file as locks
from orchestrator.spec import model as spec
from reproducibility import digest
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from orchestrator.store import Store

Captured = pytest.CaptureFixture[str]


class FakeLock:
    """As much of a lock as the command line looks at."""

    workers: ClassVar[dict[str, object]] = {}

    def __init__(self, content: bytes) -> None:
        self.content = content

    def check_fits(self, wanted: object) -> None:
        assert isinstance(wanted, FakeSpec)

    def find(self, name: str) -> object:
        raise AssertionError(name)


class FakeSpec:
    folder = Path()


@pytest.fixture
def locking_(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    seen: dict[str, Any] = {"new": b"new", "moved": ["go 1.27.2 -> 1.27.3: version"], "changes": ()}

    def make(_spec: FakeSpec, previous: FakeLock | None, _store: Store, **rest: Any) -> FakeLock:  # noqa: ANN401 - whatever is passed
        seen.update(previous=previous, **rest)
        rest["clients"].events.started("go 1.27.3", "fetching")
        rest["clients"].events.finished("go 1.27.3")
        return FakeLock(seen["new"])

    def load(path: Path) -> FakeLock:
        if b"tampered" in path.read_bytes():
            raise InputError("the lock was changed", subject=str(path))
        return FakeLock(path.read_bytes())

    monkeypatch.setattr(spec, "load", lambda _path: FakeSpec())
    monkeypatch.setattr(resolve, "lock", make)
    monkeypatch.setattr(differences, "moved", lambda _old, _new: seen["moved"])
    monkeypatch.setattr(differences, "changes", lambda _old, _new: seen["changes"])
    monkeypatch.setattr(
        parts, "wanted", lambda _spec: {"source.tools": "", "boot.kernel.amd64": ""}
    )
    monkeypatch.setattr(locks, "load", load)
    monkeypatch.setattr(locks, "dump", lambda lock: lock.content)
    monkeypatch.setattr(locks, "save", lambda lock, path: path.write_bytes(lock.content))
    return seen


def test_first_lock(locking_: dict[str, Any], tmp_path: Path, capsys: Captured) -> None:
    lock = tmp_path / "sourcery.lock"
    assert run(["lock", "--lock", str(lock), "--store", str(tmp_path / "store")]) == 0
    assert lock.read_bytes() == b"new"
    assert locking_["previous"] is None
    told = capsys.readouterr()
    assert "go 1.27.2 -> 1.27.3" in told.out
    assert "is written" in told.out
    assert "fetching go 1.27.3" in told.err


def test_a_lock_that_moved_nothing_is_not_written(
    locking_: dict[str, Any], tmp_path: Path, capsys: Captured
) -> None:
    lock = tmp_path / "sourcery.lock"
    lock.write_bytes(b"new")
    os.utime(lock, (1, 1))
    locking_["moved"] = []
    assert run(["lock", "--lock", str(lock), "--store", str(tmp_path / "s"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "schema": 1,
        "lock": str(lock),
        "changed": False,
        "moved": [],
        "changes": [],
    }
    assert lock.stat().st_mtime == 1


def test_what_changed_is_told_to_programs_by_version_and_digest(
    locking_: dict[str, Any], tmp_path: Path, capsys: Captured
) -> None:
    pin = differences.Pin("debian-package", "1.2-1", "busybox-static", digest.of_bytes(b"artifact"))
    locking_["changes"] = (differences.Change("uname", "", "amd64", None, pin),)
    arguments = ["--lock", str(tmp_path / "sourcery.lock"), "--store", str(tmp_path / "s")]
    assert run(["lock", "--json", *arguments]) == 0
    (told,) = json.loads(capsys.readouterr().out)["changes"]
    assert (told["name"], told["host"], told["before"]) == ("uname", "amd64", None)
    assert told["after"]["version"] == "1.2-1"
    assert told["after"]["blake3"] == str(digest.of_bytes(b"artifact"))


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ([], set()),
        (["go"], {"go"}),
        (["go", "uname", "go"], {"go", "uname"}),
        (["all"], {"bootstrap", "go", "kernel.amd64", "tools", "uname"}),
        (["tools", "all"], {"bootstrap", "go", "kernel.amd64", "tools", "uname"}),
    ],
)
def test_update_names_inputs(
    locking_: dict[str, Any], tmp_path: Path, given: list[str], meant: set[str]
) -> None:
    lock = tmp_path / "sourcery.lock"
    lock.write_bytes(b"old")
    options = [word for name in given for word in ("--update", name)]
    assert run(["lock", *options, "--lock", str(lock), "--store", str(tmp_path / "s")]) == 0
    assert set(locking_["update"]) == meant
    assert locking_["previous"].content == b"old"
    assert lock.read_bytes() == b"new"


def test_a_refused_lock_is_replaced_but_not_in_silence(
    locking_: dict[str, Any], tmp_path: Path, capsys: Captured
) -> None:
    lock = tmp_path / "sourcery.lock"
    lock.write_bytes(b'{"tampered": [1, {}]}')
    arguments = ["--lock", str(lock), "--store", str(tmp_path / "s")]
    assert run(["lock", "--update", "go", *arguments]) == 2
    assert b"tampered" in lock.read_bytes()
    assert run(["lock", "--update", "go", "--update", "all", *arguments]) == 0
    assert locking_["previous"] is None
    lock.write_bytes(b'{"tampered": [1, {}]}')
    assert run(["lock", *arguments]) == 0
    told = capsys.readouterr().err
    assert "the present lock is refused: the lock was changed" in told
    assert "still count" not in told
    assert locking_["previous"] is None
    assert locking_["records"] == {}
    assert lock.read_bytes() == b"new"


@pytest.mark.parametrize("text", ["<<<<<<< tampered\n{", '{"tampered": ', "\udcfftampered"])
def test_a_lock_that_cannot_be_read_is_not_replaced(
    locking_: dict[str, Any], tmp_path: Path, capsys: Captured, text: str
) -> None:
    lock = tmp_path / "sourcery.lock"
    lock.write_bytes(data := os.fsencode(text))
    assert run(["lock", "--lock", str(lock), "--store", str(tmp_path / "s")]) == 2
    told = capsys.readouterr().err
    assert "the lock was changed: what it proves of the public log would be lost" in told
    assert "move it away" in told
    assert str(lock) in told
    assert lock.read_bytes() == data
    assert "previous" not in locking_


@pytest.fixture
def ensured(monkeypatch: pytest.MonkeyPatch, locking_: dict[str, Any]) -> dict[str, Any]:
    def ensure(_lock: FakeLock, _store: Store, **rest: Any) -> None:  # noqa: ANN401 - whatever is passed
        locking_.update(rest)

    def write(
        _lock: FakeLock, _store: Store, path: Path, _host: str, *, root: object, workers: bool
    ) -> int:
        assert root is None
        assert not workers
        return path.write_bytes(b"bundle")

    monkeypatch.setattr(inputs, "ensure", ensure)
    # By name: the package's function `ensure` hides its module of the same name.
    module = importlib.import_module("orchestrator.inputs.ensure")
    monkeypatch.setattr(module, "needed", lambda _lock, _host: [])
    monkeypatch.setattr(bundles, "write", write)
    return locking_


def test_fetch(ensured: dict[str, Any], tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "lock").write_bytes(b"l")
    store = tmp_path / "store"
    assert run(["fetch", "--lock", str(tmp_path / "lock"), "--store", str(store), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "schema": 1,
        "store": str(store),
        "inputs": [],
        "bundle": None,
    }
    assert ensured["artifacts"] is False


def test_fetch_a_bundle(ensured: dict[str, Any], tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "lock").write_bytes(b"l")
    where = ["--lock", str(tmp_path / "lock"), "--store", str(tmp_path / "store")]
    assert run(["fetch", "--bundle", str(tmp_path / "b.tar.zst"), *where]) == 0
    assert (tmp_path / "b.tar.zst").read_bytes() == b"bundle"
    assert "b.tar.zst, 6 bytes" in capsys.readouterr().out
    assert ensured["artifacts"] is True

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.architecture import host
from orchestrator.tool_image import inputs, lock
from reproducibility.errors import InputError

ROOT = Path(__file__).resolve().parents[4]


def package(name: str = "python3", version: str = "3.13.5-1") -> dict[str, Any]:
    return {
        "package": name,
        "version": version,
        "suite": "trixie",
        "where": f"pool/main/p/{name}/{name}_{version}_amd64.deb",
        "size": 3,
        "sha256": f"sha256:{'1' * 64}",
        "blake3": f"blake3:{'2' * 64}",
    }


def document(**changes: object) -> dict[str, Any]:
    made = {
        "schema": 1,
        "suite": "trixie",
        "epoch": 1_767_225_600,
        "packages": {"amd64": [package("bash", "5.2-2"), package()]},
    }
    return {**made, **changes}


def parsed(made: dict[str, Any]) -> lock.ImageLock:
    return lock.parse(json.dumps(made).encode())


def test_a_lock_reads_back() -> None:
    found = parsed(document())
    assert lock.parse(lock.dump(found)) == found
    assert found.created == "2026-01-01T00:00:00Z"
    assert [one.package for one in found.of("amd64")] == ["bash", "python3"]
    assert lock.python_version(found.of("amd64")) == "3.13"


@pytest.mark.parametrize(
    "wrong",
    [
        document(schema=2),
        document(epoch=-1),
        document(epoch="2026"),
        document(packages={"amd64": []}),
        document(packages={"i386": [package()]}),
        document(more=1),
        document(packages={"amd64": [{**package(), "sha256": "1"}]}),
        {},
    ],
)
def test_what_is_no_lock_is_refused_with_what_to_do(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError) as refused:
        parsed(wrong)
    assert "make relock-image" in refused.value.remedy


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b"{}" * (lock._LARGEST // 2 + 1)])
def test_what_is_no_document_is_refused(data: bytes) -> None:
    with pytest.raises(InputError):
        lock.parse(data)


def test_what_is_not_pinned_is_said(tmp_path: Path) -> None:
    found = parsed(document())
    with pytest.raises(InputError, match="no packages are pinned for riscv64"):
        found.of("riscv64")
    with pytest.raises(InputError, match="no python3"):
        lock.python_version(found.of("amd64")[:1])
    with pytest.raises(InputError, match="cannot read the lock"):
        lock.load(tmp_path / "none")


def test_a_lock_is_written_in_one_step(tmp_path: Path) -> None:
    found = parsed(document())
    lock.save(found, tmp_path / lock.FILE)
    assert lock.load(tmp_path / lock.FILE) == found
    assert [path.name for path in tmp_path.iterdir()] == [lock.FILE]


def test_the_project_s_own_lock_pins_what_the_image_is_asked_to_have() -> None:
    found = lock.load(ROOT / lock.FILE)
    for packages in found.packages.values():
        names = [one.package for one in packages]
        assert names == sorted(set(names))
        assert set(inputs.wanted()) <= set(names)
        # Essential ones of every Debian system, which nobody asks for by name.
        assert {"base-files", "dpkg", "libc6", "coreutils", "bash"} <= set(names)
        assert lock.python_version(packages)
        assert {one.suite for one in packages} == {found.suite}
    if host() == "amd64":
        assert found.of(host())

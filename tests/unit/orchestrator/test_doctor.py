from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Self, cast

import pytest

from containers.policy import RULES, Enforcement, Policy
from orchestrator import doctor
from orchestrator.execution.scheduler import default_jobs
from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from containers.engine import Engine


class FakeEngine:
    """As much of an engine as the doctor asks."""

    def __init__(self, name: str, *unenforced: str) -> None:
        self.name = name
        self._unenforced = unenforced
        self.left = False

    def enforcement(self, policy: Policy) -> tuple[Enforcement, ...]:
        assert policy == Policy(beside=default_jobs())
        return tuple(
            Enforcement(rule.name, "not enforced", "no cgroup")
            if rule.name in self._unenforced
            else Enforcement(rule.name, "enforced", "somehow")
            for rule in RULES
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.left = True


def chooser(**engines: FakeEngine | None) -> doctor.Choose:
    def choose(name: str, scratch: Path) -> Engine:
        assert scratch.is_dir()
        engine = engines[name]
        if engine is None:
            raise InfrastructureError(f"{name} is not there", remedy=f"install {name}")
        return cast("Engine", engine)

    return choose


def states(findings: list[doctor.Finding]) -> dict[str, str]:
    return {finding.name: finding.state for finding in findings}


def test_one_engine_is_enough() -> None:
    for there, other in (("sandbox", "docker"), ("docker", "sandbox")):
        found = doctor.engines(chooser(**{there: FakeEngine(there), other: None}))
        assert states(found) == {f"engine {there}": "ok", f"engine {other}": "optional"}
        assert doctor.able(found)


def test_no_engine_is_not_enough() -> None:
    found = doctor.engines(chooser(sandbox=None, docker=None))
    assert states(found) == {"engine sandbox": "missing", "engine docker": "missing"}
    assert {finding.remedy for finding in found} == {"install sandbox", "install docker"}
    assert {finding.found for finding in found} == {"sandbox is not there", "docker is not there"}
    assert not doctor.able(found)


def test_rules_that_cannot_be_enforced_are_said() -> None:
    engine = FakeEngine("docker", "memory", "processes")
    found = doctor.engines(chooser(docker=engine, sandbox=FakeEngine("sandbox")))
    assert states(found) == {
        "engine docker": "ok",
        "engine sandbox": "ok",
        "isolation: memory": "optional",
        "isolation: processes": "optional",
    }
    assert "not enforced by the docker engine: no cgroup" in [finding.found for finding in found]
    assert engine.left


def test_an_engine_that_cannot_be_asked_is_said() -> None:
    class Broken(FakeEngine):
        def __enter__(self) -> Self:
            raise InfrastructureError("cannot make a scratch folder", remedy="free some space")

    found = doctor.engines(chooser(docker=None, sandbox=Broken("sandbox")))
    assert states(found)["isolation"] == "optional"
    assert doctor.able(found)


@pytest.mark.parametrize(
    ("version", "state"), [((3, 10), "missing"), ((3, 11), "ok"), ((4, 0), "ok")]
)
def test_python(version: tuple[int, int], state: str) -> None:
    assert doctor.python(version).state == state


@pytest.mark.parametrize(
    ("machine", "state"), [("x86_64", "ok"), ("aarch64", "ok"), ("riscv64", "missing")]
)
def test_architecture(machine: str, state: str) -> None:
    assert doctor.architecture(machine).state == state


def test_space(tmp_path: Path) -> None:
    there = doctor.space("space", tmp_path / "not" / "yet" / "there", 1, "--store")
    assert there.state == "ok"
    assert str(tmp_path) in there.found
    full = doctor.space("space", tmp_path, 1 << 62, "--store")
    assert full.state == "missing"
    assert "--store" in full.remedy
    assert list(tmp_path.iterdir()) == []


def test_memory(tmp_path: Path) -> None:
    info = tmp_path / "meminfo"
    info.write_text("MemTotal:        2000000 kB\nHugePages_Total:       0\n")
    assert doctor.memory(info).state == "missing"
    info.write_text("MemTotal:       24684592 kB\n")
    found = doctor.memory(info)
    assert (found.state, found.found) == ("ok", "23.5 GiB")
    assert doctor.memory(tmp_path / "nothing").state == "missing"


def test_tmpfs(tmp_path: Path) -> None:
    kinds = tmp_path / "filesystems"
    kinds.write_text("nodev\tsysfs\nnodev\ttmpfs\n\text4\n")
    assert doctor.tmpfs(kinds, tmp_path).state == "ok"
    kinds.write_text("nodev\tsysfs\n")
    assert doctor.tmpfs(kinds, tmp_path).state == "missing"
    assert doctor.tmpfs(tmp_path / "nothing", tmp_path).state == "missing"


def test_apt(tmp_path: Path) -> None:
    found = doctor.apt(tmp_path / "apt-helper")
    assert found.state == "missing"
    assert "--bundle" in found.remedy


def test_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "known"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert doctor.tool("package", ("known",), "to know").state == "ok"
    found = doctor.tool("package", ("known", "unknown-program"), "to know")
    assert (found.state, found.found) == ("optional", "not installed: unknown-program")
    assert "package" in found.remedy


def test_pip() -> None:
    assert doctor.pip().state == "ok"


def test_libseccomp() -> None:
    assert doctor.libseccomp(lambda: None).state == "ok"

    def missing() -> None:
        raise InfrastructureError("no", remedy="`apt install libseccomp2`")

    found = doctor.libseccomp(missing)
    assert (found.state, found.remedy) == ("optional", "`apt install libseccomp2`")


def test_everything_that_is_not_ok_has_a_reason_and_every_need_a_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with unchanged(tmp_path):
        monkeypatch.setattr(doctor, "engines", engines_missing)
        findings = doctor.examine(tmp_path / "store", tmp_path / "out")
    assert len({finding.name for finding in findings}) == len(findings)
    for finding in findings:
        assert finding.reason
        assert not finding.reason.endswith(".")
        assert finding.found
        assert finding.remedy or finding.state != "missing"
        assert set(finding.document()) == {"name", "state", "found", "reason", "remedy"}
    assert not doctor.able(findings)


def engines_missing() -> list[doctor.Finding]:
    return [doctor.Finding("engine", "missing", "none", "to run steps", "install one")]


@contextmanager
def unchanged(folder: Path) -> Iterator[None]:
    yield
    assert list(folder.iterdir()) == []

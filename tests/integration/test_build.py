"""`orchestrate build` on the real spec: three architectures, every comparison, every file."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from blake3 import blake3

from containers.policy import RULES
from orchestrator import resources
from orchestrator.artifacts import image as making
from orchestrator.execution import rebuilding
from orchestrator.execution.step import NOT_RECORDED
from orchestrator.golang import checks, probe
from orchestrator.inputs import source_checks
from orchestrator.lock import logged
from orchestrator.lock.file import Absent
from tests.integration.building import ARCHITECTURES, HOST, Orchestrate, check_whole, spec_text

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.lock.file import Lock
    from tests.integration.building import Ran
    from tests.integration.conftest import Built

pytestmark = [pytest.mark.needs_sandbox, pytest.mark.needs_network, pytest.mark.slow]


def expected_checks(
    pinned: Lock, architectures: tuple[str, ...] = ARCHITECTURES
) -> dict[tuple[str, str], str]:
    """Every check that a build must make, with the verdict that it must come to.

    The machine's own toolchain is held against its release whether it goes on the stick or not.
    """
    found = {
        (checks.FIXED_POINT, HOST): "PASS",
        (checks.GENERATED, HOST): "PASS",
        (checks.HELPERS, HOST): "PASS",
        (making.TWICE, making.IMAGE): "PASS",
        (making.READ_BACK, making.IMAGE): "PASS",
        (making.WITNESSED, making.IMAGE): "PASS",
        (making.ARCHIVE, making.CPIO): "PASS",
        **{(probe.NAME, name): "PASS" for name in probe.FIELDS},
    }
    for source in logged.sources(pinned):
        subject = logged.subject(source)
        found[logged.LOG, subject] = found[source_checks.PUBLISHED, subject] = "PASS"
    log = {str(name): entry for name, entry in pinned.toolchain.log.items()}
    for name in {HOST, *architectures}:
        if isinstance(log[name], Absent):
            # The one architecture of which the log may have no record.
            assert name == "riscv64"
            found[checks.RELEASE, name] = "SKIP"
            found[checks.CROSS_AGAIN, name] = "PASS"
        else:
            found[checks.RELEASE, name] = found[checks.LOG, name] = "PASS"
    return found


def checked(ran: Ran) -> dict[tuple[str, str], str]:
    """The verdicts of a run, but for a comparison that only an image made again gets."""
    found = ran.checks()
    if found.get((rebuilding.AGAIN, making.STEP)) == "PASS":
        del found[rebuilding.AGAIN, making.STEP]
    return found


def test_every_comparison_holds(full: Built, orchestrate: Orchestrate) -> None:
    wanted = expected_checks(orchestrate.lock)
    found = full.ran.checks()
    # More checks than these may be made, and none of them may fail.
    assert {key: found.get(key) for key in wanted} == wanted
    assert {key for key, verdict in found.items() if verdict == "SKIP"} == {
        key for key, verdict in wanted.items() if verdict == "SKIP"
    }
    assert "FAIL" not in found.values()
    skipped = "SKIP" in wanted.values()
    assert full.ran.document["verdict"] == ("SKIP" if skipped else "PASS")
    assert all(check["reason"] for check in full.ran.document["checks"])


def test_fixed_point_compares_every_program(full: Built, orchestrate: Orchestrate) -> None:
    programs = orchestrate.lock.toolchain
    count = len(programs.bin) + len(programs.tool)
    reasons = {check["name"]: check["reason"] for check in full.ran.document["checks"]}
    assert reasons[checks.FIXED_POINT] == f"{count} files are the same (BLAKE3 of each)"
    assert count >= 10


def test_result_has_its_schema(full: Built, orchestrate: Orchestrate) -> None:
    document = full.ran.document
    assert document["schema"] == 1
    assert _shape(document["image"]) == {
        "path": str,
        "size": int,
        "blake3": str,
        "sha256": str,
    }
    assert _shape(document["cpio"]) == _shape(document["image"])
    for check in document["checks"]:
        assert _shape(check) == {"name": str, "subject": str, "verdict": str, "reason": str}
    for stage in document["stages"]:
        types = {"name": str, "key": str, "seconds": float, "cached": bool}
        assert types.items() <= _shape(stage).items()
        made = stage["provenance"]
        if made["origin"] != "nothing to do":
            assert made["origin"] == ("remembered" if stage["cached"] else "ran here")
            # A store that is kept from one session to the next may have what older versions made.
            if made["origin"] == "ran here" or made["when"] != NOT_RECORDED:
                assert made["tool"] == resources.VERSION
                assert made["when"].endswith("Z")
        assert stage["key"].startswith("blake3:")
    pinned = orchestrate.lock
    assert [(found["name"], found["host"]) for found in document["inputs"]] == [
        (found.name, found.host) for found in pinned.inputs
    ]
    assert document["inputs"] == pinned.model_dump(mode="json")["inputs"]
    assert document["engine"] == "sandbox"
    assert document["root"]["tree"].startswith("blake3:")
    assert set(document["root"]["commands"]) == set(ARCHITECTURES)


def _shape(document: dict[str, Any]) -> dict[str, type]:
    return {key: type(value) for key, value in document.items()}


def test_every_stage_is_there(full: Built) -> None:
    names = {stage["name"] for stage in full.ran.document["stages"]}
    foreign = [name for name in ARCHITECTURES if name != HOST]
    wanted = {"T1/dist", "T1/toolchain", "T1/helpers", "F1", "F2"}
    wanted |= {f"cross/{name}" for name in foreign}
    wanted |= {f"programs/{name}" for name in ARCHITECTURES}
    assert wanted <= names


def test_isolation_is_told_rule_by_rule(full: Built) -> None:
    isolation = full.ran.document["isolation"]
    names = sorted(rule.name for rule in RULES)
    assert sorted(isolation["rules"]) == names
    # Each stage says in which of these its result was made.
    stages = [stage["provenance"] for stage in full.ran.document["stages"]]
    used = {made["isolation"] for made in stages if made["origin"] != "nothing to do"}
    assert {kept["id"] for kept in isolation["enforced"]} == used - {NOT_RECORDED}
    assert isolation["enforced"]
    for kept in isolation["enforced"]:
        assert sorted(found["rule"] for found in kept["enforcement"]) == names
        for found in kept["enforcement"]:
            assert found["state"] in {"enforced", "not enforced"}
            assert found["means"]
        # What bubblewrap itself gives is enforced wherever it runs at all.
        states = {found["rule"]: found["state"] for found in kept["enforcement"]}
        for name in ("no-network", "read-only-root", "read-only-inputs", "no-capabilities", "time"):
            assert states[name] == "enforced"
        assert kept["limits"]["memory_bytes"] > 0


@pytest.mark.needs_tools("sha256sum")
def test_sums_verify(full: Built) -> None:
    said = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"],  # noqa: S607 - found on PATH
        cwd=full.out,
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stderr
    assert {"sourcery.img: OK", "sourcery.cpio.zst: OK"} <= set(said.stdout.splitlines())
    lines = (full.out / "B3SUMS").read_text().splitlines()
    # The form of `b3sum`, which few machines have: digest, two spaces, path.
    sums = {path: hexadecimal for hexadecimal, _, path in (line.partition("  ") for line in lines)}
    assert {"sourcery.img", "sourcery.cpio.zst"} <= set(sums)
    for path, hexadecimal in sums.items():
        hasher = blake3()
        hasher.update_mmap(full.out / path)
        assert hasher.hexdigest() == hexadecimal


def test_each_action_has_its_log(full: Built) -> None:
    logs = {path.name for path in (full.out / "logs").iterdir()}
    for stage in full.ran.document["stages"]:
        assert f"{stage['name'].replace('/', '-')}.log" in logs
    # cmd/dist tells what it builds.
    assert "Building" in (full.out / "logs" / "T1-toolchain.log").read_text()


@pytest.fixture
def copy(full: Built, place: Path) -> Path:
    """The default image's output directory, for a test that builds into it or damages it."""
    return shutil.copytree(full.out, place / "full")


def test_second_run_only_checks(full: Built, copy: Path, orchestrate: Orchestrate) -> None:
    again = orchestrate.build(copy)
    assert again.executed() == []
    assert again.started == []
    for name in ("image", "cpio"):
        assert again.document[name] == full.ran.document[name]
    assert checked(again) == checked(full.ran)
    assert _keys(again) == _keys(full.ran)


def _keys(ran: Ran) -> dict[str, str]:
    return {stage["name"]: stage["key"] for stage in ran.document["stages"]}


def test_damaged_output_is_made_again(full: Built, copy: Path, orchestrate: Orchestrate) -> None:
    image = copy / "sourcery.img"
    with image.open("r+b") as stream:
        stream.seek(image.stat().st_size // 2)
        byte = stream.read(1)
        stream.seek(-1, 1)
        stream.write(bytes([byte[0] ^ 1]))
    again = orchestrate.build(copy)
    assert again.executed() == []
    assert "image (FAT32 disk image)" in again.started
    assert again.image == full.ran.image


def test_one_architecture(own_architecture: Built, full: Built, orchestrate: Orchestrate) -> None:
    ran = own_architecture.ran
    wanted = expected_checks(orchestrate.lock, (HOST,))
    assert checked(ran) == wanted
    assert ran.document["verdict"] == "PASS"
    # Nothing that was not made for three architectures already.
    assert ran.executed() == []
    assert _keys(ran).items() <= _keys(full.ran).items()
    assert set(ran.document["root"]["prebuilt"]) == {HOST}
    assert ran.image != full.ran.image


def test_only_a_foreign_architecture(
    full: Built, orchestrate: Orchestrate, usable_lock: Path, place: Path
) -> None:
    foreign = "arm64" if HOST != "arm64" else "amd64"
    project = place / "project"
    project.mkdir()
    (project / "sourcery.toml").write_text(spec_text(architectures=[foreign]))
    (project / "sourcery.lock").write_bytes(usable_lock.read_bytes())
    command = Orchestrate(project, orchestrate.store)
    # The lock was made for three architectures: that is said, and nothing is built.
    refused = command.build(place / "out", status=2)
    assert "image.architectures" in refused.error["summary"]
    command.run("lock")
    ran = command.build(place / "out")
    assert checked(ran) == expected_checks(command.lock, (foreign,))
    assert ran.document["verdict"] == "PASS"
    # Not even the lack of boot files makes another action.
    assert ran.executed() == []
    assert set(ran.document["root"]["prebuilt"]) == {foreign}
    log = {check["name"]: check["reason"] for check in full.ran.document["checks"]}
    assert log[checks.FIXED_POINT]
    check_whole(place / "out", ran.document)


def test_architecture_that_the_spec_lacks(orchestrate: Orchestrate, place: Path) -> None:
    project = place / "project"
    project.mkdir()
    for name in ("sourcery.toml", "sourcery.lock"):
        (project / name).write_bytes((orchestrate.project / name).read_bytes())
    (project / "sourcery.toml").write_text(spec_text(architectures=[HOST]))
    command = Orchestrate(project, orchestrate.store)
    command.run("lock")
    foreign = "arm64" if HOST != "arm64" else "amd64"
    ran = command.build(place / "out", "--arch", foreign, status=2)
    assert foreign in ran.error["summary"]


def test_a_folder_of_somebody_else_is_left_alone(orchestrate: Orchestrate, place: Path) -> None:
    out = place / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("my only copy")
    ran = orchestrate.build(out, status=2)
    assert ran.error["subject"] == str(out)
    assert (out / "thesis.txt").read_text() == "my only copy"

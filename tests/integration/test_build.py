"""`orchestrate build` on the real spec: three architectures, every comparison, every file."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from blake3 import blake3

from containers.policy import RULES
from orchestrator import resources
from orchestrator.artifacts import image as making
from orchestrator.artifacts import model
from orchestrator.golang import probe
from orchestrator.lock import logged
from orchestrator.lock.file import Absent
from reproducibility import canonical, codes
from tests.integration.building import ARCHITECTURES, HOST, Orchestrate, check_whole, spec_text

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.lock.file import Lock
    from reproducibility.compare import CheckKind
    from tests.integration.building import Ran
    from tests.integration.conftest import Built

pytestmark = [pytest.mark.needs_sandbox, pytest.mark.needs_network, pytest.mark.slow]


def expected_checks(
    pinned: Lock, architectures: tuple[str, ...] = ARCHITECTURES
) -> dict[tuple[CheckKind, str], str]:
    """Every check that a build must make, with the verdict that it must come to.

    The machine's own toolchain is held against its release whether it goes on the stick or not.
    """
    found = {
        (codes.FIXED_POINT, HOST): "PASS",
        (codes.GENERATED, HOST): "PASS",
        (codes.HELPERS, HOST): "PASS",
        (codes.IMAGE_AGAIN, making.IMAGE): "PASS",
        (codes.IMAGE_READ_BACK, making.IMAGE): "PASS",
        (codes.IMAGE_BYTES, making.IMAGE): "PASS",
        (codes.ARCHIVE_READ_BACK, making.CPIO): "PASS",
        **{(codes.VARIATION, name): "PASS" for name in probe.FIELDS},
    }
    for source in logged.sources(pinned):
        subject = logged.subject(source)
        found[codes.LOG, subject] = found[codes.SOURCE, subject] = "PASS"
    log = {str(name): entry for name, entry in pinned.toolchain.log.items()}
    for name in {HOST, *architectures}:
        if isinstance(log[name], Absent):
            # The one architecture of which the log may have no record.
            assert name == "riscv64"
            found[codes.RELEASE, name] = "SKIP"
            found[codes.CROSS_AGAIN, name] = "PASS"
        else:
            found[codes.RELEASE, name] = found[codes.LOG, name] = "PASS"
    return found


def checked(ran: Ran) -> dict[tuple[CheckKind, str], str]:
    """The verdicts of a run, but for a comparison that only an image made again gets."""
    found = ran.checks()
    if found.get((codes.REBUILD, making.STEP)) == "PASS":
        del found[codes.REBUILD, making.STEP]
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
    reasons = {check["code"]: check["reason"] for check in full.ran.document["checks"]}
    assert reasons["fixed-point.same"] == f"{count} files are the same (BLAKE3 of each)"
    assert count >= 10


def test_result_has_its_schema(full: Built, orchestrate: Orchestrate) -> None:
    document = full.ran.document
    assert model.dumps(model.parse(canonical.pretty(document))) == canonical.pretty(document)
    assert (full.out / "result.json").read_bytes() == canonical.pretty(document)
    assert document["tool"] == resources.VERSION
    assert document["host"]["architecture"] == HOST
    for check in document["checks"]:
        code = codes.find(check["code"])
        assert (code.verdict.name, code.kind.name) == (check["verdict"], check["name"])
        assert (check["differences"], check["differences_total"]) == ([], 0)
    # What is built a second time, the host's standard library as a part of it.
    varied = {"F2", f"std/{HOST}", "cross-by-F2/riscv64"}
    for step in document["steps"]:
        if step["origin"] == "nothing to do":
            assert (step["kind"], step["action"], step["provenance"]) == ("nothing", None, None)
            continue
        assert step["origin"] == ("remembered" if step["cached"] else "ran here")
        made = step["provenance"]
        # A store that is kept from one session to the next may have what older versions made.
        if step["origin"] == "ran here" or made is not None:
            assert made["tool"] == resources.VERSION
            assert made["when"].endswith("Z")
        # Conditions are no part of what is done, and of a computation there are none.
        assert (step["action"] == step["key"]) == (step["kind"] == "computation")
        assert bool(step["conditions"]) == (step["name"] in varied)
    pinned = orchestrate.lock
    assert [(found["name"], found["host"]) for found in document["inputs"]] == [
        (found.name, found.host) for found in pinned.inputs
    ]
    assert document["inputs"] == pinned.model_dump(mode="json")["inputs"]
    assert document["lock"] == str(pinned.digest)
    assert document["engine"]["name"] == "sandbox"
    assert document["root"]["tree"].startswith("blake3:")
    assert set(document["root"]["commands"]) == set(ARCHITECTURES)


def test_every_stage_is_there(full: Built) -> None:
    names = {stage["name"] for stage in full.ran.document["steps"]}
    foreign = [name for name in ARCHITECTURES if name != HOST]
    wanted = {"T1/dist", "T1/toolchain", "T1/helpers", "F1", "F2"}
    wanted |= {f"cross/{name}" for name in foreign}
    wanted |= {f"programs/{name}" for name in ARCHITECTURES}
    assert wanted <= names


def test_isolation_is_told_rule_by_rule(full: Built) -> None:
    isolation = full.ran.document["isolation"]
    names = sorted(rule.name for rule in RULES)
    assert sorted(isolation["rules"]) == names
    # Each step says in which of these its result was made.
    made = [step["provenance"] for step in full.ran.document["steps"]]
    used = {one["isolation"] for one in made if one is not None}
    used.discard(None)  # of what this program did itself
    assert {kept["id"] for kept in isolation["enforced"]} == used
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
    for step in full.ran.actions():
        assert f"{step['name'].replace('/', '-')}.log" in logs
    # cmd/dist tells what it builds.
    assert "Building" in (full.out / "logs" / "T1-toolchain.log").read_text()


def test_second_run_only_checks(full: Built, place: Path, orchestrate: Orchestrate) -> None:
    copy = shutil.copytree(full.out, place / "full")
    again = orchestrate.build(copy)
    assert again.executed() == []
    assert again.started == []
    for name in ("image", "cpio"):
        assert again.document[name] == full.ran.document[name]
    assert checked(again) == checked(full.ran)
    assert _keys(again) == _keys(full.ran)


def _keys(ran: Ran) -> dict[str, str]:
    return {step["name"]: step["key"] for step in ran.actions()}


def test_damaged_output_is_made_again(small: Orchestrate, small_own: Built, place: Path) -> None:
    copy = shutil.copytree(small_own.out, place / "small")
    image = copy / "sourcery.img"
    with image.open("r+b") as stream:
        stream.seek(image.stat().st_size // 2)
        byte = stream.read(1)
        stream.seek(-1, 1)
        stream.write(bytes([byte[0] ^ 1]))
    again = small.build(copy, "--arch", HOST)
    assert again.executed() == []
    assert "image (FAT32 disk image)" in again.started
    assert again.image == small_own.ran.image


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
    log = {check["code"]: check["reason"] for check in full.ran.document["checks"]}
    assert log["fixed-point.same"]
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

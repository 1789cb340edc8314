"""A single changed byte anywhere in a folder is found, and the file that holds it is named."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from orchestrator.artifacts import names
from tests.unit.orchestrator.verify import world

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.orchestrator.verify.conftest import Court

pytestmark = pytest.mark.once

CHANGES = 200


def flip(path: Path, at: int, bit: int) -> None:
    with path.open("r+b") as stream:
        stream.seek(at)
        (byte,) = stream.read(1)
        stream.seek(at)
        stream.write(bytes([byte ^ bit]))


def test_the_honest_folder_holds(court: Court, folder: Path) -> None:
    out = court.honest.copy().write(folder, court.alice)
    judged = court.judge(out)
    assert judged.refused_for() == set()
    assert judged.judgement.held
    assert judged.judgement.accepted == (str(out),)
    (found,) = judged.folders
    assert found.signers == found.audit_signers == (court.alice.public.keyid,)
    # Whatever says what is on the image was worked out, not believed.
    here = {claim.what for claim in found.claims if claim.how == "derived here"}
    assert here >= {
        "tree",
        "toolchain",
        "Go release",
        "source",
        "spec",
        "lock",
        "actions",
        "statements",
        "JUnit",
        "page",
    }
    assert "transparency-log.proved (PASS)" in here
    stated = {claim.what for claim in found.claims if claim.how == "signed"}
    assert "fixed-point.same (PASS)" in stated
    assert all(claim.how != "only stated" for claim in found.claims)


def test_of_200_changed_bytes_each_is_found_and_its_file_named(court: Court, folder: Path) -> None:
    out = court.honest.copy().write(folder, court.alice)
    files = sorted(path for path in out.rglob("*") if path.is_file())
    assert {names.RESULT, names.AUDIT, names.PROVENANCE, *names.SUMS} <= {f.name for f in files}
    rng = random.Random(20261128)  # noqa: S311 - the same places each time
    unseen = []
    for number in range(CHANGES):
        # Each file in turn, so that every one of them has its share.
        path = files[number % len(files)]
        at, bit = rng.randrange(path.stat().st_size), 1 << rng.randrange(8)
        flip(path, at, bit)
        judged = court.judge(out)
        flip(path, at, bit)
        name = path.relative_to(out).as_posix()
        if judged.judgement.held or name not in {one.file for one in judged.folders[0].findings}:
            unseen.append((name, at, bit, judged.refused_for()))
    assert unseen == []
    assert court.judge(out).judgement.held, "every byte was put back"


def test_a_file_too_many_or_too_few_is_named(court: Court, folder: Path) -> None:
    out = court.honest.copy().write(folder, court.alice)
    (out / "logs" / "extra.log").write_bytes(b"?")
    assert ("file-unnamed", "logs/extra.log") in court.judge(out).refused_for()
    world.seal(out)
    assert ("file-unnamed", "logs/extra.log") in court.judge(out).refused_for()
    (out / "logs" / "extra.log").unlink()
    (out / "logs" / "F1.log").unlink()
    world.seal(out)
    assert ("file-missing", "logs/F1.log") in court.judge(out).refused_for()


def test_what_is_no_plain_file_is_named(court: Court, folder: Path) -> None:
    out = court.honest.copy().write(folder, court.alice)
    (out / "link").symlink_to("/etc/passwd")
    (out / "nested").mkdir()
    found = court.judge(out).refused_for()
    assert {("file-irregular", "link"), ("file-irregular", "nested")} <= found


def test_logs_that_lie_elsewhere_are_not_read(court: Court, folder: Path) -> None:
    out = court.honest.copy().write(folder, court.alice)
    (out / "logs").rename(folder.parent / "elsewhere")
    (out / "logs").symlink_to(folder.parent / "elsewhere")
    judged = court.judge(out)
    assert {("file-irregular", "logs"), ("file-missing", "logs/F1.log")} <= judged.refused_for()
    assert not [path for path in judged.folders[0].files if path.startswith("logs/")]

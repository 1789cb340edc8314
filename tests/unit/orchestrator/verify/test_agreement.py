"""Several folders: k of n builders, who agrees with whom, and the first action that parts them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reproducibility import digest
from tests.unit.orchestrator.verify import world
from tests.unit.orchestrator.verify.conftest import POLICY

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.verify.policy import Loaded
    from tests.unit.orchestrator.verify.conftest import Court
    from tests.unit.orchestrator.verify.world import Build

pytestmark = pytest.mark.once

EVIL = {"linux_amd64/bin/init": b"an evil program"}


def demanding(court: Court, count: int) -> Loaded:
    return court.policy("alice", "bob", "carol", more=f"[builders]\nagree = {count}\n")


def dishonest(court: Court) -> Build:
    """A build from the same spec and lock that holds together, and gives another image."""
    forged = world.made(court.scratch / "dishonest", EVIL)
    forged.step("programs/amd64")["outputs"] = str(digest.of_bytes(b"evil"))
    forged.audit = None
    forged.audit = world.audit(forged)
    return forged


def run(court: Court, number: int) -> Build:
    """A further run of the honest build: the same image, and times of its own."""
    built = court.honest.copy()
    built.result["seconds"] += number
    return built


def test_three_builders_one_dishonest_one_absent(court: Court, folder: Path) -> None:
    """Alice and bob are there, bob lies, carol is not: one of the two that are demanded."""
    one = court.honest.copy().write(folder / "alice", court.alice)
    two = dishonest(court).write(folder / "bob", court.bob)
    judged = court.judge(one, two, loaded=demanding(court, 2))
    assert judged.refused_for() == {("builders-agree", "")}
    assert judged.judgement.accepted == ()
    assert [found.sound for found in judged.folders] == [True, True], "each for itself holds"
    (parting,) = judged.judgement.agreement.partings
    assert parting.step == "programs/amd64"
    assert "not deterministic, or forged" in parting.why
    # With carol's there are two again, and the lie is told and left out.
    three = run(court, 1).write(folder / "carol", court.carol)
    judged = court.judge(one, two, three, loaded=demanding(court, 2))
    assert judged.judgement.held
    assert judged.judgement.accepted == (str(one), str(three))
    groups = judged.judgement.agreement.groups
    assert [len(group.folders) for group in groups] == [2, 1]
    # Three of three is more than there are.
    assert not court.judge(one, two, three, loaded=demanding(court, 3)).judgement.held


def test_one_key_is_one_builder(court: Court, folder: Path) -> None:
    """Two folders of one key are no two builders."""
    one = court.honest.copy().write(folder / "one", court.alice)
    two = run(court, 1).write(folder / "two", court.alice)
    judged = court.judge(one, two, loaded=demanding(court, 2))
    assert judged.refused_for() == {("builders-agree", "")}


def test_one_folder_is_one_build_whoever_signed_it(court: Court, folder: Path) -> None:
    """A second signature under the same build is no second build."""
    one = court.honest.copy().write(folder / "one", court.alice, court.bob)
    judged = court.judge(one, loaded=demanding(court, 2))
    assert judged.refused_for() == {("builders-agree", "")}
    two = run(court, 1).write(folder / "two", court.alice)
    assert court.judge(one, two, loaded=demanding(court, 2)).judgement.held
    assert court.judge(two, one, loaded=demanding(court, 2)).judgement.held


def test_copies_of_a_build_are_one_build(court: Court, folder: Path) -> None:
    """No copy is a second builder: not of a folder that two signed, and not with one of the two."""
    both = court.honest.copy().write(folder / "both", court.alice, court.bob)
    copied = court.honest.copy().write(folder / "copied", court.alice, court.bob)
    one = court.honest.copy().write(folder / "one", court.alice)
    two = court.honest.copy().write(folder / "two", court.bob)
    for pair in ((both, copied), (one, two), (both, one), (both, copied, one, two)):
        judged = court.judge(*pair, loaded=demanding(court, 2))
        assert judged.refused_for() == {("builders-agree", "")}
        (refusal,) = judged.judgement.refusals
        assert refusal.reason.startswith("1 builders agree")
        assert refusal.reason.endswith("folders hold 1 build")
    # Bob's own run is a second one, beside any copies of alice's.
    own = run(court, 1).write(folder / "own", court.bob)
    assert court.judge(both, copied, own, loaded=demanding(court, 2)).judgement.held
    assert ("builders-agree", "") in court.judge(
        both, copied, own, loaded=demanding(court, 3)
    ).refused_for()


def test_a_folder_that_does_not_hold_counts_for_nobody(court: Court, folder: Path) -> None:
    one = court.honest.copy().write(folder / "one", court.alice)
    forged = court.honest.copy()
    forged.step("F2")["outputs"] = str(digest.of_bytes(b"other"))
    two = forged.write(folder / "two", court.bob)
    judged = court.judge(one, two, loaded=demanding(court, 2))
    assert ("builders-agree", "") in judged.refused_for()
    assert not judged.judgement.held


def test_without_a_number_all_folders_must_agree(court: Court, folder: Path) -> None:
    one = court.honest.copy().write(folder / "one", court.alice)
    two = court.honest.copy().write(folder / "two", court.bob)
    assert court.judge(one, two).judgement.held
    three = dishonest(court).write(folder / "three", court.bob)
    assert ("agreement", "") in court.judge(one, two, three).refused_for()


def test_what_other_inputs_part_is_said_so(court: Court, folder: Path) -> None:
    """Another lock: the first step that was given something else is where they part."""
    one = court.honest.copy().write(folder / "one", court.alice)
    source = f"src/{world.MODULE}/cmds/core/ls/ls.go"
    other = world.made(court.scratch / "relocked", {source: b"package new\n"})
    two = other.write(folder / "two", court.bob)
    judged = court.judge(one, two, loaded=court.policy("alice", "bob", text=POLICY))
    (parting,) = judged.judgement.agreement.partings
    assert any("lock" in line for line in parting.lines)
    assert parting.step == "image"

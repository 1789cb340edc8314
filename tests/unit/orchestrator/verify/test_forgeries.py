"""Forgeries whose digests are all right, made the way a forger would: each refused for its reason.

Who forges writes every file anew, statements and sums too, with the product's own writers. Where
it says so, the forger is a builder who may sign, and does.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.artifacts import names
from orchestrator.evidence import dsse
from orchestrator.lock.model import Absent, GoModule
from reproducibility import canonical, digest
from tests import results
from tests.unit.orchestrator.verify import world

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.lock.file import Lock
    from tests.unit.orchestrator.verify.conftest import Court
    from tests.unit.orchestrator.verify.world import Build

pytestmark = pytest.mark.once

SOURCE = f"src/{world.MODULE}/cmds/core/ls/ls.go"
RESULT, ACTIONS, AUDIT, PROVENANCE = names.RESULT, names.ACTIONS, names.AUDIT, names.PROVENANCE
OTHER = str(digest.of_bytes(b"something else"))


@pytest.fixture(scope="session")
def other(court: Court) -> Build:
    """Another build, as good as the honest one."""
    return world.made(court.scratch / "other", {SOURCE: b"package other\n"})


def put(build: Build, name: str, value: Any) -> None:  # noqa: ANN401 - JSON
    build.result["steps"] = [
        value if step["name"] == name else step for step in build.result["steps"]
    ]


def test_a_pass_over_a_fail(court: Court, folder: Path) -> None:
    """F2 came out otherwise, and the builder wrote PASS over it and signed."""
    forged = court.honest.copy()
    forged.step("F2")["outputs"] = OTHER
    out = forged.write(folder, court.alice)
    found = court.judge(out).refused_for()
    assert ("verdict-contradicts", RESULT) in found
    # The audit of the true build, which the forger kept, has other outputs of that step.
    assert ("audit-differs", AUDIT) in found


def test_a_verdict_over_its_checks(court: Court, folder: Path) -> None:
    forged = court.honest.copy()
    forged.result["verdict"] = "PASS"
    out = forged.write(folder, court.alice)
    assert ("verdict-contradicts", RESULT) in court.judge(out).refused_for()


def test_a_word_over_a_checks_code(court: Court, folder: Path) -> None:
    forged = court.honest.copy()
    forged.check("generated-source").update(code="generated-source.differs", verdict="PASS")
    out = forged.write(folder, court.alice)
    assert ("verdict-contradicts", RESULT) in court.judge(out).refused_for()


def test_a_release_that_nobody_published(court: Court, folder: Path) -> None:
    forged = court.honest.copy()
    forged.check("release").update(code="release.same", verdict="PASS")
    forged.result["verdict"] = "PASS"
    out = forged.write(folder, court.alice)
    assert ("verdict-contradicts", RESULT) in court.judge(out).refused_for()


def test_the_image_of_another_build_with_its_own_evidence(
    court: Court, other: Build, folder: Path
) -> None:
    """Image, archive and statements are another build's, whole and signed; the rest is ours."""
    theirs = other.copy().write(folder / "theirs", court.bob)
    out = court.honest.copy().write(folder / "out", court.alice)
    for name in ("sourcery.img", "sourcery.cpio.zst", PROVENANCE):
        shutil.copy(theirs / name, out / name)
    world.seal(out)
    found = court.judge(out).refused_for()
    assert ("file-differs", "sourcery.img") in found
    assert ("statement-differs", PROVENANCE) in found
    assert ("signed", "") in found


def test_another_build_as_a_whole(court: Court, other: Build, folder: Path) -> None:
    """It is sound; who wants this lock says so in the policy."""
    out = other.copy().write(folder, court.alice)
    assert court.judge(out).judgement.held
    more = f"[build]\nlock = '{court.honest.lock.digest}'\n"
    loaded = court.policy("alice", more=more)
    assert court.judge(out, loaded=loaded).refused_for() == {("build-lock", "")}


def test_the_image_of_another_build_in_an_honest_result(
    court: Court, other: Build, folder: Path
) -> None:
    """The forger writes the digests of the other image into everything, and signs it."""
    forged = court.honest.copy()
    forged.image, forged.archive = other.image, other.archive
    for name in ("image", "cpio"):
        forged.result[name] = other.result[name]
    forged.step("image")["outputs"] = other.step("image")["outputs"]
    out = forged.write(folder, court.alice)
    found = court.judge(out).refused_for()
    assert ("tree-differs", "sourcery.img") in found
    # Its volume ID is that of the lock that it was made from.
    forged.result["root"] = other.result["root"]
    shutil.rmtree(out)
    found = court.judge(forged.write(folder, court.alice)).refused_for()
    assert ("audit-differs", AUDIT) in found


def test_programs_that_no_step_made(court: Court, folder: Path) -> None:
    """The compiler on the image is another one than F1 and F2 gave."""
    planted = {"go/pkg/tool/linux_amd64/compile": b"planted"}
    forged = world.made(court.scratch / "planted", planted, pinned=True)
    for name in ("F1", "F2"):
        forged.step(name)["outputs"] = court.honest.step(name)["outputs"]
    forged.audit = None
    out = forged.write(folder, court.alice)
    assert ("link-broken", RESULT) in court.judge(out).refused_for()


def test_a_source_that_the_lock_does_not_pin(court: Court, folder: Path) -> None:
    forged = world.made(court.scratch / "patched", {SOURCE: b"package other\n"}, pinned=True)
    out = forged.write(folder, court.alice)
    assert ("tree-differs", "sourcery.img") in court.judge(out).refused_for()


def test_statements_swapped_between_builders(court: Court, folder: Path) -> None:
    """Both built the same image; each folder gets the other's statements."""
    ours, theirs = court.honest.copy(), court.honest.copy()
    theirs.result["seconds"] = 77.0
    one = ours.write(folder / "one", court.alice)
    two = theirs.write(folder / "two", court.bob)
    told = [(out / PROVENANCE).read_bytes() for out in (one, two)]
    for out, data in ((one, told[1]), (two, told[0])):
        (out / PROVENANCE).write_bytes(data)
        world.seal(out)
        found = court.judge(out).refused_for()
        assert {("statement-differs", PROVENANCE), ("signed", "")} <= found


def changed_source(lock: Lock, **changes: Any) -> Lock:  # noqa: ANN401 - fields
    inputs = [
        found.model_copy(update=changes) if found.name == "u-root" else found
        for found in lock.inputs
    ]
    return lock.model_copy(update={"inputs": tuple(inputs)})


def test_a_log_record_of_another_version(court: Court, folder: Path) -> None:
    """A true record with its true proof, of another module; the image is made with that lock."""
    whole = world.published()
    record = whole.toolchain.log["amd64"]
    forged = world.made(
        court.scratch / "record", relock=lambda lock: changed_source(lock, log=record)
    )
    out = forged.write(folder, court.alice)
    judged = court.judge(out)
    assert ("verdict-contradicts", RESULT) in judged.refused_for()
    (reason,) = {one.reason for one in judged.folders[0].findings}
    assert "transparency-log.proved" in reason
    assert "not-proved" in reason


def test_a_record_with_another_hash(court: Court, folder: Path) -> None:
    """The lock pins another hash than its proved record."""
    h1 = "h1:" + "A" * 43 + "="
    forged = world.made(court.scratch / "hash", relock=lambda lock: changed_source(lock, h1=h1))
    out = forged.write(folder, court.alice)
    assert ("verdict-contradicts", RESULT) in court.judge(out).refused_for()


def test_a_lock_with_a_record_removed(court: Court, folder: Path) -> None:
    """Consistent all through, image included: nothing is wrong but what is missing."""
    absent = Absent(reason="not asked")
    forged = world.made(
        court.scratch / "removed", relock=lambda lock: changed_source(lock, log=absent)
    )
    kept = [c for c in forged.result["checks"] if not c["code"].startswith("transparency-log")]
    forged.result["checks"] = kept
    forged.check("source").update(
        world.check("source.absent-record", forged.check("source")["subject"])
    )
    out = forged.write(folder, court.alice)
    judged = court.judge(out)
    assert judged.refused_for() == {("skips-accepted", ""), ("check-passed", "")}


def test_a_lock_with_a_record_removed_beside_the_old_image(court: Court, folder: Path) -> None:
    forged = court.honest.copy()
    forged.lock = changed_source(forged.lock, log=Absent(reason="not asked"))
    forged.result["lock"] = str(forged.lock.digest)
    forged.result["inputs"] = forged.lock.model_dump(mode="json")["inputs"]
    out = forged.write(folder, court.alice)
    found = court.judge(out).refused_for()
    # The image's volume ID comes from the lock.
    assert ("image-damaged", "sourcery.img") in found
    assert ("link-broken", ACTIONS) in found


def test_a_check_removed(court: Court, folder: Path) -> None:
    forged = court.honest.copy()
    forged.result["checks"].remove(forged.check("generated-source"))
    out = forged.write(folder, court.alice)
    assert ("check-missing", RESULT) in court.judge(out).refused_for()


def test_a_signature_by_an_unknown_key(court: Court, folder: Path) -> None:
    out = court.honest.copy().write(folder, court.mallory)
    judged = court.judge(out)
    assert judged.refused_for() == {("signed", ""), ("audit-signed", "")}
    assert judged.folders[0].unknown_signers == (court.mallory.public.keyid,)


def test_an_unknown_key_under_a_known_name(court: Court, folder: Path) -> None:
    """The id in a signature is a hint that nobody signed."""
    out = court.honest.copy().write(folder, court.mallory)
    mine = court.alice.public.keyid
    envelopes = [
        dsse.Envelope(
            one.payload,
            one.payload_type,
            tuple(dsse.Signature(mine, signature.sig) for signature in one.signatures),
        )
        for one in dsse.parse_lines((out / PROVENANCE).read_bytes())
    ]
    world.write_statements(out, envelopes)
    found = court.judge(out).refused_for()
    assert {("signature-invalid", PROVENANCE), ("signed", "")} <= found


def test_a_statement_that_says_otherwise(court: Court, folder: Path) -> None:
    """A builder signs a statement about the right files that says something else of them."""
    out = court.honest.copy().write(folder, court.alice)
    envelopes = list(dsse.parse_lines((out / PROVENANCE).read_bytes()))
    said = canonical.loads(envelopes[0].payload)
    said["predicate"]["runDetails"]["builder"]["id"] = "somebody else"
    envelopes[0] = court.alice.sign(dsse.Envelope(canonical.dumps(said)))
    world.write_statements(out, envelopes)
    assert ("statement-differs", PROVENANCE) in court.judge(out).refused_for()


def test_a_test_report_that_says_otherwise(court: Court, folder: Path) -> None:
    out = court.honest.copy().write(folder, court.alice)
    path = out / names.JUNIT
    path.write_bytes(path.read_bytes().replace(b"<skipped", b"<skippen"))
    world.seal(out)
    found = court.judge(out).refused_for()
    assert found & {("statement-differs", names.JUNIT), ("statement-differs", PROVENANCE)}


def test_a_page_that_shows_otherwise(court: Court, folder: Path) -> None:
    """No statement is about the page; it is made anew from what they are about."""
    out = court.honest.copy().write(folder, court.alice)
    (out / names.REPORT).write_bytes(b"<p>All is well.</p>")
    world.seal(out)
    assert court.judge(out).refused_for() == {("statement-differs", names.REPORT), ("sound", "")}


def test_an_audit_of_another_build(court: Court, other: Build, folder: Path) -> None:
    """The audit is true and signed, and of a build with another source."""
    theirs = other.copy()
    theirs.write(folder / "theirs", court.bob)
    forged = court.honest.copy()
    forged.audit = theirs.audit
    out = forged.write(folder / "out", court.alice)
    judged = court.judge(out)
    assert ("audit-differs", AUDIT) in judged.refused_for()
    assert "another" in " ".join(one.reason for one in judged.folders[0].findings)


def test_coverage_claimed_higher_than_audited(court: Court, folder: Path) -> None:
    forged = court.honest.copy()
    assert forged.audit is not None
    dropped = forged.audit["steps"].pop()
    forged.audit["checks"] = [
        one for one in forged.audit["checks"] if one["subject"] != dropped["name"]
    ]
    out = forged.write(folder, court.alice)
    judged = court.judge(out)
    assert ("audit-differs", AUDIT) in judged.refused_for()
    # Told as it is, it is not enough.
    forged.audit["coverage"]["audited"] -= 1
    forged.audit["variations"][0]["actions"] -= 1
    forged.audit["checks"][-1] = world.check("audit-coverage.part", "build")
    forged.audit["verdict"] = "SKIP"
    forged.audit["audited"]["result"] = results.NOTHING
    shutil.rmtree(out)
    found = court.judge(forged.write(folder, court.alice)).refused_for()
    assert found == {("audit-coverage", ""), ("skips-accepted", "")}


def test_a_replayed_old_statement(court: Court, folder: Path) -> None:
    """A true statement of an earlier build of the same image, in the place of the present one."""
    earlier = court.honest.copy()
    earlier.finished -= 400 * 86_400
    earlier.result["seconds"] = 99.0
    old = earlier.write(folder / "old", court.alice)
    out = court.honest.copy().write(folder / "out", court.alice)
    shutil.copy(old / PROVENANCE, out / PROVENANCE)
    world.seal(out)
    found = court.judge(out).refused_for()
    assert {("statement-differs", PROVENANCE), ("signed", "")} <= found
    # The old folder as a whole is true, and too old.
    assert court.judge(old).refused_for() == {("evidence-age", "")}


def test_an_expired_policy(court: Court, folder: Path) -> None:
    out = court.honest.copy().write(folder, court.alice)
    text = court.policy("alice").policy
    assert text.expires is not None
    later = world.FINISHED + 2 * 86_400
    assert court.judge(out, now=later).judgement.held
    late = 1_893_456_000 + 86_400  # the day after the last one
    assert ("policy-expired", "") in court.judge(out, now=late).refused_for()


def test_an_action_with_another_command(court: Court, folder: Path) -> None:
    forged = court.honest.copy()
    action = forged.step("F1")["action"]
    forged.actions[action] = {**forged.actions[action], "command": ["/bin/true"]}
    out = forged.write(folder, court.alice)
    assert ("link-broken", ACTIONS) in court.judge(out).refused_for()
    # The digest of the action is made right, and the step's key is not.
    own = str(digest.of_bytes(canonical.dumps(forged.actions[action])))
    forged.actions[own] = forged.actions.pop(action)
    forged.step("F1")["action"] = own
    shutil.rmtree(out)
    found = court.judge(forged.write(folder, court.alice)).refused_for()
    assert ("verdict-contradicts", RESULT) in found
    # And the key as well: the audit, which is of the true build, tells.
    forged.step("F1")["key"] = world.key_of(own, {})
    shutil.rmtree(out)
    found = court.judge(forged.write(folder, court.alice)).refused_for()
    assert ("audit-differs", AUDIT) in found


def test_conditions_that_were_not(court: Court, folder: Path) -> None:
    """F2 ran under the usual conditions, and is said to have had others."""
    forged = court.honest.copy()
    forged.step("F2")["conditions"] = {**forged.step("F2")["conditions"], "user": 1234}
    out = forged.write(folder, court.alice)
    assert ("verdict-contradicts", RESULT) in court.judge(out).refused_for()


def test_a_variation_that_had_no_effect(court: Court, folder: Path) -> None:
    forged = court.honest.copy()
    forged.step("F2")["provenance"] = forged.step("F1")["provenance"]
    out = forged.write(folder, court.alice)
    assert ("verdict-contradicts", RESULT) in court.judge(out).refused_for()


def test_the_log_entry_of_the_sample_is_a_true_one(court: Court) -> None:
    found = court.honest.lock.find("u-root")
    assert isinstance(found, GoModule)
    assert found.log is not None
    assert found.log.state == "recorded"

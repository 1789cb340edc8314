"""Audits of a real build: clean, with a guilty action, interrupted, of another lock.

The build is the small project that others have made; only a few quick actions are run again.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.store import records
from tests.integration import building
from tests.integration.building import HOST, Orchestrate
from tests.integration.test_rebuild import of_step

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.building import Ran
    from tests.integration.conftest import Built
    from tests.integration.copies import SharedCopy

pytestmark = [pytest.mark.needs_sandbox, pytest.mark.needs_network, pytest.mark.slow]

PROGRAMS = f"programs/{HOST}"
LISTING = f"list/{building.SMALL}/{HOST}"
QUICK = ("--only", "list/*", "--only", "programs/*")


@dataclass(frozen=True)
class Project:
    """The small project with a store and an output folder of its own."""

    command: Orchestrate
    out: Path

    def audit(self, *arguments: str, status: int = 0) -> Ran:
        """An audit of it in the sandbox; no process of it is left."""
        return self.command.run("audit", *self.where(*arguments), status=status)

    def where(self, *arguments: str) -> tuple[str, ...]:
        return ("--out", str(self.out), "--engine", "sandbox", "--offline", *arguments)


@pytest.fixture
def built(small: Orchestrate, small_own: Built, shared_copy: SharedCopy, place: Path) -> Project:
    """A copy of the small project's build, by links where a file is not written to."""
    shutil.copytree(small_own.out, place / "out", copy_function=os.link)
    return Project(replace(small, store=shared_copy.as_at_first()), place / "out")


def codes(ran: Ran) -> dict[str, str]:
    """The codes of the checks by subject, without those of the variations."""
    checks: list[dict[str, Any]] = ran.document["checks"]
    return {
        check["subject"]: check["code"]
        for check in checks
        if not check["code"].startswith("audit-variation.")
    }


def test_a_clean_build_gives_the_same_and_a_new_build_replaces_the_audit(built: Project) -> None:
    ran = built.audit(*QUICK, "--only", "image")
    found = codes(ran)
    assert found == {
        LISTING: "conditions.same",
        PROGRAMS: "conditions.same",
        "image": "computed-again.same",
        "root": "computed-again.same",
        "sourcery.img": "output-file.same",
        "sourcery.cpio.zst": "output-file.same",
        "build": "audit-coverage.part",
    }
    states = {one["name"]: one["state"] for one in ran.document["variations"]}
    assert set(states.values()) <= {"seen", "unable", "one processor"}
    assert states["host"] == states["directory"] == "seen"
    coverage = ran.document["coverage"]
    assert coverage["audited"] == 2 < coverage["actions"]
    # Actions and computations that were not chosen; of those the image was.
    others = coverage["actions"] - 2 + coverage["computations"] - 1
    assert len(coverage["left_out"]) == others
    assert {one["why"] for one in coverage["left_out"]} == {"not chosen"}
    written = built.out / "audit.json"
    assert json.loads(written.read_bytes()) == ran.document
    again = built.command.build(built.out, "--arch", HOST)
    assert again.executed() == []
    assert not written.exists()


def test_a_guilty_action_is_found_by_its_name(built: Project) -> None:
    """The result that is remembered of a real action, and that the build names, is another one."""
    place = of_step(built.command.store, PROGRAMS)
    document = records.opened(place.read_bytes())
    other = records.opened(of_step(built.command.store, "F1/helpers").read_bytes())["outputs"]
    place.unlink()
    place.write_bytes(records.sealed({**document, "outputs": other}))
    result = built.out / "result.json"
    said = json.loads(result.read_bytes())
    for step in said["steps"]:
        if step["name"] == PROGRAMS:
            step["outputs"] = other
    result.unlink()
    result.write_text(json.dumps(said))
    ran = built.audit(*QUICK, "--bisect", status=1)
    guilty = [step for step in ran.document["steps"] if step["verdict"] == "FAIL"]
    assert [step["name"] for step in guilty] == [PROGRAMS]
    assert guilty[0]["rounds"][0]["explanation"]["lines"]
    # It is so under the build's own conditions too.
    assert guilty[0]["bisected"]["itself"] is True
    assert codes(ran)[LISTING] == "conditions.same"


def test_other_outputs_in_the_store_than_the_build_names(built: Project) -> None:
    result = built.out / "result.json"
    said = json.loads(result.read_bytes())
    for step in said["steps"]:
        if step["name"] == LISTING:
            step["outputs"] = said["root"]["tree"]
    result.unlink()
    result.write_text(json.dumps(said))
    ran = built.audit("--only", LISTING, status=1)
    found = {check["code"] for check in ran.document["checks"] if check["subject"] == LISTING}
    assert found == {"conditions.other-result", "conditions.same"}


def test_a_missing_result_is_built_first(built: Project) -> None:
    of_step(built.command.store, PROGRAMS).unlink()
    ran = built.audit("--only", PROGRAMS)
    assert ran.document["missing"] == [PROGRAMS]
    assert "are built now" in ran.stderr
    assert codes(ran)[PROGRAMS] == "conditions.same"


def test_an_interrupted_audit_goes_on(built: Project) -> None:
    # Side by side, the second of which takes several times as long as the first.
    asked = built.where("--only", "list/*", "--only", "T1/dist", "--jobs", "2")
    running = built.command.start("audit", *asked)
    running.wait_for(r"finished +.* \[1 of 2 steps\]")
    had = building.descendants(running.process.pid)
    running.process.send_signal(signal.SIGINT)
    ran = running.end()
    building.check_gone(had)
    assert ran.status == 130
    assert "run it again: orchestrate audit" in ran.error["remedy"]
    assert not (built.out / "audit.json").exists()
    building.check_clean(built.command.store)
    again = built.command.run("audit", *asked)
    assert again.document["coverage"]["went_on"] == 1
    assert again.document["coverage"]["audited"] == 2
    assert len(again.started) == 1


@pytest.mark.parametrize("what", ["spec", "lock"])
def test_a_build_of_another_spec_or_lock_is_refused(
    small: Orchestrate, small_own: Built, orchestrate: Orchestrate, what: str
) -> None:
    """Before anything is done: so the store and the output folder may be everybody's."""
    built = Project(small, small_own.out)
    other = orchestrate.project / f"sourcery.{'toml' if what == 'spec' else 'lock'}"
    ran = built.audit(f"--{what}", str(other), status=2)
    assert f"from another {what}" in ran.error["summary"]
    assert "orchestrate build" in ran.error["remedy"]


def test_a_folder_without_a_build_is_refused(small: Orchestrate, place: Path) -> None:
    ran = small.run("audit", "--out", place / "nothing", status=2)
    assert "no result of a build" in ran.error["summary"]

"""A store and an output directory in folders of odd names, given as relative paths."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator.lock import file as locks
from tests.integration import building
from tests.integration.building import HOST, Orchestrate

if TYPE_CHECKING:
    from tests.integration.conftest import Built

pytestmark = [pytest.mark.needs_sandbox, pytest.mark.needs_network, pytest.mark.slow]

# Each of these means something to a shell, to apt, the go command, pip, bubblewrap or QEMU.
ODD = "a b,c'd$e%41;f{g}#h\\i ä[j]*?&|<k>=@~"


def test_clients_and_steps_find_a_store_of_any_name(
    small: Orchestrate, small_own: Built, place: Path
) -> None:
    project = place / "project"
    project.mkdir()
    for name in ("sourcery.toml", "sourcery.lock"):
        shutil.copyfile(small.project / name, project / name)
    # Commands start in the project, as a person who types these paths does.
    building.clone(small.store, place / ODD / "store")
    command = replace(small, project=project, store=Path(f"../{ODD}/store"))
    before = (project / "sourcery.lock").read_bytes()
    # Through apt, and through the go command: downloaded anew, and found to be the same.
    for name in ("uname", "2fa"):
        artifact = locks.parse(before).find(name, HOST).blake3.hex
        blob = place / ODD / "store" / "blobs" / artifact[:2] / artifact[2:4] / artifact
        blob.unlink(missing_ok=True)
        ran = command.run("lock", "--update", name)
        assert [one for one in ran.started if name in one]
    if (project / "sourcery.lock").read_bytes() != before:
        building.remarks.append("the suite's uname moved since it was locked")
    out = f"../{ODD}/out"
    ran = command.run("build", "--engine", "sandbox", "--arch", HOST, "--out", out)
    assert ran.image == small_own.ran.image or "uname moved" in str(building.remarks)
    building.check_whole(place / ODD / "out", ran.document)


@pytest.mark.parametrize("sign", [":", '"', "\n"])
def test_what_no_client_can_be_told_of_is_refused_before_anything(
    sign: str, small: Orchestrate, place: Path
) -> None:
    command = replace(small, store=place / f"a{sign}b" / "store")
    for what in ("lock", "fetch", "build"):
        ran = command.run(what, status=2)
        assert ran.error["remedy"]
        assert ran.started == []
    assert not command.store.parent.exists()

"""The units of nights under systemd, with all their rules: what must work does, and no more."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator.nightly import config, units
from orchestrator.store import Store
from tests.conftest import ROOT
from tests.integration import service_manager, under_unit

if TYPE_CHECKING:
    from tests.integration.engine_fixtures import Builder

pytestmark = [
    pytest.mark.needs_sandbox,
    pytest.mark.needs_tools("unshare", service_manager.SYSTEMD),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root starts a service manager"),
]
SERVICE, FAILED = f"{units.NAME}.service", f"{units.NAME}-failed.service"


def rendered(place: Path, script: str) -> dict[str, str]:
    """The units of a program that is a shell script; its state and its store lie in the folder."""
    program = place / "orchestrate"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    (place / "nightly.toml").write_text('state = "state"\n[store]\nfolder = "store"\n')
    texts = units.rendered(program, config.load(place / "nightly.toml"))
    return {name: text for name, text in texts.items() if name.endswith(".service")}


def started(place: Path, texts: dict[str, str]) -> dict[str, str]:
    """What the services wrote, the night's own first."""
    (place / "manager").mkdir()
    # Where the checkout, its Python or the store lie in /tmp or /var/tmp, units have another one.
    seen = {ROOT, Path(sys.prefix), Path(sys.base_prefix)}
    return service_manager.run(place / "manager", texts, SERVICE, seen=sorted(seen))


def test_actions_work_under_the_rules_and_nothing_else_is_written(
    place: Path, builder: Builder
) -> None:
    outside, store, state = place / "outside", place / "store", place / "state"
    outside.mkdir()
    # A store of its own, which both read: the shared one need not hold the tree as a manifest.
    with closing(Store(store)) as own:
        tree = own.put_tree(copied(builder, place / "tree"))
        expected = under_unit.seen(own, tree.digest, outside)
    assert expected["run-1"][:2] == [0, ""]
    assert expected["run-1"][2] == expected["run-2"][2]
    words = (sys.executable, "-m", "tests.integration.under_unit", store, tree.digest, state)
    command = shlex.join(map(str, words))
    where = f"PYTHONDONTWRITEBYTECODE=1 PYTHONPATH={shlex.quote(str(ROOT))}"
    texts = rendered(place, f"cd {shlex.quote(str(ROOT))} && exec env {where} {command}")
    logs = started(place, texts)
    assert sorted(logs) == [SERVICE], logs
    found = json.loads((state / "found.json").read_bytes())
    assert found.pop("privileges") == "1"
    assert list(found.pop("writing").values()) == ["EROFS", "EROFS", "EROFS", ""]
    assert found == expected


def copied(builder: Builder, folder: Path) -> Path:
    """The builder's tree as a folder."""
    for entry in builder.root.files():
        target = folder / entry.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(builder.store.path(entry).read_bytes())
        target.chmod(0o755 if entry.executable else 0o644)
    return folder


def test_a_night_that_is_killed_is_told_by_its_unit_of_failure(place: Path) -> None:
    script = 'case "$*" in *--tell-failure) exec env;; esac; kill -KILL $$'
    logs = started(place, rendered(place, script))
    assert logs[FAILED].count("MONITOR_SERVICE_RESULT=signal\n") == 1
    assert "MONITOR_EXIT_STATUS=KILL\n" in logs[FAILED]
    assert f"MONITOR_UNIT={SERVICE}\n" in logs[FAILED]


def test_the_program_itself_works_under_the_rules_of_the_unit_of_failure(place: Path) -> None:
    where = f"PYTHONDONTWRITEBYTECODE=1 PYTHONPATH={shlex.quote(str(ROOT))}"
    program = f'exec env {where} {shlex.quote(sys.executable)} -m orchestrator "$@"'
    script = f'case "$*" in *--tell-failure) {program};; esac; kill -KILL $$'
    texts = rendered(place, script)
    with (place / "nightly.toml").open("a", encoding="utf-8") as stream:
        stream.write('[notify]\ncommand = ["/bin/sh", "-c", "cat >&2; exit 7"]\n')
    logs = started(place, texts)
    # What the command got, in the note that it failed.
    assert "somebody was not told: /bin/sh ended with exit status 7" in logs[FAILED]
    assert "sourcery-nightly.service was ended before its end: signal" in logs[FAILED]


def test_a_night_with_a_bad_word_says_its_exit_status(place: Path) -> None:
    script = 'case "$*" in *--tell-failure) exec env;; esac; echo "run=$INVOCATION_ID"; exit 3'
    logs = started(place, rendered(place, script))
    assert "MONITOR_SERVICE_RESULT=exit-code\n" in logs[FAILED]
    assert "MONITOR_EXIT_STATUS=3\n" in logs[FAILED]
    # By this the unit of failure knows whether that run told of itself.
    (run,) = re.findall(r"(?m)^run=([0-9a-f]{32})$", logs[SERVICE])
    assert f"MONITOR_INVOCATION_ID={run}\n" in logs[FAILED]


def test_what_cannot_be_made_before_a_night_is_told(place: Path) -> None:
    texts = rendered(place, 'case "$*" in *--tell-failure) exec env;; esac; exit 0')
    (place / "state").write_text("no folder")
    logs = started(place, texts)
    assert "MONITOR_SERVICE_RESULT=exit-code\n" in logs[FAILED]

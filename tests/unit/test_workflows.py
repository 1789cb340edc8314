"""Workflow files: they only call make and orchestrate, and keep what the next night needs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from orchestrator.nightly import config, relocking
from orchestrator.nightly.state import State

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[2]
GITHUB = ".github/workflows/nightly.yml"
FORGEJO = ".forgejo/workflows/nightly.yml"
GITLAB = ".gitlab-ci.yml"
ALL = (GITHUB, FORGEJO, GITLAB)
ALLOWED = re.compile(r"(?:sudo )?make [a-z-]+|\.venv/bin/orchestrate nightly")
# What an image lacks before there is a make.
FIRST = "apt-get update -qq && apt-get install -qq -y --no-install-recommends make"
# The hash of a commit cannot be moved, as a tag can. Forgejo's own action is nowhere else.
PINNED = re.compile(r"actions/[a-z/-]+@[0-9a-f]{40}|forgejo/upload-artifact@v4")
STATE = State(config.parse("", ROOT / "nightly.toml").state)


def loaded(name: str) -> dict[str, Any]:
    found = yaml.safe_load((ROOT / name).read_text("utf-8"))
    assert isinstance(found, dict)
    return found


def job(name: str) -> dict[str, Any]:
    """The one job of a workflow."""
    document = loaded(name)
    if name == GITLAB:
        (found,) = document.values()
    else:
        (found,) = document["jobs"].values()
    assert isinstance(found, dict)
    return found


def commands(name: str) -> Iterator[str]:
    if name == GITLAB:
        yield from (*job(name)["before_script"], *job(name)["script"])
    else:
        yield from (step["run"] for step in job(name)["steps"] if "run" in step)


def paths(name: str, action: str) -> list[Path]:
    """What an action keeps, without what stands for several files."""
    if name == GITLAB:
        found = job(name)["cache" if action == "cache" else "artifacts"]["paths"]
    else:
        (found,) = (
            step["with"]["path"].splitlines()
            for step in job(name)["steps"]
            if action in step.get("uses", "") and "/restore@" not in step["uses"]
        )
    return [ROOT / path.rstrip("*/") for path in found]


@pytest.mark.parametrize("name", ALL)
def test_make_and_orchestrate_do_everything(name: str) -> None:
    found = list(commands(name))
    assert found[-1] == ".venv/bin/orchestrate nightly"
    assert [one for one in found if not ALLOWED.fullmatch(one) and one != FIRST] == []
    targets = set(re.findall(r"(?m)^\.PHONY: (\S+)$", (ROOT / "Makefile").read_text("utf-8")))
    made = {one.removeprefix("sudo ").removeprefix("make ") for one in found[-2:-1]}
    assert made <= targets


@pytest.mark.parametrize("name", ALL)
def test_what_the_next_night_needs_is_kept(name: str) -> None:
    folder = relocking.places(config.parse("", ROOT / "nightly.toml")).folder
    assert paths(name, "cache") == [
        ROOT / ".cache" / "nightly",
        STATE.database,
        folder,
        STATE.told,
        STATE.site,
    ]
    places = str(job(name).get("env") or job(name)["variables"])
    assert "/.cache/nightly'" in places
    assert "XDG_CACHE_HOME" in places


@pytest.mark.parametrize("name", ALL)
def test_pages_evidence_and_results_can_be_had(name: str) -> None:
    action = "upload-artifact" if name != GITLAB else "artifacts"
    assert paths(name, action) == [STATE.site, STATE.out / "junit.xml"]


@pytest.mark.parametrize("name", ALL)
def test_one_night_at_a_time_and_none_for_ever(name: str) -> None:
    if name == GITLAB:
        assert job(name)["resource_group"] == "nightly"
        assert re.fullmatch(r"\dh \d\dm", job(name)["timeout"])
        return
    assert loaded(name)["concurrency"] == {"group": "nightly", "cancel-in-progress": False}
    assert 0 < job(name)["timeout-minutes"] <= 360


@pytest.mark.parametrize("name", [GITHUB, FORGEJO])
def test_actions_are_pinned_and_a_bad_night_is_kept_too(name: str) -> None:
    steps = [step for step in job(name)["steps"] if "uses" in step]
    assert [step["uses"] for step in steps if not PINNED.fullmatch(step["uses"])] == []
    after = steps[-2:]
    assert [step["if"] for step in after] == ["always()", "always()"]
    assert job(name)["steps"][-3] == {"run": ".venv/bin/orchestrate nightly"}
    restore, save = (step["with"] for step in steps if "/cache/" in step["uses"])
    assert (restore["path"], restore["key"]) == (save["path"], save["key"])
    assert restore["key"].startswith(restore["restore-keys"])


def test_github_gives_the_night_no_rights() -> None:
    assert loaded(GITHUB)["permissions"] == {"contents": "read"}
    first = job(GITHUB)["steps"][0]
    assert first["with"] == {"persist-credentials": False}

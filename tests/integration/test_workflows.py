"""Workflow files of CI systems, as other people's programs read them: actionlint and JSON schemas.

actionlint is built by the Go of the lock from `tests/integration/actionlint/go.mod`, whose sums are
those of the public log. GitLab's and GitHub's schemas come from a pinned wheel.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml

from orchestrator.store import Store
from tests.conftest import ROOT
from tests.integration.building import HOST

if TYPE_CHECKING:
    from collections.abc import Mapping

pytestmark = pytest.mark.needs_network

HERE = Path(__file__).parent
ACTIONS = (".github/workflows/nightly.yml", ".forgejo/workflows/nightly.yml")
GITLAB = ".gitlab-ci.yml"
_EPOCH = 1_577_836_800
_PACKAGE = "github.com/rhysd/actionlint/cmd/actionlint"


@pytest.fixture(scope="module")
def actionlint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program; `SOURCERY_TEST_GOROOT` may stand in for the locked Go on a person's machine."""
    folder = tmp_path_factory.mktemp("actionlint")
    instead = os.environ.get("SOURCERY_TEST_GOROOT")
    if instead:
        return built(folder, Path(instead))
    orchestrate = request.getfixturevalue("orchestrate")
    with closing(Store(orchestrate.store)) as store:
        tree = store.load_tree(orchestrate.lock.find("go", HOST).tree)
        return built(folder, store.checkout(tree, _EPOCH))


def built(folder: Path, goroot: Path) -> Path:
    program = folder / "program"
    environment = {
        # Mirrors and proxies are this machine's.
        **os.environ,
        "CGO_ENABLED": "0",
        "GOCACHE": str(folder / "cache"),
        "GOFLAGS": "-mod=readonly -modcacherw -trimpath -buildvcs=false",
        "GOPATH": str(folder / "path"),
        "GOROOT": str(goroot),
        "GOTOOLCHAIN": "local",
    }
    done = subprocess.run(
        [goroot / "bin" / "go", "build", "-o", program, _PACKAGE],
        cwd=HERE / "actionlint",
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return program


def linted(program: Path, text: str) -> str:
    """What actionlint says of a workflow; empty where it finds nothing."""
    settings = HERE / "actionlint" / "actionlint.yaml"
    # Without what the machine happens to have.
    options = ("-no-color", "-oneline", "-shellcheck=", "-pyflakes=", f"-config-file={settings}")
    done = subprocess.run(
        [program, *options, "-"], input=text, capture_output=True, text=True, check=False
    )
    assert (done.returncode == 0) == (done.stdout == ""), done.stderr
    return done.stdout


@pytest.mark.parametrize("name", ACTIONS)
def test_actionlint_finds_nothing(actionlint: Path, name: str) -> None:
    assert linted(actionlint, (ROOT / name).read_text("utf-8")) == ""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"17 2 * * *"', '"17 2 * *"', "invalid CRON format"),
        ("timeout-minutes", "timeout-minute", "unexpected key"),
        ("${{ github.workspace }}", "${{ github.workspce }}", 'property "workspce"'),
        ("runs-on: ubuntu-24.04", "runs-on: ubuntu-24.05", "is unknown"),
        ("if: always()", "if: allways()", 'undefined function "allways"'),
    ],
)
def test_actionlint_finds_what_is_planted(actionlint: Path, old: str, new: str, said: str) -> None:
    text = (ROOT / ACTIONS[0]).read_text("utf-8")
    assert old in text
    assert said in linted(actionlint, text.replace(old, new))


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, dict[str, Any]]:
    """The schemas by the files that they are for."""
    folder = tmp_path_factory.mktemp("schemas")
    options = ("--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes")
    subprocess.run(
        [sys.executable, "-m", "pip", "download", *options, f"--dest={folder}",
         f"--requirement={HERE / 'workflow_schemas.txt'}"],
        check=True,
    )  # fmt: skip
    (wheel,) = folder.iterdir()
    with zipfile.ZipFile(wheel) as archive:
        base = "check_jsonschema/builtin_schemas/vendor"
        github, gitlab = (
            json.loads(archive.read(f"{base}/{name}.json"))
            for name in ("github-workflows", "gitlab-ci")
        )
    return {**dict.fromkeys(ACTIONS, github), GITLAB: gitlab}


def mistakes(schema: dict[str, Any], text: str) -> list[str]:
    document = yaml.safe_load(text)
    # YAML 1.1 takes the key `on` for a truth.
    document = {"on" if key is True else key: value for key, value in document.items()}
    validator = jsonschema.Draft7Validator(schema)
    return [error.message for error in validator.iter_errors(document)]


@pytest.mark.parametrize("name", [*ACTIONS, GITLAB])
def test_the_schemas_have_nothing_against_them(
    schemas: Mapping[str, dict[str, Any]], name: str
) -> None:
    assert mistakes(schemas[name], (ROOT / name).read_text("utf-8")) == []


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        (ACTIONS[0], "runs-on:", "run-on:"),
        (ACTIONS[1], "cancel-in-progress: false", "cancel-in-progress: [1]"),
        (GITLAB, "when: always", "when: allways"),
        (GITLAB, "interruptible: false", "interruptible: 3"),
        (GITLAB, "  script:", "  scripts:"),
    ],
)
def test_the_schemas_see_what_is_planted(
    schemas: Mapping[str, dict[str, Any]], name: str, old: str, new: str
) -> None:
    text = (ROOT / name).read_text("utf-8")
    assert old in text
    assert mistakes(schemas[name], text.replace(old, new)) != []

"""What holds for the project as a whole: its style, its locked dependencies, what its README says,
and what CI may skip.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from orchestrator.cli.app import application
from orchestrator.spec import model as spec
from reproducibility.errors import (
    ActionError,
    ComparisonError,
    InfrastructureError,
    InputError,
)

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[2]


# `make test` has run these programs itself when it starts the tests, on the same files.
if not os.environ.get("SOURCERY_STYLE_CHECKED"):

    @pytest.mark.parametrize(
        "command",
        [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]],
        ids=["ruff", "format", "types"],
    )
    def test_the_code_is_in_style(command: list[str]) -> None:
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_make_test_checks_style_and_types_itself_before_it_says_so() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    recipe = makefile[makefile.index("\ntest: ") :].partition("\n\n")[0]
    for command in ("ruff check .", "ruff format --check .", "mypy"):
        assert f"\t$(BIN)/{command}\n" in recipe
    # Nothing that fails is passed over, neither there nor in the tests that run beside.
    assert ".SHELLFLAGS := -euo pipefail -c" in makefile
    assert recipe.index("$(BIN)/mypy") < recipe.index("-m pytest tests/unit")
    assert "$(end_on_other_pythons)" in recipe
    assert (ROOT / ".ci" / "run").read_text("utf-8").count("make test ") == 1


def test_types_are_checked_strictly_everywhere() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["mypy"]
    assert settings["strict"] is True
    assert {"containers", "orchestrator", "reproducibility", "tests"} <= set(settings["files"])


def test_hashlib_is_refused_by_the_linter(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text('"""A module."""\n\nimport hashlib\n\nX = hashlib.sha1()\n')
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--config", str(ROOT / "pyproject.toml"), "."],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "TID251" in done.stdout


@pytest.mark.parametrize("name", [f"requirements{end}" for end in ("", "-dev", "-build", "-fuzz")])
def test_locked_dependencies_have_hashes_and_no_address(name: str) -> None:
    text = (ROOT / f"{name}.lock").read_text("utf-8")
    assert "://" not in text
    pinned = [line for line in text.splitlines() if line and line[0] not in " #"]
    assert pinned
    assert all("==" in line and line.endswith("\\") for line in pinned)
    assert not any(line.startswith("-") for line in pinned)


def test_locked_sets_agree_with_each_other() -> None:
    def versions(name: str) -> dict[str, str]:
        lines = (ROOT / name).read_text("utf-8").splitlines()
        pairs = (line.removesuffix(" \\").split("==") for line in lines if line[:1].isalnum())
        return {line[0]: line[1] for line in pairs}

    every = versions("requirements-dev.lock")
    assert versions("requirements.lock").items() <= every.items()
    assert versions("requirements-build.lock").items() <= every.items()


README = (ROOT / "README.md").read_text("utf-8")


def test_the_readme_s_commands_exist() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"(?m)^([a-z-]+):", makefile))
    named = set(re.findall(r"`?make ([a-z]+)\b", README))
    assert {"build", "test"} <= named <= targets
    listed = re.findall(r"(?m)^\| `orchestrate ([a-z]+)", README)
    functions = [command.callback for command in application.registered_commands]
    names = {function.__name__ for function in functions if function is not None}
    assert set(listed) == names | {"history", "key", "policy", "store"}


def test_the_readme_s_spec_is_one() -> None:
    example, kernel, root, workers = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    default = (ROOT / "sourcery.toml").read_text("utf-8")
    parsed = spec.parse(f"{default}\n{example}", ROOT / "sourcery.toml")
    assert [source.module for source in parsed.sources][-1] == "example.org/tools"
    assert [file.destination for file in parsed.files] == ["/etc/motd", "/notes"]
    before, table, rest = default.partition("[boot.kernel.amd64]\n")
    assert kernel.startswith(table)
    after = rest[rest.index("[boot.kernel.arm64]") :]
    booting = spec.parse(before + kernel + after, ROOT / "sourcery.toml").boot
    assert booting is not None
    assert booting.kernel("amd64").modules == ("megaraid_sas",)
    without = default.partition("[root.gcc]\n")[0]
    other = spec.parse(without + root, ROOT / "sourcery.toml")
    assert other.root == parsed.root
    farmed = spec.parse(f"{default}\n{workers}", ROOT / "sourcery.toml")
    assert farmed.workers.architectures


def test_the_readme_s_exit_statuses_are_those_of_the_errors() -> None:
    rows = dict(re.findall(r"(?m)^\| (\d) \| ([^|]+) \|$", README))
    assert set(rows) == {"0", "1", "2", "3", "4"}
    for error, word in (
        (ComparisonError, "comparison"),
        (InputError, "spec"),
        (ActionError, "step"),
        (InfrastructureError, "network"),
    ):
        assert word in rows[str(error.status)]


@pytest.mark.parametrize("name", ["README", "CONTRIBUTING", "SECURITY", "CHANGELOG"])
def test_links_between_documents_lead_somewhere(name: str) -> None:
    text = (ROOT / f"{name}.md").read_text("utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#]+)", text)
    assert [link for link in links if not (ROOT / link).exists()] == []


SKIPPING = """
import pytest

def test_skips():
    pytest.skip("because it can")

@pytest.mark.xfail(strict=True)
def test_expects_to_fail():
    assert False

@pytest.mark.needs_tools("no-such-program")
def test_needs():
    pass

def test_passes():
    pass
"""


def run_pytest(folder: Path, **environment: str) -> tuple[int, str]:
    """Run tests of a folder under the project's own conftest and settings."""
    (folder / "conftest.py").write_bytes((ROOT / "tests" / "conftest.py").read_bytes())
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"),
         "--rootdir", str(folder), "-p", "no:cacheprovider", str(folder)],
        cwd=folder,
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_a_person_may_skip(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(SKIPPING)
    status, told = run_pytest(tmp_path)
    assert status == 0, told
    assert "1 passed, 2 skipped, 1 xfailed" in told
    assert "not installed: no-such-program" in told


def test_ci_may_not_skip(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(SKIPPING)
    status, told = run_pytest(tmp_path, CI="true")
    assert status == 1, told
    assert "2 failed, 1 passed, 1 error" in told
    assert "skipped, which CI does not accept: Skipped: because it can" in told


def test_ci_may_not_skip_a_whole_module(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("import pytest\npytest.importorskip('no_such_module')\n")
    assert run_pytest(tmp_path)[0] != 1
    status, told = run_pytest(tmp_path, CI="true")
    assert status in {1, 2}, told
    assert "which CI does not accept" in told


def test_an_unknown_marker_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("import pytest\n@pytest.mark.slwo\ndef test(): pass\n")
    status, told = run_pytest(tmp_path)
    assert status != 0
    assert "slwo" in told


def test_a_promise_of_no_network_is_checked(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test(): pass\n")
    interfaces = Path("/proc/self/net/dev").read_text("ascii")
    status, told = run_pytest(tmp_path, SOURCERY_NO_NETWORK="1")
    only_loopback = [
        line for line in interfaces.splitlines() if ":" in line and "lo:" not in line
    ] == []
    assert (status == 0) is only_loopback, told

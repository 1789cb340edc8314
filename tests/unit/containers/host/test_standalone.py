"""Modules of this project as programs: what they import, and that they get their arguments."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from containers.host import standalone

ROOT = Path(__file__).resolve().parents[4]
# Slow to import, each a good part of an action's start; what imports one of them imports more.
SLOW = {"dataclasses", "importlib.util", "json", "logging", "pathlib", "re", "subprocess", "typing"}


def imported(module: str) -> set[str]:
    """What a Python has imported in which a module was started as a program."""
    command = standalone.command(module)
    start = command.index("-c") + 1
    # As far as the module's main(), which is not called.
    begun = command[start].removesuffix(f"; {module}.main()")
    assert begun != command[start]
    command[start] = f"{begun}; print(*sys.modules)"
    done = subprocess.run(command, capture_output=True, check=True, env={}, cwd="/", text=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("module", "own"),
    [
        (
            "containers.sandbox.confine",
            {
                *("containers", "containers.host", "containers.host.system"),
                *("containers.sandbox", "containers.sandbox.confine"),
            },
        ),
        (
            "orchestrator.run.first_process",
            {
                *("containers", "containers.host", "containers.host.system"),
                *("orchestrator", "orchestrator.run", "orchestrator.run.first_process"),
            },
        ),
    ],
)
def test_a_program_imports_itself_and_the_system_calls(module: str, own: set[str]) -> None:
    packages = ("containers", "orchestrator", "reproducibility")
    assert {name for name in imported(module) if name.partition(".")[0] in packages} == own


def test_the_launcher_imports_nothing_that_is_slow() -> None:
    assert imported("containers.sandbox.confine") & SLOW == set()


def test_a_program_gets_its_arguments_and_is_kept_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "kept"
    package.mkdir()
    (package / "__init__.py").touch()
    words = "import json, sys\ndef main():\n    print(json.dumps(sys.argv[1:]))\n"
    (package / "told.py").write_text(words)
    monkeypatch.setattr(standalone, "_PACKAGES", tmp_path)
    command = standalone.command("kept.told", "one", "two words")
    done = subprocess.run(command, capture_output=True, check=True, env={}, cwd="/")
    assert json.loads(done.stdout) == ["one", "two words"]
    assert list((package / "__pycache__").glob("told.*.pyc")) != []

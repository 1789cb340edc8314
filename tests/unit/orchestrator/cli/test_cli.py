"""The command line as a whole: help, usage, options, exit statuses, `--json`, what it imports."""

from __future__ import annotations

import errno
import json
import os
import pwd
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from containers.remote.farm import Farm, Workers
from orchestrator import build as building
from orchestrator.architecture import ARCHITECTURES
from orchestrator.build import Built, Options
from orchestrator.cli import options as cli_options
from orchestrator.cli.main import run
from orchestrator.resources import VERSION
from reproducibility.errors import (
    ActionError,
    ComparisonError,
    InfrastructureError,
    InputError,
    SourceryError,
    Stopped,
)
from tests import results

if TYPE_CHECKING:
    import threading

    from orchestrator.artifacts.model import BuildResult
    from orchestrator.execution.step import Observer

Captured = pytest.CaptureFixture[str]


class FakeBuild:
    """Stands in for `orchestrator.build.build`: gives a result or raises an error."""

    def __init__(self) -> None:
        self.outcome: BuildResult | BaseException = results.build_result()
        self.options: list[Options] = []

    def __call__(self, options: Options, observer: Observer, stop: threading.Event) -> Built:
        assert not stop.is_set()
        self.options.append(options)
        observer.planned([("t1", "T1", "amd64")])
        observer.started("t1")
        observer.note("a note")
        observer.finished("t1", cached=False, seconds=1.5)
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return Built(self.outcome, options.out)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeBuild:
    for name in ("SOURCE_DATE_EPOCH", "GOFLAGS", "GOROOT", "GODEBUG", "CGO_ENABLED", "GOTOOLCHAIN"):
        monkeypatch.delenv(name, raising=False)
    made = FakeBuild()
    monkeypatch.setattr(building, "build", made)
    return made


def test_help_names_every_command_and_the_exit_statuses(capsys: Captured) -> None:
    assert run(["--help"]) == 0
    shown = capsys.readouterr().out
    words = ("audit", "build", "lock", "fetch", "compare", "doctor", "version", "store")
    for word in (*words, "sign", "export", "schema", "key"):
        assert word in shown
    assert "Exit status" in shown


@pytest.mark.parametrize(
    "command",
    [
        "audit",
        "build",
        "lock",
        "fetch",
        "compare",
        "doctor",
        "version",
        "sign",
        "export",
        "schema",
        "key new",
        "store gc",
        "store verify",
        "store size",
    ],
)
def test_every_command_has_help_and_json(command: str, capsys: Captured) -> None:
    assert run([*command.split(), "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Usage: orchestrate" in shown
    assert "--json" in shown
    assert "--quiet" in shown


@pytest.mark.parametrize(
    "command", ["audit", "build", "lock", "fetch", "compare", "doctor", "store gc"]
)
def test_help_has_examples(command: str, capsys: Captured) -> None:
    run([*command.split(), "--help"])
    shown = capsys.readouterr().out
    assert "Examples" in shown
    assert shown.count(f"orchestrate {command}") >= 2


def test_help_fits_a_narrow_terminal(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERMINAL_WIDTH", "80")
    run(["build", "--help"])
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_no_arguments_show_the_help(capsys: Captured) -> None:
    run([])
    told = capsys.readouterr()
    assert "Usage: orchestrate" in told.out + told.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["bild"],
        ["build", "--arch", "mips"],
        ["build", "--engine", "podman"],
        ["build", "--jobs", "-1"],
        ["build", "--jobs", "many"],
        ["build", "extra"],
        ["build", "--no-such-option"],
        ["compare", "one"],
        ["store", "defragment"],
        ["store", "gc", "--unused-for", "-1"],
        ["store", "gc", "--keep-nights", "0"],
        ["lock", "--update"],
    ],
)
def test_bad_usage_is_status_2(arguments: list[str], capsys: Captured) -> None:
    assert run(arguments) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("error: ")
    whose = "orchestrate" if arguments[0] == "bild" else f"orchestrate {arguments[0]}"
    assert f"`{whose} --help` says what there is" in told.err
    assert "Traceback" not in told.err


def test_bad_usage_as_json(capsys: Captured) -> None:
    assert run(["build", "--json", "--jobs", "many"]) == 2
    told = capsys.readouterr()
    assert told.err == ""
    error = json.loads(told.out)["error"]
    assert (error["kind"], error["status"]) == ("InputError", 2)
    assert "--jobs" in error["summary"]


def test_build_passes_the_options_on(
    fake: FakeBuild, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    status = run(
        [
            "build", "--spec", "a.toml", "--lock", "a.lock", "--out", "there", "--arch", "amd64",
            "--arch", "riscv64", "--engine", "sandbox", "--jobs", "3", "--offline", "--bundle",
            "b.tar.zst", "--rebuild", "--store", "kept/store",
        ]
    )  # fmt: skip
    assert status == 0
    assert fake.options == [
        Options(
            spec=tmp_path / "a.toml",
            lock=tmp_path / "a.lock",
            out=tmp_path / "there",
            architectures=("amd64", "riscv64"),
            engine="sandbox",
            jobs=3,
            offline=True,
            bundle=tmp_path / "b.tar.zst",
            rebuild=True,
            store=tmp_path / "kept" / "store",
        )
    ]


def test_a_build_on_a_farm_is_given_its_file(
    fake: FakeBuild, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "farm.toml").write_text(
        'address = "grpc://localhost:1"\n[workers.amd64]\nprocessors = 4\n'
    )
    assert run(["build", "--engine", "remote", "--farm", "farm.toml"]) == 0
    (asked,) = fake.options
    assert asked.engine == "remote"
    assert asked.farm == Farm("localhost:1", {"amd64": Workers((), 4)})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--engine", "remote"], "the engine 'remote' needs a file"),
        (["--engine", "sandbox", "--farm", "farm.toml"], "takes no such file"),
        (["--farm", "farm.toml"], "takes no such file"),
        (["--engine", "remote", "--farm", "none.toml"], "cannot read the farm's file"),
    ],
)
def test_a_farm_and_its_file_belong_together(
    arguments: list[str], words: str, fake: FakeBuild, capsys: Captured
) -> None:
    assert run(["build", *arguments]) == 2
    assert words in capsys.readouterr().err
    assert fake.options == []


def test_build_without_options(fake: FakeBuild, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere/cache")
    assert run(["build"]) == 0
    assert fake.options == [
        Options(
            spec=Path.cwd() / "sourcery.toml",
            lock=Path.cwd() / "sourcery.lock",
            out=Path.cwd() / "out",
            architectures=(),
            engine="auto",
            jobs=0,
            offline=False,
            bundle=None,
            rebuild=False,
            store=Path("/somewhere/cache/sourcery"),
        )
    ]


@pytest.mark.parametrize("cache", ["", "relative/cache"])
def test_the_store_is_in_the_home_without_a_usable_cache_variable(
    cache: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("XDG_CACHE_HOME", cache)
    assert cli_options.store_folder(None) == Path("/home/somebody/.cache/sourcery")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cli_options.store_folder(None) == Path("/home/somebody/.cache/sourcery")


@pytest.mark.parametrize("home", ["", "relative"])
def test_a_home_that_is_no_folder_is_looked_up(
    home: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv("HOME", home)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    found = Path(pwd.getpwuid(os.getuid()).pw_dir)
    assert cli_options.store_folder(None) == found / ".cache" / "sourcery"

    def unknown(_: int) -> None:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert run(["store", "size"]) == 2
    assert "give a folder with --store" in capsys.readouterr().err


PATHS = [
    ("build", "--spec"), ("build", "--lock"), ("build", "--out"), ("build", "--store"),
    ("build", "--bundle"), ("fetch", "--bundle"), ("boot", "--image"), ("boot", "--log"),
    ("write x", "--image"), ("doctor", "--store"), ("run amd64", "--out"), ("lock", "--store"),
    ("store gc", "--store"), ("store gc", "--state"),
]  # fmt: skip


@pytest.mark.parametrize("given", ["", "a\nb", os.fsdecode(b"\xff")])
@pytest.mark.parametrize(("command", "option"), PATHS)
def test_a_path_that_cannot_be_used_is_refused_at_once(
    command: str, option: str, given: str, capsys: Captured
) -> None:
    assert run([*command.split(), option, given]) == 2
    assert option in capsys.readouterr().err
    assert run([*command.split(), option, given, "--json"]) == 2
    assert option in json.loads(capsys.readouterr().out)["error"]["summary"]


@pytest.mark.parametrize("sign", [":", '"'])
def test_a_store_that_clients_cannot_be_told_of_is_refused_wherever_it_is_from(
    sign: str, fake: FakeBuild, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    assert run(["build", "--store", f"a{sign}b"]) == 2
    monkeypatch.setenv("XDG_CACHE_HOME", f"/somewhere/a{sign}b")
    assert run(["build"]) == 2
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", f"/somewhere/a{sign}b")
    assert run(["build"]) == 2
    assert capsys.readouterr().err.count("give another folder with --store") == 3
    assert fake.options == []


@pytest.mark.parametrize(("verdict", "status"), [("PASS", 0), ("SKIP", 0), ("FAIL", 1)])
def test_the_verdict_decides_the_status(
    fake: FakeBuild, verdict: str, status: int, capsys: Captured
) -> None:
    fake.outcome = results.build_result(verdict=verdict)
    assert run(["build"]) == status
    assert f"{verdict}  " in capsys.readouterr().out


ERRORS = [
    (ComparisonError("a", subject="b", remedy="c"), 1),
    (InputError("a", subject="b", remedy="c"), 2),
    (ActionError("a", subject="b", remedy="c"), 3),
    (InfrastructureError("a", subject="b", remedy="c"), 4),
    (Stopped("stopped"), 130),
    (KeyboardInterrupt(), 130),
]


@pytest.mark.parametrize(("error", "status"), ERRORS)
def test_an_error_decides_the_status(
    fake: FakeBuild, error: BaseException, status: int, capsys: Captured
) -> None:
    fake.outcome = error
    assert run(["build", "--quiet"]) == status
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("error: ")
    if isinstance(error, SourceryError) and error.subject:
        assert told.err == "error: a\n  where: b\n  remedy: c\n"


@pytest.mark.parametrize(("error", "status"), ERRORS)
def test_an_error_as_json(
    fake: FakeBuild, error: BaseException, status: int, capsys: Captured
) -> None:
    fake.outcome = error
    assert run(["build", "--json"]) == status
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"error"}
    assert set(found["error"]) == {"kind", "status", "summary", "subject", "remedy"}
    assert found["error"]["status"] == status


def test_an_unforeseen_error_is_no_traceback(fake: FakeBuild, capsys: Captured) -> None:
    fake.outcome = RuntimeError("surprise")
    assert run(["build"]) == 4
    told = capsys.readouterr()
    assert "RuntimeError: surprise" in told.err
    assert "report" in told.err
    assert "Traceback" not in told.err
    assert run(["build", "--verbose"]) == 4
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/x/y"), "free some space"),
        (PermissionError(errno.EACCES, "Permission denied", "/x/y"), "where: /x/y"),
        (MemoryError(), "memory"),
    ],
)
def test_the_machine_s_errors_are_not_called_mistakes(
    fake: FakeBuild, error: Exception, words: str, capsys: Captured
) -> None:
    fake.outcome = error
    assert run(["build"]) == 4
    told = capsys.readouterr().err
    assert words in told
    assert "report" not in told


@pytest.mark.usefixtures("fake")
def test_json_is_the_document_and_nothing_else(capsys: Captured) -> None:
    assert run(["build", "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out) == results.document()
    assert "started     T1 (amd64)" in told.err
    assert "a note" in told.err


def test_quiet_says_nothing(
    fake: FakeBuild, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOFLAGS", "-mod=mod")
    assert run(["build", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    assert len(fake.options) == 1


@pytest.mark.usefixtures("fake")
def test_variables_that_change_nothing_are_named(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(["build"])
    assert "ignored" not in capsys.readouterr().err
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    monkeypatch.setenv("GOAMD64", "v3")
    run(["build", "--json"])
    told = capsys.readouterr()
    assert "ignored" in told.err
    assert "SOURCE_DATE_EPOCH" in told.err
    assert "GOAMD64" in told.err
    assert "image.epoch" in told.err
    assert json.loads(told.out) == results.document()


def test_version(capsys: Captured) -> None:
    assert run(["version"]) == 0
    assert capsys.readouterr().out.startswith(f"orchestrate {VERSION} ")
    assert run(["version", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["version"] == VERSION


def test_names_agree_with_the_layers_below() -> None:
    assert tuple(cli_options.Architecture) == ARCHITECTURES


def test_reading_the_command_line_imports_no_heavy_library() -> None:
    code = (
        "import sys\n"
        "from orchestrator.cli.main import run\n"
        "run(['version', '--quiet'])\n"
        "heavy = {'docker', 'cryptography', 'pyfatfs', 'blake3', 'zstandard', 'rich'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion(shell: str) -> None:
    environment = {"_ORCHESTRATE_COMPLETE": f"source_{shell}", "PATH": ""}
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert "_ORCHESTRATE_COMPLETE" in done.stdout
    assert done.returncode == 0


def test_completion_of_commands() -> None:
    environment = {
        "_ORCHESTRATE_COMPLETE": "complete_bash",
        "COMP_WORDS": "orchestrate st",
        "COMP_CWORD": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.stdout.split() == ["store"]

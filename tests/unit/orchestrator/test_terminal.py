"""Text from outside on a terminal: every way that leads there, with bytes that would steer it."""

from __future__ import annotations

import ast
import io
import json
import os
import pty
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from orchestrator import terminal
from orchestrator.cli.streams import Marked
from orchestrator.progress import choose
from tests.conftest import ROOT
from tests.unit.test_layering import modules, parsed, relative

if TYPE_CHECKING:
    from pathlib import Path

# The title, the screen, the palette; C1 forms of the same; order of writing; overwriting; lines.
HOSTILE = (
    "\x1b]0;owned\x07\x1b[2J\x1b[1;1H\x1bP+q\x1b\\\x9b2J\x9d0;owned\x9c\u202egnp.exe\u2066\u200f\u061c"
    "ok\x08\x08no\rPASS\x7f\u2028\x85"
)
STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
# Own sequences: colours, and what rich moves the cursor with.
OURS = re.compile(r"\x1b\[(?:[0-9;]*m|[0-9]*[AK]|2K|\?25[lh])")
PROGRAM = """
import sys
from orchestrator import build as building
from orchestrator.cli.main import main
from reproducibility.errors import ActionError
from tests import results
HOSTILE = {hostile!r}

def build(options, observer, stop):
    observer.planned([(f"a/{{HOSTILE}}", HOSTILE, HOSTILE), ("b", "B", "x")])
    observer.started(f"a/{{HOSTILE}}")
    observer.note(HOSTILE)
    import time; time.sleep(0.6)  # longer than the tree takes to be drawn again
    observer.finished(f"a/{{HOSTILE}}", cached=False, seconds=1)
    if options.jobs == 3:
        raise ActionError("failed:\\n" + HOSTILE, subject=HOSTILE, remedy=HOSTILE)
    if options.jobs == 4:
        raise RuntimeError(HOSTILE)
    made = results.build_result(checks=[results.check(HOSTILE, HOSTILE, "FAIL", HOSTILE)])
    # No reader lets such a name pass.
    image = made.image.model_copy(update={{"path": HOSTILE}})
    return building.Built(made.model_copy(update={{"image": image}}), options.out)

building.build = build
main()
"""


def on_a_terminal(folder: Path, *arguments: str) -> tuple[int, str]:
    """Run the program with both streams on a terminal: its status, and all that came there."""
    (folder / "program.py").write_text(PROGRAM.format(hostile=HOSTILE))
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "LANG": "C.UTF-8"}
    process = subprocess.Popen(
        [sys.executable, str(folder / "program.py"), *arguments],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    data = bytearray()
    with os.fdopen(ours, "rb", buffering=0) as stream:
        while True:
            try:
                piece = stream.read(1 << 16)
            except OSError:  # the other end is closed
                break
            data += piece
    return process.wait(60), data.decode()


def check(text: str) -> None:
    # A terminal gets "\r\n" for every line feed; rich goes to the line's beginning to draw again.
    left = OURS.sub("", text.replace("\r\n", "\n")).replace("\r", "")
    assert STEERING.findall(left) == []
    assert "\rPASS" not in text


@pytest.mark.once
@pytest.mark.parametrize("arguments", [(), ("-v",), ("--json",), ("-q",)])
@pytest.mark.parametrize("jobs", ["1", "3", "4"])
def test_nothing_foreign_steers_a_terminal(
    tmp_path: Path, arguments: tuple[str, ...], jobs: str
) -> None:
    status, text = on_a_terminal(tmp_path, "build", "--jobs", jobs, *arguments)
    assert status == {"1": 0, "3": 3, "4": 4}[jobs]
    check(text)
    if jobs != "1" or "-q" not in arguments:
        assert "\\x1b]0;owned" in text or "\\u001b]0;owned" in text
    if "--json" not in arguments and "-q" not in arguments:
        assert "\x1b[3" in text  # our own colours


@pytest.mark.once
def test_what_is_typed_steers_nothing_either(tmp_path: Path) -> None:
    for words in (["a" + HOSTILE], ["compare", HOSTILE, "x"], ["build", "--engine", HOSTILE]):
        arguments = [word.replace("\x00", "") for word in words]
        for more in ([], ["--json"]):
            status, text = on_a_terminal(tmp_path, *arguments, *more)
            assert status == 2
            check(text)


def test_names_that_are_no_text_are_told_as_data(tmp_path: Path) -> None:
    names = [tmp_path / "a", tmp_path / "b"]
    for name, text in zip(names, "ab", strict=True):
        name.mkdir()
        (name / os.fsdecode(b"\xff\x9b2J")).write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator", "compare", "--json", *names],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["subject"].endswith("2J")
    assert done.stdout.isascii()
    assert done.stderr == b""


def test_help_keeps_its_colours(tmp_path: Path) -> None:
    status, text = on_a_terminal(tmp_path, "--help")
    assert status == 0
    assert "\x1b[1m" in text
    assert "\\x1b" not in text


class Terminal(io.BytesIO):
    def isatty(self) -> bool:
        return True


def stream() -> tuple[Terminal, terminal.Stream]:
    end = Terminal()
    return end, terminal.Stream(end, encoding="utf-8", write_through=True)


def test_own_text_loses_its_right_in_any_operation() -> None:
    end, text = stream()
    own = terminal.coloured("PASS", "green", text)
    text.write(own)
    for other in (own + " ", f"{own}", own[:-1], own.upper(), own.replace("P", "Q")):
        assert type(other) is str
        text.write(other)
    shown = end.getvalue().decode()
    assert shown.startswith(own)
    assert "\x1b" not in shown.removeprefix(own)


def test_colours_go_through_only_while_a_library_renders_help() -> None:
    end, text = stream()
    with text.colours():
        text.write("\x1b[1mhelp\x1b[0m\x1b]0;t\x07\x1b[2J")
    text.write("\x1b[1m")
    assert end.getvalue() == b"\x1b[1mhelp\x1b[0m\\x1b]0;t\\x07\\x1b[2J\\x1b[1m"


def test_a_console_shows_what_is_foreign_and_keeps_what_is_its_own() -> None:
    end, text = stream()
    console = terminal.console(text)
    console.print("\x1b]0;t\x07\x9b2J\u202e", style="bold", highlight=False)
    console.show_cursor(show=False)
    shown = end.getvalue().decode()
    assert "\\x1b]0;t" in shown
    assert "\\x9b2J\\u202e" in shown
    assert "\x1b[?25l" in shown
    check(shown)


def test_a_note_in_plain_progress_is_one_event() -> None:
    out = io.StringIO()
    with choose(out, title="t") as progress:
        progress.note("one\n2026-01-01T00:00:00Z finished    F2")
    assert len(re.findall(r"(?m)^\d{4}-", out.getvalue())) == 1


def test_a_result_stays_in_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    from orchestrator.cli.streams import say

    say(Marked("FAIL", "  a\nPASS  all"))
    assert capsys.readouterr().out == "FAIL  a\\nPASS  all\n"


# What may write to a stream past the one that makes everything visible.
WRITERS = {"orchestrator/terminal.py", "orchestrator/cli/streams.py"}


def written(tree: ast.Module) -> list[str]:
    """Names by which a module would get round it."""
    forbidden = {"typer.echo", "typer.secho", "typer.style", "terminal.Own", "sys.__stderr__",
                 "sys.__stdout__", "sys.stdout.buffer", "sys.stderr.buffer", "sys.stdout.write",
                 "sys.stderr.write"}  # fmt: skip
    found = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    names = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
    calls = [
        ast.unparse(node.func)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    return [
        *(name for name in found if name in forbidden),
        *(name for name in names if name == "Own"),
        *(name for name in calls if name in {"print", "Console"}),
    ]


@pytest.mark.once
def test_one_place_writes_to_the_streams() -> None:
    found = {
        relative(path): written(parsed(path))
        for path in modules()
        if relative(path).startswith("orchestrator/") and relative(path) not in WRITERS
    }
    # What `print_json` writes is escaped as JSON. The other is a program of its own, which makes
    # what it tells visible (`reproducibility.visible`), or writes JSON.
    assert {name: what for name, what in found.items() if what} == {
        "orchestrator/cli/session.py": ["sys.stdout.write"],
        "orchestrator/tool_image/__main__.py": [
            *("sys.stdout.write", "sys.stdout.write", "sys.stderr.write", "sys.stderr.write"),
        ],
    }

"""The shell on the stick against dash: what a person types, and what is known to differ.

gosh is taken out of a build, so it is the product's own, compiled by its own toolchain from the
source that the lock pins. Both shells then run on this machine with the same programs beside them,
so that what differs is the shell.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pexpect
import pytest

from tests.conftest import ROOT
from tests.integration.building import HOST, wait_for_descendant
from tests.integration.shell_differences import SECTIONS, Difference

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.building import Orchestrate
    from tests.integration.conftest import Built

pytestmark = [pytest.mark.needs_sandbox, pytest.mark.needs_network, pytest.mark.slow]

_PATIENCE = 300
# A snippet takes a fraction of it.
_HANGS = 30
# The next answer at the prompt, which may have to be compiled first.
_ANSWERS = 30
_DOCUMENT = ROOT / "docs" / "shell.md"
_TEXT = Path(__file__).with_name("shell_snippets.txt").read_text("utf-8")
_SAME = {
    name: script.rstrip("\n")
    for name, script in re.findall(r"^== (.+)\n((?:(?!== ).*\n)+)", _TEXT, re.MULTILINE)
}
_DIFFERENT = [one for section in SECTIONS.values() for one in section]
# The line editor hides the cursor, then draws its prompt.
_PROMPT = r"\x1b\[\?25l> "
_LOOP = "for i in 1 2 3; do echo job$i & done; wait"


@dataclass(frozen=True)
class Shells:
    """Two shells, each as `shell` in a folder of its own, and a place to work in."""

    place: Path

    def outcome(self, name: str, script: str) -> str:
        """What a shell makes of a script, as docs/shell.md writes it."""
        work = self.place / "work"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        folder = self.place / name
        process = subprocess.Popen(
            [folder / "shell", "-c", script],
            cwd=work,
            env={
                "HOME": str(work),
                "LC_ALL": "C.UTF-8",
                "PATH": f"{folder}:{os.environ['PATH']}",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            said, message = process.communicate(timeout=_HANGS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return "hangs"
        shown = said.replace("\n", "⏎").replace("\t", "⇥")
        parts = [
            f"`{shown}`" if said else "",
            f"status {process.returncode}" if process.returncode else "",
            "message" if message else "",
        ]
        return ", ".join(filter(None, parts)) or "nothing"


def _line(full: Built, orchestrate: Orchestrate, *command: str) -> list[str]:
    where = ("--out", str(full.out), "--store", str(orchestrate.store))
    return [sys.executable, "-m", "orchestrator", "run", HOST, *where, "--", *command]


def _environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


@pytest.fixture(scope="module")
def shells(full: Built, orchestrate: Orchestrate, workshop: Path) -> Shells:
    dash = shutil.which("dash")
    assert dash is not None, "dash is not there"
    place = workshop / "shells"
    for name in ("dash", "gosh"):
        (place / name).mkdir(parents=True)
    (place / "dash" / "shell").symlink_to(dash)
    done = subprocess.run(
        _line(full, orchestrate, "gosh", "-c", "cat /bin/gosh"),
        capture_output=True,
        check=False,
        timeout=_PATIENCE,
        env=_environment(),
    )
    assert done.returncode == 0, done.stderr
    program = place / "gosh" / "shell"
    program.write_bytes(done.stdout)
    program.chmod(0o755)
    return Shells(place)


def test_there_is_enough_to_compare() -> None:
    assert len(_SAME) >= 200
    assert len(_SAME) == _TEXT.count("\n== ")
    scripts = [*_SAME.values(), *(one.script for one in _DIFFERENT)]
    assert len(set(scripts)) == len(scripts)


@pytest.mark.parametrize("name", _SAME)
def test_gosh_does_what_dash_does(shells: Shells, name: str) -> None:
    script = _SAME[name]
    assert shells.outcome("gosh", script) == shells.outcome("dash", script), script


@pytest.mark.parametrize("known", _DIFFERENT, ids=lambda known: known.script)
def test_gosh_differs_as_is_written_down(shells: Shells, known: Difference) -> None:
    found = (shells.outcome("dash", known.script), shells.outcome("gosh", known.script))
    assert found == (known.dash, known.gosh)
    assert known.dash != known.gosh


def test_pipefail(shells: Shells) -> None:
    """Newer versions of dash have it, as POSIX.1-2024 does."""
    script = "set -o pipefail; false | true; echo $?"
    assert shells.outcome("gosh", script) == "`1⏎`"
    assert shells.outcome("dash", script) in {"`1⏎`", "status 2, message"}


def _row(known: Difference) -> str:
    script = known.script.replace("\n", "⏎")
    cells = (f"`{script}`", known.dash, known.gosh, known.instead)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def test_the_document_has_every_difference_and_no_other() -> None:
    text = _DOCUMENT.read_text("utf-8")
    for heading, section in SECTIONS.items():
        _, begun, rest = text.partition(f"\n## {heading}\n")
        assert begun, heading
        body = rest.partition("\n## ")[0].splitlines()
        # The first two rows name the columns.
        assert [line for line in body if line.startswith("|")][2:] == [_row(d) for d in section]
    assert text.count("\n|") == len(_DIFFERENT) + 2 * len(SECTIONS)


# -- on the stick ----------------------------------------------------------------------------------


_SESSION = """\
cd /tmp
(for i in 1 2 3; do (sleep 0.1; echo $i) & done; wait) | sort
cat <<E | tr a b
banana $((6*7))
E
mkdir d; touch d/a.go d/b.go; ls d/*.go | wc -l
trap 'echo bye' EXIT
false | true; echo $?
no-such-command; echo $?
exit 3
"""


def test_a_script_on_the_stick(full: Built, orchestrate: Orchestrate) -> None:
    """With the stick's own commands, each compiled when it is needed."""
    done = subprocess.run(
        _line(full, orchestrate, "gosh", "-c", _SESSION),
        capture_output=True,
        text=True,
        check=False,
        timeout=_PATIENCE,
        env=_environment(),
    )
    assert done.stdout.split() == ["1", "2", "3", "bbnbnb", "42", "2", "0", "127", "bye"], done
    assert done.returncode == 3
    assert "not found" in done.stderr


class Prompt:
    """gosh in a terminal, and what is typed there."""

    def __init__(self, child: pexpect.spawn[str]) -> None:
        self._child = child
        child.expect(_PROMPT)

    def see(self, pattern: str, *, of: str) -> None:
        """Type something, and see a pattern."""
        self._child.send(of)
        self._child.expect(pattern)

    def again(self, key: str = "") -> None:
        """See the next prompt, after a key where one is given."""
        self._child.send(key)
        self._child.expect(_PROMPT)

    def wait_for(self, program: str) -> None:
        """See it run: compiled before that, if it has to be."""
        assert self._child.pid is not None
        wait_for_descendant(self._child.pid, program)

    def leave(self, typed: str) -> None:
        """Type something after which the shell ends."""
        self._child.send(typed)
        self._child.expect(pexpect.EOF)


@pytest.fixture
def prompt(full: Built, orchestrate: Orchestrate) -> Iterator[Prompt]:
    line = _line(full, orchestrate, "gosh")
    # This TERM, because the line editor asks others for their colours and waits for the answer.
    child = pexpect.spawn(
        line[0],
        line[1:],
        env=_environment(TERM="screen"),
        encoding="utf-8",
        timeout=_ANSWERS,
        dimensions=(24, 100),
    )
    yield Prompt(child)
    child.close(force=True)


def test_at_the_prompt(prompt: Prompt) -> None:
    """Jobs, a command that is compiled first, Ctrl-C, the line before, editing, the way out."""
    prompt.see(r"job[123]\r\njob[123]\r\njob[123]\r\n", of=f"{_LOOP}\r")
    prompt.again()
    prompt.see(r" up \d", of="uptime\r")
    prompt.again()
    prompt.see(r"/bin/uptime\r\n", of="echo /bin/upt*\r")
    prompt.again()
    prompt.see(r"begun\r\n", of="echo begun; sleep 1000\r")
    prompt.wait_for("sleep")
    prompt.again("\x03")
    prompt.see(r"was 130\r\n", of="echo was $?\r")
    prompt.again()
    prompt.see(r"echo was", of="\x1b[A")
    prompt.see(r"was 0\r\n", of="\r")
    prompt.again()
    prompt.see(r"is now\r\n", of="echo is nox\x7fw\r")
    prompt.again()
    prompt.see(r"<a>\r\n<b>\r\n", of='for i in a b; do\x0fecho "<$i>"\x0fdone\r')
    prompt.again()
    prompt.leave("exit\r")

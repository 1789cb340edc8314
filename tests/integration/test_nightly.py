"""Nights one after the other, on a small project: what happens in each, its word, what is kept.

Every stage is a real command. The clock is a test's own, and only for what is written down. All
nights are carried out once, in order; the tests look at what they left.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator.history.database import History
from orchestrator.history.words import Word
from orchestrator.nightly import children, run
from orchestrator.nightly import config as configs
from orchestrator.nightly.state import State
from orchestrator.nightly.tool import tool
from reproducibility import canonical, digest
from reproducibility.errors import InfrastructureError
from tests.conftest import ROOT
from tests.fakes import FakeObserver
from tests.integration import building
from tests.integration.building import HOST, Orchestrate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.history.model import Night
    from tests.integration.conftest import Built

pytestmark = [pytest.mark.needs_sandbox, pytest.mark.needs_network, pytest.mark.slow]

_SOURCE = '[[source]]\nmodule = "example.org/hello"\npath = "hello"\ncommands = ["."]\n'
# A month of nights, which `make test-nights` carries out; otherwise four.
WHOLE = os.environ.get("SOURCERY_TEST_NIGHTS") == "1"
_DEAD = "http://127.0.0.1:1"
# What the program says in the nights in which it does not come out the same twice.
_FLAW = "not the same twice"
_STEP = f"commands/example.org/hello/{HOST}"
_NETWORK = {"GOPROXY": _DEAD, "PIP_INDEX_URL": _DEAD, "PIP_RETRIES": "0", "HTTP_PROXY": _DEAD}


def program(words: str) -> str:
    """A program that says something."""
    return f'package main\n\nimport "fmt"\n\nfunc main() {{\n\tfmt.Println("{words}")\n}}\n'


@dataclass
class World:
    """A project, its state folder, and the nights that were carried out there.

    `now`: what the clock says. `nights`: by the name that a test gave each.
    """

    folder: Path
    store: Path
    now: datetime = datetime(2026, 1, 1, 2, tzinfo=UTC)
    flaw: str = ""
    nights: dict[str, Night] = field(default_factory=dict)

    @property
    def state(self) -> State:
        """The state folder."""
        return State(self.folder / "nightly")

    def prepare(self, lock: Path) -> None:
        """Write the project; `lock`: one that pins the same toolchain."""
        self.folder.mkdir()
        text = building.spec_text(architectures=[HOST], source=_SOURCE)
        (self.folder / "sourcery.toml").write_text(text)
        (self.folder / "hello").mkdir()
        (self.folder / "hello" / "go.mod").write_text("module example.org/hello\n\ngo 1.21\n")
        self.write("one")
        shutil.copyfile(lock, self.folder / "sourcery.lock")
        Orchestrate(self.folder, self.store).run("lock")

    def spoil_lock(self) -> None:
        """Let the project's lock pin other bytes of a package than its mirror has."""
        place = self.folder / "sourcery.lock"
        document = json.loads(place.read_bytes())
        (package,) = (one for one in document["inputs"] if one["name"] == "uname")
        package["blake3"] = package["tree"] = f"blake3:{'5' * 64}"
        del document["checksum"]
        document["checksum"] = str(digest.of_bytes(canonical.dumps(document)))
        place.write_bytes(canonical.pretty(document))

    def prepare_lock(self) -> None:
        """Lock the project anew."""
        (self.folder / "sourcery.lock").unlink()
        Orchestrate(self.folder, self.store).run("lock")

    def write(self, words: str) -> None:
        """Let the project's source be another one."""
        (self.folder / "hello" / "main.go").write_text(program(words))

    def config(self, relock: str = '["hello"]', boot: str = '"none"') -> configs.Config:
        """The configuration: what is compiled of the project's own is audited, nothing booted."""
        text = (
            f"engine = 'sandbox'\nrelock = {relock}\n[store]\nfolder = '{self.store}'\n"
            f"[boot]\nplatforms = {boot}\n[audit]\nbudget = '10m'\n"
            f"only = ['seed/*', 'commands/*', 'list/*']\n"
        )
        return configs.parse(text, self.folder / "nightly.toml")

    def night(self, name: str, config: configs.Config | None = None, days: float = 1) -> Night:
        """Carry out a night, some days after the one before."""
        self.now += timedelta(days=days)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                children, "_program", lambda: [sys.executable, "-m", "tests.integration.flawed"]
            )
            patch.setenv("FLAW", self.flaw)
            patch.setenv("PYTHONPATH", str(ROOT))
            ended = run.nightly(
                config or self.config(), FakeObserver(), threading.Event(), lambda: self.now
            )
        self.nights[name] = ended.night
        return ended.night

    def command(self) -> list[str]:
        """The command of a night, in a process of its own."""
        path = self.folder / "killed.toml"
        path.write_text(
            f"engine = 'sandbox'\nrelock = ['hello']\n[store]\nfolder = '{self.store}'\n"
            "[boot]\nplatforms = 'none'\n[audit]\nbudget = 0\n"
        )
        return [sys.executable, "-m", "orchestrator", "nightly", "--config", str(path), "--json"]


def _killed(world: World, stage: str) -> None:
    """Begin a night in a process of its own, and kill it once a stage has begun."""
    process = subprocess.Popen(
        world.command(),
        cwd=world.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stderr is not None
    said = b""
    while f"started     {stage}".encode() not in said:
        line = process.stderr.readline()
        assert line, said.decode()
        said += line
    (child,) = building.wait_for_children(process.pid)
    process.kill()
    process.communicate()
    # The kernel asks the stage to end, which it does.
    while Path(f"/proc/{child}/exe").exists():
        threading.Event().wait(0.05)


@pytest.fixture(scope="module")
def world(small: Orchestrate, small_own: Built, workshop: Path) -> Iterator[World]:
    assert small_own.ran.status == 0
    folder = workshop / "nights"
    folder.mkdir()
    found = World(folder / "project", building.clone(small.store, folder / "store"))
    found.prepare(small.project / "sourcery.lock")
    carry_out(found)
    yield found
    shutil.rmtree(folder)


def carry_out(world: World) -> None:
    """All nights, in order."""
    world.night("first")
    world.night("nothing new")
    world.write(_FLAW)
    world.flaw = _FLAW
    world.night("flawed")
    world.flaw = ""
    if WHOLE:
        world.night("flawed still")
    world.write("three")
    world.night("mended")
    if not WHOLE:
        return
    with pytest.MonkeyPatch.context() as patch:
        for name, value in _NETWORK.items():
            patch.setenv(name, value)
        for name in ("no mirror", "no mirror still"):
            world.night(name, world.config('"all"'))
    world.night("no boot files", world.config(boot='["pc-bios"]'))
    world.night("back", days=-40)
    with pytest.MonkeyPatch.context() as patch:
        other = tool().model_copy(update={"digest": digest.of_bytes(b"another build of it")})
        patch.setattr(run, "tool", lambda: other)
        world.night("another tool", days=41)
    world.night("the tool again")
    world.spoil_lock()
    world.night("other bytes", world.config('"none"'))
    world.prepare_lock()
    world.night("whole again")
    for number in range(len(world.nights), 29):
        world.night(f"quiet {number}", world.config('"none"'))
    world.night("the last")


ALWAYS = {
    "first": (Word.INPUTS_CHANGED, "The first build"),
    "nothing new": (Word.UNCHANGED, "Everything holds, and nothing changed"),
    "flawed": (Word.NOT_DETERMINISTIC, f"Not deterministic: commands/example.org/hello/{HOST}"),
    "mended": (Word.INPUTS_CHANGED, "Other inputs: input hello"),
}
WORDS = (
    {
        **ALWAYS,
        "flawed still": (
            Word.NOT_DETERMINISTIC,
            f"Not deterministic: commands/example.org/hello/{HOST}",
        ),
        "no mirror": (Word.UNCHANGED, "Everything holds"),
        "no mirror still": (Word.UNCHANGED, "Everything holds"),
        "no boot files": (Word.BOOT_FAILED, "Boot: this image has no boot files"),
        "back": (Word.UNCHANGED, "Everything holds"),
        "another tool": (Word.TOOL_CHANGED, "Another build of orchestrate"),
        "the tool again": (Word.TOOL_CHANGED, "Another build of orchestrate"),
        "other bytes": (Word.CHECK_FAILED, "Build: uname "),
        "whole again": (Word.UNCHANGED, "Everything holds"),
        "the last": (Word.UNCHANGED, "Everything holds"),
    }
    if WHOLE
    else ALWAYS
)


@pytest.mark.parametrize("name", WORDS)
def test_each_night_has_its_word(world: World, name: str) -> None:
    word, line = WORDS[name]
    found = world.nights[name]
    assert found.word is word, found
    assert found.line.startswith(line)
    page = (world.state.night(found.number) / "index.html").read_text()
    assert str(word) in page
    assert found.line.split(",")[0].split("'")[0] in page


@pytest.mark.long
def test_nights_count_up_whatever_the_clock_says(world: World) -> None:
    numbers = [night.number for night in world.nights.values()]
    assert numbers == list(range(1, len(numbers) + 1))
    assert world.nights["back"].date < world.nights["first"].date


def test_what_is_not_deterministic_is_known_since_its_first_night(world: World) -> None:
    first = world.nights["flawed"]
    (one,) = first.varying
    assert one.step.startswith(_STEP)
    assert one.first_night == first.number
    assert one.lines
    if WHOLE:
        again = world.nights["flawed still"]
        assert [other.first_night for other in again.varying] == [first.number]
        assert again.since == first.number


def test_bisecting_names_the_night_and_the_action(world: World) -> None:
    with History.to_read(world.state.database) as history:
        found = history.bisect()
    parting = found.partings[0]
    assert parting.night == world.nights["flawed"].number
    assert parting.step.startswith(_STEP)
    assert found.partings == (parting,)


def test_what_changed_leads_to_what_follows(world: World) -> None:
    found = world.nights["mended"]
    assert "input hello" in {one.what for one in found.changes}
    chains = {one.step: one.chain for one in found.consequences}
    assert chains["image"][0] == "input hello"
    assert chains["image"][-1] == "image"
    assert not found.varying


@pytest.mark.long
def test_a_mirror_that_is_down_is_said(world: World) -> None:
    found = world.nights["no mirror"]
    stages = {stage.name: stage for stage in found.stages}
    assert (stages["relock"].state, stages["relock"].status) == ("failed", 4)
    assert stages["build"].state == "done"
    assert found.locked == "the night before"
    assert found.notes


def test_the_projects_lock_is_never_written(world: World) -> None:
    text = (world.folder / "sourcery.lock").read_bytes()
    mended = (world.state.folder / "locks" / "last.lock").read_bytes()
    assert text != mended


def test_the_evidence_of_each_night_is_kept(world: World) -> None:
    for night in world.nights.values():
        names = {path.name for path in world.state.night(night.number).iterdir()}
        assert {"night.json", "index.html", "result.json", "report.html", "logs"} <= names
        assert "sourcery.img" not in names
    assert {"index.html", "feed.atom", "badge.svg"} <= {
        path.name for path in world.state.site.iterdir()
    }


def test_two_at_once_are_one(world: World) -> None:
    with world.state.alone(), pytest.raises(InfrastructureError, match="is going on here already"):
        run.nightly(world.config(), FakeObserver(), threading.Event(), lambda: world.now)


def test_a_night_that_is_killed_goes_on(world: World) -> None:
    """In whatever stage: it has one number, and is there once."""
    with History.to_read(world.state.database) as history:
        before = [night.number for night in history.nights()]
    for stage in ("build", "verify"):
        _killed(world, stage)
        with History.to_read(world.state.database) as history:
            assert [night.number for night in history.nights()] == before
    done = subprocess.run(
        world.command(),
        cwd=world.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    with History.to_read(world.state.database) as history:
        after = history.nights()
    assert [night.number for night in after] == [*before, before[-1] + 1]
    assert after[-1].attempts == 3


def test_a_stop_is_heeded_and_the_night_can_go_on(world: World) -> None:
    process = subprocess.Popen(
        world.command(),
        cwd=world.folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    said = b""
    while b"started     build" not in said:
        line = process.stderr.readline()
        assert line, said.decode()
        said += line
    building.wait_for_children(process.pid)
    process.send_signal(signal.SIGTERM)
    told, more = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM, (told, more)
    with History.to_read(world.state.database) as history:
        left = history.going_on()
    assert left is not None

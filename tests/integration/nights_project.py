"""A small project whose nights tests carry out: each a process, with a clock of the tests' own.

What a night was is seen as somebody sees it in the morning: by the exit status, by the record, and
by what the page says first.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any, Final

from orchestrator.history.database import History
from orchestrator.nightly.state import State
from reproducibility import canonical, digest
from tests.conftest import ROOT
from tests.integration import building
from tests.integration.building import HOST, Orchestrate, Running

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from orchestrator.history.model import Night
    from tests.integration.building import Ran

# What the program says in the nights in which it does not come out the same twice.
FLAW: Final = "not the same twice"
# The beginning of the step's name, up to its number.
GUILTY: Final = f"commands/example.org/hello/{HOST}"
_PACKAGES = ("containers", "orchestrator", "reproducibility", "userland")
_DEAD = "http://127.0.0.1:1"
# No mirror is there: of modules, of packages, of anything.
NO_MIRROR: Final = {
    "GOPROXY": _DEAD, "PIP_INDEX_URL": _DEAD, "PIP_RETRIES": "0", "HTTP_PROXY": _DEAD,
}  # fmt: skip


def program(words: str) -> str:
    """A program that says something."""
    return f'package main\n\nimport "fmt"\n\nfunc main() {{\n\tfmt.Println("{words}")\n}}\n'


@dataclass(frozen=True)
class First:
    """What a page of nights says first. `word`: after its sign; `meaning`, `line`: sentences."""

    word: str
    meaning: str
    line: str

    def says(self, line: str) -> bool:
        """Whether it says a line, or its beginning where that is long and can be unfolded."""
        return self.line == line or (self.line.endswith("…") and line.startswith(self.line[:-1]))


class _Hero(HTMLParser):
    """Reads what stands first on a page: each part the first time; of a folded line its beginning.

    `found`: by the class of the part.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, str] = {}
        self._at = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        name = dict(attrs).get("class") or ""
        if tag in {"p", "div"} and name in {"verdict", "meaning", "line"}:
            self._at = "" if name in self.found else name
            self.found.setdefault(name, "")

    def handle_endtag(self, tag: str) -> None:
        if tag == ("bdi" if self._at == "line" else "p"):
            self._at = ""

    def handle_data(self, data: str) -> None:
        if self._at:
            self.found[self._at] += data


def first_of(page: Path) -> First | None:
    """What a page says first; None where there is no page, or nothing on it."""
    if not page.is_file():
        return None
    reader = _Hero()
    reader.feed(page.read_text())
    if not reader.found:
        return None
    return First(reader.found["verdict"].split()[-1], reader.found["meaning"], reader.found["line"])


@dataclass(frozen=True)
class Seen:
    """A night as it was seen. `status`: exit status of its last process; `error`: that it told of.

    `night`: None where none was written down. `index`: what the first page said in the morning.
    `seconds`: of all its processes.
    """

    status: int
    error: Mapping[str, Any]
    night: Night | None
    index: First | None
    seconds: float

    @property
    def record(self) -> Night:
        """The night as it was written down."""
        assert self.night is not None
        return self.night


@dataclass
class World:
    """A project, its state folder, and the nights that were carried out there.

    `now`: what the clock says. `flaw`: text by which a program does not come out the same twice.
    `tool`: a folder with another build of the program; None for this one. `nights`: by the name
    that a test gave each.
    """

    folder: Path
    store: Path
    modules: tuple[str, ...] = ("hello",)
    only: tuple[str, ...] = ("seed/*", "commands/*", "list/*")
    now: datetime = datetime(2026, 1, 1, 2, tzinfo=UTC)
    flaw: str = ""
    tool: Path | None = None
    nights: dict[str, Seen] = field(default_factory=dict)

    @property
    def state(self) -> State:
        """The state folder."""
        return State(self.folder / "nightly")

    def prepare(self, lock: Path) -> None:
        """Write the project; `lock`: one that pins the same toolchain."""
        self.folder.mkdir()
        source = "\n".join(
            f'[[source]]\nmodule = "example.org/{name}"\npath = "{name}"\ncommands = ["."]\n'
            for name in self.modules
        )
        text = building.spec_text(architectures=[HOST], source=source)
        (self.folder / "sourcery.toml").write_text(text)
        for name in self.modules:
            (self.folder / name).mkdir()
            (self.folder / name / "go.mod").write_text(f"module example.org/{name}\n\ngo 1.21\n")
            self.write("one", name)
        shutil.copyfile(lock, self.folder / "sourcery.lock")
        Orchestrate(self.folder, self.store).run("lock")

    def write(self, words: str, name: str = "hello") -> None:
        """Let the project's source be another one."""
        (self.folder / name / "main.go").write_text(program(words))

    def spoil_lock(self) -> bytes:
        """Let the project's lock pin other bytes of a package than its mirror has.

        Returns the lock as it was.
        """
        place = self.folder / "sourcery.lock"
        before = place.read_bytes()
        document = json.loads(before)
        (package,) = (
            one for one in document["inputs"] if (one["name"], one["host"]) == ("uname", HOST)
        )
        package["blake3"] = package["tree"] = f"blake3:{'5' * 64}"
        del document["checksum"]
        document["checksum"] = str(digest.of_bytes(canonical.dumps(document)))
        place.write_bytes(canonical.pretty(document))
        return before

    def other_tool(self) -> Path:
        """Another build of the program, whose images have another disk signature."""
        place = self.folder.parent / "tool"
        for name in _PACKAGES:
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, place / name, ignore=ignore)
        recipe = place / "orchestrator" / "artifacts" / "recipe.py"
        text = recipe.read_text()
        for before, after in (("FORMAT = 2", "FORMAT = 3"), ("hex[8:16]", "hex[16:24]")):
            assert text.count(before) == 1, before
            text = text.replace(before, after)
        recipe.write_text(text)
        return place

    def configure(
        self,
        *,
        relock: str = "",
        boot: str = '"none"',
        budget: str = "10m",
        store: Path | None = None,
    ) -> Path:
        """Write a configuration: what is compiled of the project's own is audited."""
        path = self.folder / "nightly.toml"
        path.write_text(
            f"engine = 'sandbox'\nrelock = {relock or json.dumps(self.modules)}\n"
            f"[store]\nfolder = '{store or self.store}'\n[boot]\nplatforms = {boot}\n"
            f"[audit]\nbudget = '{budget}'\nonly = {json.dumps(self.only)}\n"
        )
        return path

    def start(self, config: Path, what: str, **variables: str) -> Running:
        """Begin a night, as a process that leads a group of its own."""
        code = [str(ROOT)] if self.tool is None else [str(self.tool), str(ROOT)]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(code),
            "NOW": self.now.isoformat(),
            "FLAW": self.flaw,
            **variables,
        }
        program = [sys.executable, "-m", "tests.integration.at_night"]
        process = subprocess.Popen(
            [*program, "nightly", "--config", str(config), "--json"],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        return Running(f"nightly ({what})", process)

    def night(
        self,
        name: str,
        config: Path | None = None,
        days: float = 1,
        variables: Mapping[str, str] | None = None,
    ) -> Seen:
        """Carry out a night, some days after the one before."""
        self.now += timedelta(days=days)
        began = time.monotonic()
        ran = self.start(config or self.configure(), name, **(variables or {})).end()
        return self.saw(name, ran, time.monotonic() - began)

    def saw(self, name: str, ran: Ran, seconds: float) -> Seen:
        """Write down what a night was, whatever it was called before."""
        with History.to_read(self.state.database) as history:
            last = history.last()
            night = None if last is None else history.night(last.number)
        known = {one.night.number for one in self.nights.values() if one.night is not None}
        if night is not None and night.number in known:
            night = None
        index = first_of(self.state.site / "index.html")
        error = ran.document.get("error", {})
        self.nights[name] = Seen(ran.status, error, night, index, seconds)
        return self.nights[name]

    def asked(self, command: str, *arguments: str, status: int = 0) -> dict[str, Any]:
        """What `orchestrate history` says."""
        given = [command, *arguments, "--state", str(self.state.folder), "--json"]
        done = subprocess.run(
            [sys.executable, "-m", "orchestrator", "history", *(word for word in given if word)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            check=False,
        )
        assert done.returncode == status, done.stderr.decode()
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def numbers(self) -> list[int]:
        """Numbers of the nights that were written down."""
        with History.to_read(self.state.database) as history:
            return [night.number for night in history.nights()]

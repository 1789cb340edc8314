"""A project whose nights lock anew, on real locks, and a fake of the process `orchestrate lock`."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.lock import file as locks
from orchestrator.lock import parts
from orchestrator.nightly import config, relocking
from orchestrator.nightly.relocking import Finished
from orchestrator.spec import model as specs
from reproducibility import digest as digests
from tests.unit.orchestrator.lock.default import changed, named
from tests.unit.orchestrator.nightly.samples import night

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.history.model import Night
    from orchestrator.lock.file import Lock
    from orchestrator.nightly.config import Config
    from orchestrator.nightly.relocking import Relocked


def _without_root(document: dict[str, Any]) -> None:
    del document["roots"], document["wanted"]["root.gcc"]


# Without the second root they are a tenth of it.
SPEC = (Path(__file__).parents[4] / "sourcery.toml").read_text("utf-8").partition("[root.gcc]")[0]
DATA = locks.dump(changed(_without_root))
ALL = parts.names(locks.parse(DATA).wanted)


def newer(name: str, version: str, content: bytes = b"newer", data: bytes = DATA) -> bytes:
    """A lock in which an input has another version."""

    def change(document: dict[str, Any]) -> None:
        named(document, name).update(version=version, blake3=str(digests.of_bytes(content)))

    return locks.dump(changed(change, data))


class Mirror:
    """What `orchestrate lock` finds. `offers`: an input's version and content, by name.

    `local`: contents of what is read anew by every run. `failing`: exit statuses of the next runs,
    0 for one that works. `asked`: the names that each run was to look up anew. `changing`:
    what is offered besides after the first run, and after each one that follows.
    """

    def __init__(self) -> None:
        self.offers: dict[str, tuple[str, bytes]] = {}
        self.local: dict[str, bytes] = {}
        self.failing: list[int] = []
        self.always = 0
        self.asked: list[list[str]] = []
        self.changing: list[tuple[str, str, bytes]] = []
        self.bases: list[bytes | None] = []
        self.commands: list[Sequence[str]] = []

    def __call__(self, command: Sequence[str]) -> Finished:
        self.commands.append(command)
        path = Path(command[command.index("--lock") + 1])
        names = [two for one, two in pairwise(command) if one == "--update"]
        self.asked.append(names)
        self.bases.append(path.read_bytes() if path.exists() else None)
        status = self.failing.pop(0) if self.failing else self.always
        if status:
            return Finished(status, {"error": {"summary": f"failed with {status}"}})
        data = self.bases[-1] or DATA
        wanted = parts.wanted(specs.load(Path(command[command.index("--spec") + 1])))
        for name, (version, content) in self.offers.items():
            if names == ["all"] or name in names or self.bases[-1] is None:
                data = newer(name, version, content, data)
        for name, content in self.local.items():
            data = newer(name, "v0.16.0", content, data)
        lock = changed(lambda document: document.update(wanted=wanted), data)
        path.write_bytes(locks.dump(lock))
        if self.changing:
            name, version, content = self.changing.pop(0)
            self.offers[name] = (version, content)
        return Finished(0, {"changed": True})


class Project:
    """A project with a lock, and its nights' state folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "sourcery.toml").write_text(SPEC)
        self.lock = folder / "sourcery.lock"
        self.lock.write_bytes(DATA)
        self.nights: list[Night] = []

    def config(self, text: str = "") -> Config:
        return config.parse(text, self.folder / "nightly.toml")

    def night(self, mirror: Mirror, text: str = "", *, keep: bool = True) -> Relocked:
        found = self.config(text)
        outcome = relocking.relock(found, self.nights, mirror)
        if keep and outcome.lock is not None:
            relocking.keep(relocking.places(found))
        number = len(self.nights) + 1
        self.nights.append(night(number, relock=outcome.status))
        return outcome


def built(outcome: Relocked) -> Lock:
    assert outcome.lock is not None
    return locks.load(outcome.lock)

"""The process that makes the image again: it dies, is ended, or finds a damaged blob."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator.artifacts import remaking
from orchestrator.boot import syslinux
from orchestrator.image.fat import writer
from orchestrator.store.blobs import DamagedBlob
from reproducibility.errors import InfrastructureError, Stopped
from reproducibility.manifest import Tree, file
from tests.unit.orchestrator.artifacts.remaking_samples import planted, recipe_of
from tests.unit.orchestrator.artifacts.test_image import Maker
from tests.unit.orchestrator.boot import made

if TYPE_CHECKING:
    from orchestrator.artifacts import image as making
    from orchestrator.store import Store


@pytest.fixture
def recipe(store: Store) -> making.Recipe:
    return recipe_of(store)


@pytest.fixture
def maker(store: Store, tmp_path: Path) -> Maker:
    return Maker(store, tmp_path)


# Says that it is there, and does nothing more.
_IDLE = """
import os, sys, time
from pathlib import Path
Path(sys.argv[2]).parent.joinpath("there").write_text(str(os.getpid()))
%s
"""


def _idle(folder: Path, then: str, monkeypatch: pytest.MonkeyPatch) -> None:
    package = folder / "code" / "orchestrator" / "artifacts"
    package.mkdir(parents=True)
    (package.parent / "__init__.py").touch()
    (package / "__init__.py").touch()
    (package / "remade.py").write_text(_IDLE % then)
    monkeypatch.setattr(remaking, "_CODE", folder / "code")


ENDS = {
    "killed": ("os.kill(os.getpid(), 9)", "ended by signal 9: it said nothing"),
    "with words": ("sys.exit('no more memory')", "ended with status 1: no more memory"),
    "an error": ("raise MemoryError", "MemoryError"),
    "no answer": ("pass", "ended with status 0"),
    "half an answer": (
        "Path(sys.argv[2], 'answer.json').write_text('{\"image\": 1}')",
        "ended with status 0",
    ),
}


@pytest.mark.parametrize("end", ENDS)
def test_it_dies(
    maker: Maker, recipe: making.Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    then, said = ENDS[end]
    _idle(tmp_path, then, monkeypatch)
    with pytest.raises(InfrastructureError, match=r"makes the image a second time") as caught:
        maker.make(recipe)
    assert said in caught.value.summary
    assert caught.value.remedy
    assert caught.value.status == 4


def test_it_cannot_be_started(
    maker: Maker, recipe: making.Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(InfrastructureError, match="cannot start a process"):
        maker.make(recipe)


def _gone(number: int) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(number, 0)
        return False
    return True


def _there(place: Path) -> int:
    """The number of the process, once it says that it is there."""
    found = place / "there"
    for _ in range(600):
        if found.exists() and (text := found.read_text()):
            return int(text)
        time.sleep(0.05)
    raise AssertionError


def test_an_interrupt_ends_it(
    recipe: making.Recipe, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _idle(tmp_path, "time.sleep(300)", monkeypatch)
    stop = threading.Event()
    with remaking.started(recipe, store) as other:
        number = _there(other._folder.parent)
        assert not _gone(number)
        stop.set()
        with pytest.raises(Stopped):
            other.result(recipe, stop)
    assert _gone(number)


def test_an_error_of_this_process_ends_it(
    recipe: making.Recipe, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _idle(tmp_path, "time.sleep(300)", monkeypatch)
    numbers = []
    with contextlib.suppress(KeyError), remaking.started(recipe, store) as other:
        numbers.append(_there(other._folder.parent))
        raise KeyError
    assert _gone(numbers[0])


_LEFT = """
import sys, time
from pathlib import Path
from orchestrator.artifacts import image as making, remaking
from orchestrator.store import Store
from reproducibility import digest
from reproducibility.manifest import Tree
recipe = making.Recipe(Tree(), "TEST", digest.of_bytes(b""), 1_767_225_600, 0)
with remaking.started(recipe, Store(Path(sys.argv[1]))) as other:
    print(other._running.pid, flush=True)
    time.sleep(300)
"""


def test_it_does_not_outlive_this_process(tmp_path: Path) -> None:
    code = planted(
        tmp_path / "code",
        "orchestrator/artifacts/remade.py",
        "    blobs = BlobFolder(",
        "    Path(sys.argv[2], 'there').write_text('')\n    time.sleep(300)\n"
        "    blobs = BlobFolder(",
    )
    with subprocess.Popen(
        [sys.executable, "-P", "-c", _LEFT, str(tmp_path / "store")],
        env={"PYTHONPATH": str(code)},
        stdout=subprocess.PIPE,
    ) as parent:
        assert parent.stdout is not None
        number = int(parent.stdout.readline())
        for _ in range(600):
            if list((tmp_path / "store").rglob("there")):
                break
            time.sleep(0.05)
        assert not _gone(number)
        parent.send_signal(signal.SIGKILL)
    for _ in range(600):
        if _gone(number) or _is_dead(number):
            return
        time.sleep(0.05)
    raise AssertionError


def _is_dead(number: int) -> bool:
    """Whether only its status is left, which nobody has asked for yet."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return True


def test_a_missing_blob_is_healed(recipe: making.Recipe, store: Store) -> None:
    entry = next(entry for entry in recipe.tree.files() if entry.size)
    store.unverified(entry).unlink()
    with remaking.started(recipe, store) as other, pytest.raises(DamagedBlob):
        other.result(recipe, threading.Event())


@pytest.mark.parametrize("path", [syslinux.INSTALLER, syslinux.MASTER])
def test_a_damaged_package_of_the_loader_is_healed(
    recipe: making.Recipe, store: Store, path: str
) -> None:
    packages = Tree(
        file(name, store.put_bytes(data), len(data)) for name, data in made.syslinux().items()
    )
    loaded = replace(recipe, loader=syslinux.loader(packages, store.read))
    entry = packages.get(path)
    assert entry is not None
    place = store.path(entry)
    # As a bad disk does it: nothing shows but the bytes.
    status = place.stat()
    place.chmod(0o644)
    place.write_bytes(bytes(entry.size))
    place.chmod(0o444)
    os.utime(place, ns=(status.st_atime_ns, status.st_mtime_ns))
    with remaking.started(loaded, store) as other, pytest.raises(DamagedBlob) as caught:
        other.result(loaded, threading.Event())
    assert caught.value.digest == entry.content
    assert not store.has(entry.content)


def test_an_image_that_cannot_be_written_waits_for_nobody(
    maker: Maker,
    recipe: making.Recipe,
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    then = "time.sleep(60)\nPath(sys.argv[1]).parent.joinpath('slept').touch()"
    _idle(tmp_path, then, monkeypatch)

    def full(*_: object) -> None:
        # It runs by now, so that there is something to wait for.
        while not list(store.root.rglob("there")):
            time.sleep(0.01)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writer, "write", full)
    with pytest.raises(OSError, match="No space left"):
        maker.make(recipe)
    assert not (tmp_path / "slept").exists()

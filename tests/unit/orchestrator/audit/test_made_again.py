"""The other process: its surroundings differ in everything that they can differ in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from containers.policy import Policy
from orchestrator.artifacts import image, remaking
from orchestrator.artifacts.earlier_files import EarlierFiles
from orchestrator.artifacts.finished import Finished
from orchestrator.audit import computations, made_again, subject
from orchestrator.audit.request import Request
from orchestrator.execution.scheduler import Scheduler
from orchestrator.store import BLOB_TIME, DamagedBlob
from reproducibility import canonical, digest
from reproducibility.errors import InfrastructureError
from reproducibility.manifest import Tree, file
from tests import results
from tests.conftest import ROOT
from tests.fakes import FakeEngine, FakeObserver

if TYPE_CHECKING:
    from orchestrator.store import Store

# What another process does: it varies what it can, and tells what it sees.
_PROGRAM = """
import json, os, pathlib, shutil, sys
from orchestrator.audit import made_again
made_again.vary()
folder = pathlib.Path(sys.argv[1])
walked = [sorted(files) for _, _, files in os.walk(folder)]
print(json.dumps({
    "seen": made_again.surroundings(folder),
    "listed": os.listdir(folder),
    "scanned": [entry.name for entry in os.scandir(folder)],
    "iterated": [path.name for path in folder.iterdir()],
    "walked": walked,
}))
shutil.rmtree(folder)
"""


def test_it_sees_other_surroundings(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    for name in "abc":
        (folder / name).touch()
    here, listed = made_again.surroundings(folder), [path.name for path in folder.iterdir()]
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(folder)],
        env={**remaking._environment(), "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        umask=0o077,
        capture_output=True,
        check=True,
    )
    said = json.loads(done.stdout)
    assert said["seen"].keys() == here.keys()
    alike = set(remaking.alike(here, said["seen"]))
    assert alike <= ({"processors"} if len(os.sched_getaffinity(0)) == 1 else set())
    assert said["listed"] == said["scanned"] == said["iterated"] == listed[::-1]
    assert said["walked"] == [["a", "b", "c"]]
    # Others' clean-up works with what it sees.
    assert not folder.exists()


BUILT = Finished(Path("out"), results.build_result(), digest.of_bytes(b"result"))


def request(folder: Path) -> Request:
    return Request(folder / "spec", folder / "lock", folder / "out", folder / "store", "auto")


def test_a_failure_elsewhere_says_what_it_said(store: Store, tmp_path: Path) -> None:
    """There is no build in the folder: the other process says so, and this one passes it on."""
    found = computations.ask(request(tmp_path), BUILT, ("image",), store, threading.Event())
    assert "no result of a build" in found.failed
    assert found.found == {}
    assert {"hash seed", "umask", "order of entries"} <= set(found.surroundings)
    assert found.alike == ()


def test_another_build_is_not_computed_again(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has the same spec and lock, and took the folder's place after the audit began."""
    found = SimpleNamespace(finished=BUILT)
    monkeypatch.setattr(subject, "find", lambda *_: found)
    monkeypatch.setattr(subject.Subject, "draw", lambda *_, **__: pytest.fail("it was computed"))
    asked = {name: str(tmp_path / name) for name in ("spec", "lock", "out", "sample")}
    (tmp_path / "sample").mkdir()
    said = {**asked, "result": str(digest.of_bytes(b"before")), "wanted": ["image"]}
    (tmp_path / made_again.REQUEST).write_bytes(canonical.dumps(said))
    answer = made_again.answer(store.root, tmp_path)
    assert "another build has taken" in answer["failed"]
    assert answer["found"] == {}


def test_an_end_without_an_answer_is_told(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(computations, "_PROGRAM", "no_such_program")
    with pytest.raises(InfrastructureError, match="No module named"):
        computations.ask(request(tmp_path), BUILT, ("image",), store, threading.Event())


def test_a_damaged_blob_elsewhere_is_one_here(tmp_path: Path) -> None:
    answer = {"damaged": f"blake3:{'0' * 64}", "failed": "", "surroundings": {}, "found": {}}
    (tmp_path / "answer.json").write_bytes(canonical.dumps(answer))
    with pytest.raises(DamagedBlob):
        computations._answer(tmp_path, tmp_path, 0)


def test_what_the_step_of_the_image_gives_is_worked_out_elsewhere(
    store: Store, tmp_path: Path
) -> None:
    """Nobody else has its outputs: files are compared one by one, the history goes by steps."""
    content = store.put_bytes(b"hello")
    recipe = image.Recipe(
        tree=Tree([file("etc/motd", content, 5)]),
        label="TEST",
        identity=digest.of_bytes(b"spec and lock"),
        epoch=BLOB_TIME,
        free_space=0,
    )
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    place = image.Place(store, lambda: fresh, EarlierFiles(tmp_path / "none"), FakeObserver())
    made = (
        Scheduler(
            engine=FakeEngine({}),
            store=store,
            policy=Policy(),
            observer=FakeObserver(),
            jobs=1,
            stop=threading.Event(),
        )
        .run([image.step(lambda _: recipe, (), place)])
        .results[image.STEP]
    )
    again = made_again._Again(tmp_path, store, {})
    audited: Any = SimpleNamespace(
        assembled=lambda _: SimpleNamespace(recipe=recipe),
        found=SimpleNamespace(result=results.build_result()),
    )
    again._image(audited, {})
    assert again.found.keys() == {"image", "root", "sourcery.img", "sourcery.cpio.zst"}
    assert again.found["image"] == str(made.tree.digest)

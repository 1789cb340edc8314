"""The image made again in another process: what depends on a process's environment shows.

Faults are planted in a copy of the project's code, which both processes run.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator.artifacts import (
    image as making,
)
from orchestrator.artifacts import (
    remade,
    remaking,
)
from orchestrator.artifacts.recipe import laid_out
from orchestrator.store.blobs import BlobFolder
from reproducibility import codes
from reproducibility.compare import Verdict, fold
from reproducibility.errors import InputError
from reproducibility.manifest import Tree
from tests.unit.orchestrator.artifacts.remaking_samples import CODE, planted, recipe_of
from tests.unit.orchestrator.artifacts.test_image import Maker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.store import Store

# Makes an image, and prints what was compared. It runs on a copy of the code.
_PROGRAM = """
import json, sys, threading
from pathlib import Path
from orchestrator.artifacts import image as making
from orchestrator.artifacts.earlier_files import EarlierFiles
from orchestrator.store import Store
from reproducibility import digest as digests
from reproducibility.manifest import Tree, file

class Nobody:
    def started(self, name): pass
    def finished(self, name, *, cached, seconds): pass

place = Path(sys.argv[1])
(place / "fresh").mkdir(parents=True)
store = Store(place / "store")
data = {f"folder {n % 5}/a file {n}.txt": bytes([n]) * n for n in range(60)}
tree = Tree(file(path, store.put_bytes(content), len(content)) for path, content in data.items())
recipe = making.Recipe(tree, "TEST", digests.of_bytes(b"spec and lock"), 1_767_225_600, 0)
where = making.Place(store, lambda: place / "fresh", EarlierFiles(place / "old"), Nobody())
made = making._made(recipe, where, threading.Event())
store.close()
print(json.dumps({check.kind.code: check.verdict.name for check in made.checks}))
"""


@pytest.fixture
def recipe(store: Store) -> making.Recipe:
    return recipe_of(store)


@pytest.fixture
def maker(store: Store, tmp_path: Path) -> Maker:
    return Maker(store, tmp_path)


# What depends on what differs between two processes: where, what stands there, and what is
# put there instead.
FAULTS = {
    "nothing": ("orchestrator/image/folders.py", "import annotations", "import annotations"),
    "hash seed": (
        "orchestrator/image/folders.py",
        "dict(sorted(folder.children.items(), key=_name))",
        "{name: folder.children[name] for name in set(folder.children)}",
    ),
    "time zone": (
        "orchestrator/image/fat/records.py",
        "time.gmtime(epoch)",
        "time.localtime(epoch)",
    ),
    "locale": (
        "orchestrator/image/fat/volume.py",
        r'b"\xeb\x58\x90MSWIN4.1"',
        r'b"\xeb\x58\x90" + __import__("os").environ.get("LC_ALL", "")[:8].ljust(8).encode()',
    ),
    "current folder": (
        "orchestrator/image/fat/disk.py",
        "self.signature, 0)",
        'self.signature ^ len(__import__("os").getcwd()), 0)',
    ),
    "umask": (
        "orchestrator/image/fat/bootsector.py",
        "_FIRST_HARD_DISK = 0x80",
        '_FIRST_HARD_DISK = __import__("os").umask(0o22)',
    ),
}  # fmt: skip


@pytest.mark.once
@pytest.mark.parametrize("fault", FAULTS)
def test_what_hangs_on_the_surroundings_shows(tmp_path: Path, fault: str) -> None:
    code = planted(tmp_path / "code", *FAULTS[fault])
    ran = subprocess.run(
        [sys.executable, "-P", "-c", _PROGRAM, str(tmp_path / "place")],
        env={"PYTHONHASHSEED": "1", "PYTHONPATH": str(code), "LC_ALL": "C.UTF-8", "TZ": "UTC"},
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr.decode()
    verdicts = json.loads(ran.stdout)
    assert verdicts[codes.IMAGE_AGAIN.code] == ("PASS" if fault == "nothing" else "FAIL")


DEFECTS = {
    "a part is left out": ("for at, content in parts:", "for at, content in parts[1:]:"),
    "another last byte": (
        "reversed(disk.metadata())",
        "[(at, data[:-1] + b'x') for at, data in disk.metadata()]",
    ),
}


@pytest.mark.once
@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_of_one_way_only_fails(
    maker: Maker,
    recipe: making.Recipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    defect: str,
) -> None:
    code = planted(tmp_path / "code", "orchestrator/image/fat/reverse_digest.py", *DEFECTS[defect])
    monkeypatch.setattr(remaking, "_CODE", code)
    made = maker.make(recipe)
    assert [c.kind for c in made.checks if c.verdict.name == "FAIL"] == [codes.IMAGE_AGAIN]


def test_the_surroundings_are_seen_to_differ(recipe: making.Recipe, store: Store) -> None:
    with remaking.started(recipe, store) as other:
        result = other.result(recipe, threading.Event())
    assert result.alike == ()
    assert result.tree == recipe.tree.digest
    assert set(remade.surroundings()) >= {"hash seed", "locale", "time zone", "umask"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PYTHONHASHSEED", "2"),
        ("LC_ALL", "C"),
        ("LC_ALL", "C.UTF-8"),
        ("TZ", "<-1345>13:45"),
        ("umask", "0o077"),
        ("umask", "0o027"),
    ],
)
def test_whatever_this_process_has_the_other_one_has_not(
    recipe: making.Recipe, store: Store, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    before = os.umask(int(value, 8) if name == "umask" else 0o022)
    try:
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            time.tzset()
            with remaking.started(recipe, store) as other:
                assert other.result(recipe, threading.Event()).alike == ()
    finally:
        os.umask(before)
        time.tzset()


@contextlib.contextmanager
def in_a_folder_that_is_gone(place: Path) -> Iterator[None]:
    """A caller whose current folder somebody has removed."""
    before = Path.cwd()
    place.mkdir()
    os.chdir(place)
    place.rmdir()
    try:
        yield
    finally:
        os.chdir(before)


def test_a_caller_whose_current_folder_is_gone(
    maker: Maker, recipe: making.Recipe, tmp_path: Path
) -> None:
    with in_a_folder_that_is_gone(tmp_path / "gone"):
        assert remade.surroundings()["current folder"] == ""
        made = maker.make(recipe)
    assert fold(made.checks) is Verdict.PASS


# What stands in for a site-packages outside of the one that Python finds by itself.
_SEES = """
import json, sys
from pathlib import Path
import beside
from orchestrator.artifacts.remade import *
import orchestrator
Path(sys.argv[2]).parent.joinpath("seen").write_text(
    json.dumps([beside.__file__, orchestrator.__file__, sys.path, dict(os.environ)]))
main()
"""


def test_the_other_process_finds_what_this_one_does_and_this_code_first(
    recipe: making.Recipe, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside, other = tmp_path / "outside", tmp_path / "other"
    for folder in (outside, other / "orchestrator"):
        folder.mkdir(parents=True)
    (outside / "beside.py").touch()
    (outside / "seeing.py").write_text(_SEES)
    # Another version of this code, which comes first in this process's own list.
    (other / "orchestrator/__init__.py").touch()
    monkeypatch.setattr(sys, "path", ["", str(other), *sys.path, str(outside)])
    monkeypatch.setattr(remaking, "_PROGRAM", "seeing")
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("PYTHONSTARTUP", "/elsewhere/too")
    with remaking.started(recipe, store) as running:
        assert running.result(recipe, threading.Event()).tree == recipe.tree.digest
        seen = json.loads((running._folder.parent / "seen").read_text())
    library, code, path, environment = seen
    assert (Path(library).parent, Path(code).parents[1]) == (outside, CODE)
    assert path[0] == str(CODE)
    started = running._folder.resolve() / "current"
    assert not {"", str(started)} & set(path), "wherever it is started"
    assert "/elsewhere" not in path
    assert environment.keys() <= remaking._environment().keys() | {"LC_CTYPE"}


def test_the_same_surroundings_are_no_proof(
    maker: Maker, recipe: making.Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = remaking._environment
    zone = remade.zone()
    sign = "-" if zone[0] == "+" else "+"
    monkeypatch.setattr(
        remaking, "_environment", lambda: right() | {"TZ": f"<{zone[:3]}>{sign}{zone[1:]}"}
    )
    [check] = [c for c in maker.make(recipe).checks if c.kind == codes.IMAGE_AGAIN]
    assert (check.verdict.name, "had the same time zone" in check.reason) == ("FAIL", True)


def test_the_recipe_alone_decides(recipe: making.Recipe, store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "recipe"
    folder.mkdir()
    (folder / remade.TREE).write_bytes(recipe.tree.serialize())
    document = remade.document(recipe)
    (folder / remade.RECIPE).write_text(json.dumps(document))
    blobs = BlobFolder(store.root / "blobs", tmp_path, tmp_path)
    assert remade.read(folder, blobs) == recipe
    (folder / remade.TREE).write_bytes(Tree().serialize())
    with pytest.raises(InputError, match="another tree"):
        remade.read(folder, blobs)


def test_its_parts_are_the_parts_of_the_first(recipe: making.Recipe, store: Store) -> None:
    tree, disk = laid_out(recipe, store.put_bytes)
    assert (tree, disk.signature) == (recipe.tree, recipe.signature)

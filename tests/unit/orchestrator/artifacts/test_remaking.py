"""The image made again in another process: what depends on a process's environment shows.

Faults are planted in a copy of the project's code, which both processes run.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
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
from orchestrator.boot import syslinux
from orchestrator.image.fat import writer
from orchestrator.store import BLOB_TIME, Store
from orchestrator.store.blobs import BlobFolder, DamagedBlob
from reproducibility import codes
from reproducibility import digest as digests
from reproducibility.compare import Verdict, fold
from reproducibility.errors import InfrastructureError, InputError, Stopped
from reproducibility.manifest import Tree, directory, file
from tests.unit.orchestrator.artifacts.test_image import Maker
from tests.unit.orchestrator.boot import made

if TYPE_CHECKING:
    from collections.abc import Iterator

_CODE = Path(__file__).resolve().parents[4]
_PACKAGES = ("containers", "orchestrator", "reproducibility")

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
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "store")
    yield opened
    opened.close()


@pytest.fixture
def recipe(store: Store) -> making.Recipe:
    contents = {f"src/package/file {number}.go": bytes([number]) * number for number in range(50)}
    entries = [file(path, store.put_bytes(data), len(data)) for path, data in contents.items()]
    tree = Tree([*entries, directory("tmp")])
    return making.Recipe(tree, "TEST", digests.of_bytes(b"spec and lock"), BLOB_TIME, 0)


@pytest.fixture
def maker(store: Store, tmp_path: Path) -> Maker:
    return Maker(store, tmp_path)


def planted(folder: Path, path: str, before: str, after: str) -> Path:
    """A copy of the code, and of what is compiled of it, in which one text is another one."""
    for name in _PACKAGES:
        shutil.copytree(_CODE / name, folder / name)
    source = folder / path
    text = source.read_text("utf-8")
    assert before in text, f"{path} no longer says {before}"
    source.write_text(text.replace(before, after), "utf-8")
    for compiled in (source.parent / "__pycache__").glob(f"{source.stem}.*"):
        compiled.unlink()
    return folder


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
    assert (Path(library).parent, Path(code).parents[1]) == (outside, _CODE)
    assert path[0] == str(_CODE)
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


# -- when the other process ends otherwise -------------------------------------------------------

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


def test_its_parts_are_the_parts_of_the_first(recipe: making.Recipe, store: Store) -> None:
    tree, disk = laid_out(recipe, store.put_bytes)
    assert (tree, disk.signature) == (recipe.tree, recipe.signature)

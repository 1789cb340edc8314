"""An output directory that cannot be exchanged: tried before, filled in place, result last."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from containers.host import rename
from orchestrator.artifacts import filling, output_directory, sums
from orchestrator.artifacts.finished import Finished, UnfinishedError
from reproducibility import canonical, digest
from reproducibility.errors import InfrastructureError, InputError
from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.orchestrator.conftest import Child

NAMES = ["B3SUMS", "SHA256SUMS", "image", "logs", "result.json"]

# Shared by this process and by those that run in a mount namespace.
MAKING = """
import os
from orchestrator.artifacts import output_directory
from reproducibility import canonical, digest

def build(out, content, step="a/b", meanwhile=lambda: None):
    output_directory.refuse_foreign(out)
    with output_directory.replacing(out) as fresh:
        write(fresh, content, step)
        meanwhile()

def write(fresh, content, step, older=False):
    steps = [{"name": step, "key": "blake3:" + "0" * 64}]
    document = {
        "schema": 2, "verdict": "PASS", "cpio": {"path": "archive"}, "root": {},
        "image": {"path": "image", "is": content},
        "stages" if older else "steps": steps,
    }
    (fresh / "logs").mkdir()
    for name in ("image", "SHA256SUMS", "B3SUMS", "logs/" + step.replace("/", "-") + ".log"):
        (fresh / name).write_text(content)
    (fresh / "result.json").write_bytes(canonical.pretty(document))
"""
_made: dict[str, Callable[..., None]] = {}
exec(MAKING, _made)  # noqa: S102 - the text above
build, write = _made["build"], _made["write"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def contents(out: Path) -> set[str]:
    """What the files of a build say; one word where they are of one build."""
    files = ["image", "SHA256SUMS", "B3SUMS", *(f"logs/{name}" for name in names(out / "logs"))]
    return {(out / name).read_text() for name in files}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that this process stands in."""
    folder = tmp_path / "parent" / "out"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    return folder


# -- the folder that the caller stands in ----------------------------------------------------------


@pytest.mark.parametrize("given", [".", "../out", "{}"])
def test_the_caller_s_folder_stays_the_folder_it_is(here: Path, given: str) -> None:
    out = Path(given.format(here))
    inode = here.stat().st_ino
    for content in ("1", "2"):
        build(out, content)
        assert names(Path()) == NAMES
        assert contents(Path()) == {content}
    assert here.stat().st_ino == inode
    assert names(here.parent) == ["out"]


def test_a_caller_below_the_folder_stays_in_one_that_there_is(here: Path) -> None:
    build(here, "1")
    os.chdir(here / "logs")
    build(Path(".."), "2")
    assert (Path.cwd() / "a-b.log").read_text() == "2"
    assert names(here) == NAMES


def test_what_an_earlier_build_made_goes_and_a_person_s_files_stay(here: Path) -> None:
    build(here, "1", step="old/step")
    (here / "notes").write_text("mine")
    (here / "logs" / "mine.log").write_text("mine")
    build(here, "2")
    assert names(here) == sorted([*NAMES, "notes"])
    assert names(here / "logs") == ["a-b.log", "mine.log"]
    assert (here / "notes").read_text() == "mine"


def test_the_audit_of_an_earlier_build_goes_and_a_person_s_file_of_that_name_stays(
    here: Path,
) -> None:
    build(here, "1")
    (here / output_directory.AUDIT).write_text('{"schema": 1, "audited": {}}')
    build(here, "2")
    assert names(here) == NAMES
    (here / output_directory.AUDIT).write_text('{"of": "my taxes"}')
    build(here, "3")
    assert names(here) == sorted([*NAMES, output_directory.AUDIT])


def test_an_audit_is_no_reason_to_fill_a_folder_in_place(tmp_path: Path) -> None:
    out = tmp_path / "out"
    build(out, "1")
    (out / output_directory.AUDIT).write_text('{"schema": 1, "audited": {}}')
    before = out.stat().st_ino
    build(out, "2")
    assert out.stat().st_ino != before
    assert names(out) == NAMES


def test_what_no_build_made_is_refused_before_and_after_the_work(here: Path) -> None:
    (here / "photo").write_text("mine")
    with pytest.raises(InputError):
        output_directory.refuse_foreign(here)
    (here / "photo").unlink()
    with pytest.raises(InputError):
        build(here, "1", meanwhile=lambda: (here / "photo").write_text("mine"))
    assert names(here) == ["photo"]


def a_folder(place: Path) -> None:
    place.unlink(missing_ok=True)
    place.mkdir()
    (place / "mine").write_text("mine")


def a_link_elsewhere(place: Path) -> None:
    elsewhere = place.parent.parent / "elsewhere"
    elsewhere.mkdir()
    for path in place.iterdir():
        path.unlink()
    place.rmdir()
    place.symlink_to(elsewhere)


@pytest.mark.parametrize(
    ("name", "plant"), [("B3SUMS", a_folder), ("image", a_folder), ("logs", a_link_elsewhere)]
)
def test_something_else_in_a_file_s_place_changes_nothing(
    here: Path, name: str, plant: Callable[[Path], None]
) -> None:
    build(here, "1")
    plant(here / name)
    before = (here / "result.json").read_bytes()
    with pytest.raises(InputError) as caught:
        build(here, "2")
    assert caught.value.subject == str(here / name)
    assert (here / "result.json").read_bytes() == before
    assert not list(here.parent.glob("elsewhere/*"))


def test_a_list_that_was_changed_removes_nothing_elsewhere(here: Path) -> None:
    build(here, "1")
    (here.parent / "precious").write_text("mine")
    made = {"made": ["../precious", str(here.parent / "precious"), "", "."]}
    (here / filling.MARK).write_bytes(canonical.pretty(made))
    build(here, "2")
    assert (here.parent / "precious").read_text() == "mine"
    assert names(here) == NAMES


# -- interrupted -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SHA256SUMS", "image", "logs/a-b.log", "result.json"])
def test_interrupted_while_it_is_filled_it_is_not_finished(
    here: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    build(here, "1")
    replace = Path.replace

    def interrupted(self: Path, target: Path) -> Path:
        if target == here / name:
            raise KeyboardInterrupt
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        build(here, "2")
    monkeypatch.setattr(Path, "replace", replace)
    assert not (here / "result.json").exists()
    with pytest.raises(UnfinishedError, match="not finished") as caught:
        Finished.load(here)
    assert caught.value.remedy.startswith("build again")
    build(here, "3")
    assert names(here) == NAMES
    assert contents(here) == {"3"}


# A process for each moment; it kills itself at the Nth thing that it does to the file system after
# the work. Tells how it ended and what then lies in the folder.
KILLED = (
    MAKING
    + """
import signal
out = Path(sys.argv[1])
EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.utime", "os.chmod")

def run(left):
    counting = False

    def hook(event, arguments):
        nonlocal left
        if counting and event in EVENTS:
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    os.chdir(out)
    with output_directory.replacing(Path()) as fresh:
        write(fresh, "new", "x/y")
        counting = True

for moment in range(0, 1000, 2):
    build(out, "old")
    pid = os.fork()
    if not pid:
        run(moment)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    files = [out / name for name in ("image", "SHA256SUMS", "B3SUMS")] + [*(out / "logs").iterdir()]
    words = {path.read_text() for path in files if path.exists()}
    mark = output_directory.filling.MARK
    there, marked = (os.path.exists(out / name) for name in ("result.json", mark))
    tell(f"{status} {there} {marked} {' '.join(sorted(words))}")
    if status == 0:
        break
tell("")
"""
)


def test_killed_at_any_moment_it_is_the_old_one_the_new_one_or_not_finished(
    here: Path, child: Callable[..., Child], tmp_path: Path
) -> None:
    os.chdir(tmp_path)
    told = list(iter(child(KILLED, here).told, ""))
    *killed, last = [line.split() for line in told]
    assert last == ["0", "True", "False", "new"]
    assert {line[0] for line in killed} == {str(-signal.SIGKILL)}
    finished = [line[3:] for line in killed if line[1] == "True"]
    assert [words for words in finished if len(words) != 1] == []
    assert {words[0] for words in finished} == {"old", "new"}
    unfinished = [line[2] for line in killed if line[1] == "False"]
    assert set(unfinished) == {"True"}
    assert names(here) == NAMES


# -- mount points and permissions ------------------------------------------------------------------


def apart(code: str, tmp_path: Path, *script: str, user: int = 0) -> str:
    """Run code in a mount namespace of its own, after a script; perhaps as another user."""
    # Once everything is imported: another user may not be let to where this Python lies.
    become = f"os.setgroups([])\nos.setresuid({user}, {user}, {user})\n" if user else ""
    done = subprocess.run(
        [  # noqa: S607 - found on PATH
            "unshare", *(["--map-root-user"] if os.geteuid() else []), "--mount", "sh", "-ec",
            "\n".join([*script, 'exec "$@"']), "sh",
            sys.executable, "-c", f"import sys\nfrom pathlib import Path\n{MAKING}{become}{code}",
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


TWICE = """
out = Path("out")
for content in ("1", "2"):
    build(out, content)
    print(sorted(os.listdir(out)), (out / "image").read_text(), sorted(os.listdir()))
"""
BIND = "mkdir -p elsewhere out; mount --bind elsewhere out"
TMPFS = "mkdir -p out; mount -t tmpfs tmpfs out"


@pytest.mark.needs_tools("unshare")
@pytest.mark.parametrize("mount", [BIND, TMPFS])
def test_a_mount_point_is_filled_in_place(tmp_path: Path, mount: str) -> None:
    told = apart(TWICE, tmp_path, mount).splitlines()
    beside = ["elsewhere", "out"] if mount == BIND else ["out"]
    assert told == [f"{NAMES} {content} {beside}" for content in ("1", "2")]


@pytest.mark.needs_tools("unshare")
def test_what_mkfs_leaves_at_the_top_of_a_file_system_is_nobody_s(tmp_path: Path) -> None:
    told = apart(TWICE, tmp_path, TMPFS, "mkdir out/lost+found")
    assert told.splitlines()[-1].startswith(str(sorted([*NAMES, "lost+found"])))
    (tmp_path / "other" / "lost+found").mkdir(parents=True)
    with pytest.raises(InputError):
        output_directory.refuse_foreign(tmp_path / "other")


@pytest.mark.needs_tools("unshare")
def test_a_folder_beside_which_nothing_can_be_written_is_filled_in_place(tmp_path: Path) -> None:
    code = TWICE.replace('Path("out")', 'Path("parent/out")')
    script = "mkdir -p parent/out; mount --bind parent parent; mount --bind parent/out parent/out"
    told = apart(code, tmp_path, script, "mount -o remount,bind,ro parent").splitlines()
    assert told == [f"{NAMES} {content} ['parent']" for content in ("1", "2")]


@pytest.mark.needs_tools("unshare")
@pytest.mark.parametrize("out", ["out", "out/new", "out/new/deep"])
def test_a_read_only_place_is_refused_before_the_work(tmp_path: Path, out: str) -> None:
    code = f"""
from reproducibility.errors import InfrastructureError
try:
    output_directory.refuse_foreign(Path("{out}"))
except InfrastructureError as error:
    print(error.summary, error.subject, error.remedy)
"""
    told = apart(code, tmp_path, TMPFS, "mount -o remount,ro out")
    assert "Read-only file system" in told
    assert str(tmp_path / "out") in told
    assert "--out" in told


@pytest.mark.needs_tools("unshare")
@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_a_folder_of_one_s_own_in_a_folder_of_somebody_else_s(tmp_path: Path) -> None:
    for parent in (tmp_path, *tmp_path.parents):
        if len(parent.parts) > 2:
            parent.chmod(parent.stat().st_mode | 0o055)
    told = apart(TWICE, tmp_path, "mkdir out; chown 65534 out", user=65534).splitlines()
    assert told == [f"{NAMES} {content} ['out']" for content in ("1", "2")]


@pytest.mark.parametrize("number", [errno.EBUSY, errno.EXDEV])
def test_what_turns_out_only_at_the_end_is_filled_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    out = tmp_path / "out"
    build(out, "1")

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(rename, "exchange", refuse)
    build(out, "2")
    assert contents(out) == {"2"}
    assert names(out) == NAMES
    assert names(tmp_path) == ["out"]


def test_where_an_exchange_is_possible_nothing_is_filled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filling, "fill", None)
    inodes = set()
    for content in ("1", "2"):
        build(tmp_path / "out", content)
        inodes.add((tmp_path / "out").stat().st_ino)
    assert len(inodes) == 2


def test_two_at_once_leave_one_whole_result(here: Path, child: Callable[..., Child]) -> None:
    code = (
        MAKING
        + """
os.chdir(sys.argv[1])
with output_directory.replacing(Path()) as fresh:
    write(fresh, sys.argv[2], "step/" + sys.argv[2])
    tell("ready")
    told()
"""
    )
    children = [child(code, here, content) for content in "12"]
    for one in children:
        assert one.told() == "ready"
    for one in children:
        one.tell("go on")
    assert [one.end() for one in children] == [0, 0]
    assert names(here) == NAMES
    assert len(contents(here)) == 1


def test_nothing_can_be_written_anywhere(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InfrastructureError, match="cannot write"):
        output_directory.refuse_foreign(tmp_path / "file" / "out")


def test_a_persons_own_files_stay_wherever_the_build_is_started(tmp_path: Path) -> None:
    out = tmp_path / "out"
    build(out, "1")
    own = out / "notes" / "mine.txt"
    own.parent.mkdir()
    own.write_text("mine")
    build(out, "2")
    assert own.read_text() == "mine"
    assert (out / "image").read_text() == "2"
    assert names(tmp_path) == ["out"]


# -- evidence beside a person's files --------------------------------------------------------------


def build_with_copies(out: Path, spec: bytes, meanwhile: Callable[[], object] = lambda: 0) -> None:
    """A build that leaves a copy of the spec, and sums that name it."""
    copies = {"sourcery.toml": spec}
    output_directory.refuse_foreign(out, copies)
    with output_directory.replacing(out) as fresh:
        write(fresh, "1", "a/b")
        (fresh / "sourcery.toml").write_bytes(spec)
        (fresh / "report.html").write_bytes(spec)
        digests = {name: digest.sha256_of_bytes(spec).hex for name in (*copies, "report.html")}
        (fresh / "SHA256SUMS").write_bytes(sums.dumps(digests))
        meanwhile()


def test_copies_of_an_earlier_build_are_replaced(here: Path) -> None:
    for spec in (b"1", b"2"):
        build_with_copies(here, spec)
        assert (here / "sourcery.toml").read_bytes() == spec
        assert (here / "report.html").read_bytes() == spec


@pytest.mark.parametrize("name", ["sourcery.toml", "sourcery.lock", "report.html", "junit.xml"])
def test_a_persons_file_of_such_a_name_is_never_replaced(here: Path, name: str) -> None:
    build(here, "1")
    (here / name).write_bytes(b"mine")
    with pytest.raises(InputError, match="no build made this file") as caught:
        build_with_copies(here, b"2")
    assert caught.value.subject == str(here / name)
    assert (here / name).read_bytes() == b"mine"
    assert contents(here) == {"1"}


def test_a_copy_that_a_person_changed_is_never_replaced(here: Path) -> None:
    build_with_copies(here, b"1")
    (here / "sourcery.toml").write_bytes(b"changed")
    with pytest.raises(InputError, match="no build made this file"):
        build_with_copies(here, b"2")
    # Unless it is what the build reads; then it stays the file that it is.
    inode = (here / "sourcery.toml").stat().st_ino
    build_with_copies(here, b"changed")
    assert (here / "sourcery.toml").stat().st_ino == inode


def test_a_spec_that_is_changed_during_a_build_stays_changed(here: Path) -> None:
    build_with_copies(here, b"1")
    (here / "sourcery.toml").write_bytes(b"2")

    def change() -> None:
        (here / "sourcery.toml").write_bytes(b"3")

    with pytest.raises(InputError, match="no build made this file"):
        build_with_copies(here, b"2", change)
    assert (here / "sourcery.toml").read_bytes() == b"3"

"""Inputs of the second root: what is pinned, what is fetched when, one tree of all packages."""

from __future__ import annotations

import io
import lzma
import tarfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.cli.main import run
from orchestrator.inputs import bundle, ensure, resolve, second_root
from orchestrator.lock import differences, logged
from orchestrator.lock import file as locks
from orchestrator.lock.file import GCC, Absent, Recorded, SecondRoot
from orchestrator.lock.model import RootPackage
from orchestrator.spec import model as specs
from orchestrator.store import Store
from reproducibility import canonical
from reproducibility import digest as digests
from reproducibility.errors import InfrastructureError, InputError
from tests.unit.orchestrator.inputs.world import SPEC, done, h1, module_zip

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from containers.host.process import Completed
    from orchestrator.lock.file import Lock
    from orchestrator.spec.model import Spec
    from tests.unit.orchestrator.inputs.world import World

TABLE = """
[root.gcc]
packages = ["gccgo-14"]
versions = ["1.21.13", "1.22.10", "1.24.11"]
"""
VERSIONS = ("1.21.13", "1.22.10", "1.24.11")
TOOLCHAIN = "golang.org/toolchain"


def package(files: Mapping[str, bytes], links: Mapping[str, str] | None = None) -> bytes:
    """A Debian package with links; one to a path with `=` in front is a hard one."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(f"./{name}")
            member.type = tarfile.LNKTYPE if target.startswith("=") else tarfile.SYMTYPE
            member.linkname = target.replace("=", "./")
            tar.addfile(member)
    out = b"!<arch>\n"
    for name, content in (
        ("debian-binary", b"2.0\n"),
        ("data.tar.xz", lzma.compress(data.getvalue())),
    ):
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode()
        out += content + b"\n" * (len(content) % 2)
    return out


PACKAGES = {
    "gccgo-14": package(
        {"usr/share/doc/gccgo-14/copyright": b"GPL", "usr/bin/x86_64-linux-gnu-go-14": b"go"},
        {
            "usr/bin/go-14": "x86_64-linux-gnu-go-14",
            "usr/bin/hard": "=usr/bin/x86_64-linux-gnu-go-14",
        },
    ),
    "libgo23": package(
        {"usr/lib/x86_64-linux-gnu/libgo.so.23.0.0": b"libgo", "usr/include/go.h": b"h"},
        {
            "usr/lib/x86_64-linux-gnu/libgo.so.23": "libgo.so.23.0.0",
            "usr/lib/gcc/14/libgo.so": "../../x86_64-linux-gnu/libgo.so.23",
            "usr/lib64/ld.so": "/lib/x86_64-linux-gnu/libgo.so.23",
            "usr/lib/nowhere": "../../../../etc/passwd",
            "usr/lib/self": "self",
            "usr/lib/folder": "x86_64-linux-gnu",
        },
    ),
}


class Debian:
    """Answers of apt that know several packages."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.packages = dict(PACKAGES)
        for name in self.packages:
            self.publish(name)
        world.failing = self

    def publish(self, name: str) -> None:
        self.world.packages[f"pool/{name}.deb"] = self.packages[name]

    def __call__(self, command: Sequence[str]) -> Completed | None:
        if "--simulate" in command:
            if "gccgo-14" not in self.packages:
                return done("", 100, "E: Unable to locate package gccgo-14\n")
            return done("".join(f"Inst {name} (14.2.0-19 Debian)\n" for name in self.packages))
        if Path(command[0]).name == "apt-cache" and set(self.packages) <= set(command):
            return done("\n".join(map(self.stanza, self.packages)))
        return None

    def stanza(self, name: str) -> str:
        content = self.packages[name]
        return (
            f"Package: {name}\nVersion: 14.2.0-19\nFilename: pool/{name}.deb\n"
            f"SHA256: {digests.sha256_of_bytes(content).hex}\n"
        )


@pytest.fixture(name="debian")
def _debian(world: World) -> Debian:
    for version in VERSIONS:
        name = f"v0.0.1-go{version}.linux-amd64"
        files = {"bin/go": version.encode(), "pkg/tool/linux_amd64/link": b"", "src/_go.mod": b"m"}
        world.modules[TOOLCHAIN, name] = module_zip(TOOLCHAIN, name, files)
        world.log.add(TOOLCHAIN, name, h1(world.modules[TOOLCHAIN, name]))
    return Debian(world)


@pytest.fixture(name="wanted")
def _wanted(spec: Spec) -> Spec:
    return specs.parse(SPEC + TABLE, spec.folder / "sourcery.toml")


def make(
    world: World, spec: Spec, store: Store, previous: Lock | None = None, update: str | None = None
) -> Lock:
    return resolve.lock(spec, previous, store, update=update, clients=world.clients())


def pinned(lock: Lock) -> SecondRoot:
    found = lock.roots[GCC]["amd64"]
    assert isinstance(found, SecondRoot)
    return found


@pytest.mark.usefixtures("debian")
def test_everything_that_the_packages_need_is_pinned(
    world: World, wanted: Spec, store: Store
) -> None:
    lock = make(world, wanted, store)
    found = pinned(lock)
    assert [one.label for one in found.packages] == ["gccgo-14 14.2.0-19", "libgo23 14.2.0-19"]
    assert [one.name for one in found.releases] == [f"go{version}" for version in VERSIONS]
    assert all(isinstance(one.log, Recorded) for one in found.releases)
    assert locks.parse(locks.dump(lock)) == lock
    lock.check_fits(wanted)
    assert list(logged.failures(lock)) == []
    world.asked.clear()
    assert locks.dump(make(world, wanted, store, lock)) == locks.dump(lock)
    assert world.asked == []


@pytest.mark.usefixtures("debian")
def test_a_build_s_lock_is_the_same_without_it(
    world: World, spec: Spec, wanted: Spec, store: Store
) -> None:
    without = make(world, spec, store)
    assert b'"roots"' not in locks.dump(without)
    assert without.checksum == without.digest
    lock = make(world, wanted, store, without)
    assert lock.digest == without.digest
    assert lock.checksum != lock.digest
    with pytest.raises(InputError, match=r"does not fit the spec\n  root.gcc: the spec says gccgo"):
        without.check_fits(wanted)
    again = make(world, spec, store, lock)
    assert again == without
    assert differences.moved(lock, again) == ["root.gcc for amd64: gone"]


@pytest.mark.usefixtures("debian")
def test_a_build_neither_fetches_nor_needs_it(world: World, wanted: Spec, store: Store) -> None:
    lock = make(world, wanted, store)
    world.asked.clear()
    with closing(Store(store.root.parent / "new")) as new:
        ensure(lock, new, folder=wanted.folder, clients=world.clients())
        asked = [word for command in world.asked for word in command]
        assert not any("gccgo" in word or "1.21.13" in word for word in asked)
        found = pinned(lock)
        assert not any(new.has(one.blake3) for one in found.packages)
        root = second_root.bring(found, lock, wanted.folder, new, world.clients())
        assert root.compiler.digest == found.tree
        assert [version for version, _ in root.releases] == list(VERSIONS)
        assert root.releases[0][1].get("src/go.mod") is not None
        world.asked.clear()
        offline = world.clients(offline=True)
        assert second_root.bring(found, lock, wanted.folder, new, offline) == root
        assert world.asked == []


@pytest.mark.usefixtures("debian")
def test_without_a_network_it_says_what_is_missing(
    world: World, wanted: Spec, store: Store
) -> None:
    lock = make(world, wanted, store)
    with closing(Store(store.root.parent / "new")) as new:
        offline = world.clients(offline=True)
        with pytest.raises(InfrastructureError, match=r"go1\.21\.13"):
            second_root.bring(pinned(lock), lock, wanted.folder, new, offline)


@pytest.mark.usefixtures("debian")
def test_packages_become_one_tree_without_links(world: World, wanted: Spec, store: Store) -> None:
    tree = second_root.compiler(pinned(make(world, wanted, store)).packages, store)
    go, libgo = digests.of_bytes(b"go").hex, digests.of_bytes(b"libgo").hex
    assert {entry.path: entry.digest for entry in tree} == {
        "bootstrap/bin/go": go,
        "bin/go-14": go,
        "bin/hard": go,
        "bin/x86_64-linux-gnu-go-14": go,
        "usr/bin/go-14": go,
        "usr/bin/hard": go,
        "usr/bin/x86_64-linux-gnu-go-14": go,
        "lib/gcc/14/libgo.so": libgo,
        "lib/x86_64-linux-gnu/libgo.so.23": libgo,
        "lib/x86_64-linux-gnu/libgo.so.23.0.0": libgo,
        "lib64/ld.so": libgo,
        "usr/lib/gcc/14/libgo.so": libgo,
        "usr/lib/x86_64-linux-gnu/libgo.so.23": libgo,
        "usr/lib/x86_64-linux-gnu/libgo.so.23.0.0": libgo,
        "usr/lib64/ld.so": libgo,
    }


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "0 go commands"),
        ({"usr/bin/go-13": b"x", "usr/bin/go-14": b"y"}, "2 go commands"),
        ({"usr/lib/x86_64-linux-gnu/libgo.so.23.0.0": b"other"}, "with different content"),
    ],
)
def test_packages_that_are_no_compiler(
    debian: Debian, wanted: Spec, store: Store, files: dict[str, bytes], words: str
) -> None:
    debian.packages["gccgo-14"] = package(files)
    debian.publish("gccgo-14")
    with pytest.raises(InputError, match=words):
        make(debian.world, wanted, store)


_PATHS = st.lists(
    st.sampled_from(["usr", "bin", "lib", "..", ".", "a", "b"]), min_size=1, max_size=4
).map("/".join)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(_PATHS, max_size=3),
    st.dictionaries(
        _PATHS, st.sampled_from(["", "/", "="]).flatmap(lambda s: _PATHS.map(s.__add__))
    ),
)
def test_links_may_lead_anywhere(store: Store, names: list[str], links: dict[str, str]) -> None:
    content = package({"usr/bin/go-14": b"go", **dict.fromkeys(names, b"x")}, links)
    made = RootPackage(
        package="gccgo-14",
        version="1",
        suite="trixie",
        where="pool/x.deb",
        size=len(content),
        sha256=digests.sha256_of_bytes(content),
        blake3=store.put_bytes(content),
    )
    try:
        tree = second_root.compiler([made], store)
    except InputError:
        return
    contents = {digests.of_bytes(data).hex for data in (b"go", b"x")}
    assert {entry.digest for entry in tree} <= contents
    assert not any(part in {"..", "."} for entry in tree for part in entry.path.split("/"))


def test_a_damaged_package_is_refused(debian: Debian, wanted: Spec, store: Store) -> None:
    debian.packages["libgo23"] = PACKAGES["libgo23"][:-200]
    debian.publish("libgo23")
    with pytest.raises(InputError, match=r"libgo23 14\.2\.0-19 is not a whole Debian package"):
        make(debian.world, wanted, store)


def test_what_is_fetched_must_be_what_is_pinned(debian: Debian, wanted: Spec, store: Store) -> None:
    lock = make(debian.world, wanted, store)
    debian.packages["libgo23"] = package({"usr/lib/other": b"other"})
    debian.publish("libgo23")
    with closing(Store(store.root.parent / "new")) as new:
        with pytest.raises(InputError, match=r"libgo23 14\.2\.0-19 is not what was promised"):
            second_root.bring(pinned(lock), lock, wanted.folder, new, debian.world.clients())
        assert not new.has(pinned(lock).tree)


def test_a_root_that_is_not_published_here_is_said_to_be_absent(
    debian: Debian, wanted: Spec, store: Store
) -> None:
    del debian.world.modules[TOOLCHAIN, "v0.0.1-go1.24.11.linux-amd64"]
    lock = make(debian.world, wanted, store)
    entry = lock.roots[GCC]["amd64"]
    assert isinstance(entry, Absent)
    assert "go1.24.11" in entry.reason
    assert locks.parse(locks.dump(lock)) == lock
    lock.check_fits(wanted)
    with pytest.raises(InputError, match=r"does not pin GCC's Go for amd64: there is no go1\.24"):
        second_root.required("gcc", lock, "amd64")


def test_an_update_shows_what_moved(debian: Debian, wanted: Spec, store: Store) -> None:
    before = make(debian.world, wanted, store)
    assert differences.moved(None, before)[-1].startswith(
        "root.gcc for amd64: new, 2 packages, 3 Go releases, blake3:"
    )
    debian.packages["libmpc3"] = package({"usr/lib/libmpc.so.3": b"mpc"})
    debian.packages["libgo23"] = package({"usr/lib/libgo.so.23": b"newer"})
    for name in ("libmpc3", "libgo23"):
        debian.publish(name)
    assert make(debian.world, wanted, store, before) == before
    after = make(debian.world, wanted, store, before, update="root.gcc")
    told = differences.moved(before, after)
    old = pinned(before).packages[1].blake3
    assert [line.rpartition(" blake3:")[0] for line in told] == [
        f"root.gcc for amd64: libgo23: 14.2.0-19, {old} -> 14.2.0-19,",
        "root.gcc for amd64: libmpc3 14.2.0-19: new,",
    ]


def test_a_package_that_the_suite_has_not(debian: Debian, wanted: Spec, store: Store) -> None:
    del debian.packages["gccgo-14"]
    entry = make(debian.world, wanted, store).roots[GCC]["amd64"]
    assert isinstance(entry, Absent)
    assert "Unable to locate package gccgo-14" in entry.reason


# -- bundles ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("debian")
def test_a_bundle_carries_it_where_it_was_asked_for(
    world: World, wanted: Spec, store: Store, tmp_path: Path
) -> None:
    lock = make(world, wanted, store)
    found = pinned(lock)
    ensure(lock, store, folder=wanted.folder, artifacts=True, clients=world.clients())
    second_root.bring(found, lock, wanted.folder, store, world.clients(), artifacts=True)
    with_root, without = tmp_path / "with", tmp_path / "without"
    bundle.write(lock, store, with_root, "amd64", root=found)
    bundle.write(lock, store, without, "amd64")
    world.asked.clear()
    with closing(Store(tmp_path / "new")) as new:
        bundle.read(without, lock, new, "amd64")
        assert not new.has(found.packages[0].blake3)
        bundle.read(with_root, lock, new, "amd64")
        offline = world.clients(offline=True)
        second_root.bring(found, lock, wanted.folder, new, offline)
    assert not any("download" in word for command in world.asked for word in command)
    other = lock.model_copy(update={"roots": {}})
    with (
        closing(Store(tmp_path / "other")) as new,
        pytest.raises(InputError, match="another second root"),
    ):
        bundle.read(with_root, other, new, "amd64")


# -- the lock's parts agree ------------------------------------------------------------------------


def sealed(document: dict[str, object]) -> bytes:
    document.pop("checksum", None)
    checksum = digests.of_bytes(canonical.dumps(document))
    return canonical.pretty({"checksum": str(checksum), **document})


# A lock that does not; made once.
_MADE: list[bytes] = []
BAD: list[tuple[str, Callable[..., object], str]] = [
    ("not asked for", lambda d, _: d["wanted"].pop("root.gcc"), "not asked for"),
    ("asked for", lambda d, _: d.pop("roots"), "the other way round"),
    ("for no host", lambda d, _: d["roots"]["gcc"].clear(), "the other way round"),
    ("of nothing", lambda d, _: d["roots"].clear(), "the other way round"),
    ("another name", lambda d, _: d["roots"].update(clang={}), "malformed at roots"),
    ("a package less", lambda _, r: r["packages"].pop(0), "lacks the package gccgo-14"),
    ("no package", lambda _, r: r["packages"].clear(), "malformed at roots"),
    ("a package twice", lambda _, r: r["packages"].append(r["packages"][0]), "not sorted"),
    ("disorder", lambda _, r: r["packages"].reverse(), "not sorted"),
    ("a release less", lambda _, r: r["releases"].pop(), "are not those of 1.21.13 1.22.10"),
    ("other release", lambda _, r: r["releases"][0].update(version="v1"), "are not those of"),
    ("for another host", lambda _, r: r["releases"][0].update(host="arm64"), "are not those of"),
    ("without the log", lambda _, r: r["releases"][0].update(log=None), "says nothing of the log"),
    ("other place", lambda _, r: r["packages"][0].update(where="/x"), "malformed at roots"),
]


@pytest.mark.parametrize(("change", "words"), [case[1:] for case in BAD], ids=[c[0] for c in BAD])
def test_a_lock_that_contradicts_itself_is_refused(
    request: pytest.FixtureRequest, change: Callable[..., object], words: str
) -> None:
    if not _MADE:
        request.getfixturevalue("debian")
        world, wanted, store = map(request.getfixturevalue, ("world", "wanted", "store"))
        _MADE.append(locks.dump(make(world, wanted, store)))
    document = canonical.loads(_MADE[0], subject="lock")
    assert isinstance(document, dict)
    change(document, document["roots"]["gcc"]["amd64"])
    with pytest.raises(InputError, match=words):
        locks.parse(sealed(document))


@pytest.mark.usefixtures("debian")
def test_a_false_record_of_the_log_is_seen(world: World, wanted: Spec, store: Store) -> None:
    lock = make(world, wanted, store)
    found = pinned(lock)
    release = found.releases[1]
    other = release.model_copy(update={"h1": found.releases[0].h1})
    root = found.model_copy(update={"releases": (found.releases[0], other, found.releases[2])})
    forged = lock.model_copy(update={"roots": {GCC: {"amd64": root}}})
    (check,) = logged.failures(forged)
    assert str(check.code) == "transparency-log.other-hash"


# -- command line ----------------------------------------------------------------------------------


def test_fetch_says_which_roots_there_are(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    project = Path(__file__).parents[4]
    files = [f"--spec={project / 'sourcery.toml'}", f"--lock={project / 'sourcery.lock'}"]
    status = run(["fetch", "--root", "clang", f"--store={tmp_path}", *files])
    assert status == 2
    assert "there is no root 'clang'" in capsys.readouterr().err

"""Inputs of the second root: what is pinned, what is fetched when, one tree of all packages."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.cli.main import run
from orchestrator.inputs import bundle, bundle_header, ensure, second_root
from orchestrator.lock import differences, logged
from orchestrator.lock import file as locks
from orchestrator.lock.file import GCC, Absent, Recorded
from orchestrator.lock.model import RootPackage
from orchestrator.store import Store
from reproducibility import canonical
from reproducibility import digest as digests
from reproducibility.errors import InfrastructureError, InputError
from tests.unit.orchestrator.inputs.second_root_world import (
    PACKAGES,
    VERSIONS,
    elsewhere_only,
    make,
    package,
    pinned,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.spec.model import Spec
    from tests.unit.orchestrator.inputs.second_root_world import Debian
    from tests.unit.orchestrator.inputs.world import World


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
    # A build can do without; what needs it says so.
    without.check_fits(wanted)
    with pytest.raises(InputError, match=r"does not fit the spec\n  root.gcc: the spec says gccgo"):
        second_root.required("gcc", without, wanted, "amd64")
    with pytest.raises(InputError, match="does not say where GCC's Go comes from"):
        second_root.required("gcc", lock, spec, "amd64")
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


@pytest.mark.usefixtures("debian")
def test_links_through_linked_folders_are_followed(
    world: World, wanted: Spec, store: Store, debian: Debian
) -> None:
    debian.packages["gccgo-14"] = package(
        {"usr/bin/go-14": b"go", "usr/lib/a/real/f": b"f", "usr/lib/a/h": b"h"},
        {
            "usr/lib/d": "a/real",
            "usr/lib/g": "d/f",
            "usr/lib/up": "d/../h",
            "usr/lib/absolute": "/lib/d/../../d/f",
            "usr/lib/round": "round/x",
            "usr/lib/beyond": "g/x",
            "usr/lib/folder": "d",
        },
    )
    debian.publish("gccgo-14")
    tree = second_root.compiler(pinned(make(world, wanted, store)).packages, store)
    made = {
        entry.path.removeprefix("usr/lib/"): store.read(entry.content)
        for entry in tree
        if entry.path.startswith("usr/lib/") and "linux-gnu" not in entry.path
    }
    libgo = {"gcc/14/libgo.so": b"libgo"}
    assert made == {
        "a/real/f": b"f", "a/h": b"h", "g": b"f", "up": b"h", "absolute": b"f", **libgo,
    }  # fmt: skip


@pytest.mark.usefixtures("debian")
def test_what_is_locked_is_kept(world: World, wanted: Spec, store: Store) -> None:
    found = pinned(make(world, wanted, store))
    # A clean-up does not wait for the first audit.
    record = store.recall("inputs", found.tree)
    assert record is not None
    assert record["digests"] == sorted(map(str, found.digests))
    store.collect(unused_since=0)
    assert all(store.has(one) for one in found.digests)


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
    elsewhere_only(debian.world, "1.24.11")
    lock = make(debian.world, wanted, store)
    entry = lock.roots[GCC]["amd64"]
    assert isinstance(entry, Absent)
    assert "go1.24.11" in entry.reason
    assert locks.parse(locks.dump(lock)) == lock
    lock.check_fits(wanted)
    with pytest.raises(InputError, match=r"does not pin GCC's Go for amd64: there is no go1\.24"):
        second_root.required("gcc", lock, wanted, "amd64")
    with pytest.raises(InputError, match=r"GCC's Go for arm64, only for amd64; `orchestrate lock"):
        second_root.required("gcc", lock, wanted, "arm64")


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
    after = make(debian.world, wanted, store, before, update={"root.gcc"})
    told = differences.moved(before, after)
    old = pinned(before).packages[1].blake3
    assert [line.rpartition(" blake3:")[0] for line in told] == [
        f"root.gcc for amd64: libgo23: 14.2.0-19, {old} -> 14.2.0-19,",
        "root.gcc for amd64: libmpc3 14.2.0-19: new,",
    ]


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
    for path in (with_root, without):
        with path.open("rb") as stream:
            assert bundle_header.is_bundle(stream)


@pytest.mark.usefixtures("debian")
def test_a_bundle_with_another_root_serves_a_build(
    world: World, wanted: Spec, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = make(world, wanted, store)
    found, path = pinned(lock), tmp_path / "inputs.tar.zst"
    ensure(lock, store, folder=wanted.folder, artifacts=True, clients=world.clients())
    second_root.bring(found, lock, wanted.folder, store, world.clients(), artifacts=True)
    bundle.write(lock, store, path, "amd64", root=found)
    offline = world.clients(offline=True)
    moved = [
        found.model_copy(update={"tree": found.packages[0].blake3}),
        found.model_copy(update={"releases": found.releases[1:]}),
    ]
    others = [lock.model_copy(update={"roots": {GCC: {"amd64": newer}}}) for newer in moved]
    for number, other in enumerate(others):
        with closing(Store(tmp_path / f"new-{number}")) as new:
            bundle.read(path, other, new, "amd64")
            ensure(other, new, folder=wanted.folder, clients=offline)
            assert not any(new.has(one) for one in found.digests)
    # What is passed over has a bound.
    monkeypatch.setattr(bundle, "LARGEST", found.packages[0].size)
    with (
        closing(Store(tmp_path / "full")) as new,
        pytest.raises(InputError, match="something that the lock does not pin"),
    ):
        bundle.read(path, others[0], new, "amd64")


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
    for name in ("clang", ""):
        status = run(["fetch", "--root", name, f"--store={tmp_path}", *files])
        assert status == 2
        assert f"there is no root '{name}'" in capsys.readouterr().err

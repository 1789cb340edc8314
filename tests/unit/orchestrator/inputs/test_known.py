"""What need not be downloaded again: only what today's index or log names, its bytes proved."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator import program
from orchestrator.inputs import resolve
from orchestrator.inputs.debian_package import DebianTransport, PoolRequest
from orchestrator.inputs.known import Held, Known
from orchestrator.lock import file as locks
from orchestrator.lock import parts
from orchestrator.lock.file import GCC, GoModule, LocalPath, SecondRoot
from orchestrator.spec import model as specs
from orchestrator.store import Store
from reproducibility import canonical, manifest
from reproducibility import digest as digests
from reproducibility.digest import Digest
from reproducibility.errors import ComparisonError, InfrastructureError, InputError
from reproducibility.manifest import Tree
from tests.unit.orchestrator.inputs import second_root_world, test_resolve
from tests.unit.orchestrator.inputs.world import (
    POOL,
    SPEC,
    TOOLCHAIN,
    TOOLS,
    deb,
    done,
    h1,
    module_zip,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from containers.host.process import Completed
    from orchestrator.lock.file import Lock
    from orchestrator.spec.model import Spec
    from tests.unit.orchestrator.inputs.second_root_world import Debian
    from tests.unit.orchestrator.inputs.world import World

GO, MODULE = "@".join(TOOLCHAIN), "@".join(TOOLS)
REPLACING = SPEC.replace(
    'commands = ["cmd/*"]', 'commands = ["cmd/*"]\nreplace = ["x.org/y@v1.2.0"]'
)


@dataclass
class Nights:
    """Locks of one project, everything looked up anew, each by a process of its own."""

    world: World
    spec: Spec
    folder: Path

    def lock(self, previous: Lock | None = None, store: str = "store") -> Lock:
        """Lock; `world.asked` is what was asked for this lock alone."""
        self.world.asked.clear()
        every = {*parts.names(parts.wanted(self.spec))} if previous is not None else frozenset()
        with closing(Store(self.folder / store)) as opened:
            return resolve.lock(
                self.spec, previous, opened, update=every, clients=self.world.clients()
            )

    def downloaded(self, previous: Lock | None) -> tuple[bytes, list[str]]:
        """The next lock, and what was downloaded for it; as it is with nothing in the store."""
        found = locks.dump(self.lock(previous))
        downloads = self.world.downloads()
        number = len(list(self.folder.glob("fresh*")))
        assert found == locks.dump(self.lock(previous, f"fresh{number}"))
        return found, downloads

    def spoil(self, digest: Digest) -> None:
        """Change one bit of a blob."""
        (place,) = (self.folder / "store" / "blobs").rglob(digest.hex)
        data = bytearray(place.read_bytes())
        data[-1] ^= 1
        place.chmod(0o644)
        place.write_bytes(data)


@pytest.fixture
def nights(world: World, spec: Spec, tmp_path: Path) -> Nights:
    return Nights(world, spec, tmp_path)


@pytest.fixture
def second(nights: Nights, wanted: Spec, debian: Debian) -> Nights:
    """With a second root."""
    assert debian.world is nights.world
    nights.spec = wanted
    return nights


def edited(lock: Lock, change: Callable[[dict[str, Any]], None]) -> Lock:
    """A lock that somebody changed, checksum and all."""
    document = canonical.loads(locks.dump(lock))
    change(document)
    del document["checksum"]
    document["checksum"] = str(digests.of_bytes(canonical.dumps(document)))
    return locks.parse(canonical.pretty(document))


def named(document: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = (one for one in document["inputs"] if one["name"] == name)
    assert isinstance(found, dict)
    return found


def test_a_night_in_which_nothing_changed_downloads_what_nothing_signed_names(
    second: Nights,
) -> None:
    first = second.lock()
    assert len(second.world.downloads()) == 10
    found, downloads = second.downloaded(first)
    assert found == locks.dump(first)
    assert downloads == ["wheel"]
    # The index was read, and the log asked for each module, all the same.
    second.lock(first)
    asked = [command[-1] for command in second.world.asked]
    assert sum("update" in command for command in second.world.asked) == 1
    releases = [f"{TOOLCHAIN[0]}@v0.0.1-go{one}.linux-amd64" for one in second_root_world.VERSIONS]
    assert {GO, MODULE, *releases} <= {*asked}


def test_a_package_with_another_hash_in_the_index_is_downloaded(nights: Nights) -> None:
    first = nights.lock()
    test_resolve.new_package(nights.world)
    found, downloads = nights.downloaded(first)
    assert downloads == [POOL, "wheel"]
    assert locks.parse(found).find("uname", "amd64").blake3 == digests.of_bytes(
        nights.world.packages[POOL]
    )


def test_only_what_changed_of_a_second_root_is_downloaded(second: Nights, debian: Debian) -> None:
    first = second.lock()
    debian.packages["libgo23"] = second_root_world.package({"usr/lib/libgo.so.23": b"newer"})
    debian.publish("libgo23")
    found, downloads = second.downloaded(first)
    assert downloads == ["pool/libgo23.deb", "wheel"]
    root = locks.parse(found).roots[GCC]["amd64"]
    assert isinstance(root, SecondRoot)
    assert root.tree != second_root_world.pinned(first).tree


@pytest.mark.parametrize("name", ["uname", "tools", "go"])
def test_a_blob_that_is_damaged_is_downloaded_again(nights: Nights, name: str) -> None:
    first = nights.lock()
    pinned = first.find(name, "amd64")
    nights.spoil(pinned.blake3)
    found, downloads = nights.downloaded(first)
    place = {"uname": POOL, "tools": MODULE, "go": GO}[name]
    assert (found, downloads) == (locks.dump(first), sorted([place, "wheel"]))
    with closing(Store(nights.folder / "store")) as store:
        assert digests.of_file(store.blob(pinned.blake3)) == pinned.blake3
    assert nights.downloaded(first)[1] == ["wheel"]


def test_what_the_store_has_not_got_is_downloaded(nights: Nights) -> None:
    first = nights.lock()
    nights.lock(first, "another")
    assert nights.world.downloads() == sorted([GO, MODULE, POOL, "dependencies", "wheel"])


def test_a_lock_that_names_another_blob_is_not_believed(nights: Nights) -> None:
    """A blob that the store has, and that is whole, but no package of that SHA-256."""
    first = nights.lock()
    wheel = first.find("bootstrap", "amd64")

    def change(document: dict[str, Any]) -> None:
        named(document, "uname").update(blake3=str(wheel.blake3), tree=str(wheel.tree))

    found, downloads = nights.downloaded(edited(first, change))
    assert (found, downloads) == (locks.dump(first), sorted([POOL, "wheel"]))


@pytest.mark.parametrize("name", ["bootstrap", "go", "tools", "uname"])
def test_what_a_lock_alone_says_of_an_artifact_is_not_believed(nights: Nights, name: str) -> None:
    """Its tree is another one, which the store has too."""
    first = nights.lock()
    other = first.find("bootstrap" if name != "bootstrap" else "go", "amd64").tree
    spoiled = edited(first, lambda document: named(document, name).update(tree=str(other)))
    assert nights.downloaded(spoiled)[0] == locks.dump(first)


def test_what_a_lock_alone_says_of_dependencies_is_not_believed(nights: Nights) -> None:
    first = nights.lock()
    tools = first.find("tools")
    assert isinstance(tools, GoModule)
    spoiled = edited(first, lambda found: named(found, "tools").update(vendored=str(tools.tree)))
    found, downloads = nights.downloaded(spoiled)
    assert (found, downloads) == (locks.dump(first), ["dependencies", "wheel"])


def test_what_the_store_alone_says_is_not_believed(nights: Nights) -> None:
    first = nights.lock()
    folder = nights.folder / "store" / "results" / "unpacked"
    places = sorted(folder.rglob("*.json"))
    assert len(places) == 5
    with closing(Store(nights.folder / "store")) as store:
        for place in places:
            key = Digest("blake3", place.stem)
            document = store.recall("unpacked", key)
            assert document is not None
            wrong = str(first.find("uname", "amd64").tree)
            document["tree"] = wrong if document["tree"] != wrong else str(digests.of_bytes(b""))
            store.remember("unpacked", key, document)
    found, downloads = nights.downloaded(first)
    assert (found, downloads) == (locks.dump(first), ["dependencies", "wheel"])
    assert nights.downloaded(first)[1] == ["wheel"], "it was mended"


def test_another_build_of_the_program_unpacks_again(
    nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = nights.lock()
    monkeypatch.setattr(program, "running", lambda: digests.of_bytes(b"another build"))
    monkeypatch.setattr(
        "orchestrator.inputs.debian_package.DebianTransport.unpack", _nothing_but_a_program
    )
    uname = nights.lock(first).find("uname", "amd64")
    assert nights.world.downloads() == ["dependencies", "wheel"]
    assert uname.tree != first.find("uname", "amd64").tree


def _nothing_but_a_program(_: object, __: object, store: Store) -> Tree:
    """Another build's idea of what a package holds."""
    return Tree([manifest.file("bin/busybox", store.put_bytes(b"busybox"), 7)])


def test_a_tree_that_has_lost_a_file_is_unpacked_again(nights: Nights) -> None:
    first = nights.lock()
    with closing(Store(nights.folder / "store")) as store:
        tree = store.load_tree(first.find("uname", "amd64").tree)
        (entry,) = (one for one in tree.files() if one.path == "usr/bin/busybox")
        store.path(entry).unlink()
        nights.world.asked.clear()
        assert nights.downloaded(first) == (locks.dump(first), ["wheel"])
        assert store.holds(tree)


# -- the public log --------------------------------------------------------------------------------


def test_a_log_that_names_another_hash_than_the_store_has_is_found_out(nights: Nights) -> None:
    first = nights.lock()
    other = module_zip(*TOOLS, {"go.mod": b"module example.org/tools\n", "evil": b""})
    text = nights.world.log.records[MODULE]
    nights.world.log.records[MODULE] = text.replace(h1(nights.world.modules[TOOLS]), h1(other))
    nights.world.modules[TOOLS] = other
    with pytest.raises(ComparisonError, match=r"record of example\.org/tools@v1\.2\.3 has changed"):
        nights.lock(first)
    assert MODULE in nights.world.downloads()


def test_a_log_that_has_no_record_any_more_is_found_out(nights: Nights) -> None:
    first = nights.lock()
    del nights.world.log.records[GO]
    with pytest.raises((ComparisonError, InfrastructureError)):
        nights.lock(first)


@pytest.mark.parametrize(
    "settings",
    [
        {"GONOSUMDB": "example.org/*"},
        {"GOPRIVATE": "example.org/*"},
        {"GONOPROXY": "example.org/*"},
        {"GOSUMDB": "off"},
    ],
)
def test_modules_that_are_not_the_logs_business_are_downloaded(
    nights: Nights, settings: dict[str, str]
) -> None:
    """Nobody but whoever serves them says what they are."""
    first = nights.lock()
    nights.world.settings |= settings
    found, downloads = nights.downloaded(first)
    assert found == locks.dump(first)
    assert downloads == sorted([GO, MODULE, "dependencies", "wheel"])


def test_a_log_that_cannot_be_asked_ends_the_lock_as_a_download_would(nights: Nights) -> None:
    first = nights.lock()
    refused = done("", 1, f"go: {MODULE}: dial tcp: connection refused")
    nights.world.failing = lambda command: refused if MODULE in command else None
    with pytest.raises(InfrastructureError, match="connection refused"):
        nights.lock(first)


# -- dependencies ----------------------------------------------------------------------------------


def tidied(nights: Nights, *, chosen: bool) -> None:
    """Let the go command look for what the replacement needs; `chosen`: by its newest version."""
    refusal = done("", 1, "go: x.org/z: missing go.sum entry for module providing package x.org/z")

    def answer(command: Sequence[str]) -> Completed | None:
        words = list(command[1:])
        if words[:2] == ["mod", "vendor"] and not nights.world.count("mod", "tidy"):
            return refusal
        if words == ["list", "-mod=mod", "-m", "all"]:
            return done("example.org/tools\nx.org/z v1.0.0\n")
        if words == ["mod", "edit", "-json"]:
            version = "v1.0.1" if chosen else "v1.0.0"
            return done(f'{{"Require": [{{"Path": "x.org/z", "Version": "{version}"}}]}}')
        return None

    nights.spec = specs.parse(REPLACING, nights.spec.folder / "sourcery.toml")
    nights.world.failing = nights.world.offline = answer


@pytest.mark.parametrize("chosen", [False, True])
def test_versions_that_nobody_named_are_looked_up_each_time(nights: Nights, chosen: bool) -> None:
    tidied(nights, chosen=chosen)
    first = nights.lock()
    found, downloads = nights.downloaded(first)
    assert found == locks.dump(first)
    assert downloads.count("dependencies") == (2 if chosen else 0)


def test_other_replacements_are_vendored_anew(nights: Nights) -> None:
    first = nights.lock()
    nights.spec = specs.parse(REPLACING, nights.spec.folder / "sourcery.toml")
    assert "dependencies" in nights.downloaded(first)[1]


def test_a_local_source_is_vendored_once_for_the_same_files(nights: Nights) -> None:
    nights.spec = test_resolve.local(nights.spec)
    first = nights.lock()
    assert isinstance(first.find("tools"), LocalPath)
    assert nights.downloaded(first) == (locks.dump(first), ["wheel"])
    (nights.spec.folder / "own/cmd/ls/main.go").write_text("package main // changed\n")
    assert nights.downloaded(first)[1] == ["dependencies", "wheel"]


# -- what is served otherwise ----------------------------------------------------------------------


def test_other_bytes_of_a_wheel_are_pinned_and_so_told(nights: Nights) -> None:
    first = nights.lock()
    (name,) = nights.world.wheels
    nights.world.wheels[name] += b"another"
    second = nights.lock(first)
    wheel, before = (one.find("bootstrap", "amd64") for one in (second, first))
    assert wheel.version == before.version
    assert wheel.blake3 != before.blake3


def test_what_a_mirror_serves_otherwise_reaches_no_lock(nights: Nights) -> None:
    """Under an index that still names the same: what is used is what the index names."""
    first = nights.lock()
    nights.world.packages[POOL] = deb({"usr/bin/busybox": b"other bytes"})
    assert locks.dump(nights.lock(first)) == locks.dump(first)
    # Whoever has to download it is told.
    with pytest.raises(InputError, match="not what was promised"):
        nights.lock(first, "another")


def test_a_module_that_is_not_published_any_more_is_missed(nights: Nights) -> None:
    first = nights.lock()
    del nights.world.modules[TOOLS]
    with pytest.raises(InputError, match="there is no tools"):
        nights.lock(first)


def test_a_package_by_its_place_is_missed_when_it_is_gone(nights: Nights) -> None:
    """No index names it, so it is downloaded each time."""
    place = "pool/main/l/linux/linux-image-9_9_amd64.deb"
    content = deb({"boot/vmlinuz-9": b"kernel"})
    nights.world.packages[place] = content
    with closing(Store(nights.folder / "store")) as store:
        request = PoolRequest(
            "kernel.amd64", "linux-image-9", "9", "trixie", place, digests.sha256_of_bytes(content)
        )
        clients = nights.world.clients()
        pinned = DebianTransport(clients).resolve(request, store)
        known = Known(
            {pinned.sha256: pinned.blake3}, held={pinned.blake3: frozenset({Held(pinned.tree)})}
        )
        assert DebianTransport(clients, known=known).resolve(request, store) == pinned
        assert nights.world.downloads() == [place, place]
        del nights.world.packages[place]
        with pytest.raises(InputError, match="the mirror no longer has kernel"):
            DebianTransport(clients, known=known).resolve(request, store)

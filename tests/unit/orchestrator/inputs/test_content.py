"""What of a person's folder is content: the rules of module archives, and what a project makes."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

import pytest
import zstandard

from orchestrator.history.database import History
from orchestrator.history.header import FILE
from orchestrator.inputs import content
from orchestrator.inputs.content import Rules
from orchestrator.inputs.local_path import LocalTransport, PathRequest
from orchestrator.store import Store
from reproducibility.errors import InputError

CHECKOUT = Path(__file__).parents[4]
MODULE = Rules(module=True)


def write(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def paths(folder: Path, rules: Rules) -> set[str]:
    return set(content.of_folder(folder, rules).files)


@pytest.mark.parametrize("name", [".git", ".hg", ".svn", ".bzr", ".jj"])
@pytest.mark.parametrize("rules", [MODULE, Rules()], ids=["module", "files"])
def test_version_controls_own_data_is_no_content_at_any_depth(
    tmp_path: Path, name: str, rules: Rules
) -> None:
    write(tmp_path, "go.mod", f"{name}/HEAD", f"a/b/{name}/objects/x", "a/b/x.go", f"a/{name}x")
    assert paths(tmp_path, rules) == {"go.mod", "a/b/x.go", f"a/{name}x"}
    write(tmp_path, f"c/{name}")  # a file in a further work tree
    assert f"c/{name}" not in paths(tmp_path, rules)


def test_a_module_ends_where_another_begins(tmp_path: Path) -> None:
    write(tmp_path, "go.mod", "a/x.go", "a/tools/go.mod", "a/tools/x.go", "a/tools/b/x.go")
    (tmp_path / "odd/go.mod").mkdir(parents=True)
    write(tmp_path, "odd/x.go")
    assert paths(tmp_path, MODULE) == {"go.mod", "a/x.go", "odd/x.go"}
    # One that go.mod puts in the place of a published module counts, not one inside of that.
    write(tmp_path, "a/tools/b/go.mod")
    kept = paths(tmp_path, Rules(module=True, nested=("a/tools",)))
    assert kept == {"go.mod", "a/x.go", "odd/x.go", "a/tools/go.mod", "a/tools/x.go"}
    # A folder of files is no module.
    assert "a/tools/b/go.mod" in paths(tmp_path, Rules())


def test_the_modules_own_vendor_counts_and_no_other(tmp_path: Path) -> None:
    write(
        tmp_path,
        "go.mod",
        "vendor/modules.txt",
        "vendor/x/x.go",
        "a/vendor/y/y.go",
        "a/vendor/z.go",
    )
    own = {"go.mod", "vendor/modules.txt", "vendor/x/x.go", "a/vendor/z.go"}
    assert paths(tmp_path, MODULE) == own


def test_a_link_is_no_part_of_a_module_and_refused_elsewhere(tmp_path: Path) -> None:
    write(tmp_path, "go.mod", "testdata/x")
    (tmp_path / "testdata/link").symlink_to("x")
    (tmp_path / "testdata/folder").symlink_to(".")
    os.mkfifo(tmp_path / "testdata/pipe")
    found = content.of_folder(tmp_path, MODULE)
    assert set(found.files) == {"go.mod", "testdata/x"}
    assert found.omitted == [
        "testdata/folder (a link)",
        "testdata/link (a link)",
        "testdata/pipe (neither a file nor a folder)",
    ]
    with pytest.raises(InputError, match="neither a file nor a directory") as refused:
        content.of_folder(tmp_path, Rules())
    assert refused.value.subject.startswith("testdata/")
    assert "`exclude`" in refused.value.remedy
    assert paths(tmp_path, Rules(exclude=("testdata",))) == {"go.mod"}


@pytest.mark.parametrize(
    ("pattern", "gone"),
    [
        ("docs", {"docs/a.txt", "docs/b/a.txt", "src/docs/c.txt"}),
        ("docs/", {"docs/a.txt", "docs/b/a.txt", "src/docs/c.txt"}),
        ("./docs", {"docs/a.txt", "docs/b/a.txt", "src/docs/c.txt"}),
        ("docs/...", {"docs/a.txt", "docs/b/a.txt"}),
        ("docs/**", {"docs/a.txt", "docs/b/a.txt"}),
        ("docs/*", {"docs/a.txt", "docs/b/a.txt"}),
        ("docs/a.txt", {"docs/a.txt"}),
        ("a.*", {"docs/a.txt", "docs/b/a.txt"}),
        ("*/*.txt", {"docs/a.txt"}),
        ("*/docs", {"src/docs/c.txt"}),
        ("?.txt", {"docs/a.txt", "docs/b/a.txt", "src/docs/c.txt"}),
        ("DOCS", set()),
        ("doc", set()),
        ("s/docs", set()),
    ],
)
def test_what_the_person_leaves_out(tmp_path: Path, pattern: str, gone: set[str]) -> None:
    every = {"docs/a.txt", "docs/b/a.txt", "src/docs/c.txt", "src/x.go"}
    write(tmp_path, *every)
    for rules in (Rules(exclude=(pattern,)), Rules(module=True, exclude=("none", pattern))):
        assert paths(tmp_path, rules) == every - gone


def test_what_is_left_out_is_not_looked_at(tmp_path: Path) -> None:
    write(tmp_path, "go.mod", "bad/a:b")
    (tmp_path / "bad" / os.fsdecode(b"\xff")).write_text("")
    assert paths(tmp_path, Rules(module=True, exclude=("bad",))) == {"go.mod"}


@pytest.mark.parametrize("module", [True, False])
def test_what_the_project_makes_is_never_content(tmp_path: Path, *, module: bool) -> None:
    folder = tmp_path / "project"
    write(folder, "go.mod", "spec.toml", "the.lock", "keep/x.go")
    (folder / "out").mkdir()
    (folder / "out/x").write_text("made")
    own = frozenset(folder / name for name in ("spec.toml", "the.lock", "out"))
    assert paths(folder, Rules(module=module, own=own)) == {"go.mod", "keep/x.go"}
    # Stores and output folders of other runs are known by what lies in them.
    Store(folder / "deep/store").close()
    write(folder, "earlier/sourcery.img", ".sourcery-new-abc/out/sourcery.img")
    document = {"schema": 1, "verdict": "PASS", "image": {}}
    (folder / "earlier/result.json").write_text(json.dumps(document))
    found = content.of_folder(folder, Rules(module=module, own=own))
    assert set(found.files) == {"go.mod", "keep/x.go"}
    assert found.empty == [], "no folder is there because a build made it"
    write(folder, "mine/result.json", "mine/version")
    assert {"mine/result.json", "mine/version"} <= paths(folder, Rules(module=module, own=own))


@pytest.mark.parametrize("name", ["other.lock", "pins", ".other.lock.abc"])
def test_the_lock_of_another_spec_is_no_content_either(tmp_path: Path, name: str) -> None:
    write(tmp_path, "go.mod", "flake.lock")
    (tmp_path / name).write_bytes((CHECKOUT / "sourcery.lock").read_bytes())
    assert paths(tmp_path, MODULE) == paths(tmp_path, Rules()) == {"go.mod", "flake.lock"}


HEADER = {"schema": 1, "lock": "blake3:0", "host": "amd64"}


def bundled(name: str, text: bytes) -> bytes:
    """What a bundle of one member is, whatever the member."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        member = tarfile.TarInfo(name)
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text))
    return zstandard.compress(out.getvalue())


def test_a_bundle_is_no_content_by_whatever_name(tmp_path: Path) -> None:
    bundle = bundled("bundle.json", json.dumps(HEADER).encode())
    (tmp_path / "go.mod").write_text("")
    for name in ("inputs.tar.zst", "a/b"):
        write(tmp_path, name)
        (tmp_path / name).write_bytes(bundle)
    assert paths(tmp_path, MODULE) == paths(tmp_path, Rules()) == {"go.mod"}


@pytest.mark.parametrize(
    "data",
    [
        zstandard.compress(b""),
        zstandard.compress(b"text" * 1000),
        zstandard.compress(bytes(1024)),
        bundled("bundle.json", b"[]"),
        bundled("bundle.json", b"{"),
        bundled("bundle.json", json.dumps({**HEADER, "more": 1}).encode()),
        bundled("bundle.json", json.dumps({**HEADER, "lock": "x" * 5000}).encode()),
        bundled("other.json", json.dumps(HEADER).encode()),
        bundled("bundle.json", json.dumps(HEADER).encode())[:9],
        b"\x28\xb5\x2f\xfd",
        b"",
    ],
    ids=range(11),
)
def test_what_is_compressed_and_no_bundle_counts(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "data.zst").write_bytes(data)
    assert paths(tmp_path, Rules()) == {"data.zst"}


def test_empty_folders_count_among_files_only(tmp_path: Path) -> None:
    write(tmp_path, "go.mod")
    (tmp_path / "a/b").mkdir(parents=True)
    assert content.of_folder(tmp_path, Rules()).empty == ["a/b"]
    assert content.of_folder(tmp_path, MODULE).empty == []


@pytest.mark.parametrize(
    "name",
    ["a:b", "what?.txt", "it's", "a*", "a`b", "a|b", 'a"b', "a<b", "aux.go", "CON", "docs/lpt1.x",
     "end.", "Go.mod", "a/GO.MOD.", "smile\u263a.txt", "tab\tbed"],
)  # fmt: skip
def test_a_name_that_no_module_archive_holds_is_refused(tmp_path: Path, name: str) -> None:
    write(tmp_path, "go.mod" if name != "Go.mod" else "x", name)
    with pytest.raises(InputError, match="a module's archive cannot hold") as refused:
        content.of_folder(tmp_path, MODULE)
    assert refused.value.subject == name
    assert "`exclude`" in refused.value.remedy
    assert name in paths(tmp_path, Rules())


@pytest.mark.parametrize("name", ["a b.txt", "é.txt", "a+b~1.go", "auxiliary.go", "[x]", ".hidden"])
def test_a_name_that_one_holds_is_taken(tmp_path: Path, name: str) -> None:
    write(tmp_path, name)
    assert paths(tmp_path, MODULE) == {name}


def test_a_module_has_no_more_bytes_than_an_archive_may(tmp_path: Path) -> None:
    write(tmp_path, "go.mod")
    for name in ("big", "vendor/big"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        with (tmp_path / name).open("wb") as stream:
            stream.truncate((500 << 20) + 1)
    with pytest.raises(InputError, match="an archive of one at most 524288000") as refused:
        content.of_folder(tmp_path, MODULE)
    assert refused.value.subject == "the largest file is big"
    # What is vendored is no part of the archive.
    (tmp_path / "big").unlink()
    assert paths(tmp_path, MODULE) == {"go.mod", "vendor/big"}
    with (tmp_path / "LICENSE").open("wb") as stream:
        stream.truncate((16 << 20) + 1)
    with pytest.raises(InputError, match="LICENSE is larger"):
        content.of_folder(tmp_path, MODULE)


def test_the_lock_cannot_be_content_of_itself(tmp_path: Path) -> None:
    write(tmp_path, "the.lock", "other.txt")
    (tmp_path / "link").symlink_to("the.lock")
    local = LocalTransport(tmp_path, [tmp_path / "the.lock"])
    store = Store(tmp_path / "store")
    for name in ("the.lock", "link"):
        with pytest.raises(InputError, match="what this project makes itself"):
            local.resolve(PathRequest("/x", name, destination="/x"), store)
    assert local.resolve(PathRequest("/x", "other.txt", destination="/x"), store).single
    store.close()


@pytest.mark.parametrize("rules", [MODULE, Rules()], ids=["module", "files"])
def test_nights_are_no_content_from_the_first_one_on(tmp_path: Path, rules: Rules) -> None:
    write(tmp_path, "go.mod", "nightly/site/index.html", "other/history.sqlite", "other/x.go")
    with History.open(tmp_path / "nightly" / FILE):
        assert paths(tmp_path, rules) == {"go.mod", "other/history.sqlite", "other/x.go"}
    assert paths(tmp_path, rules) == {"go.mod", "other/history.sqlite", "other/x.go"}


def test_a_link_to_what_the_project_makes_is_its_own_too(tmp_path: Path) -> None:
    project = tmp_path / "project"
    write(project, "a.txt")
    write(tmp_path, "elsewhere/x")
    (project / "out").symlink_to(tmp_path / "elsewhere")
    store = Store(tmp_path / "store")
    local = LocalTransport(tmp_path, [project / "out"])
    pinned = local.resolve(PathRequest("/x", "project", destination="/x"), store)
    assert [entry.path for entry in store.load_tree(pinned.tree)] == ["a.txt"]
    local.fetch(pinned, store)
    store.close()


@pytest.mark.parametrize("name", ["a\x1b[2Jb", "a\x9bb", "a\u202etxt.exe", "a\u2028b", "a\nb"])
@pytest.mark.parametrize("where", ["files/x/", "files/", ""])
def test_a_name_that_steers_how_it_is_shown_is_the_persons_matter(
    tmp_path: Path, name: str, where: str
) -> None:
    write(tmp_path, "files/keep", f"{where}{name}")
    request = PathRequest("files", where.rstrip("/").partition("/")[0] or name)
    store = Store(tmp_path / "store")
    try:
        with pytest.raises(InputError) as refused:
            LocalTransport(tmp_path).resolve(request, store)
    finally:
        store.close()
    shown = name.encode("unicode_escape").decode()
    assert refused.value.status == 2
    assert shown in refused.value.subject
    assert "rename" in refused.value.remedy
    assert refused.value.diagnostics().replace("\n", "").isprintable()


def test_a_folder_with_such_a_name_can_be_left_out(tmp_path: Path) -> None:
    write(tmp_path, "files/keep", "files/a\u202eb/x")
    transport = LocalTransport(tmp_path)
    tree = transport.look("files", Rules(exclude=("a*b",)))
    assert [entry.path for entry in tree] == ["keep"]

"""Sources against the public log's records: a fault in a file, a tree or the lock is found.

Faults are planted in the store and the lock. What the record says is set here (its proofs have
tests of their own: `test_logged.py`).
"""

from __future__ import annotations

import os
import zipfile
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.golang.module_hash import ModuleHashes
from orchestrator.inputs import source_checks
from orchestrator.lock.file import GoModule, Lock
from orchestrator.lock.model import Recorded
from orchestrator.store import DamagedBlob, Store
from reproducibility import codes, digest, gomodule
from reproducibility.compare import Check, Verdict, complete
from tests.unit.orchestrator import samples

if TYPE_CHECKING:
    from pathlib import Path

    from reproducibility.compare import CheckKind
    from reproducibility.manifest import Tree

MODULE, VERSION = "example.com/tools", "v1.0.0"
SUBJECT = f"{MODULE}@{VERSION}"
FILES = {
    "go.mod": b"module example.com/tools\n",
    "cmds/ls/ls.go": b"package main\n",
    "lib/lib.go": b"package lib\n",
}
VENDORED = {
    **FILES,
    "vendor/modules.txt": b"# b v2\n",
    "vendor/b/b.go": b"package b\n",
}
# With what a spec's `replace` changes.
REPLACE = ("b@v2",)
REPLACED = {
    **VENDORED,
    "go.mod": b"module example.com/tools\n\nreplace b => b v2\n",
    "go.sum": b"b v2 h1:\n",
}
H1 = gomodule.h1(
    {f"{SUBJECT}/{path}": digest.sha256_of_bytes(data).hex for path, data in FILES.items()}
)
RECORDED = {"state": "recorded", "number": 1, "record": [], "tree_head": [], "proof": []}
BOTH = {(codes.LOG, SUBJECT), (codes.SOURCE, SUBJECT)}


@pytest.fixture(autouse=True)
def _record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Recorded, "h1", lambda *_: H1)


def kept(store: Store, files: dict[str, bytes]) -> Tree:
    """A tree that is in the store with all its files."""
    tree = samples.tree(files, store.put_bytes)
    store.save_tree(tree)
    return tree


def zipped(store: Store, place: Path, files: dict[str, bytes]) -> digest.Digest:
    with zipfile.ZipFile(place, "w") as archive:
        for path, data in files.items():
            archive.writestr(f"{SUBJECT}/{path}", data)
    return store.put_file(place)


def lock(**changes: Any) -> Lock:  # noqa: ANN401 - any field of the input
    nothing = digest.of_bytes(b"nowhere")
    pinned = {
        "name": "tools",
        "version": VERSION,
        "where": f"{MODULE}/@v/{VERSION}.zip",
        "size": 1,
        "blake3": str(nothing),
        "tree": str(nothing),
        "kind": "go-module",
        "module": MODULE,
        "h1": H1,
        "log": RECORDED,
    }
    return Lock.model_validate(
        {
            "schema": 1,
            "wanted": {"source.tools": SUBJECT},
            "toolchain": {"version": "1.27.3", "bin": ["go"], "tool": ["vet"], "log": {}},
            "inputs": [{**pinned, **changes}],
        }
    )


def checks(pinned: Lock, vendored: Tree, store: Store) -> dict[tuple[CheckKind, str], Check]:
    """All checks of the one source that are expected."""
    found = source_checks.checks(pinned, {"tools": vendored}, store, ModuleHashes(store))
    found = complete(found, source_checks.expected(pinned))
    return {(check.kind, check.subject): check for check in found}


def published(pinned: Lock, vendored: Tree, store: Store) -> Check:
    return checks(pinned, vendored, store)[codes.SOURCE, SUBJECT]


def test_a_source_is_the_published_one(store: Store) -> None:
    pinned = lock(tree=str(kept(store, FILES).digest))
    found = checks(pinned, kept(store, VENDORED), store)
    assert set(found) == BOTH
    assert {check.verdict for check in found.values()} == {Verdict.PASS}
    assert H1 in found[codes.SOURCE, SUBJECT].reason
    assert "not compared: vendor/, " in found[codes.SOURCE, SUBJECT].reason
    assert "go.mod" not in found[codes.SOURCE, SUBJECT].reason


def test_what_the_specs_replace_changes_is_not_compared_and_named(store: Store) -> None:
    pinned = lock(tree=str(kept(store, FILES).digest), replace=REPLACE)
    found = published(pinned, kept(store, REPLACED), store)
    assert found.verdict is Verdict.PASS
    not_compared = found.reason.partition("not compared: ")[2]
    for name in ("vendor/", "go.mod", "go.sum"):
        assert f"{name}, " in not_compared
    assert "replace (b@v2)" in not_compared
    other = kept(store, {**REPLACED, "lib/lib.go": b"package liB\n"})
    assert published(pinned, other, store).verdict is Verdict.FAIL


@pytest.mark.parametrize("name", ["go.mod", "go.sum"])
def test_without_a_replace_nothing_changes_what_the_module_requires(
    store: Store, name: str
) -> None:
    pinned = lock(tree=str(kept(store, FILES).digest))
    found = published(pinned, kept(store, {**VENDORED, name: REPLACED[name]}), store)
    assert found.verdict is Verdict.FAIL
    assert f"1 files on the stick are not the published ones: {name}" in found.reason


def test_the_zip_will_do_where_its_files_are_not_in_the_store(store: Store, tmp_path: Path) -> None:
    vendored = kept(store, VENDORED)
    archive = zipped(store, tmp_path / "a.zip", FILES)
    assert published(lock(blake3=str(archive)), vendored, store).verdict is Verdict.PASS
    changed = zipped(store, tmp_path / "b.zip", {**FILES, "lib/lib.go": b"package liB\n"})
    found = published(lock(blake3=str(changed)), vendored, store)
    assert found.verdict is Verdict.FAIL
    assert f"the log has {H1}" in found.reason


def test_with_neither_it_is_said(store: Store) -> None:
    found = published(lock(), kept(store, VENDORED), store)
    assert found.verdict is Verdict.SKIP
    assert "orchestrate fetch" in found.reason


@pytest.mark.parametrize(
    "files",
    [
        {**FILES, "lib/lib.go": b"package liB\n"},
        {**FILES, "lib/more.go": b"package lib\n"},
        {path: data for path, data in FILES.items() if path != "lib/lib.go"},
    ],
)
def test_a_lock_that_pins_other_files_under_the_recorded_hash_fails(
    store: Store, files: dict[str, bytes]
) -> None:
    pinned = lock(tree=str(kept(store, files).digest))
    found = checks(pinned, kept(store, VENDORED), store)
    assert found[codes.LOG, SUBJECT].verdict is Verdict.PASS
    assert found[codes.SOURCE, SUBJECT].verdict is Verdict.FAIL


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"cmds/ls/ls.go": b"package maiN\n"}, "cmds/ls/ls.go"),
        ({"cmds/ls/more.go": b"package main\n"}, "cmds/ls/more.go"),
        ({"lib/lib.go": None}, "lib/lib.go"),
        ({"vendor/b/b.go": b"package b // what vendoring made\n"}, ""),
        ({"go.mod": None}, "go.mod"),
    ],
)
def test_what_goes_on_the_stick_is_what_was_published(
    store: Store, change: dict[str, bytes | None], named: str
) -> None:
    content = {path: data for path, data in {**VENDORED, **change}.items() if data is not None}
    found = published(lock(tree=str(kept(store, FILES).digest)), kept(store, content), store)
    assert found.verdict is (Verdict.FAIL if named else Verdict.PASS)
    assert named in found.reason


def test_a_changed_byte_in_the_store_is_damage_and_healed(store: Store) -> None:
    tree, vendored = kept(store, FILES), kept(store, VENDORED)
    pinned = lock(tree=str(tree.digest))
    assert published(pinned, vendored, store).verdict is Verdict.PASS
    entry = tree.get("lib/lib.go")
    assert entry is not None
    before = (blob := store.path(entry)).stat()
    blob.chmod(0o644)
    blob.write_bytes(b"package liB\n")
    os.utime(blob, ns=(before.st_atime_ns, before.st_mtime_ns))
    with closing(Store(store.root)) as later, pytest.raises(DamagedBlob) as damaged:
        published(pinned, vendored, later)
    assert damaged.value.digest == entry.content


def test_without_a_record_it_is_skipped_with_the_reason(store: Store) -> None:
    pinned = lock(
        tree=str(kept(store, FILES).digest), log={"state": "absent", "reason": "GOPRIVATE"}
    )
    found = checks(pinned, kept(store, VENDORED), store)
    assert set(found) == {(codes.SOURCE, SUBJECT)}
    assert found[codes.SOURCE, SUBJECT].verdict is Verdict.SKIP
    assert "GOPRIVATE" in found[codes.SOURCE, SUBJECT].reason


@pytest.mark.parametrize("changes", [{"log": None}, {"h1": "h1:" + "A" * 43 + "="}])
def test_a_record_that_is_not_there_or_of_another_hash_fails_both(
    store: Store, changes: dict[str, Any]
) -> None:
    pinned = lock(tree=str(kept(store, FILES).digest), **changes)
    found = checks(pinned, kept(store, VENDORED), store)
    assert {key: check.verdict for key, check in found.items()} == dict.fromkeys(BOTH, Verdict.FAIL)


def test_only_modules_have_records(store: Store) -> None:
    pinned = lock()
    (module,) = pinned.inputs
    assert isinstance(module, GoModule)
    other = pinned.model_copy(update={"wanted": {}})
    assert source_checks.expected(other) == []
    assert checks(other, kept(store, VENDORED), store) == {}

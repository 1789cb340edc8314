"""What others make and say is kept like anything else, and never keeps gc from its work."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.store import records, upkeep
from reproducibility import digest, manifest
from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from orchestrator.store import Store

KEY = digest.of_bytes(b"an action")
_LIKE_A_TREE = manifest.MAGIC + b"PK\x03\x04 and no line of a manifest\n"
_EARLY = 0.0


def kept(store: Store) -> set[str]:
    return {path.name for path in (store.root / "blobs").rglob("*") if path.is_file()}


@pytest.mark.parametrize("field", ["stdout", "stderr", "digests", "table"])
@pytest.mark.parametrize(
    "content",
    [_LIKE_A_TREE, manifest.MAGIC + b"\xff", manifest.MAGIC[:-1]],
    ids=["lines", "bytes", "beginning"],
)
def test_what_only_begins_like_a_tree_is_kept_as_it_is(
    store: Store, field: str, content: bytes
) -> None:
    """A module's zip or what a step said: no tree, and whole."""
    found = store.put_bytes(content)
    gone = store.put_bytes(b"of no record")
    store.remember("action-a", KEY, {field: [str(found)] if field == "digests" else str(found)})
    assert store.collect(unused_since=_EARLY)[0] == 1
    assert kept(store) == {found.hex}
    assert not store.has(gone)


@pytest.mark.parametrize("field", ["outputs", "tree", "refers"])
def test_what_a_record_names_as_a_tree_and_is_none_stops_gc_with_the_record(
    store: Store, field: str
) -> None:
    """Removing the record, as the remedy says, is what helps: the blob itself is whole."""
    found = store.put_bytes(_LIKE_A_TREE)
    store.remember("action-a", KEY, {field: [str(found)] if field == "refers" else str(found)})
    with pytest.raises(InfrastructureError, match="not a tree manifest") as caught:
        store.collect(unused_since=_EARLY)
    assert kept(store) == {found.hex}
    record = store._result("action-a", KEY)
    assert caught.value.subject == str(record)
    assert "remove it" in caught.value.remedy
    record.unlink()
    assert store.collect(unused_since=_EARLY)[0] == 1


def test_a_tree_is_kept_whole_wherever_a_record_names_it(store: Store) -> None:
    content = store.put_bytes(b"1")
    tree = manifest.Tree([manifest.file("f", content, 1)])
    store.remember("inputs", KEY, {"digests": [str(store.save_tree(tree))]})
    store.collect(unused_since=_EARLY)
    assert store.holds(store.load_tree(tree.digest))


def test_no_more_is_read_of_a_blob_than_a_manifest_can_have(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "LARGEST", 100)
    found = store.put_bytes(manifest.MAGIC + bytes(1000))
    store.remember("action-a", KEY, {"stdout": str(found)})
    store.collect(unused_since=_EARLY)
    assert store.has(found)
    store.remember("action-a", KEY, {"outputs": str(found)})
    with pytest.raises(InfrastructureError, match="more than 100 bytes"):
        store.collect(unused_since=_EARLY)


@pytest.mark.parametrize(
    "said",
    [
        {"provenance": {"worker": "blake3:node7"}},
        {"provenance": {"engine": {"identity": "blake3:"}, "observed": "blake3:/../"}},
        {"commands": ["blake3:folder"]},
    ],
)
def test_a_text_of_others_that_begins_like_a_digest_is_a_text(
    store: Store, said: dict[str, Any]
) -> None:
    stdout = store.put_bytes(b"said")
    store.remember("action-a", KEY, {"stdout": str(stdout), **said})
    assert store.collect(unused_since=_EARLY)[0] == 0
    assert kept(store) == {stdout.hex}
    assert store.damaged_records() == []


def test_nothing_is_kept_for_what_a_worker_calls_itself(store: Store) -> None:
    """Nor does a blob that was moved aside stop gc because of that."""
    other = store.put_bytes(b"of no record")
    store.remember("action-a", KEY, {"provenance": {"worker": str(other)}})
    assert store.collect(unused_since=_EARLY)[0] == 1
    assert kept(store) == set()


def test_a_changed_seal_is_seen_whatever_the_texts_are(store: Store) -> None:
    store.remember("action-a", KEY, {"stdout": "blake3:node7"})
    place = store._result("action-a", KEY)
    place.write_bytes(place.read_bytes().replace(b"node7", b"node8"))
    os.utime(place)
    with pytest.raises(InfrastructureError, match="damaged"):
        store.collect(unused_since=_EARLY)
    assert store.damaged_records() == [place]


def test_references_of_a_record() -> None:
    tree, text = digest.of_bytes(b"tree"), digest.of_bytes(b"text")
    found = records.references(records.sealed({"outputs": str(tree), "stdout": str(text)}))
    assert found == records.References(frozenset({tree.hex, text.hex}), frozenset({tree.hex}))

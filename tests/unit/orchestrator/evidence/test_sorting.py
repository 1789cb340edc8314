from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from orchestrator.evidence import sorting
from tests.unit.orchestrator.evidence import samples

if TYPE_CHECKING:
    from orchestrator.store import Store


def test_each_file_belongs_to_the_component_that_brought_it(store: Store) -> None:
    found = sorting.sort(
        samples.result(),
        samples.root(store),
        samples.boot(store),
        lambda entry: store.read(entry.content),
    )
    assert dict(found.owners) == {path: owner for path, (_, owner) in samples.FILES.items()}
    assert set(found.owners.values()) <= found.components.keys()
    assert all(re.fullmatch(r"[A-Za-z0-9.-]+", name) for name in found.components)


def test_a_persons_files_belong_to_their_input(store: Store) -> None:
    inputs = samples.LOCK.model_dump(mode="json")["inputs"]
    local = {
        "kind": "local-path", "name": "notes", "version": "local", "where": "notes",
        "size": 1, "blake3": "blake3:" + "1" * 64, "tree": "blake3:" + "2" * 64,
    }  # fmt: skip
    inputs += [
        {**local, "destination": "/src/github.com/u-root/u-root/own"},
        {**local, "name": "all", "destination": "/"},
    ]
    files = {"src/github.com/u-root/u-root/own/a": b"a", "anywhere": b"b"}
    found = sorting.sort(
        samples.result(inputs=inputs), samples.tree(files, store), {}, lambda _: b""
    )
    assert list(found.owners.values()) == ["input-all", "input-notes"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("# a.b/c v1.2.3", [("a.b/c", "a.b/c", "v1.2.3")]),
        ("# a.b/c v1.2.3 => d.e/f v2.0.0", [("a.b/c", "d.e/f", "v2.0.0")]),
        ("# a.b/c v1.2.3 => ../local", [("a.b/c", "a.b/c", "v1.2.3")]),
        ("## explicit; go 1.13", []),
        ("a.b/c/package", []),
        ("#", []),
        ("", []),
    ],
)
def test_modules_are_read_as_the_go_command_writes_them(
    line: str, told: list[tuple[str, str, str]]
) -> None:
    assert list(sorting.vendored(line + "\n")) == told


def test_a_replaced_module_is_told_once() -> None:
    text = "# a.b/c v1 => d.e/f v2\na.b/c/d\n# a.b/c => d.e/f v2\n"
    assert list(sorting.vendored(text)) == [("a.b/c", "d.e/f", "v2")]

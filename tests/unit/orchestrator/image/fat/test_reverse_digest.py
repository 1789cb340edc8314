"""The image made again backwards: the writer's digest, the same refusals, a window of memory."""

from __future__ import annotations

import os
import tempfile
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.image import gather
from orchestrator.image.fat import reverse_digest, writer
from orchestrator.image.fat.reverse_digest import WINDOW
from orchestrator.image.fat.volume import Volume
from reproducibility import digest as digests
from reproducibility.errors import InfrastructureError
from tests.conftest import examples
from tests.unit.orchestrator.image.samples import (
    EPOCH,
    SMALL,
    VOLUME,
    Blobs,
    Content,
    contents,
    data,
    disk,
    listed,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.image.fat.disk import Disk
    from orchestrator.image.fat.layout import Layout
    from reproducibility.digest import Digest
    from reproducibility.manifest import Entry

LARGE = SMALL | {
    "large": data(2 * WINDOW + 17),
    "window": data(WINDOW, 2),
    "longer": data(WINDOW + 1, 3),
    "piece": data(gather.BUFFER, 4),
    "z": b"behind them",
}


def _written(made: Disk, blobs: Blobs, target: Path) -> Digest:
    writer.write(made, blobs.path, target)
    return digests.of_file(target)


@pytest.mark.parametrize("content", [{}, SMALL, LARGE], ids=["empty", "small", "large"])
def test_the_same_digest(blobs: Blobs, tmp_path: Path, content: Content) -> None:
    made = disk(blobs.tree(content))
    assert reverse_digest.digest(made, blobs.path) == _written(made, blobs, tmp_path / "image")


def test_free_space_counts(blobs: Blobs, tmp_path: Path) -> None:
    volume = Volume(1, "A", EPOCH, free_bytes=(100 << 20) + 4096)
    made = disk(blobs.tree(SMALL), volume)
    assert made.size % WINDOW, "the last window is not a whole one"
    assert reverse_digest.digest(made, blobs.path) == _written(made, blobs, tmp_path / "image")


@settings(deadline=None, max_examples=examples(40), suppress_health_check=[HealthCheck.too_slow])
@given(content=contents(), window=st.sampled_from([4096, 5000, 65_536, WINDOW]))
def test_any_tree_and_any_window(content: Content, window: int) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(reverse_digest, "WINDOW", window)
        blobs = Blobs(Path(folder, "blobs"))
        made = disk(blobs.tree(content))
        assert reverse_digest.digest(made, blobs.path) == _written(
            made, blobs, Path(folder, "image")
        )


def test_the_last_comes_first_and_no_file_is_opened_in_vain(blobs: Blobs) -> None:
    made = disk(blobs.tree(LARGE))
    seen: list[str] = []

    def blob(entry: Entry) -> Path:
        seen.append(entry.path)
        return blobs.path(entry)

    reverse_digest.digest(made, blob)
    assert "empty" not in seen
    by_window: dict[int, list[str]] = {}
    for placed in reversed(made.layout.files):
        extent = made.layout.extent(placed.entry.path)
        first, last = made.offset + extent.start, made.offset + extent.stop - 1
        for window in range(first // WINDOW, last // WINDOW + 1) if extent else ():
            by_window.setdefault(window, []).append(placed.entry.path)
    assert seen == [path for _, paths in sorted(by_window.items()) for path in paths]


def _moved(layout: Layout, path: str, by: int) -> Layout:
    """The layout with a file some clusters away from where the tables say."""
    return replace(
        layout,
        files=tuple(
            replace(placed, cluster=placed.cluster + by) if placed.entry.path == path else placed
            for placed in layout.files
        ),
    )


def _swapped(layout: Layout) -> Layout:
    one, *rest, two = layout.files
    return replace(layout, files=(two, *rest, one))


def _one_table_short(layout: Layout) -> Layout:
    return replace(layout, fat=layout.fat[:-4] + b"\0\0\0\0")


# The layout is what both ways share. What only one of them would get wrong: places that do not
# follow one another, files that lie over each other, files that lie over tables.
DEFECTS: dict[str, Callable[[Layout], Layout]] = {
    "a gap": lambda layout: _moved(layout, "linux_amd64/bin/installcommand", 3),
    "an overlap": lambda layout: _moved(layout, "go/src/größe.go", -1),
    "over a folder": lambda layout: _moved(layout, "README", -3),
    "out of order": _swapped,
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_of_the_layout_shows(blobs: Blobs, tmp_path: Path, defect: str) -> None:
    right = disk(blobs.tree(SMALL))
    wrong = replace(right, layout=DEFECTS[defect](right.layout))
    assert reverse_digest.digest(wrong, blobs.path) != _written(wrong, blobs, tmp_path / "image")


def test_a_defect_in_one_way_shows(blobs: Blobs, tmp_path: Path) -> None:
    right = disk(blobs.tree(SMALL))
    before = _written(right, blobs, tmp_path / "image")
    volume = replace(VOLUME, volume_id=VOLUME.volume_id ^ 1)
    for layout in (
        _one_table_short(right.layout),
        replace(right.layout, folders=right.layout.folders[:-1] + b"x"),
        replace(right.layout, volume=volume),
        replace(right.layout, files=right.layout.files[1:]),
        replace(right.layout, files=right.layout.files[:-1]),
    ):
        assert reverse_digest.digest(replace(right, layout=layout), blobs.path) != before


def test_a_file_beyond_the_end_shows(blobs: Blobs, tmp_path: Path) -> None:
    right = disk(blobs.tree(SMALL))
    last = right.layout.files[-1].entry.path
    wrong = replace(right, layout=_moved(right.layout, last, right.layout.geometry.clusters))
    assert reverse_digest.digest(wrong, blobs.path) != _written(wrong, blobs, tmp_path / "image")


@pytest.mark.parametrize(
    ("real", "said", "blob_has"),
    [
        (10, 9, "10"),
        (10, 11, "10"),
        (0, 5, "0"),
        (WINDOW, WINDOW - 1, str(WINDOW)),
        (WINDOW + 1, 2 * WINDOW, str(WINDOW + 1)),
    ],
)
def test_a_blob_of_another_size(blobs: Blobs, real: int, said: int, blob_has: str) -> None:
    wrong = blobs.tree({"a/wrong": data(real)})
    tree = listed("a/wrong", size=said).overlaid(blobs.tree({"b": b"right"}))
    with pytest.raises(InfrastructureError, match=f"a/wrong must have {said} bytes") as caught:
        reverse_digest.digest(
            disk(tree),
            lambda entry: blobs.path(wrong.entries[0] if entry.path == "a/wrong" else entry),
        )
    assert caught.value.summary.endswith(f"has {blob_has}")
    assert wrong.entries[0].digest in caught.value.subject
    assert caught.value.status == 4


def test_a_blob_that_shrinks_meanwhile(blobs: Blobs, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.preadv
    monkeypatch.setattr(os, "preadv", lambda fd, pieces, at: real(fd, pieces, at) - 1)
    with pytest.raises(InfrastructureError, match="fewer than a moment ago"):
        reverse_digest.digest(disk(blobs.tree(SMALL)), blobs.path)


def test_a_blob_that_is_not_there(blobs: Blobs) -> None:
    with pytest.raises(InfrastructureError, match="content of a/gone cannot be read"):
        reverse_digest.digest(disk(listed("a/gone")), blobs.path)


def test_a_blob_that_cannot_be_read(tmp_path: Path) -> None:
    # A folder can be opened, but has no bytes.
    size = tmp_path.stat().st_size
    with pytest.raises(InfrastructureError, match="content of a cannot be read"):
        reverse_digest.digest(disk(listed("a", size=size)), lambda _: tmp_path)


def test_memory_is_bounded(blobs: Blobs) -> None:
    made = disk(blobs.tree({f"file{number}": data(3 * WINDOW, number) for number in range(6)}))
    tracemalloc.start()
    try:
        reverse_digest.digest(made, blobs.path)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert made.layout.end > 6 * 3 * WINDOW
    assert most < 3 * WINDOW

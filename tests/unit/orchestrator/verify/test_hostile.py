"""Hostile folders: whatever lies there, the answer is a finding or an InputError."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.artifacts import names
from orchestrator.verify.folder import Verifier
from reproducibility.errors import InputError
from tests.unit.orchestrator.verify import world

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.orchestrator.verify.conftest import Court

pytestmark = pytest.mark.once

DOCUMENTS = (
    names.RESULT, names.SPEC, names.LOCK, names.ACTIONS, names.PROVENANCE, names.AUDIT, names.JUNIT,
    *names.SUMS,
)  # fmt: skip
NASTY = (
    b"", b"{}", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 5000, b"0" * 64 + b"  x\n",
    b'{"payload":"","payloadType":"application/vnd.in-toto+json","signatures":[]}\n', b"1e999",
)  # fmt: skip


@pytest.fixture(scope="module")
def small(court: Court, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The honest folder with an image and an archive of no size, so that each look is quick."""
    out = court.honest.copy().write(tmp_path_factory.mktemp("hostile") / "out", court.alice)
    for name in ("sourcery.img", "sourcery.cpio.zst"):
        (out / name).write_bytes(b"")
    return out


@pytest.mark.parametrize("name", DOCUMENTS)
@pytest.mark.parametrize("data", NASTY, ids=range(len(NASTY)))
def test_any_document_may_hold_anything(small: Path, name: str, data: bytes) -> None:
    kept = (small / name).read_bytes()
    try:
        (small / name).write_bytes(data)
        found = Verifier({}).verify(small)
    finally:
        (small / name).write_bytes(kept)
    assert name in {one.file for one in found.findings}


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(at=st.integers(0, 1 << 20), cut=st.integers(0, 40), put=st.binary(max_size=40),
       name=st.sampled_from(DOCUMENTS))  # fmt: skip
def test_any_splice_of_a_document_is_told(
    small: Path, name: str, at: int, cut: int, put: bytes
) -> None:
    kept = (small / name).read_bytes()
    at %= len(kept)
    data = kept[:at] + put + kept[at + cut :]
    try:
        (small / name).write_bytes(data)
        found = Verifier({}).verify(small)
    finally:
        (small / name).write_bytes(kept)
    assert data == kept or name in {one.file for one in found.findings}


@pytest.mark.parametrize("name", ["sourcery.img", "sourcery.cpio.zst"])
@pytest.mark.parametrize("data", [b"", b"\0" * 4096, b"\x28\xb5\x2f\xfd" + b"\xff" * 999])
def test_an_image_may_be_anything(court: Court, folder: Path, name: str, data: bytes) -> None:
    """With a result and sums that name it."""
    forged = court.honest.copy()
    other = court.scratch / f"hostile-{len(data)}" / name
    other.parent.mkdir(exist_ok=True)
    other.write_bytes(data)
    one = world.measured(other.parent)[name]
    if name == "sourcery.img":
        forged.image = other
        forged.result["image"].update(size=one.size, blake3=one.blake3, sha256=one.sha256)
    else:
        forged.archive = other
        forged.result["cpio"].update(size=one.size, blake3=one.blake3, sha256=one.sha256)
    out = forged.write(folder, court.alice)
    code = "image-damaged" if name == "sourcery.img" else "archive-differs"
    assert (code, name) in court.judge(out).refused_for()


def test_a_table_for_too_many_clusters_is_not_read(court: Court, folder: Path) -> None:
    """A sparse image of 600 GiB costs nothing to make, and its table would fill the memory."""
    out = court.honest.copy().write(folder, court.alice)
    image = out / "sourcery.img"
    with image.open("r+b") as stream:
        stream.seek(2048 * 512 + 36)
        stream.write((1 << 17).to_bytes(4, "little"))
    from orchestrator.image.fat import reader
    from reproducibility.errors import ComparisonError

    with image.open("r+b") as stream:
        stream.truncate(1 << 30)
    with pytest.raises(ComparisonError, match="more than 4194304 clusters"):
        reader.read(image, most_clusters=1 << 22)


def test_what_is_no_folder_of_a_build_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no finished build"):
        Verifier({}).verify(tmp_path / "gone")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="no finished build"):
        Verifier({}).verify(tmp_path / "file")
    found = Verifier({}).verify(tmp_path)
    assert {("file-missing", names.RESULT)} <= {(one.code, one.file) for one in found.findings}


def test_a_pipe_in_a_files_place_does_not_block(court: Court, folder: Path) -> None:
    out = court.honest.copy().write(folder, court.alice)
    (out / names.RESULT).unlink()
    os.mkfifo(out / names.RESULT)
    found = {(one.code, one.file) for one in Verifier({}).verify(out).findings}
    assert ("file-irregular", names.RESULT) in found

"""Both digests of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.artifacts import fingerprint
from reproducibility import digest
from tests.unit.orchestrator.image.samples import data

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("size", [0, 1, 5 << 20])
def test_both_are_those_of_the_content(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(data(size))
    found = fingerprint.of_file(path)
    assert found.size == size
    assert found.blake3 == digest.of_bytes(data(size))
    assert found.sha256 == digest.sha256_of_bytes(data(size))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        fingerprint.of_file(tmp_path / "missing")

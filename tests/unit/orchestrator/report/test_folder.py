"""The page of an output directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from orchestrator.artifacts import model, names
from orchestrator.audit import model as audits
from orchestrator.report import folder
from orchestrator.report.page import page
from reproducibility.errors import InputError
from tests import pages

if TYPE_CHECKING:
    from pathlib import Path

FAILING = pages.failing()


def test_the_page_is_made_from_what_lies_there(tmp_path: Path) -> None:
    (tmp_path / names.RESULT).write_bytes(model.dumps(FAILING))
    made = folder.made(tmp_path)
    assert (made.result, made.audit, made.data) == (FAILING, None, page(FAILING))
    audit = pages.audit(FAILING)
    (tmp_path / names.AUDIT).write_bytes(audits.dumps(audit))
    (tmp_path / names.SBOM).write_bytes(b'{"packages": []}')
    assert folder.made(tmp_path).data == page(FAILING, audit)
    assert not folder.is_there(tmp_path, made.data)
    (tmp_path / names.REPORT).write_bytes(made.data)
    assert folder.is_there(tmp_path, made.data)
    assert not folder.is_there(tmp_path, made.data[:-1])


@pytest.mark.parametrize(
    ("name", "data"), [(names.AUDIT, b"{"), (names.SBOM, b'\n"packages": [\n{\n]')]
)
def test_a_file_that_cannot_be_read_is_not_passed_over(
    tmp_path: Path, name: str, data: bytes
) -> None:
    (tmp_path / names.RESULT).write_bytes(model.dumps(FAILING))
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=name):
        folder.made(tmp_path)
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    with pytest.raises(InputError, match="a folder"):
        folder.made(tmp_path)

"""A spec and a lock as editors and shells write them: byte order marks, and other encodings."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

import pytest

from orchestrator.lock import file as locks
from orchestrator.spec import model as spec
from reproducibility.errors import InputError
from tests.unit.orchestrator.lock.test_file import CHECKOUT, DATA

if TYPE_CHECKING:
    from pathlib import Path

SPEC = (CHECKOUT / "sourcery.toml").read_bytes()
ENCODINGS = [
    ("utf-16-le", codecs.BOM_UTF16_LE, "UTF-16 (little-endian)"),
    ("utf-16-be", codecs.BOM_UTF16_BE, "UTF-16 (big-endian)"),
    ("utf-32-le", codecs.BOM_UTF32_LE, "UTF-32 (little-endian)"),
    ("utf-32-be", codecs.BOM_UTF32_BE, "UTF-32 (big-endian)"),
]


def loaded(folder: Path, data: bytes) -> spec.Spec:
    (folder / "sourcery.toml").write_bytes(data)
    return spec.load(folder / "sourcery.toml")


def test_a_byte_order_mark_says_nothing(tmp_path: Path) -> None:
    plain = loaded(tmp_path, SPEC)
    assert loaded(tmp_path, codecs.BOM_UTF8 + SPEC) == plain
    assert loaded(tmp_path, codecs.BOM_UTF8 + SPEC.replace(b"\n", b"\r\n")) == plain
    assert locks.parse(codecs.BOM_UTF8 + DATA) == locks.parse(DATA)
    # One mark is a mark, in front of everything; another is a mistake on its line.
    with pytest.raises(InputError, match="not valid TOML"):
        loaded(tmp_path, 2 * codecs.BOM_UTF8 + SPEC)
    with pytest.raises(InputError, match="not valid TOML") as refused:
        loaded(tmp_path, codecs.BOM_UTF8 + b"\n\n = 1\n")
    assert refused.value.subject.endswith("sourcery.toml, line 3")


@pytest.mark.parametrize(("encoding", "mark", "words"), ENCODINGS)
@pytest.mark.parametrize("marked", [True, False])
def test_another_encoding_is_named(
    tmp_path: Path, encoding: str, mark: bytes, words: str, *, marked: bool
) -> None:
    start = mark if marked else b""
    for read, data in ((lambda data: loaded(tmp_path, data), SPEC), (locks.parse, DATA)):
        other = start + data.decode().encode(encoding)
        with pytest.raises(InputError) as refused:
            read(other)
        assert refused.value.status == 2
        assert f"is not UTF-8 but {words}" in refused.value.summary
        assert "save it as UTF-8" in refused.value.remedy


def test_text_that_is_no_utf8_says_the_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the spec is not UTF-8\n") as refused:
        loaded(tmp_path, SPEC + "# Größe\n".encode("latin-1"))
    assert refused.value.subject.endswith(f", line {SPEC.count(10) + 1}")
    with pytest.raises(InputError):
        loaded(tmp_path, b"\0" + SPEC)

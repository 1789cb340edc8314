"""Each bound of what is read from a folder, made small: beyond it nothing is read or tried."""

from __future__ import annotations

import tracemalloc
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
import zstandard

from orchestrator.artifacts import names
from orchestrator.evidence import dsse, junit, keys, uris
from orchestrator.image.cpio import reader as unpacking
from orchestrator.image.fat import reader
from orchestrator.verify import contents, files, statements
from orchestrator.verify.documents import read
from orchestrator.verify.model import Findings, Measured
from reproducibility import canonical, regular
from reproducibility.manifest import Tree
from tests import results
from tests.unit.orchestrator.verify.test_hostile import DOCUMENTS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.unit.orchestrator.verify.conftest import Court

pytestmark = pytest.mark.once

CHAIN = 100_000


def forbidden(*_: object, **__: object) -> Any:  # noqa: ANN401 - whatever is patched
    raise AssertionError


def reasons(findings: Findings) -> list[tuple[str, str, str]]:
    return [(one.code, one.file, one.reason) for one in findings]


# -- documents -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(set(DOCUMENTS) - {names.JUNIT}))
def test_a_document_beyond_any_build_s_is_not_read(tmp_path: Path, name: str) -> None:
    place = tmp_path / name
    place.touch()
    with place.open("r+b") as stream:
        stream.truncate((8 << 20) + 1)
    findings = Findings()
    if name in names.SUMS:
        files.sums(tmp_path, {name: Measured(1, "", "")}, findings)
    else:
        read(tmp_path, {name: None}, findings)
    (reason,) = [reason for _, file, reason in reasons(findings) if file == name]
    assert "it has more than" in reason


def test_sums_of_more_than_a_folder_may_hold_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_MOST", 2)
    monkeypatch.setattr(files, "_LONGEST", 100)
    for count in (2, 3):
        lines = [f"{number:064}  file {number}\n" for number in range(count)]
        (tmp_path / names.B3SUMS).write_text("".join(lines))
        findings = Findings()
        files.sums(tmp_path, {names.B3SUMS: Measured(1, "", "")}, findings)
        told = ("file-unreadable", names.B3SUMS, "it cannot be read: it has more than 200 bytes")
        assert (told in reasons(findings)) == (count > 2)


def test_a_junit_file_of_any_size_is_compared(
    court: Court, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The forger adds more than is read of any text, and states and signs it."""
    with monkeypatch.context() as forging:
        own = junit.document
        forging.setattr(junit, "document", lambda subject: own(subject).ljust(17 << 20, b"\n"))
        out = court.honest.copy().write(folder, court.alice)
    assert (out / names.JUNIT).stat().st_size > regular.LARGEST_TEXT
    assert court.judge(out).refused_for() == {("statement-differs", names.JUNIT), ("sound", "")}


# -- statements and findings -----------------------------------------------------------------------


def checked(*envelopes: dsse.Envelope) -> list[tuple[str, str, str]]:
    findings = Findings()
    key = keys.generate().public
    statements.check(envelopes, results.build_result(), {}, {key.keyid: key}, findings)
    return reasons(findings)


def test_beyond_so_many_signatures_none_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[object] = []
    monkeypatch.setattr(keys, "verify", lambda *_: tried.append(1))
    monkeypatch.setattr(statements, "_MOST_SIGNATURES", 6)
    signatures = tuple(dsse.Signature(str(number), b"") for number in range(3))
    one = dsse.Envelope(b"{}", signatures=signatures)
    checked(one, one)
    assert len(tried) == 6
    told = checked(one, one, one)
    assert [reason for *_, reason in told] == [
        "its statements have more than 6 signatures, all together"
    ]
    assert len(tried) == 6


def test_a_statement_about_too_many_files_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statements, "_MOST_SUBJECTS", 2)

    def statement(count: int) -> dsse.Envelope:
        subjects = [{"name": f"{n}", "digest": {"sha256": "0" * 64}} for n in range(count)]
        said = {
            "_type": uris.STATEMENT,
            "subject": subjects,
            "predicateType": uris.SLSA,
            "predicate": {},
        }
        return dsse.Envelope(canonical.dumps(said))

    unread = ("file-unreadable", names.PROVENANCE, "line 1: it is about nothing")
    assert unread not in checked(statement(2))
    assert unread in checked(statement(3))


def test_findings_are_counted_and_the_first_are_kept() -> None:
    findings = Findings()
    for number in range(Findings.MOST + 10):
        findings.say("file-missing", str(number), "")
    findings.say("file-missing", "0", "")
    assert (len([*findings]), findings.total) == (Findings.MOST, Findings.MOST + 10)


# -- image and archive -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bound", "words"),
    [
        ("_MOST_ENTRIES", "the image is damaged: more than 5 files and folders"),
        ("_MOST_CLUSTERS", "the image is damaged: a table for more than 5 clusters"),
    ],
)
def test_an_image_with_more_than_may_be_is_refused(
    court: Court, folder: Path, monkeypatch: pytest.MonkeyPatch, bound: str, words: str
) -> None:
    monkeypatch.setattr(contents, bound, 5)
    monkeypatch.setattr(reader._Walk, "_file", forbidden)
    out = court.honest.copy().write(folder, court.alice)
    verifier = type(court.verifier)({})
    told = [(one.code, one.reason) for one in verifier.verify(out).findings]
    assert ("image-damaged", words) in told


def test_a_chain_of_clusters_is_not_held_in_memory() -> None:
    def long(*_: object, **__: object) -> Iterator[int]:
        return iter(range(2, CHAIN))

    volume = SimpleNamespace(
        get_cluster_chain=long, bytes_per_cluster=512, get_data_cluster_address=lambda n: n * 512
    )
    walk = reader._Walk.__new__(reader._Walk)
    walk._volume, walk._offset = cast("Any", volume), 7
    tracemalloc.start()
    found = [*walk._runs(2)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == [(7 + 1024, (CHAIN - 2) * 512)]
    assert peak < CHAIN


def test_a_fragmented_chain_is_read_piece_by_piece() -> None:
    clusters = [5, 6, 7, 20, 9, 10, 4]
    volume = SimpleNamespace(
        get_cluster_chain=lambda *_, **__: iter(clusters),
        bytes_per_cluster=10,
        get_data_cluster_address=lambda number: number * 10,
    )
    walk = reader._Walk.__new__(reader._Walk)
    walk._volume, walk._offset = cast("Any", volume), 0
    assert [*walk._runs(5)] == [(50, 30), (200, 10), (90, 20), (40, 10)]


def _member(size: int) -> bytes:
    fields = (1, 0o100644, 0, 0, 1, 0, size, 0, 0, 0, 0, 2, 0)
    return b"070701" + b"".join(b"%08X" % field for field in fields) + b"a\0"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (_member(0xFFFFFFFF) + bytes(1 << 20), "a of 4294967295 bytes is not on the image"),
        (b"070701" + b"F" * 104, "more or longer names than a tree can have"),
    ],
)
def test_what_an_archive_promises_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, words: str
) -> None:
    monkeypatch.setattr(unpacking.Source, "content", forbidden)
    (tmp_path / "a.zst").write_bytes(zstandard.compress(data))
    findings = Findings()
    assert contents._with_bits(tmp_path, "a.zst", Tree(), findings) is None
    ((code, name, reason),) = reasons(findings)
    assert (code, name) == ("archive-differs", "a.zst")
    assert words in reason

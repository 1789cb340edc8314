"""What is tolerated is named, and is nothing else."""

from __future__ import annotations

import pytest

from orchestrator.diagnosis import tolerance
from orchestrator.diagnosis.model import Limits
from orchestrator.diagnosis.source import Memory, Pair
from reproducibility.errors import InputError
from tests.unit.orchestrator.diagnosis import samples

TEXT = b"content\n" * 5000


def holds(name: str, first: bytes, second: bytes) -> bool:
    pair = Pair("x", Memory(first), Memory(second))
    return tolerance.of(pair, tolerance.chosen([name]), Limits()) == name


def test_other_compression_of_the_same_content() -> None:
    name = "archive-compression"
    assert holds(name, samples.zst(TEXT, 1), samples.zst(TEXT, 9, frames=3))
    assert holds(name, samples.gz(TEXT, 1), samples.zst(TEXT))
    assert not holds(name, samples.zst(TEXT), samples.zst(TEXT + b"x"))
    assert not holds(name, samples.zst(TEXT), TEXT)
    assert not holds(name, samples.zst(TEXT), samples.zst(TEXT)[:-9])


def test_a_gzip_header() -> None:
    name = "gzip-header"
    assert holds(name, samples.gz(TEXT, 1), samples.gz(TEXT, 99))
    assert not holds(name, samples.gz(TEXT, 1), samples.gz(TEXT[:-1] + b"x", 1))
    assert not holds(name, samples.gz(TEXT)[:-1] + b"x", samples.gz(TEXT, 7))
    assert not holds(name, samples.zst(TEXT, 1), samples.zst(TEXT, 9))


def test_every_tolerance_has_a_paragraph() -> None:
    for name in tolerance.ALL:
        assert len(tolerance.explained(name)) > 100
        assert "What is lost" in tolerance.explained(name)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(InputError, match="'everything'"):
        tolerance.chosen(["everything"])
    assert tolerance.chosen([]) == {}


@pytest.mark.parametrize("at", range(10))
def test_only_time_and_system_of_a_gzip_header_are_tolerated(at: int) -> None:
    """Bytes 4 to 7 are the time and byte 9 is the system (RFC 1952, 2.3)."""
    first = samples.gz(TEXT, 1)
    second = bytearray(first)
    second[at] ^= 4
    assert holds("gzip-header", first, bytes(second)) is (at in {4, 5, 6, 7, 9})

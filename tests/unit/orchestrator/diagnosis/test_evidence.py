"""How the class of a cause is told from two lines; what tells nothing stays unknown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.diagnosis import blob, evidence, moments
from orchestrator.diagnosis.model import Cause, Judgement, Sureness

JUDGED = [
    ("at 2026-11-28T12:00:00Z", "at 2026-11-28T12:00:01Z", Cause.TIME, Sureness.LIKELY),
    ("at 2026-11-28T12:00:00Z", "at 2020-01-28T12:00:01Z", Cause.TIME, Sureness.POSSIBLE),
    ("Sat, 28 Nov 2026 12:00:00 +0000", "Sat, 28 Nov 2026 12:00:09 +0000", Cause.TIME, None),
    ("Nov 28 2026 12:00:00", "Nov 29 2026 08:13:10", Cause.TIME, None),
    ("on 20261127", "on 20261128", Cause.TIME, None),
    ("at 2026-11-28T12:00:00Z", "at 2026-11-28T13:00:00Z", Cause.TIME, Sureness.LIKELY),
    ("12:00:01", "12:00:07", Cause.TIME, None),
    ("t=1790000000123", "t=1790000009123", Cause.TIME, None),
    ("2026-11-28 12:00:00 UTC", "2026-11-28 13:00:00 CET", Cause.LOCALE, Sureness.CERTAIN),
    ("2026-11-28 12:00:00", "2026-11-28 17:30:00", Cause.LOCALE, Sureness.POSSIBLE),
    ("TZ UTC", "TZ Europe/Berlin", Cause.LOCALE, Sureness.LIKELY),
    ("LANG en_US.UTF-8", "LANG C", Cause.LOCALE, Sureness.LIKELY),
    ("size 1.5", "size 1,5", Cause.LOCALE, Sureness.POSSIBLE),
    ("see /home/a/x.go", "see /build/x.go", Cause.PATH, Sureness.LIKELY),
    ("p 0x7ffd3a5c2e10", "p 0x7ffe91b0ce10", Cause.RANDOMNESS, Sureness.LIKELY),
    ("p 0x12345678", "p 0x9abcdef0", Cause.RANDOMNESS, Sureness.POSSIBLE),
    ("x 9f3a22c17b", "x 04de81f65c", Cause.RANDOMNESS, Sureness.POSSIBLE),
    ("seed: 81", "seed: 45", Cause.RANDOMNESS, Sureness.LIKELY),
    ("jobs=2", "jobs=16", Cause.PARALLELISM, Sureness.LIKELY),
    ("with 2 threads", "with 4 threads", Cause.PARALLELISM, Sureness.LIKELY),
    ("MemTotal: 1024", "MemTotal: 4096", Cause.PARALLELISM, Sureness.POSSIBLE),
    ("uname: Linux 6.1.0-3", "uname: Linux 6.18.2", Cause.USER, Sureness.POSSIBLE),
    ("me@here", "you@there", Cause.USER, Sureness.LIKELY),
    ("a b c d", "d b a c", Cause.ORDER, Sureness.LIKELY),
    ("x.go:12:34: fails", "x.go:12:39: fails", Cause.UNKNOWN, None),
    ("size 1787822080", "size 1787822592", Cause.UNKNOWN, None),
    ("1790000000", "1790000777", Cause.TIME, Sureness.POSSIBLE),
    ("count 7", "count 8", Cause.UNKNOWN, None),
    ("f" * 64, "e" * 64, Cause.UNKNOWN, None),
    ("yes", "no", Cause.UNKNOWN, None),
    ("at 2026-11-28 12:00:00 n 1", "at 2026-11-28 12:00:01 n 2", Cause.UNKNOWN, None),
    ("9999-99-99", "9999-99-98", Cause.UNKNOWN, None),
]


@pytest.mark.parametrize(("first", "second", "cause", "sure"), JUDGED)
def test_a_line(first: str, second: str, cause: Cause, sure: Sureness | None) -> None:
    for one, other in ((first, second), (second, first)):
        found = evidence.judge(one, other)
        assert found.cause is cause, found
        assert sure is None or found.sure is sure


@pytest.mark.parametrize(("between", "cause"), [(0, Cause.RANDOMNESS), (99, Cause.UNKNOWN)])
def test_names_of_temporary_files_are_short(between: int, cause: Cause) -> None:
    """A long word is not searched to its end from each of its places."""
    first, second = (f"tmp{'a' * between}{end}" for end in ("Qzxvbnm", "Wqwerty"))
    assert evidence.judge(first, second).cause is cause


CONDITIONS = {
    "work directory": Cause.PATH, "home": Cause.PATH, "PATH": Cause.PATH, "user": Cause.USER,
    "group": Cause.USER, "host name": Cause.USER, "domain name": Cause.USER, "umask": Cause.USER,
    "kernel release": Cause.USER, "locale": Cause.LOCALE, "time zone": Cause.LOCALE,
    "CPU count": Cause.PARALLELISM, "parallelism": Cause.PARALLELISM,
    "memory and /tmp size": Cause.PARALLELISM, "order of directory entries": Cause.ORDER,
    "address-space randomisation": Cause.RANDOMNESS, "file times": Cause.TIME,
    "exported environment": Cause.INPUT, "standard input": Cause.INPUT, "phase": Cause.UNKNOWN,
}  # fmt: skip


def test_conditions_have_classes() -> None:
    assert {name: evidence.condition(name) for name in CONDITIONS} == CONDITIONS


def test_a_known_value_is_certain_and_a_short_one_is_not() -> None:
    known = {"host name": ("kestrel", "buzzard"), "CPU count": ("2", "4")}
    found = evidence.judge("by kestrel, 1", "by buzzard, 1", known)
    assert (found.cause, found.sure) == (Cause.USER, Sureness.CERTAIN)
    found = evidence.judge("n 2", "n 4", known)
    assert (found.cause, found.sure) == (Cause.PARALLELISM, Sureness.LIKELY)
    assert evidence.judge("n 12", "n 14", known).cause is Cause.UNKNOWN
    assert evidence.judge("by kestrel 1", "by buzzard 2", known).cause is Cause.UNKNOWN


def test_a_known_value_within_other_bytes() -> None:
    first, second = b"\0\1kestrel\0xyz\1", b"\0\1buzzards\0yz\1"
    found = blob.judge_at(first, second, 2, {"host name": ("kestrel", "buzzards")})
    assert (found.cause, found.sure) == (Cause.USER, Sureness.CERTAIN)
    assert blob.judge_at(first, second, 2, {"host name": ("xyz", "yz")}).cause is Cause.UNKNOWN


def test_order_and_locale() -> None:
    found = evidence.order(["b", "a", "c"], ["a", "c", "b"])
    assert found is not None
    assert found.cause is Cause.ORDER
    found = evidence.order(["a", "B", "C"], ["B", "C", "a"])
    assert found is not None
    assert found.cause is Cause.LOCALE
    assert evidence.order(["a"], ["b"]) is None
    assert evidence.order(["a", "a", "b"], ["a", "b", "b"]) is None


def test_moments_far_apart_are_less_sure() -> None:
    near = moments.gap(10, "", sure=Sureness.LIKELY)
    far = moments.gap(1e9, "", sure=Sureness.LIKELY)
    field = moments.gap(1e9, "", sure=Sureness.CERTAIN)
    assert [one.sure for one in (near, far, field)] == ["likely", "possible", "certain"]
    assert moments.gap(3600, "", sure=Sureness.CERTAIN).cause is Cause.LOCALE
    assert moments.gap(3600, "", sure=Sureness.CERTAIN, local=False).cause is Cause.TIME


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_two_lines_are_judged(first: str, second: str) -> None:
    assert isinstance(evidence.judge(first, second, {"user": ("a", "b")}), Judgement)


@given(st.binary(max_size=60), st.binary(max_size=60), st.integers(0, 70))
def test_any_two_pieces_are_judged(first: bytes, second: bytes, at: int) -> None:
    assert isinstance(blob.judge_at(first, second, at, {"user": ("root", "user")}), Judgement)

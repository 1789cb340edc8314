"""Every parser reads what nobody means to write, or refuses it: within time, and within memory.

`make fuzz` does the same for longer, guided by what the inputs reach.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.fuzz.ledger import Ledger
from tests.fuzz.mutation import BOUND, Edit, drawn, mutated
from tests.fuzz.target import LARGEST, MEMORY, ROOT, Target, place
from tests.fuzz.targets import TARGETS

if TYPE_CHECKING:
    from pathlib import Path

EDITS = st.lists(
    st.tuples(st.integers(0, 63), st.integers(0, BOUND - 1), st.integers(0, BOUND - 1)), max_size=6
)


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())
def test_an_input_that_is_nearly_right_is_read_or_refused(target: Target) -> None:
    seeds = list(target.seeds())

    @settings(
        max_examples=target.examples, suppress_health_check=[HealthCheck.too_slow], database=None
    )
    @given(st.integers(0, len(seeds) - 1), EDITS)
    @example(0, [])
    def throw(which: int, edits: list[Edit]) -> None:
        target.accepts(mutated(seeds[which], edits))

    throw()


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())
def test_any_bytes_are_read_or_refused(target: Target) -> None:
    @settings(max_examples=target.examples // 3, database=None)
    @given(st.one_of(st.binary(max_size=200), st.text(max_size=100).map(str.encode)))
    @example(b"")
    def throw(data: bytes) -> None:
        target.accepts(data)

    throw()


def test_no_input_takes_much_memory() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.memory"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        check=False,
    )
    peaks: dict[str, int] = json.loads(done.stdout)
    assert done.returncode == 0
    assert peaks.keys() == TARGETS.keys()
    assert {name: peak for name, peak in peaks.items() if peak > MEMORY} == {}


# -- what makes the inputs, and what looks on ------------------------------------------------------


@given(st.binary(max_size=300), EDITS)
def test_edits_mean_something_for_every_input(data: bytes, edits: list[Edit]) -> None:
    assert mutated(data, edits) == mutated(data, edits)
    assert mutated(data, []) == data
    assert len(mutated(data, edits)) <= LARGEST


def test_edits_are_many_kinds_and_reach_the_values_of_a_document() -> None:
    random = Random(1)  # noqa: S311 - not a secret
    document = json.dumps({"a": [1, {"b": "c"}]}).encode()
    made = {mutated(document, drawn(random)) for _ in range(500)}
    assert len(made) > 300
    others = [json.loads(one) for one in made if _is_json(one)]
    assert len(others) > 50
    assert any(one.get("a") == {} for one in others if isinstance(one, dict))


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True


def test_a_finding_is_named_by_its_place() -> None:
    target = Target("wrong", TARGETS["digest"].run, lambda: [b""], refusals=())
    with pytest.raises(Exception, match="not a digest") as caught:
        target.accepts(b"x")
    assert place(caught.value).startswith("InputError in reproducibility/digest.py, line ")
    assert not TARGETS["digest"].accepts(b"x")
    assert TARGETS["digest"].accepts(b"blake3:" + b"0" * 64)


def test_a_ledger_tells_another_process_what_was_read_last(tmp_path: Path) -> None:
    with Ledger.opened(tmp_path / "ledger") as ledger:
        for data in (b"", b"abc"):
            ledger.begin(data)
            with Ledger.opened(tmp_path / "ledger") as other:
                assert other.input == data
            ledger.end()
        assert (ledger.executions, ledger.input) == (2, None)


def fuzz(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "--engine", "mutation", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )


def test_the_table_counts_what_was_thrown(tmp_path: Path) -> None:
    done = fuzz("--seconds", "0.2", "--target", "digest", "--findings", str(tmp_path))
    assert done.returncode == 0, done.stdout
    name, executions, *_, findings = done.stdout.splitlines()[1].split()
    assert (name, findings) == ("digest", "0")
    assert int(executions.replace(",", "")) > 0
    assert not list(tmp_path.iterdir())

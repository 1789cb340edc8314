"""Every parser reads what nobody means to write, or refuses it: within time, and within memory.

`make fuzz` does the same for longer, guided by what the inputs reach.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from containers.host.process import Completed
from orchestrator.inputs import answers
from tests.fuzz.child import Watch
from tests.fuzz.documents import RECORD
from tests.fuzz.ledger import Ledger
from tests.fuzz.mutation import BOUND, Edit, drawn, mutated
from tests.fuzz.target import LARGEST, MEMORY, ROOT, Target, place
from tests.fuzz.targets import TARGETS

if TYPE_CHECKING:
    from pathlib import Path

EDITS = st.lists(
    st.tuples(st.integers(0, 63), st.integers(0, BOUND - 1), st.integers(0, BOUND - 1)), max_size=6
)


def _at_most(examples: int) -> int:
    return min(examples, settings().max_examples)


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())
def test_an_input_that_is_nearly_right_is_read_or_refused(target: Target) -> None:
    seeds = list(target.seeds())

    @settings(
        max_examples=_at_most(target.examples),
        suppress_health_check=[HealthCheck.too_slow],
        database=None,
    )
    @given(st.integers(0, len(seeds) - 1), EDITS)
    @example(0, [])
    def throw(which: int, edits: list[Edit]) -> None:
        target.accepts(mutated(seeds[which], edits))

    throw()


@pytest.mark.parametrize("target", TARGETS.values(), ids=TARGETS.keys())
def test_any_bytes_are_read_or_refused(target: Target) -> None:
    @settings(max_examples=_at_most(target.examples // 3), database=None)
    @given(st.one_of(st.binary(max_size=200), st.text(max_size=100).map(str.encode)))
    @example(b"")
    def throw(data: bytes) -> None:
        target.accepts(data)

    throw()


@pytest.mark.once
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


DEEP = b"[" * 100_000
# What was found: it made something else of the parser than an answer.
FOUND: list[tuple[str, bytes]] = [
    ("client-answers", DEEP),
    ("client-answers", b'{"a":' * 100_000),
    ("go-download", b'{"Zip": "/nonexistent/x", "Sum": "h1:x"}'),
    ("go-download", b'{"Zip": "\\u0000", "Sum": "h1:x"}'),
    ("go-download", b'{"Zip": "%s", "Sum": "h1:x"}' % (b"x" * 5000)),
    ("go-download", DEEP),
    ("go-env", b""),
    ("go-env", b"\xff"),
    ("go-env", b"[1]"),
    ("go-env", b'{"GOPROXY": 1}'),
    ("go-env", b"1" * 5000),
    ("go-env", DEEP),
    ("go-mod", b""),
    ("go-mod", b"\xff"),
    ("go-mod", b"[]"),
    ("go-mod", b'{"Module": "x"}'),
    ("go-mod", b'{"Require": [{"Version": "v1"}], "Replace": 1}'),
    ("go-mod", b'{"Replace": [{"Old": {}, "New": {"Path": ["x"]}}]}'),
    ("go-mod", b'{"Replace": [null]}'),
    ("go-mod", DEEP),
    ("go-list", b"[]"),
    ("go-list", b"{}"),
    ("go-list", b'{"ImportPath": ["a"]}'),
    ("go-list", b'{"ImportPath": "a", "Match": 1}'),
    ("go-list", b'{"ImportPath": "a", "Match": [null]}'),
    ("go-list", b'{"ImportPath": "a", "Match": ["./cmds/ls", "./..."], "Error": "x"}'),
    ("go-list", b"1" * 5000),
    ("go-list", DEEP),
    ("log-cache", b"\xff"),
    ("wipefs", DEEP),
    ("mounts", b"22 - ext4 /dev/sdb\n"),
    ("mounts", b"22 1 8:16 / / rw - ext4 /dev/\0 rw\n\n \n"),
    ("remembered", json.dumps({**RECORD, "milliseconds": 10**400}).encode()),
    ("recipe", b"{}"),
    ("recipe", b'{"tree": 1, "packages": ""}'),
    ("recipe", b"[]"),
    ("program", b"\x7fELF\x02\x01\x01" + b"\xff" * 100),
    ("proc", b"0::/\xff\n30 23 0:26 / /sys rw - cgroup2 cgroup2 rw\n"),
    ("proc", b"0::\n30 - cgroup2 x\nx kB\noom_kill x\n"),
    ("root-environment", b"\xff"),
    ("screen", b"3|> " + b"9" * 5000 + b"\n"),
    ("output-mark", b'{"made": ["a\\u0000b"]}'),
    ("output-mark", b'{"made": ["%s", "%s"]}' % (b"x" * 256, b"x/" * 3000)),
    ("root-process", b"x"),
    ("root-process", b'{"stage": 1}'),
    ("root-process", DEEP),
    ("sandbox-progress", b'{ "child-pid": 1'),
    ("sandbox-progress", b'{ "child-pid": "x" }\n{ "exit-code": null }\n[]\n1\n'),
    ("sandbox-progress", DEEP),
]


@pytest.mark.parametrize(("name", "data"), FOUND)
def test_what_was_found_is_read_or_refused(name: str, data: bytes) -> None:
    TARGETS[name].accepts(data)


def test_of_a_long_line_that_a_client_wrote_the_beginning_is_read() -> None:
    # Some of what is looked for takes time that grows with the square of a line.
    done = Completed(1, b"x" * 100_000, b"\n".join([b"y" * 100_000, b"z"]))
    for said in (answers.text_of(done), answers.go_text(done), answers.apt(done).said):
        assert len(said) < 10_000
        assert said.endswith("y...\nz")


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
    assert any(
        one.get("a") not in (None, [1, {"b": "c"}]) for one in others if isinstance(one, dict)
    )


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


def test_a_finding_is_kept_once_with_its_input(tmp_path: Path) -> None:
    def run(data: bytes) -> None:
        if data:
            TARGETS["digest"].run(data)

    with Ledger.opened(tmp_path / "ledger") as ledger:
        (tmp_path / "found").mkdir()
        watch = Watch(Target("wrong", run, lambda: [b""], refusals=()), ledger, tmp_path / "found")
        for data in (b"", b"first:", b"second:"):
            watch(data)
        assert ledger.executions == 3
    kept = {path.name: path.read_bytes() for path in (tmp_path / "found").iterdir()}
    assert kept.keys() == {"wrong-1", "wrong-1.txt"}
    assert kept["wrong-1"] == b"first:"
    assert b"InputError in reproducibility/digest.py, line " in kept["wrong-1.txt"]


@pytest.mark.once
def test_the_person_can_stop_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz", "--engine", "mutation", "--seconds", "60"]
    with subprocess.Popen(
        [*command, "--target", "digest", "--findings", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline().startswith("target ")
        running.send_signal(signal.SIGINT)
        said = running.stdout.read()
        assert running.wait() == 130
    assert said.startswith("stopped\n0 targets")


def fuzz(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.fuzz", "--engine", "mutation", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )


@pytest.mark.once
def test_the_table_counts_what_was_thrown(tmp_path: Path) -> None:
    done = fuzz("--seconds", "0.2", "--target", "digest", "--findings", str(tmp_path))
    assert done.returncode == 0, done.stdout
    name, executions, *_, findings = done.stdout.splitlines()[1].split()
    assert (name, findings) == ("digest", "0")
    assert int(executions.replace(",", "")) > 0
    assert not list(tmp_path.iterdir())

"""Changes of a finished folder's evidence: one at a time, and the sums with the files."""

from __future__ import annotations

import fcntl
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from containers.host import durable
from orchestrator.artifacts import names
from orchestrator.audit import model as audits
from orchestrator.evidence import dsse, folder, keys, placing
from reproducibility.errors import InfrastructureError, InputError, Stopped
from tests.unit.orchestrator.evidence.test_folder import built, check_sums, files, out
from tests.unit.orchestrator.evidence.test_signable import audited

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from orchestrator.artifacts.model import BuildResult

__all__ = ["built", "out"]


def test_no_signature_of_several_at_once_is_lost(out: Path, built: BuildResult) -> None:
    made = [keys.generate() for _ in range(8)]
    together = threading.Barrier(len(made))

    def sign(key: keys.Private) -> None:
        together.wait()
        folder.sign(out, built, key)

    with ThreadPoolExecutor(len(made)) as pool:
        list(pool.map(sign, made))
    for one in dsse.parse_lines((out / names.PROVENANCE).read_bytes()):
        assert all(keys.verify(one, key.public) for key in made)
    check_sums(out)


def test_an_audit_that_waits_for_the_folder_can_be_stopped(out: Path, built: BuildResult) -> None:
    data = audits.dumps(audits.parse(_audit(out, built)))
    before, stop = files(out), threading.Event()
    stop.set()
    with placing.alone(out), pytest.raises(Stopped):
        folder.add_audit(out, built, audits.parse(data), 9, stop)
    assert files(out) == before


def test_an_audit_and_a_signature_at_once_both_stay(out: Path, built: BuildResult) -> None:
    key, together = keys.generate(), threading.Barrier(2)
    data = audits.dumps(audits.parse(_audit(out, built)))

    def add() -> None:
        together.wait()
        folder.add_audit(out, built, audits.parse(data), 9)

    with ThreadPoolExecutor(1) as other:
        adding = other.submit(add)
        together.wait()
        folder.sign(out, built, key)
        adding.result()
    *there, added = dsse.parse_lines((out / names.PROVENANCE).read_bytes())
    assert all(keys.verify(one, key.public) for one in there)
    assert b"predicate:audit" in added.payload
    check_sums(out)


def _audit(out: Path, built: BuildResult) -> bytes:
    before = files(out)
    audited(out, built)
    data = (out / names.AUDIT).read_bytes()
    for name in files(out).keys() - before.keys():
        (out / name).unlink()
    for name, content in before.items():
        (out / name).write_bytes(content)
    return data


def test_the_folder_that_lies_there_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, new = tmp_path / "out", tmp_path / "new"
    out.mkdir()
    new.mkdir()
    waiting, took = threading.Event(), threading.Event()

    def take() -> None:
        with placing.alone(out):
            took.set()

    real = fcntl.flock

    def flock(handle: int, how: int) -> None:
        waiting.set()  # It has opened the folder that is there now.
        real(handle, how)

    with ThreadPoolExecutor(1) as pool:
        with placing.alone(out):
            monkeypatch.setattr(fcntl, "flock", flock)
            taking = pool.submit(take)
            waiting.wait()
            out.rename(tmp_path / "old")
            new.rename(out)
            assert not took.wait(0.05)
            held = placing.alone(out)
            held.__enter__()
        # The old folder is free, and is not the one that was asked for.
        assert not took.wait(0.05)
        held.__exit__(None, None, None)
        taking.result()


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no finished build"), placing.alone(tmp_path / "none"):
        pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_waits_until_files_and_sums_are_in_place(
    out: Path, built: BuildResult, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    real = durable.write_together

    def interrupted(wanted: Mapping[Path, bytes]) -> None:
        signal.raise_signal(number)
        real(wanted)
        signal.raise_signal(number)

    class EndedError(Exception):
        pass

    def end(*_: object) -> None:
        raise EndedError

    monkeypatch.setattr(durable, "write_together", interrupted)
    key, before = keys.generate(), signal.signal(number, end)
    try:
        with pytest.raises(EndedError):
            folder.sign(out, built, key)
        assert signal.getsignal(number) is end
    finally:
        signal.signal(number, before)
    check_sums(out)
    assert all(
        keys.verify(one, key.public)
        for one in dsse.parse_lines((out / names.PROVENANCE).read_bytes())
    )


@pytest.mark.parametrize("name", [names.PROVENANCE, names.REPORT])
def test_signing_again_mends_sums_that_were_left_behind(
    out: Path, built: BuildResult, name: str
) -> None:
    key = keys.generate()
    stale = {one: (out / one).read_bytes() for one in names.SUMS}
    if name == names.PROVENANCE:
        folder.sign(out, built, key)
    else:
        audited(out, built)
    for one, data in stale.items():
        (out / one).write_bytes(data)
    again = folder.sign(out, built, key)
    assert (again.count == 0) == (name == names.PROVENANCE)
    check_sums(out)


def test_a_page_that_somebody_changed_is_not_summed(out: Path, built: BuildResult) -> None:
    listed = (out / names.SHA256SUMS).read_text().splitlines()
    (out / names.REPORT).write_bytes(b"<script>other</script>")
    folder.sign(out, built, keys.generate())
    now = (out / names.SHA256SUMS).read_text().splitlines()
    assert next(one for one in listed if one.endswith(names.REPORT)) in now


def test_a_full_disk_changes_nothing(
    out: Path, built: BuildResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, real, count = files(out), durable.write_all, 0

    def full(handle: int, data: bytes) -> None:
        nonlocal count
        count += 1
        if count == 3:
            raise OSError(28, "No space left on device")
        real(handle, data)

    monkeypatch.setattr(durable, "write_all", full)
    with pytest.raises(InfrastructureError, match="No space left"):
        folder.sign(out, built, keys.generate())
    assert files(out) == before

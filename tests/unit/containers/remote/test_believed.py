"""Which results of a farm's action cache are taken, and by what a poisoned one is found."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import grpc
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from containers.remote import reapi_pb2 as api
from containers.remote.request import REPORT
from reproducibility.errors import InfrastructureError, InputError
from tests.fakes import Made, action
from tests.unit.containers.remote.conftest import of_unknown_kind

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.fake_farm import FakeFarm
    from tests.unit.containers.remote.conftest import Bench

RIGHT = Made({"out": b"right"})
WRONG = Made({"out": b"wrong"})


def key(folder: Path, name: str = "key.pem") -> Path:
    place = folder / name
    place.write_bytes(
        Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return place


def poison(farm: FakeFarm) -> None:
    """Have the farm's cache say something else of every action than what it made."""
    for name, result in list(farm.results.items()):
        poisoned = farm.result_of(WRONG)
        # What a signature would have to be made for anew.
        poisoned.execution_metadata.CopyFrom(result.execution_metadata)
        farm.results[name] = poisoned


def test_by_default_nothing_of_it_is_taken(bench: Bench) -> None:
    farm = bench.serve({"work": lambda _: RIGHT})
    bench.run(bench.engine(), action("work"))
    poison(farm)
    outcome = bench.run(bench.engine(), action("work"))
    assert bench.content(outcome) == RIGHT.files
    assert outcome.taken_from == ""
    assert farm.runs == ["work", "work"]
    assert farm.calls["GetActionResult"] == 0


def test_where_all_is_believed_a_result_is_taken_and_nothing_is_sent(bench: Bench) -> None:
    farm = bench.serve({"work": lambda _: RIGHT})
    bench.run(bench.engine(), action("work"))
    asked = farm.calls["FindMissingBlobs"]
    outcome = bench.run(bench.engine(cache="all"), action("work"))
    assert bench.content(outcome) == RIGHT.files
    assert outcome.taken_from == "action cache (all)"
    assert farm.runs == ["work"]
    assert farm.calls["FindMissingBlobs"] == asked


def test_where_all_is_believed_a_poisoned_result_is_taken_too(bench: Bench) -> None:
    farm = bench.serve({"work": lambda _: RIGHT})
    bench.run(bench.engine(), action("work"))
    poison(farm)
    outcome = bench.run(bench.engine(cache="all"), action("work"))
    # That is what an audit is for.
    assert bench.content(outcome) == WRONG.files
    assert outcome.taken_from == "action cache (all)"


def test_our_own_results_are_taken_by_their_signature(bench: Bench, tmp_path: Path) -> None:
    farm = bench.serve({"work": lambda _: RIGHT})
    own = {"cache": "own", "key": key(tmp_path)}
    bench.run(bench.engine(**own), action("work"))
    outcome = bench.run(bench.engine(**own), action("work"))
    assert bench.content(outcome) == RIGHT.files
    assert (outcome.taken_from, farm.runs) == ("action cache (own)", ["work"])


def test_the_farms_own_results_are_not_ours(bench: Bench, tmp_path: Path) -> None:
    farm = bench.serve({"work": lambda _: RIGHT})
    bench.run(bench.engine(), action("work"))
    outcome = bench.run(bench.engine(cache="own", key=key(tmp_path)), action("work"))
    assert (outcome.taken_from, farm.runs) == ("", ["work", "work"])


def test_a_result_that_was_changed_is_not_ours(bench: Bench, tmp_path: Path) -> None:
    farm = bench.serve({"work": lambda _: RIGHT})
    own = {"cache": "own", "key": key(tmp_path)}
    bench.run(bench.engine(**own), action("work"))
    poison(farm)
    outcome = bench.run(bench.engine(**own), action("work"))
    assert bench.content(outcome) == RIGHT.files
    assert (outcome.taken_from, farm.runs) == ("", ["work", "work"])
    assert any("did not sign" in note for note in bench.notes)


def test_a_signature_of_another_action_does_not_do(bench: Bench, tmp_path: Path) -> None:
    farm = bench.serve({"work": lambda _: RIGHT, "other": lambda _: WRONG})
    own = {"cache": "own", "key": key(tmp_path)}
    bench.run(bench.engine(**own), action("other"))
    (signed,) = (r for r in farm.results.values() if r.execution_metadata.auxiliary_metadata)
    before = set(farm.results)
    bench.run(bench.engine(**own), action("work"))
    for name in set(farm.results) - before:
        farm.results[name] = signed
    outcome = bench.run(bench.engine(**own), action("work"))
    assert bench.content(outcome) == RIGHT.files
    assert outcome.taken_from == ""


def test_another_key_is_somebody_else(bench: Bench, tmp_path: Path) -> None:
    farm = bench.serve({"work": lambda _: RIGHT})
    for number in range(2):
        engine = bench.engine(cache="own", key=key(tmp_path, f"{number}.pem"))
        bench.run(engine, action("work"))
    assert farm.runs == ["work", "work"]


def test_a_failure_is_not_put_there(bench: Bench, tmp_path: Path) -> None:
    farm = bench.serve({"work": lambda _: Made(exit_status=1)})
    bench.run(bench.engine(cache="own", key=key(tmp_path)), action("work"))
    assert farm.calls["UpdateActionResult"] == 0


def test_a_cache_that_takes_nothing_is_said_once(bench: Bench, tmp_path: Path) -> None:
    farm = bench.serve({"work": lambda _: RIGHT, "other": lambda _: RIGHT})
    farm.updates = False
    engine = bench.engine(cache="own", key=key(tmp_path))
    for name in ("work", "other"):
        assert bench.content(bench.run(engine, action(name))) == RIGHT.files
    assert sum("takes no results of ours" in note for note in bench.notes) == 1


def test_a_result_whose_files_are_lost_is_made_anew(bench: Bench) -> None:
    farm = bench.serve({"work": lambda _: RIGHT})
    bench.run(bench.engine(), action("work"))
    (bench.store.root / "blobs").rename(bench.store.root / "gone")
    (bench.store.root / "blobs").mkdir()
    farm.forget(farm.name(b"right"))
    outcome = bench.run(bench.engine(cache="all"), action("work"))
    assert bench.content(outcome) == RIGHT.files
    assert farm.runs == ["work", "work"]
    assert any("has lost its files" in note for note in bench.notes)


def test_a_remembered_result_needs_its_report(bench: Bench) -> None:
    farm = bench.serve({"work": lambda _: RIGHT})
    bench.run(bench.engine(), action("work"))
    for result in farm.results.values():
        del result.output_files[:]
    with pytest.raises(InfrastructureError, match="not run in isolation"):
        bench.run(bench.engine(cache="all"), action("work"))


@pytest.mark.parametrize("content", [b"no key", b""])
def test_a_key_that_is_none_is_said(bench: Bench, tmp_path: Path, content: bytes) -> None:
    bench.serve({})
    place = tmp_path / "key.pem"
    place.write_bytes(content)
    with pytest.raises(InputError, match="signed with cannot be read"):
        bench.engine(cache="own", key=place).meet()


def test_a_key_of_another_kind_is_said(bench: Bench, tmp_path: Path) -> None:
    bench.serve({})
    place = tmp_path / "key.pem"
    place.write_bytes(
        X25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    with pytest.raises(InputError, match="Ed25519"):
        bench.engine(cache="own", key=place).meet()


def test_the_statement_does_not_depend_on_the_form(bench: Bench, tmp_path: Path) -> None:
    farm = bench.serve({"work": lambda _: Made({"out": b"right"}, stdout=b"words")})
    own = {"cache": "own", "key": key(tmp_path)}
    bench.run(bench.engine(**own), action("work"))
    for result in farm.results.values():
        # A farm may give words as bytes that it was given as a blob.
        result.stdout_raw = b"words"
        result.ClearField("stdout_digest")
        result.output_files.sort(key=lambda one: one.path, reverse=True)
        assert isinstance(result, api.ActionResult)
    outcome = bench.run(bench.engine(**own), action("work"))
    assert outcome.taken_from == "action cache (own)"


def _no_words(result: api.ActionResult) -> None:
    result.stdout_digest.size_bytes = 0


def _no_name(result: api.ActionResult) -> None:
    result.stdout_digest.hash = "none"


def _other_words(result: api.ActionResult) -> None:
    result.ClearField("stdout_digest")
    result.stdout_raw = b"other words"


def _no_complaint(result: api.ActionResult) -> None:
    result.stderr_raw = b""


def _other_worker(result: api.ActionResult) -> None:
    result.execution_metadata.worker = "another"


def _small_tree(result: api.ActionResult) -> None:
    result.output_directories[0].tree_digest.size_bytes = 0


def _two_reports(result: api.ActionResult) -> None:
    result.output_files.add(path=REPORT, digest=result.output_directories[0].tree_digest)


CHANGES = (
    _no_words,
    _no_name,
    _other_words,
    _no_complaint,
    _other_worker,
    _small_tree,
    _two_reports,
)


def _saying(_: object) -> Made:
    return Made({"out": b"right"}, stdout=b"words", stderr=b"a complaint")


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_that_counts_can_be_changed(
    bench: Bench, tmp_path: Path, change: Callable[[api.ActionResult], None]
) -> None:
    farm = bench.serve({"work": _saying})
    own = {"cache": "own", "key": key(tmp_path)}
    first = bench.run(bench.engine(**own), action("work"))
    (signed,) = (r for r in farm.results.values() if r.execution_metadata.auxiliary_metadata)
    change(signed)
    outcome = bench.run(bench.engine(**own), action("work"))
    assert outcome == first
    assert (outcome.taken_from, farm.runs) == ("", ["work", "work"])
    assert any("did not sign" in note for note in bench.notes)


def test_bytes_that_come_with_a_signed_name_are_those_of_the_name(
    bench: Bench, tmp_path: Path
) -> None:
    farm = bench.serve({"work": _saying})
    own = {"cache": "own", "key": key(tmp_path)}
    first = bench.run(bench.engine(**own), action("work"))
    for result in farm.results.values():
        (report,) = result.output_files
        forged = json.dumps({"status": 7, "ended_by": ""}).encode()
        report.contents = forged.ljust(report.digest.size_bytes)
        assert len(report.contents) == report.digest.size_bytes
        result.stdout_raw = b"WORDS"
    outcome = bench.run(bench.engine(**own), action("work"))
    assert replace(outcome, taken_from="") == first
    assert (outcome.taken_from, farm.runs) == ("action cache (own)", ["work"])


@pytest.mark.parametrize("cache", ["none", "own"])
def test_a_farm_that_answers_from_its_cache_unasked_is_refused(
    bench: Bench, tmp_path: Path, cache: str
) -> None:
    farm = bench.serve({"work": lambda _: RIGHT})
    bench.run(bench.engine(), action("work"))
    poison(farm)
    farm.heeds = False
    settings = {"cache": cache, **({"key": key(tmp_path)} if cache == "own" else {})}
    with pytest.raises(InfrastructureError, match=r"ran nothing for work.*skip_cache_lookup") as no:
        bench.run(bench.engine(**settings), action("work"))
    assert 'cache = "all"' in (no.value.remedy or "")
    # Least of all is it signed.
    assert farm.calls["UpdateActionResult"] == 0


def test_where_all_is_believed_such_an_answer_is_too(bench: Bench) -> None:
    farm = bench.serve({"work": lambda _: RIGHT})
    bench.run(bench.engine(), action("work"))
    farm.heeds = False
    farm.plant("GetActionResult", code=grpc.StatusCode.NOT_FOUND)
    outcome = bench.run(bench.engine(cache="all"), action("work"))
    assert (outcome.taken_from, farm.runs) == ("action cache (all)", ["work"])


def test_a_key_of_a_kind_that_is_not_known_is_said(bench: Bench, tmp_path: Path) -> None:
    bench.serve({})
    place = key(tmp_path)
    # Ed25519
    place.write_bytes(of_unknown_kind(place.read_bytes(), "06032b6570"))
    with pytest.raises(InputError, match="signed with cannot be read") as refused:
        bench.engine(cache="own", key=place).meet()
    assert refused.value.subject == str(place)

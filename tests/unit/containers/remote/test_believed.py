"""Which results of a farm's action cache are taken, and by what a poisoned one is found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from containers.remote import reapi_pb2 as api
from reproducibility.errors import InputError
from tests.fakes import Made, action

if TYPE_CHECKING:
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
    from reproducibility.errors import InfrastructureError

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

"""What an earlier lock proves of the public log is neither lost nor replaced."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.cli.session import Manner, Session
from orchestrator.cli.stopping import Stopping
from orchestrator.cli.views import inputs as cli_inputs
from orchestrator.inputs import log_records, resolve
from orchestrator.lock import differences
from orchestrator.lock import file as locks
from orchestrator.lock.file import Absent, GoModule, Recorded
from orchestrator.spec import model as specs
from reproducibility.errors import ComparisonError, InputError
from tests.unit.orchestrator.inputs.world import (
    SPEC,
    TOOLCHAIN,
    TOOLS,
    WHEEL,
    done,
    h1,
    module_zip,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from containers.host.process import Completed
    from orchestrator.lock.file import Lock
    from orchestrator.spec.model import Spec
    from orchestrator.store import Store
    from tests.unit.orchestrator.inputs.world import World

OTHER = "h1:" + "B" * 43 + "="
RISCV64 = (TOOLCHAIN[0], TOOLCHAIN[1].replace("amd64", "riscv64"))
ARM64 = (TOOLCHAIN[0], TOOLCHAIN[1].replace("amd64", "arm64"))


def make(
    world: World,
    spec: Spec,
    store: Store,
    previous: Lock | None = None,
    update: AbstractSet[str] = frozenset(),
) -> Lock:
    return resolve.lock(spec, previous, store, update=update, clients=world.clients())


def unknown(what: str, answer: str = "404 Not Found") -> Completed:
    """What the go command says of a module that a mirror has and the log does not."""
    error = f"{what}: verifying module: {what}: reading https://log.example/lookup/{what}: {answer}"
    return done(json.dumps({"Error": f"{error}\n\tserver response: not found: timeout"}), 1)


def forget(world: World, module: tuple[str, str], answer: str = "404 Not Found") -> None:
    """Let the log say that it knows nothing of a module, as the go command tells it."""
    what = "@".join(module)
    world.failing = lambda command: unknown(what, answer) if what in command else None


@pytest.fixture(name="before")
def _before(world: World, spec: Spec, store: Store) -> Lock:
    """A lock that proves the log's records of both toolchains and of the source."""
    world.log.add(*RISCV64, "h1:" + "A" * 43 + "=")
    lock = make(world, spec, store)
    assert all(isinstance(entry, Recorded) for entry in lock.toolchain.log.values())
    return lock


@pytest.mark.parametrize("answer", ["404 Not Found", "410 Gone"])
@pytest.mark.parametrize(
    ("module", "update"), [(TOOLCHAIN, "go"), (RISCV64, "go"), (TOOLS, "tools")]
)
def test_a_record_that_an_earlier_lock_proves_cannot_vanish(  # noqa: PLR0913 - fixtures and cases
    world: World,
    spec: Spec,
    store: Store,
    before: Lock,
    module: tuple[str, str],
    update: str,
    answer: str,
) -> None:
    forget(world, module, answer)
    with pytest.raises(ComparisonError) as refused:
        make(world, spec, store, before, {update})
    told = refused.value.diagnostics()
    assert f"the record of {'@'.join(module)} has vanished from the public log" in told
    assert answer in told
    assert "equivocates" in refused.value.remedy
    assert refused.value.status == 1


def test_a_record_is_known_by_its_module_not_by_the_sources_name(
    world: World, spec: Spec, store: Store, before: Lock
) -> None:
    forget(world, TOOLS)
    text = SPEC.replace("[[source]]", '[[source]]\nname = "other"')
    renamed = specs.parse(text, spec.folder / "sourcery.toml")
    with pytest.raises(ComparisonError, match="has vanished from the public log"):
        make(world, renamed, store, before)


@pytest.mark.parametrize(
    ("module", "update"), [(TOOLCHAIN, "go"), (RISCV64, "go"), (TOOLS, "tools")]
)
def test_a_record_that_has_moved_in_the_log_is_refused(  # noqa: PLR0913 - fixtures and cases
    world: World, spec: Spec, store: Store, before: Lock, module: tuple[str, str], update: str
) -> None:
    first = {"example.org/first@v1.0.0": f"example.org/first v1.0.0 {OTHER}\n"}
    world.log.records = {**first, **world.log.records}
    with pytest.raises(
        ComparisonError, match=r"record of .* has changed: .*; now number"
    ) as refused:
        make(world, spec, store, before, {update})
    assert "equivocates" in refused.value.remedy
    assert module[0] in refused.value.subject


def test_a_record_of_another_hash_is_refused(
    world: World, spec: Spec, store: Store, before: Lock
) -> None:
    what = "@".join(RISCV64)
    world.log.records[what] = world.log.records[what].replace("h1:" + "A" * 43 + "=", OTHER)
    with pytest.raises(ComparisonError, match=f"has changed: .*{OTHER}"):
        make(world, spec, store, before, {"go"})


def test_a_module_and_a_record_that_were_both_replaced_are_refused(
    world: World, spec: Spec, store: Store, before: Lock
) -> None:
    world.modules[TOOLS] = module_zip(*TOOLS, {"go.mod": b"module example.org/tools // other\n"})
    what, other = "@".join(TOOLS), h1(world.modules[TOOLS])
    old = before.find("tools")
    assert isinstance(old, GoModule)
    world.log.records[what] = world.log.records[what].replace(old.h1, other)
    with pytest.raises(ComparisonError, match="has changed"):
        make(world, spec, store, before, {"tools"})


def test_who_does_not_ask_the_log_keeps_the_earlier_proof(
    world: World, spec: Spec, store: Store, before: Lock
) -> None:
    del world.log.records["@".join(TOOLS)]  # the world then answers as under GONOSUMDB
    assert make(world, spec, store, before, {"tools"}) == before
    world.modules[TOOLS] = module_zip(*TOOLS, {"go.mod": b"module example.org/tools // other\n"})
    with pytest.raises(ComparisonError, match="is not what the public log says: expected h1:"):
        make(world, spec, store, before, {"tools"})


def test_a_record_that_was_absent_may_come_and_is_told(
    world: World, spec: Spec, store: Store
) -> None:
    kept = {name: world.log.records.pop("@".join(name)) for name in (TOOLS,)}
    before = make(world, spec, store)
    tools = before.find("tools")
    assert isinstance(tools, GoModule)
    assert isinstance(tools.log, Absent)
    assert isinstance(before.toolchain.log["riscv64"], Absent)
    world.log.records |= {"@".join(name): text for name, text in kept.items()}
    world.log.add(*RISCV64, "h1:" + "A" * 43 + "=")
    after = make(world, spec, store, make(world, spec, store, before, {"go"}), {"tools"})
    told = differences.moved(before, after)
    assert any(line.startswith("tools v1.2.3: public record: number ") for line in told)
    assert any(line.startswith("public record of go for riscv64: number ") for line in told)


def test_another_version_is_another_matter(
    world: World, spec: Spec, store: Store, before: Lock
) -> None:
    name, version = TOOLS[0], "v1.2.4"
    files = {"go.mod": b"module example.org/tools\n", "cmd/ls/main.go": b"package main\n"}
    world.modules[name, version] = module_zip(name, version, files)
    newer = specs.parse(SPEC.replace("v1.2.3", version), spec.folder / "sourcery.toml")
    after = make(world, newer, store, before)
    tools = after.find("tools")
    assert isinstance(tools, GoModule)
    assert isinstance(tools.log, Absent)


def test_a_contradiction_for_another_machine_is_not_passed_over(
    world: World, spec: Spec, store: Store
) -> None:
    world.wheels[WHEEL.replace("x86_64", "aarch64")] = world.wheels[WHEEL]
    world.modules[ARM64] = module_zip(*ARM64, {"bin/go": b"arm64"})
    world.log.add(*ARM64, h1(world.modules[ARM64]))
    clients = world.clients()
    before = resolve.lock(spec, None, store, hosts=("arm64",), clients=clients)
    assert isinstance(before.toolchain.log["arm64"], Recorded)
    forget(world, ARM64)
    with pytest.raises(ComparisonError, match="has vanished"):
        make(world, spec, store, before, {"go"})

    def tampered(command: Sequence[str]) -> Completed | None:
        what = "@".join(ARM64)
        error = f"{what}: verifying module: checksum mismatch"
        return done(json.dumps({"Error": error}), 1) if what in command else None

    world.failing = tampered
    with pytest.raises(InputError, match="is not what the public log"):
        make(world, spec, store, before, {"go"})


def test_a_module_without_any_record_says_what_to_do(
    world: World, spec: Spec, store: Store
) -> None:
    forget(world, TOOLS)
    with pytest.raises(InputError, match="the public log answered 404 Not Found") as refused:
        make(world, spec, store)
    assert "GONOSUMDB" in refused.value.remedy
    assert refused.value.status == 2


def test_a_refused_lock_leaves_the_file_alone(
    world: World, spec: Spec, store: Store, before: Lock
) -> None:
    path = spec.folder / "sourcery.lock"
    locks.save(before, path)
    data = path.read_bytes()
    forget(world, RISCV64)
    with pytest.raises(ComparisonError):
        make(world, spec, store, locks.load(path), {"go"})
    assert path.read_bytes() == data


# -- a lock that is refused ------------------------------------------------------------------------


def refused(
    before: Lock, path: Path, change: Callable[[dict[str, Any]], None]
) -> log_records.Records:
    """What `orchestrate lock` takes of a lock that does not load."""
    document = json.loads(locks.dump(before))
    change(document)
    path.write_text(json.dumps(document))
    session = Session(("lock",), Manner(), Stopping())
    previous, records = cli_inputs._previous(path, session)
    assert previous is None
    assert records is not None
    return records


def of_another_schema(document: dict[str, Any]) -> None:
    document["schema"] = 2
    document["sources"] = {"deep": [document.pop("inputs")]}


def changed_by_hand(document: dict[str, Any]) -> None:
    document["toolchain"]["bin"] = ["other"]


def cut(document: dict[str, Any]) -> None:
    del document["wanted"]
    del document["checksum"]


@pytest.mark.once
@pytest.mark.parametrize("change", [of_another_schema, changed_by_hand, cut])
@pytest.mark.parametrize("module", [TOOLCHAIN, RISCV64, TOOLS])
def test_what_a_refused_lock_proves_is_not_lost(  # noqa: PLR0913 - fixtures and cases
    world: World,
    spec: Spec,
    store: Store,
    before: Lock,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[dict[str, Any]], None],
    module: tuple[str, str],
) -> None:
    records = refused(before, tmp_path / "sourcery.lock", change)
    assert set(records) == {TOOLCHAIN, RISCV64, TOOLS}
    told = capsys.readouterr().err
    assert "the present lock is refused" in told
    assert f"its proofs of the public log still count: {'@'.join(TOOLS)}, " in told
    clients = world.clients()
    assert resolve.lock(spec, None, store, clients=clients, records=records) == before
    forget(world, module)
    with pytest.raises(ComparisonError, match="has vanished from the public log"):
        resolve.lock(spec, None, store, clients=clients, records=records)


@pytest.mark.parametrize(
    "damage",
    [
        lambda log: log["proof"].reverse(),
        lambda log: log.update(number=log["number"] + 1),
        lambda log: log["record"].insert(0, "example.org/mine v1.0.0 h1:" + "A" * 43 + "="),
        lambda log: log["record"].insert(0, "nonsense"),
        lambda log: log.update(tree_head=[]),
        lambda log: log.update(proof="none"),
        lambda log: log.update(more=1),
        lambda log: log.pop("number"),
    ],
)
def test_what_a_refused_lock_does_not_prove_does_not_count(
    before: Lock, tmp_path: Path, damage: Callable[[dict[str, Any]], object]
) -> None:
    def change(document: dict[str, Any]) -> None:
        (tools,) = (one for one in document["inputs"] if one["name"] == "tools")
        damage(tools["log"])

    records = refused(before, tmp_path / "sourcery.lock", change)
    assert set(records) == {TOOLCHAIN, RISCV64}


def test_a_false_record_in_the_earlier_lock_proves_nothing(
    world: World, spec: Spec, store: Store, before: Lock
) -> None:
    tools = before.find("tools")
    assert isinstance(tools, GoModule)
    assert isinstance(tools.log, Recorded)
    false = tools.log.model_copy(update={"record": (*tools.log.record[:-1], "changed")})
    others = tuple(found for found in before.inputs if found is not tools)
    changed = tools.model_copy(update={"log": false})
    damaged = before.model_copy(update={"inputs": (*others, changed)})
    after = make(world, spec, store, damaged, {"tools"}).find("tools")
    assert isinstance(after, GoModule)
    assert after.log == tools.log


def looked_at(path: Path, *, keep: bool = False) -> tuple[Lock | None, object]:
    return cli_inputs._previous(path, Session(("lock",), Manner(), Stopping()), keep=keep)


@pytest.mark.parametrize("data", [b"", b" \n\t\r\n", b"\xef\xbb\xbf\n"])
@pytest.mark.parametrize("keep", [False, True])
def test_a_lock_without_a_word_in_it_is_none(tmp_path: Path, data: bytes, keep: bool) -> None:
    path = tmp_path / "sourcery.lock"
    path.write_bytes(data)
    assert looked_at(path, keep=keep) == (None, None)


@pytest.mark.parametrize(
    "plant",
    [
        os.mkfifo,
        lambda path: path.symlink_to("/dev/zero"),
        lambda path: path.symlink_to("nowhere"),
        lambda path: path.mkdir(),
        lambda path: path.write_bytes(b"text"),
        lambda path: path.write_bytes("{}".encode("utf-16")),
    ],
)
def test_what_is_no_lock_is_refused_and_never_waited_for(
    tmp_path: Path, plant: Callable[[Path], object]
) -> None:
    path = tmp_path / "sourcery.lock"
    plant(path)
    with pytest.raises(InputError, match="would be lost with it"):
        looked_at(path)
    with pytest.raises(InputError):
        looked_at(path, keep=True)


def test_a_mark_before_a_refused_lock_hides_nothing_that_it_proves(
    before: Lock, tmp_path: Path
) -> None:
    path = tmp_path / "sourcery.lock"
    document = json.loads(locks.dump(before)) | {"schema": 2}
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps(document).encode())
    previous, records = looked_at(path)
    assert previous is None
    assert records

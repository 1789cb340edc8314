"""Earlier results that are no files or are not there, and a lock that claims what is not so.

That it finds another byte, on real actions, is in `test_build_docker.py`: a whole rebuild takes
minutes, and one is enough. Here small actions are run in the real sandbox, and the command line is
stopped by what it finds before it has run anything.
"""

from __future__ import annotations

import json
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from containers.action import Mount
from containers.policy import Limits, Policy
from orchestrator.execution import rebuilding
from orchestrator.execution.scheduler import Scheduler
from orchestrator.execution.step import Execution, Step
from orchestrator.store import Store, records
from reproducibility import canonical, codes
from reproducibility import digest as digests
from reproducibility.compare import Check, Verdict, complete
from tests.fakes import FakeObserver
from tests.integration import building
from tests.integration.building import Orchestrate, clone

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from containers.engine import Engine
    from tests.integration.conftest import Built
    from tests.integration.engine_fixtures import Builder, Engines

pytestmark = [pytest.mark.needs_sandbox, pytest.mark.needs_network, pytest.mark.slow]


def of_step(store: Path, name: str) -> Path:
    """Where the sandbox's newest result of a step lies."""
    paths = (store / "results" / "action-sandbox").rglob("*.json")
    named = [path for path in paths if json.loads(path.read_bytes())["name"] == name]
    return max(named, key=lambda path: path.stat().st_mtime_ns)


def a_folder(place: Path) -> None:
    place.unlink()
    place.mkdir()


def a_loop(place: Path) -> None:
    place.unlink()
    place.symlink_to(place)


@pytest.mark.parametrize("spoil", [a_folder, a_loop])
def test_what_is_no_file_in_an_earlier_results_place_is_made_again(
    small_own: Built, small: Orchestrate, place: Path, spoil: Callable[[Path], None]
) -> None:
    assert small_own.ran.status == 0
    command = Orchestrate(small.project, clone(small.store, place / "store"))
    spoil(record := of_step(command.store, "T1/dist"))
    ran = command.build(place / "out", "--arch", building.HOST)
    assert ran.executed() == ["T1/dist"]
    assert ran.image == small_own.ran.image
    assert record.is_file()
    assert not record.is_symlink()


def test_a_false_record_of_the_log_fails_the_build_that_relies_on_it(
    small_own: Built, small: Orchestrate, place: Path
) -> None:
    """The lock is read; what it claims of the public log is verified by checks, all at once."""
    assert small_own.ran.status == 0
    project = place / "project"
    project.mkdir()
    (project / "sourcery.toml").write_bytes((small.project / "sourcery.toml").read_bytes())
    document = json.loads((small.project / "sourcery.lock").read_bytes())
    (source,) = (found for found in document["inputs"] if found.get("module") == building.SMALL)
    source["log"]["proof"].reverse()
    document["toolchain"]["log"][building.HOST]["number"] ^= 1
    del document["checksum"]
    document["checksum"] = str(digests.of_bytes(canonical.dumps(document)))
    (project / "sourcery.lock").write_bytes(canonical.pretty(document))
    command = Orchestrate(project, small.store)
    ran = command.build(place / "out", "--arch", building.HOST, status=1)
    subject = f"{building.SMALL}@{source['version']}"
    failed = {key for key, said in ran.checks().items() if said == "FAIL"}
    assert failed == {
        (codes.LOG, building.HOST),
        (codes.RELEASE, building.HOST),
        (codes.LOG, subject),
        (codes.SOURCE, subject),
    }
    assert ran.document["verdict"] == "FAIL"
    assert ran.executed() == []


def steps(builder: Builder) -> list[Step]:
    """Two small actions, the second one reading the first one's outputs."""
    return [
        Step("first", "", "", (), lambda _: builder.action("produce", outputs=("out",))),
        Step(
            "second",
            "",
            "",
            ("first",),
            lambda results: builder.action(
                "produce", outputs=("single",), mounts=(Mount("/input", results["first"].tree),)
            ),
        ),
    ]


def rebuild(builder: Builder, store: Path, engine: Engine) -> dict[str, Check]:
    """Every step again; the checks by step."""
    planned = steps(builder)
    with closing(Store(store)) as opened:
        ran: Execution = Scheduler(
            engine=engine,
            store=opened,
            policy=Policy(Limits(seconds=120)),
            observer=FakeObserver(),
            jobs=2,
            rebuild=True,
            stop=threading.Event(),
        ).run(planned)
    found = complete(rebuilding.checks(ran.compared.values()), rebuilding.expected(planned))
    return {check.subject: check for check in found}


def verdicts(found: dict[str, Check]) -> tuple[Verdict, Verdict]:
    """Of the first step and the second one."""
    assert set(found) == {"first", "second"}
    return found["first"].verdict, found["second"].verdict


@pytest.fixture
def empty(builder: Builder, place: Path) -> Path:
    """A store in which nothing is remembered; it has what the actions run on."""
    store = place / "store"
    with closing(Store(store)) as opened, builder.store.temporary() as folder:
        builder.store.export(builder.root, folder / "root", 0)
        opened.put_tree(folder / "root")
    return store


def plant_another_result(store: Path) -> None:
    """Let the sandbox have made of the first step what it made of the second one."""
    place = of_step(store, "first")
    document = records.opened(place.read_bytes())
    document["outputs"] = records.opened(of_step(store, "second").read_bytes())["outputs"]
    place.write_bytes(records.sealed(document))


def test_a_rebuild_into_an_empty_store_is_no_pass_and_the_next_one_is(
    builder: Builder, empty: Path, engines: Engines
) -> None:
    sandbox = engines["sandbox"]
    assert verdicts(rebuild(builder, empty, sandbox)) == (Verdict.SKIP, Verdict.SKIP)
    assert verdicts(rebuild(builder, empty, sandbox)) == (Verdict.PASS, Verdict.PASS)
    plant_another_result(empty)
    assert verdicts(rebuild(builder, empty, sandbox)) == (Verdict.FAIL, Verdict.PASS)


@pytest.mark.needs_docker
def test_what_another_engine_made_is_the_base_and_is_named(
    builder: Builder, empty: Path, engines: Engines
) -> None:
    rebuild(builder, empty, engines["sandbox"])
    plant_another_result(empty)
    docker = engines["docker-api"]
    found = rebuild(builder, empty, docker)
    assert verdicts(found) == (Verdict.FAIL, Verdict.PASS)
    own = engines["sandbox"].identity.own
    assert all(f"the earlier result of sandbox ({own}, " in one.reason for one in found.values())
    assert docker.processors >= 1
    # What differed has not become a base of its own; what agreed has.
    again = rebuild(builder, empty, docker)
    assert verdicts(again) == (Verdict.FAIL, Verdict.PASS)
    assert f"the earlier result of docker ({docker.identity.own}, " in again["second"].reason

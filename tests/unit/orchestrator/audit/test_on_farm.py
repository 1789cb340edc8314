"""An audit on a farm whose cache is believed: everything is run nevertheless."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from containers import registry
from containers.remote.engine import RemoteEngine
from containers.remote.farm import Farm, Workers
from orchestrator import farm
from reproducibility.errors import InfrastructureError
from reproducibility.manifest import Tree
from tests.fake_farm import FakeFarm
from tests.fake_isolation import FakeIsolation
from tests.fakes import Made
from tests.unit.orchestrator.audit.world import OBSERVE, clean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from containers.engine import Engine
    from containers.remote.farm import Settings
    from tests.fake_farm import Seen
    from tests.unit.orchestrator.audit.world import World

ASKED: dict[str, Any] = {"engine": "remote", "vary": ("host",)}


class Making:
    """Work on a farm: makes what it is told to."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def __call__(self, _: Seen) -> Made:
        return Made({"out": self.content})


@pytest.fixture
def work() -> Making:
    return Making(b"a")


@pytest.fixture
def served(tmp_path: Path, work: Making) -> Iterator[FakeFarm]:
    with FakeFarm(tmp_path, {"a": work, OBSERVE: lambda _: Made(stdout=b"{}")}) as started:
        yield started


@pytest.fixture
def one(world: Callable[..., World], served: FakeFarm, monkeypatch: pytest.MonkeyPatch) -> World:
    """A build by another engine, that is audited on the farm."""
    made = world(a=clean)

    def connect(name: str, _: Path, settings: Settings | None) -> Engine:
        if settings is None:
            return made.engine
        assert name == "remote"
        return RemoteEngine(settings, FakeIsolation())

    monkeypatch.setattr(registry, "connect", connect)
    monkeypatch.setattr(farm.Tools, "__call__", lambda *_: Tree())
    assert served.runs == []
    return made


@pytest.fixture(params=["own", "all"])
def believed(request: pytest.FixtureRequest, served: FakeFarm, tmp_path: Path) -> Farm:
    """The farm, some of whose results are believed."""
    place = tmp_path / "key.pem"
    place.write_bytes(
        Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    key = place if request.param == "own" else None
    return Farm(served.address, {"amd64": Workers((), 2)}, cache=request.param, key=key)


def test_each_audit_runs_each_action(one: World, served: FakeFarm, believed: Farm) -> None:
    for number in (1, 2):
        found = one.audit(farm=believed, **ASKED)
        assert [made.verdict for made in found.steps] == ["PASS"]
        assert served.runs.count("a") == number
    # Nothing of it is for a build to take, either.
    assert served.calls["GetActionResult"] == served.calls["UpdateActionResult"] == 0


def test_what_a_build_would_take_does_not_pass_an_audit(
    one: World, served: FakeFarm, work: Making, believed: Farm
) -> None:
    """An action that makes something else now, of which the cache has what it made before."""
    one.audit(farm=believed, **ASKED)
    work.content = b"b"
    found = one.audit(farm=believed, bisect=True, **ASKED)
    assert [made.verdict for made in found.steps] == ["FAIL"]
    bisected = found.steps[0].bisected
    assert bisected is not None
    assert bisected.itself
    assert served.runs.count("a") == 2 + bisected.runs


def test_a_result_that_was_taken_from_somewhere_is_compared_with_nothing(
    world: Callable[..., World],
) -> None:
    made = world(a=clean)
    made.engine.taken_from["a"] = "action cache (all)"
    with pytest.raises(InfrastructureError, match="was to be run again") as caught:
        made.audit()
    assert "action cache (all)" in caught.value.summary

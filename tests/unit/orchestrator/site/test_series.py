"""Series: which value is of which night, and that none is taken for a measurement that is none."""

from __future__ import annotations

from orchestrator.history.model import Image
from orchestrator.site import series
from tests import nights
from tests.unit.orchestrator.site.sites import MONTH


def test_stages_are_in_their_order_and_those_left_out_have_no_time() -> None:
    found = {one.name: one for one in series.stages(MONTH)}
    assert list(found) == ["relock", "build", "audit", "boot", "verify"]
    assert found["build"].values[0] == 2554.2
    # Night 23 built nothing.
    assert [at + 1 for at, value in enumerate(found["audit"].values) if value is None] == [23]
    assert found["audit"].written(22) == ""
    assert found["audit"].written(21) == "36 min 48 s"


def test_the_slowest_steps_are_those_of_the_last_night() -> None:
    found = series.steps(MONTH)
    assert [one.name for one in found] == [
        "cross/riscv64", "F2", "F1", "std/amd64", "T1/toolchain", "commands/amd64/0",
    ]  # fmt: skip
    slower = nights.night(32, steps=(nights.step("new", seconds=9999.0),))
    assert series.steps([*MONTH, slower])[0].name == "new"
    assert series.steps([*MONTH, slower])[0].values == (*[None] * 31, 9999.0)


def test_first_runs_are_told_apart_by_machine() -> None:
    names = [one.name for one in series.commands(MONTH)]
    assert names[:2] == ["riscv64-uefi: go build ./hello", "amd64-uefi: go build ./hello"]
    long = nights.night(machines=(nights.machine(commands={"x" * 500: 1.0}),))
    assert len(series.commands([long])[0].name) == 48


def test_products_are_the_image_and_the_checks() -> None:
    size, passed, others = series.products(MONTH)
    assert size.values[0] == 1_787_822_080
    assert (passed.values[0], others.values[0]) == (3, 1)
    assert (passed.values[16], others.values[16]) == (3, 2)
    for one in (size, passed, others):
        assert one.values[22] is None


def test_an_image_of_any_size_is_one() -> None:
    sizes = (0, 1 << 60, (1 << 60) + 1, 10**99)
    those = [
        nights.night(number, image=Image(blake3=nights.of("image"), size=size))
        for number, size in enumerate(sizes, 1)
    ]
    assert series.products(those)[0].values == (0, 1 << 60, None, None)

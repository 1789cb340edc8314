"""How a farm is spoken to: headers, their renewal, and that none of them gets anywhere else."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from containers.remote import reapi_pb2 as api
from containers.remote.farm import Headers
from reproducibility.errors import InfrastructureError, InputError
from tests.fakes import Made, action

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.containers.remote.conftest import Bench

SECRET = "Bearer something-secret"  # noqa: S105 - none, but it is to be seen nowhere


def test_headers_come_from_a_file(bench: Bench, tmp_path: Path) -> None:
    farm = bench.serve({"work": lambda _: Made({"out": b""})})
    farm.token = SECRET
    place = tmp_path / "headers"
    place.write_text(f"Authorization: {SECRET}\n\nX-Tenant: us\n")
    bench.run(bench.engine(headers=Headers(file=place)), action("work"))
    assert {given["x-tenant"] for given in farm.headers} == {"us"}
    given = farm.headers[0]["build.bazel.remote.execution.v2.requestmetadata-bin"]
    assert isinstance(given, bytes)
    told = api.RequestMetadata.FromString(given)
    assert told.tool_details.tool_name == "sourcery"


def test_headers_come_from_a_command_and_are_renewed(bench: Bench, tmp_path: Path) -> None:
    farm = bench.serve({"work": lambda _: Made({"out": b""})})
    place = tmp_path / "token"
    place.write_text("authorization: old")
    farm.token = "old"  # noqa: S105 - a test's
    show = "import sys; print(open(sys.argv[1]).read())"
    engine = bench.engine(headers=Headers(command=(sys.executable, "-c", show, str(place))))
    engine.meet()
    # It expires, and the command knows another one.
    farm.token = SECRET
    place.write_text(f"authorization: {SECRET}")
    assert bench.run(engine, action("work")).exit_status == 0


def test_a_token_that_is_refused_is_shown_nowhere(bench: Bench, tmp_path: Path) -> None:
    farm = bench.serve({"work": lambda _: Made({"out": b""})})
    farm.token = "another"  # noqa: S105 - a test's
    place = tmp_path / "headers"
    place.write_text(f"authorization: {SECRET}")
    with pytest.raises(InfrastructureError, match="UNAUTHENTICATED") as caught:
        bench.engine(headers=Headers(file=place)).meet()
    assert SECRET not in str(caught.value)
    assert "[headers]" in caught.value.remedy


@pytest.mark.parametrize(
    "line",
    ["no header", ": x", "a b: x", "x-bin: x", "a: \x01", "a: é"],
)
def test_a_line_that_is_no_header_is_refused_and_not_shown(
    bench: Bench, tmp_path: Path, line: str
) -> None:
    bench.serve({})
    place = tmp_path / "headers"
    place.write_text(f"good: {SECRET}\n{line}\n", "utf-8")
    with pytest.raises(InputError, match="line 2 is no header") as caught:
        bench.engine(headers=Headers(file=place)).meet()
    assert SECRET not in str(caught.value)


def test_a_command_that_fails_is_said_without_its_words(bench: Bench) -> None:
    bench.serve({})
    words = (sys.executable, "-c", f"print('authorization: {SECRET}'); raise SystemExit(3)")
    with pytest.raises(InfrastructureError, match="exit status 3") as caught:
        bench.engine(headers=Headers(command=words)).meet()
    assert SECRET not in str(caught.value)


def test_a_file_that_is_not_there_is_said(bench: Bench, tmp_path: Path) -> None:
    bench.serve({})
    with pytest.raises(InputError, match="cannot be read"):
        bench.engine(headers=Headers(file=tmp_path / "none")).meet()

"""What a person writes for nights, and the versions that are compared there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.files import text_file
from orchestrator.nightly import config, versions
from tests.fuzz.target import Target
from tests.unit.orchestrator.nightly import test_config

if TYPE_CHECKING:
    from collections.abc import Sequence


def _config(data: bytes) -> None:
    text = text_file.decoded(data, "the configuration", "nightly.toml")
    found = config.parse(text, Path("/project/nightly.toml"))
    assert found.spec.is_absolute()
    found.document()


def _versions(data: bytes) -> None:
    first, _, second = data.decode("utf-8", "replace").partition("\n")
    for kind in ("debian-package", "go-module", "python-wheel", "local-path"):
        there = versions.step(kind, first, second)
        back = versions.step(kind, second, first)
        assert (there is versions.Step.SAME) == (back is versions.Step.SAME) == (first == second)


def _pairs() -> Sequence[bytes]:
    return [
        b"1:1.37.0-6+b2\n1:1.37.0-6+b3",
        b"6.12.107-1\n6.12.108-1~bpo12+1",
        b"v0.0.1-go1.27.3.linux-amd64\nv0.0.1-go1.27.4.linux-amd64",
        b"v0.15.1-0.20230123181021-a6a12c4a31eb\nv0.15.1",
    ]


TARGETS = (
    Target("nightly", _config, lambda: [test_config.GOOD.encode(), b"relock = 'patch'\n"]),
    Target("versions", _versions, _pairs),
)

"""What a person says of a build farm, and what a farm answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from containers.policy import Limits
from containers.remote import channel, isolation, naming, outputs
from containers.remote import reapi_pb2 as api
from orchestrator import farm_file
from orchestrator.files import text_file
from reproducibility import visible
from reproducibility.errors import ActionError, InfrastructureError, InputError
from tests.fuzz.target import Target
from tests.unit.containers.remote import test_isolation
from tests.unit.orchestrator import test_farm_file

if TYPE_CHECKING:
    from collections.abc import Sequence


def _file(data: bytes) -> None:
    text = text_file.decoded(data, "the farm's file", "farm.toml")
    found = farm_file.parse(text, Path("/project/farm.toml"))
    assert found.workers
    # Nothing secret travels where it can be read.
    assert found.headers.file is None or found.tls or "://" not in found.address


def _headers(data: bytes) -> None:
    for name, value in channel.headers(data, "headers"):
        assert name == name.lower().strip()
        assert "\n" not in name + value


def _outputs(data: bytes) -> None:
    limits = Limits(files=50_000)
    found = outputs.listed(data, "blake3", limits)
    assert len(found) <= limits.files
    assert sum(one.name.size for one in found if one.name) <= limits.work
    assert not any("//" in one.path or one.path.startswith("/") for one in found)


def _report(data: bytes) -> None:
    found = isolation.read_report(data, "worker")
    if not found.refusal:
        states = {entry.rule: entry.state for entry in found.enforcement}
        assert all(states[rule] == "enforced" for rule in isolation.REQUIRED)
    words = [entry.means for entry in found.enforcement]
    assert all(text == visible.line(text) for text in (*words, found.refusal, found.machine))
    assert 0 <= found.exit_status <= _MOST_STATUS


def _missing(data: bytes) -> None:
    found = naming.missing(data.decode("utf-8", "replace"))
    assert found is None or found.size >= 0


def _tree(depth: int) -> bytes:
    """A Tree of folders in folders, each of which holds the next one twice."""
    tree, folder = api.Tree(), api.Directory()
    folder.files.add(name="f", digest=naming.of_bytes("blake3", b"x").message)
    for _ in range(depth):
        tree.children.append(folder)
        digest = naming.of_bytes("blake3", folder.SerializeToString()).message
        folder = api.Directory()
        for name in ("a", "b"):
            folder.directories.add(name=name, digest=digest)
    tree.root.CopyFrom(folder)
    return tree.SerializeToString()


def _missing_seeds() -> Sequence[bytes]:
    digits = "0123456789abcdef" * 4
    return [f"blobs/{digits}/12".encode(), f"main/blobs/blake3/{digits}/0".encode()]


_MOST_STATUS = 255

TARGETS = (
    Target(
        "farm-file",
        _file,
        lambda: [test_farm_file.SMALL.encode(), test_farm_file.LARGE.encode()],
    ),
    Target("farm-headers", _headers, lambda: [b"authorization: Bearer abc\n\nx-tenant: us\n"]),
    Target(
        "farm-outputs",
        _outputs,
        lambda: [_tree(0), _tree(3)],
        (ActionError, InfrastructureError, InputError, outputs.ExceededError),
        lambda: [_tree(40)],
    ),
    Target("farm-missing", _missing, _missing_seeds),
    Target(
        "farm-report",
        _report,
        lambda: [
            json.dumps(test_isolation.reported()).encode(),
            json.dumps(test_isolation.reported(refused="room", words="none", rules=[])).encode(),
        ],
        (InfrastructureError,),
    ),
)

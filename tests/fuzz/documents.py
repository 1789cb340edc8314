"""Documents: what a person writes, and what the project itself wrote and reads back later."""

from __future__ import annotations

import functools
import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from containers.engine import Identity
from orchestrator.artifacts import (
    finished,
    output_directory,
    remade,
)
from orchestrator.artifacts import (
    image as making,
)
from orchestrator.audit import matrix
from orchestrator.audit import model as audit_model
from orchestrator.execution.remembered import Remembered
from orchestrator.execution.step import Earlier, Provenance
from orchestrator.files import text_file
from orchestrator.golang import probe, seed_index
from orchestrator.inputs.ensure import needed
from orchestrator.lock import file as lock
from orchestrator.lock import logged
from orchestrator.spec import diagnostics
from orchestrator.spec import model as spec
from orchestrator.store import records
from orchestrator.tool_image import lock as image_lock
from reproducibility import canonical, manifest, redaction
from reproducibility import digest as digests
from reproducibility.digest import Digest
from reproducibility.errors import InputError
from reproducibility.manifest import Tree
from tests import results
from tests.fuzz import scratch
from tests.fuzz.target import ROOT, Target
from tests.unit.orchestrator import samples
from tests.unit.orchestrator.audit import test_model as test_audit
from tests.unit.orchestrator.lock import test_file as test_lock
from tests.unit.orchestrator.spec import test_model as test_spec
from tests.unit.orchestrator.tool_image import test_lock as test_image_lock

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from containers.action import Action

_ZEROS = "0" * 64
_NOTHING = digests.of_bytes(b"")


def _specs() -> Sequence[bytes]:
    default = (ROOT / "sourcery.toml").read_bytes()
    forms = b'[[file]]\nsource = "a"\ndestination = "/a"\nexclude = ["*.tmp", "b/c"]\n'
    return default, test_spec.GOOD.encode(), default.replace(b"\n", b"\r\n"), default + forms


def _spec(data: bytes) -> None:
    found = spec.parse(text_file.decoded(data, "the spec", "sourcery.toml"))
    lock.wanted(found)
    str(found.digest)


def _lines(data: bytes) -> None:
    diagnostics.key_lines(data.decode("utf-8", "replace"))


def _text(data: bytes) -> None:
    text_file.decoded(data, "the spec", "sourcery.toml")
    text_file.without_mark(data, "the lock", "sourcery.lock")


def _lock(data: bytes) -> None:
    found = lock.parse(data)
    if lock.parse(lock.dump(found)) != found:
        raise AssertionError("a lock does not read back")


def _image_lock(data: bytes) -> None:
    found = image_lock.parse(data)
    if image_lock.parse(image_lock.dump(found)) != found:
        raise AssertionError("a lock does not read back")
    for packages in found.packages.values():
        image_lock.python_version(packages)
    found.created  # noqa: B018 - computed


def _image_locks() -> Sequence[bytes]:
    return [canonical.pretty(test_image_lock.document())]


def _sealed_lock(data: bytes) -> None:
    """As somebody who means harm would write it: its checksum fits."""
    with suppress(InputError, TypeError, ValueError, RecursionError):
        document = canonical.loads(data)
        if isinstance(document, dict):
            data = test_lock.sealed(document)
    found = lock.parse(data)
    # What a build makes of it before anything else.
    list(logged.failures(found))
    list(needed(found, "amd64"))


def _canonical(data: bytes) -> None:
    value = canonical.loads(data)
    canonical.pretty(value)
    with suppress(TypeError):  # a number that is no integer
        if canonical.loads(canonical.dumps(value)) != value:
            raise AssertionError("canonical JSON does not read back")


def _json() -> Sequence[bytes]:
    values: list[Any] = [{}, [], None, 1.5, {"a": [1, {"b": "ü\u2028"}], "c": -(1 << 70)}]
    return [*map(canonical.pretty, values), b'{"\\u00e9": "\\ud83d\\ude00"}']


def _manifest(data: bytes) -> None:
    tree = Tree.parse(data)
    if tree.serialize() != data:
        raise AssertionError("a manifest has two forms")
    tree.under("src")
    tree.at("top").get("top/src")


def _manifests() -> Sequence[bytes]:
    tree = samples.tree(samples.RELEASE)
    with_folder = Tree([*tree, manifest.directory("tmp"), manifest.directory("ü/x")])
    return tree.serialize(), with_folder.serialize(), Tree().serialize()


def _many_parts() -> Sequence[bytes]:
    line = f"f 0 {_NOTHING.hex} "
    one = "/".join(["a"] * 500_000)
    several = "".join(f"{line}{n:03}/{'a/' * 1900}b\n" for n in range(250))
    short = "".join(f"{line}{n}\n" for n in range(100_000, 112_000))
    return [f"sourcery-tree 1\n{text}".encode() for text in (f"{line}{one}\n", several, short)]


def _digest(data: bytes) -> None:
    Digest.parse(data.decode("utf-8", "replace"))


RECORD: dict[str, Any] = {
    "name": "F1",
    "outputs": str(Tree().digest),
    "stdout": f"blake3:{_NOTHING.hex}",
    "stderr": f"blake3:{_NOTHING.hex}",
    "milliseconds": 1500,
    "peak_memory": 4096,
    "provenance": Provenance(
        Identity("sandbox", "a", "1"), {"limits": {"memory": 1}}, "1", "2026-01-01T00:00:00Z", "{}"
    ).document(),
}


def _record(data: bytes) -> None:
    records.references(data)


def _records() -> Sequence[bytes]:
    return records.sealed(RECORD), canonical.pretty(RECORD), records.sealed({"a": [None, 1, {}]})


class _Recalling:
    """A store that remembers one document, whatever it is asked for."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document

    def recall(self, _kind: str, _key: Digest) -> dict[str, Any]:
        return self._document

    def remembers(self, _kind: str, _key: Digest) -> bool:
        return True

    def kinds(self) -> list[str]:
        return ["action-sandbox"]

    def load_tree(self, _digest: Digest) -> Tree:
        return Tree()

    def holds(self, _tree: Tree) -> bool:
        return True

    def has(self, _digest: Digest) -> bool:
        return True


@functools.cache
def _action() -> Action:
    step = next(one for one in samples.chain().steps() if one.name == "T1/dist")
    return samples.made_by(step, {})


def _remembered(data: bytes) -> None:
    """A record that is whole, whatever it says: a result, or none."""
    document = records.opened(records.sealed(_object(data)))
    remembering = Remembered(_Recalling(document), "sandbox")  # type: ignore[arg-type]
    found = remembering.recall(_action())
    if found is not None:
        round(found.seconds * 1000)
    earlier, _ = remembering.earlier(_action())
    if isinstance(earlier, Earlier):
        str(earlier.whose)


def _object(data: bytes) -> dict[str, Any]:
    document = canonical.loads(data)
    if not isinstance(document, dict) or "seal" in document:
        raise InputError("no JSON object")
    return document


_RESULT: dict[str, Any] = results.document()
_OLDER: dict[str, Any] = {"schema": 1, "verdict": "PASS", "image": {}, "stages": [results.step()]}


def _result(data: bytes) -> None:
    place = scratch.folder() / "out"
    place.mkdir(exist_ok=True)
    (place / output_directory.RESULT).write_bytes(data)
    output_directory.is_result(place / output_directory.RESULT)
    found = finished.Finished.load(place)
    str(found.image_digest)
    str(found.archive_digest)
    str(found.doubt)
    _all_are_paths(found.made)
    _all_are_texts(found.architectures)
    with scratch.store() as store:
        found.root(store)


def _all_are_paths(paths: Sequence[Path]) -> None:
    for path in paths:
        path.exists()


def _all_are_texts(texts: list[str]) -> None:
    ", ".join(texts)


def _audit(data: bytes) -> None:
    audit_model.dumps(audit_model.parse(data))


def _matrix(data: bytes) -> None:
    """Read cells that a store remembers: what is none is passed over and kept, whatever it is."""
    found, unread = matrix.parsed(data.decode(errors="replace"))
    canonical.pretty(list(unread))
    assert matrix.merge(found, found) == matrix.merge((), found)


def _artifact(data: bytes) -> None:
    making.Artifact.parse(_object(data)).document()


def _observation(data: bytes) -> None:
    seen = data.decode("utf-8", "replace")
    usual = samples.result(Tree(), observed=dict.fromkeys(probe.FIELDS, 1))
    varied = samples.result(Tree(), observed=None)
    assert varied.provenance is not None
    provenance = Provenance(varied.provenance.engine, {}, "1", "now", seen)
    other = type(varied)(**{**vars(varied), "provenance": provenance})
    probe.checks(usual, other, {})
    probe.checks(other, usual, {})


def _observations() -> Sequence[bytes]:
    seen = {
        "directory": "/work",
        "group": 1,
        "host": "h",
        "order": "a b",
        "parallelism": 2,
        "user": 3,
    }
    return [json.dumps(seen).encode() + b"\n"]


def _recipe(data: bytes) -> None:
    with scratch.fresh() as folder:
        (folder / remade.TREE).write_bytes(Tree().serialize())
        (folder / remade.RECIPE).write_bytes(data)
        remade.read(folder, scratch.Sink())  # type: ignore[arg-type]


def _recipes() -> Sequence[bytes]:
    recipe = {
        "tree": str(Tree().digest),
        "label": "SOURCERY",
        "identity": f"blake3:{_ZEROS}",
        "epoch": samples.EPOCH,
        "free_space": 0,
        "packages": "",
    }
    return [canonical.pretty(recipe), canonical.pretty({**recipe, "packages": "sourcery-tree 1\n"})]


def _seed(data: bytes) -> None:
    seed_index.outputs(data)
    seed_index.merge([data, data])


def _redacted(data: bytes) -> None:
    text = data.decode("utf-8", "replace")
    redaction.redact(text, redaction.secrets_of([text]))


def _addresses() -> Sequence[bytes]:
    return [b"https://user:secret@host.example:1/path?a=b failed", b"http://a:b@[::1]/ //x@y:z@"]


TARGETS = (
    Target("spec", _spec, _specs, examples=40),
    Target("spec-lines", _lines, _specs),
    Target("text", _text, _specs),
    Target("lock", _lock, lambda: [test_lock.DATA], examples=30),
    Target("lock-sealed", _sealed_lock, lambda: [test_lock.DATA], examples=30),
    Target("image-lock", _image_lock, _image_locks, examples=30),
    Target("json", _canonical, _json),
    Target("manifest", _manifest, _manifests, nasty=_many_parts),
    Target("digest", _digest, lambda: [b"blake3:" + b"0" * 64, b"sha256:" + b"f" * 64]),
    Target("record", _record, _records),
    Target("remembered", _remembered, lambda: [canonical.pretty(RECORD)]),
    Target(
        "result",
        _result,
        lambda: [canonical.pretty(_RESULT), canonical.pretty(_OLDER)],
        examples=30,
    ),
    Target("audit", _audit, lambda: [canonical.pretty(test_audit.document())], examples=30),
    Target("matrix", _matrix, lambda: [canonical.pretty([test_audit.CELL])]),
    Target("artifact", _artifact, lambda: [canonical.pretty(_RESULT["image"])]),
    Target("observation", _observation, _observations),
    Target("recipe", _recipe, _recipes),
    Target("seed-index", _seed, lambda: [samples.seed_index(), samples.seed_index(1, 2, 9)]),
    Target("address", _redacted, _addresses),
)

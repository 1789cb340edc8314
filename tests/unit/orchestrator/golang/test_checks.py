"""The checks of the toolchains: each passes where it should, and objects when something differs."""

from __future__ import annotations

import json
import os
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator.golang import checks, probe
from orchestrator.golang.module_hash import ModuleHashes
from orchestrator.golang.toolchain import DIST_BUILD
from orchestrator.lock.file import Lock
from orchestrator.lock.model import Recorded
from orchestrator.store import DamagedBlob, Store
from reproducibility import codes, compare, digest, gomodule
from reproducibility.compare import Verdict
from reproducibility.manifest import Tree, merge
from tests.unit.orchestrator import samples

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.architecture import Architecture
    from orchestrator.execution.step import Result
    from orchestrator.golang.toolchain import Chain
    from reproducibility.compare import CheckKind

ARCHITECTURES: tuple[Architecture, ...] = ("amd64", "arm64", "riscv64")
REAL = json.loads(
    (Path(__file__).parent.parent.parent / "reproducibility" / "toolchain_record.json").read_text(
        "utf-8"
    )
)
RECORD = {
    "state": "recorded",
    **{name: REAL[name] for name in ("number", "record", "tree_head", "proof")},
}
ABSENT = {"state": "absent", "reason": "the mirror has no such module"}


def lock(**log: object) -> Lock:
    return Lock.model_validate(
        {
            "schema": 1,
            "wanted": {},
            "toolchain": {
                "version": "1.27.3",
                "bin": list(samples.PROGRAMS.binaries),
                "tool": list(samples.PROGRAMS.tools),
                "log": {**dict.fromkeys(ARCHITECTURES, ABSENT), **log},
            },
            "inputs": [],
        }
    )


@pytest.fixture
def chain(store: Store) -> Chain:
    return samples.chain(put=store.put_bytes)


@pytest.fixture
def results(store: Store) -> dict[str, Result]:
    return samples.chain_results(store.put_bytes)


@pytest.fixture
def hashes(store: Store) -> ModuleHashes:
    return ModuleHashes(store)


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let the log's record of every module be a hash (proofs have tests of their own)."""

    def publishing(h1: str) -> None:
        monkeypatch.setattr(Recorded, "h1", lambda *_: h1)

    return publishing


def published_hash(store: Store, chain: Chain, programs: Tree, architecture: str) -> str:
    """Worked out in another way than `checks` does: from the bytes."""
    version = f"v0.0.1-go1.27.3.linux-{architecture}"
    hashes = {}
    for entry in merge([("a", chain.source), ("b", programs)]).files():
        path = entry.path.replace("go.mod", "_go.mod")
        content = digest.sha256_of_bytes(store.path(entry).read_bytes())
        hashes[f"golang.org/toolchain@{version}/{path}"] = content.hex
    return gomodule.h1(hashes)


def verdicts(found: list[compare.Check]) -> dict[tuple[CheckKind, str], Verdict]:
    assert len({(check.kind, check.subject) for check in found}) == len(found)
    return {(check.kind, check.subject): check.verdict for check in found}


def placed(architecture: str, content: dict[str, bytes] | None = None) -> Tree:
    return samples.PROGRAMS.placed(samples.tree(content or samples.BUILT), architecture)


# -- the published release -------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_our_toolchain_is_the_published_one(
    store: Store,
    hashes: ModuleHashes,
    chain: Chain,
    publish: Callable[[str], None],
    architecture: Architecture,
) -> None:
    for data in samples.BUILT.values():
        store.put_bytes(data)
    expected = published_hash(store, chain, placed(architecture), architecture)
    publish(expected)
    found = checks.against_release(
        chain, hashes, placed(architecture), architecture, lock(**{architecture: RECORD})
    )
    assert verdicts(found) == {
        (codes.LOG, architecture): Verdict.PASS,
        (codes.RELEASE, architecture): Verdict.PASS,
    }
    assert expected in found[1].reason


@pytest.mark.parametrize("architecture", ["amd64", "arm64"])
def test_one_changed_program_fails_and_is_named_where_the_published_one_is_at_hand(
    store: Store,
    hashes: ModuleHashes,
    chain: Chain,
    publish: Callable[[str], None],
    architecture: Architecture,
) -> None:
    for data in (*samples.BUILT.values(), b"linK"):
        store.put_bytes(data)
    publish(published_hash(store, chain, placed(architecture), architecture))
    changed = placed(architecture, {**samples.BUILT, "link": b"linK"})
    found = checks.against_release(
        chain, hashes, changed, architecture, lock(**{architecture: RECORD})
    )
    assert verdicts(found)[codes.RELEASE, architecture] is Verdict.FAIL
    assert found[1].reason.startswith("our files give h1:")
    named = "1 paths differ: pkg/tool/linux_amd64/link" in found[1].reason
    assert named == (architecture == "amd64")


def test_one_changed_source_file_fails_too(
    store: Store, hashes: ModuleHashes, chain: Chain, publish: Callable[[str], None]
) -> None:
    for data in samples.BUILT.values():
        store.put_bytes(data)
    publish(published_hash(store, chain, placed("amd64"), "amd64"))
    release = {**samples.RELEASE, "src/fmt/print.go": b"package fmt // changed\n"}
    changed = replace(
        samples.chain(), release=samples.tree(release, store.put_bytes), dist_build=None
    )
    found = checks.against_release(changed, hashes, placed("amd64"), "amd64", lock(amd64=RECORD))
    assert verdicts(found)[codes.RELEASE, "amd64"] is Verdict.FAIL


def test_without_a_record_it_is_skipped_with_the_reason(hashes: ModuleHashes, chain: Chain) -> None:
    found = checks.against_release(chain, hashes, placed("riscv64"), "riscv64", lock())
    assert verdicts(found) == {(codes.RELEASE, "riscv64"): Verdict.SKIP}
    assert "the mirror has no such module" in found[0].reason


def test_the_real_record_is_taken_for_its_own_architecture_only(
    store: Store, hashes: ModuleHashes, chain: Chain
) -> None:
    for data in samples.BUILT.values():
        store.put_bytes(data)
    pinned = lock(arm64=RECORD, amd64=RECORD)
    found = checks.against_release(chain, hashes, placed("arm64"), "arm64", pinned)
    assert verdicts(found) == {
        (codes.LOG, "arm64"): Verdict.PASS,
        (codes.RELEASE, "arm64"): Verdict.FAIL,
    }
    assert "h1:VY4gDzfxOrsM17J2qtgZgiAIsWhp7XWK1jMfE3kXV0s=" in found[1].reason
    found = checks.against_release(chain, hashes, placed("amd64"), "amd64", pinned)
    assert verdicts(found) == {(codes.LOG, "amd64"): Verdict.FAIL}


@pytest.mark.parametrize("part", ["record", "tree_head", "proof"])
def test_a_tampered_record_fails_and_nothing_is_compared_with_it(
    hashes: ModuleHashes, chain: Chain, part: str
) -> None:
    lines = [*RECORD[part]]
    lines[0] = lines[0].replace("o", "0").replace("Z", "z")
    assert lines != RECORD[part]
    found = checks.against_release(
        chain, hashes, placed("arm64"), "arm64", lock(arm64={**RECORD, part: lines})
    )
    assert verdicts(found) == {(codes.LOG, "arm64"): Verdict.FAIL}
    complete = compare.complete(found, [(codes.LOG, "arm64"), (codes.RELEASE, "arm64")])
    assert verdicts(complete)[codes.RELEASE, "arm64"] is Verdict.FAIL


# -- the module hash -------------------------------------------------------------------------------


def test_a_note_in_the_store_does_not_decide_that_a_toolchain_is_the_published_one(
    store: Store, chain: Chain, publish: Callable[[str], None]
) -> None:
    """Of another toolchain, everything in the store says that its hash is the published one."""
    for data in (*samples.BUILT.values(), b"linK"):
        store.put_bytes(data)
    published = published_hash(store, chain, placed("amd64"), "amd64")
    publish(published)
    changed = placed("amd64", {**samples.BUILT, "link": b"linK"})
    module = merge([("source", chain.source), ("programs", changed)])
    store.remember("h1-v0.0.1-go1.27.3.linux-amd64", module.digest, {"h1": published})
    found = checks.against_release(chain, ModuleHashes(store), changed, "amd64", lock(amd64=RECORD))
    assert verdicts(found)[codes.RELEASE, "amd64"] is Verdict.FAIL


def test_a_byte_that_changed_in_the_store_is_seen_before_a_verdict(
    store: Store, chain: Chain, publish: Callable[[str], None]
) -> None:
    """It is no difference of the toolchain: the step that makes the blob runs again."""
    for data in samples.BUILT.values():
        store.put_bytes(data)
    publish(published_hash(store, chain, placed("amd64"), "amd64"))
    pinned = lock(amd64=RECORD)
    found = checks.against_release(chain, ModuleHashes(store), placed("amd64"), "amd64", pinned)
    assert verdicts(found)[codes.RELEASE, "amd64"] is Verdict.PASS
    entry = placed("amd64").get("pkg/tool/linux_amd64/link")
    assert entry is not None
    times = (blob := store.path(entry)).stat()
    blob.chmod(0o644)
    blob.write_bytes(b"linK")
    os.utime(blob, ns=(times.st_atime_ns, times.st_mtime_ns))
    with closing(Store(store.root)) as later, pytest.raises(DamagedBlob) as damaged:
        checks.against_release(chain, ModuleHashes(later), placed("amd64"), "amd64", pinned)
    assert damaged.value.digest == entry.content


def test_a_module_hash_is_that_of_one_module_and_version(store: Store, chain: Chain) -> None:
    hashes = ModuleHashes(store)
    first = hashes.of(chain.source, "m", "v1")
    others = {
        hashes.of(chain.source, "m", "v2"),
        hashes.of(chain.source, "n", "v1"),
        hashes.of(chain.root, "m", "v1"),
        hashes.of(chain.source, "m", "v1", gomodule.published_name),
    }
    assert len(others | {first}) == 5


# -- all of them -----------------------------------------------------------------------------------


def everything(
    store: Store,
    chain: Chain,
    results: dict[str, Result],
    architectures: tuple[Architecture, ...] = ARCHITECTURES,
) -> list[compare.Check]:
    made = checks.toolchains(chain, results, architectures)
    assert set(made) == set(architectures)
    return checks.all_checks(chain, results, ModuleHashes(store), made, lock())


def test_all_that_is_compared(store: Store, chain: Chain, results: dict[str, Result]) -> None:
    expected: dict[tuple[CheckKind, str], Verdict] = {
        (codes.FIXED_POINT, "amd64"): Verdict.PASS,
        (codes.GENERATED, "amd64"): Verdict.PASS,
        (codes.HELPERS, "amd64"): Verdict.PASS,
        **{(codes.VARIATION, name): Verdict.PASS for name in probe.FIELDS},
        **{(codes.RELEASE, name): Verdict.SKIP for name in ARCHITECTURES},
        (codes.CROSS_AGAIN, "riscv64"): Verdict.PASS,
    }
    assert verdicts(everything(store, chain, results)) == expected


def test_the_builders_own_toolchain_is_compared_where_it_is_not_on_the_image(
    store: Store, chain: Chain, results: dict[str, Result]
) -> None:
    found = verdicts(everything(store, chain, results, ("riscv64",)))
    assert (codes.RELEASE, "amd64") in found
    assert (codes.FIXED_POINT, "amd64") in found
    assert (codes.RELEASE, "arm64") not in found


@pytest.mark.parametrize(
    ("step", "check"),
    [
        ("F1", (codes.FIXED_POINT, "amd64")),
        ("F2", (codes.FIXED_POINT, "amd64")),
        ("cross/riscv64", (codes.CROSS_AGAIN, "riscv64")),
        ("cross-by-F2/riscv64", (codes.CROSS_AGAIN, "riscv64")),
    ],
)
@pytest.mark.parametrize("extra", [False, True])
def test_one_other_or_one_more_program_fails(  # noqa: PLR0913 - fixtures
    store: Store,
    chain: Chain,
    results: dict[str, Result],
    *,
    step: str,
    check: tuple[CheckKind, str],
    extra: bool,
) -> None:
    change = {"out/extra": b"extra"} if extra else {"out/vet": b"veT"}
    content = {f"out/{name}": data for name, data in samples.BUILT.items()} | change
    results[step] = samples.result(samples.tree(content, store.put_bytes))
    found = everything(store, chain, results)
    assert verdicts(found)[check] is Verdict.FAIL
    (said,) = (one.reason for one in found if (one.kind, one.subject) == check)
    assert next(iter(change)).removeprefix("out/") in said


@pytest.mark.parametrize("step", ["T1/helpers", "F1/helpers"])
def test_a_recorder_that_f1_does_not_build_again_fails(
    store: Store, chain: Chain, results: dict[str, Result], step: str
) -> None:
    content = {**samples.HELPERS, "out/buildcache": b"another recorder"}
    results[step] = samples.result(samples.tree(content, store.put_bytes))
    assert verdicts(everything(store, chain, results))[codes.HELPERS, "amd64"] is Verdict.FAIL


@pytest.mark.parametrize(
    ("path", "content", "expected"),
    [
        ("go/src/time/zversion.go", b"package time // another\n", Verdict.FAIL),
        ("go/src/time/zversion.go", None, Verdict.FAIL),
        ("go/src/fmt/print.go", None, Verdict.FAIL),
        # Not what the published file says, and not what was given to cmd/dist either.
        (f"go/{DIST_BUILD}", b"patched in another way", Verdict.FAIL),
        (f"go/{DIST_BUILD}", None, Verdict.FAIL),
        ("go/src/internal/buildcfg/zbootstrap.go", b"only cmd/dist makes it", Verdict.PASS),
    ],
)
def test_what_dist_generated_is_what_is_published(  # noqa: PLR0913 - fixtures
    store: Store,
    chain: Chain,
    results: dict[str, Result],
    path: str,
    content: bytes | None,
    expected: Verdict,
) -> None:
    before = results["T1/toolchain"].tree
    changed = before.where(lambda entry: entry.path != path)
    if content is not None:
        changed = before.overlaid(samples.tree({path: content}, store.put_bytes))
    results["T1/toolchain"] = samples.result(changed)
    found = verdicts(everything(store, chain, results))
    assert found[codes.GENERATED, "amd64"] is expected


@pytest.mark.parametrize("content", [b"changed on the way", None])
def test_the_one_file_is_compared_too_where_it_was_not_patched(
    store: Store, results: dict[str, Result], content: bytes | None
) -> None:
    chain = samples.chain(stops_early=False, put=store.put_bytes)
    before = results["T1/toolchain"].tree
    whole = before.overlaid(samples.tree({f"go/{DIST_BUILD}": samples.RELEASE[DIST_BUILD]}))
    results["T1/toolchain"] = samples.result(whole)
    assert verdicts(everything(store, chain, results))[codes.GENERATED, "amd64"] is Verdict.PASS
    changed = whole.where(lambda entry: entry.path != f"go/{DIST_BUILD}")
    if content is not None:
        changed = whole.overlaid(samples.tree({f"go/{DIST_BUILD}": content}))
    results["T1/toolchain"] = samples.result(changed)
    assert verdicts(everything(store, chain, results))[codes.GENERATED, "amd64"] is Verdict.FAIL


@pytest.mark.parametrize("step", ["T1/helpers", "F1/helpers"])
def test_an_observer_that_f1_does_not_build_again_fails(
    store: Store, chain: Chain, results: dict[str, Result], step: str
) -> None:
    other = samples.tree({"out/observe": b"says what one wants to hear"}, store.put_bytes)
    results[step] = samples.result(results[step].tree.overlaid(other))
    assert verdicts(everything(store, chain, results))[codes.HELPERS, "amd64"] is Verdict.FAIL


def test_a_variation_without_effect_fails(
    store: Store, chain: Chain, results: dict[str, Result]
) -> None:
    # F2 built in F1's conditions: the same programs, and the observation says so.
    results["F2"] = results["F1"]
    found = verdicts(everything(store, chain, results))
    assert {found[codes.VARIATION, name] for name in probe.FIELDS} == {Verdict.FAIL}

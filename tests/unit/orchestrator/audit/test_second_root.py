"""Audits from a second root, on fakes: what is compared, remembered, left out and refused."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from orchestrator import plan
from orchestrator.audit import choosing, matrix, model, native, proofs, second_root, standing
from orchestrator.golang.module_hash import ModuleHashes
from orchestrator.golang.toolchain import DIST_BUILD
from orchestrator.inputs import second_root as inputs
from orchestrator.lock import logged
from orchestrator.lock.file import GCC, Absent, Lock, SecondRoot, Toolchain
from orchestrator.lock.model import GoModule, RootPackage
from orchestrator.spec.second_root import Gcc, Roots
from reproducibility import digest, gomodule
from reproducibility.codes import LOG
from reproducibility.compare import Check
from reproducibility.errors import ActionError, InfrastructureError, InputError, Stopped
from tests.fakes import Made
from tests.unit.orchestrator import samples
from tests.unit.orchestrator.audit.world import World, codes
from tests.unit.orchestrator.execution.test_scheduler import step

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.audit.subject import Finding, Subject
    from orchestrator.lock.file import RootEntry
    from orchestrator.store import Store

FIRST, LAST = "root/gcc/1.21.13", "root/gcc/1.27.3"
ROOT = "gccgo-14 14.2.0-19 ("
ONLY = ("root/*",)
ZERO = digest.of_bytes(b"")
BUILT = {f"out/{name}": data for name, data in samples.BUILT.items()}
T1 = {
    "go/pkg/tool/linux_amd64/go_bootstrap": b"t1 go",
    **{f"go/pkg/tool/linux_amd64/{name}": b"t1" for name in ("asm", "cgo", "compile", "link")},
    **{f"go/{path}": data for path, data in samples.RELEASE.items() if path.startswith("src/")},
}


def whole(files: dict[str, bytes]) -> Made:
    return Made(files, frozenset(files))


def programs(**changes: bytes) -> Made:
    return whole({**BUILT, **{f"out/{name}": data for name, data in changes.items()}})


def pinned() -> SecondRoot:
    sha256 = digest.sha256_of_bytes(b"")
    package = RootPackage(
        package="gccgo-14",
        version="14.2.0-19",
        suite="trixie",
        where="pool/gccgo-14.deb",
        size=0,
        sha256=sha256,
        blake3=ZERO,
    )
    release = GoModule(
        name="go1.21.13",
        host="amd64",
        version=gomodule.toolchain_version("1.21.13", "amd64"),
        module=gomodule.TOOLCHAIN,
        where="x.zip",
        size=0,
        blake3=ZERO,
        tree=ZERO,
        h1=f"h1:{'A' * 43}=",
        log=Absent(reason="not asked"),
    )
    other = package.model_copy(update={"package": "libgo23"})
    return SecondRoot(packages=(package, other), tree=ZERO, releases=(release,))


class FromGcc(World):
    """A build whose toolchain is made from a second root too.

    `entry`: what the lock says of it. `other_lock`: it was made for a spec without such a root.
    """

    entry: RootEntry | None = None
    other_lock = False
    monkeypatch: pytest.MonkeyPatch

    def finding(self, *parts: object) -> Finding:
        found = super().finding(*parts)
        gcc = Gcc(packages=("gccgo-14",), versions=("1.21.13",))
        wanted = found.wanted.model_copy(update={"root": Roots(gcc=gcc)})
        toolchain = Toolchain(version="1.27.3", bin=("go",), tool=("link",), log={})
        roots = {} if self.entry is None else {GCC: {"amd64": self.entry}}
        made_for = {} if self.other_lock else {"root.gcc": "gccgo-14 of trixie, then 1.21.13"}
        lock = Lock(wanted=made_for, toolchain=toolchain, inputs=(), roots=cast("Any", roots))
        return replace(found, wanted=wanted, pinned=lock)

    def draw(self, found: Finding, *parts: object, **more: object) -> Subject:
        drawn = super().draw(found, *parts, **more)
        store = cast("Store", parts[0])
        release = samples.tree(samples.RELEASE, store.put_bytes)
        chain = SimpleNamespace(
            drawn=SimpleNamespace(chain=samples.chain()),
            have=SimpleNamespace(release=release, uname=samples.tree({"bin/uname": b"u"})),
        )
        self.serve(store)
        return replace(drawn, assembly=cast("Any", chain))

    def serve(self, store: Store) -> None:
        """Let the inputs be there, and the public log record the release."""
        release = samples.tree(samples.RELEASE, store.put_bytes)
        for data in samples.BUILT.values():
            store.put_bytes(data)
        compiler = samples.tree({"bootstrap/bin/go": b"gcc's go"}, store.put_bytes)
        root = inputs.Root(pinned(), compiler, (("1.21.13", release),))
        self.monkeypatch.setattr(inputs, "bring", lambda *_, **__: root)
        hashes = ModuleHashes(store)

        def said(version: str, subject: str) -> logged.Logged:
            module = gomodule.toolchain_version(version, "amd64")
            h1 = hashes.of(release, gomodule.TOOLCHAIN, module, gomodule.published_name)
            return logged.Logged(Check(LOG["proved"], subject, "proved"), h1)

        self.monkeypatch.setattr(logged, "source", lambda _: said("1.21.13", "go1.21.13"))
        self.monkeypatch.setattr(logged, "toolchain", lambda *_: said("1.27.3", "amd64"))
        patched = samples.tree({DIST_BUILD: b"patched"}, store.put_bytes)
        self.monkeypatch.setattr(plan, "dist_build", lambda *_, **__: patched)

    def root(self, **changes: Any) -> model.AuditResult:  # noqa: ANN401 - fields of the request
        """The chain alone."""
        return self.audit(**{"root": "gcc", "only": ONLY, **changes})


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FromGcc:
    table: dict[str, Any] = {"F1": lambda _: programs()}
    for name in (FIRST, LAST):
        table |= {
            f"{name}/dist": lambda _: whole({"dist": b"dist"}),
            f"{name}/toolchain": lambda _: whole(T1),
            f"{name}/first": lambda _: programs(),
            name: lambda _: programs(),
        }
    made = FromGcc(tmp_path, [step("F1")], table)
    made.entry = pinned()
    made.monkeypatch = monkeypatch
    made.patch(monkeypatch)
    for module in (native, proofs, second_root, inputs, standing, choosing):
        monkeypatch.setattr(module, "host", lambda: "amd64")
    return made


def of(found: model.AuditResult) -> dict[str, str]:
    """Code of each check of the chain, by its kind and subject."""
    kinds = ("root-link", "second-root", "transparency-log")
    return {
        f"{check.subject}: {check.code.partition('.')[0]}": check.code.partition(".")[2]
        for check in found.checks
        if check.code.startswith(kinds)
    }


def cell(found: model.AuditResult, comparison: str) -> matrix.Cell:
    (made,) = (
        one
        for one in found.matrix
        if (one.comparison, one.engine) == (comparison, "sandbox") and one.root.startswith(ROOT)
    )
    return made


def test_a_chain_that_ends_in_the_same_toolchain_passes(world: FromGcc) -> None:
    found = world.root()
    assert of(found) == {
        "go1.21.13: root-link": "same",
        "go1.21.13: transparency-log": "proved",
        "go1.27.3: root-link": "same",
        "amd64: transparency-log": "proved",
        "amd64: second-root": "same",
    }
    # The audit of the steps was left out, which is said.
    assert codes(found)["build"] == "audit-coverage.part"
    assert found.verdict == "SKIP"
    assert found.asked.root == "gcc"
    for comparison in ("release", "second-root"):
        made = cell(found, comparison)
        assert (made.verdict, made.how, made.command) == ("PASS", "host", "")
        assert made.evidence is not None
        assert len(made.evidence.keys) == 8
    assert cell(found, "release").reason == "all 2 links are their published releases"


@pytest.mark.parametrize(
    ("name", "made", "failed"),
    [
        (FIRST, programs(compile=b"compilE"), {"go1.21.13: root-link": "differs"}),
        (
            LAST,
            programs(link=b"linK"),
            {"go1.27.3: root-link": "differs", "amd64: second-root": "differs"},
        ),
        (LAST, programs(more=b"one more"), {"amd64: second-root": "differs"}),
    ],
)
def test_a_byte_in_a_link_is_seen(
    world: FromGcc, name: str, made: Made, failed: dict[str, str]
) -> None:
    world.engine.table[name] = lambda _: made
    found = world.root()
    assert {key: code for key, code in of(found).items() if code not in {"same", "proved"}} == (
        failed
    )
    assert found.verdict == "FAIL"
    verdicts = {one: cell(found, one).verdict for one in ("release", "second-root")}
    assert verdicts == {
        "release": "FAIL" if any("root-link" in key for key in failed) else "PASS",
        "second-root": "FAIL" if "amd64: second-root" in failed else "PASS",
    }


def test_it_says_which_program_of_a_link_differs(world: FromGcc) -> None:
    world.engine.table[FIRST] = lambda _: programs(compile=b"compilE")
    (check,) = (one for one in world.root().checks if one.code == "root-link.differs")
    assert "pkg/tool/linux_amd64/compile" in check.reason


def test_a_false_word_of_the_log_is_seen(world: FromGcc, monkeypatch: pytest.MonkeyPatch) -> None:
    serve = world.serve

    def lying(store: Store) -> None:
        serve(store)
        false = Check(LOG["not-proved"], "go1.21.13", "the signature does not hold")
        monkeypatch.setattr(logged, "source", lambda _: logged.Logged(false))

    monkeypatch.setattr(world, "serve", lying)
    found = world.root()
    assert of(found)["go1.21.13: transparency-log"] == "not-proved"
    assert "go1.21.13: root-link" not in of(found)
    assert (found.verdict, cell(found, "release").verdict) == ("FAIL", "FAIL")


def test_what_was_built_is_remembered(world: FromGcc) -> None:
    world.root()
    assert len(world.runs()) == 8
    world.engine.runs.clear()
    found = world.root()
    assert world.runs() == []
    assert of(found)["amd64: second-root"] == "same"


def test_an_interrupted_chain_goes_on_at_its_link(world: FromGcc) -> None:
    def interrupted(_: object) -> Made:
        world.stop.set()
        return whole({"dist": b"dist"})

    before = world.engine.table[f"{LAST}/dist"]
    world.engine.table[f"{LAST}/dist"] = interrupted
    with pytest.raises(Stopped):
        world.root()
    world.engine.table[f"{LAST}/dist"] = before
    world.stop.clear()
    world.engine.runs.clear()
    assert of(world.root())["amd64: second-root"] == "same"
    assert world.runs() == [LAST, *(f"{LAST}/{name}" for name in ("dist", "first", "toolchain"))]


def test_a_link_that_cannot_be_built_is_an_error(world: FromGcc) -> None:
    world.engine.table[f"{LAST}/toolchain"] = lambda _: Made(stderr=b"no luck", exit_status=2)
    with pytest.raises(ActionError, match="no luck"):
        world.root()


def test_without_it_being_asked_for_nothing_is_built(world: FromGcc) -> None:
    found = world.audit()
    assert of(found) == {}
    assert not any(name.startswith("root/") for name in world.runs())
    for comparison in ("release", "second-root"):
        made = cell(found, comparison)
        assert (made.verdict, made.evidence) == ("SKIP", None)
        assert made.command == "orchestrate audit --root gcc --only 'root/*' --engine sandbox"


def test_a_chain_of_other_pins_is_another_cell(world: FromGcc) -> None:
    before = cell(world.root(), "second-root")
    world.entry = pinned().model_copy(update={"tree": digest.of_bytes(b"another compiler")})
    found = [one for one in world.audit().matrix if one.engine == "sandbox"]
    shown = {one.root: one for one in found if one.comparison == "second-root"}
    assert len(shown) == 2
    old = shown.pop(before.root)
    assert (old.verdict, old.filled) == ("SKIP", False)
    assert old.reason == f"proved for another root than spec and lock name, on {before.when}"
    (now,) = shown.values()
    assert (now.verdict, now.reason) == ("SKIP", "nobody ran it")
    assert old.command == now.command


def test_a_chain_of_several_engines_fills_no_cell(world: FromGcc) -> None:
    world.engine.table[f"{LAST}/toolchain"] = lambda _: Made(stderr=b"no luck", exit_status=2)
    with pytest.raises(ActionError):
        world.root()
    world.engine.table[f"{LAST}/toolchain"] = lambda _: whole(T1)
    world.engine._identity = replace(world.engine.identity, own="another kernel")
    found = world.root()
    assert of(found)["amd64: second-root"] == "same"
    for comparison in ("release", "second-root"):
        assert not cell(found, comparison).filled
        assert cell(found, comparison).reason.startswith("2 engines built its links")


def test_another_first_toolchain_than_the_builds_is_not_compared(world: FromGcc) -> None:
    document = json.loads((world.out / "result.json").read_bytes())
    for one in document["steps"]:
        if one["name"] == "F1":
            one["outputs"] = str(ZERO)
    world.write(steps=document["steps"])
    found = world.root()
    assert of(found) == {"amd64: second-root": "other-result"}
    assert (found.verdict, cell(found, "second-root").verdict) == ("FAIL", "SKIP")
    assert not cell(found, "second-root").filled
    assert world.runs() == []


def test_a_later_audit_shows_what_was_proved(world: FromGcc) -> None:
    world.root()
    assert cell(world.audit(), "second-root").verdict == "PASS"


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (Absent(reason="there is no go1.24.11"), "for amd64: there is no go1.24.11"),
        (None, "the lock does not pin GCC's Go for amd64; `orchestrate lock` on this machine"),
    ],
)
def test_a_root_that_is_not_published_is_left_out_and_said(
    world: FromGcc, entry: RootEntry | None, words: str
) -> None:
    world.entry = entry
    found = world.root()
    (check,) = (one for one in found.checks if one.code.startswith("second-root"))
    assert (check.code, check.verdict) == ("second-root.not-pinned", "SKIP")
    assert words in check.reason
    (made,) = (
        one
        for one in found.matrix
        if (one.root, one.comparison, one.engine) == ("GCC's Go", "second-root", "sandbox")
    )
    assert (made.verdict, words in made.reason) == ("SKIP", True)


def test_an_audit_whose_time_is_up_says_so(world: FromGcc) -> None:
    ticks = iter(range(1000))
    found = world.root(budget=1, clock=lambda: float(next(ticks)))
    assert of(found) == {"amd64: second-root": "not-run"}
    # Nothing was compared, and that is no success.
    (covered,) = (one for one in found.checks if one.code.startswith("audit-coverage"))
    assert (covered.code, found.verdict) == ("audit-coverage.nothing", "FAIL")
    assert world.runs() == []


def test_a_lock_that_is_older_than_the_root_hinders_only_that_root(world: FromGcc) -> None:
    world.entry, world.other_lock = None, True
    found = {(one.root, one.verdict) for one in world.audit().matrix if "root" in one.comparison}
    assert found == {("GCC's Go", "SKIP")}
    with pytest.raises(InputError, match=r"does not fit the spec\n  root\.gcc"):
        world.root()


def test_what_cannot_be_asked_for_is_refused(world: FromGcc) -> None:
    for name in ("clang", ""):
        with pytest.raises(InputError, match=f"there is no root '{name}'"):
            world.root(root=name)
    with pytest.raises(InputError, match="there is no root 'GCC'") as caught:
        world.root(root="GCC")
    assert "did you mean 'gcc'?" in caught.value.remedy
    plain = World.finding(world)
    with pytest.raises(InputError, match="does not say where GCC's Go comes from") as caught:
        inputs.require("gcc", plain.pinned, plain.wanted)
    assert "[root.gcc]" in caught.value.remedy


def test_what_comes_from_a_cache_proves_nothing(world: FromGcc) -> None:
    world.engine.taken_from = dict.fromkeys(world.engine.table, "action cache (all)")
    with pytest.raises(InfrastructureError, match="was to be run again"):
        world.root()

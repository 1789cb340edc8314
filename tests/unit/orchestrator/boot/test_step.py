"""The boot files of a build: what is remembered of them, what is made each time."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from containers.policy import Policy
from orchestrator.artifacts import image as making
from orchestrator.boot import files, initramfs, modules
from orchestrator.boot import step as boot_step
from orchestrator.boot.syslinux import LDLINUX
from orchestrator.execution import rebuilding
from orchestrator.execution.rebuilding import Bases
from orchestrator.execution.remembered import Remembered
from orchestrator.execution.scheduler import Scheduler
from orchestrator.execution.step import Computation, Handle, Step
from orchestrator.golang import handles
from orchestrator.image.fat import reader
from orchestrator.image.fat.disk import START
from orchestrator.spec.boot import Boot, Kernel, Kernels
from orchestrator.store import Store
from reproducibility import digest as digests
from reproducibility.codes import REBUILD
from reproducibility.compare import Verdict, fold
from reproducibility.errors import InputError
from reproducibility.manifest import Tree, file
from tests.fakes import FakeEngine
from tests.unit.orchestrator import samples
from tests.unit.orchestrator.artifacts.test_image import Maker, Watcher
from tests.unit.orchestrator.boot import made

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from orchestrator.architecture import Architecture
    from orchestrator.boot.syslinux import Loader
    from orchestrator.execution.step import Result
    from reproducibility.compare import Check

BOTH: tuple[Architecture, ...] = ("amd64", "riscv64")
STAGES = {f"boot files/{name}" for name in BOTH}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "store")
    yield opened
    opened.close()


def tree(store: Store, content: Mapping[str, bytes]) -> Tree:
    return Tree(file(path, store.put_bytes(data), len(data)) for path, data in content.items())


def built(architectures: Sequence[Architecture]) -> dict[Architecture, Handle]:
    """The steps that build the programs."""
    return {name: handles.programs(name) for name in architectures}


@dataclass(frozen=True)
class Made:
    """What came of it, with the comparisons of what was made again."""

    tree: Tree
    loader: Loader | None
    checks: tuple[Check, ...]


@dataclass
class Parts:
    """What boot files are made from; a test changes it."""

    store: Store
    section: Boot = field(
        default_factory=lambda: Boot(
            kernel=Kernels.model_validate(
                {
                    "amd64": Kernel(package="linux-image-amd64"),
                    "riscv64": Kernel(package="linux-image-riscv64", command_line="quiet"),
                }
            )
        )
    )
    packages: dict[str, Tree] = field(default_factory=dict)
    results: dict[str, Result] = field(default_factory=dict)
    volume_id: int = 0x1234_ABCD
    watcher: Watcher = field(default_factory=Watcher)

    def __post_init__(self) -> None:
        for name in BOTH:
            self.packages[f"kernel.{name}"] = tree(self.store, made.kernel(name))
            self.packages[f"systemd-boot.{name}"] = tree(self.store, made.systemd_boot(name))
            self.program(name, b"init of " + name.encode())
        packages = made.syslinux()
        common = {path for path in packages if path.startswith("usr/lib")}
        for package, paths in (("syslinux", packages.keys() - common), ("syslinux-common", common)):
            part = {path: packages[path] for path in paths}
            self.packages[package] = tree(self.store, part)

    def program(self, architecture: str, content: bytes) -> None:
        """The initramfs's program is another one."""
        built = tree(self.store, {"out/init": b"init", "out/stickinit": content})
        self.results[f"programs/{architecture}"] = samples.result(built)

    def make(
        self, *architectures: Architecture, again: bool = False, bases: Bases | None = None
    ) -> Made:
        self.watcher = Watcher()
        wanted = architectures or BOTH
        steps = boot_step.steps(self.section, self.packages, built(wanted), self.store)
        ran = Scheduler(
            engine=FakeEngine({}),
            store=self.store,
            policy=Policy(),
            observer=self.watcher,
            jobs=2,
            rebuild=again,
            bases=bases,
            stop=threading.Event(),
        ).run([self.known(step) for step in steps])
        results = {**self.results, **ran.results}
        found = boot_step.assemble(
            self.section, self.packages, results, built(wanted), self.volume_id, self.store
        )
        checks = tuple(rebuilding.checks(ran.compared.values()))
        return Made(found.tree, found.loader, checks)

    def known(self, step: Step) -> Step:
        """A step whose predecessors have been done."""
        return replace(step, needs=(), make=lambda _: step.make(self.results))

    def work(self, architecture: str) -> Computation:
        """What a step of an architecture does."""
        steps = boot_step.steps(self.section, self.packages, built(BOTH), self.store)
        [one] = [step for step in steps if step.subject == architecture]
        work = one.make(self.results)
        assert isinstance(work, Computation)
        return work

    def text(self, found: Made, path: str) -> str:
        entry = found.tree.get(path)
        assert entry is not None, path
        return self.store.read(entry.content).decode()


@pytest.fixture
def parts(store: Store) -> Parts:
    return Parts(store)


def test_every_platform_finds_its_files(parts: Parts) -> None:
    found = parts.make()
    assert found.loader is not None
    assert found.checks == ()
    paths = {entry.path for entry in found.tree}
    assert paths > {
        "EFI/BOOT/BOOTRISCV64.EFI",
        "EFI/BOOT/BOOTX64.EFI",
        "boot/amd64/vmlinuz",
        "boot/riscv64/vmlinuz",
        "extlinux/extlinux.conf",
        "loader/loader.conf",
        "syslinux/syslinux.cfg",
        LDLINUX,
    }
    menu = parts.text(found, "syslinux/syslinux.cfg")
    said = "sourcery.volume=1234-ABCD sourcery.missing=shell"
    assert f"console=tty0 console=ttyS0,115200 {said}" in menu
    assert f"APPEND quiet {said}" in parts.text(found, "extlinux/extlinux.conf")
    assert parts.watcher.done == STAGES


def test_a_build_for_one_architecture_has_only_its_own(parts: Parts) -> None:
    found = parts.make("riscv64")
    assert found.loader is None
    assert not [entry.path for entry in found.tree if "amd64" in entry.path or "X64" in entry.path]
    assert not found.tree.under("syslinux")


def test_what_takes_time_is_remembered(parts: Parts) -> None:
    first = parts.make()
    assert parts.make() == first
    assert parts.watcher.done == set()


def test_another_volume_makes_only_the_menus_anew(parts: Parts) -> None:
    first = parts.make()
    parts.volume_id = 0x9999_0000
    second = parts.make()
    assert parts.watcher.done == set()
    assert "sourcery.volume=9999-0000" in parts.text(second, "syslinux/syslinux.cfg")
    changed = {a.path for a in first.tree if second.tree.get(a.path) != a}
    assert changed == {
        "extlinux/extlinux.conf",
        "loader/entries/amd64.conf",
        "loader/entries/riscv64.conf",
        "syslinux/syslinux.cfg",
    }


@pytest.mark.parametrize(
    "what",
    [
        "program",
        "kernel",
        "loader",
        "modules",
        "trees",
        "format",
        "libzstd",
        "usual modules",
    ],
)
def test_what_decides_its_bits_makes_an_architectures_part_again(
    parts: Parts, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = parts.make()
    kernel = parts.section.kernel("riscv64")
    if what == "program":
        parts.program("riscv64", b"another init")
    elif what == "kernel":
        other = made.kernel("riscv64", {f"boot/vmlinuz-{made.RELEASE}": None})
        other[f"boot/vmlinux-{made.RELEASE}"] = made.kernel_image("riscv64") + b"other"
        parts.packages["kernel.riscv64"] = tree(parts.store, other)
    elif what == "loader":
        other = made.systemd_boot("riscv64") | {"usr/lib/x": b"x"}
        parts.packages["systemd-boot.riscv64"] = tree(parts.store, other)
    elif what == "modules":
        kernel = kernel.model_copy(update={"modules": ("snd",)})
    elif what == "trees":
        kernel = kernel.model_copy(update={"device_trees": ("vendor/*.dtb",)})
    elif what == "libzstd":
        monkeypatch.setattr(initramfs, "COMPRESSION", "libzstd 9.9.9")
    elif what == "usual modules":
        monkeypatch.setattr(modules, "DEFAULT", (*modules.DEFAULT, "unheard_of"))
    else:
        monkeypatch.setattr(files, "FORMAT", files.FORMAT + 1)
    kernels = parts.section.kernels.model_copy(update={"riscv64": kernel})
    parts.section = parts.section.model_copy(update={"kernels": kernels})
    after = parts.make()
    ours = what in {"format", "libzstd", "usual modules"}
    assert parts.watcher.done == (STAGES if ours else {"boot files/riscv64"})
    assert (after.tree == before.tree) == (ours or what == "loader")


def test_made_again_on_request_and_compared(parts: Parts, store: Store) -> None:
    first = parts.make()
    again = parts.make(again=True)
    assert parts.watcher.done == STAGES
    assert again.tree == first.tree
    assert {(c.kind, c.subject) for c in again.checks} == {(REBUILD, n) for n in STAGES}
    assert fold(again.checks) is Verdict.PASS
    # As if it had come out otherwise before.
    other = tree(store, {"boot/riscv64/vmlinuz": b"another kernel"})
    key = parts.work("riscv64").key
    document = store.recall("computed-boot", key)
    assert document is not None
    store.remember("computed-boot", key, document | {"outputs": str(store.save_tree(other))})
    assert fold(parts.make(again=True).checks) is Verdict.FAIL
    assert fold(parts.make(again=True).checks) is Verdict.FAIL, "what was remembered stays"


def test_what_an_earlier_round_has_remembered_is_no_base(parts: Parts) -> None:
    bases = Bases()
    for _ in range(2):
        found = parts.make(again=True, bases=bases).checks
        assert {check.verdict for check in found} == {Verdict.SKIP}
    found = parts.make(again=True, bases=Bases()).checks
    assert {check.verdict for check in found} == {Verdict.PASS}


def test_made_again_with_nothing_to_compare_with_is_said(parts: Parts, store: Store) -> None:
    found = parts.make(again=True).checks
    assert {(c.kind, c.subject) for c in found} == {(REBUILD, n) for n in STAGES}
    assert {check.verdict for check in found} == {Verdict.SKIP}
    assert all("no earlier result to compare with" in check.reason for check in found)
    # An earlier result that is not readable is none, and one whose files are gone still is one.
    key = parts.work("riscv64").key
    (place,) = (store.root / "results" / "computed-boot").rglob(f"{key.hex}.json")
    place.write_text("not JSON")
    before = parts.make("amd64").tree.get("boot/amd64/initramfs.zst")
    assert before is not None
    store.blob(before.content).unlink()
    by_name = {check.subject: check for check in parts.make(again=True).checks}
    assert by_name["boot files/amd64"].verdict is Verdict.PASS
    assert by_name["boot files/riscv64"].verdict is Verdict.SKIP
    assert "it is no JSON object" in by_name["boot files/riscv64"].reason


@pytest.mark.parametrize("damage", ["blob", "document"])
def test_what_is_remembered_but_not_whole_is_made_again(
    parts: Parts, store: Store, damage: str
) -> None:
    first = parts.make()
    if damage == "blob":
        entry = first.tree.get("boot/amd64/initramfs.zst")
        assert entry is not None
        store.blob(entry.content).unlink()
    else:
        store.remember("computed-boot", parts.work("amd64").key, {"outputs": "nonsense"})
    assert parts.make() == first
    assert parts.watcher.done == {"boot files/amd64"}


def test_garbage_collection_keeps_what_was_used(parts: Parts, store: Store) -> None:
    first = parts.make()
    store.collect(unused_since=0)
    kept = Remembered(store, "fake").recall(parts.work("amd64"))
    assert kept is not None
    assert all(first.tree.get(entry.path) == entry for entry in kept.tree)


def test_a_package_that_lacks_its_part_is_named(parts: Parts, store: Store) -> None:
    parts.packages["kernel.riscv64"] = tree(
        store, made.kernel("riscv64", {f"boot/vmlinuz-{made.RELEASE}": None})
    )
    with pytest.raises(InputError) as refused:
        parts.make()
    assert "riscv64" in refused.value.subject


def test_the_image_starts_through_the_loader_and_names_its_own_sectors(
    parts: Parts, store: Store, tmp_path: Path
) -> None:
    maker = Maker(store, tmp_path)
    identity = digests.of_bytes(b"spec and lock")
    parts.volume_id = making.volume_id(identity)
    found = parts.make()
    wanted = making.Recipe(
        Tree([*found.tree, *tree(store, {"a": b"a", "z.go": b"z"})]),
        "TEST",
        identity,
        epoch=samples.EPOCH,
        free_space=0,
        loader=found.loader,
    )
    image = maker.make(wanted)
    assert fold(image.checks) is Verdict.PASS
    data = (maker.out / making.IMAGE).read_bytes()
    assert data[:440] == b"m" * 440
    sector = data[START * 512 : (START + 1) * 512]
    assert sector[3:11] == b"SYSLINUX"
    # What the boot sector names is where ldlinux.sys starts, counted from the volume's start.
    first = int.from_bytes(sector[made.LOW : made.LOW + 4], "little")
    assert data[(START + first) * 512 :].startswith(b"\r\nSYSLINUX 6.04")
    seen = reader.read(maker.out / making.IMAGE)
    assert seen.volume_id == parts.volume_id
    patched, unpatched = seen.tree.get(LDLINUX), found.tree.get(LDLINUX)
    assert patched is not None
    assert unpatched is not None
    assert patched.size == unpatched.size
    assert patched.digest != unpatched.digest
    # What the result names is what lies in the image, and the store has it.
    assert reader.expected(store.load_tree(image.tree)) == seen.tree
    assert maker.make(wanted) == image
    assert maker.watcher.done == set()
    assert found.loader is not None
    other = replace(wanted, loader=replace(found.loader, master=b"n" * 440))
    assert other.key != wanted.key
    assert maker.make(other).image != image.image
    with pytest.raises(InputError, match="must not be moved"):
        maker.make(replace(wanted, tree=tree(store, {"a": b"a"})))

"""From spec to lock to the trees that a build starts from, in a world without network."""

from __future__ import annotations

import io
import re
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator.golang import environment as go_environment
from orchestrator.inputs import ensure, resolve
from orchestrator.inputs.transport import LARGEST
from orchestrator.lock import file as locks
from orchestrator.lock.file import Absent, LocalPath
from orchestrator.progress.inputs import InputEvents
from orchestrator.progress.plain import PlainProgress
from orchestrator.store import Store
from reproducibility.errors import InfrastructureError, InputError
from tests.unit.orchestrator.inputs.world import (
    POOL,
    TOOLCHAIN,
    TOOLS,
    WHEEL,
    done,
    module_zip,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from containers.host.process import Completed
    from orchestrator.inputs import Inputs
    from orchestrator.lock.file import Lock
    from orchestrator.spec.model import Spec
    from reproducibility.digest import Digest
    from reproducibility.manifest import Tree
    from tests.unit.orchestrator.inputs.world import World


@pytest.fixture(name="lock")
def _lock(world: World, spec: Spec, store: Store) -> Lock:
    lock = resolve.lock(spec, None, store, clients=world.clients())
    world.asked.clear()
    return lock


def take(lock: Lock, spec: Spec, store: Store, world: World, **options: bool) -> Inputs:
    return ensure(
        lock, store, folder=spec.folder, clients=world.clients(offline=options.get("offline"))
    )


def paths(tree: Tree) -> list[str]:
    return [f"{entry.path}{'*' if entry.executable else ''}" for entry in tree]


def test_a_build_gets_the_trees_it_starts_from(
    world: World, spec: Spec, store: Store, lock: Lock
) -> None:
    inputs = take(lock, spec, store, world)
    assert paths(inputs.bootstrap) == [
        "bin/go*",
        "pkg/tool/linux_amd64/compile*",
        "src/fmt/print.go",
    ]
    assert paths(inputs.release) == [
        "bin/go*",
        "bin/gofmt*",
        "pkg/tool/linux_amd64/compile*",
        "pkg/tool/linux_amd64/link*",
        "src/fmt/print.go",
        "src/go.mod",
    ]
    assert paths(inputs.uname) == ["bin/uname*"]
    assert paths(inputs.sources["tools"]) == [
        "cmd/ls/main.go",
        "go.mod",
        "vendor/modules.txt",
        "vendor/x/x.go",
    ]
    assert inputs.modules == {"tools": "example.org/tools"}
    assert paths(inputs.files) == [
        "letters/b.txt",
        "notes/empty",
        "notes/more/two.txt",
        "notes/one.txt",
    ]


def test_what_is_in_the_store_is_not_fetched_again(
    world: World, spec: Spec, store: Store, lock: Lock
) -> None:
    before = take(lock, spec, store, world)
    assert take(lock, spec, store, world, offline=True) == before
    assert world.asked == []


def test_an_empty_store_is_filled_and_gives_the_same_trees(
    world: World, spec: Spec, store: Store, lock: Lock, tmp_path: Path
) -> None:
    other = Store(tmp_path / "other")
    inputs = take(lock, spec, other, world)
    assert inputs == take(lock, spec, store, world, offline=True)
    assert world.count("download-file") == 1
    assert world.count("apt-get") == 0, "an index is needed only to lock"


def test_a_damaged_store_is_mended_from_the_artifact_without_network(
    world: World, spec: Spec, store: Store, lock: Lock
) -> None:
    inputs = take(lock, spec, store, world)
    for tree in (inputs.bootstrap, inputs.release, inputs.uname):
        store.path(next(iter(tree.files()))).unlink()
    assert take(lock, spec, store, world, offline=True) == inputs
    assert world.asked == []


def spoil(store: Store, digest: Digest) -> None:
    """Change a blob's bytes behind the store's back."""
    path = store.blob(digest)
    path.unlink()
    path.write_bytes(b"damaged")


def test_a_damaged_manifest_is_mended_from_the_artifact_without_network(
    world: World, spec: Spec, store: Store, lock: Lock
) -> None:
    inputs = take(lock, spec, store, world)
    for name in ("bootstrap", "go", "uname"):
        spoil(store, lock.find(name, "amd64").tree)
    assert take(lock, spec, store, world, offline=True) == inputs
    assert world.asked == []


@pytest.mark.parametrize("name", ["bootstrap", "go", "uname"])
def test_a_damaged_artifact_is_brought_anew(
    world: World, spec: Spec, store: Store, lock: Lock, name: str
) -> None:
    """Where it is unpacked again, and where a bundle needs it."""
    inputs = take(lock, spec, store, world)
    pinned = lock.find(name, "amd64")
    spoil(store, pinned.blake3)
    spoil(store, pinned.tree)
    assert take(lock, spec, store, world) == inputs
    spoil(store, pinned.blake3)
    ensure(lock, store, folder=spec.folder, artifacts=True, clients=world.clients())
    assert store.blob(pinned.blake3).stat().st_size == pinned.size


def test_no_client_may_write_much_more_than_is_pinned(
    world: World, spec: Spec, lock: Lock, tmp_path: Path
) -> None:
    """Of apt and pip, which write one file; the go command bounds archives itself."""
    world.bounds.clear()
    with closing(Store(tmp_path / "other")) as other:
        take(lock, spec, other, world)
    largest = {bounds.largest for bounds in world.bounds if bounds is not None}
    for name in ("bootstrap", "uname"):
        assert lock.find(name, "amd64").size + (64 << 20) in largest
    assert max(largest) == LARGEST


@pytest.mark.parametrize("name", ["bootstrap", "go", "uname", "tools"])
def test_offline_names_the_input_that_is_missing(
    world: World, spec: Spec, lock: Lock, tmp_path: Path, name: str
) -> None:
    other = Store(tmp_path / "other")
    if name != "bootstrap":
        take(lock, spec, other, world)
        pinned = lock.find(name, "amd64")
        for digest in (pinned.blake3, pinned.tree, getattr(pinned, "vendored", None)):
            if digest is not None:
                other.blob(digest).unlink()
    with pytest.raises(InfrastructureError, match=f"^{name} .*--offline forbids") as refused:
        take(lock, spec, other, world, offline=True)
    assert refused.value.status == 4


def test_dependencies_that_are_missing_are_named_offline(
    world: World, spec: Spec, store: Store, lock: Lock
) -> None:
    pinned = lock.find("tools")
    assert pinned.kind == "go-module"
    assert pinned.vendored is not None
    store.blob(pinned.vendored).unlink()
    with pytest.raises(InfrastructureError, match=r"^tools v1\.2\.3 \(its dependencies\)"):
        take(lock, spec, store, world, offline=True)


def test_clients_see_the_persons_settings_and_nothing_else(
    world: World, spec: Spec, tmp_path: Path
) -> None:
    world.settings = {"GOPROXY": "https://proxy.example", "GONOSUMDB": ""}
    environ = {
        "PATH": "/bin",
        "HOME": "/home/me",
        "https_proxy": "http://proxy.example:3128",
        "PIP_INDEX_URL": "https://index.example",
        "GOPROXY": "https://own.example",
        "NETRC": "/home/me/.netrc",
        "GOFLAGS": "-mod=mod",
        "GOAMD64": "v3",
        "GOEXPERIMENT": "x",
        "LD_PRELOAD": "/x.so",
        "PYTHONPATH": "/x",
        "SECRET": "x",
        "SOURCERY_DEBIAN_MIRROR": "https://mirror.example/debian",
    }
    resolve.lock(spec, None, Store(tmp_path / "other"), clients=world.clients(environ=environ))
    shared = {"PATH", "HOME", "https_proxy", "NETRC"}
    for command, environment in zip(world.asked, world.environments, strict=True):
        if command[1] == "list":
            # What the device would say: no setting of the person's counts there.
            device_settings = go_environment.settings(environment["GOARCH"])
            assert (
                environment.items() >= (device_settings | {"GOROOT": environment["GOROOT"]}).items()
            )
            assert not environment.keys() & {"https_proxy", "NETRC", "SECRET", "GOAMD64"}
            continue
        assert shared <= set(environment), command
        assert not {"GOAMD64", "GOEXPERIMENT", "LD_PRELOAD", "PYTHONPATH", "SECRET"} & set(
            environment
        )
        assert environment.get("GOFLAGS", "-modcacherw") == "-modcacherw"
        assert ("PIP_INDEX_URL" in environment) == ("pip" in command)
        if "download" in command and "mod" in command:
            assert environment["GOENV"] == "off"
            assert "https://proxy.example" in environment["GOPROXY"]


def test_apt_reads_the_machines_settings_but_not_its_hooks_or_sources(
    world: World, spec: Spec, tmp_path: Path
) -> None:
    seen = []

    def look(command: list[str]) -> None:
        if "update" in command:
            configuration = tmp_path.rglob("apt.conf")
            seen.append(next(configuration).read_text())
            seen.append(next(tmp_path.rglob("sources.sources")).read_text())

    world.failing = look  # type: ignore[assignment]
    resolve.lock(spec, None, Store(tmp_path / "other"), clients=world.clients())
    configuration, sources = seen
    assert 'Acquire::http::Proxy "http://proxy.example:3128";' in configuration
    assert "Post-Invoke" not in configuration
    assert "DEP-11" not in configuration
    assert 'Dir::Etc::parts "/dev/null";' in configuration
    assert "URIs: https://mirror.example/debian\nSuites: trixie\n" in sources


# -- inputs that are not what the lock pins ------------------------------------------------------


def other_wheel(world: World, _: Spec) -> None:
    world.wheels[WHEEL] += b"x"


def other_toolchain(world: World, _: Spec) -> None:
    world.modules[TOOLCHAIN] = module_zip(*TOOLCHAIN, {"bin/go": b"another"})


def other_tools(world: World, _: Spec) -> None:
    world.modules[TOOLS] = module_zip(*TOOLS, {"go.mod": b"module example.org/tools\n"})


def other_dependencies(world: World, _: Spec) -> None:
    world.vendored["vendor/x/x.go"] = b"package y\n"


def other_package(world: World, _: Spec) -> None:
    world.packages[POOL] += b"x"


def gone_package(world: World, _: Spec) -> None:
    del world.packages[POOL]


def gone_toolchain(world: World, _: Spec) -> None:
    del world.modules[TOOLCHAIN]


def gone_wheel(world: World, _: Spec) -> None:
    world.wheels.clear()


def other_file(_: World, spec: Spec) -> None:
    (spec.folder / "a.txt").write_text("b")


def one_file_more(_: World, spec: Spec) -> None:
    (spec.folder / "notes" / "three.txt").write_text("")


def gone_file(_: World, spec: Spec) -> None:
    (spec.folder / "a.txt").unlink()


def link(_: World, spec: Spec) -> None:
    (spec.folder / "notes" / "link").symlink_to("one.txt")


def nested_link(_: World, spec: Spec) -> None:
    (spec.folder / "notes" / "more" / "link").symlink_to("two.txt")


def folder_for_file(_: World, spec: Spec) -> None:
    (spec.folder / "a.txt").unlink()
    (spec.folder / "a.txt").mkdir()


DIGESTS = r"expected blake3:[0-9a-f]{64}.*, found blake3:[0-9a-f]{64}"
CHANGES = [
    (other_wheel, "bootstrap 1.26.6 for amd64 is not what the lock pins.*DO NOT MATCH THE HASHES"),
    (gone_wheel, "no wheel for bootstrap 1.26.6"),
    (other_toolchain, f"go v0.0.1-go1.27.3.linux-amd64.*{DIGESTS}"),
    (gone_toolchain, "there is no go v0.0.1-go1.27.3.linux-amd64"),
    (other_tools, f"tools v1.2.3 is not what the lock pins: {DIGESTS}"),
    (other_dependencies, f"tools v1.2.3 with its dependencies is not what.*{DIGESTS}"),
    (other_package, "uname 1:1.37.0 for amd64.*expected sha256:[0-9a-f]{64}.*Hash Sum mismatch"),
    (gone_package, "the mirror no longer has uname.*lock --update uname"),
    (other_file, f"/letters/b.txt is not what.*{DIGESTS}.*lock --update /letters/b.txt"),
    (one_file_more, f"/notes is not what the lock pins: {DIGESTS}"),
    (gone_file, "cannot read a.txt, which the spec names: No such file"),
    (link, "neither a file nor a directory"),
    (nested_link, "neither a file nor a directory"),
    (folder_for_file, f"/letters/b.txt is not what.*{DIGESTS}"),
]


@pytest.mark.once
@pytest.mark.parametrize(
    ("change", "words"), CHANGES, ids=lambda value: getattr(value, "__name__", "")
)
def test_an_input_that_differs_from_the_lock_is_refused(  # noqa: PLR0913 - fixtures
    change: object, words: str, world: World, spec: Spec, lock: Lock, tmp_path: Path
) -> None:
    change(world, spec)  # type: ignore[operator]
    with pytest.raises(InputError) as refused:
        take(lock, spec, Store(tmp_path / "other"), world)
    assert refused.value.status == 2
    assert re.search(words, refused.value.diagnostics(), re.DOTALL), refused.value


def test_a_zip_that_unpacks_to_something_else_is_refused_with_both_digests(
    world: World, spec: Spec, store: Store, lock: Lock
) -> None:
    pinned = lock.find("go", "amd64")
    other = lock.find("tools")
    changed = tuple(
        found.model_copy(update={"tree": other.tree}) if found == pinned else found
        for found in lock.inputs
    )
    wrong = lock.model_copy(update={"inputs": changed})
    store.blob(other.tree).unlink()
    with pytest.raises(InputError, match=DIGESTS):
        take(wrong, spec, store, world)


@pytest.mark.parametrize("name", ["bootstrap", "go", "uname"])
def test_the_digest_of_the_lock_counts_beside_the_ecosystems_own_hash(  # noqa: PLR0913 - fixtures
    world: World, spec: Spec, lock: Lock, store: Store, tmp_path: Path, name: str
) -> None:
    pinned = lock.find(name, "amd64")
    other = pinned.model_copy(update={"blake3": lock.find("tools").blake3})
    wrong = lock.model_copy(
        update={"inputs": tuple(other if one == pinned else one for one in lock.inputs)}
    )
    empty = Store(tmp_path / "other")
    with pytest.raises(InputError, match=f"^{name} .*: {DIGESTS.replace(', f', '.*, f')}"):
        take(wrong, spec, empty, world)
    assert store.has(pinned.blake3)


def test_the_module_hash_counts_beside_the_digest(
    world: World, spec: Spec, store: Store, lock: Lock
) -> None:
    pinned = lock.find("go", "amd64")
    other = pinned.model_copy(update={"h1": "h1:" + "A" * 43 + "="})
    wrong = lock.model_copy(
        update={"inputs": tuple(other if one == pinned else one for one in lock.inputs)}
    )
    store.blob(pinned.tree).unlink()
    with pytest.raises(InputError, match=r"expected h1:A{43}=, found h1:"):
        take(wrong, spec, store, world)


def test_a_client_that_lies_about_the_hash_is_found_out(
    world: World, spec: Spec, lock: Lock, tmp_path: Path
) -> None:
    def lie(command: Sequence[str]) -> Completed | None:
        if "download-file" not in command:
            return None
        Path(command[3]).write_bytes(b"something else")
        return done("")

    world.failing = lie
    with pytest.raises(InputError, match=r"uname .*expected sha256:\w{64}, found sha256:\w{64}"):
        take(lock, spec, Store(tmp_path / "other"), world)


def test_an_input_for_another_machine_is_not_there(
    world: World, spec: Spec, store: Store, lock: Lock
) -> None:
    with pytest.raises(InputError, match="no input 'bootstrap' for arm64 machines") as refused:
        ensure(lock, store, folder=spec.folder, host="arm64", clients=world.clients())
    assert "pinned for amd64" in refused.value.diagnostics()


def test_the_lock_reads_back(lock: Lock) -> None:
    assert locks.parse(locks.dump(lock)) == lock
    riscv64 = lock.toolchain.log["riscv64"]
    assert isinstance(riscv64, Absent)
    assert riscv64.reason.startswith("the public log answered 404 Not Found for golang.org/tool")
    assert [found.single for found in lock.inputs if isinstance(found, LocalPath)] == [True, False]


def told(work: Callable[[InputEvents], object]) -> list[str]:
    """The lines that a person reads while inputs are pinned or brought here, without the times."""
    stream = io.StringIO()
    with PlainProgress(stream) as shown:
        work(InputEvents(shown))
    return [line.partition(" ")[2] for line in stream.getvalue().splitlines()]


def check_counts(lines: list[str], total: int) -> None:
    """The count of every line is of all that there will be, and it comes to its end."""
    assert lines[0] == f"planned     {total} inputs"
    counts = [found.groups() for line in lines if (found := re.search(r"\[(.*) of (.*)\]", line))]
    assert {what for _, what in counts} == {f"{total} inputs"}
    assert [int(done) for done, _ in counts] == sorted(int(done) for done, _ in counts)
    assert int(counts[-1][0]) == total


def test_the_count_of_inputs_that_are_fetched_does_not_grow(
    world: World, spec: Spec, lock: Lock, tmp_path: Path
) -> None:
    with closing(Store(tmp_path / "other")) as other:
        clients = world.clients

        def fetch(events: InputEvents) -> None:
            ensure(lock, other, folder=spec.folder, clients=clients(events=events))

        check_counts(told(fetch), len(lock.inputs))
        assert told(fetch)[1:] == [f"remembered  {len(lock.inputs)} inputs"]


def test_the_count_of_inputs_that_are_pinned_does_not_grow(
    world: World, spec: Spec, lock: Lock, tmp_path: Path
) -> None:
    with closing(Store(tmp_path / "other")) as other:

        def pin(events: InputEvents) -> None:
            resolve.lock(spec, None, other, clients=world.clients(events=events))

        lines = told(pin)
    assert lines[0] == f"planned     {len(lock.inputs)} inputs"
    totals = {found[1] for line in lines if (found := re.search(r"\[\d+ of (.*)\]", line))}
    assert totals == {f"{len(lock.inputs)} inputs"}

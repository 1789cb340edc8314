"""Inputs from the real registries: locked, fetched, proved by the public log, bundled."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from orchestrator.golang.module_hash import ModuleHashes
from orchestrator.inputs import Clients, bundle, ensure, resolve, second_root
from orchestrator.inputs.debian_package import DebianTransport
from orchestrator.inputs.go_module import GoTransport
from orchestrator.lock import differences, logged
from orchestrator.lock import file as locks
from orchestrator.lock.file import (
    Absent,
    DebianPackage,
    GoModule,
    PythonWheel,
    Recorded,
)
from orchestrator.spec import model as spec
from orchestrator.spec.second_root import Roots
from orchestrator.store import BLOB_TIME, Store
from reproducibility import digest as digests
from reproducibility import gomodule
from reproducibility.errors import InfrastructureError, InputError
from tests.integration.building import HOST

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from threading import Event

    from containers.host.process import Bounds, Completed
    from orchestrator.inputs import Inputs
    from orchestrator.lock.file import Lock
    from orchestrator.spec.model import Spec

pytestmark = [
    pytest.mark.needs_network,
    pytest.mark.needs_tools("apt-get", "apt-cache", "apt-config"),
    pytest.mark.slow,
]

ROOT = Path(__file__).resolve().parents[2]


class Nobody:
    """A network on which nobody is to be asked."""

    def __call__(  # noqa: PLR0913 - those of `process.run`
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        directory: Path | None = None,
        seconds: float = 600,
        stop: Event | None = None,
        check: bool = True,
        bounds: Bounds | None = None,
    ) -> Completed:
        raise AssertionError(command, environment, directory, seconds, stop, check, bounds)


@pytest.fixture(scope="module", name="wanted")
def _wanted() -> Spec:
    """The default spec without its second root, which no build needs: 300 MB from the network."""
    return spec.load(ROOT / "sourcery.toml").model_copy(update={"root": Roots()})


@pytest.fixture(scope="module", name="store")
def _store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("inputs")
    with closing(Store(folder / "store")) as store:
        yield store
    # Two gigabytes, which pytest would keep to the end of the session.
    shutil.rmtree(folder)


@pytest.fixture(scope="module", name="lock")
def _lock(wanted: Spec, store: Store) -> Lock:
    """The default spec, locked from nothing with an empty store."""
    return resolve.lock(wanted, None, store)


@pytest.fixture(scope="module", name="inputs")
def _inputs(wanted: Spec, store: Store, lock: Lock) -> Inputs:
    return ensure(lock, store, folder=wanted.folder, artifacts=True)


def test_locking_from_nothing_pins_what_the_log_says(lock: Lock, wanted: Spec) -> None:
    lock.check_fits(wanted)
    host = HOST
    go = lock.find("go", host)
    assert isinstance(go, GoModule)
    assert logged.toolchain(lock, host).h1 == go.h1
    assert logged.toolchain(lock, "arm64").h1, (
        "the log has a record of it, whether or not a mirror serves it"
    )
    for entry in lock.toolchain.log.values():
        assert isinstance(entry, Recorded) or "404 Not Found" in entry.reason
    assert locks.parse(locks.dump(lock)) == lock


def test_the_repositorys_lock_says_the_same_of_what_does_not_move(lock: Lock) -> None:
    kept = locks.load(ROOT / "sourcery.lock")
    for name in ("bootstrap", "go", "u-root"):
        mine, theirs = (one.find(name, HOST) for one in (lock, kept))
        for field in ("version", "blake3", "tree", "h1", "sha256", "vendored"):
            assert getattr(mine, field, None) == getattr(theirs, field, None), (name, field)
    assert lock.toolchain.bin == kept.toolchain.bin
    assert lock.toolchain.tool == kept.toolchain.tool


def test_locking_again_asks_nobody_and_gives_the_same_bytes(
    lock: Lock, wanted: Spec, store: Store
) -> None:
    again = resolve.lock(wanted, lock, store, clients=Clients(run=Nobody()))
    assert locks.dump(again) == locks.dump(lock)


def test_looking_the_toolchain_up_anew_keeps_the_proof(
    lock: Lock, wanted: Spec, store: Store
) -> None:
    again = resolve.lock(wanted, lock, store, update={"go"})
    assert differences.moved(lock, again) == []


def test_the_published_toolchain_is_the_one_in_the_log(
    inputs: Inputs, lock: Lock, store: Store
) -> None:
    host = HOST
    version = gomodule.toolchain_version(lock.toolchain.version, host)
    hashes = ModuleHashes(store)
    found = hashes.of(inputs.release, gomodule.TOOLCHAIN, version, gomodule.published_name)
    assert found == logged.toolchain(lock, host).h1


def test_both_toolchains_and_uname_run(inputs: Inputs, lock: Lock, store: Store) -> None:
    for tree, version in (
        (inputs.release, lock.toolchain.version),
        (inputs.bootstrap, lock.find("bootstrap", HOST).version),
    ):
        go = store.checkout(tree, BLOB_TIME) / "bin" / "go"
        said = subprocess.run([go, "version"], env={}, capture_output=True, check=True).stdout
        assert f"go{version} linux/{HOST}" in said.decode()
    uname = store.checkout(inputs.uname, BLOB_TIME) / "bin" / "uname"
    said = subprocess.run([uname, "-m"], env={}, capture_output=True, check=True).stdout
    assert said.decode().strip() == os.uname().machine


def test_a_source_holds_all_that_its_packages_import(inputs: Inputs) -> None:
    tree = inputs.sources["u-root"]
    assert tree.get("go.mod") is not None
    assert tree.get("vendor/modules.txt") is not None
    assert not any(entry.executable for entry in tree)


def test_what_boots_is_pinned_and_had(inputs: Inputs, lock: Lock, wanted: Spec) -> None:
    for architecture in wanted.image.architectures:
        kernel = lock.find(f"kernel.{architecture}")
        assert isinstance(kernel, DebianPackage)
        # The metapackage was followed: the name holds the version.
        assert re.fullmatch(r"linux-image-[0-9.]+\S*-" + architecture, kernel.package)
        paths = [entry.path for entry in inputs.boot[kernel.name]]
        release = kernel.package.removeprefix("linux-image-")
        assert {f"boot/vmlinuz-{release}", f"boot/vmlinux-{release}"} & set(paths)
        assert any(path.endswith("/vfat.ko.xz") for path in paths)
        loader = inputs.boot[f"systemd-boot.{architecture}"]
        assert any(entry.path.endswith(".efi") for entry in loader)
    if "amd64" in wanted.image.architectures:
        assert inputs.boot["syslinux"].get("usr/bin/syslinux") is not None
        assert inputs.boot["syslinux-common"].get("usr/lib/syslinux/mbr/mbr.bin") is not None


def test_a_bundle_stands_for_the_network(
    inputs: Inputs, lock: Lock, wanted: Spec, store: Store, tmp_path: Path
) -> None:
    host = HOST
    path = tmp_path / "inputs.tar.zst"
    bundle.write(lock, store, path, host)
    with closing(Store(tmp_path / "store")) as empty:
        bundle.read(path, lock, empty, host)
        offline = Clients(run=Nobody(), offline=True)
        found = ensure(lock, empty, folder=wanted.folder, clients=offline)
    assert found == inputs


def test_a_wheel_with_another_hash_is_refused_by_pip(
    inputs: Inputs, lock: Lock, wanted: Spec, store: Store
) -> None:
    assert inputs.bootstrap
    # By another digest it is not in the store, where all else is.
    another = {"sha256": digests.sha256_of_bytes(b""), "blake3": digests.of_bytes(b"another")}
    changed = tuple(
        found.model_copy(update=another) if isinstance(found, PythonWheel) else found
        for found in lock.inputs
    )
    wrong = lock.model_copy(update={"inputs": changed})
    with pytest.raises(InputError, match=r"bootstrap .* is not what the lock pins"):
        ensure(wrong, store, folder=wanted.folder, artifacts=True)


@pytest.mark.parametrize("change", [('"1.26.6"', '"1.26.99"'), ('"1.27.3"', '"1.27.99"')])
def test_a_version_that_does_not_exist_is_the_persons_matter(
    change: tuple[str, str], store: Store, lock: Lock
) -> None:
    text = (ROOT / "sourcery.toml").read_text().replace(*change)
    with pytest.raises(InputError, match=r"no wheel for bootstrap|there is no go "):
        resolve.lock(spec.parse(text, ROOT / "sourcery.toml"), lock, store)


def test_a_network_that_fails_is_not_a_log_without_a_record(inputs: Inputs, store: Store) -> None:
    nowhere = "http://127.0.0.1:9"
    environ = {
        **{name: value for name, value in os.environ.items() if "proxy" not in name.lower()},
        **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), nowhere),
    }
    go = store.checkout(inputs.bootstrap, BLOB_TIME) / "bin" / "go"
    broken = GoTransport(Clients(environ=environ, attempts=1), lambda: go)
    version = gomodule.toolchain_version("1.27.3", "riscv64")
    with pytest.raises(InfrastructureError, match="the public log's record of"):
        broken.log_entry(gomodule.TOOLCHAIN, version, store)
    working = GoTransport(Clients(), lambda: go)
    assert isinstance(working.log_entry(gomodule.TOOLCHAIN, version, store), Absent | Recorded)


def test_a_record_is_had_without_the_module(inputs: Inputs, lock: Lock, store: Store) -> None:
    go = store.checkout(inputs.bootstrap, BLOB_TIME) / "bin" / "go"
    version = gomodule.toolchain_version(lock.toolchain.version, "arm64")
    entry = GoTransport(Clients(), lambda: go).log_entry(gomodule.TOOLCHAIN, version, store)
    assert isinstance(entry, Recorded)
    assert entry.h1(gomodule.TOOLCHAIN, version) == logged.toolchain(lock, "arm64").h1


def test_packages_are_pinned_with_all_that_they_need(store: Store) -> None:
    debian = DebianTransport(Clients())
    found = debian.closure(["libmpc3"], "trixie", HOST, store)
    assert {"libc6", "libgmp10", "libmpc3", "libmpfr6"} <= {one.package for one in found}
    for one in found:
        assert store.blob(one.blake3).stat().st_size == one.size
        assert digests.sha256_of_file(store.blob(one.blake3)) == one.sha256
    with pytest.raises(InputError, match="0 go commands"):
        second_root.compiler(found, store)
    with pytest.raises(InputError, match="no package no-such-gccgo for any of") as wrong:
        debian.closure(["libmpc3", "no-such-gccgo"], "trixie", HOST, store)
    assert not wrong.value.missing
    with pytest.raises(InputError, match="has grub-pc-bin for other architectures") as missing:
        debian.closure(["grub-pc-bin"], "trixie", "arm64", store)
    assert missing.value.missing

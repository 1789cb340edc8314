from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from containers.host.process import Completed
from orchestrator.inputs.debian_package import DebianTransport
from orchestrator.inputs.transport import Clients
from orchestrator.lock.model import RootPackage
from orchestrator.store.store import Store
from orchestrator.tool_image import inputs
from reproducibility import digest
from reproducibility.errors import InfrastructureError, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

LOCK = f"""\
# What the project runs with.
one==1.0 \\
    --hash=sha256:{"1" * 64} \\
    --hash=sha256:{"2" * 64}
    # via two
two-more==2.0rc1 \\
    --hash=sha256:{"3" * 64}
"""


def pinned(data: bytes, name: str = "bash") -> RootPackage:
    return RootPackage(
        package=name,
        version="1:5.2-2",
        suite="trixie",
        where=f"pool/main/b/{name}/{name}_5.2-2_amd64.deb",
        size=len(data),
        sha256=digest.sha256_of_bytes(data),
        blake3=digest.of_bytes(data),
    )


def test_the_image_has_what_boots_images_and_what_the_sandbox_needs() -> None:
    names = inputs.wanted()
    assert {"bubblewrap", "libseccomp2", "ca-certificates", "python3", "apt"} <= set(names)
    assert {"qemu-system-x86", "ovmf", "u-boot-qemu", "opensbi"} <= set(names)
    assert list(names) == sorted(set(names))


def test_packages_lie_under_their_names_on_a_mirror(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.put_bytes(b"package")
    inputs.packages([pinned(b"package")], store, Clients(offline=True), tmp_path / "packages")
    (found,) = (tmp_path / "packages").iterdir()
    assert found.name == "bash_5.2-2_amd64.deb"
    assert found.read_bytes() == b"package"
    store.close()


def test_a_package_that_is_not_there_is_not_fetched_offline(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with pytest.raises(InfrastructureError, match=r"bash 1:5\.2-2 is not in the store"):
        inputs.packages([pinned(b"x")], store, Clients(offline=True), tmp_path / "packages")
    store.close()


@pytest.mark.parametrize("missing", [True, False])
def test_what_mirrors_dropped_is_said_with_both_remedies(
    missing: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bring(_: DebianTransport, package: RootPackage, __: Store) -> None:
        raise InputError(f"the mirror no longer has {package.label}", missing=missing)

    monkeypatch.setattr(DebianTransport, "bring", bring)
    store = Store(tmp_path / "store")
    with pytest.raises(InputError, match=r"no longer has bash 1:5\.2-2") as dropped:
        inputs.packages([pinned(b"x")], store, Clients(), tmp_path / "packages")
    assert ("make relock-image" in dropped.value.remedy) is missing
    assert ("SOURCERY_DEBIAN_MIRROR" in dropped.value.remedy) is missing
    store.close()


def test_requirements_of_a_lock_are_read() -> None:
    assert inputs.required(LOCK) == [("one", "1.0"), ("two-more", "2.0rc1")]


def test_the_tool_s_own_wheel_is_a_requirement_with_its_hash(tmp_path: Path) -> None:
    own = tmp_path / "sourcery_orchestrator-0.1.0-py3-none-any.whl"
    own.write_bytes(b"wheel")
    text = inputs.requirements(LOCK, own)
    assert text.startswith(LOCK.rstrip())
    sha256 = digest.sha256_of_bytes(b"wheel").hex
    assert text.endswith(f"\nsourcery_orchestrator==0.1.0 --hash=sha256:{sha256}\n")


class Pip:
    """Stands in for pip: lays down a wheel, or fails with some words."""

    def __init__(self, error: str = "") -> None:
        self.commands: list[list[str]] = []
        self._error = error

    def __call__(self, command: Sequence[str], **_: object) -> Completed:
        from pathlib import Path

        self.commands.append(list(command))
        (into,) = (word.removeprefix("--dest=") for word in command if word.startswith("--dest="))
        Path(into).mkdir()
        Path(into, "one-1.0-py3-none-any.whl").write_bytes(b"wheel")
        return Completed(1 if self._error else 0, b"", self._error.encode())


def test_wheels_are_fetched_once_by_their_hashes(tmp_path: Path) -> None:
    (tmp_path / "requirements.lock").write_text(LOCK)
    pip = Pip()
    asked = (tmp_path / "requirements.lock", "3.13", "amd64", tmp_path / "cache", Clients(run=pip))
    first, second = inputs.wheels(*asked), inputs.wheels(*asked)  # type: ignore[arg-type]
    assert first == second
    assert [path.name for path in first.iterdir()] == ["one-1.0-py3-none-any.whl"]
    (command,) = pip.commands
    assert {"--require-hashes", "--only-binary=:all:", "--no-deps", "--abi=cp313"} <= set(command)
    assert "--platform=manylinux_2_28_x86_64" in command
    # Another lock is another folder.
    (tmp_path / "requirements.lock").write_text(f"{LOCK}\n")
    assert inputs.wheels(*asked) != first  # type: ignore[arg-type]
    assert len(pip.commands) == 2


def test_wheels_that_are_not_there_leave_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "requirements.lock").write_text(LOCK)
    error = "ERROR: No matching distribution found for one==1.0"
    with pytest.raises(InputError, match="No matching distribution") as refused:
        inputs.wheels(
            tmp_path / "requirements.lock", "3.13", "arm64", tmp_path / "cache",
            Clients(run=Pip(error)),
        )  # fmt: skip
    assert refused.value.remedy == "pin others: `make relock`"
    assert list((tmp_path / "cache").iterdir()) == []


def test_older_c_libraries_come_after_newer_ones() -> None:
    tags = inputs.platforms("arm64")
    assert tags[0] == "manylinux_2_41_aarch64"
    assert tags.index("manylinux_2_28_aarch64") < tags.index("manylinux2014_aarch64")

"""Which emulator runs foreign programs, on made-up registrations."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from orchestrator.run import binfmt
from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from pathlib import Path

_MAGIC = "7f454c460201010000000000000000000200b700"
_MASK = "ffffffffffffff00fffffffffffffffffeffffff"


def entry(flags: str = "OCF", *, state: str = "enabled", magic: str = _MAGIC) -> str:
    return (
        f"{state}\ninterpreter /usr/libexec/qemu-aarch64\nflags: {flags}\noffset 0\n"
        f"magic {magic}\nmask {_MASK}\n"
    )


@pytest.fixture
def registered(tmp_path: Path) -> Path:
    folder = tmp_path / "binfmt_misc"
    folder.mkdir()
    (folder / "status").write_text("enabled\n")
    return folder


def elf(path: Path, *kinds: int) -> str:
    """A program with headers of these kinds."""
    head = b"\x7fELF\x02\x01\x01".ljust(32, b"\0") + struct.pack("<Q", 64)
    head = head.ljust(54, b"\0") + struct.pack("<HH", 56, len(kinds))
    path.write_bytes(head.ljust(64, b"\0") + b"".join(struct.pack("<I52x", k) for k in kinds))
    return str(path)


def nothing(_name: str) -> None:
    return None


def test_a_registered_emulator(registered: Path) -> None:
    (registered / "qemu-aarch64").write_text(entry())
    found = binfmt.find("arm64", registered=registered, which=nothing)
    assert found.registration == ""
    assert "/usr/libexec/qemu-aarch64" in found.by


@pytest.mark.parametrize(
    "text",
    [
        entry("OC"),
        entry(state="disabled"),
        entry(magic=_MAGIC.replace("b7", "f3")),
        entry(magic="7f45zz"),
        "enabled\ninterpreter /x\nflags: F\nextension .exe\n",
        "",
    ],
)
def test_an_entry_that_does_not_count(registered: Path, text: str) -> None:
    (registered / "entry").write_text(text)
    with pytest.raises(InfrastructureError, match="qemu-user-static"):
        binfmt.find("arm64", registered=registered, which=nothing)


def test_registrations_that_are_switched_off(registered: Path) -> None:
    (registered / "qemu-aarch64").write_text(entry())
    (registered / "status").write_text("disabled\n")
    with pytest.raises(InfrastructureError):
        binfmt.find("arm64", registered=registered, which=nothing)


def test_an_installed_emulator_is_registered_for_the_run(tmp_path: Path) -> None:
    program = elf(tmp_path / "qemu", 1, 2)

    def which(name: str) -> str | None:
        return program if name == "qemu-riscv64-static" else None

    found = binfmt.find("riscv64", registered=tmp_path / "no", which=which, kernel="6.7.0-1")
    _, name, kind, offset, magic, mask, interpreter, flags = found.registration.split(":")
    assert (name, kind, offset, interpreter) == ("sourcery-riscv64", "M", "", program)
    assert "F" in flags
    assert len(magic) == len(mask) == 20 * len(r"\x00")
    assert magic.endswith(r"\xf3\x00")


def test_a_private_registration_needs_a_new_kernel(tmp_path: Path) -> None:
    program = elf(tmp_path / "qemu", 1)
    with pytest.raises(InfrastructureError) as caught:
        binfmt.find("arm64", registered=tmp_path, which=lambda _: program, kernel="6.6.99")
    assert "binfmt-support" in caught.value.remedy
    assert ":sourcery-arm64:M::" in caught.value.remedy


def test_an_emulator_that_needs_libraries_does_not_count(tmp_path: Path) -> None:
    program = elf(tmp_path / "qemu", 1, 3)
    with pytest.raises(InfrastructureError, match="no static emulator"):
        binfmt.find("arm64", registered=tmp_path, which=lambda _: program, kernel="6.12")


def test_headers_fit_no_other_architecture() -> None:
    headers = {name: binfmt.header(name) for name in ("amd64", "arm64", "riscv64")}
    assert len(set(headers.values())) == 3
    assert all(len(header) == 20 for header in headers.values())

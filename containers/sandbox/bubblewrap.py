"""Finds bubblewrap and says whether it works on this machine, and if not, what to do about it."""

from __future__ import annotations

import re
from pathlib import Path

from containers.host import process
from reproducibility.errors import InfrastructureError

# --size (a bounded /tmp) and --disable-userns came with 0.8.0.
_OLDEST = (0, 8)
_VERSION = re.compile(r"bubblewrap (\d+)\.(\d+)")
_REASON = "to run build steps in isolation without a container engine"
_REMEDY = "install it: `apt install bubblewrap`, `dnf install bubblewrap` or `pacman -S bubblewrap`"


def find() -> str:
    """The path of a bubblewrap that is new enough.

    Raises:
        InfrastructureError: there is none; says how to get it.
    """
    path = process.find("bwrap", reason=_REASON, remedy=_REMEDY)
    answer = _answer(path)
    match = _VERSION.search(answer)
    if match is None or (int(match[1]), int(match[2])) < _OLDEST:
        raise InfrastructureError(
            f"bubblewrap is too old: {answer.strip()!r}, and 0.8.0 is needed for a bounded /tmp",
            subject=path,
            remedy="install a newer bubblewrap, or use --engine docker",
        )
    return path


def version(program: str) -> str:
    """The version of the bubblewrap at a path, as it says it."""
    return _answer(program).strip().removeprefix("bubblewrap ")


def _answer(program: str) -> str:
    return process.run([program, "--version"], environment={}, seconds=30).stdout.decode()


def refusal(words: str) -> InfrastructureError:
    """The error for a bubblewrap that is there but does not work, with the remedy that fits.

    `words`: what bubblewrap or the kernel said.
    """
    for setting, bad, remedy in _SETTINGS:
        if _setting(setting) == bad:
            return InfrastructureError(
                f"bubblewrap cannot make a sandbox: {words}",
                subject=f"{setting} is {bad}",
                remedy=remedy,
            )
    return InfrastructureError(
        f"bubblewrap cannot make a sandbox: {words}",
        remedy="allow user namespaces (inside a container: run it with --security-opt "
        "seccomp=unconfined, and as root with --cap-add SYS_ADMIN too), or use --engine docker",
    )


_SETTINGS = (
    (
        "kernel.unprivileged_userns_clone",
        "0",
        "`sysctl kernel.unprivileged_userns_clone=1` as root, or use --engine docker",
    ),
    (
        "user.max_user_namespaces",
        "0",
        "`sysctl user.max_user_namespaces=10000` as root, or use --engine docker",
    ),
    (
        "kernel.apparmor_restrict_unprivileged_userns",
        "1",
        (
            "AppArmor lets only programs with a profile make user namespaces (Ubuntu 24.04): load "
            "the profile `bwrap-userns-restrict` of the package apparmor-profiles, or `sysctl "
            "kernel.apparmor_restrict_unprivileged_userns=0` as root, or use --engine docker"
        ),
    ),
)


def _setting(name: str) -> str:
    try:
        return Path("/proc/sys", name.replace(".", "/")).read_text("ascii").strip()
    except OSError:
        return ""

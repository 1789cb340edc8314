"""systemd as the first process of namespaces of its own, for tests of units with all their rules.

Needs root. The units and nothing else run; whatever ends the manager ends everything in it.
"""

from __future__ import annotations

import shlex
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

SYSTEMD = "/lib/systemd/systemd"
_SECONDS = 300
# What units hang on by default, and what the service waits for.
_TARGETS = ("basic", "network-online", "shutdown", "sysinit", "timers", "umount")
# PrivateTmp= gives each service its own.
_PRIVATE = ("/tmp", "/var/tmp")  # noqa: S108 - names only
_NAMESPACES = ("--mount", "--pid", "--ipc", "--uts", "--cgroup", "--fork", "--kill-child")
# A root whose /proc, /sys and cgroups are those of the namespaces, and below which nothing is left
# of the machine's own: systemd would find it, and so would the kernel.
_BOOT = """\
set -e
mount --make-rprivate /
mount --rbind / {root}
cd {root}
umount --recursive --lazy proc
mount -t proc proc proc
umount --recursive --lazy sys
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs tmpfs run
pivot_root . .
umount --lazy .
cd /
exec env -i container=tests PATH="$PATH" SYSTEMD_UNIT_PATH={units} \
    {systemd} --system --unit=tests.target --show-status=no
"""


def run(
    folder: Path, units: Mapping[str, str], wanted: str, *, seen: Iterable[Path] = ()
) -> dict[str, str]:
    """Start a unit and wait for it, and for what its failure starts; give what each service wrote.

    `folder`: an empty one; services see the one around it. `units`: texts by file name. `wanted`:
    the unit to start. `seen`: what they see too, even where it lies in a folder that is private to
    each, such as /tmp.
    """
    place, logs, root = folder / "units", folder / "logs", folder / "root"
    for one in (place, logs, root):
        one.mkdir()
    for name in _TARGETS:
        (place / f"{name}.target").write_text("[Unit]\nDefaultDependencies=no\n")
    (place / "tests.target").write_text(f"[Unit]\nDefaultDependencies=no\nWants={wanted}\n")
    for name, text in units.items():
        (place / name).write_text(text)
        if name.endswith(".service"):
            # The last one to end ends the manager: the wanted one, or what tells of its failure.
            last = "" if f"OnFailure={_failed(name)}" in text else "FailureAction=exit-force\n"
            (place / f"{name}.d").mkdir()
            (place / f"{name}.d" / "tests.conf").write_text(
                f"[Unit]\nSuccessAction=exit-force\n{last}"
                f"[Service]\nStandardOutput=file:{logs / name}\nStandardError=inherit\n"
                f"BindPaths={_bound([folder.parent])}\nBindReadOnlyPaths={_bound(seen)}\n"
            )
    script = _BOOT.format(
        root=shlex.quote(str(root)), units=shlex.quote(str(place)), systemd=SYSTEMD
    )
    done = subprocess.run(
        ["unshare", *_NAMESPACES, "sh", "-c", script],  # noqa: S607 - found on PATH
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=_SECONDS,
    )
    assert any(logs.iterdir()), f"no service was started: {done.stderr.decode()}"
    return {path.name: path.read_text("utf-8", "replace") for path in sorted(logs.iterdir())}


def _failed(name: str) -> str:
    return name.replace(".service", "-failed.service")


def _bound(paths: Iterable[Path]) -> str:
    """Those of the paths that a unit would not see. Where nothing is bound, only rules count."""
    return " ".join(f'"{path}"' for path in paths if any(map(path.is_relative_to, _PRIVATE)))

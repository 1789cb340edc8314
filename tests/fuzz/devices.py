"""What comes over a serial line, from a process beside, and what a build left in a folder."""

from __future__ import annotations

import json
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from containers.sandbox import cgroup, launch, own_groups
from orchestrator import device, doctor
from orchestrator.artifacts import filling, output_directory
from orchestrator.qemu import proof, screen, script
from orchestrator.qemu.guest import Ran
from orchestrator.qemu.platforms import PLATFORMS
from orchestrator.qemu.transcript import Transcript
from orchestrator.run import session as sessions
from reproducibility.errors import InfrastructureError, InputError
from tests.fuzz import scratch
from tests.fuzz.target import Target

if TYPE_CHECKING:
    from collections.abc import Sequence

_LINE = (
    b"[    0.000000] Linux version 6.12\r\n\x1b[2J\x1b[H\rcompiling ls ...\b \b\b \b\r\x1b[K"
    b"\x1b[?25l> ls /\r\n<|3\r\nbin go src linux_amd64\r\n3|> 0\r\n"
    b"Kernel panic - not syncing: x\r\n"
    b"\x1b]0;title\x07\x1bP1\x1b\\\x1b[31mred\x1b[0m ab\b\bc\xc3\xa4\xff"
)


def _shown(data: bytes) -> None:
    for text in (screen.text(data), screen.last_line(data)):
        if any(not (c.isprintable() or c in "\n\t" or ord(c) > 0x7F) for c in text):
            raise AssertionError(repr(text))
    screen.compiled(data)
    for pattern in (
        *(one.pattern for one in (*script.MILESTONES, *script.DEAD_ENDS)),
        *(script.PROMPT, script.begun(3), script.ended(3)),
    ):
        found = pattern.search(data)
        if found and pattern is not script.PROMPT and found.groups():
            int(found[1])


def _recorded(data: bytes) -> None:
    with scratch.fresh() as folder:
        with Transcript(folder, "boot", now=lambda: 0.0) as transcript:
            for at in range(0, len(data), 1000):
                transcript.write(data[at : at + 1000])
            str(transcript.last_line)
        for line in transcript.cast.read_text("utf-8").splitlines():
            json.loads(line)


def _judged(data: bytes) -> None:
    ran = [Ran(command, 0, 1.0, data) for command in proof.SESSION]
    for check in proof.judge(PLATFORMS[0], ran):
        check.document()
    json.dumps(ran[0].document())


def _long_lines() -> Sequence[bytes]:
    parts = (
        b"\x1b",
        b"\x1b[",
        b"\x1b]",
        b"\b",
        b"\r",
        b"a\r",
        b"compiling ",
        b"<|3\r",
        b"\x1b[0K",
        b"\x1b[1;",
    )
    return [part * (200_000 // len(part)) for part in parts]


def _environment(data: bytes) -> None:
    """The file in the root that says what `init` sets."""
    with scratch.fresh() as root:
        place = root / device.folder("amd64")
        place.mkdir(parents=True)
        (place / "environment").write_bytes(data)
        sessions.environment(root, "amd64")


class _Pieces:
    """A socket on which a process in the root tells what became of it."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def recv(self, size: int) -> bytes:
        piece, self._data = self._data[:size], self._data[size:]
        return piece


def _received(data: bytes) -> None:
    sessions._received(_Pieces(data))  # type: ignore[arg-type]


def _progress(data: bytes) -> None:
    """What bubblewrap tells of its progress."""
    with ExitStack() as stack:
        progress = launch._Progress(stack)
        progress._told = data
        progress.begun()
        progress.status()


def _control_groups(data: bytes) -> None:
    path = scratch.file("proc", data)
    with suppress(OSError):
        own_groups.of_version_2(path, path)
    group = cgroup.Group(scratch.folder())
    scratch.file("memory.events", data)
    scratch.file("memory.peak", data)
    group.ran_out_of_memory()
    group.peak_memory()
    doctor._meminfo(path)


_PROC = (
    b"0::/user.slice\n30 23 0:26 /user.slice /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
    b"low 0\noom_kill 1\nMemTotal:   100 kB\n"
)


def _marked(data: bytes) -> None:
    """What an interrupted build, or an earlier one, said that it made in a folder."""
    with scratch.fresh() as folder:
        fresh, out = folder / "fresh", folder / "out"
        for place in (fresh, out):
            place.mkdir()
        (fresh / output_directory.RESULT).write_bytes(b"{}")
        (folder / "kept").touch()
        (out / filling.MARK).write_bytes(data)
        (out / output_directory.RESULT).write_bytes(data)
        output_directory.unfinished(out)
        filling.fill(fresh, out)
        if not (folder / "kept").exists() or not (out / output_directory.RESULT).exists():
            raise AssertionError("something else is gone")


_MARK = {
    "made": ["sourcery.img", "logs/T1-dist.log"],
    "image": {"path": "sourcery.img"},
    "cpio": {"path": "../kept"},
    "steps": [{"name": "T1/dist", "key": "blake3:" + "0" * 64}],
    "stages": [{"name": "T1/toolchain", "key": "blake3:" + "0" * 64}],
}

TARGETS = (
    Target("screen", _shown, lambda: [_LINE], (), nasty=_long_lines),
    Target("serial-line", _recorded, lambda: [_LINE], (), nasty=_long_lines, examples=25),
    Target("session", _judged, lambda: [_LINE, b"linux_amd64 bin go src"], ()),
    Target("root-environment", _environment, lambda: [b"# x\nPATH=/bin\nHOME=/tmp\n"]),
    Target(
        "root-process",
        _received,
        lambda: [b'{"error": "x"}\n{"status": "1"}\n'],
        (InputError, InfrastructureError),
    ),
    Target(
        "sandbox-progress",
        _progress,
        lambda: [b'{ "child-pid": 12 }\n{ "exit-code": 0 }\n'],
        (InfrastructureError,),
    ),
    Target("proc", _control_groups, lambda: [_PROC], ()),
    Target("output-mark", _marked, lambda: [json.dumps(_MARK).encode()], examples=20),
)

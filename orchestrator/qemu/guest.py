"""QEMU process and its serial line, driven through pexpect.

QEMU runs in a process group of its own, which is ended in every case: a machine never outlives its
`Guest`.
"""

from __future__ import annotations

import os
import pty
import re
import subprocess
import tempfile
import time
import tty
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import pexpect
from pexpect import fdpexpect

from containers.host import process
from orchestrator.qemu import screen, script
from reproducibility.errors import ActionError, InfrastructureError, Stopped

if TYPE_CHECKING:
    from collections.abc import Sequence
    from threading import Event

    from orchestrator.qemu.platforms import Platform
    from orchestrator.qemu.transcript import Transcript

# How often the request to stop is looked at, in seconds.
_GLANCE = 0.25
# pexpect searches only the end of what has come, of this length; what comes at once, or is left
# from before, must be shorter, or a mark in it would be missed.
_WINDOW = 1 << 17
_AT_ONCE = 1 << 14
_PIECE = 256
_KEPT = 2000
# How long QEMU may take to end once its serial line is closed.
_ENDING = 30


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that was run on the device.

    `seconds`: from the start to the end of it on the device. `compiled`: the commands that the
    device said it compiled meanwhile. `raw`: its output as it came; `output`: as it is to be read.
    """

    command: str
    status: int
    seconds: float
    raw: bytes

    @property
    def output(self) -> str:
        """Output that stayed on the screen."""
        return screen.text(self.raw)

    @property
    def compiled(self) -> list[str]:
        """Names of commands, in the order in which they were compiled."""
        return screen.compiled(self.raw)

    def document(self) -> dict[str, object]:
        """The command as a JSON object."""
        return {
            "command": self.command,
            "status": self.status,
            "seconds": round(self.seconds, 3),
            "compiled": self.compiled,
            "output": self.output,
        }


class Guest:
    """A running machine; use it in a `with` statement.

    `seconds` in the methods: how long to wait for what comes next. `line`: the serial line's file
    descriptor here.
    """

    def __init__(
        self, platform: Platform, command: Sequence[str], transcript: Transcript, stop: Event
    ) -> None:
        """Start QEMU.

        Raises:
            InfrastructureError: it cannot be started.
        """
        self.platform = platform
        self.transcript = transcript
        self._stop = stop
        self._numbers = 0
        self._kvm = "kvm" in command
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__
        self.line, end = pty.openpty()
        try:
            tty.setraw(end)
            self._process = subprocess.Popen(  # noqa: S603 - argv list, no shell
                command,
                env={"PATH": os.defpath, "LC_ALL": "C.UTF-8", "TMPDIR": tempfile.gettempdir()},
                stdin=end,
                stdout=end,
                stderr=self._words,
                start_new_session=True,
            )
        except OSError as error:
            os.close(self.line)
            self._words.close()
            raise InfrastructureError(
                f"cannot start {command[0]}: {error.strerror}", subject=platform.name
            ) from error
        finally:
            os.close(end)
        self._console: fdpexpect.fdspawn[bytes] = fdpexpect.fdspawn(
            self.line, maxread=_AT_ONCE, searchwindowsize=_WINDOW
        )
        self._console.logfile_read = transcript

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        process.end(self._process)
        self._words.close()
        os.close(self.line)

    def boot(self, seconds: float) -> dict[str, float]:
        """Follow the boot to the shell's prompt; the seconds from power-on to each milestone seen.

        Raises:
            ActionError: the kernel panicked, nothing was found to boot, or it took too long.
            InfrastructureError: QEMU itself failed.
            Stopped: the request to stop came.
        """
        seen: dict[str, float] = {}
        deadline = time.monotonic() + seconds
        while "prompt" not in seen:
            coming = [
                milestone
                for milestone in script.MILESTONES
                if milestone.name not in seen and (milestone.name != "prompt" or "init" in seen)
            ]
            dead = [end for end in script.DEAD_ENDS if not end.before or end.before not in seen]
            patterns = [*(one.pattern for one in coming), *(one.pattern for one in dead)]
            found = self._wait(patterns, deadline, f"no {coming[0].name} within {seconds:.0f} s")
            if found >= len(coming):
                self._linger()
                raise self._failed(dead[found - len(coming)].meaning)
            seen[coming[found].name] = round(self.transcript.seconds, 3)
        return seen

    def run(self, command: str, seconds: float) -> Ran:
        """Type a command at the prompt, wait for its end and for the next prompt.

        Raises:
            InputError: it cannot be typed.
            ActionError: it took too long, or the machine ended.
            InfrastructureError: QEMU itself failed.
            Stopped: the request to stop came.
        """
        script.check(command)
        self._numbers += 1
        number = self._numbers
        deadline = time.monotonic() + seconds
        late = f"{command.splitlines()[0]!r} was not done within {seconds:.0f} s"
        self._type(script.typed(number, command))
        panic = script.DEAD_ENDS[0]
        if self._wait([script.begun(number), panic.pattern], deadline, late) == 1:
            raise self._failed(panic.meaning)
        since = time.monotonic()
        found = self._wait([script.ended(number), script.PROMPT, panic.pattern], deadline, late)
        took = time.monotonic() - since
        if found == 2:  # noqa: PLR2004 - the third of them
            raise self._failed(panic.meaning)
        raw, match = self._console.before or b"", self._console.match
        if found == 1 or not isinstance(match, re.Match):
            # A prompt and no mark: the shell could not parse the command. POSIX.1-2024, XCU 2.8.1.
            return Ran(command, 2, took, raw)
        status = int(match[1])
        self._wait([script.PROMPT], deadline, late)
        return Ran(command, status, took, raw)

    def power_off(self, seconds: float) -> float:
        """Type `poweroff`; the seconds until QEMU ended by itself.

        Raises:
            ActionError: the machine did not power off, or not in good order.
            InfrastructureError: QEMU itself failed.
            Stopped: the request to stop came.
        """
        since = time.monotonic()
        self._type(script.POWER_OFF)
        late = f"the machine was not off within {seconds:.0f} s"
        patterns = [script.POWER_DOWN, script.DEAD_ENDS[0].pattern]
        if self._wait(patterns, since + seconds, late) == 1:
            raise self._failed(script.DEAD_ENDS[0].meaning)
        self._linger(_ENDING)
        status = self.ended()
        if status != 0:
            raise self._failed(f"QEMU did not end well (exit status {status})")
        return time.monotonic() - since

    def failure(self) -> ActionError | InfrastructureError | None:
        """Return the error of a machine whose serial line was closed; None where it ended well."""
        return None if self.ended() == 0 else self._gone()

    def ended(self) -> int | None:
        """QEMU's exit status, waited for; None where it does not end."""
        try:
            return self._process.wait(_ENDING)
        except subprocess.TimeoutExpired:
            return None

    def _type(self, keys: bytes) -> None:
        for at in range(0, len(keys), _PIECE):
            self._console.send(keys[at : at + _PIECE])
            # The echo is taken in meanwhile, so that neither side waits for the other to read.
            self._console.expect([pexpect.TIMEOUT, pexpect.EOF], timeout=0)

    def _wait(self, patterns: Sequence[re.Pattern[bytes]], deadline: float, late: str) -> int:
        """The index of the pattern that came first."""
        while True:
            if self._stop.is_set():
                raise Stopped("stopped")
            left = deadline - time.monotonic()
            found = self._console.expect_list(
                [*patterns, pexpect.EOF, pexpect.TIMEOUT], timeout=max(min(left, _GLANCE), 0)
            )
            self.transcript.flush()
            if found < len(patterns):
                return found
            if found == len(patterns):
                raise self._gone()
            if left <= 0:
                raise self._failed(late)

    def _linger(self, seconds: float = 1) -> None:
        """Take in what still comes, until the line is closed or so many seconds have passed."""
        self._console.expect([pexpect.EOF, pexpect.TIMEOUT], timeout=seconds)
        self.transcript.flush()

    def _gone(self) -> ActionError | InfrastructureError:
        """The error for a machine whose serial line was closed before its time."""
        status = self.ended()
        self._words.seek(0)
        words = self._words.read()[-_KEPT:].decode(errors="replace").strip()
        if status and not self.transcript.last_line:
            return InfrastructureError(
                f"{self.platform.program} failed (exit status {status}): {words}",
                subject=self.platform.name,
                remedy="leave out `--accel kvm`" if self._kvm else "",
            )
        how = "its line was closed, but QEMU runs on"
        if status is not None:
            how = f"the machine went off (exit status {status})"
        return self._failed(f"{how}{words and ': '}{words}")

    def _failed(self, what: str) -> ActionError:
        last = self.transcript.last_line
        self.transcript.flush()
        more = "give it more with --memory if that was for want of memory, or "
        return ActionError(
            f"{self.platform.name}: {what}; "
            + (f"the last line on its console: {last!r}" if last else "its console is empty"),
            subject=str(self.transcript.log),
            remedy=(more if self.platform.from_archive else "")
            + "read that transcript, or look at the machine: "
            f"`orchestrate boot --platform {self.platform.name} --interactive`",
        )

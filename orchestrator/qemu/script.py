r"""Milestones of a boot, and marks around typed commands that tell their output from their echo.

Pure. The device's shell draws the line that is typed again and again. So a command is put between
two others that print marks which the typed text does not hold: `echo "<|""3"` prints `<|3`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from reproducibility.errors import InputError

# The line editor of gosh takes a line feed that is not the end of the input as Ctrl-O.
_NEWLINE = "\x0f"
_ENTER = "\r"
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")
_DRAWN = rb"(?:[\r\n]|\x1b\[[0-9;?]*[A-Za-z])"

# The line editor hides the cursor, then draws its prompt for the first time.
PROMPT = re.compile(rb"\x1b\[\?25l> ")
POWER_DOWN = re.compile(rb"reboot: Power down")
POWER_OFF = f"poweroff{_ENTER}".encode()


@dataclass(frozen=True, slots=True)
class Milestone:
    """A place in a boot that is to be seen on the serial line."""

    name: str
    pattern: re.Pattern[bytes]


MILESTONES = (
    Milestone("kernel", re.compile(rb"Linux version ")),
    Milestone("initramfs", re.compile(rb"Run /[!-~]+ as init process")),
    Milestone("init", re.compile(rb"Sourcery: a system that is mostly source")),
    Milestone("prompt", PROMPT),
)


@dataclass(frozen=True, slots=True)
class Dead:
    """A sight after which no prompt will come. `before`: only until this milestone was seen."""

    meaning: str
    pattern: re.Pattern[bytes]
    before: str = ""


DEAD_ENDS = (
    Dead("the kernel panicked", re.compile(rb"Kernel panic - not syncing[^\r\n]*")),
    # It goes on, with what there was room for.
    Dead(
        "the kernel could not unpack what it started from, which needs more memory",
        re.compile(rb"Initramfs unpacking failed: [^\r\n]*"),
        "initramfs",
    ),
    Dead("the machine gave an emergency shell", re.compile(_DRAWN + rb"emergency# ")),
    Dead("the BIOS found nothing to boot", re.compile(rb"No bootable device"), "kernel"),
    Dead("SYSLINUX found no kernel", re.compile(rb"Could not find kernel image"), "kernel"),
    Dead("SYSLINUX found no menu", re.compile(rb"No DEFAULT or UI configuration"), "kernel"),
    Dead("the UEFI firmware found nothing to boot", re.compile(rb"Shell> "), "kernel"),
    Dead("U-Boot found nothing to boot", re.compile(rb"\n=> "), "kernel"),
)


def check(command: str) -> None:
    """Make sure that a command can be typed.

    Raises:
        InputError: it is empty, or no text in UTF-8, or holds control characters, which a line
            editor obeys.
    """
    if not command.strip():
        raise InputError("an empty command cannot be run", subject="--run")
    try:
        command.encode()
    except UnicodeEncodeError as error:
        # As Python reads an argument's other bytes.
        raise InputError(
            "a command that is no text in UTF-8 cannot be typed",
            subject=ascii(command),
            remedy="give other bytes to a command on the device, as in printf '\\200'",
        ) from error
    if _CONTROL.search(command):
        raise InputError(
            "a command with control characters cannot be typed",
            subject=repr(command),
            remedy="use spaces instead of tabs",
        )


def typed(number: int, command: str) -> bytes:
    """The keys that run a command, its number marked before its output and its status after it."""
    lines = [f'echo "<|""{number}"', *command.split("\n"), f'echo "{number}""|>" $?']
    return (_NEWLINE.join(lines) + _ENTER).encode()


def begun(number: int) -> re.Pattern[bytes]:
    """The mark before the output."""
    return re.compile(rb"<\|%d\r*\n" % number)


def ended(number: int) -> re.Pattern[bytes]:
    """The mark after the output; its group is the exit status."""
    return re.compile(rb"%d\|> (\d{1,3})\r*\n" % number)

"""Passphrase of a private key: from a file, the environment, or asked for on the terminal.

Never from an argument, which every process of the machine can read.
"""

from __future__ import annotations

import getpass
import os
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.options import place
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.evidence.keys import Private

VARIABLE = "SOURCERY_PASSPHRASE"
_LARGEST = 64 << 10

PassphraseFile = Annotated[
    Path | None,
    typer.Option(
        "--passphrase-file",
        parser=place("--passphrase-file"),
        metavar="FILE",
        help=f"First line: the key's passphrase. Else ${VARIABLE}, else it is asked for.",
        rich_help_panel="Keys",
    ),
]


def load(path: Path, file: Path | None, note: Callable[[str], None]) -> Private:
    """Read a private key, with its passphrase where it has one. `note`: tells a person.

    Raises:
        InputError: there is none, others can read it, or the passphrase is missing or wrong.
    """
    from orchestrator.evidence import keys

    try:
        found = keys.load_private(path)
    except keys.LockedKeyError:
        given = told(file, note)
        if given is None and sys.stdin.isatty():
            given = _asked(f"Passphrase of {path}: ")
        return keys.load_private(path, given)
    if file is not None:
        note(f"{path} has no passphrase, so --passphrase-file is not used for it")
    return found


def chosen(file: Path | None, note: Callable[[str], None]) -> bytes | None:
    """Return the passphrase for a new key; None for one without. `note`: tells a person.

    Raises:
        InputError: what was typed a second time differs.
    """
    given = told(file, note)
    if given is not None or not sys.stdin.isatty():
        return given
    first = _asked("Passphrase of the new key (empty for none): ")
    if first and _asked("The same again: ") != first:
        raise InputError(
            "the two passphrases differ", subject="passphrase", remedy="type the same twice"
        )
    return first or None


def told(file: Path | None, note: Callable[[str], None]) -> bytes | None:
    """Return the passphrase of a file or of the environment; None where there is neither.

    `note`: tells a person of a file that others can read.

    Raises:
        InputError: the file cannot be read, or its first line is empty.
    """
    if file is None:
        return os.environb.get(VARIABLE.encode()) or None
    from reproducibility import regular

    try:
        mode = stat.S_IMODE(file.stat().st_mode)
        line = regular.read(file, limit=_LARGEST).partition(b"\n")[0].removesuffix(b"\r")
    except OSError as error:
        raise InputError(
            f"cannot read the passphrase: {error.strerror}",
            subject=str(file),
            remedy="give a file whose first line it is",
        ) from error
    if mode & 0o077:
        note(
            f"others than its owner can read or write {file} (mode {mode:04o}), and so have the "
            f"passphrase: chmod 600 {file}"
        )
    if not line:
        raise InputError(
            "the first line is empty, and it should be the passphrase",
            subject=str(file),
            remedy="give a file whose first line it is",
        )
    return line


def _asked(prompt: str) -> bytes:
    try:
        return getpass.getpass(prompt).encode("utf-8", "surrogateescape")
    except EOFError as error:
        raise InputError(
            "no passphrase was given", subject="passphrase", remedy="type it, or give a file"
        ) from error

"""Systemd units that run nights: service, timer, and the unit that tells of one that was killed.

The texts lie in `orchestrator/nightly/systemd/`, with a comment for each rule that is not there;
here the places are filled in. Values are quoted as systemd.syntax(7) and systemd.service(5) say.
Pure but for reading the texts.
"""

from __future__ import annotations

import re
from importlib import resources
from string import Template
from typing import TYPE_CHECKING

from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from orchestrator.nightly.config import Config

NAME = "sourcery-nightly"
CALENDAR = "*-*-* 02:00:00"
ROOT = "root"

_TEXTS = "systemd"
# Of util-linux, which everything with systemd has.
_RUNUSER = "/usr/sbin/runuser"
_KINDS = (".service", "-failed.service", ".timer")
# What mailers need that are started as a command: queue, mailboxes, log (exim4 keeps its own).
_MAIL_PATHS = ("-/var/spool", "-/var/mail", "-/var/log/exim4")
# Root mounts what an action sees and becomes its user; takes what other users left; ends them.
_BUILDING = (
    *("CAP_SYS_ADMIN", "CAP_SETUID", "CAP_SETGID", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER"),
    "CAP_KILL",
)
_MAILING = ("CAP_SETUID", "CAP_SETGID", "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER")
_WHY_AS_ROOT = (
    "Root mounts what an action sees, becomes its user, and takes what other users left there."
)
_WHY_AS_USER = "None: this user has what it needs in user namespaces."
_PLAIN = re.compile(r"[A-Za-z0-9_./,:=@+-]+")
_NO_PROGRAM = re.compile(r"['\"\\]")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,100}")
_CALENDAR = re.compile(r"[A-Za-z0-9*:,./~ -]{1,200}")


def rendered(
    program: Path,
    config: Config,
    *,
    user: str = ROOT,
    name: str = NAME,
    calendar: str = CALENDAR,
) -> dict[str, str]:
    """Return the units' texts by their file names, for a folder such as `/etc/systemd/system`.

    `program`: the absolute path of `orchestrate`. `config`: with the store's folder filled in; it
    is read anew each night, only places and whether there is e-mail stand in the units. `user`: who
    runs nights. `name`: of the units. `calendar`: when (systemd.time(7)).

    Raises:
        InputError: a name or a path cannot stand in a unit, or the configuration names no store.
    """
    for text, form, what in (
        (name, _NAME, "a unit's name"),
        (user, _NAME, "a user's name"),
        (calendar, _CALENDAR, "a time of systemd.time(7)"),
    ):
        if not form.fullmatch(text):
            raise InputError(f"{text!r} is not {what}", remedy="give another one")
    if config.store.folder is None:
        raise InputError("the configuration names no store", remedy="give it with [store] folder")
    folder = (config.file or config.spec).parent
    arguments = ["nightly", *(["--config", str(config.file)] if config.file else [])]
    command = f"{_program(program)} {_words(arguments, command=True)}"
    mailing = config.notify.mail is not None
    own = [str(config.state), str(config.store.folder)]
    values = {
        "name": name,
        "description": _escaped(_line(folder)),
        "user": user,
        "by": "" if user == ROOT else f"{_RUNUSER} --user={user} -- ",
        "folder": _escaped(_line(folder)),
        "folders": _words(own, command=True),
        "command": command,
        # With a dash, a folder need not be there before the first command makes it.
        "writable": _words([*(f"-{path}" for path in own), *(_MAIL_PATHS if mailing else ())]),
        "mail_too": ", and what mailers write" if mailing else "",
        "mail_paths": f"ReadWritePaths={_words(_MAIL_PATHS)}\n" if mailing else "",
        "capabilities": " ".join(_BUILDING if user == ROOT else ()),
        "mail_capabilities": " ".join(_MAILING if user == ROOT and mailing else ()),
        "why_capabilities": _WHY_AS_ROOT if user == ROOT else _WHY_AS_USER,
        "calendar": calendar,
    }
    return {f"{name}{kind}": _text(kind).substitute(values) for kind in _KINDS}


def _text(kind: str) -> Template:
    source = resources.files("orchestrator.nightly") / _TEXTS / f"nightly{kind}"
    return Template(source.read_text("utf-8"))


def _program(path: Path) -> str:
    """The first word of a command, in which variables are not expanded.

    Raises:
        InputError: systemd takes no program with such a path.
    """
    text = str(path)
    if not path.is_absolute() or _NO_PROGRAM.search(text):
        raise InputError(
            "a unit cannot name a program by a relative path, or one with quotes or backslashes",
            subject=repr(text),
            remedy="install it elsewhere",
        )
    return _word(text, command=False)


def _line(path: Path) -> str:
    """A path as the rest of a line, where nothing can be quoted.

    Raises:
        InputError: it ends so that the next line, or a space, would count otherwise.
    """
    text = str(path)
    if text != text.rstrip("\\ "):
        raise InputError(
            "a unit cannot name a folder that ends in a space or a backslash",
            subject=repr(text),
            remedy="rename the folder",
        )
    return text


def _escaped(text: str) -> str:
    """A text without specifiers, which begin with a per cent sign."""
    return text.replace("%", "%%")


def _words(words: Iterable[str], *, command: bool = False) -> str:
    """Words as a list, each quoted where it must be. `command`: variables are expanded there."""
    return " ".join(_word(word, command=command) for word in words)


def _word(word: str, *, command: bool) -> str:
    if _PLAIN.fullmatch(word):
        return word
    text = _escaped(word).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text.replace("$", "$$") if command else text}"'

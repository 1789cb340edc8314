"""Conditions under which an action is run, as data: what its command sees around it.

They are given when an action is run and are no part of what it does, so one action can be run under
several and its outputs compared. Why each is varied, and how an engine applies it, is in
`variations.py` and `docs/variations.md`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal


@dataclass(frozen=True, slots=True)
class Conditions:
    """Conditions: what a command sees around it.

    `work`: absolute path of the writable work directory. `host`: host name. `user`, `group`: ids
    as seen inside. `parallelism`: how many threads Go programs use and how many actions the go
    command runs at once (GOMAXPROCS); 0 leaves it to the number of CPUs. `order_seed`: 0
    leaves the order of directory entries to the file system; any other number puts the inputs on a
    tmpfs in an order derived from it.

    Variables of the environment, where empty leaves what the action says: `exported`, one more, as
    NAME=VALUE, and all of them in the opposite order; `search_path`, folders that follow those of
    PATH, with colons between them; `home` (HOME); `locale` (LANG and LC_ALL); `zone` (TZ).

    `umask`: the bits that new files do not get. `domain`: the NIS domain name, as uname(2) says it;
    empty is none, never the machine's. `processors`: on how many CPUs it may run, 0 for all that it
    gets. `addresses`: where the kernel puts its memory: at random, or always at the same place.
    `kernel`: the release that uname(2) says: the machine's, or one that begins with 2.6 (UNAME26 in
    personality(2)). `mtime`: modification time of the input trees' files in seconds since
    1970-01-01 UTC; 0 leaves the action's own (`Action.epoch`). `stdin`: what standard input is:
    nothing (/dev/null), or a pipe that holds a line. `memory`, `tmp`: hundredths of the policy's
    limit on memory, and of that on the size of /tmp.
    """

    work: str = "/work"
    host: str = "builder"
    user: int = 65534
    group: int = 65534
    parallelism: int = 0
    order_seed: int = 0
    exported: str = ""
    search_path: str = ""
    home: str = ""
    locale: str = ""
    zone: str = ""
    umask: int = 0o022
    domain: str = ""
    processors: int = 0
    addresses: Literal["random", "fixed"] = "random"
    kernel: Literal["own", "2.6"] = "own"
    mtime: int = 0
    stdin: Literal["nothing", "pipe"] = "nothing"
    memory: int = 100
    tmp: int = 100

    def describe(self) -> dict[str, str | int]:
        """The fields that are not as usual, as a JSON object: a new field changes no key."""
        return {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if getattr(self, field.name) != field.default
        }


STANDARD = Conditions()
# What a pipe on standard input holds, for a program that reads it.
STDIN_LINE = b"a line on standard input\n"

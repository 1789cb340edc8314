"""Conditions under which an action is run, as data: what its command sees around it.

They are given when an action is run and are no part of what it does, so one action can be run under
several and its outputs compared.
"""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a command sees around it.

    `work`: absolute path of the writable work directory. `host`: host name. `user`, `group`: ids
    as seen inside. `parallelism`: how many threads Go programs use and how many actions the go
    command runs at once (GOMAXPROCS); 0 leaves it to the number of CPUs. `order_seed`: 0
    leaves the order of directory entries to the file system; any other number puts the inputs on a
    tmpfs in an order derived from it.
    """

    work: str = "/work"
    host: str = "builder"
    user: int = 65534
    group: int = 65534
    parallelism: int = 0
    order_seed: int = 0

    def describe(self) -> dict[str, str | int]:
        """The fields that are not as usual, as a JSON object: a new field changes no key."""
        return {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if getattr(self, field.name) != field.default
        }


STANDARD = Conditions()

"""Variations of an action's environment, as data: the usual one, and a deliberately different one.

A build that gives the same bits in both does not depend on any of these. What an action really
saw is observed from inside (`toolchain/observe`), so that a variation that had no effect is found.
"""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Surroundings of an action: the conditions that it runs under.

    `work`: absolute path of the writable work directory. `host`: host name. `user`, `group`: ids
    as seen inside. `parallelism`: how many threads Go programs use and how many actions the go
    command runs at once; 0 leaves it to the number of CPUs. `order_seed`: 0 leaves the order
    of directory entries to the file system; any other number puts the inputs on a tmpfs in an
    order derived from it.
    """

    work: str
    host: str
    user: int
    group: int
    parallelism: int
    order_seed: int

    def describe(self) -> dict[str, str | int]:
        """The fields as a JSON object."""
        return {
            "work": self.work,
            "host": self.host,
            "user": self.user,
            "group": self.group,
            "parallelism": self.parallelism,
            "order_seed": self.order_seed,
        }


STANDARD = Surroundings(
    work="/work", host="builder", user=65534, group=65534, parallelism=0, order_seed=0
)
VARIED = Surroundings(
    work="/elsewhere/a longer path/work",
    host="another-host-name",
    user=1234,
    group=4321,
    parallelism=3,
    order_seed=27,
)


def varied(processors: int) -> Surroundings:
    """VARIED on an engine whose actions usually have so many CPUs.

    Half of them, which is what an action can use well while another runs beside it. One has no
    half: then VARIED's own number, which no go program takes by itself (with a quota of one
    CPU on a machine of several, it takes two: runtime.GOMAXPROCS from Go 1.25 on).
    """
    return replace(VARIED, parallelism=processors // 2) if processors > 1 else VARIED

"""A build farm as a value: its address, how to be let in, which workers, what is believed of it.

`orchestrator/farm_file.py` reads it from a person's TOML file. Nothing here opens a connection.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from threading import Event

    from containers.engine import Storage
    from reproducibility.manifest import Tree

# Which results of the farm's action cache are taken: none, those that this project signed, all.
Cache = Literal["none", "own", "all"]


@dataclass(frozen=True, slots=True)
class Tls:
    """Files in PEM form.

    `authority`: who signed the farm's certificate; None for whom the machine believes
    (`authorities.py`). `certificate`, `key`: this client's own, both or none.
    """

    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True, slots=True)
class Headers:
    """Where lines `name: value` come from that go with each call: a file, or what a command says.

    So no token stands in a command line, in the farm's file or in a log. At most one is given.
    """

    file: Path | None = None
    command: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Workers:
    """Workers of one architecture.

    `properties`: what the farm chooses them by (`Platform` in the API), sorted by name.
    `processors`: how many CPUs an action has there, which no farm tells.
    """

    properties: tuple[tuple[str, str], ...]
    processors: int


@dataclass(frozen=True, slots=True)
class Farm:
    """One farm.

    `address`: `host:port`, or `unix:/path`. `storage`: that of its storage, where it is another
    one. `tls`: None for none at all. `workers`: by architecture. `actions`: how many at once.
    `timeout`: the longest one that the farm takes for an action in seconds, 0 for any. `patience`:
    for how many seconds it may be out of reach. `cache`: which of its results are taken. `key`:
    file of the private key that results are signed with, where `cache` is `own`.
    """

    address: str
    workers: Mapping[str, Workers]
    instance: str = ""
    storage: str = ""
    tls: Tls | None = None
    headers: Headers = field(default_factory=Headers)
    actions: int = 4
    timeout: int = 0
    patience: int = 300
    cache: Cache = "none"
    key: Path | None = None

    @property
    def identity(self) -> str:
        """What tells this farm from others."""
        return f"{self.address}/{self.instance}".rstrip("/")

    @property
    def running_everything(self) -> Farm:
        """The same farm, from whose cache nothing is taken and into which nothing is put.

        For what is made again to be compared: its own result, taken there, proves nothing.
        """
        return replace(self, cache="none", key=None)


def _silent(_: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the remote engine needs beside a folder.

    `tools`: gives the tree of what isolates on a worker of an architecture (paths below `tools/`),
    made in the store where it is not there. `note`: is told what a person might want to know, a
    line each.
    """

    farm: Farm
    tools: Callable[[str, Storage, Event], Tree]
    note: Callable[[str], object] = _silent

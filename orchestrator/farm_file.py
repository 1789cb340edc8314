"""Models of the file that `--farm` names, and its reader: where a farm is, and how it is used.

Paths are relative to the folder of the file. A mistake is an InputError with the line, the key's
path, what was expected and the nearest valid key; all mistakes are said at once.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
)

from containers.remote import farm
from orchestrator.architecture import Architecture
from orchestrator.files import places, text_file
from orchestrator.spec.diagnostics import Mistake, from_pydantic, refusal, tables
from reproducibility import regular
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

_WHAT = "the farm's file"
_FOLDER = "folder"
_ENCRYPTED = "grpcs://"
_PLAIN = "grpc://"
_UNIX = "unix:"
# A name or an address of version 4, or one of version 6 in brackets, and a port.
_HOST = re.compile(
    r"(?P<host>[A-Za-z0-9]([A-Za-z0-9.-]{0,250})|\[[0-9A-Fa-f:.]{2,45}\]):[0-9]{1,5}"
)
_NEAR = frozenset({"localhost", "127.0.0.1", "[::1]"})
_ADDRESS = 'an address such as "grpcs://farm.example.org:443", "grpc://localhost:50051" or "unix:"'


def _path(value: object, info: ValidationInfo) -> object:
    """The path of a text, from the folder that the validation was given."""
    if not isinstance(value, str):
        return value
    if not value:
        raise ValueError("empty")
    folder: Path = info.context[_FOLDER] if info.context else Path()
    try:
        return places.absolute(folder / value, "the path")
    except InputError as error:
        raise ValueError(error.summary) from error


def _address(value: str) -> str:
    if value.startswith(_UNIX):
        if not value.removeprefix(_UNIX).startswith("/"):
            raise ValueError("no absolute path")
        return value
    for scheme in (_ENCRYPTED, _PLAIN):
        if value.startswith(scheme) and _HOST.fullmatch(value.removeprefix(scheme)):
            return value
    raise ValueError("no address")


FilePath = Annotated[Path, BeforeValidator(_path)]
Address = Annotated[str, AfterValidator(_address)]
Text = Annotated[str, Field(min_length=1, max_length=1024)]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Tls(_Table):
    """`[tls]`: files in PEM form."""

    authority: FilePath | None = Field(
        default=None, description="the path of the certificates of who signs the farm's"
    )
    certificate: FilePath | None = Field(
        default=None, description="the path of this client's certificate"
    )
    key: FilePath | None = Field(default=None, description="the path of this client's private key")


class Headers(_Table):
    """`[headers]`: where lines `name: value` come from that go with each call."""

    file: FilePath | None = Field(
        default=None, description="the path of a file with lines `name: value`"
    )
    command: Annotated[tuple[Text, ...], Field(strict=False)] = Field(
        default=(),
        description="a list of words: a program that prints lines `name: value`, and its arguments",
    )


class Workers(_Table):
    """`[workers.<architecture>]`."""

    properties: dict[Text, Text] = Field(
        default_factory=dict,
        max_length=100,
        description='a table such as { OSFamily = "linux", ISA = "x86-64" }',
    )
    processors: int = Field(
        ge=1, le=4096, description="on how many processors an action runs there"
    )


class File(_Table):
    """The whole file."""

    address: Address = Field(description=_ADDRESS)
    storage: Address | None = Field(default=None, description=_ADDRESS)
    instance: str = Field(default="", max_length=1024, description="the name of an instance")
    actions: int = Field(default=4, ge=1, le=10_000, description="how many actions at once")
    timeout: int = Field(
        default=0, ge=0, description="seconds: the farm's longest timeout, 0 where it has none"
    )
    patience: int = Field(
        default=300, ge=0, le=86_400, description="seconds that the farm may be out of reach"
    )
    cache: Literal["none", "own", "all"] = Field(
        default="none", description='"none", "own" or "all"'
    )
    key: FilePath | None = Field(
        default=None, description="the path of a private key to sign results with"
    )
    tls: Tls | None = Field(default=None, description="the table [tls]")
    headers: Headers = Field(default=Headers(), description="the table [headers]")
    workers: dict[Architecture, Workers] = Field(
        min_length=1, description="tables such as [workers.amd64]"
    )

    def value(self) -> farm.Farm:
        """The farm as the engine takes it."""
        encrypted = self.address.startswith(_ENCRYPTED)
        tls = self.tls or Tls()
        return farm.Farm(
            address=_target(self.address),
            workers={
                name: farm.Workers(tuple(sorted(one.properties.items())), one.processors)
                for name, one in self.workers.items()
            },
            instance=self.instance,
            storage=_target(self.storage) if self.storage else "",
            tls=farm.Tls(tls.authority, tls.certificate, tls.key) if encrypted else None,
            headers=farm.Headers(self.headers.file, self.headers.command),
            actions=self.actions,
            timeout=self.timeout,
            patience=self.patience,
            cache=self.cache,
            key=self.key,
        )


def load(path: Path) -> farm.Farm:
    """Read a farm's file.

    Raises:
        InputError: it cannot be read, or holds mistakes.
    """
    origin = places.absolute(path, "--farm")
    try:
        data = regular.read(origin)
    except OSError as error:
        raise InputError(
            f"cannot read {_WHAT}: {error.strerror}",
            subject=str(origin),
            remedy="docs/farm.md says what stands in it",
        ) from error
    return parse(text_file.decoded(data, _WHAT, str(origin)), origin)


def parse(text: str, origin: Path) -> farm.Farm:
    """A farm from the text of its file. `origin`: the file, whose folder counts.

    Raises:
        InputError: it holds mistakes; names each with its line.
    """
    data = tables(text, origin, _WHAT)
    found: File | None = None
    try:
        found = File.model_validate(data, context={_FOLDER: origin.parent})
    except ValidationError as error:
        mistakes = from_pydantic(error, File, choices=("none", "own", "all"))
    else:
        mistakes = list(_mistakes(found))
    if found is None or mistakes:
        raise refusal(mistakes, text, origin, _WHAT)
    return found.value()


def _target(address: str) -> str:
    """An address as gRPC takes it."""
    return address.removeprefix(_ENCRYPTED).removeprefix(_PLAIN)


def _mistakes(found: File) -> Iterator[Mistake]:
    """Return what is wrong between keys that are each well-formed."""
    encrypted = found.address.startswith(_ENCRYPTED)
    if found.tls is not None and not encrypted:
        yield Mistake(("tls",), "the address is not encrypted", "let it begin with grpcs://")
    if found.tls is not None and (found.tls.certificate is None) != (found.tls.key is None):
        yield Mistake(("tls",), "a certificate and its key belong together", "name both, or none")
    if found.storage is not None and found.storage.startswith(_ENCRYPTED) != encrypted:
        yield Mistake(
            ("storage",),
            "one of the addresses is encrypted and the other is not",
            "let both begin with grpcs://, or neither",
        )
    if found.headers.file is not None and found.headers.command:
        yield Mistake(("headers",), "both a file and a command", "name one of them")
    if found.headers != Headers():
        for key, address in (("address", found.address), ("storage", found.storage)):
            if address is not None and not _secret(address):
                yield Mistake(
                    (key,), "headers would be readable on the way", "let it begin with grpcs://"
                )
    if found.cache == "own" and found.key is None:
        yield Mistake(
            ("cache",),
            "no key to sign results with",
            "name a private key (`key`; `orchestrate key new` makes one)",
        )
    if found.cache != "own" and found.key is not None:
        yield Mistake(("key",), 'counts with cache = "own" only', "leave it out")


def _secret(address: str) -> bool:
    """Tell whether nobody on the way can read what goes there."""
    host = _HOST.fullmatch(address.removeprefix(_PLAIN))
    return not address.startswith(_PLAIN) or (host is not None and host["host"] in _NEAR)

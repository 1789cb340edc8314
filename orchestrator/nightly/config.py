"""Models of `nightly.toml`, the configuration of `orchestrate nightly`, and its reader.

Every key has a default, so that no file is needed. Paths are relative to the folder of the file and
absolute in the models. A mistake is an InputError with the line, the key's path, what was expected
and the nearest valid key; all mistakes are said at once.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    PrivateAttr,
    Tag,
    ValidationError,
    ValidationInfo,
)

from containers import registry
from orchestrator.files import places, text_file
from orchestrator.history.retention import Keep
from orchestrator.lock.model import Blake3
from orchestrator.markup import addresses
from orchestrator.qemu import platforms
from orchestrator.spec.diagnostics import TABLE, TEXT, Mistake, from_pydantic, refusal, tables
from reproducibility import regular, variations
from reproducibility.errors import InputError
from reproducibility.redaction import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FILE = "nightly.toml"
ALL: Literal["all"] = "all"
NONE: Literal["none"] = "none"
PATCH: Literal["patch"] = "patch"

_WHAT = "the configuration"
_FOLDER = "folder"
_UNITS = {"s": 1, "m": 60, "h": 3600}
_DURATION = re.compile(r"([0-9]{1,6}) ?([smh])")
# A local user (RFC 5322, dot-atom), with or without a host.
_MAIL = r"^[A-Za-z0-9!#$%&'*+/=?^_`{|}~][A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]*(?:@[A-Za-z0-9.-]+)?$"
_ENGINES = (registry.AUTOMATIC, *registry.LOCAL)
_PLATFORMS = tuple(platforms.BY_NAME)
_CHOICES = (
    *(ALL, PATCH, NONE, "always", "changes", "bad"),
    *_ENGINES,
    *_PLATFORMS,
)


def _absolute(value: object, info: ValidationInfo) -> object:
    """The path of a text, from the folder that the validation was given."""
    if not isinstance(value, str):
        return value
    if not value:
        raise ValueError("empty")
    folder: Path = info.context[_FOLDER] if info.context else Path()
    return _refused(lambda: places.absolute(folder / value, "the path"))


def _store(value: object, info: ValidationInfo) -> object:
    found = _absolute(value, info)
    return _refused(lambda: places.store(found)) if isinstance(found, Path) else found


def _refused(made: Callable[[], Path]) -> Path:
    try:
        return made()
    except InputError as error:
        raise ValueError(error.summary) from error


def _duration(value: object) -> object:
    """Seconds from an integer or from text such as `30m`."""
    if isinstance(value, str):
        found = _DURATION.fullmatch(value)
        if not found:
            raise ValueError("not a length of time")
        return int(found[1]) * _UNITS[found[2]]
    return value


def _vary(value: str) -> str:
    for word in re.split(r"[,\s]+", value.strip(", \t\n")):
        if word.lstrip("+-") not in {*variations.NAMES, ALL}:
            raise ValueError("no such variation")
    return value


def _keep(value: str) -> str:
    try:
        Keep.parse(value)
    except InputError as error:
        raise ValueError(error.summary) from error
    return value


def _served(value: str) -> str:
    """An address with a slash at its end, as the pages take it."""
    folder = value.rstrip("/") + "/"
    if not addresses.is_folder(folder):
        raise ValueError("no address of a folder")
    return folder


def _no_word(value: str) -> str:
    if value in {ALL, PATCH, NONE}:
        raise ValueError("a word, and no input")
    return value


def _list_or_word(value: object) -> str:
    return TEXT if isinstance(value, str) else TABLE


FilePath = Annotated[Path, BeforeValidator(_absolute)]
StorePath = Annotated[Path, BeforeValidator(_store)]
FilePaths = Annotated[tuple[FilePath, ...], Field(strict=False)]
Seconds = Annotated[int, BeforeValidator(_duration), Field(ge=0, le=7 * 24 * 3600)]
Word = Annotated[str, Field(min_length=1, max_length=4096)]
Words = Annotated[tuple[Word, ...], Field(strict=False)]
Name = Annotated[str, Field(pattern=r"^[^\s,]+$"), AfterValidator(_no_word)]
if TYPE_CHECKING:
    # Type checkers read no names out of a table.
    Engine = str
    Platform = str
else:
    Engine = Literal[_ENGINES]
    Platform = Literal[_PLATFORMS]
Platforms = Annotated[tuple[Platform, ...], Field(strict=False)]
# The tags stand in the places that pydantic names; `diagnostics` takes them out.
Relock = Annotated[
    Annotated[Literal["all", "patch", "none"], Tag(TEXT)]
    | Annotated[tuple[Name, ...], Field(strict=False), Tag(TABLE)],
    Discriminator(_list_or_word),
]
Booted = Annotated[
    Annotated[Literal["all", "none"], Tag(TEXT)] | Annotated[Platforms, Tag(TABLE)],
    Discriminator(_list_or_word),
]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Store(_Table):
    """`[store]`: the cache of inputs and steps. `folder`: None where it is where commands have it.

    `keep_nights`: what no build of the last so many nights used is dropped.
    """

    folder: StorePath | None = Field(
        default=None, description="a folder, without a colon or a double quote in its path"
    )
    keep_nights: int = Field(default=7, ge=1, le=3650, description="a number of nights, at least 1")


class Audit(_Table):
    """`[audit]`. `budget`: seconds of a night; 0 for no audit. `within`: nights.

    `only`: patterns of step names, as `orchestrate audit --only` takes them; none for all.
    """

    budget: Seconds = Field(
        default=1800, description='a length of time such as "30m", or 0 for no audit'
    )
    vary: Annotated[str, AfterValidator(_vary)] = Field(
        default="+all",
        description=f'text such as "+all,-order", of {", ".join(variations.NAMES)} and all',
    )
    only: Words = Field(
        default=(), description='a list of patterns of step names, such as "commands/*"'
    )
    within: int = Field(
        default=7,
        ge=1,
        le=365,
        description="a number of nights, 1 to 365, in which each step is to be audited",
    )

    @property
    def enabled(self) -> bool:
        """Whether anything is to be audited."""
        return self.budget > 0


class Boot(_Table):
    """`[boot]`. `commands`: those whose first run on each platform is timed. `seconds`: limit."""

    platforms: Booted = Field(
        default=ALL,
        description=f'"all", "none", or a list of: {", ".join(_PLATFORMS)}',
    )
    commands: Words = Field(
        default=(), description='a list of commands as they are typed, such as "ls /"'
    )
    seconds: Annotated[int, Field(ge=1, le=86_400)] = Field(
        default=600, description="seconds for a boot and for each command, at least 1"
    )

    @property
    def named(self) -> tuple[str, ...] | None:
        """The platforms to boot: empty for none; None for all that the image is for."""
        if self.platforms == ALL:
            return None
        return () if isinstance(self.platforms, str) else self.platforms


class Verify(_Table):
    """`[verify]`: what `orchestrate verify` is given. `keys`: public keys of who may sign."""

    policy: FilePath | None = Field(default=None, description="the path of a policy")
    keys: FilePaths = Field(default=(), description="a list of paths of public keys")


class Sign(_Table):
    """`[sign]`: private keys that the evidence is signed with."""

    keys: FilePaths = Field(default=(), description="a list of paths of private keys")
    passphrase_file: FilePath | None = Field(
        default=None, description="the path of a file whose first line is the passphrase"
    )


class Notify(_Table):
    """`[notify]`. `command`: gets `night.json`. `mail`: an address. `seconds`: limit for each.

    `when`: `changes` tells a night whose word is another than that of the night before.
    """

    when: Literal["always", "changes", "bad"] = Field(
        default="changes", description='"always", "changes" or "bad"'
    )
    command: Words = Field(default=(), description="a list of words: a program and its arguments")
    mail: Annotated[str, Field(max_length=254, pattern=_MAIL)] | None = Field(
        default=None, description='an address such as "builds@example.org", or a local user'
    )
    seconds: Annotated[int, Field(ge=1, le=3600)] = Field(
        default=60, description="seconds, 1 to 3600"
    )


class Site(_Table):
    """`[site]`: the pages. `address`: where they are served, with a slash at its end."""

    title: str = Field(
        default="Sourcery", min_length=1, max_length=100, description="text of 1 to 100 characters"
    )
    address: Annotated[str, AfterValidator(_served)] | None = Field(
        default=None, description='an address such as "https://builds.example.org/nights/"'
    )


class Fault(_Table):
    """`[[fault]]`: what a fault of the machine made, which says nothing of the step.

    `key`: that of the step, `outputs`: the wrong ones, as `orchestrate history bisect` has both.
    """

    key: Blake3 = Field(description='the key of a step, such as "blake3:" and 64 digits')
    outputs: Blake3 = Field(description='the wrong outputs, such as "blake3:" and 64 digits')
    reason: Annotated[str, Field(min_length=1, max_length=200)] = Field(
        description="what is known of the fault, in up to 200 characters"
    )


class Config(_Table):
    """The whole configuration. Made by `load` and `parse` only, which know its folder.

    `relock`: which inputs are looked up anew each night: all; all, but only patch releases are
    taken; none, and the lock is the project's as it is; or those that are named.
    """

    spec: FilePath = Field(
        default="sourcery.toml", validate_default=True, description="the path of the spec"
    )
    lock: FilePath = Field(
        default="sourcery.lock", validate_default=True, description="the path of the lock"
    )
    state: FilePath = Field(
        default="nightly",
        validate_default=True,
        description="a folder for history, evidence, pages and the night's own lock",
    )
    engine: Engine = Field(default=registry.AUTOMATIC, description=f"one of {', '.join(_ENGINES)}")
    jobs: int = Field(default=0, ge=0, le=1000, description="a number, 0 for what fits the machine")
    relock: Relock = Field(
        default=ALL, description='"all", "patch", "none", or a list of names of inputs'
    )
    keep: Annotated[str, AfterValidator(_keep)] = Field(
        default="30 nights, 12 months",
        description='text such as "30 nights, 12 months", with one night at least',
    )
    store: Store = Field(default=Store(), description="the table [store]")
    audit: Audit = Field(default=Audit(), description="the table [audit]")
    boot: Boot = Field(default=Boot(), description="the table [boot]")
    verify: Verify = Field(default=Verify(), description="the table [verify]")
    sign: Sign = Field(default=Sign(), description="the table [sign]")
    notify: Notify = Field(default=Notify(), description="the table [notify]")
    site: Site = Field(default=Site(), description="the table [site]")
    fault: Annotated[tuple[Fault, ...], Field(strict=False)] = Field(
        default=(), description="tables [[fault]] with key, outputs and reason"
    )
    _file: Path | None = PrivateAttr(None)

    @property
    def file(self) -> Path | None:
        """The file that was read; None where there is none and everything is a default."""
        return self._file

    def document(self) -> dict[str, Any]:
        """The whole effective configuration as a JSON object; secrets in addresses are hidden.

        `file` is null where there is none, `store.folder` where `load` was told of no default.
        """
        found = self.model_dump(mode="json")
        found["notify"]["command"] = [redact(word) for word in self.notify.command]
        return {"file": str(self._file) if self._file else None, **found}


def load(path: Path | None, default_store: Callable[[], Path] | None = None) -> Config:
    """Read a configuration. `path`: None for `nightly.toml` here, and for defaults without one.

    `default_store`: gives the folder of the store where the configuration names none.

    Raises:
        InputError: the file that was named cannot be read, it holds mistakes, or there is no
            default store.
    """
    origin = places.absolute(path or FILE, "--config")
    try:
        text = text_file.decoded(regular.read(origin), _WHAT, str(origin))
    except OSError as error:
        if path is not None or not isinstance(error, FileNotFoundError):
            raise InputError(
                f"cannot read the configuration: {error.strerror}",
                subject=str(origin),
                remedy="give its place with --config, or leave that out: every key has a default",
            ) from error
        found = parse("", origin)
    else:
        found = parse(text, origin)
        found._file = origin  # noqa: SLF001 - the model's own module
    if found.store.folder is not None or default_store is None:
        return found
    store = found.store.model_copy(update={_FOLDER: default_store()})
    return found.model_copy(update={"store": store})


def notify(path: Path | None) -> Notify:
    """Read the table `[notify]` alone, of a configuration with mistakes elsewhere.

    `path`: as `load` takes it.

    Raises:
        InputError: the file cannot be read, or the mistake is there.
    """
    origin = places.absolute(path or FILE, "--config")
    try:
        text = text_file.decoded(regular.read(origin), _WHAT, str(origin))
        return Notify.model_validate(tables(text, origin, _WHAT).get("notify", {}))
    except (OSError, ValidationError) as error:
        raise InputError(
            "the configuration does not say whom to tell",
            subject=str(origin),
            remedy="`orchestrate nightly --show-config` says what is wrong with it",
        ) from error


def parse(text: str, origin: Path) -> Config:
    """A configuration from its text. `origin`: the file that it came from, whose folder counts.

    Raises:
        InputError: it holds mistakes; names each with its line.
    """
    data = tables(text, origin, _WHAT)
    found: Config | None = None
    folder = places.absolute(origin, "--config").parent
    try:
        found = Config.model_validate(data, context={_FOLDER: folder})
    except ValidationError as error:
        mistakes = from_pydantic(error, Config, choices=_CHOICES)
    else:
        mistakes = list(_mistakes(found))
    if found is None or mistakes:
        raise refusal(mistakes, text, origin, _WHAT)
    return found


def _mistakes(config: Config) -> Iterator[Mistake]:
    """Return what is wrong between keys that are each well-formed."""
    if config.sign.passphrase_file is not None and not config.sign.keys:
        yield Mistake(
            ("sign", "passphrase_file"), "there is no key", "name private keys in sign.keys"
        )
    if config.spec == config.lock:
        yield Mistake(("lock",), "is the spec itself", "give the lock another path")
    for key, own in (("spec", config.spec), ("lock", config.lock), ("store", config.store.folder)):
        if own is not None and own.is_relative_to(config.state):
            yield Mistake(
                ("state",),
                f"holds the {key}, and what lies in there is the nights' own",
                "give a folder that holds nothing else",
            )

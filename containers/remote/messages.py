"""Action to messages of the Remote Execution API: Command, Directory, Action. Pure.

The input root's layout is that of `request.py`. A tree's folders depend on nothing but the tree and
the names of its files, so they are worked out once a tree.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from containers.remote import naming
from containers.remote import reapi_pb2 as api
from containers.remote.request import INPUTS, OUTPUTS, REPORT, ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from containers.remote.naming import Function, Name
    from containers.remote.request import Request, Wrapped
    from reproducibility.manifest import Entry, Tree

# Seconds that a farm gives an action beyond the policy's limit, in which the launcher copies the
# inputs, ends what took too long, and writes its report.
MARGIN = 300
# Salt of the name under which results are kept that are signed.
OWN = b"sourcery own results 2"


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder: the name of its message, and every message in it by name, its own too."""

    name: Name
    messages: Mapping[Name, bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Job:
    """An action in messages.

    `action`: the name of its Action message. `own`: of the same one with another salt, under which
    signed results are kept. `messages`: all that it consists of, by name.
    """

    action: Name
    own: Name
    messages: Mapping[Name, bytes] = field(repr=False)


class _Node:
    """A folder that is being put together."""

    __slots__ = ("files", "folders")

    def __init__(self) -> None:
        self.files: list[tuple[str, Name, bool]] = []
        self.folders: dict[str, _Node | Folder] = {}

    def within(self, parts: Iterable[str]) -> _Node:
        """The folder at a path below, made where it is not there."""
        here = self
        for part in parts:
            following = here.folders.setdefault(part, _Node())
            if not isinstance(following, _Node):
                raise TypeError(part)
            here = following
        return here

    def add(self, path: str, name: Name, *, executable: bool) -> None:
        """Put a file at a path below."""
        *parts, last = path.split("/")
        self.within(parts).files.append((last, name, executable))

    def folded(self, function: Function, messages: dict[Name, bytes]) -> Name:
        """Put the messages of this folder and of those below it into `messages`; its own name."""
        message = api.Directory()
        for name, file, executable in sorted(self.files):
            message.files.add(name=name, digest=file.message, is_executable=executable)
        for name, folder in sorted(self.folders.items(), key=lambda item: item[0]):
            if isinstance(folder, Folder):
                messages.update(folder.messages)
                inner = folder.name
            else:
                inner = folder.folded(function, messages)
            message.directories.add(name=name, digest=inner.message)
        return _put(message.SerializeToString(deterministic=True), function, messages)


def _put(data: bytes, function: Function, messages: dict[Name, bytes]) -> Name:
    name = naming.of_bytes(function, data)
    messages[name] = data
    return name


def folder(tree: Tree, name_of: Callable[[Entry], Name], function: Function) -> Folder:
    """A tree as a folder."""
    top = _Node()
    for entry in tree.entries:
        if entry.kind == "directory":
            top.within(entry.path.split("/"))
        else:
            top.add(entry.path, name_of(entry), executable=entry.executable)
    messages: dict[Name, bytes] = {}
    return Folder(top.folded(function, messages), messages)


def job(  # noqa: PLR0913 - an action's parts
    request: Request,
    wrapped: Wrapped,
    *,
    function: Function,
    root: Folder,
    mounts: Iterable[Folder],
    files: Mapping[str, Name],
    properties: Iterable[tuple[str, str]],
    longest: int = 0,
) -> Job:
    """The messages of an action.

    `root`, `mounts`: the trees of the request. `files`: names of those that isolation brings, by
    path. `properties`: of the workers that are wanted. `longest`: the farm's longest timeout in
    seconds, 0 for any.
    """
    messages: dict[Name, bytes] = {}
    top = _Node()
    top.folders[ROOT] = root
    # There also where nothing is mounted.
    inputs = top.within([INPUTS])
    for number, one in enumerate(mounts):
        inputs.folders[str(number)] = one
    for path, name in files.items():
        top.add(path, name, executable=wrapped.files[path].executable)
    platform = api.Platform()
    for key, value in sorted(properties):
        platform.properties.add(name=key, value=value)
    command = api.Command(
        arguments=wrapped.arguments,
        platform=platform,
        output_paths=sorted((OUTPUTS, REPORT)),
    )
    for key, value in sorted(wrapped.environment):
        command.environment_variables.add(name=key, value=value)
    action = api.Action(
        input_root_digest=top.folded(function, messages).message,
        command_digest=_put(
            command.SerializeToString(deterministic=True), function, messages
        ).message,
        platform=platform,
    )
    seconds = request.limits.seconds + MARGIN
    action.timeout.seconds = min(seconds, longest) if longest else seconds
    name = _put(action.SerializeToString(deterministic=True), function, messages)
    action.salt = OWN
    own = _put(action.SerializeToString(deterministic=True), function, messages)
    return Job(name, own, messages)

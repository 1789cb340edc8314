"""Outputs of an action on a farm, read from the messages that describe them. Pure.

What a farm says is bounded before anything is made of it: a folder that holds another one twice,
and that one a third twice, would be a small message for a tree that fills the memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from containers.outputs import check_path
from containers.remote import naming
from containers.remote import reapi_pb2 as api
from containers.remote.naming import Name
from reproducibility import manifest, visible
from reproducibility.errors import ActionError, InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from containers.outputs import Exceeded
    from containers.policy import Limits
    from containers.remote.naming import Function
    from reproducibility.digest import Digest
    from reproducibility.manifest import Tree


@dataclass(frozen=True, slots=True)
class Output:
    """A file among the outputs, or (`name` None) an empty folder."""

    path: str
    name: Name | None
    executable: bool = False


class ExceededError(Exception):
    """The outputs are more than a limit allows."""

    def __init__(self, limit: Exceeded) -> None:
        super().__init__(limit)
        self.limit: Exceeded = limit


def folder(result: api.ActionResult, path: str) -> Name | None:
    """The name of the Tree message of an output folder; None where there is none at that path.

    Raises:
        ActionError: a link is there.
        InfrastructureError: it is there twice.
    """
    _refuse_links(result, path)
    found = [one for one in result.output_directories if one.path == path]
    _refuse_two(len(found), path)
    return Name.parse(found[0].tree_digest) if found else None


def file(
    result: api.ActionResult, path: str, function: Function
) -> tuple[Name, bytes | None] | None:
    """The name of an output file, and its bytes where they are at hand; None where there is none.

    Raises:
        ActionError: a link is there.
        InfrastructureError: it is there twice.
    """
    _refuse_links(result, path)
    found = [one for one in result.output_files if one.path == path]
    _refuse_two(len(found), path)
    if not found:
        return None
    name = Name.parse(found[0].digest)
    return name, _at_hand(found[0].contents, name, function)


def words(raw: bytes, digest: api.Digest, function: Function) -> tuple[Name, bytes | None]:
    """The name of what an action wrote to a stream, and the bytes where they are at hand.

    A farm gives them as they are, by their name, or both.

    Raises:
        InfrastructureError: the name is none.
    """
    if not digest.hash and not digest.size_bytes:
        return naming.of_bytes(function, raw), raw
    name = Name.parse(digest)
    return name, _at_hand(raw, name, function)


def _at_hand(data: bytes, name: Name, function: Function) -> bytes | None:
    """Bytes that came with a name, if they are those of that name; what is signed is the name."""
    whole = len(data) == name.size and naming.of_bytes(function, data) == name
    return data if whole else None


def _refuse_two(number: int, path: str) -> None:
    if number > 1:
        raise _malformed(f"{path} is there {number} times")


def _refuse_links(result: api.ActionResult, path: str) -> None:
    for links in (
        result.output_symlinks,
        result.output_file_symlinks,
        result.output_directory_symlinks,
    ):
        for link in links:
            if link.path == path:
                raise _link(path)


def listed(data: bytes, function: Function, limits: Limits) -> list[Output]:
    """Every output in a Tree message, sorted by path.

    Raises:
        ActionError: something in it can be in no tree: a link, or paths that are too deep.
        ExceededError: there are more than the limits allow.
        InfrastructureError: it is no such message, or not whole.
    """
    try:
        message = api.TreeBytes.FromString(data)
        children = {naming.of_bytes(function, one): one for one in message.children}
        found: list[Output] = []
        size = 0
        for output in _walk(message.root, children):
            size += output.name.size if output.name else 0
            found.append(output)
            if len(found) > limits.files:
                raise ExceededError("files")
            if size > limits.work:
                raise ExceededError("work")
    except DecodeError as error:
        raise _malformed(str(error)) from error
    return sorted(found, key=lambda output: output.path)


def _walk(root: bytes, children: dict[Name, bytes]) -> Iterator[Output]:
    waiting = [("", root)]
    while waiting:
        start, data = waiting.pop()
        message = api.Directory.FromString(data)
        if start and not (message.files or message.directories or message.symlinks):
            yield Output(start.removesuffix("/"), None)
        for link in message.symlinks:
            raise _link(start + link.name)
        for node in message.files:
            path = _joined(start, node.name)
            yield Output(path, Name.parse(node.digest), node.is_executable)
        for inner in message.directories:
            path = _joined(start, inner.name)
            child = children.get(Name.parse(inner.digest))
            if child is None:
                raise _malformed(f"the folder {visible.line(path[:200])} is not in it")
            waiting.append((f"{path}/", child))


def _joined(start: str, name: str) -> str:
    if not name or "/" in name or name in {".", ".."}:
        raise _malformed(f"{name[:80]!r} is no name of a file")
    path = start + name
    check_path(path)
    return path


def tree(outputs: list[Output], blob: Callable[[Name], Digest]) -> Tree:
    """The outputs as a tree. `blob`: the store's name of a file by that on the farm.

    Raises:
        InputError: a name that no tree can hold.
    """
    return manifest.Tree(
        manifest.directory(one.path)
        if one.name is None
        else manifest.file(one.path, blob(one.name), one.name.size, executable=one.executable)
        for one in outputs
    )


def _link(path: str) -> ActionError:
    return ActionError(
        "neither a file nor a directory; a tree can hold no links, devices or sockets",
        subject=visible.line(path[:200]),
        remedy="have it write only files and folders, with names that a tree can hold",
    )


def _malformed(words: str) -> InfrastructureError:
    return InfrastructureError(
        f"the farm describes outputs in a way that is not understood: {words}"
    )

"""Builds the builder image from `Dockerfile.builder` and the tree that the sandbox runs on too.

The image stays on the engine after a run: it is a cache, its tag names the tree. A tag is no proof,
so the files of the image are compared with the tree, one by one, before a run first uses it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from docker.errors import ImageNotFound

from containers.docker import archive
from reproducibility import digest as digests
from reproducibility import manifest
from reproducibility.errors import InfrastructureError, InputError
from reproducibility.manifest import Tree

if TYPE_CHECKING:
    import tarfile
    from collections.abc import Callable, Iterable, Iterator

    from docker.api.client import APIClient

    from containers.docker.api import Api
    from reproducibility.manifest import Entry

NAME = "sourcery-builder"
_DOCKERFILE = "Dockerfile.builder"
# Where `Dockerfile.builder` has the tree in its context.
_CONTEXT = "root"
_HERE = Path(__file__).resolve().parent.parent.parent
# What an engine adds to a container before it starts: empty files and folders to mount on.
_ADDED = frozenset(
    {
        *(".dockerenv", "dev", "dev/console", "dev/pts", "dev/shm", "etc", "etc/hostname"),
        *("etc/hosts", "etc/mtab", "etc/resolv.conf", "proc", "run", "run/.containerenv", "sys"),
    }
)
_SHOWN = 5
# Of paths in the image, in bytes and in folders: far more than the tree has.
_LONGEST, _DEEPEST = 1024, 128


def ensure(
    api: Api, root: Tree, epoch: int, path_of: Callable[[Entry], Path], labels: dict[str, str]
) -> str:
    """The id of an image that holds exactly a tree, made now or found.

    `epoch`: modification time of its files, seconds. `labels`: for the container that is made (and
    removed) to look into the image.

    Raises:
        InfrastructureError: it cannot be made, or what was made is not the tree.
    """
    tag = f"{NAME}:{root.digest.hex[:40]}-{epoch}"
    found = _find(api, tag)
    if found is not None and not _differences(api, found, root, epoch, labels):
        return found
    with api.lend("build the builder image") as client:
        made = _build(client, tag, root, epoch, path_of)
    differences = _differences(api, made, root, epoch, labels)
    if differences:
        raise InfrastructureError(
            "the builder image does not hold the files it was made from: "
            + "; ".join(differences[:_SHOWN]),
            subject=tag,
            remedy="remove the image and build again; does Dockerfile.builder copy everything?",
        )
    return made


def dockerfile() -> Path:
    """`Dockerfile.builder`: in a checkout beside the packages, in a wheel in `orchestrator/data`.

    Raises:
        InfrastructureError: it is in neither place.
    """
    for place in (_HERE / _DOCKERFILE, _HERE / "orchestrator" / "data" / _DOCKERFILE):
        if place.is_file():
            return place
    raise InfrastructureError(
        f"{_DOCKERFILE} is missing",
        subject=str(_HERE),
        remedy="install the project again, or work in a whole checkout",
    )


def _find(api: Api, tag: str) -> str | None:
    def look(client: APIClient) -> str | None:
        try:
            return _id(client, tag)
        except ImageNotFound:
            return None

    return api.ask("look for the builder image", look)


def _build(
    client: APIClient, tag: str, root: Tree, epoch: int, path_of: Callable[[Entry], Path]
) -> str:
    form = archive.Form(epoch)
    # The Dockerfile goes first, beside the tree, so it does not end up inside.
    context = archive.joined(
        archive.file_entry(_DOCKERFILE, dockerfile().read_bytes(), epoch),
        archive.pack([(_CONTEXT, root)], form, path_of),
    )
    said: list[str] = []
    wrong = ""
    for answer in client.build(
        fileobj=context,  # type: ignore[arg-type] # requests streams what it can iterate over
        custom_context=True,
        dockerfile=_DOCKERFILE,
        tag=tag,
        labels={"sourcery.tree": str(root.digest)},
        # The builder's cache takes files of another time for the same.
        nocache=True,
        rm=True,
        forcerm=True,
        decode=True,
    ):
        # To the end of the stream, whatever it says: an open one would be in the way later.
        wrong = wrong or str(answer.get("error", "")).strip()
        said.append(str(answer.get("stream", "")))
    if wrong:
        raise InfrastructureError(
            f"the builder image cannot be built: {wrong}", subject="".join(said).strip()
        )
    return _id(client, tag)


def _id(client: APIClient, tag: str) -> str:
    return str(client.inspect_image(tag)["Id"])  # type: ignore[no-untyped-call]


def _differences(api: Api, image: str, root: Tree, epoch: int, labels: dict[str, str]) -> list[str]:
    """Return how an image's files differ from a tree, in words; empty where they do not."""
    container = api.ask(
        "look into the builder image",
        lambda client: client.create_container(image, command=["/"], labels=labels),
    )["Id"]
    try:
        with api.tar("look into the builder image", container) as pieces:
            return compare(pieces or (), root, epoch)
    finally:
        api.remove_container(container)


def compare(pieces: Iterable[bytes], root: Tree, epoch: int) -> list[str]:
    """Return how a container's files, as a tar stream, differ from a tree, in words."""
    folders: set[str] = set()
    entries: list[Entry] = []
    wrong: list[str] = []
    for member, content in archive.members(pieces):
        path = member.name.strip("/").removeprefix("./")
        if path in {"", "."}:
            continue
        if len(path) > _LONGEST or path.count("/") > _DEEPEST:
            wrong.append(f"{path[:_LONGEST]}... is a longer or deeper path than there can be")
            continue
        if path in _ADDED and root.get(path) is None and member.size == 0:
            continue
        if member.isdir():
            folders.add(path)
            continue
        if content is None:
            wrong.append(f"{path} is neither a file nor a folder")
            continue
        entry = manifest.file(
            path, digests.of_stream(content), member.size, executable=bool(member.mode & 0o111)
        )
        entries.append(entry)
        wrong += _odd(path, member, entry, epoch)
    paths = [*(entry.path for entry in entries), *folders]
    filled = {path[:end] for path in paths for end in _ends(path)}
    empty = folders - filled
    try:
        found = Tree([*entries, *(manifest.directory(path) for path in empty)])
    except InputError as error:
        return [*wrong, f"{error.subject or 'a path'} cannot lie in a tree: {error.summary}"]
    return wrong + list(_between(found, root))


def _ends(path: str) -> Iterator[int]:
    return (end for end, letter in enumerate(path) if letter == "/")


def _odd(path: str, member: tarfile.TarInfo, entry: Entry, epoch: int) -> list[str]:
    wanted = archive.mode_of(executable=entry.executable, writable=False)
    odd = []
    if member.mode & 0o7777 != wanted:
        odd.append(f"{path} has mode {member.mode:o} instead of {wanted:o}")
    if int(member.mtime) != epoch:
        odd.append(f"{path} has the time {int(member.mtime)} instead of {epoch}")
    if (member.uid, member.gid) != (0, 0):
        odd.append(f"{path} belongs to {member.uid}:{member.gid}")
    return odd


def _between(found: Tree, wanted: Tree) -> Iterator[str]:
    for entry in wanted:
        other = found.get(entry.path)
        if other is None:
            yield f"{entry.path} is missing"
        elif other != entry:
            yield f"{entry.path} differs"
    for entry in found:
        if wanted.get(entry.path) is None:
            yield f"{entry.path} is too many"

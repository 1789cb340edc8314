"""An action as messages: the same whatever order things come in, and as the API wants them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from containers.action import Mount
from containers.layout import lay_out
from containers.policy import Limits
from containers.remote import messages, naming
from containers.remote import reapi_pb2 as api
from containers.remote.naming import Name
from containers.remote.request import File, Request, Wrapped
from reproducibility import digest as digests
from reproducibility import manifest
from reproducibility.errors import InfrastructureError
from reproducibility.manifest import Tree
from tests.fakes import action

if TYPE_CHECKING:
    from collections.abc import Mapping

    from containers.remote.naming import Function
    from reproducibility.manifest import Entry


def tree(files: Mapping[str, bytes | None], programs: frozenset[str] = frozenset()) -> Tree:
    return Tree(
        manifest.directory(path)
        if data is None
        else manifest.file(path, digests.of_bytes(data), len(data), executable=path in programs)
        for path, data in files.items()
    )


def name(entry: Entry) -> Name:
    return Name(entry.digest, entry.size)


def opened(folder: messages.Folder, top: Name | None = None, start: str = "") -> dict[str, Name]:
    """Paths and names of all files of a folder, and of its empty folders."""
    message = api.Directory.FromString(folder.messages[top or folder.name])
    found = {f"{start}{f.name}": Name.parse(f.digest) for f in message.files}
    for inner in message.directories:
        found |= opened(folder, Name.parse(inner.digest), f"{start}{inner.name}/")
    if start and not (message.files or message.directories):
        found[start] = folder.name
    return found


def test_a_tree_is_a_folder_of_folders() -> None:
    whole = tree({"b": b"1", "a/c": b"2", "a/d/e": b"", "empty": None}, frozenset({"a/c"}))
    made = messages.folder(whole, name, "blake3")
    assert set(opened(made)) == {"b", "a/c", "a/d/e", "empty/"}
    top = api.Directory.FromString(made.messages[made.name])
    assert [one.name for one in top.directories] == ["a", "empty"]
    inner = api.Directory.FromString(made.messages[Name.parse(top.directories[0].digest)])
    assert [(one.name, one.is_executable) for one in inner.files] == [("c", True)]


NAMES = st.text("abcxyzäß-. ", min_size=1, max_size=4).filter(lambda one: one.strip(". ") == one)


@given(
    st.dictionaries(st.lists(NAMES, min_size=1, max_size=3).map("/".join), st.binary(max_size=3))
)
def test_names_are_those_of_the_bytes_and_sorted(files: dict[str, bytes]) -> None:
    taken = {
        path: data
        for path, data in files.items()
        if not any(other.startswith(f"{path}/") for other in files)
    }
    made = messages.folder(tree(taken), name, "blake3")
    assert opened(made) == {path: naming.of_bytes("blake3", data) for path, data in taken.items()}
    for one, data in made.messages.items():
        assert naming.of_bytes("blake3", data) == one
        message = api.Directory.FromString(data)
        for nodes in (message.files, message.directories):
            assert [n.name for n in nodes] == sorted((n.name for n in nodes), key=str.encode)


def job(function: Function = "blake3", **changes: object) -> messages.Job:
    """The messages of an action with an input tree."""
    inputs = tree({"file": b"x"})
    wanted = action("a", mounts=(Mount("/in", inputs),)).placed()
    request = Request(wanted, lay_out(wanted), wanted.mounts, Limits(seconds=60))
    wrapped = Wrapped(
        ("tools/launcher", "x"),
        {"tools/launcher": File(b"l", executable=True), "tools/a": File(b"a")},
        (("B", "2"), ("A", "1")),
    )
    folder = messages.folder(inputs, name, function)
    given_: dict[str, object] = {
        "function": function,
        "root": messages.folder(Tree(), name, function),
        "mounts": [folder],
        "files": {path: naming.of_bytes(function, b"l") for path in wrapped.files},
        "properties": (("b", "2"), ("a", "1")),
        **changes,
    }
    return messages.job(request, wrapped, **given_)  # type: ignore[arg-type] # as above


def parts(made: messages.Job) -> tuple[api.Action, api.Command, api.Directory]:
    one = api.Action.FromString(made.messages[made.action])
    return (
        one,
        api.Command.FromString(made.messages[Name.parse(one.command_digest)]),
        api.Directory.FromString(made.messages[Name.parse(one.input_root_digest)]),
    )


def test_an_action_names_its_command_and_its_input_root() -> None:
    one, command, root = parts(job())
    assert [folder.name for folder in root.directories] == ["inputs", "root", "tools"]
    assert list(command.arguments) == ["tools/launcher", "x"]
    # Sorted, as the API demands: the same action has the same digest.
    assert [(v.name, v.value) for v in command.environment_variables] == [("A", "1"), ("B", "2")]
    assert [(p.name, p.value) for p in one.platform.properties] == [("a", "1"), ("b", "2")]
    assert command.platform == one.platform
    assert list(command.output_paths) == ["outputs", "report"]
    assert one.timeout.seconds == 60 + messages.MARGIN
    assert not one.salt


def test_the_farms_longest_timeout_counts() -> None:
    one, _, _ = parts(job(longest=100))
    assert one.timeout.seconds == 100
    one, _, _ = parts(job(longest=10_000))
    assert one.timeout.seconds == 60 + messages.MARGIN


def test_it_is_the_same_every_time_and_another_for_another_thing() -> None:
    assert job() == job()
    assert job().messages == job().messages
    assert job(properties=()).action != job().action
    assert job().own != job().action


def test_our_own_name_differs_by_its_salt_alone() -> None:
    made = job()
    own = api.Action.FromString(made.messages[made.own])
    assert own.salt == messages.OWN
    own.ClearField("salt")
    assert own == parts(made)[0]


def test_a_function_decides_the_names() -> None:
    assert job("sha256").action != job().action
    for one, data in job("sha256").messages.items():
        assert digests.sha256_of_bytes(data).hex == one.hash


@pytest.mark.parametrize(
    ("subject", "found"),
    [
        (f"blobs/{'a' * 64}/12", Name("a" * 64, 12)),
        (f"blobs/blake3/{'a' * 64}/12", Name("a" * 64, 12)),
        (f"instance/blobs/{'a' * 64}/12", Name("a" * 64, 12)),
        (f"{'a' * 64}/12", None),
        (f"blobs/{'a' * 63}/12", None),
        (f"blobs/{'a' * 64}/x", None),
        (f"blobs/{'a' * 64}/{'1' * 5000}", None),
        ("", None),
    ],
)
def test_what_is_missing_is_read(subject: str, found: Name | None) -> None:
    assert naming.missing(subject) == found


def test_resource_names() -> None:
    one = Name("a" * 64, 12)
    assert naming.to_read("sha256", "", one, zstd=False) == f"blobs/{'a' * 64}/12"
    assert naming.to_read("blake3", "i", one, zstd=False) == f"i/blobs/blake3/{'a' * 64}/12"
    assert (
        naming.to_write("blake3", "i", one, "u", zstd=True)
        == f"i/uploads/u/compressed-blobs/zstd/blake3/{'a' * 64}/12"
    )


@pytest.mark.parametrize(
    "digest",
    [
        api.Digest(hash="x" * 64, size_bytes=1),
        api.Digest(hash="a" * 40, size_bytes=1),
        api.Digest(hash="a" * 64, size_bytes=-1),
        api.Digest(hash="a" * 64, size_bytes=1 << 60),
        api.Digest(),
    ],
)
def test_what_is_no_digest_is_refused(digest: api.Digest) -> None:
    with pytest.raises(InfrastructureError):
        Name.parse(digest)


def test_the_function_that_both_halves_offer_is_used() -> None:
    sha256, blake3 = api.DigestFunction.SHA256, api.DigestFunction.BLAKE3
    assert naming.chosen([sha256, blake3], [blake3, sha256]) == "blake3"
    assert naming.chosen([sha256, blake3], [sha256]) == "sha256"
    with pytest.raises(InfrastructureError, match="neither"):
        naming.chosen([blake3], [sha256])


def test_replacing_a_limit_changes_the_action() -> None:
    made = job()
    one = replace(made, action=made.own)
    assert one.action == one.own

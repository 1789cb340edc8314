"""An action's key: every field that can change a result changes it, names and limits do not."""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from containers.action import WORK, Action, Mount
from containers.policy import Limits
from reproducibility import canonical, digest, manifest
from reproducibility.conditions import STANDARD, Conditions
from reproducibility.manifest import Tree
from reproducibility.variations import FIXED_POINT, VARIED, varied
from tests.fakes import action

ONE = Tree([manifest.file("a", digest.of_bytes(b"1"), 1)])
TWO = Tree([manifest.file("a", digest.of_bytes(b"2"), 1)])
USUAL = action("usual", mounts=(Mount("/a", ONE), Mount("/b", TWO)), outputs=("x", "y"))

ENVIRONMENTS = st.lists(
    st.tuples(st.text("AB=", min_size=1), st.text("12=")),
    max_size=3,
    unique_by=lambda pair: pair[0],
)

ALL_VARIED = varied(2)

CHANGES: dict[str, object] = {
    "command": ("/bin/true", "other"),
    "environment": (("PATH", "/sbin"),),
    "directory": "/",
    "root": ONE,
    "mounts": (),
    "outputs": ("x",),
    "epoch": 0,
    "architecture": "arm64",
    "conditions": VARIED,
}


def test_every_field_is_looked_at_here() -> None:
    assert {field.name for field in dataclasses.fields(Action)} == {*CHANGES, "name"}


@pytest.mark.parametrize("name", CHANGES)
def test_each_field_changes_the_key(name: str) -> None:
    changed = replace(USUAL, **{name: CHANGES[name]})  # type: ignore[arg-type]
    assert changed.key != USUAL.key


def test_the_name_does_not_change_the_key() -> None:
    assert replace(USUAL, name="other").key == USUAL.key


def test_no_limit_is_part_of_the_key() -> None:
    document = canonical.loads(USUAL.document)
    words = set(document) | set(document["platform"])
    assert words & {field.name for field in dataclasses.fields(Limits)} == set()


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Conditions)])
def test_each_field_of_the_conditions_changes_the_key(field: str) -> None:
    around = replace(STANDARD, **{field: getattr(ALL_VARIED, field)})
    assert replace(USUAL, conditions=around).key != USUAL.key


@pytest.mark.parametrize(
    "mounts",
    [
        (Mount("/a", ONE), Mount("/b", ONE)),
        (Mount("/a", ONE), Mount("/c", TWO)),
        (Mount("/a", TWO), Mount("/b", ONE)),
        (Mount("/a", ONE), Mount("/b", TWO, "private")),
        (Mount("/a", ONE),),
        (Mount("/a", ONE), Mount("/b", TWO), Mount("/c", TWO)),
    ],
)
def test_each_part_of_a_mount_changes_the_key(mounts: tuple[Mount, ...]) -> None:
    assert replace(USUAL, mounts=mounts).key != USUAL.key


@pytest.mark.parametrize(
    "command",
    [
        ("/bin/true",),
        ("/bin/true usual",),
        ("/bin/true", "usual", ""),
        ("usual", "/bin/true"),
        ("/bin/true", "usua", "l"),
    ],
)
def test_the_parts_of_a_command_are_not_run_together(command: tuple[str, ...]) -> None:
    assert replace(USUAL, command=command).key != USUAL.key


def test_the_order_of_what_has_no_order_does_not_change_the_key() -> None:
    environment = (("A", "1"), ("B", "2"), ("C", "3"))
    wanted = replace(USUAL, environment=environment).key
    for order in itertools.permutations(environment):
        assert replace(USUAL, environment=order).key == wanted
    assert replace(USUAL, mounts=USUAL.mounts[::-1]).key == USUAL.key
    assert replace(USUAL, outputs=USUAL.outputs[::-1]).key == USUAL.key


@given(ENVIRONMENTS, ENVIRONMENTS)
def test_two_environments_have_one_key_only_if_they_are_the_same(
    first: list[tuple[str, str]], second: list[tuple[str, str]]
) -> None:
    keys = [replace(USUAL, environment=tuple(one)).key for one in (first, second)]
    assert (keys[0] == keys[1]) == (dict(first) == dict(second))


def test_the_key_is_that_of_two_digests() -> None:
    # A change here forgets what every store remembers: then RULES must change too.
    conditions = {"host": "h", "order_seed": 3}
    for one, described in (
        (USUAL, {}),
        (USUAL.under(Conditions(host="h", order_seed=3)), conditions),
    ):
        both = {
            "action": str(digest.of_bytes(USUAL.document)),
            "conditions": str(digest.of_bytes(canonical.dumps(described))),
        }
        assert one.key == digest.of_bytes(canonical.dumps(both))
        assert one.digest == digest.of_bytes(USUAL.document)


def test_the_time_of_inputs_is_the_conditions_before_the_actions() -> None:
    assert USUAL.mtime == USUAL.epoch
    assert USUAL.under(Conditions(mtime=5)).mtime == 5
    assert USUAL.under(Conditions(mtime=5)).epoch == USUAL.epoch


def test_an_action_is_placed_where_its_conditions_say() -> None:
    action = replace(
        USUAL,
        command=("/bin/true", f"{WORK}/out"),
        environment=(("A", f"'{WORK}/x'"),),
        directory=f"{WORK}/src",
        mounts=(Mount(f"{WORK}/src", ONE, "private"),),
    )
    placed = action.under(Conditions(work="/a b", parallelism=2)).placed()
    assert placed.command == ("/bin/true", "/a b/out")
    assert placed.environment == (("A", "'/a b/x'"), ("GOMAXPROCS", "2"))
    assert (placed.directory, placed.mounts[0].at) == ("/a b/src", "/a b/src")
    assert placed.placed() == placed
    assert action.placed().environment == (("A", "'/work/x'"),)
    assert USUAL.placed() == USUAL


def test_the_document_says_everything_else() -> None:
    assert canonical.loads(USUAL.document) == {
        "rules": 2,
        "command": ["/bin/true", "usual"],
        "environment": {"PATH": "/bin"},
        "directory": "/work",
        "root": str(Tree().digest),
        "mounts": [
            {"at": "/a", "tree": str(ONE.digest), "placement": "read-only"},
            {"at": "/b", "tree": str(TWO.digest), "placement": "read-only"},
        ],
        "outputs": ["x", "y"],
        "epoch": USUAL.epoch,
        "platform": {"os": "linux", "architecture": "amd64"},
    }


def test_the_two_conditions_differ_in_everything() -> None:
    for field in dataclasses.fields(Conditions):
        assert getattr(STANDARD, field.name) != getattr(ALL_VARIED, field.name)


@pytest.mark.parametrize("processors", range(1, 9))
def test_the_varied_parallelism_is_never_the_usual_one(processors: int) -> None:
    around = varied(processors, FIXED_POINT)
    assert around.parallelism not in {0, processors}
    assert replace(around, parallelism=VARIED.parallelism) == VARIED

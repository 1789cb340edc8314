"""The order in which the integration tests run names files that are there."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from tests.integration import order

pytestmark = pytest.mark.once

FOLDER = Path(order.__file__).parent
FILES = [path.name for path in FOLDER.glob("test_*.py")]


def test_every_name_is_that_of_a_file() -> None:
    groups = {order.group(name) for name in FILES}
    assert {*order.FIRST, *order.LAST} <= groups
    assert not {*order.FIRST} & {*order.LAST}
    assert {*order.AFTER_THE_OTHER_ENGINES} <= {*FILES}
    assert all(any(name.startswith(start) for name in FILES) for start in order.TOGETHER)


def test_files_follow_each_other_as_is_written_there() -> None:
    nodes = sorted(
        (f"tests/integration/{name}::test_{n}" for name in FILES for n in (1, 2)), key=order.rank
    )
    groups = [order.group(node) for node in nodes]
    # A group is one piece, and the tests of a file stay together.
    assert sum(first != second for first, second in pairwise(groups)) == len(set(groups)) - 1
    files = [order.file_of(node) for node in nodes]
    assert files.index("test_engines_limits.py") < files.index("test_build_docker.py")
    assert groups[0] == order.FIRST[0]
    assert groups[-1] == order.LAST[-1]

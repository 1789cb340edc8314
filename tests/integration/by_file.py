"""How pytest-xdist hands out the integration tests to the processes of a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xdist.scheduler import LoadScopeScheduling

from tests.integration import order

if TYPE_CHECKING:
    import pytest


class ByFile(LoadScopeScheduling):  # type: ignore[misc] # the package has no types
    """Each file's tests in one process, those of all engines in the same one; in their order.

    Groups by markers (`--dist loadgroup`) have no effect with pytest-xdist 3.8 on pytest 9.2.
    """

    def __init__(self, config: pytest.Config, log: object) -> None:
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return order.group(nodeid)

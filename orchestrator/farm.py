"""What the remote engine is given: a farm, and what isolates on its workers, made where needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from containers.remote.farm import Farm, Settings
from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from containers.engine import Storage
    from reproducibility.manifest import Tree


def settings(
    farm: Farm | None, bootstrap: Callable[[], Tree], note: Callable[[str], object]
) -> Settings | None:
    """Settings of the remote engine; None where no farm was named.

    `bootstrap`: gives the tree of the locked bootstrap Go, which builds the launcher. `note`: is
    told what a person might want to know.
    """
    if farm is None:
        return None

    def tools(architecture: str, storage: Storage, stop: Event) -> Tree:
        del storage, stop
        raise InfrastructureError(
            "what isolates on a worker is not there", subject=f"{architecture}, {bootstrap}"
        )

    return Settings(farm, tools, note)

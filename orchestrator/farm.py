"""What the remote engine is given: a farm, and what isolates on its workers, made where needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from containers.remote.farm import Farm, Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from threading import Event

    from containers.engine import Storage
    from orchestrator.inputs.transport import Clients
    from orchestrator.lock.file import Lock
    from orchestrator.store import Store
    from reproducibility.manifest import Tree


@dataclass(frozen=True)
class Tools:
    """What isolates on workers, as `Settings.tools` is to give it, from locked inputs.

    `bootstrap`: gives the tree of the locked bootstrap Go, which builds the launcher. `folder`: the
    spec's. `clients`: how inputs are fetched that are not in the store.
    """

    lock: Lock
    folder: Path
    store: Store
    bootstrap: Callable[[], Tree]
    clients: Clients

    def __call__(self, architecture: str, storage: Storage, stop: Event) -> Tree:
        """The launcher, and bubblewrap with its libraries, for workers of an architecture.

        Raises:
            ActionError: the launcher does not compile.
            InputError: the lock pins no bubblewrap for them, or it is not what the lock pins.
            InfrastructureError: something could not be had.
            Stopped: `stop` was set.
        """
        # Only now: most commands need none of it.
        from containers.remote import isolation  # noqa: PLC0415
        from orchestrator import architecture as machines  # noqa: PLC0415
        from orchestrator.golang import launcher  # noqa: PLC0415
        from orchestrator.inputs import worker_tools  # noqa: PLC0415
        from orchestrator.inputs.shelf import Shelf  # noqa: PLC0415
        from reproducibility.manifest import merge  # noqa: PLC0415

        del storage  # It is the store, which can more.
        host = machines.host()
        pinned = worker_tools.entry(self.lock, architecture)
        shelf = Shelf(
            self.clients, self.store, self.folder, lambda name: self.lock.find(name, host)
        )
        bubblewrap = worker_tools.ensure(pinned, shelf, self.store)
        program = launcher.program(self.bootstrap(), architecture, self.store, stop)
        return merge([(isolation.LAUNCHER, program), (isolation.BUBBLEWRAP, bubblewrap)])


def settings(
    farm: Farm | None, tools: Tools, note: Callable[[str], object], *, again: bool
) -> Settings | None:
    """Settings of the remote engine; None where no farm was named.

    `note`: is told what a person might want to know. `again`: what is run is made again, to be
    compared with what was made before, so the farm's cache has no part in it.
    """
    if farm is None:
        return None
    return Settings(farm.running_everything if again else farm, tools, note)

"""The farm of an audit: what the remote engine is given, where one was named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator import farm, inputs
from orchestrator.audit import subject

if TYPE_CHECKING:
    import threading

    from containers.remote.farm import Settings
    from orchestrator.audit.request import Request
    from orchestrator.execution.step import Observer
    from orchestrator.store import Store
    from reproducibility.manifest import Tree


def settings(
    request: Request,
    found: subject.Finding,
    store: Store,
    observer: Observer,
    stop: threading.Event,
) -> Settings | None:
    """Settings of the remote engine; None where no farm was named.

    Whatever an audit runs is compared with what was made before: nothing of it is asked of the
    farm's cache, also where that is believed.
    """

    def bootstrap() -> Tree:
        return inputs.ensure(
            found.pinned,
            store,
            folder=found.wanted.folder,
            own=subject.own_files(request),
            offline=request.offline,
            stop=stop,
        ).bootstrap

    clients = inputs.Clients(offline=request.offline, stop=stop)
    tools = farm.Tools(found.pinned, found.wanted.folder, store, bootstrap, clients)
    return farm.settings(request.farm, tools, observer.note, again=True)

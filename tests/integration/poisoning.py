"""`orchestrate` on a farm whose action cache somebody writes to: for the step named in `POISON`.

Just before the cache is asked for the result of that step, a byte is changed in the first file of
what the farm remembers of it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from containers.remote import naming
from containers.remote import reapi_pb2 as api
from containers.remote.believed import Believed
from containers.remote.engine import _Run
from containers.remote.naming import Name
from containers.remote.request import OUTPUTS
from orchestrator.cli import entry

if TYPE_CHECKING:
    from threading import Event

    from containers.engine import Outcome
    from containers.remote.messages import Job

_find = Believed.find
_outcome = _Run.outcome


def outcome(self: _Run) -> Outcome:
    """Run an action; have the cache poisoned first where it is the one."""
    if self._action.name != os.environ["POISON"]:
        return _outcome(self)

    def find(believed: Believed, job: Job, stop: Event) -> api.ActionResult | None:
        _poison(self, job)
        return _find(believed, job, stop)

    Believed.find = find  # type: ignore[method-assign, assignment] # its method
    try:
        return _outcome(self)
    finally:
        Believed.find = _find  # type: ignore[method-assign]


def _poison(run: _Run, job: Job) -> None:
    met, stop = run._met, run._stop
    result = met.believed._asked(job.action, stop)
    assert result is not None, "the farm remembers nothing of the step"
    (folder,) = (one for one in result.output_directories if one.path == OUTPUTS)
    tree = api.Tree.FromString(met.receiver.read(Name.parse(folder.tree_digest), 1 << 28, stop))
    names = {naming.of_bytes(met.offer.function, c.SerializeToString()): c for c in tree.children}
    blobs: dict[Name, bytes] = {}

    def put(data: bytes) -> api.Digest:
        name = naming.of_bytes(met.offer.function, data)
        blobs[name] = data
        return name.message

    def changed(directory: api.Directory) -> api.Directory:
        if directory.files:
            file = directory.files[0]
            data = bytearray(met.receiver.read(Name.parse(file.digest), 1 << 28, stop))
            data[-1] ^= 1
            file.digest.CopyFrom(put(bytes(data)))
        else:
            inner = directory.directories[0]
            child_ = changed(names[Name.parse(inner.digest)])
            tree.children.append(child_)
            inner.digest.CopyFrom(
                naming.of_bytes(met.offer.function, child_.SerializeToString()).message
            )
        return directory

    changed(tree.root)
    folder.tree_digest.CopyFrom(put(tree.SerializeToString()))
    met.sender.send(blobs, run._storage, stop)
    request = api.UpdateActionResultRequest(
        instance_name=met.offer.instance,
        action_digest=job.action.message,
        action_result=result,
        digest_function=met.offer.value,
    )
    run._engine.calls.unary(run._engine.calls.methods.put_result, request, stop)


if __name__ == "__main__":
    _Run.outcome = outcome  # type: ignore[method-assign]
    entry.main()

"""Outcome of an action on a farm: its report, outputs and words, brought into the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from containers.cut import was_cut
from containers.engine import Outcome
from containers.remote import outputs
from containers.remote.request import OUTPUTS, REPORT
from reproducibility.errors import ActionError, InfrastructureError, InputError
from reproducibility.manifest import Tree

if TYPE_CHECKING:
    from threading import Event

    from containers.engine import Identity, Storage
    from containers.policy import Limits
    from containers.remote import reapi_pb2 as api
    from containers.remote.execution import Executed
    from containers.remote.farm import Farm
    from containers.remote.known import Known
    from containers.remote.naming import Name
    from containers.remote.offer import Offer
    from containers.remote.receiving import Receiver
    from containers.remote.request import Report
    from reproducibility.digest import Digest

_LARGEST_REPORT = 1 << 20
_LARGEST_TREE = 256 << 20


class Reader(Protocol):
    """Reads what the launcher wrote: `isolation.py`, or a fake in tests."""

    def read_report(self, data: bytes, worker: str) -> Report:
        """Read what it wrote on a worker.

        Raises:
            InfrastructureError: it is no report.
        """


class Left:
    """What one action left."""

    def __init__(  # noqa: PLR0913 - what is needed to bring it
        self,
        name: str,
        limits: Limits,
        *,
        farm: Farm,
        identity: Identity,
        offer: Offer,
        known: Known,
        receiver: Receiver,
        reader: Reader,
        storage: Storage,
        stop: Event,
    ) -> None:
        """`name`: the action's, for people. `limits`: that it ran under."""
        self._name = name
        self._limits = limits
        self._farm = farm
        self._identity = identity
        self._offer = offer
        self._known = known
        self._receiver = receiver
        self._reader = reader
        self._storage = storage
        self._stop = stop

    def outcome(self, executed: Executed) -> Outcome:
        """Bring what is to be kept into the store, and say what came of the action.

        Raises:
            ActionError: the outputs cannot be kept.
            Fault: the farm does not give something; NOT_FOUND where it has it no more.
            InfrastructureError: it was not run in isolation; something is not what it should be.
            Stopped: `stop` was set.
        """
        result = executed.result
        worker = result.execution_metadata.worker or "one that the farm does not name"
        report = self._report(executed, worker)
        if report.unkept:
            raise ActionError(
                f"{self._name} made something that cannot be kept",
                subject=report.unkept,
                remedy="have it write only files and folders, with names that a tree can hold",
            )
        ended_by = report.ended_by or ("time" if executed.timed_out else "")
        tree = Tree()
        if not ended_by and report.exit_status == 0:
            try:
                tree = self._outputs(result)
            except outputs.ExceededError as error:
                ended_by = error.limit
            except InputError as error:
                raise ActionError(
                    f"{self._name} made something that cannot go on the stick: {error.summary}",
                    subject=error.subject,
                    remedy="have it write only files and folders, with names that a tree can hold",
                ) from error
        said = self._written(result.stdout_raw, result.stdout_digest)
        return Outcome(
            exit_status=report.exit_status,
            tree=tree,
            stdout=self._storage.put_bytes(said[: self._limits.log]),
            stderr=self._storage.put_bytes(self._stream(result.stderr_raw, result.stderr_digest)),
            seconds=report.seconds,
            peak_memory=report.peak_memory,
            ended_by=ended_by,
            engine=self._identity,
            enforcement=report.enforcement,
            cpus=report.cpus,
            worker=f"{worker} ({report.machine})" if report.machine else worker,
            taken_from=f"action cache ({self._farm.cache})" if executed.cached else "",
            cut=was_cut(said, self._limits.log),
        )

    def _report(self, executed: Executed, worker: str) -> Report:
        """What isolation says of the run; without that nothing of it is taken.

        Raises:
            InfrastructureError: there is none, or the worker cannot isolate.
        """
        found = outputs.file(executed.result, REPORT, self._offer.function)
        if found is None:
            if executed.timed_out:
                raise InfrastructureError(
                    f"the farm ended {self._name} before its own limit of {self._limits.seconds} s",
                    subject=f"worker {worker}",
                    remedy="raise the farm's limit, or say it in its file (`timeout`)",
                )
            words = self._stream(executed.result.stderr_raw, executed.result.stderr_digest)
            said = words[-2000:].decode(errors="replace").strip()
            raise InfrastructureError(
                f"{self._name} was not run in isolation, so nothing of it is taken: the "
                f"launcher left no report (exit status {executed.result.exit_code}):\n"
                f"{said or '(it wrote nothing to its standard error)'}",
                subject=f"worker {worker}",
                remedy="look at what the farm's workers can run (docs/farm.md)",
            )
        name, inline = found
        data = (
            inline if inline is not None else self._receiver.read(name, _LARGEST_REPORT, self._stop)
        )
        report = self._reader.read_report(data, worker)
        if report.refusal:
            raise InfrastructureError(
                f"{self._name} was not run: the worker cannot isolate it: {report.refusal}",
                subject=f"worker {worker}",
                remedy=report.remedy,
            )
        return report

    def _outputs(self, result: api.ActionResult) -> Tree:
        name = outputs.folder(result, OUTPUTS)
        if name is None:
            return Tree()
        data = self._receiver.read(name, _LARGEST_TREE, self._stop)
        found = outputs.listed(data, self._offer.function, self._limits)
        self._receiver.bring([one.name for one in found if one.name], self._storage, self._stop)
        tree = outputs.tree(found, lambda name: _required(self._known, name))
        self._storage.save_tree(tree)
        self._known.remember(tree, self._storage)
        return tree

    def _stream(self, raw: bytes, digest: api.Digest) -> bytes:
        return self._written(raw, digest)[: self._limits.log]

    def _written(self, raw: bytes, digest: api.Digest) -> bytes:
        """What an action wrote; the launcher has cut it."""
        name, data = outputs.words(raw, digest, self._offer.function)
        if data is None:
            data = self._receiver.read(name, self._limits.log + _LARGEST_REPORT, self._stop)
        return data


def _required(known: Known, name: Name) -> Digest:
    found = known.blob(name)
    if found is None:
        raise InfrastructureError("an output was not brought", subject=name.hash)
    return found

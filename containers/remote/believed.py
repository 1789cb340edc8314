"""Which results of a farm's action cache are taken: none, those that this project signed, all.

A signed result lies under a name of its own (`messages.OWN`), with an Ed25519 signature over what
it says of the action, its outputs and its worker. Signed are names (digest and size), and nothing
is taken that does not hash to its name (`outputs.py`, `receiving.py`). A farm that remembers
something else for the action, or whose cache somebody else has written to, cannot make one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from containers.remote import outputs
from containers.remote import reapi_pb2 as api
from containers.remote.faults import Code, Fault
from reproducibility import canonical, regular
from reproducibility.errors import InfrastructureError, InputError

if TYPE_CHECKING:
    from pathlib import Path
    from threading import Event

    from containers.remote.calls import Calls
    from containers.remote.messages import Job
    from containers.remote.naming import Name
    from containers.remote.offer import Offer

SIGNATURE = "type.googleapis.com/sourcery.OwnResult.2"
_LARGEST_KEY = 1 << 16


class Believed:
    """Results in the action cache of one farm."""

    def __init__(self, calls: Calls, offer: Offer) -> None:
        """See the class.

        Raises:
            InputError: the key that results are signed with cannot be read.
        """
        self._calls = calls
        self._offer = offer
        self._cache = calls.farm.cache
        self._key = _private(calls.farm.key) if self._cache == "own" and calls.farm.key else None
        self._told = False

    def find(self, job: Job, stop: Event) -> api.ActionResult | None:
        """Return the remembered result of an action, if one is to be believed.

        Raises:
            Fault: the cache cannot be asked.
            Stopped: `stop` was set.
        """
        if self._cache == "none" or (self._cache == "own" and self._key is None):
            return None
        found = self._asked(job.action if self._cache == "all" else job.own, stop)
        if found is None or self._cache == "all":
            return found
        if not self._is_ours(found, job.own):
            self._calls.note(
                "the farm's cache has a result under our name that we did not sign; not taken"
            )
            return None
        return found

    def keep(self, job: Job, result: api.ActionResult, stop: Event) -> None:
        """Sign a result that was just made, and put it into the cache; where the farm takes that.

        Raises:
            Stopped: `stop` was set.
        """
        if self._key is None:
            return
        signed = api.ActionResult()
        signed.CopyFrom(result)
        metadata = signed.execution_metadata
        del metadata.auxiliary_metadata[:]
        metadata.auxiliary_metadata.add(
            type_url=SIGNATURE, value=self._key.sign(self._statement(result, job.own))
        )
        request = api.UpdateActionResultRequest(
            instance_name=self._offer.instance,
            action_digest=job.own.message,
            action_result=signed,
            digest_function=self._offer.value,
        )
        try:
            self._calls.unary(self._calls.methods.put_result, request, stop)
        except Fault as fault:
            if not self._told:
                self._told = True
                self._calls.note(
                    f"the farm's cache takes no results of ours ({fault.code.name}: {fault.words})"
                )

    def _asked(self, name: Name, stop: Event) -> api.ActionResult | None:
        request = api.GetActionResultRequest(
            instance_name=self._offer.instance,
            action_digest=name.message,
            digest_function=self._offer.value,
        )
        try:
            return self._calls.unary(self._calls.methods.get_result, request, stop)
        except Fault as fault:
            if fault.code == Code.NOT_FOUND:
                return None
            raise

    def _is_ours(self, result: api.ActionResult, name: Name) -> bool:
        if self._key is None:
            return False
        try:
            statement = self._statement(result, name)
        except InfrastructureError:  # names in it are none
            return False
        for one in result.execution_metadata.auxiliary_metadata:
            if one.type_url != SIGNATURE:
                continue
            try:
                self._key.public_key().verify(one.value, statement)
            except InvalidSignature:
                continue
            return True
        return False

    def _statement(self, result: api.ActionResult, name: Name) -> bytes:
        """What is signed: canonical JSON, whatever form the farm gives a result back in."""
        function = self._offer.function
        stdout, _ = outputs.words(result.stdout_raw, result.stdout_digest, function)
        stderr, _ = outputs.words(result.stderr_raw, result.stderr_digest, function)
        return canonical.dumps(
            {
                "what": SIGNATURE,
                "function": function,
                "action": list(name),
                "worker": result.execution_metadata.worker,
                "exit_code": result.exit_code,
                "files": sorted(
                    [one.path, one.digest.hash, one.digest.size_bytes, one.is_executable]
                    for one in result.output_files
                ),
                "folders": sorted(
                    [one.path, one.tree_digest.hash, one.tree_digest.size_bytes]
                    for one in result.output_directories
                ),
                "links": sorted(
                    link.path
                    for links in (
                        result.output_symlinks,
                        result.output_file_symlinks,
                        result.output_directory_symlinks,
                    )
                    for link in links
                ),
                "stdout": list(stdout),
                "stderr": list(stderr),
            }
        )


def _private(path: Path) -> Ed25519PrivateKey:
    try:
        data = regular.read(path, limit=_LARGEST_KEY)
        key = serialization.load_pem_private_key(data, password=None)
    except (OSError, TypeError, ValueError, UnsupportedAlgorithm) as error:
        raise InputError(
            "the key that the farm's results are signed with cannot be read: "
            f"{getattr(error, 'strerror', None) or error}",
            subject=str(path),
            remedy="an Ed25519 key in PEM form, without a passphrase (`orchestrate key new` makes "
            "one)",
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError("the farm's results are signed with Ed25519 keys", subject=str(path))
    return key

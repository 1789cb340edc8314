"""What a farm offers (`Capabilities`), and what is used of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from containers.remote import naming
from containers.remote import reapi_pb2 as api
from reproducibility.errors import InfrastructureError

if TYPE_CHECKING:
    from containers.remote.naming import Function

# Bytes: what a message of gRPC has by default, less than that for what stands around blobs.
_BATCH = 4 << 20
_MARGIN = 64 << 10
_FIRST = api.DigestFunction.SHA256


@dataclass(frozen=True, slots=True)
class Offer:
    """What is used of a farm's offer.

    `function`: names of blobs. `batch`: bytes of blobs in one message. `zstd`: streams are
    compressed; `zstd_batch`: blobs in batches too. `updates`: results can be put into its action
    cache. `version`: the newest version of the API that it speaks.
    """

    function: Function
    instance: str
    batch: int
    zstd: bool
    zstd_batch: bool
    updates: bool
    version: str

    @property
    def value(self) -> api.DigestFunction.Value:
        """The digest function's number in the API."""
        return naming.value(self.function)


def used(capabilities: api.ServerCapabilities, instance: str, subject: str) -> Offer:
    """Choose from what a farm offers.

    Raises:
        InfrastructureError: it executes nothing, or speaks no version 2, or no digest function that
            is known here.
    """
    cache, execution = capabilities.cache_capabilities, capabilities.execution_capabilities
    if not execution.exec_enabled:
        raise InfrastructureError(
            "the farm says that it executes nothing here",
            subject=subject,
            remedy="look at `address` and `instance` in the farm's file: it may be its storage "
            "alone, or this user may not execute",
        )
    low, high = capabilities.low_api_version, capabilities.high_api_version
    if low.major > 2 or (high.major and high.major < 2):  # noqa: PLR2004 - the version spoken here
        raise InfrastructureError(
            f"the farm speaks version {low.major} to {high.major} of the Remote Execution API, and "
            "2 is needed",
            subject=subject,
        )
    # Servers of the first versions say nothing of it: there was no other one.
    executing = execution.digest_functions or [execution.digest_function or _FIRST]
    batch = min(cache.max_batch_total_size_bytes or _BATCH, _BATCH) - _MARGIN
    zstd = api.Compressor.ZSTD
    return Offer(
        function=naming.chosen(cache.digest_functions or [_FIRST], executing),
        instance=instance,
        # Where there is no room for any, all blobs go as streams.
        batch=max(batch, 0),
        zstd=zstd in cache.supported_compressors,
        zstd_batch=zstd in cache.supported_batch_update_compressors,
        updates=cache.action_cache_update_capabilities.update_enabled,
        version=f"{high.major}.{high.minor}",
    )

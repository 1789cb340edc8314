"""What is used of what a farm offers."""

from __future__ import annotations

import pytest

from containers.remote import offer
from containers.remote import reapi_pb2 as api
from reproducibility.errors import InfrastructureError

SHA256, BLAKE3 = api.DigestFunction.SHA256, api.DigestFunction.BLAKE3


def said() -> api.ServerCapabilities:
    """What a farm of today says."""
    return api.ServerCapabilities(
        cache_capabilities=api.CacheCapabilities(
            digest_functions=[SHA256, BLAKE3],
            supported_compressors=[api.Compressor.ZSTD],
            max_batch_total_size_bytes=1 << 20,
        ),
        execution_capabilities=api.ExecutionCapabilities(
            exec_enabled=True, digest_function=SHA256, digest_functions=[SHA256, BLAKE3]
        ),
        low_api_version=api.SemVer(major=2),
        high_api_version=api.SemVer(major=2, minor=3),
    )


def used(capabilities: api.ServerCapabilities) -> offer.Offer:
    return offer.used(capabilities, "main", "a farm")


def test_what_is_best_is_used() -> None:
    assert used(said()) == offer.Offer(
        function="blake3",
        instance="main",
        batch=(1 << 20) - (64 << 10),
        zstd=True,
        zstd_batch=False,
        updates=False,
        version="2.3",
    )


def test_blake3_for_storage_alone_is_of_no_use() -> None:
    capabilities = said()
    del capabilities.execution_capabilities.digest_functions[:]
    assert used(capabilities).function == "sha256"


def test_an_old_server_says_little() -> None:
    capabilities = api.ServerCapabilities()
    capabilities.execution_capabilities.exec_enabled = True
    found = used(capabilities)
    assert (found.function, found.zstd, found.updates) == ("sha256", False, False)
    assert found.batch == (4 << 20) - (64 << 10)


def test_a_batch_is_never_larger_than_a_message() -> None:
    capabilities = said()
    capabilities.cache_capabilities.max_batch_total_size_bytes = 1 << 30
    assert used(capabilities).batch == (4 << 20) - (64 << 10)
    capabilities.cache_capabilities.max_batch_total_size_bytes = 1000
    assert used(capabilities).batch == 0


def test_a_farm_that_executes_nothing_is_said() -> None:
    capabilities = said()
    capabilities.execution_capabilities.exec_enabled = False
    with pytest.raises(InfrastructureError, match="executes nothing"):
        used(capabilities)


@pytest.mark.parametrize(("low", "high"), [(3, 3), (1, 1)])
def test_another_version_is_said(low: int, high: int) -> None:
    capabilities = said()
    capabilities.low_api_version.major = low
    capabilities.high_api_version.major = high
    with pytest.raises(InfrastructureError, match="and 2 is needed"):
        used(capabilities)


def test_other_digests_are_refused() -> None:
    capabilities = said()
    del capabilities.cache_capabilities.digest_functions[:]
    capabilities.cache_capabilities.digest_functions.append(api.DigestFunction.MD5)
    with pytest.raises(InfrastructureError, match="neither BLAKE3 nor SHA-256"):
        used(capabilities)

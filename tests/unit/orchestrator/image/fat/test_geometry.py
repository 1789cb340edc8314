"""Cluster size, number of clusters, size of the FAT."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.image.fat import geometry
from orchestrator.image.fat.geometry import MIN_CLUSTERS, Geometry
from reproducibility.errors import InputError

_MIB = 1 << 20
_GIB = 1 << 30


def _consistent(found: Geometry) -> None:
    data = found.offset(2)
    assert found.clusters >= MIN_CLUSTERS
    assert found.sectors * 512 % _MIB == 0
    assert found.reserved >= 32
    assert data == (found.reserved + 2 * found.fat_sectors) * 512
    assert data % 4096 == 0
    assert data % found.cluster == 0
    assert found.fat_sectors * 128 >= found.clusters + 2
    assert data + found.clusters * found.cluster <= found.size
    assert found.size - (data + found.clusters * found.cluster) < found.cluster


@pytest.mark.parametrize(
    ("content", "cluster"),
    [
        (0, 512),
        (1, 512),
        (33 * _MIB, 512),
        (65 * _MIB, 1024),
        (200 * _MIB, 2048),
        (250 * _MIB, 2048),
        (260 * _MIB, 4096),
        (1400 * _MIB, 4096),
        (8 * _GIB, 4096),
        (8 * _GIB + 1, 8192),
        (20 * _GIB, 16_384),
        (100 * _GIB, 32_768),
    ],
)
def test_cluster_size(content: int, cluster: int) -> None:
    found = geometry.choose([content], 0, 0)
    assert found.cluster == cluster
    _consistent(found)


def test_a_small_volume_is_padded_to_be_fat32() -> None:
    found = geometry.choose([32], 0, 0)
    assert MIN_CLUSTERS <= found.clusters < MIN_CLUSTERS + 2 * 2048
    assert found.size < 36 * _MIB


@pytest.mark.parametrize("off", [-1, 0, 1])
@pytest.mark.parametrize("cluster", [512, 1024, 2048, 4096])
def test_around_the_least_number_of_clusters(cluster: int, off: int) -> None:
    found = geometry.choose([cluster * (MIN_CLUSTERS + off)], 0, 0)
    _consistent(found)
    assert found.cluster == (cluster if off >= 0 else max(512, cluster // 2))


def test_free_space_is_added() -> None:
    least = geometry.choose([300 * _MIB], 0, 0)
    more = geometry.choose([300 * _MIB], 10 * _MIB, 50)
    assert (more.clusters - least.clusters) * 4096 >= 159 * _MIB
    assert more.clusters * 4096 >= 460 * _MIB


def test_more_than_fat32_holds() -> None:
    with pytest.raises(InputError, match="2 TiB"):
        geometry.choose([2048 * _GIB], 0, 0)


@given(
    st.lists(st.integers(0, 40 * _MIB), max_size=200),
    st.integers(0, 3 * _GIB),
    st.integers(0, 100),
)
def test_always_consistent_and_enough(sizes: list[int], free: int, percent: int) -> None:
    found = geometry.choose(sizes, free, percent)
    _consistent(found)
    used = sum(-(-size // found.cluster) for size in sizes)
    assert (found.clusters - used) * found.cluster >= free + sum(sizes) * percent // 100

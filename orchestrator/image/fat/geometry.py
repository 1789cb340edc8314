"""Geometry of a FAT32 volume: cluster size, number of clusters, FAT, reserved area.

A pure function of the sizes that the volume is to hold. Sources: fatgen103, "FAT Type
Determination" and "FAT Volume Initialization"; the default cluster sizes of Microsoft's format.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from orchestrator.image.fat.volume import SECTOR
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

# With fewer than 65,525 clusters a volume is FAT16 by definition; fatgen103 asks to stay 16 away
# from the limit, since not every reader has its arithmetic right.
MIN_CLUSTERS: Final = 65_525 + 16
FIRST_CLUSTER: Final = 2
FAT_COUNT: Final = 2

# A disk's sectors have 32-bit numbers, and the first MiB is not the volume's.
_MAX_SECTORS = (1 << 32) - 1 - 2048
_FAT_ENTRY = 4
# Boot sector, FSInfo, third boot sector, and their copies from sector 6 on; 32 is what fatgen103
# says every FAT32 volume has.
_LEAST_RESERVED = 32
# Disks are a whole number of MiB (some virtual machines ask for it), and so are volumes.
_VOLUME_UNIT = (1 << 20) // SECTOR
# The data area starts on a page of the host and of the medium.
_ALIGNMENT = 4096 // SECTOR

_GIB = 1 << 30
_CLUSTER_SIZES: Final = (32_768, 16_384, 8_192, 4_096, 2_048, 1_024, 512)
_PREFERRED = ((8 * _GIB, 4_096), (16 * _GIB, 8_192), (32 * _GIB, 16_384))
_LARGEST_PREFERRED = 32_768


@dataclass(frozen=True, slots=True)
class Geometry:
    """`cluster`: bytes in a cluster. `clusters`: how many there are. The rest in sectors of 512."""

    cluster: int
    clusters: int
    sectors: int
    reserved: int
    fat_sectors: int

    @property
    def size(self) -> int:
        """Bytes of the whole volume."""
        return self.sectors * SECTOR

    def fat_offset(self, number: int) -> int:
        """Byte in the volume at which a FAT starts; `number`: 0 or 1."""
        return (self.reserved + number * self.fat_sectors) * SECTOR

    def offset(self, cluster: int) -> int:
        """Byte in the volume at which a cluster starts; `cluster`: 2 or more."""
        data = (self.reserved + FAT_COUNT * self.fat_sectors) * SECTOR
        return data + (cluster - FIRST_CLUSTER) * self.cluster


def choose(sizes: Sequence[int], free_bytes: int, free_percent: int) -> Geometry:
    """The geometry for files and directories of these sizes in bytes, and the room to leave.

    The largest cluster that Microsoft's format would take at most, and that still gives enough
    clusters for FAT32. A volume too small for that is padded.

    Raises:
        InputError: more than a FAT32 volume can hold.
    """
    content = sum(sizes)
    free = free_bytes + content * free_percent // 100
    needed = MIN_CLUSTERS
    for cluster in _CLUSTER_SIZES:
        needed = sum(-(-size // cluster) for size in sizes) - (-free // cluster)
        if cluster <= _preferred(needed * cluster) and needed >= MIN_CLUSTERS:
            return _fit(cluster, needed)
    return _fit(_CLUSTER_SIZES[-1], MIN_CLUSTERS)


def _preferred(size: int) -> int:
    return next((cluster for limit, cluster in _PREFERRED if size <= limit), _LARGEST_PREFERRED)


def _fit(cluster: int, needed: int) -> Geometry:
    """The smallest volume of whole units with that many clusters; the rest becomes clusters."""
    per_cluster = cluster // SECTOR
    sectors = _LEAST_RESERVED + needed * per_cluster
    while True:
        sectors = -(-sectors // _VOLUME_UNIT) * _VOLUME_UNIT
        if sectors > _MAX_SECTORS:
            raise InputError(
                f"{needed * cluster} bytes do not fit a FAT32 volume: it has at most 2 TiB",
                subject="image",
                remedy="leave something out of the spec, or less free space",
            )
        # Enough for every cluster there could be: at most a sector more than is used in the end.
        most = (sectors - _LEAST_RESERVED) // per_cluster
        fat_sectors = -(-(most + FIRST_CLUSTER) * _FAT_ENTRY // SECTOR)
        unit = max(_ALIGNMENT, per_cluster)
        start = -(-(_LEAST_RESERVED + FAT_COUNT * fat_sectors) // unit) * unit
        clusters = (sectors - start) // per_cluster
        if clusters >= needed:
            reserved = start - FAT_COUNT * fat_sectors
            return Geometry(cluster, clusters, sectors, reserved, fat_sectors)
        sectors += _VOLUME_UNIT

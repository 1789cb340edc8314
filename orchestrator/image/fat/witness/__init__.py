"""Independent checker of a FAT32 image: compares every byte beside the files' content.

It shares no code with what writes the image: its constants, the order of things, the short names
and the boot loader's patch are worked out here a second time, from the tree and the parameters
alone. `volume` goes through the image region by region; `folders` says what the directories must
hold; `loader` takes SYSLINUX out of its packages and patches it. The content of the files is read
by `orchestrator.image.fat.reader`.
"""

from orchestrator.image.fat.witness.loader import Packages
from orchestrator.image.fat.witness.volume import Expected, findings

__all__ = ["Expected", "Packages", "findings"]

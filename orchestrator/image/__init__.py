"""Image formats: a tree as a FAT32 disk image and as a cpio archive, each with a second reader.

In `fat/`, `lint` says what VFAT cannot hold; `volume`, `geometry` and `layout` decide where each
byte goes and write nothing; `disk` puts the volume behind a partition table; `writer` writes it;
`reader` reads the content back without sharing code with any of them, and `witness` compares every
other byte. In `cpio/`, `writer` makes the archive, and `witness` reads it back.
"""

"""Boot files of the stick, made from unpacked packages; pure: trees and bytes in, trees out.

`model` says what is wanted; `files` makes every file but one; `syslinux` prepares that one, whose
content depends on where it lies, and `orchestrator.artifacts.bios_loader` finishes it once the
volume is laid out. `kernel`, `modules`, `elf` and `initramfs` make the kernels' part, `menus` the
configuration of the loaders.
"""

"""From unpacked packages to the boot files of the stick; pure: trees and bytes in, trees out.

`model` says what is wanted; `files` makes every file but one; `syslinux` prepares that one, whose
content depends on where it lies, and `install` finishes it once the volume is laid out. `kernel`,
`modules`, `elf` and `initramfs` make the kernels' part, `menus` the configuration of the loaders.
"""

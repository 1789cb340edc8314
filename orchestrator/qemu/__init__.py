"""Boots an image in QEMU and talks to it over its serial line.

`platforms` and `command_line` say how a machine is put together, `screen`, `script` and `proof`
what is said on it and what that means: all without I/O. `guest` runs one machine, `boot` several.
"""

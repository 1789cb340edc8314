"""The device's side of the contract: where things lie on the stick, and what a stub looks like.

`init` and `installcommand` (userland/) find things there. The go command's environment on the
device is `golang/environment.py`'s.
"""

from __future__ import annotations

GOROOT = "/go"
USERLAND = "sourcery/userland"
# Empty folders that `init` mounts on.
MOUNT_POINTS = ("bin", "dev", "etc", "mnt", "proc", "root", "run", "sys", "tmp")
PREBUILT = ("buildcache", "init", "installcommand")
# The first process, in the initramfs of each kernel; it lies in no folder of programs.
STICK_INIT = "stickinit"
# What is built for each architecture, whether or not a spec wants boot files.
PROGRAMS = (*PREBUILT, STICK_INIT)


def folder(architecture: str) -> str:
    """The folder of an architecture's own files, relative to the stick's root."""
    return f"linux_{architecture}"


def source(module: str) -> str:
    """Where a module's source lies, relative to the stick's root."""
    return f"src/{module}"


def stub(architecture: str, package: str) -> bytes:
    """A command's stub: the line that the kernel runs without links.

    `package`: the package's folder, relative to the stick's root.
    """
    return f"#!/{folder(architecture)}/bin/installcommand #!/{package}\n".encode()

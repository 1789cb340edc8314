"""Paths on the stick, and the environment (PATH, GOCACHEPROG) that the device gives to programs.

The compile seed only hits when the go command sees on the device what it saw in the build; so the
environment is written down here once, used by the actions that make the seed, and put on the stick
as `/linux_<arch>/environment` for `init` and `installcommand` to read.
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

# A module's dependencies lie in its folder vendor, whatever its go.mod says of Go's version: below
# 1.14 the go command would not look there by itself. A profile (default.pgo) would have everything
# that its command imports compiled again for it, the standard library too. The standard library is
# compiled as the toolchain's own builds compile it, so that it is compiled once for both; all else
# without debugging data, which a stick has no room for.
_FLAGS = "-mod=vendor -pgo=off -trimpath -ldflags=-w -gcflags=all=-dwarf=false -gcflags=std="


def folder(architecture: str) -> str:
    """The folder of an architecture's own files, relative to the stick's root."""
    return f"linux_{architecture}"


def source(module: str) -> str:
    """Return the folder of a module's source, relative to the stick's root."""
    return f"src/{module}"


def build_environment(architecture: str) -> dict[str, str]:
    """Return the variables by which the go command compiles on the device, as for the seed."""
    return {
        "CGO_ENABLED": "0",
        "GOARCH": architecture,
        "GOENV": "off",
        "GOFLAGS": _FLAGS,
        "GOOS": "linux",
        "GOPROXY": "off",
        "GOROOT": GOROOT,
        "GOSUMDB": "off",
        "GOTELEMETRY": "off",
        "GOTOOLCHAIN": "local",
        # A module is built for itself, even where a go.work lies beside its go.mod.
        "GOWORK": "off",
        "TZ": "UTC",
    }


def environment(architecture: str) -> dict[str, str]:
    """Return all variables that `init` sets for every program on the device."""
    own = f"/{folder(architecture)}"
    return {
        **build_environment(architecture),
        "GOCACHE": "/tmp/cache/go-build",  # noqa: S108 - on the device
        "GOCACHEPROG": f"{own}/bin/buildcache -seed {own}/seed -cache /tmp/cache/go-build",
        "GOPATH": "/tmp/go",  # noqa: S108 - on the device
        "HOME": "/tmp/home",  # noqa: S108 - on the device
        "LANG": "C.UTF-8",
        "PATH": f"/bin:{own}/bin",
        "TMPDIR": "/tmp",  # noqa: S108 - on the device
    }


def environment_file(architecture: str) -> bytes:
    """`/linux_<arch>/environment`: sorted KEY=VALUE lines."""
    lines = ["# Set by init for every program; the compile seed hits only under these GO* values."]
    lines += [f"{key}={value}" for key, value in sorted(environment(architecture).items())]
    return ("\n".join(lines) + "\n").encode()


def stub(architecture: str, package: str) -> bytes:
    """A command's stub: the line that the kernel runs without links.

    `package`: the package's folder, relative to the stick's root.
    """
    return f"#!/{folder(architecture)}/bin/installcommand #!/{package}\n".encode()

"""Environment of the go command (GOFLAGS, GOPROXY, GOCACHE and so on), wherever it is run.

It is run in five surroundings, and inherits nothing but what a function here says:

* `toolchain`: in the sandbox, to build the Go toolchain and the standard library;
* `sandbox`: in the sandbox, to compile what lies on the stick, under the device's settings;
* `device`: on the device itself, by `init` and `installcommand`, and by a person there;
* `listing`: on this machine without a network, to ask about a module's packages;
* `download`: on this machine with a network, to fetch modules; the person's settings are added.

The compile seed only hits where the go command sees on the device what it saw in the build. What
decides that is `settings`: the same variables in `sandbox`, `device` and `listing`.

Not obvious from `go help environment`:

* GOENV: the file of `go env -w`; `off`, because a person's own settings are not inherited.
* GOFLAGS: flags of every go command. Empty, and not absent, so that it is stated to be.
* GOGC, GOMEMLIMIT: the garbage collector of the go command and of the compilers that it starts.
* GOPROXY, GOSUMDB: `off`, so that the go command refuses at once what would need a network.
* GOTELEMETRY: what `go env` says of telemetry; the go command does not read it. Its counters go to
  a folder of the user's settings unless a file there says `off`: `init` writes it on the device.
* GOTOOLCHAIN: `local`, since a go.mod may ask for another toolchain, which would be fetched.
* GOWORK: `off`, since a module is built for itself, even where a go.work lies beside its go.mod.
* CGO_ENABLED: 0, since no C compiler is there.
* GOCACHE: where compiled packages are kept; without it and HOME the go command does not start.
* LC_ALL, TZ: language of messages of programs that are started; time zone of times in output.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.device import GOROOT
from orchestrator.device import folder as device_folder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CACHE = "/tmp/cache"  # noqa: S108 - inside the sandbox
_DEVICE_CACHE = "/tmp/cache/go-build"  # noqa: S108 - on the device

# A module's dependencies lie in its folder vendor, whatever its go.mod says of Go's version: below
# 1.14 the go command would not look there by itself. A profile (default.pgo) would have everything
# that its command imports compiled again for it, the standard library too. The standard library is
# compiled as the toolchain's own builds compile it, so that it is compiled once for both; all else
# without debugging data, which a stick has no room for.
_FLAGS = "-mod=vendor -pgo=off -trimpath -ldflags=-w -gcflags=all=-dwarf=false -gcflags=std="

# Wherever packages are compiled, or asked about as they will be compiled.
_COMPILING: Mapping[str, str] = {
    "CGO_ENABLED": "0",
    "GOENV": "off",
    "GOOS": "linux",
    "GOPROXY": "off",
    "GOROOT": GOROOT,
    "GOSUMDB": "off",
    "GOTELEMETRY": "off",
    "GOTOOLCHAIN": "local",
    "TZ": "UTC",
}
# In every sandbox. Most compilers end before they have to collect garbage once; one that needs much
# memory begins at the limit.
_SANDBOX: Mapping[str, str] = {
    "GOCACHE": CACHE,
    "GOGC": "off",
    "GOMEMLIMIT": "1536MiB",
    "GOPATH": "/tmp/gopath",  # noqa: S108 - inside the sandbox
    "HOME": "/tmp/home",  # noqa: S108 - inside the sandbox
    "LC_ALL": "C",
    "PATH": "/bin",
    "TMPDIR": "/tmp",  # noqa: S108 - inside the sandbox
}


def toolchain(architecture: str, **changes: str | None) -> tuple[tuple[str, str], ...]:
    """Give the variables for a build of the toolchain, sorted; a change to None takes one away."""
    merged = {**_COMPILING, **_SANDBOX, "GOFLAGS": "", "GOARCH": architecture, **changes}
    return tuple(sorted((key, value) for key, value in merged.items() if value is not None))


def settings(architecture: str) -> dict[str, str]:
    """Give what decides how the go command compiles on the device; the seed is made under it."""
    return {**_COMPILING, "GOARCH": architecture, "GOFLAGS": _FLAGS, "GOWORK": "off"}


def sandbox(architecture: str) -> dict[str, str]:
    """Give the variables under which the stick's packages are compiled in the sandbox."""
    return {**settings(architecture), **_SANDBOX}


def device(architecture: str) -> dict[str, str]:
    """Give what `init` sets for every program on the device.

    To PATH it adds, behind /bin, the folder of the commands that end the machine.
    """
    own = f"/{device_folder(architecture)}"
    return {
        **settings(architecture),
        "GOCACHE": _DEVICE_CACHE,
        "GOCACHEPROG": f"{own}/bin/buildcache -seed {own}/seed -cache {_DEVICE_CACHE}",
        "GOPATH": "/tmp/go",  # noqa: S108 - on the device
        "HOME": "/tmp/home",  # noqa: S108 - on the device
        "LANG": "C.UTF-8",
        "PATH": f"/bin:{own}/bin",
        "TMPDIR": "/tmp",  # noqa: S108 - on the device
    }


def device_file(architecture: str) -> bytes:
    """Give `/linux_<arch>/environment` of the stick: sorted KEY=VALUE lines below a comment."""
    lines = ["# Set by init for every program; the compile seed hits only under these GO* values."]
    lines += [f"{key}={value}" for key, value in sorted(device(architecture).items())]
    return ("\n".join(lines) + "\n").encode()


def listing(architecture: str, goroot: Path, scratch: Path) -> dict[str, str]:
    """Give the variables for a question about a module on this machine, without a network.

    `goroot`: of a toolchain for this machine. `scratch`: a folder that all it writes goes into.
    """
    return {
        **settings(architecture),
        **_folders(scratch),
        "GOROOT": str(goroot),
        "HOME": str(scratch),
        "LC_ALL": "C",
        "PATH": "/usr/bin:/bin",
        "TMPDIR": str(scratch),
    }


def download(scratch: Path) -> dict[str, str]:
    """Give what is fixed where modules are fetched, whatever the person's settings are.

    `scratch`: a folder that all it writes goes into, and that can be removed afterwards:
    -modcacherw leaves the module cache writable.
    """
    return {
        **_folders(scratch),
        "GO111MODULE": "on",
        "GOFLAGS": "-modcacherw",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
    }


def _folders(scratch: Path) -> dict[str, str]:
    """Return what the go command on this machine writes to."""
    return {
        "GOCACHE": str(scratch / "cache"),
        "GOMODCACHE": str(scratch / "modules"),
        "GOPATH": str(scratch / "gopath"),
    }

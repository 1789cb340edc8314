"""A Go release, a module and what building them gives, in a few files: enough for every step."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from containers.action import Action
from containers.engine import Identity
from orchestrator import device
from orchestrator.execution.step import Provenance, Result
from orchestrator.golang import handles
from orchestrator.golang.compiling import (
    BATCHES,
    Compiling,
)
from orchestrator.golang.toolchain import DIST_BUILD, Chain, Programs
from orchestrator.spec.model import Source
from reproducibility import digest, manifest
from reproducibility.manifest import Tree
from reproducibility.variations import VARIED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from orchestrator.execution.step import Results, Step
    from reproducibility.digest import Digest

MODULE = "example.com/tools"
ARCHITECTURES = ("amd64", "arm64", "riscv64")
EPOCH = 1_700_000_000
PROGRAMS = Programs(
    binaries=("go", "gofmt"),
    tools=("asm", "cgo", "compile", "cover", "fix", "link", "preprofile", "vet"),
)
BUILD_GO = """\
package main

func cmdbootstrap() {
	timelog("build", "toolchain1")
	bootstrapBuildTools()
	timelog("build", "go_bootstrap")
	timelog("build", "toolchain2")
	timelog("build", "toolchain3")
}
"""
TOOLS = {f"pkg/tool/linux_amd64/{name}": name.encode() for name in PROGRAMS.tools}
RELEASE: dict[str, bytes] = {
    "VERSION": b"go1.27.3\n",
    "go.mod": b"module std\n",
    "src/fmt/print.go": b"package fmt\n",
    "src/time/zversion.go": b"package time\n",
    DIST_BUILD: BUILD_GO.encode(),
    "bin/go": b"go",
    "bin/gofmt": b"gofmt",
    **TOOLS,
}
USERLAND = {
    "go.mod": b"module sourcery/userland\n",
    "cmd/buildcache/main.go": b"package main // buildcache\n",
    "cmd/compileonly/main.go": b"package main // compileonly\n",
    "cmd/init/main.go": b"package main // init\n",
    "internal/seed/seed.go": b"package seed\n",
}
OBSERVER = {"observe.go": b"package main // observe\n"}
HELPERS = {f"out/{name}": name.encode() + b" of the host" for name in ("buildcache", "compileonly")}
# What the observer looks at.
SEEN = ("directory", "group", "host", "order", "parallelism", "user")
# What the toolchain's programs import, as the go command lists it.
LISTED = b"unsafe\nfmt\nvendor/golang.org/x/text\ncmd/internal/obj\ncmd/go\ntesting\n"
BUILT = {name: name.encode() for name in (*PROGRAMS.binaries, *PROGRAMS.tools)}


def tree(content: Mapping[str, bytes], put: Callable[[bytes], Digest] = digest.of_bytes) -> Tree:
    return Tree(
        manifest.file(path, put(data), len(data), executable=not path.endswith((".go", ".mod")))
        for path, data in content.items()
    )


def result(made: Tree, stdout: Digest | None = None, observed: object = None) -> Result:
    """A result; `observed`: what its run saw, as a JSON value, None where nothing looked."""
    nothing = digest.of_bytes(b"")
    seen = json.dumps(observed) if observed is not None else ""
    provenance = Provenance(Identity("fake", "a", "1"), {}, "1", "2026-01-01T00:00:00Z", seen)
    return Result(
        nothing, made, stdout or nothing, nothing, 0.0, 0, cached=False, provenance=provenance
    )


def _of_listings(wanted: Digest) -> bytes:
    return {digest.of_bytes(LISTED): LISTED}[wanted]


def chain(
    *,
    stops_early: bool = True,
    put: Callable[[bytes], Digest] = digest.of_bytes,
    read: Callable[[Digest], bytes] = _of_listings,
) -> Chain:
    patched = tree({DIST_BUILD: b"patched"}, put) if stops_early else None
    return Chain(
        host="amd64",
        root=tree({"bootstrap/bin/go": b"old go", "bin/uname": b"uname"}, put),
        release=tree(RELEASE, put),
        dist_build=patched,
        programs=PROGRAMS,
        userland=tree(USERLAND, put),
        observer=tree(OBSERVER, put),
        read=read,
    )


def chain_results(put: Callable[[bytes], Digest] = digest.of_bytes) -> dict[str, Result]:
    """What the steps of the chain give, F1, F2 and the release being the same."""
    source = {path: data for path, data in RELEASE.items() if path.startswith("src/")}
    t1 = {f"go/{path}": data for path, data in source.items()}
    t1 |= {f"go/pkg/tool/linux_amd64/{name}": b"t1" for name in ("asm", "cgo", "compile", "link")}
    t1 |= {
        "go/pkg/tool/linux_amd64/go_bootstrap": b"t1 go",
        "go/bin/go": b"t1 go",
        f"go/{DIST_BUILD}": b"patched",
        "go/src/internal/buildcfg/zbootstrap.go": b"package buildcfg\n",
    }
    built = {f"out/{name}": data for name, data in BUILT.items()}
    made = {
        "T1/dist": {"dist": b"dist"},
        "T1/toolchain": t1,
        "T1/helpers": {"out/preprofile": b"t1", "out/observe": b"observe", **HELPERS},
        "F1": built,
        "F2": built,
        "cross/arm64": built,
        "cross/riscv64": built,
        "cross-by-F2/riscv64": built,
        "F1/helpers": {"out/preprofile": b"f1", "out/observe": b"observe", **HELPERS},
    }
    made |= {f"std/{name}": recorded(number) for number, name in enumerate(ARCHITECTURES, 100)}
    seen = {"F1": dict.fromkeys(SEEN, 2), "F2": dict.fromkeys(SEEN, 3)}
    found = {
        name: result(tree(content, put), observed=seen.get(name)) for name, content in made.items()
    }
    found["F2"] = replace(found["F2"], conditions=VARIED.describe())
    return found | {f"std/{name}/list": result(Tree(), put(LISTED)) for name in ARCHITECTURES}


def source() -> Source:
    return Source.model_validate({"module": MODULE, "version": "v1.0.0", "commands": ["cmds/*"]})


SOURCE: dict[str, bytes] = {
    "go.mod": b"module example.com/tools\n",
    "cmds/ls/ls.go": b"package main\n",
    "cmds/ip/ip.go": b"package main // ip\n",
    "cmds/w/w_windows.go": b"package main // w\n",
    "lib/lib.go": b"package lib\n",
    "lib/unused.txt": b"of the same folder\n",
    "vendor/modules.txt": b"# none\n",
    "other/other.go": b"package other\n",
}
LISTING: list[dict[str, Any]] = [
    {"ImportPath": "fmt", "Name": "fmt", "Dir": "/go/src/fmt", "GoFiles": ["print.go"]},
    {
        "ImportPath": f"{MODULE}/lib",
        "Name": "lib",
        "Dir": f"/src/{MODULE}/lib",
        "Match": ["./..."],
        "GoFiles": ["lib.go"],
    },
    *(
        {
            "ImportPath": f"{MODULE}/cmds/{name}",
            "Name": "main",
            "Dir": f"/src/{MODULE}/cmds/{name}",
            "Match": [f"./cmds/{name}", "./..."],
            "GoFiles": [f"{name}.go"],
            "Imports": ["fmt", f"{MODULE}/lib"],
        }
        for name in ("ip", "ls")
    ),
    {
        "ImportPath": f"{MODULE}/cmds/w",
        "Dir": f"/src/{MODULE}/cmds/w",
        "Match": ["./cmds/w"],
        "IgnoredGoFiles": ["w_windows.go"],
        "Error": {"Err": "build constraints exclude all Go files"},
    },
    # What no command imports is listed too, since the whole module is.
    {
        "ImportPath": f"{MODULE}/other",
        "Name": "other",
        "Dir": f"/src/{MODULE}/other",
        "Match": ["./..."],
        "GoFiles": ["other.go"],
        "Imports": ["missing.example/x"],
        "Error": {"Err": "cannot find missing.example/x"},
    },
]


class Blobs:
    """Small files in memory."""

    def __init__(self) -> None:
        self._content: dict[Digest, bytes] = {}
        self.reads = 0

    def put(self, data: bytes) -> Digest:
        found = digest.of_bytes(data)
        self._content[found] = data
        return found

    def read(self, wanted: Digest) -> bytes:
        self.reads += 1
        return self._content[wanted]


def compiling(blobs: Blobs, *, seeded: bool = True) -> Compiling:
    return Compiling(
        chain=chain(put=blobs.put, read=blobs.read),
        sources={MODULE: (source(), tree(SOURCE, blobs.put))},
        seeded=seeded,
        epoch=EPOCH,
    )


def seed_index(*numbers: int) -> bytes:
    """A seed's index of compilations whose actions and outputs are named by a number."""
    sizes = {n: len(content(n)).to_bytes(8, "big") for n in numbers}
    return b"SRCSEED1" + b"".join(bytes([n]) * 64 + sizes[n] for n in sorted(sizes))


def content(number: int) -> bytes:
    """What such a compilation gives."""
    return b"output %d" % number


def output(number: int) -> str:
    """Where such an output lies beside the index."""
    name = (bytes([number]) * 32).hex()
    return f"{name[:2]}/{name[2:]}"


def recorded(*numbers: int) -> dict[str, bytes]:
    """What a step leaves that compiled those."""
    outputs = {f"out/{output(n)}": content(n) for n in numbers}
    return {"out/index": seed_index(*numbers), **outputs}


def compiling_results(blobs: Blobs, architecture: str) -> dict[str, Result]:
    """What the steps of an architecture give beside those of the chain."""
    listed = blobs.put("".join(map(json.dumps, LISTING)).encode())
    programs = {f"out/{name}": name.encode() for name in device.PROGRAMS}
    found = {
        f"programs/{architecture}": result(tree(programs, blobs.put)),
        handles.listing(MODULE, architecture): result(Tree(), listed),
        handles.seed(MODULE, architecture): result(tree(recorded(1, 2), blobs.put)),
    }
    for number in range(BATCHES):
        # Batches record some of the same packages again.
        batch = tree(recorded(2, 3 + number), blobs.put)
        found[handles.batch(MODULE, architecture, number)] = result(batch)
    return found


def made_by(step: Step, results: Results) -> Action:
    """The action of a step that has something to do, as it is run."""
    action = step.make(results)
    assert isinstance(action, Action)
    return action.under(step.conditions).placed()

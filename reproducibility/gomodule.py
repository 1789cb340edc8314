"""Computes the `h1:` hash of a Go module from any files that claim to be it.

The definition is Hash1 of golang.org/x/mod/sumdb/dirhash: base64 of the SHA-256 of one line a file,
`<SHA-256 of the content in hexadecimal>  <path in the module zip>`, sorted by path. The published
toolchain is such a module, so a toolchain that was built here can be held against the public log
without the published one being at hand. Pure.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from reproducibility import digest as digests
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from reproducibility.manifest import Entry, Tree

TOOLCHAIN = "golang.org/toolchain"


def h1(hashes: Mapping[str, str]) -> str:
    """The hash of a module from its files' hashes.

    `hashes`: path in the zip (`module@version/...`) to SHA-256 in 64 hexadecimal digits.

    Raises:
        InputError: a path holds a line break, which the format cannot express.
    """
    lines = []
    for path in sorted(hashes, key=str.encode):
        if "\n" in path:
            raise InputError("a file name in a Go module holds a line break", subject=repr(path))
        lines.append(f"{hashes[path]}  {path}\n")
    total = digests.sha256_of_bytes("".join(lines).encode())
    return "h1:" + base64.b64encode(bytes.fromhex(total.hex)).decode()


def h1_of_tree(
    tree: Tree,
    sha256_of: Callable[[Entry], str],
    *,
    prefix: str,
    rename: Callable[[str], str] = lambda path: path,
) -> str:
    """The hash of a module from a tree.

    `sha256_of`: gives 64 hexadecimal digits for an entry's bytes. `prefix`: `module@version`.
    `rename`: the path in the module of a path in the tree, such as `published_name`.

    Raises:
        InputError: a path holds a line break.
    """
    return h1({f"{prefix}/{rename(entry.path)}": sha256_of(entry) for entry in tree.files()})


def toolchain_version(go: str, architecture: str) -> str:
    """The version of the published toolchain's module: `v0.0.1-go1.27.3.linux-amd64`.

    `go`: `1.27.3`. Source: cmd/go/internal/gover and go.dev/doc/toolchain#select.
    """
    return f"v0.0.1-go{go}.linux-{architecture}"


def published_name(path: str) -> str:
    """A toolchain file's path in the published module, which may hold no other `go.mod`.

    Every `go.mod` is published as `_go.mod` (golang/build, cmd/gorelease and internal/relui).
    """
    return _with_last(path, "go.mod", "_go.mod")


def installed_name(path: str) -> str:
    """A toolchain file's path in GOROOT: the inverse of `published_name`."""
    return _with_last(path, "_go.mod", "go.mod")


def _with_last(path: str, old: str, new: str) -> str:
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}{new}" if name == old else path

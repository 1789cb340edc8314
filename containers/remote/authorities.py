"""Whom this machine believes when a farm says who it is (TLS), where the farm's file names nobody.

gRPC would take a list of its own, of the day when it was made: an authority that was installed here
would not be believed, and one that was removed still would. So the machine's list is read, where
OpenSSL or a distribution has it; the variables that OpenSSL knows come in its place.
"""

from __future__ import annotations

import os
import re
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from cryptography import x509

from reproducibility import regular
from reproducibility.errors import InfrastructureError, InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

# Bytes that certificates may have, all together: those of distributions have 220 KB.
LARGEST = 4 << 20
# Where distributions have them all in one file, as in Go's crypto/x509/root_linux.go.
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
# What OpenSSL looks for in a folder: hash of the name, and a number (openssl-rehash(1)).
_HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]+")


def machine() -> bytes:
    """Certificates in PEM form, one or more.

    Raises:
        InputError: what a variable names cannot be read, or holds no certificates.
        InfrastructureError: the machine has none, or they cannot be read.
    """
    paths = ssl.get_default_verify_paths()
    names = paths.openssl_cafile_env, paths.openssl_capath_env
    file, folders = (os.environ.get(name, "") for name in names)
    if file or folders:
        said = zip(names, (file, folders), strict=True)
        return _named(file, folders, ", ".join(f"{name}={value}" for name, value in said if value))
    known: list[Path] = []
    try:
        known += [path for path in map(Path, (paths.openssl_cafile, *_BUNDLES)) if path.exists()]
        return _certificates(known[:1] or _hashed([Path(paths.openssl_capath)]))
    except (OSError, ValueError) as error:
        raise InfrastructureError(
            f"this machine's list of whom it believes cannot be read: {_words(error)}",
            subject=str(known[0] if known else _BUNDLES[0]),
            remedy="name who signed the farm's certificate (`authority` of `[tls]` in its file), "
            "or install the package ca-certificates",
        ) from error


def _named(file: str, folders: str, subject: str) -> bytes:
    """What variables name: nobody else is believed then."""
    places = [Path(file)] if file else []
    try:
        return _certificates(
            places + _hashed(Path(folder) for folder in folders.split(os.pathsep) if folder)
        )
    except (OSError, ValueError) as error:
        raise InputError(
            f"no certificates can be read where the environment says: {_words(error)}",
            subject=subject,
            remedy="set it to where they are, or name who signed the farm's certificate "
            "(`authority` of `[tls]` in its file)",
        ) from error


def _hashed(folders: Iterable[Path]) -> list[Path]:
    """The files that OpenSSL would find in folders; those that are not there hold none."""
    return [
        path
        for folder in folders
        if folder.is_dir()
        for path in sorted(folder.iterdir())
        if _HASHED.fullmatch(path.name)
    ]


def _certificates(places: Iterable[Path]) -> bytes:
    """What lies in files.

    Raises:
        OSError: one cannot be read.
        ValueError: that is no certificates. gRPC would take those before the first that is none.
    """
    found, left = [], LARGEST
    for path in places:
        found.append(regular.read(path, limit=left))
        left -= len(found[-1])
    if not found:
        raise ValueError("there is none")
    data = b"\n".join(found)
    try:
        x509.load_pem_x509_certificates(data)
    except ValueError as error:
        raise ValueError("it holds what is no certificate in PEM form, or nothing") from error
    return data


def _words(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else "") or str(error)

"""Arguments and options of `orchestrate key`, `sign`, `export` and `schema`, for typer."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.options import OUT, Json, Quiet, Verbose, place
from orchestrator.cli.passphrase import PassphraseFile
from orchestrator.cli.session import Call, Manner

NEW_EXAMPLES = (
    ("A key with a passphrase that is asked for", "orchestrate key new ~/sourcery.key"),
)
SIGN_EXAMPLES = (
    ("Sign the evidence in out/", "orchestrate sign out ~/sourcery.key"),
    (
        "In a script",
        "orchestrate sign out ci.key --passphrase-file passphrase",
    ),
)
EXPORT_EXAMPLES = (
    ("For a registry, with the attestations", "orchestrate export --oci layout"),
    ("The bill of materials in CycloneDX", "orchestrate export --cyclonedx sbom.cdx.json"),
)
SCHEMA_EXAMPLES = (("Of result.json", "orchestrate schema result > result.schema.json"),)
_WHAT = "What is written"


class Document(StrEnum):
    """A document that has a schema."""

    RESULT = "result"
    AUDIT = "audit"
    LOCK = "lock"


_Out = Annotated[
    Path,
    typer.Option(
        "--out",
        parser=place("--out"),
        metavar="FOLDER",
        help="Output folder of the build.",
        rich_help_panel="Files and folders",
    ),
]


def new(
    *,
    path: Annotated[
        Path,
        typer.Argument(
            parser=place("PATH"),
            metavar="PATH",
            help="New file for the private key; the public key goes to PATH.pub.",
        ),
    ],
    passphrase_file: PassphraseFile = None,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> Call:
    """Make a new key (Ed25519) to sign evidence with.

    The private key is a PEM file that its owner alone can read. A passphrase comes from
    --passphrase-file, from $SOURCERY_PASSPHRASE, or is asked for on a terminal; without one, the
    file is all that it takes to sign. Give others PATH.pub.
    """
    from orchestrator.cli.views import evidence as view

    manner = Manner(json, verbose, quiet)
    return Call(lambda session: view.new_key(path, passphrase_file, session), manner)


def sign(
    *,
    out: Annotated[
        Path,
        typer.Argument(parser=place("OUT"), metavar="OUT", help="Output folder of a build."),
    ],
    key: Annotated[
        Path,
        typer.Argument(
            parser=place("KEY"), metavar="KEY", help="Private key of `orchestrate key new`."
        ),
    ],
    passphrase_file: PassphraseFile = None,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> Call:
    """Sign every statement of a finished build, beside the signatures that are there.

    Each file that a statement is about is hashed first, and each statement is written anew from
    them; one that comes out otherwise is an error, and nothing is signed. To sign twice with one
    key changes nothing.
    """
    from orchestrator.cli.views import evidence as view

    manner = Manner(json, verbose, quiet)
    return Call(lambda session: view.sign(out, key, passphrase_file, session), manner)


def export(
    *,
    oci: Annotated[
        Path | None,
        typer.Option(
            "--oci",
            parser=place("--oci"),
            metavar="FOLDER",
            help="New folder for an OCI image layout: the image, and its attestations as artifacts "
            "that refer to it.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    cyclonedx: Annotated[
        Path | None,
        typer.Option(
            "--cyclonedx",
            parser=place("--cyclonedx"),
            metavar="FILE",
            help="The bill of materials in CycloneDX 1.6 (JSON).",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    out: _Out = OUT,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> Call:
    """Write a finished build in forms that other programs take."""
    from orchestrator.cli.views import evidence as view

    manner = Manner(json, verbose, quiet)
    return Call(lambda session: view.export(out, oci, cyclonedx, session), manner)


def schema(
    *,
    document: Annotated[
        Document,
        typer.Argument(metavar="|".join(Document), help="Of which document."),
    ] = Document.RESULT,
    json: Json = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> Call:
    """Print the JSON schema of a document that this program writes."""
    from orchestrator.cli.views import evidence as view

    manner = Manner(json, verbose, quiet)
    return Call(lambda session: view.schema(document.value, session), manner)

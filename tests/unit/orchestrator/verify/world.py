"""A small finished folder, written by the product's own writers, that a test can write anew.

The image and the archive are whole, though the programs on it are a few bytes each. So the public
log can have no record of its toolchain; it has one of its source, which is that of the default
lock.
"""

from __future__ import annotations

import copy
import json
import shutil
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from orchestrator import device
from orchestrator.artifacts import fingerprint, model, names, sums
from orchestrator.artifacts.recipe import Recipe, identity, laid_out
from orchestrator.audit import model as audits
from orchestrator.evidence import dsse, junit, sbom, statements
from orchestrator.evidence.contents import Component, File
from orchestrator.evidence.subject import FileDigests, Subject
from orchestrator.golang import environment
from orchestrator.image.cpio import writer as cpio
from orchestrator.image.fat import writer as fat
from orchestrator.lock import file as locks
from orchestrator.lock.model import Absent
from orchestrator.report import folder as pages
from orchestrator.spec import model as specs
from reproducibility import canonical, digest
from reproducibility.manifest import Tree, file
from tests import results
from tests.conftest import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.evidence.keys import Private

MODULE = "github.com/u-root/u-root"
FINISHED = 1_800_000_000
SPEC = """\
[image]
epoch = 2026-01-01T00:00:00Z
architectures = ["amd64"]
free_space = 0

[go]
version = "1.27.3"
bootstrap = "1.26.6"

[[source]]
module = "github.com/u-root/u-root"
version = "v0.16.0"
commands = ["cmds/*/*"]
replace = ["golang.org/x/sys@v0.41.0"]
"""
ENFORCED = {"limits": {"memory_bytes": 5}, "enforcement": []}
SAME = "same"


def contents(architecture: str = "amd64") -> dict[str, bytes]:
    """What is on the image, by path."""
    lock = published()
    own = f"linux_{architecture}"
    programs = {
        f"{own}/bin/{name}": f"program {name}".encode()
        for name in (*device.PREBUILT, *lock.toolchain.bin)
    }
    programs |= {
        f"go/pkg/tool/{own}/{name}": f"tool {name}".encode() for name in lock.toolchain.tool
    }
    return {
        "go/VERSION": b"go1.27.3\n",
        "go/go.mod": b"module std\n",
        "go/src/fmt/print.go": b"package fmt\n",
        f"src/{MODULE}/go.mod": b"module github.com/u-root/u-root\n",
        f"src/{MODULE}/cmds/core/ls/ls.go": b"package main\n",
        f"src/{MODULE}/vendor/modules.txt": b"# none\n",
        f"{own}/bin/ls": device.stub(architecture, f"src/{MODULE}/cmds/core/ls"),
        f"{own}/environment": environment.device_file(architecture),
        f"{own}/seed/index": b"seed",
        **programs,
    }


def programs() -> set[str]:
    """Paths of the programs on the image, which are no stubs."""
    return {path for path in contents() if _is_program(path) and not path.endswith("/ls")}


def _is_program(path: str) -> bool:
    return "/bin/" in path or "/tool/" in path


@cache
def published() -> locks.Lock:
    return locks.load(ROOT / "sourcery.lock")


def tree_of(content: dict[str, bytes]) -> Tree:
    return Tree(
        file(path, digest.of_bytes(data), len(data), executable=_is_program(path))
        for path, data in content.items()
    )


def lock_of(tree: Tree) -> locks.Lock:
    """The default lock, cut to what the small spec wants, with other trees of Go and the source."""
    whole = published()
    vendored = tree.under(f"src/{MODULE}")
    release = [*tree.under("go")]
    release += [
        entry.moved(f"bin/{name}")
        for name in whole.toolchain.bin
        for entry in [tree.get(f"linux_amd64/bin/{name}")]
        if entry is not None
    ]
    inputs = []
    for found in whole.inputs:
        if found.name == "u-root":
            changes = {"vendored": vendored.digest, "replace": ("golang.org/x/sys@v0.41.0",)}
            inputs.append(found.model_copy(update=changes))
        elif found.name in {"bootstrap", "uname"} and found.host == "amd64":
            inputs.append(found)
        elif (found.name, found.host) == ("go", "amd64"):
            inputs.append(found.model_copy(update={"tree": Tree(release).digest}))
    absent = Absent(reason="these programs are no published ones")
    toolchain = whole.toolchain.model_copy(update={"log": {"amd64": absent}})
    return locks.make(locks.wanted(specs.parse(SPEC)), toolchain, inputs)


@dataclass
class Build:
    """A finished build in parts, each of which a test may change before it is written."""

    spec: bytes
    lock: locks.Lock
    result: dict[str, Any]
    actions: dict[str, Any]
    image: Path
    archive: Path
    audit: dict[str, Any] | None = None
    audits: int = 0
    finished: int = FINISHED
    logs: dict[str, bytes] = field(default_factory=dict)
    listed: tuple[File, ...] = ()

    def copy(self) -> Build:
        """Another one that can be changed."""
        own = {name: copy.deepcopy(getattr(self, name)) for name in ("result", "actions", "audit")}
        return replace(self, **own, logs=dict(self.logs))

    def step(self, name: str) -> dict[str, Any]:
        """A step of the result."""
        found: dict[str, Any] = next(s for s in self.result["steps"] if s["name"] == name)
        return found

    def check(self, code: str) -> dict[str, Any]:
        """A check of the result, by its kind."""
        found: dict[str, Any] = next(
            c for c in self.result["checks"] if c["code"].startswith(f"{code}.")
        )
        return found

    def write(self, folder: Path, *keys: Private) -> Path:
        """Write all of it as the product does: result, logs, statements, signatures, sums."""
        (folder / names.LOGS).mkdir(parents=True)
        for path in (self.image, self.archive):
            shutil.copy(path, folder / path.name)
        for name, data in self.logs.items():
            (folder / names.LOGS / name).write_bytes(data)
        result = model.BuildResult.model_validate(self.result)
        (folder / names.RESULT).write_bytes(model.dumps(result))
        (folder / names.SPEC).write_bytes(self.spec)
        (folder / names.LOCK).write_bytes(locks.dump(self.lock))
        (folder / names.ACTIONS).write_bytes(canonical.dumps(self.actions) + b"\n")
        self.state(folder, result, *keys)
        return folder

    def state(self, folder: Path, result: model.BuildResult, *keys: Private) -> None:
        """Write what states the rest: statements, JUnit, the audit, both lists of sums."""
        subject = Subject(
            result=result,
            spec=self.spec,
            lock_file=locks.dump(self.lock),
            lock=self.lock,
            epoch=specs.parse(self.spec.decode()).image.epoch,
            finished=self.finished,
            actions=self.actions,
            files={},
            contents=(Component("all", "files", "everything", "", files=self.listed),),
        )
        files = sbom.files(subject)
        (folder / names.SBOM_FILES).write_bytes(files)
        (folder / names.SBOM).write_bytes(sbom.document(subject, files))
        subject = replace(subject, files=measured(folder, self.known))
        (folder / names.JUNIT).write_bytes(junit.document(subject))
        subject = replace(subject, files=measured(folder, self.known))
        envelopes = list(statements.of_build(subject))
        if self.audit is not None:
            own = digest.of_file(folder / names.RESULT)
            if self.audit["audited"]["result"] == results.NOTHING:
                self.audit["audited"]["result"] = str(own)
            audit = audits.AuditResult.model_validate(self.audit)
            (folder / names.AUDIT).write_bytes(audits.dumps(audit))
            told = measured(folder, self.known)[names.AUDIT]
            envelopes.append(statements.audit(result, audit, told, self.finished))
        for key in keys:
            envelopes = [key.sign(one) for one in envelopes]
        (folder / names.PROVENANCE).write_bytes(dsse.dumps(envelopes))
        (folder / names.REPORT).write_bytes(pages.made(folder).data)
        seal(folder, self.known)

    @property
    def known(self) -> dict[str, FileDigests]:
        """Digests of the two large files, which are measured once."""
        return {path.name: _measured_once(path) for path in (self.image, self.archive)}


@cache
def _measured_once(path: Path) -> FileDigests:
    one = fingerprint.of_file(path)
    return FileDigests(one.size, one.blake3.hex, one.sha256.hex)


def write_statements(folder: Path, envelopes: list[dsse.Envelope]) -> None:
    """Write statements, and both lists of sums anew."""
    (folder / names.PROVENANCE).write_bytes(dsse.dumps(envelopes))
    seal(folder)


def seal(folder: Path, known: dict[str, FileDigests] | None = None) -> None:
    """Write both lists of sums anew, as whoever changed a file would."""
    for name in names.SUMS:
        (folder / name).unlink(missing_ok=True)
    found = measured(folder, known)
    lists = {
        names.SHA256SUMS: {path: one.sha256 for path, one in found.items()},
        names.B3SUMS: {path: one.blake3 for path, one in found.items()},
    }
    for name, those in lists.items():
        (folder / name).write_bytes(sums.dumps(those))


def measured(folder: Path, known: dict[str, FileDigests] | None = None) -> dict[str, FileDigests]:
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if known and name in known:
            found[name] = known[name]
        elif path.is_file():
            one = fingerprint.of_file(path)
            found[name] = FileDigests(one.size, one.blake3.hex, one.sha256.hex)
    return found


def made(
    scratch: Path,
    change: dict[str, bytes] | None = None,
    relock: Callable[[locks.Lock], locks.Lock] = lambda lock: lock,
    *,
    pinned: bool = False,
) -> Build:
    """A build whose image is made in a folder.

    `change`: other content on the image, by path. `relock`: what becomes of its lock. `pinned`:
    the lock stays that of the unchanged content.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    content = {**contents(), **(change or {})}
    tree = tree_of(content)
    spec, lock = specs.parse(SPEC), relock(lock_of(tree_of(contents()) if pinned else tree))
    blobs = {}
    for path, data in content.items():
        place = scratch / digest.of_bytes(data).hex
        place.write_bytes(data)
        blobs[path] = place
    whole = Recipe(
        tree,
        spec.image.label,
        identity(spec.digest, lock.digest),
        spec.image.epoch,
        spec.image.free_space,
    )
    _, disk = laid_out(whole, digest.of_bytes)
    image, archive = scratch / "sourcery.img", scratch / "sourcery.cpio.zst"
    fat.write(disk, lambda entry: scratch / entry.digest, image)
    cpio.write(tree, lambda entry: scratch / entry.digest, archive, epoch=spec.image.epoch)
    built = _put_together(spec, lock, tree, whole, image, archive)
    built.listed = tuple(
        File(path, digest.of_bytes(data).hex, digest.sha1_of_bytes(data))
        for path, data in content.items()
    )
    return built


def _put_together(  # noqa: PLR0913 - the parts of a build
    spec: specs.Spec, lock: locks.Lock, tree: Tree, whole: Recipe, image: Path, archive: Path
) -> Build:
    enforced: dict[str, Any] = {**ENFORCED, "id": str(digest.of_bytes(canonical.dumps(ENFORCED)))}
    artifacts: dict[str, Any] = {}
    for name, path in (("image", image), ("cpio", archive)):
        one = fingerprint.of_file(path)
        artifacts[name] = {
            "path": path.name, "size": one.size, "blake3": one.blake3.hex,
            "sha256": one.sha256.hex,
        }  # fmt: skip
    outputs = Tree(
        file(one["path"], digest.Digest("blake3", one["blake3"]), one["size"])
        for one in artifacts.values()
    )
    actions: dict[str, Any] = {}
    steps = [_step(name, tree, lock, actions, enforced["id"]) for name in STEPS]
    document = json.loads(whole.document)
    actions[str(whole.key)] = document
    steps.append(
        results.step(
            "image",
            stage="image",
            kind="computation",
            key=str(whole.key),
            action=str(whole.key),
            outputs=str(outputs.digest),
            provenance={**results.PROVENANCE, "isolation": None},
        )
    )
    seeds = [entry for entry in tree.files() if "/seed/" in entry.path]
    prebuilt = sorted(programs())
    result = results.document(
        spec=str(spec.digest),
        lock=str(lock.digest),
        inputs=[found.model_dump(mode="json") for found in lock.inputs],
        steps=steps,
        checks=_checks(lock),
        verdict="SKIP",
        isolation={"rules": {}, "enforced": [enforced]},
        root={
            "tree": str(tree.digest), "files": len(tree), "bytes": tree.size,
            "seed_files": len(seeds), "seed_bytes": sum(entry.size for entry in seeds),
            "prebuilt": {"amd64": len(prebuilt)}, "prebuilt_programs": {"amd64": prebuilt},
            "commands": {"amd64": 1}, "left_out_by_build_constraints": {"amd64": []},
        },
        compression={"archive": cpio.COMPRESSION, "initramfs": cpio.COMPRESSION},
        **artifacts,
    )  # fmt: skip
    logs = {f"{name.replace('/', '-')}.log": f"the log of {name}\n".encode() for name in STEPS}
    built = Build(SPEC.encode(), lock, result, actions, image, archive, logs=logs)
    built.audit = audit(built)
    return built


STEPS = (
    "T1/dist", "T1/toolchain", "T1/helpers", "F1", "std/amd64", "F2", "programs/amd64", "F1/helpers"
)  # fmt: skip
_VARIED = {"host": "another-host-name", "order_seed": 1}
_SEEN = ("directory", "group", "host", "order", "parallelism", "user")


def _step(
    name: str, tree: Tree, lock: locks.Lock, actions: dict[str, Any], isolation: str
) -> dict[str, Any]:
    action = {
        "command": [f"/{name}", "build"],
        "mounts": [{"at": "/in", "tree": str(lock.inputs[0].tree), "placement": "read-only"}],
        "outputs": ["out"],
    }
    own = str(digest.of_bytes(canonical.dumps(action)))
    actions[own] = action
    conditions = _VARIED if name == "F2" else {}
    observed = ""
    if name in {"F1", "F2"}:
        observed = canonical.dumps({field: f"{field} of {name}" for field in _SEEN}).decode()
    made = Tree([file("out/thing", digest.of_bytes(name.encode()), 1)])
    if name in {"F1", "F2"}:
        places = [f"linux_amd64/bin/{program}" for program in lock.toolchain.bin]
        places += [f"go/pkg/tool/linux_amd64/{program}" for program in lock.toolchain.tool]
        entries = [entry for entry in tree.files() if entry.path in places]
        made = Tree(entry.moved(f"out/{entry.path.rpartition('/')[2]}") for entry in entries)
    elif name.endswith("helpers"):
        made = Tree([file("out/recorder", digest.of_bytes(b"recorder"), 8)])
    return results.step(
        name,
        key=key_of(own, conditions),
        action=own,
        conditions=conditions,
        outputs=str(made.digest),
        provenance={**results.PROVENANCE, "isolation": isolation, "observed": observed},
    )


def key_of(action: str, conditions: dict[str, Any]) -> str:
    own = str(digest.of_bytes(canonical.dumps(conditions)))
    return str(digest.of_bytes(canonical.dumps({"action": action, "conditions": own})))


def check(code: str, subject: str) -> dict[str, Any]:
    from reproducibility import codes

    found = codes.find(code)
    return results.check(found.kind.name, subject, found.verdict.name, found.meaning, code)


def _checks(lock: locks.Lock) -> list[dict[str, Any]]:
    source = next(found for found in lock.inputs if found.name == "u-root")
    module = f"{MODULE}@{source.version}"
    return [
        check("fixed-point.same", "amd64"),
        check("generated-source.same", "amd64"),
        check("recorder.same", "amd64"),
        *(check("variation.varied", name) for name in _SEEN),
        check("release.absent-record", "amd64"),
        check("transparency-log.proved", module),
        check("source.same", module),
        check("image-again.same", "sourcery.img"),
        check("image-read-back.same", "sourcery.img"),
        check("image-bytes.same", "sourcery.img"),
        check("archive-read-back.same", "sourcery.cpio.zst"),
    ]


def audit(built: Build) -> dict[str, Any]:
    """An audit of every action, and of the image."""
    result = built.result
    steps = []
    for one in result["steps"]:
        if one["kind"] != "action":
            continue
        same = check("conditions.same", one["name"])
        a_round = {
            "conditions": {"host": "audited"}, "outputs": one["outputs"], "seconds": 1.0,
            "check": same, "explanation": None,
        }  # fmt: skip
        steps.append(
            {
                "name": one["name"],
                "stage": one["stage"],
                "key": one["key"],
                "outputs": one["outputs"],
                "built_under": one["conditions"],
                "verdict": "PASS",
                "rounds": [a_round],
                "bisected": None,
                "when": "2026-01-01T00:00:00Z",
                "went_on": False,
            }
        )
    image = f"blake3:{result['image']['blake3']}"
    computed = {
        "name": "sourcery.img", "expected": image, "found": image,
        "check": check("computed-again.same", "sourcery.img"), "explanation": None,
    }  # fmt: skip
    checks = [
        check("audit-variation.seen", "host"),
        *(check("conditions.same", one["name"]) for one in steps),
        computed["check"],
        check("output-file.same", "sourcery.img"),
        check("audit-coverage.whole", "build"),
    ]
    return {
        "schema": 1, "verdict": "PASS", "tool": "0.1.0", "host": result["host"],
        "engine": result["engine"],
        "audited": {
            "result": results.NOTHING, "spec": result["spec"], "lock": result["lock"],
            "image": result["image"]["blake3"], "archive": result["cpio"]["blake3"],
            "tool": result["tool"], "engine": result["engine"],
        },
        "asked": {
            "vary": ["host"], "rounds": 1, "only": [], "budget": None, "whole": False,
            "bisect": False,
        },
        "coverage": {
            "actions": len(steps), "audited": len(steps), "went_on": 0, "computations": 1,
            "computed": 1, "nothing_to_do": 0, "left_out": [],
        },
        "variations": [
            {"name": "host", "meaning": "host name", "state": "seen", "reason": "seen",
             "actions": len(steps), "guilty": []}
        ],
        "steps": steps, "computations": [computed], "surroundings": [], "missing": [],
        "checks": checks, "seconds": 1.0,
    }  # fmt: skip

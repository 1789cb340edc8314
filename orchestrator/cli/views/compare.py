"""Carries out `orchestrate compare`: whether, where and why two things differ."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.cli.options import store_folder
from orchestrator.cli.views import sides
from orchestrator.cli.views.compared import Answer, told
from reproducibility import manifest, regular
from reproducibility.codes import CONTENT
from reproducibility.compare import Check, Verdict, differences, in_words, trees
from reproducibility.digest import Digest
from reproducibility.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.artifacts.model import BuildResult
    from orchestrator.cli.session import Session
    from orchestrator.diagnosis.builds import Comparison
    from orchestrator.diagnosis.model import Collector, Diagnosis
    from orchestrator.diagnosis.source import Pair, Source
    from orchestrator.diagnosis.tolerance import Tolerance
    from orchestrator.store import Store
    from reproducibility.manifest import Entry, Tree

    Place = Callable[[Entry], Path]

_STEPS = 4
_OTHER = "other inputs"


@dataclass(frozen=True)
class Options:
    """Options of the command line. A side is a path, or the digest of a tree in the store.

    `store`: where it was named; then steps' outputs are looked up in it, too.
    """

    first: Path | Digest
    second: Path | Digest
    tolerate: tuple[str, ...]
    deep: bool
    store: Path | None


def tree(name: str) -> Digest:
    """The digest of a tree, from the form `blake3:<hex>`.

    Raises:
        InputError: another form.
    """
    return Digest.parse(name)


def compare(options: Options, session: Session) -> int:
    """Compare; exit status 1 where they differ.

    Raises:
        InputError: one is not there, they are not of one kind, or diffoscope is missing.
        InfrastructureError: a tree is not whole in the store, or diffoscope failed.
        OSError: something cannot be read.
    """
    from orchestrator.diagnosis import deep, tolerance

    if options.deep:
        deep.program()
    chosen = tolerance.chosen(options.tolerate)
    with ExitStack() as stack:
        comparing = _Comparing(options, session, chosen, stack)
        try:
            answer = comparing.answer()
        except (regular.IrregularFileError, regular.ChangedFileError) as error:
            remedy = "name regular files or folders; copy into a file what is to be compared"
            if isinstance(error, regular.ChangedFileError):
                remedy = "compare again when nobody writes to it any more"
            raise InputError(
                f"cannot compare this: {error.strerror}",
                subject=str(error.filename),
                remedy=remedy,
            ) from error
    lines = told(answer, everything=session.manner.verbose)
    session.result(answer.document(), lines)
    return 0 if answer.check.verdict is Verdict.PASS else 1


class _Comparing:
    def __init__(
        self, options: Options, session: Session, chosen: dict[str, Tolerance], stack: ExitStack
    ) -> None:
        self._options = options
        self._session = session
        self._chosen = chosen
        self._stack = stack
        self._opened: Store | None = None
        # Whether a build's file is another one than its result names.
        self._changed = False

    def answer(self) -> Answer:
        first, second = self._options.first, self._options.second
        of_trees = sides.of_one_kind(first, second)
        if isinstance(first, Path) and isinstance(second, Path):
            if not of_trees:
                return self._files(first, second, str(first))
            results = self._result(first), self._result(second)
            if results[0] and results[1]:
                return self._builds(first, second, results[0], results[1])
            if any(results):
                self._session.note("only one of them is the output of a build; compared as folders")
        return self._trees(first, second)

    @staticmethod
    def _result(folder: Path) -> BuildResult | None:
        """The result of the build whose output folder it is; None for another folder.

        Raises:
            InputError: it is one of another version, or damaged.
        """
        from orchestrator.artifacts import model, output_directory
        from orchestrator.artifacts.finished import Finished

        place = folder / output_directory.RESULT
        try:
            with sides.named(folder):
                if not place.is_file() or not model.is_result(regular.read(place)):
                    return None
        except regular.LargeFileError:
            # No result of a build is as large: somebody else's file of that name.
            return None
        return Finished.load(folder).result

    # -- files -------------------------------------------------------------------------------------

    def _files(self, first: Path, second: Path, subject: str) -> Answer:
        from orchestrator.diagnosis import equal

        digests = equal.digests(first, second)
        one, other = (
            {"path": str(path), "size": path.stat().st_size, "blake3": digest.hex}
            for path, digest in zip((first, second), digests, strict=True)
        )
        if digests[0] == digests[1]:
            check = Check(CONTENT["same"], subject, "the files are the same")
            return Answer(check, one, other, "files")
        found = list(sides.where(first, second))
        check = Check(
            CONTENT["differs"], subject, sides.cut_short(first, second, found) or "the files differ"
        )
        answer = Answer(check, one, other, "files", found)
        self._tolerate(answer, {first.name: (first, second)})
        if answer.tolerated:
            answer.check = _but_for(answer)
        if answer.check.verdict is not Verdict.PASS:
            self._explain(answer, {first.name: (first, second)})
        return answer

    # -- folders and trees -------------------------------------------------------------------------

    def _trees(self, first: Path | Digest, second: Path | Digest) -> Answer:
        one, place = self._tree(first)
        other, other_place = self._tree(second)
        found = in_words(differences(one, other))
        check = trees(CONTENT, str(first), one, other)
        if one == other and len(one) and not any(one.files()):
            # Their names were compared. A check of a build or an audit must have files; and where
            # there is not even a folder, nothing was compared here either.
            words = "both hold no files, and the same empty folders"
            check = Check(CONTENT["same"], str(first), words)
        if found:
            # The differences are said one by one: the check's own words would repeat the first few.
            paths = "1 path differs" if len(found) == 1 else f"{len(found)} paths differ"
            check = replace(check, reason=paths)
        of_store = any(isinstance(side, Digest) for side in (first, second))
        answer = Answer(
            check,
            {"path": str(first), "size": one.size, "blake3": one.digest.hex},
            {"path": str(second), "size": other.size, "blake3": other.digest.hex},
            "trees" if of_store else "folders",
            found,
        )
        if found:
            self._tolerate(answer, _both(one, other, place, other_place))
            kept = answer.tolerated
            if kept and not differences(_without(one, kept), _without(other, kept)):
                answer.check = _but_for(answer)
        if found and answer.check.verdict is not Verdict.PASS:
            kept = answer.tolerated
            answer.diagnosis = self._explained(
                answer,
                lambda to: collect(
                    _without(one, kept), _without(other, kept), place, other_place, to
                ),
            )
        return answer

    def _tree(self, side: Path | Digest) -> tuple[Tree, Place]:
        if isinstance(side, Path):
            with sides.named(side):
                return manifest.scan(side), lambda entry: side / entry.path
        store = self._store(side)
        if not store.has(side):
            raise InputError(
                "the store holds no such tree",
                subject=str(side),
                remedy="name the store that has it with --store; the digests of steps' outputs "
                "are in result.json",
                missing=True,
            )
        try:
            return store.load_tree(side), store.path
        except InputError as error:
            raise InputError(
                error.summary,
                subject=str(side),
                remedy="name the digest of a tree: those of steps' outputs are in result.json",
            ) from error

    def _store(self, subject: Digest | None = None) -> Store:
        from orchestrator.store import Store
        from orchestrator.store.store import is_store

        if self._opened is None:
            place = store_folder(self._options.store)
            if not is_store(place):
                raise InputError(
                    "there is no store in this folder",
                    subject=f"{place}" + (f", for {subject}" if subject else ""),
                    remedy="name the folder with --store",
                )
            self._opened = self._stack.enter_context(closing(Store(place)))
        return self._opened

    # -- builds ------------------------------------------------------------------------------------

    def _builds(self, first: Path, second: Path, one: BuildResult, other: BuildResult) -> Answer:
        from orchestrator.diagnosis import builds

        compared = builds.compare(one, other)
        places = {
            "image": (first / one.image.path, second / other.image.path),
            "archive": (first / one.cpio.path, second / other.cpio.path),
        }
        answers = {what: self._made(what, *both) for what, both in places.items()}
        for what, named in (
            ("image", (one.image, other.image)),
            ("archive", (one.cpio, other.cpio)),
        ):
            for side, said in zip((answers[what].first, answers[what].second), named, strict=True):
                if side["blake3"] != said.blake3:
                    self._changed = True
                    self._session.note(f"{side['path']} is not the file that its result names")
        differing = {what for what in answers if answers[what].check.verdict is not Verdict.PASS}
        check = _of_builds(str(first), differing, compared, changed=self._changed)
        sides = [
            {"path": str(folder), "size": made["size"], "blake3": made["blake3"]}
            for folder, made in (
                (first, answers["image"].first), (second, answers["image"].second)
            )
        ]  # fmt: skip
        found = [f"{what}: {line}" for what, made in answers.items() for line in made.differences]
        answer = Answer(check, sides[0], sides[1], "builds", found, builds=compared)
        for made in answers.values():
            answer.tolerated.update(made.tolerated)
        if answer.tolerated and not differing:
            answer.check = _but_for(answer)
        if differing:
            what = "image" if "image" in differing else "archive"
            self._explain(answer, {what: places[what]})
        return answer

    def _made(self, what: str, first: Path, second: Path) -> Answer:
        for path in (first, second):
            if not path.exists():
                raise InputError(f"the {what} of this build is missing", subject=str(path))
        from orchestrator.diagnosis import equal

        digests = equal.digests(first, second)
        one, other = (
            {"path": str(path), "size": path.stat().st_size, "blake3": digest.hex}
            for path, digest in zip((first, second), digests, strict=True)
        )
        outcome = "same" if digests[0] == digests[1] else "differs"
        answer = Answer(Check(CONTENT[outcome], what, outcome), one, other, "files")
        if outcome == "differs":
            answer.differences = list(sides.where(first, second))
            self._tolerate(answer, {what: (first, second)})
            if answer.tolerated:
                answer.check = _but_for(answer)
        return answer

    # -- explaining --------------------------------------------------------------------------------

    def _tolerate(self, answer: Answer, files: dict[str, tuple[Path, Path]]) -> None:
        """Note the files whose difference is tolerated."""
        from orchestrator.diagnosis import tolerance
        from orchestrator.diagnosis.model import Limits

        if not self._chosen:
            return
        for path, both in files.items():
            with ExitStack() as stack:
                pair = sides.opened(stack, path, *both)
                name = tolerance.of(pair, self._chosen, Limits())
            if name:
                answer.tolerated[path] = name

    def _explain(self, answer: Answer, files: dict[str, tuple[Path, Path]]) -> None:
        from orchestrator.diagnosis.trees import collect_files

        def work(to: Collector) -> None:
            if answer.builds is not None and not self._changed:
                answer.builds.collect(to)
            for path, both in files.items():
                collect_files(path, *both, to)
            if answer.builds is not None and self._options.store is not None:
                self._steps(answer.builds, to)

        answer.diagnosis = self._explained(answer, work)

    def _steps(self, compared: Comparison, to: Collector) -> None:
        """The outputs of steps that are not deterministic, where the store has both."""
        store = self._store()
        for step in compared.varying[:_STEPS]:
            if not (store.has(step.first) and store.has(step.second)):
                to.note(f"the store does not hold both outputs of {step.name}")
                continue
            one, other = store.load_tree(step.first), store.load_tree(step.second)
            collect(one.at(step.name), other.at(step.name), store.path, store.path, to)

    def _explained(self, answer: Answer, work: Callable[[Collector], None]) -> Diagnosis:
        from orchestrator.diagnosis import deep
        from orchestrator.diagnosis.model import Collector, Limits

        known = answer.builds.known if answer.builds is not None else {}
        to = Collector(Limits(), known)
        if not self._options.deep:
            work(to)
            return to.diagnosis()
        with tempfile.TemporaryDirectory(prefix="sourcery-compare-") as folder:
            kept = _Kept(Path(folder))
            to.on_file = kept.keep
            work(to)
            if kept.path:
                answer.deep = deep.report(*kept.places)
            else:
                to.note("--deep: no file that differs is small enough for diffoscope")
        return to.diagnosis()


def _but_for(answer: Answer) -> Check:
    names = ", ".join(sorted(set(answer.tolerated.values())))
    words = f"the same but for what is tolerated: {names}"
    return Check(CONTENT["same"], answer.check.subject, words)


def collect(first: Tree, second: Tree, place: Place, other: Place, to: Collector) -> None:
    """Add why two trees differ; see `orchestrator.diagnosis.trees`."""
    from orchestrator.diagnosis.trees import collect as explain

    explain(first, second, place, other, to)


@dataclass
class _Kept:
    """The first pair of files that differ, copied. `path`: its name; empty where there is none."""

    folder: Path
    path: str = ""

    @property
    def places(self) -> tuple[Path, Path]:
        return self.folder / "first", self.folder / "second"

    def keep(self, pair: Pair) -> None:
        from orchestrator.diagnosis import deep

        if self.path or max(pair.first.size, pair.second.size) > deep.LARGEST:
            return
        self.path = pair.path or "the file"
        for place, side in zip(self.places, (pair.first, pair.second), strict=True):
            _copy(side, place)


def _copy(side: Source, place: Path) -> None:
    from orchestrator.diagnosis.source import PIECE

    with place.open("wb") as sink:
        for at in range(0, side.size, PIECE):
            sink.write(side.read(at, PIECE))


def _of_builds(subject: str, differing: set[str], compared: Comparison, *, changed: bool) -> Check:
    """The check of two builds. `changed`: a file is not what its build's result names."""
    count = len(compared.varying)
    varying = f"{count} steps are not deterministic" if count > 1 else "1 step is not deterministic"
    if not differing:
        though = f", though {varying}" if count else ""
        return Check(CONTENT["same"], subject, f"image and archive are the same{though}")
    words = " and ".join(what for what in ("image", "archive") if what in differing)
    verb = "differ" if len(differing) > 1 else "differs"
    why = "the same inputs: not deterministic"
    if compared.inputs:
        why = f"{_OTHER}, and {varying}" if count else _OTHER
    if changed:
        why = "changed since the build: not what its result names"
    return Check(CONTENT["differs"], subject, f"{words} {verb}; {why}")


def _both(one: Tree, other: Tree, place: Place, other_place: Place) -> dict[str, tuple[Path, Path]]:
    """The files of both trees of which the content differs, and nothing else."""
    found = {}
    for entry in one.files():
        match = other.get(entry.path)
        if match is None or match.kind != "file" or match.executable != entry.executable:
            continue
        if match.digest != entry.digest:
            found[entry.path] = place(entry), other_place(match)
    return found


def _without(tree: Tree, paths: dict[str, str]) -> Tree:
    return tree.where(lambda entry: entry.path not in paths)

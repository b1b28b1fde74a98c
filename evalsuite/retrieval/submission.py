"""Submissions of retriever authors: a bundle is begun, checked, scored, and read again. Sealing is in `seals`."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from evalsuite.errors import EvalsuiteError, InputError, UsageError
from evalsuite.retrieval.bundles import (
    LIVE,
    RUN,
    RUN_NAMES,
    SHEET,
    Finding,
    Sheet,
    find_run,
    of_error,
    problem,
    read_sheet,
    renamed,
    require_bundle,
    require_near,
    run_files,
    warning,
)
from evalsuite.retrieval.corpus import Corpus, Query
from evalsuite.retrieval.evaluate import DEPTH, Outcome, evaluate
from evalsuite.retrieval.formats import ViewError, load_corpus
from evalsuite.retrieval.honesty import MIN_JUDGED, rank_problems, same_as, warnings_of
from evalsuite.retrieval.measures import DEFAULT_MEASURES
from evalsuite.retrieval.retrievers.base import Track
from evalsuite.retrieval.retrievers.runfile import RunFile
from evalsuite.retrieval.runs import Run, entries, in_order, read_run
from evalsuite.retrieval.submissionkeys import COLLECTION, template
from evalsuite.storage import atomic_file, require_folder, sha256_file

VIEW = (*COLLECTION, "view")


@dataclass
class Submitted(RunFile):
    """The run of a bundle, scored under its tag and in the track that its author declares."""

    tag: str = field(default="", metadata={"command_line": False})
    declared: Track = field(default="none", metadata={"command_line": False})

    @property
    def name(self) -> str:
        return self.tag

    @property
    def track(self) -> Track:  # type: ignore[override]
        return self.declared


@dataclass
class Checked:
    """A bundle with everything that was found. `corpus` and `run` (in scoring order) are None where they cannot be read."""

    folder: Path
    sheet: Sheet
    findings: list[Finding]
    run_file: Path | None = None
    corpus: Corpus | None = None
    run: Run | None = None

    @property
    def problems(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity == "problem"]

    @property
    def warnings(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.severity == "warning"]


def new(folder: str | Path, corpus: str, *, run: str | Path | None = None, view: str | None = None) -> list[Path]:
    """Begin a bundle: a template that knows its corpus, and a copy of the run file. Returns what was written.

    Raises UsageError where there is a bundle already, or the run file has no form that we know.
    """
    place, loaded = require_folder(Path(folder), "bundle"), load_corpus(corpus, view)
    if (place / SHEET).exists() or (place.is_dir() and run_files(place)):
        raise UsageError(f"holds a submission already; choose another folder, or edit {SHEET}", where=str(place))
    written = [place / SHEET]
    if run is not None:
        source = Path(run)
        ending = ".".join(source.name.split(".")[-2 if source.suffix == ".gz" else -1 :])
        if not RUN.fullmatch(f"run.{ending}"):
            raise UsageError(f"the name must end as in {RUN_NAMES}", where=str(source))
        if not source.is_file():
            raise UsageError("no such run file", where=str(source))
        place.mkdir(parents=True, exist_ok=True)
        written.append(place / f"run.{ending}")
        shutil.copyfile(source, written[-1])
    known = {"name": loaded.name, "version": loaded.version, "sha256": loaded.sha256, "view": loaded.view}
    known["source"] = str(corpus)
    with atomic_file(place / SHEET) as stream:
        stream.write(template(str(place), {(*COLLECTION, key): value for key, value in known.items()}).encode())
    return written


def check(
    folder: str | Path,
    *,
    corpus: str | None = None,
    against: Sequence[str | Path] = (),
    min_judged: float = MIN_JUDGED,
    with_run: bool = True,
) -> Checked:
    """Everything that is wrong with a bundle, and everything odd about it. Raises UsageError where there is no folder.

    `corpus` is where to read the corpus from, by default the source that submission.yaml names. `against` are bundles
    that the run is compared with. Without `with_run` the bundle is one whose run is still to be made.
    """
    place = require_bundle(Path(folder))
    sheet = read_sheet(place)
    found = Checked(place, sheet, list(sheet.findings))
    if with_run:
        found.run_file, findings = find_run(place)
        found.findings += findings
    elif files := run_files(place):
        told = f"holds a run file already, {files[0].name}; a live system is scored into a bundle without one"
        found.findings.append(problem("run", place, told))
    known = _corpus(found, corpus)
    if found.run_file is not None:
        _check_run(found, found.run_file, known or _of_its_own(found.run_file), against, min_judged)
    return found


def require_sound(found: Checked) -> tuple[Path, Corpus]:
    """Run file and corpus of a bundle. Raises InputError with the first of its problems and their number."""
    if found.problems:
        first, more = found.problems[0], len(found.problems) - 1
        rest = f"; {more} more: evalsuite submit check {found.folder}" if more else ""
        raise InputError(f"{first.message}{rest}", where=first.where)
    if found.run_file is None or found.corpus is None:
        raise UsageError("holds no run to score", where=str(found.folder))
    return found.run_file, found.corpus


def submitted(found: Checked) -> Submitted:
    """The run of a sound bundle as a retriever."""
    run_file, _ = require_sound(found)
    track: Any = found.sheet.values["method", "track"]
    return Submitted(path=str(run_file), tag=found.sheet.tag, declared=track)


def score(
    folder: str | Path, *, corpus: str | None = None, out: str | Path = "reports", fresh: bool = False
) -> tuple[Outcome, Checked]:
    """Score the run of a bundle, uncut, by the measures that it reports. Raises InputError for a bundle with problems."""
    found = check(folder, corpus=corpus)
    _, loaded = require_sound(found)
    [outcome] = evaluate(loaded, submitted(found), depth=None, measures=found.sheet.measures, out=out, fresh=fresh)
    return outcome, found


def score_live(
    system: str,
    *,
    folder: str | Path | None = None,
    corpus: str | None = None,
    view: str | None = None,
    depth: int = DEPTH,
    measures: Sequence[str] = DEFAULT_MEASURES,
    out: str | Path | None = None,
    cache: str | Path | None = None,
    fresh: bool = False,
) -> Outcome:
    """Search with a live system, written as for `retrieval run`, and score it.

    With a bundle its run is kept there as run.trec.gz and, unless `out` says otherwise, the run folder with its latencies
    in live/; the corpus, view and measures are the bundle's. Raises InputError for a bundle with problems.
    """
    if folder is None:
        if corpus is None:
            raise UsageError("a live system needs a corpus: --corpus, or a bundle that names one")
        [outcome] = evaluate(
            corpus, system, view=view, depth=depth, measures=measures, out=out or "reports", cache=cache, fresh=fresh
        )
        return outcome
    found = check(folder, corpus=corpus, with_run=False)
    if found.problems or found.corpus is None:
        require_sound(found)
        raise UsageError("names no corpus that can be read", where=str(found.folder))
    if view is not None and view != found.corpus.view:
        raise UsageError(f"is for view {found.corpus.view!r}; found --view {view}", where=str(found.folder))
    place = found.folder / LIVE if out is None else Path(out)
    [outcome] = evaluate(
        found.corpus, system, depth=depth, measures=found.sheet.measures, out=place, cache=cache, fresh=fresh
    )
    if outcome.summary is not None:
        with atomic_file(found.folder / "run.trec.gz") as stream:
            stream.write((outcome.path / "artifacts" / "run.trec.gz").read_bytes())
    return outcome


# ---------------------------------------------------------------- the parts of a check


def _corpus(found: Checked, source: str | None) -> Corpus | None:
    """The corpus that knows the ids of a bundle, noted as its corpus if it has its view too.

    What cannot be read, or is another corpus than the bundle is for, is a problem.
    """
    sheet, view = found.sheet, found.sheet.of_corpus("view")
    wanted = source or sheet.of_corpus("source")
    where = sheet.where((*COLLECTION, "source"))
    if wanted is None:
        if sheet.values:
            told = "names no source of the corpus; fill in data / test collection / source, or give --corpus"
            found.findings.append(problem("corpus", where, told))
        return None
    try:
        if source is None:
            require_near(wanted)
        try:
            corpus = found.corpus = renamed(load_corpus(wanted, view), sheet.of_corpus("name"))
        except ViewError as error:
            if sheet.values:
                told = f"{' / '.join(VIEW)}: {f'found {view!r}; ' if view else ''}accepted is {', '.join(error.views)}"
                found.findings.append(problem("corpus", sheet.where(VIEW), told))
            return _of_any_view(load_corpus(wanted, error.views[0]))
    except UsageError as error:
        found.findings.append(problem("corpus", where, error.message))
        return None
    except EvalsuiteError as error:
        told = f"the corpus {wanted!r} cannot be read ({error}); --corpus names another place"
        found.findings.append(problem("corpus", where, told))
        return None
    for key in ("name", "version", "sha256"):
        stated, real = sheet.of_corpus(key), getattr(corpus, key)
        if stated is not None and stated != real:
            told = f"the bundle is for {key} {stated}; the corpus at {wanted} has {key} {real}"
            found.findings.append(problem("corpus", sheet.where((*COLLECTION, key)), told))
    return corpus


def _of_any_view(corpus: Corpus) -> Corpus:
    """A corpus in which the queries that its view does not judge count as well."""
    others = [Query(name, "") for name in sorted(corpus.unjudged_queries)]
    return replace(corpus, queries=[*corpus.queries, *others], unjudged_queries=frozenset())


def _of_its_own(run_file: Path) -> Corpus:
    """A corpus of the very ids that a run has: what is wrong with the run by that one is wrong by any."""
    queries: dict[str, Query] = {}
    documents: dict[str, None] = {}
    with contextlib.suppress(InputError, OSError):  # told when the run is read
        for _, query, document, _, _ in entries(run_file, lambda error: None):
            queries[query], documents[document] = Query(query, ""), None
    return Corpus("", "", "", list(documents), {}, stream=lambda: iter(()), queries=list(queries.values()))


def _check_run(found: Checked, path: Path, known: Corpus, against: Sequence[str | Path], min_judged: float) -> None:
    told: list[InputError] = []
    ranks: list[Finding] = []
    try:
        run = read_run(path, known, told.append)
    except InputError as error:
        told.append(error)
    except OSError as error:
        told.append(InputError(f"cannot be read: {error.strerror}", where=str(path)))
    with contextlib.suppress(InputError, OSError):  # told already
        for finding in rank_problems(path):
            ranks.append(finding)
    found.findings += [of_error("run", error) for error in told]
    found.findings += ranks
    found.findings += _live_problems(found.folder, path)
    if found.corpus is None or told or ranks:  # what is left out above would be found missing here
        return
    found.run = in_order(run, found.corpus)
    found.findings += warnings_of(found.corpus, found.run, found.sheet.measures, path, min_judged=min_judged)
    found.findings += _compared(found, found.corpus, found.run, against)


def _live_problems(folder: Path, run_file: Path) -> list[Finding]:
    """The runs of a live system, kept in live/, must have made the run that is handed in."""
    kept = sorted(path for path in (folder / LIVE).glob("*/artifacts/run.trec.gz") if path.is_file())
    if not kept or sha256_file(run_file) in map(sha256_file, kept):
        return []
    told = f"is the run of none of the live runs in {LIVE}/; remove {LIVE}/, or score the live system into a new bundle"
    return [problem("live", run_file, told)]


def _compared(found: Checked, corpus: Corpus, run: Run, against: Sequence[str | Path]) -> list[Finding]:
    assert found.run_file is not None
    others, findings = [], []
    for item in against:
        folder = require_bundle(Path(item))
        if folder.resolve() == found.folder.resolve():
            raise UsageError("is the bundle itself; --against names others", where=str(folder))
        files = [path for path in run_files(folder) if path.is_file()]
        if len(files) != 1:
            told = f"is not compared with {folder}: holds {len(files)} run files; a bundle to compare with has one"
            findings.append(warning("same-as", found.run_file, told))
            continue
        try:
            if sha256_file(files[0]) == sha256_file(found.run_file):
                told = f"is byte for byte the run of {folder}"
                findings.append(warning("same-as", found.run_file, told))
                continue
            others.append((str(folder), in_order(read_run(files[0], corpus), corpus)))
        except (InputError, OSError) as error:
            findings.append(warning("same-as", found.run_file, f"is not compared with {folder}: {error}"))
    return [*findings, *same_as(corpus, run, others, found.sheet.measures, found.run_file)]

"""Sealing a bundle, and deriving everything a seal says again: from the run file, the corpus, and the bytes of every file."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from evalsuite.errors import EvalsuiteError, RunError, UsageError
from evalsuite.records import Interval, QueryResult, Summary
from evalsuite.retrieval.bundles import (
    LIVE,
    SCORED,
    SEAL,
    SHEET,
    find_run,
    read_sheet,
    renamed,
    require_bundle,
    require_near,
    run_files,
)
from evalsuite.retrieval.corpus import Corpus
from evalsuite.retrieval.evaluate import Outcome, evaluate
from evalsuite.retrieval.formats import load_corpus
from evalsuite.retrieval.honesty import warnings_of
from evalsuite.retrieval.retrievers.base import Track
from evalsuite.retrieval.runs import in_order, read_run
from evalsuite.retrieval.submission import Checked, Submitted, check, require_sound, submitted
from evalsuite.storage import atomic_file, now, read_manifest, read_units, require_folder, sha256_file, sha256_json
from evalsuite.summary import verify as verify_run

SEAL_VERSION = 1
SCRATCH = ".sealing"
TOLERANCE = 1e-9


class SealedCorpus(BaseModel):
    """The corpus that a bundle was scored on, by content."""

    name: str
    version: str
    sha256: str
    view: str


class SealedRun(BaseModel):
    """The run file of a bundle."""

    file: str
    sha256: str
    queries: int
    documents: int


class Seal(BaseModel):
    """seal.json: what a bundle came to when it was sealed. `files` are all its others; `sha256` is the hash of the rest."""

    model_config = ConfigDict(extra="forbid")

    seal_version: int
    sealed_at: str
    suite: dict[str, str]
    tag: str
    team: str
    track: Track
    corpus: SealedCorpus
    protocol: str
    run: SealedRun
    n_queries: int
    measures: dict[str, Interval]
    macro: dict[str, Interval]
    by_mechanism: dict[str, dict[str, Interval]]
    missing_queries: list[str]
    warnings: list[str]
    files: dict[str, str]
    sha256: str = ""

    def closed(self) -> Seal:
        """With the hash over everything else."""
        return self.model_copy(update={"sha256": sha256_json(self.model_dump(mode="json", exclude={"sha256"}))})

    def encoded(self) -> bytes:
        """The one form in which a seal is written: any other bytes are no seal."""
        return (json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n").encode()


def read_seal(folder: str | Path) -> Seal:
    """The seal of a bundle, unverified. Raises RunError where there is none or it cannot be read."""
    place = require_bundle(Path(folder)) / SEAL
    if not place.is_file():
        raise RunError(f"is not sealed: it has no {SEAL}; evalsuite submit seal makes one", where=str(folder))
    try:
        found = Seal.model_validate_json(place.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        raise RunError(f"{'.'.join(map(str, first['loc'])) or 'the seal'}: {first['msg']}", where=str(place)) from error
    if found.seal_version != SEAL_VERSION:
        told = f"seal_version {found.seal_version} is not what this version of evalsuite writes, {SEAL_VERSION}"
        raise RunError(told, where=str(place))
    return found


def seal(
    folder: str | Path, *, corpus: str | None = None, against: Sequence[str | Path] = ()
) -> tuple[Seal, Outcome, Checked]:
    """Score the run of a bundle into scored/, and write seal.json. Raises InputError for a bundle with problems.

    An older seal and its run folder are replaced once the new ones are whole. What `against`, other bundles, gives is
    found, but not sealed: who verifies may not have them.
    """
    found = check(folder, corpus=corpus, against=against)
    scratch = found.folder / SCRATCH
    require_sound(found)
    require_folder(found.folder / SCORED, "output")
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        made, outcome = _sealed(found, scratch)
        _swap(found.folder, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return made, replace(outcome, path=found.folder / SCORED / outcome.path.name), found


def _sealed(found: Checked, scratch: Path) -> tuple[Seal, Outcome]:
    """The run folder and the seal of a sound bundle, written into `scratch`."""
    run_file, loaded = require_sound(found)
    assert found.run is not None
    [outcome] = evaluate(
        loaded, submitted(found), depth=None, measures=found.sheet.measures, out=scratch / SCORED, fresh=True
    )
    summary = outcome.summary
    assert summary is not None  # a run file that was read once cannot fail
    replaced = (f"{SCORED}/", f"{SCRATCH}/")
    kept = {name: digest for name, digest in _files(found.folder) if not name.startswith(replaced)}
    made = Seal(
        seal_version=SEAL_VERSION,
        sealed_at=now(),
        suite={"name": "evalsuite", "version": version("evalsuite")},
        tag=found.sheet.tag,
        team=str(found.sheet.values["actor", "team"]),
        track=found.sheet.values["method", "track"],
        corpus=SealedCorpus(name=loaded.name, version=loaded.version, sha256=loaded.sha256, view=loaded.view),
        run=SealedRun(
            file=run_file.name,
            sha256=sha256_file(run_file),
            queries=len(found.run.queries),
            documents=int((found.run.documents >= 0).sum()),
        ),
        warnings=[finding.message for finding in found.warnings if finding.rule != "same-as"],
        files=kept | dict(_files(scratch)),
        **_numbers(summary),
    ).closed()
    with atomic_file(scratch / SEAL) as stream:
        stream.write(made.encoded())
    return made, outcome


def _swap(folder: Path, scratch: Path) -> None:
    """Put the run folder and the seal in `scratch` in the place of the old ones: both or, if interrupted, neither."""
    old, new, scored = scratch / "old", scratch / SCORED, folder / SCORED
    try:
        if scored.exists():
            scored.rename(old)
        new.rename(scored)
        (scratch / SEAL).replace(folder / SEAL)
    except BaseException:
        if (scratch / SEAL).exists():
            if not new.exists():
                scored.rename(new)
            if old.exists():
                old.rename(scored)
        raise


def _numbers(summary: Summary) -> dict[str, Any]:
    kept = {"protocol", "n_queries", "measures", "macro", "by_mechanism", "missing_queries"}
    return {key: getattr(summary, key) for key in kept}


def _files(folder: Path) -> Iterator[tuple[str, str]]:
    """(relative name, sha256) of every file of a bundle but the seal."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name != SEAL and (path.is_symlink() or not path.is_dir()):
            yield name, sha256_file(path) if path.is_file() and not path.is_symlink() else "not a plain file"


# ---------------------------------------------------------------- verify

Check = tuple[str, Any, Any]


def verify(folder: str | Path, *, corpus: str | None = None) -> dict[str, Any]:
    """Check a sealed bundle against its own bytes and against the corpus: every headline number is derived again.

    `corpus` is where to read the corpus from, by default the source that submission.yaml names. Returns the report of
    `summary.verify`. Raises RunError for a bundle without a seal, and UsageError for an intact one whose corpus cannot be
    read.
    """
    place = require_bundle(Path(folder))
    stored = place / SEAL
    if not stored.is_file():
        read_seal(place)
    try:
        sealed = read_seal(place)
    except RunError as error:
        return _report([(f"{SEAL}: {error.message}", "damaged", "a seal")])
    checks = _own_checks(place, sealed)
    try:
        loaded = _corpus(place, sealed, corpus)
    except UsageError as error:
        if _report(checks)["ok"]:
            raise
        return _report([*checks, (f"the numbers: {error.message}", "stored", "not derived")])
    about = sealed.corpus.model_dump()
    checks += [(f"corpus {key}", about[key], getattr(loaded, key)) for key in about]
    checks += _derived_checks(place, sealed, loaded)
    return _report(checks)


def altered(place: Path, sealed: Seal) -> list[dict[str, Any]]:
    """The mismatches that `verify` finds without the corpus."""
    return list(_report(_own_checks(place, sealed))["mismatches"])


def _own_checks(place: Path, sealed: Seal) -> list[Check]:
    return [
        (f"{SEAL} sha256", sealed.sha256, sealed.closed().sha256),
        (f"{SEAL} bytes", (place / SEAL).read_bytes() == sealed.encoded(), True),
        *_file_checks(place, sealed),
        *_sheet_checks(place, sealed),
        *_folder_checks(place),
    ]


def _report(checks: list[Check]) -> dict[str, Any]:
    wrong = [
        {"what": what, "stored": stored, "derived": derived}
        for what, stored, derived in checks
        if not _same(stored, derived)
    ]
    return {"ok": not wrong, "checked": len(checks), "mismatches": wrong}


def _same(stored: Any, derived: Any) -> bool:
    """Numbers to nine decimals: another machine's last bits are no other result."""
    if isinstance(stored, float) and isinstance(derived, float):
        return abs(stored - derived) <= TOLERANCE
    return bool(stored == derived)


def _file_checks(place: Path, sealed: Seal) -> Iterator[Check]:
    here = dict(_files(place))
    for name in sorted(sealed.files.keys() | here.keys()):
        yield name, sealed.files.get(name, "not in the seal"), here.get(name, "missing")
    yield f"{SEAL} run file", sealed.run.file, ", ".join(path.name for path in run_files(place)) or "missing"
    yield f"{sealed.run.file} as the run", sealed.run.sha256, here.get(sealed.run.file, "missing")


def _sheet_checks(place: Path, sealed: Seal) -> Iterator[Check]:
    sheet = read_sheet(place)
    if sheet.findings:
        yield f"{SHEET}: {sheet.findings[0].message}", "damaged", "a sound file"
        return
    yield f"{SHEET} tag", sealed.tag, sheet.tag
    yield f"{SHEET} team", sealed.team, sheet.values["actor", "team"]
    yield f"{SHEET} track", sealed.track, sheet.values["method", "track"]
    yield f"{SHEET} measures", list(dict.fromkeys(sheet.measures)), list(sealed.measures)
    for key, value in sealed.corpus.model_dump().items():
        yield f"{SHEET} {key} of the corpus", value, sheet.of_corpus(key)


def _folder_checks(place: Path) -> Iterator[Check]:
    """The run folders inside, each against itself."""
    for part in (SCORED, LIVE):
        for manifest in sorted((place / part).glob("*/run.json")):
            name = manifest.parent.relative_to(place).as_posix()
            try:
                if part == LIVE and read_manifest(manifest.parent).status != "complete":
                    continue
                report = verify_run(manifest.parent)
            except EvalsuiteError as error:
                yield f"{name}: {error.message}", "damaged", "a run folder"
                continue
            yield f"{name} ({report['checked']} values)", [m["what"] for m in report["mismatches"]], []


def _corpus(place: Path, sealed: Seal, source: str | None) -> Corpus:
    wanted = source or read_sheet(place).of_corpus("source")
    if wanted is None:
        raise UsageError(f"names no source of its corpus, {sealed.corpus.name}; give --corpus", where=str(place))
    if source is None:
        require_near(wanted)
    try:
        return renamed(load_corpus(wanted, sealed.corpus.view), sealed.corpus.name)
    except EvalsuiteError as error:
        told = f"the corpus {sealed.corpus.name} {sealed.corpus.version} cannot be read: {error}; --corpus says where it is"
        raise UsageError(told, where=str(place)) from error


def _derived_checks(place: Path, sealed: Seal, corpus: Corpus) -> Iterator[Check]:
    """Score the run file anew and compare every number, and the values of every query with those stored in scored/."""
    found, findings = find_run(place)
    if found is None or findings:
        yield f"the run file: {findings[0].message}", "damaged", "one run file"
        return
    system = Submitted(path=str(found), tag=sealed.tag, declared=sealed.track)
    try:
        run = in_order(read_run(found, corpus), corpus)
        with tempfile.TemporaryDirectory(prefix="evalsuite-verify-") as scratch:
            [outcome] = evaluate(corpus, system, depth=None, measures=list(sealed.measures), out=scratch, fresh=True)
            queries = _queries(outcome.path)
    except EvalsuiteError as error:
        yield f"the numbers: {error}", "stored", "not derivable"
        return
    summary = outcome.summary
    assert summary is not None
    yield "queries in the run", sealed.run.queries, len(run.queries)
    yield "documents in the run", sealed.run.documents, int((run.documents >= 0).sum())
    told = [finding.message for finding in warnings_of(corpus, run, list(sealed.measures), found)]
    yield "warnings", sealed.warnings, told
    stored, derived = sealed.model_dump(mode="json"), summary.model_dump(mode="json")
    for key in _numbers(summary):
        yield from _leaves(key, stored[key], derived[key])
    for folder in sorted((place / SCORED).glob("*/results.jsonl")):
        try:
            kept = _queries(folder.parent)
        except EvalsuiteError as error:
            yield f"{folder.relative_to(place).as_posix()}: {error.message}", "damaged", "results"
            continue
        yield from _leaves("query", kept, queries)


def _queries(run_folder: Path) -> dict[str, dict[str, float]]:
    return {unit.id: unit.measures for unit in read_units(run_folder) if isinstance(unit, QueryResult)}


def _leaves(name: str, stored: Any, derived: Any) -> Iterator[Check]:
    """Every value of two nested dicts, under the names that lead to it."""
    if isinstance(stored, dict) and isinstance(derived, dict):
        for key in sorted(stored.keys() | derived.keys()):
            yield from _leaves(f"{name} {key}", stored.get(key, "missing"), derived.get(key, "missing"))
    else:
        yield name, stored, derived

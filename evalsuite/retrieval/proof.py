"""Is a corpus oblique? One table: what words and a small dense model find, what literal twins find, what a blind reader sees, what controls show."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

from evalsuite.errors import RunError
from evalsuite.records import Interval, Record
from evalsuite.retrieval.corpus import Corpus
from evalsuite.retrieval.evaluate import evaluate
from evalsuite.retrieval.formats import load_corpus
from evalsuite.retrieval.lint import lint

MEASURE = "nDCG@10"
SURFACE = "surface"
SYSTEMS = ("bm25", "dense", "prior", "prior:order=shortest", "random")
MOST = {"bm25": 0.25, "dense": 0.40}
TWIN_FACTOR = 2.0
READING = 0.80


class Check(Record):
    """One line of the proof. `bound` is what `found` must be; `ok` is null where it cannot be told."""

    check: str
    found: str
    bound: str
    ok: bool | None


class Proof(Record):
    """The whole table of a corpus: nDCG@10 with 95 % intervals over query groups, and the checks that follow from it."""

    corpus: str
    version: str
    sha256: str
    scores: dict[Literal["oblique", "surface"], dict[str, Interval]]
    checks: list[Check]

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)


def prove(source: str | Path | Corpus, *, reading: str | None = None, cache: str | Path | None = None) -> Proof:
    """The proof of a corpus with recorded judgements: `reading` names judgements/<reading>.jsonl, by default the only one.

    Bounds: bm25 at most 0.25 and dense at most 0.40 on oblique queries, literal twins at least twice that, a blind reading at least
    0.80, document length and chance nothing of note, no error of lint. Raises EvalsuiteError for a corpus that cannot be read.
    """
    corpus = source if isinstance(source, Corpus) else load_corpus(source)
    reader = "recorded" if reading is None else f"recorded:name={reading}"
    scores: dict[Literal["oblique", "surface"], dict[str, Interval]] = {"oblique": {}, "surface": {}}
    with TemporaryDirectory() as out:
        for outcome in evaluate(corpus, [*SYSTEMS, reader], measures=[MEASURE], out=out, cache=cache):
            name = "blind reading" if outcome.manifest.system["role"] == "verifier" else outcome.manifest.system["name"]
            if outcome.summary is None:
                raise RunError(f"{name} failed: {outcome.manifest.error}", where=corpus.name)
            for mechanism, found in outcome.summary.by_mechanism.items():
                scores["surface" if mechanism == SURFACE else "oblique"][name] = found[MEASURE]
    findings = lint(corpus, cache=None if cache is None else Path(cache))
    errors = [finding for finding in findings if finding.severity == "error"]
    return Proof(
        corpus=corpus.name,
        version=corpus.version,
        sha256=corpus.sha256,
        scores=scores,
        checks=[*_bounds(scores["oblique"], scores["surface"]), _clean(errors, len(findings))],
    )


def _bounds(oblique: dict[str, Interval], surface: dict[str, Interval]) -> Iterator[Check]:
    for system, most in MOST.items():
        mean = oblique[system].mean
        yield Check(check=f"{system}, oblique", found=f"{mean:.3f}", bound=f"at most {most:.2f}", ok=mean <= most)
    for system in MOST:
        mean, twin = oblique[system].mean, surface.get(system)
        found = "no twins" if twin is None else f"{twin.mean:.3f} / {mean:.3f}"
        ok = None if twin is None else twin.mean >= TWIN_FACTOR * mean
        yield Check(check=f"{system}, twin / oblique", found=found, bound=f"at least {TWIN_FACTOR:g} times", ok=ok)
    read = oblique.get("blind reading")
    told = "none recorded" if read is None else f"{read.mean:.3f} (n = {read.n})"
    ok = None if read is None else read.mean >= READING
    yield Check(check="blind reading, oblique", found=told, bound=f"at least {READING:.2f}", ok=ok)
    chance = oblique["random"]
    for system in ("prior", "prior:order=shortest"):
        own = oblique[system]
        above = own.low is not None and chance.high is not None and own.low > chance.high
        found = f"{own.mean:.3f}, random {chance.mean:.3f}"
        yield Check(check=f"{system} (document length)", found=found, bound="no more than chance", ok=not above)


def _clean(errors: list[Any], n: int) -> Check:
    told = f"{len(errors)} errors, {n - len(errors)} warnings" + (f": {errors[0].rule}" if errors else "")
    return Check(check="lint", found=told, bound="no error", ok=not errors)

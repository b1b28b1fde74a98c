"""What a reader of a submitted run must know: shallow or missing rankings, unjudged tops, orders that no text explains."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evalsuite.errors import InputError, at, shown
from evalsuite.retrieval.bundles import Finding, problem, warning
from evalsuite.retrieval.corpus import Corpus
from evalsuite.retrieval.measures import Graded, Measure, measure
from evalsuite.retrieval.runs import Run, entries
from evalsuite.textfiles import number

MIN_JUDGED = 0.5
TWIN_LEVEL = 0.01
PERFECT_SHARE = 0.95
MIN_PERFECT = 5
SAME_SHARE = 0.95
SAME_VALUE = 1e-9
FIRST = 10
WHOLE = 100


def rank_problems(path: Path) -> Iterator[Finding]:
    """Ranks that are no whole numbers, and queries whose ranks and scores give different orders; only the scores order."""
    rows: dict[str, list[tuple[float, float, int]]] = {}
    for line, query, _, score, rank in entries(path, lambda error: None):
        if rank is None:
            return
        if re.fullmatch(r"[+-]?[0-9]+", rank.strip()) is None:
            yield problem("rank", at(path, line), f"the rank must be a whole number; found {shown(rank)}")
            continue
        with contextlib.suppress(InputError):  # told when the run is read
            rows.setdefault(query, []).append((float(rank), -number(score, "score", ""), line))
    for query, row in rows.items():
        row.sort()
        for (better, high, _), (worse, low, line) in pairwise(row):
            if worse > better and low < high:
                told = (
                    f"query {query!r}: rank {worse:.0f} has a higher score ({-low:g}) than rank {better:.0f} ({-high:g}); "
                    f"ranks and scores must give one order"
                )
                yield problem("rank", at(path, line), told)


def warnings_of(
    corpus: Corpus, run: Run, measures: Sequence[str], where: Path, *, min_judged: float = MIN_JUDGED
) -> list[Finding]:
    """What is odd about a run, which is in scoring order. Derived from run and corpus alone, so that anyone finds the same."""
    ranking = np.full((len(corpus.queries), run.documents.shape[1]), -1)
    ranking[run.queries] = run.documents
    scores = np.full(ranking.shape, -np.inf)
    scores[run.queries] = run.scores
    graded = Graded(ranking, corpus.qrels, len(corpus))
    depth = graded.retrieved.sum(axis=1)
    found = [
        *_missing(corpus, depth, where),
        *_shallow(corpus, depth, measures, where),
        *_unjudged(corpus, graded, min_judged, where),
        *_twins(corpus, ranking, scores, where),
        *_without_text(corpus, ranking, scores, where),
        *_perfect(graded, where),
    ]
    return list(found)


def _missing(corpus: Corpus, depth: NDArray[np.int64], where: Path) -> Iterator[Finding]:
    names = [query.id for query, n in zip(corpus.queries, depth, strict=True) if n == 0]
    if names:
        told = f"{len(names)} of {len(depth)} queries got no document and count as 0: {_listed(names)}"
        yield warning("missing-queries", where, told)


def _looked_at(name: str) -> int:
    """How far down a measure looks: to its cutoff; without one to the end, which should not come before `WHOLE`.

    Rprec looks at as many documents as are relevant, which few runs lack.
    """
    found = Measure.parse(name)
    return found.cutoff or (0 if found.family == "Rprec" else WHOLE)


def _rankable(corpus: Corpus) -> NDArray[np.int64]:
    """Per query, the documents that are not excluded."""
    left = np.full(len(corpus.queries), len(corpus))
    np.subtract.at(left, corpus.exclusions[:, 0], 1)
    return left


def _shallow(corpus: Corpus, depth: NDArray[np.int64], measures: Sequence[str], where: Path) -> Iterator[Finding]:
    """Queries whose ranking ends above where a measure looks although the corpus has more documents."""
    cutoffs = {name: _looked_at(name) for name in measures}
    deepest = max(cutoffs.values(), default=0)
    short = np.flatnonzero((depth > 0) & (depth < np.minimum(deepest, _rankable(corpus))))
    if len(short):
        least = short[np.argmin(depth[short])]
        named = ", ".join(name for name, cutoff in cutoffs.items() if cutoff > depth[least])
        told = (
            f"{len(short)} of {len(depth)} queries rank fewer than {deepest} documents (the fewest: {depth[least]}, "
            f"{corpus.queries[least].id!r}); {named} would see more of a deeper run"
        )
        yield warning("depth", where, told)


def _unjudged(corpus: Corpus, graded: Graded, least: float, where: Path) -> Iterator[Finding]:
    """Judged@10 divides by what was ranked; here a place that is left empty is one that was not judged."""
    answered = graded.retrieved.any(axis=1)
    places = np.minimum(FIRST, _rankable(corpus))[answered]
    if not answered.any():
        return
    share = float((graded.judged[answered, :FIRST].sum(axis=1) / places).mean())
    empty = (graded.retrieved[answered, :FIRST].sum(axis=1) < places).any()
    if share < least:
        told = (
            f"Judged@{FIRST} is {share:.3f}{' of the places, empty ones included' if empty else ''}, below {least:g}: "
            f"most of what it ranks first was never judged{', or is missing' if empty else ''}, and counts as wrong"
        )
        yield warning("judged", where, told)


def _twins(corpus: Corpus, ranking: NDArray[np.int64], scores: NDArray[np.float64], where: Path) -> Iterator[Finding]:
    """A gold and a document of the same text, not a gold, can be told apart only by id, place or label.

    Counted once per query and text, where the run has either and their scores differ; a one-sided sign test.
    """
    size = np.bincount(corpus.same_text, minlength=len(corpus)) if len(corpus.same_text) else np.empty(0)
    grades: dict[int, dict[int, int]] = {}
    for query, document, grade in zip(corpus.qrels.query, corpus.qrels.document, corpus.qrels.grade, strict=True):
        if len(size) and size[corpus.same_text[document]] > 1:
            grades.setdefault(int(query), {})[int(document)] = int(grade)
    above = below = 0
    for query, judged in grades.items():
        gone = set(corpus.exclusions[corpus.exclusions[:, 0] == query, 1].tolist())
        score = dict(zip(ranking[query].tolist(), scores[query].tolist(), strict=True))
        for text in {int(corpus.same_text[document]) for document, grade in judged.items() if grade > 0}:
            copies = [d for d in np.flatnonzero(corpus.same_text == text).tolist() if d not in gone]
            golds = [score.get(d, -np.inf) for d in copies if judged.get(d, 0) > 0]
            others = [score.get(d, -np.inf) for d in copies if judged.get(d, 0) <= 0]
            if golds and others:
                above += max(golds) > max(others)
                below += max(golds) < max(others)
    if above and _at_least(above, above + below, 0.5) < TWIN_LEVEL:
        told = (
            f"in {above} of {above + below} cases it ranks a gold above a document with the same text that is none; "
            f"no text tells them apart, so ids or labels may have leaked into the ranking"
        )
        yield warning("golds-without-text", where, told)


def _at_least(successes: int, n: int, p: float) -> float:
    """The chance of so many successes or more: scipy.stats.binomtest, whose import takes a second."""
    from scipy.special import bdtrc

    return float(bdtrc(successes - 1, n, p))


def _without_text(
    corpus: Corpus, ranking: NDArray[np.int64], scores: NDArray[np.float64], where: Path
) -> Iterator[Finding]:
    """A gold without text, scored above all documents that are none: by chance one time in as many as there are.

    Counted once per query; a one-sided binomial test.
    """
    relevant, left = corpus.qrels.grade > 0, _rankable(corpus)
    textless = relevant & np.isin(corpus.qrels.document, corpus.no_text)
    queries = np.unique(corpus.qrels.query[textless])
    first, fewest = 0, len(corpus)
    for query in queries:
        mine = corpus.qrels.query == query
        golds = np.isin(ranking[query], corpus.qrels.document[mine & relevant])
        empty = np.isin(ranking[query], corpus.qrels.document[mine & textless])
        first += bool(scores[query][empty].max(initial=-np.inf) > scores[query][~golds].max(initial=-np.inf))
        fewest = min(fewest, int(left[query] - (mine & relevant).sum()))
    if first and _at_least(first, len(queries), 1 / (fewest + 1)) < TWIN_LEVEL:
        told = (
            f"in {first} of {len(queries)} queries it ranks a gold that has no text above all documents that are none; "
            f"no text leads to it, so ids or labels may have leaked into the ranking"
        )
        yield warning("golds-without-text", where, told)


def _perfect(graded: Graded, where: Path) -> Iterator[Finding]:
    """Every relevant document first, in the order of grades, for nearly all queries: as the judgements themselves would rank.

    Of a query with more of them than the run is deep, as many as it has room for.
    """
    answerable = graded.n_relevant > 0
    gains = np.maximum(graded.grades, 0)
    ideal = graded.ideal_gains(None)
    width = min(ideal.shape[1], gains.shape[1])
    if answerable.sum() < MIN_PERFECT or width == 0:
        return
    perfect = (gains[:, :width] == ideal[:, :width]).all(axis=1) & answerable
    share = perfect.sum() / answerable.sum()
    if share >= PERFECT_SHARE:
        told = (
            f"{perfect.sum()} of {answerable.sum()} queries have every relevant document first"
            f"{' that there is room for' if ideal.shape[1] > width else ''}, in the order of its grade, "
            f"as the judgements themselves would rank; say in method / description how"
        )
        yield warning("perfect", where, told)


def same_as(
    corpus: Corpus, run: Run, others: Iterable[tuple[str, Run]], measures: Sequence[str], where: Path
) -> Iterator[Finding]:
    """A warning for each (name, run) that gives every query the same scores, or nearly all the same first documents."""
    mine, values = _rows(run), _values(corpus, run, measures)
    for name, other in others:
        theirs = _rows(other)
        both, n = mine.keys() & theirs.keys(), len(mine.keys() | theirs.keys())
        whole = sum(np.array_equal(mine[query], theirs[query]) for query in both)
        first = sum(np.array_equal(mine[query][:FIRST], theirs[query][:FIRST]) for query in both)
        if whole == n:
            told = f"the whole ranking is the same as in {name} for {n} of {n} queries"
        elif np.allclose(values, _values(corpus, other, measures), rtol=0, atol=SAME_VALUE):
            told = (
                f"every query has the same scores as in {name} ({', '.join(measures)}), "
                f"and the ranking itself differs in {n - whole} of {n}"
            )
        elif first / n >= SAME_SHARE:
            told = f"the first {FIRST} documents are the same as in {name} for {first} of {n} queries"
        else:
            continue
        yield warning("same-as", where, told)


def _rows(run: Run) -> dict[int, NDArray[np.int64]]:
    return {int(query): row[row >= 0] for query, row in zip(run.queries, run.documents, strict=True)}


def _values(corpus: Corpus, run: Run, measures: Sequence[str]) -> NDArray[np.float64]:
    """What every query scores by every measure, float [measures, queries]."""
    ranking = np.full((len(corpus.queries), run.documents.shape[1]), -1)
    ranking[run.queries] = run.documents
    return np.array(list(measure(ranking, corpus.qrels, len(corpus), measures).values()))


def _listed(names: Sequence[str], limit: int = 5) -> str:
    return ", ".join(names[:limit]) + (f" and {len(names) - limit} more" if len(names) > limit else "")

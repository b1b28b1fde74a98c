"""What a pool gives away by itself: the score of chance, and recall that means nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evalsuite.errors import UsageError
from evalsuite.retrieval.corpus import Corpus
from evalsuite.retrieval.measures import Graded, Measure
from evalsuite.retrieval.poolfile import Pool

SHUFFLES = 200
MEASURES = ("nDCG@10", "R@10")

Floats = NDArray[np.float64]


def refuse_recall(measure: str | Measure, pool: Pool, size: int | None = None) -> None:
    """Raises UsageError for R@k where some query has no more than k candidates: any order of them recalls everything."""
    wanted = Measure.parse(measure) if isinstance(measure, str) else measure
    smallest = pool.smallest(size)
    if wanted.family == "R" and wanted.cutoff is not None and wanted.cutoff >= smallest:
        few = [row.qid for row in pool.rows.values() if len(row.cut(pool.size(size))) <= wanted.cutoff]
        raise UsageError(
            f"{wanted} means nothing here: {len(few)} of {len(pool.rows)} queries ({few[0]!r} is one) have "
            f"{wanted.cutoff} candidates or fewer, and any order of them recalls every gold; take a larger pool"
        )


def chance(pool: Pool, corpus: Corpus, measures: Sequence[str] = MEASURES, size: int | None = None) -> dict[str, float]:
    """Exact expectation of each measure, as the mean over the pool's queries, when its candidates are ordered at random.

    Raises UsageError for a recall that means nothing (`refuse_recall`).
    """
    for name in measures:
        refuse_recall(name, pool, size)
    ranking, held = _candidates(pool, corpus, size)
    counts = _counts(Graded(ranking, corpus.qrels, len(corpus)), held)
    parsed = [Measure.parse(name) for name in measures]
    return {str(m): float(np.mean([count.expected(m) for count in counts])) for m in parsed}


def shuffled(
    pool: Pool, corpus: Corpus, measures: Sequence[str] = MEASURES, size: int | None = None
) -> dict[str, tuple[float, float, float]]:
    """Measure -> (mean, low, high) of the score of 200 seeded shuffles of every query's candidates.

    Between low and high lie 95 % of the shuffles: where a verifier scores that tells nothing.
    Raises UsageError for a recall that means nothing (`refuse_recall`).
    """
    for name in measures:
        refuse_recall(name, pool, size)
    ranking, held = _candidates(pool, corpus, size)
    documents, place = np.unique(np.concatenate([ranking[ranking >= 0], corpus.qrels.document]), return_inverse=True)
    present = ranking >= 0
    small = np.full(ranking.shape, -1)
    small[present] = place[: present.sum()]
    qrels = replace(corpus.qrels, document=place[present.sum() :])
    parsed = [Measure.parse(name) for name in measures]
    rng = np.random.default_rng(pool.recipe["seed"])
    means = np.empty((SHUFFLES, len(parsed)))
    for number in range(SHUFFLES):
        order = np.argsort(np.where(present, rng.random(ranking.shape), 2.0), axis=1)
        graded = Graded(np.take_along_axis(small, order, 1), qrels, len(documents))
        means[number] = [measure(graded)[held].mean() for measure in parsed]
    low, high = np.quantile(means, [0.025, 0.975], axis=0)
    return {str(m): (float(means[:, i].mean()), float(low[i]), float(high[i])) for i, m in enumerate(parsed)}


def _candidates(pool: Pool, corpus: Corpus, size: int | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Document numbers [corpus' queries, largest pool], -1 after the last, and the numbers of the pool's queries."""
    wanted = pool.size(size)
    held = np.array([corpus.query_number[qid] for qid in pool.rows], dtype=np.int64)
    found = [[corpus.doc_number[docid] for docid in row.cut(wanted)] for row in pool.rows.values()]
    ranking = np.full((len(corpus.queries), max(map(len, found), default=0)), -1)
    for number, documents in zip(held, found, strict=True):
        ranking[number, : len(documents)] = documents
    return ranking, held


@dataclass(frozen=True)
class _Count:
    """One query: `n` candidates, of which `r` are relevant, `m` judged not relevant; `all_r`, `all_m` in the qrels."""

    n: int
    r: int
    m: int
    all_r: int
    all_m: int
    judged: int
    gain: float
    ideal: Floats

    def expected(self, measure: Measure) -> float:
        """The measure's expectation over all orders of the candidates; 0 where nothing is relevant or there is none."""
        n, r, k = self.n, self.r, measure.cutoff or self.n
        if n == 0 or (self.all_r == 0 and measure.family != "Judged"):
            return 0.0
        top = min(k, n)
        ranks = np.arange(1, top + 1)
        match measure.family:
            case "nDCG":
                discounts = 1 / np.log2(np.arange(max(top, len(self.ideal))) + 2)
                best = self.ideal[: measure.cutoff]
                return float(self.gain / n * discounts[:top].sum() / (best @ discounts[: len(best)]))
            case "R":
                return r / self.all_r * top / n
            case "P":
                return r / n * top / k
            case "AP":
                others = (r - 1) / max(n - 1, 1)
                return float(r / n * ((1 + (ranks - 1) * others) / ranks).sum() / self.all_r)
            case "RR":
                none_before = np.cumprod(np.concatenate([[1.0], (n - r - ranks[:-1] + 1) / (n - ranks[:-1] + 1)]))
                return float((none_before * r / (n - ranks + 1) / ranks).sum())
            case "Rprec":
                return r / n * min(self.all_r, n) / self.all_r
            case "Judged":
                return self.judged / n
            case _:  # Bpref: judged non-relevant above a gold are 0 .. m, each as likely
                bound = min(self.all_r, self.all_m)
                above = np.minimum(np.arange(self.m + 1), bound)
                return float(r / self.all_r * (1 - above / max(bound, 1)).mean())


def _counts(graded: Graded, held: NDArray[np.int64]) -> list[_Count]:
    ideal, gains = graded.ideal_gains(None), np.maximum(graded.grades, 0).sum(axis=1)
    not_relevant = (graded.judged & (graded.grades == 0)).sum(axis=1)
    columns = zip(
        graded.retrieved.sum(axis=1)[held].tolist(),
        graded.relevant.sum(axis=1)[held].tolist(),
        not_relevant[held].tolist(),
        graded.n_relevant[held].tolist(),
        graded.n_nonrelevant[held].tolist(),
        graded.judged.sum(axis=1)[held].tolist(),
        gains[held].tolist(),
        ideal[held],
        strict=True,
    )
    return [_Count(*column) for column in columns]

"""nDCG@k, R@k, P@k, AP@k, RR@k, Rprec, Judged@k, Bpref as trec_eval defines them, vectorised over queries.

Names are ir_measures' names. Gain is linear in the grade; a grade of 1 or more is relevant; an unjudged document is not
relevant; a query without relevant documents scores 0. Checked against pytrec-eval-terrier in tests.
Source: trec_eval 9.0 (NIST); Buckley & Voorhees, SIGIR 2004 (Bpref); Judged@k as in ir_measures.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from evalsuite.errors import UsageError
from evalsuite.retrieval.corpus import Qrels

TABLE_CELLS = 1_000_000

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Graded:
    """Rankings with their judgements.

    `ranking` int [queries, depth]: document numbers best first, -1 after the last. Rows follow the qrels' query numbers.
    """

    def __init__(self, ranking: NDArray[np.integer], qrels: Qrels, n_documents: int) -> None:
        self.n_queries, self.depth = ranking.shape
        self.retrieved = ranking >= 0
        places = np.where(self.retrieved, _judgements(ranking, qrels, n_documents), -1)
        self.judged = places >= 0
        self.grades: Ints = np.where(self.judged, qrels.grade[places], 0)
        self.qrels = qrels

    @cached_property
    def relevant(self) -> NDArray[np.bool_]:
        return self.grades > 0

    @cached_property
    def found(self) -> Ints:
        """Relevant documents among the first i + 1, int [queries, depth]."""
        return np.cumsum(self.relevant, axis=1, dtype=np.int64)

    @cached_property
    def n_relevant(self) -> Ints:
        return np.bincount(self.qrels.query[self.qrels.grade > 0], minlength=self.n_queries)

    @cached_property
    def n_nonrelevant(self) -> Ints:
        return np.bincount(self.qrels.query[self.qrels.grade == 0], minlength=self.n_queries)

    def found_at(self, k: int | NDArray[np.int64]) -> Ints:
        """Relevant documents among the first k (one k, or one per query)."""
        if self.depth == 0:
            return np.zeros(self.n_queries, dtype=np.int64)
        last = np.minimum(np.broadcast_to(k, (self.n_queries,)), self.depth) - 1
        counts = self.found[np.arange(self.n_queries), np.maximum(last, 0)]
        return np.where(last >= 0, counts, 0)

    def ideal_gains(self, k: int | None) -> Floats:
        """Positive grades of each query, best first, cut at k: float [queries, at most k]."""
        positive = self.qrels.grade > 0
        query, grade = self.qrels.query[positive], self.qrels.grade[positive]
        order = np.lexsort((-grade, query))
        query, grade = query[order], grade[order]
        place = np.arange(len(query)) - np.searchsorted(query, query)
        width = int(self.n_relevant.max(initial=0)) if k is None else min(k, int(self.n_relevant.max(initial=0)))
        kept = place < width
        gains = np.zeros((self.n_queries, width))
        gains[query[kept], place[kept]] = grade[kept]
        return gains


def _judgements(ranking: NDArray[np.integer], qrels: Qrels, n_documents: int) -> NDArray[np.int32]:
    """Place of each ranked document's judgement in the qrels, -1 without one; int [queries, depth].

    Looked up in a table of some queries x all documents that stays in the processor's cache (3x a binary search).
    """
    block = max(1, TABLE_CELLS // n_documents)
    table = np.full(min(block, max(len(ranking), 1)) * n_documents, -1, dtype=np.int32)
    places = np.empty(ranking.shape, dtype=np.int32)
    for first in range(0, len(ranking), block):
        rows = ranking[first : first + block]
        start, stop = np.searchsorted(qrels.query, [first, first + block])
        judged = (qrels.query[start:stop] - first) * n_documents + qrels.document[start:stop]
        table[judged] = np.arange(start, stop)
        places[first : first + block] = table[rows + np.arange(len(rows))[:, None] * n_documents]
        table[judged] = -1
    return places


def _ratio(above: NDArray[np.generic], below: NDArray[np.generic]) -> Floats:
    """above / below, and 0 where below is 0."""
    result = np.zeros(len(above))
    np.divide(above, below, out=result, where=np.asarray(below) > 0)
    return result


def _dcg(gains: Floats) -> Floats:
    return np.asarray(gains @ (1 / np.log2(np.arange(gains.shape[1]) + 2)), dtype=np.float64)


def _ndcg(graded: Graded, k: int | None) -> Floats:
    gains = np.maximum(graded.grades[:, :k], 0).astype(np.float64)
    return _ratio(_dcg(gains), _dcg(graded.ideal_gains(k)))


def _recall(graded: Graded, k: int | None) -> Floats:
    return _ratio(graded.found_at(k or graded.depth), graded.n_relevant)


def _precision(graded: Graded, k: int | None) -> Floats:
    return graded.found_at(k or graded.depth) / (k or max(graded.depth, 1))


def _average_precision(graded: Graded, k: int | None) -> Floats:
    precision = graded.found[:, :k] / np.arange(1, graded.depth + 1)[:k]
    return _ratio((precision * graded.relevant[:, :k]).sum(axis=1), graded.n_relevant)


def _reciprocal_rank(graded: Graded, k: int | None) -> Floats:
    relevant = graded.relevant[:, :k]
    if relevant.shape[1] == 0:
        return np.zeros(graded.n_queries)
    return np.where(relevant.any(axis=1), 1 / (relevant.argmax(axis=1) + 1), 0.0)


def _r_precision(graded: Graded, k: int | None) -> Floats:
    return _ratio(graded.found_at(graded.n_relevant), graded.n_relevant)


def _judged(graded: Graded, k: int | None) -> Floats:
    return _ratio(graded.judged[:, :k].sum(axis=1), graded.retrieved[:, :k].sum(axis=1))


def _bpref(graded: Graded, k: int | None) -> Floats:
    nonrelevant = graded.judged & (graded.grades == 0)
    bound = np.minimum(graded.n_relevant, graded.n_nonrelevant)[:, None]
    above = np.minimum(np.cumsum(nonrelevant, axis=1), bound)
    credit = np.where(above > 0, 1 - above / np.maximum(bound, 1), 1.0)
    return _ratio((credit * graded.relevant).sum(axis=1), graded.n_relevant)


FAMILIES: dict[str, tuple[Callable[[Graded, int | None], Floats], str]] = {
    "nDCG": (_ndcg, "optional"),
    "R": (_recall, "required"),
    "P": (_precision, "required"),
    "AP": (_average_precision, "optional"),
    "RR": (_reciprocal_rank, "optional"),
    "Rprec": (_r_precision, "none"),
    "Judged": (_judged, "required"),
    "Bpref": (_bpref, "none"),
}


@dataclass(frozen=True)
class Measure:
    """A measure that prints as the field writes it: `str(Measure.parse("nDCG@10")) == "nDCG@10"`."""

    family: str
    cutoff: int | None = None

    @classmethod
    def parse(cls, name: str) -> Measure:
        """Raises UsageError for a name that is none of ours."""
        match = re.fullmatch(r"([A-Za-z]+)(?:@([1-9][0-9]{0,8}))?", name.strip())
        if match and match[1] in FAMILIES:
            cutoff = FAMILIES[match[1]][1]
            if (match[2] is None and cutoff != "required") or (match[2] is not None and cutoff != "none"):
                return cls(match[1], int(match[2]) if match[2] else None)
        known = [f + {"required": "@k", "optional": "[@k]", "none": ""}[c] for f, (_, c) in FAMILIES.items()]
        raise UsageError(f"{name!r} is not a measure; accepted are {', '.join(known)}")

    def __str__(self) -> str:
        return self.family if self.cutoff is None else f"{self.family}@{self.cutoff}"

    def __call__(self, graded: Graded) -> Floats:
        """Values per query, float [queries]."""
        return FAMILIES[self.family][0](graded, self.cutoff)


DEFAULT_MEASURES = ("nDCG@10", "R@10", "R@100", "AP", "RR@10", "P@10", "Rprec", "Judged@10", "Bpref")


def measure(
    ranking: NDArray[np.integer], qrels: Qrels, n_documents: int, names: Sequence[str] = DEFAULT_MEASURES
) -> dict[str, Floats]:
    """Measure name -> values per query, float [queries].

    `ranking` int [queries, depth] holds document numbers best first, padded with -1; an empty row scores 0.
    """
    graded = Graded(ranking, qrels, n_documents)
    return {name: Measure.parse(name)(graded) for name in names}

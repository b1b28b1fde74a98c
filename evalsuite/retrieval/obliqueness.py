"""How oblique a query is, told without a language model: shared words, dense margin, and how deep its golds lie.

An oblique query says little of what decides relevance in the words of its golds: hard negatives share as many words with it, or lie
as close. Each figure is one number a query; none looks at a verifier.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from evalsuite.records import Record
from evalsuite.retrieval.corpus import Corpus, Query
from evalsuite.retrieval.retrievers.base import Builtin
from evalsuite.retrieval.retrievers.lexical import BM25, stop_words, tokenize
from evalsuite.retrieval.runs import Run, in_order
from evalsuite.statistics import spearman

HARD = 10
CELLS = 4_000_000
STOP_WORDS = "en"


class QueryObliqueness(Record):
    """One query; null where it has no gold or no term. `overlap` is the idf-weighted share of its terms that a gold holds, mean over golds;
    `overlap_margin` that minus the same of hard negatives (bm25's first ten that are no golds); `dense_margin` mean similarity
    to golds minus mean to the dense model's own first ten non-golds; `bm25_rank`, `dense_rank`: rank of the best gold, from 1,
    and the number of documents + 1 where none is ranked."""

    id: str
    overlap: float | None
    overlap_margin: float | None
    bm25_rank: int | None
    dense_margin: float | None = None
    dense_rank: int | None = None


class Correlation(Record):
    """Spearman's rho between a figure and the gap over `n` queries, with a bootstrap interval over clusters."""

    rho: float | None
    low: float | None
    high: float | None
    n: int


class Obliqueness(Record):
    """The queries' figures, and how each goes with the gap where gaps are given."""

    queries: list[QueryObliqueness]
    correlation: dict[str, Correlation] = Field(default_factory=dict)


FIGURES = ("overlap", "overlap_margin", "bm25_rank", "dense_margin", "dense_rank")


def obliqueness(
    corpus: Corpus,
    *,
    dense: Builtin | None = None,
    gaps: Mapping[str, float] | None = None,
    clusters: Mapping[str, int] | None = None,
    cache: Path | None = None,
) -> Obliqueness:
    """The figures of every query of `corpus`, or of those in `gaps` {query id: gap} with the correlation of each with the gap.

    `dense` is a dense retriever; without one its two figures are null. `clusters` {query id: cluster} are resampled whole.
    """
    queries = [query for query in corpus.queries if gaps is None or query.id in gaps]
    golds = [_golds(corpus, query) for query in queries]
    lexical = BM25(cache=cache)
    bm25_rank: list[int | None] = []
    negatives: list[NDArray[np.int64]] = []
    for gold, documents, _ in _ranked(corpus, queries, golds, lexical):
        bm25_rank.append(_best_rank(documents, gold, len(corpus)))
        negatives.append(documents[~np.isin(documents, gold)][:HARD])
    overlaps = _overlaps(corpus, queries, [np.union1d(g, n) for g, n in zip(golds, negatives, strict=True)])
    found = []
    for query, gold, hard, rank, share in zip(queries, golds, negatives, bm25_rank, overlaps, strict=True):
        own, other = _mean([share.get(d) for d in gold.tolist()]), _mean([share.get(d) for d in hard.tolist()])
        margin = None if own is None else own - (other or 0.0)
        found.append(QueryObliqueness(id=query.id, overlap=own, overlap_margin=margin, bm25_rank=rank))
    if dense is not None:
        for entry, (gold, documents, scores) in zip(found, _ranked(corpus, queries, golds, dense), strict=True):
            entry.dense_rank = _best_rank(documents, gold, len(corpus))
            mine = np.isin(documents, gold)
            if mine.any() and not mine.all():
                entry.dense_margin = float(scores[mine].mean() - scores[~mine][:HARD].mean())
    return Obliqueness(queries=found, correlation=_correlations(found, gaps or {}, clusters or {}))


def _golds(corpus: Corpus, query: Query) -> NDArray[np.int64]:
    number = corpus.query_number[query.id]
    rows = slice(*np.searchsorted(corpus.qrels.query, [number, number + 1]))
    return corpus.qrels.document[rows][corpus.qrels.grade[rows] > 0]


def _ranked(
    corpus: Corpus, queries: Sequence[Query], golds: Sequence[NDArray[np.int64]], retriever: Builtin
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]]:
    """Per query its golds, and all documents that the retriever ranks, best first, with their scores; exclusions out."""
    retriever.index(corpus)
    step = max(1, CELLS // len(corpus))
    for start in range(0, len(queries), step):
        block = queries[start : start + step]
        documents, scores = retriever.search(block, len(corpus))
        numbers = np.array([corpus.query_number[query.id] for query in block])
        run = in_order(Run(numbers, documents, scores), corpus)
        for gold, row, values in zip(golds[start : start + step], run.documents, run.scores, strict=True):
            yield gold, row[row >= 0], values[row >= 0]


def _best_rank(documents: NDArray[np.int64], gold: NDArray[np.int64], n_documents: int) -> int | None:
    if not len(gold):
        return None
    places = np.flatnonzero(np.isin(documents, gold))
    return int(places[0]) + 1 if len(places) else n_documents + 1


def _overlaps(
    corpus: Corpus, queries: Sequence[Query], wanted: Sequence[NDArray[np.int64]]
) -> list[dict[int, float | None]]:
    """Per query the idf-weighted share of its terms that each wanted document holds. One pass over the documents."""
    stop = stop_words(STOP_WORDS)
    terms = [frozenset(tokenize(query.text, stop)) for query in queries]
    vocabulary = frozenset().union(*terms)
    asked = {int(document) for own in wanted for document in own}
    df, held = dict.fromkeys(vocabulary, 0), {}
    for number, document in enumerate(corpus.documents()):
        present = vocabulary & set(tokenize(document.contents, stop))
        for term in present:
            df[term] += 1
        if number in asked:
            held[number] = present
    idf = {term: math.log1p((len(corpus) - n + 0.5) / (n + 0.5)) for term, n in df.items()}
    found: list[dict[int, float | None]] = []
    for own, documents in zip(terms, wanted, strict=True):
        whole = sum(idf[term] for term in own)
        found.append({int(d): sum(idf[t] for t in own & held[int(d)]) / whole if whole else None for d in documents})
    return found


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _correlations(
    found: Sequence[QueryObliqueness], gaps: Mapping[str, float], clusters: Mapping[str, int]
) -> dict[str, Correlation]:
    told = {}
    for figure in FIGURES:
        kept = [entry for entry in found if entry.id in gaps and getattr(entry, figure) is not None]
        if not kept:
            continue
        values = np.array([getattr(entry, figure) for entry in kept], dtype=np.float64)
        own = np.array([gaps[entry.id] for entry in kept])
        groups = np.unique([clusters.get(e.id, -1 - i) for i, e in enumerate(kept)], return_inverse=True)[1]
        known: Callable[[float], float | None] = lambda value: None if math.isnan(value) else float(value)  # noqa: E731
        rho, low, high = map(known, spearman(values, own, groups))
        told[figure] = Correlation(rho=rho, low=low, high=high, n=len(kept))
    return told

"""What the rules look at: the corpus, one pass over its documents, and BM25's ranking. Each part is made when first asked for."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evalsuite.progress import track
from evalsuite.retrieval.corpus import Corpus
from evalsuite.retrieval.layouts import Layout
from evalsuite.retrieval.lint.scan import Scan, Scanner
from evalsuite.retrieval.measures import measure
from evalsuite.retrieval.retrievers.lexical import BM25
from evalsuite.retrieval.runs import Run, in_order
from evalsuite.statistics import bootstrap_means, shared_clusters

SURFACE = "surface"
TIP = "tip-of-the-tongue"
MECHANISMS = ("descriptive", "analogue", TIP, SURFACE)
DEPTH, CUTOFF = 100, 10
MEASURE = f"nDCG@{CUTOFF}"
CHUNK = 256

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass
class Subject:
    """One corpus under the linter. `layout` says where its files lie, None where it has none (ir_datasets)."""

    corpus: Corpus
    layout: Layout | None
    cache: Path | None = None
    pool: Path | None = None
    model: str | None = None
    audit: Path | None = None

    def where(self, part: str = "") -> str:
        return f"{self.corpus.name} {part}".strip()

    @cached_property
    def golds(self) -> list[Ints]:
        """Relevant documents of each query."""
        qrels = self.corpus.qrels
        relevant = qrels.grade > 0
        ends = np.searchsorted(qrels.query[relevant], np.arange(len(self.corpus.queries) + 1))
        document = qrels.document[relevant]
        return [document[a:b] for a, b in pairwise(ends.tolist())]

    @cached_property
    def oblique(self) -> list[int]:
        """Queries of a mechanism other than surface."""
        return [i for i, q in enumerate(self.corpus.queries) if q.mechanism in MECHANISMS and q.mechanism != SURFACE]

    @cached_property
    def own(self) -> list[int]:
        """Queries that are no twin of another."""
        return [i for i, query in enumerate(self.corpus.queries) if query.twin_of is None]

    @cached_property
    def headline(self) -> list[int]:
        """The queries that the corpus is about: the oblique ones, or all that are no twins, or all."""
        return self.oblique or self.own or list(range(len(self.corpus.queries)))

    @cached_property
    def families(self) -> Ints:
        """Queries of one group or one pair of twins have one number, int [queries]."""
        return shared_clusters(
            [[("query", q.twin_of or q.id), *([("group", q.group)] if q.group else [])] for q in self.corpus.queries]
        )

    @cached_property
    def scan(self) -> Scan:
        queries = self.corpus.queries
        golds = set(np.concatenate(self.golds).tolist())
        kept = {int(d) for i, q in enumerate(queries) if q.mechanism == TIP for d in self.golds[i]}
        return Scanner(self.corpus, {i: queries[i].text for i in self.oblique}, golds, kept).scan(self.layout)

    @cached_property
    def alike(self) -> Ints:
        """Exact and near duplicates: the first document of each one's group, int [documents]."""
        return self.scan.shingles.groups()[self.corpus.same_text]

    @cached_property
    def excluded(self) -> list[set[int]]:
        """Documents excluded for each query."""
        found: list[set[int]] = [set() for _ in self.corpus.queries]
        for query, document in self.corpus.exclusions.tolist():
            found[query].add(document)
        return found

    # -- rankings ------------------------------------------------------------------------------------------------

    def search(self, corpus: Corpus, cache: Path | None = None) -> Ints:
        """BM25's first DEPTH documents of every query, exclusions out, int [queries, DEPTH], -1 after the last."""
        engine = BM25(cache=cache)
        engine.index(corpus)
        deepest = min(DEPTH + max(map(len, self.excluded), default=0), len(corpus))
        ranking = np.full((len(corpus.queries), DEPTH), -1, dtype=np.int64)
        with track(f"searching {corpus.name}", len(corpus.queries)) as advance:
            for start in range(0, len(corpus.queries), CHUNK):
                queries = corpus.queries[start : start + CHUNK]
                hits = engine.search(queries, deepest)
                run = in_order(Run(np.arange(start, start + len(queries)), *hits), corpus, DEPTH)
                ranking[run.queries, : run.documents.shape[1]] = run.documents
                advance(len(queries))
        return ranking

    @cached_property
    def ranking(self) -> Ints:
        return self.search(self.corpus, self.cache)

    def score(self, ranking: Ints) -> Floats:
        """nDCG@10 of every query."""
        return measure(ranking, self.corpus.qrels, len(self.corpus), [MEASURE])[MEASURE]

    @cached_property
    def bm25(self) -> Floats:
        return self.score(self.ranking)

    @cached_property
    def chance(self) -> Floats:
        """nDCG@10 that a random order of the documents is expected to have, per query."""
        qrels, sizes = self.corpus.qrels, len(self.corpus) - np.array([len(e) for e in self.excluded])
        gain = np.bincount(qrels.query, np.maximum(qrels.grade, 0), len(self.corpus.queries))
        order = np.lexsort((-qrels.grade, qrels.query))
        place = np.arange(len(order)) - np.searchsorted(qrels.query, qrels.query[order])
        top = place < CUTOFF
        ideal_gain = np.maximum(qrels.grade[order][top], 0) / np.log2(place[top] + 2)
        ideal = np.bincount(qrels.query[order][top], ideal_gain, len(self.corpus.queries))
        discounts = np.cumsum(1 / np.log2(np.arange(CUTOFF) + 2))
        expected = gain / sizes * discounts[np.minimum(sizes, CUTOFF) - 1]
        found: Floats = np.divide(expected, ideal, out=np.zeros(len(ideal)), where=ideal > 0)
        return found

    def mean(self, values: Floats) -> tuple[float, float, float]:
        """Mean over the headline queries and its 95 % interval, resampling families."""
        mean, low, high = bootstrap_means(values[self.headline][:, None], _numbered(self.families[self.headline]))
        return float(mean[0]), float(low[0]), float(high[0])


def _numbered(labels: Ints) -> Ints:
    return np.unique(labels, return_inverse=True)[1]

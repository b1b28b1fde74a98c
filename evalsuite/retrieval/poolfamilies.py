"""What the systems' ranking owes to each family of a pool: leave one out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalsuite.errors import UsageError
from evalsuite.retrieval.corpus import Corpus, Qrels
from evalsuite.retrieval.measures import Graded, Measure
from evalsuite.retrieval.poolfile import Pool
from evalsuite.retrieval.runs import Run

FEWEST_SYSTEMS = 3

Floats = NDArray[np.float64]
Told = tuple[float, float | None, float | None]


@dataclass(frozen=True)
class LeftOut:
    """The systems' order without the relevant documents that one family alone finds.

    `tau` is (Kendall's tau-b, low, high), or None with fewer than three systems, or where all of them score the same. `scores` are, per system,
    (score, score without) as means over queries; `own` and `others` the mean change of the family's systems and of all
    other systems, None where there is no such system. Intervals are 95 % bootstraps over clusters of queries.
    """

    family: str
    systems: tuple[str, ...]
    unique: dict[str, tuple[str, ...]]
    tau: Told | None
    scores: dict[str, tuple[float, float]]
    own: Told | None
    others: Told | None

    @property
    def n_unique(self) -> int:
        return sum(map(len, self.unique.values()))


def leave_one_family_out(
    corpus: Corpus, pool: Pool, runs: Mapping[str, Run], measure: str = "nDCG@10"
) -> list[LeftOut]:
    """For each family: what the systems' ranking would be had the judges not seen what only this family finds.

    `runs` are rankings by system name; systems of no family may be among them. A relevant document is a family's own if
    the family finds it within its depth and no other does; it then counts as not relevant.
    Source: Zobel, SIGIR 1998; Buckley, Dimmick, Soboroff & Voorhees, Information Retrieval 10 (2007).
    Raises UsageError if a family's system has no run.
    """
    if not pool.families:
        return []
    own = {family: tuple(entry["system"] for entry in entries) for family, entries in pool.recipe["families"].items()}
    if lacking := [name for names in own.values() for name in names if name not in runs]:
        raise UsageError(f"there is no run of {lacking[0]}, which the pool was made from")
    names, groups = list(runs), query_clusters(corpus)
    full = _scores(corpus, corpus.qrels, runs, measure)
    found = []
    for family, systems in own.items():
        unique = unique_relevant(pool, family)
        without = _scores(corpus, _without(corpus, unique), runs, measure)
        means = zip(full.mean(axis=0).tolist(), without.mean(axis=0).tolist(), strict=True)
        is_own = np.array([name in systems for name in names])
        found.append(
            LeftOut(
                family=family,
                systems=systems,
                unique=unique,
                tau=_tau(full, without, groups),
                scores=dict(zip(names, means, strict=True)),
                own=_mean_change(without - full, is_own, groups),
                others=_mean_change(without - full, ~is_own, groups),
            )
        )
    return found


def unique_relevant(pool: Pool, family: str) -> dict[str, tuple[str, ...]]:
    """Query id -> its golds that this family finds within its depth and no other family does."""
    found = {}
    for row in pool.rows.values():
        elsewhere = {docid for other, docids in row.sources.items() if other != family for docid in docids}
        own = tuple(docid for docid in row.golds if docid in set(row.sources[family]) - elsewhere)
        if own:
            found[row.qid] = own
    return found


def _without(corpus: Corpus, unique: Mapping[str, Sequence[str]]) -> Qrels:
    """The judgements without these documents: as if nobody had judged them."""
    gone = [corpus.query_number[q] * len(corpus) + corpus.doc_number[d] for q, docids in unique.items() for d in docids]
    kept = ~np.isin(corpus.qrels.query * len(corpus) + corpus.qrels.document, gone)
    return Qrels(corpus.qrels.query[kept], corpus.qrels.document[kept], corpus.qrels.grade[kept])


def _scores(corpus: Corpus, qrels: Qrels, runs: Mapping[str, Run], measure: str) -> Floats:
    """Values [queries, systems]; a query that a run lacks counts as 0."""
    columns = []
    for run in runs.values():
        ranking = np.full((len(corpus.queries), run.documents.shape[1]), -1)
        ranking[run.queries] = run.documents
        columns.append(Measure.parse(measure)(Graded(ranking, qrels, len(corpus))))
    return np.stack(columns, axis=1)


def query_clusters(corpus: Corpus) -> NDArray[np.int64]:
    """Clusters of queries that share a group or a relevant document, int [queries]."""
    from evalsuite.statistics import shared_clusters

    labels: list[list[Any]] = [[] if query.group is None else [("group", query.group)] for query in corpus.queries]
    relevant = corpus.qrels.grade > 0
    pairs = corpus.qrels.query[relevant].tolist(), corpus.qrels.document[relevant].tolist()
    for query, document in zip(*pairs, strict=True):
        labels[query].append(("gold", document))
    return shared_clusters(labels)


def _tau(full: Floats, without: Floats, groups: NDArray[np.int64]) -> Told | None:
    from evalsuite.statistics import rank_correlation

    if full.shape[1] < FEWEST_SYSTEMS:
        return None
    tau, low, high = rank_correlation(full, without, groups)
    return _told(tau, low, high) if np.isfinite(tau) else None


def _mean_change(change: Floats, columns: NDArray[np.bool_], groups: NDArray[np.int64]) -> Told | None:
    from evalsuite.statistics import bootstrap_means

    if not columns.any():
        return None
    mean, low, high = bootstrap_means(change[:, columns].mean(axis=1, keepdims=True), groups)
    return _told(mean[0], low[0], high[0])


def _told(value: float, low: float, high: float) -> Told:
    """Without the ends where there are none, or where all resamples agree: a bootstrap cannot doubt what never varies."""
    return (float(value), float(low), float(high)) if high > low else (float(value), None, None)

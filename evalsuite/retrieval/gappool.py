"""What stands beside a gap: what its pool gives away by itself, and what the words of a query alone explain (surface twins)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from evalsuite.gapnumbers import Difference, Ints, difference, intervals
from evalsuite.records import Interval, Record
from evalsuite.retrieval.corpus import Corpus
from evalsuite.retrieval.gapruns import SeenRun, candidate_corpus, relevant
from evalsuite.retrieval.measures import measure
from evalsuite.retrieval.poolfile import Pool, PoolRow, corpus_identity
from evalsuite.retrieval.poolscores import chance, refuse_recall, shuffled
from evalsuite.statistics import SEED, Floats
from evalsuite.twins import twin_pairs


class PoolNumbers(Record):
    """The documents that the verifier ranked. `R` and `gap` are the retriever's restricted to them: what is left of the gap once the
    retriever, too, is handed the pool. `unranked`: share of the pool that the retriever did not rank at all, counted as not found."""

    candidates: tuple[int, float, int]
    relevant_outside: int
    chance: dict[str, float]
    shuffled: dict[str, tuple[float, float, float]]
    R: dict[str, Interval]
    gap: dict[str, Difference]
    unranked: dict[str, float]


class TwinNumbers(Record):
    """One system on pairs of an oblique query and a literal one with the same golds; `drop` is literal minus oblique."""

    system: str
    measure: str
    oblique: Interval
    literal: Interval
    drop: Difference


def pool_numbers(
    verifiers: Mapping[str, SeenRun],
    retrievers: Mapping[str, Mapping[str, SeenRun]],
    grades: Mapping[str, dict[str, int]],
    v: Mapping[str, Floats],
    clusters: Ints,
) -> tuple[PoolNumbers | None, list[str]]:
    """The pool's numbers, or None with the reason; arrays are float and int [queries].

    `verifiers`: query id -> run that ranked its pool; `retrievers`: measure -> query id -> run of R; `v`: measure -> V.
    Raises UsageError for R@k where a pool has no more than k documents.
    """
    candidates = {query: run.rankings.get(query, []) for query, run in verifiers.items()}
    if lacking := [query for query, own in candidates.items() if not own]:
        return None, [
            f"the pool is unknown: the verifier's run has no ranking of {len(lacking)} queries (artifacts/run.trec.gz)"
        ]
    some = next(iter(verifiers.values())).manifest
    small = candidate_corpus(some, candidates, {query: grades.get(query, {}) for query in candidates})
    pool = _pool(small, candidates, grades)
    for name in v:
        refuse_recall(name, pool)
    sizes = [len(own) for own in candidates.values()]
    outside = sum(len(set(relevant(grades.get(query, {}))) - set(own)) for query, own in candidates.items())
    restricted, unranked = {}, {}
    for name in v:
        kept = [
            [document for document in run.rankings.get(query, []) if document in wanted]
            for (query, run), wanted in zip(retrievers[name].items(), map(set, candidates.values()), strict=True)
        ]
        unranked[name] = 1 - sum(map(len, kept)) / sum(sizes)
        restricted[name] = _measured(small, kept, name)
    names = list(v)
    columns = intervals(np.stack([restricted[name] for name in names], axis=1), clusters)
    return PoolNumbers(
        candidates=(min(sizes), float(np.mean(sizes)), max(sizes)),
        relevant_outside=outside,
        chance=chance(pool, small, names),
        shuffled=dict(shuffled(pool, small, names)),
        R=dict(zip(names, columns, strict=True)),
        gap={name: difference(v[name] - restricted[name], clusters) for name in names},
        unranked=unranked,
    ), []


def _pool(corpus: Corpus, candidates: Mapping[str, list[str]], grades: Mapping[str, dict[str, int]]) -> Pool:
    """What was ranked, as a pool; in order of document id, so that it does not follow the verifier's ranking."""
    rows = {}
    for query, own in candidates.items():
        golds = set(relevant(grades.get(query, {})))
        inside, others = sorted(golds & set(own)), sorted(set(own) - golds)
        rows[query] = PoolRow(query, tuple(inside), tuple(others), {})
    largest = max(map(len, candidates.values()))
    return Pool(corpus_identity(corpus), "hard", {"families": {}, "seed": SEED}, (largest,), rows)


def _measured(corpus: Corpus, rankings: list[list[str]], name: str) -> Floats:
    ranking = np.full((len(rankings), max(1, *map(len, rankings))), -1)
    for row, documents in enumerate(rankings):
        ranking[row, : len(documents)] = [corpus.doc_number[document] for document in documents]
    return measure(ranking, corpus.qrels, len(corpus), [name])[name]


def twin_numbers(
    systems: Mapping[str, Sequence[SeenRun]],
    grades: Mapping[str, dict[str, int]],
    clusters: Mapping[str, int],
    measures: Sequence[str],
) -> tuple[list[TwinNumbers], list[str]]:
    """The drop from literal to oblique per system and measure, over pairs with the same golds; what was left out, in words.

    `systems` has one run per order of a verifier; a system that knows only one query of every pair has no numbers.
    """
    found, odd = [], 0
    for label, runs in systems.items():
        known = [unit for unit in runs[0].queries.values() if not (unit.missing and runs[0].role == "verifier")]
        pairs = twin_pairs(known)
        same = [pair for pair in pairs if len({frozenset(relevant(grades.get(q.id, {}))) for q in pair}) == 1]
        odd = max(odd, len(pairs) - len(same))
        if not same:
            continue
        of_pair = np.array([clusters[oblique.id] for oblique, _ in same])
        for name in measures:
            values = np.mean(
                [[[run.queries[q.id].measures[name] for q in pair] for pair in same] for run in runs], axis=0
            )
            oblique, literal = intervals(values, of_pair)
            drop = difference(values[:, 1] - values[:, 0], of_pair)
            found.append(TwinNumbers(system=label, measure=name, oblique=oblique, literal=literal, drop=drop))
    return found, [f"{odd} pairs of twins are left out: their golds differ"] if odd else []

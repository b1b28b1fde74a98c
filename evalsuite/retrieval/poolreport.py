"""The flow: corpus x families -> pool file, and its numbers: sizes, the score of chance, what each family adds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evalsuite.errors import UsageError
from evalsuite.retrieval.corpus import Corpus
from evalsuite.retrieval.formats import load_corpus
from evalsuite.retrieval.measures import Measure
from evalsuite.retrieval.poolfamilies import FEWEST_SYSTEMS, LeftOut, leave_one_family_out, query_clusters
from evalsuite.retrieval.poolfile import Kind, Pool, pool_path, write_pool
from evalsuite.retrieval.pools import DEPTH, SEED, SIZES, Families, pool_of, search_families
from evalsuite.retrieval.poolscores import MEASURES, chance, refuse_recall, shuffled
from evalsuite.retrieval.protocols import pool_for_protocol, search_for_protocol
from evalsuite.retrieval.protocols import protocol as named_protocol
from evalsuite.retrieval.runs import Run


def make_pool(
    source: str | Path,
    families: Families,
    output: str | Path,
    *,
    depth: int | Mapping[str, int] | None = None,
    sizes: Sequence[int] | None = None,
    kind: Kind | None = None,
    seed: int | None = None,
    protocol: str | None = None,
    task: str | None = None,
    view: str | None = None,
    measures: Sequence[str] = MEASURES,
    cache: Path | None = None,
) -> dict[str, Any]:
    """Build a pool, write it to `output`, and return its numbers (`pool_report`) with the path as "pool".

    A named protocol sets depth, sizes, kind and seed, and of a task the view too. Raises EvalsuiteError for anything
    that cannot be used.
    """
    output = pool_path(output)
    names = [str(Measure.parse(name)) for name in measures]
    if not names:
        raise UsageError("no measure is named")
    if protocol is None:
        if task is not None:
            raise UsageError("a task belongs to a protocol; none is named")
        corpus = load_corpus(source, view)
        sources = search_families(corpus, families, depth=DEPTH if depth is None else depth, cache=cache)
        pool = pool_of(
            corpus,
            sources,
            sizes=SIZES if sizes is None else sizes,
            kind=kind or "hard",
            seed=SEED if seed is None else seed,
        )
    else:
        given = {"depth": depth, "size": sizes, "kind": kind, "seed": seed}
        if refused := [name for name, value in given.items() if value is not None]:
            raise UsageError(f"the protocol sets {', '.join(refused)}; leave them out, or leave the protocol out")
        wanted = named_protocol(protocol)
        corpus = load_corpus(source, view or (wanted.task(task, "").view if wanted.tasks and task else None))
        sources = search_for_protocol(corpus, wanted, families, task, cache=cache)
        pool = pool_for_protocol(corpus, wanted, sources)
    write_pool(pool, output)
    runs = {found.system.name: found.run for found in sources}
    return {"pool": str(output), **pool_report(corpus, pool, runs, names)}


def pool_report(
    corpus: Corpus, pool: Pool, runs: Mapping[str, Run], measures: Sequence[str] = MEASURES
) -> dict[str, Any]:
    """What `evalsuite retrieval pool --json` prints. `runs` are the rankings of the pool's systems, by name.

    The systems' order is that of the first measure. Raises UsageError as `leave_one_family_out` does.
    """
    rows = pool.rows.values()
    found = {(row.qid, docid) for row in rows for docids in row.sources.values() for docid in docids}
    golds = [(row.qid, docid) for row in rows for docid in row.golds]
    clusters = np.bincount(query_clusters(corpus))
    return {
        "corpus": pool.corpus,
        "kind": pool.kind,
        "sha256": pool.sha256,
        "recipe": pool.recipe,
        "n_queries": len(pool.rows),
        "n_golds": len(golds),
        "n_golds_found_by_none": sum(gold not in found for gold in golds),
        "golds_per_query": _spread([len(row.golds) for row in rows]),
        "sizes": [_size(corpus, pool, size, measures) for size in pool.sizes],
        "order_measure": measures[0],
        "clusters": {"n": len(clusters), "largest": int(clusters.max(initial=0))},
        "families": [_family(pool, left) for left in leave_one_family_out(corpus, pool, runs, measures[0])],
    }


def _spread(counts: Sequence[int]) -> dict[str, float]:
    return {"min": min(counts), "mean": float(np.mean(counts)), "max": max(counts)}


def _size(corpus: Corpus, pool: Pool, size: int, measures: Sequence[str]) -> dict[str, Any]:
    refused: dict[str, str] = {}
    for name in measures:
        try:
            refuse_recall(name, pool, size)
        except UsageError as error:
            refused[name] = error.message
    scored = [name for name in measures if name not in refused]
    by_shuffling = shuffled(pool, corpus, scored, size)
    rows = pool.rows.values()
    return {
        "size": size,
        "candidates": _spread([len(row.cut(size)) for row in rows]),
        "n_short": sum(len(row.cut(size)) < size for row in rows),
        "golds_exceed": [row.qid for row in rows if len(row.golds) > size],
        "chance": chance(pool, corpus, scored, size),
        "shuffled": {name: _interval(value) for name, value in by_shuffling.items()},
        "refused": refused,
    }


def _family(pool: Pool, left: LeftOut) -> dict[str, Any]:
    found = sum(len(set(row.golds) & set(row.sources[left.family])) for row in pool.rows.values())
    few = f"Kendall's tau needs {FEWEST_SYSTEMS} systems; there are {len(left.scores)}"
    same = f"without what {left.family} alone finds all systems score the same, which leaves no order to compare"
    reason = {} if left.tau else {"why": few if len(left.scores) < FEWEST_SYSTEMS else same}
    return {
        "family": left.family,
        "systems": {entry["system"]: entry["depth"] for entry in pool.recipe["families"][left.family]},
        "golds_found": found,
        "golds_only_here": left.n_unique,
        "only_here": left.unique,
        "tau": _interval(left.tau) | reason,
        "change_of_own": _interval(left.own),
        "change_of_others": _interval(left.others),
        "scores": {name: {"with": full, "without": without} for name, (full, without) in left.scores.items()},
    }


def _interval(value: tuple[float, float | None, float | None] | None) -> dict[str, Any]:
    mean, low, high = value or (None, None, None)
    return {"mean": mean, "low": low, "high": high}

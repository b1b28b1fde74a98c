"""Building candidate pools from families of retrievers.

Pooling: Spärck Jones & van Rijsbergen (1975); its bias towards the systems that are pooled: Zobel, SIGIR 1998. All golds
are added, so that a verifier can reach a perfect score: its score says whether relevance can be recognised, not found.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from evalsuite.errors import UsageError
from evalsuite.progress import track
from evalsuite.retrieval.corpus import Corpus
from evalsuite.retrieval.evaluate import QUERY_CHUNK, as_run
from evalsuite.retrieval.poolfamilies import leave_one_family_out
from evalsuite.retrieval.poolfile import (
    Kind,
    Pool,
    PoolRow,
    corpus_identity,
    excluded,
    golds_of,
    read_pool,
    write_pool,
)
from evalsuite.retrieval.poolscores import chance, refuse_recall, shuffled
from evalsuite.retrieval.retrievers import Retriever, System, create
from evalsuite.retrieval.runs import Run, in_order
from evalsuite.storage import default_cache

DEPTH, SIZES, SEED = 100, (100,), 42

Families = Mapping[str, Sequence[str | Retriever]]


@dataclass(frozen=True)
class Source:
    """What one system adds to a pool: its ranking of every query, exclusions out, cut at `depth`."""

    family: str
    system: System
    depth: int
    run: Run


def build_pool(
    corpus: Corpus,
    families: Families,
    *,
    depth: int | Mapping[str, int] = DEPTH,
    sizes: Sequence[int] = SIZES,
    kind: Kind = "hard",
    seed: int = SEED,
    cache: Path | None = None,
) -> Pool:
    """A pool of `corpus` from named families of retrievers: `search_families`, then `pool_of`."""
    return pool_of(
        corpus, search_families(corpus, families, depth=depth, cache=cache), sizes=sizes, kind=kind, seed=seed
    )


def search_families(
    corpus: Corpus, families: Families, *, depth: int | Mapping[str, int] = DEPTH, cache: Path | None = None
) -> list[Source]:
    """Rank the corpus with every system. `depth` is one number, or one per system as it is written, or per family.

    Raises UsageError for a system named twice, a verifier, a depth that is missing or belongs to nothing.
    """
    systems = name_systems(families, cache)
    return search_systems(corpus, systems, _depths(depth, systems))


def name_systems(families: Families, cache: Path | None = None) -> list[tuple[str, System]]:
    """(family, system) in the order given. Raises UsageError as `search_families` does."""
    place = default_cache() if cache is None else cache
    systems = [(family, create(item, place)) for family, items in families.items() for item in items]
    if empty := [family for family, items in families.items() if not items]:
        raise UsageError(f"family {empty[0]!r} names no system")
    names = [system.name for _, system in systems]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"system {twice[0]!r} is named twice; each belongs to one family")
    for _, system in systems:
        if getattr(system.retriever, "role", "retriever") == "verifier":
            raise UsageError(f"{system.name} is a verifier: it ranks a pool and cannot fill one")
    return systems


def search_systems(corpus: Corpus, systems: Sequence[tuple[str, System]], depths: Sequence[int]) -> list[Source]:
    """Rank the corpus with every system to its depth."""
    return [
        Source(family, system, depth, _search(corpus, system, depth))
        for (family, system), depth in zip(systems, depths, strict=True)
    ]


def _depths(depth: int | Mapping[str, int], systems: list[tuple[str, System]]) -> list[int]:
    if isinstance(depth, Mapping):
        known = {key for family, system in systems for key in (family, system.name)}
        if strange := [key for key in depth if key not in known]:
            raise UsageError(f"a depth is given for {strange[0]!r}, which is neither a family nor a system here")
        depths: list[int | None] = [depth.get(system.name, depth.get(family)) for family, system in systems]
    else:
        depths = [depth for _ in systems]
    for (_, system), value in zip(systems, depths, strict=True):
        if value is None or value < 1:
            raise UsageError(
                f"the depth of {system.name} must be 1 or more; found {'none' if value is None else value}"
            )
    return [value for value in depths if value is not None]


def _search(corpus: Corpus, system: System, depth: int) -> Run:
    """Rankings of all queries in order, exclusions out before the cut."""
    most_excluded = int(np.bincount(corpus.exclusions[:, 0]).max()) if len(corpus.exclusions) else 0
    wanted = min(depth + most_excluded, len(corpus))
    system.retriever.index(corpus)
    parts = []
    with track(f"searching {corpus.name} with {system.name}", len(corpus.queries)) as advance:
        for start in range(0, len(corpus.queries), QUERY_CHUNK):
            queries = corpus.queries[start : start + QUERY_CHUNK]
            found = system.retriever.search(queries, wanted)
            parts.append(in_order(as_run(found, corpus, start, len(queries), system.name), corpus, depth))
            advance(len(queries))
    rows = {
        int(q): (d[d >= 0], s[d >= 0]) for p in parts for q, d, s in zip(p.queries, p.documents, p.scores, strict=True)
    }
    return Run.of_rows(rows, [d for d, _ in rows.values()], [s for _, s in rows.values()])


def pool_of(
    corpus: Corpus, sources: Sequence[Source], *, sizes: Sequence[int] = SIZES, kind: Kind = "hard", seed: int = SEED
) -> Pool:
    """The pool that these rankings give.

    Hard: documents by rank 1, 2, ... in turn over the systems, each up to its depth. Random: a seeded draw from the
    whole corpus. Golds and excluded documents are taken out, then all golds added. Without `sizes` everything that was
    found is the pool. Raises UsageError for sizes below 1, a seed below 0, and where a hard pool has no system.
    """
    if kind == "hard" and not sources:
        raise UsageError("a hard pool needs at least one family with a system")
    if any(size < 1 for size in sizes) or (kind == "random" and not sizes):
        raise UsageError(f"sizes must be 1 or more; found {', '.join(map(str, sizes)) or 'none'}")
    if seed < 0:
        raise UsageError(f"the seed must be 0 or more; found {seed}")
    lists = [_rankings(corpus, source.run) for source in sources]
    families: dict[str, list[dict[str, Any]]] = {}
    for source in sources:
        settings = json.loads(json.dumps(source.system.settings(), default=str))  # as the file will have them
        described = {"system": source.system.name, "depth": source.depth, "settings": settings}
        families.setdefault(source.family, []).append(described)
    rows = {}
    for number, query in enumerate(corpus.queries):
        golds = golds_of(corpus, number)
        barred = {corpus.doc_number[gold] for gold in golds} | excluded(corpus, number)
        ranked = [found[number] for found in lists]
        order = (
            _in_turn(ranked) if kind == "hard" else _draw(len(corpus), f"{seed}\0{query.id}", max(sizes) + len(barred))
        )
        room = max(0, max(sizes) - len(golds)) if sizes else None
        docs = [corpus.doc_ids[document] for document in islice((d for d in order if d not in barred), room)]
        kept = {*golds, *docs}
        found_by = {family: _found_by(corpus, family, sources, ranked, kept) for family in families}
        rows[query.id] = PoolRow(query.id, tuple(golds), tuple(docs), found_by)
    whole = max((len(row.golds) + len(row.docs) for row in rows.values()), default=1)
    chosen = tuple(sorted(set(sizes))) or (max(whole, 1),)
    recipe = {
        "families": families,
        "golds": "all added",
        "exclusions": "taken out before the cut at depth",
        "order": "rank by rank in turn over the systems" if kind == "hard" else "random draw from the corpus",
        "seed": seed,
        "sizes": list(sizes) or "everything found",
    }
    return Pool(corpus_identity(corpus), kind, recipe, chosen, rows)


def _found_by(
    corpus: Corpus, family: str, sources: Sequence[Source], ranked: list[list[int]], kept: set[str]
) -> tuple[str, ...]:
    """What the systems of a family found of one query's pool, each document once."""
    found = (
        corpus.doc_ids[document]
        for source, documents in zip(sources, ranked, strict=True)
        if source.family == family
        for document in documents
    )
    return tuple(docid for docid in dict.fromkeys(found) if docid in kept)


def _rankings(corpus: Corpus, run: Run) -> list[list[int]]:
    """Document numbers of every query, best first."""
    found: list[list[int]] = [[] for _ in corpus.queries]
    for query, documents in zip(run.queries.tolist(), run.documents, strict=True):
        found[query] = documents[documents >= 0].tolist()
    return found


def _in_turn(ranked: list[list[int]]) -> Iterator[int]:
    """Every document once: the first of each list, then the second of each, ..."""
    seen: set[int] = set()
    for rank in range(max(map(len, ranked), default=0)):
        for documents in ranked:
            if rank < len(documents) and documents[rank] not in seen:
                seen.add(documents[rank])
                yield documents[rank]


def _draw(n_documents: int, key: str, size: int) -> Iterator[int]:
    """Distinct document numbers, at random but the same for the same key."""
    rng = np.random.default_rng(list(hashlib.sha256(key.encode()).digest()))
    yield from rng.choice(n_documents, min(size, n_documents), replace=False).tolist()


__all__ = [
    "Kind",
    "Pool",
    "PoolRow",
    "Source",
    "build_pool",
    "chance",
    "leave_one_family_out",
    "pool_of",
    "read_pool",
    "refuse_recall",
    "search_families",
    "shuffled",
    "write_pool",
]

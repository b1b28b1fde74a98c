"""What all verifiers share: a pool of candidates per query, the order they are shown in, and ties that tell nothing."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from evalsuite.errors import InputError, UsageError
from evalsuite.retrieval.corpus import Corpus, Qrels, Query
from evalsuite.retrieval.poolfile import Pool, read_pool
from evalsuite.retrieval.retrievers.base import Builtin, Hits, Role
from evalsuite.retrieval.runs import Run, sort_rows
from evalsuite.textfiles import require_file


@dataclass
class Verifier(Builtin):
    """Base of the verifiers. They rank exactly the candidates that the pool holds for a query.

    `pool` is the file of a pool, `size` how much of it is taken (by default all). `order` 1, 2, ... chooses the seeded
    order in which candidates are shown and ties are broken. Queries that the pool lacks are left out of the run: V is
    unknown there, not 0.
    """

    role: ClassVar[Role] = "verifier"
    pool: str | None = None
    size: Annotated[int, Field(ge=1)] | None = None
    order: Annotated[int, Field(ge=1)] = 1

    def __post_init__(self) -> None:
        self._pool: Pool | None = None
        self._candidates: dict[str, list[int]] = {}
        if self.pool is not None:
            require_file(Path(self.pool))
        elif self.size is not None:
            raise UsageError("size takes the first of a pool; it needs pool=FILE")

    def settings(self) -> dict[str, Any]:
        own = super().settings()
        pool = self._pool
        own["pool"] = None if pool is None else {"kind": pool.kind, "sha256": pool.sha256}
        own["size"] = None if pool is None else pool.size(self.size)
        return own

    def scope(self, corpus: Corpus) -> Corpus:
        """The corpus with the queries that have candidates. Raises InputError where there is none."""
        found = self._find_candidates(corpus)
        numbers = {qid: [corpus.doc_number[name] for name in names] for qid, names in found.items()}
        self._candidates = {query.id: numbers[query.id] for query in corpus.queries if numbers.get(query.id)}
        if not self._candidates:
            raise InputError(f"none of the queries of {corpus.name} has a candidate to verify")
        return only(corpus, self._candidates)

    def _find_candidates(self, corpus: Corpus) -> Mapping[str, Iterable[str]]:
        """Query id -> ids of the documents to rank."""
        if self.pool is None:
            raise UsageError("a verifier needs pool=FILE; `evalsuite retrieval pool` makes one")
        self._pool = read_pool(Path(self.pool), corpus)
        return {qid: self._pool.candidates(qid, self.size) for qid in self._pool.rows}

    def index(self, corpus: Corpus) -> None:
        if not self._candidates:
            raise UsageError("a verifier stands for itself; it cannot be part of another system")
        self._corpus = corpus
        counts = [len(self._candidates[query.id]) for query in corpus.queries]
        outside = _relevant_outside(corpus, self._candidates)
        total = int((corpus.qrels.grade > 0).sum())
        self._own_notes = [f"{outside} of {total} relevant documents are not among the candidates"] if outside else []
        self.facts = {
            "candidates_per_query": float(np.mean(counts)),
            "relevant_outside_pool": outside,
            "notes": self._own_notes,
        }

    def read_texts(self, corpus: Corpus) -> dict[int, str]:
        """The texts of all candidates by document number."""
        wanted = {number for documents in self._candidates.values() for number in documents}
        return {number: document.contents for number, document in enumerate(corpus.documents()) if number in wanted}

    def search(self, queries: Sequence[Query], k: int) -> Hits:
        names = self._corpus.doc_ids
        shown = [shuffled(self._candidates[query.id], names, self.order, query.id) for query in queries]
        scored = self._score(queries, shown)
        rows = [untied(np.asarray(scores, np.float64)) for scores in scored]
        run = Run.of_rows(range(len(queries)), [np.array(row, np.int64) for row in shown], rows)
        documents, scores = sort_rows(run.documents, run.scores, self._corpus.id_order)
        return Hits(documents[:, :k], scores[:, :k])

    @abstractmethod
    def _score(
        self, queries: Sequence[Query], shown: list[list[int]]
    ) -> Sequence[Sequence[float] | NDArray[np.float64]]:
        """Per query the scores of its candidates (document numbers), in the order in which they are shown."""


def shuffled(documents: Iterable[int], names: Sequence[str], order: int, qid: str) -> list[int]:
    """The documents in the seeded order number `order` of a query, whatever order they come in."""
    known = sorted(documents, key=names.__getitem__)
    digest = hashlib.sha256(f"{order}\0{qid}".encode()).digest()
    return [known[place] for place in np.random.default_rng(list(digest)).permutation(len(known))]


def untied(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """The scores with ties broken in the order given, the first highest, by less than any step between scores."""
    values, group, counts = np.unique(scores, return_inverse=True, return_counts=True)
    if len(values) == len(scores):
        return scores
    step = np.diff(values).min(initial=1.0)
    ranked = np.lexsort((np.arange(len(scores)), -scores))
    place = np.empty(len(scores), np.int64)
    place[ranked] = np.arange(len(scores))
    last = np.cumsum(counts[::-1])[::-1][group] - 1  # the place of the last document with this score
    broken: NDArray[np.float64] = scores + step * (last - place) / counts[group]
    return broken


def only(corpus: Corpus, kept: Iterable[str]) -> Corpus:
    """The corpus with these queries alone, which a note says; documents and hashes stay."""
    wanted = set(kept)
    mask = np.array([query.id in wanted for query in corpus.queries])
    if mask.all():
        return corpus
    number = np.cumsum(mask) - 1
    qrels, exclusions = corpus.qrels, corpus.exclusions
    rows = mask[qrels.query]
    note = f"{int((~mask).sum())} of {len(mask)} queries have nothing to verify and are left out: V is unknown for them"
    return replace(
        corpus,
        queries=[query for query in corpus.queries if query.id in wanted],
        qrels=Qrels.of(number[qrels.query[rows]], qrels.document[rows], qrels.grade[rows]),
        exclusions=np.stack([number[exclusions[:, 0]], exclusions[:, 1]], axis=1)[mask[exclusions[:, 0]]],
        unjudged_queries=corpus.unjudged_queries | {query.id for query in corpus.queries if query.id not in wanted},
        notes=[*corpus.notes, note],
    )


def _relevant_outside(corpus: Corpus, candidates: Mapping[str, Sequence[int]]) -> int:
    qrels, inside = corpus.qrels, {(query, doc) for query, docs in candidates.items() for doc in docs}
    relevant = np.flatnonzero(qrels.grade > 0)
    return sum((corpus.queries[qrels.query[i]].id, int(qrels.document[i])) not in inside for i in relevant)

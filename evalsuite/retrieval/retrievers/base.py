"""What a retriever is: two methods. Everything else here helps the built-in ones."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from evalsuite.retrieval.corpus import Corpus, Query
from evalsuite.retrieval.runs import Scores, sort_rows

TIE_ROOM = 16

Role = Literal["retriever", "second-stage", "verifier"]
Track = Literal["none", "query", "index", "read-everything"]


class Hits(NamedTuple):
    """Ranked documents of some queries: numbers int [queries, k], -1 where there is none, and scores [queries, k]."""

    documents: NDArray[np.int64]
    scores: NDArray[np.float64]


@runtime_checkable
class Retriever(Protocol):
    """A first-stage retriever. Any object with these two methods can be evaluated."""

    def index(self, corpus: Corpus) -> None:
        """Prepare for searching `corpus`; iterate `corpus.documents()`."""

    def search(self, queries: Sequence[Query], k: int) -> Hits | Scores:
        """The best k documents of each query: `Hits`, or {query id: {document id: score}} as BEIR and MTEB have it."""


@dataclass
class Builtin(ABC):
    """Base of the built-in retrievers: its dataclass fields are its settings, `facts` is what it measured of itself.

    `live` says that its answers are another machine's: a finished run never stands for a new one.
    `role` keeps what only reorders candidates apart from first stages, `track` says where it spends calls of an LLM.
    `facts` may hold "tokens" {input, output, cached}, "cost" (USD or None: unknown) and "seconds_per_query" [..]: its usage;
    "made_elsewhere": it only reads a ranking, so what that took is unknown; and "notes" [..]: what a reader of its numbers
    must know. `trace` is what an LLM made of the queries of the last search, one record {"qid", "system", ...} each; it is
    kept in artifacts/trace/.
    """

    role: ClassVar[Role] = "retriever"
    track: ClassVar[Track] = "none"
    live: ClassVar[bool] = False
    cache: Path | None = field(default=None, kw_only=True, metadata={"setting": False})
    facts: dict[str, Any] = field(default_factory=dict, init=False, metadata={"setting": False})
    trace: list[dict[str, Any]] = field(default_factory=list, init=False, metadata={"setting": False})

    def scope(self, corpus: Corpus) -> Corpus:
        """The corpus with the queries it can answer for, by default all; called before `settings` and `index`."""
        return corpus

    @abstractmethod
    def index(self, corpus: Corpus) -> None: ...

    @abstractmethod
    def search(self, queries: Sequence[Query], k: int) -> Hits: ...

    def settings(self) -> dict[str, Any]:
        """Every setting that changes the ranking."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.metadata.get("setting", True)}


def top_k(scores: NDArray[np.floating], k: int) -> NDArray[np.int64]:
    """Places of the k highest values in each row, unordered. Shapes [n, m] -> [n, min(k, m)]."""
    if k >= scores.shape[1]:
        return np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    return np.argpartition(scores, -k, axis=1)[:, -k:]


def settle(
    documents: NDArray[np.integer],
    scores: NDArray[np.floating],
    k: int,
    corpus: Corpus,
    all_scores: Callable[[int], NDArray[np.floating]],
    *,
    positive: bool = False,
) -> Hits:
    """The exact top k, ties at the cut included, from a candidate list somewhat longer than k.

    Where the tie at the cut may run past the candidates, `all_scores(row)` [documents] decides. `positive` drops
    scores of 0 and less.
    """
    documents, scores = sort_rows(documents.astype(np.int64), scores.astype(np.float64), corpus.id_order)
    width = scores.shape[1]
    if k < width < len(corpus):
        for row in np.flatnonzero((scores[:, k - 1] == scores[:, -1]) & (not positive or scores[:, -1] > 0)):
            full = all_scores(int(row)).astype(np.float64)
            best = np.flatnonzero(full >= np.partition(full, -k)[-k])
            best = best[np.lexsort((-corpus.id_order[best], -full[best]))][:k]
            documents[row, :k], scores[row, :k] = best, full[best]
    documents, scores = documents[:, :k], scores[:, :k]
    absent = (documents < 0) | (scores <= 0) if positive else documents < 0
    return Hits(np.where(absent, -1, documents), np.where(absent, -np.inf, scores))

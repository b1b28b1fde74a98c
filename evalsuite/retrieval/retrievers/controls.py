"""Controls that a real retriever must beat: chance, and a ranking that never reads the query."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from evalsuite.retrieval.corpus import Corpus, Query
from evalsuite.retrieval.retrievers.base import Builtin, Hits


@dataclass
class Random(Builtin):
    """A random ranking per query, the same for the same seed, query id and corpus size."""

    seed: Annotated[int, Field(ge=0)] = 0

    def index(self, corpus: Corpus) -> None:
        self._size = len(corpus)

    def search(self, queries: Sequence[Query], k: int) -> Hits:
        k = min(k, self._size)
        documents = np.empty((len(queries), k), dtype=np.int64)
        for row, query in enumerate(queries):
            digest = hashlib.sha256(f"{self.seed}\0{query.id}".encode()).digest()
            documents[row] = np.random.default_rng(list(digest)).permutation(self._size)[:k]
        return Hits(documents, np.tile(np.arange(k, 0, -1, dtype=np.float64), (len(queries), 1)))


@dataclass
class Prior(Builtin):
    """All documents by length in characters, whatever the query: what document length alone gives away."""

    order: Literal["longest", "shortest"] = "longest"

    def index(self, corpus: Corpus) -> None:
        lengths = np.array([len(document.contents) for document in corpus.documents()], dtype=np.float64)
        scores = lengths if self.order == "longest" else -lengths
        self._ranking = np.lexsort((-corpus.id_order, -scores))
        self._scores = scores[self._ranking]

    def search(self, queries: Sequence[Query], k: int) -> Hits:
        shape = (len(queries), 1)
        return Hits(np.tile(self._ranking[:k], shape), np.tile(self._scores[:k], shape))

"""Hybrid retrieval: reciprocal rank fusion of two or more retrievers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from evalsuite.errors import UsageError
from evalsuite.retrieval.corpus import Corpus, Query
from evalsuite.retrieval.retrievers.base import Builtin, Hits
from evalsuite.retrieval.retrievers.composite import Composite, described, merged_facts
from evalsuite.retrieval.runs import Run, sort_rows


@dataclass
class Hybrid(Composite):
    """score(d) = sum over retrievers of 1 / (k + rank(d)), over the first `depth` documents of each.

    Source: Cormack, Clarke & Büttcher, SIGIR 2009 (k = 60).
    """

    parts: list[Builtin] = field(metadata={"setting": False})
    k: int = field(default=60, metadata={"command_line": False})
    depth: int = field(default=1000, metadata={"command_line": False})

    def __post_init__(self) -> None:
        if len(self.parts) < 2:
            raise UsageError("hybrid needs two or more retrievers, as in hybrid:bm25+dense")

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "parts": [described(part) for part in self.parts]}

    @property
    def inner(self) -> Sequence[Builtin]:
        return self.parts

    def index(self, corpus: Corpus) -> None:
        self._corpus = corpus
        for part in self.parts:
            part.index(corpus)
        self.facts = merged_facts(*(part.facts for part in self.parts))

    def search(self, queries: Sequence[Query], k: int) -> Hits:
        found = [part.search(queries, max(self.depth, k)) for part in self.parts]
        self.facts = merged_facts(*(part.facts for part in self.parts))
        self.trace = [record for part in self.parts for record in part.trace]
        documents, scores = [], []
        for row in range(len(queries)):
            ranked = [hits.documents[row, : self.depth] for hits in found]
            names, place = np.unique(np.concatenate(ranked), return_inverse=True)
            gain = np.concatenate([1 / (self.k + np.arange(1, len(r) + 1)) for r in ranked])
            total = np.bincount(place, weights=gain, minlength=len(names))
            documents.append(names[names >= 0])
            scores.append(total[names >= 0])
        run = Run.of_rows(range(len(queries)), documents, scores)
        ordered = sort_rows(run.documents, run.scores, self._corpus.id_order)
        return Hits(ordered[0][:, :k], ordered[1][:, :k])

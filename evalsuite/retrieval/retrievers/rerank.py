"""A second stage: the first documents of any retriever, put in order by a cross-encoder or an LLM."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from evalsuite.errors import UsageError
from evalsuite.progress import track as progress
from evalsuite.retrieval.corpus import Corpus, Query
from evalsuite.retrieval.retrievers.base import Builtin, Hits, Role, Track
from evalsuite.retrieval.retrievers.composite import (
    Asking,
    described,
    excluded_of,
    hits_of,
    part_of,
    ranked_rows,
    texts_of,
)
from evalsuite.retrieval.verifiers.crossencoder import PairScorer
from evalsuite.retrieval.verifiers.llm import CHARS, Judge


@dataclass
class Rerank(Asking):
    """A second stage: the first `depth` documents of `first` in the order of a cross-encoder or an LLM, the rest below.

    `by` is cross-encoder, with `model` a folder or a name on the hub, or the protocol of an LLM: pointwise, listwise,
    tournament, binary (then track query). Equal scores stay in the order of the first stage.
    """

    own_role: ClassVar[Role] = "second-stage"

    first: str = "bm25"
    by: Literal["cross-encoder", "pointwise", "listwise", "tournament", "binary"] = "cross-encoder"
    depth: Annotated[int, Field(ge=1)] = 100
    chars: Annotated[int, Field(ge=1)] = CHARS
    max_seq_length: Annotated[int, Field(ge=1)] | None = None
    batch_size: Annotated[int, Field(ge=1)] = field(default=32, metadata={"setting": False})

    def __post_init__(self) -> None:
        super().__post_init__()
        self._first = part_of("rerank", self.first, self.cache)
        self._scorer: PairScorer | Judge
        if self.by != "cross-encoder":
            if self.max_seq_length is not None:
                raise UsageError("rerank: max_seq_length is for by=cross-encoder; an LLM reads chars= of each document")
            self._scorer = Judge(self._replies(), self.by, chars=self.chars)
        elif self.base_url is not None:
            raise UsageError("rerank: base_url is for an LLM; say by=pointwise, listwise, tournament or binary")
        else:
            self._scorer = PairScorer(
                self.model, self.cache, max_seq_length=self.max_seq_length, batch_size=self.batch_size
            )

    @property
    def track(self) -> Track:  # type: ignore[override]
        return "query" if self.by != "cross-encoder" and super().track == "none" else super().track

    @property
    def inner(self) -> Sequence[Builtin]:
        return [self._first]

    def settings(self) -> dict[str, Any]:
        shared = {"first": described(self._first), "by": self.by, "depth": self.depth}
        return {**shared, **self._scorer.settings()}

    def index(self, corpus: Corpus) -> None:
        self._corpus, self._excluded = corpus, excluded_of(corpus)
        self._first.index(corpus)
        self.facts = dict(self._first.facts)

    def search(self, queries: Sequence[Query], k: int) -> Hits:
        began = time.perf_counter()
        spare = max(map(len, self._excluded.values()), default=0)
        hits = self._first.search(queries, min(max(k, self.depth + spare), len(self._corpus)))
        rows = ranked_rows(hits, queries, self._excluded)
        self.trace = self._first.trace
        texts = texts_of(self._corpus, {document for row in rows for document in row[: self.depth]})
        share = (time.perf_counter() - began) / len(queries)
        scored = self._score(queries, [[texts[document] for document in row[: self.depth]] for row in rows])
        ordered = []
        for row, (scores, _) in zip(rows, scored, strict=True):
            places = np.argsort(-np.asarray(scores, np.float64), kind="stable")
            ordered.append([row[place] for place in places] + row[self.depth :])
        self._account(self._scorer.facts(), [share + seconds for _, seconds in scored])
        return hits_of(ordered, k)

    def _score(self, queries: Sequence[Query], texts: list[list[str]]) -> list[tuple[Sequence[float], float]]:
        """Per query the scores of its candidates, and the seconds they took."""
        if isinstance(self._scorer, Judge):
            judge = self._scorer

            async def ask(place: int) -> list[float]:
                return await judge.scores(queries[place].text, texts[place]) if texts[place] else []

            return list(self._ask_all(judge.replies, ask, range(len(queries))))
        found: list[tuple[Sequence[float], float]] = []
        with progress(f"reranking with {self.model}", len(queries)) as advance:
            for query, candidates in zip(queries, texts, strict=True):
                began = time.perf_counter()
                scores = self._scorer.scores(query.text, candidates).tolist() if candidates else []
                found.append((scores, time.perf_counter() - began))
                advance(1)
        return found

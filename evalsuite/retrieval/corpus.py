"""Corpus, Query and Qrels: what retrieval is scored on. Reading them from disk is in `formats`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalsuite.errors import InputError
from evalsuite.storage import sha256_json


class Document(NamedTuple):
    """One document. `contents` is what retrievers read: title and text joined by a space (BEIR's "flat")."""

    id: str
    title: str
    text: str

    @property
    def contents(self) -> str:
        return f"{self.title} {self.text}".strip()


@dataclass(frozen=True)
class Query:
    """One query. `group` ties queries that are not independent (shared golds, twins): intervals resample groups.

    `split` is "dev" (choices are made on it) or "test" (they are reported on it), where the corpus has a split.
    """

    id: str
    text: str
    mechanism: str | None = None
    group: str | None = None
    twin_of: str | None = None
    split: str | None = None


@dataclass(frozen=True)
class Qrels:
    """Judgements as parallel arrays sorted by (query, document): numbers into `Corpus.queries` and `Corpus.doc_ids`.

    Shapes: `query`, `document`, `grade` all int [judgements]. A grade of 1 or more is relevant; 0 is judged not relevant.
    """

    query: NDArray[np.int64]
    document: NDArray[np.int64]
    grade: NDArray[np.int64]

    @classmethod
    def of(cls, query: NDArray[np.int64], document: NDArray[np.int64], grade: NDArray[np.int64]) -> Qrels:
        order = np.lexsort((document, query))
        return cls(query[order], document[order], grade[order])

    def of_queries(self, start: int, stop: int) -> Qrels:
        """The judgements of queries start..stop-1, which become queries 0..stop-start-1."""
        rows = slice(*np.searchsorted(self.query, [start, stop]))
        return Qrels(self.query[rows] - start, self.document[rows], self.grade[rows])


@dataclass
class Corpus:
    """A document collection with the queries and judgements of one view.

    Documents stay on disk: `documents()` streams them anew on every call, so memory holds ids, not texts.
    `exclusions` are (query, document) pairs, int [n, 2], removed from every ranking before any cut.
    `same_text` int [documents] gives, per document, the first document with the same contents; `no_text` are those without any.
    `copies` are ids of documents merged into their first copy, with its number (see `merge_copies`).
    `unjudged_queries` are ids that the corpus has but this view does not judge.
    `root` is the folder it was read from, `card` its corpus.yaml.
    """

    name: str
    version: str
    view: str
    doc_ids: list[str]
    files: dict[str, str]
    stream: Callable[[], Iterator[Document]]
    queries: list[Query] = field(default_factory=list)
    qrels: Qrels = field(default_factory=lambda: Qrels.of(*np.empty((3, 0), dtype=np.int64)))
    exclusions: NDArray[np.int64] = field(default_factory=lambda: np.empty((0, 2), dtype=np.int64))
    same_text: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    no_text: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))
    copies: dict[str, int] = field(default_factory=dict)
    unjudged_queries: frozenset[str] = frozenset()
    notes: list[str] = field(default_factory=list)
    documents_sha256: str = ""
    root: Path | None = None
    card: dict[str, Any] = field(default_factory=dict)

    def documents(self) -> Iterator[Document]:
        """Stream the documents in file order."""
        return self.stream()

    def __len__(self) -> int:
        return len(self.doc_ids)

    @cached_property
    def sha256(self) -> str:
        """Hash over all that the numbers rest on: documents, queries, the view's judgements, exclusions, the card's settings."""
        return sha256_json(self.files)

    @cached_property
    def doc_number(self) -> dict[str, int]:
        """Document id -> its number; a merged copy's id leads to the first copy."""
        return {**self.copies, **{name: number for number, name in enumerate(self.doc_ids)}}

    @cached_property
    def query_number(self) -> dict[str, int]:
        """Query id -> its number."""
        return {query.id: number for number, query in enumerate(self.queries)}

    @cached_property
    def id_order(self) -> NDArray[np.int32]:
        """Per document, its place when ids are sorted as strings: the tie-breaker (trec_eval: later ids first)."""
        order = np.empty(len(self.doc_ids), dtype=np.int32)
        order[sorted(range(len(self.doc_ids)), key=self.doc_ids.__getitem__)] = np.arange(len(self.doc_ids))
        return order

    @property
    def is_copy(self) -> NDArray[np.bool_]:
        """Per document, whether its contents repeat an earlier document's exactly."""
        return np.asarray(self.same_text != np.arange(len(self.same_text)))


def merge_copies(corpus: Corpus, where: str) -> Corpus:
    """The corpus with one document per distinct text: copies are neither indexed nor ranked.

    The first copy takes the best grade of its copies, and is excluded where any of them is. Raises InputError at `where`
    if that would exclude a relevant document.
    """
    dropped = corpus.is_copy
    number = (np.cumsum(~dropped) - 1)[corpus.same_text]
    qrels = corpus.qrels
    order = np.lexsort((-qrels.grade, number[qrels.document], qrels.query))
    keys = qrels.query[order] * len(corpus) + number[qrels.document[order]]
    best = order[np.unique(keys, return_index=True)[1]]
    merged = Qrels.of(qrels.query[best], number[qrels.document[best]], qrels.grade[best])
    pairs = np.unique(np.stack([corpus.exclusions[:, 0], number[corpus.exclusions[:, 1]]], axis=1), axis=0)
    golds = set(zip(merged.query[merged.grade > 0].tolist(), merged.document[merged.grade > 0].tolist(), strict=True))
    for query, document in pairs.tolist():
        if (query, document) in golds:
            name = corpus.doc_ids[int(np.flatnonzero(~dropped)[document])]
            raise InputError(
                f"query {corpus.queries[query].id!r} excludes a copy of {name!r}, which is relevant to it",
                where=where,
            )
    return replace(
        corpus,
        doc_ids=[name for name, copy in zip(corpus.doc_ids, dropped, strict=True) if not copy],
        qrels=merged,
        stream=lambda: (d for d, copy in zip(corpus.stream(), dropped, strict=True) if not copy),
        exclusions=pairs,
        same_text=np.arange(int((~dropped).sum())),
        no_text=np.unique(number[corpus.no_text]),
        copies={corpus.doc_ids[i]: int(number[i]) for i in np.flatnonzero(dropped)},
        documents_sha256=f"{corpus.documents_sha256}-merged",
    )

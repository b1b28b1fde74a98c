"""Corpora by their ir_datasets id."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

from evalsuite.errors import InputError, MissingDependencyError
from evalsuite.retrieval.corpus import Corpus, Document, Query
from evalsuite.retrieval.formats import ViewError, judge, scan


def load(name: str, view: str | None) -> Corpus:
    """The documents, queries and judgements of an ir_datasets id such as "beir/scifact/test"; queries without judgements
    are left out with a note. Raises InputError for an id that is unknown, unjudged or cannot be read.
    """
    try:
        import ir_datasets
    except ImportError as error:
        raise MissingDependencyError(
            "needs the extra: pip install 'evalsuite[ir-datasets]'", where=f"ir_datasets:{name}"
        ) from error
    place = f"ir_datasets:{name}"
    if view not in (None, "qrels"):
        told = f"has no view {view!r}; an ir_datasets id names one set of judgements"
        raise ViewError(told, ["qrels"], where=place)
    try:
        dataset = ir_datasets.load(name)
        lacking = [part for part in ("docs", "queries", "qrels") if not getattr(dataset, f"has_{part}")()]
    except KeyError as error:
        raise InputError("is not an ir_datasets id", where=place) from error
    if lacking:
        raise InputError(f"has no {' and no '.join(lacking)}; choose an id that names a judged query set", where=place)

    def documents() -> Iterator[tuple[str, Document]]:
        for number, record in enumerate(dataset.docs_iter(), 1):
            yield f"{place}, document {number}", Document(record.doc_id, "", record.default_text())

    try:
        scanned = scan(documents, place)
        found: dict[str, tuple[str, Query]] = {}
        for record in dataset.queries_iter():
            if not record.default_text().strip():
                raise InputError(f"query {record.query_id!r} has an empty text", where=place)
            if record.query_id in found:
                raise InputError(f"query id {record.query_id!r} appears twice", where=place)
            found[record.query_id] = place, Query(record.query_id, record.default_text())
        rows = [
            (f"{place}, judgement {n}", r.query_id, r.doc_id, r.relevance)
            for n, r in enumerate(dataset.qrels_iter(), 1)
        ]
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise InputError(f"cannot be read: {error}", where=place) from error
    parts = {"queries": [(q.id, q.text) for _, q in found.values()], "qrels": [row[1:] for row in rows]}
    hashes = {part: hashlib.sha256(json.dumps(content).encode()).hexdigest() for part, content in parts.items()}
    corpus = Corpus(
        name=name,
        version="ir_datasets",
        view="qrels",
        doc_ids=scanned.doc_ids,
        files={"docs": scanned.documents_sha256, **hashes},
        notes=scanned.notes,
        stream=lambda: (document for _, document in documents()),
        same_text=scanned.same_text,
        no_text=scanned.no_text,
        documents_sha256=scanned.documents_sha256,
    )
    judge(corpus, found, rows, place)
    return corpus

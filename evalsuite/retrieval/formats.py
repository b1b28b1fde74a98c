"""Corpora as they are published: our folders, BEIR, OBLIQ-Bench, Hugging Face repositories, ir_datasets.

Everything is checked while it is read, one document at a time; the first problem is an error with file and line.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalsuite.errors import InputError, at, shown
from evalsuite.progress import track
from evalsuite.retrieval.corpus import Corpus, Document, Qrels, Query, merge_copies
from evalsuite.retrieval.layouts import Card, Layout, find_layout, huggingface_layout
from evalsuite.storage import sha256_file, sha256_json
from evalsuite.textfiles import identifier, number, read_jsonl, read_lines, require_file, unique_keys

PREFERRED_VIEWS = ("gold", "test")


class ViewError(InputError):
    """The corpus can be read, but not by that view, or not without one. `views` are those it has."""

    def __init__(self, message: str, views: Iterable[str], *, where: str) -> None:
        super().__init__(message, where=where)
        self.views = list(views)


def load_corpus(source: str | Path, view: str | None = None) -> Corpus:
    """Load and check a corpus.

    `source` is a folder (ours, BEIR's or OBLIQ-Bench's layout), "ir_datasets:ID" or "hf:owner/name[/config][@revision]".
    `view` names the judgements: gold, pooled, or a BEIR split; by default the card's, else gold, else test, else the only one.
    Raises InputError naming file and line for anything that cannot be scored as it stands, ViewError for another view.
    """
    text = str(source)
    if text.startswith("ir_datasets:"):
        from evalsuite.retrieval.irdatasets import load

        return load(text.removeprefix("ir_datasets:"), view)
    layout = huggingface_layout(text.removeprefix("hf:")) if text.startswith("hf:") else find_layout(Path(source))
    return _load(layout, view)


# ---------------------------------------------------------------- what is in the files


def records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (where, record) of a .jsonl, .jsonl.gz or .parquet file."""
    if path.name.endswith(".parquet"):
        import pyarrow as pa
        import pyarrow.parquet as pq

        require_file(path)
        try:
            row = 0
            for batch in pq.ParquetFile(path).iter_batches(batch_size=2048):
                for record in batch.to_pylist():
                    row += 1
                    yield at(path, row, unit="row"), record
        except (pa.ArrowInvalid, OSError, UnicodeDecodeError) as error:
            raise InputError(f"is not readable Parquet ({error})", where=str(path)) from error
    else:
        for line, record in read_jsonl(path):
            yield at(path, line), record


def _id(record: dict[str, Any], keys: tuple[str, ...], where: str) -> str:
    key = next((key for key in keys if record.get(key) is not None), None)
    if key is None:
        raise InputError(f"has no {keys[0]!r}; found the keys {', '.join(record) or '(none)'}", where=where)
    return identifier(record, key, where)


def _string(record: dict[str, Any], key: str, where: str, *, optional: bool = False) -> str:
    value = record.get(key)
    if value is None and optional:
        return ""
    if not isinstance(value, str):
        found = f"found {shown(value)}" if key in record else f"found the keys {', '.join(record)}"
        raise InputError(f"key {key!r} must be a string; {found}", where=where)
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"key {key!r} holds half a surrogate pair", where=where) from error
    return value


def _documents(paths: list[Path]) -> Iterator[tuple[str, Document]]:
    for path in paths:
        for where, record in records(path):
            document = Document(
                _id(record, ("_id", "id"), where),
                _string(record, "title", where, optional=True),
                _string(record, "text", where),
            )
            yield where, document


def _queries(layout: Layout) -> dict[str, tuple[str, Query]]:
    """Query id -> (where, query), in file order."""
    found: dict[str, tuple[str, Query]] = {}
    for path in layout.queries:
        for where, record in records(path):
            name, text = _id(record, ("_id", "id"), where), _string(record, "text", where)
            if not text.strip():
                raise InputError(f"query {name!r} has an empty text", where=where)
            if name in found:
                raise InputError(f"query id {name!r} appears twice, first at {found[name][0]}", where=where)
            metadata = record.get("metadata") or {}
            if not isinstance(metadata, dict):
                raise InputError(f"key 'metadata' must be an object; found {shown(metadata)}", where=where)
            labels = {
                key: _string(metadata, key, where) for key in ("mechanism", "group", "twin_of") if metadata.get(key)
            }
            labels.setdefault("mechanism", layout.card.mechanism or layout.mechanism or "")
            found[name] = where, Query(name, text, **{k: v for k, v in labels.items() if v})
    for where, query in found.values():
        if query.twin_of is not None and query.twin_of not in found:
            raise InputError(
                f"query {query.id!r} is the twin of {query.twin_of!r}, which is no query here", where=where
            )
    return found


def read_qrels(path: Path) -> Iterator[tuple[str, str, str, int]]:
    """Yield (where, query id, document id, grade) of a qrels file: TAB-separated, or records with the same names."""
    if not path.name.endswith(".tsv"):
        for where, record in records(path):
            query, document = (
                _id(record, ("query-id", "query_id"), where),
                _id(record, ("corpus-id", "corpus_id"), where),
            )
            yield where, query, document, _grade(record.get("score"), where)
        return
    columns = 3
    for line, text in read_lines(path):
        where = at(path, line)
        if not text.strip():
            continue
        cells = text.split("\t")
        if line == 1 and cells[0].strip().lower().replace("_", "-") in ("query-id", "qid"):
            columns = len(cells)
            continue
        if len(cells) == 2 == columns:
            cells.append("1")
        if len(cells) != 3:
            raise InputError(
                f"has {len(cells)} column(s); needed are query-id, corpus-id, score separated by TABs", where=where
            )
        if not cells[0] or not cells[1]:
            raise InputError("an id is empty", where=where)
        yield where, cells[0], cells[1], _grade(cells[2].strip(), where)


def _grade(value: object, where: str) -> int:
    try:
        grade = number(value, "score", where)
    except InputError:
        grade = 0.5
    if grade != int(grade) or abs(grade) >= 2**31:
        raise InputError(f"the score must be a whole number; found {shown(value)}", where=where)
    return int(grade)


def _split(queries: dict[str, tuple[str, Query]], path: Path) -> dict[str, tuple[str, Query]]:
    """The queries with the split that split.tsv (header query-id, split) gives each of them: dev or test."""
    found: dict[str, str] = {}
    for line, text in read_lines(path):
        cells = text.split("\t")
        if not text.strip() or (line == 1 and cells[0].replace("_", "-") == "query-id"):
            continue
        if len(cells) != 2 or cells[1] not in ("dev", "test"):
            raise InputError(
                f"needed are a query id, a TAB, and dev or test; found {shown(text)}", where=at(path, line)
            )
        if cells[0] not in queries or found.setdefault(cells[0], cells[1]) != cells[1]:
            told = "names a query twice" if cells[0] in queries else "names a query that is not among the queries"
            raise InputError(f"{told}: {cells[0]!r}", where=at(path, line))
    if lacking := [name for name in queries if name not in found]:
        raise InputError(f"gives query {lacking[0]!r} no split", where=str(path))
    return {name: (where, replace(query, split=found[name])) for name, (where, query) in queries.items()}


def _exclusions(path: Path) -> dict[str, list[str]]:
    try:
        content = json.loads(require_file(path).read_text(encoding="utf-8-sig"), object_pairs_hook=unique_keys)
    except ValueError as error:
        raise InputError(f"is not JSON: {error}", where=at(path, getattr(error, "lineno", None))) from error
    except RecursionError as error:
        raise InputError("is nested too deeply to be read", where=str(path)) from error
    if not isinstance(content, dict):
        raise InputError('must be an object {"query id": ["document id", ...]}', where=str(path))
    for query, documents in content.items():
        if not isinstance(documents, list) or not all(type(d) in (str, int) for d in documents):
            raise InputError(f"key {query!r} must be a list of document ids; found {shown(documents)}", where=str(path))
    return {query: [str(document) for document in documents] for query, documents in content.items()}


# ---------------------------------------------------------------- putting it together


def _load(layout: Layout, view: str | None) -> Corpus:
    card = layout.card
    chosen = _choose_view(layout, view)
    for name, expected in card.sha256.items():
        file = require_file(layout.root / name)
        if (found := sha256_file(file)) != expected:
            raise InputError(f"its sha256 is {found[:12]}..., the card says {expected[:12]}...", where=str(file))
    parts = [*layout.documents, *layout.queries, *layout.views[chosen]]
    parts += [part for part in (layout.exclusions, layout.split) if part is not None]
    scanned = scan(lambda: _documents(layout.documents), str(layout.documents[0]))
    corpus = Corpus(
        name=card.name or layout.name,
        version=card.version,
        view=chosen,
        doc_ids=scanned.doc_ids,
        files=_hashes(layout, parts),
        stream=lambda: (document for _, document in _documents(layout.documents)),
        same_text=scanned.same_text,
        no_text=scanned.no_text,
        notes=[*layout.notes, *scanned.notes],
        documents_sha256=scanned.documents_sha256,
        root=layout.root,
        card=card.model_dump(),
    )
    queries = _queries(layout)
    if layout.split is not None:
        queries = _split(queries, layout.split)
    judged = {
        q for name in layout.views if name != chosen for path in layout.views[name] for _, q, _, _ in read_qrels(path)
    }
    rows = [row for path in layout.views[chosen] for row in read_qrels(path)]
    judge(corpus, queries, rows, str(layout.views[chosen][0]), elsewhere=judged)
    if layout.exclusions is not None:
        _exclude(corpus, queries, _exclusions(layout.exclusions), str(layout.exclusions))
    if copies := int(corpus.is_copy.sum()):
        how = "scored as one" if card.duplicates == "merge" else "scored as separate documents"
        corpus.notes.append(f"{copies} documents repeat another's text exactly; they are {how}")
    return merge_copies(corpus, str(layout.exclusions)) if card.duplicates == "merge" else corpus


def _hashes(layout: Layout, parts: list[Path]) -> dict[str, str]:
    """Relative name -> sha256 of every file the numbers rest on; of the card, what it says that changes them."""
    found = {}
    for part in parts:
        name = str(part.relative_to(layout.root)) if part.is_relative_to(layout.root) else part.name
        found[name] = sha256_file(require_file(part))
    kept = {"mechanism", "duplicates"}
    said = layout.card.model_dump(include=kept)
    said["mechanism"] = said["mechanism"] or layout.mechanism
    if said != Card().model_dump(include=kept):
        found["mechanism, duplicates"] = sha256_json(said)
    return found


def _choose_view(layout: Layout, view: str | None) -> str:
    wanted = view or layout.card.default_view
    if wanted is None:
        wanted = next((name for name in PREFERRED_VIEWS if name in layout.views), None)
    if wanted is None and len(layout.views) == 1:
        wanted = next(iter(layout.views))
    if wanted is None:
        told = f"has several views: {', '.join(layout.views)}; choose one with --view"
        raise ViewError(told, layout.views, where=str(layout.root))
    if wanted not in layout.views:
        told = f"has no view {wanted!r}; it has {', '.join(layout.views)}"
        if view is None:
            raise InputError(told, where=str(layout.root / "corpus.yaml"))
        raise ViewError(told, layout.views, where=str(layout.root))
    return wanted


class Scan(NamedTuple):
    """What one pass over the documents leaves in memory."""

    doc_ids: list[str]
    same_text: NDArray[np.int64]
    no_text: NDArray[np.int64]
    documents_sha256: str
    notes: list[str]


def scan(read: Callable[[], Iterator[tuple[str, Document]]], where: str) -> Scan:
    """Read all documents once: ids, first document with the same contents, content hash. Keeps no text.

    A document without text is kept and noted, not refused: Cranfield has two, one of them relevant.
    """
    numbers: dict[str, int] = {}
    empty: dict[int, str] = {}
    texts = bytearray()
    digest = hashlib.sha256()
    with track("reading documents") as advance:
        for where, document in read():
            if document.id in numbers:
                raise InputError(
                    f"document id {document.id!r} appears twice (as document {numbers[document.id] + 1})", where=where
                )
            contents = document.contents.encode()
            digest.update(f"{document.id}\0{document.title}\0{document.text}\0".encode())
            if not contents:
                empty[len(numbers)] = where
            numbers[document.id] = len(numbers)
            texts += hashlib.blake2b(contents, digest_size=8).digest()
            if len(numbers) % 1000 == 0:
                advance(1000)
    if not numbers:
        raise InputError("holds no documents", where=where)
    _, first, inverse = np.unique(np.frombuffer(texts, dtype=np.uint64), return_index=True, return_inverse=True)
    notes = [f"{len(empty)} documents have no text, the first at {next(iter(empty.values()))}"] if empty else []
    no_text = np.array(list(empty), dtype=np.int64)
    return Scan(list(numbers), first[inverse].astype(np.int64), no_text, digest.hexdigest(), notes)


def judge(
    corpus: Corpus,
    queries: dict[str, tuple[str, Query]],
    rows: list[tuple[str, str, str, int]],
    place: str,
    *,
    elsewhere: set[str] | None = None,
) -> None:
    """Keep the queries that the view judges, and the judgements, in `corpus`; every id is checked.

    `rows` are (where, query id, document id, grade) from `place`. A query that is judged neither here nor `elsewhere` is
    an error, unless `elsewhere` is None.
    """
    grades: dict[tuple[str, str], tuple[str, int]] = {}
    repeated = 0
    for where, query, document, grade in rows:
        if query not in queries:
            raise InputError(f"judges query {query!r}, which is not among the queries", where=where)
        if document not in corpus.doc_number:
            raise InputError(f"judges document {document!r}, which is not in the corpus", where=where)
        known = grades.setdefault((query, document), (where, grade))
        if known[1] != grade:
            raise InputError(f"grades {query!r} / {document!r} as {grade}, but {known[0]} says {known[1]}", where=where)
        repeated += known[0] != where
    here = {query for query, _ in grades}
    if not here:
        raise InputError("holds no judgements", where=place)
    for name, (where, _) in queries.items():
        if elsewhere is not None and name not in here and name not in elsewhere:
            raise InputError(f"query {name!r} has no judged document", where=where)
    corpus.queries = [query for _, query in queries.values() if query.id in here]
    corpus.unjudged_queries = frozenset(queries.keys() - here)
    pairs = [(corpus.query_number[q], corpus.doc_number[d], grade) for (q, d), (_, grade) in grades.items()]
    corpus.qrels = Qrels.of(*np.array(pairs, dtype=np.int64).T)
    if left_out := len(corpus.unjudged_queries):
        corpus.notes.append(
            f"{left_out} of {len(queries)} queries are not judged in view {corpus.view!r} and are left out"
        )
    if repeated:
        corpus.notes.append(f"{repeated} judgements are repeated with the same grade; each counts once")
    relevant = np.bincount(corpus.qrels.query[corpus.qrels.grade > 0], minlength=len(corpus.queries))
    if without := int((relevant == 0).sum()):
        corpus.notes.append(f"{without} queries have no relevant document and score 0 for every system")


def _exclude(corpus: Corpus, queries: dict[str, tuple[str, Query]], table: dict[str, list[str]], where: str) -> None:
    golds = {
        (int(q), int(d))
        for q, d, g in zip(corpus.qrels.query, corpus.qrels.document, corpus.qrels.grade, strict=True)
        if g > 0
    }
    pairs, unknown = set(), 0
    for name, documents in table.items():
        if name not in queries:
            raise InputError(f"excludes documents for query {name!r}, which is not among the queries", where=where)
        query = corpus.query_number.get(name)
        if query is None:
            continue
        for document in documents:
            number = corpus.doc_number.get(document)
            if number is None:
                unknown += 1
                continue
            if (query, number) in golds:
                raise InputError(
                    f"query {name!r} excludes {document!r}, which is relevant to it in view {corpus.view!r}",
                    where=where,
                )
            pairs.add((query, number))
    corpus.exclusions = np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)
    if unknown:
        corpus.notes.append(f"{unknown} excluded ids are not in the corpus; there is nothing to exclude for them")

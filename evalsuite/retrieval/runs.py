"""Rankings: read from run files, put in trec_eval's order, written as run files."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalsuite.errors import InputError, at, shown
from evalsuite.retrieval.corpus import Corpus
from evalsuite.textfiles import Refuse, identifier, number, read_jsonl, read_lines, refuse

Scores = Mapping[str, Mapping[str, float]]
# Line number, query id, document id, score and rank as written; the rank is None in forms that have none.
Entry = tuple[int, str, str, Any, str | None]


@dataclass
class Run:
    """Rankings of some queries.

    `queries` int [n]: numbers into `Corpus.queries`; `documents` int [n, depth]: document numbers, -1 where there is
    none; `scores` float64 [n, depth]: higher is better, -inf where there is no document.
    """

    queries: NDArray[np.int64]
    documents: NDArray[np.int64]
    scores: NDArray[np.float64]

    @classmethod
    def of_rows(cls, queries: Iterable[int], documents: list[NDArray[np.int64]], scores: list[Any]) -> Run:
        """From one array of documents and one of scores per query, of any lengths."""
        lengths = np.array([len(row) for row in documents], dtype=np.int64)
        filled = np.arange(lengths.max(initial=0))[None, :] < lengths[:, None]
        run = cls(np.fromiter(queries, np.int64), np.full(filled.shape, -1), np.full(filled.shape, -np.inf))
        if len(documents):
            run.documents[filled] = np.concatenate(documents)
            run.scores[filled] = np.concatenate(scores)
        return run

    @classmethod
    def of_dicts(cls, corpus: Corpus, scores: Scores, where: str) -> Run:
        """From {query id: {document id: score}}, BEIR's and MTEB's form. Raises InputError for what cannot be scored."""
        document_number = corpus.doc_number.__getitem__
        queries, documents, values = [], [], []
        for query, row in scores.items():
            if query not in corpus.query_number:
                raise InputError(f"ranks documents for query {query!r}, which is not among the queries", where=where)
            try:
                documents.append(np.fromiter(map(document_number, row), np.int64, len(row)))
                values.append(np.fromiter(row.values(), np.float64, len(row)))
            except KeyError as error:
                raise InputError(
                    f"query {query!r}: document {error.args[0]!r} is not in the corpus", where=where
                ) from error
            except (TypeError, ValueError) as error:
                raise InputError(f"query {query!r}: a score is not a number ({error})", where=where) from error
            if not np.isfinite(values[-1]).all():
                raise InputError(f"query {query!r}: a score is NaN or infinite", where=where)
            if corpus.copies:
                documents[-1], values[-1] = _best_of_copies(documents[-1], values[-1])
            queries.append(corpus.query_number[query])
        return cls.of_rows(queries, documents, values)


def in_order(run: Run, corpus: Corpus, depth: int | None = None) -> Run:
    """The run as it is scored: score descending, ties by document id descending (trec_eval), compared as float64.

    Excluded documents are taken out before the cut at `depth`.
    """
    documents, scores = run.documents, run.scores
    if len(corpus.exclusions):
        excluded = corpus.exclusions[:, 0] * len(corpus) + corpus.exclusions[:, 1]
        gone = np.isin(run.queries[:, None] * len(corpus) + documents, excluded) & (documents >= 0)
        documents, scores = np.where(gone, -1, documents), np.where(gone, -np.inf, scores)
    documents, scores = sort_rows(documents, scores, corpus.id_order)
    width = int((documents >= 0).sum(axis=1).max(initial=0))
    width = width if depth is None else min(width, depth)
    return Run(run.queries, documents[:, :width], scores[:, :width])


def sort_rows(
    documents: NDArray[np.int64], scores: NDArray[np.float64], id_order: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Each row by score descending, then document id descending. Shapes [n, depth]; empty cells (-inf) go last."""
    if scores.shape[1] > 1 and not (scores[:, :-1] >= scores[:, 1:]).all():
        order = np.argsort(-scores, axis=1, kind="stable")
        documents, scores = np.take_along_axis(documents, order, 1), np.take_along_axis(scores, order, 1)
    else:
        documents, scores = documents.copy(), scores.copy()
    same = (scores[:, :-1] == scores[:, 1:]) & (scores[:, 1:] > -np.inf)
    tied = np.flatnonzero(same.any(axis=1))
    if len(tied):  # number the runs of equal scores; within a run the later id comes first
        run = np.zeros((len(tied), scores.shape[1]), dtype=np.int64)
        np.cumsum(~same[tied], axis=1, out=run[:, 1:])
        order = np.argsort(run * len(id_order) - id_order[documents[tied]], axis=1)
        documents[tied] = np.take_along_axis(documents[tied], order, 1)
    return documents, scores


def _best_of_copies(
    documents: NDArray[np.int64], scores: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """One row with each document once, at its best score."""
    order = np.argsort(-scores, kind="stable")
    _, first = np.unique(documents[order], return_index=True)
    return documents[order[first]], scores[order[first]]


# ---------------------------------------------------------------- files


def read_run(path: Path, corpus: Corpus, refuse: Refuse = refuse) -> Run:
    """A run file: TREC (qid Q0 docid rank score tag), TSV (the same, TAB-separated, ids may hold spaces; or qid docid
    score), JSONL ({"qid", "docid", "score"}); each also .gz.

    Raises InputError with file and line for an unknown query or document, a document ranked twice, a score that is no
    finite number, a wrong number of columns. Queries that the corpus knows but the view does not judge are left out.
    A `refuse` of one's own gets every such error, and the run is what the sound lines say.
    """
    rows: dict[int, tuple[list[int], list[float]]] = {}
    seen: set[int | tuple[int, str]] = set()
    unjudged = corpus.unjudged_queries
    line, judged = 0, False
    for line, query, document, score, _ in entries(path, refuse):
        where = at(path, line)
        row = corpus.query_number.get(query)
        if row is None and query not in unjudged:
            refuse(InputError(f"query {query!r} is not in {corpus.name}", where=where))
        judged = judged or row is not None
        place = corpus.doc_number.get(document)
        if place is None:
            refuse(InputError(f"document {document!r} is not in {corpus.name}", where=where))
        try:
            value = number(score, "score", where)
        except InputError as error:
            refuse(error)
            continue
        if row is None or place is None:
            continue
        key = (row, document) if corpus.copies else row * len(corpus) + place
        if key in seen:
            refuse(InputError(f"document {document!r} is ranked twice for query {query!r}", where=where))
            continue
        seen.add(key)
        documents, scores = rows.setdefault(row, ([], []))
        documents.append(place)
        scores.append(value)
    if line == 0:
        refuse(InputError("holds no ranking", where=str(path)))
    elif not judged:
        refuse(InputError(f"ranks no query that view {corpus.view!r} judges", where=str(path)))
    arrays = [(np.array(d), np.array(s)) for d, s in rows.values()]
    if corpus.copies:
        arrays = [_best_of_copies(d, s) for d, s in arrays]
    return Run.of_rows(rows, [d for d, _ in arrays], [s for _, s in arrays])


def entries(path: Path, refuse: Refuse = refuse) -> Iterator[Entry]:
    """The lines of a run file of any form; those that cannot be read go to `refuse`."""
    if ".jsonl" in path.suffixes:
        for line, record in read_jsonl(path, refuse, unique=True):
            where = at(path, line)
            lacking = [key for key in ("qid", "docid", "score") if key not in record]
            if lacking:
                refuse(InputError(f"has no {', '.join(lacking)}; needed are qid, docid, score", where=where))
                continue
            try:
                names = identifier(record, "qid", where), identifier(record, "docid", where)
            except InputError as error:
                refuse(error)
                continue
            yield line, *names, record["score"], None
        return
    columns, tabs, header = 0, False, True
    for line, text in read_lines(path, refuse):
        if not text.strip():
            continue
        if columns == 0:
            between = len(text.split("\t"))
            tabs = between in (3, 6) or (between > 1 and len(text.split()) != 6)
        cells = text.split("\t") if tabs else text.split()
        if len(cells) not in ((columns,) if columns else (3, 6) if tabs else (6,)):
            refuse(InputError(_columns_fault(cells, text, tabs, columns), where=at(path, line)))
            continue
        columns = len(cells)
        if columns == 3:
            if header and cells[2].strip().lower() == "score":
                header = False
                continue
            header = False
            yield line, cells[0], cells[1], cells[2], None
        else:
            yield line, cells[0], cells[2], cells[4], cells[3]


def _columns_fault(cells: list[str], text: str, tabs: bool, columns: int) -> str:
    """`columns` are those of the lines before, 0 where none could be read."""
    needed = ["qid Q0 docid rank score tag (6)"] if columns != 3 else []
    needed += ["TAB-separated qid docid score (3)"] if columns != 6 else []
    return (
        f"has {len(cells)} {'column' if len(cells) == 1 else 'columns'} between {'TABs' if tabs else 'spaces'}"
        f"{', the separator of this file' if columns else ''}; found {shown(text)}; needed are {', or '.join(needed)}"
    )


def run_lines(run: Run, corpus: Corpus, tag: str) -> bytes:
    """The run as gzipped TREC lines, TAB-separated so that ids may hold spaces. Same run, same bytes."""
    out = []
    for query, documents, scores in zip(run.queries, run.documents, run.scores, strict=True):
        name = corpus.queries[query].id
        kept = int((documents >= 0).sum())
        pairs = zip(documents[:kept].tolist(), scores[:kept].tolist(), strict=True)
        out += [f"{name}\tQ0\t{corpus.doc_ids[d]}\t{rank}\t{s!r}\t{tag}\n" for rank, (d, s) in enumerate(pairs, 1)]
    return gzip.compress("".join(out).encode(), compresslevel=5, mtime=0)

"""Candidate pools: what a verifier ranks, and the file that holds it (<name>.pool.jsonl[.gz])."""

from __future__ import annotations

import gzip
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from evalsuite.errors import InputError, UsageError, at, shown
from evalsuite.retrieval.corpus import Corpus
from evalsuite.storage import atomic_file, sha256_json
from evalsuite.textfiles import identifier, read_jsonl

FORMAT, VERSION = "evalsuite-pool", 1
SUFFIXES = (".pool.jsonl", ".pool.jsonl.gz")
HEADER = {"format": str, "version": int, "corpus": dict, "kind": str, "recipe": dict, "sizes": list, "sha256": str}
ROW = {"qid", "golds", "docs", "from"}
IDENTITY = ("name", "version", "view", "sha256")

Kind = Literal["hard", "random"]


@dataclass(frozen=True)
class PoolRow:
    """One query's candidates: its golds, the others in pool order, and which of them each family found within its depth."""

    qid: str
    golds: tuple[str, ...]
    docs: tuple[str, ...]
    sources: dict[str, tuple[str, ...]]

    def cut(self, size: int) -> tuple[str, ...]:
        """The pool of `size`: all golds and the first others. Golds that alone exceed it stay."""
        return self.golds + self.docs[: max(0, size - len(self.golds))]


@dataclass(frozen=True)
class Pool:
    """Candidates of every query of one corpus version, with the recipe that made them.

    `corpus` is {"name", "version", "view", "sha256"}; `sizes` ascend; `rows` are in the order of the corpus' queries.
    """

    corpus: dict[str, str]
    kind: Kind
    recipe: dict[str, Any]
    sizes: tuple[int, ...]
    rows: dict[str, PoolRow]

    @cached_property
    def sha256(self) -> str:
        """Hash over everything in the pool: header and rows."""
        return sha256_json([self.header(), [row_record(row) for row in self.rows.values()]])

    @property
    def families(self) -> list[str]:
        return list(self.recipe["families"])

    def header(self) -> dict[str, Any]:
        """The first line of the file, without the hash."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "corpus": self.corpus,
            "kind": self.kind,
            "recipe": self.recipe,
            "sizes": list(self.sizes),
        }

    def size(self, wanted: int | None = None) -> int:
        """`wanted`, or the largest size. Raises UsageError if the pool was not made that large."""
        if wanted is None:
            return self.sizes[-1]
        if not 1 <= wanted <= self.sizes[-1]:
            raise UsageError(f"the pool was made for sizes up to {self.sizes[-1]}; found {wanted}")
        return wanted

    def candidates(self, qid: str, size: int | None = None) -> list[str]:
        """What a verifier is shown for a query: its pool of `size` (default: the largest) in an order that tells nothing.

        The order is that of a hash of seed, query and document: the same everywhere, and the same for two documents
        whatever the size. Raises UsageError for a query that the pool does not hold.
        """
        if qid not in self.rows:
            raise UsageError(f"the pool holds no query {qid!r}")
        return shuffled_by(f"{self.recipe['seed']}\0{qid}", self.rows[qid].cut(self.size(size)))

    def smallest(self, size: int | None = None) -> int:
        """Candidates of the query that has fewest, at this size."""
        wanted = self.size(size)
        return min(len(row.cut(wanted)) for row in self.rows.values())


def shuffled_by(key: str, docids: tuple[str, ...]) -> list[str]:
    """Documents in the order of sha256(key, document): no generator whose stream a release may change."""
    return sorted(docids, key=lambda docid: hashlib.sha256(f"{key}\0{docid}".encode()).digest())


def corpus_identity(corpus: Corpus) -> dict[str, str]:
    """What a pool is made for: one version of one corpus, by the judgements of one view."""
    return {"name": corpus.name, "version": corpus.version, "view": corpus.view, "sha256": corpus.sha256}


def row_record(row: PoolRow) -> dict[str, Any]:
    """A row as its line in the file."""
    found = {family: list(docids) for family, docids in row.sources.items()}
    return {"qid": row.qid, "golds": list(row.golds), "docs": list(row.docs), "from": found}


def pool_path(path: str | Path) -> Path:
    """A path that a pool may be written to. Raises UsageError for another suffix than ours, lest a corpus be overwritten."""
    path = Path(path)
    if not path.name.endswith(SUFFIXES):
        raise UsageError(f"{path}: the name of a pool file ends with {' or '.join(SUFFIXES)}")
    return path


def write_pool(pool: Pool, path: str | Path) -> Path:
    """Write the whole file or none; the same pool gives the same bytes. Raises UsageError for another suffix than ours."""
    path = pool_path(path)
    lines = [{**pool.header(), "sha256": pool.sha256}, *(row_record(row) for row in pool.rows.values())]
    content = "".join(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n" for line in lines).encode()
    with atomic_file(path) as stream:
        stream.write(gzip.compress(content, compresslevel=5, mtime=0) if path.suffix == ".gz" else content)
    return path


def read_pool(path: str | Path, corpus: Corpus | None = None) -> Pool:
    """A pool file, every line checked, and its hash.

    With `corpus` the pool must have been made for that very version and view, and its rows must fit it.
    Raises InputError with file and line for anything else.
    """
    path = Path(path)
    records = read_jsonl(path)
    line, header = next(records, (1, {}))
    pool = _read_header(header, at(path, line))
    if corpus is not None:
        _check_corpus(pool, corpus, at(path, line))
    for line, record in records:
        row = _read_row(record, pool, at(path, line))
        if corpus is not None:
            _check_row(row, corpus, at(path, line))
        pool.rows[row.qid] = row
    if not pool.rows:
        raise InputError("holds no query", where=str(path))
    if pool.sha256 != header["sha256"]:
        raise InputError(
            f"its content does not give the sha256 of its first line ({header['sha256'][:12]}, found "
            f"{pool.sha256[:12]}): it was edited or cut short; build the pool again",
            where=str(path),
        )
    return pool


def _read_header(header: dict[str, Any], where: str) -> Pool:
    if header.get("format") != FORMAT:
        raise InputError(f'is no pool file: its first line must hold "format": "{FORMAT}"', where=where)
    if header.get("version") != VERSION:
        raise InputError(f"is of version {shown(header.get('version'))}; this release reads {VERSION}", where=where)
    for key, kind in HEADER.items():
        if not isinstance(header.get(key), kind):
            raise InputError(f"key {key!r} must be {kind.__name__}; found {shown(header.get(key))}", where=where)
    if unknown := sorted(header.keys() - HEADER.keys()):
        raise InputError(f"unknown key {unknown[0]!r}; accepted are {', '.join(HEADER)}", where=where)
    if header["kind"] not in ("hard", "random"):
        raise InputError(f"the kind must be hard or random; found {shown(header['kind'])}", where=where)
    identity, recipe, sizes = header["corpus"], header["recipe"], header["sizes"]
    if set(identity) != set(IDENTITY) or not all(isinstance(value, str) for value in identity.values()):
        raise InputError(f"key 'corpus' must hold {', '.join(IDENTITY)}; found {shown(identity)}", where=where)
    seed = recipe.get("seed")
    if not isinstance(recipe.get("families"), dict) or type(seed) is not int or seed < 0:
        raise InputError("key 'recipe' must hold the families and a seed of 0 or more", where=where)
    whole = all(type(size) is int and size >= 1 for size in sizes)
    if not sizes or not whole or sorted(set(sizes)) != sizes:
        raise InputError(f"the sizes must be ascending whole numbers of 1 or more; found {shown(sizes)}", where=where)
    return Pool(identity, header["kind"], recipe, tuple(sizes), {})


def _read_row(record: dict[str, Any], pool: Pool, where: str) -> PoolRow:
    if set(record) != ROW:
        raise InputError(f"must hold qid, golds, docs, from; found {', '.join(sorted(record)) or 'none'}", where=where)
    qid = identifier(record, "qid", where)
    if qid in pool.rows:
        raise InputError(f"query {qid!r} has a line above", where=where)
    if not isinstance(record["from"], dict) or set(record["from"]) != set(pool.families):
        families = ", ".join(pool.families) or "none"
        raise InputError(f"key 'from' must hold the families of the first line: {families}", where=where)
    golds, docs = _docids(record["golds"], "golds", where), _docids(record["docs"], "docs", where)
    if twice := set(golds) & set(docs):
        raise InputError(f"document {min(twice)!r} is among golds and docs", where=where)
    sources = {family: _docids(found, family, where) for family, found in record["from"].items()}
    for family, found in sources.items():
        if strange := set(found) - {*golds, *docs}:
            raise InputError(f"family {family!r} found {min(strange)!r}, which is not in the pool", where=where)
    return PoolRow(qid, golds, docs, sources)


def _docids(value: Any, key: str, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(docid, str) and docid for docid in value):
        raise InputError(f"key {key!r} must be a list of document ids; found {shown(value)}", where=where)
    if len(set(value)) != len(value):
        raise InputError(f"key {key!r} names a document twice", where=where)
    return tuple(value)


def _check_corpus(pool: Pool, corpus: Corpus, where: str) -> None:
    ours = corpus_identity(corpus)
    if ours["sha256"] != pool.corpus["sha256"]:
        told = [
            f"{c['name']} {c['version']}, view {c['view']} (sha256 {c['sha256'][:12]})" for c in (pool.corpus, ours)
        ]
        raise InputError(f"was made for {told[0]}; this corpus is {told[1]}: build the pool again", where=where)


def _check_row(row: PoolRow, corpus: Corpus, where: str) -> None:
    number = corpus.query_number.get(row.qid)
    if number is None:
        raise InputError(f"query {row.qid!r} is not in {corpus.name}", where=where)
    for docid in (*row.golds, *row.docs):
        if docid not in corpus.doc_number:
            raise InputError(f"document {docid!r} is not in {corpus.name}", where=where)
    if set(row.golds) != set(golds_of(corpus, number)):
        raise InputError(f"its golds are not the relevant documents of query {row.qid!r}", where=where)
    if hit := set(row.docs) & {corpus.doc_ids[document] for document in excluded(corpus, number)}:
        raise InputError(f"document {min(hit)!r} is excluded for query {row.qid!r}", where=where)


def golds_of(corpus: Corpus, query: int) -> list[str]:
    """The relevant documents of a query (by its number), in the order of the corpus."""
    rows = slice(*corpus.qrels.query.searchsorted([query, query + 1]))
    relevant = corpus.qrels.document[rows][corpus.qrels.grade[rows] > 0]
    return [corpus.doc_ids[document] for document in relevant.tolist()]


def excluded(corpus: Corpus, query: int) -> set[int]:
    """Numbers of the documents that are excluded for a query."""
    return set(corpus.exclusions[corpus.exclusions[:, 0] == query, 1].tolist())

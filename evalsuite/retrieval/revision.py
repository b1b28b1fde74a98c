"""What became of a corpus from one version or view to another: documents, queries, judgements and exclusions, by content."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

from pydantic import BaseModel, Field

from evalsuite.progress import track
from evalsuite.retrieval.corpus import Corpus

FIRST = 5

Pair = tuple[str, str]


class Change(BaseModel):
    """What became of the things of one kind: how many, and the first ids of those that did not stay as they were."""

    same: int
    renamed: int = Field(default=0, description="the same content under another id")
    changed: int = Field(description="the same id, other content; of a judgement, another grade")
    removed: int = Field(description="only in A")
    added: int = Field(description="only in B")
    first: dict[str, list[str]] = Field(description=f"renamed, changed, removed, added -> at most {FIRST} ids")


class Changes(BaseModel):
    """From A to B. Queries are those that the view judges; judgements and exclusions are pairs of a query and a document."""

    documents: Change
    queries: Change
    relabelled: list[str] = Field(description="queries of unchanged text with another mechanism, group or split")
    judgements: Change
    exclusions: Change


class Matching(NamedTuple):
    """`pairs` is id in A -> id in B."""

    pairs: dict[str, str]
    change: Change


def revision(a: Corpus, b: Corpus) -> tuple[Changes, dict[str, str]]:
    """What changed from A to B, and which query of B (by id) each query of A is."""
    documents = _documents(a, b)
    queries = _match({q.id: q.text for q in a.queries}, {q.id: q.text for q in b.queries})
    old, new = ({q.id: (q.text, q.mechanism, q.group, q.split) for q in corpus.queries} for corpus in (a, b))
    relabelled = [x for x, y in queries.pairs.items() if old[x][0] == new[y][0] and old[x] != new[y]]
    changes = Changes(
        documents=documents.change,
        queries=queries.change,
        relabelled=relabelled,
        judgements=_of_pairs(_judgements(a), _judgements(b), queries.pairs, documents.pairs),
        exclusions=_of_pairs(_exclusions(a), _exclusions(b), queries.pairs, documents.pairs),
    )
    return changes, queries.pairs


def _match(a: Mapping[str, str], b: Mapping[str, str]) -> Matching:
    """Ids with their contents, paired by id and content, then by content alone, then by id alone."""
    pairs = {name: name for name, content in a.items() if name in b and b[name] == content}
    by_content: dict[str, list[str]] = defaultdict(list)
    for name in reversed(list(b)):
        if name not in pairs:
            by_content[b[name]].append(name)
    renamed = {name: by_content[a[name]].pop() for name in a if name not in pairs and by_content.get(a[name])}
    taken = {*pairs.values(), *renamed.values()}
    changed = {
        name: name for name in a if name in b and name not in pairs and name not in renamed and name not in taken
    }
    matched = {**pairs, **renamed, **changed}
    taken |= changed.keys()
    return Matching(
        matched,
        _change(
            len(pairs),
            [f"{old} -> {new}" for old, new in renamed.items()],
            list(changed),
            [name for name in a if name not in matched],
            [name for name in b if name not in taken],
        ),
    )


def _change(same: int, renamed: list[str], changed: list[str], removed: list[str], added: list[str]) -> Change:
    names = {"renamed": renamed, "changed": changed, "removed": removed, "added": added}
    return Change(
        same=same,
        **{kind: len(found) for kind, found in names.items()},
        first={kind: found[:FIRST] for kind, found in names.items() if found},
    )


def _documents(a: Corpus, b: Corpus) -> Matching:
    if a.documents_sha256 == b.documents_sha256:
        return Matching({name: name for name in a.doc_ids}, _change(len(a), [], [], [], []))
    return _match(_digests(a), _digests(b))


def _digests(corpus: Corpus) -> dict[str, str]:
    found = {}
    with track(f"comparing {corpus.name} {corpus.version}", len(corpus)) as advance:
        for document in corpus.documents():
            text = f"{document.title}\0{document.text}".encode()
            found[document.id] = hashlib.blake2b(text, digest_size=16).hexdigest()
            advance(1)
    return found


def _judgements(corpus: Corpus) -> dict[Pair, int]:
    """(query id, document id) -> grade."""
    rows = zip(corpus.qrels.query.tolist(), corpus.qrels.document.tolist(), corpus.qrels.grade.tolist(), strict=True)
    return {(corpus.queries[query].id, corpus.doc_ids[document]): grade for query, document, grade in rows}


def _exclusions(corpus: Corpus) -> dict[Pair, int]:
    return {(corpus.queries[query].id, corpus.doc_ids[document]): 0 for query, document in corpus.exclusions.tolist()}


def _of_pairs(a: dict[Pair, int], b: dict[Pair, int], queries: dict[str, str], documents: dict[str, str]) -> Change:
    """The same pair is one of the same query and the same document, whatever their ids."""
    same, changed, removed, met = 0, [], [], set()
    for (query, document), grade in a.items():
        pair = queries.get(query, ""), documents.get(document, "")
        if pair not in b:
            removed.append(f"{query} {document}")
            continue
        met.add(pair)
        if b[pair] == grade:
            same += 1
        else:
            changed.append(f"{query} {document}: {grade} -> {b[pair]}")
    return _change(
        same, [], changed, removed, [f"{query} {document}" for query, document in b if (query, document) not in met]
    )

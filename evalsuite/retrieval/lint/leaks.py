"""Labels beside the text: metadata, ids and file order that tell which documents are relevant."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import scipy.sparse as sp

from evalsuite.retrieval.corpus import Document, Query
from evalsuite.retrieval.formats import records
from evalsuite.retrieval.lint.findings import Finding, Rule, Severity, listed
from evalsuite.retrieval.lint.scan import metadata, raw_documents
from evalsuite.retrieval.lint.subject import MEASURE, Ints, Subject

LEAK = 0.9
MOST_GOLDS = 0.5
SURE_GOLDS, SURE_QUERIES = 3, 3
METADATA_GAIN = 0.05
LABEL_NAMES = re.compile(
    r"label|gold|relevan|annotat|fingerprint|rationale|explanation|verdict|cluster|latent|implicit|mechanism|insight|"
    r"strateg|propert|abstract_|quer(?:y|ies)|(?:^|[._-])(?:lens|theme|qids?|summary|score|grade|split)(?:$|[._-])",
    re.IGNORECASE,
)
FOLLOWERS, ORDERS, SEED = 0.25, 20, 20260501
FAR_FROM_EVEN, SIGMAS = 0.3, 6.0


def label_leak(subject: Subject) -> Iterator[Finding]:
    """Values that most golds of a query hold, and hardly another document; and values that set all golds apart."""
    scan, n = subject.scan, len(subject.corpus)
    if not len(scan.labels):
        return
    codes, column = np.unique(scan.labels[:, 1], return_inverse=True)
    holds = sp.csr_matrix((np.ones(len(column), np.int32), (scan.labels[:, 0], column)), shape=(n, len(codes)))
    holds.data[:] = 1  # a repeated pair counts once
    df = np.asarray(holds.sum(axis=0)).ravel()
    rows = [*(subject.golds[query] for query in subject.own), np.unique(np.concatenate(subject.golds))]
    sizes = np.array([len(row) for row in rows])
    golds = sp.csr_matrix(
        (np.ones(sizes.sum(), np.int32), np.concatenate(rows), np.append(0, np.cumsum(sizes))), shape=(len(rows), n)
    )
    shared = (golds @ holds).tocoo()
    telling = (
        (shared.data >= LEAK * df[shared.col]) & (shared.data >= LEAK * sizes[shared.row]) & (sizes[shared.row] > 1)
    )
    by_key: dict[str, list[tuple[int, str]]] = {}
    for row, code in zip(shared.row[telling].tolist(), codes[shared.col[telling]].tolist(), strict=True):
        key, value = scan.names[code]
        if row < len(rows) - 1:
            by_key.setdefault(key, []).append((subject.own[row], value))
        elif sizes[row] <= MOST_GOLDS * n:
            told = f"{key} {value[:40]!r} sets the documents that are relevant to any query apart from the others"
            yield Finding("label-leak", "error", subject.where("documents"), told)
    for key, found in by_key.items():
        sure = len(found) >= SURE_QUERIES or any(len(subject.golds[query]) >= SURE_GOLDS for query, _ in found)
        severity: Severity = "error" if sure else "warning"
        examples = listed([f"{subject.corpus.queries[query].id} ({value[:40]!r})" for query, value in found], 3)
        told = (
            f"a value of {key} is held by the golds of a query and hardly another document, for {len(found)} queries: "
        )
        yield Finding("label-leak", severity, subject.where("documents"), told + examples)


def metadata_answers(subject: Subject) -> Iterator[Finding]:
    """BM25 over ids and metadata alone, of documents and of queries, against BM25 over the texts."""
    if subject.layout is None:
        return
    layout, corpus = subject.layout, subject.corpus
    about = {
        str(record.get("_id") if record.get("_id") is not None else record.get("id")): _said(record)
        for path in layout.queries
        for _, record in records(path)
    }

    def documents() -> Iterator[Document]:
        for document, record in raw_documents(corpus, layout):
            yield Document(document.id, "", f"{document.id} {_said(record)}".replace("_", " "))

    def asked(query: Query) -> Query:
        return replace(query, text=f"{query.text} {query.id} {about[query.id]}".replace("_", " "))

    beside = replace(corpus, stream=documents, queries=[asked(query) for query in corpus.queries])
    found = subject.score(subject.search(beside))
    gain, low, high = subject.mean(found - subject.bm25)
    if low > 0 and gain >= METADATA_GAIN:
        mean, lexical = (float(values[subject.headline].mean()) for values in (found, subject.bm25))
        told = (
            f"bm25 over ids and metadata alone reaches {MEASURE} {mean:.3f}, over the texts {lexical:.3f}: "
            f"{gain:.3f} [{low:.3f}, {high:.3f}] more"
        )
        yield Finding("metadata-answers", "error", subject.where("documents"), told)


def _said(record: dict[str, object]) -> str:
    return " ".join(value for key, value in metadata(record) if key not in ("mechanism", "twin_of"))


def label_fields(subject: Subject) -> Iterator[Finding]:
    """Fields whose names are those of annotations; `metadata` is dropped when documents are loaded, not when they are shipped."""
    named = {key: count for key, count in subject.scan.keys.items() if LABEL_NAMES.search(key)}
    if named:
        told = listed([f"{key} ({count} documents)" for key, count in named.items()])
        yield Finding(
            "label-fields", "warning", subject.where("documents"), f"records hold what looks like annotations: {told}"
        )


def golds_in_order(subject: Subject) -> Iterator[Finding]:
    """Golds of a query that follow each other, and golds of any query that come first or last, in the file or by id.

    Against 20 random orders, and against the spread of Mann & Whitney (1947).
    """
    n, where = len(subject.corpus), subject.where("documents")
    orders = {"file": np.arange(n), "ids": subject.corpus.id_order.astype(np.int64)}
    if (np.diff(orders["ids"]) > 0).all():
        del orders["ids"]
    golds = np.unique(np.concatenate(subject.golds))
    rng = np.random.default_rng(SEED)
    by_chance = np.array([_followers(subject, rng.permutation(n)) for _ in range(ORDERS)])
    for name, place in orders.items():
        followers = _followers(subject, place)
        if followers >= FOLLOWERS * len(golds) and followers > by_chance.mean() + SIGMAS * max(by_chance.std(), 1):
            told = f"{followers} of {len(golds)} relevant documents follow another of the same query, by chance {by_chance.mean():.0f}"
            yield Finding("golds-in-order", "warning", where, f"in the order of the {name}, {told}")
        rest = n - len(golds)
        if not len(golds) or not rest:
            continue
        later = (place[golds].sum() - len(golds) * (len(golds) - 1) / 2) / (len(golds) * rest)
        spread = ((n + 1) / (12 * len(golds) * rest)) ** 0.5
        if abs(later - 0.5) > max(FAR_FROM_EVEN, SIGMAS * spread):
            end, share = ("after", later) if later > 0.5 else ("before", 1 - later)
            told = f"a relevant document comes {end} another in {share:.0%} of all pairs of the two"
            yield Finding("golds-in-order", "warning", where, f"in the order of the {name}, {told}")


def _followers(subject: Subject, place: Ints) -> int:
    """Documents right after one that is relevant to the same query."""
    ranks = (np.sort(place[subject.golds[query]]) for query in subject.own)
    found: list[Ints] = [own[1:][np.diff(own) == 1] for own in ranks]
    return len(np.unique(np.concatenate(found))) if found else 0


RULES: dict[str, Rule] = {
    "label-leak": label_leak,
    "metadata-answers": metadata_answers,
    "label-fields": label_fields,
    "golds-in-order": golds_in_order,
}

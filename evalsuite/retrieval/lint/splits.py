"""Queries that are not independent: what dev and test share, what ties queries together, and what so few can show."""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Iterator

import numpy as np

from evalsuite.retrieval.lint.findings import Finding, Rule, listed
from evalsuite.retrieval.lint.subject import MEASURE, Subject
from evalsuite.retrieval.retrievers.controls import Random
from evalsuite.statistics import minimum_detectable_difference, shared_clusters

LARGEST_COMPONENT = 0.5
ENOUGH_GROUPS = 100
ENOUGH_QUERIES = 50
COMMON_SOURCE = 0.10
SOURCE_KEYS = re.compile(
    r"(?:^|[._-])(?:author|speaker|byline|user|source|publication|channel|thread|contract|case|url)s?(?:[._-]?(?:id|name))?$",
    re.IGNORECASE,
)

Labels = dict[str, list[set[Hashable]]]


def labels_of(subject: Subject) -> Labels:
    """What each query may share with another, by kind: [queries] sets."""
    queries = subject.corpus.queries
    return {
        "gold": [set(golds.tolist()) for golds in subject.golds],
        "copy of a gold": [set(subject.alike[golds].tolist()) for golds in subject.golds],
        "group": [{query.group} if query.group else set() for query in queries],
        "twin": [{query.twin_of or query.id} for query in queries],
        "text": [{" ".join(query.text.lower().split())} for query in queries],
        "author or source of a gold": _sources(subject),
    }


def _sources(subject: Subject) -> list[set[Hashable]]:
    scan = subject.scan
    codes, df = np.unique(scan.labels[:, 1], return_counts=True)
    few = dict(zip(codes.tolist(), (df <= COMMON_SOURCE * len(subject.corpus)).tolist(), strict=True))
    telling = {code for code, (key, _) in scan.names.items() if SOURCE_KEYS.search(key) and few[code]}
    of_document: dict[int, set[Hashable]] = {}
    for document, code in scan.labels[np.isin(scan.labels[:, 1], list(telling))].tolist():
        of_document.setdefault(document, set()).add(code)
    return [set().union(*(of_document.get(gold, set()) for gold in golds.tolist())) for golds in subject.golds]


def split_leak(subject: Subject) -> Iterator[Finding]:
    queries = subject.corpus.queries
    told: set[int] = set()
    for kind, labels in labels_of(subject).items():
        dev = {label: i for i, found in enumerate(labels) if queries[i].split == "dev" for label in found}
        leaks = []
        for number, found in enumerate(labels):
            if queries[number].split == "test" and number not in told and (both := found & dev.keys()):
                leaks.append(f"{queries[number].id} with {queries[dev[min(both, key=repr)]].id}")
                told.add(number)
        if leaks:
            message = f"{len(leaks)} test queries share a {kind} with a dev query: {listed(leaks)}"
            yield Finding("split-leak", "error", subject.where("split.tsv"), message)


def split_missing(subject: Subject) -> Iterator[Finding]:
    if all(query.split is None for query in subject.corpus.queries):
        message = "no split.tsv: whoever chooses a system or a setting on these queries has none left to report on"
        yield Finding("split-missing", "warning", subject.where(), message)


def connected_component(subject: Subject) -> Iterator[Finding]:
    own = subject.own
    if not own:
        return
    sizes = np.bincount(shared_clusters([set(subject.golds[query].tolist()) for query in own]))
    largest = int(sizes.max())
    if largest > 1 and largest > LARGEST_COMPONENT * len(own):
        message = (
            f"{largest} of {len(own)} queries ({largest / len(own):.0%}) hang together by shared golds, "
            f"in {len(sizes)} components: they are far from {len(own)} independent observations"
        )
        yield Finding("connected-component", "error", subject.where("queries"), message)


def power(subject: Subject) -> Iterator[Finding]:
    labels = labels_of(subject)
    tied = [
        {(kind, label) for kind in ("gold", "copy of a gold", "group", "twin") for label in labels[kind][query]}
        for query in subject.headline
    ]
    groups = shared_clusters(tied)
    n = int(groups.max()) + 1
    if n >= ENOUGH_GROUPS:
        return
    message = f"{n} independent groups of queries, fewer than {ENOUGH_GROUPS}"
    if n > 1:
        control = Random()
        control.index(subject.corpus)
        chance = subject.score(control.search(subject.corpus.queries, subject.ranking.shape[1]).documents)
        message += _detectable(minimum_detectable_difference((subject.bm25 - chance)[subject.headline], groups))
    yield Finding("power", "warning", subject.where("queries"), message)


def _detectable(least: float) -> str:
    if math.isnan(least):
        return ": no paired test at 0.05 can find a difference in so few, however large"
    return (
        f": two systems that differ as bm25 and a random order do must lie {least:.3f} {MEASURE} apart "
        "to be told apart in 80 % of tests at 0.05"
    )


def few_queries(subject: Subject) -> Iterator[Finding]:
    if len(subject.headline) < ENOUGH_QUERIES:
        kind = "oblique queries" if subject.oblique else "queries"
        message = f"{len(subject.headline)} {kind}, fewer than {ENOUGH_QUERIES}: one query moves a mean by up to {1 / len(subject.headline):.3f}"
        yield Finding("few-queries", "warning", subject.where("queries"), message)


RULES: dict[str, Rule] = {
    "split-leak": split_leak,
    "split-missing": split_missing,
    "connected-component": connected_component,
    "power": power,
    "few-queries": few_queries,
}

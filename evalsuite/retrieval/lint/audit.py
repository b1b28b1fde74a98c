"""How many relevant documents the judgements miss: a sample of unjudged pairs to be judged, and what follows from it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evalsuite.errors import InputError, UsageError, at, shown
from evalsuite.retrieval.corpus import Corpus
from evalsuite.retrieval.lint.findings import Finding, Rule
from evalsuite.retrieval.lint.subject import DEPTH, Subject
from evalsuite.statistics import missing_rate
from evalsuite.storage import atomic_file, default_cache, sha256_json
from evalsuite.textfiles import read_jsonl

FORMAT, VERSION = "evalsuite-audit", 1
TOP, REST = f"top {DEPTH} of bm25", "rest"
SURE_MISSING, MANY_MISSING = 0.10, 0.10

Pair = tuple[int, int]


@dataclass(frozen=True)
class Audit:
    """What an audit found. `rate` is missing / (missing + known) relevant pairs, None where nothing is relevant.

    `strata`: name -> unjudged pairs, judged ones of the sample, relevant ones among those. `known`: relevant pairs of the
    judgements of the audited queries.
    """

    rate: float | None
    low: float | None
    high: float | None
    known: int
    strata: dict[str, dict[str, int]]

    def __str__(self) -> str:
        sample = ", ".join(
            f"{s['relevant']} of {s['judged']} in {name} ({s['size']})" for name, s in self.strata.items()
        )
        if self.rate is None:
            return f"nothing is relevant; unjudged pairs found relevant: {sample}"
        return (
            f"{self.rate:.1%} [{self.low:.1%}, {self.high:.1%}] of relevant pairs are missing; found relevant: {sample}"
        )


def write_sample(corpus: Corpus, path: Path, *, n: int = 200, seed: int = 1, cache: Path | None = None) -> int:
    """Write up to n unjudged pairs of query and document to be judged, with their texts; returns how many there are.

    Half are drawn from bm25's first 100 of each query, half from all other documents; what a stratum lacks the other
    gives. Queries that are twins of another are left out, excluded documents too. 0 means that every pair is judged, and
    no file is written. Raises UsageError for n < 1.
    """
    if n < 1:
        raise UsageError(f"n must be 1 or more; found {n}")
    subject = Subject(corpus, None, default_cache() if cache is None else cache)
    strata = _Strata(subject)
    rng = np.random.default_rng(seed)
    top = strata.top
    sizes = {TOP: len(top), REST: strata.unjudged - len(top)}
    from_top = min(sizes[TOP], max(n // 2, n - sizes[REST]))
    drawn = {
        TOP: [top[i] for i in sorted(rng.choice(len(top), from_top, replace=False).tolist())] if top else [],
        REST: strata.draw_rest(min(sizes[REST], n - from_top), rng),
    }
    rows = [(stratum, query, document) for stratum, pairs in drawn.items() for query, document in pairs]
    if not rows:
        return 0
    order = rng.permutation(len(rows)).tolist()
    named = [_names(corpus, *rows[i]) for i in order]
    header = {
        "format": FORMAT,
        "version": VERSION,
        "corpus": {"name": corpus.name, "version": corpus.version, "view": corpus.view, "sha256": corpus.sha256},
        "seed": seed,
        "known": strata.known,
        "strata": sizes,
        "pairs": len(named),
        "sha256": sha256_json(named),
    }
    wanted = {document for _, _, document in rows}
    texts = {d.id: d for number, d in enumerate(corpus.documents()) if number in wanted}
    with atomic_file(path) as stream:
        stream.write(_line(header))
        for stratum, qid, docid in named:
            query, document = corpus.queries[corpus.query_number[qid]], texts[docid]
            about = {"query": query.text, "title": document.title, "text": document.text}
            stream.write(_line({"stratum": stratum, "qid": qid, "docid": docid, **about, "relevant": None}))
    return len(named)


def _names(corpus: Corpus, stratum: str, query: int, document: int) -> list[str]:
    return [stratum, corpus.queries[query].id, corpus.doc_ids[document]]


def _line(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


class _Strata:
    """The unjudged pairs of the headline queries: those high in bm25's ranking, and how many others."""

    def __init__(self, subject: Subject) -> None:
        corpus, self._queries = subject.corpus, subject.headline
        self._barred: dict[int, set[int]] = {query: set(subject.excluded[query]) for query in self._queries}
        for query, document in zip(corpus.qrels.query.tolist(), corpus.qrels.document.tolist(), strict=True):
            if query in self._barred:
                self._barred[query].add(document)
        self._n = len(corpus)
        self.known = sum(len(subject.golds[query]) for query in self._queries)
        self.unjudged = sum(self._n - len(self._barred[query]) for query in self._queries)
        self.top: list[Pair] = []
        if self.unjudged:
            ranked = ((query, document) for query in self._queries for document in subject.ranking[query].tolist())
            self.top = [(q, d) for q, d in ranked if d >= 0 and d not in self._barred[q]]

    def draw_rest(self, n: int, rng: np.random.Generator) -> list[Pair]:
        """n distinct unjudged pairs outside `top`, each as likely as any other."""
        for query, document in self.top:
            self._barred[query].add(document)
        room = np.array([self._n - len(self._barred[query]) for query in self._queries])
        places = np.sort(rng.choice(int(room.sum()), n, replace=False)) if n else np.empty(0, dtype=np.int64)
        ends = np.cumsum(room)
        rows = np.searchsorted(ends, places, side="right")
        found = []
        for row in np.unique(rows).tolist():
            query = self._queries[row]
            free = np.setdiff1d(np.arange(self._n), list(self._barred[query]))
            inner = places[rows == row] - (ends[row] - room[row])
            found += [(query, document) for document in free[inner].tolist()]
        return found


def estimate(path: Path, corpus: Corpus) -> Audit:
    """The missing rate from a sample that was filled in.

    Raises InputError for a sample of another corpus or view, for lines that were added, taken out or changed, and for
    pairs that nobody judged: leaving out the hard ones would bias the rate.
    """
    lines = read_jsonl(path)
    number, header = next(lines, (1, {}))
    _check_header(header, corpus, at(path, number))
    named, unfilled = [], []
    strata = {name: {"size": size, "judged": 0, "relevant": 0} for name, size in header["strata"].items()}
    for number, record in lines:
        named.append([record.get(key) for key in ("stratum", "qid", "docid")])
        relevant = record.get("relevant")
        if relevant is None:
            unfilled.append(number)
        elif not isinstance(relevant, bool):
            raise InputError(f"'relevant' must be true or false; found {shown(relevant)}", where=at(path, number))
        elif record.get("stratum") in strata:
            strata[record["stratum"]]["judged"] += 1
            strata[record["stratum"]]["relevant"] += relevant
    if sha256_json(named) != header["sha256"]:
        raise InputError(
            f"its {len(named)} pairs are not the {header['pairs']} that were drawn: lines were added, lost, moved or changed",
            where=str(path),
        )
    if unfilled:
        told = f"{len(unfilled)} of {len(named)} pairs are not judged yet ('relevant' is null)"
        raise InputError(f"{told}; each needs true or false", where=at(path, unfilled[0]))
    known = int(header["known"])
    drawn = [(s["size"], s["judged"], s["relevant"]) for s in strata.values() if s["size"]]
    rate, low, high = (None if np.isnan(value) else float(value) for value in missing_rate(drawn, known))
    return Audit(rate, low, high, known, strata)


def _check_header(header: dict[str, Any], corpus: Corpus, where: str) -> None:
    if header.get("format") != FORMAT or header.get("version") != VERSION:
        raise InputError(
            f'is no audit sample: its first line must hold "format": "{FORMAT}", "version": {VERSION}', where=where
        )
    made_for = header.get("corpus")
    found = made_for.get("sha256") if isinstance(made_for, dict) else None
    if found != corpus.sha256:
        raise InputError(
            f"was drawn from another corpus, version or view than {corpus.name}, view {corpus.view}", where=where
        )
    sizes = header.get("strata")
    if (
        not isinstance(sizes, dict)
        or not all(type(size) is int and size >= 0 for size in sizes.values())
        or type(header.get("known")) is not int
        or not {"sha256", "pairs"} <= header.keys()
    ):
        raise InputError("its first line must hold strata, known, pairs and sha256 as they were written", where=where)


def missed_golds(subject: Subject) -> Iterator[Finding]:
    if subject.audit is None:
        return
    found = estimate(subject.audit, subject.corpus)
    if found.rate is None or found.low is None:
        return
    where = subject.where(f"qrels {subject.corpus.view}")
    if found.low > SURE_MISSING:
        yield Finding("missed-golds", "error", where, str(found))
    elif found.rate > MANY_MISSING:
        yield Finding("missed-golds", "warning", where, str(found))


RULES: dict[str, Rule] = {"missed-golds": missed_golds}

"""Judgements: which pairs have one, whether twins agree, and what recorded verifiers say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evalsuite.errors import EvalsuiteError, at
from evalsuite.retrieval.lint.findings import Finding, Rule, listed
from evalsuite.retrieval.lint.subject import CUTOFF, MECHANISMS, SURFACE, Subject
from evalsuite.textfiles import identifier, number, read_jsonl

UNJUDGED = 0.5
TOP_SCORE = 3


def no_judged_zeros(subject: Subject) -> Iterator[Finding]:
    if (subject.corpus.qrels.grade > 0).all():
        message = "only relevant pairs are listed: judged and not relevant cannot be told from never judged, so Judged@k and Bpref say nothing"
        yield Finding("no-judged-zeros", "warning", subject.where(f"qrels {subject.corpus.view}"), message)


def unjudged_share(subject: Subject) -> Iterator[Finding]:
    corpus = subject.corpus
    if (corpus.qrels.grade > 0).all():
        return  # no-judged-zeros says so
    judged = set((corpus.qrels.query * len(corpus) + corpus.qrels.document).tolist())
    pairs = [(q, d) for q in subject.headline for d in subject.ranking[q, :CUTOFF].tolist() if d >= 0]
    unjudged = sum(q * len(corpus) + d not in judged for q, d in pairs)
    if pairs and unjudged > UNJUDGED * len(pairs):
        share = len(corpus.qrels.query) / (len(corpus.queries) * len(corpus))
        message = (
            f"{unjudged / len(pairs):.0%} of bm25's first {CUTOFF} documents are not judged and count as not relevant "
            f"({share:.1%} of all pairs are judged)"
        )
        yield Finding("unjudged-share", "warning", subject.where(f"qrels {corpus.view}"), message)


def twin_missing(subject: Subject) -> Iterator[Finding]:
    queries = subject.corpus.queries
    twinned = {query.twin_of for query in queries if query.mechanism == SURFACE}
    without = [queries[i].id for i in subject.oblique if queries[i].id not in twinned]
    if without:
        message = f"{len(without)} of {len(subject.oblique)} oblique queries have no surface twin: {listed(without)}"
        yield Finding("twin-missing", "warning", subject.where("queries"), message)


def twin_golds_differ(subject: Subject) -> Iterator[Finding]:
    corpus = subject.corpus
    golds = [set() for _ in corpus.queries]  # type: list[set[tuple[int, int]]]
    for query, document, grade in zip(*(a.tolist() for a in vars(corpus.qrels).values()), strict=True):
        if grade > 0:
            golds[query].add((document, grade))
    different = [
        f"{query.id} and {query.twin_of}"
        for i, query in enumerate(corpus.queries)
        if query.twin_of in corpus.query_number and golds[i] != golds[corpus.query_number[query.twin_of]]
    ]
    if different:
        message = f"{len(different)} twins have other golds or grades than their query, so the drop between them is no drop: {listed(different)}"
        yield Finding("twin-golds-differ", "error", subject.where(f"qrels {corpus.view}"), message)


def mechanism_unknown(subject: Subject) -> Iterator[Finding]:
    unknown = [query for query in subject.corpus.queries if query.mechanism not in MECHANISMS]
    if unknown:
        names = listed(sorted({repr(query.mechanism or "none") for query in unknown}))
        message = (
            f"{len(unknown)} of {len(subject.corpus.queries)} queries have a mechanism that is none of {', '.join(MECHANISMS)}: "
            f"{names}; rules for oblique queries pass them over"
        )
        yield Finding("mechanism-unknown", "warning", subject.where("queries"), message)


def recorded_judgements(subject: Subject) -> Iterator[Finding]:
    """Verifier scores under judgements/: known ids, scores 0-3, each pair once, every gold of a query that is scored."""
    root = subject.corpus.root
    for path in sorted((root / "judgements").glob("*.jsonl*")) if root is not None else []:
        yield from _recorded(subject, path)


def _recorded(subject: Subject, path: Path) -> Iterator[Finding]:
    corpus, where = subject.corpus, subject.where(f"judgements/{path.name}")
    seen: set[tuple[int, int]] = set()
    problems = []
    try:
        for line, record in read_jsonl(path):
            place = at(path.name, line)
            qid, docid = (identifier(record, key, place) for key in ("qid", "docid"))
            score = number(record.get("score"), "score", place)
            if qid in corpus.unjudged_queries:
                continue
            query, document = corpus.query_number.get(qid), corpus.doc_number.get(docid)
            if query is None or document is None:
                problems.append(
                    f"line {line} names the unknown {'query' if query is None else 'document'} {qid if query is None else docid!r}"
                )
                continue
            if not 0 <= score <= TOP_SCORE:
                problems.append(f"line {line} scores {score:g}, outside 0-{TOP_SCORE}")
            if (query, document) in seen:
                problems.append(f"line {line} scores {qid} / {docid} again")
            seen.add((query, document))
    except EvalsuiteError as error:
        problems.append(str(error))
    if problems:
        yield Finding("judgements", "error", where, f"{len(problems)} problems: {listed(problems, 3)}")
    scored = {query for query, _ in seen}
    lacking = [corpus.queries[i].id for i in subject.headline if i not in scored]
    golds = [(query, gold) for query in sorted(scored) for gold in subject.golds[query].tolist()]
    missing = sum(pair not in seen for pair in golds)
    if lacking or missing:
        message = f"{len(lacking)} of {len(subject.headline)} queries have no score, {missing} of {len(golds)} golds of the others have none"
        yield Finding("judgements", "warning", where, message)


RULES: dict[str, Rule] = {
    "no-judged-zeros": no_judged_zeros,
    "unjudged-share": unjudged_share,
    "twin-missing": twin_missing,
    "twin-golds-differ": twin_golds_differ,
    "mechanism-unknown": mechanism_unknown,
    "judgements": recorded_judgements,
}

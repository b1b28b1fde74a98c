"""Documents that say the same: they fill rankings with one answer, and some of them are golds that nobody judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from evalsuite.retrieval.lint.findings import Finding, Rule, Severity, listed
from evalsuite.retrieval.lint.shingles import NEAR, SHINGLE
from evalsuite.retrieval.lint.subject import Subject

MANY_DUPLICATES = 0.05


def duplicates_exact(subject: Subject) -> Iterator[Finding]:
    copies = subject.corpus.is_copy & (subject.scan.lengths > 0)
    if copies.any():
        names = [subject.corpus.doc_ids[i] for i in np.flatnonzero(copies)[:100]]
        told = (
            f"repeat the text of an earlier one exactly: {listed(names)}"
            if copies.sum() <= 100
            else "repeat a text exactly"
        )
        yield _finding(
            subject, "duplicates-exact", int(copies.sum()), f"{told}; `duplicates: merge` scores them as one"
        )


def duplicates_near(subject: Subject) -> Iterator[Finding]:
    n = np.arange(len(subject.corpus))
    near = (subject.alike != n) & ~subject.corpus.is_copy
    if near.any():
        sizes = Counter(subject.alike[~subject.corpus.is_copy].tolist())
        groups = [subject.corpus.doc_ids[first] for first, size in sizes.items() if size > 1]
        told = f"share {NEAR:.0%} or more of their {SHINGLE}-word runs with an earlier one, in {len(groups)} groups"
        yield _finding(subject, "duplicates-near", int(near.sum()), f"{told}, those of {listed(groups)}")


def _finding(subject: Subject, rule: str, count: int, told: str) -> Finding:
    share = count / len(subject.corpus)
    severity: Severity = "error" if share >= MANY_DUPLICATES else "warning"
    return Finding(rule, severity, subject.where(), f"{count} of {len(subject.corpus)} documents ({share:.1%}) {told}")


def gold_twin_unjudged(subject: Subject) -> Iterator[Finding]:
    """A text is relevant or not, wherever it stands; a copy's grade that differs, or lacks, makes a right answer wrong."""
    corpus = subject.corpus
    members: dict[int, list[int]] = {}
    for document, first in enumerate(subject.alike.tolist()):
        members.setdefault(first, []).append(document)
    exact, near = [], []
    grades: list[dict[int, int]] = [{} for _ in corpus.queries]
    for query, document, grade in zip(*(a.tolist() for a in vars(corpus.qrels).values()), strict=True):
        grades[query][document] = grade
    for number, golds in enumerate(subject.golds):
        for gold in golds[subject.scan.lengths[golds] > 0].tolist():
            for twin in members[int(subject.alike[gold])]:
                if twin == gold or twin in subject.excluded[number]:
                    continue
                grade = grades[number].get(twin)
                pair = f"{corpus.doc_ids[twin]} of {corpus.doc_ids[gold]} for {corpus.queries[number].id}"
                first, second = int(corpus.same_text[gold]), int(corpus.same_text[twin])
                if first == second and grade != grades[number][gold]:
                    exact.append(pair)
                elif first != second and grade is None and subject.scan.shingles.jaccard(first, second) >= NEAR:
                    near.append(pair)
    where = subject.where(f"qrels {corpus.view}")
    if exact:
        told = f"{len(exact)} exact copies of relevant documents are not judged, or judged otherwise: {listed(exact)}"
        yield Finding("gold-twin-unjudged", "error", where, told)
    if near:
        told = f"{len(near)} near duplicates of relevant documents are not judged: {listed(near)}"
        yield Finding("gold-twin-unjudged", "warning", where, told)


RULES: dict[str, Rule] = {
    "duplicates-exact": duplicates_exact,
    "duplicates-near": duplicates_near,
    "gold-twin-unjudged": gold_twin_unjudged,
}

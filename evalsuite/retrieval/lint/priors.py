"""Rankings that never read the query, and yet find its golds."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from evalsuite.retrieval.lint.findings import Finding, Rule, Severity
from evalsuite.retrieval.lint.subject import CUTOFF, MEASURE, Ints, Subject

SMALL_SHARE = 0.10
CONCENTRATED = 0.5
PRIOR_BOUND = 0.10
LENGTH_GAIN = 0.05


def gold_concentration(subject: Subject) -> Iterator[Finding]:
    golds = [subject.golds[query] for query in subject.own]
    pairs, n = sum(map(len, golds)), len(subject.corpus)
    distinct = len(np.unique(np.concatenate(golds))) if pairs else 0
    missed = np.prod([1 - len(found) / n for found in golds])
    expected = n * (1 - missed)
    if pairs and distinct <= SMALL_SHARE * n and distinct <= CONCENTRATED * expected:
        told = (
            f"{pairs} relevant pairs lie on {distinct} of {n} documents ({distinct / n:.1%}); "
            f"spread at random they would lie on {expected:.0f}"
        )
        yield Finding("gold-concentration", "warning", subject.where(), told)


def gold_prior(subject: Subject) -> Iterator[Finding]:
    """Documents by the number of other families of queries that they are relevant to (leave one family out)."""
    prior = subject.score(_prior_ranking(subject))
    mean, low, high = subject.mean(prior)
    told = (
        f"ranking documents by how many other queries they answer reaches {MEASURE} {mean:.3f} [{low:.3f}, {high:.3f}]"
    )
    lexical = float(subject.bm25[subject.headline].mean())
    if subject.mean(prior - subject.bm25)[1] > 0:
        yield Finding(
            "gold-prior", "error", subject.where(), f"{told}, more than bm25's {lexical:.3f}: no query is read"
        )
    elif mean >= PRIOR_BOUND and subject.mean(prior - subject.chance)[1] > 0:
        chance = float(subject.chance[subject.headline].mean())
        yield Finding(
            "gold-prior",
            "warning",
            subject.where(),
            f"{told}, chance {chance:.3f}, bm25 {lexical:.3f}: no query is read",
        )


def _prior_ranking(subject: Subject) -> Ints:
    n, families = len(subject.corpus), subject.families
    of_family: dict[int, set[int]] = {}
    for query, golds in enumerate(subject.golds):
        of_family.setdefault(int(families[query]), set()).update(golds.tolist())
    total = np.bincount([d for golds in of_family.values() for d in golds], minlength=n)
    popular = np.flatnonzero(total)
    ranking = np.full((len(families), CUTOFF), -1, dtype=np.int64)
    for query in subject.headline:
        others = total.copy()
        others[list(of_family[int(families[query])])] -= 1
        others[list(subject.excluded[query])] = 0
        order = popular[np.lexsort((-subject.corpus.id_order[popular], -others[popular]))]
        order = order[others[order] > 0][:CUTOFF]
        ranking[query, : len(order)] = order
    return ranking


def length_baseline(subject: Subject) -> Iterator[Finding]:
    for name, scores in (("longest", subject.scan.lengths), ("shortest", -subject.scan.lengths)):
        found = subject.score(_one_order(subject, scores))
        gain, low, high = subject.mean(found - subject.chance)
        if low > 0 and gain >= LENGTH_GAIN:
            mean = float(found[subject.headline].mean())
            beaten = mean > float(subject.bm25[subject.headline].mean())
            severity: Severity = "error" if beaten else "warning"
            told = f"{name} first reaches {MEASURE} {mean:.3f}, {gain:.3f} [{low:.3f}, {high:.3f}] more than chance"
            yield Finding(
                "length-baseline", severity, subject.where(), told + (", and more than bm25" if beaten else "")
            )


def _one_order(subject: Subject, scores: Ints) -> Ints:
    order = np.lexsort((-subject.corpus.id_order, -scores))
    most = max(map(len, subject.excluded), default=0)
    rows = [[d for d in order[: CUTOFF + most].tolist() if d not in barred][:CUTOFF] for barred in subject.excluded]
    return np.array([row + [-1] * (CUTOFF - len(row)) for row in rows], dtype=np.int64)


RULES: dict[str, Rule] = {
    "gold-concentration": gold_concentration,
    "gold-prior": gold_prior,
    "length-baseline": length_baseline,
}

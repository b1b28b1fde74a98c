"""Candidate pools that score by themselves."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from evalsuite.retrieval.lint.findings import Finding, Rule
from evalsuite.retrieval.lint.subject import CUTOFF, DEPTH, MEASURE, Subject

GOLD_SHARE = 0.25
CHANCE_BOUND = 0.25


def pool_too_small(subject: Subject) -> Iterator[Finding]:
    """Of every size of the pool file: Recall@k is 1 by construction from k = K on, and so is nDCG nearly, among golds."""
    if subject.pool is None:
        return
    from evalsuite.retrieval.pools import chance, read_pool

    pool = read_pool(subject.pool, subject.corpus)
    for size in pool.sizes:
        where, smallest = subject.where(f"pool of {size}"), pool.smallest(size)
        for cutoff, severity in ((CUTOFF, "error"), (DEPTH, "warning")):
            if smallest <= cutoff:
                told = f"as few as {smallest} candidates: any order of them has R@{cutoff} 1"
                yield Finding("pool-too-small", severity, where, told)  # type: ignore[arg-type]
                break
        share = float(np.mean([len(row.golds) / len(row.cut(size)) for row in pool.rows.values() if row.cut(size)]))
        if share > GOLD_SHARE:
            told = f"{share:.0%} of the candidates are relevant"
            yield Finding("pool-too-small", "error", where, told)
        expected = chance(pool, subject.corpus, [MEASURE], size)[MEASURE]
        if expected > CHANCE_BOUND:
            told = f"a random order of the candidates is expected to have {MEASURE} {expected:.3f}"
            yield Finding("pool-too-small", "error", where, told)


RULES: dict[str, Rule] = {"pool-too-small": pool_too_small}

"""Who stands for several verifiers or retrievers, and what lies between the two, as arrays of scores per query.

A winner chosen by the scores it is reported with looks better than it is (the "winner's curse"), and a gap measured against it
smaller than it is. So winners are chosen on other queries than those they are reported on, for each mechanism by itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evalsuite.records import Interval, QueryResult
from evalsuite.statistics import Floats, bootstrap_means, paired_difference, shared_clusters, wilson

Choose = Literal["dev", "test"]
Flags = NDArray[np.bool_]
Ints = NDArray[np.int64]

ROUNDING = 1e-12
FOLDS = 10
FOLD_SEED = 42


class Difference(Interval):
    """A mean difference per query with its interval and the p-value of the paired randomisation test, by clusters."""

    p: float | None
    n_clusters: int


@dataclass(frozen=True)
class Part:
    """One step of choosing: the winner on the queries `on` counts for the queries `counts`, both bool [queries]."""

    name: str
    on: Flags
    counts: Flags


@dataclass(frozen=True)
class Plan:
    """How winners are chosen, in words and as parts."""

    how: str
    parts: list[Part]

    @property
    def reported(self) -> Flags:
        """The queries whose scores are reported, bool [queries]."""
        return np.asarray(np.logical_or.reduce([part.counts for part in self.parts]))


@dataclass(frozen=True)
class Win:
    """System number `system` won among the `n` queries of one part and stratum with the mean `score`."""

    part: str
    stratum: int
    system: int
    score: float
    n: int


def plan(choose: Choose, splits: Sequence[str | None], clusters: Ints, strata: Ints, seed: int = FOLD_SEED) -> Plan:
    """Where winners are chosen and where they count.

    "dev": on the queries of split dev for the others; without such a split, by cross-fitting: on all folds but one for that one.
    "test": on the very queries that are reported, as OBLIQ-Bench does. `clusters` and `strata` (mechanisms) are int [queries]; a cluster is never
    divided between folds.
    """
    dev = np.array([split == "dev" for split in splits])
    reported = ~dev if dev.any() and not dev.all() else np.ones(len(dev), dtype=bool)
    if choose == "test":
        return Plan("chosen on the queries it is reported on", [Part("all", reported, reported)])
    if not reported.all():
        return Plan("chosen on dev, reported on the other queries", [Part("dev", dev, reported)])
    if clusters.max() == 0:
        return Plan(
            "chosen on the queries it is reported on, since all of them are one cluster",
            [Part("all", reported, reported)],
        )
    fold = folds(clusters, strata, seed)
    n = int(fold.max()) + 1
    return Plan(
        f"cross-fitted: chosen on {n - 1} of {n} folds of clusters for the last one, in turn (no dev split; seed {seed})",
        [Part(f"fold {number + 1}", fold != number, fold == number) for number in range(n)],
    )


def folds(clusters: Ints, strata: Ints, seed: int) -> Ints:
    """The fold of each query, int [queries]: FOLDS folds, or one per cluster where there are fewer. Whole clusters in random order,
    each to the fold that has fewest queries of its stratum, then fewest at all."""
    n_clusters = int(clusters.max()) + 1
    found = np.zeros(len(clusters), dtype=np.int64)
    load = np.zeros((int(strata.max()) + 1, min(FOLDS, n_clusters)))
    for cluster in np.random.default_rng(seed).permutation(n_clusters):
        rows = np.flatnonzero(clusters == cluster)
        fold = int(np.lexsort((load.sum(axis=0), load[strata[rows[0]]]))[0])
        found[rows] = fold
        np.add.at(load[:, fold], strata[rows], 1)
    return found


def winners(scores: Floats, made: Plan, strata: Ints) -> tuple[Ints, list[Win]]:
    """Per query the number of the system that stands for all, int [queries], -1 where none is reported; and who won where.

    `scores` float [systems, queries], NaN where a system's score is unknown; such a query chooses nothing. A stratum without a query
    to choose on takes the winner over all strata. Of equals the first wins.
    """
    chosen = np.full(scores.shape[1], -1)
    known = ~np.isnan(scores).any(axis=0)
    wins = []
    for part in made.parts:
        for stratum in np.unique(strata[part.counts]):
            own = part.on & known & (strata == stratum)
            on = own if own.any() else part.on & known
            means = scores[:, on].mean(axis=1) if on.any() else np.zeros(len(scores))
            best = int(means.argmax())
            chosen[part.counts & (strata == stratum)] = best
            wins.append(Win(part.name, int(stratum), best, float(means[best]), int(on.sum())))
    return chosen, wins


def interval(values: Floats, clusters: Ints) -> Interval:
    """Mean with its bootstrap interval over clusters. No interval where all clusters have the same mean, which a bootstrap takes
    for certain; where that is a share of 0 or 1, Wilson's for the number of clusters."""
    return intervals(values[:, None], clusters)[0]


def intervals(values: Floats, clusters: Ints) -> list[Interval]:
    """The same for each column of `values` [queries, m]."""
    groups = np.unique(clusters, return_inverse=True)[1]
    return [
        _bounded(float(mean), low, high, len(values))
        for mean, low, high in zip(*bootstrap_means(values, groups), strict=True)
    ]


def _bounded(mean: float, low: float, high: float, n: int) -> Interval:
    told = high - low > ROUNDING  # False for NaN
    return Interval(mean=mean, low=float(low) if told else None, high=float(high) if told else None, n=n)


def share(values: Flags, clusters: Ints) -> Interval:
    """Share of True with its interval over clusters; Wilson's for the number of clusters where all are alike."""
    found = interval(values.astype(np.float64), clusters)
    n_clusters = len(np.unique(clusters))
    if found.low is None and n_clusters > 1 and found.mean in (0.0, 1.0):
        low, high = wilson(int(found.mean) * n_clusters, n_clusters)
        return Interval(mean=found.mean, low=low, high=high, n=found.n)
    return found


def difference(values: Floats, clusters: Ints) -> Difference:
    """Mean of paired differences float [queries] with interval and p-value, clusters resampled and flipped whole."""
    groups = np.unique(clusters, return_inverse=True)[1]
    mean, low, high, p = (float(found[0]) for found in paired_difference(values[:, None], groups))
    told = _bounded(mean, low, high, len(values))
    return Difference(**told.model_dump(), p=None if math.isnan(p) else p, n_clusters=int(groups.max()) + 1)


def positive(gaps: Floats) -> Flags:
    """Queries whose relevance is recognised better than surfaced; what rounding may have made does not count."""
    return np.asarray(gaps > ROUNDING)


def unordered(name: str) -> str:
    """A system's name without the order that a verifier was shown documents in: what its runs have in common."""
    head, _, rest = name.partition(":")
    kept = [part for part in rest.split(",") if part and not part.startswith("order=")]
    return f"{head}:{','.join(kept)}" if kept else head


def grades_of(units: Iterable[QueryResult]) -> dict[str, dict[str, int]]:
    """{query id: {document id: grade}} as results tell it: every relevant document but those beyond the 110 that one lists."""
    found: dict[str, dict[str, int]] = {}
    for unit in units:
        own = found.setdefault(unit.id, {})
        own.update((document, grade) for document, _, grade in unit.top if grade is not None)
        own.update((document, grade) for document, _, grade in unit.missed)
    return found


def clusters_of(units: Sequence[QueryResult], grades: Mapping[str, Mapping[str, int]]) -> Ints:
    """Clusters of queries that share a group or a relevant document, directly or through others, int [queries]."""
    labels: list[list[tuple[str, str]]] = []
    for unit in units:
        golds = [("document", document) for document, grade in grades.get(unit.id, {}).items() if grade > 0]
        labels.append(golds + ([("group", unit.group)] if unit.group is not None else []))
    return shared_clusters(labels)

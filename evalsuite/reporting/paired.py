"""Two runs side by side, unit by unit: mean paired differences with intervals and p-values.

Differences are new minus old. Units are queries, clustered by query group, or tasks, each the mean over its trials.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from evalsuite.labtrials import mean, trials_of
from evalsuite.reporting.comparable import Run, queries_of
from evalsuite.statistics import LEVEL, Floats, group_numbers, holm, paired_difference
from evalsuite.twins import twin_pairs

HEADLINE = "nDCG@10"
LAB_MEASURES = ("all_pass", "criterion_rate_macro")
ROUNDING = 1e-12


class Difference(BaseModel):
    """A measure in both runs and its mean paired difference, B - A.

    Null: a number that one of the `ungraded` units could change; interval and p with fewer than two groups; the interval
    also where all groups have the same difference, which a bootstrap takes for certain.
    """

    a: float | None = None
    b: float | None = None
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    p_corrected: float | None = None
    n: int
    n_groups: int
    ungraded: int = 0

    @property
    def told(self) -> int:
        """1: B is higher, -1: B is lower, 0: no difference can be told.

        What is told has a corrected p of at most 5 %, and an interval without 0 if it has one.
        """
        if self.mean is None or self.p_corrected is None or self.p_corrected > 1 - LEVEL:
            return 0
        if self.low is not None and self.high is not None and self.low <= 0 <= self.high:
            return 0
        return 1 if self.mean > 0 else -1


@dataclass(frozen=True)
class Table:
    """A run's units by measures: values float [n, m], NaN where ungraded. Sorted by key, so that equal designs are paired row by row."""

    keys: list[str]
    names: list[str]
    values: Floats
    clusters: list[Hashable]
    mechanisms: list[str] = field(default_factory=list)
    n_trials: tuple[int, ...] = ()

    @property
    def groups(self) -> NDArray[np.int64]:
        return group_numbers(self.clusters)

    @property
    def design(self) -> Hashable:
        """What two tables must share to be paired."""
        return tuple(self.keys), frozenset(self.names), tuple(self.clusters), self.n_trials

    @property
    def headlines(self) -> list[str]:
        if not self.mechanisms:
            return self.names
        return [HEADLINE if HEADLINE in self.names else self.names[0]]

    def of_mechanism(self, mechanism: str) -> Table:
        rows = [row for row, name in enumerate(self.mechanisms) if name == mechanism]
        return replace(
            self,
            keys=[self.keys[row] for row in rows],
            values=self.values[rows],
            clusters=[self.clusters[row] for row in rows],
            mechanisms=[mechanism] * len(rows),
        )


def table_of(run: Run) -> Table:
    if run.manifest.kind == "lab":
        tasks = dict(sorted(trials_of(run.manifest, run.units).items()))
        rows = [
            [mean([trial.passes() for trial in trials]), mean([trial.share() for trial in trials])]
            for trials in tasks.values()
        ]
        values = np.array(rows, dtype=np.float64)  # None becomes NaN
        return Table(
            list(tasks),
            list(LAB_MEASURES),
            values,
            list(tasks),
            n_trials=tuple(len(trials) for trials in tasks.values()),
        )
    queries = sorted(queries_of(run), key=lambda query: query.id)
    names = list(queries[0].measures)
    return Table(
        [query.id for query in queries],
        names,
        np.array([[query.measures[name] for name in names] for query in queries], dtype=np.float64),
        [("group", query.group) if query.group is not None else ("query", query.id) for query in queries],
        [query.mechanism or "unspecified" for query in queries],
    )


def differences(old: Table, new: Table) -> dict[str, Difference]:
    """Every measure of two tables of one design; p-values are corrected over these measures."""
    same = new.values[:, [new.names.index(name) for name in old.names]]
    values, groups = same - old.values, old.groups
    ungraded = np.isnan(values).sum(axis=0)
    known_ones = iter(tested(values[:, ungraded == 0], groups))
    tests = [{"p": None} if missing else next(known_ones) for missing in ungraded]
    after = corrected([test["p"] for test in tests])
    found = {}
    for i, name in enumerate(old.names):
        a, b = known(old.values[:, i].mean()), known(same[:, i].mean())
        sizes = {"n": len(values), "n_groups": int(groups.max()) + 1, "ungraded": int(ungraded[i])}
        found[name] = Difference(a=a, b=b, p_corrected=after[i], **sizes, **tests[i])
    return found


def twin_differences(run: Run) -> dict[str, Difference]:
    """Per measure how much less the oblique query of a pair of twins gets than the literal one: the mean of oblique - literal.

    Clusters are those of the oblique queries; p-values are corrected over the measures. Empty without twins (`twin_pairs`).
    """
    pairs = twin_pairs(queries_of(run))
    if not pairs:
        return {}
    names = list(pairs[0][0].measures)
    tables = [
        Table(
            [oblique.id for oblique, _ in pairs],
            names,
            np.array([[pair[side].measures[name] for name in names] for pair in pairs], dtype=np.float64),
            [("group", o.group) if o.group is not None else ("query", o.id) for o, _ in pairs],
        )
        for side in (1, 0)
    ]
    return differences(*tables)


def corrected(p: Sequence[float | None]) -> list[float | None]:
    """Holm's adjusted p-values; what is null was no test."""
    return [known(value) for value in holm([math.nan if value is None else value for value in p])]


def tested(values: Floats, groups: NDArray[np.int64]) -> Iterator[dict[str, float | None]]:
    """Mean, interval and p of each column, which are corrected for each other; see Difference for what is null."""
    if not values.shape[1]:
        return
    for average, low, high, p in zip(*paired_difference(values, groups, tests=values.shape[1]), strict=True):
        spread = high - low > ROUNDING
        yield {
            "mean": float(average),
            "low": float(low) if spread else None,
            "high": float(high) if spread else None,
            "p": known(p),
        }


def known(value: float) -> float | None:
    return None if math.isnan(value) else float(value)

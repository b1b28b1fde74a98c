"""What a revision of a corpus does to scores and to ranks: two versions, views or sizes under the same systems.

Terminal-Bench 2.1 is the lesson: a maintenance release moved scores by up to 12 points and ranks not at all. Only ranks of
systems that were run on both sides carry over; scores of one version are no scores of another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from evalsuite.errors import UsageError
from evalsuite.records import Interval, QueryResult
from evalsuite.retrieval.corpus import Corpus
from evalsuite.retrieval.evaluate import DEPTH, Outcome, evaluate
from evalsuite.retrieval.formats import load_corpus
from evalsuite.retrieval.measures import DEFAULT_MEASURES, Measure
from evalsuite.retrieval.retrievers import Retriever
from evalsuite.retrieval.revision import Changes, revision
from evalsuite.statistics import LEVEL, Floats, holm, paired_difference, rank_correlation, shared_clusters
from evalsuite.storage import read_units

HEADLINE = "nDCG@10"
FEWEST = 3
ROUNDING = 1e-12


class Side(BaseModel):
    """One version or view, by content."""

    corpus: str
    version: str
    view: str
    sha256: str
    documents: int
    queries: int = Field(description="that the view judges")
    judgements: int
    relevant: int


class Shift(BaseModel):
    """Mean of B - A over the queries that both have; p is that of the paired randomisation test, corrected over the systems.

    Interval and p are null with fewer than two groups; the interval also where every group has the same difference.
    """

    mean: float
    low: float | None
    high: float | None
    p: float | None
    p_corrected: float | None = None
    n: int
    n_groups: int

    @property
    def told(self) -> bool:
        """Whether it moved: a corrected p of at most 5 %, and an interval without 0 if it has one."""
        inside = self.low is not None and self.high is not None and self.low <= 0 <= self.high
        return self.p_corrected is not None and self.p_corrected <= 1 - LEVEL and not inside


class SystemShift(BaseModel):
    """One system: its scores over all queries of A and of B, and the paired difference."""

    system: str
    a: Interval | None
    b: Interval | None
    difference: Shift | None = Field(description="null where the system failed, or A and B share no query")
    runs: dict[str, str] = Field(description="a, b -> run folder")
    errors: dict[str, str] = Field(default_factory=dict, description="a, b -> why it failed there")


class Tau(BaseModel):
    """Kendall's tau-b of the systems' order on A and on B, each over all its queries; null with the reason."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    reason: str | None = None
    pairs: int = 0
    moved: list[tuple[str, str]] = Field(
        default_factory=list, description="pairs of systems that stand otherwise on B than on A"
    )


class Versions(BaseModel):
    """The answer of `versions`."""

    a: Side
    b: Side
    measure: str
    changes: Changes
    systems: list[SystemShift]
    tau: Tau
    sentence: str


def versions(
    a: str | Path | Corpus,
    b: str | Path | Corpus,
    retrievers: str | Sequence[str | Retriever],
    *,
    view_a: str | None = None,
    view_b: str | None = None,
    measure: str = HEADLINE,
    depth: int | None = DEPTH,
    out: str | Path = "reports",
    cache: str | Path | None = None,
    fresh: bool = False,
) -> Versions:
    """Run the retrievers on A and B, which are two versions, views or sizes of a corpus, and say what moved.

    Finished runs under `out` are used again (see `evaluate`). A query is the same in both if its text is, or else its id.
    Differences are B - A. Raises EvalsuiteError for input that cannot be used.
    """
    listed = [retrievers] if isinstance(retrievers, str) else list(retrievers)
    named = [item for item in listed if isinstance(item, str)]
    if repeated := [name for place, name in enumerate(named) if name in named[:place]]:
        raise UsageError(f"{repeated[0]!r} is named twice; a system counts once in the order of systems")
    measure = str(Measure.parse(measure))
    measures = DEFAULT_MEASURES if measure in DEFAULT_MEASURES else (*DEFAULT_MEASURES, measure)
    old = a if isinstance(a, Corpus) else load_corpus(a, view_a)
    new = b if isinstance(b, Corpus) else load_corpus(b, view_b)
    changes, same_query = revision(old, new)
    outcomes = evaluate([old, new], listed, depth=depth, measures=measures, out=out, cache=cache, fresh=fresh)
    both = list(zip(outcomes[: len(listed)], outcomes[len(listed) :], strict=True))
    tables = {
        place: _Table(_results(first), _results(second), same_query)
        for place, (first, second) in enumerate(both)
        if first.summary and second.summary
    }
    shifts = {place: table.shift(measure) for place, table in tables.items()}
    tested = {place: shift for place, shift in shifts.items() if shift is not None}
    corrected = holm([math.nan if shift.p is None else shift.p for shift in tested.values()])
    for shift, p in zip(tested.values(), corrected, strict=True):
        shift.p_corrected = _known(p)
    systems = [_system(pair, shifts.get(place), measure) for place, pair in enumerate(both)]
    tau = _tau([systems[place].system for place in tables], list(tables.values()), measure)
    return Versions(
        a=_side(old),
        b=_side(new),
        measure=measure,
        changes=changes,
        systems=systems,
        tau=tau,
        sentence=f"{_scores_sentence(systems, measure)} {_ranks_sentence(tau)}",
    )


class _Table:
    """One system's results: a row for each query that A or B has, (result on A or None, result on B or None)."""

    def __init__(self, a: dict[str, QueryResult], b: dict[str, QueryResult], same_query: dict[str, str]) -> None:
        taken = {same_query[name] for name in a if name in same_query}
        self.rows: dict[tuple[str, str], tuple[QueryResult | None, QueryResult | None]] = {
            (name, same_query.get(name, "")): (unit, b.get(same_query.get(name, ""))) for name, unit in a.items()
        }
        self.rows |= {("", name): (None, unit) for name, unit in b.items() if name not in taken}

    def values(self, side: int, measure: str, keys: Sequence[tuple[str, str]]) -> Floats:
        units = (self.rows[key][side] for key in keys)
        return np.array([math.nan if unit is None else unit.measures[measure] for unit in units], dtype=np.float64)

    def groups(self, keys: Sequence[tuple[str, str]]) -> NDArray[np.int64]:
        """Queries of one group on either side belong together."""
        labels = [
            [(side, unit.group is None, unit.group or unit.id) for side, unit in enumerate(self.rows[key]) if unit]
            for key in keys
        ]
        return shared_clusters(labels)

    def shift(self, measure: str) -> Shift | None:
        keys = [key for key, (old, new) in self.rows.items() if old and new]
        if not keys:
            return None
        groups = self.groups(keys)
        apart = self.values(1, measure, keys) - self.values(0, measure, keys)
        mean, low, high, p = (float(column[0]) for column in paired_difference(apart[:, None], groups))
        spread = high - low > ROUNDING
        return Shift(
            mean=mean,
            low=low if spread else None,
            high=high if spread else None,
            p=_known(p),
            n=len(keys),
            n_groups=int(groups.max()) + 1,
        )


def _tau(names: list[str], tables: list[_Table], measure: str) -> Tau:
    if len(tables) < FEWEST:
        return Tau(reason=f"an order takes {FEWEST} systems that ran on both; there are {len(tables)}")
    keys = [key for key in tables[0].rows if all(key in table.rows for table in tables)]
    first, second = (np.stack([t.values(side, measure, keys) for t in tables], axis=1) for side in (0, 1))
    if np.isnan(first).all() or np.isnan(second).all():
        return Tau(reason="the systems have no query in common")
    value, low, high = rank_correlation(first, second, tables[0].groups(keys))
    if math.isnan(value):
        return Tau(reason="all systems are tied on A or on B")
    means = [np.nanmean(side, axis=0) for side in (first, second)]
    pairs = list(combinations(range(len(names)), 2))
    moved = [(names[i], names[j]) for i, j in pairs if len({_order(mean[i] - mean[j]) for mean in means}) > 1]
    return Tau(value=value, low=_known(low), high=_known(high), pairs=len(pairs), moved=moved)


def _order(apart: float) -> int:
    return 0 if abs(apart) <= ROUNDING else int(math.copysign(1, apart))


def _scores_sentence(systems: list[SystemShift], measure: str) -> str:
    found = [(system.system, system.difference) for system in systems if system.difference is not None]
    if not found:
        return "Nothing can be said of scores: no system ran on both and shares a query between them."
    name, largest = max(found, key=lambda item: abs(item[1].mean))
    span = f" [{largest.low:+.3f}, {largest.high:+.3f}]" if largest.low is not None and largest.high is not None else ""
    most = f"{name} most, by {largest.mean:+.3f}{span}"
    if moved := sum(shift.told for _, shift in found):
        return f"Scores moved: {measure} of {moved} of {len(found)} systems, on the queries that both have; {most}."
    if all(abs(shift.mean) <= ROUNDING and shift.low is None for _, shift in found):
        return f"Scores did not move: {measure} is the same for every group of queries that both have."
    return f"No system's {measure} can be told to have moved on the queries that both have; {most}."


def _ranks_sentence(tau: Tau) -> str:
    if tau.value is None:
        return f"Nothing can be said of ranks: {tau.reason}."
    span = "" if tau.low is None or tau.high is None else f" [{tau.low:.2f}, {tau.high:.2f}]"
    told = f"Kendall's tau {tau.value:.2f}{span}"
    if not tau.moved:
        return f"Ranks did not move: all {tau.pairs} pairs of systems keep their order, {told}."
    if tau.high is not None and tau.high < 1:
        return f"Ranks moved: {len(tau.moved)} of {tau.pairs} pairs of systems changed their order, {told}."
    return (
        f"{len(tau.moved)} of {tau.pairs} pairs of systems changed their order, {told}: "
        "not enough to tell that ranks moved."
    )


def _system(pair: tuple[Outcome, Outcome], shift: Shift | None, measure: str) -> SystemShift:
    scores = [outcome.summary.measures[measure] if outcome.summary else None for outcome in pair]
    sides = dict(zip("ab", pair, strict=True))
    return SystemShift(
        system=str(pair[0].manifest.system["name"]),
        a=scores[0],
        b=scores[1],
        difference=shift,
        runs={side: str(outcome.path) for side, outcome in sides.items()},
        errors={side: str(o.manifest.error) for side, o in sides.items() if o.summary is None},
    )


def _side(corpus: Corpus) -> Side:
    return Side(
        corpus=corpus.name,
        version=corpus.version,
        view=corpus.view,
        sha256=corpus.sha256,
        documents=len(corpus),
        queries=len(corpus.queries),
        judgements=len(corpus.qrels.grade),
        relevant=int((corpus.qrels.grade > 0).sum()),
    )


def _results(outcome: Outcome) -> dict[str, QueryResult]:
    units: list[Any] = read_units(outcome.path) if outcome.summary else []
    return {unit.id: unit for unit in units}


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value

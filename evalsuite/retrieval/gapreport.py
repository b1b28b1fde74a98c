"""What a gap comes to: the report, and how it follows from the scores of all systems."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from pydantic import Field

from evalsuite.errors import RunError, UsageError
from evalsuite.gapnumbers import (
    Choose,
    Difference,
    Flags,
    Ints,
    Part,
    Plan,
    clusters_of,
    difference,
    intervals,
    plan,
    positive,
    share,
    winners,
)
from evalsuite.records import Interval, Record
from evalsuite.retrieval.corpus import Corpus
from evalsuite.retrieval.gappool import PoolNumbers, TwinNumbers, pool_numbers, twin_numbers
from evalsuite.retrieval.gapruns import SeenRun, judgements, relevant, why_apart
from evalsuite.retrieval.obliqueness import Obliqueness
from evalsuite.statistics import LEVEL, RESAMPLES, SEED, Floats, group_numbers

UNNAMED = "unspecified"
UNRANKED = 0.05
ENOUGH_ORDERS = 3


class Slice(Record):
    """V, R and the gap of some queries. `verifier` and `retriever` are the winners by the first measure, `winner` by each: several
    names with the number of queries that each stands for.

    `hindsight` has R and the gap had the winner been chosen by the scores it is reported with: R is then biased upwards.
    """

    n: int
    n_clusters: int
    verifier: str
    retriever: str
    winner: dict[str, dict[str, str]]
    V: dict[str, Interval]
    R: dict[str, Interval]
    gap: dict[str, Difference]
    share_positive: dict[str, Interval]
    hindsight: dict[str, dict[str, float]]


class SystemNumbers(Record):
    """One system on the reported queries. `apart`: why it cannot be R (second-stage, read-everything), or ""."""

    system: str
    role: str
    track: str
    apart: str
    measures: dict[str, Interval]
    judged_at_10: float = Field(alias="judged@10")
    tokens: Any
    cost: Any
    runs: list[str]


class Spread(Record):
    """What the order that a verifier sees documents in is worth: its mean by each order, their sd (n - 1) and range."""

    verifier: str
    measure: str
    orders: list[int]
    means: list[float]
    sd: float | None
    range: tuple[float, float]


class GapReport(Slice):
    """All that `gap` found. `queries` has one row per reported query, `left_out` says which are not reported and why."""

    corpus: str
    version: str
    view: str
    corpus_sha256: str
    scoring: str
    protocol: dict[str, Any]
    largest_cluster: int
    by_mechanism: dict[str, Slice]
    winners: list[dict[str, Any]]
    spread: list[Spread]
    systems: list[SystemNumbers]
    pool: PoolNumbers | None
    twins: list[TwinNumbers]
    obliqueness: Obliqueness | None = None
    left_out: dict[str, str]
    queries: list[dict[str, Any]]
    notes: list[str]


class Study:
    """Scores of all systems by measure, float [systems, queries], and who stands for whom; NaN where a verifier knows nothing."""

    def __init__(
        self,
        verifiers: dict[str, list[SeenRun]],
        retrievers: dict[str, SeenRun],
        measures: list[str],
        choose: Choose,
        seed: int,
        corpus: Corpus | None,
    ) -> None:
        self.verifiers, self.retrievers, self.measures = verifiers, retrievers, measures
        self.seed, self.choose, self.corpus = seed, choose, corpus
        self.rivals = {label: run for label, run in retrievers.items() if not why_apart(run)}
        if not self.rivals:
            raise UsageError("no retriever can be R: all are second stages or read everything")
        self.first = next(iter(retrievers.values()))
        units = list(self.first.queries.values())
        self.ids = [unit.id for unit in units]
        self.mechanisms = [unit.mechanism or UNNAMED for unit in units]
        self.strata = group_numbers(self.mechanisms)
        runs = [run for group in (*verifiers.values(), retrievers.values()) for run in group]
        self.grades = judgements(runs, corpus)
        self.clusters: Ints = clusters_of(units, self.grades)
        self.plan = plan(choose, [unit.split for unit in units], self.clusters, self.strata, seed)
        self.V = {m: np.array([self._mean_of_orders(group, m) for group in verifiers.values()]) for m in measures}
        self.R = {m: np.array([self._values(run, m) for run in self.rivals.values()]) for m in measures}
        self.known: Flags = ~np.isnan(self.V[measures[0]]).any(axis=0)
        self.reported: Flags = self.plan.reported & self.known
        if not self.reported.any():
            raise RunError(
                "no query is left to report: what is reported and what a verifier ranked have none in common"
            )
        self.chosen_v = {m: winners(self.V[m], self.plan, self.strata) for m in measures}
        self.chosen_r = {m: winners(self.R[m], self.plan, self.strata) for m in measures}
        after = Plan("in hindsight", [Part("all", self.reported, self.reported)])
        self.best_r = {m: winners(self.R[m], after, self.strata) for m in measures}

    def _values(self, run: SeenRun, measure: str) -> Floats:
        """A verifier that ranked nothing for a query knows nothing of it; a retriever that found nothing scores 0."""
        found = [run.queries.get(q) for q in self.ids]
        ranked = [unit is not None and not (unit.missing and run.role == "verifier") for unit in found]
        return np.array(
            [unit.measures[measure] if unit and told else np.nan for unit, told in zip(found, ranked, strict=True)]
        )

    def _mean_of_orders(self, group: list[SeenRun], measure: str) -> Floats:
        return np.asarray(np.mean([self._values(run, measure) for run in group], axis=0))

    def report(self) -> GapReport:
        first, rows = self.first.manifest, self.reported
        sizes = np.bincount(self.clusters[rows])
        names = list(dict.fromkeys(name for name, kept in zip(self.mechanisms, rows, strict=True) if kept))
        v = {m: self.best(self.V, self.chosen_v, m)[rows] for m in self.measures}
        pool, unknown = pool_numbers(self.pool_runs(), self.winning_runs(), self.grades, v, self.clusters[rows])
        cluster_of = dict(zip(self.ids, self.clusters.tolist(), strict=True))
        twins, odd = twin_numbers(self.all_systems(), self.grades, cluster_of, self.measures)
        return GapReport(
            corpus=first.suite.name,
            version=first.suite.version,
            view=str(first.protocol.get("view", "")),
            corpus_sha256=first.suite.sha256,
            scoring=str(first.protocol.get("id", "")),
            protocol={
                "choose": self.choose,
                "winners": self.plan.how,
                "orders": max(map(len, self.verifiers.values())),
                "fold_seed": self.seed,
                "bootstrap": {"level": LEVEL, "resamples": RESAMPLES, "seed": SEED, "unit": "clusters of queries"},
            },
            **self.slice(rows).model_dump(),
            largest_cluster=int(sizes.max()),
            by_mechanism={name: self.slice(rows & (np.array(self.mechanisms) == name)) for name in names},
            winners=list(self.told_winners()),
            spread=[spread for label in self.verifiers for spread in self.spread(label)],
            systems=[self.system(label, group) for label, group in self.all_systems().items()],
            pool=pool,
            twins=twins,
            left_out={q: self.why_left_out(i) for i, q in enumerate(self.ids) if not rows[i]},
            queries=[self.query(int(i)) for i in np.flatnonzero(rows)],
            notes=[*self.notes(int(sizes.max())), *unknown, *_unranked(pool), *odd],
        )

    def all_systems(self) -> dict[str, list[SeenRun]]:
        return {**self.verifiers, **{label: [run] for label, run in self.retrievers.items()}}

    def slice(self, rows: Flags) -> Slice:
        clusters = self.clusters[rows]
        v = np.stack([self.best(self.V, self.chosen_v, m)[rows] for m in self.measures], axis=1)
        r = np.stack([self.best(self.R, self.chosen_r, m)[rows] for m in self.measures], axis=1)
        best = np.stack([self.best(self.R, self.best_r, m)[rows] for m in self.measures], axis=1)
        winner = {
            m: {
                "V": named(list(self.verifiers), self.chosen_v[m][0][rows]),
                "R": named(list(self.rivals), self.chosen_r[m][0][rows]),
            }
            for m in self.measures
        }
        gaps = v - r
        each = list(enumerate(self.measures))
        return Slice(
            n=int(rows.sum()),
            n_clusters=len(np.unique(clusters)),
            verifier=winner[self.measures[0]]["V"],
            retriever=winner[self.measures[0]]["R"],
            winner=winner,
            V=dict(zip(self.measures, intervals(v, clusters), strict=True)),
            R=dict(zip(self.measures, intervals(r, clusters), strict=True)),
            gap={m: difference(gaps[:, i], clusters) for i, m in each},
            share_positive={m: share(positive(gaps[:, i]), clusters) for i, m in each},
            hindsight={m: {"R": float(best[:, i].mean()), "gap": float((v - best)[:, i].mean())} for i, m in each},
        )

    def best(self, scores: dict[str, Floats], chosen: dict[str, Any], measure: str) -> Floats:
        """The winner's score per query, float [queries]."""
        return np.asarray(scores[measure][chosen[measure][0], np.arange(len(self.ids))])

    def told_winners(self) -> Iterator[dict[str, Any]]:
        mechanisms = list(dict.fromkeys(self.mechanisms))
        for side, labels, chosen in (
            ("V", list(self.verifiers), self.chosen_v),
            ("R", list(self.rivals), self.chosen_r),
        ):
            for measure in self.measures:
                for win in chosen[measure][1]:
                    if not (self.reported & (self.strata == win.stratum)).any():
                        continue
                    yield {
                        "side": side,
                        "measure": measure,
                        "mechanism": mechanisms[win.stratum],
                        "part": win.part,
                        "system": labels[win.system],
                        "score_where_chosen": win.score,
                        "n_where_chosen": win.n,
                    }

    def spread(self, label: str) -> list[Spread]:
        found = []
        for measure in self.measures:
            group = self.verifiers[label]
            means = [float(self._values(run, measure)[self.reported].mean()) for run in group]
            found.append(
                Spread(
                    verifier=label,
                    measure=measure,
                    orders=[run.order for run in group],
                    means=means,
                    sd=float(np.std(means, ddof=1)) if len(means) > 1 else None,
                    range=(min(means), max(means)),
                )
            )
        return found

    def system(self, label: str, group: list[SeenRun]) -> SystemNumbers:
        values = np.stack([self._mean_of_orders(group, m)[self.reported] for m in self.measures], axis=1)
        judged = [
            run.queries[q].judged_at_10
            for run in group
            for q, kept in zip(self.ids, self.reported, strict=True)
            if kept
        ]
        usage = [run.manifest.usage for run in group]
        return SystemNumbers(
            system=label,
            role=group[0].role,
            track=group[0].track,
            apart="" if group[0].role == "verifier" else why_apart(group[0]),
            measures=dict(zip(self.measures, intervals(values, self.clusters[self.reported]), strict=True)),
            judged_at_10=float(np.mean(judged)),
            tokens=[own.get("tokens", "unknown") for own in usage],
            cost=[own.get("cost", "unknown") for own in usage],
            runs=[str(run.path) for run in group],
        )

    def pool_runs(self) -> dict[str, SeenRun]:
        """Query id -> the run whose ranked documents are the pool: the winning verifier's by the first measure, first order."""
        groups, (chosen, _) = list(self.verifiers.values()), self.chosen_v[self.measures[0]]
        return {self.ids[i]: groups[chosen[i]][0] for i in np.flatnonzero(self.reported)}

    def winning_runs(self) -> dict[str, dict[str, SeenRun]]:
        """Measure -> query id -> the run of the retriever that stands for R."""
        runs, rows = list(self.rivals.values()), np.flatnonzero(self.reported)
        return {m: {self.ids[i]: runs[self.chosen_r[m][0][i]] for i in rows} for m in self.measures}

    def query(self, i: int) -> dict[str, Any]:
        v = {m: float(self.best(self.V, self.chosen_v, m)[i]) for m in self.measures}
        r = {m: float(self.best(self.R, self.chosen_r, m)[i]) for m in self.measures}
        return {
            "id": self.ids[i],
            "mechanism": self.mechanisms[i],
            "cluster": int(self.clusters[i]),
            "V": v,
            "R": r,
            "gap": {m: v[m] - r[m] for m in self.measures},
            "retriever": {m: list(self.rivals)[self.chosen_r[m][0][i]] for m in self.measures},
        }

    def why_left_out(self, i: int) -> str:
        return (
            "V is unknown: a verifier ranked nothing" if not self.known[i] else "of split dev: winners are chosen on it"
        )

    def notes(self, largest: int) -> list[str]:
        n, found = int(self.reported.sum()), []
        unknown = int((~self.known & self.plan.reported).sum())
        if unknown:
            found.append(
                f"{unknown} of {len(self.ids)} queries are left out: a verifier ranked nothing for them, so V is unknown"
            )
        if 2 * largest > n:
            found.append(
                f"one cluster of queries that share golds holds {largest} of {n}: the intervals rest on few independent ones"
            )
        if self.choose == "test" and max(len(self.verifiers), len(self.rivals)) > 1:
            found.append(
                "winners were chosen by the scores they are reported with, which makes the best look better than it is"
            )
        if (fewest := min(map(len, self.verifiers.values()))) < ENOUGH_ORDERS:
            found.append(
                f"a verifier ranked in {fewest} order{'s' * (fewest > 1)} only; three show what the order is worth"
            )
        for part in self.plan.parts:
            crossing = np.intersect1d(self.clusters[part.on & ~part.counts], self.clusters[part.counts & ~part.on])
            if len(crossing):
                found.append(
                    f"{len(crossing)} clusters are on both sides of the dev/test split: queries share golds across it"
                )
        torn = {name: set() for name in self.mechanisms}  # type: dict[str, set[str]]
        for win in self.told_winners():
            if (win["side"], win["measure"]) == ("R", self.measures[0]):
                torn[win["mechanism"]].add(win["system"])
        if split := [f"{name}: {' and '.join(sorted(won))}" for name, won in torn.items() if len(won) > 1]:
            found.append(
                f"the folds choose different retrievers ({'; '.join(split)}): too few queries tell which is best, and R lies "
                "below the best in hindsight"
            )
        if apart := [label for label, run in self.retrievers.items() if why_apart(run)]:
            found.append(f"not R, since second stages and systems that read everything stand apart: {', '.join(apart)}")
        listed = {q: len(relevant(own)) for q, own in self.grades.items()}
        short = [q for q, unit in self.first.queries.items() if listed.get(q, 0) < (unit.relevant or 0)]
        if short:
            found.append(
                f"{len(short)} queries have more golds than the run folders list: give the corpus for exact clusters"
            )
        return found


def _unranked(pool: PoolNumbers | None) -> list[str]:
    share = max(pool.unranked.values()) if pool else 0.0
    return (
        [f"R did not rank {share:.0%} of the pool: its score in the pool is a lower bound; rank deeper (--depth)"]
        if share > UNRANKED
        else []
    )


def named(labels: list[str], chosen: Ints) -> str:
    """ "dense", or "dense (12), bm25 (9)" with the number of queries that each stands for."""
    counts = np.bincount(chosen, minlength=len(labels))
    order = [i for i in np.argsort(-counts, kind="stable") if counts[i]]
    return labels[order[0]] if len(order) == 1 else ", ".join(f"{labels[i]} ({counts[i]})" for i in order)

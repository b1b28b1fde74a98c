"""Recognised against surfaced: V and R of every corpus and mechanism on the page that verifiers and retrievers were run on.

The numbers are those of `evalsuite retrieval gap` from these runs alone; the figure is figure 1 of arXiv 2605.06235.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from evalsuite.gapnumbers import Difference, clusters_of, difference, grades_of, intervals, plan, unordered, winners
from evalsuite.records import Interval, QueryResult
from evalsuite.reporting.charts import Cross, against
from evalsuite.reporting.comparable import queries_of
from evalsuite.reporting.sections import Section
from evalsuite.reporting.standings import HEADLINE, UNNAMED, role
from evalsuite.statistics import Floats, group_numbers

Queries = dict[str, QueryResult]


@dataclass(frozen=True)
class Recognised:
    """One point: V and R with intervals, the mean of V - R per query, and who stands for each."""

    name: str
    measure: str
    V: Interval
    R: Interval
    gap: Difference
    verifiers: list[str]
    retrievers: list[str]


def recognised(sections: Sequence[Section]) -> list[Recognised]:
    """One point a corpus version, protocol and mechanism with runs of both kinds; unfinished runs and those of other queries add nothing."""
    found: dict[Hashable, list[Section]] = {}
    for section in sections:
        manifest = section.manifest
        if manifest.kind == "retrieval" and manifest.status == "complete" and section.units:
            found.setdefault((manifest.suite.sha256, str(manifest.protocol.get("id", ""))), []).append(section)
    return [point for group in found.values() for point in _points(group)]


def _points(sections: list[Section]) -> Iterator[Recognised]:
    verifiers: dict[str, list[Queries]] = {}
    rivals: list[tuple[str, Queries]] = []
    for section in sections:
        system, own = section.manifest.system, {unit.id: unit for unit in queries_of(section)}
        name = str(system.get("name") or section.run_id)
        if role(section) == "verifier":
            verifiers.setdefault(unordered(name), []).append(own)
        elif role(section) == "" and system.get("track") != "read-everything":
            rivals.append((name, own))
    if not verifiers or not rivals:
        return
    first = rivals[0][1]
    rivals = [(name, own) for name, own in rivals if own.keys() == first.keys()]
    names = list(next(iter(first.values())).measures)
    measure = HEADLINE if HEADLINE in names else names[0]
    units = list(first.values())
    mechanisms = [unit.mechanism or UNNAMED for unit in units]
    strata = group_numbers(mechanisms)
    grades = grades_of(unit for _, own in rivals for unit in own.values())
    clusters = clusters_of(units, grades)
    made = plan("dev", [unit.split for unit in units], clusters, strata)
    v = np.array([np.mean([_scores(own, units, measure) for own in runs], axis=0) for runs in verifiers.values()])
    r = np.array([[own[unit.id].measures[measure] for unit in units] for _, own in rivals])
    who_v, who_r = winners(v, made, strata)[0], winners(r, made, strata)[0]
    every = np.arange(len(units))
    best = np.stack([v[who_v, every], r[who_r, every]], axis=1)
    reported = made.reported & ~np.isnan(v).any(axis=0)
    manifest = sections[0].manifest
    for mechanism in dict.fromkeys(mechanisms):
        rows = reported & (np.array(mechanisms) == mechanism)
        if rows.any():
            of_v, of_r = intervals(best[rows], clusters[rows])
            yield Recognised(
                name=f"{manifest.suite.name} {manifest.suite.version}, {mechanism}",
                measure=measure,
                V=of_v,
                R=of_r,
                gap=difference(best[rows, 0] - best[rows, 1], clusters[rows]),
                verifiers=list(dict.fromkeys(list(verifiers)[i] for i in who_v[rows])),
                retrievers=list(dict.fromkeys(rivals[i][0] for i in who_r[rows])),
            )


def _scores(own: Queries, units: Sequence[QueryResult], measure: str) -> Floats:
    """A verifier's scores; NaN for a query that it ranked nothing for."""
    found = [own.get(unit.id) for unit in units]
    return np.array([unit.measures[measure] if unit and not unit.missing else np.nan for unit in found])


def recognised_chart(points: Sequence[Recognised]) -> Markup:
    """V across, R up: a point on the diagonal is surfaced as well as it is recognised, one below it is not."""
    crosses = [Cross(point.name, point.V, point.R) for point in points]
    return against(crosses, f"V: {points[0].measure} of the verifier", "R: the best retriever")

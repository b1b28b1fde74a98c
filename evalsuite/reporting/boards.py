"""One ranking on a page: its figure, what quality stands against, and how its numbers are written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from evalsuite.records import Interval, LabSummary, Rate
from evalsuite.reporting.charts import Bar, Point, amount, interval_bars, number, pareto, visible
from evalsuite.reporting.sections import Section
from evalsuite.reporting.standings import Board, Standings

APART = {
    "": "",
    "verifier": ": verifiers, which rescore what others found",
    "second-stage": ": second stages, which reorder what a first stage found",
    "audit": ": audit agents, which see the rubric or the reference",
}
LATENCIES = ("p50", "p95", "p99")
DECLARED = "as its author declares"
MARKS = {"(c)": "from a cache, so not the system's own time", "(d)": DECLARED}
PLOTS = {"retrieval": ("ms/query", "index MB", "cost $"), "lab": ("s/trial", "agent $/trial")}


@dataclass(frozen=True)
class Resource:
    """What one run took of one thing; `why` says why `value` is None or no measure of the system."""

    value: float | None
    why: str = ""

    @property
    def told(self) -> str:
        if self.value is None:
            return self.why
        mark = " (d)" if self.declared else " (c)" if self.why else ""
        return amount(self.value) + mark

    @property
    def declared(self) -> bool:
        return self.why == DECLARED


def title(group: Standings) -> str:
    """ "clauses-mini 1.0, view gold"."""
    manifest = group.some.manifest
    view = f", view {manifest.protocol.get('view', 'unnamed')}" if manifest.kind == "retrieval" else ""
    return visible(f"{manifest.suite.name} {manifest.suite.version}{view}{APART[group.role]}")


def resources(section: Section) -> dict[str, Resource]:
    """What a run took, by column; less is better, except for queries/s. Latencies are there only where they were measured."""
    if isinstance(section.summary, LabSummary):
        return _lab_resources(section.summary)
    usage = section.manifest.usage
    seconds = usage.get("seconds")
    parts = seconds if isinstance(seconds, dict) else {}
    rate = _amount(usage.get("queries_per_second"))
    declared = DECLARED if usage.get("declared") else ""
    index_cached = declared or ("from the cache" if usage.get("index_cached") else "")
    cached = declared or ("its queries came from the cache" if usage.get("query_vectors_cached") else "")
    return {
        "index s": _resource(parts.get("index"), index_cached),
        "search s": _resource(parts.get("search"), cached),
        "queries/s": _resource(rate, cached),
        "ms/query": _resource(1000 / rate if rate else None, cached),
        "index MB": _resource(_amount(usage.get("index_bytes")), unit=1e6),
        "peak MB": _resource(_amount(usage.get("peak_memory_bytes")), unit=1e6),
        "cost $": _resource(usage.get("cost"), declared),
        **{name: Resource(value) for name, value in latencies(usage).items()},
    }


def latencies(usage: dict[str, Any]) -> dict[str, float]:
    """ "p50 ms", "p95 ms", "p99 ms" of a query, where the run measured them."""
    measured = usage.get("seconds_per_query")
    found = {name: _amount(measured.get(name)) for name in LATENCIES} if isinstance(measured, dict) else {}
    return {f"{name} ms": 1000 * value for name, value in found.items() if value is not None}


def taken(sections: Sequence[Section]) -> tuple[list[str], list[list[str]]]:
    """The columns of what runs took, and a row for each run: "-" where it has no such number."""
    rows = [resources(section) for section in sections]
    names = list(dict.fromkeys(name for row in rows for name in row))
    return names, [[row[name].told if name in row else "-" for name in names] for row in rows]


def legend(cells: Iterable[str]) -> list[str]:
    """What the marks in these cells mean."""
    marks = {cell[-3:] for cell in cells}
    return [f"{mark}: {meaning}" for mark, meaning in MARKS.items() if mark in marks]


def _lab_resources(summary: LabSummary) -> dict[str, Resource]:
    agent, judges, n = summary.usage["agent"], summary.usage["judges"], summary.n_trials or 1
    tokens = agent["tokens"] if isinstance(agent["tokens"], dict) else {}
    return {
        "s/trial": _resource(agent["seconds"], unit=n),
        "turns/trial": _resource(agent["turns"], unit=n),
        "tokens in/trial": _resource(tokens.get("input"), unit=n),
        "tokens out/trial": _resource(tokens.get("output"), unit=n),
        "agent $/trial": _resource(agent["cost"], unit=n),
        "judges $": _resource(judges["cost"]),
    }


def _amount(value: Any) -> float | None:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1e15
    return float(value) if usable else None


def _resource(value: Any, why: str = "", unit: float = 1) -> Resource:
    found = _amount(value)
    return (
        Resource(None, "unknown" if value is None or value == "unknown" else "not a number")
        if found is None
        else (Resource(found / unit, why))
    )


def bars(board: Board, group: Standings) -> Markup:
    """The board as a figure: systems best first, then the runs without a result, with the reason instead of a dot."""
    placed = [Bar(p.label, p.value.mean, p.value.low, p.value.high, p.letters) for p in board.places]
    without = [Bar(label, None, words=f"! {why}") for label, _, why in group.without]
    low, high = min(board.low for board in group.boards), max(board.high for board in group.boards)
    unit = f"{board.measure}, {board.title}; 95 % interval"
    return interval_bars(placed + without, low=low, high=high, unit=unit)


def plots(board: Board, kind: str) -> list[tuple[str, Markup | str]]:
    """(what quality stands against, the figure, or a sentence where there is nothing to draw)."""
    if len(board.places) < 2:
        return []
    taken = [resources(place.section) for place in board.places]
    return [(name, _plot(board, [own[name] for own in taken], name)) for name in PLOTS[kind]]


def _plot(board: Board, taken: list[Resource], name: str) -> Markup | str:
    points = []
    for p, own in zip(board.places, taken, strict=True):
        x = None if own.why else own.value
        why = own.why if own.value is not None else f"{name} {own.why}"
        points.append(Point(p.label, x, p.value.mean, p.value.low, p.value.high, why))
    known = [point for point in points if point.x is not None]
    if len(known) < 2:
        return f"Not drawn against {name}: known of {len(known)} of {len(points)} systems."
    if len({point.x for point in known}) == 1:
        return f"Not drawn against {name}: it is {amount(known[0].x or 0)} for all of the {len(known)} systems it is known of."
    return pareto(points, name, f"{board.measure}, {board.title}")


def measured(value: Interval | Rate) -> str:
    """A cell: "0.369 (0.331–0.408)"; "-" for a rate of nothing, "withheld" where a part is ungraded."""
    if isinstance(value, Interval):
        return number(value.mean, value.low, value.high)
    if value.rate is None:
        return "withheld" if value.n else "-"
    return number(value.rate, value.low, value.high)


def difference(pair: dict[str, Any]) -> str:
    return number(pair["mean"], pair["low"], pair["high"])


def chance(p: float | None) -> str:
    """A p-value: "0.012", "< 0.001"."""
    return "-" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"

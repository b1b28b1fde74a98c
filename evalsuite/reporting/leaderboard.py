"""A leaderboard over any number of run folders: one static page, a terminal table, JSON. Groups that differ, not just ranks."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from evalsuite.errors import EvalsuiteError, RunError, UsageError
from evalsuite.records import Interval, LabSummary, Rate
from evalsuite.reporting.charts import Bar, Point, amount, interval_bars, number, pareto, visible
from evalsuite.reporting.sections import Section, read_section
from evalsuite.reporting.standings import Board, Place, Standings, grouped, standings
from evalsuite.storage import atomic_file

if TYPE_CHECKING:
    from rich.table import Table

APART = {
    "": "",
    "verifier": ": verifiers, which rescore what others found",
    "audit": ": audit agents, which see the rubric or the reference",
}
PLOTS = {"retrieval": ("ms/query", "index MB", "cost $"), "lab": ("s/trial", "agent $/trial")}


@dataclass(frozen=True)
class Leaderboard:
    """All groups, and the folders that could not be read, each with the reason."""

    groups: list[Standings]
    unreadable: list[tuple[str, str]]

    @property
    def n_runs(self) -> int:
        return sum(len(group.sections) + len(group.without) for group in self.groups) + len(self.unreadable)

    @property
    def problems(self) -> list[tuple[str, str]]:
        """Every run without a place, and why: (its folder or name, the reason)."""
        found = [
            (f"{label}, on {group.some.manifest.suite.name}", why)
            for group in self.groups
            for label, _, why in group.without
        ]
        return self.unreadable + found


@dataclass(frozen=True)
class Resource:
    """What one run took of one thing; `why` says why `value` is None or no measure of the system."""

    value: float | None
    why: str = ""

    @property
    def told(self) -> str:
        if self.value is None:
            return self.why
        return amount(self.value) + (" (c)" if self.why else "")


def leaderboard(paths: Iterable[Path]) -> Leaderboard:
    """The runs in `paths`, which are run folders or hold some at any depth. A folder that cannot be read is listed, not fatal.

    Raises RunError for a path without a run, and where no run at all can be read.
    """
    names = {folder.resolve(): (folder, name) for path in paths for folder, name in find_runs(path)}
    sections, unreadable = [], []
    for folder, name in names.values():
        try:
            sections.append(read_section(folder))
        except EvalsuiteError as error:
            unreadable.append((name, str(error)))
    if not sections:
        raise RunError(f"no run could be read; the first: {unreadable[0][1]}", where=unreadable[0][0])
    told = dict(names.values())
    groups = [standings(group, told) for group in grouped(sections)]
    return Leaderboard(sorted(groups, key=_group_order), unreadable)


def find_runs(path: Path) -> list[tuple[Path, str]]:
    """Run folders at or under `path`, sorted, each with its name as seen from there. Raises RunError if there is none.

    Hidden folders and what lies inside a run folder are not searched; a link to a run folder counts, other links to
    folders are not followed.
    """
    if not path.is_dir():
        raise RunError("no such folder", where=str(path))
    found = []
    for place, folders, files in os.walk(path, onerror=_raise):
        here = Path(place)
        if "run.json" in files:
            folders.clear()
            found.append(here)
            continue
        found += [here / name for name in folders if (here / name).is_symlink() and (here / name / "run.json").exists()]
        folders[:] = sorted(name for name in folders if not name.startswith("."))
    if not found:
        raise RunError("is not a run folder and holds none", where=str(path))
    return [(run, str(run.relative_to(path)) if run != path else path.absolute().name) for run in sorted(found)]


def _raise(error: OSError) -> None:
    raise error


def _group_order(group: Standings) -> tuple[Any, ...]:
    manifest = group.some.manifest
    return manifest.kind != "retrieval", manifest.suite.name, manifest.suite.version, group.role, not group.boards


def title(group: Standings) -> str:
    """ "clauses-mini 1.0, view gold"."""
    manifest = group.some.manifest
    view = f", view {manifest.protocol.get('view', 'unnamed')}" if manifest.kind == "retrieval" else ""
    return visible(f"{manifest.suite.name} {manifest.suite.version}{view}{APART[group.role]}")


def resources(section: Section) -> dict[str, Resource]:
    """What a run took, by column; less is better, except for queries/s."""
    if isinstance(section.summary, LabSummary):
        return _lab_resources(section.summary)
    usage = section.manifest.usage
    seconds = usage.get("seconds")
    parts = seconds if isinstance(seconds, dict) else {}
    rate = _amount(usage.get("queries_per_second"))
    index_cached = "from the cache" if usage.get("index_cached") else ""
    cached = "its queries came from the cache" if usage.get("query_vectors_cached") else ""
    return {
        "index s": _resource(parts.get("index"), index_cached),
        "search s": _resource(parts.get("search"), cached),
        "queries/s": _resource(rate, cached),
        "ms/query": _resource(1000 / rate if rate else None, cached),
        "index MB": _resource(_amount(usage.get("index_bytes")), unit=1e6),
        "peak MB": _resource(_amount(usage.get("peak_memory_bytes")), unit=1e6),
        "cost $": _resource(usage.get("cost")),
    }


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
    unit = f"{board.measure}, {board.title}: mean and 95 % interval"
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


def _difference(pair: dict[str, Any]) -> str:
    return number(pair["mean"], pair["low"], pair["high"])


def _chance(p: float | None) -> str:
    """A p-value: "0.012", "< 0.001"."""
    return "-" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def build(paths: Iterable[Path], output: Path) -> Leaderboard:
    """Write the page. Raises UsageError if `output` is a folder, and what `leaderboard` raises."""
    if output.is_dir():
        raise UsageError(f"{output} is a folder; the page needs a file name")
    from evalsuite.reporting.rendering import environment
    from evalsuite.reporting.script import policy, style

    found = leaderboard(paths)
    text = (
        environment()
        .get_template("leaderboard.html")
        .render(
            groups=found.groups,
            problems=found.problems,
            n_runs=found.n_runs,
            style=Markup(style()),
            policy=policy(scripted=False),
        )
    )
    with atomic_file(output) as stream:
        stream.write(text.encode())
    return found


def as_json(found: Leaderboard) -> dict[str, Any]:
    """{"runs", "errors", "problems": [{"run", "why"}], "groups": [...]}: all that the page says."""
    return {
        "runs": found.n_runs,
        "errors": len(found.problems),
        "problems": [{"run": name, "why": why} for name, why in found.problems],
        "groups": [_group_json(group) for group in found.groups],
    }


def _group_json(group: Standings) -> dict[str, Any]:
    manifest = group.some.manifest
    return {
        "kind": manifest.kind,
        "suite": manifest.suite.name,
        "version": manifest.suite.version,
        "sha256": manifest.suite.sha256,
        "view": manifest.protocol.get("view"),
        "protocol": manifest.protocol.get("id"),
        "role": group.role or None,
        "notes": group.notes,
        "without": [{"system": label, "folder": str(s.folder), "why": why} for label, s, why in group.without],
        "boards": [
            {
                "title": board.title,
                "measure": board.measure,
                "words": board.words,
                "no_letters": board.why or None,
                "systems": [_place_json(place) for place in board.places],
                "differences": board.differences,
            }
            for board in group.boards
        ],
    }


def _place_json(place: Place) -> dict[str, Any]:
    return {
        "system": place.label,
        "folder": str(place.section.folder),
        "mean": place.value.mean,
        "low": place.value.low,
        "high": place.value.high,
        "n": place.value.n,
        "letters": place.letters or None,
        "measures": {name: value.model_dump(mode="json") for name, value in place.measures.items()},
        "resources": {name: own.value for name, own in resources(place.section).items()},
    }


def tables(found: Leaderboard) -> list[Table]:
    """Per board a table for the terminal."""
    from rich.table import Table
    from rich.text import Text

    made = []
    for group in found.groups:
        kind = group.some.manifest.kind
        for board in group.boards:
            table = Table(
                title=Text(f"{title(group)} · {board.title}"),
                caption=Text("\n".join([*board.words, *group.notes])),
                title_justify="left",
                caption_justify="left",
            )
            table.add_column("system", overflow="fold")
            table.add_column("n", justify="right")
            table.add_column(visible(board.measure), justify="right", min_width=len("0.123 (0.123–0.123)"))
            for name in ("letters", *PLOTS[kind]):
                table.add_column(name, justify="right", overflow="fold")
            for place in board.places:
                own = resources(place.section)
                cells = [str(place.value.n), measured(place.value), place.letters or "-"]
                table.add_row(*map(Text, [visible(place.label), *cells, *(own[name].told for name in PLOTS[kind])]))
            made.append(table)
    return made

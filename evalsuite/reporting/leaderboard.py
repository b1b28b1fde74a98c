"""A leaderboard over any number of run folders: one static page, a terminal table, JSON. Groups that differ, not just ranks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from evalsuite.errors import EvalsuiteError, RunError, UsageError
from evalsuite.reporting.boards import PLOTS, measured, resources, title
from evalsuite.reporting.charts import visible
from evalsuite.reporting.rendering import environment
from evalsuite.reporting.script import policy, style
from evalsuite.reporting.sections import read_section, run_folders
from evalsuite.reporting.standings import Place, Standings, grouped, standings
from evalsuite.storage import atomic_file

if TYPE_CHECKING:
    from rich.table import Table


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
    """Run folders at or under `path`, sorted, each with its name as seen from there. Raises RunError if there is none."""
    return [(run, str(run.relative_to(path)) if run != path else path.absolute().name) for run in run_folders(path)]


def _group_order(group: Standings) -> tuple[Any, ...]:
    manifest = group.some.manifest
    return manifest.kind != "retrieval", manifest.suite.name, manifest.suite.version, group.role, not group.boards


def build(paths: Iterable[Path], output: Path) -> Leaderboard:
    """Write the page. Raises UsageError if `output` is a folder, and what `leaderboard` raises."""
    if output.is_dir():
        raise UsageError(f"{output} is a folder; the page needs a file name")
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
            unfolded=True,
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
    """Per board a table for the terminal; what else a run took is on the page."""
    from rich.table import Table
    from rich.text import Text

    made = []
    named = Counter(map(title, found.groups))
    for group in found.groups:
        protocol = f" · protocol {group.some.manifest.protocol.get('id')}" if named[title(group)] > 1 else ""
        time = PLOTS[group.some.manifest.kind][0]
        for board in group.boards:
            table = Table(
                title=Text(visible(f"{title(group)}{protocol} · {board.title}")),
                caption=Text("\n".join([*board.words, *group.notes])),
                title_justify="left",
                caption_justify="left",
            )
            table.add_column("system", overflow="fold")
            table.add_column("n", justify="right")
            table.add_column(visible(board.measure), justify="right", min_width=len("0.123 (0.123–0.123)"))
            for name in ("letters", time):
                table.add_column(name, justify="right")
            for place in board.places:
                cells = [str(place.value.n), measured(place.value), place.letters or "-"]
                table.add_row(*map(Text, [visible(place.label), *cells, resources(place.section)[time].told]))
            made.append(table)
    return made

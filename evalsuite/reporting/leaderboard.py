"""A leaderboard over any number of run folders: one static page, a terminal table, JSON. Groups that differ, not just ranks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from evalsuite.errors import EvalsuiteError, RunError, UsageError
from evalsuite.reporting.boards import PLOTS, legend, measured, resources, title
from evalsuite.reporting.charts import isolated, visible
from evalsuite.reporting.rendering import environment
from evalsuite.reporting.script import policy, style
from evalsuite.reporting.seals import Seal, contradictions, is_by_product, named, seal_of, told
from evalsuite.reporting.sections import Section, read_section, run_folders
from evalsuite.reporting.standings import Place, Standings, grouped, standings
from evalsuite.storage import atomic_file, sha256_json

if TYPE_CHECKING:
    from rich.table import Table

HEX = 12


@dataclass(frozen=True)
class Leaderboard:
    """All groups, and the folders that could not be read or do not verify, each with the reason."""

    groups: list[Standings]
    unreadable: list[tuple[str, str]]
    unverifiable: list[tuple[str, str]]

    @property
    def n_runs(self) -> int:
        placed = sum(len(group.sections) + len(group.without) for group in self.groups)
        return placed + len(self.unreadable) + len(self.unverifiable)

    @property
    def n_sealed(self) -> int:
        return sum(group.seals[section.folder] is not None for group in self.groups for section in group.sections)

    @property
    def problems(self) -> list[tuple[str, str]]:
        """Every run without a place, and why: (its folder or name, the reason)."""
        found = [
            (f"{label}, on {group.some.manifest.suite.name}", why)
            for group in self.groups
            for label, _, why in group.without
        ]
        return self.unreadable + self.unverifiable + found


def leaderboard(paths: Iterable[Path]) -> Leaderboard:
    """The runs in `paths`: run folders, bundles, or folders that hold some at any depth; a copy of a run counts once.

    A folder that cannot be read, or is not what its hashes say, is listed, not fatal. Raises RunError for a path without a
    run, and where no run at all can be ranked.
    """
    names = {folder.resolve(): (folder, name) for path in paths for folder, name in find_runs(path)}
    read: list[tuple[str, Section]] = []
    seals: dict[Path, Seal | None] = {}
    unreadable, unverifiable = [], []
    for folder, name in names.values():
        try:
            seal = seal_of(folder)
            if is_by_product(folder, seal):
                continue
            section = read_section(folder)
            wrong = contradictions(section, seal) if section.manifest.status == "complete" else []
            section = section if wrong else named(section, seal)
        except EvalsuiteError as error:
            unreadable.append((name, str(error)))
            continue
        if wrong:
            unverifiable.append((name, told(wrong)))
            continue
        seals[folder] = seal
        read.append((_which(section), section))
    sealed = {digest for digest, section in read if seals[section.folder]}
    sections = {
        (digest, str(section.manifest.system.get("name"))): section
        for digest, section in read
        if seals[section.folder] or digest not in sealed
    }
    if not sections:
        only_live = [(name, "lies inside a sealed bundle; name the bundle") for _, name in names.values()]
        where, why = (unreadable + unverifiable + only_live)[0]
        raise RunError(f"no run could be read; the first: {why}", where=where)
    by_folder = dict(names.values())
    groups = [standings(group, by_folder, seals) for group in grouped(sections.values())]
    return Leaderboard(sorted(_with_versions(groups), key=_group_order), unreadable, unverifiable)


def _which(section: Section) -> str:
    """What a run and its copies have in common, also one that was finished again in another place."""
    manifest = section.manifest
    if not manifest.identity:
        return str(section.folder)
    begun = [manifest.identity, manifest.run_id, manifest.started_at]
    return sha256_json([*begun, manifest.status, manifest.files.get("results.jsonl")])


def _with_versions(groups: list[Standings]) -> list[Standings]:
    """The groups, each with a note that names the other versions of its corpus or tasks that stand apart."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for group in groups:
        manifest = group.some.manifest
        found.setdefault((manifest.kind, manifest.suite.name), {})[manifest.suite.sha256] = manifest.suite.version
    noted = []
    for group in groups:
        manifest = group.some.manifest
        others = {
            f"{version} ({digest[:HEX]})"
            for digest, version in found[manifest.kind, manifest.suite.name].items()
            if digest != manifest.suite.sha256
        }
        if others:
            what = f"{isolated(manifest.suite.name)} {', '.join(sorted(others))}"
            group = replace(
                group, notes=[*group.notes, f"Apart from {what}: other data, whose numbers do not compare."]
            )
        noted.append(group)
    return noted


def find_runs(path: Path) -> list[tuple[Path, str]]:
    """Run folders at or under `path`, sorted, each with its name as seen from there. Raises RunError if there is none."""
    return [(run, str(run.relative_to(path)) if run != path else path.absolute().name) for run in run_folders(path)]


def _group_order(group: Standings) -> tuple[Any, ...]:
    manifest = group.some.manifest
    apart = manifest.suite.sha256, group.role, not group.boards
    return manifest.kind != "retrieval", manifest.suite.name, manifest.suite.version, *apart


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
            n_sealed=found.n_sealed,
            style=Markup(style()),
            policy=policy(scripted=False),
            unfolded=True,
        )
    )
    with atomic_file(output) as stream:
        stream.write(text.encode())
    return found


def as_json(found: Leaderboard) -> dict[str, Any]:
    """{"runs", "sealed", "errors", "problems": [{"run", "why"}], "groups": [...]}: all that the page says."""
    return {
        "runs": found.n_runs,
        "sealed": found.n_sealed,
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
                "mechanism": board.mechanism,
                "track": board.track,
                "measure": board.measure,
                "words": board.words,
                "no_letters": board.why or None,
                "systems": [_place_json(place, group) for place in board.places],
                "differences": board.differences,
            }
            for board in group.boards
        ],
    }


def _place_json(place: Place, group: Standings) -> dict[str, Any]:
    taken = resources(place.section)
    return {
        "system": place.label,
        "folder": str(place.section.folder),
        "sealed": group.seals.get(place.section.folder) is not None,
        "warnings": group.warnings(place.section),
        "mean": place.value.mean,
        "low": place.value.low,
        "high": place.value.high,
        "n": place.value.n,
        "letters": place.letters or None,
        "measures": {name: value.model_dump(mode="json") for name, value in place.measures.items()},
        "resources": {name: None if own.declared else own.value for name, own in taken.items()},
        "declared": {name: own.value for name, own in taken.items() if own.declared},
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
            times = [resources(place.section)[time].told for place in board.places]
            below = legend(times)
            for place in board.places:
                of = f"warning: {isolated(place.label)}"
                below += [f"{of}: {visible(warning)}" for warning in group.warnings(place.section)]
            table = Table(
                title=Text(visible(f"{title(group)}{protocol} · {board.title}")),
                caption=Text("\n".join([*board.words, *below, *group.notes])),
                title_justify="left",
                caption_justify="left",
            )
            table.add_column("system", overflow="fold")
            table.add_column("n", justify="right")
            table.add_column(visible(board.measure), justify="right", min_width=len("0.123 (0.123–0.123)"))
            seals = ["yes" if group.seals[place.section.folder] else "no" for place in board.places]
            mixed = len(set(seals)) > 1
            for name in ("letters", time, *(["sealed"] if mixed else [])):
                table.add_column(name, justify="right")
            for place, taken, seal in zip(board.places, times, seals, strict=True):
                cells = [str(place.value.n), measured(place.value), place.letters or "-", taken]
                cells += [seal] if mixed else []
                table.add_row(*map(Text, [visible(place.label), *cells]))
            made.append(table)
    return made

"""One self-contained HTML page about any number of run folders: no script, no network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from evalsuite.errors import RunError, UsageError
from evalsuite.records import Interval, Manifest, QueryResult, Summary
from evalsuite.storage import atomic_file, read_manifest, read_units
from evalsuite.summary import summarise

HEADLINE = "nDCG@10"


@dataclass(frozen=True)
class Page:
    """What was written."""

    path: Path
    n_runs: int
    n_failed: int


@dataclass(frozen=True)
class Section:
    """One run on the page; `summary` is None where the run has no results to show."""

    folder: str
    manifest: Manifest
    summary: Summary | None
    units: list[QueryResult]


def build(paths: list[Path], output: Path) -> Page:
    """Write the page for run folders, or for folders that hold run folders. Raises RunError for anything else."""
    if output.is_dir():
        raise UsageError(f"{output} is a folder; the page needs a file name")
    folders = [folder for path in paths for folder in _run_folders(path)]
    sections = [_section(folder) for folder in folders]
    groups: dict[tuple[str, str], list[Section]] = {}
    for section in sections:
        key = section.manifest.suite.sha256, str(section.manifest.protocol.get("id", ""))
        groups.setdefault(key, []).append(section)
    environment = Environment(
        loader=PackageLoader("evalsuite.reporting"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters.update(whisker=whisker, number=number)
    template = environment.get_template("page.html")
    ordered = [_ordered(group) for group in groups.values()]
    text = template.render(
        groups=ordered,
        headlines=[line for group in ordered for line in _headlines(group)],
        failed=[section for section in sections if section.summary is None],
        headline=HEADLINE,
    )
    with atomic_file(output) as stream:
        stream.write(text.encode())
    return Page(output, len(sections), sum(section.summary is None for section in sections))


def _run_folders(path: Path) -> list[Path]:
    if (path / "run.json").exists() or not path.is_dir():
        return [path]
    inside = sorted(child for child in path.iterdir() if (child / "run.json").exists())
    if not inside:
        raise RunError("is not a run folder and holds none", where=str(path))
    return inside


def _section(folder: Path) -> Section:
    manifest = read_manifest(folder)
    results = folder / "results.jsonl"
    units = read_units(folder) if results.exists() and results.stat().st_size else []
    complete = manifest.status == "complete" and units
    return Section(folder.name, manifest, summarise(manifest, units) if complete else None, units)


def _ordered(group: list[Section]) -> list[Section]:
    def key(section: Section) -> float:
        if section.summary is None:
            return -1.0
        values = section.summary.measures
        return values[HEADLINE].mean if HEADLINE in values else next(iter(values.values())).mean

    return sorted(group, key=key, reverse=True)


def _headlines(group: list[Section]) -> list[dict[str, Any]]:
    """Per mechanism the system with the highest mean; a mean over oblique queries and their twins says nothing."""
    summaries = [section.summary for section in group if section.summary and HEADLINE in section.summary.measures]
    lines = []
    for mechanism in summaries[0].by_mechanism if summaries else []:
        scored = [summary for summary in summaries if mechanism in summary.by_mechanism]
        best = max(scored, key=lambda summary: summary.by_mechanism[mechanism][HEADLINE].mean)
        value = best.by_mechanism[mechanism][HEADLINE]
        label = "all queries" if mechanism == "unspecified" else f"{mechanism} queries"
        lines.append(
            {
                "corpus": best.corpus,
                "mechanism": label,
                "system": best.system,
                "value": value,
                "n": value.n,
                "n_systems": len(scored),
            }
        )
    return lines


def number(value: Interval) -> str:
    """ "0.369 (0.331–0.408)"."""
    if value.low is None or value.high is None:
        return f"{value.mean:.3f} (too few groups for an interval)"
    return f"{value.mean:.3f} ({value.low:.3f}–{value.high:.3f})"


def whisker(value: Interval, width: int = 220) -> dict[str, Any]:
    """Places on a 0-1 axis of `width` pixels: x of the mean and of both ends."""
    low = value.mean if value.low is None else value.low
    high = value.mean if value.high is None else value.high
    return {"mean": 5 + value.mean * width, "low": 5 + low * width, "high": 5 + high * width, "width": width + 10}

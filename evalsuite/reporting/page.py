"""One self-contained HTML page about any number of run folders: no script, no network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from evalsuite.errors import RunError, UsageError
from evalsuite.records import CriterionResult, Interval, LabSummary, Manifest, Rate, Summary, TrialResult, Unit
from evalsuite.reporting import words
from evalsuite.storage import atomic_file, read_manifest, read_units
from evalsuite.summary import summarise

HEADLINE = "nDCG@10"
SEVERITY = ("error", "fail", "pass")


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
    summary: Summary | LabSummary | None
    units: list[Unit]

    @property
    def failed(self) -> bool:
        """Whether the run has no headline number."""
        return self.summary is None or (isinstance(self.summary, LabSummary) and self.summary.all_pass.rate is None)


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
    environment.filters.update(
        whisker=whisker, number=number, rate=words.rate, withheld=words.withheld, tokens=words.tokens, cost=words.cost
    )
    template = environment.get_template("page.html")
    ordered = [_ordered(group) for group in groups.values()]
    text = template.render(
        groups=ordered,
        headlines=[line for group in ordered for line in _headlines(group)],
        lab_headlines=_lab_headlines(sections),
        failed=[section for section in sections if section.failed],
        headline=HEADLINE,
        verdicts=words.VERDICTS,
        lab_tasks=lab_tasks,
    )
    with atomic_file(output) as stream:
        stream.write(text.encode())
    return Page(output, len(sections), sum(section.failed for section in sections))


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
    usable = units and (manifest.status == "complete" or manifest.kind == "lab")
    return Section(folder.name, manifest, summarise(manifest, units) if usable else None, units)


def _ordered(group: list[Section]) -> list[Section]:
    def key(section: Section) -> float:
        if section.summary is None:
            return -1.0
        if isinstance(section.summary, LabSummary):
            return -0.5 if section.summary.all_pass.rate is None else section.summary.all_pass.rate
        values = section.summary.measures
        return values[HEADLINE].mean if HEADLINE in values else next(iter(values.values())).mean

    return sorted(group, key=key, reverse=True)


def _headlines(group: list[Section]) -> list[dict[str, Any]]:
    """Per mechanism the system with the highest mean; a mean over oblique queries and their twins says nothing."""
    found = [section.summary for section in group if isinstance(section.summary, Summary)]
    summaries = [summary for summary in found if HEADLINE in summary.measures]
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


def whisker(value: Interval | Rate, width: int = 220) -> dict[str, Any]:
    """Places on a 0-1 axis of `width` pixels: x of the mean and of both ends."""
    mean = value.mean if isinstance(value, Interval) else value.rate or 0.0
    low = mean if value.low is None else value.low
    high = mean if value.high is None else value.high
    return {"mean": 5 + mean * width, "low": 5 + low * width, "high": 5 + high * width, "width": width + 10}


def _lab_headlines(sections: list[Section]) -> list[LabSummary]:
    """Those without a headline number first."""
    found = [section.summary for section in sections if isinstance(section.summary, LabSummary)]
    return sorted(found, key=lambda summary: summary.all_pass.rate is not None)


def lab_tasks(section: Section) -> list[dict[str, Any]]:
    """What the page shows of each task, tasks and criteria with errors first, then failures.

    {"numbers": TaskNumbers, "trials": [(TrialNumbers, TrialResult | None)],
     "criteria": [{"id", "title", "contested", "critical", "worst", "results": [CriterionResult | None per trial]}]}
    """
    if not isinstance(section.summary, LabSummary):
        return []
    records = {(unit.task, unit.trial): unit for unit in section.units if isinstance(unit, TrialResult)}
    graded: dict[str, dict[str, dict[int, CriterionResult]]] = {}
    for unit in section.units:
        if isinstance(unit, CriterionResult):
            graded.setdefault(unit.task, {}).setdefault(unit.id, {})[unit.trial] = unit
    trials: dict[str, list[Any]] = {}
    for trial in section.summary.trials:
        trials.setdefault(trial.task, []).append((trial, records.get((trial.task, trial.trial))))
    found = []
    for numbers in section.summary.tasks:
        own = trials.get(numbers.task, [])
        criteria: list[dict[str, Any]] = []
        for results in graded.get(numbers.task, {}).values():
            some = next(iter(results.values()))
            criteria.append(
                {
                    "id": some.id,
                    "title": some.title,
                    "contested": some.contested,
                    "critical": some.critical,
                    "worst": _worst(result.verdict for result in results.values()),
                    "results": [results.get(trial.trial) for trial, _ in own],
                }
            )
        criteria.sort(key=lambda entry: SEVERITY.index(entry["worst"]))
        graded_in_full = numbers.all_pass is not None
        found.append(
            {
                "numbers": numbers,
                "trials": own,
                "criteria": criteria,
                "worst": _worst(entry["worst"] for entry in criteria) if graded_in_full else "error",
            }
        )
    return sorted(found, key=lambda entry: SEVERITY.index(entry["worst"]))


def _worst(verdicts: Iterable[str]) -> str:
    return min(verdicts, key=SEVERITY.index)

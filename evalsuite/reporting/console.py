"""Results as a terminal table and as the JSON of formats.md 7."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from evalsuite.records import Interval, LabSummary, Manifest, Summary, TaskNumbers, TrialNumbers
from evalsuite.reporting.boards import latencies
from evalsuite.reporting.charts import visible
from evalsuite.reporting.chunks import as_json as strict_json
from evalsuite.reporting.words import VERDICTS, cost, count, rate, tokens, withheld

SHOWN = ("nDCG@10", "R@100", "AP", "Judged@10")
MANY = 5
FAILING = 10
Row = tuple[Path, Manifest, Summary | LabSummary | None]


def as_json(path: Path, manifest: Manifest, summary: Summary | LabSummary | None) -> dict[str, Any]:
    """One run as formats.md 7 has it; a run without results has its "error" and no numbers."""
    plain: dict[str, Any] = json.loads(strict_json(_entry(path, manifest, summary)))
    return plain


def _entry(path: Path, manifest: Manifest, summary: Summary | LabSummary | None) -> dict[str, Any]:
    is_lab = manifest.kind == "lab"
    name = manifest.suite.name
    entry: dict[str, Any] = {
        "run": str(path),
        "kind": manifest.kind,
        "system": manifest.system.get("name"),
        **({"suite": name} if is_lab else {"corpus": name, "view": manifest.protocol.get("view")}),
        "protocol": manifest.protocol.get("id"),
        "suite_sha256": manifest.suite.sha256,
        "status": manifest.status,
        "error": manifest.error,
        "notes": manifest.notes,
        "facts": manifest.system.get("facts", {}),
    }
    if is_lab:
        return entry | _lab_json(manifest, summary if isinstance(summary, LabSummary) else None)
    entry |= {
        "n_queries": 0,
        "measures": {},
        "macro": {},
        "by_mechanism": {},
        "missing_queries": [],
        "usage": manifest.usage,
    }
    if summary is not None:
        entry |= summary.model_dump(include={"n_queries", "measures", "macro", "by_mechanism", "missing_queries"})
    return entry


def _lab_json(manifest: Manifest, summary: LabSummary | None) -> dict[str, Any]:
    nothing = {"rate": None, "low": None, "high": None, "n": 0, "n_tasks": 0}
    if summary is None:
        return {
            "all_pass": nothing,
            "criteria": {"passed": 0, "failed": 0, "errors": 0, "missing": 0, "total": 0, "rate": nothing},
            "trials": [],
            "problems": [],
            "usage": manifest.usage,
        }
    entry = summary.model_dump(exclude={"kind", "system", "suite", "protocol", "criterion_rate"})
    entry["criteria"]["rate"] = summary.criterion_rate.model_dump()
    return entry


def tables(rows: Iterable[Row]) -> list[Table]:
    """Per data and protocol: the scores with 95 % intervals, and then time and space, or each run's tasks."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        manifest = row[1]
        parts = [manifest.suite.name, manifest.protocol.get("view"), f"protocol {manifest.protocol.get('id')}"]
        groups.setdefault(" · ".join(str(part) for part in parts if part or manifest.kind != "lab"), []).append(row)
    found = []
    for title, group in groups.items():
        if group[0][1].kind == "lab":
            found += [
                _lab_scores(title, group),
                *(_lab_tasks(row[2]) for row in group if isinstance(row[2], LabSummary)),
            ]
        else:
            found += [_scores(title, group), _costs(group)]
    return found


def _scores(title: str, rows: list[Row]) -> Table:
    available = next((list(summary.measures) for _, _, summary in rows if isinstance(summary, Summary)), [])
    names = available if len(available) <= MANY else [n for n in available if n in SHOWN] or available[:MANY]
    table = Table(
        title=_text(title), title_justify="left", caption="mean [95 % interval] over queries", caption_justify="left"
    )
    table.add_column("system", overflow="fold")
    for name in ("queries", *names):
        table.add_column(_text(name), justify="right", no_wrap=name == "queries")
    for _, manifest, summary in rows:
        system = _text(str(manifest.system.get("name")))
        if not isinstance(summary, Summary):
            table.add_row(system, "", _text(f"failed: {manifest.error}", "red"))
            continue
        table.add_row(system, str(summary.n_queries), *(interval(summary.measures[n]) for n in names))
        if len(summary.by_mechanism) > 1:
            for mechanism, values in summary.by_mechanism.items():
                cells = [interval(values[n]) for n in names]
                table.add_row(_text(f"  {mechanism}", "dim"), str(values[names[0]].n), *cells)
    return table


def _costs(rows: list[Row]) -> Table:
    table = Table(caption="(c): from the cache", caption_justify="left")
    table.add_column("system", overflow="fold")
    measured = [latencies(manifest.usage) for _, manifest, _ in rows]
    timed = list(dict.fromkeys(name for row in measured for name in row))
    for name in ("index s", "search s", "queries/s", "index MB", "peak MB", *timed):
        table.add_column(name, justify="right", overflow="fold")
    for (_, manifest, summary), own in zip(rows, measured, strict=True):
        if summary is not None:
            waits = [_figure(own.get(name), "{:,.1f}") for name in timed]
            table.add_row(_text(str(manifest.system.get("name"))), *_cost(manifest), *waits)
    return table


def _lab_scores(title: str, rows: list[Row]) -> Table:
    table = Table(
        title=_text(title),
        title_justify="left",
        caption="all-pass: mean [95 % interval] over tasks of the share of trials that pass every criterion",
        caption_justify="left",
    )
    table.add_column("system", overflow="fold")
    for name in ("tasks", "trials", "all-pass", "criteria", "stopped", "tokens in / out", "cost"):
        table.add_column(name, justify="right", overflow="fold")
    for _, manifest, summary in rows:
        system = _text(str(manifest.system.get("name")))
        if not isinstance(summary, LabSummary):
            table.add_row(system, "", "", _text(f"{manifest.status}: {manifest.error or 'no result'}", "red"))
            continue
        counts = summary.criteria
        table.add_row(
            system,
            str(summary.n_tasks),
            str(summary.n_trials),
            Text(rate(summary.all_pass))
            if summary.all_pass.rate is not None
            else Text(f"null: {withheld(summary)}", style="red"),
            f"{counts['passed']} passed, {counts['failed']} failed, {counts['errors']} errors",
            ", ".join(f"{reason} {n}" for reason, n in summary.stop_reasons.items()),
            f"agent {tokens(summary.usage['agent'])}\njudges {tokens(summary.usage['judges'])}",
            cost(summary.usage["cost"]),
        )
    return table


def _lab_tasks(summary: LabSummary) -> Table:
    table = Table(title=_text(summary.system), title_justify="left")
    table.add_column("task", overflow="fold")
    table.add_column("trials passed", justify="right")
    table.add_column("criteria passed", justify="right")
    table.add_column("did not pass", overflow="fold", ratio=1)
    by_task: dict[str, list[TrialNumbers]] = {}
    for trial in summary.trials:
        by_task.setdefault(trial.task, []).append(trial)
    for task in summary.tasks:
        trials = by_task.get(task.task, [])
        n_trials = len(trials) + task.missing_trials
        problems = [f"{VERDICTS['error'][0]} trial {trial.trial}: {trial.problem}" for trial in trials if trial.problem]
        table.add_row(
            _text(task.task),
            f"{sum(trial.all_pass is True for trial in trials)}/{n_trials}",
            f"{sum(trial.n_passed for trial in trials)}/{task.n_criteria * n_trials}",
            _not_passed(task, n_trials, problems),
        )
    return table


def _not_passed(task: TaskNumbers, n_trials: int, problems: list[str]) -> Text:
    if task.missing_trials:
        problems.append(f"! {count(task.missing_trials, 'trial')} never worked")
    shown = []
    for entry in task.failing[:FAILING]:
        word = VERDICTS["error" if entry["errors"] else "fail"]
        times = f" ({entry['errors'] or entry['failed']} of {n_trials} trials)" if n_trials > 1 else ""
        shown.append(f"{word} {entry['id']} {entry['title']}{times}")
    more = [f"and {len(task.failing) - FAILING} more"] if len(task.failing) > FAILING else []
    return Text("\n").join([*(_text(problem, "red") for problem in problems), *map(_text, shown + more)])


def _text(text: str, style: str = "") -> Text:
    """Text from a file, which must not steer the terminal."""
    return Text(visible(text), style=style)


def interval(value: Interval) -> str:
    """ "0.369 [0.331, 0.408]", or without the brackets where there are too few groups for an interval."""
    if value.low is None or value.high is None:
        return f"{value.mean:.3f} [n too small]"
    return f"{value.mean:.3f} [{value.low:.3f}, {value.high:.3f}]"


def _cost(manifest: Manifest) -> list[str]:
    usage = manifest.usage
    seconds = usage.get("seconds")
    parts = seconds if isinstance(seconds, dict) else {}
    indexed = " (c)" if usage.get("index_cached") else ""
    searched = " (c)" if usage.get("query_vectors_cached") else ""
    return [
        _figure(parts.get("index"), "{:.2f}", indexed),
        _figure(parts.get("search"), "{:.2f}", searched),
        _figure(usage.get("queries_per_second"), "{:,.0f}", searched),
        _figure(usage.get("index_bytes"), "{:,.1f}", unit=1e6),
        _figure(usage.get("peak_memory_bytes"), "{:,.1f}", unit=1e6),
    ]


def _figure(value: Any, form: str, more: str = "", unit: float = 1) -> str:
    usable = isinstance(value, int | float) and 0 <= value <= 1e15
    return form.format(value / unit) + more if usable else "-"

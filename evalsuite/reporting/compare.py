"""Two runs, the old and the new: what changed, with paired intervals and tests; or why they cannot be compared."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from evalsuite.labtrials import Trial, trials_of
from evalsuite.reporting.comparable import Run, queries_of, reasons, settings, unfinished
from evalsuite.reporting.paired import Difference, Table, corrected, differences, table_of, tested
from evalsuite.reporting.sections import Section, read_section
from evalsuite.statistics import Floats

ALL_PAIRS = 12


class QueryChange(BaseModel):
    """One query whose headline measure changed."""

    query: str
    text: str | None = None
    mechanism: str | None = None
    a: float
    b: float
    difference: float


class CriterionChange(BaseModel):
    """One criterion over its trials: pass, fail, error, or the share of trials that pass it."""

    task: str
    criterion: str
    title: str
    critical: bool = False
    contested: str | None = None
    a: str | float
    b: str | float
    trials: int


class Side(BaseModel):
    """One of the two runs."""

    run: str
    run_id: str
    system: str
    status: str
    error: str | None = None
    notes: list[str] = []


class Comparison(BaseModel):
    """What changed from A to B. Where `comparable` is false, `why` says so and there are no numbers."""

    comparable: bool
    why: list[str]
    kind: str
    suite: str
    protocol: str
    a: Side
    b: Side
    changed: dict[str, tuple[Any, Any]] = {}
    """Settings of the systems and their environment that differ, dotted key -> old and new; null: not set."""
    differences: dict[str, Difference] = {}
    by_mechanism: dict[str, dict[str, Difference]] = {}
    correction: str = "Holm, over the measures of all units, and over those of each mechanism"
    newly_passed: list[CriterionChange] = []
    newly_failed: list[CriterionChange] = []
    flipped: list[CriterionChange] = []
    errors: list[CriterionChange] = []
    headline: str | None = None
    """The measure of `lost` and `gained`."""
    lost: list[QueryChange] = []
    gained: list[QueryChange] = []
    unchanged: int = 0
    returned_nothing: dict[str, list[str]] = {}
    problems: dict[str, list[str]] = {}
    """Trials of either lab run that are not graded in full, and why."""

    @property
    def withheld(self) -> bool:
        """Whether a difference is null because something is ungraded."""
        return any(difference.ungraded for difference in self.differences.values())


def compare(a: Path, b: Path) -> Comparison:
    """Compare two run folders, A the old one and B the new. Raises RunError or InputError for a folder that is broken."""
    return compare_sections(read_section(a), read_section(b))


def compare_sections(a: Section, b: Section) -> Comparison:
    """The same for folders that are read already."""
    comparison = Comparison(
        comparable=True,
        why=reasons(a, b),
        kind=a.manifest.kind,
        suite=f"{a.manifest.suite.name} {a.manifest.suite.version}".removesuffix(" unversioned"),
        protocol=str(a.manifest.protocol.get("id", "")),
        a=_side(a),
        b=_side(b),
        changed=settings(a.manifest, b.manifest),
    )
    if comparison.why:
        return comparison.model_copy(update={"comparable": False})
    old, new = table_of(a), table_of(b)
    blocks = [("", old, new)]
    mechanisms = list(dict.fromkeys(old.mechanisms))
    if len(mechanisms) > 1:
        blocks += [(name, old.of_mechanism(name), new.of_mechanism(name)) for name in mechanisms]
    found = {name: differences(one, two) for name, one, two in blocks}
    comparison.differences = found.pop("")
    comparison.by_mechanism = found or dict.fromkeys(mechanisms, comparison.differences)
    return comparison.model_copy(update=_of_queries(a, b) if a.manifest.kind == "retrieval" else _of_criteria(a, b))


def pairs(group: Sequence[Run], *, mechanism: str | None = None, every: bool = False) -> list[dict[str, Any]]:
    """Paired differences of all pairs of runs of one suite and one protocol: {"a", "b", "measure", "mean", "low", "high", "p", "p_corrected"}.

    `a` and `b` are places in `group`, the difference is b - a; `mechanism` keeps the queries of one. The measure is nDCG@10 or
    else the first; for lab runs all_pass and criterion_rate_macro. p is corrected by Holm over all pairs of a measure.
    Among more than ALL_PAIRS runs each is only compared with the best, unless `every`. Runs that are unfinished or have
    ungraded units, and runs of different queries or numbers of trials, are in no pair.
    """
    tables: dict[Hashable, dict[int, Table]] = defaultdict(dict)
    for place, run in enumerate(group if len(group) > 1 else ()):
        if not unfinished(run):
            table = table_of(run) if mechanism is None else table_of(run).of_mechanism(mechanism)
            if len(table.keys):
                tables[table.design][place] = table
    few = every or sum(map(len, tables.values())) <= ALL_PAIRS
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for design in tables.values():
        names = next(iter(design.values())).headlines
        for measure in names:
            columns = {place: table.values[:, table.names.index(measure)] for place, table in design.items()}
            columns = {place: column for place, column in columns.items() if not np.isnan(column).any()}
            found[measure] += _pairs(columns, next(iter(design.values())).groups, measure, few)
    for rows in found.values():
        for row, p in zip(rows, corrected([row["p"] for row in rows]), strict=True):
            row["p_corrected"] = p
    return [row for rows in found.values() for row in rows]


def _pairs(columns: Mapping[int, Floats], groups: NDArray[np.int64], measure: str, few: bool) -> list[dict[str, Any]]:
    chosen = list(combinations(columns, 2))
    if not few:
        best = max(columns, key=lambda place: columns[place].mean(), default=0)
        chosen = [pair for pair in chosen if best in pair]
    if not chosen:
        return []
    values = np.stack([columns[b] - columns[a] for a, b in chosen], axis=1)
    return [
        {"a": a, "b": b, "measure": measure, **numbers}
        for (a, b), numbers in zip(chosen, tested(values, groups), strict=True)
    ]


def _side(run: Section) -> Side:
    manifest = run.manifest
    return Side(
        run=str(run.folder),
        run_id=manifest.run_id or run.folder.absolute().name,
        system=str(manifest.system.get("name", manifest.run_id)),
        status=manifest.status,
        error=manifest.error,
        notes=manifest.notes,
    )


def _of_queries(a: Run, b: Run) -> dict[str, Any]:
    """What happened to single queries, those that changed most first."""
    old = {query.id: query for query in queries_of(a)}
    measure = table_of(a).headlines[0]
    changes = [
        QueryChange(
            query=new.id,
            text=new.text,
            mechanism=new.mechanism,
            a=old[new.id].measures[measure],
            b=new.measures[measure],
            difference=new.measures[measure] - old[new.id].measures[measure],
        )
        for new in queries_of(b)
    ]
    changes.sort(key=lambda change: -abs(change.difference))
    lost = [change for change in changes if change.difference < 0]
    gained = [change for change in changes if change.difference > 0]
    return {
        "headline": measure,
        "lost": lost,
        "gained": gained,
        "unchanged": len(changes) - len(lost) - len(gained),
        "returned_nothing": {
            "a": [query.id for query in queries_of(a) if query.missing],
            "b": [query.id for query in queries_of(b) if query.missing],
        },
    }


def _of_criteria(a: Run, b: Run) -> dict[str, Any]:
    """What happened to single criteria, the critical ones first."""
    found: dict[str, list[CriterionChange]] = {"newly_passed": [], "newly_failed": [], "flipped": [], "errors": []}
    old, new = trials_of(a.manifest, a.units), trials_of(b.manifest, b.units)
    for task, trials in old.items():
        known = {c.id: c for trial in (*trials, *new[task]) for c in trial.criteria}
        for criterion in known.values():
            before, after = _share(trials, criterion.id), _share(new[task], criterion.id)
            if before is None or after is None:
                kind = "errors"
            elif before == after:
                continue
            else:
                kind = {(1.0, 0.0): "newly_failed", (0.0, 1.0): "newly_passed"}.get((before, after), "flipped")
            found[kind].append(
                CriterionChange(
                    task=task,
                    criterion=criterion.id,
                    title=criterion.title,
                    critical=criterion.critical,
                    contested=criterion.contested,
                    a=_word(before),
                    b=_word(after),
                    trials=len(trials),
                )
            )
    for changes in found.values():
        changes.sort(key=lambda change: not change.critical)
    found["flipped"].sort(key=lambda change: _as_share(change.b) - _as_share(change.a))
    return {**found, "problems": {"a": _problems(old), "b": _problems(new)}}


def _problems(by_task: Mapping[str, Sequence[Trial]]) -> list[str]:
    trials = [trial for found in by_task.values() for trial in found]
    return [f"{trial.task}, trial {trial.number}: {why}" for trial in trials if (why := trial.ungraded())]


def _share(trials: Sequence[Trial], criterion: str) -> float | None:
    """Share of trials that pass the criterion; None with an error in one, or a broken trial."""
    verdicts = [c.verdict for trial in trials for c in trial.criteria if c.id == criterion]
    if "error" in verdicts or len(verdicts) < len(trials):
        return None
    return verdicts.count("pass") / len(verdicts)


def _word(share: float | None) -> str | float:
    return "error" if share is None else "pass" if share == 1 else "fail" if share == 0 else share


def _as_share(word: str | float) -> float:
    return {"pass": 1.0, "fail": 0.0}[word] if isinstance(word, str) else word

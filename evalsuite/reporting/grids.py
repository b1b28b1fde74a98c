"""Run folders of models crossed with harnesses -> where the spread comes from, which harness helps whom, and which is not worth it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from evalsuite.errors import UsageError
from evalsuite.labtrials import Rates, Trial, trials_of
from evalsuite.records import Manifest, Rate
from evalsuite.reporting.comparable import flat
from evalsuite.reporting.griddata import Cells, Place, harness_labels, spent
from evalsuite.reporting.paired import ROUNDING, corrected, tested
from evalsuite.reporting.sections import read_sections
from evalsuite.statistics import LEVEL, Floats, best_minus_worst, crossed_components
from evalsuite.statistics.crossed import METHOD

MEASURES = ("criterion_rate", "all_pass")
BASELINES = ("minimal", "default")
Tests = dict[tuple[str | None, int, int], dict[str, float | None]]
"""Scope, harness, other harness -> the difference of their rates."""


class Cell(BaseModel):
    """One model with one harness: a run. Numbers are over the grid's tasks alone."""

    model: str
    harness: str
    run: str
    run_id: str
    identity: str
    results_sha256: str | None
    status: str
    error: str | None
    criterion_rate: Rate
    all_pass: Rate
    tokens: float | None
    """Input and output tokens of the agent per trial; null where a trial did not say."""
    cost: float | None
    """USD of the agent per trial; null where a price is unknown."""


class Share(BaseModel):
    """A variance component. Null: the grid cannot tell it, `note` says why; its interval is over tasks."""

    source: str
    variance: float | None
    low: float | None
    high: float | None
    share: float | None
    """Of the sum of all components."""
    note: str


class Spread(BaseModel):
    """Best minus worst harness of one model; `model` null: of the means over models."""

    model: str | None
    measure: str
    best: str
    worst: str
    spread: float
    low: float | None
    high: float | None


class Help(BaseModel):
    """A harness against the baseline at one model: mean paired difference over tasks. Nulls as in reporting.paired.Difference."""

    model: str
    harness: str
    measure: str
    mean: float
    low: float | None
    high: float | None
    p: float | None
    p_corrected: float | None
    told: int
    """1: it helps, -1: it harms, 0: neither can be told."""


class Dominated(BaseModel):
    """A harness that another one beats or equals in criterion rate for less; `model` null: over all models."""

    model: str | None
    harness: str
    by: str
    mean: float
    """Criterion rate minus that of `by`, 0 or less; with its interval over tasks."""
    low: float | None
    high: float | None
    p: float | None
    p_corrected: float | None
    """By Holm over all pairs of harnesses, at each model and over all models: which pair is looked at is the data's choice."""
    told: bool
    """Whether it is worse; else it is dominated by the means alone, which may be chance."""
    unit: str
    """USD or tokens, per trial: USD where all costs of this scope are known and not all are 0."""
    spends: float
    by_spends: float


class LeftOut(BaseModel):
    """A task of which some cell is not graded in full; it is in no number."""

    task: str
    why: list[str]


class Grid(BaseModel):
    """The report. Everything in it is derived from the run folders."""

    suite: str
    suite_sha256: str
    protocol: str
    models: list[str]
    harnesses: list[str]
    tasks: list[str]
    trials: int
    baseline: str
    left_out: list[LeftOut]
    notes: list[str]
    cells: list[Cell]
    method: str = METHOD
    components: dict[str, list[Share]]
    spreads: list[Spread]
    correction: str = "Holm, over all models and harnesses of a measure"
    helps: list[Help]
    helped_by: dict[str, str | None]
    """Model -> the harness that raises its criterion rate most, among those told to help; null: none is told."""
    dominated: list[Dominated]
    dominated_unknown: str | None
    """Why spending could not be compared."""


def check_baseline(planned: Sequence[Manifest], named: str | None) -> None:
    """Raise UsageError for a baseline that the report on these runs would refuse."""
    _baseline(list(harness_labels(planned).values()), named)


def grid(runs: Sequence[Path], *, baseline: str | None = None) -> Grid:
    """The report on run folders, or folders that hold some. Raises UsageError for runs that are no grid, with the reason."""
    return grid_of(Cells.of(read_sections(runs)), baseline=baseline)


def grid_of(cells: Cells, *, baseline: str | None = None) -> Grid:
    """The same for runs that are read and crossed already. Raises UsageError for a baseline that is none of the harnesses."""
    base = _baseline(cells.harnesses, baseline)
    trials = {place: trials_of(run.manifest, run.units) for place, run in cells.runs.items()}
    left_out = _left_out(cells, trials)
    gone = {entry.task for entry in left_out}
    first = next(iter(cells.runs.values())).manifest
    tasks = [task for task in next(iter(trials.values())) if task not in gone]
    rates = Rates()
    rows = [
        _cell(cells, place, [trial for task in tasks for trial in trials[place][task]], rates) for place in cells.runs
    ]
    rates.fill()
    values = {measure: _values(cells, trials, tasks, measure) for measure in MEASURES} if tasks else {}
    helps = [row for measure, array in values.items() for row in _helps(cells, array, measure, base)]
    dominated, unknown = (
        _dominated(cells, rows, values["criterion_rate"]) if tasks else ([], "no task is graded in full")
    )
    return Grid(
        suite=f"{first.suite.name} {first.suite.version}".removesuffix(" unversioned"),
        suite_sha256=first.suite.sha256,
        protocol=str(first.protocol.get("id", "")),
        models=cells.models,
        harnesses=cells.harnesses,
        tasks=tasks,
        trials=cells.trials,
        baseline=base,
        left_out=left_out,
        notes=[*_notes(cells), *_differing(cells), *_made_elsewhere(cells)],
        cells=rows,
        components={measure: _shares(array) for measure, array in values.items()},
        spreads=[row for measure, array in values.items() for row in _spreads(cells, array, measure)],
        helps=helps,
        helped_by={model: _helped(helps, model) for model in cells.models},
        dominated=dominated,
        dominated_unknown=unknown,
    )


def _baseline(harnesses: Sequence[str], named: str | None) -> str:
    if named is not None and named not in harnesses:
        raise UsageError(f"the baseline {named!r} is no harness of this grid; they are {', '.join(harnesses)}")
    return named or next((name for name in BASELINES if name in harnesses), harnesses[0])


def _left_out(cells: Cells, trials: dict[Place, dict[str, list[Trial]]]) -> list[LeftOut]:
    """Errors are not fails: a task with an ungraded trial anywhere says nothing fair about any two cells."""
    found: dict[str, list[str]] = {}
    for place, by_task in trials.items():
        for task, worked in by_task.items():
            reasons = Counter(why for trial in worked if (why := trial.ungraded()))
            name = cells.name(place)
            found.setdefault(task, []).extend(
                f"{name}: {why}" + (f" ({count} trials)" if count > 1 else "") for why, count in reasons.items()
            )
    return [LeftOut(task=task, why=why) for task, why in found.items() if why]


def _cell(cells: Cells, place: Place, worked: Sequence[Trial], rates: Rates) -> Cell:
    run = cells.runs[place]
    records = [trial.record for trial in worked if trial.record]
    return Cell(
        model=cells.models[place[0]],
        harness=cells.harnesses[place[1]],
        run=str(run.folder),
        run_id=run.run_id,
        identity=run.manifest.identity,
        results_sha256=run.manifest.files.get("results.jsonl"),
        status=run.manifest.status,
        error=run.manifest.error,
        criterion_rate=rates.over_tasks((trial.task, trial.share()) for trial in worked),
        all_pass=rates.over_tasks((trial.task, trial.passes()) for trial in worked),
        tokens=spent(records, "tokens"),
        cost=spent(records, "cost"),
    )


def _values(cells: Cells, trials: dict[Place, dict[str, list[Trial]]], tasks: Sequence[str], measure: str) -> Floats:
    """The measure as float [task, model, harness, trial]."""
    array = np.empty((len(tasks), len(cells.models), len(cells.harnesses), cells.trials))
    for (model, harness), by_task in trials.items():
        for row, task in enumerate(tasks):
            array[row, model, harness] = [
                trial.share() if measure == "criterion_rate" else trial.passes() for trial in by_task[task]
            ]
    return array


def _shares(array: Floats) -> list[Share]:
    found = crossed_components(array)
    total = sum(component.variance or 0.0 for component in found.values())
    return [
        Share(
            source=name,
            variance=c.variance,
            low=c.low,
            high=c.high,
            share=c.variance / total if c.variance is not None and total else None,
            note=c.note,
        )
        for name, c in found.items()
    ]


def _spreads(cells: Cells, array: Floats, measure: str) -> list[Spread]:
    if len(cells.harnesses) < 2:
        return []
    means = array.mean(axis=3)
    columns: list[tuple[str | None, Floats]] = [(model, means[:, i]) for i, model in enumerate(cells.models)]
    if len(columns) > 1:
        columns.append((None, means.mean(axis=1)))
    rows = []
    for model, values in columns:
        found = best_minus_worst(values)
        best, worst = cells.harnesses[found.best], cells.harnesses[found.worst]
        rows.append(
            Spread(
                model=model,
                measure=measure,
                best=best,
                worst=worst,
                spread=found.spread,
                low=found.low,
                high=found.high,
            )
        )
    return rows


def _helps(cells: Cells, array: Floats, measure: str, baseline: str) -> list[Help]:
    means, base = array.mean(axis=3), cells.harnesses.index(baseline)
    places = [(m, h) for m in range(len(cells.models)) for h in range(len(cells.harnesses)) if h != base]
    if not places:
        return []
    columns = np.stack([means[:, m, h] - means[:, m, base] for m, h in places], axis=1)
    tests = list(tested(columns, np.arange(len(columns))))
    adjusted = corrected([test["p"] for test in tests])
    return [
        Help(
            model=cells.models[m],
            harness=cells.harnesses[h],
            measure=measure,
            p_corrected=p,
            told=_told(test, p),
            **test,
        )
        for (m, h), test, p in zip(places, tests, adjusted, strict=True)
    ]


def _told(test: dict[str, float | None], p: float | None) -> int:
    mean, low, high = test["mean"] or 0.0, test["low"], test["high"]
    if p is None or p > 1 - LEVEL or (low is not None and high is not None and low <= 0 <= high):
        return 0
    return 1 if mean > 0 else -1


def _helped(helps: Sequence[Help], model: str) -> str | None:
    told = [row for row in helps if row.model == model and row.measure == "criterion_rate" and row.told > 0]
    return max(told, key=lambda row: row.mean).harness if told else None


def _dominated(cells: Cells, rows: Sequence[Cell], array: Floats) -> tuple[list[Dominated], str | None]:
    """By scope: each model, and the means over models. The second is where spending is not known."""
    by_place = {(row.model, row.harness): row for row in rows}
    means = array.mean(axis=3)
    scopes: list[tuple[str | None, Floats, list[str]]] = [
        (model, means[:, i], [model]) for i, model in enumerate(cells.models)
    ]
    if len(scopes) > 1:
        scopes.insert(0, (None, means.mean(axis=1), cells.models))
    tests = _each_other({scope: values for scope, values, _ in scopes})
    found: list[Dominated] = []
    unknown: list[str] = []
    for scope, values, models in scopes:
        unit, amounts = _spending([[by_place[m, h] for h in cells.harnesses] for m in models])
        if amounts is None:
            unknown.append("over all models" if scope is None else f"at {scope}")
        else:
            found += _beaten(cells.harnesses, scope, values, unit, amounts, tests)
    if len(unknown) == len(scopes):
        return [], "some trials did not say what they used"
    return found, f"{', '.join(unknown)}: some trials did not say what they used" if unknown else None


def _spending(rows: Sequence[Sequence[Cell]]) -> tuple[str, Floats | None]:
    """What the harnesses spend per trial, the mean over the models of `rows`; None: a cell did not say."""
    cells = [cell for row in rows for cell in row]
    unit = "USD" if all(cell.cost is not None for cell in cells) and any(cell.cost for cell in cells) else "tokens"
    amounts = [[cell.cost if unit == "USD" else cell.tokens for cell in row] for row in rows]
    if any(amount is None for row in amounts for amount in row):
        return unit, None
    return unit, np.array(amounts, dtype=np.float64).mean(axis=0)


def _each_other(scopes: dict[str | None, Floats]) -> Tests:
    """Every harness minus every other in values [task, harness]; p-values are corrected over all pairs of all scopes."""
    keys = [(scope, h, o) for scope, values in scopes.items() for h, o in combinations(range(values.shape[1]), 2)]
    columns = [scopes[scope][:, h] - scopes[scope][:, o] for scope, h, o in keys]
    tests = list(tested(np.stack(columns, axis=1), np.arange(len(columns[0])))) if keys else []
    found: Tests = {}
    for (scope, h, o), test, p in zip(keys, tests, corrected([test["p"] for test in tests]), strict=True):
        mean, low, high = (None if test[key] is None else 0.0 - (test[key] or 0.0) for key in ("mean", "high", "low"))
        found[scope, h, o] = test | {"p_corrected": p}
        found[scope, o, h] = {"mean": mean, "low": low, "high": high, "p": test["p"], "p_corrected": p}
    return found


def _beaten(
    harnesses: Sequence[str], scope: str | None, values: Floats, unit: str, amounts: Floats, tests: Tests
) -> Iterator[Dominated]:
    """Harnesses of which another one has as good a mean in values [task, harness] for less."""
    rates = values.mean(axis=0)
    for h in range(len(rates)):
        better = [
            o for o in range(len(rates)) if rates[o] >= rates[h] - ROUNDING and amounts[o] < amounts[h] - ROUNDING
        ]
        if not better:
            continue
        by = max(better, key=lambda o: (rates[o], -amounts[o]))
        test = tests[scope, h, by]
        yield Dominated(
            model=scope,
            harness=harnesses[h],
            by=harnesses[by],
            told=_told(test, test["p_corrected"]) < 0,
            **test,
            unit=unit,
            spends=float(amounts[h]),
            by_spends=float(amounts[by]),
        )


def _notes(cells: Cells) -> list[str]:
    about: dict[str, list[str]] = {}
    for place, run in cells.runs.items():
        for note in run.manifest.notes:
            about.setdefault(note, []).append(cells.name(place))
    n = len(cells.runs)
    return [note if len(names) == n else f"{', '.join(names)}: {note}" for note, names in about.items()]


def _differing(cells: Cells) -> list[str]:
    """Settings that are neither model nor harness and yet not the same everywhere: what they do is counted as the harness's."""
    found: dict[str, set[str]] = {}
    for run in cells.runs.values():
        for key, value in flat(_rest(run.manifest)).items():
            found.setdefault(key, set()).add(str(value))
    n = len(cells.runs)
    missing = Counter(key for run in cells.runs.values() for key in flat(_rest(run.manifest)))
    return [
        f"{key} is not the same in every cell ({', '.join(sorted(values))}): the harnesses differ by that too"
        for key, values in found.items()
        if len(values) > 1 or missing[key] < n
    ]


def _made_elsewhere(cells: Cells) -> list[str]:
    """What the cells were made with, our code and the sandbox among it, where it is not the same everywhere."""
    sides = [flat(run.manifest.environment) for run in cells.runs.values()]
    told = []
    for key in dict.fromkeys(key for side in sides for key in side):
        values = sorted({str(side.get(key, "not set")) for side in sides})
        if len(values) > 1:
            told.append(f"{key} ({', '.join(values)})")
    if not told:
        return []
    return [
        f"the cells were not made alike: {'; '.join(told)} is not the same in every cell, and may be what differs between "
        "models or harnesses; work the grid anew in one go to rule that out"
    ]


def _rest(manifest: Manifest) -> dict[str, Any]:
    model = manifest.system.get("model")
    settings = (
        {k: v for k, v in model.items() if k not in ("name", "base_url", "source_sha256")}
        if isinstance(model, dict)
        else {}
    )
    return {"limits": manifest.system.get("limits", {}), "model": settings}

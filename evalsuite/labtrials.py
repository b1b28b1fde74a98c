"""What a lab run planned and what it holds: its trials, with what keeps each from being graded, and rates over them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from evalsuite.errors import RunError, shown
from evalsuite.records import CriterionResult, Manifest, QueryResult, Rate, TrialResult, Verdict
from evalsuite.statistics import bootstrap_ratios, wilson

Value = tuple[str, float | None]
"""A task and one value of it; None is a value that is not known."""


def panel_verdict(criterion: CriterionResult) -> Verdict:
    """The verdict the run itself gave."""
    return criterion.verdict


@dataclass(frozen=True)
class Trial:
    """One planned or found trial. `number` is None where it was planned and never worked."""

    task: str
    number: int | None
    record: TrialResult | None
    criteria: tuple[CriterionResult, ...]
    n_criteria: int
    problem: str | None
    """Why no verdict of this trial counts yet; errors of single criteria are not part of it."""

    def passes(self, verdict: Callable[[CriterionResult], Verdict] = panel_verdict) -> bool | None:
        """Whether every criterion passes; None while anything is ungraded."""
        return self._passes if verdict is panel_verdict else self._all(verdict)

    @cached_property
    def _passes(self) -> bool | None:
        return self._all(panel_verdict)

    def _all(self, verdict: Callable[[CriterionResult], Verdict]) -> bool | None:
        verdicts = None if self.problem else [verdict(criterion) for criterion in self.criteria]
        if verdicts is None or "error" in verdicts:
            return None
        return all(found == "pass" for found in verdicts)

    def share(self, verdict: Callable[[CriterionResult], Verdict] = panel_verdict) -> float | None:
        """Share of its criteria that pass; None while anything is ungraded."""
        verdicts = None if self.problem else [verdict(criterion) for criterion in self.criteria]
        if verdicts is None or "error" in verdicts:
            return None
        return verdicts.count("pass") / len(verdicts)

    def ungraded(self) -> str | None:
        """Why the trial has no all-pass, in words."""
        if self.problem:
            return self.problem
        kinds = Counter(c.error_kind or "unknown" for c in self.criteria if c.verdict == "error")
        if not kinds:
            return None
        named = ", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items()))
        return f"{kinds.total()} of {self.n_criteria} criteria have errors: {named}"

    def bounds(self) -> tuple[float, float]:
        """All-pass if everything ungraded were to fail, and to pass."""
        passes = self.passes()
        if passes is not None:
            return float(passes), float(passes)
        settled = not self.problem and any(criterion.verdict == "fail" for criterion in self.criteria)
        return 0.0, 0.0 if settled else 1.0


def trials_of(
    manifest: Manifest, units: Sequence[QueryResult | CriterionResult | TrialResult]
) -> dict[str, list[Trial]]:
    """The trials of every task: those planned in run.json and never worked too.

    The plan is plan.tasks {task: number of criteria} and plan.trials; a run without one is taken as planned.
    """
    records = {(unit.task, unit.trial): unit for unit in units if isinstance(unit, TrialResult)}
    graded: dict[tuple[str, int], list[CriterionResult]] = defaultdict(list)
    for unit in units:
        if isinstance(unit, CriterionResult):
            graded[unit.task, unit.trial].append(unit)
    numbers: dict[str, set[int]] = defaultdict(set)
    for task, number in [*records, *graded]:
        numbers[task].add(number)
    plan, planned_trials = _plan(manifest)
    found = {}
    for task in dict.fromkeys([*(plan or {}), *numbers]):
        seen = {criterion.id for number in numbers[task] for criterion in graded.get((task, number), [])}
        n_criteria = plan.get(task, 0) if plan else len(seen)
        n_trials = planned_trials or len(numbers[task])
        trials = [
            _trial(task, number, records.get((task, number)), graded.get((task, number), []), n_criteria)
            for number in sorted(numbers[task])
        ]
        if len(trials) > n_trials:
            trials = [replace(trial, problem=f"is one of {len(trials)} trials; {n_trials} planned") for trial in trials]
        found[task] = trials + [Trial(task, None, None, (), n_criteria, "was never worked")] * (n_trials - len(trials))
    return found


def _plan(manifest: Manifest) -> tuple[dict[str, int] | None, int | None]:
    """Planned criteria per task and trials. Raises RunError for what is no plan."""
    where = f"{manifest.run_id or 'the run'}/run.json"
    tasks, trials = manifest.plan.get("tasks"), manifest.plan.get("trials")
    counts = list(tasks.values()) if isinstance(tasks, dict) else [0 if tasks is None else tasks]
    if wrong := [n for n in counts if type(n) is not int or not 0 <= n <= 1_000_000]:
        raise RunError(
            f"plan.tasks must be a number of criteria for each task, 0 to 1,000,000; found {shown(wrong[0])}",
            where=where,
        )
    if trials is not None and (type(trials) is not int or not 0 <= trials <= 10_000):
        raise RunError(f"plan.trials must be a number, 0 to 10,000; found {shown(trials)}", where=where)
    return tasks, trials


def _trial(
    task: str, number: int, record: TrialResult | None, criteria: list[CriterionResult], n_criteria: int
) -> Trial:
    problem = None
    if record is None:
        problem = "has no trial line in results.jsonl"
    elif record.stop_reason == "error":
        problem = f"the agent broke: {record.error or 'it gave no reason'}"
    elif not n_criteria:
        problem = "has no planned criteria in run.json"
    elif len(criteria) != n_criteria:
        problem = f"{len(criteria)} criteria are graded of {n_criteria} planned"
    return Trial(task, number, record, tuple(criteria), n_criteria, problem)


class Rates:
    """Rates whose intervals are computed together at the end: one pass over the resamples for all of them."""

    def __init__(self) -> None:
        self._open: list[tuple[Rate, dict[str, tuple[float, int]]]] = []

    def over(self, values: Iterable[Value]) -> Rate:
        """The mean of the values, every value weighing the same; null if one is not known. See `fill`."""
        sums: dict[str, tuple[float, int]] = {}
        known, n = True, 0
        for task, value in values:
            total, size = sums.get(task, (0.0, 0))
            sums[task] = total + (value or 0.0), size + 1
            known, n = known and value is not None, n + 1
        rate = Rate(n=n, n_tasks=len(sums))
        if known and n:
            rate.rate = sum(total for total, _ in sums.values()) / n
            self._open.append((rate, sums))
        return rate

    def over_tasks(self, values: Iterable[Value]) -> Rate:
        """The mean of the tasks' means."""
        by_task: dict[str, list[float | None]] = defaultdict(list)
        for task, value in values:
            by_task[task].append(value)
        return self.over((task, mean(found)) for task, found in by_task.items())

    def fill(self) -> None:
        """Give every rate so far its interval."""
        together: dict[tuple[str, ...], list[tuple[Rate, dict[str, tuple[float, int]]]]] = defaultdict(list)
        for rate, sums in self._open:
            if len(sums) < 2:
                continue
            if rate.rate in (0.0, 1.0):
                rate.low, rate.high = wilson(round(rate.rate * len(sums)), len(sums))
            else:
                together[tuple(sorted(sums))].append((rate, sums))
        for tasks, column in together.items():
            cells = np.array([[sums[task] for _, sums in column] for task in tasks], dtype=np.float64)
            _, low, high = bootstrap_ratios(cells[:, :, 0], cells[:, :, 1])
            for (rate, _), at, to in zip(column, low, high, strict=True):
                rate.low, rate.high = float(at), float(to)
        self._open.clear()


def mean(values: Sequence[float | None]) -> float | None:
    """The mean, or None if a value is None or there is none."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None

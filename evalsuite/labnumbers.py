"""The units of a lab run -> LabSummary: all-pass with its interval, what could not be graded, judges, cost."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from evalsuite.errors import RunError
from evalsuite.judgenumbers import by_judge, judge_numbers
from evalsuite.labtrials import Rates, Trial, Value, mean, trials_of
from evalsuite.records import (
    CriterionResult,
    LabSummary,
    Manifest,
    QueryResult,
    Rate,
    TaskNumbers,
    TrialNumbers,
    TrialResult,
)
from evalsuite.statistics import pass_at_k, pass_hat_k

EXACT = ("exact", "missing")


def lab_numbers(manifest: Manifest, units: Sequence[QueryResult | CriterionResult | TrialResult]) -> LabSummary:
    """Every number of a lab run. A number that an ungraded part could change is null. Raises RunError without units."""
    if not units:
        raise RunError("the run holds no trial", where=manifest.run_id)
    by_task = trials_of(manifest, units)
    trials = [trial for found in by_task.values() for trial in found]
    criteria = [criterion for trial in trials for criterion in trial.criteria]
    rates = Rates()
    bounds = [(trial.task, *trial.bounds()) for trial in trials]
    uncontested = [replace(t, criteria=tuple(c for c in t.criteria if not c.contested)) for t in trials]
    at, hat = _pass_k(by_task, rates)
    summary = LabSummary(
        system=str(manifest.system.get("name", manifest.run_id)),
        suite=manifest.suite.name,
        protocol=str(manifest.protocol.get("id", "")),
        n_tasks=len(by_task),
        n_trials=len(trials),
        all_pass=rates.over_tasks((trial.task, trial.passes()) for trial in trials),
        all_pass_bounds=(
            rates.over_tasks((task, low) for task, low, _ in bounds).rate or 0.0,
            rates.over_tasks((task, high) for task, _, high in bounds).rate or 0.0,
        ),
        adjusted_all_pass=rates.over_tasks((t.task, t.passes()) for t in uncontested if t.criteria or t.problem),
        grounded_all_pass=rates.over_tasks((trial.task, _grounded(trial)) for trial in trials),
        n_contested=len({(criterion.task, criterion.id) for criterion in criteria if criterion.contested}),
        criteria=_counts(trials, criteria),
        criterion_rate=rates.over(_values(trials)),
        criterion_rate_macro=rates.over_tasks(_values(trials)),
        critical_rate=rates.over(_values(trials, only_critical=True)),
        pass_at_k=at,
        pass_hat_k=hat,
        problems=_problems(by_task),
        error_kinds=_counted(c.error_kind or "unknown" for c in criteria if c.verdict == "error"),
        tasks=[_task(task, found) for task, found in by_task.items()],
        trials=[_trial(trial) for trial in trials if trial.number is not None],
        graded_by=_counted(_grader(criterion) for criterion in criteria),
        **judge_numbers(trials, rates),
        **_work([trial.record for trial in trials if trial.record], rates),
        inexact_files=_inexact(criteria),
        usage=usage_of([*(trial.record for trial in trials if trial.record), *criteria]),
    )
    rates.fill()
    return summary


def _grounded(trial: Trial) -> float | None:
    """All-pass with the grounding gate; None where the claims were not looked up."""
    passes = trial.passes()
    if not passes or not trial.record:
        return None if passes is None else float(passes)
    unsupported = trial.record.grounding.get("unsupported")
    return None if unsupported is None else float(not unsupported)


def _values(trials: list[Trial], only_critical: bool = False) -> list[Value]:
    values: list[Value] = []
    for trial in trials:
        if trial.problem:
            values.append((trial.task, None))
        for criterion in () if trial.problem else trial.criteria:
            if criterion.critical or not only_critical:
                known = criterion.verdict != "error"
                values.append((trial.task, float(criterion.verdict == "pass") if known else None))
    return values


def _counts(trials: list[Trial], criteria: list[CriterionResult]) -> dict[str, int]:
    verdicts = Counter(criterion.verdict for criterion in criteria)
    missing = sum(max(0, trial.n_criteria - len(trial.criteria)) for trial in trials)
    return {
        "passed": verdicts["pass"],
        "failed": verdicts["fail"],
        "errors": verdicts["error"],
        "missing": missing,
        "total": len(criteria) + missing,
    }


def _pass_k(by_task: dict[str, list[Trial]], rates: Rates) -> tuple[dict[str, Rate], dict[str, Rate]]:
    at: dict[str, Rate] = {}
    hat: dict[str, Rate] = {}
    outcomes = {task: [trial.passes() for trial in trials] for task, trials in by_task.items()}
    for k in range(1, min(map(len, outcomes.values())) + 1):
        for found, chance in ((at, pass_at_k), (hat, pass_hat_k)):
            found[str(k)] = rates.over(
                (task, None if None in passes else chance(len(passes), passes.count(True), k))
                for task, passes in outcomes.items()
            )
    return at, hat


def _problems(by_task: dict[str, list[Trial]]) -> list[str]:
    problems = []
    for task, trials in by_task.items():
        for trial in trials:
            why = trial.ungraded()
            if why and trial.number is not None:
                problems.append(f"{task}, trial {trial.number}: {why}")
        missing = sum(trial.number is None for trial in trials)
        if missing:
            problems.append(f"{task}: {missing} of {len(trials)} trials were never worked")
    return problems


def _task(task: str, trials: list[Trial]) -> TaskNumbers:
    failing: dict[str, dict[str, Any]] = {}
    for criterion in (criterion for trial in trials for criterion in trial.criteria):
        if criterion.verdict != "pass":
            entry = failing.setdefault(
                criterion.id,
                {
                    "id": criterion.id,
                    "title": criterion.title,
                    "contested": criterion.contested,
                    "failed": 0,
                    "errors": 0,
                },
            )
            entry["errors" if criterion.verdict == "error" else "failed"] += 1
    return TaskNumbers(
        task=task,
        n_criteria=trials[0].n_criteria,
        all_pass=mean([trial.passes() for trial in trials]),
        criterion_rate=mean([trial.share() for trial in trials]),
        missing_trials=sum(trial.number is None for trial in trials),
        failing=sorted(failing.values(), key=lambda entry: entry["errors"] == 0),
    )


def _trial(trial: Trial) -> TrialNumbers:
    verdicts = Counter(criterion.verdict for criterion in trial.criteria)
    return TrialNumbers(
        task=trial.task,
        trial=trial.number or 0,
        all_pass=trial.passes(),
        n_passed=verdicts["pass"],
        n_criteria=trial.n_criteria,
        n_errors=verdicts["error"],
        stop_reason=trial.record.stop_reason if trial.record else None,
        problem=trial.ungraded(),
    )


def _grader(criterion: CriterionResult) -> str:
    if criterion.verdict == "error" or not criterion.votes:
        return "ungraded"
    if any(map(by_judge, criterion.votes)):
        return "judge"
    return "deliverable" if criterion.votes[0].judge == "deliverable" else "check"


def _work(records: list[TrialResult], rates: Rates) -> dict[str, Any]:
    return {
        "stop_reasons": _counted(record.stop_reason for record in records),
        "documents_read": rates.over_tasks(
            (record.task, len(record.documents_read) / record.documents_total)
            for record in records
            if record.documents_total
        ),
        "grounding": {
            "claims": sum(record.grounding.get("claims") or 0 for record in records),
            "unsupported": sum(len(record.grounding.get("unsupported") or []) for record in records),
        },
        "flags": _counted(flag.get("flag", "unnamed") for record in records for flag in record.flags),
    }


def _inexact(criteria: list[CriterionResult]) -> list[dict[str, Any]]:
    found = {
        (c.task, c.trial, c.resolved_file, c.resolution_rule): None for c in criteria if inexact(c.resolution_rule)
    }
    return [{"task": task, "trial": trial, "file": file, "rule": rule} for task, trial, file, rule in found]


def inexact(rule: str | None) -> bool:
    """Whether a deliverable was found under another name; `rule` has a part for each of several."""
    if not rule or rule in EXACT:
        return False
    return any(part not in EXACT for part in re.split(r"[,;] *", rule))


def usage_of(units: Iterable[QueryResult | CriterionResult | TrialResult]) -> dict[str, Any]:
    """Tokens, seconds and cost of agents and judges. Votes from the verdict cache and checks cost nothing, and are no calls."""
    found = list(units)
    records = [unit for unit in found if isinstance(unit, TrialResult)]
    criteria = [unit for unit in found if isinstance(unit, CriterionResult)]
    votes = [vote for c in criteria for vote in (*c.earlier, *c.votes) if by_judge(vote)]
    paid = [vote for vote in votes if not vote.cached]
    agent = _spent([(r.tokens, r.cost) for r in records])
    judges = _spent([(v.tokens, v.cost) for v in paid])
    costs = [agent["cost"], judges["cost"]]
    return {
        "agent": agent | {"turns": sum(r.turns for r in records), "seconds": sum(r.seconds for r in records)},
        "judges": judges
        | {"calls": len(paid), "from_cache": len(votes) - len(paid), "seconds": sum(v.seconds for v in paid)},
        "cost": "unknown" if "unknown" in costs else sum(costs),
    }


def _spent(parts: list[tuple[dict[str, int], float | None]]) -> dict[str, Any]:
    """Tokens, cost and prefix reuse; "unknown" where a part did not say.

    Prefix reuse is the share of input tokens that a prefix cache served, as the provider reported it; where it reported
    none, the share that a cache could have served, reckoned from the prompts.
    """
    sums: Counter[str] = Counter()
    for tokens, _ in parts:
        for name, n in tokens.items():
            sums[name] += n
    totals = {name: sums[name] for name in ("input", "output", "cached")}
    reported = totals["cached"] > 0
    reused = sums["cached" if reported else "prefix"]
    costs = [cost for _, cost in parts if cost is not None]
    silent = any(not tokens and cost is None for tokens, cost in parts)
    return {
        "tokens": "unknown" if silent else totals,
        "cost": sum(costs) if len(costs) == len(parts) else "unknown",
        "prefix_reuse": reused / totals["input"] if totals["input"] else None,
        "prefix_reuse_source": "reported" if reported else "computed",
    }


def _counted(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))

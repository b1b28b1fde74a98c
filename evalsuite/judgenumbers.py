"""How far the verdicts of a lab run hang on who judged: judges on their own, their agreement, flips, and variances.

A judge may be asked again where judges differ. Such votes would make every judge look shaky, so agreement, repeat flips
and variances use only the votes (judge and vote number) cast on at least half of the judged criteria.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from itertools import combinations
from typing import Any

from evalsuite.labtrials import Rates, Trial, Value, mean, panel_verdict
from evalsuite.records import Agreement, CriterionResult, Dual, JudgeNumbers, Rate, VarianceSplit, Verdict, Vote
from evalsuite.statistics import cohen_kappa, gwet_ac1, krippendorff_alpha, variance_components

Slot = tuple[str, int]


def by_judge(vote: Vote) -> bool:
    """Whether a judge cast the vote, and not a check or the lack of the deliverable."""
    return vote.judge != "deliverable" and not vote.judge.startswith("check:")


def judge_numbers(trials: list[Trial], rates: Rates) -> dict[str, Any]:
    """The part of LabSummary about judges."""
    criteria = [criterion for trial in trials for criterion in trial.criteria]
    judged = [criterion for criterion in criteria if any(map(by_judge, criterion.votes))]
    cast = Counter(slot for criterion in judged for slot in {(v.judge, v.vote) for v in criterion.votes if by_judge(v)})
    slots = sorted(slot for slot, times in cast.items() if 2 * times >= len(judged))
    judges = list(dict.fromkeys(vote.judge for criterion in judged for vote in criterion.votes if by_judge(vote)))
    panel = [judge for judge in judges if any(slot[0] == judge for slot in slots)]
    firsts = [next(slot for slot in slots if slot[0] == judge) for judge in panel]
    opening = [[_said(criterion, slot) for slot in firsts] for criterion in judged]
    return {
        "judges": [_alone(judge, trials, judged, slots, rates) for judge in judges],
        "agreement": [
            _agreement((panel[a], panel[b]), [(votes[a], votes[b]) for votes in opening])
            for a, b in combinations(range(len(panel)), 2)
        ],
        "alpha": krippendorff_alpha(opening),
        "dual": _dual(panel, trials, rates) if len(panel) > 1 else None,
        "trial_flips": _trial_flips(trials, panel_verdict, rates),
        "variance": _variance([trial for trial in trials if not trial.problem], slots),
    }


def _said(criterion: CriterionResult, slot: Slot) -> Verdict | None:
    """The verdict of one judge's numbered vote; None where there is none or it is an error."""
    verdicts = (vote.verdict for vote in criterion.votes if (vote.judge, vote.vote) == slot)
    return next((verdict for verdict in verdicts if verdict != "error"), None)


def _verdict_of(judge: str) -> Callable[[CriterionResult], Verdict]:
    def verdict(criterion: CriterionResult) -> Verdict:
        if criterion.votes and not any(map(by_judge, criterion.votes)):
            return criterion.verdict
        own = [vote.verdict for vote in criterion.votes if vote.judge == judge]
        if not own or "error" in own:
            return "error"
        return "pass" if 2 * own.count("pass") > len(own) else "fail"

    return verdict


def _alone(
    judge: str, trials: list[Trial], judged: list[CriterionResult], slots: list[Slot], rates: Rates
) -> JudgeNumbers:
    verdict = _verdict_of(judge)
    asked = [(c.task, verdict(c)) for c in judged if any(vote.judge == judge for vote in c.votes)]
    repeats = [[_said(criterion, slot) for slot in slots if slot[0] == judge] for criterion in judged]
    return JudgeNumbers(
        judge=judge,
        n=len(asked),
        errors=sum(said == "error" for _, said in asked),
        pass_rate=rates.over((task, None if said == "error" else float(said == "pass")) for task, said in asked),
        criterion_pass=rates.over_tasks((trial.task, trial.share(verdict)) for trial in trials),
        all_pass=rates.over_tasks((trial.task, trial.passes(verdict)) for trial in trials),
        repeat_flips=_flips(((c.task, said) for c, said in zip(judged, repeats, strict=True)), rates),
        trial_flips=_trial_flips(trials, verdict, rates, only=judge),
    )


def _flips(verdicts: Iterable[tuple[str, list[Verdict | None]]], rates: Rates) -> Rate:
    """Share of those with two or more verdicts that are not unanimous; an error is no verdict."""
    values: list[Value] = []
    for task, said in verdicts:
        known = [verdict for verdict in said if verdict in ("pass", "fail")]
        if len(known) > 1:
            values.append((task, float(len(set(known)) > 1)))
    return rates.over(values)


def _trial_flips(
    trials: list[Trial], verdict: Callable[[CriterionResult], Verdict], rates: Rates, only: str | None = None
) -> Rate:
    by_criterion: dict[tuple[str, str], list[Verdict | None]] = defaultdict(list)
    for trial in trials:
        for criterion in () if trial.problem else trial.criteria:
            if only is None or any(vote.judge == only for vote in criterion.votes):
                by_criterion[trial.task, criterion.id].append(verdict(criterion))
    return _flips(((task, said) for (task, _), said in by_criterion.items()), rates)


def _agreement(judges: tuple[str, str], votes: list[tuple[Verdict | None, Verdict | None]]) -> Agreement:
    both = [(a, b) for a, b in votes if a is not None and b is not None]
    first, second = [a for a, _ in both], [b for _, b in both]
    n = len(both)
    return Agreement(
        judges=judges,
        n=n,
        raw=sum(a == b for a, b in both) / n if n else None,
        kappa=cohen_kappa(first, second),
        ac1=gwet_ac1(first, second),
        prevalence=[*first, *second].count("pass") / (2 * n) if n else None,
    )


def _dual(panel: list[str], trials: list[Trial], rates: Rates) -> Dual:
    verdicts = [_verdict_of(judge) for judge in panel]
    passes = [(trial.task, [trial.passes(verdict) for verdict in verdicts]) for trial in trials]
    shares = [(trial.task, mean([trial.share(verdict) for verdict in verdicts])) for trial in trials]
    return Dual(
        judges=panel,
        dual_criterion_pass=rates.over_tasks(shares),
        dual_all_pass_rate=rates.over_tasks((task, mean(found)) for task, found in passes),
        all_pass_both_agree_rate=rates.over_tasks(
            (task, None if None in found else float(all(found))) for task, found in passes
        ),
    )


def _variance(trials: list[Trial], slots: list[Slot]) -> VarianceSplit:
    """Random effects of task, criterion, trial, trial x criterion, judge and judge x criterion; the rest is repeats."""
    rows: list[tuple[str, str, int, str, float]] = []
    for trial in trials:
        for criterion in trial.criteria:
            said = [(judge, _said(criterion, (judge, vote))) for judge, vote in slots]
            if not slots and criterion.verdict != "error":
                said = [("", criterion.verdict)]
            rows += [(trial.task, criterion.id, trial.number or 0, j, float(v == "pass")) for j, v in said if v]
    found = variance_components(
        [row[4] for row in rows],
        {
            "task": [row[0] for row in rows],
            "criterion": [row[:2] for row in rows],
            "trial": [(row[0], row[2]) for row in rows],
            "answer": [row[:3] for row in rows],
            "judge": [row[3] for row in rows],
            "judge x criterion": [(row[3], *row[:2]) for row in rows],
        },
    )
    retried = len({row[:3] for row in rows}) > len({row[:2] for row in rows})
    repeated = len(rows) > len({row[:3] for row in rows})
    rest = found["residual"] if repeated or retried else None
    split = VarianceSplit(n=len(rows), task=found["task"], criterion=found["criterion"])
    if repeated:
        split.judge = _sum(found["judge"], found["judge x criterion"], rest)
        split.answer = _sum(found["trial"], found["answer"]) if retried else None
    elif not slots:
        split.answer = _sum(found["trial"], rest)
    else:
        split.answer_and_judge = _sum(found["trial"], rest)
    split.description = _described(split, bool(slots), retried, repeated)
    return split


def _sum(*parts: float | None) -> float | None:
    known = [part for part in parts if part is not None]
    return sum(known) if known else None


def _described(split: VarianceSplit, judged: bool, retried: bool, repeated: bool) -> str:
    if not split.n:
        return "Nothing is graded yet."
    if not judged:
        told = "No judge voted, so none of the spread is a judge's."
    elif repeated and retried:
        told = "Judges voted more than once on an answer, and tasks were tried more than once."
    elif repeated:
        told = "Each task was tried once: how much answers vary is part of the difference between criteria and tasks."
    else:
        told = "Each answer has one vote: a judge's noise cannot be told from a change in the answer."
    shares = {
        "between tasks": split.task,
        "between criteria of a task": split.criterion,
        "between answers (trials)": split.answer,
        "between votes on the same answer (judges)": split.judge,
        "between answers, with the judges' noise": split.answer_and_judge,
    }
    total = sum(part for part in shares.values() if part)
    if not total:
        return f"{told} All verdicts are the same, or too few to split."
    named = ", ".join(f"{part / total:.0%} {name}" for name, part in shares.items() if part is not None)
    return f"{told} Of the variance of pass and fail, {named}."

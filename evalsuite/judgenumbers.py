"""How far the verdicts of a lab run hang on who judged: judges on their own, their agreement, flips, and variances.

A judge may be asked again where judges differ. Such votes would make every judge look shaky, so agreement, repeat flips
and variances use only the votes (judge and vote number) cast on at least half of the judged criteria.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import combinations
from typing import Any, NamedTuple

from evalsuite.labtrials import Rates, Trial, Value, mean, panel_verdict
from evalsuite.records import Agreement, CriterionResult, Dual, JudgeNumbers, Rate, VarianceSplit, Verdict, Vote
from evalsuite.statistics import cohen_kappa, gwet_ac1, krippendorff_alpha, variance_components

Slot = tuple[str, int]
Ruling = Callable[[CriterionResult], Verdict]


def by_judge(vote: Vote) -> bool:
    """Whether a judge cast the vote, and not a check, the lack of the deliverable, or nobody."""
    return vote.judge not in ("", "deliverable") and not vote.judge.startswith("check:")


class _Ballot(NamedTuple):
    """The judges' votes on one criterion of one trial."""

    criterion: CriterionResult
    said: dict[Slot, Verdict]
    own: dict[str, Verdict]
    """Each judge's own verdict: error if a vote is one, else the majority of its votes; a tie is a fail."""

    def known(self, slots: list[Slot]) -> list[Verdict | None]:
        """The verdicts of these votes; None for an error and where there is none."""
        said = self.said
        return [None if (verdict := said.get(slot)) == "error" else verdict for slot in slots]


def _ballot(criterion: CriterionResult) -> _Ballot:
    said = {(vote.judge, vote.vote): vote.verdict for vote in criterion.votes if by_judge(vote)}
    cast: dict[str, list[Verdict]] = {}
    for (judge, _), verdict in said.items():
        cast.setdefault(judge, []).append(verdict)
    own: dict[str, Verdict] = {}
    for judge, votes in cast.items():
        own[judge] = "error" if "error" in votes else "pass" if 2 * votes.count("pass") > len(votes) else "fail"
    return _Ballot(criterion, said, own)


def judge_numbers(trials: list[Trial], rates: Rates) -> dict[str, Any]:
    """The part of LabSummary about judges."""
    ballots = [_ballot(criterion) for trial in trials for criterion in trial.criteria]
    judged = [ballot for ballot in ballots if ballot.said]
    cast = Counter(slot for ballot in judged for slot in ballot.said)
    slots = sorted(slot for slot, times in cast.items() if 2 * times >= len(judged))
    judges = list(dict.fromkeys(judge for ballot in judged for judge in ballot.own))
    panel = [judge for judge in judges if any(slot[0] == judge for slot in slots)]
    firsts = [next(slot for slot in slots if slot[0] == judge) for judge in panel]
    opening = [ballot.known(firsts) for ballot in judged]
    by_criterion = {id(ballot.criterion): ballot for ballot in ballots}

    def verdict_of(judge: str) -> Ruling:
        verdicts: dict[int, Verdict] = {
            number: ballot.own.get(judge, "error")
            if ballot.said or not ballot.criterion.votes
            else ballot.criterion.verdict
            for number, ballot in by_criterion.items()
        }
        return lambda criterion: verdicts[id(criterion)]

    rulings = {judge: verdict_of(judge) for judge in judges}
    return {
        "judges": [_alone(judge, rulings[judge], trials, judged, slots, rates) for judge in judges],
        "agreement": [
            _agreement((panel[a], panel[b]), [(votes[a], votes[b]) for votes in opening])
            for a, b in combinations(range(len(panel)), 2)
        ],
        "alpha": krippendorff_alpha(opening) if len(panel) > 1 else None,
        "dual": _dual(panel, [rulings[judge] for judge in panel], trials, rates) if len(panel) > 1 else None,
        "trial_flips": _flips(_over_trials(trials, panel_verdict), rates),
        "variance": _variance([trial for trial in trials if not trial.problem], by_criterion, slots),
    }


def _alone(
    judge: str, verdict: Ruling, trials: list[Trial], judged: list[_Ballot], slots: list[Slot], rates: Rates
) -> JudgeNumbers:
    asked = [(ballot.criterion.task, ballot.own[judge]) for ballot in judged if judge in ballot.own]
    own_slots = [slot for slot in slots if slot[0] == judge]
    asked_about = {id(ballot.criterion) for ballot in judged if judge in ballot.own}
    return JudgeNumbers(
        judge=judge,
        n=len(asked),
        errors=sum(said == "error" for _, said in asked),
        pass_rate=rates.over((task, None if said == "error" else float(said == "pass")) for task, said in asked),
        criterion_pass=rates.over_tasks((trial.task, trial.share(verdict)) for trial in trials),
        all_pass=rates.over_tasks((trial.task, trial.passes(verdict)) for trial in trials),
        repeat_flips=_flips(
            ((ballot.criterion.task, ballot.known(own_slots)) for ballot in judged if len(own_slots) > 1), rates
        ),
        trial_flips=_flips(_over_trials(trials, verdict, asked_about), rates),
    )


def _flips(verdicts: Iterable[tuple[str, list[Verdict | None]]], rates: Rates) -> Rate:
    """Share of those with two or more verdicts that are not unanimous; an error is no verdict."""
    values: list[Value] = []
    for task, said in verdicts:
        known = [verdict for verdict in said if verdict in ("pass", "fail")]
        if len(known) > 1:
            values.append((task, float(len(set(known)) > 1)))
    return rates.over(values)


def _over_trials(
    trials: list[Trial], verdict: Ruling, only: set[int] | None = None
) -> Iterator[tuple[str, list[Verdict | None]]]:
    """Per criterion of a task with several trials its verdicts over these; `only` holds the ids of the results that count."""
    by_criterion: dict[tuple[str, str], list[Verdict | None]] = defaultdict(list)
    graded = [trial for trial in trials if not trial.problem]
    tried = Counter(trial.task for trial in graded)
    for trial in graded:
        for criterion in trial.criteria if tried[trial.task] > 1 else ():
            if only is None or id(criterion) in only:
                by_criterion[trial.task, criterion.id].append(verdict(criterion))
    return ((task, said) for (task, _), said in by_criterion.items())


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


def _dual(panel: list[str], verdicts: list[Ruling], trials: list[Trial], rates: Rates) -> Dual:
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


def _variance(trials: list[Trial], ballots: dict[int, _Ballot], slots: list[Slot]) -> VarianceSplit:
    """Random effects of task, criterion, trial, trial x criterion, judge and judge x criterion; the rest is repeats."""
    numbers: dict[tuple[str, str], int] = {}
    rows: list[tuple[Any, ...]] = []
    for place, trial in enumerate(trials):
        for criterion in trial.criteria:
            said = ballots[id(criterion)].known(slots)
            if not slots and criterion.verdict != "error":
                said = [criterion.verdict]
            number = numbers.setdefault((trial.task, criterion.id), len(numbers))
            for (judge, _), verdict in zip(slots or [("", 1)], said, strict=False):
                if verdict:
                    value = float(verdict == "pass")
                    rows.append((value, trial.task, number, place, (place, number), judge, (judge, number)))
    values, *levels = zip(*rows, strict=True) if rows else [()] * 7
    factors = dict(zip(("task", "criterion", "trial", "answer", "judge", "judge x criterion"), levels, strict=True))
    found = variance_components(values, factors)
    n_answers = len(set(factors["answer"]))
    retried = n_answers > len(set(factors["criterion"]))
    repeated = len(rows) > n_answers
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

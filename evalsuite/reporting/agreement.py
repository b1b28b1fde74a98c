"""A run with and without what its reviewers said, and how far judges, checks and reviewers agree with each other."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from pydantic_core import to_jsonable_python

from evalsuite.errors import RunError
from evalsuite.judgenumbers import by_judge
from evalsuite.labtrials import Rates
from evalsuite.records import CriterionResult, LabSummary, Verdict, Vote
from evalsuite.reporting.review import Key, Settled, in_force, reviewed_units, settled
from evalsuite.reporting.sections import Section, read_section
from evalsuite.statistics import cohen_kappa, gwet_ac1
from evalsuite.summary import summarise

NUMBERS = {
    "all_pass",
    "all_pass_bounds",
    "adjusted_all_pass",
    "grounded_all_pass",
    "criterion_rate",
    "criterion_rate_macro",
    "critical_rate",
    "criteria",
}
VERDICTS: tuple[Verdict, ...] = ("pass", "fail", "error")
Said = tuple[str, Verdict, Verdict]
"""A task, what one said about a criterion of it, and what the other said."""


def review_report(folder: Path) -> dict[str, Any]:
    """The report on one run folder, see `report_of`. Raises RunError for a retrieval run and a run without verdicts."""
    return report_of(read_section(folder))


def report_of(section: Section) -> dict[str, Any]:
    """What reviews change in a run, and how far its verdicts agree with them. JSON values; rates are as in summary.json.

    "without", "with": the run's numbers as the machine gave them, and with people's verdicts in place of its own.
    "by_verdict": per verdict of the machine its "total", how many were "reviewed", and the share "overturned" of those
    that people decided, null for errors. "agreement": the run, each judge, kind of check and missing deliverables against
    what people decided: `raw` is the rate at which they agree, `false_pass` the rate of passes among what people fail.
    "between_reviewers": two reviewers each.
    Reviews are seldom a random sample: where they were chosen by verdict, shares among what people fail or pass are
    biased (Begg & Greenes 1983, Biometrics 39), and `overturned` is not.
    """
    if not isinstance(section.summary, LabSummary):
        raise RunError("has no verdicts of a lab run; nothing else is reviewed", where=str(section.folder))
    criteria = [unit for unit in section.units if isinstance(unit, CriterionResult)]
    people = settled(criteria, section.reviews)
    reviewed = [(unit, people[unit.key]) for unit in criteria if unit.key in people]
    changed = summarise(section.manifest, reviewed_units(section.units, section.reviews)) if people else section.summary
    states = Counter(_state(unit, found) for unit, found in reviewed)
    rates = Rates()
    report = {
        "run": str(section.folder),
        "run_id": section.run_id,
        "n_criteria": len(criteria),
        "n_reviewed": len(reviewed),
        **{f"n_{state}": states[state] for state in ("confirmed", "overridden", "undecided", "disputed")},
        "n_outdated": len(section.reviews) - sum(map(len, in_force(criteria, section.reviews).values())),
        "by_verdict": {verdict: _by_verdict(verdict, criteria, people, rates) for verdict in VERDICTS},
        "reviewers": _reviewers(people),
        "without": section.summary.model_dump(mode="json", include=NUMBERS),
        "with": changed.model_dump(mode="json", include=NUMBERS),
        "agreement": [
            {"rater": rater, "kind": kind, **_agreement(said, rates, judged=True)}
            for (kind, rater), said in _raters(reviewed).items()
        ],
        "between_reviewers": [
            {"reviewers": pair, **_agreement(said, rates, judged=False)} for pair, said in _pairs(people).items()
        ],
    }
    rates.fill()
    plain: dict[str, Any] = to_jsonable_python(report)
    return plain


def _state(unit: CriterionResult, found: Settled) -> str:
    return found.error_kind or ("confirmed" if found.verdict == unit.verdict else "overridden")


def _by_verdict(
    verdict: Verdict, criteria: Sequence[CriterionResult], people: dict[Key, Settled], rates: Rates
) -> dict[str, Any]:
    own = [unit for unit in criteria if unit.verdict == verdict]
    reviewed = [(unit.task, people[unit.key].verdict) for unit in own if unit.key in people]
    decided = [(task, float(said != verdict)) for task, said in reviewed if said != "error"]
    overturned = rates.over(decided) if verdict != "error" else None
    return {"total": len(own), "reviewed": len(reviewed), "overturned": overturned}


def _reviewers(people: dict[Key, Settled]) -> list[dict[str, Any]]:
    said: dict[str, Counter[str]] = defaultdict(Counter)
    for review in (review for found in people.values() for review in found.reviews):
        state = "undecided" if review.verdict == "error" else "confirmed"
        said[review.reviewer][state if review.verdict in ("error", review.machine) else "overridden"] += 1
    states = ("confirmed", "overridden", "undecided")
    return [
        {"reviewer": name, "n": counts.total(), **{state: counts[state] for state in states}}
        for name, counts in sorted(said.items())
    ]


def _raters(reviewed: Sequence[tuple[CriterionResult, Settled]]) -> dict[tuple[str, str], list[Said]]:
    """{(kind, name): its verdicts beside what people decided}. A judge's verdict is the majority of its votes, a tie a fail."""
    found: dict[tuple[str, str], list[Said]] = defaultdict(list)
    for unit, people in reviewed:
        if people.verdict == "error":
            continue
        votes: dict[tuple[str, str], list[Verdict]] = defaultdict(list)
        for vote in unit.votes:
            votes[_kind(vote), vote.judge].append(vote.verdict)
        found["run", "all verdicts"].append((unit.task, unit.verdict, people.verdict))
        if sum(kind == "judge" for kind, _ in votes) > 1:
            found["panel", "judges together"].append((unit.task, unit.verdict, people.verdict))
        for rater, said in votes.items():
            found[rater].append((unit.task, _majority(said), people.verdict))
    order = ("run", "panel", "judge", "check", "deliverable")
    return dict(sorted(found.items(), key=lambda item: (order.index(item[0][0]), item[0][1])))


def _kind(vote: Vote) -> str:
    return "judge" if by_judge(vote) else "check" if vote.judge.startswith("check:") else "deliverable"


def _majority(votes: list[Verdict]) -> Verdict:
    return "error" if "error" in votes else "pass" if 2 * votes.count("pass") > len(votes) else "fail"


def _pairs(people: dict[Key, Settled]) -> dict[tuple[str, str], list[Said]]:
    found: dict[tuple[str, str], list[Said]] = defaultdict(list)
    for one in people.values():
        for a, b in combinations(sorted(one.reviews, key=lambda review: review.reviewer), 2):
            found[a.reviewer, b.reviewer].append((a.task, a.verdict, b.verdict))
    return dict(sorted(found.items()))


def _agreement(said: Iterable[Said], rates: Rates, *, judged: bool) -> dict[str, Any]:
    """Over what both decided; with `judged` the second is taken for the truth, and the errors of the first are counted."""
    everything = list(said)
    both = [(task, a, b) for task, a, b in everything if "error" not in (a, b)]
    first, second = [a for _, a, _ in both], [b for _, _, b in both]
    found = {
        "n": len(both),
        "undecided": len(everything) - len(both),
        "raw": rates.over((task, float(a == b)) for task, a, b in both),
        "kappa": cohen_kappa(first, second),
        "ac1": gwet_ac1(first, second),
    }
    if judged:
        found["false_pass"] = rates.over((task, float(a == "pass")) for task, a, b in both if b == "fail")
        found["false_fail"] = rates.over((task, float(a == "fail")) for task, a, b in both if b == "pass")
    return found

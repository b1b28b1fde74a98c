"""The page's first screen: what came out in a sentence a board, which verdicts ask for a reviewer, what it took."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evalsuite.records import CriterionResult, LabSummary
from evalsuite.reporting import words
from evalsuite.reporting.review import settled
from evalsuite.reporting.sections import Section
from evalsuite.reporting.standings import Standings, problem
from evalsuite.reporting.verdictdata import doubtful


def outcome(group: Standings) -> list[str]:
    """What came out, a sentence a board; for LAB all-pass, then the criteria."""
    if not group.boards:
        return ["No run has a headline number."]
    several = len(group.boards) > 1 and group.some.manifest.kind == "retrieval"
    return [f"{board.title}: {board.words[0]}" if several else board.words[0] for board in group.boards]


def failures(sections: Sequence[Section]) -> list[tuple[Section, str]]:
    """The runs without a headline number, each with the reason and, where it has one, what all-pass lies between."""
    found = []
    for section in sections:
        if why := problem(section):
            found.append((section, why + _bounds(section)))
    return found


def _bounds(section: Section) -> str:
    summary = section.summary
    if section.manifest.status != "complete" or not isinstance(summary, LabSummary):
        return ""
    low, high = summary.all_pass_bounds
    return f"; all-pass lies between {low:.3f} and {high:.3f}"


def attention(sections: Sequence[Section]) -> list[tuple[str, str]]:
    """The verdicts that ask for a reviewer: (how many and which, the link to them), worst first; [] without verdicts."""
    if not any(isinstance(unit, CriterionResult) for section in sections for unit in section.units):
        return []
    found = doubtful(sections)
    reviewed = sum(len(settled(section.units, section.reviews)) for section in sections if section.reviews)
    told = [
        (found["error"], words.count(found["error"], "error"), "verdict=error"),
        (found["unsupported"], words.count(found["unsupported"], "unsupported quote"), "marks=unsupported"),
        (found["disputed"], f"{found['disputed']:,} where judges disagree", "marks=disputed"),
        (found["flipped"], f"{found['flipped']:,} that flip between trials", "marks=flipped"),
    ]
    done = (f"{reviewed:,} reviewed", "review=some") if reviewed else ("none reviewed yet", "review=none")
    return [(said, f"#/verdicts?{where}") for said, where in [*(t[1:] for t in told if t[0]), done]]


def spent(sections: Sequence[Section]) -> str:
    """Cost and time over all runs, in words; what is unknown is said to be."""
    costs: list[Any] = []
    seconds = 0.0
    for section in sections:
        summary = section.summary
        if isinstance(summary, LabSummary):
            costs.append(summary.usage.get("cost", "unknown"))
            parts = [summary.usage[who]["seconds"] for who in ("agent", "judges")]
        else:
            usage = section.manifest.usage
            costs.append(usage.get("cost", "unknown"))
            taken = usage.get("seconds", 0)
            parts = list(taken.values()) if isinstance(taken, dict) else [taken]
        seconds += sum(part for part in parts if _is_amount(part))
    known = [cost for cost in costs if _is_amount(cost)]
    unknown = len(costs) - len(known)
    more = f", and an unknown amount for {words.count(unknown, 'run')}" if known and unknown else ""
    return f"Cost {words.cost(sum(known) if known else 'unknown')}{more}; {words.duration(seconds)} of work recorded."


def _is_amount(value: Any) -> bool:
    return isinstance(value, int | float) and 0 <= value <= 1e15

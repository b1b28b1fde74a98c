"""Judges x votes -> one verdict, by a named aggregation."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from evalsuite.errors import UsageError
from evalsuite.lab.grading.judge import Judge, Work
from evalsuite.lab.task import Criterion
from evalsuite.records import Verdict, Vote

AGGREGATIONS = {
    "strict": "pass if every vote passes; one fail is a fail, whatever else is missing",
    "majority": "pass if more than half of the votes pass; a tie fails",
    "mean": "LAB's dual judging: rates are means over the judges, and only unanimous passes count as all-pass",
}


@dataclass
class Panel:
    """The judges, how often each votes, and how votes become a verdict."""

    judges: Sequence[Judge] = field(default_factory=list)
    votes: int = 1
    aggregation: str = "strict"

    def __post_init__(self) -> None:
        if self.aggregation not in AGGREGATIONS:
            raise UsageError(f"{self.aggregation!r} is not an aggregation; accepted: {', '.join(AGGREGATIONS)}")
        if self.votes < 1:
            raise UsageError(f"votes must be 1 or more; found {self.votes}")
        names = [judge.name for judge in self.judges]
        models = {(judge.model.model.system, judge.model.model.model_name) for judge in self.judges}
        if len(models) != len(names):
            raise UsageError(f"a judge is named twice: {', '.join(names)}; use --votes for repeated votes")

    async def votes_on(self, work: Work, criterion: Criterion) -> list[Vote]:
        """All votes on one criterion, in the order judge by judge."""
        return await asyncio.gather(
            *(judge.vote(work, criterion, number) for judge in self.judges for number in range(1, self.votes + 1))
        )


def aggregate(votes: Sequence[Vote], aggregation: str) -> tuple[Verdict, str | None, float | None]:
    """(verdict, error kind, share of passes). A verdict stands despite missing votes only where they could not change it."""
    passed = sum(vote.verdict == "pass" for vote in votes)
    failed = sum(vote.verdict == "fail" for vote in votes)
    errors = [vote.error_kind for vote in votes if vote.verdict == "error"]
    share = None if errors or not votes else passed / len(votes)
    if not votes:
        return "error", "no_judge", None
    if aggregation == "majority":
        if passed * 2 > len(votes):
            return "pass", None, share
        if (passed + len(errors)) * 2 <= len(votes):
            return "fail", None, share
    elif failed and (aggregation == "strict" or not errors):
        return "fail", None, share
    elif not errors:
        return "pass", None, share
    return "error", errors[0], None

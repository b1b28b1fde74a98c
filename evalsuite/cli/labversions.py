"""evalsuite lab versions: what a revision of tasks changes, what it leaves of stored runs, and grading the rest again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalsuite.cli import labshow
from evalsuite.cli.common import ERRORS, OK, Cache, Debug, Fresh, Json, Out, print_json, progress, visible
from evalsuite.cli.laboptions import (
    Aggregation,
    Concurrency,
    JudgeHeat,
    Judges,
    JudgesUrl,
    Judging,
    MaxCost,
    OutputTokens,
    Prices,
    Select,
    StrictNames,
    Votes,
    common,
    grading,
)
from evalsuite.errors import UsageError
from evalsuite.lab.findings import listed

if TYPE_CHECKING:
    from evalsuite.lab.evaluate import Outcome
    from evalsuite.lab.storedruns import RunStanding
    from evalsuite.lab.taskversions import FileChanges, TaskChange

HEX, SHOWN = 12, 12
STATUSES = ("same", "changed", "added", "removed")
WORDS = {name: name for name in ("added", "removed", "renamed", "reworded")} | {
    "scope": "looks at other files",
    "critical": "critical, or no longer",
    "contested": "contested, or no longer",
}


def versions(
    a: Annotated[Path, typer.Argument(metavar="A", help="Old version: a task folder, an area, or a root of tasks.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="New version, likewise.")],
    run: Annotated[
        list[Path] | None,
        typer.Option("--run", "-r", metavar="RUN", help="Say what of this lab run holds for B (repeat)."),
    ] = None,
    regrade: Annotated[
        bool, typer.Option("--regrade", help="Grade the runs' outputs against B; only what changed is judged.")
    ] = False,
    select: Select = None,
    judge: Judges = None,
    judging: Judging = "full",
    votes: Votes = 1,
    aggregation: Aggregation = "strict",
    concurrency: Concurrency = 4,
    base_url: JudgesUrl = None,
    judge_temperature: JudgeHeat = 0.0,
    max_output_tokens: OutputTokens = 16_384,
    max_cost: MaxCost = None,
    price: Prices = None,
    strict_names: StrictNames = False,
    out: Out = Path("reports"),
    cache: Cache = None,
    fresh: Fresh = False,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Say what a revision of tasks changes and which stored results it leaves valid; with --regrade, grade the others again.

    Tasks are matched by id. The options of judges are for --regrade and must be those of the run. Exit 3: a version has two
    contents or went down, or verdicts are errors.

    Example: evalsuite lab versions ../before/tasks tasks --run reports/RUN
    """
    from evalsuite.lab.storedruns import grade_again, standing
    from evalsuite.lab.taskversions import compare

    if regrade and not run:
        raise UsageError("--regrade needs a run to grade again; name it with --run")
    pairs = compare(a, b, select)
    found = [standing(path, pairs) for path in run or ()]
    outcomes: list[Outcome | None] = [None] * len(found)
    if regrade:
        if all(one.settled for one in found):
            raise UsageError(f"nothing to grade again: {found[0].settled}", where=str(found[0].path))
        options: dict[str, Any] = {
            **grading(judge, judging, votes, aggregation, base_url, judge_temperature, max_output_tokens),
            **common(strict_names, max_cost, price, concurrency, out, cache, fresh),
        }
        with progress():
            outcomes = [None if one.settled else grade_again(one, pairs, **options) for one in found]
    changes = [pair.change for pair in pairs]
    graded = [outcome for outcome in outcomes if outcome]
    if as_json:
        print_json(_document(changes, found, outcomes))
        ended = OK if all(outcome.complete for outcome in graded) else ERRORS
    else:
        for line in [*_tasks(changes), *_runs(found)]:
            typer.echo(visible(line))
        ended = labshow.outcomes(graded, False, None) if graded else OK
    return ERRORS if any(change.faults for change in changes) else ended


def _document(
    changes: Sequence[TaskChange], found: Sequence[RunStanding], outcomes: Sequence[Outcome | None]
) -> dict[str, Any]:
    from evalsuite.reporting import console

    return {
        "tasks": [asdict(change) for change in changes],
        "runs": [
            {
                "run": str(one.path),
                "system": one.system,
                **one.totals,
                "tasks": [asdict(task) for task in one.tasks],
                "settled": one.settled,
                "regraded": console.as_json(outcome.path, outcome.manifest, outcome.summary) if outcome else None,
            }
            for one, outcome in zip(found, outcomes, strict=True)
        ],
    }


def _tasks(changes: Sequence[TaskChange]) -> Iterator[str]:
    """A line on each task that is not the same, what differs in it below, and how many there are."""
    for change in changes:
        if change.status != "same":
            yield f"{change.id}: {change.status}, {_versions(change)}"
            yield from (f"  {line}" for line in _parts(change))
    for change in changes:
        for fault in change.faults:
            yield f"fault: {change.id}: {fault}"
    counts = {status: sum(change.status == status for change in changes) for status in STATUSES}
    yield "tasks: " + ", ".join(f"{count} {status}" for status, count in counts.items())


def _versions(change: TaskChange) -> str:
    sides = [f"{side.version} ({side.sha256[:HEX]})" for side in (change.a, change.b) if side]
    return " -> ".join(dict.fromkeys(sides))


def _parts(change: TaskChange) -> Iterator[str]:
    if named := [name for name in change.what if name not in ("documents", "criteria", "reference", "corrupted")]:
        yield f"other {', '.join(named)}"
    for name in ("documents", "reference", "corrupted"):
        yield from _files(name, getattr(change, name))
    for criterion in change.criteria:
        was = f" (was {criterion.was})" if criterion.was else ""
        told = ", ".join(WORDS.get(what, f"other {what}") for what in criterion.what)
        yield f"{criterion.id}{was}: {told}: {criterion.title}"
    if change.status == "changed":
        yield f"stored results: {_follows(change)}"


def _files(name: str, files: FileChanges) -> Iterator[str]:
    for kind, names in asdict(files).items():
        if names:
            yield f"{name} {kind}: {listed(names, SHOWN)}"


def _follows(change: TaskChange) -> str:
    if change.rerun:
        return f"trials are to be run again: agents are given other {', '.join(change.rerun)}"
    if not change.again:
        return "all stay valid"
    left = change.n_criteria - len(change.again)
    return f"{left:,} of {change.n_criteria:,} verdicts valid, to be graded again: {listed(change.again, SHOWN)}"


def _runs(found: Sequence[RunStanding]) -> Iterator[str]:
    for one in found:
        totals = one.totals
        yield (
            f"{one.path} ({one.system}): verdicts: {totals['valid']:,} valid, {totals['again']:,} to be graded again; "
            f"trials to be run again: {totals['rerun']:,}"
        )
        for task in one.tasks:
            if task.again:
                yield f"  {task.task}: to be graded again: {listed(list(task.again), SHOWN)}"
            if task.rerun:
                yield f"  {task.task}: to be run again: trial {listed(list(map(str, task.rerun)), SHOWN)}: {task.why}"
            elif task.lost:
                yield f"  {task.task}: {task.why}"
        if one.settled:
            yield f"  nothing to grade again: {one.settled}"

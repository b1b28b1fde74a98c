"""evalsuite lab audit: what a rubric is worth."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalsuite.cli.common import ERRORS, OK, Cache, Debug, Fresh, Json, Out, print_findings, print_json, progress
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
    Tasks,
    Votes,
    common,
    grading,
)

if TYPE_CHECKING:
    from evalsuite.lab.audit import Audit, TaskAudit

MARKS = {True: "pass", False: "-", None: "?"}


def audit(
    tasks: Tasks,
    most: Annotated[
        float,
        typer.Option(
            "--most",
            metavar="SHARE",
            help="Who does not do the work must stay under this share of each task's criteria.",
        ),
    ] = 0.2,
    judge: Judges = None,
    judging: Judging = "full",
    votes: Votes = 1,
    aggregation: Aggregation = "strict",
    concurrency: Concurrency = 4,
    select: Select = None,
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
    """Try a rubric: the reference must pass it, each corrupted twin fail its own criterion, and agents that do no work pass little.

    The agents' runs are ordinary run folders. Without a judge, criteria without a check are not judged. Exit 3 on errors.

    Example: evalsuite lab audit tasks/corporate-ma/change-of-control-review
    """
    from evalsuite.lab.audit import audit as audit_tasks

    with progress():
        found = audit_tasks(
            tasks,
            select=select,
            most=most,
            **grading(judge, judging, votes, aggregation, base_url, judge_temperature, max_output_tokens),
            **common(strict_names, max_cost, price, concurrency, out, cache, fresh),
        )
    if as_json:
        runs = {agent: str(path) for agent, path in found.runs.items()}
        print_json({"tasks": [task.as_json() for task in found.tasks], "most": found.most, "runs": runs})
    else:
        _print(found)
    return ERRORS if any(finding.severity == "error" for finding in found.findings) else OK


def _print(found: Audit) -> None:
    """Every criterion, then a line a task, then what is wrong; where the runs lie on stderr."""
    from rich.console import Console

    screen = Console(width=None if sys.stdout.isatty() else 160, emoji=False, markup=False)
    for task in found.tasks:
        screen.print(_criteria(task, list(found.runs)))
    screen.print(_totals(found))
    print_findings(found.findings)
    for path in found.runs.values():
        typer.echo(f"run folder: {path}", err=True)


def _table(title: str, left: tuple[str, ...], columns: list[str]) -> Any:
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for column in left:
        table.add_column(column, overflow="fold")
    for column in columns:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _criteria(task: TaskAudit, agents: list[str]) -> Any:
    table = _table(f"{task.task.id}: what each agent passes", ("criterion", "title"), [*agents, "twin"])
    for criterion in task.task.criteria:
        marks = [MARKS[task.verdict(agent, criterion.id)] for agent in agents]
        twin = task.twins.get(criterion.id)
        table.add_row(
            criterion.id, criterion.title, *marks, "exact" if twin == "exact" else "WRONG" if twin else "none"
        )
    return table


def _totals(found: Audit) -> Any:
    agents = list(found.runs)
    table = _table("criteria passed, of those judged", ("task",), [*agents, "exact twins"])
    for task in found.tasks:
        reached = [task.reached(agent) if agent in task.results else None for agent in agents]
        cells = [f"{one['passed']}/{one['judged']}" if one else "none" for one in reached]
        exact = list(task.twins.values()).count("exact")
        table.add_row(task.task.id, *cells, f"{exact}/{len(task.twins)}" if task.twins else "none")
    return table

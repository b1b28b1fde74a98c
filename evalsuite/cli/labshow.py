"""What the commands of `evalsuite lab` print for people."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from evalsuite.cli.common import ERRORS, OK, print_ending, print_json

if TYPE_CHECKING:
    from evalsuite.lab.evaluate import Outcome, Plan


def catalogue(found: dict[str, list[dict[str, str]]]) -> None:
    """What can be named in a run: a line each."""
    for kind, entries in found.items():
        typer.echo(kind)
        for entry in entries:
            typer.echo(f"  {entry['name']:<16} {entry['about']}")
    typer.echo("agents besides these: module:callable, a function or class that works an assignment")


def table(rows: list[dict[str, Any]]) -> None:
    """Tasks, a row each."""
    from rich.console import Console
    from rich.table import Table

    found = Table()
    for column in ("task", "title", "criteria", "checks", "documents", "deliverables"):
        found.add_column(
            column, overflow="fold", justify="right" if column in ("criteria", "checks", "documents") else "left"
        )
    for row in rows:
        cells = (row["id"], row["title"], row["n_criteria"], row["n_checks"], row["n_documents"])
        found.add_row(*map(str, cells), ", ".join(row["deliverables"]))
    Console(width=None if sys.stdout.isatty() else 160, emoji=False, markup=False).print(found)


def task(described: dict[str, Any]) -> None:
    """One task in full."""
    for key, value in described.items():
        if key == "criteria":
            continue
        shown = ", ".join(map(str, value)) if isinstance(value, (list, dict)) else value
        if shown not in (None, ""):
            typer.echo(f"{key}: {shown}")
    for criterion in described["criteria"]:
        marks = [f"check: {', '.join(criterion['check'])}" if criterion["check"] else "judge"]
        marks += ["critical"] if criterion["critical"] else []
        marks += [f"contested: {criterion['contested']}"] if criterion["contested"] else []
        typer.echo(f"\n{criterion['id']}  {criterion['title']}  [{'; '.join(marks)}]\n  {criterion['match_criteria']}")


def plans(found: list[Plan], as_json: bool) -> int:
    """What a run would do, per system."""
    if as_json:
        print_json({"dry_run": True, "runs": [{**asdict(plan), "run": str(plan.run)} for plan in found]})
        return OK
    for plan in found:
        judged = plan.criteria - plan.verdicts_done - plan.by_check
        cost = "cost unknown (give --price)" if plan.judge_cost is None else f"{plan.judge_cost:.2f} USD"
        typer.echo(f"{plan.run}: {plan.system}")
        typer.echo(f"  trials: {plan.trials} over {plan.tasks} tasks, {plan.trials_done} of them done")
        typer.echo(
            f"  verdicts: {plan.criteria}, {plan.verdicts_done} done, {plan.by_check} by check, {judged} by judges"
        )
        if plan.judge_calls:
            typer.echo(
                f"  judges: {plan.judge_calls} calls, about {plan.judge_tokens:,} input tokens, {cost} (estimated)"
            )
        elif judged:
            typer.echo(f"  judges: none is named; {judged} verdicts will be errors (--judge MODEL)")
        typer.echo("  limits: " + ", ".join(f"{key} {value:,.10g}" for key, value in plan.agent_limit.items()))
    return OK


def outcomes(found: list[Outcome], as_json: bool, report: Path | None) -> int:
    """Numbers on stdout; notes, errors and where the run folders lie on stderr. The page comes first: it may fail."""
    from rich.console import Console

    from evalsuite.reporting import console

    if report is not None:
        from evalsuite.reporting.page import build

        build([outcome.path for outcome in found], report)
    rows = [(outcome.path, outcome.manifest, outcome.summary) for outcome in found]
    if as_json:
        entries = [console.as_json(*row) for row in rows]
        print_json(entries[0] if len(entries) == 1 else entries)
    else:
        screen = Console(width=None if sys.stdout.isatty() else 160, emoji=False, markup=False)
        for table in console.tables(rows):
            screen.print(table)
    aside = Console(stderr=True, soft_wrap=True, highlight=False, emoji=False)
    for outcome in found:
        name = outcome.manifest.system["name"]
        for note in outcome.manifest.notes:
            aside.print(f"note: {name}: {note}", markup=False)
        print_ending(aside, name, outcome.manifest.error, outcome.reused)
        aside.print(f"run folder: {outcome.path}", markup=False)
    if report is not None:
        aside.print(f"report: {report}", markup=False)
    return OK if all(outcome.complete for outcome in found) else ERRORS

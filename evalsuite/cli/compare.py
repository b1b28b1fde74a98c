"""evalsuite compare: what changed from one run to another."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalsuite.cli.common import BAD_INPUT, ERRORS, OK, Debug, Json, print_json, visible

if TYPE_CHECKING:
    from rich.table import Table

    from evalsuite.reporting.compare import Comparison, CriterionChange, QueryChange
    from evalsuite.reporting.paired import Difference
    from evalsuite.reporting.sections import Section

TOLD = {1: "B is higher", -1: "B is lower", 0: "no difference can be told"}
TEXT = 100


def compare(
    a: Annotated[Path, typer.Argument(metavar="A", help="Run folder of the old run.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Run folder of the new run.")],
    anyway: Annotated[
        bool,
        typer.Option("--anyway", help="Show runs that cannot be compared too: each by itself, without differences."),
    ] = False,
    limit: Annotated[int, typer.Option(min=0, metavar="N", help="Rows shown of each list.")] = 20,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Show what changed from run A to run B: every measure with the paired difference B - A, its interval and p-value, and what was
    lost and gained.

    Runs of different data, protocol or number of trials are refused with the reasons, and exit code 2. Exit 3: something is ungraded.

    Example: evalsuite compare reports/clauses-mini-gold-bm25-1a2b3c4d reports/clauses-mini-gold-dense-5e6f7a8b
    """
    from evalsuite.reporting.compare import compare_sections
    from evalsuite.reporting.sections import read_section

    sections = read_section(a), read_section(b)
    comparison = compare_sections(*sections)
    if not comparison.comparable:
        return _refused(comparison, sections, anyway, as_json)
    if as_json:
        print_json(_plain(comparison))
    else:
        _print(comparison, limit)
    return ERRORS if comparison.withheld or comparison.errors else OK


def _plain(comparison: Comparison) -> Any:
    return json.loads(comparison.model_dump_json())


def _refused(comparison: Comparison, sections: Sequence[Section], anyway: bool, as_json: bool) -> int:
    from evalsuite.reporting import console

    rows = [(section.folder, section.manifest, section.summary) for section in sections] if anyway else []
    if as_json:
        print_json(_plain(comparison) | ({"runs": [console.as_json(*row) for row in rows]} if anyway else {}))
    typer.echo(f"{'warning' if anyway else 'error'}: these runs cannot be compared", err=True)
    for reason in comparison.why:
        typer.echo(f"  {visible(reason)}", err=True)
    if not anyway:
        typer.echo("--anyway shows each by itself, without a difference", err=True)
        return BAD_INPUT
    if not as_json:
        screen = _screen()
        for name, row in zip("AB", rows, strict=True):
            screen.print(f"{name}: {visible(str(row[0]))}")
            for table in console.tables([row]):
                screen.print(table)
    complete = all(summary is not None and _headline(summary) for _, _, summary in rows)
    return OK if complete else ERRORS


def _headline(summary: Any) -> bool:
    return summary.kind == "retrieval" or summary.all_pass.rate is not None


def _screen() -> Any:
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 160, emoji=False, markup=False, highlight=False)


def _print(comparison: Comparison, limit: int) -> None:
    """Errors first, then differences, then what was lost, then what was gained."""
    for name in ("a", "b"):
        for problem in comparison.problems.get(name, []):
            typer.echo(f"error: {name.upper()}: {visible(problem)}", err=True)
        for note in getattr(comparison, name).notes:
            typer.echo(f"note: {name.upper()}: {visible(note)}", err=True)
    screen = _screen()
    for name, role in (("a", "old"), ("b", "new")):
        side = getattr(comparison, name)
        status = "" if side.status == "complete" else f" · {side.status}"
        screen.print(f"{name.upper()} ({role}): {visible(side.system)} · {visible(side.run)}{status}", soft_wrap=True)
    screen.print(f"{visible(comparison.suite)} · protocol {visible(comparison.protocol)}", soft_wrap=True)
    for line in _changed(comparison):
        screen.print(line, soft_wrap=True)
    if comparison.errors:
        screen.print(_criteria("ungraded, counted neither as passed nor as failed", comparison.errors, limit))
    for table in _differences(comparison):
        screen.print(table)
    if comparison.kind == "lab":
        for title, changes in (
            ("newly failed (passed in every trial of A, in none of B)", comparison.newly_failed),
            ("newly passed (in every trial of B, in none of A)", comparison.newly_passed),
            ("flipped in some trials", comparison.flipped),
        ):
            screen.print(_criteria(title, changes, limit) if changes else f"{title}: 0")
        return
    screen.print(
        visible(
            f"queries by {comparison.headline}: {len(comparison.lost):,} lost, {len(comparison.gained):,} gained, "
            f"{comparison.unchanged:,} unchanged"
        )
    )
    for title, queries in (("most lost", comparison.lost), ("most gained", comparison.gained)):
        if queries:
            screen.print(_queries(f"{title}, by {comparison.headline}", queries, limit))
    for name, ids in comparison.returned_nothing.items():
        if ids:
            more = f" and {len(ids) - limit:,} more" if len(ids) > limit else ""
            screen.print(f"{name.upper()} returned nothing for {len(ids):,}: {visible(', '.join(ids[:limit]))}{more}")


def _changed(comparison: Comparison) -> Iterable[str]:
    environment = [key.partition(".")[2] for key in comparison.changed if key.startswith("environment.")]
    for key, (old, new) in comparison.changed.items():
        if not key.startswith("environment."):
            yield visible(f"{key.partition('.')[2]}: {_setting(old)} -> {_setting(new)}")
    if environment:
        yield visible(f"environment: {', '.join(environment)} differ (--json shows how)")


def _setting(value: Any) -> str:
    text = "not set" if value is None else str(value)
    return text if len(text) <= TEXT else f"{text[:TEXT]}…"


def _differences(comparison: Comparison) -> Iterable[Table]:
    unit = "task" if comparison.kind == "lab" else "query"
    blocks = dict(comparison.by_mechanism) if len(comparison.by_mechanism) > 1 else {}
    blocks[f"all {'tasks' if unit == 'task' else 'queries'}"] = comparison.differences
    for number, (name, differences) in enumerate(blocks.items(), start=1):
        some = next(iter(differences.values()))
        groups = f" in {some.n_groups:,} groups" if some.n_groups != some.n else ""
        table = _table(f"{name}: n = {some.n:,}{groups}")
        table.add_column("measure", overflow="fold")
        for column in ("A", "B", "B - A [95 % interval]", "p", "p corrected"):
            table.add_column(column, justify="right", no_wrap=True)
        table.add_column("")
        for measure, difference in differences.items():
            table.add_row(visible(measure), *_numbers(difference), _told(difference, unit))
        if number == len(blocks):
            table.caption = "p: paired randomisation test; corrected by Holm over the measures of one table"
        yield table


def _numbers(difference: Difference) -> list[str]:
    cells = ["-" if value is None else f"{value:.3f}" for value in (difference.a, difference.b)]
    between = "-" if difference.mean is None else f"{difference.mean:+.3f}"
    if difference.low is not None and difference.high is not None:
        between += f" [{difference.low:+.3f}, {difference.high:+.3f}]"
    return [*cells, between, *("-" if p is None else f"{p:.4f}" for p in (difference.p, difference.p_corrected))]


def _told(difference: Difference, unit: str) -> str:
    if difference.ungraded:
        return f"withheld: {difference.ungraded} of {difference.n} ungraded"
    if difference.n_groups < 2:
        return "too few groups to tell" if unit == "query" else "too few tasks to tell"
    if difference.low is None and not difference.told:
        return f"the same {'in' if unit == 'task' else 'for'} every {unit}"
    return TOLD[difference.told]


def _criteria(title: str, changes: list[CriterionChange], limit: int) -> Table:
    table = _table(f"{title}: {len(changes):,}", len(changes), limit)
    for column in ("task", "criterion", "title"):
        table.add_column(column, overflow="fold")
    for column in ("A", "B"):
        table.add_column(column, justify="right", no_wrap=True)
    marked = any(change.critical or change.contested for change in changes[:limit])
    if marked:
        table.add_column("note", overflow="fold")
    for change in changes[:limit]:
        marks = ["critical"] if change.critical else []
        marks += [f"contested: {change.contested}"] if change.contested else []
        verdicts = [_verdict(value, change.trials) for value in (change.a, change.b)]
        cells = [change.task, change.criterion, change.title, *verdicts, *(["; ".join(marks)] if marked else [])]
        table.add_row(*map(visible, cells))
    return table


def _verdict(value: str | float, trials: int) -> str:
    from evalsuite.reporting.words import VERDICTS

    return VERDICTS[value] if isinstance(value, str) else f"{round(value * trials)}/{trials} pass"


def _queries(title: str, changes: list[QueryChange], limit: int) -> Table:
    table = _table(title, len(changes), limit)
    table.add_column("query", overflow="fold")
    for column in ("A", "B", "B - A"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("text", overflow="fold", ratio=1)
    for change in changes[:limit]:
        text = " ".join((change.text or "").split())
        numbers = f"{change.a:.3f}", f"{change.b:.3f}", f"{change.difference:+.3f}"
        table.add_row(visible(change.query), *numbers, visible(text[:TEXT] + "…" * (len(text) > TEXT)))
    return table


def _table(title: str, n: int = 0, limit: int = 0) -> Table:
    from rich.table import Table
    from rich.text import Text

    caption = f"and {n - limit:,} more (--limit {n} shows all)" if n > limit else None
    return Table(title=Text(visible(title)), title_justify="left", caption=caption, caption_justify="left")

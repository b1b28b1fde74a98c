"""evalsuite review and serve: people's verdicts on the verdicts of lab runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalsuite.cli.common import ERRORS, OK, Debug, Json, print_json, visible

if TYPE_CHECKING:
    from rich.table import Table

AGREED = ("n", "raw", "kappa", "ac1")
COUNTS = ("passed", "failed", "errors")

review = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Take in what people say about verdicts; numbers with and without it; labels for calibrating judges.",
)

Runs = Annotated[list[Path], typer.Argument(metavar="RUN...", help="Run folders, or folders that hold some.")]


@review.command("import")
def take(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What the page exported.")],
    runs: Runs,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Add reviews to the runs they are about: to <run>/reviews.jsonl, which only grows. Results never change.

    All or none: with one that does not fit, nothing is taken in and all problems are listed. What is there already is
    only counted, so the same file may be taken in again.

    Example: evalsuite review import reviews.json reports
    """
    from evalsuite.reporting.review import import_reviews

    taken = import_reviews(file, runs)
    if as_json:
        print_json({"runs": [{"run": str(t.run), "added": t.added, "already_there": t.already_there} for t in taken]})
        return OK
    for one in taken:
        typer.echo(visible(f"{one.run}: {one.added} added, {one.already_there} already there"))
    if not taken:
        typer.echo(visible(f"{file}: no reviews"))
    return OK


@review.command()
def show(runs: Runs, as_json: Json = False, debug: Debug = False) -> int:
    """The numbers with and without reviews, and how far judges, checks and reviewers agree.

    Exit 3 while a run has no all-pass with its reviews: something is ungraded, disputed or undecided.
    """
    from evalsuite.reporting.agreement import report_of
    from evalsuite.reporting.sections import lab_sections

    reports = [report_of(section) for section in lab_sections(runs)]
    if as_json:
        print_json(reports)
    else:
        for report in reports:
            _print(report)
    return OK if all(report["with"]["all_pass"]["rate"] is not None for report in reports) else ERRORS


@review.command()
def export(
    runs: Runs,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", dir_okay=False, help="The JSON Lines file to write.")
    ] = Path("labels.jsonl"),
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Write what people decided as labels, one JSON object a line. What is disputed or undecided has none."""
    from evalsuite.reporting.labels import export_labels

    labels, left_out = export_labels(runs, output)
    if as_json:
        print_json({"labels": labels, "left_out": left_out, "output": str(output)})
    else:
        typer.echo(visible(f"{labels} labels -> {output}"))
    for why, number in left_out.items():
        typer.echo(f"left out: {number} {why}", err=True)
    return OK


def serve(
    runs: Runs,
    port: Annotated[int, typer.Option(min=0, max=65535, metavar="N", help="0 takes a free one.")] = 0,
    browser: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Serve the page on this machine: reviews made in it are kept in the run folders at once. Ctrl-C ends it.

    It listens on 127.0.0.1 only, and answers only to the printed address, whose token is new each time. --json prints
    one line, {"url", "runs"}, and then serves.
    """
    from evalsuite.reporting.serve import PageServer

    with PageServer(runs, port) as server:
        folders = [str(folder) for folder in server.folders()]
        typer.echo(json.dumps({"url": server.url, "runs": folders}) if as_json else server.url)
        sys.stdout.flush()
        try:
            if browser:
                import webbrowser

                webbrowser.open(server.url)
            server.serve_forever()
        except KeyboardInterrupt:
            with server.importing:  # what is being taken in is taken in whole
                typer.echo("stopped; the reviews are in the run folders", err=True)
    return OK


def _print(report: dict[str, Any]) -> None:
    from rich.console import Console

    numbers = [
        (name, report["without"][key], report["with"][key])
        for key, name in {"all_pass": "all-pass", "criterion_rate": "criteria", "critical_rate": "critical"}.items()
    ]
    numbers += [(key, *(report[side]["criteria"][key] for side in ("without", "with"))) for key in COUNTS]
    rated = [
        (one["rater"], *(one[key] for key in (*AGREED, "false_pass", "false_fail"))) for one in report["agreement"]
    ]
    paired = [(" and ".join(one["reviewers"]), *(one[key] for key in AGREED)) for one in report["between_reviewers"]]
    screen = Console(width=None if sys.stdout.isatty() else 160, emoji=False, markup=False)
    screen.print(_table(report["run"], ("", "without reviews", "with reviews"), numbers))
    columns = ("", "n", "agree", "kappa", "AC1", "false pass", "false fail")
    if rated:
        screen.print(_table("against what people decided", columns, rated))
    if paired:
        screen.print(_table("between reviewers", columns[:5], paired))
    for line in _lines(report):
        screen.print(visible(line), highlight=False)


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(visible(title)), title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, overflow="fold", justify="right" if number else "left")
    for row in rows:
        table.add_row(*(Text(visible(_cell(value))) for value in row))
    return table


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return _rate(value)
    return "-" if value is None else f"{value:.3f}" if isinstance(value, float) else str(value)


def _rate(value: dict[str, Any]) -> str:
    from evalsuite.records import Rate
    from evalsuite.reporting.words import rate

    return rate(Rate.model_validate(value))


def _lines(report: dict[str, Any]) -> list[str]:
    """What was reviewed, and what that means for the agreement."""
    by = report["by_verdict"]
    shares = ", ".join(f"{by[verdict]['reviewed']} of {by[verdict]['total']} {verdict}" for verdict in by)
    parts = [f"{report[f'n_{state}']} {state}" for state in ("confirmed", "overridden", "undecided", "disputed")]
    lines = [f"reviewed: {shares}; {', '.join(parts)}"]
    if report["n_outdated"]:
        lines.append(f"{report['n_outdated']} reviews are of verdicts that were graded again since, and do not count")
    for one in report["reviewers"]:
        lines.append(f"{one['reviewer']}: {one['n']} reviewed, {one['overridden']} overridden")
    for verdict in ("pass", "fail"):
        if by[verdict]["reviewed"]:
            lines.append(f"overturned of the reviewed {verdict}: {_rate(by[verdict]['overturned'])}")
    if 0 < report["n_reviewed"] < report["n_criteria"]:
        lines.append(
            "Not every verdict was reviewed: agreement, false pass and false fail are those of the reviewed ones, and say "
            "nothing about the rest where verdicts were picked because they failed or looked doubtful."
        )
    return lines

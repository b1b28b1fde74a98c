"""evalsuite retrieval: score first-stage retrievers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalsuite.cli.common import ERRORS, OK, Cache, Debug, Fresh, Json, Out, Page, print_ending, print_json, progress
from evalsuite.cli.corpuslint import lint
from evalsuite.cli.gap import gap
from evalsuite.cli.pool import pool
from evalsuite.cli.prove import prove
from evalsuite.cli.versions import versions

if TYPE_CHECKING:
    from evalsuite.retrieval.evaluate import Outcome

retrieval = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Score first-stage retrievers.")

View = Annotated[str | None, typer.Option(help="Judgements to score against: gold, pooled, or a BEIR split.")]
Measures = Annotated[str | None, typer.Option("--measures", "-m", help="Comma-separated, e.g. nDCG@10,R@100,AP.")]


@retrieval.command()
def run(
    corpora: Annotated[list[str], typer.Argument(help="Corpus folders, ir_datasets:ID, or hf:owner/name[/config].")],
    retriever: Annotated[
        list[str],
        typer.Option("--retriever", "-r", help="bm25, dense, hybrid:A+B, runfile:PATH, module:Class ... (repeat)."),
    ],
    view: View = None,
    depth: Annotated[int, typer.Option(help="Documents kept per query.")] = 1000,
    measures: Measures = None,
    out: Out = Path("reports"),
    cache: Cache = None,
    report: Page = None,
    fresh: Fresh = False,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Index, search and score: one run folder per corpus x retriever. Interrupted runs resume.

    Example: evalsuite retrieval run corpora/clauses-mini -r bm25 -r dense -r hybrid:bm25+dense
    """
    from evalsuite.retrieval.evaluate import evaluate

    sys.path.insert(0, str(Path.cwd()))  # so that module:Class finds what lies here
    with progress():
        outcomes = evaluate(
            corpora, retriever, view=view, depth=depth, measures=_measures(measures), out=out, cache=cache, fresh=fresh
        )
    return show(outcomes, as_json, report)


@retrieval.command()
def score(
    runfile: Annotated[str, typer.Argument(help="TREC, TSV or JSONL run file, also .gz.")],
    corpus: Annotated[str, typer.Option("--corpus", "-c", help="Corpus folder, ir_datasets:ID, or hf:owner/name.")],
    view: View = None,
    measures: Measures = None,
    out: Out = Path("reports"),
    report: Page = None,
    fresh: Fresh = False,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Score a run file as it is, uncut. Queries it lacks count as 0 and are reported.

    Example: evalsuite retrieval score my-run.trec.gz --corpus corpora/clauses-mini
    """
    from evalsuite.retrieval.evaluate import evaluate

    with progress():
        outcomes = evaluate(
            corpus, f"runfile:{runfile}", view=view, depth=None, measures=_measures(measures), out=out, fresh=fresh
        )
    return show(outcomes, as_json, report)


@retrieval.command("list")
def list_(as_json: Json = False, debug: Debug = False) -> int:
    """Show the retrievers with their settings, installed plug-ins, and the measures."""
    from evalsuite.retrieval.describe import catalogue

    found = catalogue()
    if as_json:
        print_json(found)
        return OK
    from rich.console import Console
    from rich.table import Table

    table = Table(title="retrievers", title_justify="left")
    for column in ("name", "role", "track", "settings (with defaults)", "what it is"):
        table.add_column(column)
    for entry in found["retrievers"]:
        lacking = entry["required"]
        settings = ", ".join(f"{key}={'...' if key in lacking else value}" for key, value in entry["settings"].items())
        table.add_row(entry["name"], entry["role"], entry["track"], settings, entry["about"])
    console = Console()
    console.print(table, markup=False)
    console.print("plug-ins: " + (", ".join(found["plugins"]) or "none installed"), markup=False)
    console.print("measures: " + ", ".join(found["measures"]), markup=False)
    console.print(f"written as {found['grammar']}", markup=False)
    return OK


def _measures(text: str | None) -> list[str]:
    from evalsuite.retrieval.measures import DEFAULT_MEASURES

    if text is None:
        return list(DEFAULT_MEASURES)
    return [name.strip() for name in text.split(",") if name.strip()]


def show(outcomes: list[Outcome], as_json: bool, report: Path | None) -> int:
    from rich.console import Console

    from evalsuite.reporting import console

    if report is not None:
        from evalsuite.reporting.page import build

        build([outcome.path for outcome in outcomes], report)
    rows = [(outcome.path, outcome.manifest, outcome.summary) for outcome in outcomes]
    if as_json:
        print_json([console.as_json(*row) for row in rows])
    else:
        screen = Console(width=None if sys.stdout.isatty() else 160, emoji=False, markup=False)
        for table in console.tables(rows):
            screen.print(table)
    aside = Console(stderr=True, soft_wrap=True, highlight=False, emoji=False)
    for name, settings in {o.manifest.system["name"]: o.manifest.system["settings"] for o in outcomes}.items():
        aside.print(f"system: {name}: " + ", ".join(f"{k}={v}" for k, v in settings.items()), markup=False)
    told: set[str] = set()
    for outcome in outcomes:
        name = f"{outcome.manifest.suite.name} / {outcome.manifest.system['name']}"
        for note in outcome.manifest.notes:
            shared = f"{outcome.manifest.suite.name}: {note}"
            if shared not in told:
                told.add(shared)
                aside.print(f"note: {shared}", markup=False)
        if outcome.summary is not None and outcome.summary.missing_queries:
            missing = outcome.summary.missing_queries
            aside.print(f"note: {name}: {_some(missing)} got no document and count as 0", markup=False)
        for key, value in outcome.manifest.system.get("facts", {}).items():
            if key.endswith("_of_exact"):
                aside.print(
                    f"note: {name}: approximate index, {key.replace('_', ' ')} search: {value:.4f}", markup=False
                )
        print_ending(aside, name, outcome.manifest.error, outcome.reused)
    for outcome in outcomes:
        aside.print(f"run folder: {outcome.path}", markup=False)
    if report is not None:
        aside.print(f"report: {report}", markup=False)
    return ERRORS if any(outcome.summary is None for outcome in outcomes) else OK


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return f"{len(names)} queries ({shown})" if len(names) != 1 else f"query {shown}"


retrieval.command("pool")(pool)
retrieval.command("prove")(prove)
retrieval.command("lint")(lint)
retrieval.command("gap")(gap)
retrieval.command("versions")(versions)

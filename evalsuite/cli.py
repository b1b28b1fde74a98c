"""The command line: parses arguments, calls one function, prints."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalsuite.errors import EvalsuiteError, UsageError

if TYPE_CHECKING:
    from evalsuite.retrieval.evaluate import Outcome

OK, FAILED, BAD_INPUT, ERRORS, INTERRUPTED = 0, 1, 2, 3, 130

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Evaluate retrievers on latent relevance and legal agents against rubrics.",
    epilog="Exit codes: 0 ok, 2 usage or bad input, 3 errors among the results, 130 interrupted.",
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"evalsuite {version('evalsuite')}")
        raise typer.Exit


@app.callback()
def top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Evaluate retrievers on latent relevance and legal agents against rubrics."""


retrieval = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Score first-stage retrievers.")
app.add_typer(retrieval, name="retrieval")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout; everything else on stderr.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
View = Annotated[str | None, typer.Option(help="Judgements to score against: gold, pooled, or a BEIR split.")]
Measures = Annotated[str | None, typer.Option("--measures", "-m", help="Comma-separated, e.g. nDCG@10,R@100,AP.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for the run folders.")]
Page = Annotated[Path | None, typer.Option("--report", help="Also write an HTML page about these runs.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Run again even if a finished or interrupted run is there.")]


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
    cache: Annotated[
        Path | None, typer.Option(help="Cache folder [default: $EVALSUITE_CACHE, ~/.cache/evalsuite].")
    ] = None,
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
    with _progress():
        outcomes = evaluate(
            corpora, retriever, view=view, depth=depth, measures=_measures(measures), out=out, cache=cache, fresh=fresh
        )
    return _show(outcomes, as_json, report)


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

    with _progress():
        outcomes = evaluate(
            corpus, f"runfile:{runfile}", view=view, depth=None, measures=_measures(measures), out=out, fresh=fresh
        )
    return _show(outcomes, as_json, report)


@retrieval.command("list")
def list_(as_json: Json = False, debug: Debug = False) -> int:
    """Show the retrievers with their settings, installed plug-ins, and the measures."""
    from evalsuite.retrieval.describe import catalogue

    found = catalogue()
    if as_json:
        _print_json(found)
        return OK
    from rich.console import Console
    from rich.table import Table

    table = Table(title="retrievers", title_justify="left")
    for column in ("name", "settings (with defaults)", "what it is"):
        table.add_column(column)
    for entry in found["retrievers"]:
        settings = ", ".join(f"{key}={value}" for key, value in entry["settings"].items())
        table.add_row(entry["name"], settings, entry["about"])
    console = Console()
    console.print(table, markup=False)
    console.print("plug-ins: " + (", ".join(found["plugins"]) or "none installed"), markup=False)
    console.print("measures: " + ", ".join(found["measures"]), markup=False)
    console.print(f"written as {found['grammar']}", markup=False)
    return OK


@app.command()
def verify(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")],
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Derive a run's numbers again from its results, and check every stored hash. Exit 3 on any mismatch."""
    from evalsuite.summary import verify as verify_run

    report = verify_run(run_folder)
    if as_json:
        _print_json(report)
    else:
        for mismatch in report["mismatches"]:
            typer.echo(f"{mismatch['what']}: stored {mismatch['stored']}, derived {mismatch['derived']}")
        typer.echo(f"{run_folder}: {'ok' if report['ok'] else 'MISMATCH'}, {report['checked']} values checked")
    return OK if report["ok"] else ERRORS


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, or folders that hold some.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The HTML file to write.")] = Path("report.html"),
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Write one self-contained HTML page about any number of runs."""
    from evalsuite.reporting.page import build

    page = build(runs, output)
    if as_json:
        _print_json({"page": str(page.path), "runs": page.n_runs, "errors": page.n_failed})
    else:
        typer.echo(f"{page.n_runs} runs -> {page.path}")
    return ERRORS if page.n_failed else OK


def _measures(text: str | None) -> list[str]:
    from evalsuite.retrieval.measures import DEFAULT_MEASURES

    if text is None:
        return list(DEFAULT_MEASURES)
    return [name.strip() for name in text.split(",") if name.strip()]


def _show(outcomes: list[Outcome], as_json: bool, report: Path | None) -> int:
    from rich.console import Console

    from evalsuite.reporting import console

    rows = [(outcome.path, outcome.manifest, outcome.summary) for outcome in outcomes]
    if as_json:
        _print_json([console.as_json(*row) for row in rows])
    else:
        screen = Console(width=None if sys.stdout.isatty() else 160, emoji=False)
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
        if outcome.manifest.error:
            aside.print(f"error: {name}: {outcome.manifest.error}", markup=False)
        if outcome.reused:
            aside.print(
                f"note: {name}: this run was finished before; its results are shown (--fresh runs it again)",
                markup=False,
            )
    for outcome in outcomes:
        aside.print(f"run folder: {outcome.path}", markup=False)
    if report is not None:
        from evalsuite.reporting.page import build

        build([outcome.path for outcome in outcomes], report)
        aside.print(f"report: {report}", markup=False)
    return ERRORS if any(outcome.summary is None for outcome in outcomes) else OK


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return f"{len(names)} queries ({shown})" if len(names) != 1 else f"query {shown}"


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


@contextmanager
def _progress() -> Iterator[None]:
    """Progress bars for all work inside the block, on stderr where that is a terminal."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from evalsuite.progress import reporting_to

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:

        def start(what: str, total: int | None) -> tuple[Callable[[int], None], Callable[[], None]]:
            task = bars.add_task(what, total=total)
            return (lambda n: bars.advance(task, n)), (lambda: bars.remove_task(task))

        with reporting_to(start):
            yield


def _fail(error: BaseException, kind: str, where: str, code: int) -> int:
    message = " ".join((getattr(error, "message", None) or str(error)).split())
    if "--json" in sys.argv:
        _print_json({"error": {"kind": kind, "message": message, "where": where}})
    else:
        typer.echo(f"error: {where}: {message}" if where else f"error: {message}", err=True)
    return code


def main() -> None:
    """Entry point: turns every error into one line and an exit code; --debug shows the traceback."""
    try:
        code = app(standalone_mode=False) or OK
        if code == INTERRUPTED:  # typer's answer to Ctrl-C
            _fail(
                KeyboardInterrupt("interrupted; run the same command again to go on from here"), "interrupted", "", code
            )
    except EvalsuiteError as error:
        if "--debug" in sys.argv:
            raise
        code = _fail(error, error.kind, error.where, BAD_INPUT)
    except typer.TyperException as error:
        message = error.format_message()
        if message.startswith("Usage:"):  # a group without a command shows its help
            typer.echo(message, err=True)
            code = BAD_INPUT
        else:
            code = _fail(UsageError(message), UsageError.kind, "", BAD_INPUT)
    except BrokenPipeError:
        sys.stderr.close()
        code = FAILED
    except OSError as error:
        if "--debug" in sys.argv:
            raise
        code = _fail(UsageError(error.strerror or str(error)), "file_system", str(error.filename or ""), BAD_INPUT)
    except Exception as error:
        if "--debug" in sys.argv:
            raise
        code = _fail(error, "internal", "", FAILED)
        typer.echo("this is a fault of evalsuite; --debug shows where", err=True)
    sys.exit(code)

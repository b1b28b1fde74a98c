"""The command line: parses arguments, calls one function, prints."""

from __future__ import annotations

import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from evalsuite.cli.common import BAD_INPUT, ERRORS, FAILED, INTERRUPTED, OK, Debug, Json, fail, print_json, visible
from evalsuite.cli.compare import compare
from evalsuite.cli.lab import lab
from evalsuite.cli.leaderboard import leaderboard
from evalsuite.cli.retrieval import retrieval
from evalsuite.cli.review import review, serve
from evalsuite.cli.submit import submit
from evalsuite.errors import EvalsuiteError, UsageError

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


app.add_typer(retrieval, name="retrieval")
app.add_typer(lab, name="lab")
app.add_typer(submit, name="submit")
app.command()(compare)
app.add_typer(review, name="review")
app.command()(serve)
app.command()(leaderboard)


@app.command()
def verify(
    run_folder: Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, or a sealed bundle.")],
    corpus: Annotated[
        str | None,
        typer.Option("--corpus", "-c", help="Of a bundle: where its corpus is [default: as submission.yaml says]."),
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Derive a run's numbers again from its results, and check every stored hash. Exit 3 on any mismatch.

    Those of a sealed bundle are derived from its run file and the corpus.
    """
    from evalsuite.retrieval.bundles import is_bundle
    from evalsuite.summary import verify as verify_run

    if is_bundle(run_folder):
        from evalsuite.retrieval.seals import verify as verify_bundle

        report = verify_bundle(run_folder, corpus=corpus)
    elif corpus is not None:
        raise UsageError("--corpus belongs to a bundle; a run folder is checked against itself")
    else:
        report = verify_run(run_folder)
    if as_json:
        print_json(report)
    else:
        for mismatch in report["mismatches"]:
            told = f"{mismatch['what']}: stored {mismatch['stored']}, derived {mismatch['derived']}"
            typer.echo(visible(told))
        typer.echo(f"{run_folder}: {'ok' if report['ok'] else 'MISMATCH'}, {report['checked']} values checked")
    return OK if report["ok"] else ERRORS


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, or folders that hold some.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", dir_okay=False, help="The HTML file to write.")
    ] = Path("report.html"),
    limit: Annotated[
        float, typer.Option("--limit", metavar="MB", min=0.01, help="Leave out texts beyond this size of the page.")
    ] = 25,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Write one self-contained HTML page about any number of runs."""
    from evalsuite.reporting.page import build

    page = build(runs, output, limit=int(limit * 1e6))
    if as_json:
        print_json({"page": str(page.path), "runs": page.n_runs, "errors": page.n_failed})
    else:
        typer.echo(f"{page.n_runs} runs -> {page.path}")
    return ERRORS if page.n_failed else OK


def main() -> None:
    """Entry point: turns every error into one line and an exit code; --debug shows the traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # what a terminal's encoding cannot say is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(standalone_mode=False) or OK
        if code == INTERRUPTED:  # typer's answer to Ctrl-C
            fail(
                KeyboardInterrupt("interrupted; run the same command again to go on from here"), "interrupted", "", code
            )
    except EvalsuiteError as error:
        if "--debug" in sys.argv:
            raise
        code = fail(error, error.kind, error.where, BAD_INPUT)
    except typer.TyperException as error:
        message = error.format_message()
        if message.startswith("Usage:"):  # a group without a command shows its help
            typer.echo(message, err=True)
            code = BAD_INPUT
        else:
            code = fail(UsageError(message), UsageError.kind, "", BAD_INPUT)
    except BrokenPipeError:
        sys.stderr.close()
        code = FAILED
    except OSError as error:
        if "--debug" in sys.argv:
            raise
        told = error.strerror or str(error)
        told = told if error.filename else f"a file could not be read or written: {told}"
        code = fail(UsageError(told), "file_system", str(error.filename or ""), BAD_INPUT)
    except Exception as error:
        if "--debug" in sys.argv:
            raise
        code = fail(error, "internal", "", FAILED)
        typer.echo("this is a fault of evalsuite; --debug shows where", err=True)
    sys.exit(code)

"""What all commands share: options, progress bars, JSON on stdout, errors in one line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

OK, FAILED, BAD_INPUT, ERRORS, INTERRUPTED = 0, 1, 2, 3, 130

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout; everything else on stderr.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Folder for the run folders.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Run again even if a finished or interrupted run is there.")]
Cache = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Cache folder [default: $EVALSUITE_CACHE, ~/.cache/evalsuite]."),
]
Page = Annotated[
    Path | None,
    typer.Option("--report", metavar="FILE", dir_okay=False, help="Also write an HTML page about these runs."),
]


def print_json(value: Any) -> None:
    plain = not (sys.stdout.encoding or "").lower().startswith("utf")
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=plain, allow_nan=False) + "\n")


def visible(text: str) -> str:
    """Text from a file, with control characters and orders of writing direction as escapes."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def print_findings(findings: Sequence[Any], *also: str) -> None:
    """What a linter says, a line each, then lines of its own, then how many there are of either severity."""
    for finding in findings:
        typer.echo(visible(f"{finding.severity}: {finding.where}: {finding.message} [{finding.rule}]"))
    for line in also:
        typer.echo(line)
    errors = sum(finding.severity == "error" for finding in findings)
    typer.echo(f"{errors} errors, {len(findings) - errors} warnings")


def print_ending(aside: Console, name: str, error: str | None, reused: bool) -> None:
    """What went wrong in a run, and that it is shown again instead of repeated."""
    if error:
        aside.print(f"error: {name}: {error}", markup=False)
    if reused:
        again = "this run was finished before; its results are shown (--fresh runs it again)"
        aside.print(f"note: {name}: {again}", markup=False)


@contextmanager
def progress() -> Iterator[None]:
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


def fail(error: BaseException, kind: str, where: str, code: int) -> int:
    message = " ".join((getattr(error, "message", None) or str(error)).split())
    if "--json" in sys.argv:
        print_json({"error": {"kind": kind, "message": message, "where": where}})
    else:
        typer.echo(visible(f"error: {where}: {message}" if where else f"error: {message}"), err=True)
    return code

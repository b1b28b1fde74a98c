"""evalsuite leaderboard: who stands where, and which systems do not differ."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from evalsuite.cli.common import ERRORS, OK, Debug, Json, print_json

WIDTH = 160  # of what is no terminal


def leaderboard(
    runs: Annotated[
        list[Path], typer.Argument(help="Run folders, sealed bundles, or folders that hold some at any depth.")
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", dir_okay=False, help="The HTML file to write.")
    ] = Path("leaderboard.html"),
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Rank systems per corpus, mechanism and track, or task set, with letters for those that do not differ.

    Exit 3 if a run has no result, or is not what its hashes say.

    Example: evalsuite leaderboard reports -o leaderboard.html
    """
    from evalsuite.reporting import leaderboard as board
    from evalsuite.reporting.charts import visible
    from evalsuite.reporting.words import count

    found = board.build(runs, output)
    if as_json:
        print_json({"page": str(output), **board.as_json(found)})
    else:
        from rich.console import Console

        console = Console(width=None if sys.stdout.isatty() else WIDTH)
        for name, why in found.problems:
            console.print(f"! {visible(name)}: {visible(why)}", markup=False, style="red")
        for table in board.tables(found):
            console.print(table)
        console.print(
            f"{count(found.n_runs, 'run')}, {found.n_sealed} sealed -> {output}", markup=False, highlight=False
        )
    return ERRORS if found.problems else OK

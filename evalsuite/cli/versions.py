"""evalsuite retrieval versions: what a revision of a corpus does to scores and ranks."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalsuite.cli.common import ERRORS, OK, Cache, Debug, Fresh, Json, Out, print_json, progress, visible

if TYPE_CHECKING:
    from rich.table import Table

    from evalsuite.records import Interval
    from evalsuite.retrieval.revision import Changes
    from evalsuite.retrieval.versions import Shift, Side, Versions

KINDS = ("same", "renamed", "changed", "removed", "added")


def versions(
    a: Annotated[str, typer.Argument(metavar="A", help="Old corpus: a folder, ir_datasets:ID, or hf:owner/name.")],
    b: Annotated[str, typer.Argument(metavar="B", help="New corpus; may be A again, with another --view-b.")],
    retriever: Annotated[
        list[str], typer.Option("--retriever", "-r", help="As in retrieval run; repeat, at least 3 for ranks.")
    ],
    view_a: Annotated[str | None, typer.Option(help="Judgements of A: gold, pooled, or a BEIR split.")] = None,
    view_b: Annotated[str | None, typer.Option(help="Judgements of B.")] = None,
    measure: Annotated[str, typer.Option("--measure", "-m", help="The measure to compare by.")] = "nDCG@10",
    depth: Annotated[int, typer.Option(help="Documents kept per query.")] = 1000,
    out: Out = Path("reports"),
    cache: Cache = None,
    fresh: Fresh = False,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Say what a corpus revision, another view or another size does to scores and to ranks: what changed from A to B, each system's
    score on both, the paired difference B - A on the queries that both have, and Kendall's tau of the systems' order.

    Runs every retriever on both, or uses its finished runs again. Exit 3: a retriever failed.

    Example: evalsuite retrieval versions corpora/mine-1.0 corpora/mine-1.1 -r bm25 -r dense -r hybrid:bm25+dense
    """
    from evalsuite.retrieval.versions import versions as compare_versions

    sys.path.insert(0, str(Path.cwd()))  # so that module:Class finds what lies here
    with progress():
        found = compare_versions(
            a,
            b,
            retriever,
            view_a=view_a,
            view_b=view_b,
            measure=measure,
            depth=depth,
            out=out,
            cache=cache,
            fresh=fresh,
        )
    if as_json:
        print_json(json.loads(found.model_dump_json()))
    else:
        _print(found)
    failed = [(system.system, place, why) for system in found.systems for place, why in system.errors.items()]
    for name, place, why in failed:
        typer.echo(visible(f"error: {name} on {place.upper()}: {why}"), err=True)
    return ERRORS if failed else OK


def _print(found: Versions) -> None:
    from rich.console import Console

    screen = Console(width=None if sys.stdout.isatty() else 160, emoji=False, markup=False, highlight=False)
    for name, side in (("A", found.a), ("B", found.b)):
        screen.print(visible(f"{name}: {_side(side)}"), soft_wrap=True)
    screen.print(_changes(found.changes))
    for line in _named(found.changes):
        screen.print(visible(line), soft_wrap=True)
    screen.print(_scores(found))
    for pair in found.tau.moved:
        screen.print(visible(f"other order on B: {pair[0]} and {pair[1]}"), soft_wrap=True)
    screen.print(visible(found.sentence), soft_wrap=True)


def _side(side: Side) -> str:
    return (
        f"{side.corpus} {side.version} · view {side.view} · {side.documents:,} documents · {side.queries:,} queries · "
        f"{side.judgements:,} judgements, {side.relevant:,} relevant · {side.sha256[:12]}"
    )


def _changes(changes: Changes) -> Table:
    from rich.table import Table

    table = Table(title="from A to B", title_justify="left")
    table.add_column("")
    for kind in KINDS:
        table.add_column(kind, justify="right")
    for name in ("documents", "queries", "judgements", "exclusions"):
        table.add_row(name, *(f"{getattr(getattr(changes, name), kind):,}" for kind in KINDS))
    return table


def _named(changes: Changes) -> Iterable[str]:
    """One line for each kind of thing and change: the first ids."""
    for name in ("documents", "queries", "judgements", "exclusions"):
        change = getattr(changes, name)
        for kind, ids in change.first.items():
            yield f"{name} {kind}: {_some(ids, getattr(change, kind))}"
    if changes.relabelled:
        yield f"queries with another mechanism, group or split: {_some(changes.relabelled[:5], len(changes.relabelled))}"


def _some(ids: list[str], total: int) -> str:
    return ", ".join(ids) + (f" and {total - len(ids):,} more" if total > len(ids) else "")


def _scores(found: Versions) -> Table:
    from rich.table import Table

    shared = next((system.difference for system in found.systems if system.difference), None)
    groups = f" in {shared.n_groups:,} groups" if shared and shared.n_groups != shared.n else ""
    caption = f"mean [95 % interval]; B - A over the {shared.n:,} queries that both have{groups}" if shared else None
    table = Table(title=visible(found.measure), title_justify="left", caption=caption, caption_justify="left")
    table.add_column("system", overflow="fold")
    for heading in ("A", "B", "B - A", "p corrected"):
        table.add_column(heading, justify="right")
    for system in found.systems:
        p = system.difference.p_corrected if system.difference else None
        cells = _interval(system.a), _interval(system.b), _shift(system.difference), "-" if p is None else f"{p:.4f}"
        table.add_row(visible(system.system), *cells)
    return table


def _interval(score: Interval | None) -> str:
    if score is None:
        return "failed"
    return f"{score.mean:.3f}" + ("" if score.low is None else f" [{score.low:.3f}, {score.high:.3f}]")


def _shift(shift: Shift | None) -> str:
    if shift is None:
        return "-"
    return f"{shift.mean:+.3f}" + ("" if shift.low is None else f" [{shift.low:+.3f}, {shift.high:+.3f}]")

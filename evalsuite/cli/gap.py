"""evalsuite retrieval gap: what a verifier recognises against what retrievers surface."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalsuite.cli.common import OK, Cache, Debug, Fresh, Json, Out, Page, print_json, progress, visible
from evalsuite.errors import UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from evalsuite.records import Interval
    from evalsuite.retrieval.asymmetry import GapReport

FIGURES = {
    "overlap": "share of its words in a gold",
    "overlap_margin": "the same, minus hard negatives",
    "bm25_rank": "bm25's rank of the best gold",
    "dense_margin": "dense: golds minus hard negatives",
    "dense_rank": "dense: rank of the best gold",
}


def gap(
    corpus: Annotated[
        str | None, typer.Argument(help="Corpus, as for `retrieval run`; not needed where all systems are run folders.")
    ] = None,
    verifier: Annotated[
        list[str] | None,
        typer.Option(
            "--verifier", "-v", help="recorded, cross-encoder:model=.., llm:model=.., or run folders (repeat)."
        ),
    ] = None,
    retriever: Annotated[
        list[str] | None,
        typer.Option("--retriever", "-r", help="As for `retrieval run`, or a finished run folder (repeat)."),
    ] = None,
    pool: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What verifiers rank: a file of `retrieval pool`.")
    ] = None,
    size: Annotated[int | None, typer.Option(min=1, metavar="K", help="Pool size [default: its largest].")] = None,
    orders: Annotated[
        int | None, typer.Option(min=1, help="Orders in which verifiers are shown documents [default: the protocol's].")
    ] = None,
    protocol: Annotated[str, typer.Option(metavar="NAME", help="evalsuite-1, or obliq-2605.06235.")] = "evalsuite-1",
    measures: Annotated[str, typer.Option("--measures", "-m", help="Comma-separated.")] = "nDCG@10,R@10",
    view: Annotated[str | None, typer.Option(help="Judgements to score against.")] = None,
    out: Out = Path("reports"),
    cache: Cache = None,
    depth: Annotated[
        int, typer.Option(min=1, help="Documents kept per query; R in the pool needs all of the pool ranked.")
    ] = 1000,
    report: Page = None,
    fresh: Fresh = False,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Measure gap(q) = V(q) - R(q): how much better relevance is recognised, by a verifier that is handed candidates, than surfaced,
    by the best retriever over the whole corpus.

    R's winner is chosen on other queries than it is reported on: on those of split dev, else on nine folds for the tenth, per
    mechanism. Intervals are 95 %, over clusters of queries that share a group or a gold. Finished runs are reused.

    Example: evalsuite retrieval gap corpora/clauses-mini -v recorded -r bm25 -r dense
    """
    names = [name.strip() for name in measures.split(",") if name.strip()]
    if not verifier or not retriever or not names:
        raise UsageError("gap needs a verifier (-v), a retriever (-r) and a measure (-m)")
    found = _measure(corpus, verifier, retriever, names, pool, size, orders, protocol, view, depth, out, cache, fresh)
    if report is not None:
        from evalsuite.reporting.page import build

        build([Path(run) for system in found.systems for run in system.runs], report)
    if as_json:
        print_json(json.loads(found.model_dump_json(by_alias=True)))
    else:
        _print(found)
    for note in found.notes:
        typer.echo(f"note: {visible(note)}", err=True)
    if report is not None:
        typer.echo(f"report: {report}", err=True)
    return OK


def _measure(
    corpus: str | None,
    verifiers: list[str],
    retrievers: list[str],
    measures: list[str],
    pool: Path | None,
    size: int | None,
    orders: int | None,
    protocol: str,
    view: str | None,
    depth: int,
    out: Path,
    cache: Path | None,
    fresh: bool,
) -> GapReport:
    from evalsuite.retrieval.asymmetry import gap as measure_gap
    from evalsuite.retrieval.asymmetry import gap_of_runs
    from evalsuite.retrieval.protocols import protocol as named

    if corpus is None:
        given = [*verifiers, *retrievers]
        if strange := [item for item in given if not (Path(item) / "run.json").is_file()]:
            raise UsageError(f"name a corpus, or run folders only; {strange[0]!r} is no run folder")
        rules = named(protocol)
        return gap_of_runs(verifiers, retrievers, measures=measures, choose=rules.choose, seed=rules.seed)
    sys.path.insert(0, str(Path.cwd()))  # so that module:Class finds what lies here
    with progress():
        return measure_gap(
            corpus,
            verifiers,
            retrievers,
            pool=pool,
            size=size,
            orders=orders,
            measures=measures,
            protocol=protocol,
            view=view,
            depth=depth,
            out=out,
            cache=cache,
            fresh=fresh,
        )


def _print(found: GapReport) -> None:
    from rich.console import Console

    screen = Console(width=None if sys.stdout.isatty() else 160, emoji=False, markup=False, highlight=False)
    screen.print(f"{visible(found.corpus)} {visible(found.version)} · {visible(found.view)}", soft_wrap=True)
    for table in (_gaps(found), _pool(found), _systems(found), _twins(found), _obliqueness(found)):
        if table is not None:
            screen.print(table)
    for line in _basis(found):
        screen.print(visible(line), soft_wrap=True)


def _gaps(found: GapReport) -> Table:
    table = _table("V: recognised by the verifier · R: surfaced by the best retriever · gap = V - R, per query")
    for column in ("queries", "n (clusters)", "measure"):
        table.add_column(column, overflow="fold")
    for column in ("V", "R", "gap [95 % interval]", "p", "share with gap > 0"):
        table.add_column(column, justify="right", no_wrap=True)
    for column in ("V is", "R is"):
        table.add_column(column, overflow="fold")
    slices: dict[str, Any] = dict(found.by_mechanism)
    if len(slices) > 1:
        slices["all"] = found
    for name, part in slices.items():
        for first, measure in enumerate(part.V):
            gap, about = part.gap[measure], ["", ""] if first else [visible(name), f"{part.n} ({part.n_clusters})"]
            values = _told(part.V[measure]), _told(part.R[measure]), _told(gap, "+.3f")
            p = "-" if gap.p is None else f"{gap.p:.4f}"
            who = [visible(part.winner[measure][side]) for side in ("V", "R")]
            table.add_row(*about, measure, *values, p, _told(part.share_positive[measure], ".0%"), *who)
    return table


def _pool(found: GapReport) -> Table | None:
    pool = found.pool
    if pool is None:
        return None
    low, mean, high = pool.candidates
    size = f"{mean:.0f}" if low == high else f"{low} to {high}, mean {mean:.1f}"
    table = _table(f"the verifier's pool, {size} documents a query: what it gives away, and R restricted to it")
    table.add_column("measure")
    for column in ("chance", "95 % of shuffled pools", "V", "R in the pool", "gap in the pool"):
        table.add_column(column, justify="right", no_wrap=True)
    for measure in pool.chance:
        _, least, most = pool.shuffled[measure]
        cells = f"{pool.chance[measure]:.3f}", f"{least:.3f} to {most:.3f}", _told(found.V[measure])
        table.add_row(measure, *cells, _told(pool.R[measure]), _told(pool.gap[measure], "+.3f"))
    return table


def _systems(found: GapReport) -> Table:
    table = _table("every system on these queries")
    table.add_column("system", overflow="fold")
    table.add_column("role")
    table.add_column("LLM")
    for measure in found.V:
        table.add_column(measure, justify="right", no_wrap=True)
    table.add_column("judged@10", justify="right")
    for system in found.systems:
        values = [_told(system.measures[measure]) for measure in found.V]
        role = f"{system.role}, not R" if system.apart else system.role
        table.add_row(
            visible(system.system), visible(role), visible(system.track), *values, f"{system.judged_at_10:.2f}"
        )
    return table


def _twins(found: GapReport) -> Table | None:
    if not found.twins:
        return None
    table = _table(f"surface twins: {found.twins[0].drop.n} oblique queries against literal ones with the same golds")
    table.add_column("system", overflow="fold")
    table.add_column("measure")
    for column in ("literal", "oblique", "drop", "p"):
        table.add_column(column, justify="right", no_wrap=True)
    for twin in found.twins:
        p = "-" if twin.drop.p is None else f"{twin.drop.p:.4f}"
        values = _told(twin.literal), _told(twin.oblique), _told(twin.drop, "+.3f")
        table.add_row(visible(twin.system), twin.measure, *values, p)
    return table


def _obliqueness(found: GapReport) -> Table | None:
    if found.obliqueness is None or not found.obliqueness.correlation:
        return None
    table = _table(f"obliqueness without an LLM, and how it goes with the gap in {next(iter(found.V))}")
    table.add_column("figure of a query")
    table.add_column("median", justify="right")
    table.add_column("Spearman's rho with the gap", justify="right", no_wrap=True)
    for figure, told in found.obliqueness.correlation.items():
        known = [getattr(entry, figure) for entry in found.obliqueness.queries]
        median = statistics.median(value for value in known if value is not None)
        written = f"{median:g}" if figure.endswith("rank") else f"{median:.3f}"
        rho = "-" if told.rho is None else f"{told.rho:+.2f}"
        if told.low is not None and told.high is not None:
            rho += f" [{told.low:+.2f}, {told.high:+.2f}]"
        table.add_row(FIGURES[figure], written, rho)
    return table


def _basis(found: GapReport) -> Iterator[str]:
    """What the numbers rest on, a line each."""
    for spread in found.spread:
        low, high = spread.range
        several = f", sd {spread.sd:.4f}" if spread.sd is not None else ""
        yield f"{spread.verifier}: mean {spread.measure} by order {low:.3f} to {high:.3f} over {len(spread.means)}{several}"
    for measure, best in found.hindsight.items():
        yield f"{measure} with R chosen in hindsight, which flatters it: R {best['R']:.3f}, gap {best['gap']:+.3f}"
    yield f"winners: {found.protocol['winners']}"
    if found.pool is not None and found.pool.relevant_outside:
        yield f"pool: {found.pool.relevant_outside} golds are outside, which no verifier could rank"
    settings = found.protocol["bootstrap"]
    yield (
        f"protocol {found.protocol.get('name', found.protocol['choose'])} · scoring {found.scoring} · corpus sha256 "
        f"{found.corpus_sha256[:12]} · largest cluster {found.largest_cluster} of {found.n} queries · "
        f"{settings['resamples']:,} resamples, seed {settings['seed']}"
    )


def _told(value: Interval, form: str = ".3f") -> str:
    if value.low is None or value.high is None:
        return f"{value.mean:{form}} [-]"
    return f"{value.mean:{form}} [{value.low:{form}}, {value.high:{form}}]"


def _table(title: str) -> Table:
    from rich.table import Table
    from rich.text import Text

    return Table(title=Text(visible(title)), title_justify="left")

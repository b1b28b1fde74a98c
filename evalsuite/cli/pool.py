"""evalsuite retrieval pool: the candidates that a verifier will rank."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from evalsuite.cli.common import OK, Cache, Debug, Json, print_json, progress, visible
from evalsuite.errors import UsageError


def pool(
    corpus: Annotated[str, typer.Argument(help="Corpus folder, ir_datasets:ID, or hf:owner/name[/config].")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="FILE", dir_okay=False, help="NAME.pool.jsonl or NAME.pool.jsonl.gz."),
    ],
    family: Annotated[
        list[str] | None,
        typer.Option(
            "--family",
            "-f",
            metavar="NAME=SYSTEM",
            help="A family and one of its systems (repeat): lexical=bm25 dense=dense sparse=... late-interaction=... "
            "rewriting=... agentic=...; any name will do.",
        ),
    ] = None,
    depth: Annotated[
        list[str] | None,
        typer.Option(metavar="N|NAME=N", help="Documents each system adds; NAME is a family or system. [default: 100]"),
    ] = None,
    size: Annotated[
        list[int] | None,
        typer.Option(metavar="K", help="Candidates per query, golds included (repeat). [default: 100]"),
    ] = None,
    kind: Annotated[
        Literal["hard", "random"] | None, typer.Option(metavar="hard|random", help="[default: hard]")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of the order shown and of random draws. [default: 42]")] = None,
    protocol: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="obliq-2605.06235 or evalsuite-1: sets depth, size, kind and seed."),
    ] = None,
    task: Annotated[
        str | None, typer.Option(metavar="TASK", help="The protocol's task whose depths to take. [default: the corpus]")
    ] = None,
    view: Annotated[str | None, typer.Option(help="Judgements that say what is a gold: gold, pooled ...")] = None,
    measures: Annotated[
        str, typer.Option("--measures", "-m", help="Of chance; the first also ranks the systems.")
    ] = "nDCG@10,R@10",
    cache: Cache = None,
    as_json: Json = False,
    debug: Debug = False,
) -> int:
    """Build the pool of candidates that a verifier ranks: what each family finds, exclusions out, all golds added.

    Prints what chance scores on it, and what the ranking of systems owes to each family. R@k is refused where k
    candidates are all there are.

    Example: evalsuite retrieval pool corpora/clauses-mini -f lexical=bm25 -f dense=dense -o hard.pool.jsonl
    """
    from evalsuite.retrieval.poolreport import make_pool

    sys.path.insert(0, str(Path.cwd()))  # so that module:Class finds what lies here
    families = _families(family or [])
    with progress():
        report = make_pool(
            corpus,
            families,
            output,
            depth=_depths(depth or [], families),
            sizes=size,
            kind=kind,
            seed=seed,
            protocol=protocol,
            task=task,
            view=view,
            measures=[name.strip() for name in measures.split(",") if name.strip()],
            cache=cache,
        )
    print_json(report) if as_json else _print(report)
    return OK


def _families(written: list[str]) -> dict[str, list[str]]:
    families: dict[str, list[str]] = {}
    for pair in written:
        match = re.fullmatch(r"([A-Za-z][\w-]*)=(.+)", pair)
        if match is None:
            raise UsageError(f"{pair!r} is no family; write NAME=SYSTEM, as in lexical=bm25")
        families.setdefault(match[1], []).append(match[2])
    return families


def _depths(written: list[str], families: dict[str, list[str]]) -> int | dict[str, int] | None:
    numbers: dict[str, int] = {}
    for item in written:
        name, _, value = item.rpartition("=")
        if not value.isdecimal():
            raise UsageError(f"{item!r} is no depth; write N, or NAME=N for one family or system")
        numbers[name] = int(value)
    general = numbers.pop("", None)
    return {**dict.fromkeys(families, general or 100), **numbers} if numbers else general


def _print(report: dict[str, Any]) -> None:
    from rich.console import Console

    screen = Console(width=None if sys.stdout.isatty() else 160, emoji=False, markup=False, highlight=False)
    made, golds = report["corpus"], report["golds_per_query"]
    none = f", {report['n_golds_found_by_none']:,} of them found by no family" if report["families"] else ""
    screen.print(
        visible(
            f"{made['name']} {made['version']}, view {made['view']}: {report['n_queries']:,} queries, "
            f"{report['n_golds']:,} golds ({_counts(golds)} a query){none}"
        ),
        soft_wrap=True,
    )
    screen.print(_sizes(report))
    for size in report["sizes"]:
        for reason in size["refused"].values():
            screen.print(visible(f"pool of {size['size']}: {reason}"), soft_wrap=True)
        if exceed := size["golds_exceed"]:
            screen.print(visible(f"pool of {size['size']}: {len(exceed)} queries have more golds and keep them all"))
    if report["families"]:
        screen.print(_left_out(report))
    screen.print(f"sha256 {report['sha256'][:12]} -> {visible(report['pool'])}", soft_wrap=True)


def _sizes(report: dict[str, Any]) -> Any:
    table = _table(f"{report['kind']} pool: what is ranked, and what ranking it at random scores", "K", "candidates")
    measures = list(dict.fromkeys(name for size in report["sizes"] for name in (*size["chance"], *size["refused"])))
    for name in measures:
        table.add_column(f"chance {visible(name)}", justify="right")
        table.add_column("200 shuffles [95 %]", justify="right", no_wrap=True)
    for size in report["sizes"]:
        cells = [f"{size['size']:,}", _counts(size["candidates"])]
        for name in measures:
            by_chance = size["chance"].get(name)
            cells += ["refused", "-"] if by_chance is None else [f"{by_chance:.3f}", _interval(size["shuffled"][name])]
        table.add_row(*cells)
    return table


def _left_out(report: dict[str, Any]) -> Any:
    table = _table("what each family adds, and the ranking of systems without it", "family", "systems (depth)")
    for column in ("golds found", "only here", "tau without", "its own systems", "the others"):
        table.add_column(column, justify="right")
    for entry in report["families"]:
        share = entry["golds_found"] / report["n_golds"] if report["n_golds"] else 0
        table.add_row(
            visible(entry["family"]),
            visible(", ".join(f"{name} ({depth})" for name, depth in entry["systems"].items())),
            f"{entry['golds_found']:,} ({share:.0%})",
            f"{entry['golds_only_here']:,}",
            _interval(entry["tau"]),
            _interval(entry["change_of_own"], "+"),
            _interval(entry["change_of_others"], "+"),
        )
    clusters = report["clusters"]
    table.caption = (
        f"mean change of {report['order_measure']} if what only this family finds had not been judged; 95 % intervals over "
        f"{clusters['n']:,} clusters of queries that share golds, the largest of {clusters['largest']:,}"
    )
    if why := next((entry["tau"]["why"] for entry in report["families"] if "why" in entry["tau"]), ""):
        table.caption += f". No tau: {visible(why)}"
    return table


def _table(title: str, *columns: str) -> Any:
    from rich.table import Table

    table = Table(title=title, title_justify="left", caption_justify="left")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _counts(spread: dict[str, float]) -> str:
    if spread["min"] == spread["max"]:
        return f"{spread['min']:,}"
    return f"{spread['min']:,} / {spread['mean']:,.1f} / {spread['max']:,}"


def _interval(value: dict[str, Any], sign: str = "") -> str:
    if value["mean"] is None:
        return "-"
    ends = f" [{value['low']:{sign}.3f}, {value['high']:{sign}.3f}]" if value["low"] is not None else ""
    return f"{value['mean']:{sign}.3f}{ends}"

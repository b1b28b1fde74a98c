"""Results as a terminal table and as the JSON of formats.md 7."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from evalsuite.records import Interval, Manifest, Summary

SHOWN = ("nDCG@10", "R@100", "AP", "Judged@10")
MANY = 5
Row = tuple[Path, Manifest, Summary | None]


def as_json(path: Path, manifest: Manifest, summary: Summary | None) -> dict[str, Any]:
    """One run as formats.md 7 has it; a failed run has an "error" and no measures."""
    entry: dict[str, Any] = {
        "run": str(path),
        "kind": manifest.kind,
        "system": manifest.system.get("name"),
        "corpus": manifest.suite.name,
        "view": manifest.protocol.get("view"),
        "protocol": manifest.protocol.get("id"),
        "suite_sha256": manifest.suite.sha256,
        "status": manifest.status,
        "error": manifest.error,
        "notes": manifest.notes,
        "facts": manifest.system.get("facts", {}),
        "n_queries": 0,
        "measures": {},
        "macro": {},
        "by_mechanism": {},
        "missing_queries": [],
        "usage": manifest.usage,
    }
    if summary is not None:
        entry |= summary.model_dump(
            mode="json", include={"n_queries", "measures", "macro", "by_mechanism", "missing_queries"}
        )
    return entry


def tables(rows: Iterable[Row]) -> list[Table]:
    """Two tables per corpus view: measures with 95 % intervals, overall and per mechanism; time and space."""
    by_corpus: dict[str, list[Row]] = {}
    for row in rows:
        manifest = row[1]
        key = f"{manifest.suite.name} · {manifest.protocol.get('view')} · protocol {manifest.protocol.get('id')}"
        by_corpus.setdefault(key, []).append(row)
    return [table for title, group in by_corpus.items() for table in (_scores(title, group), _costs(group))]


def _scores(title: str, rows: list[Row]) -> Table:
    available = next((list(summary.measures) for _, _, summary in rows if summary), [])
    names = available if len(available) <= MANY else [n for n in available if n in SHOWN] or available[:MANY]
    table = Table(
        title=title, title_justify="left", caption="mean [95 % interval] over queries", caption_justify="left"
    )
    table.add_column("system", overflow="fold")
    for name in ("queries", *names):
        table.add_column(name, justify="right", no_wrap=name == "queries")
    for _, manifest, summary in rows:
        system = Text(str(manifest.system.get("name")))
        if summary is None:
            table.add_row(system, "", Text(f"failed: {manifest.error}", style="red"))
            continue
        table.add_row(system, str(summary.n_queries), *(interval(summary.measures[n]) for n in names))
        if len(summary.by_mechanism) > 1:
            for mechanism, values in summary.by_mechanism.items():
                cells = [interval(values[n]) for n in names]
                table.add_row(Text(f"  {mechanism}", style="dim"), str(values[names[0]].n), *cells)
    return table


def _costs(rows: list[Row]) -> Table:
    table = Table(caption="(c): from the cache", caption_justify="left")
    table.add_column("system", overflow="fold")
    for name in ("index s", "search s", "queries/s", "index MB", "peak MB"):
        table.add_column(name, justify="right")
    for _, manifest, summary in rows:
        if summary is not None:
            table.add_row(Text(str(manifest.system.get("name"))), *_cost(manifest))
    return table


def interval(value: Interval) -> str:
    """ "0.369 [0.331, 0.408]", or without the brackets where there are too few groups for an interval."""
    if value.low is None or value.high is None:
        return f"{value.mean:.3f} [n too small]"
    return f"{value.mean:.3f} [{value.low:.3f}, {value.high:.3f}]"


def _cost(manifest: Manifest) -> list[str]:
    usage = manifest.usage
    seconds = usage.get("seconds", {})
    indexed = " (c)" if usage.get("index_cached") else ""
    searched = " (c)" if usage.get("query_vectors_cached") else ""
    rate = usage.get("queries_per_second")
    return [
        f"{seconds.get('index', 0):.2f}{indexed}",
        f"{seconds.get('search', 0):.2f}{searched}",
        "-" if rate is None else f"{rate:,.0f}{searched}",
        _megabytes(usage.get("index_bytes")),
        _megabytes(usage.get("peak_memory_bytes")),
    ]


def _megabytes(size: int | None) -> str:
    return "-" if size is None else f"{size / 1e6:,.1f}"

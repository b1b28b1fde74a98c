"""The retrieval half of the page's data: a column per measure, the queries, their rankings, the texts behind them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from evalsuite.errors import InputError, at
from evalsuite.records import QueryResult
from evalsuite.reporting.artifacts import open_inside
from evalsuite.reporting.sections import Section
from evalsuite.textfiles import read_jsonl

ROWS = 256
DIGITS = 6
TEXTS = "artifacts/texts.jsonl.gz"
TEXT_CUT = 2_000
DOCUMENTS = 64


def query_index(sections: Sequence[Section], group_of: Sequence[int]) -> dict[str, Any]:
    """{"measures", "queries", "query_table"}; values to 6 decimals. One row per result, in the order of `results`."""
    names = list(dict.fromkeys(name for _, unit in results(sections) for name in unit.measures))
    table: dict[tuple[int, str], dict[str, Any]] = {}
    places: dict[tuple[int, str], int] = {}
    columns: dict[str, list[Any]] = {key: [] for key in ("run", "query", "judged", "missing")}
    values: dict[str, list[float | None]] = {name: [] for name in names}
    for run, unit in results(sections):
        key = group_of[run], unit.id
        known = table.setdefault(key, {"group": key[0], "id": unit.id} | dict.fromkeys(_TOLD))
        for column, attribute in _TOLD.items():
            if known[column] is None:
                known[column] = getattr(unit, attribute)
        columns["run"].append(run)
        columns["query"].append(places.setdefault(key, len(places)))
        columns["judged"].append(round(unit.judged_at_10, DIGITS))
        columns["missing"].append(int(unit.missing))
        for name in names:
            value = unit.measures.get(name)
            values[name].append(None if value is None else round(value, DIGITS))
    return {
        "measures": names,
        "queries": {"n": len(columns["run"]), **columns, "values": values},
        "query_table": list(table.values()),
    }


_TOLD = {"text": "text", "mechanism": "mechanism", "cluster": "group", "twin_of": "twin_of", "relevant": "relevant"}


def results(sections: Sequence[Section]) -> Iterator[tuple[int, QueryResult]]:
    """(run number, result) of every query of every run."""
    for run, section in enumerate(sections):
        for unit in section.units:
            if isinstance(unit, QueryResult):
                yield run, unit


def query_rows(sections: Sequence[Section]) -> Iterator[dict[str, Any]]:
    """Per result its ranking and what it missed; scores to 6 significant digits."""
    for _, unit in results(sections):
        top = [(document, float(f"{score:.{DIGITS}g}"), grade) for document, score, grade in unit.top]
        yield {"top": top, "missed": unit.missed}


def document_parts(sections: Sequence[Section]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(sha256 of the suite, {document id: {"title", "text", "cut"?}}) for all documents that a result names, some at a time.

    Runs without texts.jsonl.gz, or with one that is a link, have none. Raises InputError for one that is broken.
    """
    wanted: dict[str, set[str]] = {}
    for run, unit in results(sections):
        found = wanted.setdefault(sections[run].manifest.suite.sha256, set())
        found.update(entry[0] for entry in (*unit.top, *unit.missed))
    for section in sections:
        suite = section.manifest.suite.sha256
        open_ones = wanted.get(suite, set())
        part: dict[str, Any] = {}
        for name, document in _texts(section) if open_ones else ():
            if name in open_ones:
                open_ones.remove(name)
                part[name] = document
            if len(part) == DOCUMENTS:
                yield suite, part
                part = {}
            if not open_ones:
                break
        if part:
            yield suite, part


def _texts(section: Section) -> Iterator[tuple[str, dict[str, Any]]]:
    path = section.folder / TEXTS
    try:
        open_inside(section.folder, TEXTS).close()
    except InputError:
        return
    for line, record in read_jsonl(path):
        name, text, title = record.get("_id"), record.get("text"), record.get("title") or ""
        if not (isinstance(name, str) and isinstance(text, str) and isinstance(title, str)):
            found = json.dumps(record)[:60]
            raise InputError(f"needs the strings _id and text, and title if any; found {found}", where=at(path, line))
        cut = record.get("cut") is True or max(len(text), len(title)) > TEXT_CUT
        yield name, {"title": title[:TEXT_CUT], "text": text[:TEXT_CUT]} | ({"cut": True} if cut else {})

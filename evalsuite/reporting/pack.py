"""Run folders -> the page's data blocks, within a budget; what does not fit is named, counted, and stays in the run folders."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from evalsuite.records import LabSummary
from evalsuite.reporting import querydata, trialdata, verdictdata
from evalsuite.reporting.chunks import WRAPPER, Chunk, as_json, chunks_of, deflated, in_base64
from evalsuite.reporting.review import in_force
from evalsuite.reporting.sections import Section
from evalsuite.reporting.trialdata import Files, Trial
from evalsuite.storage import now

FORMAT = 1
LIMIT = 25_000_000
HEADLINE = "nDCG@10"
TAIL = 300  # the index's last words
RESERVED = 200  # to say of a trial that its transcript is left out


def pack(
    sections: Sequence[Section],
    groups: Sequence[Sequence[int]],
    pairs: Sequence[dict[str, Any]],
    twins: Sequence[dict[str, Any]] = (),
    limit: int = LIMIT,
    *,
    served: bool = False,
) -> Iterator[tuple[str, str]]:
    """(name, base64 of gzipped JSON) of every chunk; "criteria" comes first, "index" last.

    `groups` are numbers of comparable sections, best first; every section is in one. The index, verdicts, queries and
    trial records are always in; then come deliverables, documents, and transcripts, those of trials with errors first,
    until all chunks together take `limit` bytes.
    """
    group_of = [0] * len(sections)
    for number, runs in enumerate(groups):
        for run in runs:
            group_of[run] = number
    names = _names(sections)
    tasks = verdictdata.Numbers()
    rows = verdictdata.rows_of(sections)
    trials = list(trialdata.trials_of(sections))
    verdicts, criteria = verdictdata.verdict_index(sections, rows, group_of, tasks)
    head = {
        "format": FORMAT,
        "created": now(),
        "evalsuite": importlib.metadata.version("evalsuite"),
        "served": served,
        "runs": [_run(section, group_of[run]) | {"run": names[run]} for run, section in enumerate(sections)],
        "groups": [_group(sections, runs) for runs in groups],
        "pairs": list(pairs),
        "twins": list(twins),
        **querydata.query_index(sections, group_of),
        **verdicts,
        "trials": [trial.entry(tasks) for trial in trials],
        "tasks": [{"id": task, "area": task.partition("/")[0] if "/" in task else ""} for task in tasks],
        "reviews": [
            review.model_dump() | {"run": names[run]}
            for run, section in enumerate(sections)
            for found in in_force(section.units, section.reviews).values()
            for review in found
        ],
        "rows": {"queries": querydata.ROWS, "verdicts": verdictdata.ROWS},
    }
    index = Chunk(as_json(head)[:-1])
    del head, verdicts
    budget = _Budget(limit - index.cost - TAIL - RESERVED * len(trials))
    for name, chunk in chain(
        [("criteria", Chunk(as_json(criteria)))],
        chunks_of("query", querydata.query_rows(sections), querydata.ROWS),
        chunks_of("verdict", verdictdata.verdict_rows(rows), verdictdata.ROWS),
    ):
        budget.left -= chunk.cost
        yield name, chunk.base64()
    left_out = dict.fromkeys(("deliverables", "transcripts", "documents", "bytes"), 0)
    begun = _with_deliverables(trials, budget, left_out)
    docs: dict[str, dict[str, int]] = {}
    number = 0
    for suite, documents in querydata.document_parts(sections):
        text = as_json(documents)
        listed = len(as_json(dict.fromkeys(documents, number)))
        packed = budget.packed(text, WRAPPER + listed)
        if packed is None:
            left_out["documents"] += len(documents)
            left_out["bytes"] += len(text)
            continue
        chunk = Chunk(text, packed)
        budget.left -= chunk.cost + listed
        docs.setdefault(suite, {}).update(dict.fromkeys(documents, number))
        yield f"docs-{number}", chunk.base64()
        number += 1
    for place in _by_urgency(trials):
        chunk = begun.pop(place)
        _close(chunk, trials[place], budget, left_out)
        yield f"trial-{place}", chunk.base64()
    tail = {"docs": docs, "left_out": left_out | {"limit": limit}}
    index.add(b"," + as_json(tail)[1:])
    yield "index", index.base64()


@dataclass
class _Budget:
    """Bytes of the page that are still free, and how far texts were compressed so far."""

    left: int
    raw: int = 3
    spent: int = 1

    @property
    def room(self) -> float:
        """Bytes of text that may fit: half as much again as what is expected to."""
        return 1.5 * self.left * self.raw / self.spent

    def packed(self, text: bytes, more: int = 0) -> bytes | None:
        """The compressed text if it fits together with `more` bytes."""
        if len(text) > self.room:
            return None
        packed = deflated(text)
        cost = in_base64(len(packed))
        self.raw, self.spent = self.raw + len(text), self.spent + cost
        return packed if cost + more <= self.left else None


def _by_urgency(trials: list[Trial]) -> list[int]:
    return sorted(range(len(trials)), key=lambda place: trials[place].urgency)


def _with_deliverables(trials: list[Trial], budget: _Budget, left_out: dict[str, int]) -> dict[int, Chunk]:
    """A chunk per trial, still open: its record and its deliverables."""
    begun = {}
    for place, trial in enumerate(trials):
        begun[place] = Chunk(b'{"record":' + trial.record_json() + b',"deliverables":')
        budget.left -= begun[place].cost
    for place in _by_urgency(trials):
        found = trialdata.deliverables(trials[place], room=budget.room)
        packed = budget.packed(found.text)
        if packed is None:
            found = trialdata.deliverables(trials[place], room=0)
        _add(begun[place], found, packed, budget)
        left_out["deliverables"] += found.left_out
        left_out["bytes"] += found.bytes_left_out
    return begun


def _close(chunk: Chunk, trial: Trial, budget: _Budget, left_out: dict[str, int]) -> None:
    """Add the transcript."""
    budget.left += RESERVED
    found = trialdata.transcript(trial, room=budget.room)
    packed = budget.packed(found.text)
    if packed is None:
        found = trialdata.transcript(trial, room=0)
    _add(chunk, found, packed, budget)
    left_out["transcripts"] += found.left_out
    left_out["bytes"] += found.bytes_left_out


def _add(chunk: Chunk, found: Files, packed: bytes | None, budget: _Budget) -> None:
    before = chunk.cost
    chunk.add(found.text, packed)
    budget.left -= chunk.cost - before


def _names(sections: Sequence[Section]) -> list[str]:
    """What the page's links call each run: its id, numbered where several have the same."""
    ids = [section.run_id for section in sections]
    return [name if ids.count(name) == 1 else f"{name} ({run + 1} of {len(ids)})" for run, name in enumerate(ids)]


def _run(section: Section, group: int) -> dict[str, Any]:
    manifest, summary = section.manifest, section.summary
    headline: dict[str, Any] | None = None
    if isinstance(summary, LabSummary):
        headline = {"measure": "all_pass", **summary.all_pass.model_dump(mode="json")}
    elif summary is not None:
        measure = HEADLINE if HEADLINE in summary.measures else next(iter(summary.measures))
        headline = {"measure": measure, **summary.measures[measure].model_dump(mode="json")}
    role, view = manifest.system.get("role"), manifest.protocol.get("view")
    return {
        "folder": section.folder.absolute().name,
        "id": section.run_id,
        "kind": manifest.kind,
        "system": str(manifest.system.get("name", section.run_id)),
        "role": None if role is None else str(role),
        "suite": manifest.suite.model_dump(include={"name", "version", "sha256"}),
        "view": None if view is None else str(view),
        "protocol": str(manifest.protocol.get("id", "")),
        "group": group,
        "status": manifest.status,
        "error": manifest.error,
        "notes": manifest.notes,
        "headline": headline,
    }


def _group(sections: Sequence[Section], runs: Sequence[int]) -> dict[str, Any]:
    one = _run(sections[runs[0]], 0)
    return {
        "kind": one["kind"],
        "suite": one["suite"]["name"],
        "version": one["suite"]["version"],
        "sha256": one["suite"]["sha256"],
        "view": one["view"],
        "protocol": one["protocol"],
        "runs": list(runs),
    }

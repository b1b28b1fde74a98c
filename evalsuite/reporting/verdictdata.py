"""The verdicts of the page's data: a row per graded criterion, what is odd about it, why it failed, and its votes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from heapq import nsmallest
from typing import Any, NamedTuple

from evalsuite.errors import RunError
from evalsuite.judgenumbers import by_judge
from evalsuite.labnumbers import inexact
from evalsuite.records import CriterionResult, TrialResult, Verdict
from evalsuite.reporting.review import as_record, record_hash
from evalsuite.reporting.sections import Section

ROWS = 512
OPENING = 100
COLUMNS = ("run", "criterion", "trial", "verdict", "error_kind", "bits", "cause", "file")
VERDICTS = ("error", "fail", "pass")
CAUSES = ("", "format", "judge-contested", "not read", "read, not used", "wrong")
JUDGES_DISAGREE, VOTES_DISAGREE, UNSUPPORTED, CONTESTED, CRITICAL, NO_JUDGE, OVER_TRIALS, OVER_RUNS, INEXACT = (
    1 << bit for bit in range(9)
)


class Row(NamedTuple):
    """One graded criterion of one run."""

    run: int
    unit: CriterionResult


class Numbers(dict[Any, int]):
    """Values numbered as they are met; None is -1."""

    def of(self, value: Any) -> int:
        return -1 if value is None else self.setdefault(value, len(self))


def rows_of(sections: Sequence[Section]) -> list[Row]:
    """All graded criteria by run, task, trial and criterion; C-2 comes before C-10."""
    orders: dict[str, list[Any]] = {}

    def order(name: str) -> list[Any]:
        if name not in orders:
            orders[name] = [
                (not part.isdecimal(), len(part.lstrip("0")) if part.isdecimal() else 0, part)
                for part in re.split(r"(\d+)", name)
                if part
            ]
        return orders[name]

    rows = [
        Row(run, unit)
        for run, section in enumerate(sections)
        for unit in section.units
        if isinstance(unit, CriterionResult)
    ]
    rows.sort(key=lambda row: (row.run, order(row.unit.task), row.unit.trial, order(row.unit.id)))
    return rows


def verdict_index(
    sections: Sequence[Section], rows: Sequence[Row], group_of: Sequence[int], tasks: Numbers
) -> tuple[dict[str, Any], dict[str, Any]]:
    """{"verdicts", "error_kinds", "files", "causes", "counts", "opening", "criteria"} for the index, and all criteria.

    `opening` are the rows that the page shows first: errors, then failures, then passes; the index has the criteria of these.
    Tasks that are new are numbered in `tasks`.
    """
    kinds, files, places = Numbers(), Numbers(), Numbers()
    criteria: dict[str, Any] = {"task": [], "id": [], "title": [], "critical": [], "contested": {}}
    found: list[tuple[int, ...]] = []
    trials = {
        (run, unit.task, unit.trial): unit
        for run, section in enumerate(sections)
        for unit in section.units
        if isinstance(unit, TrialResult)
    }
    over_trials = _differing(((run, u.task, u.id), u.verdict) for run, u in rows)
    over_runs = _differing(((group_of[run], u.task, u.id, u.trial), u.verdict) for run, u in rows)
    for run, unit in rows:
        place = places.of((unit.task, unit.id, unit.title))
        if place == len(criteria["id"]):
            criteria["task"].append(tasks.of(unit.task))
            criteria["id"].append(unit.id)
            criteria["title"].append(unit.title)
            criteria["critical"].append(0)
        if unit.critical:
            criteria["critical"][place] = 1
        if unit.contested:
            criteria["contested"].setdefault(place, unit.contested)
        bits = _bits(unit)
        if over_trials and (run, unit.task, unit.id) in over_trials:
            bits |= OVER_TRIALS
        if over_runs and (group_of[run], unit.task, unit.id, unit.trial) in over_runs:
            bits |= OVER_RUNS
        why = CAUSES.index(cause(unit, bits, trials.get((run, unit.task, unit.trial))))
        verdict, kind, file = VERDICTS.index(unit.verdict), kinds.of(unit.error_kind), files.of(unit.resolved_file)
        found.append((run, place, unit.trial, verdict, kind, bits, why, file))
    columns = dict(zip(COLUMNS, zip(*found, strict=True) if found else [()] * len(COLUMNS), strict=True))
    opening = nsmallest(OPENING, range(len(rows)), key=columns["verdict"].__getitem__)
    first = {columns["criterion"][row] for row in opening}
    some = {key: {place: criteria[key][place] for place in first} for key in criteria if key != "contested"}
    index = {
        "verdicts": {"n": len(rows), **columns},
        "error_kinds": list(kinds),
        "files": list(files),
        "causes": CAUSES,
        "counts": {name: Counter(columns[name]) for name in ("verdict", "bits", "cause")},
        "opening": opening,
        "criteria": some | {"contested": criteria["contested"]},
    }
    return index, criteria


def doubtful(sections: Sequence[Section]) -> Counter[str]:
    """How many verdicts are an "error", rest on an "unsupported" quote, are "disputed" by judges, have "flipped" between trials."""
    bits: Counter[int] = Counter()
    over_trials: dict[Any, list[Verdict]] = {}
    for run, section in enumerate(sections):
        for unit in section.units:
            if isinstance(unit, CriterionResult):
                bits[_bits(unit)] += 1
                over_trials.setdefault((run, unit.task, unit.id), []).append(unit.verdict)
    verdicts = over_trials.values()
    return Counter(
        error=sum(said.count("error") for said in verdicts),
        unsupported=sum(n for found, n in bits.items() if found & UNSUPPORTED),
        disputed=sum(n for found, n in bits.items() if found & JUDGES_DISAGREE),
        flipped=sum(len(said) for said in verdicts if "pass" in said and "fail" in said),
    )


def _differing(verdicts: Iterable[tuple[Any, Verdict]]) -> set[Any]:
    """The keys that have a pass and a fail; an error is no verdict."""
    first: dict[Any, Verdict] = {}
    return {key for key, verdict in verdicts if verdict != "error" and first.setdefault(key, verdict) != verdict}


def _bits(unit: CriterionResult) -> int:
    bits = CONTESTED * bool(unit.contested) | CRITICAL * unit.critical
    judged = []
    for vote in unit.votes:
        if vote.error_kind == "unsupported_quote":
            bits |= UNSUPPORTED
        if by_judge(vote):
            judged.append(vote)
    if len(judged) > 1:
        known: dict[str, list[Verdict]] = {}
        for vote in judged:
            if vote.verdict != "error":
                known.setdefault(vote.judge, []).append(vote.verdict)
        bits |= VOTES_DISAGREE * any(len(set(votes)) > 1 for votes in known.values())
        bits |= JUDGES_DISAGREE * (len({2 * votes.count("pass") > len(votes) for votes in known.values()}) > 1)
    if unit.votes and not judged and unit.verdict != "error":
        bits |= NO_JUDGE
    return bits | INEXACT * inexact(unit.resolution_rule)


def cause(unit: CriterionResult, bits: int, trial: TrialResult | None) -> str:
    """Why a criterion failed, as far as the record tells: one of CAUSES, "" for any that did not fail and where nobody voted."""
    if unit.verdict != "fail" or not unit.votes:
        return ""
    if all(vote.judge == "deliverable" for vote in unit.votes):
        return "format"
    if bits & (JUDGES_DISAGREE | CONTESTED):
        return "judge-contested"
    if unit.sources and trial and trial.documents_total:
        read = {_plain(name) for name in trial.documents_read}
        if not any(_plain(name) in read for name in unit.sources):
            return "not read"
    quoted = any(vote.quotes for vote in unit.votes if vote.verdict == "fail")
    return "wrong" if quoted else "read, not used"


def _plain(name: str) -> str:
    return name.removeprefix("documents/")


def verdict_rows(rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
    """Per verdict its votes, what says how it came about, and its hash. Raises RunError for a record that has no hash."""
    for _, unit in rows:
        try:
            record = as_record(unit)
            sha = record_hash(record)
        except (ValueError, RecursionError) as error:
            raise RunError(f"cannot be hashed: {error}", where=f"{unit.task}, trial {unit.trial}, {unit.id}") from error
        yield {
            "votes": [
                {key: value for key, value in vote.items() if value and key != "key"}
                for vote in record.get("votes", [])
            ],
            "share": unit.share,
            "resolution_rule": unit.resolution_rule,
            "sha": sha,
        }

"""Whether two runs may be compared: every reason against it, in words, with both values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from evalsuite.errors import shown
from evalsuite.labtrials import Trial, trials_of
from evalsuite.records import Manifest, QueryResult, Unit
from evalsuite.reporting.words import count

NAMED = 10
HEX = 12
WORDS = {
    "view": "the views differ",
    "profile": "the judging profiles differ",
    "votes": "the numbers of votes differ",
    "measures": "the measures differ",
}


class Run(Protocol):
    """What is read of a run; a Section is one."""

    @property
    def manifest(self) -> Manifest: ...

    @property
    def units(self) -> Sequence[Unit]: ...


def queries_of(run: Run) -> list[QueryResult]:
    """The queries of a retrieval run, in file order."""
    return [unit for unit in run.units if isinstance(unit, QueryResult)]


def reasons(a: Run, b: Run) -> list[str]:
    """Why B must not be compared with A; empty if it may be."""
    kinds = a.manifest.kind, b.manifest.kind
    if kinds[0] != kinds[1]:
        return ["the kinds of run differ: {} and {}".format(*kinds)]
    found = [f"{name} {why}" for name, run in (("A", a), ("B", b)) if (why := unfinished(run))]
    found += [*_suite(a.manifest, b.manifest), *_protocol(a.manifest, b.manifest)]
    if kinds[0] == "lab":
        found += _plan(trials_of(a.manifest, a.units), trials_of(b.manifest, b.units))
    if found:
        return found
    if kinds[0] == "lab":
        return list(_rubrics(trials_of(a.manifest, a.units), trials_of(b.manifest, b.units)))
    return list(_queries(a, b))


def unfinished(run: Run) -> str | None:
    """Why a run has no result to compare yet. Errors in verdicts, and agents that broke, are results."""
    manifest = run.manifest
    error = f": {manifest.error}" if manifest.error else ""
    if manifest.status == "failed":
        return f"failed{error}"
    if not run.units:
        return f"is {manifest.status} and holds no result{error}"
    if manifest.kind == "retrieval":
        n = len(run.units)
        unit = "query was" if n == 1 else "queries were"
        return None if manifest.status == "complete" else f"is {manifest.status}: {n:,} {unit} graded; finish it first"
    trials = [trial for found in trials_of(manifest, run.units).values() for trial in found]
    left = sum(trial.number is None for trial in trials)
    broken = [trial for trial in trials if trial.problem and not _agent_broke(trial) and trial.number is not None]
    parts = [f"{count(left, 'trial')} never worked"] if left else []
    parts += _some([f"{trial.task}, trial {trial.number}: {trial.problem}" for trial in broken])
    if manifest.status == "running" and not parts:
        parts = ["it was not brought to an end"]
    return f"is {manifest.status}: {'; '.join(parts)}; finish it first" if parts else None


def settings(a: Manifest, b: Manifest) -> dict[str, tuple[Any, Any]]:
    """Settings of the systems and their environment that differ: dotted key -> both values, None where it is not set."""
    sides = [
        flat({"system": {k: v for k, v in m.system.items() if k != "facts"}, "environment": m.environment})
        for m in (a, b)
    ]
    return _different(*sides)


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": [{"c": 1}]}} -> {"a.b.0.c": 1}; lists of plain values stay whole."""
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        value = dict(enumerate(value))
    if not isinstance(value, dict) or not value:
        return {prefix: value} if prefix else {}
    parts = [flat(item, f"{prefix}.{key}" if prefix else str(key)) for key, item in value.items()]
    return {key: item for part in parts for key, item in part.items()}


def _different(a: Mapping[str, Any], b: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {key: (a.get(key), b.get(key)) for key in dict.fromkeys([*a, *b]) if a.get(key) != b.get(key)}


def _suite(a: Manifest, b: Manifest) -> Iterator[str]:
    one, two = a.suite, b.suite
    if one.version != two.version:
        yield f"the versions of {one.name} differ: {one.version} and {two.version}"
    if one.sha256 == two.sha256:
        return
    what = "tasks" if a.kind == "lab" else "corpora"
    yield f"the {what} differ: {one.name} ({_short(one.sha256)}) and {two.name} ({_short(two.sha256)})"
    found = []
    for name, (old, new) in _different(one.files, two.files).items():
        if old is None or new is None:
            found.append(f"{name} is only in {'B' if old is None else 'A'}")
        elif a.kind == "lab":
            found.append(f"the rubric or the documents of {name} differ: {_short(old)} and {_short(new)}")
        else:
            found.append(f"{name} differs: {_short(old)} and {_short(new)}")
    yield from _some(found)


def _protocol(a: Manifest, b: Manifest) -> Iterator[str]:
    found = _different(flat(a.protocol), flat(b.protocol))
    ids = found.pop("id", None)
    if ids and not found:
        yield f"the protocols differ: {_value(ids[0])} and {_value(ids[1])}"
    yield from _some(
        [
            f"{WORDS.get(key, f'the protocols differ in {key}')}: {_value(old)} and {_value(new)}"
            for key, (old, new) in found.items()
        ]
    )


def _plan(a: Mapping[str, list[Trial]], b: Mapping[str, list[Trial]]) -> list[str]:
    differ = {task: (len(a[task]), len(b[task])) for task in a if task in b and len(a[task]) != len(b[task])}
    if len(set(differ.values())) == 1:
        old, new = next(iter(differ.values()))
        return [f"the numbers of planned trials differ: {old} and {new} a task"]
    return _some(
        [f"the numbers of planned trials of {task} differ: {old} and {new}" for task, (old, new) in differ.items()]
    )


def _rubrics(a: Mapping[str, list[Trial]], b: Mapping[str, list[Trial]]) -> list[str]:
    """What the hashes of a foreign run folder may not tell: tasks and criteria that only one run has."""
    found = _one_sided("task", a, b)
    for task in a.keys() & b.keys():
        sides = [{c.id: c for trial in trials for c in trial.criteria} for trials in (a[task], b[task])]
        if all(any(not trial.problem for trial in trials) for trials in (a[task], b[task])):
            found += _one_sided(f"criterion of {task}", *sides)
    return _some(found)


def _queries(a: Run, b: Run) -> list[str]:
    one, two = ({query.id: query for query in queries_of(run)} for run in (a, b))
    if found := _one_sided("query", one, two):
        return _some(found)
    old, new = (set(next(iter(side.values())).measures) for side in (one, two))
    if old != new:
        return [f"the measures differ: {', '.join(sorted(old))} and {', '.join(sorted(new))}"]
    keys = [(name, one[name], two[name]) for name in one]
    found = [
        f"the groups of query {shown(name)} differ: {x.group} and {y.group}"
        for name, x, y in keys
        if x.group != y.group
    ]
    found += [
        f"the mechanisms of query {shown(name)} differ: {x.mechanism} and {y.mechanism}"
        for name, x, y in keys
        if x.mechanism != y.mechanism
    ]
    return _some(found)


def _one_sided(what: str, a: Iterable[str], b: Iterable[str]) -> list[str]:
    one, two = dict.fromkeys(a), dict.fromkeys(b)
    return [
        f"{what} {shown(name)} is only in {'A' if name in one else 'B'}"
        for name in one | two
        if (name in one) != (name in two)
    ]


def _agent_broke(trial: Trial) -> bool:
    return trial.record is not None and trial.record.stop_reason == "error"


def _some(items: Sequence[str]) -> list[str]:
    more = len(items) - NAMED
    return [*items[:NAMED], f"and {more:,} more like these"] if more > 0 else list(items)


def _short(digest: str) -> str:
    return f"{digest[:HEX]}…" if len(digest) > HEX else digest


def _value(value: Any) -> str:
    return "not set" if value is None else ", ".join(map(str, value)) if isinstance(value, list) else shown(value, 80)

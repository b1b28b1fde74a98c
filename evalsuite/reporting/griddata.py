"""Which run is which cell of a grid: model, harness, and why runs are none."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from evalsuite.errors import UsageError
from evalsuite.labtrials import trials_of
from evalsuite.records import Manifest, TrialResult
from evalsuite.reporting.comparable import flat
from evalsuite.reporting.sections import Section

Place = tuple[int, int]
"""Number of the model and of the harness."""
WITHOUT = "(no model)"


@dataclass(frozen=True)
class Cells:
    """A full crossing: every model with every harness, one run each, the same tasks, protocol and number of trials."""

    models: list[str]
    harnesses: list[str]
    runs: dict[Place, Section]
    trials: int

    @classmethod
    def of(cls, sections: Sequence[Section]) -> Cells:
        """Raises UsageError for runs that are no grid."""
        for section in sections:
            if section.manifest.kind != "lab":
                raise UsageError("is a retrieval run; a grid is made of lab runs", where=str(section.folder))
        _check_alike(sections)
        models = _labels({_model(s.manifest): _model_names(s.manifest) for s in sections})
        harnesses = harness_labels([section.manifest for section in sections])
        columns, rows = list(models), list(harnesses)
        runs: dict[Place, Section] = {}
        for section in sections:
            place = columns.index(_model(section.manifest)), rows.index(_harness(section.manifest))
            if place in runs:
                raise UsageError(
                    f"is the same model and harness as {runs[place].folder}; name one of the two",
                    where=str(section.folder),
                )
            runs[place] = section
        cells = cls(list(models.values()), list(harnesses.values()), runs, _trials(sections))
        wanted = [(m, h) for m in range(len(columns)) for h in range(len(rows))]
        if holes := [cells.name(place) for place in wanted if place not in runs]:
            raise UsageError(
                f"the grid has holes: there is no run of {'; '.join(holes[:5])}"
                + (f" and {len(holes) - 5} more" if len(holes) > 5 else "")
                + "; run them too, or name only models and harnesses that were all crossed"
            )
        if len(wanted) < 2:
            raise UsageError(f"a grid needs two models or two harnesses; found {cells.name(wanted[0])} alone")
        return cls(cells.models, cells.harnesses, {place: runs[place] for place in wanted}, cells.trials)

    def name(self, place: Place) -> str:
        return f"{self.models[place[0]]} with {self.harnesses[place[1]]}"


def harness_labels(manifests: Sequence[Manifest]) -> dict[str, str]:
    """What makes two runs the same harness -> how a grid of these runs names it."""
    return _labels({_harness(manifest): _harness_names(manifest) for manifest in manifests})


def spent(records: Sequence[TrialResult], what: str) -> float | None:
    """Tokens (input and output) or cost of the agent per trial; None where one did not say."""
    found: list[float | None] = []
    for record in records:
        tokens = record.tokens.get("input", 0) + record.tokens.get("output", 0) if record.tokens else None
        found.append(record.cost if what == "cost" else tokens)
    values = [value for value in found if value is not None]
    return sum(values) / len(values) if values and len(values) == len(found) else None


def _check_alike(sections: Sequence[Section]) -> None:
    if not sections:
        raise UsageError("no run is named")
    first, *others = sections
    one = first.manifest
    for other in others:
        two = other.manifest
        told = ""
        if (one.suite.sha256, one.suite.version) != (two.suite.sha256, two.suite.version):
            differ = [
                name
                for name in one.suite.files | two.suite.files
                if one.suite.files.get(name) != two.suite.files.get(name)
            ]
            told = f"the tasks differ: {', '.join(differ[:5]) or 'by content'}"
        elif one.protocol != two.protocol:
            sides = flat(one.protocol), flat(two.protocol)
            keys = [key for key in sides[0] | sides[1] if sides[0].get(key) != sides[1].get(key)]
            told = f"the protocols differ in {', '.join(sorted(keys)[:5])}"
        elif _numbers(first) != _numbers(other):
            counts = sorted({n for run in (first, other) for n in _numbers(run).values()})
            told = f"the numbers of trials differ: {' and '.join(map(str, counts))} a task"
        if told:
            raise UsageError(f"cannot be in one grid with {first.folder}: {told}", where=str(other.folder))


def _numbers(section: Section) -> dict[str, int]:
    return {task: len(found) for task, found in trials_of(section.manifest, section.units).items()}


def _trials(sections: Sequence[Section]) -> int:
    counts = set(_numbers(sections[0]).values())
    if len(counts) != 1:
        raise UsageError(
            f"a grid needs the same number of trials of every task; found {', '.join(map(str, sorted(counts))) or 'none'}",
            where=str(sections[0].folder),
        )
    return counts.pop()


def _model(manifest: Manifest) -> str:
    """What makes two runs the same model; its other settings are the harness's."""
    model = manifest.system.get("model")
    kept = {key: model.get(key) for key in ("name", "base_url", "source_sha256")} if isinstance(model, dict) else model
    return _key(kept)


def _model_names(manifest: Manifest) -> list[str]:
    model = manifest.system.get("model")
    if not isinstance(model, dict):
        return [str(model) if model else WITHOUT]
    name = str(model.get("name") or WITHOUT)
    return [name, f"{name} at {model.get('base_url')}", f"{name} ({str(model.get('source_sha256'))[:8]})"]


def _harness(manifest: Manifest) -> str:
    return _key({key: value for key, value in manifest.system.items() if key not in ("name", "model", "limits")})


def _harness_names(manifest: Manifest) -> list[str]:
    system = manifest.system
    profile: dict[str, Any] = system["profile"] if isinstance(system.get("profile"), dict) else {}
    name = str(profile.get("name") or system.get("agent"))
    both = f"{system.get('agent')} {name}" if profile else name
    return [name, both, f"{both} ({str(profile.get('sha256') or system.get('source_sha256'))[:8]})"]


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)


def _labels(names: dict[str, list[str]]) -> dict[str, str]:
    """Key -> the shortest kind of name that tells all keys apart."""
    for kind in range(max(map(len, names.values()))):
        found = {key: options[min(kind, len(options) - 1)] for key, options in names.items()}
        if len(set(found.values())) == len(found):
            return found
    return {key: f"{options[0]} ({number})" for number, (key, options) in enumerate(names.items(), start=1)}

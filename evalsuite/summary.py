"""Run folder -> numbers with intervals. The only way a headline number comes about, and the way it is checked again."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evalsuite.errors import RunError
from evalsuite.labnumbers import lab_numbers
from evalsuite.records import CriterionResult, Interval, LabSummary, Manifest, QueryResult, Summary, TrialResult
from evalsuite.statistics import bootstrap_means, group_numbers
from evalsuite.storage import identity, read_manifest, read_units, sha256_file, sha256_json, write_json


def summarise(manifest: Manifest, units: Sequence[QueryResult | CriterionResult | TrialResult]) -> Summary | LabSummary:
    """The numbers of a run of either kind. Raises RunError without units, or with units of the other kind."""
    queries = [unit for unit in units if isinstance(unit, QueryResult)]
    if len(queries) != (len(units) if manifest.kind == "retrieval" else 0):
        raise RunError(f"holds units that are not of a {manifest.kind} run", where=manifest.run_id)
    return retrieval_numbers(manifest, queries) if manifest.kind == "retrieval" else lab_numbers(manifest, units)


def retrieval_numbers(manifest: Manifest, units: list[QueryResult]) -> Summary:
    """Means over queries, per mechanism and macro, with 95 % intervals over query groups. Raises RunError without units."""
    if not units:
        raise RunError("the run holds no graded query", where=manifest.run_id)
    names = list(units[0].measures)
    values = np.array([[unit.measures[name] for name in names] for unit in units], dtype=np.float64)
    groups = group_numbers([("group", u.group) if u.group is not None else ("query", u.id) for u in units])
    mechanisms = [unit.mechanism or "unspecified" for unit in units]
    strata = group_numbers(mechanisms)
    by_mechanism = {}
    for number, mechanism in enumerate(dict.fromkeys(mechanisms)):
        rows = strata == number
        by_mechanism[mechanism] = _intervals(names, values[rows], np.unique(groups[rows], return_inverse=True)[1])
    return Summary(
        kind=manifest.kind,
        system=str(manifest.system.get("name", manifest.run_id)),
        corpus=manifest.suite.name,
        view=str(manifest.protocol.get("view", "")),
        protocol=str(manifest.protocol.get("id", "")),
        n_queries=len(units),
        n_groups=int(groups.max()) + 1,
        measures=_intervals(names, values, groups),
        macro=_intervals(names, values, groups, strata),
        by_mechanism=by_mechanism,
        missing_queries=[unit.id for unit in units if unit.missing],
        usage=manifest.usage,
    )


def _intervals(names: list[str], values: Any, groups: Any, strata: Any = None) -> dict[str, Interval]:
    mean, low, high = bootstrap_means(values, groups, strata=strata)
    return {
        name: Interval(
            mean=float(mean[i]),
            low=None if math.isnan(low[i]) else float(low[i]),
            high=None if math.isnan(high[i]) else float(high[i]),
            n=len(values),
        )
        for i, name in enumerate(names)
    }


def write_summary(path: Path) -> Summary | LabSummary:
    """Derive summary.json of a run folder from its run.json and results.jsonl, and store it."""
    summary = summarise(read_manifest(path), read_units(path))
    write_json(path / "summary.json", summary.model_dump(mode="json"))
    return summary


def read_summary(path: Path) -> Summary | LabSummary:
    """The numbers of a run folder, derived anew from its results: stored numbers are never trusted."""
    return summarise(read_manifest(path), read_units(path))


def verify(path: Path) -> dict[str, Any]:
    """Check a run folder against itself: file hashes, identity, protocol id, and summary.json derived again from results.jsonl.

    Returns {"ok", "checked", "mismatches": [{"what", "stored", "derived"}]} as formats.md 7 has it.
    """
    manifest = read_manifest(path)
    checks: list[tuple[str, Any, Any]] = [("run.json status", manifest.status, "complete")]
    protocol = {key: value for key, value in manifest.protocol.items() if key != "id"}
    if "id" in manifest.protocol:
        checks.append(("protocol.id", manifest.protocol["id"], protocol_id(protocol)))
    if manifest.identity:
        checks.append(("run.json identity", manifest.identity, identity(manifest)))
    if manifest.suite.files:
        checks.append(("suite.sha256", manifest.suite.sha256, sha256_json(manifest.suite.files)))
    for name, stored in manifest.files.items():
        checks.append((name, stored, _digest(path, name)))
    stored_summary = path / "summary.json"
    if not stored_summary.exists():
        checks.append(("summary.json", "missing", "derivable"))
    else:
        stored_values = _flat(_load(stored_summary))
        derived_values = _flat(read_summary(path).model_dump(mode="json"))
        keys = sorted(stored_values.keys() | derived_values.keys())
        checks += [(f"summary.json {key}", stored_values.get(key), derived_values.get(key)) for key in keys]
    mismatches = [{"what": w, "stored": s, "derived": d} for w, s, d in checks if not _same(s, d)]
    return {"ok": not mismatches, "checked": len(checks), "mismatches": mismatches}


def _digest(folder: Path, name: str) -> str:
    """The hash of a file of a run, or why there is none: a foreign run.json may name any file of this machine."""
    file = folder / name
    try:
        inside = file.resolve().is_relative_to(folder.resolve())
    except (ValueError, OSError, RuntimeError):  # no name of a file; links in a circle
        inside = False
    if not inside:
        return "not in the run folder"
    return sha256_file(file) if file.is_file() else "missing"


def protocol_id(protocol: dict[str, Any]) -> str:
    """Short name of a scoring protocol: the first 12 hex digits of its hash, without the id itself."""
    return sha256_json(protocol)[:12]


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except ValueError as error:
        raise RunError(f"is not JSON ({error})", where=str(path)) from error


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": [1]}} -> {"a.b.0": 1}"""
    if isinstance(value, list):
        value = dict(enumerate(value)) or value
    if isinstance(value, dict) and value:
        pairs = [_flat(item, f"{prefix}.{key}" if prefix else str(key)) for key, item in value.items()]
        return {key: item for pair in pairs for key, item in pair.items()}
    return {prefix: value}


def _same(stored: Any, derived: Any) -> bool:
    if isinstance(stored, float) and isinstance(derived, float):
        return math.isclose(stored, derived, rel_tol=0, abs_tol=1e-12)
    return bool(stored == derived)

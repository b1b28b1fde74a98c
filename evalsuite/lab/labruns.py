"""LAB's run folders in: config, metrics, transcript, output and score files become a run folder of ours."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from evalsuite.errors import InputError, shown
from evalsuite.lab.jsonfile import read_object
from evalsuite.lab.labexport import export_scores
from evalsuite.lab.labscores import Scores, check_dual, is_number, parse_scores
from evalsuite.records import CriterionResult, Manifest, StopReason, Suite, TrialResult, Unit, Vote
from evalsuite.storage import RunWriter, identity, read_manifest, sha256_file, sha256_json, slug, trial_folder
from evalsuite.summary import protocol_id, write_summary

__all__ = ["LabRun", "export_scores", "import_run", "read_lab_run"]

DUAL = "scores_dual.json"
SINGLE = "scores.json"
KEPT = ("config.json", "metrics.json")
# metrics.json counts some tools only under these names; used where there is no transcript.
METRIC_TOOLS = {
    "bash_commands": "bash",
    "files_written": "write",
    "files_edited": "edit",
    "glob_searches": "glob",
    "grep_searches": "grep",
}


@dataclass(frozen=True)
class LabRun:
    """A LAB run folder as our records: one trial, one result per criterion with one vote per judge and file."""

    folder: Path
    run_id: str
    task: str
    model: str
    judges: tuple[str, ...]
    trial: TrialResult
    criteria: tuple[CriterionResult, ...]
    config: dict[str, Any]
    files: tuple[str, ...]
    """The JSON files it was read from, by name."""
    notes: tuple[str, ...] = ()

    @property
    def n_passed(self) -> int:
        return sum(result.verdict == "pass" for result in self.criteria)


@dataclass
class _Folder:
    """What was found in a LAB run folder, before it is made into records."""

    path: Path
    panel: list[Scores]
    config: dict[str, Any]
    metrics: dict[str, Any]
    files: list[str]
    notes: list[str] = field(default_factory=list)


def read_lab_run(folder: Path) -> LabRun:
    """Read a LAB run folder. Only a score file is required; everything else says more where it is there.

    With scores_dual.json its judges count; else scores.json does; else every scores_<judge>.json does. A criterion
    passes when all judges pass it. Raises InputError for files that contradict themselves or one another.
    """
    if not folder.is_dir():
        raise InputError("no such run folder", where=str(folder))
    found = _read(folder)
    first = found.panel[0].data
    sources = [
        *((scores.source, scores.data) for scores in found.panel),
        *(zip(KEPT, (found.config, found.metrics), strict=True)),
    ]
    task = _agreed("task", sources, folder)
    if not task:
        raise InputError("no task is named in the score files, config.json or metrics.json", where=str(folder))
    trial_folder(folder, task, 1)  # refuses an id that is no path
    models = [str(data["model"]) for data in (found.config, found.metrics) if data.get("model")]
    if len({name.split("/")[-1] for name in models}) > 1:
        found.notes.append(f"config.json has the model {models[0]}, metrics.json has {models[1]}")
    return LabRun(
        folder=folder,
        run_id=str(first.get("run_id") or found.config.get("run_id") or folder.resolve().name),
        task=task,
        model=models[0] if models else "unknown",
        judges=tuple(dict.fromkeys(scores.judge for scores in found.panel)),
        trial=_trial(task, found),
        criteria=_criteria(task, found.panel, folder),
        config=found.config,
        files=tuple(found.files),
        notes=tuple(found.notes),
    )


def import_run(folder: Path, out: Path) -> Path:
    """Write a LAB run folder as one of ours below `out`; return it. A finished import of the same bytes is kept."""
    run = read_lab_run(folder)
    keep = {name: sha256_file(folder / name) for name in run.files}
    manifest = _manifest(run, sha256_json({"files": keep, "output": run.trial.output}))
    manifest.identity = identity(manifest)
    manifest.run_id = f"{slug(run.task)}-{slug(run.model)}-{manifest.identity[:8]}"
    path = out / manifest.run_id
    if (path / "run.json").exists() and read_manifest(path).status == "complete":
        return path
    artifacts = trial_folder(path, run.task, 1)
    writer = RunWriter(path, manifest)
    for name in run.trial.output:
        _copy(folder / "output" / name, artifacts / "deliverables" / name)
    for name in run.files:
        _copy(folder / name, artifacts / "lab" / name)
    if (folder / "transcript.jsonl").is_file():
        _copy(folder / "transcript.jsonl", artifacts / "transcript.jsonl")
    units: list[Unit] = [run.trial, *run.criteria]
    writer.append(unit for unit in units if unit.key not in writer.done)
    writer.close("complete")
    write_summary(path)
    return path


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _manifest(run: LabRun, source: str) -> Manifest:
    facts = ("model", "task", "run_id", "started_at")
    protocol = {
        "profile": "lab-import",
        "judges": list(run.judges),
        "aggregation": "single" if len(run.criteria[0].votes) == 1 else "mean",
    }
    return Manifest(
        kind="lab",
        suite=Suite(name=run.task, sha256=sha256_json([[result.id, result.title] for result in run.criteria])),
        system={
            "name": run.model,
            "agent": "harvey-labs",
            "settings": {key: value for key, value in run.config.items() if key not in facts},
            "run": {"id": run.run_id, "sha256": source},
            "facts": {"started_at": run.config.get("started_at")},
        },
        protocol={**protocol, "id": protocol_id(protocol)},
        plan={"trials": 1, "tasks": {run.task: len(run.criteria)}},
        usage={"tokens": run.trial.tokens, "seconds": run.trial.seconds, "cost": "unknown"},
        notes=[*run.notes, "imported from a LAB run folder: verdicts are its judges', nothing was graded again"],
    )


def _read(folder: Path) -> _Folder:
    found = _Folder(folder, [], {}, {}, [])
    for name in KEPT:
        if (folder / name).is_file():
            data, _ = read_object(folder / name)
            (found.config if name == "config.json" else found.metrics).update(data)
            found.files.append(name)
        else:
            found.notes.append(f"{name} is missing")
    scored = {path.name: read_object(path)[0] for path in sorted(folder.glob("scores*.json")) if path.is_file()}
    found.files += scored
    dual = scored.pop(DUAL, None)
    if dual is None and "per_judge" in scored.get(SINGLE, {}) and "criteria_results" not in scored[SINGLE]:
        dual = scored.pop(SINGLE)
    single = scored.pop(SINGLE, None)
    others = {name: name.removeprefix("scores_").removesuffix(".json") for name in scored}
    if dual is not None:
        found.panel = _panel(dual, [parse_scores(scored[name], folder / name, others[name]) for name in others], folder)
        uncounted = [SINGLE] if single else []
    elif single is not None:
        found.panel, uncounted = [parse_scores(single, folder / SINGLE)], list(scored)
    else:
        found.panel, uncounted = [parse_scores(scored[name], folder / name, others[name]) for name in others], []
    if not found.panel:
        raise InputError(f"holds no {SINGLE}, scores_<judge>.json or {DUAL}: it was not graded", where=str(folder))
    if uncounted:
        found.notes.append(f"kept, but not counted: {', '.join(uncounted)}")
    for scores in found.panel:
        told = scores.data.get("n_errors")
        if is_number(told) and told != scores.n_errors:
            found.notes.append(f"{scores.source} says n_errors {told}; {scores.n_errors} verdicts are errors")
    return found


def _panel(dual: dict[str, Any], files: Sequence[Scores], folder: Path) -> list[Scores]:
    """The judges of scores_dual.json in its order: their own files, else what it holds of them itself."""
    where = str(folder / DUAL)
    parts = dual.get("per_judge") or {}
    if not isinstance(parts, dict):
        raise InputError(f"per_judge must map judges to scores; found {shown(parts)}", where=where)
    by_judge = {scores.judge: scores for scores in files}
    judges = dual.get("judges") or list(parts) or list(by_judge)
    if not isinstance(judges, list) or not all(isinstance(judge, str) for judge in judges):
        raise InputError(f"judges must be a list of names; found {shown(judges)}", where=where)
    panel = []
    for judge in judges:
        inside = parts.get(judge)
        if judge in by_judge:
            panel.append(by_judge[judge])
        elif isinstance(inside, dict) and inside.get("criteria_results"):
            panel.append(parse_scores(inside, folder / DUAL, judge))
        else:
            raise InputError(f"names the judge {judge!r}, but scores_{judge}.json is missing", where=where)
    check_dual(dual, panel, folder / DUAL)
    return panel


def _agreed(key: str, sources: Sequence[tuple[str, dict[str, Any]]], folder: Path) -> str:
    """The value that all files give for a key; "" where none does. Raises InputError naming two that differ."""
    said = [(name, data[key]) for name, data in sources if data.get(key)]
    for name, value in said:
        if not isinstance(value, str):
            raise InputError(f"{key} must be a string; found {shown(value)}", where=str(folder / name))
        if value != said[0][1]:
            raise InputError(f"{said[0][0]} has the {key} {said[0][1]!r}, {name} has {value!r}", where=str(folder))
    return said[0][1] if said else ""


def _criteria(task: str, panel: Sequence[Scores], folder: Path) -> tuple[CriterionResult, ...]:
    first = panel[0]
    by_id = [{result.id: result for result in scores.results} for scores in panel]
    for scores, results in zip(panel[1:], by_id[1:], strict=True):
        if differ := results.keys() ^ by_id[0].keys():
            names = ", ".join(sorted(differ)[:5])
            raise InputError(f"{first.source} and {scores.source} grade different criteria: {names}", where=str(folder))
    graded = []
    for result in first.results:
        votes: list[Vote] = []
        for scores, results in zip(panel, by_id, strict=True):
            said = results[result.id]
            votes.append(
                Vote(
                    judge=scores.judge,
                    vote=1 + sum(vote.judge == scores.judge for vote in votes),
                    verdict=said.verdict,
                    error_kind=said.error_kind,
                    reasoning=said.reasoning,
                )
            )
        graded.append(_result(task, result.id, result.title, votes))
    return tuple(graded)


def _result(task: str, name: str, title: str, votes: list[Vote]) -> CriterionResult:
    errors = [vote.error_kind for vote in votes if vote.verdict == "error"]
    passes = [vote.verdict == "pass" for vote in votes]
    return CriterionResult(
        task=task,
        trial=1,
        id=name,
        title=title,
        verdict="error" if errors else "pass" if all(passes) else "fail",
        error_kind=errors[0] if errors else None,
        share=None if errors else fmean(passes),
        votes=votes,
    )


def _trial(task: str, found: _Folder) -> TrialResult:
    metrics, config = found.metrics, found.config
    where = str(found.path / "metrics.json")
    transcript = _transcript(found)
    turns = int(_count(metrics, "turn_count", where)) or transcript.turns
    cleanly = metrics.get("finished_cleanly", transcript.ended)
    limit = _count(config, "max_turns", str(found.path / "config.json"))
    at_limit = not transcript.ended and 0 < limit <= turns
    stop: StopReason = "turns" if at_limit else "done" if cleanly else "context"
    if "finished_cleanly" not in metrics and stop == "context":
        stop = "done"
        found.notes.append("why the agent stopped is not recorded")
    output = _output(found)
    parts = [found.panel[0].data.get(key) for key in ("doc_coverage", "cost")]
    figures: dict[str, Any] = {}
    for part in (*parts, metrics):
        figures |= part if isinstance(part, dict) else {}
    read = figures.get("documents_read_list") or []
    if not isinstance(read, list):
        raise InputError(f"documents_read_list must be a list; found {shown(read)}", where=where)
    skipped = figures.get("documents_skipped_list")
    return TrialResult(
        task=task,
        trial=1,
        stop_reason=stop,
        finished=bool(cleanly) and not at_limit,
        turns=turns,
        seconds=_count(figures, "wall_clock_seconds", where),
        tokens={
            "input": int(_count(figures, "input_tokens", where)),
            "output": int(_count(figures, "output_tokens", where)),
        },
        documents_total=int(_count(figures, "total_documents", where)),
        documents_read=[str(name) for name in read],
        tool_calls=transcript.tools
        or {tool: int(metrics[key]) for key, tool in METRIC_TOOLS.items() if metrics.get(key)},
        output=output,
        output_sha256=sha256_json(output),
        **({"documents_skipped": skipped} if isinstance(skipped, list) else {}),
    )


def _count(record: dict[str, Any], key: str, where: str) -> float:
    value = record.get(key)
    if value is None:
        return 0
    if not is_number(value) or value < 0:
        raise InputError(f"{key} must be a number, 0 or more; found {shown(value)}", where=where)
    return float(value)


@dataclass
class _Transcript:
    turns: int = 0
    tools: dict[str, int] = field(default_factory=dict)
    ended: bool = False
    """Its last line is the model's own, without a tool call."""


def _transcript(found: _Folder) -> _Transcript:
    path = found.path / "transcript.jsonl"
    if not path.is_file():
        found.notes.append("transcript.jsonl is missing")
        return _Transcript()
    lines, broken = [], 0
    for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            line = json.loads(text) if text.strip() else None
        except (ValueError, RecursionError):
            broken += 1
            continue
        if isinstance(line, dict):
            lines.append(line)
    if broken:
        found.notes.append(f"transcript.jsonl has {broken} lines that are not JSON; they are not counted")
    said = [line for line in lines if line.get("role") == "assistant"]
    tools = Counter(str(line.get("tool_name") or line.get("name")) for line in lines if line.get("role") == "tool")
    ended = bool(lines) and lines[-1].get("role") == "assistant" and not lines[-1].get("tool_calls")
    return _Transcript(len(said), dict(sorted(tools.items())), ended)


def _output(found: _Folder) -> dict[str, str]:
    """{relative name: sha256} of the files in output/; links are left out, and said so."""
    folder = found.path / "output"
    if not folder.is_dir():
        found.notes.append("output/ is missing: its deliverables cannot be graded again")
        return {}
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not _linked(path, folder))
    links = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_symlink())
    if links:
        found.notes.append(f"links in output/ are left out: {', '.join(links[:5])}")
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}


def _linked(path: Path, top: Path) -> bool:
    return any(place.is_symlink() for place in (path, *path.parents) if place.is_relative_to(top) and place != top)

"""Our run folders out as LAB's score files: every LAB field with LAB's meaning, what is ours under `evalsuite`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evalsuite.errors import InputError, RunError, shown
from evalsuite.lab.jsonfile import read_object
from evalsuite.lab.labscores import Scored, Scores, dual_numbers, parse_scores, score_object
from evalsuite.records import SCHEMA_VERSION, CriterionResult, Manifest, TrialResult, Verdict, Vote
from evalsuite.storage import read_manifest, read_units, trial_folder, write_json

DETERMINISTIC = "deterministic"
"""The judge_model of a run in which no judge was asked: checks and missing deliverables decided everything."""


def export_scores(run_folder: Path, to: Path, *, allow_errors: bool = False) -> list[Path]:
    """Write the score files of every trial below `to`/<task>/<run>/trial-<n>/ and return their paths.

    One judge: scores.json. Several: scores_<judge>.json each, and scores_dual.json with the means over them. What was
    imported from LAB comes out as it came in. LAB's files cannot say that a criterion was not graded: raises RunError
    where there are errors, unless `allow_errors`; all_pass and score are then null, evalsuite.n_errors counts them.
    """
    manifest = read_manifest(run_folder)
    if manifest.kind != "lab":
        raise RunError(f"is a {manifest.kind} run; only lab runs have LAB's score files", where=str(run_folder))
    units = read_units(run_folder)
    trials = {(unit.task, unit.trial): unit for unit in units if isinstance(unit, TrialResult)}
    graded: dict[tuple[str, int], list[CriterionResult]] = {}
    for unit in units:
        if isinstance(unit, CriterionResult):
            graded.setdefault((unit.task, unit.trial), []).append(unit)
    if not graded:
        raise RunError("holds no graded criterion", where=str(run_folder))
    _refuse(manifest, trials, graded, run_folder, allow_errors)
    written: list[Path] = []
    for key, results in graded.items():
        written += _Trial(manifest, trials.get(key), results, run_folder).write(to)
    return written


def _refuse(
    manifest: Manifest,
    trials: dict[tuple[str, int], TrialResult],
    graded: dict[tuple[str, int], list[CriterionResult]],
    run_folder: Path,
    allow_errors: bool,
) -> None:
    errors = sum(result.verdict == "error" for results in graded.values() for result in results)
    ungraded = trials.keys() - graded.keys()
    plan = manifest.plan.get("tasks") or {}
    errors += sum(max(0, plan.get(task, 0) - len(results)) for (task, _), results in graded.items())
    problem = ""
    if errors or ungraded:
        problem = f"{errors} criteria and {len(ungraded)} whole trials were not graded"
    elif manifest.status != "complete":
        problem = f"the run is {manifest.status}"
    if problem and not allow_errors:
        raise RunError(
            f"{problem}; LAB's score files cannot say so: finish the run first, or allow_errors (--allow-errors)",
            where=str(run_folder),
        )


class _Trial:
    """One trial on its way out."""

    def __init__(
        self, manifest: Manifest, trial: TrialResult | None, results: Sequence[CriterionResult], run_folder: Path
    ) -> None:
        self.manifest, self.trial, self.results = manifest, trial, results
        self.task, self.number = results[0].task, results[0].trial
        self.run = run_folder.resolve().name
        self.originals = trial_folder(run_folder, self.task, self.number) / "lab"

    def write(self, to: Path) -> list[Path]:
        folder = to.joinpath(*self.task.split("/"), self.run, f"trial-{self.number}")
        votes = [vote for result in self.results for vote in result.votes if asked(vote)]
        judges = list(dict.fromkeys(vote.judge for vote in votes)) or [DETERMINISTIC]
        panel = [self._scores(judge, alone=len(judges) == 1) for judge in judges]
        objects = [self._object(scores) for scores in panel]
        if len(panel) == 1:
            files = {"scores.json": objects[0]}
        else:
            files = {f"scores_{file_part(s.judge)}.json": o for s, o in zip(panel, objects, strict=True)}
            files["scores_dual.json"] = self._dual(panel, objects)
        for name, value in files.items():
            write_json(folder / name, value)
        return [folder / name for name in files]

    def _scores(self, judge: str, alone: bool) -> Scores:
        """One judge's verdicts. What no judge was asked about (checks, missing deliverables) counts for every judge."""
        scored = []
        for result in self.results:
            votes = [vote for vote in result.votes if vote.judge == judge]
            shared = not any(asked(vote) for vote in result.votes)
            verdict: Verdict = result.verdict if alone or shared else majority(votes)
            reasons = [vote.reasoning for vote in (result.votes if shared else votes) if vote.reasoning]
            scored.append(Scored(result.id, result.title, verdict, "\n\n".join(dict.fromkeys(reasons))))
        return Scores("", judge, tuple(scored), {})

    def _object(self, scores: Scores) -> dict[str, Any]:
        value = self._original(scores) or score_object(scores, self._facts())
        return {**value, "evalsuite": self._ours(scores)}

    def _original(self, scores: Scores) -> dict[str, Any] | None:
        """The file that this judge's verdicts came from, unless they changed since; missing LAB fields are filled in."""
        wanted = {result.id: result.verdict for result in scores.results}
        for data, path, judge in self._candidates():
            read = parse_scores(data, path, judge)
            if read.judge == scores.judge and {result.id: result.verdict for result in read.results} == wanted:
                fresh = score_object(read, self._facts())
                value = {**data, **{key: item for key, item in fresh.items() if key not in data}}
                value.pop("evalsuite", None)
                entries = zip(data["criteria_results"], read.results, strict=True)
                value["criteria_results"] = [{**entry, "verdict": result.verdict} for entry, result in entries]
                if read.n_errors:
                    value |= {"all_pass": None, "score": None}
                return value
        return None

    def _candidates(self) -> list[tuple[dict[str, Any], Path, str | None]]:
        found: list[tuple[dict[str, Any], Path, str | None]] = []
        for path in sorted(self.originals.glob("scores*.json")):
            data, _ = read_object(path)
            if data.get("criteria_results"):
                found.append((data, path, path.stem.removeprefix("scores_") if path.stem != "scores" else None))
            parts = data.get("per_judge")
            for judge, part in parts.items() if isinstance(parts, dict) else ():
                if isinstance(part, dict) and part.get("criteria_results"):
                    found.append((part, path, judge))
        return found

    def _dual(self, panel: Sequence[Scores], objects: Sequence[dict[str, Any]]) -> dict[str, Any]:
        path = self.originals / "scores_dual.json"
        unchanged = path.is_file() and all(self._original(scores) for scores in panel)
        fresh = {
            "run_id": objects[0]["run_id"],
            "task": self.task,
            "judges": [scores.judge for scores in panel],
            "per_judge": {
                scores.judge: {key: item for key, item in value.items() if key != "evalsuite"}
                for scores, value in zip(panel, objects, strict=True)
            },
            **dual_numbers(panel),
            "scored_at": max(str(value["scored_at"]) for value in objects),
        }
        if unchanged:
            data, _ = read_object(path)
            data.pop("evalsuite", None)
            fresh = {**data, **{key: item for key, item in fresh.items() if key not in data}}
        n_errors = sum(result.verdict == "error" for result in self.results)
        return {**fresh, "evalsuite": {**self._source(), "n_errors": n_errors}}

    def _facts(self) -> dict[str, Any]:
        trial = self.trial
        skipped = (trial.model_extra or {}).get("documents_skipped") if trial else None
        read = trial.documents_read if trial else []
        total = trial.documents_total if trial else 0
        if skipped is None and len(read) >= total:
            skipped = []
        return {
            "run_id": f"{self.manifest.run_id}/{self.task}/trial-{self.number}",
            "task": self.task,
            "scored_at": self.manifest.finished_at or self.manifest.started_at,
            "cost": {
                "input_tokens": trial.tokens.get("input", 0) if trial else 0,
                "output_tokens": trial.tokens.get("output", 0) if trial else 0,
                "wall_clock_seconds": trial.seconds if trial else 0,
            },
            "doc_coverage": {
                "documents_read": len(read),
                "total_documents": total,
                "documents_skipped": max(0, total - len(read)) if skipped is None else len(skipped),
                "documents_read_list": read,
                "documents_skipped_list": skipped,
            },
        }

    def _source(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "run": self.manifest.run_id,
            "protocol": self.manifest.protocol,
            "suite_sha256": self.manifest.suite.sha256,
        }

    def _ours(self, scores: Scores) -> dict[str, Any]:
        contested = [result.id for result in self.results if result.contested]
        checked = [result.id for result in self.results if result.votes and not any(map(asked, result.votes))]
        return {
            **self._source(),
            "n_errors": scores.n_errors,
            "errors": {result.id: result.error_kind for result in self.results if result.verdict == "error"},
            "contested": contested,
            "without_judge": checked,
        }


def asked(vote: Vote) -> bool:
    """Whether a judge gave the vote, not a check or a missing deliverable."""
    return not vote.judge.startswith("check:") and vote.judge != "deliverable"


def majority(votes: Sequence[Vote]) -> Verdict:
    """One judge's verdict from its votes: an error or no vote is an error, a tie fails."""
    if not votes or any(vote.verdict == "error" for vote in votes):
        return "error"
    return "pass" if sum(vote.verdict == "pass" for vote in votes) * 2 > len(votes) else "fail"


def file_part(judge: str) -> str:
    """A judge's name as part of a file name. Raises InputError for a name that leaves nothing."""
    name = judge.replace("/", "_").replace("\\", "_").replace("\0", "")
    if not name.strip("._ "):
        raise InputError(f"a judge's name must hold letters or digits; found {shown(judge)}")
    return name

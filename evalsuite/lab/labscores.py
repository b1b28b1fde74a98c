"""LAB's score files: what one judge said (scores.json, scores_<judge>.json), and what two said (scores_dual.json)."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from evalsuite.errors import InputError, shown
from evalsuite.records import Verdict

VERDICTS: dict[str, Verdict] = {
    "pass": "pass",
    "passed": "pass",
    "fail": "fail",
    "failed": "fail",
    "error": "error",
    "judge_error": "error",
    "unscored": "error",
}
SUMMARY = re.compile(r"\s*(\d+)\s*/\s*(\d+) criteria passed")
CLOSE = 5e-4


@dataclass(frozen=True)
class Scored:
    """One entry of criteria_results."""

    id: str
    title: str
    verdict: Verdict
    reasoning: str = ""
    error_kind: str | None = None


@dataclass(frozen=True)
class Scores:
    """One judge's file. `data` is the object as it was read."""

    source: str
    judge: str
    results: tuple[Scored, ...]
    data: dict[str, Any]

    @property
    def n_passed(self) -> int:
        return sum(result.verdict == "pass" for result in self.results)

    @property
    def n_errors(self) -> int:
        return sum(result.verdict == "error" for result in self.results)

    @property
    def all_pass(self) -> bool | None:
        """None where an error stands in the way."""
        return None if self.n_errors else self.n_passed == len(self.results)


def parse_scores(data: dict[str, Any], path: Path, judge: str | None = None) -> Scores:
    """One judge's scores. `judge` is taken where the object has no judge_model. An entry with an `error` is an error,
    whatever verdict it carries.

    Raises InputError for a verdict that is none, an id twice, and for numbers that contradict the verdicts.
    """
    where = str(path)
    entries = data.get("criteria_results")
    if not isinstance(entries, list) or not entries:
        raise InputError(f"criteria_results must be a non-empty list; found {shown(entries)}", where=where)
    results = tuple(_scored(entry, f"criteria_results[{number}]", where) for number, entry in enumerate(entries))
    ids = [result.id for result in results]
    if twice := {name for name in ids if ids.count(name) > 1}:
        raise InputError(f"criteria_results grades {', '.join(sorted(twice))} more than once", where=where)
    name = data.get("judge_model") or judge or "unknown"
    if not isinstance(name, str):
        raise InputError(f"judge_model must be a string; found {shown(name)}", where=where)
    scores = Scores(path.name, name, results, data)
    _check(scores, where)
    return scores


def _scored(entry: Any, key: str, where: str) -> Scored:
    if not isinstance(entry, dict):
        raise InputError(f"{key} must be an object with id and verdict; found {shown(entry)}", where=where)
    name, verdict = entry.get("id"), entry.get("verdict")
    if isinstance(name, bool) or not isinstance(name, (str, int)) or not str(name).strip():
        raise InputError(f"{key}.id must be a non-empty string; found {shown(name)}", where=where)
    known = VERDICTS.get(verdict.strip().lower()) if isinstance(verdict, str) else None
    problem = entry.get("error") or entry.get("judge_error")
    if problem or (verdict is None and "verdict" in entry):
        known = "error"
    if known is None:
        raise InputError(f"{key}.verdict must be pass, fail or error; found {shown(verdict)}", where=where)
    kind = entry.get("error_kind")
    return Scored(
        id=str(name),
        title=str(entry.get("title") or name),
        verdict=known,
        reasoning=str(entry.get("reasoning") or problem or ""),
        error_kind=(str(kind) if kind else "judge_unavailable") if known == "error" else None,
    )


def _check(scores: Scores, where: str) -> None:
    """Every number in the file must follow from its verdicts; InputError names both sides."""
    data, passed, total = scores.data, scores.n_passed, len(scores.results)
    told = f"criteria_results has {passed} passes among {total} criteria"
    counts = [("n_passed", passed), ("n_criteria", total)]
    wrong = [
        f"{key} is {shown(data[key])}" for key, count in counts if data.get(key) is not None and data[key] != count
    ]
    all_pass = data.get("all_pass")
    if all_pass is not None and all_pass != (passed == total):
        wrong.append(f"all_pass is {shown(all_pass)}")
    score: Any = data.get("score")
    best: Any = data.get("max_score")
    if best is None and is_number(score) and score <= 1:
        best = 1.0
    if score is not None and best is not None and not _scale_agrees(score, best, passed == total):
        wrong.append(f"score is {shown(score)} of {shown(best)}")
    text = SUMMARY.match(str(data.get("summary") or ""))
    if text and (int(text[1]), int(text[2])) != (passed, total):
        wrong.append(f"summary says {shown(data['summary'])}")
    if wrong:
        raise InputError(f"contradicts itself: {', '.join(wrong)}, but {told}", where=where)


def _scale_agrees(score: Any, best: Any, full: bool) -> bool:
    """Whether the score is the best one just when every criterion passed; a share of passes is as good as 0 or 1."""
    return is_number(score) and is_number(best) and (score >= best) == full


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def check_dual(data: dict[str, Any], panel: Sequence[Scores], path: Path) -> None:
    """Raise InputError where scores_dual.json says something else than the judges' own verdicts."""
    by_judge = {scores.judge: scores for scores in panel}
    wrong = []
    for judge, part in (data.get("per_judge") or {}).items():
        scores = by_judge.get(judge)
        if scores and isinstance(part, dict) and part.get("n_passed", scores.n_passed) != scores.n_passed:
            wrong.append(f"per_judge.{judge}.n_passed is {part['n_passed']}, {scores.source} has {scores.n_passed}")
    derived = dual_numbers(panel)
    for key, value in derived.items():
        stored = data.get(key)
        if stored is None or value is None:
            continue
        same = stored == value if isinstance(value, bool) else is_number(stored) and abs(stored - value) <= CLOSE
        if not same:
            wrong.append(f"{key} is {shown(stored)}, the judges' verdicts make {value}")
    if wrong:
        raise InputError(f"contradicts the judges' scores: {'; '.join(wrong)}", where=str(path))


def dual_numbers(panel: Sequence[Scores]) -> dict[str, Any]:
    """LAB's dual_criterion_pass, dual_all_pass_rate and all_pass; each None where a judge left an error."""
    if any(scores.n_errors for scores in panel):
        return dict.fromkeys(("dual_criterion_pass", "dual_all_pass_rate", "all_pass"))
    rate = fmean(scores.all_pass is True for scores in panel)
    return {
        "dual_criterion_pass": fmean(scores.n_passed / len(scores.results) for scores in panel),
        "dual_all_pass_rate": rate,
        "all_pass": rate == 1.0,
    }


def score_object(scores: Scores, facts: dict[str, Any]) -> dict[str, Any]:
    """scores.json as LAB writes it. `facts`: run_id, task, scored_at, cost, doc_coverage."""
    passed, total, all_pass = scores.n_passed, len(scores.results), scores.all_pass
    missed = total - passed - scores.n_errors
    summary = f"{passed}/{total} criteria passed."
    if missed:
        summary += f"  Missed {missed} — task FAIL."
    elif all_pass:
        summary += "  ALL-PASS."
    if scores.n_errors:
        summary += f"  {scores.n_errors} not graded — no task score."
    return {
        "score": None if all_pass is None else float(all_pass),
        "max_score": 1.0,
        "summary": summary,
        "all_pass": all_pass,
        "n_criteria": total,
        "n_passed": passed,
        "criteria_results": [
            {"id": r.id, "title": r.title, "verdict": r.verdict, "reasoning": r.reasoning} for r in scores.results
        ],
        "run_id": facts["run_id"],
        "task": facts["task"],
        "judge_model": scores.judge,
        "scored_at": facts["scored_at"],
        "cost": facts["cost"],
        "doc_coverage": facts["doc_coverage"],
    }

"""What a revision of tasks leaves of stored runs, and grading again what it does not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from evalsuite.errors import RunError, UsageError
from evalsuite.lab.evaluate import Outcome
from evalsuite.lab.grading.grade import without_checks
from evalsuite.lab.grading.judging import JUDGINGS, Judging
from evalsuite.lab.regrade import regrade
from evalsuite.lab.task import Task
from evalsuite.lab.taskversions import HEX, Pair, stays
from evalsuite.records import CriterionResult, Manifest, TrialResult, Unit, criterion_key, trial_key
from evalsuite.storage import read_manifest, read_units

Basis = Literal["a", "b", "other"]


@dataclass(frozen=True)
class TaskStanding:
    """The trials of one task in one run, seen from B."""

    task: str
    basis: Basis
    """The contents that the run was made on: A's, B's or neither's, by their hash."""
    valid: int = 0
    """Verdicts on B's criteria that stand."""
    again: dict[str, list[int]] = field(default_factory=dict)
    """B's criterion id -> trials whose verdict is to be graded again from the stored output."""
    rerun: list[int] = field(default_factory=list)
    """Trials that are to be run again."""
    why: str = ""
    """Why they are, or why the task is out of reach."""
    lost: bool = False
    """No trial of it can be graded against B."""


@dataclass(frozen=True)
class RunStanding:
    """A stored run, seen from B."""

    path: Path
    system: str
    tasks: tuple[TaskStanding, ...]

    @property
    def totals(self) -> dict[str, int]:
        """Verdicts `valid` and to be graded `again`, trials to be `rerun`."""
        return {
            "valid": sum(task.valid for task in self.tasks),
            "again": sum(len(trials) for task in self.tasks for trials in task.again.values()),
            "rerun": sum(len(task.rerun) for task in self.tasks),
        }

    @property
    def settled(self) -> str:
        """Why there is nothing to grade again; "" where there is."""
        if all(task.lost for task in self.tasks):
            return "none of its trials can be graded against B"
        if all(task.basis == "b" for task in self.tasks):
            return "it was made on B"
        return ""


def standing(run: str | Path, pairs: Sequence[Pair]) -> RunStanding:
    """Which verdicts of a lab run hold for B. Raises RunError for what is no lab run."""
    path = Path(run)
    manifest = read_manifest(path)
    if manifest.kind != "lab":
        raise RunError(f"is a {manifest.kind} run; tasks have lab runs", where=str(path))
    units = {unit.key: unit for unit in read_units(path)}
    worked = [unit.task for unit in units.values() if isinstance(unit, TrialResult)]
    named = dict.fromkeys([*manifest.plan.get("tasks", {}), *worked])
    tasks = tuple(_standing(name, manifest, units, pairs) for name in named)
    return RunStanding(path, str(manifest.system.get("name", "")), tasks)


def grade_again(found: RunStanding, pairs: Sequence[Pair], **options: Any) -> Outcome:
    """Grade a run's outputs against B, into a run folder of its own; verdicts that stand cost nothing.

    `options` are those of `regrade` and must name the run's own judges. Trials that must be run again are left out, with
    a note. Raises UsageError where nothing is left, or for another protocol.
    """
    if found.settled:
        raise UsageError(f"nothing to grade again: {found.settled}", where=str(found.path))
    manifest = read_manifest(found.path)
    kept, left_out = [], {}
    for task in found.tasks:
        if task.lost:
            left_out[task.task] = task.why
        else:
            _, new = _contents(task.task, manifest, pairs)
            assert new is not None
            kept.append(replace(new, id=task.task))
    return regrade(found.path, kept, revised=left_out, **options)


def _contents(task: str, manifest: Manifest, pairs: Sequence[Pair]) -> tuple[Pair | None, Task | None]:
    """The pair whose A or B is what the run was made on, and its B; of two with the same contents the one of that id."""
    digest = manifest.suite.files.get(task)
    for found in sorted(pairs, key=lambda pair: pair.change.id != task):
        if digest and digest in {side.sha256 for side in (found.b, found.a) if side}:
            return found, found.b
    return None, None


def _standing(
    name: str, manifest: Manifest, units: Mapping[tuple[str, ...], Unit], pairs: Sequence[Pair]
) -> TaskStanding:
    found, new = _contents(name, manifest, pairs)
    trials = [unit.trial for unit in units.values() if isinstance(unit, TrialResult) and unit.task == name]
    planned = sorted({*range(1, int(manifest.plan.get("trials") or 0) + 1), *trials})
    digest = manifest.suite.files.get(name, "")
    if found is None:
        known = f"({digest[:HEX]}), which are neither A's nor B's" if digest else "that it does not name"
        return TaskStanding(name, "other", rerun=planned, why=f"the run was made on contents {known}", lost=True)
    if new is None:
        return TaskStanding(name, "a", why="B has this task no more", lost=True)
    basis: Basis = "b" if new.sha256 == digest else "a"
    if basis == "a" and found.change.rerun:
        why = f"agents are given other {', '.join(found.change.rerun)}"
        return TaskStanding(name, basis, rerun=planned, why=why, lost=True)
    worked = [trial for trial in planned if (unit := units.get(trial_key(name, trial))) and unit.final]
    broken = [trial for trial in planned if trial not in worked]
    again: dict[str, list[int]] = {}
    judging = JUDGINGS.get(str(manifest.protocol.get("profile")))
    for criterion in new.criteria:
        for trial in worked:
            old = found.was.get(criterion.id) if basis == "a" else criterion.id
            result = units.get(criterion_key(name, trial, old)) if old else None
            if not (isinstance(result, CriterionResult) and _stands(result, found, criterion.id, basis, judging)):
                again.setdefault(criterion.id, []).append(trial)
    return TaskStanding(
        task=name,
        basis=basis,
        valid=len(worked) * len(new.criteria) - sum(map(len, again.values())),
        again=again,
        rerun=broken,
        why="they did not come to an end" if broken else "",
        lost=not worked,
    )


def _stands(result: CriterionResult, found: Pair, criterion: str, basis: Basis, judging: Judging | None) -> bool:
    """Whether a stored verdict is one on B's criterion."""
    if not result.final or judging is None:
        return False
    if basis == "b":
        return True
    assert found.a and found.b
    a, b = (found.a, found.b) if judging.name != "lab-compat" else (without_checks(found.a), without_checks(found.b))
    old = next(one for one in a.criteria if one.id == result.id)
    new = next(one for one in b.criteria if one.id == criterion)
    return stays(a, old, b, new, judging, judged=any(vote.key for vote in result.votes))

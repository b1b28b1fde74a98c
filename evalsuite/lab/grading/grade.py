"""One trial's deliverables against one task's rubric: files found, checks run, judges asked, verdicts handed on one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from evalsuite.errors import EvalsuiteError
from evalsuite.lab.documents import Extracted, UnreadableError, read
from evalsuite.lab.grading.checks import compile_check
from evalsuite.lab.grading.deliverables import Resolved, resolve
from evalsuite.lab.grading.judge import Work
from evalsuite.lab.grading.judging import Judging
from evalsuite.lab.grading.panel import AGGREGATIONS, Panel, aggregate
from evalsuite.lab.task import Criterion, Task
from evalsuite.records import CriterionResult, Vote, criterion_key
from evalsuite.statistics import INTERVAL, LEVEL, RESAMPLES, SEED
from evalsuite.storage import sha256_file
from evalsuite.summary import protocol_id

EXTRACTION = 1  # raised when the text that judges see changes
Store = Callable[[list[CriterionResult]], None]


@dataclass(frozen=True)
class Grader:
    """How a run is graded. `cache` keeps extracted texts."""

    panel: Panel
    judging: Judging
    strict_names: bool
    cache: Path

    def protocol(self) -> dict[str, Any]:
        """Everything that decides verdicts and rates; results under different ids are not compared."""
        protocol = {
            "profile": self.judging.name,
            "prompt_sha256": self.judging.sha256,
            "judges": [judge.model.describe() for judge in self.panel.judges],
            "votes": self.panel.votes,
            "aggregation": self.panel.aggregation,
            "aggregation_rule": AGGREGATIONS[self.panel.aggregation],
            "checks": "deterministic checks of rubric.yaml come before judges",
            "names": "exact only" if self.strict_names else "exact, else by rule; every inexact match is recorded",
            "missing_deliverable": "fail, without a judge",
            "error": "no verdict; the task's all-pass is null",
            "extraction": EXTRACTION,
            "interval": {
                "method": INTERVAL.format("tasks"),
                "level": LEVEL,
                "resamples": RESAMPLES,
                "seed": SEED,
            },
        }
        return {"id": protocol_id(protocol), **protocol}

    async def grade(
        self,
        task: Task,
        trial: int,
        deliverables: Path,
        sealed: dict[str, str],
        done: Collection[tuple[str, ...]],
        store: Store,
    ) -> None:
        """Grade the criteria that are not in `done`; `store` gets results as they come, deterministic ones first.

        `sealed` is what the agent left ({name: sha256}): a file that is not so any more is an error, not a verdict.
        """
        wanted = [c for c in task.criteria if criterion_key(task.id, trial, c.id) not in done]
        scopes: dict[tuple[Any, ...], list[Criterion]] = {}
        for criterion in wanted:
            scopes.setdefault((criterion.deliverables, criterion.redlines), []).append(criterion)
        tampered = await asyncio.to_thread(_tampered, deliverables, sealed)
        settled: list[CriterionResult] = []
        open_: list[tuple[_Scope, list[Criterion]]] = []
        for (names, redlines), criteria in scopes.items():
            scope = await asyncio.to_thread(self._scope, task, deliverables, names, redlines, tampered)
            left = []
            for criterion in criteria:
                vote = await asyncio.to_thread(scope.settle, criterion) if criterion.check else scope.settled
                if vote is None and self.panel.judges:
                    left.append(criterion)
                else:
                    settled.append(self._result(task, trial, criterion, scope, [vote] if vote else []))
            open_.append((scope, left))
        if settled:
            store(settled)
        await asyncio.gather(*(self._judge(task, trial, scope, left, store) for scope, left in open_ if left))

    async def _judge(self, task: Task, trial: int, scope: _Scope, criteria: list[Criterion], store: Store) -> None:
        """The first criterion alone, so that its prompt prefix is in the provider's cache when the others are asked."""
        work = Work(task, scope.texts, self.judging)

        async def one(criterion: Criterion) -> None:
            votes = await self.panel.votes_on(work, criterion)
            store([self._result(task, trial, criterion, scope, votes)])

        await one(criteria[0])
        await asyncio.gather(*map(one, criteria[1:]))

    def _result(
        self, task: Task, trial: int, criterion: Criterion, scope: _Scope, votes: list[Vote]
    ) -> CriterionResult:
        verdict, kind, share = aggregate(votes, self.panel.aggregation)
        return CriterionResult(
            task=task.id,
            trial=trial,
            id=criterion.id,
            title=criterion.title,
            verdict=verdict,
            error_kind=kind,
            share=share,
            votes=votes,
            resolved_file=", ".join(found.name for found in scope.resolved if found.name) or None,
            resolution_rule=", ".join(dict.fromkeys(found.rule for found in scope.resolved)) or None,
            critical=criterion.critical,
            contested=criterion.contested,
            sources=_sources(criterion),
        )

    def _scope(self, task: Task, folder: Path, names: tuple[str, ...], redlines: bool, tampered: str) -> _Scope:
        """Find and read the deliverables that some criteria look at."""
        try:
            if tampered:
                raise UnreadableError(tampered)
            resolved = resolve(folder, names, strict=self.strict_names, cache=self.cache)
            if problems := [found for found in resolved if found.problem]:
                said = "; ".join(_told(found) for found in problems)
                return _Scope(resolved, (), Vote(judge="deliverable", verdict="fail", reasoning=said, cost=0.0))
            changes: Any = "all" if redlines else "accept"
            texts = [
                read(found.path, name=found.name, changes=changes, cache=self.cache) for found in resolved if found.path
            ]
            return _Scope(resolved, tuple(texts), None)
        except EvalsuiteError as error:
            vote = Vote(judge="deliverable", verdict="error", error_kind="unreadable", reasoning=str(error), cost=0.0)
            return _Scope([], (), vote)


@dataclass(frozen=True)
class _Scope:
    """The files of a set of criteria; `settled` is the vote on all of them where the files alone decide."""

    resolved: Sequence[Resolved]
    texts: tuple[Extracted, ...]
    settled: Vote | None

    def settle(self, criterion: Criterion) -> Vote | None:
        """The deterministic vote on a criterion that has a check."""
        if self.settled is not None:
            return self.settled
        check = compile_check(criterion.check, f"rubric.yaml {criterion.id}")
        found = check(self.texts)
        verdict: Any = "pass" if found.ok else "fail"
        return Vote(
            judge=f"check:{check.kind}", verdict=verdict, reasoning=found.why, quotes=list(found.quotes), cost=0.0
        )


def _told(found: Resolved) -> str:
    told = found.detail or found.problem
    return told if found.wanted in told else f"{found.wanted}: {told}"


def _tampered(folder: Path, sealed: dict[str, str]) -> str:
    """What is not as the agent left it, or ""."""
    for name, stored in sealed.items():
        file = folder / name
        if file.is_symlink() or not file.is_file() or sha256_file(file) != stored:
            return f"{name} is not what the agent left: it changed after the trial ended"
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if name not in sealed and not path.name.startswith((".", "~$")) and (path.is_symlink() or not path.is_dir()):
            return f"{name} is not of the agent: it came after the trial ended"
    return ""


def errors_for(criteria: Sequence[Criterion], task: Task, trial: int, kind: str, reason: str) -> list[CriterionResult]:
    """The same error verdict for criteria that could not be graded."""
    vote = Vote(judge="", verdict="error", error_kind=kind, reasoning=reason, cost=0.0)
    return [
        CriterionResult(
            task=task.id,
            trial=trial,
            id=criterion.id,
            title=criterion.title,
            verdict="error",
            error_kind=kind,
            votes=[vote],
            critical=criterion.critical,
            contested=criterion.contested,
            sources=_sources(criterion),
        )
        for criterion in criteria
    ]


def _sources(criterion: Criterion) -> list[str]:
    """The documents it rests on: those that task.json names, then those that rubric.yaml quotes."""
    return list(dict.fromkeys((*criterion.sources, *(quote["file"] for quote in criterion.quotes))))


def without_checks(task: Task) -> Task:
    """The task with every criterion left to the judges, as LAB grades it."""
    return replace(task, criteria=tuple(replace(criterion, check=None) for criterion in task.criteria))

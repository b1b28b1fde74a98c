"""The flow: tasks x agent x profile x model x trials -> run folders."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from evalsuite.errors import EvalsuiteError, RunError, UsageError
from evalsuite.lab.agents import AGENTS, Agent
from evalsuite.lab.grading.grade import Grader, errors_for, without_checks
from evalsuite.lab.options import Options
from evalsuite.lab.task import UNVERSIONED, Task, load_tasks
from evalsuite.lab.trial import System, work
from evalsuite.labnumbers import usage_of
from evalsuite.models import BudgetError
from evalsuite.progress import track
from evalsuite.records import LabSummary, Manifest, Suite, TrialResult, Unit, criterion_key, trial_key
from evalsuite.storage import (
    RunWriter,
    environment,
    identity,
    place_run,
    read_manifest,
    read_units,
    sha256_json,
    slug,
    trial_folder,
)
from evalsuite.summary import write_summary

PACKAGES = (
    "pydantic-ai-slim",
    "openai",
    "anthropic",
    "lxml",
    "openpyxl",
    "pypdfium2",
    "python-docx",
    "rank-bm25",
    "numpy",
)
CHARACTERS_PER_TOKEN = 4  # for estimates before spending, never for results
ASSUMED_DELIVERABLE = 20_000  # characters, likewise
INTERRUPTED = "interrupted; run the same command again to go on from here"
T = TypeVar("T")


@dataclass(frozen=True)
class Outcome:
    """One system on the tasks. `manifest.error` says what is not graded; the summary's all-pass is then null."""

    path: Path
    manifest: Manifest
    summary: LabSummary
    reused: bool = False

    @property
    def complete(self) -> bool:
        return self.manifest.status == "complete"


@dataclass(frozen=True)
class Plan:
    """What a run would do, before anything is spent. Judge tokens and cost are estimates: the work does not exist yet."""

    run: Path
    system: str
    tasks: int
    trials: int
    trials_done: int
    criteria: int
    verdicts_done: int
    by_check: int
    judge_calls: int
    judge_tokens: int
    judge_cost: float | None
    agent_limit: dict[str, Any]


def run(
    tasks: str | Path | Sequence[str | Path | Task],
    agents: str | Agent | Sequence[str | Agent],
    *,
    select: str | None = None,
    **options: Any,
) -> list[Outcome]:
    """Let every agent (x profile x model) work every task `trials` times, and grade what it delivers; one run folder each.

    Keywords are the fields of `options.Options`. Finished trials and verdicts of an interrupted run are kept; errors are tried again.
    Raises EvalsuiteError for input that cannot be used; what breaks inside a trial is recorded and stops nothing else.
    """
    chosen = Options(**options)
    return in_loop(work_all(flows(tasks, agents, select, chosen)), chosen)


def plan(
    tasks: str | Path | Sequence[str | Path | Task],
    agents: str | Agent | Sequence[str | Agent],
    *,
    select: str | None = None,
    **options: Any,
) -> list[Plan]:
    """What `run` would do with the same arguments, without doing any of it."""
    return [flow.plan() for flow in flows(tasks, agents, select, Options(**options))]


async def work_all(made: Sequence[Flow]) -> list[Outcome]:
    """One after another."""
    return [await flow.run() for flow in made]


def flows(tasks: Any, agents: Any, select: str | None, options: Options, *, reuse: bool = False) -> list[Flow]:
    """A flow for every system, nothing spent yet. `reuse` as of Flow."""
    listed = list(tasks) if isinstance(tasks, (list, tuple)) else [tasks]
    paths = [item for item in listed if not isinstance(item, Task)]
    loaded = [item for item in listed if isinstance(item, Task)] + (load_tasks(paths, select) if paths else [])
    names = list(agents) if isinstance(agents, (list, tuple)) else [agents]
    if not loaded:
        raise UsageError("no task is named")
    if not names:
        raise UsageError("no agent is named; evalsuite lab list shows them")
    grader = options.grader()
    return [Flow(loaded, system, grader, options, reuse=reuse) for system in options.systems(names)]


def in_loop(work: Coroutine[Any, Any, T], options: Options) -> T:
    """Run to the end and close the models' connections, also from a notebook where a loop is running already."""

    async def closing() -> T:
        try:
            return await work
        finally:
            await options.close()

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(closing())
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, closing()).result()


def suite_of(tasks: Sequence[Task]) -> Suite:
    """The task set by content."""
    files = {task.id: task.sha256 for task in tasks}
    common = [parts[0] for parts in zip(*(task.id.split("/") for task in tasks), strict=False) if len(set(parts)) == 1]
    name = "/".join(common) or "tasks"
    return Suite(name=name, sha256=sha256_json(files), files=files)


def plan_of(tasks: Sequence[Task]) -> dict[str, Any]:
    """What a manifest's plan says of the tasks: criteria, where they lie, and the versions of those that have one."""
    versions = {task.id: task.version for task in tasks if task.version != UNVERSIONED}
    return {
        "tasks": {task.id: len(task.criteria) for task in tasks},
        **({"versions": versions} if versions else {}),
        "sources": sorted({str(task.folder) for task in tasks}),
    }


def notes_of(tasks: Sequence[Task]) -> list[str]:
    """What the tasks' loader remarked, one line a remark with the tasks it is about."""
    about: dict[str, list[str]] = {}
    for task in tasks:
        for note in task.notes:
            about.setdefault(note, []).append(task.id)
    more = {note: f" and {len(ids) - 3} more" if len(ids) > 3 else "" for note, ids in about.items()}
    return [f"{', '.join(ids[:3])}{more[note]}: {note}" for note, ids in about.items()]


class Flow:
    """One system on all tasks: a run folder, its trials, its verdicts.

    `only`: the (task id, trial) pairs to work this time; the others stay planned, for a later command.
    `reuse`: a finished run of an agent that is not ours is taken too, though what its code imports is not known.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        system: System,
        grader: Grader,
        options: Options,
        only: Collection[tuple[str, int]] | None = None,
        *,
        reuse: bool = False,
    ) -> None:
        self.only, self.reuse = only, reuse
        self.tasks = list(tasks) if grader.judging.name != "lab-compat" else [without_checks(task) for task in tasks]
        self.system, self.grader, self.options = system, grader, options
        self.manifest = self._manifest()
        self.path = self._place()
        stored = read_manifest(self.path) if (self.path / "run.json").exists() else None
        if stored:
            self.manifest.plan["trials"] = max(options.trials, stored.plan.get("trials", 0))
        self.stored = stored
        self.stopped = ""

    def _manifest(self) -> Manifest:
        sandbox = self.system.sandbox
        manifest = Manifest(
            kind="lab",
            suite=suite_of(self.tasks),
            system={"name": self.system.name, **self.system.settings()},
            protocol=self.grader.protocol(),
            environment={
                **environment(PACKAGES),
                "sandbox": {"name": sandbox.name, **sandbox.facts} if sandbox else {"name": "none", "shell": False},
            },
            plan={"trials": self.options.trials, **plan_of(self.tasks)},
            notes=notes_of(self.tasks),
        )
        if self.system.agent.needs_model and self.system.profile.memory:
            manifest.notes.append("the harness has a memory: trials of one task are not independent")
        if self.system.agent.privileged:
            manifest.notes.append(
                f"{self.system.agent.name} is an audit agent that sees the rubric or the reference; no score"
            )
        if sandbox and sandbox.name == "local":
            manifest.notes.append("--unsafe-local: the agent's commands ran without a sandbox")
        return manifest

    def _place(self) -> Path:
        self.manifest.identity = identity(self.manifest)
        label = f"{slug(self.manifest.suite.name)}-{slug(self.system.name)}-{self.manifest.identity[:8]}"
        reuse = self.reuse or self.ours
        return place_run(self.options.out, label, fresh=self.options.fresh, resume=True, reuse=reuse)

    @property
    def ours(self) -> bool:
        """Whether all code of the agent is in the identity of the run."""
        return self.system.agent.name in AGENTS and self.system.agent.name != "command"

    def plan(self) -> Plan:
        """Counts and estimates."""
        results = self.path / "results.jsonl"
        units = read_units(self.path) if results.exists() and results.stat().st_size else []
        done = {unit.key for unit in units if unit.final}
        trials = [(task, trial) for task in self.tasks for trial in range(1, self.manifest.plan["trials"] + 1)]
        wanted = [(task, trial, criterion) for task, trial in trials for criterion in task.criteria]
        left = [(task, c) for task, trial, c in wanted if criterion_key(task.id, trial, c.id) not in done]
        judged = [(task, criterion) for task, criterion in left if not criterion.check]
        calls = len(judged) * len(self.grader.panel.judges) * self.options.votes
        prompts = sum(
            ASSUMED_DELIVERABLE + len(task.instructions) + len(criterion.match_criteria) for task, criterion in judged
        )
        tokens = prompts // CHARACTERS_PER_TOKEN * len(self.grader.panel.judges) * self.options.votes
        prices = [self.options.prices.get(judge.name) for judge in self.grader.panel.judges]
        known = [price for price in prices if price]
        share = tokens // max(len(prices), 1)
        cost = sum(price.of({"input": share, "output": 300 * calls // len(prices)}) for price in known)
        return Plan(
            run=self.path,
            system=self.system.name,
            tasks=len(self.tasks),
            trials=len(trials),
            trials_done=sum(trial_key(task.id, trial) in done for task, trial in trials),
            criteria=len(wanted),
            verdicts_done=len(wanted) - len(left),
            by_check=len(left) - len(judged),
            judge_calls=calls,
            judge_tokens=tokens,
            judge_cost=cost if len(known) == len(prices) else None,
            agent_limit={"trials": len(trials), **self.system.settings()["limits"]},
        )

    async def run(self) -> Outcome:
        """Work and grade what is not there yet."""
        if self.stored and self.stored.status == "complete" and self.stored.plan == self.manifest.plan:
            return outcome_of(self.path, self.stored, reused=True)
        self.manifest.run_id = self.path.name
        writer = RunWriter(self.path, self.manifest)
        began = time.perf_counter()
        try:
            await self._trials(writer)
        except (KeyboardInterrupt, asyncio.CancelledError):
            writer.close("interrupted", error=INTERRUPTED)
            raise
        except BaseExceptionGroup as group:  # a fault of ours or of the disk: what is graded stays
            writer.close("interrupted", error=INTERRUPTED)
            raise group.exceptions[0] from None
        missing = missing_units(self.tasks, writer.manifest.plan["trials"], writer.done)
        earlier = (self.stored.usage.get("wall_seconds") or 0) if self.stored else 0
        usage = {
            **usage_of({**writer.done, **self._latest}.values()),
            "wall_seconds": round(earlier + time.perf_counter() - began, 3),
        }
        broken = [unit for unit in self._latest.values() if isinstance(unit, TrialResult) and not unit.final]
        error = told(writer, missing, broken, self.stopped) if missing else None
        manifest = writer.close("interrupted" if missing else "complete", usage=usage, error=error)
        if not writer.done and not self._latest:
            raise RunError(manifest.error or INTERRUPTED, where=str(self.path))
        return outcome_of(self.path, manifest)

    async def _trials(self, writer: RunWriter) -> None:
        self._latest: dict[tuple[str, ...], Unit] = {}
        trials = range(1, writer.manifest.plan["trials"] + 1)
        jobs = [[(task, trial)] for trial in trials for task in self.tasks]
        if self.system.profile.memory:
            jobs = [[(task, trial) for trial in trials] for task in self.tasks]
        waiting = iter(jobs)
        with track(f"{self.system.name}: trials", len(self.tasks) * len(trials)) as advance:

            async def worker() -> None:
                for job in waiting:
                    broken = False  # a trial that would read the notes of a broken one waits for it
                    for task, trial in job:
                        wanted = self.only is None or (task.id, trial) in self.only
                        if wanted and not self.stopped and not broken:
                            await self._trial(task, trial, writer)
                            broken = trial_key(task.id, trial) not in writer.done
                        advance(1)

            async with asyncio.TaskGroup() as group:
                for _ in range(min(self.options.concurrency, len(jobs))):
                    group.create_task(worker())

    async def _trial(self, task: Task, trial: int, writer: RunWriter) -> None:
        def store(units: Sequence[Unit]) -> None:
            self._latest.update((unit.key, unit) for unit in units)
            writer.append(units, sync=False)

        try:
            result = writer.done.get(trial_key(task.id, trial))
            if not isinstance(result, TrialResult):
                result = await self._worked(task, trial)
                store([result])
            if result.final:
                folder = trial_folder(self.path, task.id, trial) / "deliverables"
                await self._graded(task, result, folder, writer, store)
            writer.append([])
        except BudgetError as error:
            self.stopped = error.message

    async def _graded(
        self, task: Task, trial: TrialResult, folder: Path, writer: RunWriter, store: Callable[[Sequence[Unit]], None]
    ) -> None:
        try:
            await self.grader.grade(task, trial.trial, folder, trial.output, writer.done.keys(), store)
        except OSError:  # the run folder cannot be written
            raise
        except Exception as error:  # a fault of ours: this trial's open verdicts are errors, the others go on
            keys = writer.done.keys() | self._latest.keys()
            left = [c for c in task.criteria if criterion_key(task.id, trial.trial, c.id) not in keys]
            store(errors_for(left, task, trial.trial, "unreadable", f"{type(error).__name__}: {error}"))

    async def _worked(self, task: Task, trial: int) -> TrialResult:
        """What the agent did; a trial that could not even begin is an error of that trial alone."""
        try:
            return await work(task, trial, self.system, self.path, self.options.place)
        except BudgetError:
            raise
        except Exception as error:
            said = str(error) if isinstance(error, EvalsuiteError) else f"{type(error).__name__}: {error}"
            return TrialResult(task=task.id, trial=trial, stop_reason="error", finished=False, error=said, cost=None)


def told(writer: RunWriter, missing: int, broken: Sequence[TrialResult] = (), stopped: str = "") -> str:
    """What a run lacks, and what to do about it."""
    kinds = Counter(unit.error_kind or "error" for unit in writer.errors.values())
    parts = [f"{count} verdicts are errors ({kind})" for kind, count in kinds.most_common()]
    parts += [f"trial {unit.trial} of {unit.task} broke: {unit.error}" for unit in broken[:3]]
    parts += [stopped] if stopped else []
    said = "; ".join(parts or [f"{missing} units are missing"])
    if not broken and not stopped and kinds and kinds.keys() <= {"no_judge", "unreadable"}:
        return said + ("; name a judge for criteria without a check" if "no_judge" in kinds else "")
    return said + "; run the same command again to complete it"


def missing_units(tasks: Sequence[Task], trials: int, done: dict[tuple[str, ...], Unit]) -> int:
    """How many trials and verdicts of the plan are not final."""
    wanted: list[tuple[str, ...]] = []
    for task in tasks:
        for trial in range(1, trials + 1):
            wanted += [trial_key(task.id, trial), *(criterion_key(task.id, trial, c.id) for c in task.criteria)]
    return sum(key not in done for key in wanted)


def outcome_of(path: Path, manifest: Manifest, *, reused: bool = False) -> Outcome:
    """A run folder as it stands, its numbers derived anew and stored."""
    summary = write_summary(path)
    if not isinstance(summary, LabSummary):
        raise RunError("is not a lab run", where=str(path))
    return Outcome(path, manifest, summary, reused)

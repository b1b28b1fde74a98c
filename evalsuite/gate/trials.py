"""The selected trials of a session's agents, all files and systems together in one event loop."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from evalsuite.errors import UsageError
from evalsuite.gate.evalfile import LabGate, needs_model
from evalsuite.gate.modules import at_home, modules_of
from evalsuite.gate.plan import OneTrial, Overall, Worker
from evalsuite.gate.work import BROKEN, DIED, Done, EvalFile, Notes, asking, told
from evalsuite.lab.agents import Limits, create
from evalsuite.lab.evaluate import Flow
from evalsuite.lab.options import Options
from evalsuite.lab.task import Task, load_tasks
from evalsuite.lab.trial import System
from evalsuite.models import parse_price
from evalsuite.records import CriterionResult, criterion_key, trial_key
from evalsuite.storage import RunWriter, read_units

AS_NAMED = (
    "judges",
    "judging",
    "votes",
    "aggregation",
    "trials",
    "concurrency",
    "base_url",
    "judge_base_url",
    "temperature",
    "judge_temperature",
    "max_output_tokens",
    "max_cost",
    "sandbox",
    "unsafe_local",
    "strict_names",
)


class _Flow(Flow):
    """Begins nothing that another process of the session had begun before it died."""

    def __init__(self, notes: Notes, code: list[str], *about: Any) -> None:
        self.notes, self.code = notes, code
        self.died: list[str] = []
        super().__init__(*about)

    def _place(self) -> Path:
        place = super()._place()
        return Path(self.notes.first(str(place), "place", self.manifest.identity))

    async def _trial(self, task: Task, trial: int, writer: RunWriter) -> None:
        if self.notes.begin(self.path, task.id, trial):
            await super()._trial(task, trial, writer)
        elif {
            trial_key(task.id, trial),
            *(criterion_key(task.id, trial, c.id) for c in task.criteria),
        } - writer.done.keys():
            self.died.append(f"{task.id}/{trial}")


def work_trials(files: Sequence[EvalFile], out: Path, notes: Notes, *, live: bool) -> list[dict[str, Done]]:
    """Work and grade what is selected of each file: {agent's name: what came of it}.

    What is finished in the run folders is kept. A system that cannot be made or breaks leaves the others alone.
    """
    found: list[dict[str, Done]] = [{} for _ in files]
    opened: list[Options] = []
    flows: dict[str, _Flow] = {}
    first: dict[str, EvalFile] = {}
    for file, done in zip(files, found, strict=True):
        for worker, flow in _flows(file, out, live, done, opened, notes):
            same = flows.setdefault(str(flow.path), flow)
            if why := _at_odds(flow, first.setdefault(str(flow.path), file), same):
                done[worker.name] = Done(error=why)
                continue
            same.manifest.plan["trials"] = max(same.manifest.plan["trials"], flow.manifest.plan["trials"])
            same.only = {*(same.only or ()), *(flow.only or ())}
            done[worker.name] = Done(str(flow.path))
    with modules_of(*{file.path.parent for file in files}), asking(live):
        errors = asyncio.run(_together(list(flows.values()), opened))
    for result in (result for done in found for result in done.values()):
        if result.path in flows:
            flow = flows[result.path]
            result.error, result.stopped, result.died = errors.get(result.path), flow.stopped, flow.died
            if result.error and flow.died:
                result.error = DIED
    return found


def _at_odds(flow: _Flow, other: EvalFile, same: _Flow) -> str | None:
    """Why a run that two files share cannot be worked for this one: money is spent once, under one limit, by one code."""
    mine, theirs = flow.options.max_cost, same.options.max_cost
    if mine != theirs:
        return f"max_cost is {mine} here and {theirs} in {other.path}, which shares this run; give both the same"
    if flow.code != same.code:
        both = f"{', '.join(flow.code)} and {', '.join(same.code)}, which {other.path} names,"
        return f"{both} are alike and make one run, but what they import may differ; keep one of them"
    return None


def _code(worker: Worker) -> list[str]:
    """The files of the modules that a worker names."""
    names = [spec.removeprefix("function:").partition(":")[0] for spec in (worker.agent, worker.model or "")]
    files = [getattr(sys.modules.get(name), "__file__", None) for name in names]
    return [file for file in files if file]


async def _together(flows: Sequence[Flow], opened: Sequence[Options]) -> dict[str, str]:
    """Run all flows; {run folder: why it broke}."""
    try:
        ended = await asyncio.gather(*(flow.run() for flow in flows), return_exceptions=True)
    finally:
        for options in opened:
            await options.close()
    return {
        str(flow.path): told(error)
        for flow, error in zip(flows, ended, strict=True)
        if isinstance(error, BaseException)
    }


def _flows(
    file: EvalFile, out: Path, live: bool, done: dict[str, Done], opened: list[Options], notes: Notes
) -> list[tuple[Worker, _Flow]]:
    """The flows of a file's selected items; what cannot be made is `done` at once, with its error."""
    gate = file.gate
    assert isinstance(gate, LabGate)
    items = [item for item in file.selected if isinstance(item, (OneTrial, Overall)) and file.may_run(item, live)]
    workers = list(dict.fromkeys(item.worker for item in items))
    recorded = not live and any(item.asks for item in items)
    if not notes.begin("load", file.path):
        done.update((worker.name, Done(error=DIED)) for worker in workers)
        return []
    flows = []
    with at_home(file.path.parent), asking(live):
        try:
            options = Options(**_settings(gate), out=out)
            opened.append(options)
            grader = options.grader()
            if recorded and gate.recording:
                for judge in grader.panel.judges:
                    judge.cache.taken |= _votes(gate.recording, judge.name)
            tasks = load_tasks(gate.tasks, gate.select)
        except BROKEN as error:  # of this file alone
            done.update((worker.name, Done(error=told(error))) for worker in workers)
            return []
        for worker in workers:
            try:
                system = _system(worker, gate, options, workers if recorded else None)
                only = _pairs(tasks, [item for item in items if item.worker == worker], gate.trials, system)
                flows.append((worker, _Flow(notes, _code(worker), tasks, system, grader, options, only)))
            except BROKEN as error:
                done[worker.name] = Done(error=told(error))
    notes.end("load", file.path)
    return flows


def _settings(gate: LabGate) -> dict[str, Any]:
    named = {name: getattr(gate, name) for name in AS_NAMED}
    prices = dict(parse_price(f"{model}={price}") for model, price in gate.prices.items())
    return {**named, "prices": prices, "limits": Limits(**gate.limits.model_dump())}


def _system(worker: Worker, gate: LabGate, options: Options, recorded: Sequence[Worker] | None) -> System:
    """The system, or the recording of one that would ask a model."""
    agent = worker.agent
    if recorded is not None and _asks(worker, gate):
        if sum(_asks(one, gate) for one in recorded) > 1:
            raise UsageError(f"the recording {gate.recording} is of one system; several are named that ask a model")
        agent = f"replay:{gate.recording}"
    made = create(agent)
    if made.needs_model and not worker.model:
        raise UsageError(needs_model(agent))
    options.models = [worker.model] if worker.model else []
    options.profiles = [worker.profile]
    [system] = options.systems([made])
    return system


def _asks(worker: Worker, gate: LabGate) -> bool:
    if gate.live is not None:
        return gate.live
    return worker.model is not None and not worker.model.startswith("function:")


def _pairs(
    tasks: Sequence[Task], items: Sequence[OneTrial | Overall], trials: int, system: System
) -> Collection[tuple[str, int]]:
    """What is to be worked: the trials selected, all of them for an overall threshold, and those whose notes a trial reads."""
    if any(isinstance(item, Overall) for item in items):
        return {(task.id, trial) for task in tasks for trial in range(1, trials + 1)}
    chosen = {(item.task, item.trial) for item in items if isinstance(item, OneTrial)}
    if system.agent.needs_model and system.profile.memory:
        return {(task, earlier) for task, trial in chosen for earlier in range(1, trial + 1)}
    return chosen


def _votes(recording: Path, judge: str) -> dict[str, Any]:
    """The votes of a judge in a recorded run, by what was asked."""
    units = read_units(recording) if (recording / "results.jsonl").is_file() else []
    votes = [vote for unit in units if isinstance(unit, CriterionResult) for vote in unit.votes]
    return {vote.key: vote for vote in votes if vote.key and vote.judge == judge}

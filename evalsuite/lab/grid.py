"""Models x harnesses on the same tasks: a grid is checked before anything is spent, then worked as ordinary runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from evalsuite.errors import UsageError
from evalsuite.lab import evaluate
from evalsuite.lab.agents import Agent, create
from evalsuite.lab.evaluate import Flow, Outcome, Plan
from evalsuite.lab.options import Options
from evalsuite.lab.profiles import load_profile
from evalsuite.lab.task import Task
from evalsuite.records import Manifest

Tasks = str | Path | Sequence[str | Path | Task]
Check = Callable[[list[Manifest]], object]
"""Looks at what the runs of all cells will say of themselves, before anything is spent; raises what speaks against them."""
REUSED = (
    "finished cells of {} are taken as they are: what else that code depends on is not known; --fresh works them again"
)


def run(
    tasks: Tasks,
    agents: Sequence[str | Agent],
    *,
    select: str | None = None,
    check: Check | None = None,
    tell: Callable[[str], object] | None = None,
    **options: Any,
) -> list[Outcome]:
    """Work every cell: one resumable run folder each, as `evaluate.run` makes them. Raises UsageError for what is no grid.

    Finished cells are reused, those of foreign agents too, which `tell` is told; `fresh=True` works them anew.
    """
    chosen = Options(**options)
    flows = _flows(tasks, agents, select, chosen, options, check)
    foreign = [f.system.agent.name for f in flows if f.stored and f.stored.status == "complete" and not f.ours]
    if foreign and tell:
        tell(REUSED.format(", ".join(dict.fromkeys(foreign))))
    return evaluate.in_loop(evaluate.work_all(flows), chosen)


def plan(
    tasks: Tasks,
    agents: Sequence[str | Agent],
    *,
    select: str | None = None,
    check: Check | None = None,
    **options: Any,
) -> list[Plan]:
    """What `run` would do with the same arguments, without doing any of it."""
    return [flow.plan() for flow in _flows(tasks, agents, select, Options(**options), options, check)]


def _flows(
    tasks: Tasks,
    agents: Sequence[str | Agent],
    select: str | None,
    chosen: Options,
    options: dict[str, Any],
    check: Check | None,
) -> list[Flow]:
    """The cells, once nothing speaks against a report on them."""
    _check(agents, options)
    flows = evaluate.flows(tasks, list(agents), select, chosen, reuse=True)
    if check:
        check([flow.manifest for flow in flows])
    trials = {flow.path: flow.manifest.plan["trials"] for flow in flows}
    most = max(trials.values())
    if more := [path for path, number in trials.items() if number > min(trials.values())]:
        raise UsageError(
            f"holds more trials than asked for, and a grid needs the same number everywhere: name --trials {most}, "
            "another -o, or --fresh",
            where=str(next(path for path in more if trials[path] == most)),
        )
    return flows


def _check(agents: Sequence[str | Agent], options: dict[str, Any]) -> None:
    """Every agent takes every profile and every model, and there are two cells or more."""
    models, profiles = list(options.get("models", ())), list(options.get("profiles", ("default",)))
    harnesses = {load_profile(spec).sha256: spec for spec in profiles}
    if len(harnesses) < len(profiles):
        same = [spec for spec in profiles if spec not in harnesses.values()]
        raise UsageError(f"the profile {same[0]!r} is the same as another one that is named; a grid needs each once")
    made = [create(spec) if isinstance(spec, str) else spec for spec in agents]
    uses: dict[tuple[bool, bool], list[str]] = {}
    for agent in made:
        uses.setdefault((agent.needs_model, agent.name.startswith("command:")), []).append(agent.name)
    if len(uses) > 1:
        told = "; ".join(f"{', '.join(names)} takes {_taken(*kind)}" for kind, names in uses.items())
        raise UsageError(f"a grid crosses agents of one kind: {told}")
    needs_model, _ = kind = next(iter(uses), (False, False))
    cells = len(made) * (len(harnesses) if needs_model else 1) * (max(len(models), 1) if any(kind) else 1)
    if cells < 2:
        raise UsageError(
            f"a grid needs two models or two harnesses; found {cells} cell: name more agents, profiles or models"
        )


def _taken(needs_model: bool, command: bool) -> str:
    return (
        "a model and a profile" if needs_model else "a model's name alone" if command else "neither model nor profile"
    )

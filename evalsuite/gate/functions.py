"""The same gates for people who write Python: run, then assert."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalsuite.errors import RunError, UsageError, shown
from evalsuite.gate import OUT
from evalsuite.gate.errors import GateError, GateSkipped, RegressionError
from evalsuite.gate.evalfile import MARGIN

if TYPE_CHECKING:
    from evalsuite.lab.evaluate import Outcome as LabOutcome
    from evalsuite.lab.task import Task
    from evalsuite.retrieval.corpus import Corpus
    from evalsuite.retrieval.evaluate import Outcome
    from evalsuite.retrieval.retrievers.base import Retriever

NAMES = ("models", "judges", "profiles")
"""Keywords of `run_task` that are lists of names; None is the default."""


def evaluate_retriever(
    corpus: str | Path | Corpus, retriever: str | Retriever, *, out: str | Path = OUT, **options: Any
) -> Outcome:
    """Score one retriever on one corpus, into a run folder under `out`; keywords are those of `evalsuite.evaluate`.

    Raises GateError, which is no failed assertion, if the retriever crashes.
    """
    from evalsuite.retrieval.evaluate import evaluate

    try:
        [outcome] = evaluate(corpus, [retriever], out=out, **options)
    except SystemExit as error:
        raise GateError(f"the retriever gave no result: SystemExit: {error}") from error
    if outcome.summary is None:
        name = outcome.manifest.system["name"]
        raise GateError(f"the retriever {name} gave no result: {outcome.manifest.error}", where=str(outcome.path))
    return outcome


def run_task(task: str | Path | Task, agent: str, *, out: str | Path = OUT, **options: Any) -> LabOutcome:
    """Let one agent work one task and grade what it delivers, into a run folder under `out`; keywords are those of `evalsuite.lab_run`.

    Raises GateError, with the reasons, while a verdict is an error or the agent broke, and GateSkipped if `max_cost` is spent.
    """
    from evalsuite.gate.thresholds import failed_criteria
    from evalsuite.lab.evaluate import Flow, in_loop
    from evalsuite.lab.options import Options
    from evalsuite.lab.task import Task, load_tasks
    from evalsuite.records import CriterionResult
    from evalsuite.storage import read_units

    given = {name: value for name, value in options.items() if name not in NAMES or value is not None}
    chosen = Options(out=Path(out), **given)
    tasks = [task] if isinstance(task, Task) else load_tasks([task])
    systems = chosen.systems([agent])
    if len(tasks) != 1 or len(systems) != 1:
        raise UsageError(f"run_task takes one task and one system; found {len(tasks)} and {len(systems)}")
    flow = Flow(tasks, systems[0], chosen.grader(), chosen)
    try:
        outcome = in_loop(flow.run(), chosen)
    except RunError as error:
        if flow.stopped:
            raise GateSkipped(f"budget: {flow.stopped}", where=str(flow.path)) from error
        raise
    if outcome.summary.all_pass.rate is not None:
        return outcome
    if chosen.budget.exhausted:
        raise GateSkipped(f"budget: {outcome.manifest.error}", where=str(outcome.path))
    verdicts = [unit for unit in read_units(outcome.path) if isinstance(unit, CriterionResult)]
    why = "; ".join(outcome.summary.problems)
    raise GateError(why, where=str(outcome.path), lines=failed_criteria(verdicts, "error"))


def models_of(options: Mapping[str, Any]) -> list[str]:
    """The models that keywords of `run_task` name. Raises UsageError for what is no list of names."""
    from evalsuite.lab.options import require_names

    for name in NAMES:
        if options.get(name) is not None:
            require_names(name, options[name])
    return [*(options.get("models") or ()), *(options.get("judges") or ())]


def assert_no_regression(
    run: str | Path | Outcome | LabOutcome,
    baseline: str | Path | Outcome | LabOutcome,
    measure: str = "nDCG@10",
    margin: float = MARGIN,
    *,
    mechanism: str | None = None,
) -> None:
    """Assert that a run is no worse than a baseline by more than `margin`: the lower end of the paired difference's 95 % interval.

    `run` and `baseline` are outcomes or run folders; of agents `measure` is all_pass or criterion_rate_macro.
    Raises RegressionError, an AssertionError with the difference and the worst queries or criteria, and GateError with the
    reasons for runs that cannot be compared; UsageError for a margin that is no number of 0 or more.
    """
    __tracebackhide__ = True
    from evalsuite.gate.thresholds import message, no_regression
    from evalsuite.reporting.sections import read_section

    if not (isinstance(margin, (int, float)) and 0 <= margin < math.inf):
        raise UsageError(f"margin must be a number of 0 or more; found {shown(margin)}")
    folder, other = (Path(one) if isinstance(one, (str, Path)) else one.path for one in (run, baseline))
    new, old = read_section(folder), read_section(other)
    finding = no_regression(new, old, measure, margin, mechanism=mechanism)
    if not finding.met:
        title = f"{new.manifest.suite.name}/{new.manifest.system.get('name', new.run_id)}: "
        raise RegressionError(message(title, [finding], str(folder)))

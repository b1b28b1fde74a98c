"""What a rubric is worth: the reference, corrupted twins and agents that do no work, against every criterion.

A rubric can be trusted if the reference passes all of it, each corrupted twin fails exactly its own criterion, and whoever
does not do the work passes next to nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evalsuite.errors import UsageError
from evalsuite.lab.agents.audit import Reference
from evalsuite.lab.evaluate import Flow, Outcome, in_loop
from evalsuite.lab.findings import Finding, listed
from evalsuite.lab.lint import lint
from evalsuite.lab.options import Options
from evalsuite.lab.task import Criterion, Task, load_tasks
from evalsuite.lab.trial import hashes
from evalsuite.records import CriterionResult, TrialResult
from evalsuite.storage import read_units, sha256_json

REFERENCE = "reference"
ADVERSARIES = ("empty", "parrot", "title-echo", "injector", "stuffing")
MOST = 0.2
"""An adversary must stay under this share of a task's criteria."""
RULES = {
    "criterion-leak": "leaked",
    "rubric-leak": "leaked",
    "compound-criterion": "compound",
    "reference-fails": "unsatisfiable",
    **{rule: rule for rule in ("corrupted-passes", "corrupted-fails-others", "corrupted-unknown", "no-corrupted-twin")},
}
"""Rules of the linter that belong to an audit -> their names here."""


@dataclass(frozen=True)
class TaskAudit:
    """One task: what each agent reached on each criterion, which twins are exact, and what is wrong."""

    task: Task
    results: dict[str, dict[str, CriterionResult]]
    """Agent -> criterion id -> verdict. An agent that did not run is not there."""
    twins: dict[str, str]
    """Name of a folder in corrupted/ -> "exact", or what is wrong with it."""
    findings: list[Finding]

    def verdict(self, agent: str, criterion: str) -> bool | None:
        """True for pass, False for fail, None where nothing was judged."""
        return _verdict(self.results.get(agent, {}).get(criterion))

    def reached(self, agent: str) -> dict[str, Any]:
        """{passed, judged, total, share, all_pass}; share is of what was judged, all_pass null unless that is everything."""
        verdicts = [self.verdict(agent, criterion.id) for criterion in self.task.criteria]
        passed, judged = verdicts.count(True), len(verdicts) - verdicts.count(None)
        return {
            "passed": passed,
            "judged": judged,
            "total": len(verdicts),
            "share": passed / judged if judged else None,
            "all_pass": passed == judged if judged == len(verdicts) else None,
        }

    def as_json(self) -> dict[str, Any]:
        """The task's part of `lab audit --json`."""
        return {
            "task": self.task.id,
            "agents": {agent: self.reached(agent) for agent in self.results},
            "corrupted": {"exact": list(self.twins.values()).count("exact"), "total": len(self.twins)},
            "criteria": [
                {
                    "id": criterion.id,
                    "title": criterion.title,
                    "verdicts": {agent: self.verdict(agent, criterion.id) for agent in self.results},
                    "corrupted": self.twins.get(criterion.id),
                }
                for criterion in self.task.criteria
            ],
            "findings": [asdict(finding) for finding in self.findings],
        }


@dataclass(frozen=True)
class Audit:
    """All tasks, and the run folders that the verdicts stand in."""

    tasks: list[TaskAudit]
    runs: dict[str, Path]
    most: float

    @property
    def findings(self) -> list[Finding]:
        return [finding for task in self.tasks for finding in task.findings]


def audit(
    tasks: str | Path | Sequence[str | Path], *, select: str | None = None, most: float = MOST, **options: Any
) -> Audit:
    """Run the reference and every adversary on the tasks, prove the twins, and say what is wrong with which criterion.

    `most`: the share of a task's criteria that an adversary must stay under. Other keywords are the fields of
    `options.Options`; finished runs are taken as they are. Raises EvalsuiteError for input that cannot be used.
    """
    if not 0 < most <= 1:
        raise UsageError(f"most must be a share above 0 and up to 1; found {most}")
    loaded = load_tasks([tasks] if isinstance(tasks, (str, Path)) else tasks, select)
    if not loaded:
        raise UsageError("no task is named")
    linted = lint(loaded)
    chosen = Options(**options)
    outcomes = in_loop(_run(_flows(loaded, chosen)), chosen)
    units = {agent: read_units(outcome.path) for agent, outcome in outcomes.items()}
    audits = []
    for task in loaded:
        results: dict[str, dict[str, CriterionResult]] = {}
        broken = {}
        for agent, found in units.items():
            mine = [unit for unit in found if isinstance(unit, (CriterionResult, TrialResult)) and unit.task == task.id]
            trials = [unit for unit in mine if isinstance(unit, TrialResult)]
            if trials and trials[-1].final:
                results[agent] = {unit.id: unit for unit in mine if isinstance(unit, CriterionResult)}
            elif agent != REFERENCE or task.reference.is_dir():
                broken[agent] = (trials[-1].error if trials else outcomes[agent].manifest.error) or "it did not run"
        told = [finding for finding in linted if finding.where == task.id or finding.where.startswith(f"{task.id} ")]
        audits.append(_judged(task, results, broken, told, most))
    return Audit(audits, {agent: outcome.path for agent, outcome in outcomes.items()}, most)


def _flows(tasks: Sequence[Task], options: Options) -> dict[str, Flow]:
    grader = options.grader()
    gold = [task for task in tasks if task.reference.is_dir()]
    reference = Reference(sha256_json({task.id: hashes(task.reference) for task in gold}))
    systems = options.systems([*([reference] if gold else []), *ADVERSARIES])
    return {
        system.name: Flow(gold if system.name == REFERENCE else tasks, system, grader, options) for system in systems
    }


async def _run(flows: dict[str, Flow]) -> dict[str, Outcome]:
    return {agent: await flow.run() for agent, flow in flows.items()}


def _verdict(result: CriterionResult | None) -> bool | None:
    return None if result is None or result.verdict == "error" else result.verdict == "pass"


def _judged(
    task: Task,
    results: dict[str, dict[str, CriterionResult]],
    broken: dict[str, str],
    linted: Sequence[Finding],
    most: float,
) -> TaskAudit:
    wrong = {finding.where: finding for finding in linted if finding.where.startswith(f"{task.id} corrupted/")}
    places = {name: wrong.get(f"{task.id} corrupted/{name}") for name in task.twins}
    twins = {name: finding.message if finding else "exact" for name, finding in places.items()}
    passing = {name for name, finding in places.items() if finding and finding.rule == "corrupted-passes"}
    found = TaskAudit(task, results, twins, [])
    for agent in results:
        if agent != REFERENCE:
            found.findings.extend(_too_easy(found, agent, most))
    for criterion in task.criteria:
        found.findings.extend(_criterion(found, criterion, passing))
    known = {(finding.rule, finding.where) for finding in found.findings}
    for finding in linted:
        rule = RULES.get(finding.rule, "")
        if rule and (rule, finding.where) not in known:
            found.findings.append(Finding(rule, finding.severity, finding.where, finding.message))
    found.findings.extend(_undone(found, broken))
    return found


def _too_easy(found: TaskAudit, agent: str, most: float) -> Iterator[Finding]:
    reached = found.reached(agent)
    if reached["all_pass"] or (reached["passed"] and reached["share"] >= most):
        ids = [criterion.id for criterion in found.task.criteria if found.verdict(agent, criterion.id)]
        what = f"{agent} passes {reached['passed']} of {reached['judged']} criteria without doing the work"
        message = f"{what} ({reached['share']:.0%}; under {most:.0%} is wanted): {', '.join(ids)}"
        yield Finding("too-easy", "error", found.task.id, message)


def _criterion(found: TaskAudit, criterion: Criterion, passing: set[str]) -> Iterator[Finding]:
    where = f"{found.task.id} {criterion.id}"
    gold = found.verdict(REFERENCE, criterion.id)
    if gold is False:
        votes = found.results[REFERENCE][criterion.id].votes
        why = next((vote.reasoning for vote in votes if vote.verdict == "fail"), "")
        yield Finding("unsatisfiable", "error", where, f"the reference fails it: {why}".removesuffix(": "))
    if fooled := [agent for agent in found.results if agent != REFERENCE and found.verdict(agent, criterion.id)]:
        yield Finding("trivial", "warning", where, f"passed without doing the work, by {listed(fooled)}")
    others = [found.verdict(agent, criterion.id) for agent in found.results if agent != REFERENCE]
    seen = {verdict for verdict in others if verdict is not None}
    if criterion.id in found.twins:
        seen.add(criterion.id in passing)
    if gold is not None and seen == {gold}:
        message = f"everybody {'passes' if gold else 'fails'} it, the reference like the others: it tells nothing apart"
        yield Finding("not-discriminating", "warning", where, message)


def _undone(found: TaskAudit, broken: dict[str, str]) -> Iterator[Finding]:
    """What the audit could not do, so that nobody takes silence for a clean bill."""
    task, total = found.task, len(found.task.criteria)
    for agent, why in broken.items():
        yield Finding("not-run", "error", task.id, f"{agent} did not run: {why}")
    if not task.reference.is_dir():
        message = "there is no reference/: whether good work passes is not known"
        yield Finding("no-reference", "warning", task.id, message)
    if not found.twins:
        message = "there is no corrupted/: whether a planted mistake is noticed is not known"
        yield Finding("no-corrupted", "warning", task.id, message)
    verdicts = [result for results in found.results.values() for result in results.values()]
    for kind in sorted({result.error_kind for result in verdicts if result.error_kind}):
        ids = list(dict.fromkeys(result.id for result in verdicts if result.error_kind == kind))
        if kind == "no_judge":
            message = f"{len(ids)} of {total} criteria have no check and no judge is named (--judge): {listed(ids)}"
            yield Finding("not-judged", "warning", task.id, f"not judged: {message}")
        else:
            yield Finding("not-judged", "error", task.id, f"not judged, with the error {kind}: {listed(ids)}")
    for agent in found.results:
        said = {vote.judge for result in found.results[agent].values() for vote in result.votes}
        if agent not in ("empty", REFERENCE) and said == {"deliverable"}:
            message = (
                f"{agent} cannot make {listed(list(task.deliverables)) or 'the deliverable'}: it proves nothing here"
            )
            yield Finding("not-tried", "warning", task.id, message)
    if not any(_looked_at(result) for result in verdicts):
        message = "nothing could be judged: this audit says nothing about whether the criteria tell good work from bad"
        yield Finding("nothing-judged", "error", task.id, message)


def _looked_at(result: CriterionResult) -> bool:
    """True for a verdict on what was written, not on a file that is not there."""
    return result.verdict != "error" and any(vote.judge != "deliverable" for vote in result.votes)

"""One item of an eval file: run, and judged; its numbers, and the words for what does not hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from evalsuite.gate.errors import GateError, GateSkipped
from evalsuite.gate.evalfile import LabGate, RetrievalGate
from evalsuite.gate.plan import OneTrial, Pair, Planned
from evalsuite.gate.running import Session
from evalsuite.gate.thresholds import Finding, failed_criteria, message, of_retrieval, of_run, of_trial
from evalsuite.gate.work import DIED, Done, EvalFile
from evalsuite.labtrials import Trial, trials_of
from evalsuite.records import LabSummary, Summary
from evalsuite.reporting.sections import Section

Numbers = dict[str, str | float | int]


@dataclass
class Judged:
    """What an item came to."""

    numbers: Numbers = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    folder: str = ""

    @property
    def met(self) -> bool:
        return all(finding.met for finding in self.findings)

    @property
    def said(self) -> str:
        return "; ".join(finding.said for finding in self.findings)

    def failure(self) -> str:
        """Every threshold that is not met, with what is to blame."""
        return message("", self.findings, self.folder)


def judge(session: Session, files: Sequence[EvalFile], file: EvalFile, item: Planned, into: Judged) -> None:
    """Run an item and hold it against its thresholds. What is known is put `into` as it becomes known.

    Raises GateError where there is no number to judge, GateSkipped where nothing was run for a reason.
    """
    done = session.pair(file, item) if isinstance(item, Pair) else session.worker(files, file, item)
    into.folder = done.path or ""
    section = session.section(done)
    if section is not None:
        into.numbers |= facts(section)
    if isinstance(item, Pair):
        if done.error or section is None:
            raise GateError(f"the retriever {item.system} gave no result: {done.error}", where=into.folder)
        assert isinstance(file.gate, RetrievalGate)
        into.findings = of_retrieval(section, file.gate.thresholds)
        return
    assert isinstance(file.gate, LabGate)
    if (done.error and not done.stopped) or section is None:
        raise GateError(f"the agent {item.worker.name} gave no result: {done.error}", where=into.folder)
    if isinstance(item, OneTrial):
        trial = _graded(section, item, done)
        into.numbers |= _of_trial(trial)
        _require_verdicts(section, trial, item, done)
        into.findings = of_trial(trial, file.gate.thresholds)
    else:
        into.numbers |= _of_run(section)
        whole = isinstance(section.summary, LabSummary) and section.summary.all_pass.rate is not None
        if done.stopped and not whole:
            raise GateSkipped(f"budget: {done.stopped}")
        if done.died and not whole:
            raise GateError(f"{DIED}: {', '.join(done.died)}", where=into.folder)
        into.findings = of_run(section, file.gate.overall)


def facts(section: Section) -> Numbers:
    """What a run was, and the measures of a retriever with their intervals, as junit properties."""
    manifest = section.manifest
    found: Numbers = {
        "run": str(section.folder),
        "system": str(manifest.system.get("name", "")),
        "suite": manifest.suite.name,
        "suite_sha256": manifest.suite.sha256,
        "protocol": str(manifest.protocol.get("id", "")),
        "cost": manifest.usage.get("cost", "unknown"),
    }
    if isinstance(section.summary, Summary):
        for name, value in section.summary.measures.items():
            found[name] = round(value.mean, 6)
            if value.low is not None and value.high is not None:
                found |= {f"{name}.low": round(value.low, 6), f"{name}.high": round(value.high, 6)}
    return found


def _of_trial(trial: Trial) -> Numbers:
    passes, record = trial.passes(), trial.record
    votes = [vote for criterion in trial.criteria for vote in criterion.votes if not vote.cached]
    costs = [vote.cost for vote in votes] + ([record.cost] if record else [])
    known = [cost for cost in costs if cost is not None]
    return {
        "all_pass": "unknown" if passes is None else str(passes).lower(),
        "n_passed": sum(criterion.verdict == "pass" for criterion in trial.criteria),
        "n_criteria": trial.n_criteria,
        "n_errors": sum(criterion.verdict == "error" for criterion in trial.criteria),
        "stop_reason": record.stop_reason if record else "unknown",
        "cost": sum(known) if len(known) == len(costs) else "unknown",
    }


def _of_run(section: Section) -> Numbers:
    summary = section.summary
    if not isinstance(summary, LabSummary):
        return {}
    found: Numbers = {"n_errors": summary.criteria["errors"], "n_criteria": summary.criteria["total"]}
    for name in ("all_pass", "criterion_rate"):
        rate = getattr(summary, name)
        pairs = {name: rate.rate, f"{name}.low": rate.low, f"{name}.high": rate.high}
        found |= {key: round(value, 6) for key, value in pairs.items() if value is not None}
    return found


def _graded(section: Section, item: OneTrial, done: Done) -> Trial:
    trials = trials_of(section.manifest, section.units).get(item.task, [])
    for trial in trials:
        if trial.number == item.trial:
            return trial
    if item.key in done.died:
        raise GateError(f"{item.name} has no result: {DIED}", where=str(section.folder))
    if done.stopped:
        raise GateSkipped(f"budget: {done.stopped}")
    raise GateError(f"{item.name} was not worked", where=str(section.folder))


def _require_verdicts(section: Section, trial: Trial, item: OneTrial, done: Done) -> None:
    """Raise for a trial that is not graded in full: a budget that ran out is a reason to skip, all else an error."""
    open_ = [criterion for criterion in trial.criteria if criterion.verdict == "error"]
    partly = trial.record is not None and trial.record.final and len(trial.criteria) < trial.n_criteria
    if partly and item.key in done.died:
        raise GateError(f"{item.name}: {trial.ungraded()}; {DIED}", where=str(section.folder))
    if (open_ or partly) and all(criterion.error_kind == "budget" for criterion in open_) and (open_ or done.stopped):
        raise GateSkipped(f"budget: {done.stopped or open_[0].votes[0].reasoning}")
    if why := trial.ungraded():
        lines = failed_criteria(trial.criteria, "error")
        raise GateError(f"{trial.task}, trial {trial.number}: {why}", where=str(section.folder), lines=lines)

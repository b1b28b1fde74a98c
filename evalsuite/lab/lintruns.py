"""What stored runs say of a rubric: criteria that no system ever passes, and criteria that every system always passes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from evalsuite.errors import RunError
from evalsuite.lab.agents import AGENTS
from evalsuite.lab.findings import Finding
from evalsuite.lab.task import Task
from evalsuite.records import CriterionResult
from evalsuite.storage import read_manifest, read_units

LEAST_SYSTEMS = 3
AUDITS = {name for name, (module, _) in AGENTS.items() if module == "audit"}
"""Agents that are made to pass or to fail: their verdicts say nothing here."""
RULES = {"fail": ("never-passed", "none passes it"), "pass": ("always-passed", "all pass it")}


def lint_runs(tasks: Sequence[Task], runs: Sequence[Path]) -> Iterator[Finding]:
    """Warnings over lab runs on just these contents of the tasks, where 3 systems or more have verdicts on a criterion.

    Runs of audit agents and on other contents are passed over. Raises RunError for what is no lab run.
    """
    contents = {task.id: task.sha256 for task in tasks}
    verdicts: dict[tuple[str, str], dict[str, set[str]]] = {}
    for run in runs:
        manifest = read_manifest(run)
        if manifest.kind != "lab":
            raise RunError(f"is a {manifest.kind} run; tasks have lab runs", where=str(run))
        if manifest.system.get("agent") in AUDITS:
            continue
        known = {task for task, digest in contents.items() if manifest.suite.files.get(task) == digest}
        system = str(manifest.system.get("name"))
        for unit in read_units(run):
            if isinstance(unit, CriterionResult) and unit.final and unit.task in known:
                verdicts.setdefault((unit.task, unit.id), {}).setdefault(system, set()).add(unit.verdict)
    for (task, criterion), by_system in verdicts.items():
        said = set().union(*by_system.values())
        if len(by_system) >= LEAST_SYSTEMS and len(said) == 1:
            rule, told = RULES[said.pop()]
            yield Finding(rule, "warning", f"{task} {criterion}", f"{told}, of {len(by_system)} systems in any trial")

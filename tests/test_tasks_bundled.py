"""Every task under tasks/ can be trusted: its rubric passes good work, finds each planted mistake, and no trick gets past it."""

import json
import re
from pathlib import Path

import pytest

from evalsuite.lab.audit import ADVERSARIES
from evalsuite.lab.evaluate import run
from evalsuite.lab.task import Task, load_tasks

ROOT = Path(__file__).parents[1]
TASKS = load_tasks([ROOT / "tasks"])
AREAS = {
    "banking-finance",
    "corporate-ma",
    "data-privacy-cybersecurity",
    "employment-labor",
    "insurance",
    "intellectual-property",
    "litigation-dispute-resolution",
    "real-estate",
}
KINDS = {".docx", ".xlsx", ".eml", ".pdf", ".txt"}

every_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.id)


def log(task: Task) -> dict[str, list[str]]:
    """Criterion id -> the other cells of its row in the refutation log of README.md."""
    text = (task.folder / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| *(C-\d{3}) *\|(.*)\|\s*$", text.split("Refutation log")[1], re.MULTILINE)
    return {name: [cell.strip() for cell in rest.split("|")] for name, rest in rows}


def test_every_area_has_a_task():
    assert {task.id.split("/")[0] for task in TASKS} == AREAS


def test_the_audit_finds_nothing_that_is_wrong(cli, tmp_path, shared_cache):
    done = cli("lab", "audit", ROOT / "tasks", "--json", "-o", tmp_path, "--cache", shared_cache)
    assert done.code == 0, done.stderr
    found = {entry["task"]: entry for entry in json.loads(done.stdout)["tasks"]}
    assert found.keys() == {task.id for task in TASKS}
    for task in TASKS:
        entry = found[task.id]
        total = len(task.criteria)
        assert entry["agents"]["reference"]["passed"] == total, task.id
        assert entry["corrupted"] == {"exact": total, "total": total}, task.id
        for name in ADVERSARIES:
            reached = entry["agents"][name]
            assert reached["judged"] == total, (task.id, name)
            assert reached["passed"] < 0.2 * total, (task.id, name)
            assert reached["all_pass"] is False, (task.id, name)
        assert {finding["rule"] for finding in entry["findings"]} <= {"trivial"}, task.id


def test_lint_finds_nothing_but_what_is_contested(cli):
    done = cli("lab", "lint", ROOT / "tasks", "--json")
    assert done.code == 0, done.stderr
    assert {finding["rule"] for finding in json.loads(done.stdout)["findings"]} <= {"contested"}


def test_the_extractive_baseline_is_neither_hopeless_nor_done(tmp_path, shared_cache):
    [outcome] = run(ROOT / "tasks", ["extractive"], out=tmp_path, cache=shared_cache)
    assert len(outcome.summary.trials) == len(TASKS)
    shares = {trial.task: trial.n_passed / trial.n_criteria for trial in outcome.summary.trials}
    assert {name: share for name, share in shares.items() if not 0.05 <= share <= 0.5} == {}


@every_task
def test_a_matter_has_the_papers_and_the_rubric_of_one(task: Task):
    kinds = [path.suffix for path in task.document_files()]
    assert set(kinds) >= KINDS
    assert 5 <= len(kinds) <= 11
    assert 20 <= len(task.criteria) <= 35
    checked = [criterion for criterion in task.criteria if criterion.check is not None]
    assert len(checked) >= 0.6 * len(task.criteria)
    assert any(criterion.critical for criterion in task.criteria)
    assert task.version
    assert [name for name in task.deliverables if f"`{name}`" not in task.instructions] == []
    assert 30 <= len(task.instructions.split()) <= 80


@every_task
def test_the_log_tells_of_two_readings_of_each_criterion(task: Task):
    rows = log(task)
    assert sorted(rows) == [criterion.id for criterion in task.criteria]
    assert [name for name, cells in rows.items() if len(cells) < 3 or not all(cells[:2])] == []
    assert [name for name, cells in rows.items() if any("pending" in cell.lower() for cell in cells)] == []

"""evalsuite lab at the command line: what each command prints for people and for programs, and what it says to bad input."""

import fcntl
import io
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import write_beir
from labkit import CRITERIA, MEMO, write_task
from rich.console import Console

from evalsuite.lab.evaluate import run
from evalsuite.records import LabSummary
from evalsuite.reporting.console import tables
from evalsuite.storage import read_manifest
from evalsuite.summary import read_summary

HERE = Path(__file__).parent
BUNDLED = HERE.parent / "tasks" / "corporate-ma" / "change-of-control-review"
EVALSUITE = str(Path(sys.executable).parent / "evalsuite")
MODELS = ("--model", "function:labkit:associate", "--judge", "function:labkit:judge")


@pytest.fixture
def tasks(tmp_path):
    """tasks/area/{checked, judged}: one whose criteria are all checks, one without any."""
    write_task(tmp_path / "tasks" / "area" / "checked", checks=True)
    write_task(tmp_path / "tasks" / "area" / "judged")
    return tmp_path / "tasks"


@pytest.fixture
def checked(tasks):
    return tasks / "area" / "checked"


def document(result):
    """The one JSON document on stdout."""
    assert result.stdout.count("\n{\n") == 0, "one document"
    return json.loads(result.stdout)


def ran(command, *arguments):
    """The run folder of a command that ended well."""
    result = command(*arguments, "--json")
    assert result.code == 0, result
    return Path(document(result)["run"])


def tree(folder):
    found = (path for path in folder.rglob("*") if "__pycache__" not in path.parts)
    return {str(path): path.read_bytes() if path.is_file() else None for path in found}


# ---------------------------------------------------------------- list, show, lint


def test_list_names_all_that_a_run_can_name(command):
    listed = document(command("lab", "list", "--json"))
    assert set(listed) == {"agents", "profiles", "judging profiles", "aggregations"}
    names = {kind: [entry["name"] for entry in entries] for kind, entries in listed.items()}
    assert names["agents"][:3] == ["react", "extractive", "reference"]
    assert {"replay:PATH", "command:CMD"} <= set(names["agents"])
    assert names["profiles"] == [
        "compact",
        "default",
        "lab",
        "memory",
        "minimal",
        "plan-then-write",
        "review",
        "verify-before-finish",
    ]
    assert names["judging profiles"] == ["full", "lab-compat"]
    assert names["aggregations"] == ["strict", "majority", "mean"]
    assert all(entry["about"] for entries in listed.values() for entry in entries)
    shown = command("lab", "list").stdout
    assert all(name in shown for kind in names for name in (kind, *names[kind]))
    assert "module:callable" in shown


def test_list_of_tasks_is_a_table_or_a_list_of_objects(tasks, command):
    rows = document(command("lab", "list", tasks, "--json"))
    assert [(row["id"], row["n_criteria"], row["n_checks"]) for row in rows] == [
        ("area/checked", 3, 3),
        ("area/judged", 3, 0),
    ]
    shown = command("lab", "list", tasks).stdout
    assert all(text in shown for text in ("area/checked", "Notice on change of control", "memo.md"))
    assert [row["id"] for row in document(command("lab", "list", tasks, "--select", "area/judged", "--json"))] == [
        "area/judged"
    ]


def test_show_has_instructions_documents_and_who_decides_each_criterion(tasks, checked, command):
    shown = command("lab", "show", checked).stdout
    assert "instructions: Read the note" in shown
    assert "documents: note.txt" in shown
    assert "files: task.json, rubric.yaml" in shown
    assert "C-001  Names the notice period  [check: quote]" in shown
    assert "[judge]" in command("lab", "show", tasks, "--select", "area/judged").stdout
    described = document(command("lab", "show", checked, "--json"))
    assert described["criteria"][0]["check"] == {"quote": "ninety days"}
    assert described["documents"] == ["note.txt"]


def test_lint_lists_findings_and_exits_3_on_errors_alone(checked, command):
    result = command("lab", "lint", checked)
    assert result.code == 0
    assert result.stdout.splitlines()[-1].startswith("0 errors, ")
    (checked / "documents" / "rubric.json").write_text('{"match_criteria": "what passes"}')
    assert command("lab", "lint", checked).code == 3
    result = command("lab", "lint", checked, "--json")
    assert result.code == 3
    [error] = [finding for finding in document(result)["findings"] if finding["severity"] == "error"]
    assert set(error) == {"rule", "severity", "where", "message"}
    assert (error["rule"], error["where"]) == ("rubric-leak", "area/checked documents/rubric.json")


# ---------------------------------------------------------------- run


def test_run_grades_the_bundled_task_and_its_reference_passes_everything(tmp_path, command):
    arguments = ["lab", "run", BUNDLED, "--agent", "extractive", "--agent", "empty", "--agent", "reference"]
    result = command(*arguments, "--out", tmp_path / "out", "--json")
    assert result.code == 0
    extractive, empty, reference = document(result)
    assert [entry["system"] for entry in (extractive, empty, reference)] == ["extractive", "empty", "reference"]
    assert extractive["all_pass"]["rate"] == empty["all_pass"]["rate"] == 0
    assert reference["all_pass"] == {"rate": 1, "low": None, "high": None, "n": 1, "n_tasks": 1}
    total = reference["criteria"]["total"]
    assert reference["criteria"].items() >= {"passed": total, "failed": 0, "errors": 0}.items()
    assert empty["criteria"].items() >= {"passed": 0, "failed": total, "errors": 0}.items()
    [trial] = reference["trials"]
    assert {"task", "trial", "all_pass", "n_passed", "n_criteria", "n_errors"} <= trial.keys()
    assert trial["all_pass"] is True

    result = command(*arguments, "--out", tmp_path / "out")
    assert result.code == 0
    assert "corporate-ma/change-of-control-review" in result.stdout
    assert f"0 passed, {total} failed, 0 errors" in result.stdout
    folders = [line.removeprefix("run folder: ") for line in result.stderr.splitlines() if "run folder: " in line]
    assert folders == [entry["run"] for entry in (extractive, empty, reference)]
    assert "note: reference: reference is an audit agent" in result.stderr
    assert result.stderr.count("this run was finished before") == 3


def test_one_system_is_an_object_and_stdout_holds_nothing_else(tasks, tmp_path, cli):
    arguments = ["lab", "run", tasks, "--select", "area/checked", "--agent", "empty", "--out", tmp_path / "out"]
    result = cli(*arguments, "--json")
    entry = json.loads(result.stdout)
    assert (result.code, entry["kind"], entry["status"], entry["suite"]) == (0, "lab", "complete", "area/checked")
    assert result.stderr == f"run folder: {entry['run']}\n"


def test_with_errors_the_rate_is_null_and_the_exit_code_3(tasks, tmp_path, command):
    arguments = ["lab", "run", tasks / "area" / "judged", "--agent", "extractive", "--out", tmp_path / "out"]
    result = command(*arguments, "--json")
    assert result.code == 3
    entry = document(result)
    assert entry["all_pass"].items() >= {"rate": None, "low": None, "high": None, "n_tasks": 1}.items()
    assert entry["criteria"].items() >= {"passed": 0, "failed": 0, "errors": 3, "total": 3}.items()
    assert entry["trials"][0]["all_pass"] is None
    assert "no_judge" in entry["error"]
    result = command(*arguments)
    assert result.code == 3
    assert "null: 3 errors" in result.stdout
    assert "error: extractive: 3 verdicts are errors (no_judge); name a judge for" in result.stderr


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(tasks, tmp_path, command, monkeypatch):
    cache, calls = tmp_path / "cache", tmp_path / "calls"
    monkeypatch.setenv("CALLS", str(calls))
    arguments = ["lab", "run", tasks, "--agent", "react", *MODELS, "--trials", "2", "--votes", "3", "--dry-run"]
    arguments += ["--out", tmp_path / "out", "--cache", cache]
    before = tree(tmp_path)
    result = command(*arguments, "--json")
    assert result.code == 0
    planned = document(result)
    [plan] = planned["runs"]
    assert planned["dry_run"] is True
    counts = {"tasks": 2, "trials": 4, "trials_done": 0, "criteria": 12, "by_check": 6, "judge_calls": 18}
    assert plan.items() >= counts.items()
    assert plan["judge_cost"] is None
    shown = command(*arguments, "--price", "function:labkit:judge=1,2").stdout
    assert "12, 0 done, 6 by check, 6 by judges" in shown
    assert "18 calls" in shown and "USD (estimated)" in shown
    assert "cost unknown (give --price)" in command(*arguments).stdout
    assert tree(tmp_path) == before
    assert not calls.exists()


def test_a_dry_run_tells_of_verdicts_that_nobody_would_give(tasks, tmp_path, command):
    result = command("lab", "run", tasks, "--agent", "empty", "--dry-run", "--out", tmp_path / "out")
    assert "judges: none is named; 3 verdicts will be errors (--judge MODEL)" in result.stdout


def test_what_is_named_twice_counts_once(tasks, tmp_path, command):
    arguments = ["lab", "run", tasks, "--agent", "empty", "--agent", "empty", *MODELS[2:], *MODELS[2:]]
    entry = document(command(*arguments, "--out", tmp_path / "out", "--json"))
    assert (entry["system"], entry["criteria"]["errors"]) == ("empty", 0)
    assert [judge["name"] for judge in read_manifest(Path(entry["run"])).protocol["judges"]] == [MODELS[3]]


def test_the_page_about_the_runs_is_written_on_request(checked, tmp_path, command):
    page = tmp_path / "page.html"
    result = command("lab", "run", checked, "--agent", "empty", "--out", tmp_path / "out", "--report", page)
    assert result.code == 0
    assert f"report: {page}" in result.stderr
    assert "area/checked" in page.read_text()


# ---------------------------------------------------------------- grade, regrade, import, export, verify, report


def test_grade_takes_deliverables_that_anybody_made(checked, tmp_path, command):
    (tmp_path / "work" / "output").mkdir(parents=True)
    (tmp_path / "work" / "output" / "memo.md").write_text(MEMO)
    arguments = ["lab", "grade", tmp_path / "work", "--task", checked, "--out", tmp_path / "out"]
    entry = document(command(*arguments, "--json"))
    assert entry["all_pass"]["rate"] == 1
    assert entry["criteria"].items() >= {"passed": 3, "failed": 0, "errors": 0, "total": 3}.items()
    result = command(*arguments)
    assert (result.code, f"run folder: {entry['run']}" in result.stderr) == (0, True)
    assert command("verify", entry["run"]).code == 0


def test_regrade_gives_a_judge_to_a_run_that_had_none(tasks, tmp_path, command):
    judged = tasks / "area" / "judged"
    entry = document(command("lab", "run", judged, "--agent", "extractive", "--out", tmp_path / "out", "--json"))
    before = tree(Path(entry["run"]))
    arguments = ["lab", "regrade", entry["run"], *MODELS[2:], "--out", tmp_path / "again"]
    again = document(command(*arguments, "--json"))
    assert again["criteria"].items() >= {"errors": 0, "total": 3}.items()
    assert again["run"] != entry["run"]
    assert tree(Path(entry["run"])) == before
    result = command(*arguments)
    assert result.code == 0
    assert f"outputs of {Path(entry['run']).name}, graded again" in result.stderr
    assert command("verify", again["run"]).code == 0


def test_a_lab_run_is_imported_verified_reported_and_exported_as_it_was(shared_data, tmp_path, command):
    source = shared_data / "lab" / "runs" / "run-a"
    arguments = ["lab", "import", source, "--out", tmp_path / "out"]
    entry = document(command(*arguments, "--json"))
    scores = json.loads((source / "scores.json").read_text())
    assert entry["criteria"]["passed"] == scores["n_passed"]
    assert entry["criteria"]["total"] == scores["n_criteria"]
    assert (entry["kind"], entry["system"]) == ("lab", "anthropic/claude-sonnet-4-6")
    result = command(*arguments)
    assert result.code == 0
    assert f"run folder: {entry['run']}" in result.stderr
    assert "imported from a LAB run folder" in result.stderr
    checked = document(command("verify", entry["run"], "--json"))
    assert (checked["ok"], checked["mismatches"]) == (True, [])
    [file] = document(command("lab", "export", entry["run"], "--to", tmp_path / "scores", "--json"))["files"]
    written = json.loads(Path(file).read_text())
    written.pop("evalsuite")
    assert written == scores
    assert command("lab", "export", entry["run"], "--to", tmp_path / "scores").stdout == f"{file}\n"
    page = tmp_path / "page.html"
    assert command("report", tmp_path / "out", "--output", page).code == 0
    assert scores["task"] in page.read_text()


def test_a_report_is_about_retrieval_and_lab_runs_at_once(checked, tmp_path, command):
    out, page = tmp_path / "out", tmp_path / "page.html"
    assert command("retrieval", "run", write_beir(tmp_path / "made"), "-r", "bm25", "--out", out).code == 0
    assert command("lab", "run", checked, "--agent", "empty", "--out", out).code == 0
    result = command("report", out, "--output", page, "--json")
    assert (result.code, document(result)) == (0, {"page": str(page), "runs": 2, "errors": 0})
    assert all(text in page.read_text() for text in ("bm25", "nDCG@10", "area/checked", "empty"))
    assert command("report", out, "--output", page).stdout == f"2 runs -> {page}\n"


def test_a_report_on_a_run_without_a_rate_exits_3(tasks, tmp_path, command):
    assert command("lab", "run", tasks, "--agent", "extractive", "--out", tmp_path / "out").code == 3
    result = command("report", tmp_path / "out", "--output", tmp_path / "page.html", "--json")
    assert (result.code, document(result)["errors"]) == (3, 1)


# ---------------------------------------------------------------- bad input


class Case(NamedTuple):
    """`prepare(folder)` damages what lies there and returns what to run; `{}` in `where` and `says` is the folder."""

    prepare: Callable[[Path], list[object]]
    where: str
    says: str
    kind: str = "bad_input"


def task_file(content: str, where: str, says: str) -> Case:
    """A run of a task whose task.json holds `content`."""

    def prepare(folder: Path) -> list[object]:
        (folder / "tasks/area/checked/task.json").write_text(content)
        return ["lab", "run", folder / "tasks/area/checked", "--agent", "empty"]

    return Case(prepare, "{}/tasks/area/checked/" + where, says)


def changed(where: str, says: str, **keys: object) -> Case:
    """A run of a task whose task.json has these keys."""

    def prepare(folder: Path) -> list[object]:
        file = folder / "tasks/area/checked/task.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | keys))
        return ["lab", "run", folder / "tasks/area/checked", "--agent", "empty"]

    return Case(prepare, "{}/tasks/area/checked/" + where, says)


def beside(name: str, content: str, where: str, says: str) -> Case:
    """A run of a task with this file beside its task.json."""

    def prepare(folder: Path) -> list[object]:
        (folder / "tasks/area/checked" / name).write_text(content)
        return ["lab", "run", folder / "tasks/area/checked", "--agent", "empty"]

    return Case(prepare, "{}/tasks/area/checked/" + where, says)


def option(*written: str, says: str, where: str = "", agent: str = "extractive", kind: str = "usage") -> Case:
    """A run of a good task with these options."""
    good = ["lab", "run", "{}/tasks/area/checked", "--agent", agent, *written]
    return Case(lambda folder: [part.replace("{}", str(folder)) for part in good], where, says, kind)


def agent(name: str, says: str, where: str = "") -> Case:
    return option(agent=name, says=says, where=where)


def given(*written: str, where: str, says: str, kind: str = "bad_input") -> Case:
    """A command as it stands."""
    return Case(lambda folder: [part.replace("{}", str(folder)) for part in written], where, says, kind)


def on_run(*written: str, where: str, says: str, kind: str = "bad_run", damage: Callable[[Path], object]) -> Case:
    """A command on {run}, a lab run of checked and judged that `damage` changes before."""

    def prepare(folder: Path) -> list[object]:
        made = folder / "made"
        shutil.copytree(folder / "run", made)
        damage(made)
        return [part.replace("{run}", str(made)).replace("{}", str(folder)) for part in written]

    return Case(prepare, where.replace("{run}", "{}/made"), says, kind)


def manifest(**keys: object) -> Callable[[Path], object]:
    def damage(run: Path) -> None:
        file = run / "run.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | keys))

    return damage


def first_lines(count: int) -> Callable[[Path], object]:
    def damage(run: Path) -> None:
        manifest(status="running")(run)
        lines = (run / "results.jsonl").read_text().splitlines(keepends=True)
        (run / "results.jsonl").write_text("".join(lines[:count]))

    return damage


def retrieval_run(folder: Path) -> None:
    manifest(kind="retrieval")(folder)


TWICE = [{"id": "C-1", "title": "t", "match_criteria": "PASS if so. FAIL if not."}] * 2
AGENTS = "react, extractive, reference, empty, parrot, title-echo, injector, replay:PATH, command:CMD, module:callable"
LEAST_1 = "should be greater than or equal to 1"
LEAST_0 = "should be greater than or equal to 0"
NOTHING = Path.exists

CASES = {
    # tasks
    "no task folder": given("lab", "run", "{}/gone", "-a", "empty", where="{}/gone", says="no such task folder"),
    "no task in the folder": given(
        "lab",
        "run",
        "{}/handed",
        "-a",
        "empty",
        where="{}/handed",
        says="holds no task: no task.json in it or below it",
    ),
    "a file for a task": given(
        "lab",
        "lint",
        "{}/handed/memo.md",
        where="{}/handed/memo.md",
        says="is a file; a task is a folder with a task.json",
    ),
    "broken JSON": task_file('{"title": "Notice",\n "instr', "task.json:2", "is not valid JSON"),
    "empty task.json": task_file("", "task.json", "is not valid JSON"),
    "JSON list": task_file("[]", "task.json", "must be a JSON object; found []"),
    "no title": changed("task.json", "title must be a non-empty string; found None", title=None),
    "no instructions": changed("task.json", "instructions must be a non-empty string; found 3", instructions=3),
    "half a character": changed("task.json", "half a surrogate pair", title="a \ud800"),
    "no criteria": changed("task.json", "criteria must be a non-empty list; found []", criteria=[]),
    "duplicate ids": changed("task.json", "criteria[1].id 'C-1' is already the id of criteria[0]", criteria=TWICE),
    "documents elsewhere": changed("task.json", "docs_dir '../../../..' leaves", docs_dir="../../../.."),
    "broken rubric": beside("rubric.yaml", "criteria:\n  C-001: [\n", "rubric.yaml:3", "is not valid YAML"),
    "empty rubric": beside("rubric.yaml", "", "rubric.yaml", "must be a mapping; found None"),
    "rubric for nothing": beside(
        "rubric.yaml", "criteria: {C-9: {check: x}}", "rubric.yaml", "C-9: task.json has no criterion with this id"
    ),
    "unknown check": beside(
        "rubric.yaml", "criteria: {C-001: {check: {qoute: x}}}", "rubric.yaml", "'qoute' is not known (did you mean"
    ),
    "contested nothing": beside("contested.yaml", "C-9: why", "contested.yaml", "C-9: task.json has no criterion"),
    "selected nothing": option(
        "--select", "area/cheked", where="--select", says="called 'area/cheked'; near it: area/checked"
    ),
    "list of nothing": given(
        "lab",
        "list",
        "{}/tasks",
        "--select",
        "tax",
        where="--select",
        says="called 'tax'; there is: area",
        kind="usage",
    ),
    "show of an area": given(
        "lab",
        "show",
        "{}/tasks/area",
        where="{}/tasks/area",
        says="holds 2 tasks, show takes one; --select one of area/checked, area/judged",
        kind="usage",
    ),
    # agents, models, harness, judges
    "unknown agent": agent("extractiv", f"'extractiv' is not an agent; accepted are extractive, {AGENTS[:5]}"),
    "no such module": agent("nowhere:work", "nowhere:work cannot be imported: ModuleNotFoundError"),
    "no such function": agent("labkit:nobody", "module 'labkit' has no attribute 'nobody'"),
    "no function": agent("labkit:MEMO", "is no agent and no function that takes an assignment"),
    "command without CMD": agent("command:", "command needs its CMD: write command:CMD"),
    "replay of nothing": agent("replay:missing", "no transcript to replay", where="missing"),
    "an argument too many": agent("extractive:3", "extractive takes nothing after a colon; found '3'"),
    "react without a model": agent("react", "needs a model: --model openai/NAME"),
    "no model's name": option("--model", "gpt", agent="react", says="'gpt' is not a model; accepted: openai/NAME"),
    "no such provider": option("--model", "nowhere/x", agent="react", says="the model 'nowhere/x' cannot be used"),
    "no judge's name": option("--judge", "gpt", says="'gpt' is not a model; accepted: openai/NAME"),
    "judge not importable": option("--judge", "function:nowhere:f", says="'nowhere:f' cannot be loaded"),
    "no server's URL": option(
        "--judge", "x", "--base-url", "localhost:1", says="'localhost:1' is not the URL of a server"
    ),
    "unknown profile": option(
        *("--model", "function:labkit:associate", "--profile", "defualt"),
        agent="react",
        says="'defualt' is not a profile; accepted: compact, default, lab, memory, minimal, plan-then-write, review, verify-before-finish, or the path of a YAML file",
    ),
    "unknown judging": option("--judging", "lab", says="'lab' is not a judging profile; accepted: full, lab-compat"),
    "unknown aggregation": option(
        "--aggregation", "any", says="'any' is not an aggregation; accepted: strict, majority, mean"
    ),
    "unknown sandbox": option("--sandbox", "jail", where="sandbox", says="'jail'; take auto, bwrap, podman, docker"),
    "local without consent": option("--sandbox", "local", where="sandbox", says="as you, with your files and network"),
    # numbers
    "profile of nobody": option("--profile", "defualt", says="'defualt' is not a profile; accepted: compact, default"),
    "empty selection": option("--select", "", where="--select", says="the selection is empty; give all, an area"),
    "no trials": option("--trials", "0", says=f"'--trials' / '-k': Input {LEAST_1}"),
    "half a trial": option("--trials", "1.5", says="'--trials' / '-k': Input should be a valid integer"),
    "no votes": option("--votes", "0", says=f"'--votes': Input {LEAST_1}"),
    "no concurrency": option("--concurrency", "0", says=f"'--concurrency' / '-n': Input {LEAST_1}"),
    "no turns": option("--max-turns", "0", says=f"'--max-turns': Input {LEAST_1}"),
    "no tokens": option("--max-tokens", "0", says=f"'--max-tokens': Input {LEAST_1}"),
    "no output": option("--max-output-tokens", "0", says=f"'--max-output-tokens': Input {LEAST_1}"),
    "negative time": option("--max-seconds", "-1", says="'--max-seconds': Input should be greater"),
    "time that is no number": option("--max-seconds", "nan", says="'--max-seconds': Input should be greater"),
    "negative cost": option("--max-cost", "-1", says=f"'--max-cost': Input {LEAST_0}"),
    "negative trial cost": option("--max-trial-cost", "-1", says=f"'--max-trial-cost': Input {LEAST_0}"),
    "cost that is no number": option("--max-cost", "nan", says=f"'--max-cost': Input {LEAST_0}"),
    "cold temperature": option("--temperature", "-1", says=f"'--temperature': Input {LEAST_0}"),
    "no price": option("--price", "cheap", says="a price is written MODEL=IN,OUT or MODEL=IN,OUT,CACHED"),
    "price without end": option("--price", "m=inf,1", says="found 'm=inf,1'"),
    "half a price": option("--price", "m=1", says="found 'm=1'"),
    "money without a price": option(
        *("--max-cost", "1", "--judge", "x", "--base-url", "http://127.0.0.1:1/v1"),
        says="--max-cost needs the price of x, which is unknown; give it: --price x=IN,OUT",
    ),
    # places
    "out is a file": option(
        "--out", "{}/handed/memo.md", says="{}/handed/memo.md is a file; the output must be a folder"
    ),
    "cache is a file": option(
        "--cache", "{}/handed/memo.md/c", says="{}/handed/memo.md is a file; the cache must be a folder"
    ),
    "page is a folder": option("--report", "{}/handed", says="'--report': file '{}/handed' is a directory"),
    "no permission": option("--out", "/proc/none", where="/proc/none", says="No such file", kind="file_system"),
    # grade
    "no deliverables": given(
        *("lab", "grade", "{}/gone", "-t", "{}/tasks/area/checked"),
        where="{}/gone",
        says="is not a folder of deliverables",
    ),
    "a file of deliverables": given(
        *("lab", "grade", "{}/handed/memo.md", "-t", "{}/tasks/area/checked"),
        where="{}/handed/memo.md",
        says="is not a folder of deliverables",
    ),
    "grade against many": given(
        *("lab", "grade", "{}/handed", "--task", "{}/tasks"),
        where="",
        says="{}/tasks holds 2 tasks; outputs are graded against one",
        kind="usage",
    ),
    # run folders
    "regrade of nothing": given(
        "lab", "regrade", "{}/gone", where="{}/gone", says="no such run folder", kind="bad_run"
    ),
    "regrade of no run": given(
        "lab", "regrade", "{}/handed", where="{}/handed", says="it has no run.json", kind="bad_run"
    ),
    "regrade of a retrieval run": on_run(
        *("lab", "regrade", "{run}"), where="{run}", says="is a retrieval run; only lab runs", damage=retrieval_run
    ),
    "regrade before any trial": on_run(
        *("lab", "regrade", "{run}"),
        where="{run}/results.jsonl",
        says="the file is empty",
        kind="bad_input",
        damage=first_lines(0),
    ),
    "regrade of a torn manifest": on_run(
        *("lab", "regrade", "{run}"),
        where="{run}/run.json",
        says="Invalid JSON",
        damage=lambda run: (run / "run.json").write_text("{"),
    ),
    "regrade without its tasks": on_run(
        *("lab", "regrade", "{run}", "--tasks", "{}/tasks/area/judged"),
        where="",
        says="no task 'area/checked' in {}/tasks/area/judged; it is in the run",
        kind="usage",
        damage=NOTHING,
    ),
    "export of nothing": given(
        "lab", "export", "{}/gone", "--to", "{}/s", where="{}/gone", says="no such run folder", kind="bad_run"
    ),
    "export of a retrieval run": on_run(
        *("lab", "export", "{run}", "--to", "{}/s"),
        where="{run}",
        says="is a retrieval run; only lab runs have LAB's score files",
        damage=retrieval_run,
    ),
    "export of errors": on_run(
        *("lab", "export", "{run}", "--to", "{}/s"),
        where="{run}",
        says="3 criteria and 0 whole trials were not graded",
        damage=NOTHING,
    ),
    "export of a run that goes on": on_run(
        *("lab", "export", "{run}", "--to", "{}/s"), where="{run}", says="finish the run first", damage=first_lines(4)
    ),
    "export into a file": on_run(
        *("lab", "export", "{run}", "--allow-errors", "--to", "{}/handed/memo.md"),
        where="",
        says="{}/handed/memo.md is a file; the output must be a folder",
        kind="usage",
        damage=NOTHING,
    ),
    "import of nothing": given("lab", "import", "{}/gone", where="{}/gone", says="no such run folder"),
    "import of no LAB run": given(
        "lab", "import", "{}/handed", where="{}/handed", says="holds no scores.json, scores_<judge>.json or"
    ),
    "import of a run of ours": on_run(
        *("lab", "import", "{run}"), where="{run}", says="it was not graded", kind="bad_input", damage=NOTHING
    ),
    # the command line itself
    "no agent": given("lab", "run", "{}/tasks", where="", says="Missing option '--agent'", kind="usage"),
    "no tasks": given("lab", "run", "-a", "empty", where="", says="Missing argument 'tasks'", kind="usage"),
    "misspelt command": given("lab", "rnu", where="", says="No such command 'rnu'. Did you mean 'run'?", kind="usage"),
    "misspelt option": option("--trails", "2", says="No such option: --trails"),
}


@pytest.fixture
def place(tasks, tmp_path, command, monkeypatch):
    """Two tasks, a folder of work, and an empty folder to work in."""
    (tmp_path / "handed").mkdir()
    (tmp_path / "handed" / "memo.md").write_text(MEMO)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run folder with a task of three verdicts and one of three errors."""
    folder = tmp_path_factory.mktemp("finished")
    for name, checks in (("checked", True), ("judged", False)):
        write_task(folder / "tasks" / "area" / name, checks=checks)
    [outcome] = run(folder / "tasks", ["extractive"], out=folder / "out", cache=folder / "cache")
    return outcome.path


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_one_line_with_its_place_and_nothing_is_written(name, place, finished, command):
    case = CASES[name]
    if name.split()[0] in ("regrade", "export", "import"):
        shutil.copytree(finished, place / "run")
    arguments = case.prepare(place)
    where, says = (text.replace("{}", str(place)) for text in (case.where, case.says))
    before = tree(place)
    result = command(*arguments)
    assert (result.code, result.stdout) == (2, ""), result
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith(f"error: {where}" if where else "error: ")
    assert says in result.stderr
    result = command(*arguments, "--json")
    assert (result.code, result.stderr) == (2, "")
    error = document(result)["error"]
    assert set(error) == {"kind", "message", "where"}
    assert error["kind"] == case.kind
    assert error["where"].startswith(where)
    assert says in error["message"]
    assert tree(place) == before


def test_a_module_that_breaks_at_import_is_the_users_mistake(place, command):
    (place / "here" / "breaks_at_import.py").write_text("1 / 0\n")
    result = command("lab", "run", place / "tasks", "--agent", "breaks_at_import:work")
    assert result.code == 2
    assert result.stderr == "error: breaks_at_import:work cannot be imported: ZeroDivisionError: division by zero\n"


def test_a_function_beside_the_command_is_an_agent(place, command):
    (place / "here" / "my_agent.py").write_text(
        "def work(assignment):\n    (assignment.workspace.output / 'memo.md').write_text('ninety days')\n"
    )
    result = command("lab", "run", place / "tasks/area/checked", "--agent", "my_agent:work", "--json")
    assert (result.code, document(result)["criteria"]["passed"]) == (0, 1)


def test_what_an_agent_breaks_is_told_and_stops_nothing_else(place, command):
    (place / "here" / "angry.py").write_text("def work(assignment):\n    raise OSError('no [/red] ink')\n")
    arguments = ["lab", "run", place / "tasks/area/checked", "--agent", "angry:work", "--agent", "empty"]
    result = command(*arguments)
    assert result.code == 3
    assert "broke: OSError: no [/red] ink" in result.stderr
    broken, whole = document(command(*arguments, "--json"))
    assert broken["all_pass"]["rate"] is None
    assert whole["all_pass"]["rate"] == 0


def test_a_run_that_another_process_writes_is_left_alone(place, command):
    arguments = ["lab", "run", place / "tasks/area/checked", "--agent", "empty"]
    folder = ran(command, *arguments)
    manifest(status="running")(folder)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = tree(folder)
        result = command(*arguments)
        assert (result.code, result.stderr) == (2, f"error: {folder}: another process is writing this run\n")
        assert document(command(*arguments, "--json"))["error"]["kind"] == "bad_run"
        assert command(*arguments, "--dry-run").code == 0
        assert tree(folder) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_one_line(place, command):
    (place / "sealed").mkdir(mode=0o500)
    result = command("lab", "run", place / "tasks/area/checked", "--agent", "empty", "--out", place / "sealed")
    assert result.code == 2
    assert result.stderr.startswith(f"error: {place / 'sealed'}")
    assert "Permission denied" in result.stderr


@pytest.mark.parametrize("limit", [100, 2_500])
def test_a_full_disk_is_one_line_and_the_run_resumes(place, limit, command):
    """The largest file a process may write stands for a disk that fills up."""
    arguments = ["lab", "run", place / "tasks/area/checked", "--agent", "extractive", "--json"]
    done = subprocess.run(
        [EVALSUITE, *map(str, arguments[:-1])],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )
    assert (done.returncode, done.stderr.count("\n"), "Traceback" in done.stderr) == (2, 1, False)
    assert done.stderr.startswith("error: reports/area-checked-extractive-")
    assert "File too large" in done.stderr
    assert read_manifest(ran(command, *arguments)).status == "complete"


# ---------------------------------------------------------------- Ctrl-C


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_ctrl_c_ends_with_130_and_the_same_command_goes_on(as_json, place):
    slow = ("--model", "function:labkit:slow_associate", "--judge", "function:labkit:slow_judge")
    line = [EVALSUITE, "lab", "run", str(place / "tasks"), "--agent", "react", *slow, "--trials", "3", "-n", "1"]
    line += ["--json"] if as_json else []
    calls = place / "calls"
    environment = os.environ | {"PYTHONPATH": str(HERE), "CALLS": str(calls)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # A job in the background ignores Ctrl-C and hands that on; the command here is one in the foreground.
    process = subprocess.Popen(
        line, env=environment, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), **pipes
    )
    limit = time.monotonic() + 60
    while time.monotonic() < limit and not (calls.exists() and calls.read_text().count("agent") >= 6):
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    output, error = process.communicate(timeout=30)
    assert process.returncode == 130
    told = "interrupted; run the same command again to go on from here"
    if as_json:
        assert json.loads(output)["error"] == {"kind": "interrupted", "message": told, "where": ""}
        assert error == ""
    else:
        assert (output, error) == ("", f"error: {told}\n")
    [folder] = (place / "here" / "reports").iterdir()
    assert read_manifest(folder).status == "interrupted"
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=True)
    assert str(folder.name) in (done.stdout if as_json else done.stderr)
    assert read_manifest(folder).status == "complete"
    # Six trials of four answers, and three verdicts on one text; what was under way at the interruption is asked again.
    assert 24 <= calls.read_text().count("agent") <= 25
    assert 3 <= calls.read_text().count("judge") <= 6


# ---------------------------------------------------------------- for people


WILD = [("C-1", "Title [/red] [bold]b[/bold] :smile:", "PASS if [/red] stands there. FAIL otherwise.", "zebra")]


def test_text_of_tasks_is_never_read_as_markup(place, command):
    wild = write_task(place / "tasks/area/[bold]x", checks=True, criteria=WILD, title="A [/red] matter :smile:")
    assert "A [/red] matter :smile:" in command("lab", "list", wild).stdout
    assert "Title [/red] [bold]b[/bold] :smile:" in command("lab", "show", wild).stdout
    assert "area/[bold]x" in command("lab", "lint", wild).stdout
    result = command("lab", "run", wild, "--agent", "empty")
    assert result.code == 0
    assert "Title [/red] [bold]b[/bold] :smile:" in result.stdout
    assert "area/[bold]x" in result.stdout


@pytest.mark.parametrize("width", [100, 160])
def test_tables_are_whole_at_usual_widths(width, finished):
    summary = read_summary(finished)
    assert isinstance(summary, LabSummary)
    screen = Console(file=io.StringIO(), width=width, emoji=False, markup=False)
    for table in tables([(finished, read_manifest(finished), summary)]):
        screen.print(table)
    lines = screen.file.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert "…" not in "".join(lines)
    text = " ".join("".join(lines).split())
    assert all(title in text for _, title, _, _ in CRITERIA)
    assert "null: 3 errors" in text


def test_a_terminal_without_unicode_gets_all_the_same_numbers(place):
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    line = [EVALSUITE, "lab", "run", str(place / "tasks/area/checked"), "--agent", "empty"]
    done = subprocess.run(line, env=environment, capture_output=True, text=True)
    assert (done.returncode, "0 passed, 3 failed" in done.stdout) == (0, True), done.stderr
    write_task(place / "tasks/area/checked", checks=True, title="Änderung · Kontrolle")
    line = [EVALSUITE, "lab", "show", str(place / "tasks/area/checked"), "--json"]
    done = subprocess.run(line, env=environment, capture_output=True, text=True)
    assert json.loads(done.stdout)["title"] == "Änderung · Kontrolle"


COMMANDS = ["run", "grade", "regrade", "import", "export", "list", "show", "lint", "audit", "versions"]


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_help_imports_nothing_heavy_and_says_what_is_accepted(name):
    heavy = "{'numpy', 'pydantic_ai', 'yaml', 'rich', 'docx', 'openpyxl', 'evalsuite.lab.task'}"
    code = "import sys; sys.argv = ['evalsuite', *sys.argv[1:]]; from evalsuite.cli import main\ntry: main()\nfinally: "
    code += f"print(sorted({heavy} & sys.modules.keys()))"
    line = [sys.executable, "-c", code, "lab", *([name] if name else []), "--help"]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    assert f"Usage: evalsuite lab {name}".strip() in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"
    if name:
        assert "--json" in done.stdout and "--debug" in done.stdout
    else:
        assert all(f"  {command} " in done.stdout for command in COMMANDS)

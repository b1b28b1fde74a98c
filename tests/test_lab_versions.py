"""A revised task: what changed, which stored results still hold, and that grading the rest pays for nothing twice."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from labkit import MEMO, write_task

from evalsuite.errors import InputError, UsageError
from evalsuite.lab.evaluate import run
from evalsuite.lab.overview import describe
from evalsuite.lab.regrade import grade
from evalsuite.lab.storedruns import grade_again, standing
from evalsuite.lab.task import load_task, load_tasks
from evalsuite.lab.taskversions import compare
from evalsuite.records import CriterionResult
from evalsuite.reporting.comparable import reasons
from evalsuite.reporting.sections import read_section
from evalsuite.storage import read_manifest, read_units
from evalsuite.summary import verify

JUDGE = "function:labkit:judge"
NAME = "area/matter"
QUOTE = {"file": "note.txt", "quote": "ninety (90) days"}


@pytest.fixture
def place(tmp_path):
    return {"out": tmp_path / "reports", "cache": tmp_path / "cache"}


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """How many questions the judge has been asked since the last look."""
    log = tmp_path / "calls"
    monkeypatch.setenv("CALLS", str(log))

    def count():
        told = log.read_text().splitlines() if log.exists() else []
        log.write_text("")
        return told.count("judge")

    return count


@pytest.fixture
def sides(tmp_path):
    """A and B, two roots with the same task: C-001 has a check, the others are for judges."""
    a = tmp_path / "a" / "tasks"
    write_task(a / NAME, version="1.0.0")
    set_rubric(a, {"C-001": {"check": {"quote": "ninety days"}, "sources": [QUOTE]}, "C-003": {"sources": [QUOTE]}})
    shutil.copytree(a, tmp_path / "b" / "tasks")
    return a, tmp_path / "b" / "tasks"


def set_rubric(root, criteria):
    (root / NAME / "rubric.yaml").write_text(yaml.safe_dump({"criteria": criteria}), encoding="utf-8")


def edit_task(**changes):
    """A change of keys of task.json, None takes one out."""

    def edit(root):
        path = root / NAME / "task.json"
        data = json.loads(path.read_text()) | changes
        path.write_text(json.dumps({key: value for key, value in data.items() if value is not None}))

    return edit


def edit_criteria(change):
    def edit(root):
        path = root / NAME / "task.json"
        data = json.loads(path.read_text())
        data["criteria"] = change(data["criteria"])
        path.write_text(json.dumps(data))

    return edit


def edit_rubric(name, **changes):
    def edit(root):
        criteria = yaml.safe_load((root / NAME / "rubric.yaml").read_text())["criteria"]
        set_rubric(root, criteria | {name: criteria.get(name, {}) | changes})

    return edit


def write(name, text):
    def edit(root):
        path = root / NAME / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    return edit


def reworded(criteria):
    return [c | {"match_criteria": c["match_criteria"] + " Or both."} if c["id"] == "C-002" else c for c in criteria]


def renumbered(criteria):
    """A new first criterion; the others move up by one."""
    new = criteria[0] | {
        "id": "C-001",
        "title": "Names the buyer",
        "match_criteria": "PASS if it names the buyer. FAIL if not.",
    }
    return [new, *(c | {"id": f"C-{n:03}"} for n, c in enumerate(criteria, 2))]  # fmt: skip


def only_change(sides):
    [pair] = compare(*sides)
    return pair.change


# ---------------------------------------------------------------- what changed

CHANGES = {
    "nothing": (lambda root: None, (), {}, (), ()),
    "version": (edit_task(version="1.1.0"), ("version",), {}, (), ()),
    "tags": (edit_task(tags=["Lease"]), ("keys",), {}, (), ()),
    "notes": (edit_rubric("C-002", notes="see 1"), ("criteria",), {"C-002": ("notes",)}, (), ()),
    "critical": (edit_rubric("C-002", critical=True), ("criteria",), {"C-002": ("critical",)}, (), ()),
    "contested": (write("contested.yaml", "C-002: two views"), ("criteria",), {"C-002": ("contested",)}, (), ()),
    "reworded": (edit_criteria(reworded), ("criteria",), {"C-002": ("reworded",)}, ("C-002",), ()),
    "check": (edit_rubric("C-001", check="days"), ("criteria",), {"C-001": ("check",)}, ("C-001",), ()),
    "check for a judge": (edit_rubric("C-002", check="x"), ("criteria",), {"C-002": ("check",)}, ("C-002",), ()),
    "grounds that a judge sees": (edit_rubric("C-003", sources=[]), ("criteria",), {"C-003": ("grounds",)}, ("C-003",), ()),
    "grounds of a check": (edit_rubric("C-001", sources=[]), ("criteria",), {"C-001": ("grounds",)}, (), ()),
    "scope": (
        edit_criteria(lambda found: [*found[:2], found[2] | {"deliverables": []}]),
        ("criteria",), {"C-003": ("scope",)}, ("C-003",), (),
    ),
    "removed": (edit_criteria(lambda found: [found[0], found[2]]), ("criteria",), {"C-002": ("removed",)}, (), ()),
    "renamed": (
        edit_criteria(lambda found: [*found[:1], found[1] | {"id": "C-9"}, found[2]]),
        ("criteria",), {"C-9": ("renamed",)}, (), (),
    ),
    "title, which judges see": (edit_task(title="Notice"), ("title",), {}, ("C-002", "C-003"), ()),
    "instructions": (edit_task(instructions="Do it well: `memo.md`"), ("instructions",), {}, (), ("instructions",)),
    "documents": (write("documents/note.txt", "Another note."), ("documents",), {}, (), ("documents",)),
    "deliverables": (edit_task(deliverables=["memo.md", "log.md"]), ("deliverables",), {}, (), ("deliverables",)),
    "jurisdiction": (edit_task(jurisdiction="Scotland"), ("jurisdiction",), {}, (), ("jurisdiction",)),
    "reference": (write("reference/memo.md", MEMO), ("reference",), {}, (), ()),
    "a twin": (write("corrupted/C-001/memo.md", MEMO), ("corrupted",), {}, (), ()),
    "form": (lambda root: edit_task()(root), ("form of the files",), {}, (), ()),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_named_with_what_follows_from_it(sides, name):
    edit, what, criteria, again, rerun = CHANGES[name]
    if name == "form":
        (sides[0] / NAME / "task.json").write_text(
            json.dumps(json.loads((sides[0] / NAME / "task.json").read_text()), indent=2)
        )
    edit(sides[1])
    change = only_change(sides)
    assert change.status == ("changed" if what else "same")
    assert change.what == what
    assert {one.id: one.what for one in change.criteria} == criteria
    assert (change.again, change.rerun) == (again, rerun)


def test_documents_are_listed_by_what_happened_to_them(sides):
    for name in ("kept.txt", "gone.txt", "edited.txt"):
        for root in sides:
            write(f"documents/{name}", "The lease.")(root)
    (sides[1] / NAME / "documents/gone.txt").unlink()
    write("documents/edited.txt", "The licence.")(sides[1])
    write("documents/annex/new.txt", "The annex.")(sides[1])
    documents = only_change(sides).documents
    assert (documents.added, documents.removed, documents.changed) == (
        ("annex/new.txt",),
        ("gone.txt",),
        ("edited.txt",),
    )


def test_criteria_that_moved_up_are_renamed_and_not_reworded(sides):
    set_rubric(
        sides[1], {"C-002": {"check": {"quote": "ninety days"}, "sources": [QUOTE]}, "C-004": {"sources": [QUOTE]}}
    )
    edit_criteria(renumbered)(sides[1])
    change = only_change(sides)
    assert [(one.id, one.was, one.what) for one in change.criteria] == [
        ("C-001", None, ("added",)),
        ("C-002", "C-001", ("renamed",)),
        ("C-003", "C-002", ("renamed",)),
        ("C-004", "C-003", ("renamed",)),
    ]
    assert change.again == ("C-001",)


def test_tasks_are_matched_by_id_and_two_lone_ones_whatever_their_id(sides, tmp_path):
    write_task(sides[0] / "area/old", version="1.0.0")
    write_task(sides[1] / "area/new", version="1.0.0")
    assert [(pair.change.id, pair.change.status) for pair in compare(*sides)] == [
        (NAME, "same"),
        ("area/new", "added"),
        ("area/old", "removed"),
    ]
    shutil.copytree(sides[1] / NAME, tmp_path / "elsewhere")
    [pair] = compare(sides[0] / NAME, tmp_path / "elsewhere")
    assert (pair.change.id, pair.change.status, pair.change.a.id) == ("elsewhere", "same", NAME)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("1.0.0", "1.0.0", "version 1.0.0 has two contents: "),
        ("1.10.0", "1.9.3", "the version went down, from 1.10.0 to 1.9.3"),
        ("1.0.0", "1.0.0-rc.1", "the version went down, from 1.0.0 to 1.0.0-rc.1"),
        ("1.0.0-rc.10", "1.0.0-rc.9", "the version went down, "),
        ("1.0.0", None, "version 1.0.0 became unversioned"),
        ("1.9.3", "1.10.0", None),
        ("1.0.0-rc.9", "1.0.0-rc.10", None),
        (None, "1.0.0", None),
        (None, None, None),
    ],
)
def test_versions_that_do_not_tell_contents_apart_are_faults(sides, old, new, fault):
    edit_task(version=old)(sides[0])
    edit_task(version=new, tags=["Other"])(sides[1])
    faults = only_change(sides).faults
    assert bool(faults) == bool(fault)
    assert all(told.startswith(fault) for told in faults)


def test_a_version_is_shown_and_goes_with_the_results(sides, place, command):
    task = load_task(sides[0] / NAME)
    assert (task.version, describe(task)["version"], describe(task)["sha256"]) == ("1.0.0", "1.0.0", task.sha256)
    [line] = json.loads(command("lab", "list", sides[0], "--json").stdout)
    assert (line["version"], line["sha256"]) == ("1.0.0", task.sha256)
    assert "version: 1.0.0\n" in command("lab", "show", sides[0]).stdout
    [outcome] = run(sides[0], ["empty"], **place)
    assert outcome.manifest.plan["versions"] == {NAME: "1.0.0"}
    edit_task(version=None)(sides[0])
    assert describe(load_task(sides[0] / NAME))["version"] == "unversioned"
    [outcome] = run(sides[0], ["empty"], **place)
    assert "versions" not in outcome.manifest.plan


@pytest.mark.parametrize("version", ["1.0", "v1.0.0", 1, "", "1.0.0 "])
def test_a_version_that_is_none_is_refused(sides, version):
    edit_task(version=version)(sides[0])
    with pytest.raises(InputError, match="version must be a semantic version such as"):
        load_tasks([sides[0]])


# ---------------------------------------------------------------- what holds of stored runs


@pytest.fixture
def stored(sides, place, calls):
    """A run on A whose verdicts all pass: one by check, two by a judge."""
    [outcome] = run(sides[0], ["react"], models=["function:labkit:associate"], judges=[JUDGE], trials=2, **place)
    assert outcome.summary.all_pass.rate == 1.0
    calls()
    return outcome.path


def verdicts(path):
    found = (unit for unit in read_units(path) if isinstance(unit, CriterionResult))
    return {(result.trial, result.id): result.verdict for result in found}


def bytes_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("edit", "valid", "again", "asked"),
    [
        (edit_task(version="1.1.0"), 6, {}, 0),
        (edit_rubric("C-002", notes="see clause 1"), 6, {}, 0),
        (edit_rubric("C-001", sources=[]), 6, {}, 0),
        (edit_criteria(reworded), 4, {"C-002": [1, 2]}, 1),
        (edit_rubric("C-001", check="nowhere to be found"), 4, {"C-001": [1, 2]}, 0),
        (edit_rubric("C-003", sources=[]), 4, {"C-003": [1, 2]}, 1),
        (edit_task(title="Notice"), 2, {"C-002": [1, 2], "C-003": [1, 2]}, 2),
        (edit_criteria(lambda found: [found[1] | {"id": "C-1"}, found[0], found[2]]), 6, {}, 0),
        (edit_criteria(lambda found: [found[0], found[2]]), 4, {}, 0),
        (edit_criteria(lambda found: [*found, found[1] | {"id": "C-4", "match_criteria": "PASS or FAIL."}]), 6, {"C-4": [1, 2]}, 1),
    ],
)  # fmt: skip
def test_only_what_changed_is_judged_again(sides, stored, place, calls, edit, valid, again, asked):
    """Both trials hand in the same memo, so that a question that is new is asked once."""
    edit(sides[1])
    pairs = compare(*sides)
    found = standing(stored, pairs)
    assert found.totals == {"valid": valid, "again": sum(map(len, again.values())), "rerun": 0}
    assert found.tasks[0].again == again
    before, old = bytes_of(stored), verdicts(stored)
    outcome = grade_again(found, pairs, judges=[JUDGE], **place | {"cache": place["out"].parent / "empty"})
    assert calls() == asked
    assert outcome.complete
    assert bytes_of(stored) == before
    assert outcome.manifest.suite.files == {NAME: load_task(sides[1] / NAME).sha256}
    assert verify(outcome.path)["ok"]
    was = pairs[0].was
    kept = {key: verdict for key, verdict in verdicts(outcome.path).items() if key[1] not in again}
    assert kept == {(trial, name): old[trial, was[name]] for trial, name in kept}
    assert len(kept) == valid
    assert standing(outcome.path, pairs).totals["valid"] == valid + sum(map(len, again.values()))
    assert "made on B" in standing(outcome.path, pairs).settled


def test_a_check_that_changed_decides_anew(sides, stored, place):
    edit_rubric("C-001", check="nowhere to be found")(sides[1])
    pairs = compare(*sides)
    outcome = grade_again(standing(stored, pairs), pairs, judges=[JUDGE], **place)
    assert verdicts(outcome.path)[1, "C-001"] == "fail"


def test_a_matter_that_changed_asks_for_new_trials_and_is_left_out(tmp_path, sides, place, calls):
    for root in sides:
        write_task(root / "area/other", version="1.0.0")
        write_task(root / "area/third", version="1.0.0")
    [outcome] = run(sides[0], ["react"], models=["function:labkit:associate"], judges=[JUDGE], **place)
    calls()
    write("documents/note.txt", "Another note.")(sides[1])
    shutil.rmtree(sides[1] / "area/third")
    pairs = compare(*sides)
    found = standing(outcome.path, pairs)
    assert {task.task: (task.rerun, task.lost, task.why) for task in found.tasks} == {
        NAME: ([1], True, "agents are given other documents"),
        "area/other": ([], False, ""),
        "area/third": ([], True, "B has this task no more"),
    }
    assert found.totals == {"valid": 3, "again": 0, "rerun": 1}
    again = grade_again(found, pairs, judges=[JUDGE], **place)
    assert calls() == 0
    assert list(again.manifest.suite.files) == ["area/other"]
    assert again.summary.n_tasks == 1
    assert f"{NAME} is left out: agents are given other documents" in again.manifest.notes
    assert "area/third is left out: B has this task no more" in again.manifest.notes


def test_a_run_on_neither_version_is_out_of_reach(sides, stored, place):
    edit_task(version="0.9.0")(sides[0])
    edit_task(version="1.1.0")(sides[1])
    pairs = compare(*sides)
    found = standing(stored, pairs)
    assert found.tasks[0].basis == "other"
    assert "which are neither A's nor B's" in found.tasks[0].why
    assert found.totals == {"valid": 0, "again": 0, "rerun": 2}
    with pytest.raises(UsageError, match="none of its trials can be graded against B"):
        grade_again(found, pairs, judges=[JUDGE], **place)


def test_a_verdict_that_is_an_error_is_graded_again(sides, place, calls):
    [outcome] = run(sides[0], ["react"], models=["function:labkit:associate"], **place)
    edit_task(version="1.1.0")(sides[1])
    pairs = compare(*sides)
    found = standing(outcome.path, pairs)
    assert found.tasks[0].again == {"C-002": [1], "C-003": [1]}
    calls()
    again = grade_again(found, pairs, judges=[JUDGE], **place)
    assert (again.complete, calls()) == (True, 2), "no verdict was a judge's, so a judge may be named now"


def test_a_trial_that_broke_is_to_be_run_again(sides, place):
    [outcome] = run(sides[0], ["test_lab_versions:breaks_on_the_second"], trials=2, **place)
    pairs = compare(*sides)
    [task] = standing(outcome.path, pairs).tasks
    assert (task.rerun, task.why, task.lost) == ([2], "they did not come to an end", False)


def breaks_on_the_second(assignment):
    if assignment.trial == 2:
        raise RuntimeError("the agent broke")
    (assignment.workspace.output / "memo.md").write_text(MEMO)


def test_other_judges_or_votes_carry_nothing_over(sides, stored, place, calls):
    edit_criteria(reworded)(sides[1])
    pairs = compare(*sides)
    found = standing(stored, pairs)
    for options, differs in (({"judges": []}, "judges"), ({"judges": [JUDGE], "votes": 2}, "votes")):
        with pytest.raises(UsageError, match=f"and {differs} differs: .*evalsuite lab regrade"):
            grade_again(found, pairs, **options, **place)
    assert calls() == 0


def test_under_labs_own_judging_checks_and_grounds_do_not_matter(sides, place, calls):
    [outcome] = run(
        sides[0], ["react"], models=["function:labkit:associate"], judges=["function:test_lab_versions:lab_judge"],
        judging="lab-compat", **place,
    )  # fmt: skip
    edit_rubric("C-001", check="nowhere to be found", sources=[])(sides[1])
    edit_rubric("C-003", sources=[])(sides[1])
    pairs = compare(*sides)
    assert standing(outcome.path, pairs).totals == {"valid": 3, "again": 0, "rerun": 0}
    edit_criteria(reworded)(sides[1])
    assert list(standing(outcome.path, compare(*sides)).tasks[0].again) == ["C-002"]


def lab_judge(messages, info):
    from pydantic_ai.messages import ModelResponse, TextPart

    return ModelResponse(parts=[TextPart('{"verdict": "pass", "reasoning": "as asked"}')])


def test_handed_in_outputs_hold_as_those_of_agents(tmp_path, sides, place):
    (tmp_path / "work").mkdir()
    (tmp_path / "work/memo.md").write_text(MEMO)
    outcome = grade(tmp_path / "work", sides[0] / NAME, judges=[JUDGE], **place)
    edit_criteria(reworded)(sides[1])
    assert standing(outcome.path, compare(*sides)).totals == {"valid": 2, "again": 1, "rerun": 0}


def test_runs_on_two_versions_are_not_compared(sides, stored, place):
    edit_criteria(reworded)(sides[1])
    pairs = compare(*sides)
    outcome = grade_again(standing(stored, pairs), pairs, judges=[JUDGE], **place)
    told = "\n".join(reasons(read_section(stored), read_section(outcome.path)))
    assert f"the rubric or the documents of {NAME} differ" in told


# ---------------------------------------------------------------- at the command line


def test_the_command_says_what_changed_and_what_holds(sides, stored, command):
    edit_criteria(reworded)(sides[1])
    edit_task(version="1.1.0")(sides[1])
    result = command("lab", "versions", *sides, "--run", stored)
    assert result.code == 0
    old, new = (load_task(root / NAME).sha256[:12] for root in sides)
    assert result.stdout.splitlines() == [
        f"{NAME}: changed, 1.0.0 ({old}) -> 1.1.0 ({new})",
        "  other version",
        "  C-002: reworded: Names the party",
        "  stored results: 2 of 3 verdicts valid, to be graded again: C-002",
        "tasks: 0 same, 1 changed, 0 added, 0 removed",
        f"{stored} ({read_manifest(stored).system['name']}): verdicts: 4 valid, 2 to be graded again; trials to be run again: 0",
        f"  {NAME}: to be graded again: C-002",
    ]


def test_the_command_grades_again_and_prints_one_document(sides, stored, command, calls, tmp_path):
    edit_criteria(reworded)(sides[1])
    edit_task(version="1.1.0")(sides[1])
    line = ["lab", "versions", *sides, "--run", stored, "--regrade", "--judge", JUDGE, "--out", tmp_path / "again"]
    result = command(*line, "--json")
    assert (result.code, calls()) == (0, 1)
    found = json.loads(result.stdout)
    assert [change["again"] for change in found["tasks"]] == [["C-002"]]
    [entry] = found["runs"]
    assert {key: entry[key] for key in ("valid", "again", "rerun")} == {"valid": 4, "again": 2, "rerun": 0}
    assert verdicts(Path(entry["regraded"]["run"])) == verdicts(stored)
    shown = command(*line)
    assert (shown.code, calls()) == (0, 0)
    assert "all-pass" in shown.stdout


def test_every_part_that_differs_has_its_line(sides, command):
    for name in ("scope", "critical", "contested", "tags", "title, which judges see", "check", "documents", "a twin"):
        CHANGES[name][0](sides[1])
    edit_criteria(lambda found: [found[0] | {"severity": 1}, *found[1:]])(sides[1])
    edit_task(version="2.0.0")(sides[1])
    assert command("lab", "versions", *sides).stdout.splitlines()[1:-1] == [
        "  other version, title, keys",
        "  documents changed: note.txt",
        "  corrupted added: C-001/memo.md",
        "  C-001: other check, other keys: Names the notice period",
        "  C-002: critical, or no longer, contested, or no longer: Names the party",
        "  C-003: looks at other files: Says what to do",
        "  stored results: trials are to be run again: agents are given other documents",
    ]


def test_a_fault_of_versions_is_exit_3(sides, command):
    edit_criteria(reworded)(sides[1])
    result = command("lab", "versions", *sides)
    assert result.code == 3
    assert f"fault: {NAME}: version 1.0.0 has two contents: " in result.stdout


def test_verdicts_that_stay_errors_are_exit_3(sides, place, command, tmp_path):
    [outcome] = run(sides[0], ["extractive"], **place)
    edit_task(version="1.1.0")(sides[1])
    result = command("lab", "versions", *sides, "--run", outcome.path, "--regrade", "--out", tmp_path / "again")
    assert result.code == 3
    assert "name a judge for criteria without a check" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["{a}", "{a}/gone"], "no such task folder"),
        (["{a}", "{b}", "--regrade"], "--regrade needs a run to grade again"),
        (["{a}", "{b}", "--run", "{a}"], "it has no run.json"),
        (["{b}", "{b}", "--run", "{run}", "--regrade"], "nothing to grade again: it was made on B"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_exit_2(sides, stored, command, arguments, says):
    places = {"{a}": sides[0], "{b}": sides[1], "{run}": stored}
    given = []
    for argument in arguments:
        for slot, path in places.items():
            argument = argument.replace(slot, str(path))
        given.append(argument)
    result = command("lab", "versions", *given)
    assert (result.code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert says in result.stderr


def test_the_help_imports_nothing_heavy():
    code = "import sys; sys.argv = ['evalsuite', 'lab', 'versions', '--help']; from evalsuite.cli import main\ntry: main()\n"
    code += "finally: print(sorted({'pydantic_ai', 'yaml', 'rich', 'evalsuite.lab.task'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Usage: evalsuite lab versions" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"

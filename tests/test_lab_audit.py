"""evalsuite lab audit: what it says of good and of bad rubrics, and that lists of keywords are no statements."""

import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from labkit import CRITERIA, MEMO, write_task

from evalsuite.errors import UsageError
from evalsuite.lab.agents.audit import keywords
from evalsuite.lab.audit import ADVERSARIES, Audit, audit
from evalsuite.lab.documents import Extracted, read
from evalsuite.lab.grading.checks import compile_check
from evalsuite.lab.grading.scan import Scan
from evalsuite.lab.task import Task, load_tasks

ROOT = Path(__file__).parents[1]
TASKS = load_tasks([ROOT / "tasks"])
EVALSUITE = str(Path(sys.executable).parent / "evalsuite")
every_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.id)


def matter(folder: Path, criteria=CRITERIA, **changes) -> Path:
    """A task with checks, a reference that passes them, and a twin for each."""
    made = write_task(folder / "tasks" / "area" / "notice", checks=True, criteria=criteria, **changes)
    (made / "reference").mkdir()
    (made / "reference" / "memo.md").write_text(MEMO)
    for name, _, _, words in criteria:
        (made / "corrupted" / name).mkdir(parents=True)
        (made / "corrupted" / name / "memo.md").write_text(MEMO.replace(words, "something else"))
    return made


def audited(made: Path, **options) -> Audit:
    return audit(made.parents[1], out=made.parents[2] / "out", **options)


def found(result: Audit) -> set[tuple[str, str]]:
    return {(finding.rule, finding.where.removeprefix("area/notice").strip()) for finding in result.findings}


def test_a_good_rubric_is_passed_by_the_reference_alone(tmp_path):
    stated = ("C-002", *CRITERIA[1][1:3], "Orrin Freight can be left")
    made = matter(tmp_path, [CRITERIA[0], stated, CRITERIA[2]])
    (task,) = audited(made).tasks
    assert task.reached("reference") == {"passed": 3, "judged": 3, "total": 3, "share": 1.0, "all_pass": True}
    assert [task.reached(agent)["passed"] for agent in ADVERSARIES] == [0, 0, 0, 0, 0]
    assert set(task.twins.values()) == {"exact"}
    assert task.findings == []


def test_a_criterion_that_the_documents_answer_word_for_word_is_trivial_and_the_task_too_easy(tmp_path):
    made = matter(tmp_path)  # the note names Orrin Freight
    result = audited(made)
    assert found(result) == {("trivial", "C-002"), ("too-easy", "")}
    assert "parrot passes 1 of 3" in result.findings[0].message
    assert found(audited(made, most=0.5)) == {("trivial", "C-002")}


def test_a_criterion_that_the_reference_fails_is_unsatisfiable(tmp_path):
    made = matter(tmp_path)
    (made / "reference" / "memo.md").write_text(MEMO.replace("seek consent", "do nothing"))
    result = audited(made, most=0.5)
    assert {("unsatisfiable", "C-003"), ("not-discriminating", "C-003")} <= found(result)
    assert "'seek consent' is not there" in next(f.message for f in result.findings if f.rule == "unsatisfiable")


def test_a_changed_reference_is_run_again(tmp_path):
    made = matter(tmp_path)
    assert not [rule for rule, _ in found(audited(made)) if rule == "unsatisfiable"]
    (made / "reference" / "memo.md").write_text("# Memo\n\nNothing is known yet about the contract.\n")
    assert [rule for rule, _ in found(audited(made))].count("unsatisfiable") == 3


def test_a_criterion_that_everybody_passes_discriminates_nothing(tmp_path):
    made = matter(tmp_path)
    rubric = made / "rubric.yaml"
    rubric.write_text(rubric.read_text().replace("quote: seek consent", "none_of: [Atlantis]"))
    result = audited(made)
    assert ("corrupted-passes", "corrupted/C-003") in found(result)
    assert ("trivial", "C-003") in found(result)
    assert ("not-discriminating", "C-003") not in found(result)  # nothing at all fails it: empty does
    assert {task.twins["C-003"] for task in result.tasks} == {"the corrupted deliverable passes the check"}


def test_leaks_and_compound_criteria_are_named(tmp_path):
    several = (
        "PASS if the memo names the party; states the period; advises to serve; and asks for consent. FAIL if not."
    )
    criteria = [*CRITERIA[:2], ("C-003", "Says what to do", several, "seek consent")]
    made = matter(tmp_path, criteria=criteria, documents={"note.txt": f"{several.lower()}\n"})
    assert {("leaked", "C-003"), ("compound", "C-003")} <= found(audited(made))


def test_a_twin_that_fails_others_too_is_named(tmp_path):
    made = matter(tmp_path)
    (made / "corrupted" / "C-001" / "memo.md").write_text("# Memo\n\nThe answer will follow as soon as we have it.\n")
    (task,) = audited(made).tasks
    assert task.twins["C-001"] == "it fails C-002, C-003 as well"
    assert task.as_json()["corrupted"] == {"exact": 2, "total": 3}


def test_a_task_without_checks_is_not_called_clean(tmp_path):
    made = write_task(tmp_path / "tasks" / "area" / "notice")
    done = subprocess.run(
        [EVALSUITE, "lab", "audit", made, "-o", tmp_path / "out", "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 3, done.stderr
    (task,) = json.loads(done.stdout)["tasks"]
    rules = {finding["rule"] for finding in task["findings"]}
    assert rules == {"no-reference", "no-corrupted", "not-judged", "nothing-judged"}
    assert "reference" not in task["agents"]
    assert task["agents"]["stuffing"] == {"passed": 0, "judged": 0, "total": 3, "share": None, "all_pass": None}
    assert {row["verdicts"]["parrot"] for row in task["criteria"]} == {None}


def test_a_judge_decides_what_has_no_check(tmp_path):
    made = write_task(tmp_path / "tasks" / "area" / "notice")
    (made / "reference").mkdir()
    (made / "reference" / "memo.md").write_text(MEMO)
    (task,) = audited(made, judges=["function:labkit:judge"]).tasks
    assert task.reached("reference")["all_pass"]
    assert [task.verdict("parrot", name) for name in ("C-001", "C-002", "C-003")] == [False, True, False]
    assert "nothing-judged" not in {finding.rule for finding in task.findings}


def test_a_second_audit_takes_the_finished_runs(tmp_path):
    made = matter(tmp_path)
    first = audited(made)
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("results.jsonl")}
    second = audited(made)
    assert second.runs == first.runs
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("results.jsonl")} == written
    assert len(written) == 6


def test_a_share_must_be_one(tmp_path):
    with pytest.raises(UsageError, match="most must be a share"):
        audited(matter(tmp_path), most=0)


def lines(task: Task) -> list[list[str]]:
    return [keywords(criterion) for criterion in task.criteria]


def table(rows: list[list[str]]) -> str:
    head = [["Issue"] * len(rows[0]), ["---"] * len(rows[0])]
    return "\n".join("| " + " | ".join(row) + " |" for row in head + rows)


def shuffled(words: list[str]) -> list[str]:
    return random.Random(len(words)).sample(words, len(words))


STUFFED: dict[str, Callable[[Task], str]] = {
    "paragraphs": lambda task: "\n\n".join(" ".join(words) for words in lines(task)),
    "in no order": lambda task: "\n\n".join(" ".join(shuffled(words)) for words in lines(task)),
    "a full stop after each word": lambda task: "\n\n".join(". ".join(words) + "." for words in lines(task)),
    "bullets": lambda task: "\n".join("- " + ", ".join(shuffled(words)) for words in lines(task)),
    "one long line": lambda task: " ".join(word for words in lines(task) for word in words),
    "after the titles": lambda task: "\n\n".join(
        f"{criterion.title}: {' '.join(keywords(criterion))}" for criterion in task.criteria
    ),
    "table rows": lambda task: table([[" ".join(words)] for words in lines(task)]),
    "table rows beside the titles": lambda task: table(
        [[criterion.title, " ".join(shuffled(keywords(criterion)))] for criterion in task.criteria]
    ),
    "a keyword a cell": lambda task: table([[" ".join(words[i::9]) for i in range(9)] for words in lines(task)]),
}


def written(folder: Path, text: str) -> Extracted:
    (folder / "memo.md").write_text(f"# Memo\n\n{text}\n", encoding="utf-8")
    return read(folder / "memo.md")


def passed(task: Task, output: Extracted) -> list[str]:
    return [c.id for c in task.criteria if c.check is not None and compile_check(c.check, c.id)([output]).ok]


@every_task
@pytest.mark.parametrize("form", STUFFED)
def test_keywords_without_statements_pass_little(task, form, tmp_path):
    most = (
        0.2 if form == "paragraphs" else 0.4
    )  # the agent of the audit writes paragraphs; some other forms get past more checks
    assert len(passed(task, written(tmp_path, STUFFED[form](task)))) < most * len(task.criteria)


@every_task
def test_nothing_in_the_reference_is_taken_for_a_list(task):
    for path in task.reference.rglob("*.*"):
        scan = Scan(read(path))
        assert [scan.words[i] for i, listed in enumerate(scan.in_lists) if listed] == []


HONEST = {
    "a schedule of parties": table(
        [
            ["Leopold Anstey", "Anstey Structural Consulting Ltd", "Chartered engineer", "Retained 19 March 2024"],
            ["Gideon Marl", "Kestermill, finance director", "Chartered accountant", "Resolution of 17 January 2023"],
            ["Colm Heddle", "Tolland Grieve LLP, tax partner", "Chartered accountant", "Not a law firm"],
            ["Honor Delacombe, Edmund Sayle", "Vantry Holroyd LLP", "Solicitors", "Retained 25 March 2024"],
        ]
    ),
    "a schedule of assets": table(
        [[f"{what}, {state}", f"Store {n}", f"£{n},250"] for n, (what, state) in enumerate(
            [("Pallet racking", "galvanised"), ("Ammonia compressor", "serviced"), ("Dock leveller", "hydraulic"),
             ("Battery charger", "spare"), ("Blast freezer", "leased"), ("Conveyor", "dismantled")], 1)]
    ),
    "a rent schedule": table(
        [[f"November 1, {year} to October 31, {year + 2}", "$7.80", "$611,520", "$50,960.00"] for year in (2021, 2023, 2025)]
    ),
    "terse rows": table(
        [["P-018", "LAP, LP", "Withhold", "Counsel's opinion", "Add author, Ottoline Fearn"],
         ["P-015", "LP", "Withhold", "Expert's draft", "Date is 4 April 2024, not 2 April"],
         ["P-017", "CI, LAP", "Produce, once you agree", "Section below", "Take off"]]
    ),
    "sources": "Sources: 01-facility-agreement.docx; 02-first-amendment-letter.pdf; 03-second-amendment-letter-markup.docx; "
    "05-management-accounts-march-2026.docx; 06-agent-email.eml; 04-covenant-workbook.xlsx, sheet Cashflow.",
    "an address": "Merrowby Cold Chain, Inc., Building C, 2200 Tallgrass Parkway, Brenlow, Illinois. Attention: Edwin Sallow, President",
    "a sum": "Net Finance Charges: £2,712,000 bank interest + £46,000 commitment fees + £128,000 hire purchase - £62,000 "
    "interest receivable = £2,824,000.",
    "a list of things": "Lists drawings, calculations, material certificates, erection records, inspection sheets, loading logs and accounts.",
    "German": "Kündigungsrecht Mieter besteht nur bei Zahlungsverzug; die Frist beträgt sechs Monate und das Schreiben ist dem "
    "Vermieter von Hand zu übergeben. Sonstige vertragliche Nebenpflichten bleiben unberührt; eine Rückgabe der Sache ist nicht "
    "vorgesehen und wird auch nicht verlangt.",
}  # fmt: skip


@pytest.mark.parametrize("kind", HONEST)
def test_honest_lists_and_tables_are_no_keywords(kind, tmp_path):
    scan = Scan(written(tmp_path, HONEST[kind]))
    assert [scan.words[i] for i, listed in enumerate(scan.in_lists) if listed] == []


def test_the_reason_says_that_only_keywords_are_there(tmp_path):
    output = written(
        tmp_path, "assignment balance consent deadline licence notice refusal royalty £850,000 Sundhamra term"
    )
    check = compile_check({"near": {"terms": ["consent", {"amount": 850000}], "within": 20}}, "C-001")
    answer = check([output])
    assert not answer.ok
    assert "'consent' stands only in a list of keywords, which states nothing" in answer.why
    said = written(tmp_path, "Its consent is needed, and the licence costs £850,000.")
    assert check([said]).ok


def test_names_and_cited_files_may_stand_in_a_list(tmp_path):
    output = written(tmp_path, "Alder Birch Cedar Orrin Freight Elm Hazel Maple Oak Rowan lease register note")
    assert compile_check({"party": "Orrin Freight"}, "C-001")([output]).ok
    assert compile_check({"set": {"items": ["Orrin Freight", "Rowan"]}}, "C-001")([output]).ok
    assert not compile_check("Orrin Freight", "C-001")([output]).ok

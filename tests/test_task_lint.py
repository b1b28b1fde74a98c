"""The task linter finds, without a model, what LAB's issue tracker found by hand. Every matter here is invented."""

import json
import re
from pathlib import Path

import openpyxl
import pytest
from test_tasks import write_task

import evalsuite.lab.lint as lint_module
from evalsuite.lab.evaluate import run
from evalsuite.lab.lint import lint
from evalsuite.lab.lintruns import lint_runs
from evalsuite.lab.regrade import grade
from evalsuite.lab.task import load_task, load_tasks

LEASE = """Lease between Halden Freight GmbH and Marisol Weiss dated 12 April 2024.
The rent is EUR 4,250 a month. Either party may end the lease on ninety days' written notice under clause 14.3.
The deposit of EUR 12,750 is held by Brackwater Bank. The viewing was on May 14, the fair on 3 June."""
TENANT = {
    "id": "C-001",
    "title": "Names the landlord",
    "match_criteria": "PASS if the memo names Halden Freight GmbH as the landlord. FAIL otherwise.",
}
RENT = {
    "id": "C-002",
    "title": "States the rent",
    "match_criteria": "PASS if the memo states a rent of EUR 4,250 a month. FAIL if another sum is given.",
}
BROKEN_ATTACHMENT = """From: a@b.example
To: c@d.example
Subject: Lease
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=X

--X
Content-Type: text/plain

The landlord sends a plan of the premises.
--X
Content-Type: application/octet-stream; name=plan.docx
Content-Disposition: attachment; filename=plan.docx
Content-Transfer-Encoding: base64

UEs=
--X--
"""
MEMO = "# Memo\n\nHalden Freight GmbH is the landlord. The rent is EUR 4,250 a month, as the lease says.\n"


def matter(folder, criteria=(TENANT, RENT), documents=None, **changes):
    """A task folder that is clean unless told otherwise."""
    options = {
        "instructions": "Summarise the lease. Output: `memo.md`.",
        "deliverables": {"memo.md": "memo.md"},
        "version": "1.0.0",
    } | changes
    write_task(folder, documents=(), criteria=list(criteria), **options)
    (folder / "documents").mkdir(exist_ok=True)
    for name, text in ({"lease.txt": LEASE} if documents is None else documents).items():
        path = folder / "documents" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def criterion(text, number=1, title="A point", **keys):
    return {
        "id": f"C-{number:03}",
        "title": title,
        "match_criteria": f"PASS if the memo {text}. FAIL otherwise.",
    } | keys


def found(folder):
    """{rule: [(severity, where without the task, message)]}"""
    rules = {}
    for finding in lint([load_task(folder)]):
        where = finding.where.removeprefix(folder.name).strip()
        rules.setdefault(finding.rule, []).append((finding.severity, where, finding.message))
    return rules


def test_a_sound_task_has_no_findings(tmp_path):
    assert found(matter(tmp_path / "t")) == {}


# ---------------------------------------------------------------- one fixture per rule

TWICE = "names the landlord and states the rent; dates the lease and explains the notice"
STRANGERS = ("names Torvald Shipping AS", "states freight of USD 88,000", "cites permit TX-2210")
CHECKED = "criteria:\n  C-001: {check: Halden Freight GmbH}\n"
GROUNDS = "criteria:\n  C-002: {sources: [{file: lease.txt, quote: 'The rent is EUR 4,250 a month'}]}\n"
YEARLY = [TENANT, criterion("states a yearly rent of EUR 51,000", 2)]
REFERENCE = {"reference/memo.md": MEMO}
TWIN = {**REFERENCE, "corrupted/C-001/memo.md": MEMO.replace("Halden", "Holding")}
SOUND_FILES = {"rubric.yaml": CHECKED, **TWIN}
TWO_CHECKS = CHECKED + "  C-002: {check: {amount: 4250}}\n"
TWO_TWINS = {"rubric.yaml": TWO_CHECKS, **TWIN, "corrupted/C-002/memo.md": MEMO.replace("4,250", "4,520")}

RULES = {
    "no-documents": ("error", {"documents": {}}, {}),
    "docs-dir-missing": ("error", {"docs_dir": "../dms"}, {}),
    "stray-link": ("error", {}, {"documents/answers.txt": Path("/etc/hostname")}),
    "empty-document": ("error", {}, {"documents/empty.txt": ""}),
    "unreadable-document": ("error", {}, {"documents/broken.docx": "no zip file"}),
    "unsupported-document": ("warning", {}, {"documents/photo.png": "x"}),
    "unread-part": ("warning", {}, {"documents/mail.eml": BROKEN_ATTACHMENT}),
    "refusal": ("error", {}, {"documents/letter.txt": "I'm sorry, but I can't help with creating this document."}),
    "placeholder": ("error", {}, {"documents/letter.txt": "TODO: to be drafted"}),
    "rubric-leak": ("error", {}, {"documents/scores.json": "{}"}),
    "criterion-leak": ("error", {"documents": {"lease.txt": LEASE + RENT["match_criteria"]}}, {}),
    "absent-document": ("error", {"criteria": [TENANT, criterion("relies on market-study.xlsx", 2)]}, {}),
    "fact-not-found": ("warning", {"criteria": [TENANT, criterion("states a deposit of EUR 9,999", 2)]}, {}),
    "wrong-documents": ("error", {"criteria": [criterion(text, n) for n, text in enumerate(STRANGERS)]}, {}),
    "no-working": ("warning", {"criteria": YEARLY}, {"rubric.yaml": GROUNDS}),
    "quote-not-found": ("error", {}, {"rubric.yaml": GROUNDS.replace("a month", "a year")}),
    "deliverable-not-named": ("warning", {"instructions": "Summarise the lease."}, {}),
    "undeclared-deliverable": ("error", {"criteria": [TENANT | {"deliverables": ["log.xlsx"]}, RENT]}, {}),
    "ungraded-deliverable": (
        "warning",
        {
            "criteria": [TENANT | {"deliverables": ["memo.md"]}],
            "deliverables": ["memo.md", "log.md"],
            "instructions": "Write `memo.md` and `log.md`.",
        },
        {},
    ),
    "duplicate-criterion": ("warning", {"criteria": [RENT, RENT | {"id": "C-009"}]}, {}),
    "compound-criterion": ("warning", {"criteria": [TENANT, criterion(TWICE, 2)]}, {}),
    "no-pass-fail": ("warning", {"criteria": [TENANT, RENT | {"match_criteria": "The rent is EUR 4,250."}]}, {}),
    "contested": ("warning", {}, {"contested.yaml": "C-001: two landlords are possible"}),
    "weight-ignored": ("warning", {"criteria": [TENANT, RENT | {"weight": 2}]}, {}),
    "no-version": ("warning", {"version": None}, SOUND_FILES),
    "no-reference": ("warning", {}, {"rubric.yaml": CHECKED}),
    "reference-fails": ("error", {}, {**TWIN, "rubric.yaml": CHECKED.replace("GmbH", "AG")}),
    "no-corrupted-twin": ("warning", {}, {"rubric.yaml": CHECKED, **REFERENCE}),
    "corrupted-unknown": ("error", {}, {**SOUND_FILES, "corrupted/C-7/memo.md": MEMO}),
    "corrupted-passes": ("error", {}, {**SOUND_FILES, "corrupted/C-001/memo.md": MEMO}),
    "corrupted-fails-others": ("error", {}, {**TWO_TWINS, "corrupted/C-001/memo.md": "A memo on nothing at all."}),
}  # fmt: skip


def planted(folder, changes, files):
    """A sound matter with a fault planted in it."""
    matter(folder, **changes)
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            path.symlink_to(content)
        else:
            path.write_text(content, encoding="utf-8")
    return folder


@pytest.mark.parametrize("rule", RULES)
def test_a_fault_is_found_by_its_rule(tmp_path, rule):
    severity, changes, files = RULES[rule]
    rules = found(planted(tmp_path / "t", changes, files))
    assert rule in rules
    assert severity in {severity for severity, _, _ in rules[rule]}


def test_every_rule_has_its_fault_here():
    folder = Path(lint_module.__file__).parent
    sources = "".join((folder / name).read_text(encoding="utf-8") for name in ("lint.py", "twins.py"))
    named = re.findall(r'Finding\(\s*"([a-z-]+)"', sources) + re.findall(r'rule = "([a-z-]+)"', sources)
    assert {*named, "no-documents"} == RULES.keys()


@pytest.mark.parametrize("files", [{}, SOUND_FILES, TWO_TWINS])
def test_the_same_tasks_without_a_fault_have_no_findings(tmp_path, files):
    assert found(planted(tmp_path / "t", {}, files)) == {}


def test_working_in_the_notes_explains_a_figure(tmp_path):
    grounds = GROUNDS.replace("{sources", "{notes: twelve months of 4250, sources")
    assert found(planted(tmp_path / "t", {"criteria": YEARLY}, {"rubric.yaml": grounds})) == {}


# ---------------------------------------------------------------- what LAB's users reported


def test_issue_65_a_task_without_documents(tmp_path):
    assert found(matter(tmp_path / "t", documents={})) == {
        "no-documents": [("error", "", "documents/ holds no document")],
    }


def test_issue_71_the_rubric_lies_among_the_documents(tmp_path):
    rubric = json.dumps({"criteria": [TENANT, RENT]})
    rules = found(matter(tmp_path / "t", documents={"lease.txt": LEASE, "eval.json": rubric}))
    assert rules["rubric-leak"][0][:2] == ("error", "documents/eval.json")
    assert [where for _, where, _ in rules["criterion-leak"]] == ["C-001", "C-002"]


def test_issue_80_criteria_cite_documents_that_are_not_there(tmp_path):
    cited = criterion("relies on market-study.xlsx for the share of the market")
    listed = criterion("names the landlord", 2, sources=["share-register.pdf"])
    rules = found(matter(tmp_path / "t", [cited, listed]))
    assert [(severity, where) for severity, where, _ in rules["absent-document"]] == [
        ("error", "C-001"),
        ("error", "C-002"),
    ]
    assert "cites market-study.xlsx" in rules["absent-document"][0][2]


def test_issue_96_a_criterion_that_the_reference_itself_fails(tmp_path):
    folder = matter(tmp_path / "t")
    (folder / "reference").mkdir()
    (folder / "reference" / "memo.md").write_text(MEMO, encoding="utf-8")
    (folder / "rubric.yaml").write_text(
        "criteria:\n  C-001: {check: Halden Freight GmbH}\n  C-002: {check: {amount: 9000}}\n", encoding="utf-8"
    )
    rules = found(folder)
    assert [(severity, where) for severity, where, _ in rules["reference-fails"]] == [("error", "C-002")]


@pytest.mark.parametrize(
    "text",
    [
        "I’m unable to generate this document.",
        "I'm sorry, but I can't help with creating this document.",
        "I cannot assist with drafting a deposition transcript. " + "Please consult a professional. " * 60,
        "As an AI language model I do not have access to the lease.",
    ],
)
def test_issue_124_a_document_is_a_models_refusal(tmp_path, text):
    rules = found(matter(tmp_path / "t", documents={"lease.txt": LEASE, "letter.txt": text}))
    assert [(severity, where) for severity, where, _ in rules["refusal"]] == [("error", "documents/letter.txt")]


def test_issue_125_a_criterion_names_somebody_who_is_in_no_document(tmp_path):
    rules = found(matter(tmp_path / "t", [TENANT, criterion("names the tenant, Oskar Lindqvist, as the debtor", 2)]))
    assert rules == {
        "fact-not-found": [("warning", "C-002", "not found in any document or the instructions: Oskar Lindqvist")]
    }


def test_issue_127_the_rubric_is_for_another_set_of_documents(tmp_path):
    others = [
        criterion("names Torvald Shipping AS as the charterer"),
        criterion("states the freight of USD 88,000", 2),
        criterion("dates the charterparty 3 May 2019", 3),
        criterion("quotes permit TX-2210", 4),
        TENANT | {"id": "C-005"},
    ]
    ((severity, where, message),) = found(matter(tmp_path / "t", others))["wrong-documents"]
    assert (severity, where) == ("error", "")
    assert "4 of the 5 criteria that state facts" in message


def test_issue_152_a_sum_that_only_the_rubric_knows(tmp_path):
    escrow = criterion("flags the $31 million escrow", 2)
    ((severity, where, message),) = found(matter(tmp_path / "t", [TENANT, escrow]))["fact-not-found"]
    assert (severity, where) == ("warning", "C-002")
    assert message.endswith(": $31 million")


# ---------------------------------------------------------------- documents


def test_a_docs_dir_that_is_not_there(tmp_path):
    folder = write_task(tmp_path / "tasks" / "tax" / "vat", documents=(), docs_dir="../../dms")
    (finding,) = (f for f in lint([load_task(folder)]) if f.severity == "error")
    assert (finding.rule, finding.where, finding.message) == (
        "docs-dir-missing",
        "tax/vat",
        "the documents folder ../../dms does not exist",
    )


@pytest.mark.parametrize(
    ("name", "text", "rule", "severity"),
    [
        ("empty.txt", "", "empty-document", "error"),
        ("blank.md", " \n", "empty-document", "error"),
        ("broken.docx", "no zip file", "unreadable-document", "error"),
        ("photo.png", "x", "unsupported-document", "warning"),
        ("todo.md", "TODO: to be drafted", "placeholder", "error"),
        ("form.md", LEASE + " [insert name of guarantor]. " + LEASE, "placeholder", "warning"),
    ],
)
def test_a_document_that_says_nothing_is_reported(tmp_path, name, text, rule, severity):
    rules = found(matter(tmp_path / "t", documents={"lease.txt": LEASE, name: text}))
    assert {rule: [(s, where) for s, where, _ in hits] for rule, hits in rules.items()} == {
        rule: [(severity, f"documents/{name}")]
    }


def test_a_link_out_of_the_documents_is_reported(tmp_path):
    folder = matter(tmp_path / "t")
    (folder / "documents" / "answers.md").symlink_to(folder / "task.json")
    assert found(folder)["stray-link"][0][:2] == ("error", "documents/answers.md")


def test_an_ordinary_letter_that_declines_something_is_no_refusal(tmp_path):
    letter = "Dear Ms Weiss, I am unable to attend on 12 April 2024 and we cannot provide consent to the assignment."
    assert found(matter(tmp_path / "t", documents={"lease.txt": LEASE, "letter.txt": letter})) == {}


def test_a_title_that_stands_in_a_document_is_a_leak(tmp_path):
    title = "ISSUE_001: Flags that the deposit exceeds three months of rent"
    document = LEASE + " Note to drafter: flags that the deposit exceeds three months of rent."
    rules = found(matter(tmp_path / "t", [TENANT | {"title": title}], documents={"lease.txt": document}))
    assert rules["criterion-leak"] == [("error", "C-001", "its title stands word for word in documents/lease.txt")]


def test_a_shared_folder_is_read_once_for_all_its_tasks(tmp_path):
    for number in range(3):
        matter(tmp_path / "tasks" / "area" / f"{number}", documents={}, docs_dir="../dms")
    (tmp_path / "tasks" / "area" / "dms").mkdir()
    (tmp_path / "tasks" / "area" / "dms" / "lease.txt").write_text(LEASE, encoding="utf-8")
    assert lint(load_tasks([tmp_path / "tasks"])) == []


# ---------------------------------------------------------------- facts


@pytest.mark.parametrize(
    "text",
    [
        "states a rent of €4,250 and a deposit of EUR 12.75k",
        "states that notice is 90 days under Section 14.3",
        "dates the lease 2024-04-12",
        "names Halden Freight's bank, Brackwater Bank",
        "lists three issues and 2 questions",
        "says the memo is for the partner of the firm",
        "cites lease.txt for the rent",
        "names HALDEN FREIGHT GMBH and marisol weiss",
        "says that the fair was on 3 June 2024 and the viewing on 14 May 2024",
    ],
)
def test_facts_that_the_documents_have_in_other_words_are_found(tmp_path, text):
    assert found(matter(tmp_path / "t", [criterion(text)])) == {}


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("states a rent of EUR 4,500 a month", "EUR 4,500"),
        ("states that notice is 120 days", "120"),
        ("states a deposit of EUR 12", "EUR 12"),
        ("dates the lease 13 April 2024", "13 April 2024"),
        ("dates the lease 12 April 2025", "12 April 2025"),
        ("says the rent rises by 7.5% a year", "7.5%"),
        ("cites permit UTH-0441", "UTH-0441"),
        ("identifies matter 1003-00001", "1003-00001"),
        ("names the guarantor, Pellworth Holdings", "Pellworth Holdings"),
    ],
)
def test_facts_that_no_document_has_are_named(tmp_path, text, fact):
    rules = found(matter(tmp_path / "t", [TENANT, criterion(text, 2)]))
    assert rules["fact-not-found"] == [("warning", "C-002", f"not found in any document or the instructions: {fact}")]


def test_facts_in_the_instructions_count(tmp_path):
    told = "Our client is Pellworth Holdings. Output: `memo.md`."
    assert found(matter(tmp_path / "t", [criterion("names Pellworth Holdings as the client")], instructions=told)) == {}


def test_wrong_answers_that_a_criterion_warns_of_need_no_document(tmp_path):
    text = RENT["match_criteria"].replace("another sum", "EUR 4,520 or another sum")
    assert found(matter(tmp_path / "t", [TENANT, RENT | {"match_criteria": text}])) == {}


def test_figures_may_be_worked_out_from_quoted_grounds(tmp_path):
    folder = matter(tmp_path / "t", [TENANT, criterion("states a yearly rent of EUR 51,000 for Pellworth Holdings", 2)])
    (folder / "rubric.yaml").write_text(
        "criteria: {C-002: {sources: [{file: lease.txt, quote: 'The rent is EUR 4,250 a month'}]}}", encoding="utf-8"
    )
    rules = found(folder)
    assert [message.rpartition(": ")[2] for _, _, message in rules["fact-not-found"]] == ["Pellworth Holdings"]
    assert rules["no-working"][0][2].startswith("no document has EUR 51,000, and its notes")


# ---------------------------------------------------------------- criteria and deliverables


def test_criteria_that_say_the_same_are_reported_once(tmp_path):
    second = criterion("states a rent of EUR 4,250 a month as its finding", 3)
    rules = found(matter(tmp_path / "t", [RENT, RENT | {"id": "C-009"}, second]))
    assert rules["duplicate-criterion"] == [("warning", "C-009", "has the same words as C-002")]


def test_criteria_that_differ_by_a_number_or_a_deliverable_are_not_duplicates(tmp_path):
    one = criterion("identifies matter 1003-00001 (Halden Freight) as a qualifying matter")
    two = criterion("identifies matter 1003-00002 (Halden Freight) as a qualifying matter", 2)
    three = {**two, "id": "C-003", "deliverables": ["memo.md"]}
    documents = {"lease.txt": LEASE + " 1003-00001 1003-00002"}
    assert found(matter(tmp_path / "t", [one, two, three], documents=documents)) == {}


def test_a_criterion_may_look_only_at_declared_deliverables(tmp_path):
    rules = found(matter(tmp_path / "t", [TENANT | {"deliverables": ["log.xlsx"]}, RENT]))
    assert rules["undeclared-deliverable"] == [
        ("error", "C-001", "looks at log.xlsx; the task's deliverables are memo.md")
    ]


def test_without_declared_deliverables_the_instructions_must_name_it(tmp_path):
    criteria = [TENANT | {"deliverables": ["memo.md"]}, RENT | {"deliverables": ["log.xlsx"]}]
    rules = found(matter(tmp_path / "t", criteria, deliverables=None))
    assert [where for _, where, _ in rules["undeclared-deliverable"]] == ["C-002"]


def test_a_deliverable_that_nobody_is_told_of_or_looks_at_is_reported(tmp_path):
    criteria = [TENANT | {"deliverables": ["memo.md"]}]
    rules = found(matter(tmp_path / "t", criteria, deliverables=["memo.md", "issues-log.xlsx"]))
    assert rules == {
        "deliverable-not-named": [("warning", "", "the instructions do not name issues-log.xlsx")],
        "ungraded-deliverable": [("warning", "", "no criterion looks at issues-log.xlsx")],
    }


def test_a_deliverable_may_be_named_in_words(tmp_path):
    told = "Please write a risk memo on the lease."
    assert found(matter(tmp_path / "t", deliverables=["risk-memo.docx"], instructions=told)) == {}


def test_a_criterion_that_asks_for_many_things_is_compound(tmp_path):
    text = "names the landlord and states the rent; dates the lease and explains the notice"
    ((severity, where, _),) = found(matter(tmp_path / "t", [criterion(text)]))["compound-criterion"]
    assert (severity, where) == ("warning", "C-001")


def test_a_list_of_names_or_sums_is_one_demand(tmp_path):
    text = "names Halden Freight and Marisol Weiss, EUR 4,250 and EUR 12,750, and Brackwater and Halden"
    assert found(matter(tmp_path / "t", [criterion(text)])) == {}


def test_a_blank_in_a_form_is_no_placeholder(tmp_path):
    form = LEASE + " Schedule 2, form of notice. To: the Landlord. Dated: [date]. We end the lease on [ ]."
    assert found(matter(tmp_path / "t", documents={"lease.txt": form})) == {}


def test_a_task_as_lab_publishes_it_needs_no_version(tmp_path):
    assert found(matter(tmp_path / "t", version=None)) == {}


def test_bare_statements_are_counted_in_one_warning(tmp_path):
    bare = [{"id": f"C-{n}", "title": "T", "match_criteria": f"Point {n} is made about the rent"} for n in range(1, 4)]
    ((_, where, message),) = found(matter(tmp_path / "t", bare))["no-pass-fail"]
    assert (where, message) == ("", "3 of 3 criteria do not say when to PASS and when to FAIL: C-1, C-2, C-3")


def test_contested_criteria_and_weights_are_listed(tmp_path):
    folder = matter(tmp_path / "t", [TENANT, RENT | {"weight": 2}])
    (folder / "contested.yaml").write_text("C-001: two landlords are possible\n", encoding="utf-8")
    rules = found(folder)
    assert rules["contested"] == [("warning", "C-001", "is contested: two landlords are possible")]
    assert rules["weight-ignored"][0][0] == "warning"


# ---------------------------------------------------------------- rubric.yaml, reference, corrupted twins


@pytest.fixture
def proven(tmp_path):
    """A task with two checks, a reference that passes both and a twin for each that fails its own."""
    folder = matter(tmp_path / "t", [TENANT | {"deliverables": ["memo.md"]}, RENT])
    quote = "The rent is EUR 4,250 a month"
    (folder / "rubric.yaml").write_text(
        "criteria:\n"
        "  C-001: {check: Halden Freight GmbH}\n"
        f"  C-002: {{check: {{amount: 4250}}, sources: [{{file: lease.txt, quote: '{quote}'}}]}}\n",
        encoding="utf-8",
    )
    twins = {
        "reference": MEMO,
        "corrupted/C-001": MEMO.replace("Halden", "Holding"),
        "corrupted/C-002": MEMO.replace("4,250", "4,520"),
    }
    for name, text in twins.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "memo.md").write_text(text, encoding="utf-8")
    return folder


def test_checks_with_a_reference_and_twins_are_proven(proven):
    assert found(proven) == {}


def test_a_twin_takes_what_it_does_not_alter_from_the_reference(proven):
    (proven / "reference" / "log.md").write_text(
        "The log lists the documents that were read for this memo.", encoding="utf-8"
    )
    assert found(proven) == {}


@pytest.mark.parametrize(
    ("break_it", "rule", "where"),
    [
        (lambda t: (t / "corrupted/C-001/memo.md").write_text(MEMO), "corrupted-passes", "corrupted/C-001"),
        (lambda t: (t / "corrupted/C-001/memo.md").write_text("A memo on nothing."), "corrupted-fails-others", "corrupted/C-001"),
        (lambda t: (t / "corrupted/C-001").rename(t / "corrupted/C-7"), "corrupted-unknown", "corrupted/C-7"),
        (lambda t: (t / "corrupted/C-001").rename(t / "kept"), "no-corrupted-twin", ""),
        (lambda t: (t / "reference").rename(t / "kept"), "no-reference", ""),
        (lambda t: (t / "reference/memo.md").rename(t / "kept.md"), "reference-fails", "C-001"),
        (lambda t: (t / "documents/lease.txt").write_text(LEASE.replace("a month", "monthly")), "quote-not-found", "C-002"),
        (lambda t: (t / "documents/lease.txt").rename(t / "documents/deed.txt"), "absent-document", "C-002"),
    ],
)  # fmt: skip
def test_a_proof_that_does_not_hold_is_reported(proven, break_it, rule, where):
    break_it(proven)
    assert where in [place for _, place, _ in found(proven)[rule]]


def test_the_published_firm_knowledge_tasks_lint(shared_data):
    findings = lint(load_tasks([shared_data / "lab" / "tasks"]))
    rules = [finding.rule for finding in findings]
    assert rules.count("docs-dir-missing") == 25
    assert rules.count("no-pass-fail") == 25
    assert "fact-not-found" not in rules, "nothing is said of facts where there are no documents"


def test_a_hidden_sheet_is_part_of_the_document(tmp_path):
    folder = matter(tmp_path / "t", [TENANT, criterion("states a yearly rent of EUR 51,000", 2)])
    book = openpyxl.Workbook()
    book.active["A1"] = "Rent roll"
    book.create_sheet("Backup")["A1"] = "EUR 51,000 a year"
    book["Backup"].sheet_state = "hidden"
    book.save(folder / "documents" / "rent.xlsx")
    quoted = "criteria: {C-002: {sources: [{file: rent.xlsx, quote: 'EUR 51,000 a year'}]}}"
    (folder / "rubric.yaml").write_text(quoted, encoding="utf-8")
    assert found(folder) == {}


# ---------------------------------------------------------------- runs


def ran(folder, name, memo, out):
    """A stored run of a system that handed in this memo."""
    work = out / "work" / name
    work.mkdir(parents=True)
    (work / "memo.md").write_text(memo, encoding="utf-8")
    return grade(work, folder, out=out / "reports", cache=out / "cache").path


@pytest.fixture
def discriminating(tmp_path):
    """A task with a check that all three systems pass, one that none passes and one that one of them passes."""
    folder = matter(tmp_path / "t", [TENANT, RENT, criterion("names the deposit", 3)])
    checks = {"C-001": "Halden", "C-002": "nowhere", "C-003": "deposit"}
    rubric = {"criteria": {name: {"check": {"quote": words}} for name, words in checks.items()}}
    (folder / "rubric.yaml").write_text(json.dumps(rubric), encoding="utf-8")
    memos = ["Halden lets the premises to Weiss, as the lease says.", "Halden is paid monthly by Weiss, as agreed."]
    memos.append("Halden holds the deposit of Weiss at the bank in Brackwater.")
    return folder, [ran(folder, f"s{n}", memo, tmp_path) for n, memo in enumerate(memos)]


def said_of_runs(folder, runs):
    return [(finding.rule, finding.where, finding.severity) for finding in lint_runs([load_task(folder)], runs)]


def test_criteria_that_do_not_tell_three_systems_apart_are_named(discriminating):
    folder, runs = discriminating
    assert said_of_runs(folder, runs) == [
        ("always-passed", "t C-001", "warning"),
        ("never-passed", "t C-002", "warning"),
    ]
    assert said_of_runs(folder, runs[:2]) == [], "two systems are too few"
    assert said_of_runs(folder, [*runs[:2], runs[0]]) == [], "one system twice is one"


def test_audit_agents_and_runs_on_other_contents_do_not_count(discriminating, tmp_path):
    folder, runs = discriminating
    [parrot] = run([folder], ["parrot"], out=tmp_path / "reports", cache=tmp_path / "cache")
    assert said_of_runs(folder, [*runs[:2], parrot.path]) == []
    (folder / "documents" / "lease.txt").write_text(LEASE + " Signed.", encoding="utf-8")
    assert said_of_runs(folder, runs) == []


def test_the_command_lints_runs_too(discriminating, command):
    folder, runs = discriminating
    result = command("lab", "lint", folder, *(part for path in runs for part in ("--run", path)))
    assert "warning: t C-001: all pass it, of 3 systems in any trial [always-passed]" in result.stdout
    result = command("lab", "lint", folder, "--run", folder)
    assert (result.code, "it has no run.json" in result.stderr) == (2, True)

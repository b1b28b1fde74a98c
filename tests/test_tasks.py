"""LAB's task.json trees are read as they are published; ours beside them; every mistake is named with file and key."""

import json
import time

import pytest

from evalsuite.errors import InputError, UsageError
from evalsuite.lab.overview import describe, overview
from evalsuite.lab.task import load_task, load_tasks

CRITERIA = [
    {
        "id": "C-001",
        "title": "Names the notice period",
        "match_criteria": "PASS if it says thirty days. FAIL otherwise.",
    },
    {"id": "C-004", "title": "Names the party", "match_criteria": "PASS if it names the tenant. FAIL otherwise."},
]
TASK = {"title": "Review of a lease", "instructions": "Write `memo.md`.", "criteria": CRITERIA}


def write_task(folder, documents=("lease.txt",), without=(), **changes):
    """A task folder; the keyword arguments replace or add keys of task.json."""
    data = {key: value for key, value in {**TASK, **changes}.items() if key not in without}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "task.json").write_text(json.dumps(data, ensure_ascii=False), encoding="utf-8")
    for name in documents:
        path = folder / "documents" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("Either party may end the lease on thirty days notice.", encoding="utf-8")
    return folder


def ids(tasks):
    return [task.id for task in tasks]


def problem(folder, error=InputError):
    """(message, where) of the error that loading a folder raises."""
    with pytest.raises(error) as caught:
        load_tasks([folder])
    return caught.value.message, caught.value.where


@pytest.fixture
def root(tmp_path):
    """A task root with ids of two, three and four levels, and a firm-knowledge area whose tasks share one DMS."""
    top = tmp_path / "lab" / "tasks"
    write_task(top / "real-estate" / "lease-review")
    write_task(top / "real-estate" / "extract-terms" / "scenario-01")
    write_task(top / "real-estate" / "extract-terms" / "scenario-02")
    write_task(top / "contracts" / "supply" / "redline" / "scenario-01")
    for number in ("001", "002"):
        write_task(top / "firm-knowledge" / "tasks" / number, documents=(), id=f"fk_{number}", docs_dir="../../dms")
    (top / "firm-knowledge" / "dms" / "1003-00001").mkdir(parents=True)
    (top / "firm-knowledge" / "dms" / "1003-00001" / "letter.txt").write_text("Dear Sirs", encoding="utf-8")
    return top


ALL = [
    "contracts/supply/redline/scenario-01",
    "firm-knowledge/tasks/001",
    "firm-knowledge/tasks/002",
    "real-estate/extract-terms/scenario-01",
    "real-estate/extract-terms/scenario-02",
    "real-estate/lease-review",
]

# ---------------------------------------------------------------- ids and selections


def test_ids_are_slash_paths_under_the_tasks_root_at_any_depth(root):
    assert ids(load_tasks([root])) == ALL


@pytest.mark.parametrize(
    "place", ["real-estate", "real-estate/extract-terms", "firm-knowledge/tasks", "firm-knowledge"]
)
def test_a_part_of_the_tree_keeps_its_ids(root, place):
    assert ids(load_tasks([root / place])) == [name for name in ALL if name.startswith(place)]


def test_a_task_folder_and_its_task_json_are_the_same_task(root):
    folder = root / "firm-knowledge" / "tasks" / "002"
    assert ids(load_tasks([folder])) == ids(load_tasks([folder / "task.json"])) == ["firm-knowledge/tasks/002"]
    assert load_task(folder).id == "firm-knowledge/tasks/002"


def test_a_checkout_is_a_task_root_as_it_stands(root):
    write_task(root.parent / "examples" / "not-a-task")
    assert ids(load_tasks([root.parent])) == ALL


def test_a_checkout_inside_a_folder_named_tasks_keeps_its_own_root(tmp_path):
    checkout = tmp_path / "tasks" / "lab"
    write_task(checkout / "tasks" / "tax" / "vat")
    (checkout / "pyproject.toml").write_text("", encoding="utf-8")
    assert ids(load_tasks([checkout])) == ids(load_tasks([checkout / "tasks" / "tax"])) == ["tax/vat"]


def test_a_lone_task_has_its_own_name_and_another_root_gives_paths(tmp_path):
    write_task(tmp_path / "mine" / "tax" / "vat")
    assert ids(load_tasks([tmp_path / "mine" / "tax" / "vat"])) == ["vat"]
    assert ids(load_tasks([tmp_path / "mine"])) == ["tax/vat"]


def test_paths_that_overlap_give_each_task_once(root):
    assert ids(load_tasks([root / "real-estate", root, root / "real-estate" / "lease-review"])) == ALL


def test_two_tasks_with_one_id_are_refused(tmp_path):
    for place in ("a", "b"):
        write_task(tmp_path / place / "tax" / "vat")
    with pytest.raises(InputError, match="two tasks have the id 'tax/vat'"):
        load_tasks([tmp_path / "a", tmp_path / "b"])


@pytest.mark.parametrize(
    ("select", "wanted"),
    [
        (None, ALL),
        ("all", ALL),
        ("contracts", ALL[:1]),
        ("real-estate/extract-terms", ALL[3:5]),
        ("real-estate/extract-terms/scenario-02", ALL[4:5]),
        ("real-estate/lease-review, firm-knowledge/", [ALL[1], ALL[2], ALL[5]]),
    ],
)
def test_a_selection_is_all_an_area_a_workflow_an_id_or_several(root, select, wanted):
    assert ids(load_tasks([root], select)) == wanted


@pytest.mark.parametrize(
    ("select", "near"), [("real-estat", "near it: real-estate"), ("lease-review", "near it: real-estate/lease-review")]
)
def test_an_unknown_selection_names_what_is_near(root, select, near):
    with pytest.raises(UsageError, match=near):
        load_tasks([root], select)


def test_only_what_is_selected_is_read(root):
    (root / "contracts" / "broken").mkdir()
    (root / "contracts" / "broken" / "task.json").write_text("{", encoding="utf-8")
    assert len(load_tasks([root], "real-estate")) == 3


def test_links_to_task_folders_are_followed_once_and_without_loops(root, tmp_path):
    elsewhere = write_task(tmp_path / "elsewhere" / "vat")
    (root / "tax").symlink_to(elsewhere.parent)
    (root / "an-alias").symlink_to(root / "real-estate")
    (root / "real-estate" / "loop").symlink_to(root)
    assert ids(load_tasks([root])) == [*ALL, "tax/vat"]


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), lambda path: None, lambda path: path.write_text("x")])
def test_a_path_without_a_task_is_refused(tmp_path, make):
    make(tmp_path / "place")
    assert str(tmp_path / "place") == problem(tmp_path / "place")[1]


# ---------------------------------------------------------------- task.json


def test_a_task_holds_what_task_json_says(tmp_path):
    options = {"include_docx_redlines": True}
    criterion = {**CRITERIA[0], "deliverables": ["memo.docx"], "sources": ["lease.docx"], "evaluation_options": options}
    task = load_task(
        write_task(
            tmp_path / "t",
            criteria=[criterion, {**CRITERIA[1], "deliverables": "memo.docx"}],
            deliverables={"memo.docx": "memo.docx", "log": "log.xlsx"},
            work_type="review",
            tags=["Real Estate", "Leases"],
            language="de",
            jurisdiction="Austria",
        )
    )
    assert (task.title, task.instructions, task.work_type) == ("Review of a lease", "Write `memo.md`.", "review")
    assert (task.tags, task.language, task.jurisdiction) == (("Real Estate", "Leases"), "de", "Austria")
    assert task.deliverables == ("memo.docx", "log.xlsx")
    first, second = task.criteria
    assert (first.id, first.sources, first.redlines) == ("C-001", ("lease.docx",), True)
    assert first.deliverables == second.deliverables == ("memo.docx",)
    assert (second.id, second.redlines, second.check, second.critical) == ("C-004", False, None, False)


def test_absent_optional_keys_are_empty(tmp_path):
    task = load_task(write_task(tmp_path / "t"))
    assert (task.deliverables, task.work_type, task.tags, task.language, task.extra) == ((), None, (), None, {})
    assert (task.criteria[0].deliverables, task.criteria[0].sources, task.criteria[0].extra) == ((), (), {})


def test_deliverables_may_be_a_list(tmp_path):
    assert load_task(write_task(tmp_path / "t", deliverables=["a.md", "b.md"])).deliverables == ("a.md", "b.md")


def test_a_criterion_may_name_a_deliverable_by_its_name_in_the_object(tmp_path):
    criterion = {**CRITERIA[0], "deliverables": ["log"]}
    task = load_task(write_task(tmp_path / "t", deliverables={"log": "log.xlsx"}, criteria=[criterion]))
    assert task.criteria[0].deliverables == ("log.xlsx",)


def test_unknown_keys_are_kept(tmp_path):
    criterion = {**CRITERIA[0], "severity": {"level": 3}}
    task = load_task(write_task(tmp_path / "t", metadata={"seniority": "junior"}, id="fk_7", criteria=[criterion]))
    assert task.extra == {"metadata": {"seniority": "junior"}, "id": "fk_7"}
    assert task.criteria[0].extra == {"severity": {"level": 3}}
    assert describe(task)["extra"] == task.extra
    assert describe(task)["criteria"][0]["extra"] == {"severity": {"level": 3}}


def test_a_byte_order_mark_is_not_part_of_the_file(tmp_path):
    folder = write_task(tmp_path / "t")
    (folder / "task.json").write_bytes(b"\xef\xbb\xbf" + (folder / "task.json").read_bytes())
    assert load_task(folder).title == TASK["title"]


def test_numeric_ids_are_read_as_their_digits(tmp_path):
    assert load_task(write_task(tmp_path / "t", criteria=[{**CRITERIA[0], "id": 7}])).criteria[0].id == "7"


def test_instructions_may_lie_beside_an_old_task(tmp_path):
    folder = write_task(tmp_path / "t", without=("instructions",))
    (folder / "instructions.md").write_text("Write a letter.\n", encoding="utf-8")
    task = load_task(folder)
    assert task.instructions == "Write a letter.\n"
    assert set(task.files) == {"task.json", "instructions.md"}


def test_documents_in_sub_folders_are_found_in_order_of_name(tmp_path):
    task = load_task(write_task(tmp_path / "t", documents=("b.txt", "a/z.txt", "a/b/c.txt")))
    assert [path.relative_to(task.documents).as_posix() for path in task.document_files()] == [
        "a/b/c.txt",
        "a/z.txt",
        "b.txt",
    ]


def test_docs_dir_is_honoured_and_shared(root):
    first, second = load_tasks([root], "firm-knowledge")
    assert first.documents == second.documents == root / "firm-knowledge" / "dms"
    assert [path.name for path in first.document_files()] == ["letter.txt"]
    assert first.notes == ()


def test_a_missing_documents_folder_is_a_note_and_no_error(tmp_path):
    task = load_task(write_task(tmp_path / "tasks" / "tax" / "vat", documents=(), docs_dir="../dms"))
    assert task.notes == ("the documents folder ../dms does not exist",)
    assert task.document_files() == []
    assert len(task.sha256) == 64


def test_a_weight_is_ignored_with_a_note(tmp_path):
    task = load_task(write_task(tmp_path / "t", criteria=[{**CRITERIA[0], "weight": 3}]))
    assert task.notes == ("1 criteria have a weight, which is ignored: all criteria count the same",)


def test_a_link_that_leaves_the_documents_is_no_document(tmp_path):
    folder = write_task(tmp_path / "t")
    (folder / "documents" / "rubric.json").symlink_to(folder / "task.json")
    (folder / "documents" / "copy.txt").symlink_to(folder / "documents" / "lease.txt")
    assert [path.name for path in load_task(folder).document_files()] == ["copy.txt", "lease.txt"]


# ---------------------------------------------------------------- hashes


def test_the_hash_follows_documents_rubric_and_task_json(tmp_path):
    folder = write_task(tmp_path / "t")
    seen = {load_task(folder).sha256}
    assert load_task(folder).sha256 in seen
    (folder / "documents" / "lease.txt").write_text("Other words.", encoding="utf-8")
    seen.add(load_task(folder).sha256)
    (folder / "contested.yaml").write_text("C-001: thirty days is one of two readings\n", encoding="utf-8")
    seen.add(load_task(folder).sha256)
    (folder / "documents" / "lease.txt").rename(folder / "documents" / "deed.txt")
    seen.add(load_task(folder).sha256)
    assert len(seen) == 4


def test_a_criterions_hash_follows_what_it_is_graded_by_alone(tmp_path):
    def digest(**changes):
        return load_task(write_task(tmp_path / "t", criteria=[{**CRITERIA[0], **changes}])).criteria[0].sha256

    assert digest() == digest(severity=3)
    assert (
        len({digest(), digest(match_criteria="PASS if other."), digest(deliverables=["a.md"]), digest(title="T")}) == 4
    )


# ---------------------------------------------------------------- mistakes in task.json


def test_all_problems_of_a_task_are_listed_at_once(tmp_path):
    criteria = [
        {"id": "C-001", "title": "", "match_criteria": ["PASS"]},
        {"id": "C-001", "title": "T", "match_criteria": "M"},
        "C-003",
        {"title": "T", "match_criteria": "M", "deliverables": [1]},
    ]
    folder = write_task(tmp_path / "t", without=("title",), instructions=7, criteria=criteria, tags={"a": 1})
    message, where = problem(folder)
    assert where == str(folder / "task.json")
    for part in (
        "9 problems",
        "title must be a non-empty string; it is missing",
        "instructions must be a non-empty string; found 7",
        "criteria[0].title",
        "criteria[0].match_criteria must be a non-empty string; found ['PASS']",
        "criteria[1].id 'C-001' is already the id of criteria[0]",
        "criteria[2] must be an object",
        "criteria[3].deliverables must be a list",
        "criteria[3].id must be a non-empty string; it is missing",
        "tags must be a list",
    ):
        assert part in message


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"criteria": []}, "criteria must be a non-empty list"),
        ({"criteria": {"C-001": {}}}, "criteria must be a non-empty list"),
        ({"work_type": ["review"]}, "work_type must be a string or absent"),
        ({"deliverables": ["../memo.md"]}, "leaves the output folder"),
        ({"docs_dir": "/srv/dms"}, "docs_dir must be a relative path"),
        ({"docs_dir": "../../../../etc"}, "leaves"),
        ({"docs_dir": "."}, "holds the task itself"),
        ({"docs_dir": ".."}, "holds the task itself"),
        ({"title": "a\0b"}, "title holds a NUL character"),
        ({"metadata": ["\ud800"]}, "metadata[0] holds a NUL character or half a surrogate pair"),
    ],
)
def test_a_value_that_makes_no_sense_is_named_with_its_key(tmp_path, changes, part):
    folder = tmp_path / "tasks" / "tax" / "vat"
    write_task(folder)
    (folder / "task.json").write_text(json.dumps({**TASK, **changes}), encoding="utf-8")
    assert part in problem(folder)[0]


@pytest.mark.parametrize(
    ("content", "part", "line"),
    [
        (b'{"title": "T",\n "criteria": [}\n', "is not valid JSON", ":2"),
        (b'{"title":\n "caf\xe9"}', "is not UTF-8", ":2"),
        (b'{"title": "T\0"}', "holds a NUL byte", ":1"),
        (b"", "is not valid JSON", ":1"),
        (b"[]", "must be a JSON object", ""),
        (b'{"title": "a", "title": "b"}', "the key 'title' appears twice", ""),
        (b"[" * 100_000, "nested too deeply", ""),
    ],
)
def test_a_file_that_is_no_json_object_is_refused_with_the_line(tmp_path, content, part, line):
    (tmp_path / "t").mkdir()
    (tmp_path / "t" / "task.json").write_bytes(content)
    message, where = problem(tmp_path / "t")
    assert part in message
    assert where == f"{tmp_path / 't' / 'task.json'}{line}"


def test_other_tasks_that_cannot_be_read_are_counted(root):
    for name in ("real-estate/lease-review", "contracts/supply/redline/scenario-01"):
        (root / name / "task.json").write_text("{}", encoding="utf-8")
    message, where = problem(root)
    assert where.endswith("scenario-01/task.json")
    assert "1 more tasks cannot be read: real-estate/lease-review" in message


# ---------------------------------------------------------------- rubric.yaml and contested.yaml


def test_the_rubric_file_adds_checks_sources_and_marks(tmp_path):
    folder = write_task(tmp_path / "t")
    (folder / "rubric.yaml").write_text(
        "criteria:\n"
        "  C-001:\n"
        "    check: thirty days\n"
        "    critical: true\n"
        '    sources: [{file: lease.txt, quote: "thirty days notice"}]\n'
        "    notes: the only period in the lease\n"
        "  C-004:\n"
        "    check: {date: 2026-03-15}\n",
        encoding="utf-8",
    )
    first, second = load_task(folder).criteria
    assert (first.check, first.critical, first.notes) == (
        {"quote": "thirty days"},
        True,
        "the only period in the lease",
    )
    assert first.quotes == ({"file": "lease.txt", "quote": "thirty days notice"},)
    assert (second.check, second.critical) == ({"date": "2026-03-15"}, False)
    assert json.dumps(describe(load_task(folder))), "everything about a task is JSON"


def test_contested_criteria_carry_the_reason(tmp_path):
    folder = write_task(tmp_path / "t")
    for text in ("C-004: who is the tenant\n", "criteria:\n  C-004: who is the tenant\n"):
        (folder / "contested.yaml").write_text(text, encoding="utf-8")
        assert [criterion.contested for criterion in load_task(folder).criteria] == [None, "who is the tenant"]


@pytest.mark.parametrize(
    ("name", "text", "part"),
    [
        ("rubric.yaml", "criteria: {C-009: {check: x}}", "criteria.C-009: task.json has no criterion with this id"),
        ("rubric.yaml", "criteria: {C-001: {chek: x}}", "criteria.C-001.chek is not known"),
        ("rubric.yaml", "criteria: {C-001: {critical: often}}", "criteria.C-001.critical must be true or false"),
        ("rubric.yaml", "criteria: {C-001: {sources: [a.txt]}}", "criteria.C-001.sources must be a list of"),
        ("rubric.yaml", "criteria: {C-001: {check: {colour: red}}}", "criteria.C-001.check"),
        ("rubric.yaml", "criterion: {}", "key 'criterion' is not known"),
        ("rubric.yaml", "- C-001", "must be a mapping"),
        ("contested.yaml", "C-009: no such criterion", "C-009: task.json has no criterion with this id"),
        ("contested.yaml", "C-001: [1]", "C-001: the reason must be a non-empty string"),
    ],
)
def test_mistakes_in_our_files_are_named_with_their_key(tmp_path, name, text, part):
    folder = write_task(tmp_path / "t")
    (folder / name).write_text(text, encoding="utf-8")
    message, where = problem(folder)
    assert part in message
    assert where == str(folder / name)


@pytest.mark.parametrize(
    ("text", "part"), [("criteria: [", "is not valid YAML"), ("criteria:\n  C-001: {}\n  C-001: {}\n", "appears twice")]
)
def test_yaml_that_cannot_be_read_is_refused_with_the_line(tmp_path, text, part):
    folder = write_task(tmp_path / "t")
    (folder / "rubric.yaml").write_text(text, encoding="utf-8")
    message, where = problem(folder)
    assert part in message
    assert where.rpartition(":")[2].isdigit()


# ---------------------------------------------------------------- many tasks, real tasks


def test_an_overview_counts_documents_and_checks(root):
    (root / "real-estate" / "lease-review" / "rubric.yaml").write_text(
        "criteria: {C-001: {check: thirty days}}", encoding="utf-8"
    )
    lines = {line["id"]: line for line in overview(load_tasks([root]))}
    line = lines["real-estate/lease-review"]
    assert (line["area"], line["n_criteria"], line["n_checks"], line["n_documents"]) == ("real-estate", 2, 1, 1)
    assert lines["firm-knowledge/tasks/001"]["n_documents"] == 1


def test_two_thousand_tasks_over_one_large_dms_load_in_seconds(tmp_path):
    dms = tmp_path / "tasks" / "firm-knowledge" / "dms"
    for number in range(50):
        (dms / f"matter-{number:03}").mkdir(parents=True)
        for name in range(40):
            (dms / f"matter-{number:03}" / f"{name}.txt").write_bytes(b"x")
    criteria = [{**CRITERIA[0], "id": f"C-{number:03}"} for number in range(50)]
    text = json.dumps({**TASK, "criteria": criteria, "docs_dir": "../../dms"})
    for number in range(2000):
        folder = dms.parent / "tasks" / f"{number:04}"
        folder.mkdir(parents=True)
        (folder / "task.json").write_text(text, encoding="utf-8")
    start = time.process_time()
    tasks = load_tasks([tmp_path / "tasks"])
    counts = {line["n_documents"] for line in overview(tasks)}
    assert len({task.sha256 for task in tasks}) == 1, "the shared folder is hashed once, not two thousand times"
    assert (len(tasks), counts) == (2000, {2000})
    assert time.process_time() - start < 10


def test_the_published_firm_knowledge_tasks_load(shared_data):
    tasks = load_tasks([shared_data / "lab" / "tasks"])
    assert len(tasks) == 25
    assert sum(len(task.criteria) for task in tasks) == 189
    assert tasks[0].id == "firm-knowledge/tasks/001"
    assert tasks[0].extra == {"id": "fk_001", "docs_dir": "../../dms"}
    assert {note for task in tasks for note in task.notes} == {"the documents folder ../../dms does not exist"}
    for task in tasks:
        published = json.loads((task.folder / "task.json").read_text(encoding="utf-8"))
        assert [(c.id, c.title, c.match_criteria) for c in task.criteria] == [
            tuple(c.values()) for c in published["criteria"]
        ]

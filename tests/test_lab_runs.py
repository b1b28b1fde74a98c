"""LAB's run folders come in with their judges' verdicts and go out as the same score files."""

import json

import pytest

from evalsuite.errors import InputError, RunError
from evalsuite.lab.labruns import export_scores, import_run, read_lab_run
from evalsuite.records import CriterionResult, Manifest, Suite, TrialResult, Vote
from evalsuite.storage import RunWriter, read_manifest, read_units, trial_folder
from evalsuite.summary import verify

TASK = "real-estate/lease-review"
JUDGES = ("judge-one", "vendor/judge-two")
PASS_FAIL = {"C-001": "pass", "C-002": "fail", "C-003": "pass"}
DOCUMENTS = {
    "documents_read": 1,
    "total_documents": 2,
    "documents_skipped": 1,
    "documents_read_list": ["lease.docx"],
    "documents_skipped_list": ["rent.xlsx"],
}


def scores(verdicts=PASS_FAIL, judge=JUDGES[0], without=(), **changes):
    """scores.json as LAB writes it."""
    passed, total = sum(v == "pass" for v in verdicts.values()), len(verdicts)
    data = {
        "score": float(passed == total),
        "max_score": 1.0,
        "summary": f"{passed}/{total} criteria passed.  Missed {total - passed} — task FAIL.",
        "all_pass": passed == total,
        "n_criteria": total,
        "n_passed": passed,
        "criteria_results": [
            {"id": name, "title": f"About {name}", "verdict": verdict, "reasoning": f"because {name}"}
            for name, verdict in verdicts.items()
        ],
        "run_id": "r1",
        "task": TASK,
        "judge_model": judge,
        "scored_at": "2026-05-01T10:00:00.123456+00:00",
        "cost": {"input_tokens": 1000, "output_tokens": 50, "wall_clock_seconds": 12.5},
        "doc_coverage": DOCUMENTS,
    }
    return {key: value for key, value in (data | changes).items() if key not in without}


def dual(first, second, **changes):
    """scores_dual.json of two judges' scores."""
    panel = [first, second]
    rate = sum(part["all_pass"] for part in panel) / 2
    return {
        "run_id": "r1",
        "task": TASK,
        "judges": [part["judge_model"] for part in panel],
        "per_judge": {part["judge_model"]: part for part in panel},
        "dual_criterion_pass": sum(part["n_passed"] / part["n_criteria"] for part in panel) / 2,
        "dual_all_pass_rate": rate,
        "all_pass": rate == 1.0,
        "scored_at": "2026-05-01T11:00:00+00:00",
    } | changes


TRANSCRIPT = [
    {"turn": 1, "role": "assistant", "text": None, "tool_calls": [{"name": "read", "arguments": '{"file_path": "a"}'}]},
    {"turn": 1, "role": "tool", "tool_name": "read", "arguments": '{"file_path": "a"}', "result_preview": "text"},
    {"turn": 2, "role": "assistant", "text": "Done.", "tool_calls": []},
]
CONFIG = {"model": "vendor/agent-one", "task": TASK, "run_id": "r1", "max_turns": 200, "temperature": 0.0}
METRICS = {
    "turn_count": 2,
    "input_tokens": 1000,
    "output_tokens": 50,
    "wall_clock_seconds": 12.5,
    "finished_cleanly": True,
}


def write_lab_run(folder, config=CONFIG, metrics=METRICS | DOCUMENTS, transcript=TRANSCRIPT, **files):
    """A LAB run folder; the keyword arguments are score files without .json."""
    folder.mkdir()
    parts = {"config": config, "metrics": metrics, **(files or {"scores": scores()})}
    for name, value in parts.items():
        if value is not None:
            (folder / f"{name}.json").write_text(json.dumps(value, indent=2), encoding="utf-8")
    if transcript is not None:
        (folder / "transcript.jsonl").write_text(
            "".join(json.dumps(line) + "\n" for line in transcript), encoding="utf-8"
        )
    (folder / "output").mkdir()
    (folder / "output" / "memo.md").write_text("# Memo\n", encoding="utf-8")
    return folder


def load(path):
    return json.loads(path.read_text(encoding="utf-8"))


def round_trip(folder, tmp_path, **options):
    """{file name: object without what is ours} of a LAB run imported and exported again."""
    paths = export_scores(import_run(folder, tmp_path / "reports"), tmp_path / "export", **options)
    return {path.name: {key: value for key, value in load(path).items() if key != "evalsuite"} for path in paths}


def verdicts(run):
    return {result.id: result.verdict for result in run.criteria}


# ---------------------------------------------------------------- reading


@pytest.mark.parametrize(("name", "n_passed", "turns"), [("run-a", 39, 15), ("run-b", 33, 38)])
def test_published_runs_import_and_export_unchanged(shared_data, tmp_path, name, n_passed, turns):
    folder = shared_data / "lab" / "runs" / name
    published = load(folder / "scores.json")
    run = read_lab_run(folder)
    assert run.n_passed == published["n_passed"] == n_passed
    assert verdicts(run) == {entry["id"]: entry["verdict"] for entry in published["criteria_results"]}
    assert (run.trial.turns, run.trial.stop_reason, len(run.trial.documents_read)) == (turns, "done", 13)
    back = round_trip(folder, tmp_path)
    assert back == {"scores.json": published}
    assert list(back["scores.json"]) == list(published)


def test_a_run_becomes_one_trial_and_a_result_per_criterion(tmp_path):
    run = read_lab_run(write_lab_run(tmp_path / "run"))
    assert (run.task, run.model, run.run_id, run.judges, run.n_passed) == (
        TASK,
        "vendor/agent-one",
        "r1",
        JUDGES[:1],
        2,
    )
    assert run.notes == ()
    trial = run.trial
    assert (trial.trial, trial.stop_reason, trial.finished, trial.turns, trial.seconds) == (1, "done", True, 2, 12.5)
    assert (trial.tokens, trial.tool_calls) == ({"input": 1000, "output": 50}, {"read": 1})
    assert (trial.documents_total, trial.documents_read, list(trial.output)) == (2, ["lease.docx"], ["memo.md"])
    first = run.criteria[0]
    assert (first.id, first.title, first.verdict, first.share) == ("C-001", "About C-001", "pass", 1.0)
    assert [(vote.judge, vote.verdict, vote.reasoning) for vote in first.votes] == [
        ("judge-one", "pass", "because C-001")
    ]


def test_only_a_score_file_is_needed(tmp_path):
    folder = write_lab_run(tmp_path / "run", config=None, metrics=None, transcript=None)
    (folder / "output" / "memo.md").unlink()
    (folder / "output").rmdir()
    run = read_lab_run(folder)
    assert (run.task, run.model, run.n_passed, run.trial.seconds) == (TASK, "unknown", 2, 12.5)
    assert (run.trial.documents_total, run.trial.documents_read) == (2, ["lease.docx"])
    assert [note.split()[0] for note in run.notes] == [
        "config.json",
        "metrics.json",
        "transcript.jsonl",
        "why",
        "output/",
    ]


def test_a_bare_score_file_takes_its_task_from_the_config(tmp_path):
    data = {"criteria_results": [{"id": 1, "verdict": "pass"}, {"id": 2, "verdict": "fail"}]}
    run = read_lab_run(write_lab_run(tmp_path / "run", scores=data))
    assert (run.task, run.judges, verdicts(run)) == (TASK, ("unknown",), {"1": "pass", "2": "fail"})


def test_an_agent_at_its_turn_limit_did_not_finish(tmp_path):
    folder = write_lab_run(
        tmp_path / "run",
        config=CONFIG | {"max_turns": 1},
        transcript=TRANSCRIPT[:2],
        metrics=METRICS | {"turn_count": 1},
    )
    assert (read_lab_run(folder).trial.stop_reason, read_lab_run(folder).trial.finished) == ("turns", False)


def test_an_agent_that_did_not_finish_cleanly_ran_out_of_context(tmp_path):
    folder = write_lab_run(tmp_path / "run", metrics=METRICS | {"finished_cleanly": False}, transcript=TRANSCRIPT[:2])
    assert (read_lab_run(folder).trial.stop_reason, read_lab_run(folder).trial.finished) == ("context", False)


def test_a_torn_transcript_line_is_left_out_and_said(tmp_path):
    folder = write_lab_run(tmp_path / "run")
    with (folder / "transcript.jsonl").open("a") as stream:
        stream.write('{"turn": 3, "role": "ass')
    assert "1 lines that are not JSON" in " ".join(read_lab_run(folder).notes)


@pytest.mark.parametrize(("written", "read"), [("PASS", "pass"), ("Fail", "fail"), ("ERROR", "error"), (None, "error")])
def test_verdicts_are_read_in_any_case_and_none_is_an_error(tmp_path, written, read):
    data = scores(
        {"C-001": "pass", "C-002": written}, n_passed=2 if read == "pass" else 1, all_pass=None, score=None, summary=""
    )
    run = read_lab_run(write_lab_run(tmp_path / "run", scores=data))
    assert verdicts(run)["C-002"] == read
    assert run.criteria[1].error_kind == ("judge_unavailable" if read == "error" else None)


def test_a_fail_that_carries_an_error_is_an_error(tmp_path):
    data = scores()
    data["criteria_results"][1] |= {"error": "HTTP 529", "reasoning": ""}
    run = read_lab_run(write_lab_run(tmp_path / "run", scores=data))
    assert (run.criteria[1].verdict, run.criteria[1].share, run.criteria[1].votes[0].reasoning) == (
        "error",
        None,
        "HTTP 529",
    )


def test_two_judges_are_two_votes_and_both_must_pass(tmp_path):
    first, second = scores(), scores({"C-001": "pass", "C-002": "pass", "C-003": "fail"}, JUDGES[1])
    folder = write_lab_run(
        tmp_path / "run", **{"scores_judge-one": first, "scores_judge-two": second, "scores_dual": dual(first, second)}
    )
    run = read_lab_run(folder)
    assert run.judges == JUDGES
    assert [(result.verdict, result.share) for result in run.criteria] == [("pass", 1.0), ("fail", 0.5), ("fail", 0.5)]
    assert read_manifest(import_run(folder, tmp_path)).protocol["aggregation"] == "mean"


def test_a_dual_file_alone_holds_its_judges_verdicts(tmp_path):
    first, second = scores(), scores(judge=JUDGES[1])
    run = read_lab_run(write_lab_run(tmp_path / "run", scores_dual=dual(first, second)))
    assert (run.judges, run.n_passed) == (JUDGES, 2)


def test_scores_of_an_unfinished_pair_do_not_count_beside_scores_json(tmp_path):
    folder = write_lab_run(tmp_path / "run", scores=scores(), **{"scores_judge-two": scores(judge=JUDGES[1])})
    run = read_lab_run(folder)
    assert (run.judges, run.notes) == (JUDGES[:1], ("kept, but not counted: scores_judge-two.json",))


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"n_passed": 3}, ("n_passed is 3", "2 passes among 3")),
        ({"n_criteria": 4}, ("n_criteria is 4", "among 3 criteria")),
        ({"all_pass": True}, ("all_pass is True",)),
        ({"score": 1.0}, ("score is 1.0 of 1.0",)),
        ({"summary": "3/3 criteria passed."}, ("summary says '3/3 criteria passed.'",)),
        ({"criteria_results": []}, ("criteria_results must be a non-empty list",)),
        (
            {"criteria_results": [{"id": "C-001", "verdict": "partly"}]},
            ("verdict must be pass, fail or error; found 'partly'",),
        ),
        ({"criteria_results": [{"id": "C-001", "verdict": "pass"}] * 2}, ("grades C-001 more than once",)),
        ({"task": "../../etc"}, ("task",)),
        ({"task": "tax/vat"}, ("scores.json has the task 'tax/vat'", "config.json has 'real-estate/lease-review'")),
    ],
)
def test_scores_that_contradict_themselves_are_refused_with_both_sides(tmp_path, changes, parts):
    folder = write_lab_run(tmp_path / "run", scores=scores(**changes))
    with pytest.raises(InputError) as caught:
        read_lab_run(folder)
    assert all(part in caught.value.message for part in parts)


@pytest.mark.parametrize(
    "changes", [{"score": 2 / 3}, {"score": 2, "max_score": 3}, {"score": 66.7, "max_score": None}]
)
def test_a_share_of_passes_on_any_scale_is_a_score_too(tmp_path, changes):
    assert read_lab_run(write_lab_run(tmp_path / "run", scores=scores(**changes))).n_passed == 2


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"dual_criterion_pass": 0.9}, "dual_criterion_pass is 0.9"),
        ({"all_pass": True}, "all_pass is True"),
        ({"judges": ["judge-three"]}, "scores_judge-three.json is missing"),
    ],
)
def test_a_dual_file_that_contradicts_its_judges_is_refused(tmp_path, changes, part):
    first, second = scores(), scores(judge=JUDGES[1])
    folder = write_lab_run(tmp_path / "run", scores_dual=dual(first, second, **changes))
    with pytest.raises(InputError, match=part):
        read_lab_run(folder)


def test_judges_of_different_criteria_are_refused(tmp_path):
    files = {"scores_a": scores(), "scores_b": scores({"C-001": "pass", "C-009": "pass"}, "b", summary="")}
    with pytest.raises(InputError, match="grade different criteria: C-002, C-003, C-009"):
        read_lab_run(write_lab_run(tmp_path / "run", **files))


def test_a_folder_without_scores_was_not_graded(tmp_path):
    folder = write_lab_run(tmp_path / "run")
    (folder / "scores.json").unlink()
    with pytest.raises(InputError, match="it was not graded"):
        read_lab_run(folder)
    with pytest.raises(InputError, match="no such run folder"):
        read_lab_run(tmp_path / "nowhere")


# ---------------------------------------------------------------- import


def test_an_import_is_a_run_folder_that_verifies(tmp_path):
    folder = write_lab_run(tmp_path / "run")
    path = import_run(folder, tmp_path / "reports")
    manifest = read_manifest(path)
    assert (manifest.kind, manifest.status, manifest.suite.name) == ("lab", "complete", TASK)
    assert (manifest.system["name"], manifest.system["agent"]) == ("vendor/agent-one", "harvey-labs")
    assert manifest.system["settings"] == {"max_turns": 200, "temperature": 0.0}
    assert manifest.protocol["profile"] == "lab-import"
    assert [unit.unit for unit in read_units(path)] == ["trial", "criterion", "criterion", "criterion"]
    artifacts = path / "artifacts" / "real-estate__lease-review" / "trial-1"
    kept = sorted(p.relative_to(artifacts).as_posix() for p in artifacts.rglob("*") if p.is_file())
    assert kept == [
        "deliverables/memo.md",
        "lab/config.json",
        "lab/metrics.json",
        "lab/scores.json",
        "transcript.jsonl",
    ]
    assert (artifacts / "lab" / "scores.json").read_bytes() == (folder / "scores.json").read_bytes()
    assert verify(path)["mismatches"] == []


def test_the_same_run_is_imported_once_and_other_verdicts_are_another_run(tmp_path):
    first = import_run(write_lab_run(tmp_path / "a"), tmp_path / "reports")
    assert import_run(write_lab_run(tmp_path / "b"), tmp_path / "reports") == first
    other = write_lab_run(tmp_path / "c", scores=scores(dict.fromkeys(PASS_FAIL, "pass"), summary=""))
    assert import_run(other, tmp_path / "reports") != first


def test_links_in_the_output_are_not_followed(tmp_path):
    folder = write_lab_run(tmp_path / "run")
    (tmp_path / "secret.txt").write_text("secret", encoding="utf-8")
    (folder / "output" / "memo2.md").symlink_to(tmp_path / "secret.txt")
    run = read_lab_run(folder)
    assert list(run.trial.output) == ["memo.md"]
    assert run.notes == ("links in output/ are left out: memo2.md",)


@pytest.mark.parametrize("task", ["", "/etc", "a//b", "../b", "a/.", "a\\b"])
def test_a_task_id_that_is_no_plain_path_is_refused(task, tmp_path):
    with pytest.raises(InputError, match="the task id must be a slash path"):
        trial_folder(tmp_path, task, 1)


# ---------------------------------------------------------------- export


def test_unknown_fields_key_order_and_time_survive_the_round_trip(tmp_path):
    data = {"schema_version": "2", **scores(content_score=0.66)}
    data["criteria_results"][0] |= {"criticality": 3, "evidence": [{"quote": "thirty days"}]}
    back = round_trip(write_lab_run(tmp_path / "run", scores=data), tmp_path)
    assert back == {"scores.json": data}
    assert list(back["scores.json"]) == list(data)


def test_two_judges_files_survive_the_round_trip(tmp_path):
    first, second = (
        scores(),
        scores(dict.fromkeys(PASS_FAIL, "pass"), JUDGES[1], summary="3/3 criteria passed.  ALL-PASS."),
    )
    files = {
        "scores_judge-one": first,
        "scores_vendor_judge-two": second,
        "scores_dual": dual(first, second, note="kept"),
    }
    back = round_trip(write_lab_run(tmp_path / "run", **files), tmp_path)
    assert back == {f"{name}.json": value for name, value in files.items()}
    assert back["scores_dual.json"]["dual_all_pass_rate"] == 0.5


def test_missing_lab_fields_are_filled_in(tmp_path):
    data = {"criteria_results": [{"id": "1", "verdict": "PASS"}]}
    out = round_trip(write_lab_run(tmp_path / "run", scores=data), tmp_path)["scores.json"]
    assert (out["score"], out["n_passed"], out["all_pass"], out["summary"]) == (
        1.0,
        1,
        True,
        "1/1 criteria passed.  ALL-PASS.",
    )
    assert out["criteria_results"] == [{"id": "1", "verdict": "pass"}]
    assert (out["cost"]["input_tokens"], out["doc_coverage"]) == (1000, DOCUMENTS)


def write_own_run(folder, results, status="complete"):
    """A run folder as grading writes it, of one trial with the given (id, verdict, votes)."""
    manifest = Manifest(
        kind="lab", run_id="own", suite=Suite(name="s", sha256="0"), system={"name": "a"}, protocol={"id": "p"}
    )
    writer = RunWriter(folder, manifest)
    trial = TrialResult(
        task=TASK,
        trial=2,
        stop_reason="done",
        finished=True,
        seconds=3.5,
        tokens={"input": 10, "output": 5},
        documents_total=2,
        documents_read=["lease.docx"],
    )
    graded = [
        CriterionResult(task=TASK, trial=2, id=name, title=name, verdict=verdict, votes=votes, error_kind=None)
        for name, verdict, votes in results
    ]
    writer.append([trial, *graded])
    writer.close(status)
    return folder


def votes(**said):
    """votes(a="pf") is a pass and a fail of judge a."""
    words = {"p": "pass", "f": "fail", "e": "error"}
    return [
        Vote(judge=judge, vote=number, verdict=words[letter], reasoning=f"{judge}{number}")
        for judge, letters in said.items()
        for number, letter in enumerate(letters, start=1)
    ]


def checked(verdict):
    return [Vote(judge="check:quote", verdict=verdict, reasoning="the words are there")]


def test_a_run_of_ours_has_every_lab_field_with_labs_meaning(tmp_path):
    results = [("C-001", "pass", checked("pass")), ("C-002", "fail", votes(a="f")), ("C-003", "pass", votes(a="p"))]
    (path,) = export_scores(write_own_run(tmp_path / "run", results), tmp_path / "export")
    assert path == tmp_path / "export" / "real-estate" / "lease-review" / "run" / "trial-2" / "scores.json"
    out = load(path)
    assert list(out) == [*scores(), "evalsuite"]
    assert (out["score"], out["all_pass"], out["n_criteria"], out["n_passed"]) == (0.0, False, 3, 2)
    assert out["summary"] == "2/3 criteria passed.  Missed 1 — task FAIL."
    assert out["criteria_results"][0] == {
        "id": "C-001",
        "title": "C-001",
        "verdict": "pass",
        "reasoning": "the words are there",
    }
    assert (out["task"], out["judge_model"]) == (TASK, "a")
    assert out["cost"] == {"input_tokens": 10, "output_tokens": 5, "wall_clock_seconds": 3.5}
    assert out["doc_coverage"]["documents_skipped"] == 1
    assert out["evalsuite"]["without_judge"] == ["C-001"]


def test_two_judges_of_ours_give_labs_dual_numbers(tmp_path):
    results = [
        ("C-001", "pass", checked("pass")),
        ("C-002", "fail", votes(a="p", b="f")),
        ("C-003", "pass", votes(a="ppf", b="p")),
    ]
    paths = export_scores(write_own_run(tmp_path / "run", results), tmp_path / "export")
    assert [path.name for path in paths] == ["scores_a.json", "scores_b.json", "scores_dual.json"]
    first, second, both = map(load, paths)
    assert (first["n_passed"], first["all_pass"], second["n_passed"], second["all_pass"]) == (3, True, 2, False)
    assert (both["dual_criterion_pass"], both["dual_all_pass_rate"], both["all_pass"]) == (
        pytest.approx(5 / 6),
        0.5,
        False,
    )
    assert both["judges"] == list(both["per_judge"]) == ["a", "b"]
    assert both["per_judge"]["b"]["n_passed"] == 2


def test_a_run_without_a_judge_names_none(tmp_path):
    run = write_own_run(tmp_path / "run", [("C-001", "pass", checked("pass"))])
    (path,) = export_scores(run, tmp_path / "export")
    assert (load(path)["judge_model"], load(path)["score"]) == ("deterministic", 1.0)


def test_errors_are_refused_unless_they_are_allowed(tmp_path):
    run = write_own_run(
        tmp_path / "run", [("C-001", "pass", votes(a="p", b="p")), ("C-002", "error", votes(a="p", b="e"))]
    )
    with pytest.raises(RunError, match="1 criteria and 0 whole trials were not graded"):
        export_scores(run, tmp_path / "export")
    first, second, both = map(load, export_scores(run, tmp_path / "export", allow_errors=True))
    assert (first["all_pass"], first["evalsuite"]["n_errors"]) == (True, 0)
    assert (second["all_pass"], second["score"], second["n_passed"], second["evalsuite"]["n_errors"]) == (
        None,
        None,
        1,
        1,
    )
    assert (both["all_pass"], both["dual_all_pass_rate"], both["evalsuite"]["n_errors"]) == (None, None, 1)


def test_an_imported_error_comes_out_as_an_error(tmp_path):
    data = scores({"C-001": "pass", "C-002": "error"}, all_pass=False, summary="")
    out = round_trip(write_lab_run(tmp_path / "run", scores=data), tmp_path, allow_errors=True)["scores.json"]
    assert (out["all_pass"], out["score"], out["criteria_results"][1]["verdict"]) == (None, None, "error")


def test_an_unfinished_run_is_refused(tmp_path):
    run = write_own_run(tmp_path / "run", [("C-001", "pass", votes(a="p"))], status="interrupted")
    with pytest.raises(RunError, match="the run is interrupted"):
        export_scores(run, tmp_path / "export")


def test_what_was_exported_can_be_imported_again(tmp_path):
    results = [("C-001", "fail", votes(a="f", b="p")), ("C-002", "pass", votes(a="p", b="p"))]
    paths = export_scores(write_own_run(tmp_path / "run", results), tmp_path / "export")
    run = read_lab_run(paths[0].parent)
    assert (run.judges, verdicts(run)) == (("a", "b"), {"C-001": "fail", "C-002": "pass"})

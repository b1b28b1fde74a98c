"""People's verdicts: taken in whole or not at all, kept for ever, never one reviewer's silently, and the numbers with them."""

import contextlib
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from labkit import write_task
from test_evaluate import write_corpus
from test_lab_numbers import criterion, graded, manifest_for, vote, worked, write_run

from evalsuite import evaluate
from evalsuite.errors import EvalsuiteError, InputError, RunError
from evalsuite.lab.evaluate import run
from evalsuite.records import CriterionResult
from evalsuite.reporting.agreement import review_report
from evalsuite.reporting.labels import export_labels
from evalsuite.reporting.review import import_reviews, read_reviews, reviewed_units, settled
from evalsuite.statistics import cohen_kappa, gwet_ac1, wilson
from evalsuite.storage import read_manifest, read_units, sha256_file, sha256_json
from evalsuite.summary import summarise, verify

HERE = Path(__file__).parent


def review(folder, name, verdict, *, task="a", trial=1, who="Ann", at="2026-05-01T12:00:00Z", **changes):
    """What the page would export for one criterion of a run folder."""
    found = next(u for u in read_units(folder) if u.key == ("criterion", task, str(trial), name))
    return {
        "unit": "review",
        "run": read_manifest(folder).run_id or folder.name,
        "task": task,
        "trial": trial,
        "criterion": name,
        "unit_sha256": sha256_json(found.model_dump(mode="json", by_alias=True, exclude_unset=True))[:24],
        "machine": found.verdict,
        "verdict": verdict,
        "reason": f"read it: {verdict}",
        "reviewer": who,
        "at": at,
    } | changes


def exported(*reviews):
    return {"format": "evalsuite-review", "version": 1, "exported_at": "2026-05-01T13:00:00Z", "reviews": list(reviews)}


def taken(folder, *reviews):
    return import_reviews(exported(*reviews), [folder])


def named(path, manifest, units):
    return write_run(path, manifest.model_copy(update={"run_id": path.name}), units)


@pytest.fixture
def one(tmp_path):
    """Two tasks of two criteria: a passes its first only, b passes both."""
    return named(tmp_path / "out" / "one", *graded({"a": ["PF"], "b": ["PP"]}))


@pytest.fixture
def two(tmp_path):
    return named(tmp_path / "out" / "two", *graded({"a": ["PF"], "b": ["PE"]}))


def lines(folder):
    return (folder / "reviews.jsonl").read_bytes()


# Taking in


def test_a_run_without_reviews_has_none(one):
    assert read_reviews(one) == []


def test_reviews_of_several_runs_in_one_file_each_find_their_own(one, two, tmp_path):
    file = tmp_path / "reviews.json"
    file.write_text(json.dumps(exported(review(one, "C-2", "pass"), review(two, "C-1", "fail"))))
    found = import_reviews(file, [tmp_path / "out"])
    assert [(t.run, t.added, t.already_there) for t in found] == [(one, 1, 0), (two, 1, 0)]
    assert [(r.criterion, r.verdict) for r in read_reviews(one)] == [("C-2", "pass")]
    assert [(r.criterion, r.verdict) for r in read_reviews(two)] == [("C-1", "fail")]


def test_results_and_summary_stay_as_they_are_and_verify_stays_ok(one):
    before = {name: sha256_file(one / name) for name in ("run.json", "results.jsonl", "summary.json")}
    checked = verify(one)["checked"]
    taken(one, review(one, "C-2", "pass"))
    assert {name: sha256_file(one / name) for name in before} == before
    assert verify(one) == {"ok": True, "checked": checked, "mismatches": []}


def test_what_is_there_already_is_counted_and_not_written_again(one):
    first, second = review(one, "C-2", "pass"), review(one, "C-1", "pass", reason="")
    taken(one, first)
    before = lines(one)
    [again] = taken(one, first, second, second)
    assert (again.added, again.already_there) == (1, 2)
    assert lines(one).startswith(before)
    assert [r.criterion for r in read_reviews(one)] == ["C-2", "C-1"]


def test_unknown_keys_of_a_review_are_kept(one):
    taken(one, review(one, "C-2", "pass", seconds=12))
    assert json.loads(lines(one))["seconds"] == 12


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"run": "other"}, "no run 'other' among ['one', 'two']"),
        ({"criterion": "C-9"}, "criterion 'C-9' of 'a', trial 1 is not in run 'one'"),
        ({"trial": 2}, "criterion 'C-2' of 'a', trial 2 is not in run"),
        (
            {"unit_sha256": "0" * 64},
            "criterion 'C-2' of 'a', trial 1 was reviewed on another verdict: the run's is fail",
        ),
        ({"machine": "error"}, "machine: the verdict of criterion 'C-2' of 'a', trial 1 is fail; found 'error'"),
        ({"verdict": "maybe"}, "verdict: Input should be 'pass', 'fail' or 'error', found 'maybe'"),
        ({"reviewer": "  "}, "reviewer: String should have at least 1 character"),
        ({"reason": " \n"}, "a reason is needed: the verdict is pass, the machine's was fail"),
        ({"reason": "x" * 10_001}, "reason: String should have at most 10000 characters"),
        ({"reason": "\ud800"}, "reason: Input should be a valid string"),
        ({"run": "one\ud800"}, "holds text that is not Unicode"),
        ({"note": {"deep": "\ud800"}}, "holds text that is not Unicode"),
        ({"at": "yesterday"}, "at: Invalid isoformat string: 'yesterday'"),
        ({"at": "2026-05-01T12:00:00"}, "at: has no time zone"),
        ({"unit": "query"}, "unit: Input should be 'review'"),
    ],
)
def test_a_review_that_does_not_fit_is_refused_and_nothing_is_written(one, two, changes, told):
    wrong = review(one, "C-2", "pass") | changes
    with pytest.raises(InputError) as caught:
        import_reviews(exported(review(two, "C-1", "fail"), wrong), [one, two])
    assert f"reviews[1]: {told}" in caught.value.message
    assert not (one / "reviews.jsonl").exists()
    assert not (two / "reviews.jsonl").exists()


def test_all_problems_are_listed_at_once(one):
    wrong = [review(one, "C-2", "pass") | {"reviewer": ""}, 7, review(one, "C-1", "fail") | {"criterion": "C-7"}]
    with pytest.raises(InputError) as caught:
        taken(one, wrong[0], review(one, "C-2", "pass"), *wrong[1:])
    assert "nothing was taken in, 3 of 4 are wrong" in caught.value.message
    assert [f"reviews[{i}]: " in caught.value.message for i in range(4)] == [True, False, True, True]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "the file is empty"),
        (b"{", "is not JSON"),
        (b"\xff\xfe\x00", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "is no export of reviews"),
        (b'{"reviews": []}', "'format' must be 'evalsuite-review'; found None"),
        (b'{"format": "evalsuite-review", "version": 2, "reviews": []}', "'version' must be 1; found 2"),
        (b'{"format": "evalsuite-review", "version": 1, "reviews": {}}', "'reviews' must be a list"),
    ],
)
def test_a_file_that_is_no_export_is_refused_by_name(one, tmp_path, content, told):
    file = tmp_path / "reviews.json"
    file.write_bytes(content)
    with pytest.raises(InputError) as caught:
        import_reviews(file, [one])
    assert told in caught.value.message
    assert caught.value.where == str(file)


def test_two_folders_of_one_name_are_ambiguous_and_one_folder_given_twice_is_not(one, tmp_path):
    entry = review(one, "C-2", "pass")
    shutil.copytree(one, tmp_path / "copy")
    with pytest.raises(InputError, match="are all called 'one'; give one of them"):
        import_reviews(exported(entry), [one, tmp_path / "copy"])
    [only] = import_reviews(exported(entry), [one, one.parent])
    assert only.added == 1


def test_an_unfinished_run_whose_last_line_is_torn_is_reviewed(tmp_path):
    folder = named(tmp_path / "big", *graded({"a": ["PFPFPFPFPFPF"]}))
    entries = [review(folder, f"C-{number}", "pass") for number in range(1, 11)]
    manifest = json.loads((folder / "run.json").read_text()) | {"status": "interrupted"}
    (folder / "run.json").write_text(json.dumps(manifest))
    with (folder / "results.jsonl").open("a") as stream:
        stream.write('{"unit": "criterion", "task": "a", "tri')
    [done] = taken(folder, *entries)
    assert (done.added, len(read_reviews(folder))) == (10, 10)


def test_verdicts_of_a_retrieval_run_are_not_reviewed(one, tmp_path):
    [made] = evaluate(write_corpus(tmp_path / "made", 10, 3), ["bm25"], out=tmp_path / "runs")
    entry = review(one, "C-2", "pass") | {"run": made.manifest.run_id or made.path.name}
    with pytest.raises(InputError, match="is a retrieval run"):
        import_reviews(exported(entry), [made.path])
    with pytest.raises(RunError, match="no verdicts of a lab run"):
        review_report(made.path)


# reviews.jsonl


def test_a_torn_last_line_is_dropped_and_the_same_import_completes_it(one):
    entries = [review(one, "C-2", "pass"), review(one, "C-1", "fail", reason="süß – 法")]
    taken(one, *entries)
    whole = lines(one)
    first = whole.index(b"\n") + 1
    for size in range(len(whole)):
        (one / "reviews.jsonl").write_bytes(whole[:size])
        assert len(read_reviews(one)) == (size >= first - 1) + (size >= len(whole) - 1)
        taken(one, *entries)
        assert lines(one).rstrip(b"\n") == whole.rstrip(b"\n")


def test_a_last_line_that_lacks_only_its_end_counts_and_is_not_touched(one):
    taken(one, review(one, "C-2", "pass"))
    (one / "reviews.jsonl").write_bytes(lines(one).rstrip(b"\n"))
    before = lines(one)
    taken(one, review(one, "C-1", "fail"))
    assert lines(one).startswith(before + b"\n")
    assert [r.criterion for r in read_reviews(one)] == ["C-2", "C-1"]


@pytest.mark.parametrize("line", [b"{", b"[]", b'{"unit": "review"}', b"\xff", b"null", b"[" * 50_000])
def test_a_broken_line_is_an_error_with_file_and_line_and_nothing_is_added(one, line):
    entry = review(one, "C-2", "pass")
    taken(one, entry)
    (one / "reviews.jsonl").write_bytes(lines(one) + line + b"\n")
    before = lines(one)
    with pytest.raises(InputError, match=r"reviews\.jsonl:2: "):
        read_reviews(one)
    with pytest.raises(InputError, match=r"reviews\.jsonl:2: "):
        taken(one, review(one, "C-1", "fail"))
    assert lines(one) == before


def test_a_broken_file_in_one_run_keeps_the_reviews_out_of_the_other(one, two):
    (two / "reviews.jsonl").write_bytes(b"{}\n")
    with pytest.raises(InputError, match="two"):
        import_reviews(exported(review(one, "C-2", "pass"), review(two, "C-2", "pass")), [one, two])
    assert read_reviews(one) == []


def test_a_link_or_folder_or_pipe_in_place_of_the_file_is_refused(one, tmp_path):
    target = tmp_path / "elsewhere"
    target.write_text("")
    entry = review(one, "C-2", "pass")
    place = one / "reviews.jsonl"
    for make in (lambda: place.symlink_to(target), place.mkdir, lambda: os.mkfifo(place)):
        make()
        for use in (lambda: read_reviews(one), lambda: taken(one, entry)):
            with pytest.raises(RunError, match="must be a plain file"):
                use()
        place.rmdir() if place.is_dir() else place.unlink()
    assert target.read_text() == ""


KILLED = """
import json, os, pathlib, signal, sys
from evalsuite.reporting.review import import_reviews
left = int(sys.argv[1])
synced = os.fsync
def fsync(handle):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    synced(handle)
os.fsync = fsync
import_reviews(pathlib.Path(sys.argv[2]), [pathlib.Path(sys.argv[3])])
"""


@pytest.mark.parametrize("after", [0, 1])
def test_killed_between_two_runs_the_same_import_completes_it(one, two, tmp_path, after):
    file = tmp_path / "reviews.json"
    file.write_text(json.dumps(exported(review(one, "C-2", "pass"), review(two, "C-2", "pass"))))
    done = subprocess.run([sys.executable, "-c", KILLED, str(after), str(file), str(tmp_path / "out")], check=False)
    assert done.returncode == -signal.SIGKILL
    assert [len(read_reviews(one)), len(read_reviews(two))] == [1, after]
    found = import_reviews(file, [tmp_path / "out"])
    assert [t.added for t in found] == [0, 1 - after]
    assert [len(read_reviews(one)), len(read_reviews(two))] == [1, 1]


def test_a_full_disk_leaves_every_run_as_it_was(one, two, tmp_path):
    taken(one, review(one, "C-1", "pass"))
    before = lines(one)
    code = """
import json, pathlib, resource, signal, sys
from evalsuite.reporting.review import import_reviews
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
import_reviews(json.loads(sys.argv[1]), [pathlib.Path(sys.argv[2])])
"""
    entries = exported(review(one, "C-2", "pass"), review(two, "C-2", "pass", reason="x" * 3000))
    line = [sys.executable, "-c", code, json.dumps(entries), str(tmp_path / "out")]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert "File too large" in done.stderr
    assert lines(one) == before
    assert read_reviews(two) == []


def _import(folder, entries):
    for entry in entries:
        taken(folder, entry)


def test_several_processes_at_once_lose_nothing(one):
    entries = [review(one, "C-2", "pass", who=f"R{i}", at=f"2026-05-01T12:00:{i:02}Z") for i in range(40)]
    jobs = [multiprocessing.Process(target=_import, args=(one, entries[i::4] + entries[:5])) for i in range(4)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert sorted(r.reviewer for r in read_reviews(one)) == sorted(f"R{i}" for i in range(40))


# What people came to


def verdicts(folder):
    units = reviewed_units(read_units(folder), read_reviews(folder))
    return {(u.task, u.id): (u.verdict, u.error_kind) for u in units if isinstance(u, CriterionResult)}


def test_an_override_changes_the_verdict_and_keeps_the_votes(one):
    taken(one, review(one, "C-2", "pass"))
    units = {u.key: u for u in reviewed_units(read_units(one), read_reviews(one))}
    before = {u.key: u for u in read_units(one)}
    key = ("criterion", "a", "1", "C-2")
    assert (units[key].verdict, units[key].votes) == ("pass", before[key].votes)
    assert {k: u for k, u in units.items() if k != key} == {k: u for k, u in before.items() if k != key}


def test_a_later_review_of_the_same_person_replaces_the_earlier_one(one):
    late = review(one, "C-2", "pass", at="2026-05-01T12:00:00+02:00")
    later = review(one, "C-2", "fail", at="2026-05-01T11:00:00Z")
    taken(one, later, late)
    assert verdicts(one)["a", "C-2"] == ("fail", None)
    taken(one, review(one, "C-2", "pass", at="2026-05-01T11:00:00Z", reason="on second thoughts"))
    assert verdicts(one)["a", "C-2"] == ("pass", None)


def test_reviewers_who_disagree_make_it_an_error_and_withhold_the_headline(one):
    taken(one, review(one, "C-2", "pass"), review(one, "C-2", "fail", who="Bo", at="2027-01-01T00:00:00Z"))
    assert verdicts(one)["a", "C-2"] == ("error", "disputed")
    report = review_report(one)
    assert report["n_disputed"] == 1
    assert (report["without"]["all_pass"]["rate"], report["with"]["all_pass"]["rate"]) == (0.5, None)


def test_reviewers_who_agree_again_settle_it(one):
    taken(one, review(one, "C-2", "pass"), review(one, "C-2", "fail", who="Bo"))
    taken(one, review(one, "C-2", "pass", who="Bo", at="2026-05-02T00:00:00Z"))
    assert verdicts(one)["a", "C-2"] == ("pass", None)


def test_cannot_be_decided_is_an_error_of_its_own_kind(one, two):
    taken(one, review(one, "C-1", "error"))
    assert verdicts(one)["a", "C-1"] == ("error", "undecided")
    taken(two, review(two, "C-2", "error", task="b", reason=""))
    assert verdicts(two)["b", "C-2"] == ("error", "undecided")


def test_a_person_decides_what_the_machine_could_not(two):
    taken(two, review(two, "C-2", "pass", task="b"))
    report = review_report(two)
    assert (report["without"]["all_pass"]["rate"], report["with"]["all_pass"]["rate"]) == (None, 0.5)


def test_a_review_of_a_verdict_that_was_graded_again_does_not_count(two):
    taken(two, review(two, "C-2", "pass", task="b"))
    again = criterion("b", 1, "C-2", "fail")
    with (two / "results.jsonl").open("a") as stream:
        stream.write(again.model_dump_json() + "\n")
    assert verdicts(two)["b", "C-2"] == ("fail", None)
    report = review_report(two)
    assert (report["n_reviewed"], report["n_outdated"]) == (0, 1)


# Numbers


def test_the_numbers_with_reviews_are_those_of_the_changed_units(one):
    taken(one, review(one, "C-2", "pass"), review(one, "C-1", "pass", task="b", reason=""))
    units = read_units(one)
    for unit in units:
        if unit.key == ("criterion", "a", "1", "C-2"):
            unit.verdict = "pass"
    report = review_report(one)
    counts = [report[f"n_{state}"] for state in ("reviewed", "confirmed", "overridden", "undecided", "disputed")]
    assert counts == [2, 1, 1, 0, 0]
    wanted = summarise(read_manifest(one), units).model_dump(mode="json")
    assert report["with"] == {key: wanted[key] for key in report["with"]}
    assert report["without"] == {key: json.loads((one / "summary.json").read_text())[key] for key in report["without"]}


def panel_run(path, table):
    """{"task": [(judge a, judge b, person)]} as letters -> a run whose verdict is a pass if both judges pass."""
    names = {"P": "pass", "F": "fail", "E": "error"}
    units, entries = [], []
    for task, rows in table.items():
        units.append(worked(task, 1))
        for number, (a, b, _) in enumerate(rows):
            said = [names[a], names[b]]
            together = "error" if "error" in said else "pass" if said == ["pass", "pass"] else "fail"
            votes = [vote("a", said[0]), vote("b", said[1])]
            units.append(criterion(task, 1, f"C-{number}", together, votes))
    folder = named(path, manifest_for({task: len(rows) for task, rows in table.items()}, 1), units)
    for task, rows in table.items():
        for number, (_, _, person) in enumerate(rows):
            if person != "-":
                entries.append(review(folder, f"C-{number}", names[person], task=task))
    taken(folder, *entries)
    return folder


def test_agreement_of_every_judge_and_of_the_panel_with_people_by_hand(tmp_path):
    table = {"t1": ["PPP", "PFF", "PFP", "PPF"], "t2": ["PPP", "FFF", "PFF", "FP-"], "t3": ["PPP", "EPP", "PPE"]}
    report = review_report(panel_run(tmp_path / "run", table))
    found = {(one["kind"], one["rater"]): one for one in report["agreement"]}
    assert list(found) == [("run", "all verdicts"), ("panel", "judges together"), ("judge", "a"), ("judge", "b")]
    people = ["pass", "fail", "pass", "fail", "pass", "fail", "fail", "pass"]
    a = ["pass", "pass", "pass", "pass", "pass", "fail", "pass", "pass"]
    one = found["judge", "a"]
    assert (one["n"], one["undecided"]) == (8, 1)
    assert one["raw"]["low"] < one["raw"]["rate"] == 5 / 8 < one["raw"]["high"]
    assert one["kappa"] == cohen_kappa(a, people)
    assert one["ac1"] == gwet_ac1(a, people)
    assert (one["false_pass"]["rate"], one["false_pass"]["n"], one["false_pass"]["n_tasks"]) == (3 / 4, 4, 2)
    assert one["false_pass"]["low"] < 3 / 4 < one["false_pass"]["high"]
    assert (one["false_fail"]["rate"], one["false_fail"]["n"]) == (0, 4)
    assert [one["false_fail"]["low"], one["false_fail"]["high"]] == pytest.approx(wilson(0, 3))
    assert found["judge", "b"]["false_pass"]["rate"] == 1 / 4
    assert found["judge", "b"]["false_fail"]["rate"] == 1 / 5
    assert (found["panel", "judges together"]["n"], found["panel", "judges together"]["undecided"]) == (8, 1)


def test_how_many_of_each_verdict_were_reviewed_and_overturned(tmp_path):
    table = {"t1": ["PPP", "PPF", "PP-", "PP-"], "t2": ["PPP", "FFF", "FFP", "FFE", "EE-"]}
    by = review_report(panel_run(tmp_path / "run", table))["by_verdict"]
    assert {verdict: (one["total"], one["reviewed"]) for verdict, one in by.items()} == {
        "pass": (5, 3),
        "fail": (3, 3),
        "error": (1, 0),
    }
    assert (by["pass"]["overturned"]["rate"], by["pass"]["overturned"]["n"]) == (1 / 3, 3)
    assert (by["fail"]["overturned"]["rate"], by["fail"]["overturned"]["n"]) == (1 / 2, 2)
    assert by["error"]["overturned"] is None


def test_checks_and_missing_deliverables_are_held_against_people_by_kind(tmp_path):
    units = [
        worked("a", 1),
        criterion("a", 1, "C-1", "fail", [vote("check:date", "fail")]),
        criterion("a", 1, "C-2", "pass", [vote("check:quote", "pass")]),
        criterion("a", 1, "C-3", "fail", [vote("deliverable", "fail")]),
    ]
    run_folder = named(tmp_path / "run", manifest_for({"a": 3}, 1), units)
    taken(run_folder, *(review(run_folder, name, "pass") for name in ("C-1", "C-2", "C-3")))
    found = {one["rater"]: one for one in review_report(run_folder)["agreement"]}
    assert {name: (one["kind"], one["n"], one["false_fail"]["rate"]) for name, one in found.items()} == {
        "all verdicts": ("run", 3, 2 / 3),
        "check:date": ("check", 1, 1),
        "check:quote": ("check", 1, 0),
        "deliverable": ("deliverable", 1, 1),
    }


def test_a_judge_s_verdict_is_the_majority_of_its_votes_and_a_tie_is_a_fail(tmp_path):
    votes = [vote("a", "pass", 1), vote("a", "fail", 2)]
    run_folder = named(
        tmp_path / "run", manifest_for({"a": 1}, 1), [worked("a", 1), criterion("a", 1, "C", "fail", votes)]
    )
    taken(run_folder, review(run_folder, "C", "fail"))
    [_, judge] = review_report(run_folder)["agreement"]
    assert (judge["rater"], judge["n"], judge["raw"]["rate"]) == ("a", 1, 1)


def test_agreement_between_reviewers(one):
    for who, said in {"Ann": "PPF", "Bo": "PFF", "Cy": "P"}.items():
        for (task, name), letter in zip([("a", "C-1"), ("a", "C-2"), ("b", "C-1")], said, strict=False):
            taken(one, review(one, name, {"P": "pass", "F": "fail"}[letter], task=task, who=who))
    report = review_report(one)
    found = {tuple(pair["reviewers"]): pair for pair in report["between_reviewers"]}
    assert {pair: (found[pair]["n"], found[pair]["raw"]["rate"]) for pair in found} == {
        ("Ann", "Bo"): (3, 2 / 3),
        ("Ann", "Cy"): (1, 1),
        ("Bo", "Cy"): (1, 1),
    }
    assert found["Ann", "Bo"]["kappa"] == cohen_kappa(["p", "p", "f"], ["p", "f", "f"])
    assert [(r["reviewer"], r["n"], r["overridden"]) for r in report["reviewers"]] == [
        ("Ann", 3, 2),
        ("Bo", 3, 1),
        ("Cy", 1, 0),
    ]


# Real runs and strangers' folders


@pytest.fixture
def worked_run(tmp_path, monkeypatch):
    """A real run of two matters: one graded by a judge, one by checks, of which one fails."""
    monkeypatch.syspath_prepend(str(HERE))
    write_task(tmp_path / "tasks" / "area" / "judged")
    absent = [("C-001", "Names the unicorn", "PASS if it names the unicorn.", "unicorn")]
    write_task(tmp_path / "tasks" / "area" / "checked", checks=True, criteria=absent)
    models = {"models": ["function:labkit:associate"], "judges": ["function:labkit:judge"]}
    [outcome] = run([tmp_path / "tasks"], ["react"], out=tmp_path / "out", **models)
    return outcome.path


def test_a_real_run_is_reviewed_and_verified(worked_run):
    entry = review(worked_run, "C-001", "pass", task="area/checked")
    taken(worked_run, entry, review(worked_run, "C-002", "pass", task="area/judged", reason=""))
    report = review_report(worked_run)
    assert (report["without"]["all_pass"]["rate"], report["with"]["all_pass"]["rate"]) == (0.5, 1.0)
    assert verify(worked_run)["ok"]


def test_labels_are_what_people_decided_with_the_text_they_read(worked_run, tmp_path):
    taken(
        worked_run,
        review(worked_run, "C-001", "fail", task="area/judged"),
        review(worked_run, "C-001", "fail", task="area/judged", who="Bo", reason="so do I"),
        review(worked_run, "C-002", "error", task="area/judged"),
        review(worked_run, "C-003", "pass", task="area/judged"),
        review(worked_run, "C-003", "fail", task="area/judged", who="Bo"),
    )
    number, left_out = export_labels([worked_run], tmp_path / "labels.jsonl")
    assert (number, left_out) == (1, {"undecided": 1, "disputed": 1})
    label = json.loads((tmp_path / "labels.jsonl").read_text())
    [file] = label.pop("files")
    assert sha256_file(worked_run / file["text"]) == file["sha256"]
    assert "ninety days" in (worked_run / file["text"]).read_text()
    at = "2026-05-01T12:00:00Z"
    assert label == {
        "run": worked_run.name,
        "task": "area/judged",
        "trial": 1,
        "criterion": "C-001",
        "title": "Names the notice period",
        "verdict": "fail",
        "reviews": [
            {"reviewer": "Ann", "reason": "read it: fail", "at": at},
            {"reviewer": "Bo", "reason": "so do I", "at": at},
        ],
        "machine": "pass",
        "votes": [{"judge": "function:labkit:judge", "verdict": "pass"}],
    }


def stranger(folder, **changes):
    """A run folder as formats.md has it and no more."""
    folder.mkdir()
    manifest = {
        "schema_version": 1,
        "kind": "lab",
        "suite": {"name": "theirs", "version": "2", "sha256": "abc"},
        "system": {"name": "other"},
        "protocol": {},
        "status": "complete",
    }
    (folder / "run.json").write_text(json.dumps(manifest))
    vote_ = {"judge": "theirs", "vote": 1, "verdict": "fail", "reasoning": "no"}
    units = [
        {"unit": "criterion", "task": "t", "trial": 1, "id": "c", "title": "T", "verdict": "fail", "votes": [vote_]},
        {"unit": "trial", "task": "t", "trial": 1, "stop_reason": "done", "finished": True},
    ]
    units[0] |= changes
    (folder / "results.jsonl").write_text("".join(json.dumps(unit) + "\n" for unit in units))
    return folder


def test_a_stranger_s_run_folder_is_reviewed(tmp_path):
    folder = stranger(tmp_path / "theirs")
    taken(folder, review(folder, "c", "pass", task="t"))
    report = review_report(folder)
    assert (report["without"]["all_pass"]["rate"], report["with"]["all_pass"]["rate"]) == (0, 1)
    assert export_labels([folder], tmp_path / "labels.jsonl") == (1, {})
    assert json.loads((tmp_path / "labels.jsonl").read_text())["files"] == []


def test_no_label_points_outside_the_run_folder(tmp_path):
    (tmp_path / "secret.txt").write_text("secret")
    for number, name in enumerate(["../../../../secret", "/etc/passwd", "link", "a\0b", "."]):
        folder = stranger(tmp_path / f"run-{number}", resolved_file=name)
        inside = folder / "artifacts" / "t" / "trial-1" / "extracted"
        inside.mkdir(parents=True)
        (inside / "link.txt").symlink_to(tmp_path / "secret.txt")
        taken(folder, review(folder, "c", "pass", task="t"))
        assert export_labels([folder], tmp_path / "labels.jsonl") == (1, {})
        assert json.loads((tmp_path / "labels.jsonl").read_text())["files"] == []


def test_a_verdict_is_found_however_its_line_is_written(tmp_path):
    folder = stranger(tmp_path / "theirs", task="ä/b", id='"c"')
    results = folder / "results.jsonl"
    for text in (results.read_text(), results.read_text().replace("/b", r"\/b")):
        results.write_text(text)
        (unit, _) = read_units(folder)
        entry = review(folder, unit.id, "pass", task=unit.task, reviewer=f"R{len(text)}")
        assert [t.added for t in taken(folder, entry)] == [1]


def test_many_reviews_of_one_run_at_once(tmp_path):
    folder = named(tmp_path / "run", *graded({f"t{i}": ["PFE"] for i in range(5)}))
    entries = [review(folder, f"C-{j}", "pass", task=f"t{i}") for i in range(5) for j in (1, 2, 3)]
    assert [t.added for t in taken(folder, *entries)] == [15]
    assert review_report(folder)["with"]["all_pass"]["rate"] == 1


def test_a_verdict_whose_text_is_half_a_character_is_reviewed_too(tmp_path, command):
    folder = stranger(tmp_path / "theirs", title="\ud800", votes=[{"judge": "\udfff", "verdict": "fail"}])
    taken(folder, review(folder, "c", "pass", task="t"))
    assert command("review", "show", folder).code == 0
    json.loads(command("review", "show", folder, "--json").stdout)
    export_labels([folder], tmp_path / "labels.jsonl")
    assert json.loads((tmp_path / "labels.jsonl").read_text())["title"] == "\ud800"


@pytest.mark.parametrize("seed", range(20))
def test_no_mutilated_export_gets_in_or_breaks_anything(one, seed):
    import random

    rng = random.Random(seed)
    text = json.dumps(exported(review(one, "C-2", "pass"), review(one, "C-1", "fail")))
    for _ in range(20):
        at, size = rng.randrange(len(text)), rng.randrange(1, 30)
        broken = text[:at] + rng.choice(["", "\0", '"', "}", "9" * 400, "null", "[]"]) + text[at + size :]
        try:
            document = json.loads(broken)
        except ValueError:
            continue
        with contextlib.suppress(EvalsuiteError):
            import_reviews(document, [one])
        assert settled(read_units(one), read_reviews(one)).keys() <= {u.key for u in read_units(one)}


# The command line


def test_import_show_and_export_at_the_command_line(one, two, tmp_path, command):
    file = tmp_path / "reviews.json"
    file.write_text(json.dumps(exported(review(one, "C-2", "pass"), review(one, "C-1", "pass"))))
    first = command("review", "import", file, tmp_path / "out")
    assert (first.code, first.stdout) == (0, f"{one}: 2 added, 0 already there\n")
    again = command("review", "import", file, one, "--json")
    assert json.loads(again.stdout) == {"runs": [{"run": str(one), "added": 0, "already_there": 2}]}
    shown = command("review", "show", one)
    assert shown.code == 0
    assert "0.500" in shown.stdout
    assert "reviewed: 1 of 3 pass, 1 of 1 fail, 0 of 0 error; 1 confirmed, 1 overridden" in shown.stdout
    assert "Not every verdict was reviewed" in shown.stdout
    [report] = json.loads(command("review", "show", one, "--json").stdout)
    assert report == review_report(one)
    labels = command("review", "export", one, "-o", tmp_path / "labels.jsonl", "--json")
    assert json.loads(labels.stdout) == {"labels": 2, "left_out": {}, "output": str(tmp_path / "labels.jsonl")}


def test_show_ends_with_3_while_a_headline_is_withheld(two, command):
    assert command("review", "show", two).code == 3
    taken(two, review(two, "C-2", "pass", task="b"))
    assert command("review", "show", two).code == 0


def test_what_is_left_out_of_the_labels_is_counted_on_stderr(one, tmp_path, command):
    taken(one, review(one, "C-2", "error"))
    done = command("review", "export", one, "-o", tmp_path / "labels.jsonl")
    assert (done.code, done.stderr) == (0, "left out: 1 undecided\n")
    assert (tmp_path / "labels.jsonl").read_bytes() == b""


def test_a_refused_import_is_one_line_and_exit_2(one, tmp_path, command):
    file = tmp_path / "reviews.json"
    file.write_text(json.dumps(exported(review(one, "C-2", "pass") | {"reviewer": ""})))
    done = command("review", "import", file, one)
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {file}: nothing was taken in, 1 of 1 are wrong: reviews[0]: reviewer")
    assert json.loads(command("review", "import", file, one, "--json").stdout)["error"]["kind"] == "bad_input"


def test_no_text_from_a_file_steers_the_terminal(tmp_path, command):
    evil = "\x1b[2J\u202e[red]"
    votes = [vote(f"judge {evil}", "fail")]
    folder = named(tmp_path / "run", manifest_for({"a": 1}, 1), [worked("a", 1), criterion("a", 1, "C", "fail", votes)])
    taken(folder, review(folder, "C", "pass", who=f"Ann {evil}"), review(folder, "C", "pass", who=f"Bo {evil}"))
    text = command("review", "show", folder).stdout
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert r"Ann \x1b[2J\u202e[red]: 1 reviewed" in text

"""Comparing runs: what changed is found and tested, pair by pair; what is not comparable is refused with the reason."""

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
from labkit import CRITERIA, MEMO, turns, write_task
from pydantic_ai.messages import ModelResponse, ToolCallPart
from test_evaluate import write_corpus
from test_lab_numbers import criterion, graded, manifest_for, worked, write_run

from evalsuite import EvalsuiteError, evaluate, lab_run
from evalsuite.records import Manifest, QueryResult, Suite
from evalsuite.reporting.compare import compare, pairs
from evalsuite.reporting.paired import Difference
from evalsuite.reporting.sections import read_section
from evalsuite.statistics import group_numbers, holm, paired_difference

HERE = Path(__file__).parent
HASTY = ToolCallPart("write", {"file": "memo.md", "content": MEMO.replace("seek consent", "close quickly")})
DONE = ToolCallPart("finish", {"summary": "done"})


def hasty(messages, info):
    """A model that leaves the advice out of the memo."""
    return ModelResponse(parts=[(HASTY, DONE)[min(turns(messages), 1)]])


def scored(folder, rows, status="complete", system="a", protocol=None, suite=None, **changes):
    """A run folder of queries: {id: nDCG@10}, or {id: {"measures": ..., "group": ..., ...}}."""
    units = []
    for name, row in rows.items():
        row = row if isinstance(row, dict) else {"measures": {"nDCG@10": row}}
        units.append(QueryResult(id=name, **{"judged@10": 1.0, **row}))
    manifest = Manifest(
        kind="retrieval",
        suite=Suite(**{"name": "made", "version": "1", "sha256": "5e" * 32, **(suite or {})}),
        system={"name": system},
        protocol={"id": "p1", "view": "gold", **(protocol or {})},
        **changes,
    )
    return write_run(folder, manifest, units, status)


def worked_run(folder, table, trials=None, status="complete", **changes):
    """A lab run folder: {"task": ["PPF", "PPE"]}, a task's trials, one letter (Pass, Fail, Error) a criterion."""
    manifest, units = graded(table, trials)
    return write_run(folder, manifest.model_copy(update=changes), units, status)


def noise(n, mean=0.5, seed=1):
    rng = random.Random(seed)
    return {f"q{i:03}": min(1.0, max(0.0, rng.gauss(mean, 0.2))) for i in range(n)}


def edit(folder, **changes):
    manifest = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps({**manifest, **changes}))
    return folder


@pytest.fixture
def two(tmp_path):
    """two(rows of A, rows of B) -> the comparison."""

    def two(a, b, make=scored):
        return compare(make(tmp_path / "a", a), make(tmp_path / "b", b))

    return two


@pytest.fixture
def runs(tmp_path):
    corpus = write_corpus(tmp_path / "made", 60, 20)
    return [run.path for run in evaluate(corpus, ["random", "bm25"], out=tmp_path / "out")]


@pytest.fixture
def matters(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    for number in range(3):
        write_task(tmp_path / "tasks" / "area" / f"matter-{number}", checks=True)
    return tmp_path / "tasks"


# Retrieval


def test_every_measure_of_two_real_runs_is_compared(runs):
    found = compare(*runs)
    old, new = (read_section(run).summary.measures for run in runs)
    assert found.comparable and not found.why
    assert list(found.differences) == list(old)
    for name, difference in found.differences.items():
        assert (difference.a, difference.b) == pytest.approx((old[name].mean, new[name].mean))
        assert difference.mean == pytest.approx(new[name].mean - old[name].mean)
        assert (difference.n, difference.n_groups) == (20, 20)
    assert found.differences["nDCG@10"].told == 1
    assert found.differences["nDCG@10"].low > 0
    assert found.changed["system.name"] == ("random", "bm25")


def test_the_other_way_round_everything_changes_sign(runs):
    there, back = compare(*runs), compare(*reversed(runs))
    for name, one in there.differences.items():
        other = back.differences[name]
        assert (other.mean, other.p, other.told) == pytest.approx((-one.mean, one.p, -one.told))
    assert [change.query for change in there.gained] == [change.query for change in back.lost]


def test_a_run_compared_with_itself_has_no_difference(runs):
    found = compare(runs[0], runs[0])
    assert {(d.mean, d.low, d.p, d.told) for d in found.differences.values()} == {(0, None, 1, 0)}
    assert (found.lost, found.gained, found.unchanged, found.changed) == ([], [], 20, {})


def test_a_planted_difference_is_told_and_noise_is_not(two, tmp_path):
    old = noise(80)
    better = {name: min(1.0, value + 0.15) for name, value in old.items()}
    assert two(old, better).differences["nDCG@10"].told == 1
    other = scored(tmp_path / "other", noise(80, seed=3))
    assert compare(tmp_path / "a", other).differences["nDCG@10"].told == 0


def test_queries_of_one_group_count_as_one(two):
    rng = random.Random(4)
    steps = [rng.gauss(0.05, 0.2) for _ in range(6)]
    old = {f"q{i:02}": {"measures": {"nDCG@10": 0.5}, "group": f"g{i % 6}"} for i in range(60)}
    new = {name: {**row, "measures": {"nDCG@10": 0.5 + steps[int(name[1:]) % 6]}} for name, row in old.items()}
    difference = two(old, new).differences["nDCG@10"]
    assert (difference.n, difference.n_groups) == (60, 6)
    _, low, high, p = paired_difference(np.repeat(steps, 10)[:, None], np.repeat(np.arange(6), 10))
    assert (difference.low, difference.high, difference.p) == pytest.approx((low[0], high[0], p[0]))


def test_a_query_and_a_group_of_the_same_name_are_two_clusters(two):
    rows = {"x": {"measures": {"AP": 0.1}}, "y": {"measures": {"AP": 0.2}, "group": "x"}}
    assert two(rows, rows).differences["AP"].n_groups == 2


def test_the_order_of_lines_and_measures_in_a_run_changes_nothing(two, tmp_path):
    old = {f"q{i}": {"measures": {"AP": i / 40, "nDCG@10": i / 20}} for i in range(20)}
    new = {f"q{i}": {"measures": {"nDCG@10": (i % 7) / 9, "AP": (i % 5) / 6}} for i in range(20)}
    mixed = {name: new[name] for name in random.Random(1).sample(sorted(new), 20)}
    first = two(old, new).differences
    assert compare(tmp_path / "a", scored(tmp_path / "mixed", mixed)).differences == first
    assert first["AP"].b == pytest.approx(np.mean([(i % 5) / 6 for i in range(20)]))


def test_mechanisms_stand_apart_and_p_is_corrected_over_the_measures_of_each(two):
    rng = random.Random(3)

    def rows(shift):
        return {
            f"{kind}{i}": {
                "measures": {"nDCG@10": rng.random() + shift * (kind == "d"), "AP": rng.random()},
                "mechanism": {"d": "descriptive", "s": "surface"}[kind],
            }
            for kind in "ds"
            for i in range(30)
        }

    found = two(rows(0), rows(0.5))
    assert {name: block["AP"].n for name, block in found.by_mechanism.items()} == {"descriptive": 30, "surface": 30}
    assert found.by_mechanism["descriptive"]["nDCG@10"].told == 1
    assert found.by_mechanism["surface"]["nDCG@10"].told == 0
    for block in (found.differences, *found.by_mechanism.values()):
        assert [d.p_corrected for d in block.values()] == pytest.approx(holm([d.p for d in block.values()]))


def test_queries_are_listed_from_the_largest_change_with_their_text(two):
    old = {"q1": 0.5, "q2": 0.5, "q3": 0.5, "q4": 0.5, "q5": 0.5}
    new = {"q1": 0.1, "q2": 0.0, "q3": 0.5, "q4": 0.6, "q5": 1.0}
    new = {name: {"measures": {"nDCG@10": value}, "text": f"text of {name}"} for name, value in new.items()}
    found = two(old, new)
    assert [(change.query, change.difference) for change in found.lost] == [("q2", -0.5), ("q1", -0.4)]
    assert [change.query for change in found.gained] == ["q5", "q4"]
    assert (found.unchanged, found.headline, found.lost[0].text) == (1, "nDCG@10", "text of q2")


def test_queries_without_any_document_are_named_for_each_run(two):
    nothing = {"measures": {"nDCG@10": 0.0}, "missing": True}
    found = two({"q1": nothing, "q2": 0.5}, {"q1": 0.4, "q2": nothing})
    assert found.returned_nothing == {"a": ["q1"], "b": ["q2"]}


def test_one_group_has_a_difference_but_no_test(two):
    rows = {f"q{i}": {"measures": {"AP": i / 10}, "group": "g"} for i in range(5)}
    difference = two(rows, {name: {**row, "measures": {"AP": 0.5}} for name, row in rows.items()}).differences["AP"]
    assert difference.mean == pytest.approx(0.3)
    assert (difference.low, difference.high, difference.p, difference.p_corrected) == (None, None, None, None)


def test_the_same_difference_everywhere_has_no_interval_but_a_test(two):
    difference = two(dict.fromkeys("abcdefgh", 0.1), dict.fromkeys("abcdefgh", 0.4)).differences["nDCG@10"]
    assert (difference.low, difference.high) == (None, None)
    assert difference.p == 2 / 2**8
    assert difference.told == 1


@pytest.mark.parametrize(
    ("low", "high", "p", "told"),
    [
        (0.1, 0.3, 0.05, 1),
        (0.1, 0.3, 0.06, 0),
        (-0.01, 0.3, 0.04, 0),
        (0.0, 0.3, 0.04, 0),
        (None, None, 0.01, 1),
        (0.1, 0.3, None, 0),
    ],
)
def test_a_difference_is_told_only_if_both_interval_and_corrected_p_say_so(low, high, p, told):
    made = Difference(mean=0.2, low=low, high=high, p=p, p_corrected=p, n=9, n_groups=9)
    assert made.told == told
    mirrored = {"mean": -0.2, "low": None if high is None else -high, "high": None if low is None else -low}
    assert made.model_copy(update=mirrored).told == -told


# Lab


def test_what_a_hastier_model_lost_is_named(matters, tmp_path):
    careful, careless = (
        lab_run(matters, "react", models=[model], out=tmp_path / "out", trials=2)[0]
        for model in ("function:labkit:associate", "function:test_compare:hasty")
    )
    found = compare(careful.path, careless.path)
    assert [(c.task.split("/")[-1], c.criterion, c.a, c.b, c.trials) for c in found.newly_failed] == [
        (f"matter-{i}", "C-003", "pass", "fail", 2) for i in range(3)
    ]
    assert found.newly_failed[0].title == CRITERIA[2][1]
    assert not found.newly_passed and not found.flipped and not found.errors
    all_pass, rate = (found.differences[name] for name in ("all_pass", "criterion_rate_macro"))
    assert (all_pass.a, all_pass.b, all_pass.mean, all_pass.n_groups) == (1, 0, -1, 3)
    assert rate.mean == pytest.approx(-1 / 3)
    assert all_pass.p == 2 / 2**3 and all_pass.told == 0  # three tasks alone cannot show it
    back = compare(careless.path, careful.path)
    assert back.newly_passed == [c.model_copy(update={"a": c.b, "b": c.a}) for c in found.newly_failed]


def test_numbers_of_both_sides_are_those_of_the_summaries(two, tmp_path):
    old = {"t1": ["PPF", "PPP"], "t2": ["FFF", "PFP"], "t3": ["PPP", "PPP"]}
    new = {"t1": ["PPP", "PPP"], "t2": ["FPF", "PPP"], "t3": ["PPP", "FPP"]}
    found = two(old, new, worked_run)
    for name, difference in found.differences.items():
        for side, value in (("a", difference.a), ("b", difference.b)):
            assert value == pytest.approx(getattr(read_section(tmp_path / side).summary, name).rate)
    per_task = np.array([[1 - 0.5], [0.5 - 0], [0.5 - 1]])
    mean, low, high, p = paired_difference(per_task, group_numbers("abc"))
    all_pass = found.differences["all_pass"]
    assert (all_pass.mean, all_pass.low, all_pass.high, all_pass.p) == pytest.approx((mean[0], low[0], high[0], p[0]))


def test_criteria_are_sorted_into_newly_failed_newly_passed_and_flipped(two):
    found = two({"t": ["PFPPF", "PFPFF"]}, {"t": ["FPPPF", "FPFFP"]}, worked_run)
    assert [(c.criterion, c.a, c.b) for c in found.newly_failed] == [("C-1", "pass", "fail")]
    assert [(c.criterion, c.a, c.b) for c in found.newly_passed] == [("C-2", "fail", "pass")]
    assert [(c.criterion, c.a, c.b) for c in found.flipped] == [("C-3", "pass", 0.5), ("C-5", "fail", 0.5)]


def test_an_error_on_either_side_is_neither_passed_nor_failed(two):
    old, new = {"t1": ["PPP"], "t2": ["PEP"]}, {"t1": ["EFP"], "t2": ["PFP"]}
    found = two(old, new, lambda *given: worked_run(*given, status="interrupted"))
    assert [(c.task, c.criterion, c.a, c.b) for c in found.errors] == [
        ("t1", "C-1", "pass", "error"),
        ("t2", "C-2", "error", "fail"),
    ]
    assert [c.criterion for c in found.newly_failed] == ["C-2"]
    assert found.problems == {
        "a": ["t2, trial 1: 1 of 3 criteria have errors: timeout 1"],
        "b": ["t1, trial 1: 1 of 3 criteria have errors: timeout 1"],
    }


def test_an_ungraded_task_withholds_the_difference_and_says_how_many(two):
    found = two({"t1": ["PP"], "t2": ["PP"]}, {"t1": ["PE"], "t2": ["PF"]}, worked_run)
    for difference in found.differences.values():
        assert (difference.mean, difference.low, difference.high, difference.p) == (None, None, None, None)
        assert (difference.ungraded, difference.n, difference.a, difference.b) == (1, 2, 1, None)
    assert found.withheld


def test_a_task_whose_agent_broke_is_ungraded_and_its_criteria_errors(tmp_path):
    old = worked_run(tmp_path / "a", {"t1": ["PP"], "t2": ["PP"]})
    units = [worked("t1", 1, "error", error="out of memory"), worked("t2", 1)]
    units += [criterion("t2", 1, f"C-{i}", "pass") for i in (1, 2)]
    new = write_run(tmp_path / "b", manifest_for({"t1": 2, "t2": 2}, 1), units, "interrupted")
    found = compare(old, new)
    assert found.problems["b"] == ["t1, trial 1: the agent broke: out of memory"]
    assert [(c.task, c.criterion, c.b) for c in found.errors] == [("t1", "C-1", "error"), ("t1", "C-2", "error")]
    assert not found.newly_failed and found.differences["all_pass"].ungraded == 1


def test_critical_and_contested_criteria_are_marked_and_critical_ones_come_first(tmp_path):
    def run(folder, verdict):
        units = [worked("t", 1), criterion("t", 1, "C-1", verdict, contested="two readings")]
        units.append(criterion("t", 1, "C-2", verdict, critical=True))
        return write_run(folder, manifest_for({"t": 2}, 1), units)

    found = compare(run(tmp_path / "a", "pass"), run(tmp_path / "b", "fail")).newly_failed
    assert [(c.criterion, c.critical, c.contested) for c in found] == [
        ("C-2", True, None),
        ("C-1", False, "two readings"),
    ]


# Refusals


def refused(a, b):
    found = compare(a, b)
    assert not found.comparable
    assert not found.differences and not found.by_mechanism and not found.lost and not found.newly_failed
    return found.why


def test_runs_of_two_kinds_are_refused(tmp_path):
    a, b = scored(tmp_path / "a", {"q": 1.0}), worked_run(tmp_path / "b", {"t": ["P"]})
    assert refused(a, b) == ["the kinds of run differ: retrieval and lab"]


def test_another_version_of_the_corpus_is_refused(tmp_path):
    a, b = (scored(tmp_path / v, {"q": 1.0}, suite={"version": v}) for v in ("1.0", "1.1"))
    assert refused(a, b) == ["the versions of made differ: 1.0 and 1.1"]


def test_changed_data_are_refused_and_the_file_is_named(tmp_path):
    for name in "ab":
        write_corpus(tmp_path / name / "made", 30, 5)
    with (tmp_path / "b" / "made" / "queries.jsonl").open("a") as stream:
        stream.write("\n")
    a, b = (evaluate(tmp_path / name / "made", ["random"], out=tmp_path / "out")[0].path for name in "ab")
    why = refused(a, b)
    hashes = [read_section(run).manifest.suite.files["queries.jsonl"][:12] for run in (a, b)]
    assert why[0].startswith("the corpora differ: made (")
    assert why[1:] == [f"queries.jsonl differs: {hashes[0]}… and {hashes[1]}…"]


def test_another_view_is_refused(tmp_path):
    a, b = (scored(tmp_path / v, {"q": 1.0}, protocol={"view": v, "id": v}) for v in ("gold", "pooled"))
    assert refused(a, b) == ["the views differ: 'gold' and 'pooled'"]


def test_other_measures_are_refused(tmp_path):
    corpus = write_corpus(tmp_path / "made", 30, 5)
    runs = [
        evaluate(corpus, ["random"], measures=names, out=tmp_path / "out")[0].path
        for names in (["AP"], ["AP", "nDCG@10"])
    ]
    assert refused(*runs) == ["the measures differ: AP and AP, nDCG@10"]


def test_a_changed_rubric_is_refused_and_its_task_is_named(matters, tmp_path):
    [old] = lab_run(matters, "empty", out=tmp_path / "out")
    write_task(matters / "area" / "matter-1", checks=True, criteria=CRITERIA[:2])
    [new] = lab_run(matters, "empty", out=tmp_path / "out")
    files = [run.manifest.suite.files["area/matter-1"][:12] for run in (old, new)]
    why = refused(old.path, new.path)
    assert why[1:] == [f"the rubric or the documents of area/matter-1 differ: {files[0]}… and {files[1]}…"]


def test_a_task_that_only_one_run_has_is_refused(matters, tmp_path):
    [old] = lab_run(matters, "empty", out=tmp_path / "out")
    [new] = lab_run(matters, "empty", select="area/matter-0", out=tmp_path / "out")
    assert refused(old.path, new.path)[1:] == ["area/matter-1 is only in A", "area/matter-2 is only in A"]


def test_another_way_of_judging_is_refused(matters, tmp_path):
    runs = [
        lab_run(matters, "empty", out=tmp_path / "out", judges=["function:labkit:judge"], judging=name)[0].path
        for name in ("full", "lab-compat")
    ]
    assert "the judging profiles differ: 'full' and 'lab-compat'" in refused(*runs)


def test_other_judges_and_votes_are_refused_and_named(matters, tmp_path):
    runs = [
        lab_run(matters, "empty", out=tmp_path / "out", judges=[f"function:labkit:{judge}"], votes=votes)[0].path
        for judge, votes in (("judge", 1), ("slow_judge", 3))
    ]
    why = refused(*runs)
    assert "the numbers of votes differ: 1 and 3" in why
    assert any("judges.0." in line and "'function:labkit:slow_judge'" in line for line in why)


def test_protocols_of_which_only_the_id_is_known_to_differ_are_refused(tmp_path):
    a, b = (scored(tmp_path / name, {"q": 1.0}, protocol={"id": name}) for name in ("p1", "p2"))
    assert refused(a, b) == ["the protocols differ: 'p1' and 'p2'"]


def test_another_number_of_trials_is_refused(matters, tmp_path):
    runs = [lab_run(matters, "empty", out=tmp_path / f"{k}", trials=k)[0].path for k in (1, 3)]
    assert refused(*runs) == ["the numbers of planned trials differ: 1 and 3 a task"]


def test_an_interrupted_run_is_refused_with_what_it_holds(runs):
    lines = (runs[1] / "results.jsonl").read_text().splitlines(keepends=True)
    (runs[1] / "results.jsonl").write_text("".join(lines[:7]) + lines[7][:40])
    edit(runs[1], status="interrupted")
    assert refused(*runs) == ["B is interrupted: 7 queries were graded; finish it first"]


def test_a_run_that_is_under_way_is_refused(runs):
    edit(runs[0], status="running")
    (runs[0] / "results.jsonl").unlink()
    assert refused(*runs) == ["A is running and holds no result"]


def test_a_failed_run_is_refused_with_its_error(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(HERE))
    corpus = write_corpus(tmp_path / "made", 60, 10)
    good, bad = evaluate(corpus, ["random", "plugin_retrievers:Broken"], out=tmp_path / "out")
    [why] = refused(good.path, bad.path)
    assert why.startswith("B failed: ") and "the search server went away" in why


def test_a_lab_run_with_trials_that_were_never_worked_is_refused(tmp_path):
    a = worked_run(tmp_path / "a", {"t1": ["PP"] * 3, "t2": ["PP"] * 3})
    b = worked_run(tmp_path / "b", {"t1": ["PP"] * 3, "t2": ["PP"]}, status="interrupted")
    assert refused(a, b) == ["B is interrupted: 2 trials never worked; finish it first"]


def test_a_lab_run_whose_grading_was_cut_short_is_refused(tmp_path):
    a = worked_run(tmp_path / "a", {"t": ["PPP"]})
    b = shutil.copytree(a, tmp_path / "b")
    lines = (b / "results.jsonl").read_text().splitlines(keepends=True)
    (b / "results.jsonl").write_text("".join(lines[:-1]))
    edit(b, status="running")
    assert refused(a, b) == ["B is running: t, trial 1: 2 criteria are graded of 3 planned; finish it first"]


def test_a_complete_run_that_lost_its_results_is_refused(runs):
    (runs[0] / "results.jsonl").write_text("")
    assert refused(*runs) == ["A is complete and holds no result"]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"q1": 1.0, "q3": 1.0}, ["query 'q2' is only in A", "query 'q3' is only in B"]),
        ({"q1": 1.0, "q2": {"measures": {"AP": 1.0}}}, None),
        (
            {"q1": 1.0, "q2": {"measures": {"nDCG@10": 1}, "group": "g"}},
            ["the groups of query 'q2' differ: None and g"],
        ),
        (
            {"q1": 1.0, "q2": {"measures": {"nDCG@10": 1}, "mechanism": "m"}},
            ["the mechanisms of query 'q2' differ: None and m"],
        ),
        ({name: {"measures": {"AP": 1.0}} for name in ("q1", "q2")}, ["the measures differ: nDCG@10 and AP"]),
    ],
)
def test_foreign_folders_whose_units_do_not_match_are_refused(tmp_path, change, why):
    a = scored(tmp_path / "a", {"q1": 1.0, "q2": 1.0})
    if why is None:
        with pytest.raises(EvalsuiteError, match="has the measures AP"):
            scored(tmp_path / "b", change)
        return
    assert refused(a, scored(tmp_path / "b", change)) == why


def test_foreign_lab_folders_whose_criteria_do_not_match_are_refused(tmp_path):
    a = worked_run(tmp_path / "a", {"t": ["PPP"]})
    units = [worked("t", 1), *(criterion("t", 1, f"C-{i}", "pass") for i in (1, 2, 4))]
    b = write_run(tmp_path / "b", manifest_for({"t": 3}, 1), units)
    assert refused(a, b) == ["criterion of t 'C-3' is only in A", "criterion of t 'C-4' is only in B"]


def test_every_reason_is_given_at_once_and_a_long_list_is_cut(tmp_path):
    files = [{f"area/t{i}": f"{i}{side}" for i in range(30)} for side in "ab"]
    a, b = (
        worked_run(tmp_path / side, {"t": ["P"]}, suite=Suite(name="leases", sha256=side, files=names))
        for side, names in zip("ab", files, strict=True)
    )
    edit(b, protocol={"id": "x", "judges": ["judge-b"]}, status="failed", error="no disk")
    why = refused(a, b)
    assert why[0] == "B failed: no disk"
    assert why[2] == "the rubric or the documents of area/t0 differ: 0a and 0b"
    assert "and 20 more like these" in why
    assert why[-1] == "the protocols differ in judges: judge-a and judge-b"


# Folders that are none


def test_what_is_no_run_folder_is_an_error_that_names_it(runs, tmp_path):
    for path, said in ((tmp_path / "nowhere", "no such run folder"), (tmp_path, "it has no run.json")):
        with pytest.raises(EvalsuiteError, match=said):
            compare(runs[0], path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"kind": "retrieval"}', "\x00", '{"kind": "tennis"}'])
def test_a_broken_run_json_is_an_error_that_names_it(runs, text):
    (runs[1] / "run.json").write_text(text)
    with pytest.raises(EvalsuiteError, match=r"run\.json"):
        compare(*runs)


@pytest.mark.parametrize("line", ["{", "[]", '{"unit": "query"}', '{"unit":"query","id":"x","measures":{"AP":NaN}}'])
def test_a_broken_line_of_results_is_an_error_with_its_number(runs, line):
    with (runs[1] / "results.jsonl").open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(EvalsuiteError, match=r"results\.jsonl:21: "):
        compare(*runs)


def test_results_of_the_other_kind_are_an_error(runs, tmp_path):
    other = worked_run(tmp_path / "lab", {"t": ["P"]})
    shutil.copy(other / "results.jsonl", runs[1] / "results.jsonl")
    with pytest.raises(EvalsuiteError, match="not of a retrieval run"):
        compare(*runs)


# The command


def test_the_command_gives_one_json_document_as_formats_has_it(runs, command):
    done = command("compare", *runs, "--json")
    found = json.loads(done.stdout)
    assert done.code == 0
    assert (found["comparable"], found["why"]) == (True, [])
    assert found["differences"]["AP"].keys() >= {"mean", "low", "high", "p", "p_corrected", "n", "n_groups"}
    assert (found["newly_passed"], found["newly_failed"], found["flipped"]) == ([], [], [])
    assert len(found["gained"]) + len(found["lost"]) + found["unchanged"] == 20
    assert found == json.loads(compare(*runs).model_dump_json())


def test_the_table_carries_interval_p_and_a_verdict_in_words(runs, command):
    text = command("compare", *runs).stdout
    value = compare(*runs).differences["nDCG@10"]
    assert f"{value.mean:+.3f} [{value.low:+.3f}, {value.high:+.3f}]" in text
    assert f"{value.p_corrected:.4f}" in text
    assert "B is higher" in text and "corrected by Holm" in text
    assert "the same for every query" in command("compare", runs[0], runs[0]).stdout


def test_where_nothing_can_be_told_the_table_says_so(tmp_path, command):
    done = command("compare", scored(tmp_path / "a", noise(30)), scored(tmp_path / "b", noise(30, seed=2)))
    assert done.code == 0 and "no difference can be told" in done.stdout


def test_the_limit_cuts_lists_and_says_how_much_more_there_is(tmp_path, command):
    old, new = {f"q{i:02}": 0.5 for i in range(9)}, {f"q{i:02}": i / 10 for i in range(9)}
    a, b = scored(tmp_path / "a", old), scored(tmp_path / "b", new)
    text = command("compare", a, b, "--limit", 2).stdout
    assert "and 3 more (--limit 5 shows all)" in text
    assert "q01" in text and "q02" not in text
    assert "q02" in command("compare", a, b).stdout


def test_a_refusal_has_exit_code_2_with_the_reasons_and_no_number(tmp_path, command):
    a, b = (scored(tmp_path / v, {"q1": 0.125, "q2": 0.25}, suite={"version": v}) for v in ("1", "2"))
    done = command("compare", a, b)
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr.startswith("error: these runs cannot be compared\n  the versions of made differ: 1 and 2\n")
    done = command("compare", a, b, "--json")
    found = json.loads(done.stdout)
    assert (done.code, found["comparable"], found["why"]) == (2, False, ["the versions of made differ: 1 and 2"])
    assert found["differences"] == {} and "runs" not in found


def test_anyway_shows_both_apart_without_a_difference(tmp_path, command):
    a, b = (scored(tmp_path / v, {"q1": 0.125, "q2": 0.25}, suite={"version": v}) for v in ("1", "2"))
    done = command("compare", a, b, "--anyway")
    assert done.code == 0
    assert "warning: these runs cannot be compared" in done.stderr and "1 and 2" in done.stderr
    assert done.stdout.count("0.188") == 2
    assert "B - A" not in done.stdout and "p corrected" not in done.stdout
    found = json.loads(command("compare", a, b, "--anyway", "--json").stdout)
    assert found["comparable"] is False and found["differences"] == {}
    assert [run["measures"]["nDCG@10"]["mean"] for run in found["runs"]] == [0.1875, 0.1875]


def test_anyway_shows_a_run_without_a_result_as_such_and_exits_3(runs, command):
    edit(runs[1], status="failed", error="the disk is full")
    done = command("compare", *runs, "--anyway")
    assert done.code == 3
    assert "the disk is full" in done.stdout


def test_errors_come_first_and_the_exit_code_is_3(tmp_path, command):
    a = worked_run(tmp_path / "a", {"t1": ["PPP"], "t2": ["PPP"]})
    b = worked_run(tmp_path / "b", {"t1": ["EPF"], "t2": ["PPP"]}, status="interrupted")
    done = command("compare", a, b)
    assert done.code == 3
    assert done.stderr.startswith("error: B: t1, trial 1: 1 of 3 criteria have errors: timeout 1")
    assert done.stdout.index("! error") < done.stdout.index("all_pass") < done.stdout.index("newly failed")
    assert "withheld: 1 of 2 ungraded" in done.stdout
    assert "✗ fail" in done.stdout


def test_shares_are_told_in_trials_and_marks_of_a_criterion_are_shown(tmp_path, command):
    def run(folder, verdicts):
        units = [worked("t", 1), worked("t", 2)]
        units += [
            criterion("t", i, "C-1", v, critical=True, contested="two readings") for i, v in enumerate(verdicts, 1)
        ]
        return write_run(folder, manifest_for({"t": 1}, 2), units)

    text = command("compare", run(tmp_path / "a", ["pass", "pass"]), run(tmp_path / "b", ["pass", "fail"])).stdout
    assert "flipped in some trials: 1" in text and "1/2 pass" in text
    assert "critical; contested: two readings" in text


def test_hostile_text_reaches_the_terminal_as_escapes(tmp_path, command):
    evil = "\x1b[2J\x07[red]x[/red]\u202eabc"
    rows = [
        {
            evil: {"measures": {"AP": value, evil: value}, "mechanism": evil, "text": evil},
            "q": {"measures": {"AP": 0.1, evil: 0.2}},
        }
        for value in (0.1, 0.9)
    ]
    a, b = (
        scored(tmp_path / str(i), row, system=f"{evil}{i}", suite={"name": evil}, notes=[evil], protocol={"view": evil})
        for i, row in enumerate(rows)
    )
    done = command("compare", a, b)
    assert done.code == 0
    for stream in (done.stdout, done.stderr):
        assert not {"\x1b", "\x07", "\u202e"} & set(stream)
        assert "\\x1b[2J\\x07[red]x[/red]\\u202eabc" in stream.replace("\n", "")
    edit(b, suite={"name": evil, "version": evil, "sha256": evil})
    refusal = command("compare", a, b)
    assert refusal.code == 2 and not {"\x1b", "\x07", "\u202e"} & set(refusal.stderr)


def test_numbers_that_json_cannot_hold_are_null(runs, command):
    text = (runs[1] / "run.json").read_text().replace('"system": {', '"system": {"temperature": NaN, ', 1)
    (runs[1] / "run.json").write_text(text)
    done = command("compare", *runs, "--json")
    assert done.code == 0 and json.loads(done.stdout)["changed"]["system.temperature"] == [None, None]


@pytest.mark.parametrize("arguments", [(), ("one",), ("a", "b", "c"), ("a", "b", "--limit", "-1")])
def test_wrong_arguments_are_refused(arguments, command):
    assert command("compare", *arguments).code == 2


# All pairs of a group


def systems(tmp_path, n, queries=40, **more):
    return [
        read_section(scored(tmp_path / f"s{i}", noise(queries, mean=0.3 + i / 50, seed=i), system=f"s{i}", **more))
        for i in range(n)
    ]


def test_all_pairs_have_the_numbers_of_compare_corrected_over_the_pairs(tmp_path):
    group = systems(tmp_path, 4)
    found = pairs(group)
    assert [(row["a"], row["b"]) for row in found] == [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    for row in found:
        one = compare(group[row["a"]].folder, group[row["b"]].folder).differences["nDCG@10"]
        assert {key: row[key] for key in ("mean", "low", "high", "p")} == pytest.approx(
            {"mean": one.mean, "low": one.low, "high": one.high, "p": one.p}
        )
    assert [row["p_corrected"] for row in found] == pytest.approx(holm([row["p"] for row in found]))
    assert {row["measure"] for row in found} == {"nDCG@10"}


def test_lab_pairs_have_both_measures_each_corrected_by_itself(tmp_path):
    tables = [{f"t{i}": [row] for i, row in enumerate(rows)} for rows in (["PP", "PF"], ["PF", "FF"], ["PP", "PP"])]
    group = [read_section(worked_run(tmp_path / f"r{i}", table)) for i, table in enumerate(tables)]
    found = pairs(group)
    assert [row["measure"] for row in found] == ["all_pass"] * 3 + ["criterion_rate_macro"] * 3
    assert [row["mean"] for row in found[:3]] == [-0.5, 0.5, 1]
    for rows in (found[:3], found[3:]):
        assert [row["p_corrected"] for row in rows] == pytest.approx(holm([row["p"] for row in rows]))


def test_a_large_group_is_compared_with_its_best_alone_unless_all_pairs_are_wanted(tmp_path):
    group = systems(tmp_path, 13, queries=20)
    means = [run.summary.measures["nDCG@10"].mean for run in group]
    best = max(range(13), key=means.__getitem__)
    found = pairs(group)
    assert len(found) == 12 and all(best in (row["a"], row["b"]) for row in found)
    assert len(pairs(group, every=True)) == 13 * 12 / 2
    assert len(pairs(group[:12])) == 12 * 11 / 2


def test_pairs_of_one_mechanism_are_those_of_its_queries(tmp_path):
    def rows(seed):
        rng = random.Random(seed)
        kinds = ("descriptive", "surface")
        return {f"q{i}": {"measures": {"AP": rng.random()}, "mechanism": kinds[i % 2]} for i in range(30)}

    group = [read_section(scored(tmp_path / f"s{i}", rows(i))) for i in range(2)]
    [row] = pairs(group, mechanism="surface")
    one = compare(group[0].folder, group[1].folder).by_mechanism["surface"]["AP"]
    assert (row["measure"], row["mean"], row["p"]) == ("AP", one.mean, one.p)
    assert pairs(group, mechanism="analogue") == []


def test_what_cannot_be_paired_is_in_no_pair(tmp_path):
    whole = systems(tmp_path, 2)
    part = read_section(scored(tmp_path / "part", noise(39), status="interrupted"))
    other = read_section(scored(tmp_path / "other", noise(39)))
    assert [(row["a"], row["b"]) for row in pairs([part, whole[0], other, whole[1]])] == [(1, 3)]
    once, thrice = (read_section(worked_run(tmp_path / f"k{k}", {"t": ["PP"] * k})) for k in (1, 3))
    ungraded = read_section(worked_run(tmp_path / "ungraded", {"t": ["PE"]}))
    assert pairs([once, thrice, ungraded]) == []
    assert pairs([]) == pairs(whole[:1]) == []

"""The numbers of lab runs: hand-worked or published values, nothing claimed while anything is ungraded, hostile text."""

import io
import json
import random

import numpy as np
import pytest
from pagekit import OURS, tags
from rich.console import Console

from evalsuite.errors import RunError
from evalsuite.records import CriterionResult, Manifest, Suite, TrialResult, Vote
from evalsuite.reporting import console, page
from evalsuite.statistics import (
    bootstrap_means,
    bootstrap_ratios,
    cohen_kappa,
    gwet_ac1,
    krippendorff_alpha,
    pass_at_k,
    pass_hat_k,
    variance_components,
    wilson,
)
from evalsuite.storage import RunWriter, read_manifest, read_units, sha256_json
from evalsuite.summary import protocol_id, summarise, verify, write_summary


def vote(judge, verdict, number=1, **more):
    return Vote(
        judge=judge, vote=number, verdict=verdict, **{"tokens": {"input": 100, "output": 10}, "cost": 0.5} | more
    )


def criterion(task, trial, name, verdict, votes=None, **more):
    votes = [vote("judge-a", verdict)] if votes is None else votes
    title = f"Names the {name} clause"
    return CriterionResult(task=task, trial=trial, id=name, title=title, verdict=verdict, votes=votes, **more)


def worked(task, trial, stop_reason="done", **more):
    return TrialResult(task=task, trial=trial, stop_reason=stop_reason, finished=stop_reason == "done", **more)


def manifest_for(tasks, trials):
    protocol = {"judges": ["judge-a"]}
    files = {f"{task}/task.json": "0" * 64 for task in tasks}
    return Manifest(
        kind="lab",
        run_id="a-run",
        suite=Suite(name="leases", sha256=sha256_json(files), files=files),
        system={"name": "quill"},
        protocol=protocol | {"id": protocol_id(protocol)},
        plan={"tasks": tasks, "trials": trials},
    )


def graded(table, trials=None):
    """{"task": ["PPF", "PPP"]}: a task's trials, one letter (Pass, Fail, Error) a criterion -> manifest and units."""
    names = {"P": "pass", "F": "fail", "E": "error"}
    units = []
    for task, rows in table.items():
        for number, row in enumerate(rows, start=1):
            units.append(worked(task, number, cost=0.25, tokens={"input": 1000, "output": 50, "cached": 400}, turns=3))
            units += [
                criterion(task, number, f"C-{i}", names[letter], error_kind="timeout" if letter == "E" else None)
                for i, letter in enumerate(row, start=1)
            ]
    plan = {task: max(map(len, rows)) for task, rows in table.items()}
    return manifest_for(plan, trials or max(map(len, table.values()))), units


def numbers(table, trials=None):
    return summarise(*graded(table, trials))


def write_run(path, manifest, units, status="complete"):
    writer = RunWriter(path, manifest)
    writer.append(units)
    writer.close(status)
    write_summary(path)
    return path


# Statistics


def test_kappa_of_the_textbook_table_is_0_4():
    first = ["yes"] * 25 + ["no"] * 25
    second = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    assert cohen_kappa(first, second) == pytest.approx(0.4)


def test_kappa_is_none_where_chance_alone_explains_everything():
    assert cohen_kappa(["pass"] * 5, ["pass"] * 5) is None
    assert cohen_kappa([], []) is None


def test_ac1_and_kappa_of_gwet_s_paradox_table():
    first = ["+"] * 118 + ["+"] * 5 + ["-"] * 2
    second = ["+"] * 118 + ["-"] * 5 + ["+"] * 2
    assert gwet_ac1(first, second) == pytest.approx(0.9408, abs=5e-5)
    assert cohen_kappa(first, second) == pytest.approx(-0.0234, abs=5e-5)


def test_ac1_of_judges_who_always_say_the_same_is_1():
    assert gwet_ac1(["pass"] * 4, ["pass"] * 4) == 1
    assert gwet_ac1([], []) is None


def test_nominal_alpha_is_that_of_krippendorff_s_examples():
    two = zip("0100000010", "1110010000", strict=True)
    assert krippendorff_alpha(list(two)) == pytest.approx(0.095, abs=5e-4)
    raters = "123321412...", "1233224125.3", ".333234225 1.".replace(" ", ""), "12332441251."
    items = [[None if label == "." else label for label in item] for item in zip(*raters, strict=True)]
    assert krippendorff_alpha(items) == pytest.approx(0.743, abs=5e-4)


def test_alpha_is_none_without_two_ratings_of_one_item_or_two_labels():
    assert krippendorff_alpha([["pass", None], [None, "fail"]]) is None
    assert krippendorff_alpha([["pass", "pass"]]) is None


@pytest.mark.parametrize(
    ("successes", "n", "expected"),
    [(81, 263, (0.2553, 0.3662)), (15, 148, (0.0624, 0.1605)), (0, 20, (0.0, 0.1611)), (1, 29, (0.0061, 0.1718))],
)
def test_wilson_intervals_are_those_of_newcombe_1998(successes, n, expected):
    assert wilson(successes, n) == pytest.approx(expected, abs=5e-5)
    low, high = wilson(n - successes, n)
    assert (1 - high, 1 - low) == pytest.approx(expected, abs=5e-5)


def test_pass_at_k_and_pass_hat_k_are_the_chances_of_drawing_k_of_the_trials():
    outcomes = [True, True, False, False, False]
    rng = random.Random(3)
    draws = [rng.sample(outcomes, 2) for _ in range(20_000)]
    assert pass_at_k(5, 2, 2) == pytest.approx(0.7)
    assert pass_hat_k(5, 2, 2) == pytest.approx(0.1)
    assert sum(map(any, draws)) / len(draws) == pytest.approx(0.7, abs=0.015)
    assert sum(map(all, draws)) / len(draws) == pytest.approx(0.1, abs=0.015)


def test_variance_components_of_montgomery_s_looms():
    strength = [98, 97, 99, 96, 91, 90, 93, 92, 96, 95, 97, 95, 95, 96, 99, 98]
    found = variance_components(strength, {"loom": np.repeat(range(4), 4).tolist()})
    assert found["loom"] == pytest.approx(6.96, abs=0.005)
    assert found["residual"] == pytest.approx(1.90, abs=0.005)


def test_variance_components_of_a_crossed_table_are_those_of_its_mean_squares():
    table = np.random.default_rng(0).normal(size=(6, 4)) + np.arange(6)[:, None] + 2 * np.arange(4)
    rows, columns = np.indices(table.shape)
    found = variance_components(table.ravel(), {"row": rows.ravel().tolist(), "column": columns.ravel().tolist()})
    row, column, mean = table.mean(axis=1), table.mean(axis=0), table.mean()
    error = ((table - row[:, None] - column + mean) ** 2).sum() / 15
    assert found["residual"] == pytest.approx(error)
    assert found["row"] == pytest.approx((4 * ((row - mean) ** 2).sum() / 5 - error) / 4)
    assert found["column"] == pytest.approx((6 * ((column - mean) ** 2).sum() / 3 - error) / 6)


def test_variance_components_recover_a_known_truth_in_an_unbalanced_crossed_design():
    rng = np.random.default_rng(8)
    truth = {"task": 1.0, "answer": 0.5, "judge": 0.3, "residual": 0.2}
    sums = dict.fromkeys(truth, 0.0)
    for _ in range(60):
        rows = [(t, (t, a), j) for t in range(30) for a in range(rng.integers(1, 5)) for j in range(8)]
        rows = [row for row in rows if rng.random() < 0.8]
        factors = {name: [row[i] for row in rows] for i, name in enumerate(["task", "answer", "judge"])}
        drawn = {
            name: {label: rng.normal(0, truth[name] ** 0.5) for label in sorted(set(labels))}
            for name, labels in factors.items()
        }
        y = [sum(drawn[n][row[i]] for i, n in enumerate(drawn)) + rng.normal(0, 0.2**0.5) for row in rows]
        for name, value in variance_components(y, factors).items():
            sums[name] += value / 60
    assert sums == pytest.approx(truth, rel=0.15)


def test_a_factor_that_cannot_be_told_apart_is_none():
    found = variance_components([0, 1, 1, 0], {"task": "aabb", "the same": "xxyy", "one": "zzzz", "each": "1234"})
    assert found["task"] is not None
    assert found["the same"] is found["one"] is found["each"] is None
    assert variance_components([1.0], {"task": "a"}) == {"task": None, "residual": None}


def test_ratios_of_sums_have_the_intervals_of_the_rows_behind_them():
    rng = np.random.default_rng(4)
    groups = np.sort(rng.integers(0, 12, 70))
    groups = np.unique(groups, return_inverse=True)[1]
    values = rng.random(70)
    sums, sizes = np.bincount(groups, values)[:, None], np.bincount(groups)[:, None].astype(float)
    rows = bootstrap_means(values[:, None], groups)
    for one, other in zip(rows, bootstrap_ratios(sums, sizes), strict=True):
        assert one == pytest.approx(other)


# The headline


def test_all_pass_is_the_mean_over_tasks_of_trials_in_which_everything_passes():
    found = numbers({"a": ["PPP", "PPF"], "b": ["PP", "PP"], "c": ["FP", "PF"]})
    assert found.all_pass.rate == pytest.approx((0.5 + 1 + 0) / 3)
    assert found.all_pass.low < found.all_pass.rate < found.all_pass.high
    assert (found.all_pass.n_tasks, found.n_trials) == (3, 6)
    assert found.all_pass_bounds == (found.all_pass.rate, found.all_pass.rate)
    assert found.criteria == {"passed": 11, "failed": 3, "errors": 0, "missing": 0, "total": 14}
    assert found.criterion_rate.rate == pytest.approx(11 / 14)
    assert found.criterion_rate_macro.rate == pytest.approx((5 / 6 + 1 + 0.5) / 3)


def test_an_error_withholds_every_rate_it_could_change_and_bounds_say_how_far():
    found = numbers({"a": ["PE", "PP"], "b": ["PP", "PP"]})
    assert found.all_pass.rate is found.all_pass.low is found.all_pass.high is None
    assert found.criterion_rate.rate is found.criterion_rate_macro.rate is None
    assert found.all_pass_bounds == (0.75, 1.0)
    assert found.criteria["errors"] == 1
    assert found.error_kinds == {"timeout": 1}
    assert found.problems == ["a, trial 1: 1 of 2 criteria have errors: timeout 1"]
    assert [trial.all_pass for trial in found.trials] == [None, True, True, True]


def test_all_pass_of_a_trial_with_an_error_is_null_even_where_another_criterion_failed():
    found = numbers({"a": ["FE"], "b": ["PP"]})
    assert found.trials[0].all_pass is None
    assert found.all_pass.rate is None
    assert found.all_pass_bounds == (0.5, 0.5)


def test_a_trial_that_was_never_worked_withholds_the_headline():
    found = numbers({"a": ["PP", "PP"], "b": ["PP"]}, trials=2)
    assert found.all_pass.rate is None
    assert found.all_pass_bounds == (0.75, 1.0)
    assert found.criteria["missing"] == 2
    assert found.problems == ["b: 1 of 2 trials were never worked"]


def test_a_planned_task_without_a_line_withholds_the_headline():
    manifest, units = graded({"a": ["PP"], "b": ["PP"]})
    found = summarise(manifest, [unit for unit in units if unit.task == "a"])
    assert (found.n_tasks, found.all_pass.rate, found.all_pass_bounds) == (2, None, (0.5, 1.0))


def test_a_broken_agent_is_no_failure():
    manifest, units = graded({"a": ["PP"], "b": ["PP"]})
    units[0] = worked("a", 1, "error", error="the model was not found")
    found = summarise(manifest, [unit for unit in units if unit.unit == "trial" or unit.task == "b"])
    assert found.all_pass.rate is None
    assert found.problems == ["a, trial 1: the agent broke: the model was not found"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda units: units[:-1], "b, trial 1: 1 criteria are graded of 2 planned"),
        (lambda units: [*units[:-1], criterion("b", 1, "X", "pass"), units[-1]], "b, trial 1: 3 criteria are graded"),
        (lambda units: [*units, criterion("c", 1, "X", "pass")], "c, trial 1: has no trial line"),
        (lambda units: [*units, worked("c", 1)], "c, trial 1: has no planned criteria"),
        (lambda units: [*units, worked("b", 2)], "b, trial 1: is one of 2 trials; 1 planned"),
    ],
)
def test_a_run_that_is_not_what_was_planned_has_no_headline(change, problem):
    manifest, units = graded({"a": ["PP"], "b": ["PP"]})
    found = summarise(manifest, change(units))
    assert found.all_pass.rate is None
    assert found.problems[0].startswith(problem)


def test_a_run_without_a_plan_is_taken_as_planned():
    manifest, units = graded({"a": ["PP", "PP"], "b": ["PF"]})
    manifest.plan = {}
    assert summarise(manifest, units).all_pass.rate == 0.5


def test_one_task_gives_no_interval():
    found = numbers({"a": ["PP", "PF"]})
    assert (found.all_pass.rate, found.all_pass.low, found.all_pass.high) == (0.5, None, None)


def test_where_every_task_fails_the_interval_is_wilson_s_and_not_of_no_width():
    found = numbers({f"t{i}": ["PF"] for i in range(20)})
    assert (found.all_pass.low, found.all_pass.high) == pytest.approx((0, 0.1611), abs=5e-5)


def test_the_interval_is_clustered_by_task():
    rng = np.random.default_rng(2)
    letters = {f"t{i}": "P" * 30 if rng.random() < 0.5 else "F" * 30 for i in range(20)}
    rate = numbers({task: [row] for task, row in letters.items()}).criterion_rate
    assert rate.n == 600
    assert rate.high - rate.low > 0.3


def test_contested_criteria_are_left_out_of_the_adjusted_rate_only():
    manifest, units = graded({"a": ["PF"], "b": ["PP"], "c": ["F"]})
    units = [
        u.model_copy(update={"contested": "arguable"})
        if (u.task, getattr(u, "id", "")) in {("a", "C-2"), ("c", "C-1")}
        else u
        for u in units
    ]
    found = summarise(manifest, units)
    assert found.all_pass.rate == pytest.approx(1 / 3)
    assert (found.adjusted_all_pass.rate, found.adjusted_all_pass.n_tasks, found.n_contested) == (1.0, 2, 2)


def test_critical_criteria_have_their_own_rate():
    manifest, units = graded({"a": ["PF"], "b": ["FP"]})
    units = [u.model_copy(update={"critical": True}) if getattr(u, "id", "") == "C-1" else u for u in units]
    assert summarise(manifest, units).critical_rate.rate == 0.5
    assert numbers({"a": ["PP"]}).critical_rate.rate is None


def test_pass_at_k_and_pass_hat_k_are_means_over_tasks():
    found = numbers({"a": ["P", "P", "F"], "b": ["P", "P", "P"], "c": ["F", "F", "F"]})
    assert [rate.rate for rate in found.pass_at_k.values()] == pytest.approx([5 / 9, 2 / 3, 2 / 3])
    assert [rate.rate for rate in found.pass_hat_k.values()] == pytest.approx([5 / 9, (1 / 3 + 1) / 3, 1 / 3])
    assert found.pass_at_k["1"].rate == pytest.approx(found.all_pass.rate)
    assert numbers({"a": ["P", "E"], "b": ["P", "P"]}).pass_at_k["1"].rate is None


# Judges


def panel(table):
    """{"task": {"C-1": ("PP", "F")}}: one trial; the votes of judge-a and judge-b -> summary; the panel takes the first vote."""
    names = {"P": "pass", "F": "fail", "E": "error"}
    units = []
    for task, rows in table.items():
        units.append(worked(task, 1))
        for name, said in rows.items():
            votes = [
                vote(judge, names[letter], number)
                for judge, letters in zip(("judge-a", "judge-b"), said, strict=False)
                for number, letter in enumerate(letters, start=1)
            ]
            verdict = "error" if any(v.verdict == "error" for v in votes) else votes[0].verdict
            units.append(criterion(task, 1, name, verdict, votes))
    return summarise(manifest_for({task: len(rows) for task, rows in table.items()}, 1), units)


def test_lab_s_dual_numbers_by_hand():
    found = panel(
        {
            "a": {"C-1": ("P", "P"), "C-2": ("P", "P")},
            "b": {"C-1": ("P", "F"), "C-2": ("P", "P")},
            "c": {"C-1": ("F", "F"), "C-2": ("P", "F")},
        }
    )
    assert found.dual.judges == ["judge-a", "judge-b"]
    assert found.dual.dual_criterion_pass.rate == pytest.approx((1 + 0.75 + 0.25) / 3)
    assert found.dual.dual_all_pass_rate.rate == pytest.approx((1 + 0.5 + 0) / 3)
    assert found.dual.all_pass_both_agree_rate.rate == pytest.approx(1 / 3)
    first, second = found.judges
    assert (first.judge, first.pass_rate.rate, first.all_pass.rate) == (
        "judge-a",
        pytest.approx(5 / 6),
        pytest.approx(2 / 3),
    )
    assert (second.judge, second.pass_rate.rate) == ("judge-b", 0.5)
    [pair] = found.agreement
    assert (pair.n, pair.raw, pair.prevalence) == (6, pytest.approx(4 / 6), pytest.approx(8 / 12))
    assert pair.kappa == pytest.approx((4 / 6 - 0.5) / 0.5)


def test_a_judge_with_an_error_has_no_rates_and_the_other_keeps_its_own():
    found = panel({"a": {"C-1": ("P", "E"), "C-2": ("P", "P")}, "b": {"C-1": ("F", "F"), "C-2": ("P", "P")}})
    assert found.judges[0].all_pass.rate == 0.5
    assert found.judges[1].errors == 1
    assert found.judges[1].all_pass.rate is found.judges[1].pass_rate.rate is None
    assert found.dual.dual_all_pass_rate.rate is None
    assert found.agreement[0].n == 3


def test_a_judge_asked_again_flips_where_its_votes_are_not_unanimous():
    found = panel({"a": {"C-1": ("PFP",), "C-2": ("PPP",)}, "b": {"C-1": ("FFF",), "C-2": ("PPF",)}})
    [judge] = found.judges
    assert judge.repeat_flips.rate == 0.5
    assert judge.pass_rate.rate == 0.75
    assert found.dual is None


def test_votes_cast_only_where_judges_differ_do_not_count_as_flips():
    calm = {f"C-{i}": ("P", "P") for i in range(8)}
    found = panel({"a": calm | {"C-9": ("PF", "FP")}, "b": calm})
    assert found.judges[0].repeat_flips.n == 0
    assert found.agreement[0].raw == pytest.approx(16 / 17)


def test_criteria_graded_without_a_judge_count_for_every_judge_and_in_no_agreement():
    units = [
        worked("a", 1),
        criterion("a", 1, "C-1", "pass", [vote("judge-a", "pass"), vote("judge-b", "pass")]),
        criterion("a", 1, "C-2", "fail", [vote("deliverable", "fail")]),
        criterion("a", 1, "C-3", "pass", [vote("check:amount", "pass")]),
        criterion("a", 1, "C-4", "error", [vote("", "error")], error_kind="budget"),
    ]
    found = summarise(manifest_for({"a": 3}, 1), units[:-1])
    assert found.graded_by == {"check": 1, "deliverable": 1, "judge": 1}
    assert found.judges[0].criterion_pass.rate == pytest.approx(2 / 3)
    assert found.judges[0].all_pass.rate == 0
    assert found.judges[0].n == found.agreement[0].n == 1
    without = summarise(manifest_for({"a": 4}, 1), units)
    assert without.graded_by["ungraded"] == 1
    assert without.judges[0].all_pass.rate is None


def test_flips_between_trials_are_criteria_whose_verdict_changes():
    found = numbers({"a": ["PPF", "PFF"], "b": ["P", "P"]})
    assert (found.trial_flips.rate, found.trial_flips.n) == (0.25, 4)
    assert found.judges[0].trial_flips.rate == 0.25


def simulated(rng, *, tasks, trials, votes, answer, judge, judges=("judge-a",)):
    """Answers are right half the time or, per task, always the same; each vote is turned over with chance `judge`."""
    units = []
    for t in range(tasks):
        base = rng.random() < 0.5
        for trial in range(1, trials + 1):
            units.append(worked(f"t{t}", trial))
            for c in range(4):
                right = base if rng.random() >= answer else rng.random() < 0.5
                said = [
                    vote(name, "pass" if right != (rng.random() < judge) else "fail", number)
                    for name in judges
                    for number in range(1, votes + 1)
                ]
                units.append(criterion(f"t{t}", trial, f"C-{c}", said[0].verdict, said))
    return summarise(manifest_for({f"t{t}": 4 for t in range(tasks)}, trials), units).variance


def test_the_variance_split_recovers_a_known_truth():
    rng = random.Random(5)
    split = simulated(rng, tasks=150, trials=3, votes=2, answer=0.4, judge=0.1, judges=("judge-a", "judge-b"))
    # A vote is right with chance p in {0.1, 0.9}; E[var(vote | answer)] = 0.09; answers: 0.8^2 * 0.25 * (1 - 0.6^2);
    # tasks: 0.8^2 * 0.25 * 0.6^2.
    assert split.judge == pytest.approx(0.09, abs=0.01)
    assert split.answer == pytest.approx(0.64 * 0.25 * (1 - 0.36), abs=0.015)
    assert split.task == pytest.approx(0.64 * 0.25 * 0.36, abs=0.02)
    assert split.criterion == pytest.approx(0, abs=0.01)
    assert "between votes on the same answer (judges)" in split.description


def test_one_lenient_judge_adds_to_the_judges_part_and_not_to_the_answers():
    rng = random.Random(9)
    units = []
    for t in range(60):
        for trial in (1, 2):
            units.append(worked(f"t{t}", trial))
            right = rng.random() < 0.5
            said = [vote("judge-a", "pass"), vote("judge-b", "pass" if right else "fail")]
            units.append(criterion(f"t{t}", trial, "C-1", "pass", said))
    split = summarise(manifest_for({f"t{t}": 1 for t in range(60)}, 2), units).variance
    assert split.judge > 0.15
    assert split.answer < 0.1


def test_one_vote_cannot_tell_the_judge_from_the_answer_and_says_so():
    rng = random.Random(6)
    split = simulated(rng, tasks=30, trials=3, votes=1, answer=0.4, judge=0.1)
    assert split.judge is split.answer is None
    assert split.answer_and_judge > 0.1
    assert "Each answer has one vote" in split.description


def test_one_trial_cannot_tell_how_answers_vary():
    split = simulated(random.Random(7), tasks=30, trials=1, votes=3, answer=0.4, judge=0.1)
    assert split.judge == pytest.approx(0.09, abs=0.03)
    assert split.answer is split.answer_and_judge is None


def test_without_a_judge_the_spread_is_of_tasks_criteria_and_answers():
    manifest, units = graded({"a": ["PPF", "PFF"], "b": ["PPP", "PPP"], "c": ["FFF", "FPF"]})
    units = [
        u.model_copy(update={"votes": [vote("check:quote", u.verdict)]}) if u.unit == "criterion" else u for u in units
    ]
    split = summarise(manifest, units).variance
    assert split.judge is split.answer_and_judge is None
    assert split.answer > 0
    assert split.description.startswith("No judge voted")


# What was spent and what happened


def test_usage_adds_up_and_what_came_from_the_cache_cost_nothing():
    manifest, units = graded({"a": ["PP"], "b": ["PF"]})
    units[1] = criterion("a", 1, "C-1", "pass", [vote("judge-a", "pass", cached=True)])
    usage = summarise(manifest, units).usage
    assert usage["agent"]["tokens"] == {"input": 2000, "output": 100, "cached": 800}
    assert (usage["agent"]["cost"], usage["agent"]["turns"], usage["agent"]["prefix_reuse"]) == (0.5, 6, 0.4)
    assert (usage["judges"]["calls"], usage["judges"]["from_cache"], usage["judges"]["cost"]) == (3, 1, 1.5)
    assert usage["judges"]["tokens"]["input"] == 300
    assert usage["cost"] == 2.0


def test_a_cost_that_is_not_known_in_full_is_unknown():
    manifest, units = graded({"a": ["PP"], "b": ["PF"]})
    units[0] = worked("a", 1)
    usage = summarise(manifest, units).usage
    assert usage["agent"]["cost"] == usage["agent"]["tokens"] == usage["cost"] == "unknown"
    assert usage["judges"]["cost"] == 2.0


def test_checks_and_free_agents_cost_nothing():
    units = [worked("a", 1, cost=0.0), criterion("a", 1, "C-1", "pass", [Vote(judge="check:quote", verdict="pass")])]
    usage = summarise(manifest_for({"a": 1}, 1), units).usage
    assert (usage["cost"], usage["judges"]["calls"], usage["agent"]["prefix_reuse"]) == (0.0, 0, None)


def test_reading_grounding_flags_stops_and_renamed_files_are_counted():
    claims = {"claims": 9, "unsupported": [{"kind": "amount", "text": "EUR 5", "where": "memo.md l.2"}]}
    flags = [{"flag": "hidden text", "where": "memo.docx p:3", "text": "grade pass"}]
    read = {"documents_total": 4, "documents_read": ["lease.docx"]}
    units = [
        worked("a", 1, grounding=claims, flags=flags, **read),
        criterion("a", 1, "C-1", "pass", resolved_file="Memo.docx", resolution_rule="case"),
        criterion("a", 1, "C-2", "pass", resolved_file="Memo.docx", resolution_rule="case"),
        worked("b", 1, "turns", grounding=claims, documents_total=2, documents_read=["a.txt", "b.txt"]),
        criterion("b", 1, "C-1", "fail", resolution_rule="missing"),
        criterion("b", 1, "C-2", "pass", resolved_file="memo.docx", resolution_rule="exact"),
    ]
    found = summarise(manifest_for({"a": 2, "b": 2}, 1), units)
    assert found.documents_read.rate == pytest.approx((0.25 + 1) / 2)
    assert found.grounding == {"claims": 18, "unsupported": 2}
    assert found.flags == {"hidden text": 1}
    assert found.stop_reasons == {"done": 1, "turns": 1}
    assert found.inexact_files == [{"task": "a", "trial": 1, "file": "Memo.docx", "rule": "case"}]


# Folders, terminal, page


def test_verify_derives_a_lab_summary_again_and_finds_any_change(tmp_path):
    run = write_run(tmp_path / "run", *graded({"a": ["PP", "PF"], "b": ["PE", "PP"]}))
    assert verify(run)["mismatches"] == []
    stored = json.loads((run / "summary.json").read_text())
    stored["trials"][1]["n_passed"] = 2
    stored["all_pass"]["rate"] = 1.0
    (run / "summary.json").write_text(json.dumps(stored))
    found = [mismatch["what"] for mismatch in verify(run)["mismatches"]]
    assert found == ["summary.json all_pass.rate", "summary.json trials.1.n_passed"]


def test_verify_finds_a_line_taken_out(tmp_path):
    run = write_run(tmp_path / "run", *graded({"a": ["PF"], "b": ["PP"]}))
    lines = (run / "results.jsonl").read_text().splitlines(keepends=True)
    (run / "results.jsonl").write_text("".join(lines[:2] + lines[3:]))
    found = {mismatch["what"]: mismatch for mismatch in verify(run)["mismatches"]}
    assert "results.jsonl" in found
    assert found["summary.json all_pass.rate"]["derived"] is None


def test_units_of_the_other_kind_are_refused():
    manifest, units = graded({"a": ["PP"]})
    with pytest.raises(RunError, match="not of a retrieval run"):
        summarise(manifest.model_copy(update={"kind": "retrieval"}), units)
    with pytest.raises(RunError, match="holds no trial"):
        summarise(manifest, [])


def test_the_machine_output_is_that_of_the_formats(tmp_path):
    manifest, units = graded({"a": ["PE"], "b": ["PP"]})
    found = console.as_json(tmp_path, manifest, summarise(manifest, units))
    assert found["kind"] == "lab"
    assert found["all_pass"] == {"rate": None, "low": None, "high": None, "n": 2, "n_tasks": 2}
    assert found["criteria"]["errors"] == 1
    assert found["criteria"]["rate"]["rate"] is None
    first = {
        "task": "a",
        "trial": 1,
        "all_pass": None,
        "n_passed": 1,
        "n_criteria": 2,
        "n_errors": 1,
        "stop_reason": "done",
    }
    assert first.items() <= found["trials"][0].items()
    failed = console.as_json(tmp_path, manifest.model_copy(update={"error": "no tasks"}), None)
    assert (failed["error"], failed["all_pass"]["rate"], failed["trials"]) == ("no tasks", None, [])
    json.dumps([found, failed], allow_nan=False)


def printed(rows):
    screen = Console(width=200, record=True, file=io.StringIO())
    for table in console.tables(rows):
        screen.print(table)
    return screen.export_text()


def test_the_terminal_says_why_a_headline_is_withheld_and_what_did_not_pass(tmp_path):
    good, bad = graded({"a": ["PP", "PP"], "b": ["PF", "PF"]}), graded({"a": ["PE"], "b": ["FFFFFFFFFFFF"]})
    text = printed([(tmp_path, m, summarise(m, u)) for m, u in (good, bad)])
    assert "0.500 [0.000, 1.000]" in text
    assert "null: 1 error" in text
    assert "! trial 1: 1 of 2 criteria have errors: timeout 1" in text
    assert "✗ fail C-2 Names the C-2 clause (2 of 2 trials)" in text
    assert "and 2 more" in text


EVIL = '</script><img src=x onerror=alert(1)>[red]"><a href="x">'


def hostile():
    votes = [vote(f"judge {EVIL}", "fail", reasoning=f"because {EVIL}", quotes=[f"quote {EVIL}"])]
    first = criterion(
        f"a {EVIL}", 1, f"C {EVIL}", "fail", votes, contested=EVIL, resolved_file=EVIL, resolution_rule=EVIL
    )
    claims = {"claims": 1, "unsupported": [{"kind": "quote", "text": EVIL, "where": EVIL}]}
    flags = [{"flag": EVIL, "where": EVIL, "text": EVIL}]
    trial = worked(f"a {EVIL}", 1, "error", error=EVIL, grounding=claims, flags=flags, output={EVIL: "0"})
    second = criterion("b", 1, "C-1", "error", [], error_kind=EVIL)
    manifest = manifest_for({f"a {EVIL}": 1, "b": 1}, 1)
    return manifest.model_copy(update={"notes": [EVIL], "error": EVIL}), [trial, first, worked("b", 1), second]


def test_hostile_text_is_shown_and_never_markup(tmp_path):
    run = write_run(tmp_path / "run", *hostile())
    text = page.build([run], tmp_path / "page.html").path.read_text()
    assert set(tags(text, allow=("#",))) <= OURS
    assert text.count("&lt;img src=x onerror=alert(1)&gt;") > 4
    manifest, units = read_manifest(run), read_units(run)
    assert "[red]" in printed([(run, manifest, summarise(manifest, units))])


def test_errors_come_first_on_the_page_and_withhold_the_headline(tmp_path):
    run = write_run(tmp_path / "run", *graded({"all-good": ["PP"], "has-fail": ["PF"], "has-error": ["PE"]}))
    built = page.build([run], tmp_path / "page.html")
    text = built.path.read_text()
    assert built.n_failed == 1
    assert text.index("all-pass withheld: 1 error") < text.index("<h2")
    assert "between 0.333 and 0.667" in text
    assert "has-error, trial 1: 1 of 2 criteria have errors: timeout 1" in text


def test_the_page_shows_the_headline_and_every_rate(tmp_path):
    run = write_run(tmp_path / "run", *graded({"a": ["PP", "PF"], "b": ["PP", "PP"]}))
    built = page.build([run], tmp_path / "page.html")
    text = built.path.read_text()
    assert built.n_failed == 0
    assert "No run has errors." in text
    assert "quill is the only system: all-pass 0.750 (0.500–1.000), n = 2." in text
    assert "pass^2 (all of 2)" in text


def test_an_interrupted_lab_run_is_shown_with_what_is_missing(tmp_path):
    run = write_run(tmp_path / "run", *graded({"a": ["PP"]}, trials=3), status="interrupted")
    text = page.build([run], tmp_path / "page.html").path.read_text()
    assert "interrupted (3 units recorded)" in text
    assert "a: 2 of 3 trials were never worked" in text

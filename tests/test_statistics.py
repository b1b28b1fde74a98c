"""Intervals and paired tests: reproducible, grouped, and right as often as they say."""

from itertools import product

import numpy as np
import pytest
from scipy.stats import permutation_test

from evalsuite.statistics import EXACT_GROUPS, FLIPS, bootstrap_means, group_numbers, holm, paired_difference


def interval(values, groups=None, strata=None):
    values = np.asarray(values, dtype=float)[:, None]
    groups = np.arange(len(values)) if groups is None else group_numbers(groups)
    strata = None if strata is None else group_numbers(strata)
    mean, low, high = bootstrap_means(values, groups, strata=strata)
    return mean[0], low[0], high[0]


def test_the_mean_is_the_mean_and_the_interval_is_the_same_every_time():
    values = np.random.default_rng(0).random(50)
    first = interval(values)
    assert first == interval(values)
    assert first[0] == pytest.approx(values.mean())
    assert first[1] < first[0] < first[2]


def test_the_interval_is_that_of_a_plain_bootstrap_loop():
    values = np.random.default_rng(1).random(30)
    rng = np.random.default_rng(2)
    means = [rng.choice(values, 30).mean() for _ in range(10_000)]
    assert interval(values)[1:] == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.005)


def test_dependent_queries_in_one_group_widen_the_interval():
    values = np.repeat(np.random.default_rng(3).random(20), 10)
    independent, grouped = interval(values), interval(values, np.repeat(np.arange(20), 10))
    assert grouped[0] == pytest.approx(independent[0])
    assert grouped[2] - grouped[1] > 2.5 * (independent[2] - independent[1])


def test_one_group_gives_no_interval():
    mean, low, high = interval([0.1, 0.5], groups=["a", "a"])
    assert mean == pytest.approx(0.3)
    assert np.isnan(low) and np.isnan(high)


def test_equal_values_give_an_interval_of_no_width():
    assert interval([0.25] * 9) == pytest.approx((0.25, 0.25, 0.25))


def test_the_macro_mean_weighs_mechanisms_not_queries():
    mean, low, high = interval([1.0] * 10 + [0.0] * 30, strata=["a"] * 10 + ["b"] * 30)
    assert mean == 0.5
    assert low == high == 0.5


def test_columns_are_bootstrapped_together():
    values = np.random.default_rng(5).random((40, 1))
    both = bootstrap_means(np.hstack([values, 2 * values]), np.arange(40))
    for column in both:
        assert column[1] == pytest.approx(2 * column[0])


@pytest.mark.parametrize("per_group", [1, 4])
def test_intervals_cover_the_truth_about_as_often_as_they_say(per_group):
    rng = np.random.default_rng(11)
    covered = 0
    for _ in range(200):
        shared = rng.normal(0.4, 0.2, 40).repeat(per_group)
        values = shared + rng.normal(0, 0.05, len(shared))
        _, low, high = interval(values, np.arange(40).repeat(per_group))
        covered += low <= 0.4 <= high
    assert 0.89 <= covered / 200 <= 0.985


# Paired differences


def paired(values, groups=None):
    values = np.asarray(values, dtype=float)
    groups = np.arange(len(values)) if groups is None else group_numbers(groups)
    return [float(column[0]) for column in paired_difference(values[:, None], groups)]


def every_flip(sums):
    """p from first principles: all sign changes, counted one by one."""
    totals = [abs(sum(s * x for s, x in zip(signs, sums, strict=True))) for signs in product((1, -1), repeat=len(sums))]
    return sum(total >= totals[0] - 1e-12 for total in totals) / len(totals)


@pytest.mark.parametrize("n", [2, 3, 8, EXACT_GROUPS])
def test_few_groups_get_the_exact_p_of_all_flips(n):
    values = np.random.default_rng(n).normal(0.3, 1, n)
    flips = permutation_test((values,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert paired(values)[3] == pytest.approx(flips.pvalue)
    assert paired(values)[3] == pytest.approx(every_flip(values))


def test_many_groups_get_a_p_near_that_of_all_flips_and_the_same_every_time():
    values = np.random.default_rng(4).normal(0.3, 1, EXACT_GROUPS + 2)
    exact = every_flip(values)
    assert 0.01 < exact < 0.5
    assert paired(values)[3] == pytest.approx(exact, abs=4 * np.sqrt(exact / FLIPS))
    assert paired(values) == paired(values)


def test_a_p_of_random_flips_is_never_0():
    assert paired([1.0] * 100)[3] == 1 / (1 + FLIPS)


def test_the_sign_is_that_of_new_minus_old_and_its_mirror_has_the_same_p():
    values = np.random.default_rng(5).normal(0.5, 1, 60)
    mean, low, high, p = paired(values)
    assert mean == pytest.approx(values.mean()) and mean > 0
    assert paired(-values) == pytest.approx([-mean, -high, -low, p])


def test_whole_groups_flip_together_whatever_their_size():
    values, groups = [0.5, 0.5, 0.5, -0.2, 0.1, 0.1], list("aaabcc")
    assert paired(values, groups)[3] == pytest.approx(every_flip([1.5, -0.2, 0.2]))
    assert paired(values)[3] == pytest.approx(every_flip(values))
    shuffled = [3, 0, 5, 1, 4, 2]
    again = paired([values[i] for i in shuffled], [groups[i] for i in shuffled])
    assert again[0] == pytest.approx(paired(values, groups)[0]) and again[3] == paired(values, groups)[3]


def test_the_interval_is_that_of_the_bootstrap_over_groups():
    values = np.random.default_rng(6).normal(0.1, 1, (60, 2))
    groups = np.random.default_rng(7).permutation(np.arange(60) % 17)
    for found, wanted in zip(paired_difference(values, groups), bootstrap_means(values, groups), strict=False):
        assert found == pytest.approx(wanted)


def test_ties_that_rounding_hides_are_ties():
    values = [0.1, 0.2, 0.3, 0.3, 0.3]
    assert paired(values)[3] == every_flip([1, 2, 3, 3, 3])
    assert paired([0.1, 0.2, -0.3])[3] == every_flip([1, 2, -3])


def test_no_difference_anywhere_has_a_p_of_1():
    for n in (5, 50):
        assert paired([0.0] * n) == [0, 0, 0, 1]


def test_one_group_has_a_mean_and_no_test():
    mean, low, high, p = paired([0.1, 0.5], groups=["a", "a"])
    assert mean == pytest.approx(0.3)
    assert np.isnan([low, high, p]).all()


@pytest.mark.parametrize("n", [10, 40])
def test_where_nothing_differs_5_of_100_tests_say_otherwise(n):
    noise = np.random.default_rng(12).standard_t(3, size=(n, 2000))
    p = paired_difference(noise, np.arange(n))[3]
    assert np.mean(p <= 0.05) == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / 2000))


def test_dependent_queries_pass_for_a_difference_unless_they_are_grouped():
    rng = np.random.default_rng(13)
    shared = rng.normal(0, 1, (20, 1000)).repeat(8, axis=0) + rng.normal(0, 0.3, (160, 1000))
    grouped = paired_difference(shared, np.arange(20).repeat(8))[3]
    assert np.mean(grouped <= 0.05) == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / 1000))
    alone = paired_difference(shared, np.arange(160))[3]
    assert np.mean(alone <= 0.05) > 0.3


def test_a_real_difference_is_found():
    values = np.random.default_rng(14).normal(0.3, 1, (200, 300))
    assert np.mean(paired_difference(values, np.arange(200))[3] <= 0.05) > 0.95


def test_holm_gives_the_values_of_r_s_p_adjust():
    assert holm([0.01, 0.02, 0.03, 0.04]) == pytest.approx([0.04, 0.06, 0.06, 0.06])
    assert holm([0.04, 0.001, 0.5, 0.012]) == pytest.approx([0.08, 0.004, 0.5, 0.036])
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []


def test_holm_leaves_out_what_was_no_test():
    first, missing, last = holm([0.02, float("nan"), 0.04])
    assert [first, last] == pytest.approx([0.04, 0.04])
    assert np.isnan(missing)


def test_holm_keeps_the_chance_of_any_false_finding_at_the_level():
    p = np.random.default_rng(15).random((4000, 10))
    found = [min(holm(row)) <= 0.05 for row in p.tolist()]
    assert np.mean(found) == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / 4000))

"""Intervals, paired tests, rank correlation and audits: reproducible, grouped, and equal to what others reckon."""

import math
import subprocess
import sys
from itertools import product

import numpy as np
import pytest
from scipy.stats import beta, kendalltau, norm, permutation_test, spearmanr, t

from evalsuite.errors import InputError
from evalsuite.statistics import (
    EXACT_GROUPS,
    FLIPS,
    bootstrap_means,
    group_numbers,
    holm,
    kendall_tau,
    minimum_detectable_difference,
    missing_rate,
    paired_difference,
    rank_correlation,
    shared_clusters,
    spearman,
)


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


@pytest.mark.parametrize("n", [8, 30, 400])
def test_the_interval_ends_at_hesterberg_s_percentiles_of_a_plain_bootstrap_loop(n):
    values = np.random.default_rng(1).random(n)
    rng = np.random.default_rng(2)
    means = [rng.choice(values, n).mean() for _ in range(10_000)]
    tail = norm.cdf(-math.sqrt(n / (n - 1)) * t.ppf(0.975, n - 1))
    assert tail < 0.025
    width = np.std(means)
    assert interval(values)[1:] == pytest.approx(np.quantile(means, [tail, 1 - tail]), abs=0.25 * width)


def test_importing_the_statistics_does_not_import_scipy():
    code = "import sys, evalsuite.statistics; sys.exit('scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


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


def test_holm_gives_the_values_of_r_s_p_adjust():
    assert holm([0.01, 0.02, 0.03, 0.04]) == pytest.approx([0.04, 0.06, 0.06, 0.06])
    assert holm([0.04, 0.001, 0.5, 0.012]) == pytest.approx([0.08, 0.004, 0.5, 0.036])
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []


def test_holm_leaves_out_what_was_no_test():
    first, missing, last = holm([0.02, float("nan"), 0.04])
    assert [first, last] == pytest.approx([0.04, 0.04])
    assert np.isnan(missing)


# What belongs together


def test_rows_that_share_a_label_through_others_are_one_cluster():
    assert shared_clusters([["a"], ["b", "c"], ["d"], ["c", "a"]]).tolist() == [0, 0, 1, 0]


def test_rows_without_labels_stand_alone_and_no_rows_give_no_cluster():
    assert shared_clusters([[], ["a"], [], ["a"]]).tolist() == [0, 1, 2, 1]
    assert shared_clusters([]).tolist() == []


def test_a_long_chain_is_one_cluster_whatever_its_order():
    links = np.random.default_rng(20).permutation(5000)
    assert set(shared_clusters([(i, i + 1) for i in links.tolist()]).tolist()) == {0}
    assert len(set(shared_clusters([(i, i + 1) for i in links.tolist() if i != 2500]).tolist())) == 2


# Rank correlation


@pytest.mark.parametrize("levels", [3, 1000])
def test_tau_is_scipy_s_tau_b_with_and_without_ties(levels):
    rng = np.random.default_rng(levels)
    for n in (2, 3, 12, 60):
        x = rng.integers(levels, size=n)
        y = x + rng.integers(levels, size=n)
        assert kendall_tau(x, y) == pytest.approx(kendalltau(x, y).statistic, nan_ok=True)


def test_the_same_order_has_a_tau_of_1_the_opposite_one_of_minus_1_and_a_constant_none():
    x = np.array([0.1, 0.5, 0.2])
    assert kendall_tau(x, x * 10) == 1
    assert kendall_tau(x, -x) == -1
    assert math.isnan(kendall_tau(x, np.ones(3)))


def test_rank_correlation_is_the_tau_of_the_means():
    rng = np.random.default_rng(21)
    first, second = rng.random((2, 30, 6))
    tau, low, high = rank_correlation(first, second, np.arange(30))
    assert tau == pytest.approx(kendalltau(first.mean(axis=0), second.mean(axis=0)).statistic)
    assert -1 <= low < tau < high <= 1
    assert rank_correlation(first, second, np.arange(30)) == (tau, low, high)


def test_a_view_agrees_with_itself_in_every_resample_though_its_queries_are_noisy():
    scores = np.random.default_rng(22).random((20, 5))
    assert rank_correlation(scores, scores, np.arange(20)) == (1, 1, 1)


def test_systems_apart_only_by_rounding_are_tied():
    scores = np.random.default_rng(23).random((20, 3))
    doubled = np.column_stack([scores, scores[:, 0] + 1e-15])
    assert rank_correlation(doubled, doubled[:, [0, 1, 2, 0]], np.arange(20))[0] == 1


def test_a_query_that_only_one_of_the_two_has_counts_for_that_one():
    rng = np.random.default_rng(24)
    first, second = rng.random((2, 40, 5))
    first[:10], second[30:] = np.nan, np.nan
    tau, low, high = rank_correlation(first, second, np.arange(40))
    assert tau == pytest.approx(kendalltau(first[10:].mean(axis=0), second[:30].mean(axis=0)).statistic)
    assert low <= tau <= high


def test_queries_of_one_group_widen_the_interval_of_tau():
    rng = np.random.default_rng(25)
    few = np.linspace(0, 0.3, 6) + rng.normal(0, 0.3, (2, 12, 6))
    first, second = few.repeat(8, axis=1)
    _, low, high = rank_correlation(first, second, np.arange(12).repeat(8))
    _, single_low, single_high = rank_correlation(first, second, np.arange(96))
    assert high - low > 1.5 * (single_high - single_low)


def test_one_group_gives_a_correlation_and_no_interval():
    x, y = np.random.default_rng(26).random((2, 9))
    one = np.zeros(9, dtype=int)
    assert np.isnan(spearman(x, y, one)[1:]).all()
    scores = np.random.default_rng(27).random((9, 4))
    tau, *ends = rank_correlation(scores, scores, one)
    assert tau == 1 and np.isnan(ends).all()


@pytest.mark.parametrize("levels", [4, 10_000])
def test_rho_is_scipy_s_with_and_without_ties(levels):
    rng = np.random.default_rng(levels)
    x = rng.integers(levels, size=50)
    y = x + rng.integers(levels, size=50)
    rho, low, high = spearman(x, y, np.arange(50))
    assert rho == pytest.approx(spearmanr(x, y).statistic)
    assert low < rho < high <= 1


def test_the_interval_of_rho_takes_ranks_anew_in_every_resample():
    rng = np.random.default_rng(28)
    n = 25
    x = rng.integers(6, size=n)
    y = x + rng.integers(6, size=n)
    draws = (rng.integers(n, size=n) for _ in range(4000))
    plain = [spearmanr(x[rows], y[rows]).statistic for rows in draws]
    tail = norm.cdf(-math.sqrt(n / (n - 1)) * t.ppf(0.975, n - 1))
    assert spearman(x, y, np.arange(n))[1:] == pytest.approx(np.quantile(plain, [tail, 1 - tail]), abs=0.05)


def test_rho_of_a_constant_is_none():
    assert np.isnan(spearman(np.ones(5), np.arange(5), np.arange(5))).all()


# Power


def test_the_minimum_detectable_difference_of_independent_units_is_bloom_s():
    values = np.random.default_rng(29).normal(0, 0.3, 50)
    error = values.std(ddof=1) / math.sqrt(50)
    found = minimum_detectable_difference(values, np.arange(50))
    assert found == pytest.approx((t.ppf(0.975, 49) + t.ppf(0.8, 49)) * error)
    assert minimum_detectable_difference(values, np.arange(50), power=0.9) > found
    assert minimum_detectable_difference(values, np.arange(50), level=0.01) > found
    assert minimum_detectable_difference(values + 5, np.arange(50)) == pytest.approx(found)


def test_copies_of_a_unit_in_its_group_detect_nothing_more():
    values = np.random.default_rng(30).normal(0, 0.3, 20)
    alone = minimum_detectable_difference(values, np.arange(20))
    assert minimum_detectable_difference(values.repeat(5), np.arange(20).repeat(5)) == pytest.approx(alone)


def test_five_groups_can_detect_nothing_at_5_percent():
    assert min(paired([1.0] * 5)[3], 1) > 0.05 >= paired([1.0] * 6)[3]
    values = np.arange(6) / 10
    assert math.isnan(minimum_detectable_difference(values[:5], np.arange(5)))
    assert minimum_detectable_difference(values, np.arange(6)) > 0


# What judgements miss


def test_the_missing_rate_scales_each_sample_to_its_stratum():
    rate, low, high = missing_rate([(100, 50, 10), (1000, 100, 1)], known=70)
    assert rate == pytest.approx(30 / (30 + 70))
    assert low < rate < high


def test_the_limits_of_one_large_stratum_are_clopper_and_pearson_s():
    size, judged, relevant, known = 10**9, 200, 6, 10**7
    _, low, high = missing_rate([(size, judged, relevant)], known)
    for end, share in ((low, beta.ppf(0.025, 6, 195)), (high, beta.ppf(0.975, 7, 194))):
        assert end == pytest.approx(share * size / (share * size + known), rel=1e-5)


def test_a_sample_without_a_find_says_how_much_may_still_be_missed():
    rate, low, high = missing_rate([(1000, 100, 0)], known=50)
    assert rate == low == 0
    assert 0 < high < 0.5
    assert missing_rate([(1000, 500, 0)], known=50)[2] < high


def test_a_stratum_judged_in_full_is_certain():
    assert missing_rate([(100, 100, 10)], known=90) == pytest.approx((0.1, 0.1, 0.1))
    assert missing_rate([(0, 0, 0)], known=90) == (0, 0, 0)


def test_what_was_found_is_missed_for_certain_and_what_was_judged_is_not_more():
    _, low, high = missing_rate([(12, 10, 5)], known=5)
    assert low >= 5 / 10 - 1e-12
    assert high <= 7 / 12 + 1e-12


def test_nothing_relevant_anywhere_has_no_missing_rate():
    rate, _, high = missing_rate([(10, 5, 0)], known=0)
    assert math.isnan(rate) and high == 1


@pytest.mark.parametrize("stratum", [(10, 0, 0), (10, 5, 6), (5, 10, 1), (10, 5, -1)])
def test_a_stratum_that_cannot_be_is_named(stratum):
    with pytest.raises(InputError, match=r"stratum 2.*relevant <= judged <= size"):
        missing_rate([(10, 5, 1), stratum], known=3)

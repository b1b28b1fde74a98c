"""Worlds whose truth is known: intervals hold it as often as they say, tests of size 0.05 reject at 0.05, audits recover what was hidden.

A share of M worlds is allowed three standard errors of Monte Carlo, 3 sqrt(p (1 - p) / M), on the side that matters.
"""

import math
from itertools import pairwise

import numpy as np
import pytest

from evalsuite.statistics import (
    EXACT_GROUPS,
    bootstrap_means,
    bootstrap_ratios,
    holm,
    kendall_tau,
    minimum_detectable_difference,
    missing_rate,
    paired_difference,
    rank_correlation,
    spearman,
)


def error(share, worlds):
    return 3 * math.sqrt(share * (1 - share) / worlds)


def covered(values, groups, truth):
    """Share of the columns (worlds) whose interval holds the truth."""
    _, low, high = bootstrap_means(values, groups)
    return np.mean((low - 1e-12 <= truth) & (truth <= high + 1e-12))


# Intervals


@pytest.mark.parametrize(("n", "least"), [(5, 0.91), (10, 0.94), (20, 0.945), (50, 0.945)])
def test_intervals_of_normal_scores_cover_from_ten_groups_on_and_nearly_with_five(n, least):
    values = np.random.default_rng(n).normal(0.4, 0.2, (n, 1000))
    assert least - error(least, 1000) <= covered(values, np.arange(n), 0.4) <= 0.95 + error(0.95, 1000)


@pytest.mark.parametrize(("n", "least"), [(10, 0.92), (20, 0.94), (50, 0.95)])
def test_intervals_of_skewed_scores_that_pile_up_at_0_cover_nearly(n, least):
    values = np.random.default_rng(n).beta(0.5, 1.5, (n, 1000))
    assert least - error(least, 1000) <= covered(values, np.arange(n), 0.25) <= 0.95 + error(0.95, 1000)


@pytest.mark.parametrize("n", [20, 50])
def test_intervals_of_passes_and_fails_cover(n):
    values = (np.random.default_rng(n).random((n, 1000)) < 0.3).astype(float)
    assert covered(values, np.arange(n), 0.3) >= 0.95 - error(0.95, 1000)


@pytest.mark.parametrize("per_group", [1, 6])
def test_correlated_queries_are_covered_if_they_are_grouped_and_only_then(per_group):
    rng = np.random.default_rng(3)
    shared = rng.normal(0.4, 0.2, (20, 1000)).repeat(per_group, axis=0)
    values = shared + rng.normal(0, 0.05, shared.shape)
    assert covered(values, np.arange(20).repeat(per_group), 0.4) >= 0.945 - error(0.945, 1000)
    if per_group > 1:
        assert covered(values, np.arange(len(values)), 0.4) < 0.75


def test_ratios_of_groups_of_uneven_size_cover():
    rng = np.random.default_rng(4)
    sizes = rng.integers(1, 9, 40).astype(float)
    rates = rng.normal(0.5, 0.1, (40, 1000)) + rng.normal(0, 0.2, (40, 1000)) / np.sqrt(sizes)[:, None]
    _, low, high = bootstrap_ratios(rates * sizes[:, None], sizes[:, None])
    assert np.mean((low <= 0.5) & (high >= 0.5)) >= 0.94 - error(0.94, 1000)


@pytest.mark.parametrize("gap", [0.0, 0.15])
def test_the_interval_of_a_gap_holds_it_whether_there_is_one_or_not(gap):
    rng = np.random.default_rng(5)
    difficulty = rng.normal(0, 0.2, (30, 1000))
    apart = (difficulty + gap + rng.normal(0, 0.2, difficulty.shape)) - (
        difficulty + rng.normal(0, 0.2, difficulty.shape)
    )
    mean, low, high, _ = paired_difference(apart, np.arange(30))
    assert mean.mean() == pytest.approx(gap, abs=0.01)
    assert np.mean((low <= gap) & (gap <= high)) == pytest.approx(0.95, abs=error(0.95, 1000))


# Tests


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


def test_holm_keeps_the_chance_of_any_false_finding_at_the_level():
    p = np.random.default_rng(15).random((4000, 10))
    found = [min(holm(row)) <= 0.05 for row in p.tolist()]
    assert np.mean(found) == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / 4000))


def test_holm_over_correlated_systems_that_do_not_differ_finds_one_in_20_worlds_or_fewer():
    rng = np.random.default_rng(16)
    noise = rng.normal(0, 0.2, (20, 300, 1)) + rng.normal(0, 0.2, (20, 300, 6))
    p = paired_difference(noise.reshape(20, -1), np.arange(20))[3].reshape(300, 6)
    found = np.mean([min(holm(row)) <= 0.05 for row in p.tolist()])
    assert found <= 0.05 + error(0.05, 300)
    assert np.mean((p <= 0.05).any(axis=1)) > 0.1


# Power


@pytest.mark.parametrize(("n", "per_group"), [(20, 1), (50, 1), (20, 5)])
def test_a_difference_of_the_minimum_detectable_size_is_found_in_four_worlds_of_five(n, per_group):
    rng = np.random.default_rng(n)
    groups = np.arange(n).repeat(per_group)
    noise = rng.normal(0, 0.3, (n, 600)).repeat(per_group, axis=0)
    noise += rng.normal(0, 0.1, noise.shape) * (per_group > 1)
    least = np.median([minimum_detectable_difference(world, groups) for world in noise.T[:300]])
    found = [np.mean(paired_difference(noise + share * least, groups)[3] <= 0.05) for share in (0.5, 1, 1.5)]
    assert found[1] == pytest.approx(0.8, abs=error(0.8, 600) + 0.02)
    assert found[0] < 0.4 and found[2] > 0.95


def test_with_few_groups_the_exact_test_finds_somewhat_less_than_promised():
    noise = np.random.default_rng(17).normal(0, 0.3, (8, 1500))
    least = np.median([minimum_detectable_difference(world, np.arange(8)) for world in noise.T])
    assert len(noise) <= EXACT_GROUPS
    assert 0.6 <= np.mean(paired_difference(noise + least, np.arange(8))[3] <= 0.05) <= 0.8


# Rank correlation


@pytest.mark.parametrize("swapped", [0, 1, 2])
def test_the_interval_of_tau_holds_the_tau_of_the_true_scores(swapped):
    """Six systems 0.1 apart under a noise of 0.3, 40 queries; neighbours change places in the second view."""
    rng = np.random.default_rng(swapped)
    truth = 0.2 + 0.1 * np.arange(6)
    other = truth.copy()
    for i in range(swapped):
        other[[2 * i, 2 * i + 1]] = other[[2 * i + 1, 2 * i]]
    tau, held, estimates = kendall_tau(truth, other), 0, []
    for _ in range(100):
        queries = rng.normal(0, 0.2, (40, 1)) + rng.normal(0, 0.24, (40, 6))
        first, second = (side + queries + rng.normal(0, 0.12, (40, 6)) for side in (truth, other))
        estimate, low, high = rank_correlation(first, second, np.arange(40))
        held += low - 1e-12 <= tau <= high + 1e-12
        estimates.append(estimate)
    assert held / 100 >= 0.95 - error(0.95, 100)
    assert np.mean(estimates) == pytest.approx(tau, abs=0.1)


@pytest.mark.parametrize(("r", "per_group"), [(0.0, 1), (0.6, 1), (0.6, 4)])
def test_the_interval_of_rho_holds_that_of_the_world(r, per_group):
    """The rho of two normal variables of correlation r is 6 / pi arcsin(r / 2): Pearson (1907)."""
    rng = np.random.default_rng(per_group)
    truth, held = 6 / math.pi * math.asin(r / 2), 0
    for _ in range(100):
        x, noise = rng.normal(size=(2, 40)).repeat(per_group, axis=1)
        _, low, high = spearman(x, r * x + math.sqrt(1 - r * r) * noise, np.arange(40).repeat(per_group))
        held += low <= truth <= high
    assert held / 100 >= 0.95 - error(0.95, 100)


# Audits


WORLDS = {
    "none is missed": [(5000, 200, 0)],
    "a few in one stratum": [(5000, 200, 150)],
    "rare": [(20_000, 300, 60)],
    "mostly near the top of the pool": [(200, 60, 40), (1000, 100, 30), (10_000, 150, 20)],
    "ten thin strata": [(500, 60, 10)] * 10,
    "small": [(40, 20, 4), (60, 20, 3)],
}


@pytest.mark.parametrize("world", WORLDS)
def test_an_audit_recovers_the_share_that_was_hidden_and_its_interval_holds_it(world):
    rng = np.random.default_rng(18)
    strata, known = WORLDS[world], 400
    hidden = sum(missed for _, _, missed in strata)
    truth, held, rates = hidden / (hidden + known), 0, []
    for _ in range(600):
        drawn = [(size, n, int(rng.hypergeometric(missed, size - missed, n))) for size, n, missed in strata]
        rate, low, high = missing_rate(drawn, known)
        rates.append(rate)
        held += low - 1e-12 <= truth <= high + 1e-12
    assert held / 600 >= 0.95 - error(0.95, 600)
    assert np.mean(rates) == pytest.approx(truth, abs=0.02)


def test_the_interval_of_an_audit_narrows_with_what_is_judged():
    widths = []
    for judged in (50, 200, 800, 1000):
        _, low, high = missing_rate([(1000, judged, judged // 10)], known=300)
        widths.append(high - low)
    assert all(wide > narrow for wide, narrow in pairwise(widths))
    assert widths[-1] == 0

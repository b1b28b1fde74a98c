"""Bootstrap intervals: reproducible, grouped, and right as often as they say."""

import numpy as np
import pytest

from evalsuite.statistics import bootstrap_means, group_numbers


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

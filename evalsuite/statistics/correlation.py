"""Rank correlation: do two measurements put systems, or queries, into the same order."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from evalsuite.statistics.bootstrap import Floats, ends, resamples

ROUNDING = 1e-12


def kendall_tau(x: ArrayLike, y: ArrayLike) -> float:
    """Tau-b of two lists of scores [n] of the same things: 1 the same order, -1 the opposite, ties allowed for.

    NaN where one of them is the same throughout. Takes n^2 memory. Source: Kendall (1945), Biometrika 33(3), 239-251.
    """
    return float(_tau(_signs(np.asarray(x)[None], 0), _signs(np.asarray(y)[None], 0))[0])


def rank_correlation(first: Floats, second: Floats, groups: NDArray[np.int64]) -> tuple[float, float, float]:
    """Tau-b between two orders of the same systems by their mean scores, and its 95 % interval over groups of queries.

    `first` and `second` [n, systems] are the scores of each query under two views, versions or sizes; a query that one of
    them lacks is a row of NaN there. Both are resampled by the same draws. NaN where all systems are tied, and ends are NaN
    with fewer than two groups. Systems closer to each other than the queries can tell pull tau and both ends towards 0.
    """
    n_groups = int(groups.max()) + 1
    sides = []
    for scores in (first, second):
        present = ~np.isnan(scores[:, 0])
        sums = np.stack([np.bincount(groups[present], s[present], n_groups) for s in scores.T], axis=1)
        sides.append((sums, np.bincount(groups[present], minlength=n_groups)[:, None]))

    def tau(counts: Floats) -> Floats:
        with np.errstate(invalid="ignore"):
            return _tau(*(_signs((counts @ sums) / (counts @ sizes), ROUNDING) for sums, sizes in sides))

    value = float(tau(np.ones((1, n_groups)))[0])
    if n_groups < 2 or np.isnan(value):
        return value, np.nan, np.nan
    low, high = ends(np.concatenate([tau(counts) for counts in resamples(n_groups)]), n_groups)
    return value, float(low), float(high)


def _signs(scores: Floats, slack: float) -> Floats:
    """Which of each pair of columns is higher: 1, 0, -1; [rows, n] -> [rows, n(n - 1)/2]. Up to `slack` is a tie."""
    one, other = np.triu_indices(scores.shape[1], 1)
    apart = scores[:, one] - scores[:, other]
    return np.where(np.abs(apart) <= slack, 0, np.sign(apart))


def _tau(first: Floats, second: Floats) -> Floats:
    return _correlation((first * second).sum(axis=1), (first**2).sum(axis=1), (second**2).sum(axis=1))


def _correlation(both: Floats, first: Floats, second: Floats) -> Floats:
    """both / sqrt(first * second), NaN where that is 0/0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = np.clip(both / np.sqrt(first * second), -1, 1)
    return found


def spearman(x: Floats, y: Floats, groups: NDArray[np.int64]) -> tuple[float, float, float]:
    """Spearman's rho of two values [n] of the same units, and its 95 % interval, resampling whole groups.

    Ties get their mean rank; ranks are taken anew in each resample. NaN where one of them is the same throughout, and ends
    are NaN with fewer than two groups. Source: Spearman (1904), American Journal of Psychology 15, 72-101.
    """
    levels = [np.unique(values, return_inverse=True)[1] for values in (x, y)]

    def rho(weights: Floats) -> Floats:
        ranks = [_ranks(level, weights) for level in levels]
        total = weights.sum(axis=1, keepdims=True)
        a, b = (rank - (weights * rank).sum(axis=1, keepdims=True) / total for rank in ranks)
        return _correlation(*((weights * product).sum(axis=1) for product in (a * b, a * a, b * b)))

    n_groups = int(groups.max()) + 1
    value = float(rho(np.ones((1, len(groups))))[0])
    if n_groups < 2 or np.isnan(value):
        return value, np.nan, np.nan
    low, high = ends(np.concatenate([rho(counts[:, groups]) for counts in resamples(n_groups)]), n_groups)
    return value, float(low), float(high)


def _ranks(levels: NDArray[np.int64], weights: Floats) -> Floats:
    """Mean rank of each unit in each resample [rows, n], where unit i stands weights[:, i] times, and `levels` order units."""
    order = np.argsort(levels, kind="stable")
    starts = np.flatnonzero(np.diff(levels[order], prepend=-1))
    sizes = np.add.reduceat(weights[:, order], starts, axis=1)
    middle: Floats = np.cumsum(sizes, axis=1) - sizes / 2
    return middle[:, levels]

"""Paired tests: does one system differ from another, how many such findings are by chance, and what could have been found."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalsuite.statistics.bootstrap import BLOCK, LEVEL, SEED, Floats, bootstrap_ratios, t_quantile

EXACT_GROUPS = 13
FLIPS = 10_000
FLIPS_PER_TEST = 40


def paired_difference(
    values: Floats, groups: NDArray[np.int64], *, tests: int = 1
) -> tuple[Floats, Floats, Floats, Floats]:
    """Mean paired difference of each column of `values` [n, m], its 95 % interval, and a two-sided p-value.

    A value is new minus old of one unit, so that positive means more. `groups` [n] are 0, 1, ...; units of one group are
    resampled together (bootstrap_ratios) and change their sign together in the randomisation test: all sign changes
    up to EXACT_GROUPS groups, else FLIPS seeded ones with p = (1 + hits) / (1 + FLIPS), which is never 0. Where p is to be
    corrected over more than 250 `tests` there are FLIPS_PER_TEST for each, or no pair could be found to differ. Equal
    differences of 0 have p = 1. Returns (mean [m], low [m], high [m], p [m]); interval and p are NaN with fewer than two groups.
    Source: Smucker, Allan & Carterette (2007), CIKM; p-values of random flips: Phipson & Smyth (2010), SAGMB 9.
    """
    n_groups, columns = int(groups.max()) + 1, values.shape[1]
    sums = np.stack([np.bincount(groups, column, n_groups) for column in values.T], axis=1, dtype=np.float64)
    sizes = np.bincount(groups).astype(np.float64)
    mean, low, high = bootstrap_ratios(sums, sizes[:, None])
    if n_groups < 2:
        return mean, low, high, np.full(columns, np.nan)
    least = np.abs(sums.sum(axis=0)) - 1e-10 * np.abs(sums).sum(axis=0)  # what rounding hides is a tie
    hits, flips = np.zeros(columns), 0
    for signs in _flips(n_groups, max(FLIPS, FLIPS_PER_TEST * tests)):
        hits += (np.abs(signs @ sums) >= least).sum(axis=0)
        flips += len(signs)
    return mean, low, high, hits / flips if n_groups <= EXACT_GROUPS else (1 + hits) / (1 + flips)


def _flips(n_groups: int, least: int) -> Iterator[Floats]:
    """Signs of the groups in at least so many flips: blocks float [.., groups]; of two opposite ones, which say the same, one."""
    if n_groups <= EXACT_GROUPS:
        numbers = np.arange(2 ** (n_groups - 1))[:, None]
        yield _signs(numbers >> np.arange(n_groups) & 1)
        return
    rng = np.random.default_rng(SEED)
    for _ in range(-(-least // BLOCK)):
        bits = np.frombuffer(rng.bytes(BLOCK * (-(-n_groups // 8))), np.uint8).reshape(BLOCK, -1)
        yield _signs(np.unpackbits(bits, axis=1, count=n_groups))


def _signs(bits: NDArray[Any]) -> Floats:
    return 1 - 2 * bits.astype(np.float64)


def holm(p: Sequence[float]) -> list[float]:
    """Adjusted p-values that keep the chance of any false finding among them at the level. Source: Holm (1979), SJS 6.

    A NaN is no test: it stays NaN and counts for nothing.
    """
    tests = sorted((value, place) for place, value in enumerate(p) if not math.isnan(value))
    adjusted, least = [math.nan] * len(p), 0.0
    for done, (value, place) in enumerate(tests):
        least = max(least, min(1.0, value * (len(tests) - done)))
        adjusted[place] = least
    return adjusted


def minimum_detectable_difference(
    differences: Floats, groups: NDArray[np.int64], power: float = 0.8, level: float = 1 - LEVEL
) -> float:
    """The true mean difference that a two-sided paired test of size `level` finds with chance `power`.

    `differences` [n] of one pair of systems show how much they spread over units; `groups` [n] are 0, 1, ... . The standard
    error is that of a mean over clusters, and t has groups - 1 degrees of freedom: (t(1 - level/2) + t(power)) x error.
    NaN where the randomisation test can find nothing: its least p is 2^(1 - groups), so that 5 % takes six groups. With six
    to ten the power is somewhat less than asked for. Source: Bloom (1995), Evaluation Review 19(5), 547-556.
    """
    n_groups = int(groups.max()) + 1
    if 2.0 ** (1 - n_groups) > level:
        return math.nan
    residuals = np.bincount(groups, differences - differences.mean())
    error = math.sqrt(n_groups / (n_groups - 1) * (residuals**2).sum()) / len(differences)
    return (t_quantile(1 - level / 2, n_groups - 1) + t_quantile(power, n_groups - 1)) * error

"""Intervals, paired tests, agreement between judges, pass@k and pass^k, and where variance comes from.

Intervals are a seeded percentile bootstrap over groups: Efron & Tibshirani, An Introduction to the Bootstrap (1993),
ch. 13; clusters as units: Field & Welsh (2007).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from functools import lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
SEED = 20260501
LEVEL = 0.95
BLOCK = 500
FEW_GROUPS = 500
KEPT_GROUPS = 5000  # 50 MB
EXACT_GROUPS = 13
FLIPS = 10_000

Floats = NDArray[np.float64]


def group_numbers(groups: Sequence[Hashable]) -> NDArray[np.int64]:
    """Group labels [n] to group numbers [n], 0 for the first label met."""
    seen: dict[Hashable, int] = {}
    return np.array([seen.setdefault(label, len(seen)) for label in groups], dtype=np.int64)


def _draws(n_groups: int) -> Iterator[NDArray[np.uint8]]:
    """How often each group is drawn in each resample: blocks [BLOCK, groups], the same for the same n_groups."""
    rng = np.random.default_rng(SEED)
    for _ in range(RESAMPLES // BLOCK):
        if n_groups <= FEW_GROUPS:
            counts = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=BLOCK)
        else:  # the same distribution, four times as fast
            drawn = rng.integers(n_groups, size=(BLOCK, n_groups)) + n_groups * np.arange(BLOCK)[:, None]
            counts = np.bincount(drawn.ravel(), minlength=BLOCK * n_groups).reshape(BLOCK, n_groups)
        yield np.minimum(counts, 255).astype(np.uint8)  # no group is ever drawn 255 times


@lru_cache(maxsize=3)
def _kept_draws(n_groups: int) -> list[NDArray[np.uint8]]:
    return list(_draws(n_groups))


def _resamples(n_groups: int) -> Iterator[Floats]:
    """The blocks of `_draws` as numbers to reckon with; drawn once where they take little memory."""
    for counts in _kept_draws(n_groups) if n_groups <= KEPT_GROUPS else _draws(n_groups):
        yield counts.astype(np.float64)


def bootstrap_means(
    values: Floats, groups: NDArray[np.int64], *, strata: NDArray[np.int64] | None = None
) -> tuple[Floats, Floats, Floats]:
    """Mean and 95 % interval of each column of `values` [n, m], resampling whole groups.

    With `strata` [n] the statistic is the mean of the strata means (macro mean) instead of the mean over rows.
    Returns (mean [m], low [m], high [m]); low and high are NaN when there are fewer than two groups.
    """
    rows, columns = values.shape
    labels = np.zeros(rows, dtype=np.int64) if strata is None else strata
    n_groups, n_strata = int(groups.max()) + 1, int(labels.max()) + 1
    sums = np.zeros((n_strata, n_groups, columns))
    sizes = np.zeros((n_strata, n_groups))
    np.add.at(sums, (labels, groups), values)
    np.add.at(sizes, (labels, groups), 1.0)
    mean = (sums.sum(axis=1) / sizes.sum(axis=1)[:, None]).mean(axis=0)
    if n_groups < 2:
        return mean, np.full(columns, np.nan), np.full(columns, np.nan)
    flat = sums.transpose(1, 0, 2).reshape(n_groups, n_strata * columns)
    means = []
    for counts in _resamples(n_groups):
        totals = (counts @ flat).reshape(len(counts), n_strata, columns)
        with np.errstate(invalid="ignore", divide="ignore"):
            means.append((totals / (counts @ sizes.T)[:, :, None]).mean(axis=1))
    tail = (1 - LEVEL) / 2
    low, high = np.nanquantile(np.concatenate(means), [tail, 1 - tail], axis=0)
    return mean, low, high


def bootstrap_ratios(sums: Floats, sizes: Floats) -> tuple[Floats, Floats, Floats]:
    """Mean and 95 % interval of each column from what each group adds to it: sums [groups, m] over sizes [groups, m].

    The same numbers as bootstrap_means on the rows behind them, for columns of different rows. Every group has a size
    above 0 in every column. Returns (mean [m], low [m], high [m]), NaN ends with fewer than two groups.
    """
    n_groups, columns = sums.shape
    mean = sums.sum(axis=0) / sizes.sum(axis=0)
    if n_groups < 2:
        return mean, np.full(columns, np.nan), np.full(columns, np.nan)
    draws = _resamples(n_groups)
    means = [(counts @ sums) / (counts @ sizes) for counts in draws]
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail], axis=0)
    return mean, low, high


def paired_difference(values: Floats, groups: NDArray[np.int64]) -> tuple[Floats, Floats, Floats, Floats]:
    """Mean paired difference of each column of `values` [n, m], its 95 % interval, and a two-sided p-value.

    A value is new minus old of one unit, so that positive means more. `groups` [n] are 0, 1, ...; units of one group are
    resampled together (bootstrap_ratios) and change their sign together in the randomisation test: all sign changes
    up to EXACT_GROUPS groups, else FLIPS seeded ones with p = (1 + hits) / (1 + FLIPS), which is never 0. Equal
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
    for signs in _flips(n_groups):
        hits += (np.abs(signs @ sums) >= least).sum(axis=0)
        flips += len(signs)
    return mean, low, high, hits / flips if n_groups <= EXACT_GROUPS else (1 + hits) / (1 + flips)


def _flips(n_groups: int) -> Iterator[Floats]:
    """Signs of the groups in each flip: blocks float [.., groups]; of two opposite ones, which say the same, one."""
    if n_groups <= EXACT_GROUPS:
        numbers = np.arange(2 ** (n_groups - 1))[:, None]
        yield _signs(numbers >> np.arange(n_groups) & 1)
        return
    rng = np.random.default_rng(SEED)
    for _ in range(FLIPS // BLOCK):
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


def wilson(successes: int, n: int) -> tuple[float, float]:
    """95 % score interval of a proportion, without continuity correction. Source: Wilson (1927), JASA 22."""
    z2 = NormalDist().inv_cdf((1 + LEVEL) / 2) ** 2
    middle = successes + z2 / 2
    half = math.sqrt(z2 * (successes * (n - successes) / n + z2 / 4))
    low = 0.0 if successes == 0 else (middle - half) / (n + z2)
    high = 1.0 if successes == n else (middle + half) / (n + z2)
    return low, high


def pass_at_k(n: int, passed: int, k: int) -> float:
    """Chance that at least one of k trials drawn from n passes. Unbiased; source: Chen et al. (2021), arXiv:2107.03374."""
    return 1 - math.comb(n - passed, k) / math.comb(n, k)


def pass_hat_k(n: int, passed: int, k: int) -> float:
    """Chance that all of k trials drawn from n pass. Unbiased; source: Yao et al. (2024), tau-bench, arXiv:2406.12045."""
    return math.comb(passed, k) / math.comb(n, k)


def cohen_kappa(first: Sequence[Hashable], second: Sequence[Hashable]) -> float | None:
    """Agreement of two raters beyond chance, chance from each one's own habits. Source: Cohen (1960), EPM 20.

    None without items, and where both give the same one label throughout (0/0).
    """
    n = len(first)
    one, two = Counter(first), Counter(second)
    by_chance = sum(one[label] * two[label] for label in one)
    if by_chance == n * n:
        return None
    agreed = sum(a == b for a, b in zip(first, second, strict=True))
    return (agreed * n - by_chance) / (n * n - by_chance)


def gwet_ac1(first: Sequence[Hashable], second: Sequence[Hashable]) -> float | None:
    """Agreement of two raters that stays meaningful when one label prevails. Source: Gwet (2008), BJMSP 61.

    At least two labels are taken to be possible even if only one was given. None without items.
    """
    n = len(first)
    if n == 0:
        return None
    agreed = sum(a == b for a, b in zip(first, second, strict=True)) / n
    shares = [count / (2 * n) for count in Counter([*first, *second]).values()]
    by_chance = sum(share * (1 - share) for share in shares) / (max(len(shares), 2) - 1)
    return (agreed - by_chance) / (1 - by_chance)


def krippendorff_alpha(ratings: Sequence[Sequence[Hashable | None]]) -> float | None:
    """Nominal alpha of items [n] by raters [m], None where a rater gave none. Source: Krippendorff (2011), eqs. D and E.

    None where no item has two ratings, or all ratings are the same label (0/0).
    """
    counts = [Counter(label for label in item if label is not None) for item in ratings]
    counts = [count for count in counts if count.total() > 1]
    labels = Counter(label for count in counts for label in count.elements())
    n = labels.total()
    apart = n * n - sum(count * count for count in labels.values())
    if apart == 0:
        return None
    differ = sum((c.total() ** 2 - sum(x * x for x in c.values())) / (c.total() - 1) for c in counts)
    return 1 - (n - 1) * differ / apart


def variance_components(values: Sequence[float], factors: Mapping[str, Sequence[Hashable]]) -> dict[str, float | None]:
    """Variance of each random factor, and the "residual": ANOVA estimates, negative ones set to 0.

    `factors` name the levels [n] of each value [n]; they may be nested or crossed, and the design unbalanced. A factor
    that the data cannot tell from those named before it, from the mean or from the residual is None.
    Source: Henderson (1953), Biometrics 9, method 1; Searle, Casella & McCulloch, Variance Components (1992), ch. 5.
    """
    if len(values) < 2:
        return dict.fromkeys((*factors, "residual"))
    y = np.asarray(values, dtype=np.float64) - np.mean(values)
    groups = [np.zeros(len(y), dtype=np.int64), np.arange(len(y)), *(group_numbers(f) for f in factors.values())]
    expected = np.array([[_overlap(by, of) for of in groups] for by in groups])
    kept = [0, 1]
    for number in range(2, len(groups)):
        tried = [*kept, number]
        if np.linalg.matrix_rank(expected[np.ix_(tried, tried)]) == len(tried):
            kept = tried
    squares = [(np.bincount(groups[i], y) ** 2 / np.bincount(groups[i])).sum() for i in kept]
    found = np.linalg.solve(expected[np.ix_(kept, kept)], squares)
    estimates = dict(zip(kept, (float(value) if value > 1e-12 else 0.0 for value in found), strict=True))
    return {name: estimates.get(i) for i, name in enumerate(factors, start=2)} | {"residual": estimates[1]}


def _overlap(by: NDArray[np.int64], of: NDArray[np.int64]) -> float:
    """What a unit of variance of factor `of` adds to the sum over `by` of (group total)^2 / (group size)."""
    width = of.max() + 1
    cells, counts = np.unique(by * width + of, return_counts=True)
    return float((counts**2 / np.bincount(by)[cells // width]).sum())

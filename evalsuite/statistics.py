"""Intervals, agreement between judges, pass@k and pass^k, and where variance comes from.

Intervals are a seeded percentile bootstrap over groups: Efron & Tibshirani, An Introduction to the Bootstrap (1993),
ch. 13; clusters as units: Field & Welsh (2007).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
SEED = 20260501
LEVEL = 0.95
BLOCK = 500
KEPT_GROUPS = 500

Floats = NDArray[np.float64]


def group_numbers(groups: Sequence[Hashable]) -> NDArray[np.int64]:
    """Group labels [n] to group numbers [n], 0 for the first label met."""
    seen: dict[Hashable, int] = {}
    return np.array([seen.setdefault(label, len(seen)) for label in groups], dtype=np.int64)


def _draws(n_groups: int) -> Iterator[Floats]:
    """How often each group is drawn in each resample: blocks float [BLOCK, groups], the same for the same n_groups."""
    rng = np.random.default_rng(SEED)
    for _ in range(RESAMPLES // BLOCK):
        yield rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=BLOCK).astype(np.float64)


@lru_cache(maxsize=2)
def _kept_draws(n_groups: int) -> list[Floats]:
    return list(_draws(n_groups))


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
    for counts in _kept_draws(n_groups) if n_groups <= KEPT_GROUPS else _draws(n_groups):
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
    draws = _kept_draws(n_groups) if n_groups <= KEPT_GROUPS else _draws(n_groups)
    means = [(counts @ sums) / (counts @ sizes) for counts in draws]
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(np.concatenate(means), [tail, 1 - tail], axis=0)
    return mean, low, high


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

"""Intervals for means of per-query values: a seeded percentile bootstrap over groups.

Source: Efron & Tibshirani, An Introduction to the Bootstrap (1993), ch. 13; clusters as units: Field & Welsh (2007).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
SEED = 20260501
LEVEL = 0.95
BLOCK = 500

Floats = NDArray[np.float64]


def group_numbers(groups: Sequence[Hashable]) -> NDArray[np.int64]:
    """Group labels [n] to group numbers [n], 0 for the first label met."""
    seen: dict[Hashable, int] = {}
    return np.array([seen.setdefault(label, len(seen)) for label in groups], dtype=np.int64)


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
    rng = np.random.default_rng(SEED)
    means = np.empty((RESAMPLES, columns))
    for start in range(0, RESAMPLES, BLOCK):
        counts = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), size=BLOCK).astype(np.float64)
        totals = np.einsum("bg,sgm->bsm", counts, sums, optimize=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            means[start : start + BLOCK] = (totals / (counts @ sizes.T)[:, :, None]).mean(axis=1)
    tail = (1 - LEVEL) / 2
    low, high = np.nanquantile(means, [tail, 1 - tail], axis=0)
    return mean, low, high

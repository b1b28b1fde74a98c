"""Intervals for means of per-query values: a seeded percentile bootstrap over groups.

Source: Efron & Tibshirani, An Introduction to the Bootstrap (1993), ch. 13; clusters as units: Field & Welsh (2007).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from functools import lru_cache

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

"""Where variance comes from."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from evalsuite.statistics.groups import group_numbers


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

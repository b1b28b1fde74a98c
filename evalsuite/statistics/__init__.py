"""Intervals, paired tests, rank correlation, agreement between judges, pass@k and pass^k, and where variance comes from."""

from evalsuite.statistics.agreement import cohen_kappa, gwet_ac1, krippendorff_alpha
from evalsuite.statistics.bootstrap import (
    INTERVAL,
    LEVEL,
    RESAMPLES,
    SEED,
    Floats,
    bootstrap_means,
    bootstrap_ratios,
)
from evalsuite.statistics.correlation import kendall_tau, rank_correlation, spearman
from evalsuite.statistics.crossed import Component, Spread, best_minus_worst, crossed_components
from evalsuite.statistics.groups import group_numbers, shared_clusters
from evalsuite.statistics.paired import (
    EXACT_GROUPS,
    FLIPS,
    holm,
    minimum_detectable_difference,
    paired_difference,
)
from evalsuite.statistics.proportions import missing_rate, pass_at_k, pass_hat_k, wilson
from evalsuite.statistics.variance import variance_components

__all__ = [
    "EXACT_GROUPS",
    "FLIPS",
    "INTERVAL",
    "LEVEL",
    "RESAMPLES",
    "SEED",
    "Component",
    "Floats",
    "Spread",
    "best_minus_worst",
    "bootstrap_means",
    "bootstrap_ratios",
    "cohen_kappa",
    "crossed_components",
    "group_numbers",
    "gwet_ac1",
    "holm",
    "kendall_tau",
    "krippendorff_alpha",
    "minimum_detectable_difference",
    "missing_rate",
    "paired_difference",
    "pass_at_k",
    "pass_hat_k",
    "rank_correlation",
    "shared_clusters",
    "spearman",
    "variance_components",
    "wilson",
]

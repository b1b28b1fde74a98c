"""Shares of a whole: their intervals, pass@k and pass^k, and the share of relevant documents that judgements miss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist

from evalsuite.errors import InputError
from evalsuite.statistics.bootstrap import LEVEL


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


def missing_rate(strata: Sequence[tuple[int, int, int]], known: int) -> tuple[float, float, float]:
    """Share of all relevant documents that the judgements miss, and its 95 % interval, from an audit by samples.

    Each stratum of unjudged (query, document) pairs is (its size, how many of them were drawn at random and judged, how many
    of those turned out relevant); `known` counts the relevant pairs of the judgements. The rate is missing / (missing +
    known), NaN where nothing is relevant. Raises InputError for a stratum that cannot be.

    Strata are added as Zou, Huang & Zhang (2009), Computational Statistics & Data Analysis 53, add limits ("MOVER"), each with
    the exact limits of Clopper & Pearson (1934), Biometrika 26, drawn in by the share that was judged. Unlike the sum of posteriors
    (Jeffreys), it does not take many strata without a find for a proof that something is there.
    """
    from scipy.special import betaincinv

    tail = (1 - LEVEL) / 2
    missing, below, above = 0.0, 0.0, 0.0
    for number, (size, judged, relevant) in enumerate(strata, start=1):
        if not 0 <= relevant <= judged <= size or (size and not judged):
            raise InputError(
                f"a stratum needs 0 <= relevant <= judged <= size, and something judged; "
                f"found relevant {relevant}, judged {judged}, size {size}",
                where=f"stratum {number}",
            )
        if judged == size:
            missing += relevant
            continue
        share = relevant / judged
        low = betaincinv(relevant, judged - relevant + 1, tail) if relevant else 0.0
        high = betaincinv(relevant + 1, judged - relevant, 1 - tail) if relevant < judged else 1.0
        left = (size - judged) / (size - 1)
        missing += size * share
        below += left * (size * (share - low)) ** 2
        above += left * (size * (high - share)) ** 2
    least = sum(relevant for _, _, relevant in strata)
    most = sum(size - judged + relevant for size, judged, relevant in strata)
    counts = (missing, max(missing - math.sqrt(below), least), min(missing + math.sqrt(above), most))
    rate, low, high = (count / (count + known) if count + known else math.nan for count in counts)
    return rate, low, high

"""Agreement between judges, beyond what chance would give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence


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

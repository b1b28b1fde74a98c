"""What follows from the figures of a text by arithmetic: sums, differences, products, shares, and dates by counting.

The work is bounded: an amount is tried against the figures of its own block, the next ones and its table, not all.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal
from itertools import chain, combinations, islice
from typing import TYPE_CHECKING, NamedTuple

from evalsuite.lab.grading import values
from evalsuite.lab.grading.claims import Claim, measure

if TYPE_CHECKING:
    from evalsuite.lab.documents import Block

_MOST_TERMS = 12
_MOST_FIGURES = 300  # of a place; what a longer one reckons with is not looked for
_MOST_ROWS = 5
_SMALL = 25
_LONGEST_DAYS = 4000
_PERIOD = re.compile(r"\b(?:anniversar|years?\b|months?\b|annual|yearly|jahr|monat)", re.I)


class Figure(NamedTuple):
    """A number of a deliverable: `unit` is "sum" for money, else as in `Claim`."""

    value: Decimal
    unit: str


class Periods:
    """The lengths of time that a text names, in whole days and in whole months."""

    def __init__(self, measures: Iterable[tuple[str, Decimal]]) -> None:
        named = [(unit, int(value)) for unit, value in measures if unit in ("day", "month") and value < _LONGEST_DAYS]
        self.days = {length for unit, length in named if unit == "day"}
        self.months = {length for unit, length in named if unit == "month"}


def figures_of(text: str) -> list[Figure]:
    """The numbers of a normalised text."""
    found = []
    for quantity in values.numbers(text):
        unit, value = measure(quantity, text)
        found.append(Figure(abs(value), "sum" if values.is_amount(quantity) else unit))
    return found


def neighbours(blocks: Sequence[Block]) -> list[range]:
    """For each block those it may be reckoned from: the one before, the one after, the rest of its table."""
    found = []
    for i, block in enumerate(blocks):
        low, high = i, i
        while block.cells and low and blocks[low - 1].cells and i - low < _MOST_ROWS:
            low -= 1
        while block.cells and high + 1 < len(blocks) and blocks[high + 1].cells and high - i < _MOST_ROWS:
            high += 1
        found.append(range(max(0, min(low, i - 1)), min(len(blocks), max(high, i + 1) + 1)))
    return found


def is_reckoned(claim: Claim, figures: list[list[Figure]], good: set[Decimal], nearby: Iterable[int]) -> bool:
    """True if an amount or share follows from figures that stand by it: by sums, differences, products and quotients.

    The sums are those of the blocks `nearby`, the factors those of its own block; only sums that the documents hold, or
    that were reckoned before, count.
    """
    if claim.kind == "number" and claim.unit != "%":
        return False
    value, tolerance = abs(claim.value), claim.step / 2
    close = list(islice(chain(figures[claim.block], *(figures[block] for block in nearby)), _MOST_FIGURES))
    usable = dict.fromkeys(f.value for f in close if f.unit == "sum" and f.value in good and f.value != value)
    sums = list(usable)[:_MOST_TERMS]
    factors = dict.fromkeys(
        f for f in figures[claim.block][:_MOST_FIGURES] if f.unit != "sum" and (f.value in good or f.value < _SMALL)
    )
    if claim.unit == "%":
        shares = (part / b * 100 for a in sums for b in sums if b for part in (a, abs(a - b)))
        return any(abs(share - value) <= (tolerance or Decimal("0.5")) for share in shares)
    return any(abs(result - value) <= tolerance for result in _results(sums, list(factors)[:_MOST_TERMS]))


def _results(sums: list[Decimal], factors: list[Figure]) -> Iterator[Decimal]:
    yield from pairs(sums)
    yield from (sum(three, Decimal(0)) for three in combinations(sums, 3))
    for one in sums:
        for factor in factors:
            if factor.unit == "%":
                part = one * factor.value / 100
                yield from (part, one + part, one - part)
                continue
            times = one * factor.value
            yield times
            if factor.unit == "month":
                yield times / 12
            yield from (other + sign * times for other in sums if other != one for sign in (1, -1))


def is_counted(
    day: date, known: Collection[date], named: Collection[date], held: Periods, told: Periods, around: Iterable[str]
) -> bool:
    """True if `day` is a period before or after a date of the documents, give or take a day for the way of counting.

    known, held: the dates and periods of the documents; named, told: those of the deliverable, which has to name the
    date or the period in days; for months and years, the texts `around` the date have to speak of a period.
    """
    speaks_of_period = any(_PERIOD.search(text) for text in around)
    for start in known:
        gap = abs((day - start).days)
        near = {gap - 1, gap, gap + 1} & held.days
        if (start in named and (gap <= 1 or near)) or near & told.days:
            return True
        for other in (day - timedelta(days=1), day, day + timedelta(days=1)):
            apart = abs((other.year - start.year) * 12 + other.month - start.month)
            if speaks_of_period and other.day == start.day and apart in held.months:
                return True
    return False


def pairs(terms: Iterable[Decimal]) -> set[Decimal]:
    return {result for a, b in combinations(terms, 2) for result in (a + b, abs(a - b))}


def column_totals(blocks: Sequence[Block]) -> set[Decimal]:
    """The sum of each column of figures of each table."""
    totals: set[Decimal] = set()
    columns: dict[int, list[Decimal]] = defaultdict(list)
    for block in [*blocks, None]:
        if block is not None and block.cells:
            for place, cell in enumerate(block.cells):
                if len(figures := values.numbers(values.normalise(cell))) == 1:
                    columns[place].append(figures[0].value)
            continue
        for column in columns.values():
            totals |= {abs(sum(column[:end], Decimal(0))) for end in range(2, len(column) + 1)}
        columns.clear()
    return totals

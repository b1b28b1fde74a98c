"""Is what a deliverable states to be found in the documents? A check of facts by comparison, with no model.

Amounts, numbers with a unit, dates, quotations, names and references to clauses are looked up in the documents and the instructions.
Figures that follow from others by plain arithmetic are listed apart. Silence here means little (a claim may be in the
documents and yet wrong); a claim listed as unsupported is one a reviewer should look at first.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from itertools import combinations
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

from evalsuite.lab.grading import values
from evalsuite.lab.grading.claims import Claim, claims_in, is_header, measure, references, shown, words
from evalsuite.lab.grading.names import names_in

if TYPE_CHECKING:
    from evalsuite.lab.documents import Block, Extracted

_SCALED = {
    Decimal(1000): re.compile(
        r"\bin thousands|\$ ?000s?\b|\b000s\b|'000|thousands of (?:dollars|euros)|T?€ ?'?000|\bTEUR\b", re.I
    ),
    Decimal(10**6): re.compile(
        r"\bin millions|millions of (?:dollars|euros)|[$€£] ?(?:millions?|mm|m)\b(?! ?\d)", re.I
    ),
}
_NUMBER_ALONE = re.compile(r"^\W*[\d.,']+\W*$")
_HEADER_BLOCKS = 15
_MOST_TERMS = 12
_MOST_ROWS = 5
_SMALL = 25
_STEPS = 3
_LEADING_NUMBER = re.compile(
    r"^(?:(?:section|article|clause|schedule|exhibit|annex|§) ?)?(\d+(?:\.\d+)*)[.):]?(?= |$)", re.I
)
_LEADING_LETTER = re.compile(r"^(\([a-z0-9]{1,4}\))", re.I)


class Figure(NamedTuple):
    """A number of a deliverable: `unit` is "sum" for money, else as in `Claim`."""

    value: Decimal
    unit: str


@dataclass
class Sources:
    """What the documents and instructions hold, ready for look-ups."""

    words: str = " "
    rows: list[str] = field(default_factory=list)
    known: set[str] = field(default_factory=set)
    lower: set[str] = field(default_factory=set)
    days: set[date] = field(default_factory=set)
    sums: dict[Decimal, set[str]] = field(default_factory=lambda: defaultdict(set))
    measures: set[tuple[str, Decimal]] = field(default_factory=set)
    plain: set[Decimal] = field(default_factory=set)
    cells: set[Decimal] = field(default_factory=set)
    references: set[tuple[str, str]] = field(default_factory=set)
    letters: set[str] = field(default_factory=set)
    combined: set[Decimal] = field(default_factory=set)
    ordered: list[Decimal] = field(default_factory=list)
    ordered_percent: list[Decimal] = field(default_factory=list)


def ground(deliverables: Sequence[Extracted], documents: Sequence[Extracted], instructions: str) -> dict[str, Any]:
    """The visible claims of the deliverables that the documents and instructions do not hold.

    Returns {"claims": how many, "unsupported": [{"kind", "text", "where"}], "derived": the same, for what follows from
    other figures by arithmetic, "by_kind": {kind: {"claims", "unsupported", "derived"}}}. Equal claims count once.
    """
    sources = _read(documents, instructions)
    blocks = [(block, shown(block), i) for file in deliverables for i, block in enumerate(file.visible())]
    lower = sources.lower | _lower_words(text for _, text, _ in blocks)
    claims: list[Claim] = []
    for number, (block, text, place) in enumerate(blocks):
        if block.kind == "heading":
            continue
        claims += claims_in(text, block.anchor, number)
        if not (place < _HEADER_BLOCKS and is_header(text)):
            for name, phrases in names_in(text, lower, sources.known):
                claims.append(Claim("name", name, block.anchor, number, phrases=tuple(phrases)))
    own = {match[1] for _, text, _ in blocks if (match := _LEADING_NUMBER.match(text))}
    own |= {
        text.split()[1].lower().rstrip(".:") for _, text, _ in blocks if re.match(r"(?:Section|Part) \w+", text, re.I)
    }
    figures = [_figures(text) for _, text, _ in blocks]
    nearby = _neighbours([block for block, _, _ in blocks])
    good = {abs(value) for value in sources.sums} | sources.plain | {value for _, value in sources.measures}
    good |= sources.combined | _column_totals([block for block, _, _ in blocks])

    status = {claim: "" for claim in claims if _supported(claim, sources, own)}
    for _ in range(_STEPS):  # what follows from one figure may lead to the next
        for claim in claims:
            if claim not in status and _derived(claim, sources, figures, good, nearby[claim.block]):
                status[claim] = "derived"
                good.add(abs(claim.value))
    found: dict[tuple[str, str], tuple[Claim, str]] = {}
    for claim in claims:
        state = status.get(claim, "unsupported")
        key = (claim.kind, claim.text.lower())
        if key not in found or (found[key][1] == "unsupported" and state != "unsupported"):
            found[key] = (claim, state)
    return _report([*found.values()])


def _report(found: list[tuple[Claim, str]]) -> dict[str, Any]:
    by_kind: dict[str, Counter[str]] = {}
    lists: dict[str, list[dict[str, str]]] = {"unsupported": [], "derived": []}
    for claim, status in sorted(found, key=lambda item: item[0].block):
        counts = by_kind.setdefault(claim.kind, Counter(claims=0, unsupported=0, derived=0))
        counts["claims"] += 1
        if status:
            counts[status] += 1
            lists[status].append({"kind": claim.kind, "text": claim.text, "where": claim.where})
    return {"claims": len(found), **lists, "by_kind": {kind: dict(by_kind[kind]) for kind in sorted(by_kind)}}


def _read(documents: Sequence[Extracted], instructions: str) -> Sources:
    sources = Sources()
    pieces: list[str] = []
    for document in documents:
        pieces.append(PurePath(document.name).stem)
        texts = [shown(block) for block in document.blocks]
        whole = "\n".join(texts)
        scales = [scale for scale, pattern in _SCALED.items() if pattern.search(whole)]
        for block, text in zip(document.blocks, texts, strict=True):
            _take(sources, text, scales)
            if block.cells:
                sources.rows.append(words(text))
            for cell in block.cells:
                if _NUMBER_ALONE.match(cell) and (figures := values.numbers(values.normalise(cell))):
                    sources.cells.add(abs(figures[0].value))
        sources.combined |= _column_totals(document.blocks)
        pieces += texts
    for line in instructions.splitlines():
        pieces.append(values.normalise(line))
        _take(sources, pieces[-1], [])
    sources.words = words("\n".join(pieces))
    sources.known = set(sources.words.split())
    sources.lower = _lower_words(pieces)
    sources.plain |= sources.cells
    sources.ordered = sorted(set(sources.sums) | sources.plain)
    sources.ordered_percent = sorted(value for unit, value in sources.measures if unit == "%")
    return sources


def _take(sources: Sources, text: str, scales: list[Decimal]) -> None:
    for day in values.dates(text):
        sources.days |= {day.value} | ({day.other} if day.other else set())
    sums: set[Decimal] = set()
    for quantity in values.numbers(text):
        unit, value = measure(quantity, text)
        value = abs(value)
        if values.is_amount(quantity):
            sources.sums[value].add(quantity.currency)
            sums.add(value)
        else:
            sources.measures.add((unit, value))
            if not unit or unit == "thing":
                sources.plain.add(value)
                for scale in scales:
                    sources.sums[value * scale].add("")
    if 2 <= len(sums) <= _MOST_TERMS:
        sources.combined |= _pairs(sums)
    for family, reference, _, _ in references(text):
        sources.references |= {(family, part) for part in _prefixes(reference)}
    if match := _LEADING_NUMBER.match(text):
        sources.references |= {("", part) for part in _prefixes(match[1])}
    sources.letters |= set(re.findall(r"\([a-z0-9]{1,4}\)", text.lower()))


def _supported(claim: Claim, sources: Sources, own: set[str]) -> bool:
    if claim.kind == "date":
        return any(day in sources.days for day in claim.days)
    if claim.kind in ("quote", "name"):
        return all(_holds(sources.words, phrase) for phrase in claim.phrases) or _in_one_row(claim, sources.rows)
    if claim.kind == "section":
        return _known_reference(claim, sources, own)
    value = abs(claim.value)
    if claim.kind == "amount":
        currencies = sources.sums.get(value)
        if currencies and any(
            not c or not claim.currency or values.same_currency(c, claim.currency) for c in currencies
        ):
            return True
        return (not currencies and value in sources.plain) or _rounded(value, claim.step, sources.ordered)
    if (claim.unit, value) in sources.measures:
        return True
    if claim.unit == "%":
        return value / 100 in sources.plain or _rounded(value, claim.step, sources.ordered_percent)
    if claim.unit in ("day", "month", "hour"):
        return value in sources.cells
    return value in sources.plain or value in sources.sums or _rounded(value, claim.step, sources.ordered)


def _in_one_row(claim: Claim, rows: list[str]) -> bool:
    """True for cells of one table row that are quoted with commas between them."""
    cells = [words(part) for part in re.split("[,;:]", claim.text)]
    return claim.kind == "quote" and len(cells) > 1 and any(all(cell in row for cell in cells) for row in rows)


def _holds(text: str, phrase: str) -> bool:
    """True if the words occur in a row; a middle initial or name may stand between two of them, or they may be turned round."""
    phrase = phrase.strip()
    if f" {phrase} " in text:
        return True
    parts = phrase.split()
    if len(parts) != 2:
        return False
    first, last = parts
    return f" {last} {first} " in text or re.search(rf" {first} \w+ {last} ", text) is not None


def _rounded(value: Decimal, step: Decimal, ordered: list[Decimal]) -> bool:
    """True if some figure of the documents, given more exactly, rounds to `value`."""
    if not step:
        return False
    at = bisect_left(ordered, value - step / 2)
    while at < len(ordered) and ordered[at] <= value + step / 2:
        if ordered[at] % step:
            return True
        at += 1
    return False


def _prefixes(reference: str) -> set[str]:
    """ "14.2(b)" is also a place in 14.2 and in 14."""
    found = {reference}
    while cut := re.match(r"(.+?)(?:\.\d+|\([a-z0-9]+\))$", reference):
        reference = cut[1]
        found.add(reference)
    return found


def _known_reference(claim: Claim, sources: Sources, own: set[str]) -> bool:
    reference = claim.reference
    if claim.part:
        return (claim.part, reference) in sources.references
    base = re.split(r"\(", reference)[0]
    if claim.own and (reference in own or base in own):
        return True
    if ("", reference) in sources.references:
        return True
    letters = re.findall(r"\([a-z0-9]+\)", reference)
    return bool(letters) and ("", base) in sources.references and all(letter in sources.letters for letter in letters)


def _neighbours(blocks: Sequence[Block]) -> list[range]:
    """For each block those whose figures it may be reckoned from: the block before and after, or the rest of its table."""
    found = []
    for i, block in enumerate(blocks):
        low, high = i, i
        while block.cells and low and blocks[low - 1].cells and i - low < _MOST_ROWS:
            low -= 1
        while block.cells and high + 1 < len(blocks) and blocks[high + 1].cells and high - i < _MOST_ROWS:
            high += 1
        found.append(range(max(0, min(low, i - 1)), min(len(blocks), max(high, i + 1) + 1)))
    return found


def _derived(
    claim: Claim, sources: Sources, figures: list[list[Figure]], good: set[Decimal], nearby: Iterable[int]
) -> bool:
    """True if the claim follows from figures that stand by it: a date and a period, sums, differences, products, shares.

    The sums are those of the blocks `nearby`, the factors those of its own block; only sums that the documents hold, or
    that were derived before, count.
    """
    if claim.kind == "date":
        return any(_follows(day, sources) for day in claim.days)
    if claim.kind not in ("amount", "number"):
        return False
    value, tolerance = abs(claim.value), claim.step / 2
    if claim.kind == "amount" and (value in sources.combined or value in good):
        return True
    close = [figure for block in nearby for figure in figures[block]]
    sums = sorted({f.value for f in close if f.unit == "sum" and f.value in good and f.value != value})[:_MOST_TERMS]
    factors = {f for f in figures[claim.block] if f.unit != "sum" and (f.value in good or f.value < _SMALL)}
    if claim.unit == "%":
        shares = {a / b * 100 for a in sums for b in sums if b} | {
            abs(a - b) / b * 100 for a in sums for b in sums if b
        }
        return any(abs(share - value) <= (tolerance or Decimal("0.5")) for share in shares)
    if claim.kind == "number":
        return False
    return any(abs(result - value) <= tolerance for result in _results(sums, sorted(factors)[:_MOST_TERMS]))


def _results(sums: list[Decimal], factors: list[Figure]) -> Iterator[Decimal]:
    yield from _pairs(sums)
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


def _figures(text: str) -> list[Figure]:
    found = []
    for quantity in values.numbers(text):
        unit, value = measure(quantity, text)
        found.append(Figure(abs(value), "sum" if values.is_amount(quantity) else unit))
    return found


def _follows(day: date, sources: Sources) -> bool:
    """True if `day` is a period of the documents after or before one of their dates, or the day next to that."""
    spans = {int(v) for unit, v in sources.measures if unit == "day" and v < 4000}
    months = {int(v) for unit, v in sources.measures if unit == "month" and v < 1200}
    for known in sources.days:
        gap = abs((day - known).days)
        if gap <= 1 or spans & {gap - 1, gap, gap + 1}:
            return True
        for near in (day - timedelta(days=1), day, day + timedelta(days=1)):
            if near.day == known.day and abs((near.year - known.year) * 12 + near.month - known.month) in months:
                return True
    return False


def _pairs(terms: Iterable[Decimal]) -> set[Decimal]:
    return {result for a, b in combinations(terms, 2) for result in (a + b, abs(a - b))}


def _column_totals(blocks: Sequence[Block]) -> set[Decimal]:
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


def _lower_words(texts: Iterable[str]) -> set[str]:
    return {word for text in texts for word in re.findall(r"(?<![\w'.-])[a-zß-öø-ÿ][^\W_]+", text)}

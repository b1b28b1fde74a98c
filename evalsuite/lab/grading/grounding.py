"""Is what a deliverable states to be found in the documents? A check of facts by comparison, with no model.

Amounts, numbers with a unit, dates, quotations, names and references to clauses are looked up in the documents and
the instructions. Figures that follow from others by plain arithmetic are listed apart. Silence here means little (a
claim may be in the documents and yet wrong); a claim listed as unsupported is one a reviewer should look at first.
"""

from __future__ import annotations

import re
import threading
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from evalsuite.lab.grading import values
from evalsuite.lab.grading.claims import Claim, claims_in, is_header, measure, references, shown, words
from evalsuite.lab.grading.names import names_in
from evalsuite.lab.grading.reckoning import (
    Periods,
    column_totals,
    figures_of,
    is_counted,
    is_reckoned,
    neighbours,
    pairs,
)

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
_MOST_SUMS = 12
_STEPS = 3
_TASKS_KEPT = 32
_LEADING_NUMBER = re.compile(
    r"^(?:(?:section|article|clause|schedule|exhibit|annex|§) ?)?(\d+(?:\.\d+)*)[.):]?(?= |$)", re.I
)


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
    sources = _sources(documents, instructions)
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
    status = {claim: "" for claim in claims if _supported(claim, sources, own)}
    status |= dict.fromkeys(_derived(claims, status, sources, [block for block, _, _ in blocks]), "derived")
    found: dict[tuple[str, str], tuple[Claim, str]] = {}
    for claim in claims:
        state = status.get(claim, "unsupported")
        key = (claim.kind, claim.text.lower())
        if key not in found or (found[key][1] == "unsupported" and state != "unsupported"):
            found[key] = (claim, state)
    return _report([*found.values()])


def _derived(claims: list[Claim], supported: Container[Claim], sources: Sources, blocks: list[Block]) -> set[Claim]:
    """The claims that are not in the documents but follow from what is, or from others that do."""
    texts = [shown(block) for block in blocks]
    figures = [figures_of(text) for text in texts]
    nearby = neighbours(blocks)
    totals = sources.combined | column_totals(blocks)
    good = set(sources.sums) | sources.plain | {value for _, value in sources.measures}
    held = Periods(sources.measures)
    told = Periods((figure.unit, figure.value) for block in figures for figure in block)
    named = {day for claim in claims for day in claim.days}
    found: set[Claim] = set()
    for _ in range(_STEPS):  # what follows from one figure may lead to the next
        for claim in claims:
            if claim in supported or claim in found:
                continue
            if claim.kind == "date":
                around = texts[max(0, claim.block - 1) : claim.block + 2]
                if any(is_counted(day, sources.days, named, held, told, around) for day in claim.days):
                    found.add(claim)
            elif claim.kind in ("amount", "number"):
                value = abs(claim.value)
                is_total = claim.kind == "amount" and value in totals
                if is_total or is_reckoned(claim, figures, good, nearby[claim.block]):
                    found.add(claim)
                    if claim.kind == "amount":
                        totals.add(value)
                        good.add(value)
    return found


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


_kept: dict[tuple[object, ...], Sources] = {}
_keeping = threading.Lock()


def _sources(documents: Sequence[Extracted], instructions: str) -> Sources:
    """What the documents hold, read once for all trials of a task; the last few tasks are kept."""
    key = (instructions, *((found.name, found.sha256, len(found.blocks)) for found in documents))
    sources = _kept.get(key) or _read(documents, instructions)
    with _keeping:
        _kept.pop(key, None)
        while len(_kept) >= _TASKS_KEPT:
            del _kept[next(iter(_kept))]
        _kept[key] = sources
    return sources


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
        sources.combined |= column_totals(document.blocks)
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
    if 2 <= len(sums) <= _MOST_SUMS:
        sources.combined |= pairs(sums)
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
    """True if the words occur in a row; two of them also turned round, or with a middle initial between them."""
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


def _lower_words(texts: Iterable[str]) -> set[str]:
    return {word for text in texts for word in re.findall(r"(?<![\w'.-])[a-zß-öø-ÿ][^\W_]+", text)}

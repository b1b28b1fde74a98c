"""A deliverable's visible text, normalised and indexed once, so that every check over it is a few look-ups.

Words are what positions count: a run of letters and digits, a number with its separators ("4,200,000", "12.5", "4.2.1") or one of
the signs $ € £ ¥ ₹ % § &. All other punctuation is left out: "change-of-control" is three words, and equals "change of control".
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from functools import cached_property
from itertools import takewhile
from operator import itemgetter
from typing import NamedTuple, TypeVar

from evalsuite.errors import InputError, shown
from evalsuite.lab.documents import Block, Extracted
from evalsuite.lab.grading.keywords import in_lists
from evalsuite.lab.grading.values import DateValue, Quantity, dates, normalise, numbers, unit_of

_WORD = re.compile(r"\d+(?:[.,]\d+)*[^\W_]*|[^\W_]+|[$€£¥₹%§&]")
_FORMULA = re.compile(r"\s*\{=.*\}\s*$", re.DOTALL)
_BARE = re.compile(r"[-(]?[\d.,' ]+\)?")
_COLUMN = re.compile(r"!([A-Z]{1,3})\d+$")
_HEADING_WORDS = 30  # a longer "heading" is a paragraph in a heading's clothes
_KEPT_SCANS = 64
DEEPEST = 9

T = TypeVar("T")
Unit = tuple[str, Decimal, bool]
Span = tuple[int, int]
"""Word positions in a scan: the first, and the one after the last."""


def words_of(text: str) -> list[str]:
    """The words of a text as scans and phrases compare them: normalised, case folded, "&" as "and"."""
    return [_folded(word) for word in _WORD.findall(normalise(text))]


def _folded(word: str) -> str:
    return "and" if word == "&" else word.casefold()


def reading(block: Block) -> str:
    """What a reader sees of a block: a sheet row without its cell addresses and formulas."""
    return " | ".join(cell_value(cell) for cell in block.cells) if block.cells else block.text


def cell_value(cell: str) -> str:
    """A cell's text without the formula that stands behind it (`12 {=B2*3}`)."""
    return _FORMULA.sub("", cell) if "{=" in cell else cell


def column_number(letters: str) -> int:
    """1 for A, 28 for AB."""
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number


def first_column(block: Block) -> int:
    """The column of a row's first cell, from 1; sheet rows may begin further right."""
    match = _COLUMN.search(block.anchor)
    return column_number(match[1]) if match else 1


class Phrase:
    """Words to be found one after the other; a word that ends in `*` matches every word that begins so.

    Raises InputError where the text has no word or a `*` stands elsewhere than at a word's end.
    """

    def __init__(self, text: str, where: str) -> None:
        self.text = " ".join(text.split())
        pieces = re.findall(rf"(?:{_WORD.pattern})\*?|\*", normalise(text))
        self.words = tuple(_folded(piece) for piece in pieces)
        if not self.words:
            raise InputError(f"needs at least one word; found {shown(text)}", where=where)
        if re.search(r"\*\w|\*\*", text) or any(word.endswith("*") and len(word) < 3 for word in self.words):
            raise InputError(
                f"a * stands only at the end of a word of two letters or more (`terminat*`); found {shown(text)}",
                where=where,
            )

    def spans(self, scan: Scan) -> list[Span]:
        """Every place in a scan where the words stand, in order; never across two blocks."""
        return scan.once(self, lambda: self._find(scan))

    def _find(self, scan: Scan) -> list[Span]:
        options = [scan.places_of(word) for word in self.words]
        length = len(self.words)
        if length == 1:
            return [(position, position + 1) for position in options[0]]
        rarest = min(range(length), key=lambda i: len(options[i]))
        found = []
        for position in options[rarest]:
            start = position - rarest
            words = scan.words[start : start + length] if start >= 0 else []
            if len(words) == length and all(map(matches, self.words, words)):
                found.append((start, start + length))
        return [(start, end) for start, end in found if scan.block_at(start) == scan.block_at(end - 1)]


def matches(wanted: str, word: str) -> bool:
    """True if a word of a phrase stands for a word of a text."""
    return word.startswith(wanted[:-1]) if wanted.endswith("*") else word == wanted


class Scan:
    """The visible blocks of one file with the positions of words, numbers, dates and headings."""

    def __init__(self, source: Extracted) -> None:
        self.source = source
        self.blocks = source.visible()
        texts = [normalise(reading(block)) for block in self.blocks]
        self.text = "\n".join(texts)
        self.words: list[str] = []
        self.starts: list[int] = []
        self.ends: list[int] = []
        for match in _WORD.finditer(self.text):
            self.words.append(_folded(match[0]))
            self.starts.append(match.start())
            self.ends.append(match.end())
        self.first = [0]
        """Position of each block's first word; one more entry than blocks."""
        self._sentences: dict[int, list[int]] = {}
        self._found: dict[object, list[Span]] = {}
        offset = 0
        for text in texts:
            offset += len(text) + 1
            self.first.append(bisect_left(self.starts, offset))

    def once(self, key: object, find: Callable[[], list[Span]]) -> list[Span]:
        """The sorted spans that `find` gives, computed at the first call for a phrase, name or check."""
        if key not in self._found:
            self._found[key] = find()
        return self._found[key]

    @cached_property
    def _places(self) -> dict[str, list[int]]:
        places: dict[str, list[int]] = {}
        for position, word in enumerate(self.words):
            places.setdefault(word, []).append(position)
        return places

    def places_of(self, word: str) -> list[int]:
        """Positions of a word (or of all words that begin as `word*` does), in order."""
        if not word.endswith("*"):
            return self._places.get(word, [])
        low = bisect_left(self._vocabulary, word[:-1])
        alike = takewhile(lambda known: known.startswith(word[:-1]), self._vocabulary[low:])
        return sorted(place for known in alike for place in self._places[known])

    @cached_property
    def _vocabulary(self) -> list[str]:
        return sorted(self._places)

    def block_at(self, position: int) -> int:
        """Index of the block that holds the word at `position`."""
        return bisect_right(self.first, position) - 1

    def span(self, start: int, end: int) -> Span:
        """The words that the characters from `start` to `end` of `text` touch."""
        return max(bisect_right(self.starts, start) - 1, 0), bisect_left(self.starts, end)

    @cached_property
    def in_lists(self) -> bytearray:
        """For each word, 1 if it stands in a list of keywords: no statement (see `keywords`)."""
        return in_lists(self)

    @cached_property
    def quantities(self) -> list[tuple[Quantity, Span]]:
        """The numbers, in order; one that fills a table cell also in the unit of its column's header or its row's label."""
        plain = [(quantity, self.span(quantity.start, quantity.end)) for quantity in numbers(self.text)]
        return sorted([*plain, *self._in_units(plain)], key=lambda hit: hit[1])

    def _in_units(self, plain: list[tuple[Quantity, Span]]) -> Iterator[tuple[Quantity, Span]]:
        """A block that is no row ends a table; its first row, or one that names a unit, is the header if it holds no number."""
        header: dict[int, Unit | None] = {}
        i = 0
        for number, block in enumerate(self.blocks):
            inside = []
            while i < len(plain) and plain[i][1][0] < self.first[number + 1]:
                inside.append(plain[i])
                i += 1
            if not block.cells:
                header = {}
                continue
            units = [unit_of(normalise(cell)) for cell in block.cells]
            first = first_column(block)
            if not inside and len(block.cells) > 1 and (not header or any(units)):
                header = dict(enumerate(units, first))
            begin = self.starts[self.first[number]] if inside else 0
            begin = self.text.rfind("\n", 0, begin) + 1
            label = next(
                (u for u, cell in zip(units, block.cells, strict=True) if u and not re.search(r"\d", cell)), None
            )
            for quantity, span in inside:
                column = self.text.count("|", begin, quantity.start)
                bare = not (quantity.currency or quantity.percent or quantity.magnitude)
                if bare and column < len(block.cells) and _BARE.fullmatch(cell_value(block.cells[column]).strip()):
                    unit = header.get(first + column) or label
                    if unit:
                        currency, scale, percent = unit
                        value = quantity.value * scale
                        yield (
                            quantity._replace(
                                value=value, currency=currency, percent=percent, magnitude=scale.adjusted()
                            ),
                            span,
                        )

    @cached_property
    def _by_value(self) -> list[tuple[Decimal, int]]:
        return sorted((quantity.value, i) for i, (quantity, _) in enumerate(self.quantities))

    def quantities_near(self, value: Decimal, tolerance: Decimal) -> list[tuple[Quantity, Span]]:
        """The quantities from `value - tolerance` to `value + tolerance`."""
        low = bisect_left(self._by_value, (value - tolerance, -1))
        high = bisect_right(self._by_value, (value + tolerance, len(self.quantities)))
        return [self.quantities[i] for _, i in self._by_value[low:high]]

    @cached_property
    def dates(self) -> list[tuple[DateValue, Span]]:
        return [(found, self.span(found.start, found.end)) for found in dates(self.text)]

    @cached_property
    def headings(self) -> list[int]:
        """Indexes of the heading blocks."""
        return [
            i
            for i, block in enumerate(self.blocks)
            if block.kind == "heading" and 0 < self.first[i + 1] - self.first[i] <= _HEADING_WORDS
        ]

    def level(self, heading: int) -> int:
        return self.blocks[heading].level or DEEPEST

    @cached_property
    def _section_ends(self) -> dict[int, int]:
        ends: dict[int, int] = {}
        open_headings: list[int] = []
        for i in self.headings:
            while open_headings and self.level(open_headings[-1]) >= self.level(i):
                ends[open_headings.pop()] = i
            open_headings.append(i)
        return ends | dict.fromkeys(open_headings, len(self.blocks))

    def section_end(self, heading: int) -> int:
        """Index of the block after the section that a heading opens: the next heading of its level or above."""
        return self._section_ends[heading]

    @cached_property
    def _paths(self) -> list[list[int]]:
        """For each heading, itself and the headings whose sections hold it, outermost first."""
        paths: list[list[int]] = []
        path: list[int] = []
        for i in self.headings:
            path = [*(h for h in path if self.level(h) < self.level(i)), i]
            paths.append(path)
        return paths

    def headings_over(self, block: int) -> list[int]:
        """The headings whose sections hold a block, outermost first."""
        before = bisect_left(self.headings, block)
        return self._paths[before - 1] if before else []

    def sentence(self, span: Span) -> Span:
        """The sentence or clause (up to . ! ? ;) around a span; the whole row in a table."""
        block = self.block_at(span[0])
        if block not in self._sentences:
            low, high = self.first[block], self.first[block + 1]
            cuts = [low]
            if self.blocks[block].kind != "row":
                begin, stop = self.starts[low], self.starts[high] if high < len(self.starts) else len(self.text)
                ends = _SENTENCE_END.finditer(self.text, begin, stop)
                cuts += [bisect_left(self.starts, match.end()) for match in ends]
            self._sentences[block] = [*cuts, high]
        cuts = self._sentences[block]
        i = bisect_right(cuts, span[0])
        return cuts[i - 1], max(cuts[i], span[1])

    def anchor(self, span: Span) -> str:
        return self.blocks[self.block_at(span[0])].anchor

    def excerpt(self, span: Span, size: int = 300) -> str:
        """The text of the span's block as the file has it, at most about `size` characters around the span."""
        block = self.block_at(span[0])
        text = self.blocks[block].text
        if len(text) <= size:
            return text
        share = (span[0] - self.first[block]) / max(1, self.first[block + 1] - self.first[block])
        offset = self.starts[span[0]] - self.starts[self.first[block]]
        if self.blocks[block].cells or not text.isascii():
            offset = round(share * len(text))
        low = max(0, min(offset - size // 3, len(text) - size))
        return text[low : low + size].strip()


_ABBREVIATIONS = [
    "No",
    "cl",
    "Co",
    "vs",
    "Dr",
    "Mr",
    "St",
    "Inc",
    "Ltd",
    "Art",
    "art",
    "Sec",
    "sec",
    "Mrs",
    "cls",
    "pp",
    "Corp",
]
_NOT_AFTER = "".join(rf"(?<!\b{word}.)" for word in ["[A-Z]", *_ABBREVIATIONS])
_SENTENCE_END = re.compile(rf"""[.!?]{_NOT_AFTER}["')]? (?=["'(]?[A-Z0-9])|; """)


class Scope(NamedTuple):
    """Part of a scan: the blocks from `low` up to `high`."""

    scan: Scan
    low: int
    high: int

    @property
    def words(self) -> Span:
        return self.scan.first[self.low], self.scan.first[self.high]

    def within(self, spans: list[Span]) -> list[Span]:
        """Those of a scan's spans (sorted, none across blocks) that lie in the scope."""
        low, high = self.words
        return spans[bisect_left(spans, (low, 0)) : bisect_left(spans, (high, 0))]

    def inside(self, found: Sequence[tuple[T, Span]]) -> Sequence[tuple[T, Span]]:
        """The same for things with their spans."""
        low, high = self.words
        return found[bisect_left(found, (low, 0), key=itemgetter(1)) : bisect_left(found, (high, 0), key=itemgetter(1))]

    def word_count(self) -> int:
        """Words as an editor counts them: runs without spaces that hold a letter or digit."""
        texts = self.scan.text.split("\n")[self.low : self.high]
        return sum(len(re.findall(r"[^\W_]\S*", text)) for text in texts)


_scans: OrderedDict[int, Scan] = OrderedDict()


def scan(source: Extracted) -> Scan:
    """The scan of a file, made once and kept for as long as the file is among the last few that were looked at."""
    known = _scans.get(id(source))
    if known is None or known.source is not source:
        known = _scans[id(source)] = Scan(source)
    _scans.move_to_end(id(source))
    while len(_scans) > _KEPT_SCANS:
        _scans.popitem(last=False)
    return known


def whole(source: Extracted) -> Scope:
    """All visible blocks of a file."""
    found = scan(source)
    return Scope(found, 0, len(found.blocks))

"""What a check finds (`Found`), and the checks that look for one thing: words, a number, a sum, a date, a name, a source."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from heapq import nsmallest
from itertools import islice
from pathlib import PurePath
from typing import ClassVar, Self

from evalsuite.errors import InputError
from evalsuite.lab.documents import Extracted
from evalsuite.lab.grading.parties import Name, names
from evalsuite.lab.grading.scan import Phrase, Scan, Scope, Span, whole
from evalsuite.lab.grading.spec import Spec
from evalsuite.lab.grading.values import CURRENCIES, DateValue, Quantity, is_amount, same_currency

_SHOWN = 3  # examples in a sentence, quotes in a finding
_LOOKED_AT = 50  # hits from which they are taken
_DENIALS = {("rather", "than"), ("instead", "of"), ("opposed", "to")}


@dataclass(frozen=True)
class Found:
    """A check's answer: `why` is one sentence for the reviewer, `quotes` the text it rests on."""

    ok: bool
    why: str
    quotes: tuple[str, ...] = ()


class Check(ABC):
    """A deterministic criterion. Call it with the criterion's deliverables; hidden text never counts."""

    kind: ClassVar[str]
    help: ClassVar[str]
    label = ""
    """What the check looks for, as `why` names it: "an amount of USD 4,200,000"."""
    placed: bool = False
    """True if the check knows places in the text, so that `near` can measure between them."""

    @classmethod
    @abstractmethod
    def read(cls, spec: Spec) -> Check:
        """The check from its value in rubric.yaml. Raises InputError."""

    @abstractmethod
    def look(self, scopes: Sequence[Scope]) -> Found:
        """The answer over parts of the deliverables."""

    def __call__(self, documents: Sequence[Extracted]) -> Found:
        scopes = [whole(document) for document in documents]
        if not any(scope.scan.words for scope in scopes):
            return Found(False, "there is no visible text to look at")
        return self.look(scopes)

    def spans(self, scope: Scope) -> list[Span]:
        """Where the thing stands, in order; only where `placed`."""
        return []


class Leaf(Check):
    """A check for one thing that stands at places in the text."""

    placed = True
    said = True
    """False for what may stand in a list of names."""

    def look(self, scopes: Sequence[Scope]) -> Found:
        hits = [(scope.scan, span) for scope in scopes for span in self.spans(scope)]
        if not hits:
            if listed := [
                (scope.scan, span) for scope in scopes for span in scope.within(sorted(self.find(scope.scan)))
            ]:
                why = f"{self.label} stands only in a list of keywords, which states nothing ({places(listed)})"
                return Found(False, why, excerpts(listed))
            seen = self.seen(scopes)
            return Found(False, f"{self.label} is not there" + (f"; {seen}" if seen else ""))
        return Found(True, f"{self.label} is there ({places(hits)})", excerpts(hits))

    @abstractmethod
    def find(self, scan: Scan) -> list[Span]:
        """Every place in a file."""

    def spans(self, scope: Scope) -> list[Span]:
        return scope.within(scope.scan.once(self, lambda: self._stated(scope.scan)))

    def _stated(self, scan: Scan) -> list[Span]:
        """The places where it is said, not only listed among keywords."""
        return sorted({span for span in self.find(scan) if not self.said or not scan.in_lists[span[0]]})

    def seen(self, scopes: Sequence[Scope]) -> str:
        """What of the same kind is there instead, for a reviewer; may be empty."""
        return ""


def places(hits: Sequence[tuple[Scan, Span]]) -> str:
    """The anchors of the first few hits."""
    anchors = list(dict.fromkeys(scan.anchor(span) for scan, span in hits[:_LOOKED_AT]))
    more = " and more" if len(anchors) > _SHOWN or len(hits) > _LOOKED_AT else ""
    return ", ".join(anchors[:_SHOWN]) + more


def excerpts(hits: Iterable[tuple[Scan, Span]]) -> tuple[str, ...]:
    """The text around the first few hits, each once."""
    found: dict[str, None] = {}
    for scan, span in islice(hits, _LOOKED_AT):
        found.setdefault(scan.excerpt(span))
        if len(found) == _SHOWN:
            break
    return tuple(found)


class Quote(Leaf):
    """The words stand one after the other; a list means any one of them. Punctuation between words does not count."""

    kind = "quote"
    help = "words that occur consecutively; `terminat*` matches every ending; a list means any of them"

    def __init__(self, phrases: Sequence[Phrase]) -> None:
        self.phrases = phrases
        self.label = " or ".join(f"'{phrase.text}'" for phrase in phrases)

    @classmethod
    def read(cls, spec: Spec) -> Self:
        return cls(spec.phrases())

    def find(self, scan: Scan) -> list[Span]:
        return [span for phrase in self.phrases for span in phrase.spans(scan)]


def denied(scan: Scan, span: Span) -> bool:
    """True for a value that the text sets aside: "not 12 but 14", "14 rather than 12", "14, not twelve (12)"."""
    low = scan.first[scan.block_at(span[0])]
    before = tuple(scan.words[max(low, span[0] - 2) : span[0]])
    if before[-1:] == ("not",):
        return before not in {("or", "not"), ("if", "not"), ("whether", "not")}
    return before in _DENIALS


class Number(Leaf):
    """A number in digits or words, within `tolerance`. "(1,200)" counts as 1,200 and as -1,200; a denied value does not count.

    `percent`: true only with a per cent sign or word, false only without, absent either way.
    """

    kind = "number"
    help = "a number in digits or words: 12, or {value, tolerance, percent}"

    def __init__(self, value: Decimal, tolerance: Decimal, percent: bool | None) -> None:
        self.value, self.tolerance, self.percent = value, tolerance, percent
        self.label = f"the number {value:,f}" + (" per cent" if percent else "")

    @classmethod
    def read(cls, spec: Spec) -> Self:
        if not isinstance(spec.value, dict):
            return cls(spec.number(), Decimal(0), None)
        fields = spec.fields(["value"], ["tolerance", "percent"])
        tolerance = fields["tolerance"].number(0) if "tolerance" in fields else Decimal(0)
        percent = fields["percent"].boolean() if "percent" in fields else None
        return cls(fields["value"].number(), tolerance, percent)

    def fits(self, quantity: Quantity) -> bool:
        """True if the quantity is of the kind looked for, whatever its value."""
        return self.percent is None or quantity.percent == self.percent

    def find(self, scan: Scan) -> list[Span]:
        found: list[Span] = []
        denials: list[tuple[Decimal, int]] = []
        near = scan.quantities_near(self.value, self.tolerance)
        mirrored = [hit for hit in scan.quantities_near(-self.value, self.tolerance) if hit[0].bracketed]
        for quantity, span in sorted({*near, *mirrored}, key=lambda hit: hit[1]):
            if not self.fits(quantity):
                continue
            repeats = quantity.bracketed and (quantity.value, span[0]) in denials[-2:]
            if repeats or denied(scan, span):
                denials.append((quantity.value, span[1]))
            else:
                found.append(span)
        return found

    def seen(self, scopes: Sequence[Scope]) -> str:
        others = [
            (scope.scan, span, quantity)
            for scope in scopes
            for quantity, span in scope.inside(scope.scan.quantities)
            if self.fits(quantity)
        ]
        if not others:
            return f"no {self.kind} at all"
        nearest = nsmallest(_SHOWN, others, key=lambda other: abs(other[2].value - self.value))
        return f"{self.kind}s found: " + ", ".join(
            f"{'not ' if denied(scan, span) else ''}{_printed(q)} ({scan.anchor(span)})" for scan, span, q in nearest
        )


def _printed(quantity: Quantity) -> str:
    value = f"{quantity.value:,f}"
    value = value.rstrip("0").rstrip(".") if "." in value else value
    return f"{quantity.currency} {value}".strip() + (" %" if quantity.percent else "")


class Amount(Number):
    """A sum of money: a currency or a magnitude word must stand with the number. "$" can be any country's dollar."""

    kind = "amount"
    help = "a sum of money: 4200000, or {value, currency, tolerance}"

    def __init__(self, value: Decimal, tolerance: Decimal, currency: str) -> None:
        super().__init__(value, tolerance, percent=False)
        self.currency = currency
        self.label = f"an amount of {currency} {value:,f}".replace("  ", " ")

    @classmethod
    def read(cls, spec: Spec) -> Self:
        if not isinstance(spec.value, dict):
            return cls(spec.number(), Decimal(0), "")
        fields = spec.fields(["value"], ["currency", "tolerance"])
        currency = fields["currency"].text().upper() if "currency" in fields else ""
        if currency and currency not in CURRENCIES:
            fields["currency"].fail(f"must be one of {', '.join(CURRENCIES)}")
        tolerance = fields["tolerance"].number(0) if "tolerance" in fields else Decimal(0)
        return cls(fields["value"].number(), tolerance, currency)

    def fits(self, quantity: Quantity) -> bool:
        return is_amount(quantity) and (not self.currency or same_currency(quantity.currency, self.currency))


class Date(Leaf):
    """A full date, in any of the usual forms. 04/05/2026 is both 4 May and 5 April; a denied date does not count."""

    kind = "date"
    help = "a date in any usual form: 2026-03-15"

    def __init__(self, value: date) -> None:
        self.value = value
        self.label = f"the date {_long(value)}"

    @classmethod
    def read(cls, spec: Spec) -> Self:
        if type(spec.value) is date:
            return cls(spec.value)
        try:
            return cls(date.fromisoformat(spec.text()))
        except ValueError:
            spec.fail("must be a date as 2026-03-15")

    def find(self, scan: Scan) -> list[Span]:
        found = [span for day, span in scan.dates if self.value in (day.value, day.other)]
        return [span for span in found if not denied(scan, span)]

    def seen(self, scopes: Sequence[Scope]) -> str:
        others = [(scope.scan, span, day) for scope in scopes for day, span in scope.inside(scope.scan.dates)]
        if not others:
            return "no date at all"
        nearest = nsmallest(_SHOWN, others, key=lambda other: abs(other[2].value - self.value))
        return "dates found: " + ", ".join(
            f"{'not ' if denied(scan, span) else ''}{_both(day)} ({scan.anchor(span)})" for scan, span, day in nearest
        )


def _long(day: date) -> str:
    return f"{day.day} {day:%B} {day.year}"


def _both(day: DateValue) -> str:
    return _long(day.value) + (f" or {_long(day.other)}" if day.other else "")


class Party(Leaf):
    """A party is named, by any of its aliases (see `Name` for legal forms)."""

    kind = "party"
    said = False
    help = "a party by name, legal form and punctuation optional; a list means aliases"

    def __init__(self, aliases: Sequence[Name]) -> None:
        self.aliases = aliases
        self.label = "the party " + " or ".join(f"'{name.phrase.text}'" for name in aliases)

    @classmethod
    def read(cls, spec: Spec) -> Self:
        return cls(names(spec))

    def find(self, scan: Scan) -> list[Span]:
        return [span for name in self.aliases for span in name.spans(scan)]

    def seen(self, scopes: Sequence[Scope]) -> str:
        stems = [
            (scope.scan, s) for scope in scopes for n in self.aliases for s in scope.within(n.phrase.spans(scope.scan))
        ]
        return f"another firm of that name is there ({places(stems)})" if stems else ""


class Cites(Leaf):
    """Source files are named, all of a list: by file name, or by its stem with - and _ as spaces.

    A stem of one common word ("agreement.docx") is found wherever the word stands; use `quote` for the full name then.
    """

    kind = "cites"
    said = False
    help = "names a source document by its file name or stem; a list means all of them"

    def __init__(self, files: Sequence[Phrase]) -> None:
        self.files = files
        self.label = " and ".join(f"a reference to '{phrase.text}'" for phrase in files)

    @classmethod
    def read(cls, spec: Spec) -> Self:
        return cls([_stem(item) for item in spec.items_or_one("file names")])

    def look(self, scopes: Sequence[Scope]) -> Found:
        missing = [p.text for p in self.files if not any(scope.within(p.spans(scope.scan)) for scope in scopes)]
        if missing:
            return Found(False, f"no reference to {', '.join(missing)}")
        return super().look(scopes)

    def find(self, scan: Scan) -> list[Span]:
        return [span for phrase in self.files for span in phrase.spans(scan)]


def _stem(spec: Spec) -> Phrase:
    name = PurePath(spec.text()).name
    if "*" in name:
        raise InputError("must be a file name without *", where=spec.where)
    suffix = PurePath(name).suffix
    phrase = Phrase(
        name.removesuffix(suffix) if suffix[1:].isalnum() and not suffix[1:].isdigit() else name, spec.where
    )
    phrase.text = name
    return phrase

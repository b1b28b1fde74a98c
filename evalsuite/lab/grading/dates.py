"""Full dates in running text, with their positions: ISO, day or month first, months in English, German or French."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from functools import lru_cache
from typing import NamedTuple


class DateValue(NamedTuple):
    """A full date in a text. `other` is the second reading of 04/05/2026: `value` is day first, `other` month first."""

    value: date
    other: date | None
    start: int
    end: int


_MONTHS: dict[str, int] = {}
for _number, _names in enumerate(
    (
        "january jan januar janvier",
        "february feb februar février",
        "march mar märz mars",
        "april apr avril",
        "may mai",
        "june jun juni juin",
        "july jul juli juillet",
        "august aug août",
        "september sep sept septembre",
        "october oct oktober octobre",
        "november nov novembre",
        "december dec dezember décembre",
    ),
    start=1,
):
    _MONTHS |= dict.fromkeys(_names.split(), _number)
_MONTH = rf"(?P<month>{'|'.join(sorted(_MONTHS, key=len, reverse=True))})\b\.?"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th|er|\.)?"
_END = r"(?!\w|[.,/-]\d)"
_MONTH_FIRST = re.compile(rf"{_MONTH}[ -]?(?:the )?{_DAY}(?:, ?| )(?P<year>\d{{4}}){_END}", re.IGNORECASE)
_DATES = (
    _MONTH_FIRST,
    re.compile(r"(?<![\w./-])(?P<year>\d{4})([-/.])(?P<month>\d{1,2})\2(?P<day>\d{1,2})(?!\d|[./-]\d)"),
    re.compile(
        rf"(?<![\w.,/]){_DAY}(?: day)?[ -]?(?:of )?{_MONTH}(?:, ?|[ -])(?P<year>\d{{4}}|(?<=-)\d\d){_END}",
        re.IGNORECASE,
    ),
    re.compile(rf"(?<![\w./-])(?P<day>\d{{1,2}})([./-])(?P<month>\d{{1,2}})\2(?P<year>\d{{4}}|(?<!\.)\d\d){_END}"),
)
_CAPITAL_MONTH = "|".join(sorted((name.capitalize() for name in _MONTHS), key=len, reverse=True))
_DAY_AND_MONTH = re.compile(rf"(?<![\w.,/])\d{{1,2}}(?:st|nd|rd|th|\.)? (?:of )?(?:{_CAPITAL_MONTH})\b")
_MONTH_AND_DAY = re.compile(rf"(?:{_CAPITAL_MONTH})\.? \d{{1,2}}(?![\w,.]?\d)")


def _day(year: str, month: int, day: str) -> date | None:
    number = int(year) if len(year) == 4 else int(year) + (2000 if int(year) < 70 else 1900)
    try:
        return date(number, month, int(day))
    except ValueError:
        return None


_MONTH_NAMES = frozenset(_MONTHS)
_WORD = re.compile(r"(?<![\w-])[^\W\d_]+")


@lru_cache(maxsize=8)
def words_in(text: str, wanted: frozenset[str]) -> tuple[int, ...]:
    """Where the wanted (lower-case) words begin; far quicker than one pattern of alternatives tried at every letter."""
    return tuple(match.start() for match in _WORD.finditer(text) if match[0].lower() in wanted)


def dates(text: str) -> list[DateValue]:
    """Full dates of a normalised text, in order: day, month and year, with the month in words or digits.

    Two-digit years are 1970 to 2069. Impossible dates (31 June) are left out.
    """
    return list(_dates(text))


@lru_cache(maxsize=8)
def _dates(text: str) -> tuple[DateValue, ...]:
    found: list[DateValue] = []
    months = words_in(text, _MONTH_NAMES)
    for pattern in _DATES:
        matches: Iterator[re.Match[str]] = pattern.finditer(text)
        if pattern is _MONTH_FIRST:
            matches = (match for start in months if (match := pattern.match(text, start)))
        for match in matches:
            year, month, day = match["year"], match["month"], match["day"]
            if not month.isdigit():
                first, second = _day(year, _MONTHS[month.lower()], day), None
            elif match.start("year") < match.start("month"):
                first, second = _day(year, int(month), day), None
            else:
                first, second = _day(year, int(month), day), _day(year, int(day), month)
            value, other = (first, second) if first else (second, None)
            if value:
                found.append(DateValue(value, other if other != value else None, match.start(), match.end()))
    apart: list[DateValue] = []
    for item in sorted(found, key=lambda item: (item.start, -item.end)):
        if not apart or item.start >= apart[-1].end:
            apart.append(item)
    return tuple(apart)


def parts_of_dates(text: str) -> list[tuple[int, int]]:
    """Where full dates and days of a month ("15 March") stand, in order: digits that are no numbers of their own."""
    days = [*_DAY_AND_MONTH.finditer(text)]
    days += [match for start in words_in(text, _MONTH_NAMES) if (match := _MONTH_AND_DAY.match(text, start))]
    return sorted([(found.start, found.end) for found in _dates(text)] + [match.span() for match in days])

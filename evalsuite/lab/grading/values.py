"""Numbers, amounts of money and dates in running text, with their positions.

Read as a careful English-speaking reader would: "4.2 million" is 4,200,000, "12.5" holds no 12, "1,200" is a thousand and more.
European notation counts where it cannot mean anything else: "1.234.567,89", "12,5", "4 200 000". A number that is part of a
date, a time, a fraction ("2/3"), a code ("C-12", "12b") or a clause number of three levels ("4.2.1") is no number.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from evalsuite.lab.grading.dates import DateValue, dates, parts_of_dates, words_in

__all__ = [
    "CURRENCIES",
    "DateValue",
    "Quantity",
    "amounts",
    "dates",
    "is_amount",
    "normalise",
    "numbers",
    "same_currency",
    "unit_of",
]

_UNSEEN = re.compile("\u00ad(?:\\s*\n\\s*)?|[\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_FRACTIONS = {"½": ".5", "¼": ".25", "¾": ".75", "⅛": ".125", "⅜": ".375", "⅝": ".625", "⅞": ".875"}
_PLAIN = str.maketrans(
    dict.fromkeys("⁰¹²³⁴⁵⁶⁷⁸⁹™®©℠", " ")
    | dict.fromkeys("‐‑‒–—―−⁃", "-")
    | dict.fromkeys("‘’‚‛′`´", "'")
    | dict.fromkeys("“”„‟″«»", '"')
)


def normalise(text: str) -> str:
    """One spelling for one thing: NFKC, plain quotes and dashes, single spaces, no soft hyphens or zero-width characters.

    Note marks (superscript digits) become spaces, so that "4,200¹" stays 4,200. Case is kept. Idempotent.
    """
    if not text.isascii():
        text = _UNSEEN.sub("", text).translate(_PLAIN)
        text = re.sub("(\\d?) ?([½¼¾⅛⅜⅝⅞])", lambda m: (m[1] or "0") + _FRACTIONS[m[2]], text)
        text = unicodedata.normalize("NFKC", text).translate(_PLAIN)
    return " ".join(text.split())


class Quantity(NamedTuple):
    """A number in a text. `start` and `end` are offsets into the text that was scanned.

    currency: ISO code, "$" for a dollar of unnamed country, "" for none. magnitude: the power of ten of a word such as million, or 0.
    bracketed: stands alone in parentheses, which in accounts means negative; `value` is then the positive reading.
    """

    value: Decimal
    currency: str
    percent: bool
    magnitude: int
    bracketed: bool
    start: int
    end: int


_MAGNITUDES = {
    **dict.fromkeys(("thousand", "thousands", "k", "tsd", "tausend"), 3),
    **dict.fromkeys(("million", "millions", "m", "mm", "mn", "mio", "millionen"), 6),
    **dict.fromkeys(("billion", "billions", "b", "bn", "mrd", "milliarden", "milliard", "milliards"), 9),
    **dict.fromkeys(("trillion", "trillions", "tn"), 12),
    **{"lakh": 5, "lakhs": 5, "crore": 7, "crores": 7},
}
_SHORT = ("k", "m", "mm")
CURRENCIES = ("USD", "EUR", "GBP", "CHF", "JPY", "CNY", "INR", "CAD", "AUD", "NZD", "SGD", "HKD", "SEK", "NOK", "DKK", "PLN",
              "CZK", "HUF", "RON", "BRL", "MXN", "ZAR", "KRW", "AED", "SAR", "ILS", "TRY")  # fmt: skip
_LOWER_CODES = ("usd", "eur", "gbp", "chf")  # the others are words in lower case: try, ron, ils
_SIGNS = {"US$": "USD", "CA$": "CAD", "C$": "CAD", "A$": "AUD", "AU$": "AUD", "NZ$": "NZD", "S$": "SGD", "HK$": "HKD"}
_SIGNS |= {"R$": "BRL", "$": "$", "€": "EUR", "£": "GBP", "¥": "JPY", "₹": "INR"}
_NAMES = {"dollar": "$", "euro": "EUR", "pound": "GBP", "yen": "JPY", "rupee": "INR", "swiss franc": "CHF"}
_NAMES |= {f"{land} dollar": code for land, code in (("us", "USD"), ("u.s.", "USD"), ("american", "USD"))}
_NAMES |= {"canadian dollar": "CAD", "australian dollar": "AUD", "singapore dollar": "SGD", "hong kong dollar": "HKD"}
_DOLLARS = {"$", "USD", "CAD", "AUD", "NZD", "SGD", "HKD"}


def same_currency(found: str, wanted: str) -> bool:
    """True if `found` can be `wanted`: a bare "$" can be any dollar. Both as in `Quantity.currency`."""
    return found == wanted or ("$" in (found, wanted) and found in _DOLLARS and wanted in _DOLLARS)


def _either(words: Iterable[str]) -> str:
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


_CODES = f"(?-i:{_either([*CURRENCIES, *_LOWER_CODES])})"
_CODE_OR_SIGN = f"(?:{_either(_SIGNS)}|(?<![^\\W_]){_CODES})"
_DIGITS = re.compile(
    rf"""(?:(?<!\w)|(?<=(?<![^\W_])(?:{"|".join(CURRENCIES)})))(?<!\d[.,:/'])(?<![^\W\d_]-)(?:
        \d{{1,3}}(?:,\d{{3}})+(?:\.\d+)?            # 1,234,567.89
      | \d{{1,2}}(?:,\d{{2}})+,\d{{3}}(?:\.\d+)?     # 12,34,567
      | \d{{1,3}}(?:'\d{{3}})+(?:\.\d+)?            # 1'234'567.89
      | \d{{1,3}}(?:\.\d{{3}}){{2,}}(?:,\d+)?        # 1.234.567,89
      | \d{{1,3}}(?:\.\d{{3}})+,\d+                # 1.234,56
      | \d{{1,3}}(?:\ \d{{3}})+(?<=\ 000)          # 4 200 000
      | \d{{1,3}}(?:\ \d{{3}}){{2,}}(?:[.,]\d+)?
      | \d+[.,]\d+ | \d+
    )(?!\d|[.,:/']\d)""",
    re.VERBOSE,
)
_LONG_MAGNITUDE = rf"[ -]?(?:{_either(m for m in _MAGNITUDES if m not in (*_SHORT, 'b'))})\b"
_AFTER = re.compile(
    rf"""(?:(?P<magnitude>{_LONG_MAGNITUDE}|(?:{_either(_SHORT)})\b)\.?)?(?:x\b)?(?![^\W_])
    (?P<percent>\)?[ ]?(?:%|per[ ]?cent(?:um)?\b|pct\b|prozent\b|pour[ ]cent\b))?
    (?:[ -]?(?P<currency>(?:{_either(_SIGNS)}|{_CODES}\b)(?![ ]?[-(]?\d)|
       (?<=[ -])(?:{_either(_NAMES).replace(chr(92) + " ", "[ ]")})s?\b))?""",
    re.VERBOSE | re.IGNORECASE,
)
_AFTER_MONEY = re.compile(rf" (?:{_either(_SHORT)})\b| ?b\b", re.IGNORECASE)

_UNIT = re.compile(
    rf"(?P<currency>{_CODE_OR_SIGN}|(?:(?<=\()|(?<=\bin )|(?<= of ))(?:{_either(_NAMES)})s?\b)"
    rf"(?:[ ]?(?:in )?(?P<scale>'?000s?|(?:{_either(_MAGNITUDES)})\b))?",
    re.IGNORECASE,
)


def unit_of(label: str) -> tuple[str, Decimal, bool] | None:
    """(currency, scale, percent) that a table's header or row label gives to bare numbers: "Fee (EUR m)", "Rate in %"."""
    match = _UNIT.search(label)
    if match:
        word = (match["scale"] or "").lower()
        if not word and (
            before := re.search(rf"\b({_either(_MAGNITUDES)}) (?:of )?$", label[: match.start()], re.IGNORECASE)
        ):
            word = before[1].lower()
        power = 3 if "000" in word else _MAGNITUDES.get(word, 0)
        return _currency(match["currency"]), Decimal(10) ** power, False
    if "%" in label or re.search(r"\bper ?cent\b", label, re.IGNORECASE):
        return "", Decimal(1), True
    return None


_ONES = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
_TEENS = ["ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_WORDS = (
    {"zero": 0} | {word: i for i, word in enumerate(_ONES + _TEENS, 1)} | {w: 10 * i for i, w in enumerate(_TENS, 2)}
)
_BIG = "thousand|million|billion|trillion"
_BELOW_100 = (
    rf"(?:(?:{'|'.join(_TENS)})(?:[ -](?:{'|'.join(_ONES)})\b)?|(?:{'|'.join(_TEENS)})|(?:{'|'.join(_ONES)}))\b"
)
_BELOW_1000 = rf"(?:(?:{'|'.join(_ONES)}|an?)[ -]hundred\b(?:(?: and|,)? {_BELOW_100})?|{_BELOW_100})"
_SPELLED = re.compile(
    rf"(?<![\w-])(?>zero\b|(?:{_BELOW_1000}|an?(?= (?:{_BIG})\b))(?:[ -](?:{_BIG})\b(?:,?(?: and)? {_BELOW_1000})?)*)"
    r"(?![ -](?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|half|halve|quarter)s?\b)",
    re.IGNORECASE,
)

_DIGIT_RUN = re.compile(r"\d+")
_STARTERS = frozenset(_WORDS) | {"a", "an"}


def _decimal(digits: str) -> Decimal:
    digits = digits.replace(" ", "").replace("'", "")
    groups = re.split("[.,]", digits)
    separators = re.findall("[.,]", digits)
    if not separators:
        return Decimal(digits)
    last = separators[-1]
    if len(separators) == 1:
        thousands = last == "," and len(groups[1]) == 3 and groups[0] != "0" and len(groups[0]) <= 3
    else:
        thousands = separators[0] == last
    whole, part = ("".join(groups), "") if thousands else ("".join(groups[:-1]), groups[-1])
    return Decimal(f"{whole}.{part or 0}")


def _spelled_value(words: str) -> tuple[Decimal, int]:
    total, current, magnitude = 0, 0, 0
    for word in re.findall("[a-z]+", words.lower()):
        if word == "hundred":
            current = max(current, 1) * 100
        elif word in _MAGNITUDES:
            power = _MAGNITUDES[word]
            total, current, magnitude = total + max(current, 1) * 10**power, 0, max(magnitude, power)
        else:
            current += _WORDS.get(word, 0)
    return Decimal(total + current), magnitude


def _currency(name: str | None) -> str:
    if not name:
        return ""
    return _SIGNS.get(name.upper()) or (
        name.upper() if name.upper() in CURRENCIES else _NAMES[name.lower().removesuffix("s")]
    )


def _before(text: str, start: int) -> tuple[str, int]:
    """The currency that ends right before `start` (one space between is allowed), and where it begins."""
    head = text[max(0, start - 5) : start].removesuffix(" ")
    if not head or not (head[-1] in "$€£¥₹" or head[-1].isalpha()):
        return "", start
    shift = 1 if text[start - 1] == " " else 0
    for length in (3, 2, 1):
        name, outside = head[-length:], head[-length - 1 : -length]
        if name.upper() in _SIGNS or (name in (*CURRENCIES, *_LOWER_CODES) and not outside.isalnum()):
            return _currency(name), start - shift - len(name)
    return "", start


def _quantity(text: str, start: int, end: int, value: Decimal, magnitude: int) -> Quantity | None:
    inner = text[start - 1 : start] if start else ""
    currency, begin = _before(text, start - (inner in "-(" and bool(inner)))
    if not currency:
        begin = start
    outer = text[begin - 1 : begin] if begin else ""
    lone = begin < 2 or text[begin - 2] in " (\n"
    negative = (outer == "-" and lone) or (inner == "-" and bool(currency))
    opened = "(" in (inner, outer)
    short = _AFTER_MONEY.match(text, end) if currency else None
    after = _AFTER.match(text, short.end() if short else end)
    if after is None:
        return None
    word = short[0] if short else after["magnitude"]
    if word:
        magnitude = _MAGNITUDES[word.strip(" -").lower()]
        value *= Decimal(10) ** magnitude
    stop = after.end()
    stop -= text[stop - 1] == "."
    bracketed = opened and text[stop : stop + 1] == ")"
    currency = currency or _currency(after["currency"])
    return Quantity(-value if negative else value, currency, bool(after["percent"]), magnitude, bracketed, begin, stop)


def numbers(text: str) -> list[Quantity]:
    """Every number of a normalised text, in order, in digits or English words; parts of dates are left out."""
    taken = parts_of_dates(text)
    starts = [start for start, _ in taken]
    found: list[Quantity | None] = []
    end = 0
    for run in _DIGIT_RUN.finditer(text):
        match = _DIGITS.match(text, run.start()) if run.start() >= end else None
        i = bisect_right(starts, run.start())
        if match and not (i and taken[i - 1][1] > run.start()):
            end = match.end()
            found.append(_quantity(text, *match.span(), _decimal(match[0]), 0))
    end = 0
    for start in words_in(text, _STARTERS):
        match = _SPELLED.match(text, start) if start >= end else None
        if match:
            end = match.end()
            found.append(_quantity(text, *match.span(), *_spelled_value(match[0])))
    quantities = sorted((quantity for quantity in found if quantity), key=lambda quantity: quantity.start)
    return _ranges(text, quantities)


def _ranges(text: str, found: list[Quantity]) -> list[Quantity]:
    """ "$4 to 5 million" is two amounts of millions of dollars, "10-12%" two percentages."""
    for i in range(len(found) - 1, 0, -1):
        first, second = found[i - 1], found[i]
        between = text[first.end : second.start]
        if between not in ("-", " - ", " to ") or first.percent or first.magnitude:
            continue
        scaled = first.value * Decimal(10) ** second.magnitude
        if second.magnitude and scaled < second.value:
            first = first._replace(value=scaled, magnitude=second.magnitude)
        first = first._replace(percent=second.percent, currency=first.currency or second.currency)
        found[i - 1] = first
        if first.currency and not second.currency and not second.percent:
            found[i] = second._replace(currency=first.currency)
    return found


def is_amount(quantity: Quantity) -> bool:
    """True for a sum of money: a currency or a magnitude word was there, and no per cent."""
    return bool(quantity.currency or quantity.magnitude) and not quantity.percent


def amounts(text: str) -> list[Quantity]:
    """The numbers of a normalised text that are sums of money (`is_amount`)."""
    return [quantity for quantity in numbers(text) if is_amount(quantity)]

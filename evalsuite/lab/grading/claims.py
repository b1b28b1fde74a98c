"""The checkable statements of a text: sums, counts with a unit, dates, quoted passages and references to clauses.

Names are found in `names`. Nothing here knows the documents; `grounding` compares.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING

from evalsuite.lab.grading import values

if TYPE_CHECKING:
    from evalsuite.lab.documents import Block

_UNIT_WORDS = {
    "hour": "hours? stunden? heures? horas?",
    "day": "days? tage?n? jours? días? dias?",
    "week": "weeks? wochen? semaines? semanas?",
    "month": "months? monate?n? mois meses mes",
    "year": "years? jahre?n? anniversar(?:y|ies) ans? années? años?",
    "point": "bps basis\\spoints?",
    "thing": "employees? workers? staff shares? units? options? warrants? votes? tons? tonnes? barrels? acres? "
    "hectares? "
    "miles? km kilomet(?:er|re)s? met(?:er|re)s? feet ft sq\\.? square m² kg mw mwh kwh customers? contracts? "
    "agreements? "
    "leases? properties sites? locations? vehicles? assets? patents? claims? invoices? orders? users? licen[cs]es?",
}
_UNIT = re.compile(
    r"\)?[ -]?(?:(?:calendar|business|working|trading|full|consecutive|additional|further|clear|prior) ){0,2}(?:"
    + "|".join(f"(?P<{unit}>{words.replace(' ', '|')})" for unit, words in _UNIT_WORDS.items())
    + r")\b",
    re.IGNORECASE,
)
_IN_MONTHS = {"month": ("month", 1), "year": ("month", 12), "day": ("day", 1), "week": ("day", 7), "hour": ("hour", 1)}

_REFERENCE_WORDS = (
    "clauses? sections? articles? paragraphs? paras?\\.? schedules? exhibits? annex(?:es)? appendi(?:x|ces) sec\\. "
    "sect\\. art\\. cl\\. ziffern? artikeln? klauseln? anlagen? absatz abschnitte?n? annexes? cláusulas? artículos?"
)
_NUMBERED = r"\d+(?:\.\d+)*(?: ?\([a-z0-9]{1,4}\))*"
_REFERENCE = re.compile(
    rf"(?:(?<!\w)(?P<word>{_REFERENCE_WORDS.replace(' ', '|')})|§§?) ?(?:no\. ?)?"
    rf"(?P<first>{_NUMBERED}|(?-i:[IVXLC]+|[A-Z](?:[-.]?\d+)?)(?![\w']))"
    rf"(?P<more>(?:(?:,| and| or| und| to| ?-| through|, and) ?{_NUMBERED}(?! ?%|\w|[.,]\d| days| months| years))*)",
    re.IGNORECASE,
)
_STATUTE = re.compile(
    r"^.{0,12}?(?:\bof|,|\bunder|\bto)? ?(?:the )?(?:[A-Z][\w.'&-]*,? (?:of |and |& |on )?){0,7}"
    r"(?:Act|Code|Law|Laws|Regulations?|Directive|Rules?|Statutes?|Ordinance|Constitution|Convention|Treaty|"
    r"Gesetzbuch|Gesetz|BGB|HGB|AktG|GmbHG|InsO|UmwG|ZPO|GWB|WpHG|GDPR|DSGVO|TFEU|AEUV|UCC|DGCL|IRC|ERISA|"
    r"Restatement)\b"
)
_CODE_BEFORE = re.compile(
    r"(?:U\.?S\.?C\.?|C\.?F\.?R\.?|Code|Act|Law|GDPR|DGCL|IRC|UCC|ERISA|Regulation),? ?(?:Ann\. ?)?$"
)
_OWN = re.compile(
    r"^.{0,20}?\b(?:above|below|of this (?:memo(?:randum)?|report|note|letter|opinion|advice)|hereof)\b", re.I
)

_QUOTED = re.compile(
    r"""(?<![\w"])"(?=\S)([^"]{12,2000}?)"(?!\w)|(?<![\w'])'(?=\w)((?:[^'"]|(?<=\w)'(?=\w)){12,2000}?)'(?!\w)"""
)
_OWN_WORDING = re.compile(
    r"\b(?:propos|recommend|suggest|insert|redraft|amend|replac|revis|wording|language|to read|such as|"
    r"along the lines|e\.g\.)"
    r"[^.]{0,80}$",
    re.IGNORECASE,
)
_HEADER = re.compile(
    r"^\W*(?:to|from|cc|bcc|date|dated|re|subject|matter|prepared (?:by|for|on)|author|reviewed by|attn|attention|"
    r"an|von|"
    r"datum|betreff|de|à|para|fecha|asunto|objet)\s*(?::|\|)",
    re.IGNORECASE,
)
_LIST_NUMBER = re.compile(r"^\W{0,3}(?:[A-Za-z]{1,3}[-.]?)?\d+(?:\.\d+)*[.):]?(?=\s|$)")
_LABEL_BEFORE = re.compile(
    r"(?:\b(?:rule|form|chapter|title|part|regulation|directive|item|no|nos|nr|number|case|tab|pages?|pp?|figure|"
    r"table|row|"
    r"step|phase|version|box|suite|unit|floor|room|building|lot|block|level|tier|priority|stage|u\.s\.c|c\.f\.r|"
    r"issue|flag|"
    r"iso|question|category|class|series|tranche|note|footnote|volume|vol)\.?|#) ?$",
    re.IGNORECASE,
)
_ABOUT = re.compile(
    r"(?:~|≈|\b(?:approximately|approx\.?|about|roughly|around|circa|ca?\.|some|nearly|almost|over|under|more than|"
    r"less than|"
    r"at least|up to|exceeding|in excess of|rund|etwa|environ)) ?$",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W_]+")
_FORMULA = re.compile(r"\s*\{=[^}]*\}")


@dataclass(frozen=True)
class Claim:
    """One statement that the documents either hold or do not.

    kind: amount number date quote name section
    block: the running number of the block
    phrases: of a quote or name, the `words` that a document must hold; days: both readings of a date
    part, reference: "schedule", "exhibit" ... or "", and the number as it is written, without spaces
    own: the reference may be to the deliverable itself
    unit: of a number: "%", "day", "month", "hour", "thing" or ""
    step: the width of what the number may have been rounded from, 0 where it is given exactly
    """

    kind: str
    text: str
    where: str
    block: int
    phrases: tuple[str, ...] = ()
    days: tuple[date, ...] = ()
    part: str = ""
    reference: str = ""
    own: bool = False
    unit: str = ""
    value: Decimal = Decimal(0)
    currency: str = ""
    step: Decimal = Decimal(0)


def shown(block: Block) -> str:
    """A block's text as it is compared: normalised, cells parted by bars, without formulas and cell addresses."""
    text = " | ".join(cell for cell in block.cells if cell) if block.cells else block.text
    return values.normalise(_FORMULA.sub("", text))


def words(text: str) -> str:
    """The words of a text in lower case, with one space around each: what passages and names are searched in."""
    return " " + " ".join(_WORD.findall(text.lower())) + " "


def is_header(text: str) -> bool:
    """True for the To, From and Date lines of a memorandum."""
    return _HEADER.match(text) is not None


def claims_in(text: str, where: str, block: int) -> Iterator[Claim]:
    """The claims of one block's normalised text, without names."""
    taken = [match.span() for match in _REFERENCE.finditer(text)]
    numbered = _LIST_NUMBER.match(text)
    if numbered and not re.match(r" ?%", text[numbered.end() :]) and not _unit(text, numbered.end()):
        taken.append(numbered.span())
    if not is_header(text):
        for day in values.dates(text):
            readings = (day.value, day.other) if day.other else (day.value,)
            yield Claim("date", text[day.start : day.end], where, block, days=readings)
    yield from _numbers(text, where, block, taken)
    yield from _sections(text, where, block)
    for match in _QUOTED.finditer(text):
        passage = match[1] or match[2]
        if len(passage.split()) >= 4 and not _is_term(passage) and not _OWN_WORDING.search(text[: match.start()]):
            yield Claim("quote", passage, where, block, phrases=tuple(parts_of(passage)))


def parts_of(passage: str) -> list[str]:
    """The parts of a quotation between its omissions and insertions, as `words`; "[t]he" is "the"."""
    text = re.sub(r"\[(\w)\]", r"\1", passage)
    parts = [words(part) for part in re.split(r"\[[^\]]*\]|\.\.\.+|…|\. \. \.", text)]
    return [part for part in parts if len(part.split()) > 1] or [words(text)]


def measure(quantity: values.Quantity, text: str) -> tuple[str, Decimal]:
    """(unit, value in it): years as months, weeks as days, basis points as per cent; ("", value) without a unit."""
    if quantity.percent:
        return "%", quantity.value
    unit = _unit(text, quantity.end)
    if unit in _IN_MONTHS:
        family, factor = _IN_MONTHS[unit]
        return family, quantity.value * factor
    if unit == "point":
        return "%", quantity.value / 100
    return ("thing" if unit or text[quantity.start : quantity.end].endswith("x") else ""), quantity.value


def references(text: str) -> Iterator[tuple[str, str, int, int]]:
    """(kind of part, reference, start, end) of a normalised text: ("", "14.2(b)", ...), ("schedule", "3", ...)."""
    for match in _REFERENCE.finditer(text):
        word = (match["word"] or "").lower()
        family = next(
            (name for name in ("schedule", "exhibit", "annex", "append", "anlage") if word.startswith(name)), ""
        )
        for found in [match["first"], *re.findall(_NUMBERED, match["more"] or "")]:
            yield family, found.replace(" ", "").lower().rstrip("."), match.start(), match.end()


def _sections(text: str, where: str, block: int) -> Iterator[Claim]:
    for family, reference, start, end in references(text):
        lone_letter = not family and not reference[0].isdigit()
        statute = _STATUTE.match(text[end : end + 90]) or _CODE_BEFORE.search(text[max(0, start - 20) : start])
        if not lone_letter and not statute and not _OWN.match(text[end : end + 50]):
            own = text[start:end].lower().startswith(("section", "part", "paragraph"))
            yield Claim("section", text[start:end].strip(), where, block, part=family, reference=reference, own=own)


def _numbers(text: str, where: str, block: int, taken: list[tuple[int, int]]) -> Iterator[Claim]:
    for quantity in values.numbers(text):
        if any(start <= quantity.start < end for start, end in taken):
            continue
        unit, value = measure(quantity, text)
        kind = "amount" if values.is_amount(quantity) else "number"
        written = text[quantity.start : quantity.end].rstrip(".")
        if kind == "number" and not unit and not _counts(quantity, text, written):
            continue
        if kind == "number" and unit == "thing" and abs(value) < 10 and not written.endswith("x"):
            continue
        about = _ABOUT.search(text[max(0, quantity.start - 16) : quantity.start]) is not None
        step = _step(quantity, written, about)
        currency = quantity.currency
        yield Claim(kind, written, where, block, unit=unit, value=value, currency=currency, step=step)


def _counts(quantity: values.Quantity, text: str, written: str) -> bool:
    """True for a bare number worth checking: not small, not a year, not the number of a rule, case or page."""
    if not written.strip("-()")[:1].isdigit() or _LABEL_BEFORE.search(
        text[max(0, quantity.start - 14) : quantity.start]
    ):
        return False
    if quantity.value != quantity.value.to_integral_value():
        return True
    year = re.fullmatch(r"(?:19|20)\d\d", written)
    return abs(quantity.value) >= 100 and not year and not re.match(r"[-/]\w", text[quantity.end :])


def _step(quantity: values.Quantity, written: str, about: bool) -> Decimal:
    digits = re.search(r"\d[\d,]*(?:\.(\d+))?", written)
    if not digits:
        return Decimal(0)
    shown_value = Decimal(digits[0].replace(",", ""))
    decimals = len(digits[1] or "")
    significant = len(digits[0].replace(",", "").replace(".", "").strip("0"))
    if quantity.percent or quantity.magnitude:
        if not shown_value or (significant < 2 and not about):
            return Decimal(0)
        return abs(quantity.value) / shown_value * Decimal(10) ** -decimals
    zeros = len(digits[0]) - len(digits[0].rstrip("0,")) if not decimals else 0
    return Decimal(10) ** min(zeros, 6) if about and zeros >= 2 else Decimal(0)


def _is_term(passage: str) -> bool:
    """True for a defined term or title: every longer word begins with a capital."""
    return all(word[:1].isupper() or not word[:1].isalpha() for word in passage.split() if len(word) > 3)


def _unit(text: str, end: int) -> str:
    match = _UNIT.match(text, end)
    return str(match.lastgroup) if match else ""

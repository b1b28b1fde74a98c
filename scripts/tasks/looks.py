"""How each firm's papers look: fonts by area, manner by the kind of document."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import takewhile
from math import sqrt

from markup import Source

_FONTS = {  # by area: a serif for agreements, letters and memos, a sans for the rest
    "banking-finance": ("Times New Roman", "Arial"),
    "corporate-ma": ("Georgia", "Calibri"),
    "data-privacy-cybersecurity": ("Cambria", "Segoe UI"),
    "employment-labor": ("Times New Roman", "Verdana"),
    "insurance": ("Garamond", "Tahoma"),
    "intellectual-property": ("Palatino Linotype", "Calibri"),
    "litigation-dispute-resolution": ("Times New Roman", "Arial"),
    "real-estate": ("Georgia", "Arial"),
}
_USUAL = ("Times New Roman", "Arial")
_AGREEMENT = re.compile(
    r"agreement|deed|lease|licence|amendment|variation|order|policy mcc|certificate|endorsement", re.I
)
_AMOUNT = re.compile(r"\(?[-+]?(?:[£$€]|[A-Z]{3} )? ?[\d,]+(?:\.\d+)?(?:[%x]|:1| ?m| million)?\)?|nil|none|n/a|-", re.I)

LETTERS = 80  # about as many as a table's row has room for
LONGEST_WORD = 17  # longer ones, such as an address, may be broken


@dataclass(frozen=True)
class Look:
    """font: Word's; core: the PDF's font of the same character; size in points."""

    font: str
    core: str
    size: float
    justified: bool = False
    letter: bool = False


def look(source: Source, area: str, *, memo: bool = False) -> Look:
    """Agreements in a justified serif, letters and memos in a ragged one, the rest in a sans."""
    serif, sans = _FONTS.get(area, _USUAL)
    opening = takewhile(lambda block: block.kind in ("title", "paragraph"), source.blocks)
    letter = any(block.text.startswith("Dear ") for block in opening)
    if memo or letter:
        return Look(serif, "Times", 11, letter=letter)
    if _AGREEMENT.search(source.title):
        return Look(serif, "Times", 11, justified=True)
    return Look(sans, "Helvetica", 10)


def is_amount(text: str) -> bool:
    """A sum, a number or a share: what stands to the right in a table."""
    return _AMOUNT.fullmatch(text.strip()) is not None


def amount_columns(rows: list[list[str]]) -> list[bool]:
    """Which columns stand to the right: those after the first that hold nothing but amounts below their head."""
    columns = [[cell for cell in column[1:] if cell] for column in zip(*rows, strict=True)]
    return [number > 0 and bool(column) and all(map(is_amount, column)) for number, column in enumerate(columns)]


def column_widths(rows: list[list[str]], width: float) -> list[float]:
    """Widths that add up to `width`: room for every column's longest word first, the rest by how much text there is."""
    columns = list(zip(*rows, strict=True))
    words = [[len(word) for cell in column for word in ["", *cell.split()]] for column in columns]
    least = [1.15 * min(max(column), LONGEST_WORD) + 2.5 for column in words]
    means = [sum(map(len, column)) / len(column) for column in columns]
    wanted = [
        max(low, min(max(map(len, column)) + 3, 6 * sqrt(mean)))  # the square root gives the fewest lines in all
        for low, column, mean in zip(least, columns, means, strict=True)
    ]
    spare, more = max(LETTERS - sum(least), 0), sum(wanted) - sum(least)
    if sum(wanted) > LETTERS and more:
        wanted = [low + spare * (want - low) / more for low, want in zip(least, wanted, strict=True)]
    return [width * want / sum(wanted) for want in wanted]

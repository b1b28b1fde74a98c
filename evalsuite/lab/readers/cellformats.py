"""How a sheet shows a number: dates as ISO, percents with their sign, everything else as the plain value."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple

from evalsuite.lab.readers.package import FALSE
from evalsuite.lab.readers.wordstyles import UNKNOWN, WHITE, Look, unseen

S = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"

_DATES = {*range(14, 23), *range(27, 37), 45, 46, 47, *range(50, 59)}  # built-in formats, ECMA-376 18.8.30
_TIMES = {18, 19, 20, 21, 45, 46, 47}
_LITERAL = re.compile(r'"[^"]*"|\\.|_.|\*.|\[(?!h+\]|m+\]|s+\])[^\]]*\]', re.IGNORECASE)
_INDEXED = {"0": "000000", "1": WHITE, "8": "000000", "9": WHITE}
_SLOTS = ("lt1", "dk1")  # the sheet's theme colours 0 and 1


class Style(NamedTuple):
    """kind: number, percent, date, time or datetime; hidden: why the value is not seen, or ""."""

    kind: str = "number"
    hidden: str = ""


class Formats:
    """xl/styles.xml and the theme; both may be None."""

    def __init__(self, root: Any, theme: Any, epoch_1904: bool) -> None:
        self._epoch = datetime(1904, 1, 1) if epoch_1904 else datetime(1899, 12, 30)
        self._codes: dict[int, str] = {}
        self._formats: list[Any] = []
        self._fonts: list[Any] = []
        self._fills: list[Any] = []
        if root is not None:
            self._codes = {int(f.get("numFmtId", "0")): f.get("formatCode", "") for f in root.iter(S + "numFmt")}
            self._formats, self._fonts, self._fills = (
                list(_under(root, name)) for name in ("cellXfs", "fonts", "fills")
            )
        self.of = cache(self._of)

    def _of(self, index: str) -> Style:
        """The style of a cell by its `s` attribute."""
        if not index.isdigit() or int(index) >= len(self._formats):
            return Style()
        entry = self._formats[int(index)]
        number = int(entry.get("numFmtId", "0"))
        code = self._codes.get(number)
        hidden = "number format" if code is not None and re.fullmatch(r";;;?", code.strip()) else ""
        return Style(_kind(number, code), hidden or self._unseen(entry))

    def _unseen(self, entry: Any) -> str:
        font, fill = int(entry.get("fontId", "0")), int(entry.get("fillId", "0"))
        if font >= len(self._fonts):
            return ""
        size = self._fonts[font].find(S + "sz")
        color = _color(self._fonts[font].find(S + "color"))
        pattern = self._fills[fill].find(S + "patternFill") if fill < len(self._fills) else None
        background = UNKNOWN
        if pattern is not None:
            solid = pattern.get("patternType", "none") not in ("none",)
            background = (_color(pattern.find(S + "fgColor")) or UNKNOWN) if solid else WHITE
        points = float(size.get("val", "11")) if size is not None else None
        return unseen(Look(size=points, color=color), background)

    def number(self, raw: str, style: Style) -> str:
        """A stored number as its format means it."""
        try:
            value = float(raw)
        except ValueError:
            return raw
        if style.kind == "percent":
            return f"{value * 100:.15g}%"
        if style.kind in ("date", "time", "datetime"):
            return self._moment(value, style.kind)
        return f"{value:.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:.15g}"

    def _moment(self, value: float, kind: str) -> str:
        days = value + 1 if self._epoch.year == 1899 and 0 < value < 60 and kind != "time" else value
        try:
            moment = self._epoch + timedelta(seconds=round(days * 86400))
        except (OverflowError, ValueError):
            return f"{value:.15g}"
        if kind == "time":
            seconds = round(value * 86400)
            return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
        if kind == "date" and moment.hour == moment.minute == moment.second == 0:
            return moment.strftime("%Y-%m-%d")
        return moment.strftime("%Y-%m-%d %H:%M:%S")


def _under(root: Any, name: str) -> Iterable[Any]:
    found = root.find(S + name)
    return found if found is not None else ()


def _color(node: Any) -> str | None:
    """RRGGBB of a colour element where it is plainly stated; None for automatic ones, UNKNOWN for the rest."""
    if node is None or node.get("auto", "0") not in FALSE:
        return None
    if node.get("rgb"):
        return str(node.get("rgb"))[-6:].upper()
    if node.get("theme") == "0" and float(node.get("tint", "0")) == 0:
        return WHITE
    if node.get("indexed") is not None:
        return _INDEXED.get(node.get("indexed"), None if node.get("indexed") == "64" else UNKNOWN)
    return "000000" if node.get("theme") == "1" else UNKNOWN


def _kind(number: int, code: str | None) -> str:
    if code is None:
        if number in _DATES:
            return "datetime" if number == 22 else "time" if number in _TIMES else "date"
        return "percent" if number in (9, 10) else "number"
    letters = _LITERAL.sub("", code.split(";")[0]).lower()
    if letters in ("general", "@"):
        return "number"
    if "%" in letters:
        return "percent"
    day, hour = "d" in letters or "y" in letters, "h" in letters or "s" in letters
    if day or hour:
        return "datetime" if day and hour else "date" if day else "time"
    return "date" if "m" in letters else "number"


@cache
def column_number(letters: str) -> int:
    """ "A" -> 1, "AB" -> 28."""
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number


@cache
def column_letters(number: int) -> str:
    """1 -> "A", 28 -> "AB"."""
    letters = ""
    while number > 0:
        number, rest = divmod(number - 1, 26)
        letters = chr(65 + rest) + letters
    return letters

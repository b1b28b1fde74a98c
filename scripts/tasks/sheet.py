"""An .xlsx from a .xlsx.yaml in source/: {sheet: {hidden: true, rows: [[...]]}}, a cell {f: formula, v: its result}."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Iterator
from datetime import date
from typing import Any
from xml.sax.saxutils import escape

import yaml
from markup import SourceError
from openpyxl import Workbook
from openpyxl.styles import Alignment, Border, Font, PatternFill, Side
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.header_footer import HeaderFooterItem, _HeaderFooterPart
from openpyxl.worksheet.properties import PageSetupProperties
from openpyxl.worksheet.worksheet import Worksheet
from package import MADE, repacked

_SHARE = re.compile(r"rate\b|share|rise|mark-up|target|multiplier|loading|discount|forecast|per ?cent|%", re.I)
_PLAIN, _BOLD = Font(name="Calibri", size=11), Font(name="Calibri", size=11, bold=True)
_HEAD = PatternFill("solid", fgColor="E4E7EC")
_LINE = Border(bottom=Side(style="thin", color="808080"))
LEAST_WIDE, LINE_HEIGHT = 9, 15.0

Sheets = dict[str, dict[str, Any]]


def load(text: str, where: str) -> Sheets:
    """Raises SourceError for what is not in this form."""
    sheets: Any = yaml.safe_load(text)
    for name, sheet in sheets.items():
        unknown = set(sheet) - {"hidden", "rows"}
        if unknown or "rows" not in sheet:
            raise SourceError(f"{where}: sheet {name!r} has {sorted(sheet)}, expected rows and, if need be, hidden")
        for number, row in enumerate(sheet["rows"], start=1):
            for cell in row:
                if isinstance(cell, dict) and (set(cell) != {"f", "v"} or not str(cell["f"]).startswith("=")):
                    raise SourceError(f"{where}: {name} row {number}: expected {{f: =..., v: ...}}, found {cell}")
                if not isinstance(cell, dict | str | int | float | date | None):
                    raise SourceError(f"{where}: {name} row {number}: cannot write {cell!r}")
    return dict(sheets)


def workbook(sheets: Sheets, *, results: bool = True) -> bytes:
    """results: store with each formula what a spreadsheet program would have."""
    book = Workbook()
    book.remove(book.worksheets[0])
    book.properties.creator = ""
    stored: dict[str, dict[str, Any]] = {}
    for number, (name, content) in enumerate(sheets.items(), start=1):
        sheet = book.create_sheet(name)
        sheet.sheet_state = "hidden" if content.get("hidden") else "visible"
        _fill(sheet, content["rows"])
        stored[f"xl/worksheets/sheet{number}.xml"] = {place: cell["v"] for place, cell in formulas(content["rows"])}
    stream = io.BytesIO()
    book.save(stream)

    def with_results(name: str, content: bytes) -> bytes:
        text = content.decode("utf-8")
        if name == "docProps/core.xml":
            text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", MADE.strftime("%Y-%m-%dT%H:%M:%SZ"), text)
        for place, value in stored.get(name, {}).items() if results else ():
            text = _with_result(text, place, value)
        return text.encode("utf-8")

    return repacked(stream.getvalue(), with_results)


def formulas(rows: list[list[Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """("B4", {f, v}) of each formula."""
    for number, row in enumerate(rows, start=1):
        for column, cell in enumerate(row, start=1):
            if isinstance(cell, dict):
                yield f"{get_column_letter(column)}{number}", cell


def _with_result(text: str, place: str, value: Any) -> str:
    """A sheet's XML with the result of the formula at `place`, which openpyxl leaves empty."""
    found = re.search(rf'<c r="{place}"([^>]*?)(?: t="\w+")?><f>([^<]*)</f><v ?/?>(?:</v>)?', text)
    if found is None:
        raise ValueError(f"{place}: no formula to store the result in")
    kind = ' t="str"' if isinstance(value, str) else ' t="b"' if isinstance(value, bool) else ""
    if isinstance(value, date):
        value = (value - date(1899, 12, 30)).days
    shown = escape(value) if isinstance(value, str) else str(int(value)) if isinstance(value, bool) else repr(value)
    cell = f'<c r="{place}"{found[1]}{kind}><f>{found[2]}</f><v>{shown}</v>'
    return text[: found.start()] + cell + text[found.end() :]


def _fill(sheet: Worksheet, rows: list[list[Any]]) -> None:
    values = [[cell["v"] if isinstance(cell, dict) else cell for cell in row] for row in rows]
    heads = [number for number in range(len(rows)) if _is_head(values, number)]
    for number, row in enumerate(rows):
        head = max((above for above in heads if above < number), default=None)
        for column, cell in enumerate(row):
            if number in heads:
                sheet.cell(number + 1, column + 1).fill, sheet.cell(number + 1, column + 1).border = _HEAD, _LINE
            if cell is None or cell == "":
                continue
            target = sheet.cell(number + 1, column + 1, cell["f"] if isinstance(cell, dict) else cell)
            value = values[number][column]
            heading = values[head][column] if head is not None and column < len(values[head]) else ""
            target.number_format = _format(value, f"{values[number][0]} {heading}")
            target.font = _PLAIN
            across = None if isinstance(value, int | float | date) else "left"
            wrap = across is not None and len(_filled(values[number])) > 1
            target.alignment = Alignment(
                vertical="top", wrap_text=wrap, horizontal=across, indent=int(bool(across and column))
            )
            if number in heads:
                target.font = _BOLD
                below = [other[column] for other in values[number + 1 :] if column < len(other)]
                if any(isinstance(other, int | float) for other in below[:1]):
                    target.alignment = Alignment(vertical="top", wrap_text=True, horizontal="right")
            elif number == 0 or (len(_filled(values[number])) > 1 and re.match("total", str(values[number][0]), re.I)):
                target.font = _BOLD
    _measure(sheet, values, heads)
    if heads and heads[0] < 4:
        sheet.freeze_panes = f"A{heads[0] + 2}"
    sheet.page_setup.orientation, sheet.page_setup.paperSize = "landscape", 9
    sheet.page_setup.fitToWidth, sheet.page_setup.fitToHeight = 1, 0
    sheet.sheet_properties.pageSetUpPr = PageSetupProperties(fitToPage=True)
    sheet.oddFooter = HeaderFooterItem(center=_HeaderFooterPart(text="&A, page &P of &N"))


def _measure(sheet: Worksheet, values: list[list[Any]], heads: list[int]) -> None:
    """Column widths from what stands below the head, and row heights for what does not fit in one line."""
    count = max(map(len, values))
    widest = {1: 70, 2: 60, 3: 48, 4: 40, 5: 34, 6: 30}.get(count, 24)
    widths = []
    for column in range(count):
        cells = [
            (number, row[column]) for number, row in enumerate(values) if column < len(row) and len(_filled(row)) > 1
        ]
        longest = max((_width(cell) for number, cell in cells if number not in heads), default=0)
        words = [
            part
            for number, cell in cells
            if number in heads
            for part in (str(cell or "")[:20], *str(cell or "").split())
        ]
        word = max((len(part) + 1 for part in words), default=0)
        widths.append(min(max(longest, word, LEAST_WIDE) + 3, widest))
        sheet.column_dimensions[get_column_letter(column + 1)].width = widths[-1]
    for number, row in enumerate(values):
        if len(_filled(row)) > 1:
            texts = [(cell, width) for cell, width in zip(row, widths, strict=False) if isinstance(cell, str)]
            lines = max((len(textwrap.wrap(cell, width - 2)) for cell, width in texts), default=1)
            sheet.row_dimensions[number + 1].height = LINE_HEIGHT * max(lines, 1)


def _filled(row: list[Any]) -> list[Any]:
    return [cell for cell in row if cell not in (None, "")]


def _is_head(values: list[list[Any]], number: int) -> bool:
    """A row of words over a row with numbers, or the first row if it has several words."""
    row = values[number]
    filled = _filled(row)
    if len(filled) < 2 or not all(isinstance(cell, str) for cell in filled):
        return False
    below = next((other for other in values[number + 1 :] if len(_filled(other)) > 1), [])
    over = any(not isinstance(cell, str) for cell in _filled(below))
    before = len(_filled(values[number - 1])) if number else 0
    return (over and (before < 2 or len(filled) > max(2, before))) or (number == 0 and len(filled) > 2)


def _width(value: Any) -> int:
    return len(f"{value:,.2f}") if isinstance(value, int | float) else len(str(value or ""))


def _format(value: Any, label: str) -> str:
    if isinstance(value, date):
        return "d mmm yyyy"
    if isinstance(value, str) or value is None:
        return "General"
    if isinstance(value, float) and abs(value) <= 1 and _SHARE.search(label):
        return "0%" if round(value * 100, 6).is_integer() else "0.0%"
    if isinstance(value, int) or (float(value).is_integer() and abs(value) >= 100):
        return "#,##0"
    return "#,##0.00" if round(value, 2) == value else "#,##0.0000"

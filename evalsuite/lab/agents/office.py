"""Markdown that keeps text as it is, and office files with the same bytes every time they are made."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Sequence
from datetime import datetime
from typing import Any

EPOCH = datetime(2000, 1, 1)
MAX_CELL = 32_000  # Excel refuses a cell of more than 32,767 characters
ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_STAMP = re.compile(rb'(w:date=")[^"]*(")|(<dcterms:(?:created|modified)[^>]*>)[^<]*(<)')


_MARKUP = re.compile(r"[\\`*|]|~~|&(?=[\w#])|(?<!\w)_|_(?!\w)|\[(?=[^\]]*\]\()|^[#>+-]|^\d+(?=[.)])")


def plain(text: str) -> str:
    """One line of text as Markdown that reads as the same text. Only what would be taken for markup is escaped."""
    return _MARKUP.sub(_escaped, " ".join(text.split()))


def _escaped(match: re.Match[str]) -> str:
    found = match.group()
    return f"{found}\\" if found.isdigit() else "".join(f"\\{letter}" for letter in found)


def stable_zip(content: bytes) -> bytes:
    """The same archive with every time in it (of its members, comments and core properties) set to 2000-01-01."""
    buffer = io.BytesIO()
    stamp = EPOCH.strftime("%Y-%m-%dT%H:%M:%SZ").encode()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.infolist():
            data = old.read(member)
            if member.filename.endswith(("core.xml", "comments.xml")):
                data = _STAMP.sub(
                    lambda m: (m[1] or m[3]) + stamp + (m[2] or m[4]),
                    data,
                )
            new.writestr(zipfile.ZipInfo(member.filename, EPOCH.timetuple()[:6]), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def workbook_bytes(workbook: Any) -> bytes:
    """An openpyxl workbook as a file."""
    buffer = io.BytesIO()
    workbook.save(buffer)
    return stable_zip(buffer.getvalue())


def table_bytes(rows: Sequence[Sequence[str]], title: str = "Sheet1") -> bytes:
    """One sheet of text, its first row in bold. Text is never taken for a formula."""
    from openpyxl import Workbook
    from openpyxl.styles import Alignment, Font

    workbook = Workbook()
    sheet: Any = workbook.active
    sheet.title = re.sub(r"[\[\]:*?/\\]", " ", title)[:31].strip() or "Sheet1"
    for number, row in enumerate(rows, start=1):
        for column, text in enumerate(row, start=1):
            cell = sheet.cell(number, column)
            cell.value = ILLEGAL.sub(" ", text)[:MAX_CELL]
            cell.data_type = "s"
            cell.alignment = Alignment(wrap_text=True, vertical="top")
            if number == 1:
                cell.font = Font(bold=True)
    for index in range(1, sheet.max_column + 1):
        widest = max(
            (len(str(cell.value or "")) for (cell,) in sheet.iter_rows(min_col=index, max_col=index)), default=8
        )
        sheet.column_dimensions[sheet.cell(1, index).column_letter].width = min(60, max(10, widest + 2))
    return workbook_bytes(workbook)

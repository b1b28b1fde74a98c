"""Excel workbooks: values as shown beside their formulas, comments, and what is hidden.

One pass over the XML of each sheet gives value and formula together, and rows that are merely formatted cost nothing
but their parsing.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from lxml import etree

from evalsuite.lab.documents import Block, Changes, Contents, UnreadableError
from evalsuite.lab.readers.cellformats import Formats, S, column_letters, column_number
from evalsuite.lab.readers.package import FALSE, A, Package, R

TC = "{http://schemas.microsoft.com/office/spreadsheetml/2018/threadedcomments}"
XDR = "{http://schemas.openxmlformats.org/drawingml/2006/spreadsheetDrawing}"

_REFERENCE = re.compile(r"([A-Z]{1,3})(\d{1,7})")
_MAX_WIDTH = 2000
_VALUE, _FORMULA, _INLINE, _TEXT = S + "v", S + "f", S + "is", S + "t"
_EMPTY_CELL = re.compile(rb'<c r="[A-Z]+\d+"[^<>]*(?:/>|></c>)')
_EMPTY_ROW = re.compile(rb'<row r="\d+"[^<>]*(?:/>|>\s*</row>)')


class _Cell(NamedTuple):
    """column from 1; shown: the value and the formula; value: what a table's cell holds, the formula if nothing else."""

    column: int
    value: str
    shown: str
    hidden: str


def extract(data: bytes, extension: str, changes: Changes, depth: int) -> Contents:
    """A .xlsx, .xlsm or .xltx."""
    package = Package(data, "an Excel workbook", "xl/workbook.xml", "workbook")
    return _Workbook(package).contents()


@dataclass
class _Sheet:
    name: str
    part: str
    hidden: str
    columns: list[tuple[int, int]] = field(default_factory=list)  # hidden ones, from and to
    shared: dict[str, tuple[str, str]] = field(default_factory=dict)  # shared formulas: where first, formula


class _Workbook:
    def __init__(self, package: Package) -> None:
        self.package = package
        related = {relation.kind: relation.target for relation in package.relations(package.main).values()}
        self.formats = Formats(
            package.optional(related.get("styles")), package.optional(related.get("theme")), _epoch_1904(package.root)
        )
        strings = package.optional(related.get("sharedStrings"))
        self.strings = [_rich(item) for item in strings.iterfind(S + "si")] if strings is not None else []
        self.uncalculated: list[str] = []
        self.notes: list[str] = []

    def contents(self) -> Contents:
        blocks: list[Block] = []
        sheets = self.package.root.find(S + "sheets")
        relations = self.package.relations(self.package.main)
        for entry in sheets if sheets is not None else ():
            relation = relations.get(entry.get(R + "id", ""))
            state = {"hidden": "hidden sheet", "veryHidden": "very hidden sheet"}.get(entry.get("state", ""), "")
            name = entry.get("name", "")
            blocks.append(Block(name, f"Sheet: {name}", "part", hidden=state))
            if relation is None or relation.target not in self.package:
                self.notes.append(f"{name} is missing from the file")
            else:
                blocks += self.sheet(_Sheet(name, relation.target, state))
        if self.uncalculated:
            shown = ", ".join(self.uncalculated[:5]) + (", ..." if len(self.uncalculated) > 5 else "")
            self.notes.append(
                f"holds {len(self.uncalculated)} formulas without a stored value (the workbook was never calculated): {shown}"
            )
        return Contents(tuple(blocks), tuple(self.notes))

    def sheet(self, sheet: _Sheet) -> Iterator[Block]:
        yield from self.rows(sheet)
        yield from self.comments(sheet)
        yield from self.drawings(sheet)

    def rows(self, sheet: _Sheet) -> Iterator[Block]:
        data = self.package.bytes(sheet.part)
        if b"<!DOCTYPE" in data[:4096]:
            raise UnreadableError(f"is refused: its part {sheet.part} declares a document type")
        if b"<![CDATA[" not in data:  # cells and rows that are only formatted: a sheet can have a million
            data = _EMPTY_ROW.sub(b"", _EMPTY_CELL.sub(b"", data))
        number = 0
        try:
            parsing = etree.iterparse(
                io.BytesIO(data), events=("end",), tag=(S + "row", S + "col"), resolve_entities=False, no_network=True
            )
            for _, node in parsing:
                if node.tag == S + "col":
                    if node.get("hidden", "0") not in FALSE or node.get("width") == "0":
                        sheet.columns.append((int(node.get("min", "1")), int(node.get("max", "1"))))
                    continue
                number = int(node.get("r", number + 1))
                yield from self.row(sheet, node, number)
                node.clear()
                while node.getprevious() is not None:
                    del node.getparent()[0]
        except (etree.XMLSyntaxError, ValueError) as error:
            raise UnreadableError(f"is damaged: its part {sheet.part} is not a sheet ({error})") from error

    def row(self, sheet: _Sheet, node: Any, number: int) -> Iterator[Block]:
        cells: list[_Cell] = []
        column = 0
        for child in node:
            reference = child.get("r")
            match = _REFERENCE.fullmatch(reference) if reference else None
            column = column_number(match.group(1)) if match else column + 1
            if len(child):
                cell = self.cell(sheet, child, column, number)
                if cell.shown:
                    cells.append(cell)
        away = "hidden row" if node.get("hidden", "0") not in FALSE or node.get("ht") == "0" else ""
        for reason in sorted({cell.hidden for cell in cells}):
            alike = [cell for cell in cells if cell.hidden == reason]
            yield self.block(sheet.name, number, alike, sheet.hidden or away or reason)

    def block(self, sheet: str, number: int, cells: list[_Cell], hidden: str) -> Block:
        first, last = cells[0].column, cells[-1].column
        if last - first < _MAX_WIDTH:
            values = {cell.column: cell.value for cell in cells}
            row = tuple(values.get(column, "") for column in range(first, last + 1))
        else:
            row = tuple(cell.value for cell in cells)
        text = " | ".join(f"{column_letters(cell.column)}{number}: {cell.shown}" for cell in cells)
        return Block(f"{sheet}!{column_letters(first)}{number}", text, "row", cells=row, hidden=hidden)

    def cell(self, sheet: _Sheet, node: Any, column: int, row: int) -> _Cell:
        kind, style = node.get("t", "n"), self.formats.of(node.get("s", "0"))
        raw, source, value = "", "", ""
        for child in node:
            if child.tag == _VALUE:
                raw = child.text or ""
            elif child.tag == _FORMULA:
                source = self.formula(sheet, child, column, row)
            elif child.tag == _INLINE:
                value = _rich(child)
        if kind == "s":
            value = self.strings[int(raw)] if raw else ""
        elif kind == "b":
            value = "TRUE" if raw == "1" else "FALSE"
        elif kind == "n" and raw:
            value = self.formats.number(raw, style)
        elif raw:
            value = raw
        if source and not raw and kind != "str":
            self.uncalculated.append(f"{sheet.name}!{column_letters(column)}{row}")
        away = any(low <= column <= high for low, high in sheet.columns)
        formula = f"{{={source}}}" if source else ""
        shown = f"{value} {formula}" if value and formula else value or formula
        return _Cell(column, value or formula, shown, "hidden column" if away else style.hidden)

    def formula(self, sheet: _Sheet, node: Any, column: int, row: int) -> str:
        """A formula without its "="; one shared from another cell is translated to this one."""
        text, here, group = node.text or "", f"{column_letters(column)}{row}", node.get("si")
        if node.get("t") == "shared" and group is not None:
            if text:
                sheet.shared[group] = (here, text)
            elif group in sheet.shared:
                from openpyxl.formula.translate import Translator

                origin, formula = sheet.shared[group]
                return str(Translator(f"={formula}", origin=origin).translate_formula(here)).removeprefix("=")
        return str(text)

    def comments(self, sheet: _Sheet) -> Iterator[Block]:
        """Notes, and threaded comments in place of the notes that stand in for them."""
        found: dict[str, list[tuple[str, str]]] = {}
        for part in self.package.related(sheet.part, "comments"):
            root = self.package.xml(part)
            authors = [author.text or "" for author in root.iterfind(f"{S}authors/{S}author")]
            for comment in root.iter(S + "comment"):
                number = int(comment.get("authorId", "-1"))
                author = authors[number] if 0 <= number < len(authors) else ""
                text = comment.find(S + "text")
                found.setdefault(comment.get("ref", ""), []).append((author, _rich(text) if text is not None else ""))
        threads: dict[str, list[tuple[str, str]]] = {}
        for part in self.package.related(sheet.part, "threadedComment"):
            people = self.people()
            for comment in self.package.xml(part).iter(TC + "threadedComment"):
                author = people.get(comment.get("personId", ""), "")
                text = "".join(item.text or "" for item in comment.iterfind(TC + "text"))
                threads.setdefault(comment.get("ref", ""), []).append((author, text))
        for reference, comments in {**found, **threads}.items():
            for author, text in comments:
                yield Block(
                    f"{sheet.name}!{reference}", f"{author or 'unknown author'}: {text}", "comment", hidden="comment"
                )

    def people(self) -> dict[str, str]:
        roots = [self.package.xml(part) for part in self.package.related(self.package.main, "person")]
        return {person.get("id", ""): person.get("displayName", "") for root in roots for person in root}

    def drawings(self, sheet: _Sheet) -> Iterator[Block]:
        """Text boxes on the sheet; pictures and charts are noted."""
        for part in self.package.related(sheet.part, "drawing"):
            root = self.package.xml(part)
            for anchor in root:
                start = anchor.find(XDR + "from")
                place = sheet.name
                if start is not None:
                    column, row = (int(start.findtext(XDR + name, "0")) for name in ("col", "row"))
                    place = f"{sheet.name}!{column_letters(column + 1)}{row + 1}"
                for paragraph in anchor.iter(A + "p"):
                    text = "".join(run.text or "" for run in paragraph.iter(A + "t"))
                    yield Block(place, text, "textbox", hidden=sheet.hidden)
            for tag, what in (("pic", "picture"), ("graphicFrame", "chart")):
                count = sum(1 for _ in root.iter(XDR + tag))
                if count:
                    self.notes.append(f"{sheet.name} holds {count} {what}{'s' if count > 1 else ''}, not read")


def _epoch_1904(root: Any) -> bool:
    properties = root.find(S + "workbookPr")
    return properties is not None and properties.get("date1904", "0") not in FALSE


def _rich(node: Any) -> str:
    """The text of a shared string, inline string or comment, phonetic hints left out."""
    if len(node) == 1 and node[0].tag == _TEXT:
        return node[0].text or ""
    direct = "".join(child.text or "" for child in node.iterfind(_TEXT))
    return direct + "".join(child.text or "" for child in node.iterfind(f"{S}r/{_TEXT}"))

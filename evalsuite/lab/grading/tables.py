"""Checks that look into tables: one cell of a workbook, or a table with certain columns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Self

from evalsuite.lab.documents import Block
from evalsuite.lab.grading.findings import Check, Found
from evalsuite.lab.grading.scan import Phrase, Scope, cell_value, column_number, matches, words_of
from evalsuite.lab.grading.spec import Spec
from evalsuite.lab.grading.values import normalise, numbers

_ANCHOR = re.compile(r"(?P<sheet>[^!]*)!(?P<column>[A-Z]{1,3})(?P<row>\d+)$")
_REFERENCE = re.compile(r"\$?([A-Z]{1,3})\$?(\d+)$")


@dataclass(frozen=True)
class Cell:
    """A cell of a workbook: its address, what is shown, and its formula without "=" or ""."""

    file: str
    sheet: str
    column: int
    row: int
    value: str
    formula: str

    @property
    def address(self) -> str:
        return f"{_letters(self.column)}{self.row}"


def _letters(column: int) -> str:
    letters = ""
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(65 + rest) + letters
    return letters


def cells(scope: Scope) -> Iterator[Cell]:
    """The visible cells of a workbook's rows; nothing for a file of another kind."""
    name = scope.scan.source.name
    for block in scope.scan.blocks[scope.low : scope.high]:
        match = _ANCHOR.match(block.anchor.removeprefix(f"{name} ")) if block.kind == "row" else None
        if match:
            yield from _row_cells(name, match["sheet"], int(match["row"]), block)


def _row_cells(file: str, sheet: str, row: int, block: Block) -> Iterator[Cell]:
    for piece in re.split(rf" \| (?=[A-Z]{{1,3}}{row}: )", block.text):
        letters, _, shown = piece.partition(f"{row}: ")
        value = cell_value(shown)
        formula = shown[len(value) :].strip()
        yield Cell(file, sheet, column_number(letters), row, value.strip(), formula[2:-1])


class XlsxCell(Check):
    """A workbook's cell, by its address or by row label and column header, holds a value and (with `formula: true`) a formula.

    `row` is found in the first cell with text of a row, `column` in a row above it. A number is compared by value, within `tolerance`;
    "12%" counts as 0.12 and as 12. A text is the whole cell; `*` at a word's end is a wildcard. Hidden sheets, rows and
    columns do not count.
    """

    kind = "xlsx_cell"
    help = "{sheet, cell: B7 | row and column: labels, value, tolerance, formula}"

    def __init__(self, sheet: str, address: tuple[int, int] | None, row: Phrase | None, column: Phrase | None) -> None:
        self.sheet, self.address, self.row, self.column = sheet, address, row, column
        self.value: Decimal | Phrase | None = None
        self.tolerance = Decimal(0)
        self.formula: bool | None = None
        place = f"{_letters(address[0])}{address[1]}" if address else ""
        if row and column:
            place = f"row '{row.text}', column '{column.text}'"
        self.label = f"{sheet}!{place}" if sheet and address else place + (f" of {sheet}" if sheet else "")

    @classmethod
    def read(cls, spec: Spec) -> Self:
        fields = spec.fields([], ["sheet", "cell", "row", "column", "value", "tolerance", "formula"])
        if ("cell" in fields) == ("row" in fields) or ("row" in fields) != ("column" in fields):
            spec.fail("must say which cell: either cell (B7), or row and column (labels)")
        if not {"value", "formula"} & fields.keys():
            spec.fail("must say what the cell holds: value, formula or both")
        address = _address(fields["cell"]) if "cell" in fields else None
        labels = [fields[key].phrase() if key in fields else None for key in ("row", "column")]
        check = cls(fields["sheet"].text() if "sheet" in fields else "", address, *labels)
        if "value" in fields:
            value = fields["value"]
            check.value = value.phrase() if isinstance(value.value, str) else value.number()
        if "tolerance" in fields:
            check.tolerance = fields["tolerance"].number(0)
        check.formula = fields["formula"].boolean() if "formula" in fields else None
        return check

    def look(self, scopes: Sequence[Scope]) -> Found:
        books = [cell for scope in scopes for cell in cells(scope)]
        if not books:
            return Found(False, "no workbook with visible cells")
        here = [cell for cell in books if not self.sheet or cell.sheet.casefold() == self.sheet.casefold()]
        if not here:
            sheets = ", ".join(dict.fromkeys(cell.sheet for cell in books))
            return Found(False, f"no sheet {self.sheet}; sheets found: {sheets}")
        chosen = self._chosen(here)
        if not chosen:
            return Found(False, f"{self.label} is empty or not there")
        answers = [(cell, self._wrong(cell)) for cell in chosen]
        cell, wrong = next(((cell, wrong) for cell, wrong in answers if not wrong), answers[0])
        shown = f"{cell.file} {cell.sheet}!{cell.address}: {cell.value}" + (
            f" {{={cell.formula}}}" if cell.formula else ""
        )
        return Found(not wrong, f"{self.label}: {wrong}" if wrong else f"{self.label} holds {cell.value}", (shown,))

    def _chosen(self, here: Sequence[Cell]) -> list[Cell]:
        if self.address:
            return [cell for cell in here if (cell.column, cell.row) == self.address]
        assert self.row and self.column
        firsts: dict[tuple[str, str, int], Cell] = {}
        for cell in here:
            if words_of(cell.value):
                firsts.setdefault((cell.file, cell.sheet, cell.row), cell)
        rows = [cell for cell in firsts.values() if holds(self.row, cell.value)]
        headers = [cell for cell in here if holds(self.column, cell.value)]
        return [
            cell
            for label in rows
            for header in headers
            for cell in here
            if header.row < label.row
            and (cell.file, cell.sheet, cell.row) == (label.file, label.sheet, label.row)
            and (header.file, header.sheet, header.column) == (cell.file, cell.sheet, cell.column)
        ]

    def _wrong(self, cell: Cell) -> str:
        if self.formula is not None and self.formula != bool(cell.formula):
            return "holds no formula" if self.formula else f"holds the formula ={cell.formula}"
        if isinstance(self.value, Phrase):
            words = words_of(cell.value)
            same = len(words) == len(self.value.words) and all(map(matches, self.value.words, words))
            return "" if same else f"holds {cell.value or 'nothing'}, not '{self.value.text}'"
        if self.value is not None and not any(abs(v - self.value) <= self.tolerance for v in _readings(cell.value)):
            return f"holds {cell.value or 'nothing'}, not {self.value:,f}"
        return ""


def _readings(text: str) -> list[Decimal]:
    """What a cell's text can mean as one number."""
    found = numbers(normalise(text))
    if len(found) != 1:
        return []
    value = -found[0].value if found[0].bracketed else found[0].value
    return [value, value / 100] if found[0].percent else [value]


def _address(spec: Spec) -> tuple[int, int]:
    match = _REFERENCE.match(spec.text().upper())
    if not match:
        spec.fail("must be a cell's address as B7")
    return column_number(match[1]), int(match[2])


def holds(phrase: Phrase, text: str) -> bool:
    """True if the phrase's words stand one after the other in a text."""
    words = words_of(text)
    length = len(phrase.words)
    return any(all(map(matches, phrase.words, words[i : i + length])) for i in range(len(words) - length + 1))


class HasTable(Check):
    """A table whose header row has every column's words, each in a cell of its own, and at least `min_rows` filled rows under it.

    A row is filled when two cells of it hold a word (one, in a table of one column).
    """

    kind = "has_table"
    help = "{columns: [header words], min_rows: 1}"

    def __init__(self, columns: Sequence[Sequence[Phrase]], min_rows: int) -> None:
        self.columns, self.min_rows = columns, min_rows

    @classmethod
    def read(cls, spec: Spec) -> Self:
        fields = spec.fields(["columns"], ["min_rows"])
        columns = [item.phrases() for item in fields["columns"].items("header words")]
        return cls(columns, fields["min_rows"].whole(low=0) if "min_rows" in fields else 1)

    def look(self, scopes: Sequence[Scope]) -> Found:
        best: tuple[int, Block] | None = None
        count = 0
        for scope in scopes:
            for table in tables(scope):
                count += 1
                for i, header in enumerate(table):
                    if self._is_header(header):
                        filled = sum(self._is_filled(row) for row in table[i + 1 :])
                        best = max(best or (filled, header), (filled, header), key=lambda found: found[0])
                        break
        names = ", ".join(column[0].text for column in self.columns)
        if best is None:
            return Found(False, f"no table with the columns {names} among {count} tables")
        rows, header = best
        why = f"the table with the columns {names} has {rows} rows ({header.anchor})"
        if rows < self.min_rows:
            why += f"; at least {self.min_rows} are needed"
        return Found(rows >= self.min_rows, why, (header.text,))

    def _is_header(self, row: Block) -> bool:
        """Each column has a cell, and no two columns the same one (bipartite matching)."""
        options = [[i for i, cell in enumerate(row.cells) if any(holds(p, cell) for p in ps)] for ps in self.columns]
        taken: dict[int, int] = {}

        def place(column: int, tried: set[int]) -> bool:
            for i in options[column]:
                if i not in tried:
                    tried.add(i)
                    if i not in taken or place(taken[i], tried):
                        taken[i] = column
                        return True
            return False

        return all(place(column, set()) for column in range(len(self.columns)))

    def _is_filled(self, row: Block) -> bool:
        return sum(bool(words_of(cell)) for cell in row.cells) >= min(2, len(self.columns))


def tables(scope: Scope) -> Iterator[list[Block]]:
    """Runs of adjacent rows with cells."""
    run: list[Block] = []
    for block in scope.scan.blocks[scope.low : scope.high]:
        if block.kind == "row" and block.cells:
            run.append(block)
        elif run:
            yield run
            run = []
    if run:
        yield run

"""Word tables: rows with merged cells, and what lies behind a cell's text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from evalsuite.lab.readers.package import FALSE
from evalsuite.lab.readers.wordstyles import Styles, W, flag, value, whole

_MAX_SPAN = 200
_WRAPPERS = (W + "customXml", W + "ins", W + "moveTo")


@dataclass(frozen=True)
class Cell:
    """A w:tc. shade: what lies behind its text.

    span: grid columns it takes; continues: the lower part of a cell merged downwards, whose own text is not shown.
    """

    node: Any
    span: int
    continues: bool
    shade: str


@dataclass(frozen=True)
class Row:
    """before: grid columns left out at its start; deleted: as a tracked change."""

    cells: tuple[Cell, ...]
    before: int
    deleted: bool
    hidden: bool


class Table:
    """A w:tbl: its rows, those in content controls included, and what lies behind its cells."""

    def __init__(self, node: Any, styles: Styles, background: str) -> None:
        self._rows = list(_children(node, W + "tr"))
        self._styles = styles
        settings = node.find(W + "tblPr")
        self._look = settings.find(W + "tblLook") if settings is not None else None
        self._chain = styles.chain(value(settings, "tblStyle"))
        own = (styles.fill(style.find(W + "tcPr")) for style in self._chain)
        self._plain = next((shade for shade in own if shade), None) or styles.fill(settings) or background
        self._parts = {
            part.get(W + "type", ""): shade
            for style in reversed(self._chain)
            for part in style.iterfind(W + "tblStylePr")
            if (shade := styles.fill(part.find(W + "tcPr")))
        }

    def rows(self) -> Iterator[Row]:
        for number, row in enumerate(self._rows):
            properties = row.find(W + "trPr")
            nodes = list(_children(row, W + "tc"))
            cells = (self._cell(cell, number, position, len(nodes)) for position, cell in enumerate(nodes))
            yield Row(
                tuple(cell for cell in cells if cell is not None),
                min(whole(value(properties, "gridBefore")), _MAX_SPAN),
                properties is not None and properties.find(W + "del") is not None,
                bool(flag(properties, "hidden")),
            )

    def _cell(self, node: Any, row: int, position: int, count: int) -> Cell | None:
        span, continues, shade = 1, False, None
        settings = node.find(W + "tcPr")
        if settings is not None:
            for part in settings:
                if part.tag == W + "gridSpan":
                    span = min(max(whole(part.get(W + "val"), 1), 1), _MAX_SPAN)
                elif part.tag == W + "vMerge":
                    continues = part.get(W + "val", "continue") != "restart"
                elif part.tag == W + "cellDel":
                    return None
                elif part.tag == W + "shd":
                    shade = self._styles.fill(settings)
        if not shade:
            shade = self._of_style(row, position, count) if self._parts else self._plain
        return Cell(node, span, continues, shade)

    def _of_style(self, row: int, position: int, count: int) -> str:
        """The fill that the table style has for a cell there, the nearer condition first."""
        look, header = self._look, _uses(self._look, "firstRow", 0x20)
        applies = {
            "firstRow": row == 0 and header,
            "lastRow": row == len(self._rows) - 1 and _uses(look, "lastRow", 0x40),
            "firstCol": position == 0 and _uses(look, "firstColumn", 0x80),
            "lastCol": position == count - 1 and _uses(look, "lastColumn", 0x100),
            "band1Horz": not _uses(look, "noHBand", 0x200) and (row - header) % 2 == 0,
            "band2Horz": not _uses(look, "noHBand", 0x200) and (row - header) % 2 == 1,
        }
        return next((self._parts[kind] for kind, does in applies.items() if does and kind in self._parts), self._plain)


def _children(node: Any, tag: str) -> Iterator[Any]:
    for child in node:
        if child.tag == tag:
            yield child
        elif child.tag == W + "sdt":
            content = child.find(W + "sdtContent")
            if content is not None:
                yield from _children(content, tag)
        elif child.tag in _WRAPPERS:
            yield from _children(child, tag)


def _uses(look: Any, name: str, bit: int) -> bool:
    if look is None:
        return False
    stated = look.get(W + name)
    if stated is not None:
        return stated not in FALSE
    try:
        return bool(int(look.get(W + "val", "0"), 16) & bit)
    except ValueError:
        return False

"""A .pdf with a text layer from a text in source/."""

from __future__ import annotations

from datetime import datetime

from fpdf import FPDF
from fpdf.enums import TableBordersLayout
from fpdf.fonts import FontFace
from looks import Look, amount_columns, column_widths
from markup import Block, Source, SourceError, Span, plain

MARGIN = 25.0  # millimetres
STEP = 11.0  # how far a level stands in
KEPT = 50.0  # a paragraph up to this height stays on one page
SHADE = (228, 231, 236)
SIZES = {"title": 16.0, "heading": 11.5, "subheading": 10.5}


class _Pages(FPDF):
    """Header and footer of every page."""

    def __init__(self, text: str, family: str) -> None:
        super().__init__(format="A4")
        self.core_fonts_encoding = "cp1252"
        self.running, self.family = text, family

    def header(self) -> None:
        if self.running:
            self.set_font(self.family, "", 8.5)
            self.set_text_color(90)
            rows = -(-self.get_string_width(self.running) // self.epw)
            self.set_y(16.5 - 4 * rows)
            self.multi_cell(0, 4, self.running, align="C" if self.family == "Times" else "L")
            self.set_draw_color(170)
            self.line(MARGIN, 17.5, self.w - MARGIN, 17.5)
        self.set_text_color(0)
        self.set_y(MARGIN)

    def footer(self) -> None:
        self.set_y(-16)
        self.set_font(self.family, "", 8.5)
        self.set_text_color(90)
        self.cell(0, 4, f"Page {self.page_no()} of {{nb}}", align="C")
        self.set_text_color(0)


def pdf(source: Source, look: Look, made: datetime, where: str) -> bytes:
    """Raises SourceError for tracked changes, comments, and characters that are not in Windows-1252."""
    _check(source, where)
    pages = _Pages(source.header, look.core)
    pages.set_creation_date(made)
    pages.set_producer("")
    pages.set_title(source.title)
    pages.set_margins(MARGIN, MARGIN, MARGIN)
    pages.set_auto_page_break(True, MARGIN)
    pages.c_margin = 0
    pages.add_page()
    for block, following in zip(source.blocks, [*source.blocks[1:], None], strict=True):
        if block.kind == "table":
            _table(pages, block, look)
        else:
            _paragraph(pages, block, look, following)
    return bytes(pages.output())


def _check(source: Source, where: str) -> None:
    for block in source.blocks:
        cells = [cell for row in block.rows for cell in row]
        if block.comments or any(span.change for part in [block.spans, *cells] for span in part):
            raise SourceError(f"{where}: a PDF has no tracked changes or comments: {block.text[:60]!r}")
        for text in [source.header, block.marker, block.text, *map(plain, cells)]:
            try:
                text.encode("cp1252")
            except UnicodeEncodeError as error:
                raise SourceError(f"{where}: the PDF's fonts have no {text[error.start]!r}: {text[:60]!r}") from error


def _paragraph(pages: FPDF, block: Block, look: Look, following: Block | None) -> None:
    heading = block.kind in SIZES
    size = SIZES.get(block.kind, look.size)
    centred = block.kind == "title" and look.justified
    ragged = heading or not look.justified or "____" in block.text
    align = "C" if centred else "L" if ragged else "J"
    pages.set_font(look.core, "B" if heading else "", size)
    if heading:
        if block.kind != "title":
            pages.ln(2)
        if pages.will_page_break(size + (16 if following else 0)):
            pages.add_page()
    indent, marker = STEP * block.level, block.marker
    left = MARGIN + indent
    if block.kind == "clause":
        indent += max(STEP, pages.get_string_width(marker) + 2)
    elif block.kind == "bullet":
        indent, marker = indent + 6, "•"
    width = pages.epw - indent
    height = pages.multi_cell(width, 1.25 * pages.font_size, block.text, align="L", dry_run=True, output="HEIGHT")
    assert isinstance(height, float)
    if pages.will_page_break(min(height, KEPT)):
        pages.add_page()
    if marker:
        pages.set_x(left)
        pages.cell(0, 1.25 * pages.font_size, marker, new_x="LEFT", new_y="TOP")
    columns = pages.text_columns(text_align=align, line_height=1.25, l_margin=MARGIN + indent)
    with columns as region, region.paragraph(bottom_margin=3.5 if block.kind == "title" else 2.2) as lines:
        for span in block.spans:
            pages.set_font(look.core, _style(span, heading), size)
            lines.write(span.text)
    pages.set_x(MARGIN)


def _style(span: Span, heading: bool) -> str:
    return ("B" if span.bold or heading else "") + ("I" if span.italic else "")


def _table(pages: FPDF, block: Block, look: Look) -> None:
    rows = [[plain(cell) for cell in row] for row in block.rows]
    right = amount_columns(rows)
    pages.ln(1)
    pages.set_font(look.core, "", look.size - 1)
    pages.set_draw_color(140)
    with pages.table(
        borders_layout=TableBordersLayout.ALL,
        col_widths=column_widths(rows, pages.epw),
        headings_style=FontFace(emphasis="BOLD", fill_color=SHADE),
        line_height=4.6,
        padding=(1.2, 1.8),
        text_align=["RIGHT" if flag else "LEFT" for flag in right],
        v_align="TOP",
    ) as table:
        for row in rows:
            table.row(row)
    pages.set_draw_color(0)
    pages.ln(4)

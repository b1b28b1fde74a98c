"""A .docx from a text in source/: real styles, headers, page fields, tracked changes, comments."""

from __future__ import annotations

import io
import re
from functools import cache
from typing import Any

import docx
from docx.document import Document
from docx.enum.style import WD_STYLE_TYPE
from docx.enum.table import WD_TABLE_ALIGNMENT
from docx.enum.text import WD_ALIGN_PARAGRAPH
from docx.opc.constants import RELATIONSHIP_TYPE
from docx.oxml import OxmlElement
from docx.oxml.ns import qn
from docx.shared import Cm, Pt, RGBColor
from docx.text.paragraph import Paragraph
from looks import Look, amount_columns, column_widths
from markup import Block, Comment, Source, Span, plain
from package import MADE, repacked

WIDTH = 16.0  # centimetres between the margins of A4
STEP = 1.25  # how far a level stands in
LEVELS = 3
GREY = RGBColor(0x55, 0x55, 0x55)
INK = RGBColor(0x1F, 0x2A, 0x44)
SHADE = "E4E7EC"
_STYLES = {"title": "Title", "heading": "Heading1", "subheading": "Heading2", "bullet": "ListBullet"}  # by id
_KEPT = {"Normal", "Default Paragraph Font", "Normal Table", "No List", "header", "footer", "Header", "Footer", "Title",
         "Heading 1", "Heading 2", "List Bullet", "Table Grid", "List Paragraph"}  # fmt: skip


def word(source: Source, look: Look) -> bytes:
    """The bytes of the document."""
    document = _template(source, look)
    writer = _Writer(document, source, look)
    for block in source.blocks:
        writer.block(block)
    stream = io.BytesIO()
    document.save(stream)
    return repacked(stream.getvalue())


@cache
def _bare() -> bytes:
    """python-docx's template without its thumbnail and the styles that we do not use."""
    document = docx.Document()
    package = document.part.package
    for part, kind in ((package, RELATIONSHIP_TYPE.THUMBNAIL), (document.part, RELATIONSHIP_TYPE.CUSTOM_XML)):
        for key in [key for key, relation in part.rels.items() if relation.reltype == kind]:
            part.rels.pop(key)
    for key in [key for key, relation in document.part.rels.items() if "stylesWithEffects" in relation.target_ref]:
        document.part.rels.pop(key)
    styles: Any = document.styles.element
    for style in list(styles.style_lst):
        if style.name_val not in _KEPT:
            styles.remove(style)
    styles.remove(styles.find(qn("w:latentStyles")))
    stream = io.BytesIO()
    document.save(stream)
    return stream.getvalue()


@cache
def _styled(look: Look) -> bytes:
    """The template with our styles, margins and page numbers."""
    document = docx.Document(io.BytesIO(_bare()))
    section = document.sections[0]
    section.page_width, section.page_height = Cm(21), Cm(29.7)
    section.left_margin = section.right_margin = section.top_margin = section.bottom_margin = Cm(2.5)
    section.header_distance = section.footer_distance = Cm(1.25)
    _styles(document, look)
    footer = section.footer.paragraphs[0]
    footer.alignment = WD_ALIGN_PARAGRAPH.CENTER
    for before, field in (("Page ", "PAGE"), (" of ", "NUMPAGES")):
        footer.add_run(before)
        simple = OxmlElement("w:fldSimple", {qn("w:instr"): field})
        simple.append(footer.add_run("1")._r)
        footer._p.append(simple)
    stream = io.BytesIO()
    document.save(stream)
    return stream.getvalue()


def _template(source: Source, look: Look) -> Document:
    document = docx.Document(io.BytesIO(_styled(look)))
    properties = document.core_properties
    properties.author = properties.last_modified_by = properties.comments = properties.keywords = ""
    properties.title = source.title
    properties.created = properties.modified = MADE.replace(tzinfo=None)
    if source.header:
        paragraph = document.sections[0].header.paragraphs[0]
        paragraph.add_run(source.header)
        paragraph.alignment = WD_ALIGN_PARAGRAPH.CENTER if look.letter else WD_ALIGN_PARAGRAPH.LEFT
        _border(paragraph, "bottom")
    return document


def _styles(document: Document, look: Look) -> None:
    def shaped(name: str, size: float, before: float, after: float, **font: Any) -> Any:
        try:
            style: Any = document.styles[name]
        except KeyError:
            style = document.styles.add_style(name, WD_STYLE_TYPE.PARAGRAPH)
            style.base_style = document.styles["Normal"]
        fonts = style.element.get_or_add_rPr().get_or_add_rFonts()
        for key in list(fonts.attrib):
            del fonts.attrib[key]
        for key in ("ascii", "hAnsi", "cs", "eastAsia"):
            fonts.set(qn(f"w:{key}"), look.font)
        style.font.size = Pt(size)
        style.paragraph_format.space_before, style.paragraph_format.space_after = Pt(before), Pt(after)
        for key, value in font.items():
            setattr(style.font, key, value)
        return style

    text = WD_ALIGN_PARAGRAPH.JUSTIFY if look.justified else WD_ALIGN_PARAGRAPH.LEFT
    colour = RGBColor(0, 0, 0) if look.justified else INK
    normal = shaped("Normal", look.size, 0, 6)
    normal.paragraph_format.line_spacing, normal.paragraph_format.alignment = 1.1, text
    normal.paragraph_format.widow_control = True
    title = shaped("Title", 17 if look.justified else 18, 6, 12, bold=True)
    title.font.color.rgb = colour
    title.element.pPr.remove(title.element.pPr.find(qn("w:pBdr")))
    title.paragraph_format.alignment = WD_ALIGN_PARAGRAPH.CENTER if look.justified else WD_ALIGN_PARAGRAPH.LEFT
    for name, more, before in (("Heading 1", 1.5, 14), ("Heading 2", 0.5, 10)):
        heading = shaped(name, look.size + more, before, 5, bold=True)
        heading.font.color.rgb = colour
        heading.paragraph_format.alignment = WD_ALIGN_PARAGRAPH.LEFT
        heading.paragraph_format.keep_with_next = True
    for name in ("Header", "Footer"):
        shaped(name, 8.5, 0, 0).font.color.rgb = GREY
    shaped("List Bullet", look.size, 0, 4).paragraph_format.alignment = text
    shaped("Table Text", look.size - 1, 2, 2).paragraph_format.alignment = WD_ALIGN_PARAGRAPH.LEFT
    shaped("Table Text", look.size - 1, 2, 2).paragraph_format.line_spacing = 1.0
    for level in range(LEVELS):
        clause = shaped(f"Clause {level + 1}", look.size, 0, 6).paragraph_format
        clause.left_indent, clause.first_line_indent = Cm(STEP * (level + 1)), Cm(-STEP)
        clause.tab_stops.add_tab_stop(Cm(STEP * (level + 1)))
    shaped("Definition", look.size, 0, 6).paragraph_format.left_indent = Cm(STEP)


class _Writer:
    """Adds blocks at the document's end; counts tracked changes and comments."""

    def __init__(self, document: Document, source: Source, look: Look) -> None:
        self.document, self.source, self.look = document, source, look
        self.identifiers = iter(range(100, 10_000))
        self.opening = True

    def block(self, block: Block) -> None:
        first = self.table(block.rows) if block.kind == "table" else self.paragraph(block)
        for comment in block.comments:
            self.comment(first, comment)

    def paragraph(self, block: Block) -> Paragraph:
        if block.kind == "clause":
            style = f"Clause{min(block.level, LEVELS - 1) + 1}"
        elif block.kind == "definition" and block.level:
            style = "Definition"
        else:
            style = _STYLES.get(block.kind, "")
        paragraph = self.document.add_paragraph(f"{block.marker}\t" if block.marker else "")
        if style:
            paragraph._p.style = style
        self.runs(paragraph, block.spans)
        self.opening = self.opening and block.kind in ("title", "paragraph")
        if self.opening and self.look.justified and not self.look.letter and _is_caption(block):
            paragraph.alignment = WD_ALIGN_PARAGRAPH.CENTER
        elif "____" in block.text:
            paragraph.alignment = WD_ALIGN_PARAGRAPH.LEFT
        return paragraph

    def runs(self, paragraph: Paragraph, spans: list[Span]) -> None:
        for span in spans:
            run = paragraph.add_run(span.text)
            run.bold, run.italic = span.bold or None, span.italic or None
            if span.change:
                self.tracked(run._r, span.change)

    def tracked(self, run: Any, change: str) -> None:
        """Wrap the run in w:ins or w:del."""
        assert self.source.changes is not None
        author, date = self.source.changes
        name = "w:ins" if change == "inserted" else "w:del"
        wrapper = OxmlElement(
            name, {qn("w:id"): str(next(self.identifiers)), qn("w:author"): author, qn("w:date"): _w3c(date)}
        )
        run.addprevious(wrapper)
        wrapper.append(run)
        if change == "deleted":
            for text in run.findall(qn("w:t")):
                text.tag = qn("w:delText")

    def comment(self, paragraph: Paragraph, comment: Comment) -> None:
        """Anchor a comment to a whole paragraph."""
        initials = "".join(word[0] for word in re.findall(r"[A-Z][\w.]*", comment.author.split("(")[0]))
        added: Any = self.document.comments.add_comment(comment.text, author=comment.author, initials=initials[:3])
        added._comment_elm.set(qn("w:date"), _w3c(comment.date))
        mark = {qn("w:id"): str(added.comment_id)}
        paragraph._p.insert(1 if paragraph._p.pPr is not None else 0, OxmlElement("w:commentRangeStart", mark))
        paragraph._p.append(OxmlElement("w:commentRangeEnd", mark))
        paragraph.add_run()._r.append(OxmlElement("w:commentReference", mark))

    def table(self, rows: list[list[list[Span]]]) -> Paragraph:
        """A bordered table whose head row is shaded and repeated; gives the first cell's paragraph."""
        texts = [[plain(cell) for cell in row] for row in rows]
        widths = [Cm(width) for width in column_widths(texts, WIDTH)]
        right = amount_columns(texts)
        table = self.document.add_table(rows=len(rows), cols=len(widths), style="Table Grid")
        table.autofit, table.alignment = False, WD_TABLE_ALIGNMENT.CENTER
        for column, width in zip(table._tbl.tblGrid.gridCol_lst, widths, strict=True):
            column.w = width
        for number, (tr, row) in enumerate(zip(table._tbl.tr_lst, rows, strict=True)):
            properties = tr.get_or_add_trPr()
            properties.append(OxmlElement("w:cantSplit"))
            if number == 0:
                properties.append(OxmlElement("w:tblHeader"))
            for column, (tc, spans) in enumerate(zip(tr.tc_lst, row, strict=True)):
                tc.width = widths[column]
                paragraph = Paragraph(tc.p_lst[0], table)
                tc.p_lst[0].style = "TableText"
                self.runs(paragraph, [Span(s.text, True, s.italic, s.change) for s in spans] if number == 0 else spans)
                if right[column]:
                    paragraph.alignment = WD_ALIGN_PARAGRAPH.RIGHT
                if number == 0:
                    shade = {qn("w:val"): "clear", qn("w:color"): "auto", qn("w:fill"): SHADE}
                    tc.get_or_add_tcPr().append(OxmlElement("w:shd", shade))
                    paragraph.paragraph_format.keep_with_next = True
        gap = self.document.add_paragraph().paragraph_format
        gap.space_after, gap.line_spacing = Pt(0), Pt(9)
        return Paragraph(table._tbl.tr_lst[0].tc_lst[0].p_lst[0], table)


def _is_caption(block: Block) -> bool:
    """A short line of a title page: between, dated, the parties."""
    return block.kind == "paragraph" and len(block.text) < 130 and not re.match(r"[A-Z][\w ]*: |\(", block.text)


def _w3c(date: Any) -> str:
    return str(date.strftime("%Y-%m-%dT%H:%M:%SZ"))


def _border(paragraph: Paragraph, side: str) -> None:
    line = {qn("w:val"): "single", qn("w:sz"): "4", qn("w:space"): "4", qn("w:color"): "999999"}
    borders = OxmlElement("w:pBdr")
    borders.append(OxmlElement(f"w:{side}", line))
    properties: Any = paragraph._p.get_or_add_pPr()
    properties.insert_element_before(borders, *_AFTER_BORDERS)


_AFTER_BORDERS = tuple(f"w:{name}" for name in ("shd", "tabs", "spacing", "ind", "jc", "rPr", "sectPr"))

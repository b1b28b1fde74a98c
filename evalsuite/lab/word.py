"""Markdown to .docx: headings, paragraphs, emphasis, code, lists, tables, block quotes. Same text, same bytes."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from docx.document import Document
    from docx.text.paragraph import Paragraph
    from markdown_it.token import Token

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")  # what XML cannot hold
MAX_LIST_DEPTH = 3  # "List Bullet 3" is the deepest style of Word's default template


def docx_from_markdown(markdown: str) -> bytes:
    """A Word file (bytes) of CommonMark text with pipe tables and strikethrough; HTML stays as it is written."""
    import docx
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    document = docx.Document()
    properties = document.core_properties
    properties.author = properties.last_modified_by = properties.comments = properties.title = ""
    properties.created = properties.modified = _EPOCH
    _Writer(document).blocks(parser.parse(_ILLEGAL.sub("", markdown)))
    packed = io.BytesIO()
    document.save(packed)
    return _repacked(packed.getvalue())


def _repacked(data: bytes) -> bytes:
    """The same zip with fixed timestamps."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.infolist():
            new.writestr(zipfile.ZipInfo(entry.filename, (1980, 1, 1, 0, 0, 0)), old.read(entry), zipfile.ZIP_DEFLATED)
    return target.getvalue()


class _Writer:
    """Walks markdown-it's flat token list and adds to the document as it goes."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.styles = {style.name: style.style_id for style in document.styles}  # docx reads through all for each name
        self.lists: list[tuple[str, int]] = []  # (kind, Word's numbering id or 0), outermost first
        self.quotes = 0
        self.first_in_item = False

    def blocks(self, tokens: Sequence[Token]) -> None:
        position = 0
        while position < len(tokens):
            token = tokens[position]
            if token.type == "table_open":
                end = next(i for i in range(position, len(tokens)) if tokens[i].type == "table_close")
                self._table(tokens[position:end])
                position = end
            elif token.type in ("bullet_list_open", "ordered_list_open"):
                kind = token.type.split("_")[0]
                first = int(token.attrs.get("start", 1))
                self.lists.append((kind, self._numbering(first) if kind == "ordered" else 0))
            elif token.type in ("bullet_list_close", "ordered_list_close"):
                self.lists.pop()
            elif token.type == "list_item_open":
                self.first_in_item = True
            elif token.type == "blockquote_open":
                self.quotes += 1
            elif token.type == "blockquote_close":
                self.quotes -= 1
            elif token.type == "heading_open":
                runs(self._styled(f"Heading {token.tag[1]}"), tokens[position + 1].children or [])
            elif token.type == "paragraph_open":
                runs(self._paragraph(), tokens[position + 1].children or [])
            elif token.type in ("fence", "code_block"):
                _code(self._paragraph().add_run(token.content.rstrip("\n")))
            elif token.type == "hr":
                self.document.add_paragraph("* * *")
            position += 1

    def _paragraph(self) -> Paragraph:
        """A new paragraph in the style of the list or quote that we are in."""
        if not self.lists:
            return self._styled("Quote") if self.quotes else self.document.add_paragraph()
        depth = min(len(self.lists), MAX_LIST_DEPTH)
        suffix = f" {depth}" if depth > 1 else ""
        kind, numbering = self.lists[-1]
        if not self.first_in_item:
            return self._styled(f"List Continue{suffix}")
        self.first_in_item = False
        paragraph = self._styled(f"List {'Bullet' if kind == 'bullet' else 'Number'}{suffix}")
        if numbering:
            properties: Any = paragraph._p.get_or_add_pPr()
            properties = properties.get_or_add_numPr()
            properties.get_or_add_ilvl().val = 0
            properties.get_or_add_numId().val = numbering
        return paragraph

    def _styled(self, style: str) -> Paragraph:
        paragraph = self.document.add_paragraph()
        paragraph._p.style = self.styles[style]
        return paragraph

    def _numbering(self, first: int) -> int:
        """A numbering of its own for an ordered list, so that each starts where its text says."""
        depth = min(len(self.lists) + 1, MAX_LIST_DEPTH)
        style: Any = self.document.styles[f"List Number{f' {depth}' if depth > 1 else ''}"]
        numbering = self.document.part.numbering_part.element
        abstract = numbering.num_having_numId(style.element.pPr.numPr.numId.val).abstractNumId.val
        number = numbering.add_num(abstract)
        number.add_lvlOverride(ilvl=0).add_startOverride(first)
        return int(number.numId)

    def _table(self, tokens: Sequence[Token]) -> None:
        rows: list[list[Token]] = []
        for token in tokens:
            if token.type == "tr_open":
                rows.append([])
            elif token.type == "inline":
                rows[-1].append(token)
        table = self.document.add_table(rows=len(rows), cols=len(rows[0]), style="Table Grid")
        for line, (row, cells) in enumerate(zip(table.rows, rows, strict=True)):
            for cell, token in zip(row.cells, cells, strict=True):
                runs(cell.paragraphs[0], token.children or [], bold=line == 0)


def runs(paragraph: Paragraph, tokens: Sequence[Token], *, bold: bool = False) -> None:
    """Add inline tokens as runs; a link is written as its text followed by its address."""
    marks = {"strong": int(bold), "em": 0, "s": 0}
    address = ""
    for token in tokens:
        name, _, edge = token.type.rpartition("_")
        if name in marks:
            marks[name] += 1 if edge == "open" else -1
        elif token.type == "link_open":
            address = str(token.attrs.get("href", ""))
        elif token.type == "link_close":
            if address and address not in (paragraph.text, f"mailto:{paragraph.text}"):
                paragraph.add_run(f" ({address})")
        elif token.type == "hardbreak":
            paragraph.add_run().add_break()
        else:
            run = paragraph.add_run(" " if token.type == "softbreak" else token.content)
            run.bold, run.italic, run.font.strike = (bool(marks[mark]) or None for mark in ("strong", "em", "s"))
            if token.type == "code_inline":
                _code(run)


def _code(run: Any) -> None:
    run.font.name = "Courier New"

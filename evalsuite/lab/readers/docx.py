"""Word documents: body, tables, headers and footers, notes, text boxes, comments, tracked changes, hidden text.

Anchors count the body's paragraphs and table rows together, empty ones included: p:1, p:2, ...
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from evalsuite.lab.documents import Block, Changes, Contents, UnreadableError
from evalsuite.lab.documents import extract as extract_any
from evalsuite.lab.readers.numbering import Numbering
from evalsuite.lab.readers.package import MC, A, Package, R, alternatives
from evalsuite.lab.readers.wordruns import Fields, Piece, Reader
from evalsuite.lab.readers.wordstyles import UNKNOWN, WHITE, Styles, W, flag, value, whole
from evalsuite.lab.readers.wordtables import Table

_NUMBERED = re.compile(r"(?:\d+(?:\.\d+)*[.)]?|[IVXLC]+[.)]|[A-Z][.)]|§+ ?\d+)\s+\S|(?:article|section|clause|schedule|"
                       r"annex|appendix|exhibit|part|chapter)\s+[\dA-Z]", re.IGNORECASE)  # fmt: skip
_PROPERTIES, _STYLE, _SHADING, _MARK, _OUTLINE, _NUMBER = (
    W + name for name in ("pPr", "pStyle", "shd", "rPr", "outlineLvl", "numPr")
)
_METADATA = ("title", "subject", "description", "keywords", "category")


@dataclass
class Paragraph:
    """What one w:p gives: its visible text, and what belongs to its anchor without being part of it."""

    text: str = ""
    level: int = 0
    title: bool = False
    heading_like: bool = False
    hidden: list[tuple[str, str]] = field(default_factory=list)
    boxes: list[tuple[Any, str]] = field(default_factory=list)
    diagrams: list[str] = field(default_factory=list)


def extract(data: bytes, extension: str, changes: Changes, depth: int) -> Contents:
    """A .docx, .docm or .dotx."""
    package = Package(data, "a Word document", "word/document.xml", "document")
    return _Document(package, changes, depth).contents()


class _Document:
    def __init__(self, package: Package, changes: Changes, depth: int) -> None:
        self.package, self.changes, self.depth = package, changes, depth
        main = package.main
        self.parts = {relation.kind: relation.target for relation in package.relations(main).values()}
        self.styles = Styles(package.optional(self.parts.get("styles")), package.optional(self.parts.get("theme")))
        self.numbering = Numbering(package.optional(self.parts.get("numbering")))
        self.settings = package.optional(self.parts.get("settings"))
        self.notes: list[str] = []
        self.references: dict[tuple[str, str], None] = {}  # footnotes and endnotes, in order
        self.commented: dict[str, str] = {}  # comment id -> anchor
        self.unread: dict[str, int] = {}
        self.candidates: list[Block] = []
        self.has_headings = False

    def contents(self) -> Contents:
        root = self.package.root
        body = root.find(W + "body")
        if body is None:
            raise UnreadableError("is damaged: the document has no body")
        page = root.find(W + "background")
        background = WHITE
        if page is not None and flag(self.settings, "displayBackgroundShape"):
            background = (page.get(W + "color") or WHITE).upper()
        story = _Story(self, self.package.main, body, "", "paragraph")
        story.walk(body, background)
        headers = list(self.margins(body, "header"))
        blocks = [*headers, *self.with_headings(story.blocks)]
        blocks += self.footnotes("footnote")
        blocks += self.footnotes("endnote")
        blocks += self.margins(body, "footer")
        blocks += self.comments()
        blocks += self.metadata()
        for what, count in self.unread.items():
            self.notes.append(f"holds {count} {what}{'s' if count > 1 else ''}, not read")
        return Contents(tuple(blocks), tuple(self.notes))

    def with_headings(self, blocks: list[Block]) -> list[Block]:
        """Without any heading style in use, short bold or numbered lines are the headings."""
        if self.has_headings:
            return blocks
        chosen = set(map(id, self.candidates))
        return [
            Block(block.anchor, block.text, "heading", level=9) if id(block) in chosen else block for block in blocks
        ]

    def margins(self, body: Any, kind: str) -> Iterator[Block]:
        """Headers or footers of all sections, each part once."""
        relations = self.package.relations(self.package.main)
        even = bool(flag(self.settings, "evenAndOddHeaders"))
        seen: dict[str, bool] = {}
        for section in body.iter(W + "sectPr"):
            for reference in section.iterfind(W + f"{kind}Reference"):
                relation = relations.get(reference.get(R + "id", ""))
                if relation is None or relation.target not in self.package:
                    continue
                page = reference.get(W + "type", "default")
                shown = (
                    page == "default"
                    or (page == "even" and even)
                    or (page == "first" and bool(flag(section, "titlePg")))
                )
                seen[relation.target] = seen.get(relation.target, False) or shown
        for number, (part, shown) in enumerate(seen.items(), 1):
            root = self.package.xml(part)
            story = _Story(self, part, root, kind if number == 1 else f"{kind} {number}", kind)
            story.walk(root, WHITE)
            for block in story.blocks:
                reason = block.hidden or ("" if shown else f"{kind} not in use")
                yield Block(block.anchor, block.text, block.kind, block.level, block.cells, reason)

    def footnotes(self, kind: str) -> Iterator[Block]:
        """Footnotes or endnotes, numbered by the order of their references; those without one are hidden."""
        part = self.parts.get(f"{kind}s")
        root = self.package.optional(part)
        if root is None or part is None:
            return
        notes = {
            note.get(W + "id", ""): note
            for note in root.iterfind(W + kind)
            if note.get(W + "type", "normal") == "normal"
        }
        order = [number for name, number in self.references if name == kind and number in notes]
        for number, name in enumerate([*order, *(name for name in notes if name not in order)], 1):
            story = _Story(self, part, notes[name], f"{kind} {number}", kind)
            story.walk(notes[name], WHITE)
            for block in story.blocks:
                reason = block.hidden or ("" if name in order else f"{kind} without a reference")
                yield Block(block.anchor, block.text, block.kind, block.level, block.cells, reason)

    def comments(self) -> Iterator[Block]:
        part = self.parts.get("comments")
        root = self.package.optional(part)
        for number, comment in enumerate(root.iterfind(W + "comment") if root is not None else (), 1):
            story = _Story(self, str(part), comment, f"comment {number}", "comment")
            story.walk(comment, UNKNOWN)
            text = "\n".join(block.text for block in story.blocks)
            author = comment.get(W + "author") or "unknown author"
            place = self.commented.get(comment.get(W + "id", ""))
            yield Block(
                f"comment {number}", f"{author}{f' on {place}' if place else ''}: {text}", "comment", hidden="comment"
            )

    def metadata(self) -> Iterator[Block]:
        """The document properties that hold free text."""
        for part in self.package.related("", "core-properties"):
            for item in self.package.xml(part):
                name = item.tag.rsplit("}", 1)[-1]
                text = (item.text or "").strip()
                if name in _METADATA and text and text != "generated by python-docx":
                    yield Block("metadata", f"{name}: {text}", "part", hidden="metadata")


class _Story:
    """One flow of text: the body (whose anchors count), a header, a note, a text box (whose anchor is fixed)."""

    def __init__(self, document: _Document, part: str, root: Any, anchor: str, kind: str) -> None:
        self.document, self.part, self.root, self.anchor, self.kind = document, part, root, anchor, kind
        self.count = 0
        self.blocks: list[Block] = []
        self.carried: list[Piece] = []  # text of a paragraph whose end mark is deleted: it belongs to the next one
        self.reader = Reader(document.styles, Fields(root), document.changes == "all")

    def place(self) -> str:
        """The anchor of the next paragraph or row."""
        self.count += 1
        return self.anchor or f"p:{self.count}"

    def walk(self, container: Any, background: str) -> None:
        for child in flat(container):
            if child.tag == W + "p":
                place = self.place()
                self.emit(self.paragraph(child, background, place), place)
            elif child.tag == W + "tbl":
                self.settle()
                self.table(child, background)
            elif child.tag == W + "altChunk":
                self.chunk(child)
        self.settle()

    def settle(self) -> None:
        """A carried text that no paragraph follows is a paragraph of its own."""
        if self.carried:
            place = self.anchor or f"p:{self.count}"
            self.emit(Paragraph("".join(piece.text for piece in self.carried)), place)
            self.carried = []

    def emit(self, paragraph: Paragraph, place: str) -> None:
        if paragraph.text.strip():
            level = paragraph.level if self.kind == "paragraph" else 0
            block = Block(place, paragraph.text, "heading" if level else self.kind, level)
            self.blocks.append(block)
            if level and not paragraph.title:
                self.document.has_headings = True
            elif paragraph.heading_like and not level and self.kind == "paragraph":
                self.document.candidates.append(block)
        self.extras([paragraph], place)

    def extras(self, paragraphs: list[Paragraph], place: str) -> None:
        """Hidden text, text boxes and diagrams of a paragraph, or of all those in a table row."""
        for paragraph in paragraphs:
            for reason, text in paragraph.hidden:
                self.blocks.append(Block(place, text, "paragraph", hidden=reason))
            for content, background in paragraph.boxes:
                story = _Story(self.document, self.part, content, place, "textbox")
                story.walk(content, background)
                self.blocks += story.blocks
            for relation in paragraph.diagrams:
                self.diagram(relation, place)

    def paragraph(self, node: Any, background: str, place: str) -> Paragraph:
        """Read a w:p; what it refers to is noted in the document."""
        document, styles = self.document, self.document.styles
        own = node.find(_PROPERTIES)
        properties = {child.tag: child for child in own} if own is not None else {}
        style = _val(properties.get(_STYLE)) or styles.default
        look, shade = styles.paragraph(style)
        shade = (styles.fill(own) if _SHADING in properties else None) or shade or background
        inline = self.reader.paragraph(node, look, shade)
        for note in inline.notes:
            document.references.setdefault(note)
        for comment in inline.comments:
            document.commented[comment] = place
        for what in inline.unread:
            document.unread[what] = document.unread.get(what, 0) + 1
        pieces = [*self.carried, *inline.pieces]
        self.carried = []
        result = Paragraph(boxes=inline.boxes, diagrams=inline.diagrams, hidden=[*inline.hidden, *_hidden(pieces)])
        visible = [piece for piece in pieces if not piece.hidden]
        mark = properties.get(_MARK)
        gone = mark is not None and (mark.find(W + "del") is not None or mark.find(W + "moveFrom") is not None)
        if gone and document.changes == "accept":
            self.carried = visible
            return result
        result.text = _joined(visible, document.changes)
        if not result.text.strip():
            return result
        result.level, result.title = styles.heading(style)
        outline = _val(properties.get(_OUTLINE))
        if outline is not None:
            result.level = (whole(outline, 9) + 1) % 10
        bold = all(piece.bold for piece in visible if piece.text.strip())
        number, level = self.number(properties.get(_NUMBER), style)
        label = document.numbering.next(number, level) if number else ""
        result.heading_like = _heading_like(result.text, bold, bool(label))
        if label:
            result.text = f"{label} {result.text}"
        return result

    def number(self, numbers: Any, style: str) -> tuple[str, int]:
        """(numId, level from 0) of a paragraph with this w:numPr or style; "" without one."""
        of_style, level_of_style = self.document.styles.numbering(style)
        number = value(numbers, "numId") or of_style
        if number is None or number == "0":
            return "", 0
        level = value(numbers, "ilvl") or level_of_style
        if level is None and number == of_style:
            return number, self.document.numbering.level_of_style(number, style)
        return number, whole(level)

    def table(self, table: Any, background: str) -> None:
        nested: list[tuple[Any, str]]
        for row in Table(table, self.document.styles, background).rows():
            place = self.place()
            accept = self.document.changes == "accept"
            if row.deleted and accept:
                continue
            cells: list[str] = [""] * row.before
            nested, paragraphs = [], []
            for cell in row.cells:
                texts = []
                for child in flat(cell.node):
                    if child.tag == W + "p":
                        paragraph = self.paragraph(child, cell.shade, place)
                        paragraphs.append(paragraph)
                        texts.append(paragraph.text)
                    elif child.tag == W + "tbl":
                        nested.append((child, cell.shade))
                texts.append(_joined(self.carried, self.document.changes))
                self.carried = []
                text = "\n".join(text for text in texts if text.strip())
                if cell.continues:
                    if text:
                        paragraphs.append(Paragraph(hidden=[("merged cell", text)]))
                    text = ""
                cells += [text, *[""] * (cell.span - 1)]
            text = " | ".join(cells) if any(cells) else ""
            self.blocks.append(Block(place, text, "row", cells=tuple(cells), hidden="vanish" if row.hidden else ""))
            self.extras(paragraphs, place)
            for inner, shade in nested:
                self.table(inner, shade)

    def diagram(self, relation: str, place: str) -> None:
        """The text of a SmartArt drawing."""
        target = self.document.package.relations(self.part).get(relation)
        root = self.document.package.optional(target.target) if target else None
        for paragraph in root.iter(A + "p") if root is not None else ():
            text = "".join(run.text or "" for run in paragraph.iter(A + "t"))
            if text.strip():
                self.blocks.append(Block(place, text, "textbox"))

    def chunk(self, node: Any) -> None:
        """A document within the document, in a format of its own."""
        package = self.document.package
        relation = package.relations(self.part).get(node.get(R + "id", ""))
        place = self.place()
        if relation is None or relation.external or relation.target not in package:
            return
        extension = "." + relation.target.rsplit(".", 1)[-1].lower()
        extension = ".eml" if extension in (".mht", ".mhtml") else extension
        try:
            inner = extract_any(
                package.bytes(relation.target), extension, self.document.changes, self.document.depth + 1
            )
        except UnreadableError as error:
            self.document.notes.append(f"{place} holds {relation.target}, not read: it {error.message}")
            return
        for block in inner.blocks:
            self.document.has_headings |= block.kind == "heading"
            self.blocks.append(Block(place, block.text, block.kind, block.level, block.cells, block.hidden))


def flat(container: Any) -> Iterator[Any]:
    """The block-level children, those in content controls and other wrappers included."""
    for child in container:
        if child.tag == W + "sdt":
            content = child.find(W + "sdtContent")
            if content is not None:
                yield from flat(content)
        elif child.tag in (W + "customXml", W + "smartTag", W + "ins", W + "moveTo"):
            yield from flat(child)
        elif child.tag == MC + "AlternateContent":
            branch = alternatives(child)
            if branch is not None:
                yield from flat(branch)
        else:
            yield child


def _val(node: Any) -> str | None:
    return None if node is None else node.get(W + "val")


def _hidden(pieces: list[Piece]) -> Iterator[tuple[str, str]]:
    for reason, group in groupby((piece for piece in pieces if piece.hidden), lambda piece: piece.hidden):
        yield reason, "".join(piece.text for piece in group)


def _joined(pieces: list[Piece], changes: Changes) -> str:
    if changes == "accept":
        return "".join(piece.text for piece in pieces)
    text = ""
    for change, group in groupby(pieces, lambda piece: piece.change):
        inner = "".join(piece.text for piece in group)
        if change is None:
            text += inner
        else:
            sign, author = change
            text += f"[{sign}{inner}{f' by {author}' if author else ''}{sign}]"
    return text


def _heading_like(text: str, bold: bool, listed: bool) -> bool:
    """Whether a line without heading style reads as one: wholly bold, or numbered and in capitals or very short."""
    words = text.split()
    if len(text) > 100 or len(words) > 14 or "\n" in text or text.rstrip()[-1:] in ",;":
        return False
    if bold:
        return not text.rstrip().endswith(".") or len(words) <= 6
    numbered = _NUMBERED.match(text) is not None and not listed
    return numbered and text.rstrip()[-1:] not in ".:" and (text.isupper() or len(words) <= 5)

"""The markup of the texts in source/: what a .docx.md, .pdf.md or memo.md says, block by block.

`# title`, `## heading`, `### heading`, `- bullet`, `| a | b |` tables, paragraphs that may begin with a clause number;
**bold**, *italic*, {--deleted--}, {++inserted++}; lines <!-- header: text -->, <!-- changes: author, date --> and
<!-- comment (author, date): text -->. A comment belongs to the paragraph or table before it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

_DATE = r"\d{1,2} [A-Z][a-z]+ \d{4}|[A-Z][a-z]+ \d{1,2}, \d{4}"
_HEADER = re.compile(r"<!-- header: (.+) -->")
_CHANGES = re.compile(rf"<!-- changes: (.+), ({_DATE}) -->")
_COMMENT = re.compile(rf"<!-- comment \((.+), ({_DATE})\): (.+) -->")
_HEADINGS = {"# ": "title", "## ": "heading", "### ": "subheading"}
_SPANS = re.compile(
    r"\{--(?P<deleted>.+?)--\}|\{\+\+(?P<inserted>.+?)\+\+\}|\*\*(?P<bold>[^*]+)\*\*|\*(?P<italic>[^*\s](?:[^*]*[^*\s])?)\*"
)
_LEFTOVER = re.compile(r"\{--|--\}|\{\+\+|\+\+\}|\*\*|<!--|-->|`|\]\(|^>|^#|^\d+\) |^[-+*] ")
_MARKER = re.compile(r'("?(?:\d+(?:\.\d+)+\.?|\d+\.|[A-Z]\.\d+(?:\.\d+)*|[A-Z]\.|\((?:[a-z]{1,4}|[A-Z]|\d{1,2})\)))[ ]')
_ROMAN = re.compile(r"\((?:x{0,2}(?:ix|iv|v?i{0,3}))\)")
_TERM = r'(?:"[^"]+"|\*[^*]+\*)'
_DEFINITION = re.compile(
    rf"{_TERM}(?:(?:,| and| or) {_TERM})*(?: \([^)]*\))?(?::| means?,? | has the| includes? | is )"
)

_PLAIN_DEFINITION = re.compile(r"[A-Z][A-Za-z' -]{2,40}: ")


class SourceError(Exception):
    """A text in source/ that cannot be built: where, and what is wrong."""


@dataclass(frozen=True)
class Span:
    """A stretch of text of one look. change: "", "inserted" or "deleted"."""

    text: str
    bold: bool = False
    italic: bool = False
    change: str = ""


@dataclass(frozen=True)
class Comment:
    author: str
    date: datetime
    text: str


@dataclass
class Block:
    """kind: title heading subheading bullet clause definition paragraph table.

    marker: a clause's number, as written; level: how far it stands in, from 0; rows: of a table, cells of spans.
    """

    kind: str
    spans: list[Span] = field(default_factory=list)
    marker: str = ""
    level: int = 0
    rows: list[list[list[Span]]] = field(default_factory=list)
    comments: list[Comment] = field(default_factory=list)

    @property
    def text(self) -> str:
        return plain(self.spans)


@dataclass
class Source:
    """A whole text. changes: who made the tracked changes, and when."""

    header: str = ""
    changes: tuple[str, datetime] | None = None
    blocks: list[Block] = field(default_factory=list)

    @property
    def title(self) -> str:
        return next((block.text for block in self.blocks if block.kind == "title"), "")


def plain(spans: list[Span]) -> str:
    """The text of spans, deletions included."""
    return "".join(span.text for span in spans)


def parse(text: str, where: str | Path) -> Source:
    """Raises SourceError with file and line for what is not in this markup."""
    source = Source()
    gathered: list[str] = []
    start = 0

    def finish() -> None:
        if gathered:
            source.blocks += _blocks(gathered, f"{where}:{start}")
            gathered.clear()

    for number, line in enumerate([*text.splitlines(), ""], start=1):
        line = line.rstrip()
        if not line:
            finish()
        elif line.startswith("<!--"):
            finish()
            _directive(source, line, f"{where}:{number}")
        else:
            start = start if gathered else number
            gathered.append(line)
            if line.startswith("#"):
                finish()
    if source.changes is None and any(span.change for block in source.blocks for span in _all_spans(block)):
        raise SourceError(f"{where}: has tracked changes, but no line <!-- changes: author, date -->")
    _indent(source.blocks)
    return source


def day(text: str, where: str) -> datetime:
    """ "2 July 2025" or "July 2, 2025", at nine in the morning."""
    for form in ("%d %B %Y", "%B %d, %Y"):
        try:
            return datetime.strptime(text, form).replace(hour=9, tzinfo=UTC)
        except ValueError:
            continue
    raise SourceError(f"{where}: no such day: {text!r}")


def _directive(source: Source, line: str, where: str) -> None:
    if match := _HEADER.fullmatch(line):
        source.header = match[1]
    elif match := _CHANGES.fullmatch(line):
        source.changes = (match[1], day(match[2], where))
    elif match := _COMMENT.fullmatch(line):
        if not source.blocks:
            raise SourceError(f"{where}: a comment with no paragraph before it")
        source.blocks[-1].comments.append(Comment(match[1], day(match[2], where), match[3]))
    else:
        raise SourceError(f"{where}: expected header, changes or comment (author, date), found {line[:60]!r}")


def _blocks(lines: list[str], where: str) -> list[Block]:
    first = lines[0]
    if first.startswith("|"):
        return [Block("table", rows=_rows(lines, where))]
    mark = next((mark for mark in _HEADINGS if first.startswith(mark)), "")
    if mark:
        return [Block(_HEADINGS[mark], spans(first.removeprefix(mark), where))]
    if first.startswith("- "):
        if not all(line.startswith("- ") for line in lines):
            raise SourceError(f"{where}: a list with a line that does not begin with '- '")
        return [Block("bullet", spans(line.removeprefix("- "), where)) for line in lines]
    text = " ".join(lines)
    if match := _MARKER.match(text):
        return [Block("clause", spans(text[match.end() :], where), marker=match[1])]
    return [Block("definition" if _DEFINITION.match(text) else "paragraph", spans(text, where))]


def _rows(lines: list[str], where: str) -> list[list[list[Span]]]:
    rows = []
    for number, line in enumerate(lines):
        if not (line.startswith("|") and line.endswith("|")):
            raise SourceError(f"{where}: row {number + 1} of the table does not begin and end with |")
        cells = [cell.strip() for cell in line[1:-1].split("|")]
        if not (number == 1 and all(re.fullmatch(r"-{3,}", cell) for cell in cells)):
            rows.append([spans(cell, where) for cell in cells])
    if len({len(row) for row in rows}) != 1:
        raise SourceError(f"{where}: the rows of the table have {sorted({len(row) for row in rows})} cells")
    return rows


def spans(text: str, where: str) -> list[Span]:
    """The spans of a line. Emphasis may stand within a change, a change within emphasis may not."""
    found: list[Span] = []
    position = 0
    for match in _SPANS.finditer(text):
        found.append(Span(text[position : match.start()]))
        position = match.end()
        kind = str(match.lastgroup)
        if kind in ("deleted", "inserted"):
            found += [replace(span, change=kind) for span in spans(match[kind], where)]
        else:
            found.append(Span(match[kind], bold=kind == "bold", italic=kind == "italic"))
    found.append(Span(text[position:]))
    for span in found:
        if leftover := _LEFTOVER.search(span.text):
            raise SourceError(f"{where}: markup that is not known: {span.text[leftover.start() :][:60]!r}")
    return [span for span in found if span.text]


def _all_spans(block: Block) -> list[Span]:
    return [*block.spans, *(span for row in block.rows for cell in row for span in cell)]


def _indent(blocks: list[Block]) -> None:
    """How far each clause stands in: (a) under 1.1, (i) under (a), words to be inserted under their clause."""
    numbered = lettered = defining = False
    before = ""
    for block in blocks:
        if block.kind == "paragraph" and defining and _PLAIN_DEFINITION.match(block.text):
            block.kind = "definition"
        defining = block.kind == "definition" or (
            block.kind == "clause" and bool(re.search(r"definition|meaning|:$", block.text))
        )
        if block.kind in ("heading", "subheading", "title"):
            numbered = lettered = False
        elif block.kind == "definition":
            block.level = int(numbered)
        elif block.kind == "clause":
            follows = {"(i)": "(h)", "(v)": "(u)", "(x)": "(w)"}.get(block.marker)
            if block.marker.startswith('"'):
                block.level = 1
            elif _ROMAN.fullmatch(block.marker) and (follows is None or before != follows):
                block.level = int(numbered) + int(lettered)
            elif re.fullmatch(r"\([a-z]\)", block.marker):
                block.level, lettered = int(numbered), True
            else:
                numbered, lettered = True, False
            before = block.marker

"""Text files line by line; Markdown, CSV and HTML by what their markup says."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator

from evalsuite.lab.documents import SUPPORTED, TEXT, Block, Changes, Contents, UnreadableError
from evalsuite.lab.readers.package import sniff

_BOMS = [(codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
         (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")]  # fmt: skip
_MARKUP = (".html", ".htm", ".xml")


def extract(data: bytes, extension: str, changes: Changes, depth: int) -> Contents:
    """A text file of any kind; an unknown extension counts as one if it holds UTF-8."""
    text, notes = decode(data, extension)
    if extension == ".md":
        return Contents(tuple(markdown(text)), notes)
    if extension in (".csv", ".tsv"):
        return Contents(tuple(table(text, extension)), notes)
    if extension in (".html", ".htm"):
        from evalsuite.lab.readers.html import blocks

        return Contents(tuple(blocks(text, "l.")), notes)
    return Contents(tuple(lines(text)), notes)


def decode(data: bytes, extension: str) -> tuple[str, tuple[str, ...]]:
    """(text, notes) of bytes with or without a byte order mark. Raises UnreadableError for what is not text."""
    found = sniff(data)
    if found and not (found == "HTML" and extension in (*_MARKUP, ".txt", ".md")):
        if extension in TEXT:
            raise UnreadableError(f"is not a {extension} file: it holds {found}")
        raise UnreadableError(f"holds {found}, which is not read; supported are {', '.join(SUPPORTED)}")
    encoding = next((name for mark, name in _BOMS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding != "utf-8" or extension not in TEXT or b"\0" in data:
            raise _binary(extension, f"byte {error.start + 1} is not {encoding}") from error
        try:
            return data.decode("cp1252"), ("is not UTF-8; it was read as Windows-1252",)
        except UnicodeDecodeError:
            raise _binary(extension, "it is neither UTF-8 nor Windows-1252") from error
    if "\0" in text:
        raise _binary(extension, "it holds NUL characters")
    return text, ()


def _binary(extension: str, why: str) -> UnreadableError:
    if extension in TEXT:
        return UnreadableError(f"is not text: {why}")
    return UnreadableError(f"is of an unsupported kind ({why}); supported are {', '.join(SUPPORTED)}")


def lines(text: str, prefix: str = "l.") -> Iterator[Block]:
    """Every line that is not blank."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield Block(f"{prefix}{number}", line, "line")


def table(text: str, extension: str) -> Iterator[Block]:
    """The records of a CSV or TSV file; anchors give the line on which a record begins."""
    first = text.split("\n", 1)[0]
    delimiter = "\t" if extension == ".tsv" else max(",;\t|", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    begin = 1
    try:
        for record in reader:
            cells = tuple(cell.strip() for cell in record)
            if any(cells):
                yield Block(f"l.{begin}", " | ".join(cells), "row", cells=cells)
            begin = reader.line_num + 1
    except csv.Error as error:
        raise UnreadableError(f"is not a {extension} file: {error} on line {begin}") from error


_FENCE = re.compile(r"\s{0,3}(```+|~~~+)")
_HEADING = re.compile(r"\s{0,3}(#{1,6})\s+(.*)")
_UNDERLINE = re.compile(r"\s{0,3}(=+|-+)\s*$")
_ITEM = re.compile(r"\s*([-*+]|\d{1,9}[.)])\s+\S")
_RULE = re.compile(r"\s{0,3}([-*_])(\s*\1){2,}\s*$")
_TABLE_RULE = re.compile(r"\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$")
_MARKUP_START = re.compile(r"<!--|<(\w+)\b([^<>]*)>")
_UNSEEN = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0|color\s*[:=]\s*[\"']?(?:white|#fff(?:fff)?)\b|\shidden\b",
    re.IGNORECASE,
)


def markdown(text: str) -> Iterator[Block]:
    """Headings, paragraphs (their wrapped lines together), list items, rows of pipe tables, lines of code.

    HTML comments and elements styled to be invisible are hidden blocks.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    hidden: dict[int, list[tuple[str, str]]] = {}
    kept, done, line = list[str](), 0, 1
    for begin, end, reason, inner in _invisible(text):
        line += text.count("\n", done, begin)
        hidden.setdefault(line, []).append((reason, inner))
        breaks = text.count("\n", begin, end)
        kept += [text[done:begin], "\n" * breaks]
        done, line = end, line + breaks
    text = "".join(kept) + text[done:]
    waiting = sorted(hidden)
    for block in _markdown(text.split("\n")):
        while waiting and waiting[0] <= int(block.anchor[2:]):
            yield from _unseen(waiting[0], hidden)
            waiting.pop(0)
        yield block
    for line in waiting:
        yield from _unseen(line, hidden)


def _invisible(text: str) -> Iterator[tuple[int, int, str, str]]:
    """(begin, end, reason, inner text) of HTML comments, and of elements styled to be invisible, in order."""
    position, closed = 0, dict[str, bool]()
    lower = text.lower()
    for match in _MARKUP_START.finditer(text):
        if match.start() < position:
            continue
        if not match.group(1):
            end = text.find("-->", match.end())
            position = end + 3 if end >= 0 else len(text)
            yield match.start(), position, "comment", text[match.end() : end if end >= 0 else len(text)]
        elif _UNSEEN.search(match.group(2)) and closed.get(ending := f"</{match.group(1).lower()}>", True):
            end = lower.find(ending, match.end())
            closed[ending] = end >= 0
            if end >= 0:
                position = end + len(ending)
                yield match.start(), position, "invisible HTML", text[match.end() : end]


def _unseen(line: int, hidden: dict[int, list[tuple[str, str]]]) -> Iterator[Block]:
    for reason, text in hidden[line]:
        yield Block(f"l.{line}", text, "paragraph", hidden=reason)


def _markdown(source: list[str]) -> Iterator[Block]:
    start, gathered, fence, inside = 0, list[str](), "", False

    def paragraph() -> Iterator[Block]:
        if gathered:
            yield Block(f"l.{start}", "\n".join(gathered), "paragraph")
            gathered.clear()

    for number, line in enumerate(source, 1):
        opening = _FENCE.match(line)
        if fence or opening:
            yield from paragraph()
            if fence and opening and opening.group(1).startswith(fence):
                fence = ""
            elif not fence and opening:
                fence = opening.group(1)
            elif line.strip():
                yield Block(f"l.{number}", line, "line")
            continue
        heading = _HEADING.match(line)
        if heading:
            yield from paragraph()
            yield Block(f"l.{number}", _title(heading.group(2).rstrip()), "heading", level=len(heading.group(1)))
        elif gathered and len(gathered) == 1 and _UNDERLINE.match(line) and not _ITEM.match(gathered[0]):
            level = 1 if line.strip().startswith("=") else 2
            yield Block(f"l.{start}", gathered.pop(), "heading", level=level)
        elif not line.strip() or _RULE.match(line):
            yield from paragraph()
        elif inside := _is_row(line, source[number] if number < len(source) else "", inside):
            yield from paragraph()
            if not (_TABLE_RULE.match(line) and "-" in line):
                cells = tuple(cell.strip().replace("\\|", "|") for cell in _split(line))
                yield Block(f"l.{number}", " | ".join(cells), "row", cells=cells)
        else:
            if _ITEM.match(line):
                yield from paragraph()
            if not gathered:
                start = number
            gathered.append(line.strip())
    yield from paragraph()


def _title(text: str) -> str:
    """A heading's text without the number signs that may close it."""
    bare = text.rstrip("#")
    return bare.rstrip() if not bare or bare[-1].isspace() else text


def _is_row(line: str, following: str, inside: bool) -> bool:
    """A line of a pipe table: it begins with a pipe, lies inside a table, or is the header above a table's rule."""
    if line.strip().startswith("|"):
        return line.count("|") > 1
    return "|" in line and (inside or ("|" in following and _TABLE_RULE.match(following) is not None))


def _split(line: str) -> list[str]:
    stripped = line.strip().removeprefix("|")
    if stripped.endswith("|") and not stripped.endswith("\\|"):
        stripped = stripped[:-1]
    return re.split(r"(?<!\\)\|", stripped)

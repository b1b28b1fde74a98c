"""PDF pages, paragraph by paragraph: lines that belong together make one block."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from threading import Lock
from typing import Any

from evalsuite.lab.documents import Block, Changes, Contents, UnreadableError
from evalsuite.lab.readers.package import sniff

_ITEM = re.compile(r"(\d+(\.\d+)*[.)]|\(\w{1,4}\)|[-•●▪*–]|§)\s")
_pdfium = Lock()  # the library is not thread-safe


def extract(data: bytes, extension: str, changes: Changes, depth: int) -> Contents:
    """A PDF with a text layer. Raises UnreadableError if no page has one, or a password is needed."""
    import pypdfium2

    if b"%PDF-" not in data[:1024]:
        found = sniff(data)
        raise UnreadableError(f"is not a PDF: it {f'holds {found}' if found else f'begins with {data[:16]!r}'}")
    with _pdfium:
        try:
            document = pypdfium2.PdfDocument(data)
        except pypdfium2.PdfiumError as error:
            if "password" in str(error).lower():
                raise UnreadableError("is encrypted with a password") from error
            raise UnreadableError(f"is a damaged PDF: {error}") from error
        try:
            return _contents(document)
        finally:
            document.close()


def _contents(document: Any) -> Contents:
    from evalsuite.lab.readers.pdfmarks import annotated, unseen

    blocks: list[Block] = []
    without: list[int] = []
    for number in range(1, len(document) + 1):
        place = f"p.{number}"
        page = document[number - 1]
        layer = page.get_textpage()
        try:
            text, hidden = layer.get_text_range(), list[tuple[str, str]]()
            marked = unseen(page)
            if marked:
                text, hidden = _split(layer, marked)
            blocks += (Block(place, paragraph, "paragraph") for paragraph in _paragraphs(_plain(text)))
            blocks += (Block(place, _plain(text), "paragraph", hidden=reason) for reason, text in hidden)
            blocks += (Block(place, text, kind, hidden=why) for kind, text, why in annotated(page))
        finally:
            layer.close()
            page.close()
        if not text.strip() and not hidden:
            without.append(number)
    if len(without) == len(document):
        raise UnreadableError(f"has no text layer: none of its {len(document)} pages holds text (a scan?)")
    return Contents(tuple(blocks), tuple(f"p.{number} has no text layer" for number in without))


def _split(layer: Any, marked: dict[int, str]) -> tuple[str, list[tuple[str, str]]]:
    """(what is seen, [(reason, text)] of what is not), character by character."""
    from evalsuite.lab.readers.pdfmarks import owner

    characters = [(marked.get(owner(layer, i), ""), layer.get_text_range(i, 1)) for i in range(layer.count_chars())]
    seen, hidden = "", []
    for reason, group in groupby(characters, lambda pair: pair[0]):
        part = "".join(character for _, character in group)
        if reason:
            hidden.append((reason, part))
        else:
            seen += part
    return seen, hidden


def _plain(text: str) -> str:
    """Words hyphenated at a line's end in one piece, lines ended by LF."""
    return re.sub("[\ufffe\x02]\r?\n?", "", text).replace("\r", "")


def _paragraphs(text: str) -> Iterator[str]:
    """Lines joined into paragraphs: one ends before a blank line, after a short line, and before a list item."""
    lines = [line.strip() for line in text.split("\n")]
    width = max(map(len, lines))
    gathered: list[str] = []
    for line in lines:
        ended = gathered and (len(gathered[-1]) < 0.75 * width or _ITEM.match(line) is not None)
        if gathered and (ended or not line):
            yield "\n".join(gathered)
            gathered = []
        if line:
            gathered.append(line)
    if gathered:
        yield "\n".join(gathered)

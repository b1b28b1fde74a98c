"""PDF pages, paragraph by paragraph: lines that belong together make one block."""

from __future__ import annotations

import re
from collections.abc import Iterator

from evalsuite.lab.documents import Block, Changes, Contents, UnreadableError

_ITEM = re.compile(r"(\d+(\.\d+)*[.)]|\(\w{1,4}\)|[-•●▪*–]|§)\s")


def extract(data: bytes, extension: str, changes: Changes, depth: int) -> Contents:
    """A PDF with a text layer. Raises UnreadableError if no page has one, or a password is needed."""
    import pypdfium2

    if b"%PDF-" not in data[:1024]:
        from evalsuite.lab.readers.package import sniff

        found = sniff(data)
        raise UnreadableError(f"is not a PDF: it {f'holds {found}' if found else f'begins with {data[:16]!r}'}")
    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        if "password" in str(error).lower():
            raise UnreadableError("is encrypted with a password") from error
        raise UnreadableError(f"is a damaged PDF: {error}") from error
    blocks: list[Block] = []
    without: list[int] = []
    try:
        count = len(document)
        for number in range(1, count + 1):
            text = _page(document, number)
            blocks += (Block(f"p.{number}", paragraph, "paragraph") for paragraph in _paragraphs(text))
            if not text.strip():
                without.append(number)
    finally:
        document.close()
    if not blocks:
        raise UnreadableError(f"has no text layer: none of its {count} pages holds text (a scan?)")
    return Contents(tuple(blocks), tuple(f"p.{number} has no text layer" for number in without))


def _page(document: object, number: int) -> str:
    import pypdfium2

    assert isinstance(document, pypdfium2.PdfDocument)
    page = document[number - 1]
    try:
        layer = page.get_textpage()
        try:
            text: str = layer.get_text_range()
        finally:
            layer.close()
    finally:
        page.close()
    return re.sub("[\\ufffe\\x02]\\r?\\n?", "", text).replace("\r", "")


def _paragraphs(text: str) -> Iterator[str]:
    """Lines joined into paragraphs: one ends before a blank line, after a short line, and before a list item."""
    lines = text.split("\n")
    width = sorted(len(line) for line in lines if line.strip())[-1:] or [0]
    gathered: list[str] = []
    for line in lines:
        ended = gathered and (len(gathered[-1]) < 0.75 * width[0] or _ITEM.match(line) is not None)
        if gathered and (ended or not line.strip()):
            yield "\n".join(gathered)
            gathered = []
        if line.strip():
            gathered.append(line.strip())
    if gathered:
        yield "\n".join(gathered)

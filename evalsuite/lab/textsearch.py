"""Looking through extracted text: kept between calls, searched without ever stopping the other trials."""

from __future__ import annotations

import re
import time
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path
from threading import Lock

from evalsuite.lab import documents
from evalsuite.lab.documents import Extracted

SEARCH_SECONDS = 20.0
LINE_CHARACTERS = 2_000  # a longer line is shown as several
EXCERPT_CHARACTERS = 400
KEPT_CHARACTERS = 100_000_000  # over all trials of this process
BLOCK_CHARACTERS = 300  # what a block costs besides its text

_kept: OrderedDict[tuple[object, ...], tuple[int, Extracted]] = OrderedDict()
_lock = Lock()
_size = 0


def extract(path: Path, name: str, cache: Path | None) -> Extracted:
    """`documents.read` with all tracked changes, but a file that has not changed since is not even opened again.

    Raises UnreadableError.
    """
    global _size
    try:
        status = path.stat()
    except OSError:
        return documents.read(path, name=name, changes="all", cache=cache)
    key = (str(path), name, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    with _lock:
        if found := _kept.get(key):
            _kept.move_to_end(key)
            return found[1]
    extracted = documents.read(path, name=name, changes="all", cache=cache)
    cost = sum(len(block.text) + BLOCK_CHARACTERS for block in extracted.blocks)
    with _lock:
        if key not in _kept:
            _kept[key] = cost, extracted
            _size += cost
        while _size > KEPT_CHARACTERS and len(_kept) > 1:
            _size -= _kept.popitem(last=False)[1][0]
    return extracted


class Finder:
    """A pattern, upper and lower case alike; one that is no valid regular expression is taken as words, with a `note`.

    Plain words match over any white space and with straight or curly quotes.
    """

    def __init__(self, pattern: str, plain: bool = False) -> None:
        import regex  # type: ignore[import-untyped,unused-ignore]

        self.note = ""
        self.left = SEARCH_SECONDS
        literal = r"\s+".join(map(regex.escape, pattern.split())) or regex.escape(pattern)
        for quotes in ("'\u2018\u2019", '"\u201c\u201d'):
            literal = re.sub(rf"\\?[{quotes}]", f"[{quotes}]", literal)
        try:
            self.pattern = regex.compile(literal if plain else pattern, regex.IGNORECASE)
        except (regex.error, OverflowError, RecursionError) as error:
            self.note = f"not a valid regular expression ({error}): searched for as plain words"
            self.pattern = regex.compile(literal, regex.IGNORECASE)

    def span(self, text: str) -> tuple[int, int] | None:
        """Where the first match lies. Raises TimeoutError once all calls together have taken `SEARCH_SECONDS`.

        The interpreter lock is released meanwhile: a pattern that explodes stops its own trial only.
        """
        begin = time.perf_counter()
        match = self.pattern.search(text, timeout=max(self.left, 0.001), concurrent=True)
        self.left -= time.perf_counter() - begin
        return match.span() if match else None


def excerpt(text: str, span: tuple[int, int]) -> str:
    """The part of a long line around its match."""
    if len(text) <= EXCERPT_CHARACTERS:
        return text
    begin = max(0, min(span[0] - EXCERPT_CHARACTERS // 3, len(text) - EXCERPT_CHARACTERS))
    end = begin + EXCERPT_CHARACTERS
    return f"{'... ' if begin else ''}{text[begin:end]}{' ...' if end < len(text) else ''}"


def fitting(lines: Iterable[str], room: int) -> list[str]:
    """The first lines that fit into `room` characters, one at least."""
    page: list[str] = []
    for line in lines:
        room -= len(line) + 1
        if room < 0 and page:
            break
        page.append(line)
    return page


def pieces(line: str) -> list[str]:
    """A line, or its pieces if it is too long to be shown in one answer."""
    return [line[i : i + LINE_CHARACTERS] for i in range(0, len(line), LINE_CHARACTERS)] or [""]

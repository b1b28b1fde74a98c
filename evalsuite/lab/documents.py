"""What a file says: blocks of text with anchors, hidden text apart. The one reader for agent, grader and judge.

`read` dispatches by extension to `readers/`, which return blocks whose anchors lack the file's name; the name is put
in front afterwards, so that the cache, keyed by content, serves every copy of a file.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any, Literal

from evalsuite.errors import InputError
from evalsuite.storage import atomic_file

READER_VERSION = 1  # part of every cache key: raise it whenever a reader's result changes
MAX_BYTES = 200 * 2**20
MAX_DEPTH = 5
MEMO_ENTRIES = 256

WORD = (".docx", ".docm", ".dotx")
SHEETS = (".xlsx", ".xlsm", ".xltx")
SLIDES = (".pptx", ".pptm", ".ppsx")
TEXT = (".txt", ".md", ".csv", ".tsv", ".json", ".jsonl", ".html", ".htm", ".xml", ".yaml", ".yml", ".log")
SUPPORTED: tuple[str, ...] = (*WORD, *SHEETS, *SLIDES, ".pdf", ".eml", *TEXT)

Changes = Literal["accept", "all"]


class UnreadableError(InputError):
    """A file whose text cannot be had: damaged, encrypted, not what its name says, or of an unsupported kind."""

    kind = "unreadable"


@dataclass(frozen=True)
class Block:
    """A paragraph, table row, line, cell or page: the unit that anchors point at and checks look into.

    anchor: "memo.docx p:12", "book.xlsx Sheet1!B7", "deed.pdf p.3", "mail.eml body l.4", "notes.txt l.7"
    kind: paragraph heading row header footer footnote endnote textbox comment slide notes page part line cell
    level: of a heading, 1-9; 9 is a bold or numbered line in a document without heading styles
    cells: of a table or sheet row; a sheet row's start at the column of its anchor
    hidden: why a reader does not see it ("vanish", "white text", "tiny text", "comment", "hidden sheet", ...), or ""
    """

    anchor: str
    text: str
    kind: str
    level: int = 0
    cells: tuple[str, ...] = ()
    hidden: str = ""


@dataclass(frozen=True)
class Extracted:
    """A file's blocks in reading order; `notes` say what could not be read or was guessed."""

    name: str
    sha256: str
    blocks: tuple[Block, ...]
    notes: tuple[str, ...]

    def text(self, *, hidden: bool = True, anchors: bool = True) -> str:
        """One block a line: "[anchor] text", and "[anchor] [hidden (white text): ...]" unless hidden ones are left out."""
        lines = []
        for block in self.blocks if hidden else self.visible():
            text = " ".join(block.text.splitlines())
            text = f"[hidden ({block.hidden}): {text}]" if block.hidden else text
            lines.append(f"[{block.anchor}] {text}" if anchors else text)
        return "\n".join(lines)

    def visible(self) -> tuple[Block, ...]:
        """The blocks that a reader of the file sees."""
        return tuple(block for block in self.blocks if not block.hidden)


@dataclass(frozen=True)
class Contents:
    """What a reader returns: anchors and notes still lack the file's name."""

    blocks: tuple[Block, ...]
    notes: tuple[str, ...] = ()


def read(path: Path, *, name: str | None = None, changes: Changes = "accept", cache: Path | None = None) -> Extracted:
    """The text of a file, under `name` (by default the file's own).

    changes: tracked changes accepted, or all shown as `[+new text by Author+]` and `[-old text by Author-]`.
    cache: a folder; what was extracted is kept in its `extracted/`, by content.
    Raises UnreadableError, and nothing else, whatever the file holds.
    """
    name = name or path.name
    try:
        data = _bytes(path)
        digest = hashlib.sha256(data).hexdigest()
        contents = _remembered(data, digest, path.suffix.lower(), changes, cache)
    except UnreadableError as error:
        raise UnreadableError(error.message, where=name) from error
    blocks = tuple(
        Block(f"{name} {block.anchor}", block.text, block.kind, block.level, block.cells, block.hidden)
        for block in contents.blocks
    )
    return Extracted(name, digest, blocks, tuple(f"{name} {note}" for note in contents.notes))


def extract(data: bytes, extension: str, changes: Changes = "accept", depth: int = 0) -> Contents:
    """The text of a file's bytes, read as `extension` (".docx") says. Raises UnreadableError.

    depth: how many files this one lies within (mail attachments, documents inside documents).
    """
    if not data:
        raise UnreadableError("is empty (0 bytes)")
    if depth > MAX_DEPTH:
        raise UnreadableError(f"lies more than {MAX_DEPTH} files deep within others")
    try:
        return _tidy(_reader(extension)(data, extension, changes, depth))
    except UnreadableError:
        raise
    except Exception as error:  # parsers of damaged files fail in every way there is
        raise UnreadableError(f"is damaged: {type(error).__name__}: {error}") from error


def _bytes(path: Path) -> bytes:
    try:
        if not path.is_file():
            raise UnreadableError("is a folder or a device" if path.exists() else "no such file")
        if path.stat().st_size > MAX_BYTES:
            raise UnreadableError(f"is larger than {MAX_BYTES // 2**20} MiB")
        return path.read_bytes()
    except OSError as error:
        raise UnreadableError(f"cannot be opened: {error.strerror}") from error


def _reader(extension: str) -> Callable[[bytes, str, Changes, int], Contents]:
    if extension in WORD:
        from evalsuite.lab.readers import docx

        return docx.extract
    if extension in SHEETS:
        from evalsuite.lab.readers import sheets

        return sheets.extract
    if extension in SLIDES:
        from evalsuite.lab.readers import slides

        return slides.extract
    if extension == ".pdf":
        from evalsuite.lab.readers import pdf

        return pdf.extract
    if extension == ".eml":
        from evalsuite.lab.readers import mail

        return mail.extract
    from evalsuite.lab.readers import text

    return text.extract


_memo: OrderedDict[str, Contents] = OrderedDict()
_memo_lock = Lock()


def _remembered(data: bytes, digest: str, extension: str, changes: Changes, cache: Path | None) -> Contents:
    if extension not in (*WORD, ".eml"):  # nothing else tracks changes, or holds what does: one text serves both
        changes = "accept"
    key = hashlib.sha256(f"{digest} {READER_VERSION} {changes} {extension}".encode()).hexdigest()
    stored = cache / "extracted" / f"{key}.json" if cache else None
    with _memo_lock:
        contents = _memo.get(key)
    if contents is None and stored:
        contents = _load(stored)
    fresh = contents is None
    if contents is None:
        contents = extract(data, extension, changes)
    if stored and (fresh or not stored.exists()):
        _save(stored, contents)
    with _memo_lock:
        _memo[key] = contents
        _memo.move_to_end(key)
        while len(_memo) > MEMO_ENTRIES:
            _memo.popitem(last=False)
    return contents


def _load(path: Path) -> Contents | None:
    """A cached extraction; None if there is none or it does not have the right form."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        value: Any = json.loads(path.read_bytes())
        blocks = tuple(
            Block(anchor, text, kind, level, tuple(cells), hidden)
            for anchor, text, kind, level, cells, hidden in value["blocks"]
        )
        return Contents(blocks, tuple(value["notes"]))
    return None


def _save(path: Path, contents: Contents) -> None:
    blocks = [(b.anchor, b.text, b.kind, b.level, b.cells, b.hidden) for b in contents.blocks]
    value = {"blocks": blocks, "notes": contents.notes}
    with atomic_file(path, sync=False) as stream:
        stream.write(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))


_INVISIBLE = r"\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\U000e0000-\U000e007f"
_NOTHING = re.compile(rf"[{_INVISIBLE}\x00-\x08\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_MESSAGE = re.compile(rf"[{_INVISIBLE}]{{8,}}|[\U000e0020-\U000e007e]+")
_SPACES = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2007": " ", "\x0b": "\n", "\x0c": "\n", "\r": ""})


def _tidy(contents: Contents) -> Contents:
    """Without what has no width: that goes to hidden blocks where it is long enough to carry a message."""
    return Contents(tuple(part for block in contents.blocks for part in _parts(block)), contents.notes)


def _parts(block: Block) -> Iterable[Block]:
    if block.text.isascii() and block.text.isprintable() and block.text.strip() == block.text and not block.cells:
        if block.text:
            yield block
        return
    text = _clean(block.text)
    text = text.rstrip() if block.kind == "line" else text.strip()
    cells = tuple(_clean(cell).strip() for cell in block.cells)
    if text.strip():
        yield replace(block, text=text, cells=cells)
    if block.text.isascii():
        return
    found = _MESSAGE.findall(block.text)
    if not text.strip() and not found and _NOTHING.search(block.text):
        found = [block.text]
    for run in found:
        smuggled = "".join(chr(ord(c) - 0xE0000) for c in run if 0xE0020 <= ord(c) <= 0xE007E)
        yield replace(
            block, text=smuggled or f"{len(run)} zero-width characters", kind="paragraph", cells=(), hidden="zero-width"
        )


def _clean(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    return _NOTHING.sub("", text.translate(_SPACES))

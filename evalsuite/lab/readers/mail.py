"""E-mail: headers, the text body, and attachments read by their own readers."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator
from dataclasses import replace
from email import policy
from email.message import MIMEPart
from email.parser import BytesParser
from pathlib import PurePosixPath
from typing import Any

from evalsuite.lab.documents import Block, Changes, Contents, UnreadableError
from evalsuite.lab.documents import extract as extract_any
from evalsuite.lab.readers import html, text
from evalsuite.lab.readers.package import sniff

_KNOWN = {"from", "to", "subject", "date", "received", "mime-version", "content-type"}
_HEADERS = ("From", "To", "Cc", "Bcc", "Reply-To", "Date", "Subject")


def extract(data: bytes, extension: str, changes: Changes, depth: int) -> Contents:
    """An .eml file (RFC 5322), or a web page saved as one (MHTML)."""
    found = sniff(data)
    if found or b"\0" in data[:4096]:
        raise UnreadableError(f"is not an e-mail: it holds {found or 'binary data'}")
    message = BytesParser(policy=policy.default).parsebytes(data)
    if not _KNOWN & {name.lower() for name, _ in message.raw_items()}:
        raise UnreadableError("is not an e-mail: it has none of the headers From, To, Subject and Date")
    reader = _Mail(changes, depth)
    reader.headers(message)
    reader.part(message)
    return Contents(tuple(reader.blocks), tuple(reader.notes))


class _Mail:
    def __init__(self, changes: Changes, depth: int) -> None:
        self.changes, self.depth = changes, depth
        self.blocks: list[Block] = []
        self.notes: list[str] = []
        self.bodies = 0
        self.names: set[str] = set()

    def headers(self, message: MIMEPart[Any, Any]) -> None:
        for name in _HEADERS:
            for value in _header(message, name):
                self.blocks.append(Block(name, f"{name}: {' '.join(value.split())}", "line"))

    def part(self, part: MIMEPart[Any, Any]) -> None:
        """A part of the message with all that is inside it; of alternatives the plain text."""
        kind = part.get_content_type()
        if kind == "multipart/alternative":
            chosen = list(_chosen(part))
            for child in chosen:
                self.part(child)
        elif part.is_multipart() and kind != "message/rfc822":
            for child in part.iter_parts():
                self.part(child)
        elif kind in ("text/plain", "text/html") and not part.is_attachment() and not part.get_filename():
            self.body(part, kind)
        else:
            self.attachment(part)

    def body(self, part: MIMEPart[Any, Any], kind: str) -> None:
        content = _text(part)
        self.bodies += 1
        place = "body l." if self.bodies == 1 else f"body {self.bodies} l."
        if kind == "text/html":
            self.blocks += html.blocks(content, place)
        else:
            self.blocks += text.lines(content, place)

    def attachment(self, part: MIMEPart[Any, Any]) -> None:
        kind = part.get_content_type()
        name = self.name(part)
        self.blocks.append(Block(f"> {name}", f"Attachment: {name}", "part"))
        extension = PurePosixPath(name).suffix.lower()
        try:
            if kind == "message/rfc822":
                inner = next(iter(part.iter_parts()), None)
                data, extension = inner.as_bytes(policy=policy.SMTP) if inner else b"", ".eml"
            else:
                payload = part.get_payload(decode=True)
                data = payload if isinstance(payload, bytes) else b""
            contents = extract_any(data, extension, self.changes, self.depth + 1)
        except UnreadableError as error:
            self.notes.append(f"> {name} was not read: it {error.message}")
            return
        self.blocks += [replace(block, anchor=f"> {name} {block.anchor}") for block in contents.blocks]
        self.notes += [f"> {name} {note}" for note in contents.notes]

    def name(self, part: MIMEPart[Any, Any]) -> str:
        """The attachment's file name without folders, made up where it has none and unique in the message."""
        name = PurePosixPath((part.get_filename() or "").replace("\\", "/")).name
        if not name:
            kind = part.get_content_type()
            ending = ".eml" if kind == "message/rfc822" else mimetypes.guess_extension(kind) or ".bin"
            name = f"attachment{ending}"
        path, number = PurePosixPath(name), 1
        while name in self.names:
            number += 1
            name = f"{path.stem} ({number}){path.suffix}"
        self.names.add(name)
        return name


def _header(message: MIMEPart[Any, Any], name: str) -> list[str]:
    """The values of a header, decoded; as they stand in the file where the library fails on them."""
    try:
        return [str(value) for value in message.get_all(name, [])]
    except (ValueError, LookupError, AttributeError, TypeError):
        return [str(value) for key, value in message.raw_items() if key.lower() == name.lower()]


def _chosen(alternative: MIMEPart[Any, Any]) -> Iterator[MIMEPart[Any, Any]]:
    """Of the alternatives the plain text, else the last one; whatever is no alternative body besides."""
    parts = list(alternative.iter_parts())
    plain = [part for part in parts if part.get_content_type() == "text/plain" and _text(part).strip()]
    bodies = [part for part in parts if part.get_content_type() == "text/html" or part.is_multipart()]
    chosen = (plain or bodies[-1:] or parts)[:1]
    yield from chosen
    for part in parts:
        kind = part.get_content_type()
        if part not in chosen and (
            part.is_attachment() or part.get_filename() or kind not in ("text/plain", "text/html")
        ):
            if part.is_multipart() and kind == "multipart/related":
                yield from (child for child in part.iter_parts() if child.get_content_type() != "text/html")
            elif kind != "text/calendar" or part.get_filename():
                yield part


def _text(part: MIMEPart[Any, Any]) -> str:
    """A part's text, whatever its character set claims to be."""
    try:
        content = part.get_content()
        return content if isinstance(content, str) else ""
    except (LookupError, ValueError, AssertionError):
        payload = part.get_payload(decode=True)
        return payload.decode("utf-8", "replace") if isinstance(payload, bytes) else str(part.get_payload())

"""Office files are zips of XML parts: open them without trusting them."""

from __future__ import annotations

import io
import posixpath
import re
import zipfile
import zlib
from typing import Any, NamedTuple, cast
from urllib.parse import unquote

from lxml import etree

from evalsuite.lab.documents import UnreadableError

MAX_PART = 200 * 2**20
MAX_TOTAL = 2 * MAX_PART

PR = "{http://schemas.openxmlformats.org/package/2006/relationships}"
R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
FALSE = ("0", "false", "off", "none")

_STRICT = re.compile(
    rb"http://purl\.oclc\.org/ooxml/(officeDocument|wordprocessingml|spreadsheetml|presentationml|drawingml)/"
)
_TRANSITIONAL = {
    b"officeDocument": b"http://schemas.openxmlformats.org/officeDocument/2006/",
    b"wordprocessingml": b"http://schemas.openxmlformats.org/wordprocessingml/2006/",
    b"spreadsheetml": b"http://schemas.openxmlformats.org/spreadsheetml/2006/",
    b"presentationml": b"http://schemas.openxmlformats.org/presentationml/2006/",
    b"drawingml": b"http://schemas.openxmlformats.org/drawingml/2006/",
}
_LEGACY = {
    "EncryptedPackage": "is encrypted with a password",
    "WordDocument": "is a Word 97-2003 .doc file; save it as .docx",
    "Workbook": "is an Excel 97-2003 .xls file; save it as .xlsx",
    "PowerPoint Document": "is a PowerPoint 97-2003 .ppt file; save it as .pptx",
    "__substg1.0_": "is an Outlook .msg file; save it as .eml",
}


class Relation(NamedTuple):
    kind: str
    target: str
    external: bool


def sniff(data: bytes) -> str | None:
    """What binary content betrays by its first bytes ("a PDF"), or None."""
    head = data[:1024].lstrip()
    if data[:4] == b"\xd0\xcf\x11\xe0":
        return "a legacy Office file"
    magic = {b"%PDF-": "a PDF", b"PK\x03\x04": "a zip archive", b"{\\rtf": "rich text (RTF)", b"\x89PNG": "a picture",
             b"\xff\xd8\xff": "a picture", b"GIF8": "a picture", b"\x1f\x8b": "gzip data"}  # fmt: skip
    for start, what in magic.items():
        if head.startswith(start):
            return what
    return "HTML" if re.match(rb"(\xef\xbb\xbf)?\s*<(!doctype html|html)", head, re.IGNORECASE) else None


class Package:
    """The parts of an Office file.

    what: what it should be ("a Word document"); main: its usual main part; root: that part's root element, without namespace.
    Raises UnreadableError that says what the bytes are instead.
    """

    def __init__(self, data: bytes, what: str, main: str, root: str) -> None:
        if data[:4] == b"\xd0\xcf\x11\xe0":
            for stream, meaning in _LEGACY.items():
                if stream.encode("utf-16-le") in data:
                    raise UnreadableError(meaning)
        try:
            self._zip = zipfile.ZipFile(io.BytesIO(data))
            self._names = {info.filename.lower(): info for info in self._zip.infolist()}
        except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, UnicodeDecodeError, EOFError) as error:
            found = sniff(data)
            if found == "a zip archive":
                raise UnreadableError(f"is cut short or damaged: {error}") from error
            held = f"it holds {found}" if found else f"it begins with {data[:16]!r}"
            raise UnreadableError(f"is not {what}: {held}") from error
        self._read = 0
        targets = [relation.target for relation in self.relations("").values() if relation.kind == "officeDocument"]
        self.main = targets[0] if targets else main
        if self.main not in self:
            held = ", ".join(sorted({part.split("/")[0] for part in self._names})[:6]) or "nothing"
            raise UnreadableError(f"is not {what}: the zip archive holds {held}")
        self.root = self.xml(self.main)
        if etree.QName(self.root).localname != root:
            raise UnreadableError(f"is not {what}: its main part is {self.main}")

    def __contains__(self, part: str) -> bool:
        return part.lower() in self._names

    def names(self, prefix: str) -> list[str]:
        """Parts whose name begins with `prefix`, in the archive's order."""
        return [info.filename for name, info in self._names.items() if name.startswith(prefix)]

    def bytes(self, part: str) -> bytes:
        """A part, inflated. Raises UnreadableError if missing, damaged, encrypted or too large."""
        info = self._names.get(part.lower())
        if info is None:
            raise UnreadableError(f"is damaged: its part {part} is missing")
        try:
            with self._zip.open(info) as stream:
                data = stream.read(MAX_PART + 1)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError) as error:
            raise UnreadableError(f"is damaged: its part {part} cannot be inflated ({error})") from error
        self._read += len(data)
        if len(data) > MAX_PART or self._read > MAX_TOTAL:
            raise UnreadableError(f"is refused: its part {part} inflates to more than {MAX_PART // 2**20} MiB")
        if b"purl.oclc.org/ooxml" in data[:8192]:
            data = _STRICT.sub(lambda match: _TRANSITIONAL[match.group(1)], data)
        return data

    def xml(self, part: str) -> Any:
        """The root element of a part. Entities are not resolved; a part with a document type is refused."""
        parser = etree.XMLParser(resolve_entities=False, no_network=True, remove_comments=True, remove_pis=True)
        try:
            root = etree.fromstring(self.bytes(part), parser)
        except (etree.XMLSyntaxError, ValueError) as error:
            raise UnreadableError(f"is damaged: its part {part} is not XML ({error})") from error
        if cast(Any, root).getroottree().docinfo.doctype:
            raise UnreadableError(f"is refused: its part {part} declares a document type")
        return root

    def optional(self, part: str | None) -> Any:
        """As `xml`, or None if there is no such part."""
        return self.xml(part) if part and part in self else None

    def relations(self, part: str) -> dict[str, Relation]:
        """id -> Relation of a part; targets are part names."""
        folder, name = posixpath.split(part)
        root = self.optional(posixpath.join(folder, "_rels", f"{name}.rels"))
        found: dict[str, Relation] = {}
        for item in root if root is not None else ():
            target, external = item.get("Target", ""), item.get("TargetMode") == "External"
            if not external:
                target = posixpath.normpath(posixpath.join("/", folder, unquote(target))).lstrip("/")
            found[item.get("Id", "")] = Relation(item.get("Type", "").rsplit("/", 1)[-1], target, external)
        return found

    def related(self, part: str, kind: str) -> list[str]:
        """Parts that `part` relates to by `kind` ("comments") and that exist."""
        return [
            r.target for r in self.relations(part).values() if r.kind == kind and not r.external and r.target in self
        ]


def alternatives(node: Any) -> Any:
    """Of an mc:AlternateContent, the branch that is shown."""
    choice = node.find(f"{MC}Choice")
    return choice if choice is not None else node.find(f"{MC}Fallback")

"""PowerPoint presentations: shapes, tables, speaker notes and comments, slide by slide in the order they are shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from evalsuite.lab.documents import Block, Changes, Contents, UnreadableError
from evalsuite.lab.readers.package import FALSE, MC, A, Package, R, alternatives

P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_TITLES = ("title", "ctrTitle")
_FURNITURE = ("sldNum", "dt", "hdr", "ftr", "sldImg")


def extract(data: bytes, extension: str, changes: Changes, depth: int) -> Contents:
    """A .pptx, .pptm or .ppsx."""
    package = Package(data, "a PowerPoint presentation", "ppt/presentation.xml", "presentation")
    relations = package.relations(package.main)
    blocks: list[Block] = []
    notes: list[str] = []
    for number, entry in enumerate(package.root.iterfind(f"{P}sldIdLst/{P}sldId"), 1):
        relation = relations.get(entry.get(R + "id", ""))
        if relation is None or relation.target not in package:
            notes.append(f"slide {number} is missing from the file")
            continue
        blocks += _slide(package, relation.target, f"slide {number}", notes)
    if relations and package.root.find(P + "sldIdLst") is None and package.names("ppt/slides/slide"):
        raise UnreadableError("is damaged: the presentation does not list its slides")
    return Contents(tuple(blocks), tuple(notes))


def _slide(package: Package, part: str, place: str, notes: list[str]) -> Iterator[Block]:
    root = package.xml(part)
    hidden = "hidden slide" if root.get("show", "1") in FALSE else ""
    tree = root.find(f"{P}cSld/{P}spTree")
    if tree is not None:
        yield from _shapes(tree, package, part, place, "slide", hidden)
    pictures = sum(1 for _ in root.iter(P + "pic"))
    charts = sum(1 for node in root.iter() if str(node.tag).endswith("/chart}chart"))
    for count, what in ((pictures, "picture"), (charts, "chart")):
        if count:
            notes.append(f"{place} holds {count} {what}{'s' if count > 1 else ''}, not read")
    for target in package.related(part, "notesSlide"):
        tree = package.xml(target).find(f"{P}cSld/{P}spTree")
        if tree is not None:
            yield from _shapes(tree, package, target, f"{place} notes", "notes", hidden or "speaker notes")
    yield from _comments(package, part, place)


def _shapes(tree: Any, package: Package, part: str, place: str, kind: str, hidden: str) -> Iterator[Block]:
    for shape in tree:
        if shape.tag == MC + "AlternateContent":
            branch = alternatives(shape)
            if branch is not None:
                yield from _shapes(branch, package, part, place, kind, hidden)
            continue
        properties = next(iter(shape.iter(P + "cNvPr")), None)
        unseen = hidden
        if properties is not None:
            if properties.get("hidden", "0") not in FALSE:
                unseen = hidden or "hidden shape"
            if properties.get("descr") and kind == "slide" and shape.tag != P + "grpSp":
                yield Block(place, properties.get("descr"), "paragraph", hidden="alternative text")
        if shape.tag == P + "grpSp":
            yield from _shapes(shape, package, part, place, kind, unseen)
        elif shape.tag == P + "graphicFrame":
            yield from _frame(shape, package, part, place, unseen)
        elif shape.tag in (P + "sp", P + "cxnSp"):
            holder = next(iter(shape.iter(P + "ph")), None)
            role = holder.get("type", "body") if holder is not None else ""
            if role in _FURNITURE:
                continue
            body = shape.find(P + "txBody")
            for paragraph in body.iterfind(A + "p") if body is not None else ():
                if role in _TITLES and kind == "slide":
                    yield Block(place, _text(paragraph), "heading", level=1, hidden=unseen)
                else:
                    yield Block(place, _text(paragraph), kind, hidden=unseen)


def _frame(frame: Any, package: Package, part: str, place: str, hidden: str) -> Iterator[Block]:
    """A table, or a SmartArt drawing, whose text lies in a part of its own."""
    for row in frame.iter(A + "tr"):
        cells = []
        for cell in row.iterfind(A + "tc"):
            merged = cell.get("hMerge", "0") not in FALSE or cell.get("vMerge", "0") not in FALSE
            cells.append("" if merged else "\n".join(_text(p) for p in cell.iter(A + "p")).strip())
        if any(cells):
            yield Block(place, " | ".join(cells), "row", cells=tuple(cells), hidden=hidden)
    for node in frame.iter():
        if str(node.tag).endswith("/diagram}relIds"):
            relation = package.relations(part).get(node.get(R + "dm", ""))
            root = package.optional(relation.target) if relation else None
            for paragraph in root.iter(A + "p") if root is not None else ():
                yield Block(place, _text(paragraph), "slide", hidden=hidden)


def _comments(package: Package, part: str, place: str) -> Iterator[Block]:
    """Comments of both kinds: the old ones and the threaded ones of newer versions."""
    authors = {}
    for kind in ("commentAuthors", "authors"):
        for target in package.related(package.main, kind):
            authors.update({author.get("id", ""): author.get("name", "") for author in package.xml(target)})
    for target in package.related(part, "comments"):
        for comment in package.xml(target).iter():
            if not str(comment.tag).endswith(("}cm", "}reply")):
                continue
            text = comment.findtext(P + "text") or ""
            body = next((child for child in comment if str(child.tag).endswith("}txBody")), None)
            if body is not None:
                text = "\n".join(_text(paragraph) for paragraph in body.iter(A + "p"))
            author = authors.get(comment.get("authorId", "")) or "unknown author"
            yield Block(f"{place} comment", f"{author}: {text}", "comment", hidden="comment")


def _text(paragraph: Any) -> str:
    parts = []
    for child in paragraph:
        if child.tag in (A + "r", A + "fld"):
            parts.append(child.findtext(A + "t") or "")
        elif child.tag == A + "br":
            parts.append("\n")
        elif child.tag == MC + "AlternateContent" or str(child.tag).endswith("}m"):
            parts.append("".join(node.text or "" for node in child.iter() if str(node.tag).endswith("/math}t")))
    return "".join(parts)

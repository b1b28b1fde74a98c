"""The inside of a Word paragraph: runs, fields, tracked changes, symbols, equations; what hangs on it is handed back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from evalsuite.lab.readers.package import FALSE, MC, R, alternatives
from evalsuite.lab.readers.wordstyles import Look, Styles, W, unseen, value, whole

M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
WP = "{http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing}"
DGM = "{http://schemas.openxmlformats.org/drawingml/2006/diagram}"

_SYMBOLS = {
    "wingdings": {0xFC: "✓", 0xFE: "☑", 0xA8: "☐", 0x6F: "☐", 0xFB: "✗", 0xFD: "☒", 0x78: "☒", 0xA7: "▪", 0xD8: "➢",
                  0x6C: "●", 0x6E: "■", 0xE0: "→", 0x4A: "☺"},
    "symbol": {0xB7: "•", 0xA7: "♣", 0xB0: "°", 0xB1: "±", 0xA3: "≤", 0xB3: "≥", 0xB9: "≠", 0xB4: "×", 0xAE: "→",
               0xD2: "®", 0xD3: "©", 0xD4: "™", 0xE2: "®", 0xE3: "©", 0xE4: "™", 0x61: "α", 0x62: "β", 0x67: "γ",
               0x64: "δ", 0x6D: "μ", 0x70: "π", 0x73: "σ", 0x53: "Σ", 0x44: "Δ", 0x57: "Ω"},
}  # fmt: skip
_MARKS = {"tab": "\t", "ptab": "\t", "br": "\n", "cr": "\n", "noBreakHyphen": "-"}
_SIMPLE = {W + tag: text for tag, text in _MARKS.items()}
_THROUGH = {
    W + tag for tag in ("hyperlink", "smartTag", "customXml", "fldSimple", "dir", "bdo", "sdtContent", "rubyBase")
}
_TEXT = {W + "t", W + "delText"}
_ADDED = {W + "ins", W + "moveTo"}
_REMOVED = {W + "del", W + "moveFrom"}


class Piece(NamedTuple):
    """Text with what sets it apart. change: ("+" or "-", author) or None; hidden: why it is not seen, or ""."""

    text: str
    change: tuple[str, str] | None
    hidden: str
    bold: bool


@dataclass
class Inline:
    """What a paragraph holds besides its properties."""

    pieces: list[Piece] = field(default_factory=list)
    boxes: list[tuple[Any, str]] = field(default_factory=list)  # w:txbxContent, its shape's background
    hidden: list[tuple[str, str]] = field(default_factory=list)  # reason, text: of drawings
    notes: list[tuple[str, str]] = field(default_factory=list)  # "footnote", id: in the order of the references
    comments: list[str] = field(default_factory=list)
    diagrams: list[str] = field(default_factory=list)  # relation ids
    unread: list[str] = field(default_factory=list)  # "picture", "chart", "embedded object"


class Fields:
    """Nested complex fields across the paragraphs of a story: only results are shown, never instructions."""

    def __init__(self, story: Any) -> None:
        kinds = [mark.get(W + "fldCharType") for mark in story.iter(W + "fldChar")]
        self._balanced = kinds.count("begin") == kinds.count("end")
        self._in_result: list[bool] = []

    def mark(self, kind: str | None) -> None:
        if kind == "begin":
            self._in_result.append(False)
        elif kind == "separate" and self._in_result:
            self._in_result[-1] = True
        elif kind == "end" and self._in_result:
            self._in_result.pop()

    @property
    def shown(self) -> bool:
        return not self._balanced or all(self._in_result)


class Reader:
    """Reads one paragraph after the other of a story."""

    def __init__(self, styles: Styles, fields: Fields, keep_deleted: bool) -> None:
        self._styles = styles
        self._fields = fields
        self._keep_deleted = keep_deleted

    def paragraph(self, node: Any, look: Look, background: str) -> Inline:
        """The content of a w:p whose style has this look. background: RRGGBB behind the text, "" if not one colour."""
        self._look, self._background = look, background
        self._plain = (unseen(look, background), bool(look.bold))
        self._found = Inline()
        self._children(node, None)
        return self._found

    def _children(self, node: Any, change: tuple[str, str] | None) -> None:
        for child in node:
            tag = child.tag
            if tag == W + "r":
                self._run(child, change)
            elif tag in _THROUGH:
                self._children(child, change)
            elif tag in _ADDED:
                deleted = change is not None and change[0] == "-"
                self._children(child, change if deleted else ("+", child.get(W + "author", "")))
            elif tag in _REMOVED:
                if self._keep_deleted:
                    self._children(child, ("-", child.get(W + "author", "")))
            elif tag == W + "sdt":
                content = child.find(W + "sdtContent")
                if content is not None:
                    self._children(content, change)
            elif tag in (M + "oMath", M + "oMathPara"):
                self._add(equation(child), change, *self._plain)
            elif tag == MC + "AlternateContent":
                branch = alternatives(child)
                if branch is not None:
                    self._children(branch, change)

    def _run(self, run: Any, change: tuple[str, str] | None) -> None:
        properties = run.find(W + "rPr")
        if properties is None:
            hidden, bold = self._plain
        else:
            look = self._styles.effective(properties, self._look)
            hidden, bold = unseen(look, self._background), bool(look.bold)
        text = ""
        for child in run:
            if child is properties:
                continue
            tag = child.tag
            if tag in _TEXT:
                text += (child.text or "").replace("\n", " ")
            elif tag in _SIMPLE:
                text += _SIMPLE[tag]
            elif tag == W + "fldChar":
                self._add(text + form_field(child), change, hidden, bold)
                text = ""
                self._fields.mark(child.get(W + "fldCharType"))
            elif tag == W + "sym":
                text += symbol(child)
            elif tag in (W + "footnoteReference", W + "endnoteReference"):
                kind = "footnote" if tag == W + "footnoteReference" else "endnote"
                self._found.notes.append((kind, child.get(W + "id", "")))
            elif tag == W + "commentReference":
                self._found.comments.append(child.get(W + "id", ""))
            elif tag == MC + "AlternateContent" and child.find(f"{MC}Fallback/{W}t") is not None:
                text += "".join(item.text or "" for item in child.iterfind(f"{MC}Fallback/{W}t"))
            elif tag in (W + "drawing", W + "pict", W + "object", MC + "AlternateContent"):
                self._add(text, change, hidden, bold)
                text = ""
                self._drawing(child)
            elif tag == W + "ruby":
                self._add(text, change, hidden, bold)
                text = ""
                self._children(child, change)
        self._add(text, change, hidden, bold)

    def _add(self, text: str, change: tuple[str, str] | None, hidden: str, bold: bool) -> None:
        if not text or not self._fields.shown:
            return
        if hidden and not text.strip():
            hidden = ""
        self._found.pieces.append(Piece(text, change, hidden, bold))

    def _drawing(self, node: Any) -> None:
        """Text boxes, alternative texts and what else a drawing holds; of alternatives only the branch shown."""
        if node.tag == MC + "AlternateContent":
            for branch in (node.find(MC + "Choice"), node.find(MC + "Fallback")):
                if branch is not None and len(branch):
                    before = len(self._found.boxes)
                    for child in branch:
                        self._drawing(child)
                    if len(self._found.boxes) > before or branch.find(f".//{WP}docPr") is not None:
                        return
            return
        if node.tag == W + "txbxContent":
            self._found.boxes.append((node, _box_background(node, self._styles, self._background)))
            return
        if node.tag == WP + "docPr":
            described = node.get("descr") or node.get("title")
            if described:
                self._found.hidden.append(("alternative text", described))
        elif node.tag == DGM + "relIds":
            self._found.diagrams.append(node.get(R + "dm", ""))
        elif node.tag.endswith(("}pic", "}imagedata")):
            self._found.unread.append("picture")
        elif node.tag.endswith("/chart}chart"):
            self._found.unread.append("chart")
        elif node.tag.endswith("}OLEObject"):
            self._found.unread.append("embedded object")
        for child in node:
            self._drawing(child)


def _box_background(content: Any, styles: Styles, page: str) -> str:
    """What lies behind the text of a text box: its shape's fill, the page where it has none, "" where it is no plain one."""
    shape = content.getparent()
    while shape is not None and not shape.tag.endswith(("}wsp", "}shape", "}rect", "}roundrect")):
        shape = shape.getparent()
    if shape is None:
        return page
    if not shape.tag.endswith("}wsp"):  # VML
        fill = shape.get("fillcolor")
        if shape.get("filled", "t") in ("f", "false") or fill is None:
            return page
        return fill[1:7].upper() if fill.startswith("#") and len(fill.split()[0]) == 7 else ""
    for properties in shape:
        if properties.tag.endswith("}spPr"):
            for fill in properties:
                kind = fill.tag.rsplit("}", 1)[-1]
                if kind == "noFill":
                    return page
                if kind == "solidFill":
                    color = fill[0] if len(fill) else None
                    if color is None or len(color):
                        return ""
                    name = color.get("val", "")
                    return name.upper() if color.tag.endswith("}srgbClr") else styles.named(name)
                if kind.endswith("Fill"):
                    return ""
        elif properties.tag.endswith("}style") and any(
            part.tag.endswith("}fillRef") and part.get("idx", "0") != "0" for part in properties
        ):
            return ""
    return page


def symbol(node: Any) -> str:
    """The character that a w:sym stands for: Wingdings and Symbol as Unicode, "□" where the glyph is not known."""
    code = node.get(W + "char", "")
    try:
        number = int(code, 16)
    except ValueError:
        return ""
    number -= 0xF000 if number >= 0xF000 else 0
    font = node.get(W + "font", "").lower()
    for family, known in _SYMBOLS.items():
        if font.startswith(family):
            return known.get(number, chr(number) if family == "symbol" and 0x20 <= number < 0x7F else "□")
    return chr(number) if 0x20 <= number < 0xD800 else "□"


def form_field(mark: Any) -> str:
    """What a legacy check box or drop-down list shows; it has no field result."""
    data = mark.find(W + "ffData")
    if data is None:
        return ""
    box = data.find(W + "checkBox")
    if box is not None:
        state = box.find(W + "checked")
        state = box.find(W + "default") if state is None else state
        return "☒" if state is not None and state.get(W + "val", "true") not in FALSE else "☐"
    choices = data.find(W + "ddList")
    if choices is not None:
        entries = [entry.get(W + "val", "") for entry in choices.iterfind(W + "listEntry")]
        chosen = whole(value(choices, "result") or value(choices, "default"))
        return entries[chosen] if 0 <= chosen < len(entries) else ""
    return ""


def equation(node: Any) -> str:
    """An equation in one line: a/b, x^2, a_i, √(x)."""
    if node.tag in (M + "t", W + "t"):
        return str(node.text or "")
    children: list[tuple[str, str]] = [(child.tag.removeprefix(M), equation(child)) for child in node]
    parts = dict(children)
    if node.tag == M + "f":
        return f"({parts.get('num', '')})/({parts.get('den', '')})"
    if node.tag in (M + "sSup", M + "sSub", M + "sSubSup"):
        below = f"_{parts['sub']}" if "sub" in parts else ""
        return parts.get("e", "") + below + (f"^{parts['sup']}" if "sup" in parts else "")
    if node.tag == M + "rad":
        return f"√({parts.get('e', '')})"
    return "".join(text for _, text in children)

"""How Word text looks: styles with what they are based on, theme colours, and why a reader would not see a run."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple

from evalsuite.lab.readers.package import FALSE, A

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
W14 = "{http://schemas.microsoft.com/office/word/2010/wordml}"

WHITE = "FFFFFF"
_VAL = W + "val"
_SIZE, _COLOR, _SHADING, _HIGHLIGHT, _VANISH, _BOLD = (
    W + name for name in ("sz", "color", "shd", "highlight", "vanish", "b")
)
_TEXT_FILL = W14 + "textFill"

UNKNOWN = ""  # a background that is not one plain colour: nothing counts as invisible on it
TINY_POINTS = 2.0
NEAR = 20  # colours whose channels all differ by less cannot be told apart

_HEADING = re.compile(
    r"(?:heading|überschrift|berschrift|titre|título|titulo|titolo|kop|rubrik|overskrift|otsikko|nagłówek|nadpis|"
    r"заголовок|標題|标题|見出し)\s*([1-9])",
    re.IGNORECASE,
)
_TITLES = ("title", "titel", "titre", "título", "titolo")
_THEME = {"background1": "lt1", "light1": "lt1", "bg1": "lt1", "text1": "dk1", "dark1": "dk1", "tx1": "dk1",
          "background2": "lt2", "light2": "lt2", "bg2": "lt2", "text2": "dk2", "dark2": "dk2", "tx2": "dk2",
          "hyperlink": "hlink", "followedHyperlink": "folHlink"}  # fmt: skip
_OFFICE = {"lt1": WHITE, "dk1": "000000", "lt2": "E7E6E6", "dk2": "44546A"}
_NAMED = {"white": WHITE, "yellow": "FFFF00", "green": "00FF00", "cyan": "00FFFF", "magenta": "FF00FF", "blue": "0000FF",
          "red": "FF0000", "black": "000000", "lightGray": "C0C0C0", "darkGray": "808080", "darkBlue": "000080",
          "darkCyan": "008080", "darkGreen": "008000", "darkMagenta": "800080", "darkRed": "800000",
          "darkYellow": "808000"}  # fmt: skip


class Look(NamedTuple):
    """What run properties say; None where they say nothing. Colours are RRGGBB or "auto", size is in points."""

    vanish: bool | None = None
    bold: bool | None = None
    size: float | None = None
    color: str | None = None
    shade: str | None = None

    def over(self, other: Look) -> Look:
        """These properties, and `other`'s where these say nothing."""
        return Look(
            other.vanish if self.vanish is None else self.vanish,
            other.bold if self.bold is None else self.bold,
            other.size if self.size is None else self.size,
            other.color if self.color is None else self.color,
            other.shade if self.shade is None else self.shade,
        )


def value(node: Any, tag: str) -> str | None:
    """The w:val of a child element."""
    child = node.find(W + tag) if node is not None else None
    return None if child is None else child.get(W + "val")


def flag(node: Any, tag: str) -> bool | None:
    """An on/off child element: None if it is absent."""
    return _on(node.find(W + tag)) if node is not None else None


def _on(node: Any) -> bool | None:
    return None if node is None else node.get(_VAL, "true") not in FALSE


def whole(text: str | None, default: int = 0) -> int:
    """A whole number in an attribute; `default` if it is none."""
    try:
        return int(text or "")
    except ValueError:
        return default


def unseen(look: Look, background: str) -> str:
    """Why text of this look on this background is not seen, or ""."""
    if look.vanish:
        return "vanish"
    if look.size is not None and look.size <= TINY_POINTS:
        return "tiny text"
    behind = background if look.shade in (None, "auto") else look.shade
    if look.color in (None, "auto") or not behind or not _near(str(look.color), behind):
        return ""
    if look.color == "transparent":
        return "transparent text"
    return "white text" if _near(behind, WHITE) else "text in its background's colour"


def _near(color: str, other: str) -> bool:
    if color == "transparent":
        return True
    try:
        pairs = [(int(color[i : i + 2], 16), int(other[i : i + 2], 16)) for i in (0, 2, 4)]
    except ValueError:
        return False
    return all(abs(one - two) < NEAR for one, two in pairs)


class Styles:
    """word/styles.xml and the theme; both may be None."""

    def __init__(self, styles: Any, theme: Any) -> None:
        self._theme = dict(_OFFICE)
        scheme = theme.find(f".//{A}clrScheme") if theme is not None else None
        for slot in scheme if scheme is not None else ():
            if len(slot):
                color = (slot[0].get("lastClr") or slot[0].get("val", "")).upper()
                if re.fullmatch("[0-9A-F]{6}", color):
                    self._theme[slot.tag.removeprefix(A)] = color
        self._by_id: dict[str, Any] = {}
        self.default = ""
        self._base = Look()
        for style in styles.iterfind(W + "style") if styles is not None else ():
            self._by_id[style.get(W + "styleId", "")] = style
            if style.get(W + "type") == "paragraph" and style.get(W + "default", "0") not in FALSE:
                self.default = style.get(W + "styleId", "")
        if styles is not None:
            self._base = self.look(styles.find(f"{W}docDefaults/{W}rPrDefault/{W}rPr"))
        self.character = cache(self._character)
        self.paragraph = cache(self._paragraph)
        self.heading = cache(self._heading)
        self.numbering = cache(self._numbering)

    def chain(self, style_id: str | None) -> list[Any]:
        """A style and what it is based on, nearest first."""
        found: list[Any] = []
        while style_id is not None and (style := self._by_id.get(style_id)) is not None and style not in found:
            found.append(style)
            style_id = value(style, "basedOn")
        return found

    def look(self, properties: Any) -> Look:
        """What a w:rPr says by itself."""
        if properties is None or not len(properties):
            return Look()
        parts = {child.tag: child for child in properties}
        size = parts.get(_SIZE)
        try:
            points = float(size.get(_VAL, "")) / 2 if size is not None else None
        except ValueError:
            points = None
        color = self._color(parts.get(_COLOR), "val", "themeColor")
        if _TEXT_FILL in parts:
            color = self._text_fill(parts[_TEXT_FILL]) or color
        shade = self.fill(properties) if _SHADING in parts else None
        if _HIGHLIGHT in parts:
            shade = _NAMED.get(parts[_HIGHLIGHT].get(_VAL, ""), shade)
        return Look(_on(parts.get(_VANISH)), _on(parts.get(_BOLD)), points, color, shade)

    def fill(self, properties: Any) -> str | None:
        """The background that the w:shd of some properties gives; None if it gives none."""
        shading = properties.find(W + "shd") if properties is not None else None
        if shading is None:
            return None
        if shading.get(W + "val") == "solid":
            return self._color(shading, "color", "themeColor")
        found = self._color(shading, "fill", "themeFill")
        return None if found == "auto" else found

    def named(self, name: str) -> str:
        """The colour of a theme slot ("accent1", "bg1"), UNKNOWN if the theme has none."""
        return self._theme.get(_THEME.get(name, name), UNKNOWN)

    def _color(self, node: Any, attribute: str, theme: str) -> str | None:
        """The colour of an element: its theme slot (w:themeColor or w:themeFill with shade and tint), else RRGGBB."""
        if node is None:
            return None
        slot = node.get(W + theme)
        found = self.named(slot) if slot else ""
        if not found:
            plain: str | None = node.get(W + attribute)
            return plain.upper() if plain and plain != "auto" else plain
        prefix = theme.removesuffix("Color")
        for name, toward in (("Shade", 0), ("Tint", 255)):
            part = node.get(f"{W}{prefix}{name}")
            if part and re.fullmatch("[0-9A-Fa-f]{1,2}", part):
                share = int(part, 16) / 255
                channels = (int(found[i : i + 2], 16) for i in (0, 2, 4))
                found = "".join(f"{round(channel * share + toward * (1 - share)):02X}" for channel in channels)
        return found

    def _text_fill(self, fill: Any) -> str | None:
        if fill.find(W14 + "noFill") is not None:
            return "transparent"
        color = next(iter(fill.iterfind(f"{W14}solidFill/*")), None)
        if color is None:
            return None
        alpha = color.find(W14 + "alpha")
        if alpha is not None and whole(alpha.get(W14 + "val")) >= 99000:
            return "transparent"
        name = color.get(W14 + "val", "")
        return name.upper() if color.tag == W14 + "srgbClr" else self.named(name) if not len(color) else None

    def _character(self, style_id: str) -> Look:
        return self._merged(self.look(style.find(W + "rPr")) for style in self.chain(style_id))

    def _paragraph(self, style_id: str) -> tuple[Look, str | None]:
        chain = self.chain(style_id)
        look = self._merged(self.look(style.find(W + "rPr")) for style in chain)
        shades = (self.fill(style.find(W + "pPr")) for style in chain)
        return look.over(self._base), next((shade for shade in shades if shade), None)

    @staticmethod
    def _merged(looks: Iterable[Look]) -> Look:
        found = Look()
        for look in looks:
            found = found.over(look)
        return found

    def effective(self, properties: Any, paragraph: Look) -> Look:
        """The look of a run with these w:rPr in a paragraph of that look."""
        if properties is None or not len(properties):
            return paragraph
        direct, style_id = self.look(properties), value(properties, "rStyle")
        if style_id is None:
            return direct.over(paragraph)
        style = self.character(style_id)
        both = style.over(paragraph)
        if style.vanish and paragraph.vanish:  # a toggle property: two styles cancel out (ECMA-376 17.7.3)
            both = both._replace(vanish=False)
        if style.bold and paragraph.bold:
            both = both._replace(bold=False)
        return direct.over(both)

    def _heading(self, style_id: str) -> tuple[int, bool]:
        """(heading level or 0, whether it is a document title rather than a heading)."""
        for style in self.chain(style_id):
            outline = value(style.find(W + "pPr"), "outlineLvl")
            if outline is not None:
                level = whole(outline, 9) + 1
                return (level if level <= 9 else 0), False
            name = value(style, "name") or ""
            match = _HEADING.fullmatch(name) or _HEADING.fullmatch(style.get(W + "styleId", ""))
            if match:
                return int(match.group(1)), False
            if name.lower() in _TITLES:
                return 1, True
        return 0, False

    def _numbering(self, style_id: str) -> tuple[str | None, str | None]:
        """(numId, level) that the style gives its paragraphs."""
        for style in self.chain(style_id):
            numbers = style.find(f"{W}pPr/{W}numPr")
            if numbers is not None:
                return value(numbers, "numId"), value(numbers, "ilvl")
        return None, None

"""HTML as a browser would show its text: block elements apart, scripts and styles left out, hidden elements hidden."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import NamedTuple

from evalsuite.lab.documents import Block

_VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
_DROPPED = {"script", "style", "template", "noscript", "svg", "math", "object", "iframe"}
_BLOCKS = {"address", "article", "aside", "blockquote", "body", "dd", "div", "dl", "dt", "fieldset", "figcaption", "figure",
           "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "head", "header", "hr", "html", "li", "main", "nav", "ol",
           "p", "pre", "section", "table", "tbody", "td", "tfoot", "th", "thead", "title", "tr", "ul"}  # fmt: skip
_CLOSES = {"p": {"p"}, "li": {"li", "p"}, "tr": {"tr", "td", "th", "p"}, "td": {"td", "th", "p"}, "th": {"td", "th", "p"},
           "dt": {"dt", "dd"}, "dd": {"dt", "dd"}, "option": {"option"}}  # fmt: skip
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_MAX_DEPTH = 200
_STYLES = [
    (re.compile(r"display:none|visibility:(hidden|collapse)|opacity:0(\.0+)?(;|$)"), "invisible HTML"),
    (re.compile(r"font-size:(0|[01](\.\d+)?(px|pt)|2p[xt])(;|$|!|[a-z%])"), "tiny text"),
    (re.compile(r"(^|;)color:(white|#fff(fff)?|rgba?\(255,255,255(,[\d.]+)?\)|transparent)"), "white text"),
]
_BACKGROUND = re.compile(r"background(-color|-image)?:(?!white|#fff(fff)?(;|$)|transparent|none|inherit)")


class _Open(NamedTuple):
    """An element that is open, with what it inherits: why its text is not seen, whether it has a background."""

    tag: str
    reason: str
    filled: bool
    level: int  # of the heading it is in
    cell: bool
    pre: bool


_OUTSIDE = _Open("", "", False, 0, False, False)


def blocks(text: str, prefix: str) -> list[Block]:
    """The text of an HTML page; anchors are `prefix` and the line of the source on which a block begins."""
    parser = _Parser(prefix)
    text, comment = _closed(text)
    parser.feed(text)
    parser.close()
    if comment:
        parser.handle_comment(comment)
    parser.flush()
    while parser.open:
        parser.handle_endtag(parser.open[-1].tag)
    return parser.found


def _closed(text: str) -> tuple[str, str]:
    """Without markup that never ends, on which the library takes quadratic time; a comment that never ends is apart."""
    begin = text.find("<!--", text.rfind("-->") + 1)
    text, comment = (text[:begin], text[begin + 4 :]) if begin >= 0 else (text, "")
    text = re.sub(r"<!\[[^>]*>", "", text)
    last = text.rfind(">") + 1
    return text[:last] + text[last:].replace("<", "&lt;"), comment


class _Parser(HTMLParser):
    def __init__(self, prefix: str) -> None:
        super().__init__(convert_charrefs=True)
        self.prefix = prefix
        self.found: list[Block] = []
        self.open: list[_Open] = []
        self.rows: list[tuple[int, list[str]]] = []  # of the tables that are open: line and cells
        self.text: list[str] = []
        self.unseen: list[tuple[int, str, str]] = []  # line, reason, text
        self.line = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        while self.open and self.open[-1].tag in _CLOSES.get(tag, ()):  # end tags that may be left out
            self.handle_endtag(self.open[-1].tag)
        values = dict(attrs)
        if tag in _BLOCKS:
            self.flush()
        if tag == "tr":
            self.rows.append((self.getpos()[0], []))
        elif tag in ("td", "th") and self.rows:
            self.rows[-1][1].append("")
        elif tag == "br":
            self.text.append("\n")
        elif tag == "img" and values.get("alt"):
            self.unseen.append((self.getpos()[0], "alternative text", str(values["alt"])))
        if tag not in _VOID and len(self.open) < _MAX_DEPTH:
            self.open.append(self._opened(tag, values))

    def _opened(self, tag: str, values: dict[str, str | None]) -> _Open:
        around = self.open[-1] if self.open else _OUTSIDE
        style = re.sub(r"\s+", "", values.get("style") or "").lower()
        color = f";color:{values['color']}".lower() if values.get("color") else ""
        background = f"{style};background:{values.get('bgcolor') or 'none'}".lower()
        filled = around.filled or _BACKGROUND.search(background) is not None
        if tag in _DROPPED:
            reason = "dropped"
        elif tag == "title":
            reason = "metadata"
        elif around.reason or "hidden" in values:
            reason = around.reason or "invisible HTML"
        else:
            reasons = (why for pattern, why in _STYLES if pattern.search(style + color))
            reason = next((why for why in reasons if not (why == "white text" and filled)), "")
        level = int(tag[1]) if tag in _HEADINGS else around.level
        cell = tag in ("td", "th") or (around.cell and tag not in ("table", "tr"))
        return _Open(tag, reason, filled, level, cell, around.pre or tag == "pre")

    def handle_endtag(self, tag: str) -> None:
        if all(tag != element.tag for element in self.open):
            return
        if tag in _BLOCKS:
            self.flush()
        while self.open:
            name = self.open.pop().tag
            if name == "tr":
                self._end_row()
            if name == tag:
                break

    def _end_row(self) -> None:
        line, cells = self.rows.pop() if self.rows else (0, [])
        if any(cells):
            self.found.append(Block(f"{self.prefix}{line}", " | ".join(cells), "row", cells=tuple(cells)))

    def handle_data(self, data: str) -> None:
        around = self.open[-1] if self.open else _OUTSIDE
        if around.reason == "dropped":
            return
        words = data if around.pre else re.sub(r"\s+", " ", data)
        line = self.getpos()[0] + data[: len(data) - len(data.lstrip())].count("\n")
        if not around.reason:
            if all(part.isspace() for part in self.text):
                self.line = line
                self.text = ["".join(self.text)]
            self.text.append(words)
        elif words.strip():
            self.unseen.append((line, around.reason, words.strip()))

    def handle_comment(self, data: str) -> None:
        if data.strip() and not data.lstrip().startswith("[if"):
            self.unseen.append((self.getpos()[0], "comment", data.strip()))

    def flush(self) -> None:
        """End the block that is being gathered."""
        text = re.sub(r"(?<! ) *\n *", "\n", "".join(self.text)).strip()
        self.text = []
        around = self.open[-1] if self.open else _OUTSIDE
        if text and around.cell and self.rows and self.rows[-1][1]:
            cells = self.rows[-1][1]
            cells[-1] = f"{cells[-1]}\n{text}" if cells[-1] else text
        elif text:
            kind = "heading" if around.level else "paragraph"
            self.found.append(Block(f"{self.prefix}{self.line}", text, kind, around.level))
        for line, reason, unseen in self.unseen:
            self.found.append(Block(f"{self.prefix}{line}", unseen, "paragraph", hidden=reason))
        self.unseen = []

"""HTML as a browser would show its text: block elements apart, scripts and styles left out, hidden elements hidden."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from evalsuite.lab.documents import Block

_VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
_DROPPED = {"script", "style", "template", "noscript", "svg", "math", "object", "iframe"}
_BLOCKS = {"address", "article", "aside", "blockquote", "body", "dd", "div", "dl", "dt", "fieldset", "figcaption", "figure",
           "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "head", "header", "hr", "html", "li", "main", "nav", "ol",
           "p", "pre", "section", "table", "tbody", "td", "tfoot", "th", "thead", "title", "tr", "ul"}  # fmt: skip
_CLOSES = {"p": {"p"}, "li": {"li", "p"}, "tr": {"tr", "td", "th", "p"}, "td": {"td", "th", "p"}, "th": {"td", "th", "p"},
           "dt": {"dt", "dd"}, "dd": {"dt", "dd"}, "option": {"option"}}  # fmt: skip
_MAX_DEPTH = 500
_STYLES = [
    (re.compile(r"display:none|visibility:(hidden|collapse)|opacity:0(\.0+)?(;|$)"), "invisible HTML"),
    (re.compile(r"font-size:(0|[01](\.\d+)?(px|pt)|2p[xt])(;|$|!|[a-z%])"), "tiny text"),
    (re.compile(r"(^|;)color:(white|#fff(fff)?|rgba?\(255,255,255(,[\d.]+)?\)|transparent)"), "white text"),
]
_BACKGROUND = re.compile(r"background(-color|-image)?:(?!white|#fff(fff)?(;|$)|transparent|none|inherit)")


def blocks(text: str, prefix: str) -> list[Block]:
    """The text of an HTML page; anchors are `prefix` and the line of the source on which a block begins."""
    parser = _Parser(prefix)
    parser.feed(text)
    parser.close()
    parser.flush()
    while parser.open:
        parser.handle_endtag(parser.open[-1][0])
    return parser.found


class _Parser(HTMLParser):
    def __init__(self, prefix: str) -> None:
        super().__init__(convert_charrefs=True)
        self.prefix = prefix
        self.found: list[Block] = []
        self.open: list[tuple[str, str, bool]] = []  # element, why its text is not seen, whether it has a background
        self.rows: list[tuple[int, list[str]]] = []  # of the tables that are open: line and cells
        self.text = ""
        self.unseen: list[tuple[int, str, str]] = []  # line, reason, text
        self.line = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        while self.open and self.open[-1][0] in _CLOSES.get(tag, ()):  # end tags that may be left out
            self.handle_endtag(self.open[-1][0])
        values = dict(attrs)
        if tag in _BLOCKS:
            self.flush()
        if tag == "tr":
            self.rows.append((self.getpos()[0], []))
        elif tag in ("td", "th") and self.rows:
            self.rows[-1][1].append("")
        elif tag == "br":
            self.text += "\n"
        elif tag == "img" and values.get("alt"):
            self.unseen.append((self.getpos()[0], "alternative text", str(values["alt"])))
        if tag not in _VOID and len(self.open) < _MAX_DEPTH:
            self.open.append((tag, *self._look(tag, values)))

    def _look(self, tag: str, values: dict[str, str | None]) -> tuple[str, bool]:
        """(why the element's text is not seen or "", whether it stands on a background of its own)"""
        reason, filled = self.open[-1][1:] if self.open else ("", False)
        style = re.sub(r"\s+", "", values.get("style") or "").lower()
        color = f";color:{values['color']}".lower() if values.get("color") else ""
        filled = (
            filled or _BACKGROUND.search(f"{style};background:{values.get('bgcolor') or 'none'}".lower()) is not None
        )
        if tag in _DROPPED:
            return "dropped", filled
        if tag == "title":
            return "metadata", filled
        if reason or "hidden" in values:
            return reason or "invisible HTML", filled
        for pattern, why in _STYLES:
            if pattern.search(style + color) and not (why == "white text" and filled):
                return why, filled
        return "", filled

    def handle_endtag(self, tag: str) -> None:
        if all(tag != name for name, _, _ in self.open):
            return
        if tag in _BLOCKS:
            self.flush()
        while self.open:
            name = self.open.pop()[0]
            if name == "tr":
                self._end_row()
            if name == tag:
                break

    def _end_row(self) -> None:
        line, cells = self.rows.pop() if self.rows else (0, [])
        if any(cells):
            self.found.append(Block(f"{self.prefix}{line}", " | ".join(cells), "row", cells=tuple(cells)))

    def handle_data(self, data: str) -> None:
        reason = self.open[-1][1] if self.open else ""
        if reason == "dropped":
            return
        words = data if any(name == "pre" for name, _, _ in self.open) else re.sub(r"\s+", " ", data)
        line = self.getpos()[0] + data[: len(data) - len(data.lstrip())].count("\n")
        if not reason:
            if not self.text.strip():
                self.line = line
            self.text += words
        elif words.strip():
            self.unseen.append((line, reason, words.strip()))

    def handle_comment(self, data: str) -> None:
        if data.strip() and not data.lstrip().startswith("[if"):
            self.unseen.append((self.getpos()[0], "comment", data.strip()))

    def flush(self) -> None:
        """End the block that is being gathered."""
        text = re.sub(r" *\n *", "\n", self.text).strip()
        self.text = ""
        names = [name for name, _, _ in reversed(self.open)]
        inside = next((name for name in names if name in ("td", "th", "tr", "table")), "")
        if text and inside in ("td", "th") and self.rows and self.rows[-1][1]:
            cells = self.rows[-1][1]
            cells[-1] = f"{cells[-1]}\n{text}" if cells[-1] else text
        elif text:
            heading = next((name for name in names if re.fullmatch("h[1-6]", name)), None)
            level = int(heading[1]) if heading else 0
            self.found.append(Block(f"{self.prefix}{self.line}", text, "heading" if level else "paragraph", level))
        for line, reason, unseen in self.unseen:
            self.found.append(Block(f"{self.prefix}{line}", unseen, "paragraph", hidden=reason))
        self.unseen = []

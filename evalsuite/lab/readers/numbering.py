"""The numbers that Word puts before paragraphs: "4.2", "(a)", "Article IV"; bullets become "-"."""

from __future__ import annotations

import re
from typing import Any

from evalsuite.lab.readers.wordstyles import W, value, whole

_ROMAN = [(1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl"), (10, "x"),
          (9, "ix"), (5, "v"), (4, "iv"), (1, "i")]  # fmt: skip


class Numbering:
    """word/numbering.xml (or None) and the counters of one walk through the document."""

    def __init__(self, root: Any) -> None:
        self._levels: dict[str, dict[int, Any]] = {}
        self._abstract: dict[str, str] = {}
        self._counters: dict[str, list[int | None]] = {}
        self._starts: dict[str, dict[int, int]] = {}
        if root is None:
            return
        linked, links = {}, {}
        for abstract in root.iterfind(W + "abstractNum"):
            name = abstract.get(W + "abstractNumId", "")
            self._levels[name] = {whole(level.get(W + "ilvl")): level for level in abstract.iterfind(W + "lvl")}
            linked[value(abstract, "styleLink")] = name
            links[name] = value(abstract, "numStyleLink")
        for name, style in links.items():
            if style and style in linked:
                self._levels[name] = self._levels[linked[style]]
        for number in root.iterfind(W + "num"):
            name, abstract_id = number.get(W + "numId", ""), value(number, "abstractNumId") or ""
            overrides = list(number.iterfind(W + "lvlOverride"))
            replaced = {whole(o.get(W + "ilvl")): o.find(W + "lvl") for o in overrides if o.find(W + "lvl") is not None}
            if replaced:
                self._levels[f"num {name}"] = {**self._levels.get(abstract_id, {}), **replaced}
            self._abstract[name] = f"num {name}" if replaced else abstract_id
            starts = {whole(o.get(W + "ilvl")): whole(value(o, "startOverride"), 1)
                      for o in overrides if value(o, "startOverride") is not None}  # fmt: skip
            if starts:
                self._starts[name] = starts

    def level_of_style(self, number: str, style: str) -> int:
        """The level that a list links to a paragraph style, 0 if none."""
        levels = self._levels.get(self._abstract.get(number, ""), {})
        return next((n for n, level in levels.items() if value(level, "pStyle") == style), 0)

    def next(self, number: str, level: int) -> str:
        """Count one paragraph of list `number` (numId) at `level` (from 0) and return its label, "" for none."""
        name = self._abstract.get(number)
        levels = self._levels.get(name or "", {})
        if name is None or level not in levels:
            return ""
        counters = self._counters.setdefault(name, [None] * 10)
        for depth, start in self._starts.pop(number, {}).items():
            counters[depth : depth + 1] = [start - 1]
        if not 0 <= level < len(counters):
            return ""
        counters[level] = self._start(levels, level) if counters[level] is None else (counters[level] or 0) + 1
        for deeper in range(level + 1, len(counters)):
            restart = whole(value(levels.get(deeper), "lvlRestart"), deeper)
            if restart > level:
                counters[deeper] = None
        form = value(levels[level], "numFmt")
        if form == "bullet":
            return "-"
        plain = levels[level].find(W + "isLgl") is not None

        def shown(match: re.Match[str]) -> str:
            depth = int(match.group(1)) - 1
            count = counters[depth]
            return _format(
                self._start(levels, depth) if count is None else count,
                "decimal" if plain else value(levels.get(depth), "numFmt") or "decimal",
            )

        return re.sub("%([1-9])", shown, value(levels[level], "lvlText") or "").strip()

    @staticmethod
    def _start(levels: dict[int, Any], level: int) -> int:
        return whole(value(levels.get(level), "start"), 1)


def _format(count: int, form: str) -> str:
    if form == "none":
        return ""
    if form in ("lowerLetter", "upperLetter") and 0 < count <= 780:
        letters = chr(ord("a") + (count - 1) % 26) * ((count - 1) // 26 + 1)
        return letters if form == "lowerLetter" else letters.upper()
    if form in ("lowerRoman", "upperRoman") and 0 < count < 4000:
        text = ""
        for size, letters in _ROMAN:
            text, count = text + letters * (count // size), count % size
        return text if form == "lowerRoman" else text.upper()
    if form == "decimalZero":
        return f"{count:02d}"
    if form == "ordinal":
        ending = "th" if count % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(count % 10, "th")
        return f"{count}{ending}"
    return str(count)

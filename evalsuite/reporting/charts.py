"""Figures as SVG: intervals on a shared axis, and quality against what it costs. No script, no inline style.

The page's CSS colours the classes `axis`, `whisker`, `dot`, `frontier`, `label`, `bracket` and `error`; without it everything
is drawn in the text's colour. A drawing is as wide as its place and at most as wide as `svg.chart` may be.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from evalsuite.records import Interval, Rate

WIDTH = 360
ROW = 38
LETTER = 13
MOST_LETTERS = 8
CHARACTER = 6.3
LONGEST = 500
TINY = 1e-12
JOINERS, ISOLATE, END = "\u200c\u200d", "\u2068", "\u2069"
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Bar:
    """One row of `interval_bars`: a mean with its interval, or, where `mean` is None, the words that say why."""

    name: str
    mean: float | None
    low: float | None = None
    high: float | None = None
    letters: str = ""
    words: str = ""


@dataclass(frozen=True)
class Cross:
    """One point of `against`: two values with their intervals."""

    name: str
    x: Interval
    y: Interval


@dataclass(frozen=True)
class Point:
    """One system of `pareto`; where `x` is None, `why` says so in words."""

    name: str
    x: float | None
    y: float
    low: float | None = None
    high: float | None = None
    why: str = "unknown"


def visible(text: str, limit: int = LONGEST) -> str:
    """Text from a file as a reader may see it: control characters and orders of writing direction as escapes, cut."""
    shown = "".join(_visible(char) for char in text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def _visible(char: str) -> str:
    if char in "\t\n\r":
        return " "
    kind = unicodedata.category(char)
    if (kind in ("Cc", "Cf", "Cs", "Zl", "Zp") and char not in JOINERS + ISOLATE + END) or char in "\ufffe\uffff":
        return f"\\u{ord(char):04x}"
    return char


def isolated(text: str) -> str:
    """A name inside a sentence; one that is written right to left is kept from turning its neighbours."""
    name = visible(text).replace(ISOLATE, "").replace(END, "")
    turns = any(unicodedata.bidirectional(char) in ("R", "AL", "AN") for char in name)
    return f"{ISOLATE}{name}{END}" if turns else name


def number(mean: float, low: float | None, high: float | None) -> str:
    """ "0.369 (0.331–0.408)"."""
    if low is None or high is None:
        return f"{plain(mean)} (no interval)"
    return f"{plain(mean)} ({plain(low)}–{plain(high)})"


def plain(value: float) -> str:
    """Three decimals for scores, three digits for anything else."""
    return f"{value:.3f}" if abs(value) < 10 else f"{value:,.4g}"


def interval_bars(rows: Sequence[Bar], *, low: float = 0.0, high: float = 1.0, unit: str) -> Markup:
    """Dot and whisker on one axis from `low` to `high` (wider if a value needs it), one row a system, in the order given.

    Rows that share a letter are bracketed: they do not differ. `unit` names the axis.
    """
    ends = [end for row in rows for end in (row.mean, row.low, row.high) if row.mean is not None and end is not None]
    marks = ticks(min([low, *ends]), max([high, *ends]))
    letters = sorted({letter for row in rows for letter in row.letters}, key=_letter_order)
    drawn = letters if len(letters) <= MOST_LETTERS else []
    left, right = 12.0, WIDTH - 12.0 - LETTER * len(drawn)
    axis = _Axis(marks[0], marks[-1], left, right)
    bottom = 4 + ROW * len(rows)
    parts = [_text(axis(mark), bottom + 13, tick, "middle", 10) for mark, tick in _shown(marks, left, right)]
    parts.append(_text(2, bottom + 28, unit, "start", 11, room=WIDTH - 8))
    told = []
    for place, row in enumerate(rows):
        top = 4.0 + ROW * place
        if row.mean is None:
            told.append(f"{isolated(row.name)}: {isolated(row.words)}")
            parts.append(_text(2, top + 14, row.name, "start", 12, room=right - left))
            parts.append(_text(2, top + 29, row.words, "start", 11, "error", room=WIDTH - 8))
            continue
        words = number(row.mean, row.low, row.high)
        grouped = f" {row.letters}" if row.letters else ""
        told.append(f"{isolated(row.name)}: {words}{grouped}")
        value = words if drawn else words + grouped
        room = right - left - len(value) * CHARACTER
        parts.append(_text(2, top + 14, row.name, "start", 12, room=room))
        parts.append(_text(right + 8, top + 14, value, "end", 12, room=right - left))
        parts.append(_line("axis", left, top + 25, right, top + 25, opacity=0.25))
        parts += [_line("axis", axis(mark), top + 21, axis(mark), top + 29, opacity=0.4) for mark in marks]
        if row.low is not None and row.high is not None:
            parts.append(_line("whisker", axis(row.low), top + 25, axis(row.high), top + 25, width=2))
        parts.append(_dot(axis(row.mean), top + 25))
    for column, letter in enumerate(drawn):
        parts += _bracket(letter, [letter in row.letters for row in rows], right + 12 + LETTER * (column + 0.5))
    return _svg(f"{unit}, {len(rows)} systems", told, WIDTH, bottom + 34, parts)


def _letter_order(letter: str) -> tuple[bool, str]:
    return letter.isupper(), letter


def _bracket(letter: str, members: list[bool], x: float) -> list[Markup]:
    """The letter at each member's row, and a line between members that are neighbours."""
    parts = []
    for place, member in enumerate(members):
        if member:
            y = 4 + ROW * place + 25
            parts.append(_text(x, y + 4, letter, "middle", 12))
            if place + 1 < len(members) and members[place + 1]:
                parts.append(_line("bracket", x, y + 8, x, y + ROW - 8))
    return parts


def whisker(value: Interval | Rate) -> Markup:
    """One small bar on an axis from 0 to 1 for a table's cell; the cell beside it says the number. Empty for no rate."""
    mean = value.mean if isinstance(value, Interval) else value.rate
    if mean is None:
        return Markup()
    known = [end for end in (mean, value.low, value.high) if end is not None]
    axis = _Axis(min(0.0, *known), max(1.0, *known), 5, 115)
    parts = [_line("axis", 5, 13, 115, 13, opacity=0.3)]
    if value.low is not None and value.high is not None:
        parts.append(_line("whisker", axis(value.low), 7, axis(value.high), 7, width=2))
    parts.append(_dot(axis(mean), 7))
    return _svg(number(mean, value.low, value.high), [], 120, 14, parts, size=Markup(' width="120" height="14"'))


def frontier(points: Sequence[tuple[float, float]]) -> list[int]:
    """Places of the (x, y) that no other one beats, by x ascending: less x is better, more y is better."""
    kept: list[int] = []
    for place in sorted(range(len(points)), key=lambda i: (points[i][0], -points[i][1])):
        x, y = points[place]
        if not kept or y > points[kept[-1]][1] or (x, y) == points[kept[-1]]:
            kept.append(place)
    return kept


def pareto(points: Sequence[Point], x_label: str, y_label: str) -> Markup:
    """Quality against what it costs, less being better; the frontier as a step line, all numbers as a list beneath.

    The axis of x is logarithmic where it spans more than two decades. A system without x stands in the list, in words.
    At least one point has x.
    """
    x_label, y_label = visible(x_label), visible(y_label)
    known = [(point, point.x) for point in points if point.x is not None]
    best = frontier([(x, point.y) for point, x in known])
    ordered = [known[i] for i in best] + [pair for i, pair in enumerate(known) if i not in best]
    xs = [x for _, x in known]
    log = min(xs) >= TINY and max(xs) / min(xs) > 100
    x_marks = _decades(min(xs), max(xs)) if log else ticks(0.0, max(xs))
    ends = [end for point, _ in known for end in (point.y, point.low, point.high) if end is not None]
    y_marks = ticks(min(ends), max(ends))
    left, right, top, bottom = 46.0, WIDTH - 20.0, 24.0, 214.0
    across = _Axis(x_marks[0], x_marks[-1], left, right, log)
    up = _Axis(y_marks[0], y_marks[-1], bottom, top)
    parts = [_text(2, 12, y_label, "start", 11, room=WIDTH)]
    parts += [_line("axis", left, up(mark), right, up(mark), opacity=0.25) for mark in y_marks]
    parts += [
        _text(left - 6, up(mark) + 4, tick, "end", 10) for mark, tick in zip(y_marks, _named(y_marks), strict=True)
    ]
    parts += [_line("axis", across(mark), top, across(mark), bottom, opacity=0.25) for mark in x_marks]
    parts += [_text(across(mark), bottom + 16, tick, "middle", 10) for mark, tick in _shown(x_marks, left, right)]
    scale = ", logarithmic" if log else ""
    parts.append(_text(right, bottom + 31, f"{x_label}{scale}", "end", 11, room=WIDTH))
    placed = [(across(x), up(point.y)) for point, x in ordered]
    steps = _steps(placed[: len(best)], right)
    parts += [_line("frontier", *step, dashes="4 3") for step in steps]
    lines = list(steps)
    for (point, _), (x, y) in zip(ordered, placed, strict=True):
        if point.low is not None and point.high is not None:
            lines.append((x, up(point.high), x, up(point.low)))
            parts.append(_line("whisker", *lines[-1], opacity=0.6))
        parts.append(_dot(x, y))
    parts += _labels([point.name for point, _ in ordered], placed, lines, (left, top, right, bottom))
    rows, told, end = _list(ordered, points, len(best), x_label, y_label, bottom + 54)
    return _svg(f"{y_label} against {x_label}", told, WIDTH, end + 8, parts + rows)


def _list(
    ordered: list[tuple[Point, float]], points: Sequence[Point], n_best: int, x_label: str, y_label: str, top: float
) -> tuple[list[Markup], list[str], float]:
    """What the plot shows as rows of text, the same as sentences for its description, and where the rows end."""
    parts, told = [], []
    for place, (point, x) in enumerate(ordered):
        y = top + 17 * place
        value, mark = number(point.y, point.low, point.high), "* " if place < n_best else ""
        told.append(f"{mark}{isolated(point.name)}: {y_label} {value}, {x_label} {amount(x)}")
        parts.append(_text(2, y, mark + point.name, "start", 11, room=WIDTH - 190))
        parts.append(_text(WIDTH - 66, y, value, "end", 11))
        parts.append(_text(WIDTH - 4, y, amount(x), "end", 11))
    rows = len(told)
    for point in points:
        if point.x is None:
            value, y = number(point.y, point.low, point.high), top + 17 * rows
            told.append(f"{isolated(point.name)}: {y_label} {value}, not drawn: {isolated(point.why)}")
            parts.append(_text(2, y, point.name, "start", 11, room=WIDTH - 190))
            parts.append(_text(WIDTH - 66, y, value, "end", 11))
            parts.append(_text(14, y + 15, f"not drawn: {point.why}", "start", 10, room=WIDTH - 16))
            rows += 2
    legend = "* on the line: no system is as good in both and better in one"
    parts.append(_text(2, top + 17 * rows, legend, "start", 10, room=WIDTH))
    return parts, [*told, legend], top + 17 * rows


def against(points: Sequence[Cross], x_label: str, y_label: str) -> Markup:
    """Two scores of the same scale against each other, with the diagonal on which they are equal; all numbers in its description."""
    x_label, y_label = visible(x_label), visible(y_label)
    ends = [end for point in points for value in (point.x, point.y) for end in (value.mean, value.low, value.high)]
    marks = ticks(
        min(0.0, *(end for end in ends if end is not None)), max(1.0, *(end for end in ends if end is not None))
    )
    left, right, top, bottom = 46.0, WIDTH - 60.0, 24.0, 278.0
    across, up = _Axis(marks[0], marks[-1], left, right), _Axis(marks[0], marks[-1], bottom, top)
    parts = [_text(2, 12, y_label, "start", 11, room=WIDTH)]
    for mark, tick in zip(marks, _named(marks), strict=True):
        parts.append(_line("axis", left, up(mark), right, up(mark), opacity=0.25))
        parts.append(_line("axis", across(mark), top, across(mark), bottom, opacity=0.25))
        parts.append(_text(left - 6, up(mark) + 4, tick, "end", 10))
        parts.append(_text(across(mark), bottom + 16, tick, "middle", 10))
    parts.append(_text(right, bottom + 31, x_label, "end", 11, room=WIDTH))
    diagonal = left, bottom, right, top
    parts.append(_line("frontier", *diagonal, dashes="4 3"))
    placed = [(across(point.x.mean), up(point.y.mean)) for point in points]
    lines: list[Box] = []
    for point, (x, y) in zip(points, placed, strict=True):
        if point.x.low is not None and point.x.high is not None:
            lines.append((across(point.x.low), y, across(point.x.high), y))
        if point.y.low is not None and point.y.high is not None:
            lines.append((x, up(point.y.high), x, up(point.y.low)))
        parts.append(_dot(x, y))
    parts += [_line("whisker", *line, opacity=0.6) for line in lines]
    parts += _labels([point.name for point in points], placed, lines, (left, top, right, bottom))
    told = [
        f"{isolated(point.name)}: {x_label} {number(point.x.mean, point.x.low, point.x.high)}, "
        f"{y_label} {number(point.y.mean, point.y.low, point.y.high)}"
        for point in points
    ]
    return _svg(f"{y_label} against {x_label}", told, WIDTH, bottom + 40, parts)


def _steps(corners: list[tuple[float, float]], right: float) -> list[Box]:
    """The lines of the frontier through its dots, left to right."""
    ends = [*corners[1:], (right, corners[-1][1])]
    across = [(x, y, to, y) for (x, y), (to, _) in zip(corners, ends, strict=True)]
    return across + [(to, end, to, y) for (_, y), (to, end) in zip(corners, ends, strict=True)]


def _labels(names: list[str], dots: list[tuple[float, float]], lines: list[Box], plot: Box) -> list[Markup]:
    """The names beside their dots, first come, first served, off the lines if they can be; the list has those without room."""
    taken: list[Box] = [(x - 5, y - 5, x + 5, y + 5) for x, y in dots]
    parts = []
    for name, (x, y) in zip(names, dots, strict=True):
        room = 18 * CHARACTER
        wide = min(room, _columns(visible(name)) * CHARACTER)
        places = [(at, above) for above in (y - 18, y + 6, y - 6) for at in (x + 7, x - 7 - wide)]
        boxes = [(at, above, at + wide, above + 12) for at, above in places]
        free = [box for box in boxes if _inside(box, plot) and not any(_overlap(box, other) for other in taken)]
        free.sort(key=lambda box: any(_overlap(box, line) for line in lines))
        if free:
            taken.append(free[0])
            parts.append(_text(free[0][0], free[0][1] + 10, name, "start", 11, room=room))
    return parts


def _inside(box: Box, plot: Box) -> bool:
    return box[0] >= plot[0] and box[1] >= plot[1] and box[2] <= plot[2] + 16 and box[3] <= plot[3]


def _overlap(one: Box, two: Box) -> bool:
    """Whether they overlap once each side is drawn, rounded to a tenth."""
    return all(one[side] <= two[side + 2] + 0.2 and two[side] <= one[side + 2] + 0.2 for side in (0, 1))


def amount(value: float) -> str:
    """Three digits: "0.00123", "12.3", "1,230"."""
    if value and (abs(value) >= 1e7 or abs(value) < 1e-4):
        return f"{value:.2e}"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers from at or under `low` to at or over `high`: steps of 1, 2 or 5 times a power of ten."""
    size = max(abs(low), abs(high))
    if size < TINY:
        low, high = 0.0, 1.0
    elif not high - low > 1e-9 * size:
        low, high = low - 0.1 * size, high + 0.1 * size
    raw = (high - low) / wanted
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [step * place for place in range(first, last + 1)]


def _decades(low: float, high: float) -> list[float]:
    return [10.0**power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]


def _named(marks: Sequence[float]) -> list[str]:
    if max(map(abs, marks)) >= 1e6 or min(abs(mark) for mark in marks if mark) < 1e-4:
        return [f"{mark:.3g}" for mark in marks]
    if marks[0] > 0 and marks[-1] / marks[0] >= 100:
        return [f"{mark:,.10g}" for mark in marks]
    step = marks[1] - marks[0]
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return [f"{mark:,.{decimals}f}" for mark in marks]


def _shown(marks: Sequence[float], left: float, right: float) -> list[tuple[float, str]]:
    """As many of the marks, with their names, as stand beside each other."""
    named = _named(marks)
    room = (right - left) / len(marks)
    every = max(1, math.ceil(max(map(len, named)) * 6.5 / room))
    return list(zip(marks, named, strict=True))[::every]


@dataclass(frozen=True)
class _Axis:
    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        if self.log:
            low, high, value = math.log10(self.low), math.log10(self.high), math.log10(value)
        else:
            low, high = self.low, self.high
        return self.start + (self.end - self.start) * (value - low) / (high - low)


def _columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def _cut(text: str, room: float) -> str:
    most, shown = max(4, int(room / CHARACTER)), visible(text)
    if _columns(shown) <= most:
        return shown
    while _columns(shown) > most - 1:
        shown = shown[:-1]
    return shown + "…"


def _text(x: float, y: float, text: str, anchor: str, size: int, kind: str = "", room: float = math.inf) -> Markup:
    full = visible(text)
    shown = full if math.isinf(room) else _cut(text, room * 12 / max(size, 11))
    name = Markup("<title>{}</title>").format(full) if shown != full else Markup()
    return Markup(
        '<text class="label{}" x="{}" y="{}" text-anchor="{}" font-size="{}" fill="currentColor" direction="ltr" '
        'unicode-bidi="isolate">{}{}</text>'
    ).format(f" {kind}" if kind else "", f"{x:.1f}", f"{y:.1f}", anchor, size, shown, name)


def _line(
    kind: str, x1: float, y1: float, x2: float, y2: float, width: float = 1, opacity: float = 1, dashes: str = "none"
) -> Markup:
    return Markup(
        '<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}" stroke="currentColor" stroke-width="{}" opacity="{}" '
        'stroke-dasharray="{}"/>'
    ).format(kind, f"{x1:.1f}", f"{y1:.1f}", f"{x2:.1f}", f"{y2:.1f}", width, opacity, dashes)


def _dot(x: float, y: float) -> Markup:
    return Markup('<circle class="dot" cx="{}" cy="{}" r="4" fill="currentColor"/>').format(f"{x:.1f}", f"{y:.1f}")


def _svg(
    title: str, told: Iterable[str], width: float, height: float, parts: Iterable[Markup], size: Markup | None = None
) -> Markup:
    return Markup(
        '<svg class="chart" xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {} {}"{}>'
        "<title>{}</title><desc>{}</desc>{}</svg>"
    ).format(
        f"{width:g}",
        f"{height:g}",
        Markup(' width="100%"') if size is None else size,
        visible(title),
        ". ".join(told) or visible(title),
        Markup("").join(parts),
    )

"""What a PDF page holds besides its plain text: text that is not seen, comments, filled-in form fields."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator
from typing import Any

import pypdfium2.raw as pdfium

from evalsuite.lab.readers.wordstyles import NEAR, TINY_POINTS

_INVISIBLE = 3  # text render mode, ISO 32000-1 table 106
_NOTES = {
    pdfium.FPDF_ANNOT_TEXT,
    pdfium.FPDF_ANNOT_HIGHLIGHT,
    pdfium.FPDF_ANNOT_UNDERLINE,
    pdfium.FPDF_ANNOT_STRIKEOUT,
    pdfium.FPDF_ANNOT_CARET,
}
_Box = tuple[float, float, float, float]


def owner(layer: Any, index: int) -> int:
    """The address of the text object that a character of a text page belongs to; 0 for spaces put in between."""
    found = pdfium.FPDFText_GetTextObject(layer.raw, index)
    return ctypes.addressof(found.contents) if found else 0


def unseen(page: Any) -> dict[int, str]:
    """address of a text object -> why its text is not seen: white on white, tiny, or not painted.

    Unpainted text over a picture is a scan's text layer and counts as seen. Text within form objects is not examined.
    """
    behind: list[tuple[_Box, bool, bool]] = []  # bounds, whether it is white, whether it is a picture
    found: dict[int, str] = {}
    for item in page.get_objects(max_depth=1):
        if item.type == pdfium.FPDF_PAGEOBJ_TEXT:
            reason = _reason(item, behind)
            if reason:
                found[ctypes.addressof(item.raw.contents)] = reason
        elif item.type != pdfium.FPDF_PAGEOBJ_PATH or _filled(item.raw):
            picture = item.type != pdfium.FPDF_PAGEOBJ_PATH
            behind.append((item.get_bounds(), not picture and _white(item.raw), picture))
    return found


def _reason(item: Any, behind: list[tuple[_Box, bool, bool]]) -> str:
    matrix = item.get_matrix()
    if item.get_font_size() * math.hypot(matrix.c, matrix.d) <= TINY_POINTS:
        return "tiny text"
    unpainted = pdfium.FPDFTextObj_GetTextRenderMode(item.raw) == _INVISIBLE
    if not unpainted and not _white(item.raw):
        return ""
    left, bottom, right, top = item.get_bounds()
    x, y = (left + right) / 2, (bottom + top) / 2
    under = [shape for shape in behind if shape[0][0] <= x <= shape[0][2] and shape[0][1] <= y <= shape[0][3]]
    if unpainted:
        return "" if any(picture for _, _, picture in under) else "unpainted text"
    return "white text" if not under or under[-1][1] else ""


def _white(item: Any) -> bool:
    channels = [ctypes.c_uint() for _ in range(4)]
    if not pdfium.FPDFPageObj_GetFillColor(item, *map(ctypes.byref, channels)):
        return False
    return all(channel.value > 255 - NEAR for channel in channels[:3])


def _filled(item: Any) -> bool:
    mode, stroke = ctypes.c_int(), ctypes.c_int()
    return bool(pdfium.FPDFPath_GetDrawMode(item, ctypes.byref(mode), ctypes.byref(stroke))) and mode.value != 0


def annotated(page: Any) -> Iterator[tuple[str, str, str]]:
    """(block kind, text, why hidden) of comments, typed-on text and form fields, none of which is in the text layer."""
    for number in range(pdfium.FPDFPage_GetAnnotCount(page.raw)):
        annotation = pdfium.FPDFPage_GetAnnot(page.raw, number)
        if not annotation:
            continue
        try:
            kind = pdfium.FPDFAnnot_GetSubtype(annotation)
            contents, title = _entry(annotation, b"Contents"), _entry(annotation, b"T")
            if kind == pdfium.FPDF_ANNOT_FREETEXT and contents:
                yield "textbox", contents, ""
            elif kind in _NOTES and contents:
                yield "comment", f"{title or 'unknown author'}: {contents}", "comment"
            elif kind == pdfium.FPDF_ANNOT_WIDGET and _entry(annotation, b"V"):
                yield "textbox", f"{title}: {_entry(annotation, b'V')}", ""
        finally:
            pdfium.FPDFPage_CloseAnnot(annotation)


def _entry(annotation: Any, key: bytes) -> str:
    size = pdfium.FPDFAnnot_GetStringValue(annotation, key, None, 0)
    if size <= 2:
        return ""
    buffer = (pdfium.FPDF_WCHAR * (size // 2))()
    pdfium.FPDFAnnot_GetStringValue(annotation, key, buffer, size)
    return bytes(buffer).decode("utf-16-le", "replace").rstrip("\0")

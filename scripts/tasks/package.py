"""Zip packages (.docx, .xlsx) whose bytes depend on their content alone."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime

MADE = datetime(2026, 3, 6, 12, 0, 0, tzinfo=UTC)  # the date of every file and of every part of one


def repacked(package: bytes, change: Callable[[str, bytes], bytes] | None = None) -> bytes:
    """The package with fixed dates; `change(name, content)` may alter a part."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(package)) as old, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = old.read(name)
            info = zipfile.ZipInfo(name, MADE.timetuple()[:6])
            info.compress_type = zipfile.ZIP_DEFLATED
            new.writestr(info, change(name, content) if change else content)
    return stream.getvalue()

"""Are the results in a .xlsx.yaml what LibreOffice calculates from its formulas?"""

from __future__ import annotations

import math
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from openpyxl import load_workbook
from sheet import formulas, load, workbook


def mismatches(tasks: list[Path]) -> Iterator[str]:
    """ "TASK NAME SHEET!B4: =B2+B3 gives 5, stored is 6", for the workbooks in the tasks' source/."""
    paths = [path for task in tasks for path in sorted((task / "source").glob("*.xlsx.yaml"))]
    books = {f"{path.parents[1].name} {path.stem}": load(path.read_text(encoding="utf-8"), path.name) for path in paths}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for book, sheets in books.items():
            (folder / book).write_bytes(workbook(sheets, results=False))
        _calculate(folder, [folder / book for book in books])
        for book, sheets in books.items():
            calculated = load_workbook(folder / "calculated" / book, data_only=True)
            for sheet, content in sheets.items():
                for place, cell in formulas(content["rows"]):
                    value = calculated[sheet][place].value
                    if not _same(value, cell["v"]):
                        yield f"{book} {sheet}!{place}: {cell['f']} gives {value!r}, stored is {cell['v']!r}"


def _calculate(folder: Path, books: list[Path]) -> None:
    """Let LibreOffice open the books, which have no results, and save them with results in calculated/."""
    command = [
        "soffice",
        f"-env:UserInstallation={(folder / 'profile').as_uri()}",
        "--headless",
        "--convert-to",
        "xlsx",
    ]
    subprocess.run([*command, "--outdir", folder / "calculated", *books], check=True, capture_output=True, timeout=300)


def _same(calculated: Any, stored: Any) -> bool:
    """Equal; a stored number may be rounded, to the penny or finer."""
    if isinstance(calculated, datetime):
        calculated = calculated.date()
    if isinstance(stored, float) and isinstance(calculated, int | float):
        places = max(len(repr(stored).partition(".")[2]), 2)
        return math.isclose(calculated, stored, rel_tol=1e-12) or round(calculated, places) == stored
    if isinstance(stored, int) and isinstance(calculated, int | float):
        return math.isclose(calculated, stored, rel_tol=1e-12, abs_tol=1e-9)
    return bool(stored == calculated)

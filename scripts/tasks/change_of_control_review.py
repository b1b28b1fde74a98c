"""Builds the binary files of tasks/corporate-ma/change-of-control-review from its source/ folder.

python scripts/tasks/change_of_control_review.py [FOLDER]     FOLDER: where to build instead of the task's own folder

documents/ and reference/ come from the texts in source/, the contracts register from REGISTER below, corrupted/ from
source/memo.md and the changes in source/corrupted.yaml. Two runs give the same bytes: every date in a file is fixed.
"""

from __future__ import annotations

import io
import re
import sys
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any

import yaml
from docx import Document
from fpdf import FPDF
from fpdf.fonts import FontFace
from openpyxl import Workbook
from openpyxl.styles import Font

TASK = Path(__file__).parents[2] / "tasks" / "corporate-ma" / "change-of-control-review"
DELIVERABLE = "change-of-control-memo.docx"
WORD = ("01-spa-draft-v4", "02-orrindale-framework-agreement", "04-thornhithe-facility-agreement", "05-tannery-wharf-lease",
        "06-ansoria-distribution-agreement", "08-tolliver-bonus-letter", "10-travel-policy")  # fmt: skip
PDF = ("03-sundhamra-licence",)
NOTE = "09-call-note.txt"
STAMP = (2026, 3, 6, 12, 0, 0)
MADE = datetime(*STAMP, tzinfo=UTC)
SPARE = ("docProps/thumbnail.jpeg", "word/stylesWithEffects.xml")  # half the size of python-docx's template, unused

# A cell (formula, result) is a formula; the result is what a spreadsheet program would have stored for it.
REGISTER: dict[str, list[tuple[Any, ...]]] = {
    "Cover": [
        ("Project Plumbline: contracts register of Veldane Metrology Limited",),
        ("Prepared by", "Corrith deal team with Veldane finance"),
        ("As at", "30 January 2026"),
        ("Signing", "27 March 2026"),
        ("Completion", "15 May 2026"),
        ("Contracts listed", ("=COUNTA(Register!B2:B9)", 8)),
        ("Change of control: yes", ('=COUNTIF(Register!E2:E9,"Yes*")', 5)),
    ],
    "Register": [
        ("Index", "Counterparty", "Agreement", "Dated", "Change of control?", "What it says", "Notice", "Exposure"),
        ("3.1", "Orrindale Aerostructures Limited", "Framework agreement, OA/PROC/2020/117", "3 Feb 2020",
         "Yes, over 50% of Metrology", "Customer may end on 90 days' notice. Exit Charge is owed to us",
         "30 days from signing", ("=6*Billings!B2", 1110000)),
        ("3.4", "Ansoria Instruments Pte. Ltd.", "Exclusive distribution, Singapore, Malaysia, Vietnam", "14 Nov 2022",
         "Yes, consent", "Consent of distributor", "14 days", "SGD 1,100,000 a year"),
        ("4.2", "Sundhamra Photonics AB", "Technology licence (Aurane)", "2 Sep 2021", "None",
         "Assignment clause only", "n/a", ("=Royalties!B6", 885550)),
        ("5.1", "Thornhithe Bank plc", "Facilities agreement", "18 Jun 2024", "Yes, waived November 2025, see 5.2",
         "Nothing to do", "n/a", ("=Debt!B7", 14450000)),
        ("6.1", "Quillmarsh Estates (No. 2) Limited", "Lease of Unit 7, Tannery Wharf", "24 Jun 2019",
         "Yes, landlord consent", "Consent not to be unreasonably withheld", "28 days", 214500),
        ("7.1", "Keldermoor Hosting Limited", "Hosting and support of production data", "1 Jul 2023", "tbc",
         "Three years, then rolling", "tbc", 96000),
        ("8.1", "Dr M. Tolliver", "Bonus letter", "5 Feb 2024", "Yes, bonus on exit", "Nine months' salary",
         "n/a", ("=Payroll!B2*9/12", 126000)),
        ("9.3", "Employees", "Travel policy, version 6", "Oct 2025", "No", "", "n/a", ""),
    ],
    "Billings": [
        ("Orrindale 2025", "GBP"),
        ("Monthly Service Charge (Amendment No. 1)", 185000),
        ("Service, Q1", 637500),
        ("Service, Q2", 637500),
        ("Service, Q3", 637500),
        ("Service, Q4", 637500),
        ("Equipment, Q1", 412000),
        ("Equipment, Q2", 388500),
        ("Equipment, Q3", 455000),
        ("Equipment, Q4", 374500),
        ("Billed in 2025", ("=SUM(B3:B10)", 4180000)),
    ],
    "Royalties": [
        ("Royalties paid to Sundhamra for 2025", "EUR", "Paid on"),
        ("Q1", 286400, "14 May 2025"),
        ("Q2", 301250, "13 Aug 2025"),
        ("Q3", 297900, "12 Nov 2025"),
        ("Q4", 334450, "due 14 Feb 2026, accrued"),
        ("Total", ("=SUM(B2:B4)", 885550), ""),
    ],
    "Debt": [
        ("Thornhithe", "GBP"),
        ("Facility A, drawn 18 June 2024", 14000000),
        ("Instalment", 700000),
        ("Instalments paid", 2),
        ("Facility A, outstanding", ("=B2-B3*B4", 12600000)),
        ("Facility B, drawn", 1850000),
        ("Outstanding", ("=B5+B6", 14450000)),
        ("Fee if repaid early, rate", 0.005),
        ("Fee if repaid early", ("=B5*B8", 63000)),
    ],
    "Payroll": [
        ("Directors: basic salary", "2025", "Rise", "From 1 January 2026"),
        ("Dr M. Tolliver, chief technology officer", 168000, 0.05, ("=B2*(1+C2)", 176400)),
        ("C. Dunstane, finance director", 148000, 0.03, ("=B3*(1+C3)", 152440)),
        ("R. Imrie, chair", 95000, 0.0, ("=B4*(1+C4)", 95000)),
    ],
}  # fmt: skip


def blocks(text: str) -> Iterator[tuple[str, Any]]:
    """("title" | "heading" | "subheading" | "bullet" | "paragraph", text) and ("table", rows) of a text in source/."""
    kinds = {"# ": "title", "## ": "heading", "### ": "subheading", "- ": "bullet"}
    for part in re.split(r"\n\s*\n", text.strip()):
        if part.startswith("|"):
            rows = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in part.splitlines()]
            yield "table", [row for row in rows if not set("".join(row)) <= {"-", "|", " "}]
            continue
        mark = next((mark for mark in kinds if part.startswith(mark)), "")
        yield kinds.get(mark, "paragraph"), " ".join(part.removeprefix(mark).split("\n"))


def word(text: str) -> bytes:
    """A .docx with real heading styles and tables."""
    document = Document()
    properties = document.core_properties
    properties.author = properties.last_modified_by = properties.comments = ""
    properties.created = properties.modified = MADE.replace(tzinfo=None)
    styles = {
        "title": "Title",
        "heading": "Heading 1",
        "subheading": "Heading 2",
        "bullet": "List Bullet",
        "paragraph": None,
    }
    for kind, content in blocks(text):
        if kind != "table":
            document.add_paragraph(content, style=styles[kind])
            continue
        table = document.add_table(rows=0, cols=len(content[0]), style="Table Grid")
        for number, row in enumerate(content):
            for cell, value in zip(table.add_row().cells, row, strict=True):
                cell.paragraphs[0].add_run(value).bold = True if number == 0 else None
        document.add_paragraph()
    stream = io.BytesIO()
    document.save(stream)
    return repacked(stream.getvalue())


def pdf(text: str) -> bytes:
    """A .pdf with a text layer; the core fonts hold Latin-1 only."""
    document = FPDF(format="A4")
    document.set_creation_date(MADE)
    document.set_producer("")
    document.set_margin(25)
    document.add_page()
    sizes = {"title": 16, "heading": 12, "subheading": 11}
    for kind, content in blocks(text):
        if kind == "table":
            document.set_font("Times", size=10)
            with document.table(headings_style=FontFace(emphasis="BOLD")) as table:
                for row in content:
                    table.row(row)
        else:
            document.set_font("Times", "B" if kind in sizes else "", sizes.get(kind, 11))
            document.multi_cell(0, 5.5, content, new_x="LMARGIN", new_y="NEXT")
        document.ln(2.5)
    return bytes(document.output())


def workbook() -> bytes:
    """The contracts register: formulas with their results, as a spreadsheet program saves them."""
    book = Workbook()
    book.remove(book.active)
    results: dict[str, dict[str, Any]] = {}
    for number, (name, rows) in enumerate(REGISTER.items(), start=1):
        sheet = book.create_sheet(name)
        stored = results[f"xl/worksheets/sheet{number}.xml"] = {}
        for row in rows:
            sheet.append([value[0] if isinstance(value, tuple) else value for value in row])
            for cell, value in zip(sheet[sheet.max_row], row, strict=False):
                if isinstance(value, tuple):
                    stored[cell.coordinate] = value[1]
                cell.number_format = "0.0%" if isinstance(value, float) else "#,##0"
        for cell in sheet[1]:
            cell.font = Font(bold=True)
        for column in "ABCDEFGH":
            sheet.column_dimensions[column].width = 34 if column in "ABCF" else 20
    stream = io.BytesIO()
    book.save(stream)

    def with_results(name: str, content: bytes) -> bytes:
        text = content.decode("utf-8")
        for cell, value in results.get(name, {}).items():
            text, count = re.subn(rf'(<c r="{cell}"[^>]*><f>[^<]*</f>)<v ?/?>(?:</v>)?', rf"\g<1><v>{value}</v>", text)
            if count != 1:
                raise ValueError(f"{name} {cell}: no formula to store the result in")
        if name == "docProps/core.xml":
            text = re.sub(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", MADE.strftime("%Y-%m-%dT%H:%M:%SZ"), text)
        return text.encode("utf-8")

    return repacked(stream.getvalue(), with_results)


def email(body: str, letter: bytes) -> bytes:
    """The bank's e-mail with its letter attached."""
    message = EmailMessage(policy=SMTP)
    message["From"] = "Gethin Pryce-Amory <gethin.pryce-amory@thornhithe.example>"
    message["To"] = "Priya Osterley <p.osterley@veldane.example>, Celia Dunstane <c.dunstane@veldane.example>"
    message["Subject"] = "Veldane: change of control waiver, signed"
    message["Date"] = "Tue, 11 Nov 2025 16:42:10 +0000"
    message["Message-ID"] = "<20251111164210.7731@thornhithe.example>"
    message.set_content(body)
    kind = "vnd.openxmlformats-officedocument.wordprocessingml.document"
    message.add_attachment(letter, maintype="application", subtype=kind, filename="Veldane waiver letter.docx")
    message.set_boundary("----=_Part_7731_20251111")
    return message.as_bytes()


def repacked(package: bytes, change: Any = None) -> bytes:
    """The zip package with fixed dates and without the parts of `SPARE`; `change(name, content)` may alter a part."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(package)) as old, zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            if name in SPARE:
                continue
            content = old.read(name)
            if name in ("_rels/.rels", "word/_rels/document.xml.rels", "[Content_Types].xml"):
                for part in SPARE:
                    stem = part.rpartition("/")[2].encode()
                    content = re.sub(rb"<(?:Relationship|Override) [^>]*" + re.escape(stem) + rb"[^>]*/>", b"", content)
            if change:
                content = change(name, content)
            info = zipfile.ZipInfo(name, STAMP)
            info.compress_type = zipfile.ZIP_DEFLATED
            new.writestr(info, content)
    return stream.getvalue()


def altered(memo: str, changes: list[list[str]], where: str) -> str:
    """The memo with each [old, new] carried out at every place. Raises ValueError for an `old` that is not in it."""
    for old, new in changes:
        if old not in memo:
            raise ValueError(f"{where}: not in memo.md: {old!r}")
        memo = memo.replace(old, new)
    return memo


def build(folder: Path = TASK) -> None:
    """Write documents/, reference/ and corrupted/ below `folder`."""
    source = TASK / "source"

    def text(name: str) -> str:
        return (source / name).read_text(encoding="utf-8")

    def write(name: str, content: bytes) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    write("documents/00-contracts-register.xlsx", workbook())
    for name in WORD:
        write(f"documents/{name}.docx", word(text(f"{name}.md")))
    for name in PDF:
        write(f"documents/{name}.pdf", pdf(text(f"{name}.md")))
    write("documents/07-bank-email.eml", email(text("07-bank-email.txt"), word(text("waiver-letter.md"))))
    write(f"documents/{NOTE}", text(NOTE).encode("utf-8"))
    memo = text("memo.md")
    write(f"reference/{DELIVERABLE}", word(memo))
    for criterion, twin in yaml.safe_load(text("corrupted.yaml")).items():
        annex = f"\n\n## Annex\n\n{text(twin['append'])}" if "append" in twin else ""
        write(f"corrupted/{criterion}/{DELIVERABLE}", word(altered(memo, twin.get("change", []), criterion) + annex))


if __name__ == "__main__":
    build(*map(Path, sys.argv[1:2]))

"""Planted inventions are found and what the documents hold, or what follows from it, is left alone."""

import time
from pathlib import Path

import docx
import openpyxl
import pytest

from evalsuite.lab import documents
from evalsuite.lab.documents import Block, Extracted
from evalsuite.lab.grading.grounding import ground
from evalsuite.lab.task import load_task

TASK = Path(__file__).parents[1] / "tasks" / "corporate-ma" / "change-of-control-review"
INSTRUCTIONS = "Write a memo for Ines Okafor on the sale of Halden Freight GmbH. Signing is planned for 27 March 2026."
AGREEMENT = """
14. Termination
14.1 The Customer, Orrin Marlow Logistics Ltd, may end this Agreement on not less than 45 days' notice within nine months.
14.2 If control of the Supplier changes, the Supplier shall pay a break fee of USD 4,200,000 without delay.
(b) The fee falls by 1.5% in each year, and by a further 12 per cent after twenty-four (24) months.
15. General. Schedule 2 lists the sites. The agent is Dr Lena J. Brandt. This Agreement is dated 3 February 2020.
The revenue of 2025 was $22,812,345, and the monthly charge is $212,500. There are 62 employees.
""".strip().splitlines()
REGISTER = [("Contract", "Annual value"), ("Wexcombe lease", "185,000"), ("Depot lease", "90,500")]


def extracted(name, *texts, rows=()):
    blocks = [Block(f"{name} p:{i}", text, "paragraph") for i, text in enumerate(texts, 1)]
    blocks += [Block(f"{name} t:{i}", " | ".join(row), "row", cells=row) for i, row in enumerate(rows, 1)]
    return Extracted(name, "0" * 64, tuple(blocks), ())


DOCUMENTS = [extracted("framework-agreement.docx", *AGREEMENT), extracted("register.xlsx", rows=REGISTER)]


def grounded(*texts, rows=()):
    return ground([extracted("memo.docx", *texts, rows=rows)], DOCUMENTS, INSTRUCTIONS)


def unsupported(*texts, **options):
    return [(claim["kind"], claim["text"]) for claim in grounded(*texts, **options)["unsupported"]]


def derived(*texts, **options):
    return [claim["text"] for claim in grounded(*texts, **options)["derived"]]


@pytest.mark.parametrize(
    ("text", "kind", "claim"),
    [
        ("The break fee is USD 4,700,000.", "amount", "USD 4,700,000"),
        ("The break fee is $4.7 million.", "amount", "$4.7 million"),
        ("The break fee is EUR 4,200,000.", "amount", "EUR 4,200,000"),
        ("The fee falls by 2.5% in each year.", "number", "2.5%"),
        ("Notice is 75 days.", "number", "75"),
        ("Notice is 45 months.", "number", "45"),
        ("There are 418 employees.", "number", "418"),
        ("The agreement is dated 3 February 2021.", "date", "3 February 2021"),
        ("It was signed on 2019-07-14.", "date", "2019-07-14"),
        ("The guarantor is Kestrel Bramley Holdings Limited.", "name", "Kestrel Bramley Holdings Limited."),
        ("The fee is owed to Orrin Bramley Logistics Ltd at once.", "name", "Orrin Bramley Logistics Ltd"),
        ("We spoke to Dorian Pelham about it.", "name", "Dorian Pelham"),
        ("We spoke to Ms Pelham about it.", "name", "Ms Pelham"),
        ("We spoke to Lena Okafor about it.", "name", "Lena Okafor"),
        (
            'It says "the Supplier may freely assign this Agreement".',
            "quote",
            "the Supplier may freely assign this Agreement",
        ),
        ("It says ‘the Supplier’s consent is never needed’.", "quote", "the Supplier's consent is never needed"),
        ("Clause 14.7 forbids it.", "section", "Clause 14.7"),
        ("See § 19 of the agreement.", "section", "§ 19"),
        ("Under Section 14.1(f) it ends.", "section", "Section 14.1(f)"),
        ("The sites are in Schedule 5.", "section", "Schedule 5"),
    ],
)
def test_an_invention_is_found(text, kind, claim):
    assert unsupported("The Customer may end the agreement.", text) == [(kind, claim)]


@pytest.mark.parametrize(
    "text",
    [
        "The break fee is $4.2 million (USD 4,200,000, $4.2m) under clause 14.2.",
        "Notice of 45 days, or forty-five days, or a 45-day period.",
        "The fee falls by 12% after 24 months, that is after two years (clause 14.2(b)).",
        "The agreement is dated February 3, 2020 (2020-02-03; 03/02/2020).",
        "Orrin Marlow Logistics and ORRIN MARLOW LOGISTICS LTD. are one. Ms Brandt agrees. So does Lena Brandt.",
        'It is payable "without delay", and "the Supplier shall pay a break fee ... without delay".',
        '“[T]he Supplier shall pay a break fee” [emphasis added]; "may end this Agreement on [short] notice".',
        "Revenue was $22.8 million, approximately $22,800,000.",
        "There are 62 employees. Ines Okafor asked. Signing is on 27 March 2026.",
        "Halden Freight's lease at Wexcombe costs 185,000 a year.",
        "See framework-agreement.docx, Schedule 2, §§ 14 and 15.",
    ],
)
def test_what_the_documents_hold_is_supported_in_any_spelling(text):
    result = grounded(text)
    assert result["claims"] > 0
    assert (result["unsupported"], result["derived"]) == ([], [])


@pytest.mark.parametrize(
    "text",
    [
        "1. Summary of Key Findings",
        "2.3 Next Steps",
        "In 2025 there were 3 options and seven risks. See page 418 and Form 10-K.",
        "Executive Summary. Privileged and Confidential. Material Adverse Change Provisions. Governing Law.",
        "Section 365 of the Bankruptcy Code and 41 U.S.C. Section 6305 apply, as does Art. 6 GDPR and § 433 BGB.",
        "See Section 2 above, and Section 7 of this memorandum.",
        'We propose the wording "the Buyer shall bear no part of the fee".',
        'We call this the "Change Of Control Fee Risk".',
    ],
)
def test_what_is_no_claim_of_fact_is_left_alone(text):
    assert unsupported(text) == []


def test_headings_and_the_header_lines_are_no_claims():
    heading = Block("memo.docx p:1", "Memorandum 512: Kestrel Bramley", "heading", level=1)
    lines = [
        Block(f"memo.docx p:{i}", text, "paragraph")
        for i, text in enumerate(["To: Kestrel Bramley", "From: Dorian Pelham", "Date: 9 March 2026"], 2)
    ]
    assert ground([Extracted("memo.docx", "", (heading, *lines), ())], DOCUMENTS, INSTRUCTIONS)["claims"] == 0


def test_hidden_text_of_the_deliverable_makes_no_claims():
    block = Block("memo.docx p:1", "The fee is USD 9,900,000.", "paragraph", hidden="white text")
    assert ground([Extracted("memo.docx", "", (block,), ())], DOCUMENTS, INSTRUCTIONS)["claims"] == 0


@pytest.mark.parametrize(
    ("text", "claim"),
    [
        ("Four times $212,500 is $850,000.", "$850,000"),
        ("1.5% of USD 4,200,000 is USD 63,000.", "USD 63,000"),
        ("USD 4,200,000 less $212,500 leaves $3,987,500.", "$3,987,500"),
        ("Nine months at $212,500 a year is $159,375.", "$159,375"),
        ("Notice by 10 February 2026 is 45 days before signing.", "10 February 2026"),
        ("The anniversary is 3 February 2022.", "3 February 2022"),
    ],
)
def test_what_follows_by_arithmetic_is_listed_apart(text, claim):
    assert (derived(text), unsupported(text)) == ([claim], [])


def test_the_total_of_a_column_is_derived():
    rows = [("Lease", "Value"), ("Wexcombe", "$185,000"), ("Depot", "$90,500"), ("Total", "$275,500")]
    assert (derived(rows=rows), unsupported(rows=rows)) == (["$275,500"], [])


def test_a_derived_figure_may_be_repeated_elsewhere():
    result = grounded("The exposure is $850,000.", "Nothing else.", "Four times the charge of $212,500 is $850,000.")
    assert ([claim["where"] for claim in result["derived"]], result["unsupported"]) == (["memo.docx p:1"], [])


def test_equal_claims_count_once_and_kinds_are_counted():
    result = grounded("Clause 14.9 applies.", "Clause 14.9 applies; the fee is USD 4,200,000.")
    assert result["claims"] == 2
    assert result["by_kind"] == {
        "amount": {"claims": 1, "unsupported": 0, "derived": 0},
        "section": {"claims": 1, "unsupported": 1, "derived": 0},
    }
    assert result["unsupported"] == [{"kind": "section", "text": "Clause 14.9", "where": "memo.docx p:1"}]


def test_a_table_in_thousands_supports_the_full_amount():
    source = [
        extracted("book.xlsx", "All figures in thousands of dollars", rows=[("Revenue", "22,800"), ("Cost", "9,130")])
    ]
    memo = [extracted("memo.docx", "Revenue was $22.8 million and cost $9,130,000; tax was $4,400,000.")]
    assert [claim["text"] for claim in ground(memo, source, "")["unsupported"]] == ["$4,400,000"]


def test_real_office_files_are_compared(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(["Lease", "Rent", "From"])
    book.active.append(["Wexcombe", 185000, "1 May 2021"])
    book.save(tmp_path / "register.xlsx")
    memo = docx.Document()
    memo.add_paragraph("The rent of the Wexcombe lease is £185,000 from 1 May 2021, and that of the depot £97,300.")
    memo.save(tmp_path / "memo.docx")
    result = ground([documents.read(tmp_path / "memo.docx")], [documents.read(tmp_path / "register.xlsx")], "")
    assert result["unsupported"] == [{"kind": "amount", "text": "£97,300", "where": "memo.docx p:1"}]


# ---------------------------------------------------------------- the bundled task


@pytest.fixture(scope="module")
def bundled():
    """(documents, reference deliverables, instructions) of a task with a gold answer."""
    task = load_task(TASK)
    read = [documents.read(path) for path in task.document_files()]
    return read, [documents.read(path) for path in sorted(task.reference.iterdir())], task.instructions


def test_a_clean_gold_answer_has_no_unsupported_claim(bundled):
    read, reference, instructions = bundled
    result = ground(reference, read, instructions)
    assert result["claims"] > 50
    assert result["unsupported"] == []


@pytest.mark.parametrize(
    ("true", "planted"),
    [
        ("£4,180,000", "£4,318,000"),
        ("17 June 2024", "17 June 2023"),
        ("Fringeworth Optical", "Kestrel Bramley"),
        ("cl. 31.4", "cl. 39.4"),
        ("45 days before", "75 days before"),
        ('"none"', '"no consent is required from Sundhamra"'),
    ],
)
def test_a_fabrication_planted_in_the_gold_answer_is_caught(bundled, tmp_path, true, planted):
    read, _, instructions = bundled
    memo = docx.Document(next(iter(sorted((TASK / "reference").glob("*.docx")))))
    paragraphs = [paragraph for paragraph in memo.paragraphs if true in paragraph.text]
    assert paragraphs
    for paragraph in paragraphs:
        paragraph.text = paragraph.text.replace(true, planted)
    memo.save(tmp_path / "memo.docx")
    found = ground([documents.read(tmp_path / "memo.docx")], read, instructions)["unsupported"]
    assert found[0]["text"] in planted or planted.startswith(found[0]["text"])
    assert len({claim["where"] for claim in found}) == len(paragraphs)


def test_a_large_data_room_is_searched_in_seconds():
    """100,000 words against a memo of 3,000: under 2 s on an idle machine."""
    dense = (
        "The lease of 3 February 2020 ends on 45 days' notice under clause 14.2 for USD 4,200,000, says Lena Brandt."
    )
    plain = (
        "The Supplier shall keep the premises in good repair and shall not part with possession of any of them. " * 4
    )
    room = [extracted("room.docx", *(f"{i}.1 {plain}{dense} The fee of part {i} is ${i},537." for i in range(1, 1101)))]
    memo = [extracted("memo.docx", *(f"{dense} The fee is ${i},537, not ${i},619." for i in range(1, 111)))]
    start = time.process_time()
    result = ground(memo, room, "")
    assert time.process_time() - start < 8
    assert len(result["unsupported"]) == 110

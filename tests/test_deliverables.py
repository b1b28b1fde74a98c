"""From wanted names to output files: by fixed rules, each said, and what is no answer is found without a judge."""

import os
from pathlib import Path

import docx
import openpyxl
import pytest

from evalsuite.lab.documents import UnreadableError
from evalsuite.lab.grading.deliverables import resolve

SENTENCE = "The bank's consent is needed before completion, and it has to be asked for by 30 March 2026."


def write_docx(path, *paragraphs):
    path.parent.mkdir(parents=True, exist_ok=True)
    document = docx.Document()
    for paragraph in paragraphs:
        document.add_paragraph(paragraph)
    document.save(path)
    return path


def write_text(path, text=SENTENCE):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def one(output, name, **options):
    (result,) = resolve(output, [name], **options)
    return result


def test_the_exact_name_is_taken(tmp_path):
    path = write_docx(tmp_path / "memo.docx", SENTENCE)
    write_docx(tmp_path / "drafts" / "memo.docx", SENTENCE)
    found = one(tmp_path, "memo.docx")
    assert (found.path, found.name, found.rule, found.problem) == (path, "memo.docx", "exact", "")


def test_a_wanted_path_with_folders_is_taken_exactly(tmp_path):
    write_text(tmp_path / "final" / "memo.md")
    assert one(tmp_path, "final/memo.md").rule == "exact"


def test_a_name_in_a_sub_folder_is_found(tmp_path):
    path = write_docx(tmp_path / "final" / "v2" / "memo.docx", SENTENCE)
    found = one(tmp_path, "memo.docx")
    assert (found.path, found.name, found.rule) == (path, "final/v2/memo.docx", "nested")


@pytest.mark.parametrize("name", ["Red_Flag Memo.DOCX", "red-flag-memo.docx", "RedFlagMemo.docx"])
def test_case_spaces_hyphens_and_underscores_do_not_matter(tmp_path, name):
    write_docx(tmp_path / name, SENTENCE)
    write_docx(tmp_path / "annex.docx", SENTENCE)
    found = one(tmp_path, "red flag memo.docx")
    assert (found.name, found.rule) == (name, "case")
    assert name in found.detail


def test_the_only_file_of_the_extension_is_taken(tmp_path):
    write_docx(tmp_path / "analysis.docx", SENTENCE)
    assert one(tmp_path, "memo.docx").rule == "only-of-extension"


def test_two_files_of_the_extension_are_one_too_many(tmp_path):
    write_docx(tmp_path / "analysis.docx", SENTENCE)
    write_docx(tmp_path / "annex.docx", SENTENCE)
    found = one(tmp_path, "memo.docx")
    assert (found.path, found.rule, found.problem) == (None, "missing", "missing")
    assert "analysis.docx, annex.docx" in found.detail


def test_two_wanted_names_of_one_extension_do_not_share_a_file(tmp_path):
    write_docx(tmp_path / "analysis.docx", SENTENCE)
    assert [found.rule for found in resolve(tmp_path, ["memo.docx", "letter.docx"])] == ["missing", "missing"]


def test_one_name_in_two_folders_is_ambiguous(tmp_path):
    write_docx(tmp_path / "a" / "memo.docx", SENTENCE)
    write_docx(tmp_path / "b" / "memo.docx", SENTENCE)
    found = one(tmp_path, "memo.docx")
    assert (found.path, found.problem) == (None, "missing")
    assert "2 files answer to this name: a/memo.docx, b/memo.docx" in found.detail


def test_strict_names_take_the_exact_path_alone(tmp_path):
    write_docx(tmp_path / "final" / "memo.docx", SENTENCE)
    write_docx(tmp_path / "Letter.docx", SENTENCE)
    assert [found.rule for found in resolve(tmp_path, ["memo.docx", "letter.docx"], strict=True)] == ["missing"] * 2
    assert one(tmp_path, "Letter.docx", strict=True).rule == "exact"


def test_the_order_of_the_wanted_names_is_kept(tmp_path):
    write_text(tmp_path / "b.md")
    write_text(tmp_path / "a.txt")
    assert [found.wanted for found in resolve(tmp_path, ["b.md", "c.pdf", "a.txt"])] == ["b.md", "c.pdf", "a.txt"]


def test_symbolic_links_are_refused(tmp_path):
    outside = write_text(tmp_path / "secret" / "gold.md")
    output = tmp_path / "output"
    output.mkdir()
    (output / "memo.md").symlink_to(outside)
    (output / "folder").symlink_to(outside.parent)
    found = one(output, "memo.md")
    assert (found.path, found.problem) == (None, "missing")
    assert "symbolic link" in found.detail
    assert one(output, "folder/gold.md").path is None
    assert resolve(output, ())[0].problem == "missing"


@pytest.mark.parametrize("name", ["../secret.md", "/etc/hostname", "a/../../secret.md", "..\\secret.md"])
def test_a_name_never_leaves_the_output_folder(tmp_path, name):
    write_text(tmp_path / "secret.md")
    (tmp_path / "output" / "a").mkdir(parents=True)
    assert one(tmp_path / "output", name).path is None


def test_a_pipe_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "memo.md")
    assert one(tmp_path, "memo.md").problem == "missing"


def test_a_missing_output_folder_holds_nothing(tmp_path):
    assert one(tmp_path / "none", "memo.docx").problem == "missing"
    assert resolve(tmp_path / "none", ())[0].problem == "missing"


def test_the_wrong_extension_is_said(tmp_path):
    write_text(tmp_path / "memo.md")
    found = one(tmp_path, "memo.docx")
    assert (found.path, found.rule, found.problem) == (None, "missing", "wrong extension")
    assert ".docx is wanted; found memo.md" in found.detail


# ---------------------------------------------------------------- content


@pytest.mark.parametrize("content", [b"", b" \n\t\n"])
@pytest.mark.parametrize("name", ["memo.docx", "memo.md", "book.xlsx", "deed.pdf"])
def test_zero_bytes_and_white_space_are_empty(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    found = one(tmp_path, name)
    assert (found.rule, found.problem) == ("exact", "empty")


def test_a_word_file_without_visible_text_is_empty(tmp_path):
    write_docx(tmp_path / "memo.docx", "", "   ")
    assert one(tmp_path, "memo.docx").problem == "empty"


def test_hidden_text_does_not_fill_a_word_file(tmp_path):
    document = docx.Document()
    document.add_paragraph().add_run(SENTENCE).font.hidden = True
    document.save(tmp_path / "memo.docx")
    assert one(tmp_path, "memo.docx").problem == "empty"


def test_a_workbook_without_cells_is_empty_and_one_with_a_cell_is_not(tmp_path):
    book = openpyxl.Workbook()
    book.save(tmp_path / "empty.xlsx")
    book.active["B7"] = "Landlord"
    book.save(tmp_path / "full.xlsx")
    assert [found.problem for found in resolve(tmp_path, ["empty.xlsx", "full.xlsx"])] == ["empty", ""]


@pytest.mark.parametrize(
    "text",
    [
        "TODO",
        "# Memo\n\nTODO: write the analysis",
        "[Insert memo here]",
        "<your text>",
        "Lorem ipsum dolor sit amet, consectetur adipiscing elit.",
        "I can't help with that.",
        "I’m sorry, but I cannot assist with this request.",
        "As an AI language model, I am unable to draft legal documents.",
        "To be completed",
        "Ich kann dabei leider nicht helfen.",
    ],
)
def test_a_placeholder_or_refusal_is_found(tmp_path, text):
    write_docx(tmp_path / "memo.docx", *text.split("\n"))
    write_text(tmp_path / "memo.md", text)
    assert [found.problem for found in resolve(tmp_path, ["memo.docx", "memo.md"])] == ["placeholder"] * 2


@pytest.mark.parametrize(
    "text",
    [
        SENTENCE,
        "No consent is needed.",
        "Signing date: TBD. Buyer: Halden Freight GmbH.",
        "The tenant cannot help itself to the deposit.",
        "TODO list for closing. " + SENTENCE * 3,
    ],
)
def test_a_short_answer_is_no_placeholder(tmp_path, text):
    write_text(tmp_path / "memo.md", text)
    assert one(tmp_path, "memo.md").problem == ""


def test_a_file_that_cannot_be_read_is_an_error_and_not_a_finding(tmp_path):
    (tmp_path / "memo.docx").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(UnreadableError, match=r"memo\.docx"):
        resolve(tmp_path, ["memo.docx"])


# ---------------------------------------------------------------- the whole output


def test_without_names_every_file_counts_but_build_artefacts(tmp_path):
    for name in ["b.md", "a/c.txt", ".git/x.md", "node_modules/y.md", "app/.venv/z.md", "uv.lock", ".hidden.md"]:
        write_text(tmp_path / name)
    for name in ["__pycache__/m.txt", "~$memo.docx", "poetry.lock", "package-lock.json"]:
        write_text(tmp_path / name)
    found = resolve(tmp_path, ())
    assert [(each.name, each.rule, each.problem) for each in found] == [
        ("a/c.txt", "exact", ""),
        ("b.md", "exact", ""),
    ]
    assert found[0].path == Path(tmp_path / "a" / "c.txt")


def test_a_picture_beside_the_memo_spoils_nothing(tmp_path):
    write_text(tmp_path / "memo.md")
    (tmp_path / "chart.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    assert [found.name for found in resolve(tmp_path, ())] == ["memo.md"]


def test_an_empty_file_beside_the_memo_spoils_nothing(tmp_path):
    write_text(tmp_path / "memo.md")
    write_text(tmp_path / "log.txt", "")
    write_text(tmp_path / "plan.md", "TODO")
    assert [(found.name, found.problem) for found in resolve(tmp_path, ())] == [("memo.md", "")]


def test_an_output_of_empty_files_alone_is_said_to_be_so(tmp_path):
    write_text(tmp_path / "log.txt", "")
    write_text(tmp_path / "plan.md", "TODO")
    assert [found.problem for found in resolve(tmp_path, ())] == ["empty", "placeholder"]


def test_an_output_of_a_picture_alone_cannot_be_read(tmp_path):
    (tmp_path / "chart.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    with pytest.raises(UnreadableError):
        resolve(tmp_path, ())


def test_an_output_without_files_is_missing(tmp_path):
    (found,) = resolve(tmp_path, ())
    assert (found.problem, found.path) == ("missing", None)

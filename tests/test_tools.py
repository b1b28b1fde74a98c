"""The agent's tools: what they answer, what they refuse, and that they never cut an answer silently."""

import asyncio
import io
import shutil
import time
import zipfile
from pathlib import Path

import docx
import openpyxl
import pytest

from evalsuite.lab import sandbox as sandboxes
from evalsuite.lab.documents import read as read_document
from evalsuite.lab.tools import Toolbox, ToolError
from evalsuite.lab.word import docx_from_markdown
from evalsuite.lab.workspace import Workspace

LETTER = """# Consent letter

Dear **Halden Freight GmbH**,

the *Lessor* asks for `Section 4`:

1. the first point
2. the second point
   - a detail

   more about it

> as agreed in March

| Contract | Consent |
|---|---|
| Lease A | **yes** |
| Lease B | no |
"""


@pytest.fixture
def documents(tmp_path: Path) -> Path:
    folder = tmp_path / "task" / "documents"
    (folder / "leases").mkdir(parents=True)
    (folder / "notes.txt").write_text("\n".join(f"Line {i} of the notes" for i in range(1, 1001)))
    letter = docx.Document()
    letter.add_paragraph("The tenant\u2019s  consent is needed for any change of control.")
    letter.save(folder / "leases" / "lease.docx")
    book = openpyxl.Workbook()
    book.active.append(["Fee", 4200000])
    book.active["C1"] = "=B1*2"
    book.save(folder / "fees.xlsx")
    (folder / "broken.pdf").write_bytes(b"not a pdf at all")
    (tmp_path / "task" / "rubric.yaml").write_text("the answer")
    return folder


@pytest.fixture
def tools(documents: Path, tmp_path: Path):
    with Workspace.create(documents, tmp_path / "trial") as workspace:
        yield Toolbox(workspace, None)


@pytest.fixture(scope="module")
def shell():
    if shutil.which("bwrap") is None:
        pytest.skip("bubblewrap (bwrap) is not installed")
    return sandboxes.choose("bwrap")


def call(toolbox, tool, *arguments, **options):
    return asyncio.run(getattr(toolbox, tool)(*arguments, **options))


def refused(toolbox, tool, *arguments, **options):
    with pytest.raises(ToolError) as error:
        call(toolbox, tool, *arguments, **options)
    return error.value.message


# ---------------------------------------------------------------- list_files


def test_files_are_listed_with_their_sizes(tools):
    call(tools, "write", "draft.md", "12345")
    listed = call(tools, "list_files").splitlines()
    assert [line.split("  ")[0] for line in listed] == [
        "documents/broken.pdf",
        "documents/fees.xlsx",
        "documents/leases/lease.docx",
        "documents/notes.txt",
        "output/draft.md",
    ]
    assert listed[-1] == "output/draft.md  5"
    assert call(tools, "list_files", "leases").startswith("documents/leases/lease.docx  ")
    assert call(tools, "list_files", "/workspace/output") == "output/draft.md  5"
    assert call(tools, "list_files", "nothing") == "No files in nothing. list_files() shows all."


def test_ten_thousand_files_are_listed_in_a_second_page_by_page(tmp_path):
    documents = tmp_path / "dms"
    for folder in range(10):
        (documents / f"matter-{folder}").mkdir(parents=True)
        for number in range(1000):
            (documents / f"matter-{folder}" / f"{number:04}.txt").touch()
    with Workspace.create(documents, tmp_path / "trial") as workspace:
        toolbox = Toolbox(workspace, None)
        begin = time.process_time()
        first = call(toolbox, "list_files").splitlines()
        assert time.process_time() - begin < 1
        assert first[0] == "[files 1-200 of 10,000]"
        assert "documents/matter-9 (1,000)" in first[-2]
        assert first[-1] == "[9,800 more: list_files(folder='', start=201)]"
        assert call(toolbox, "list_files", "", 201).splitlines()[1].startswith("documents/matter-0/0200.txt")
        assert "more:" not in call(toolbox, "list_files", "documents/matter-3", 901)
        assert workspace.documents == documents, "a document system is bound, not copied"


# ---------------------------------------------------------------- read


def test_reading_shows_anchors_and_says_how_to_go_on(tools):
    page = call(tools, "read", "notes.txt", 1, 3).splitlines()
    assert page[0] == "[documents/notes.txt: lines 1-3 of 1,000]"
    assert page[1] == "[notes.txt l.1] Line 1 of the notes"
    assert page[-1] == "[997 more lines: read(file='documents/notes.txt', start=4, lines=3)]"
    assert (
        call(tools, "read", "documents/notes.txt", 1000).splitlines()[1] == "[notes.txt l.1000] Line 1000 of the notes"
    )
    assert "has 1000 lines; start=1001" in refused(tools, "read", "notes.txt", 1001)


def test_office_files_are_read_as_text(tools):
    assert "[leases/lease.docx p:1] The tenant" in call(tools, "read", "leases/lease.docx")
    assert "{=B1*2}" in call(tools, "read", "/workspace/documents/fees.xlsx")
    assert tools.documents_read == {"leases/lease.docx", "fees.xlsx"}


def test_every_character_of_a_long_line_can_be_read(documents, tmp_path):
    line = "".join(f"{i:07}," for i in range(20_000))
    (documents / "long.txt").write_text(line)
    with Workspace.create(documents, tmp_path / "trial") as workspace:
        toolbox, start, text = Toolbox(workspace, None, answer=10_000), 1, ""
        while True:
            lines = call(toolbox, "read", "long.txt", start).splitlines()
            text += "".join(line for line in lines if not line.startswith(("[documents/", f"[{80 - start}")))
            if "more lines: read(" not in lines[-1]:
                break
            text = text.removesuffix(lines[-1])
            start = int(lines[-1].split("start=")[1].rstrip(")]"))
        assert text == f"[long.txt l.1] {line}"


def test_documents_come_before_output_and_a_folder_says_which(tools):
    call(tools, "write", "notes.txt", "my own notes")
    assert "Line 1 of the notes" in call(tools, "read", "notes.txt")
    assert "my own notes" in call(tools, "read", "output/notes.txt")
    assert tools.documents_read == {"notes.txt"}


def test_a_wrong_name_gets_advice(tools):
    assert "did you mean documents/leases/lease.docx?" in refused(tools, "read", "Lease.docx")
    assert "list_files() shows all files" in refused(tools, "read", "nothing.txt")
    assert "is a folder; list_files(folder='documents/leases')" in refused(tools, "read", "leases")
    assert "documents/broken.pdf cannot be read" in refused(tools, "read", "broken.pdf")


# ---------------------------------------------------------------- search


def test_search_looks_inside_office_files(tools):
    found = call(tools, "search", r"change\s+of CONTROL").splitlines()
    assert found[0] == "[1 results in 1 of 4 files]"
    assert found[1].startswith("leases/lease.docx p:1: The tenant")
    assert found[2].startswith("[not searched: broken.pdf: ")
    assert "fees.xlsx Sheet!A1: " in call(tools, "search", "4200000|4,200,000")
    assert tools.documents_read == set(), "a search is not a reading"


def test_search_is_limited_to_a_file_a_folder_or_a_pattern(tools):
    for file in ("notes.txt", "documents/notes.txt", "*.txt"):
        assert call(tools, "search", "Line 77 ", file).splitlines()[0] == "[1 results in 1 of 1 files]"
    assert call(tools, "search", "Line 77 ", "leases") == "[0 results in 0 of 1 files]"
    assert "no file 'other.txt'" in refused(tools, "search", "x", "other.txt")


def test_plain_words_match_over_spaces_and_curly_quotes(tools):
    assert call(tools, "search", "tenant's consent", plain=True).startswith("[1 results")
    assert call(tools, "search", "line 1.", "notes.txt", plain=True) == "[0 results in 0 of 1 files]"


def test_an_invalid_expression_is_searched_as_words_and_says_so(tools):
    call(tools, "write", "a.md", "see clause (iv below")
    found = call(tools, "search", "clause (iv").splitlines()
    assert found[0].startswith("[not a valid regular expression (")
    assert found[2] == "a.md l.1: see clause (iv below"


def test_many_results_are_cut_with_the_call_that_goes_on(tools):
    found = call(tools, "search", "of the notes").splitlines()
    assert found[0] == "[1,000 results in 1 of 4 files]"
    assert "[900 more: search('of the notes', file='', plain=False, start=101)]" in found
    rest = call(tools, "search", "of the notes", "", False, 901).splitlines()
    assert rest[1] == "notes.txt l.901: Line 901 of the notes"
    assert not any("more: search(" in line for line in rest)


def test_a_long_line_is_shown_around_its_match(tools):
    call(tools, "write", "long.md", f"{'a ' * 5000}needle{' b' * 5000}")
    line = call(tools, "search", "needle").splitlines()[1]
    assert len(line) < 500
    assert "needle" in line


def test_an_expression_that_explodes_does_not_stop_the_others(tools, monkeypatch):
    monkeypatch.setattr("evalsuite.lab.textsearch.SEARCH_SECONDS", 3.0)
    call(tools, "write", "evil.md", "a" * 200 + "b")

    async def both():
        begin = time.monotonic()
        evil = asyncio.create_task(tools.search("(a|aa)+$", "evil.md"))
        await asyncio.sleep(0.2)
        waited = time.monotonic() - begin
        with pytest.raises(ToolError, match="takes too long"):
            await evil
        return waited

    assert asyncio.run(both()) < 2


# ---------------------------------------------------------------- write, write_docx, edit


def test_text_is_written_into_output_only(tools):
    assert call(tools, "write", "memo/a.md", "text") == "Wrote output/memo/a.md (4 bytes)."
    assert call(tools, "write", "/workspace/output/b.md", "é") == "Wrote output/b.md (2 bytes)."
    assert (tools.workspace.output / "memo" / "a.md").read_text() == "text"
    assert "documents/ is read-only" in refused(tools, "write", "documents/a.md", "x")
    assert "write_docx" in refused(tools, "write", "memo.docx", "x")
    assert "bash" in refused(tools, "write", "book.xlsx", "x")
    assert "is a file" in refused(tools, "write", "b.md/c.md", "x")
    assert "names no file" in refused(tools, "write", "output/", "x")
    assert "at most" in refused(tools, "write", "big.md", "x" * 11_000_000)


def test_markdown_becomes_a_word_file_that_reads_as_it_was_meant(tools):
    call(tools, "write_docx", "letter.docx", LETTER)
    blocks = read_document(tools.workspace.output / "letter.docx").blocks
    assert (blocks[0].kind, blocks[0].level, blocks[0].text) == ("heading", 1, "Consent letter")
    assert [block.cells for block in blocks if block.kind == "row"] == [
        ("Contract", "Consent"),
        ("Lease A", "yes"),
        ("Lease B", "no"),
    ]
    document = docx.Document(tools.workspace.output / "letter.docx")
    styles = {paragraph.text: paragraph.style.name for paragraph in document.paragraphs}
    assert styles["the second point"] == "List Number"
    assert styles["a detail"] == "List Bullet 2"
    assert styles["more about it"] == "List Continue"
    assert styles["as agreed in March"] == "Quote"
    bold = [run.text for paragraph in document.paragraphs for run in paragraph.runs if run.bold]
    assert bold == ["Halden Freight GmbH"]
    assert "write_docx makes .docx files" in refused(tools, "write_docx", "letter.pdf", "x")


def test_two_numbered_lists_both_begin_where_they_say():
    document = docx.Document(io.BytesIO(docx_from_markdown("1. a\n2. b\n\ntext\n\n5. c\n")))
    numbers = [p._p.pPr.numPr.numId.val for p in document.paragraphs if p.text in "abc"]
    assert numbers[0] == numbers[1] != numbers[2]
    numbering = document.part.numbering_part.element
    assert numbering.num_having_numId(numbers[2]).lvlOverride_lst[0].startOverride.val == 5


def test_the_same_markdown_makes_the_same_bytes():
    first = docx_from_markdown(LETTER)
    time.sleep(2.1)  # a zip's clock counts two seconds at a time
    assert docx_from_markdown(LETTER) == first
    with zipfile.ZipFile(io.BytesIO(first)) as packed:
        assert {entry.date_time[0] for entry in packed.infolist()} == {1980}


@pytest.mark.parametrize(
    "text",
    ["a\x00b\x0c", "|a|b|\n|-|\n", "|a|\n|-|\n|1|2|3|\n", "- " * 40, "<b>x</b>", "[t](u) ![i](j)", "# ", "\ud800"],
)
def test_odd_markdown_still_makes_a_word_file(text):
    assert docx.Document(io.BytesIO(docx_from_markdown(text))).paragraphs is not None


def test_an_edit_is_exact_and_unique_unless_all_are_meant(tools):
    call(tools, "write", "memo.md", "one two two")
    assert call(tools, "edit", "memo.md", "one", "1") == "Replaced 1 occurrence in output/memo.md."
    assert "occurs 2 times" in refused(tools, "edit", "memo.md", "two", "2")
    assert call(tools, "edit", "memo.md", "two", "2", replace_all=True).startswith("Replaced 2 occurrences")
    assert (tools.workspace.output / "memo.md").read_text() == "1 2 2"
    assert "does not occur" in refused(tools, "edit", "memo.md", "three", "3")
    assert "must not be empty" in refused(tools, "edit", "memo.md", "", "3")
    assert "the same" in refused(tools, "edit", "memo.md", "1", "1")
    assert "write_docx" in refused(tools, "edit", "memo.docx", "a", "b")
    assert "read-only; write a changed copy" in refused(tools, "edit", "notes.txt", "a", "b")
    assert "no file" in refused(tools, "edit", "none.md", "a", "b")


# ---------------------------------------------------------------- getting out


WAYS_OUT = ["../rubric.yaml", "documents/../../rubric.yaml", "/etc/passwd", "/workspace/../etc/passwd", "/workspacex/a"]


@pytest.mark.parametrize("tool", ["read", "search", "write", "edit", "write_docx", "list_files"])
@pytest.mark.parametrize("way", WAYS_OUT)
def test_a_name_outside_the_workspace_is_refused_by_every_tool(tools, tool, way):
    arguments = {"search": ["x", way], "list_files": [way], "read": [way], "edit": [way, "a", "b"]}
    message = refused(tools, tool, *arguments.get(tool, [way, "x"]))
    assert "outside the workspace" in message or "'..' is not allowed" in message


def test_a_link_that_bash_made_is_followed_by_no_tool(tools, shell):
    tools.sandbox = shell
    secret = tools.workspace.root.parent / "task" / "rubric.yaml"
    folder = secret.parent
    call(tools, "bash", f"ln -s {secret} output/link.md; ln -s {folder} output/folder; ln -s loop output/loop")
    call(tools, "bash", "ln -s ../documents/notes.txt output/inner.md; mkfifo output/pipe.md")
    for name in ("output/link.md", "output/folder/rubric.yaml", "output/inner.md"):
        assert "symbolic link" in refused(tools, "read", name)
        assert "symbolic link" in refused(tools, "write", name, "x")
        assert "symbolic link" in refused(tools, "edit", name, "answer", "x")
        assert "symbolic link" in refused(tools, "search", "answer", name)
    assert "symbolic link" in refused(tools, "write_docx", "output/folder/new.docx", "x")
    assert refused(tools, "read", "output/loop")
    assert refused(tools, "read", "output/pipe.md")
    assert refused(tools, "write", "output/pipe.md", "x")
    assert "output/" not in call(tools, "list_files")
    assert "the answer" not in call(tools, "search", "answer")
    assert secret.read_text() == "the answer"
    assert sorted(path.name for path in folder.iterdir()) == ["documents", "rubric.yaml"]


# ---------------------------------------------------------------- bash


def test_bash_runs_in_the_sandbox_and_tells_how_it_ended(tools, shell):
    tools.sandbox = shell
    assert call(tools, "bash", "pwd") == "/workspace\n"
    assert call(tools, "bash", "true") == "[no output]"
    assert call(tools, "bash", "false") == "[exit code 1]"
    assert "[only output/ and /tmp can be written]" in call(tools, "bash", "echo x > notes.md")
    assert "timed out after 1 s" in call(tools, "bash", "sleep 9", 1)
    assert len(call(tools, "bash", "seq 100000")) < 41_000
    assert "characters left out" in call(tools, "bash", "seq 100000")


def test_bash_works_on_what_the_tools_wrote_and_the_other_way_round(tools, shell):
    tools.sandbox = shell
    call(tools, "write", "deep/memo.md", "one")
    assert call(tools, "bash", "echo two >> output/deep/memo.md && chmod 600 output/deep/memo.md") == "[no output]"
    assert "onetwo" in call(tools, "read", "output/deep/memo.md")
    call(tools, "edit", "output/deep/memo.md", "two", "three")
    assert call(tools, "bash", "cat output/deep/memo.md") == "onethree\n"


def test_documents_read_through_bash_are_counted(tools, shell):
    tools.sandbox = shell
    call(tools, "bash", "head -2 documents/notes.txt")
    assert tools.documents_read == {"notes.txt"}
    call(tools, "bash", "unzip -p documents/leases/*.docx | wc")
    assert tools.documents_read == {"notes.txt", "leases/lease.docx"}
    call(tools, "bash", "cat output/myfees.xlsx.bak")
    assert tools.documents_read == {"notes.txt", "leases/lease.docx"}


def test_without_a_sandbox_there_is_no_shell(tools):
    assert "there is no shell in this run" in refused(tools, "bash", "true")


def test_calls_are_counted_failed_ones_too(tools):
    call(tools, "list_files")
    refused(tools, "read", "nothing")
    refused(tools, "read", "nothing")
    assert tools.calls == {"list_files": 1, "read": 2}


def test_calls_of_one_trial_never_overlap(tools, shell):
    tools.sandbox = shell

    async def both():
        slow = asyncio.create_task(tools.bash("sleep 0.5; echo -n late > output/a.md"))
        await asyncio.sleep(0.05)
        return await asyncio.gather(slow, tools.read("output/a.md"))

    assert asyncio.run(both())[1] == "[a.md l.1] late"


def test_every_tool_explains_itself_to_a_model():
    import inspect

    for name in Toolbox.TOOLS:
        method = getattr(Toolbox, name)
        explained = inspect.getdoc(method)
        assert explained
        for parameter in list(inspect.signature(method).parameters)[1:]:
            assert f"    {parameter}: " in explained

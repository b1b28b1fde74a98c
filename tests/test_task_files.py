"""The bundled tasks' files are what scripts/tasks/build.py makes of source/, hold all of it, and open in LibreOffice."""

import email
import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections import Counter
from email.policy import SMTP
from email.utils import parsedate_to_datetime
from functools import cache
from pathlib import Path
from types import ModuleType

import docx
import pytest
import yaml
from docx.oxml.ns import qn
from openpyxl import load_workbook
from pypdfium2 import PdfDocument

from evalsuite.lab.documents import read

ROOT = Path(__file__).parents[1]
BUILDER = ROOT / "scripts" / "tasks"
TASKS = sorted(path.parent for path in (ROOT / "tasks").glob("*/*/source"))
BUILT = ("documents", "reference", "corrupted")

every_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)


def sources(suffix: str) -> list[Path]:
    """The texts in every task's source/ that a document of this kind is built from."""
    return sorted(path for task in TASKS for path in (task / "source").glob(f"*{suffix}"))


def each(*suffixes: str) -> pytest.MarkDecorator:
    paths = [path for suffix in suffixes for path in sources(suffix)]
    return pytest.mark.parametrize("source", paths, ids=lambda path: f"{path.parents[1].name}/{path.name}")


def built(source: Path) -> Path:
    return source.parents[1] / "documents" / source.name.removesuffix(".md").removesuffix(".yaml")


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, BUILDER / "build.py", *arguments]
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=500)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which every task was built, beside files that nothing in source/ stands for."""
    folder = tmp_path_factory.mktemp("tasks")
    stale = folder / TASKS[0].relative_to(ROOT / "tasks") / "documents" / "99-renamed.docx"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"")
    finished = run("--into", folder)
    assert (finished.returncode, finished.stderr) == (0, "")
    return folder


def files(folder: Path) -> dict[str, bytes]:
    paths = (path for part in BUILT for path in (folder / part).rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@every_task
def test_a_build_gives_the_committed_bytes_and_nothing_else(task: Path, fresh: Path) -> None:
    committed, again = files(task), files(fresh / task.relative_to(ROOT / "tasks"))
    assert sorted(committed) == sorted(again)
    assert [name for name in committed if committed[name] != again[name]] == []


def visible(line: str) -> str:
    """A line of markup as a reader sees it, tracked changes accepted; without spaces, so that line ends do not count."""
    line = re.sub(r"\{--.*?--\}", "", line)
    line = re.sub(r"\{\+\+|\+\+\}|\*\*|^(#+|-) ", "", line)
    line = re.sub(r"(?<![\w*])\*([^*]+)\*(?![\w*])", r"\1", line)
    return "".join(line.split())


@cache
def whole(path: Path) -> str:
    return "".join(read(path).text(anchors=False).replace("|", "").split())


def lines(source: Path) -> list[str]:
    """What stands in a text: its paragraphs' lines, its tables' cells, its header and its comments."""
    found = []
    for line in source.read_text(encoding="utf-8").splitlines():
        if match := re.fullmatch(r"<!-- (?:header|comment \(.*?\d{4}\)): (.+) -->", line.strip()):
            found.append(match[1].replace("|", ""))
        elif line.startswith("|"):
            found += [cell for cell in line.strip("| \n").split("|") if set(cell) - set("- ")]
        elif not line.startswith("<!-- changes"):
            found.append(line)
    return [text for text in map(visible, found) if text]


@each(".docx.md", ".pdf.md")
def test_a_document_holds_every_line_of_its_text(source: Path) -> None:
    text, expected = whole(built(source)), lines(source)
    assert len(expected) > 5
    header = expected[0] if source.read_text(encoding="utf-8").startswith("<!-- header") else ""
    unbroken = re.sub(rf"(Page\d+of\d+)({re.escape(header)})?", "", text)  # a paragraph may run over a page's end
    assert [line for line in expected if line not in unbroken and line not in text] == []
    assert re.search(r"Page1of\d+", text)


@every_task
def test_the_reference_holds_every_line_of_the_memo(task: Path) -> None:
    (reference,) = (task / "reference").iterdir()
    assert [line for line in lines(task / "source" / "memo.md") if line not in whole(reference)] == []


@every_task
def test_a_twin_holds_every_line_of_the_changed_memo(task: Path) -> None:
    memo = (task / "source" / "memo.md").read_text(encoding="utf-8")
    for criterion, twin in yaml.safe_load((task / "source" / "corrupted.yaml").read_text(encoding="utf-8")).items():
        text = memo
        for old, new in twin.get("change", []):
            text = text.replace(old, new)
        (path,) = (task / "corrupted" / criterion).iterdir()
        paragraphs = [paragraph for paragraph in text.splitlines() if not paragraph.startswith("|")]
        assert [line for line in map(visible, paragraphs) if line not in whole(path)] == []


@each(".docx.md")
def test_tracked_changes_and_comments_are_word_s_own(source: Path) -> None:
    text = source.read_text(encoding="utf-8")
    document = docx.Document(str(built(source)))
    for mark, tag, part in (("++", "w:ins", "w:t"), ("--", "w:del", "w:delText")):
        expected = "".join(re.findall(rf"\{{{re.escape(mark)}(.*?){re.escape(mark)}\}}", text))
        nodes = list(document.element.body.iter(qn(tag)))
        assert "".join(text.text or "" for node in nodes for text in node.iter(qn(part))) == expected
        author, date = re.findall(r"<!-- changes: (.+?), ([^,]*(?:\d, )?\d{4}) -->", text)[0] if expected else ("", "")
        assert {node.get(qn("w:author")) for node in nodes} == ({author} if expected else set())
        assert all(node.get(qn("w:date"))[:4] == date[-4:] for node in nodes)
    comments = [(comment.author, comment.text, str(comment.timestamp)[:4]) for comment in document.comments]
    pattern = r"<!-- comment \((.+), ((?:\d+ \w+|\w+ \d+,) (\d{4}))\): (.+) -->"
    assert comments == [(author, said, year) for author, _, year, said in re.findall(pattern, text)]
    ids = [node.get(qn("w:id")) for node in document.element.body.iter(qn("w:commentReference"))]
    assert ids == [str(comment.comment_id) for comment in document.comments]


def test_the_tasks_have_tracked_changes_comments_and_hidden_sheets() -> None:
    kinds = Counter(
        kind
        for source in sources(".docx.md")
        for kind in ("<!-- comment", "{--", "{++", "<!-- header")
        if kind in source.read_text(encoding="utf-8")
    )
    assert set(kinds) == {"<!-- comment", "{--", "{++", "<!-- header"}
    assert any("hidden: true" in source.read_text(encoding="utf-8") for source in sources(".xlsx.yaml"))


@each(".xlsx.yaml")
def test_a_workbook_holds_formulas_results_dates_and_hidden_sheets(source: Path) -> None:
    formulas, results = load_workbook(built(source)), load_workbook(built(source), data_only=True)
    expected = yaml.safe_load(source.read_text(encoding="utf-8"))
    assert formulas.sheetnames == list(expected)
    for name, sheet in expected.items():
        assert formulas[name].sheet_state == ("hidden" if sheet.get("hidden") else "visible")
        for number, row in enumerate(sheet["rows"], start=1):
            for column, cell in enumerate(row, start=1):
                formula, result = formulas[name].cell(number, column), results[name].cell(number, column)
                value = cell["v"] if isinstance(cell, dict) else cell
                found = result.value.date() if result.is_date and result.value else result.value
                assert (found if found is not None else "") == ("" if value is None else value), (name, number, column)
                assert not isinstance(cell, dict) or formula.value == cell["f"]


def test_the_results_in_the_workbooks_are_what_libreoffice_calculates() -> None:
    finished = run("--check-formulas")
    assert (finished.returncode, finished.stderr) == (0, "")


@each(".eml.md")
def test_a_mail_has_its_headers_its_body_and_its_attachments(source: Path) -> None:
    head, _, body = source.read_text(encoding="utf-8").partition("\n\n")
    message = email.message_from_bytes(built(source).read_bytes(), policy=SMTP)
    fields = dict(line.split(": ", 1) for line in head.splitlines())
    assert (message["From"], message["Subject"]) == (fields["From"], fields["Subject"])
    assert message["Date"].datetime == parsedate_to_datetime(fields["Date"])
    for name in ("To", "Cc"):
        assert re.findall(r"<(.+?)>", str(message[name])) == re.findall(r"<(.+?)>", fields.get(name, ""))
    assert message.get_body().get_content().strip().splitlines() == body.strip().splitlines()
    attached = {part.get_filename(): part.get_payload(decode=True) for part in message.iter_attachments()}
    named = [name for name in re.split(r"[;,] *", fields.get("Attachments", "none")) if not name.startswith("none")]
    assert sorted(attached) == sorted(named)
    for name, content in attached.items():
        document = built(source).parent / name
        assert content == (document.read_bytes() if document.exists() else content) != b""


@each(".txt")
def test_a_text_is_copied_as_it_is(source: Path) -> None:
    assert (source.parents[1] / "documents" / source.name).read_bytes() == source.read_bytes()


def test_every_package_carries_fixed_dates() -> None:
    for path in (path for task in TASKS for path in (task / "documents").glob("*.[dx][ol][cs]x")):
        with zipfile.ZipFile(path) as package:
            assert {info.date_time for info in package.infolist()} == {(2026, 3, 6, 12, 0, 0)}


def test_every_document_and_reference_opens_in_libreoffice(tmp_path: Path) -> None:
    pattern = re.compile(r"\.(docx|xlsx)$")
    paths = [path for task in TASKS for part in ("documents", "reference") for path in (task / part).iterdir()]
    given = tmp_path / "given"
    given.mkdir()
    for path in filter(lambda path: pattern.search(path.name), paths):
        shutil.copy(path, given / f"{path.parents[1].name}--{path.name.replace('.', '-')}{path.suffix}")
    profile = f"-env:UserInstallation={(tmp_path / 'profile').as_uri()}"
    command = ["soffice", profile, "--headless", "--convert-to", "pdf", "--outdir", str(tmp_path / "pages")]
    subprocess.run([*command, *map(str, sorted(given.iterdir()))], check=True, capture_output=True, timeout=500)
    made = {path.stem: PdfDocument(path) for path in (tmp_path / "pages").iterdir()}
    assert sorted(made) == sorted(path.stem for path in given.iterdir())
    for name, pages in made.items():
        assert (
            "Page 1 of" in pages[0].get_textpage().get_text_bounded()
            or "page 1 of" in pages[0].get_textpage().get_text_bounded()
        ), name


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BUILDER))
    import markup

    return markup


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("# A\n\nSee [this](there).", "text.md:3: markup that is not known"),
        ("a {--b", "text.md:1: markup that is not known"),
        ("a {--b--}", "text.md: has tracked changes, but no line"),
        ("a\n\n<!-- comment: b -->", "text.md:3: expected header, changes or comment"),
        ("<!-- comment (A. B., 1 May 2026): c -->", "text.md:1: a comment with no paragraph before it"),
        ("a\n\n<!-- comment (A. B., 31 June 2026): c -->", "text.md:3: no such day"),
        ("| a | b |\n| --- | --- |\n| c |", "text.md:1: the rows of the table have [1, 2] cells"),
    ],
)
def test_markup_that_is_not_known_is_refused_by_file_and_line(builder: ModuleType, text: str, said: str) -> None:
    with pytest.raises(builder.SourceError) as error:
        builder.parse(text, "text.md")
    assert said in str(error.value)


def test_a_pdf_refuses_a_character_that_its_fonts_lack(builder: ModuleType) -> None:
    from looks import look
    from package import MADE
    from pdf import pdf

    source = builder.parse("# A\n\nEuro €, dash –, quotes “ ”, bullet •", "text.md")
    assert pdf(source, look(source, ""), MADE, "text.md").startswith(b"%PDF")
    source = builder.parse("# A\n\nTick ✓", "text.md")
    with pytest.raises(builder.SourceError, match=r"text\.md: the PDF's fonts have no '✓'"):
        pdf(source, look(source, ""), MADE, "text.md")


def copied(task: Path, folder: Path) -> Path:
    """The builder and one task in a folder of their own, so that the task can be spoilt."""
    shutil.copytree(BUILDER, folder / "scripts" / "tasks", ignore=shutil.ignore_patterns("__pycache__"))
    place = folder / task.relative_to(ROOT)
    shutil.copytree(task / "source", place / "source")
    shutil.copy(task / "task.json", place)
    return place


def spoilt(folder: Path) -> str:
    command = [sys.executable, str(folder / "scripts" / "tasks" / "build.py")]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert finished.returncode == 1
    return finished.stderr


def test_a_change_whose_old_text_is_not_in_the_memo_is_named(tmp_path: Path) -> None:
    task = copied(TASKS[0], tmp_path)
    twins = {"C-001": {"error": "e", "change": [["words that no memo has", "x"]]}}
    (task / "source" / "corrupted.yaml").write_text(json.dumps(twins), encoding="utf-8")
    said = f"{task.name}: corrupted.yaml, C-001: not in memo.md: 'words that no memo has'"
    assert spoilt(tmp_path).strip() == said


def test_an_attachment_that_does_not_exist_is_named(tmp_path: Path) -> None:
    task = copied(TASKS[0], tmp_path)
    mail = "From: A <a@a.example>\nTo: B <b@b.example>\nDate: Tue, 14 Apr 2026 16:52:00 +0100\nSubject: S\nAttachments: no.pdf\n\nText\n"
    (task / "source" / "90-mail.eml.md").write_text(mail, encoding="utf-8")
    assert "an e-mail attaches 'no.pdf': not in documents/, nor in" in spoilt(tmp_path)

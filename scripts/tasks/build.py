"""Builds what an agent gets, and what proves the rubric, from the texts in tasks/*/*/source/.

python scripts/tasks/build.py [TASK ...] [--into FOLDER]     TASK: a task's folder or its name; default: all
python scripts/tasks/build.py [TASK ...] --check-formulas    are the results stored in the workbooks LibreOffice's?

documents/ has one file for each text in source/ (NN-name.docx.md gives NN-name.docx), reference/ the memo, corrupted/
the memo with the changes of corrupted.yaml. Other files in these folders are removed. Two runs give the same bytes.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import yaml
from formulas import mismatches
from looks import look
from mail import attachments, mail
from markup import Source, SourceError, parse
from package import MADE
from pdf import pdf
from sheet import load, workbook
from word import word

TASKS = Path(__file__).parents[2] / "tasks"
BUILT = ("documents", "reference", "corrupted")
MARKUP, BOOK, MESSAGE = (".docx.md", ".pdf.md"), ".xlsx.yaml", ".eml.md"
OTHER = ("memo.md", "corrupted.yaml")


def built(task: Path) -> dict[str, bytes]:
    """Every file of the task by its path within the task's folder. Raises SourceError."""
    return {**documents(task), **deliverables(task)}


def documents(task: Path) -> dict[str, bytes]:
    """documents/: mails last, as they may attach the others."""
    made: dict[str, bytes] = {}
    texts = sorted(path for path in (task / "source").iterdir() if path.is_file() and path.name not in OTHER)
    for path in sorted(texts, key=lambda path: path.name.endswith(MESSAGE)):
        text = path.read_text(encoding="utf-8")
        if path.name.endswith(MESSAGE):
            parts = {name: attachment(task, name, made) for name in attachments(text)}
            made[f"documents/{path.stem}"] = mail(text, parts.__getitem__, shown(path))
        elif path.suffix == ".txt":
            made[f"documents/{path.name}"] = text.encode("utf-8")
        else:
            made[f"documents/{path.stem}"] = file(task, path, text)
    return made


def file(task: Path, path: Path, text: str) -> bytes:
    """The bytes of the Word document, PDF or workbook that a text stands for."""
    if path.name.endswith(BOOK):
        return workbook(load(text, shown(path)))
    if not path.name.endswith(MARKUP):
        raise SourceError(f"{shown(path)}: expected a name in {', '.join((*MARKUP, MESSAGE, BOOK, '.txt'))}")
    source = parse(text, shown(path))
    if path.name.endswith(".pdf.md"):
        return pdf(source, look(source, task.parent.name), MADE, shown(path))
    return word(source, look(source, task.parent.name))


def attachment(task: Path, name: str, made: dict[str, bytes]) -> bytes:
    """A document of the task, or what source/attachments/ has under this name."""
    if f"documents/{name}" in made:
        return made[f"documents/{name}"]
    folder = task / "source" / "attachments"
    if (folder / name).is_file():
        return (folder / name).read_bytes()
    for suffix in (".md", ".yaml"):
        path = folder / f"{name}{suffix}"
        if path.is_file():
            return file(task, path, path.read_text(encoding="utf-8"))
    raise SourceError(f"{task.name}: an e-mail attaches {name!r}: not in documents/, nor in {shown(folder)}")


def deliverables(task: Path) -> dict[str, bytes]:
    """reference/ and corrupted/."""
    names = list(json.loads((task / "task.json").read_text(encoding="utf-8"))["deliverables"])
    if len(names) != 1 or not names[0].endswith(".docx"):
        raise SourceError(f"{task.name}: expected one .docx in task.json's deliverables, found {names}")
    path = task / "source" / "memo.md"
    memo = path.read_text(encoding="utf-8")
    made = {f"reference/{names[0]}": memorandum(task, parse(memo, shown(path)))}
    twins: dict[str, dict[str, Any]] = yaml.safe_load((task / "source" / "corrupted.yaml").read_text(encoding="utf-8"))
    for criterion, twin in twins.items():
        text = altered(task, memo, criterion, twin)
        made[f"corrupted/{criterion}/{names[0]}"] = memorandum(task, parse(text, f"{task.name}: twin of {criterion}"))
    return made


def memorandum(task: Path, source: Source) -> bytes:
    return word(source, look(source, task.parent.name, memo=True))


def altered(task: Path, memo: str, criterion: str, twin: dict[str, Any]) -> str:
    """The memo with each [old, new] carried out at every place, and with the text to append as an annex."""
    if unknown := set(twin) - {"error", "change", "append"}:
        raise SourceError(
            f"{task.name}: corrupted.yaml, {criterion}: expected error, change, append, found {sorted(unknown)}"
        )
    for old, new in twin.get("change", []):
        if old not in memo:
            raise SourceError(f"{task.name}: corrupted.yaml, {criterion}: not in memo.md: {old!r}")
        memo = memo.replace(old, new)
    if "append" in twin:
        path = task / "source" / twin["append"]
        if not path.is_file():
            raise SourceError(f"{task.name}: corrupted.yaml, {criterion}: no such text in source/: {twin['append']}")
        memo += f"\n\n## Annex\n\n{path.read_text(encoding='utf-8')}"
    return memo


def write(folder: Path, files: dict[str, bytes]) -> None:
    """Bring documents/, reference/ and corrupted/ below `folder` to these files; what is right already is not touched."""
    for name, content in files.items():
        path = folder / name
        if not path.is_file() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    for path in sorted((path for part in BUILT for path in (folder / part).rglob("*")), reverse=True):
        if path.is_dir() and not any(path.iterdir()):
            path.rmdir()
        elif path.is_file() and path.relative_to(folder).as_posix() not in files:
            path.unlink()


def shown(path: Path) -> str:
    return path.relative_to(TASKS).as_posix()


def chosen(names: list[str]) -> list[Path]:
    """The tasks' folders. Raises SourceError for a name that is none."""
    known = sorted(path.parent for path in TASKS.glob("*/*/source"))
    found = [[task for task in known if name in (task.name, f"{task.parent.name}/{task.name}") or Path(name).resolve() == task]
             for name in names]  # fmt: skip
    for name, tasks in zip(names, found, strict=True):
        if not tasks:
            raise SourceError(f"no such task: {name}. Known: {', '.join(task.name for task in known)}")
    return [task for tasks in found for task in tasks] or known


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", nargs="*")
    parser.add_argument("--into", type=Path, default=TASKS, metavar="FOLDER", help="instead of tasks/")
    parser.add_argument("--check-formulas", action="store_true", help="write nothing; needs soffice")
    options = parser.parse_args(arguments)
    failures: list[str] = []
    try:
        tasks = chosen(options.task)
        failures += mismatches(tasks) if options.check_formulas else []
    except SourceError as error:
        sys.exit(str(error))
    for task in () if options.check_formulas else tasks:
        try:
            write(options.into / task.relative_to(TASKS), built(task))
        except SourceError as error:
            failures.append(str(error))
    sys.stderr.writelines(f"{failure}\n" for failure in failures)
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

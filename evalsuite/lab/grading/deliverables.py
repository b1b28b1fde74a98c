"""From the names a criterion wants to files of the output folder, by fixed rules and with no model asked.

A file that is missing, empty, a placeholder or of the wrong extension is a finding about the answer and needs no judge.
A file that cannot be read is none: UnreadableError reaches the caller, who records an error.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

from evalsuite.lab import documents
from evalsuite.lab.documents import UnreadableError

Rule = Literal["exact", "case", "nested", "only-of-extension", "missing"]
Problem = Literal["", "missing", "empty", "placeholder", "wrong extension"]

_ARTEFACT_FOLDERS = {"node_modules", "venv", "__pycache__", "__MACOSX", "site-packages"}
_ARTEFACT_SUFFIXES = {".lock", ".pyc", ".pyo", ".tmp", ".swp"}
_ARTEFACT_NAMES = {"package-lock.json", "Thumbs.db"}
_PLACEHOLDER_WORDS = 40
_PLACEHOLDER = re.compile(
    r"""^\W*(?:todo|tbd|tbc|placeholder|coming\ soon|work\ in\ progress|
          to\ be\ (?:completed|drafted|written|done|added|provided|inserted|determined))\b
      | lorem\ ipsum
      | [\[<{(]\s*(?:please\s+)?(?:insert|add|enter|paste|your|placeholder|todo|tbd|to\ be|memo|memorandum|content|text|
          body|draft)\b[^\])}>]*[\])}>]
      | \b(?:insert|add|paste)\ (?:your\ |the\ )?(?:memo(?:randum)?|content|text|analysis|answer)\ here\b
      | \bi(?:'m|\ am)?\ (?:sorry|afraid|apologi[sz]e)\b
      | \b(?:i|we)\ (?:can't|cannot|can\ not|won't|will\ not|am\ unable\ to|am\ not\ able\ to|are\ unable\ to|
          must\ decline\ to)
          \ (?:\w+\ ){0,2}?
          (?:help|assist|provide|comply|complete|produce|create|draft|write|generate|fulfil|do|answer|access)
      | \bas\ an\ ai\b
      | \bich\ kann\ (?:\w+\ ){0,4}nicht\ (?:helfen|weiterhelfen|erstellen|beantworten)
      | \bje\ ne\ (?:peux|suis)\ pas\b | \b(?:lo\ siento|no\ puedo\ (?:ayudar|proporcionar|crear))\b""",
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)


@dataclass(frozen=True)
class Resolved:
    """What became of one wanted deliverable.

    name: the file's path inside the output folder, with forward slashes
    path: None where no file answers to the name; an empty file or a placeholder keeps its path
    detail: one sentence for the report where `rule` is not "exact" or there is a problem
    """

    wanted: str
    path: Path | None
    name: str | None
    rule: Rule
    problem: Problem = ""
    detail: str = ""


def resolve(output: Path, wanted: Sequence[str], *, strict: bool = False, cache: Path | None = None) -> list[Resolved]:
    """One `Resolved` for each wanted name, in order; for no names, one for each file of the output in order of name.

    Rules, first that holds: the exact path; the name in a sub-folder; the name but for case, spaces, hyphens and
    underscores; the only file of the extension, if only one is wanted. strict: the exact path alone. Symbolic links
    are never followed, build artefacts and dot files never taken by the other rules, and two candidates are as good
    as none. An output without a file gives one missing entry. cache: as for `documents.read`. Raises UnreadableError
    if a file that was found cannot be read; resolve names one by one to keep the others.
    """
    if not wanted:
        return _whole(output, cache)
    files = list(_files(output))
    results = [_locate(output, files, name, wanted, strict) for name in wanted]
    return [_judged_by_content(result, cache) for result in results]


def content_problem(path: Path, name: str, cache: Path | None = None) -> Problem:
    """ "empty" for a file that shows a reader no word, "placeholder" for a stub or a refusal, else "".

    Raises UnreadableError.
    """
    if path.stat().st_size < 2**16 and not path.read_bytes().strip():
        return "empty"
    extracted = documents.read(path, name=name, cache=cache)
    text = "\n".join(
        "\n".join(block.cells) if block.cells else block.text for block in extracted.visible() if block.kind != "part"
    )
    if not re.search(r"\w", text):
        return "empty"
    plain = text.replace("’", "'")
    stub = len(plain.split()) < _PLACEHOLDER_WORDS and _PLACEHOLDER.search(plain)
    return "placeholder" if stub else ""


def _judged_by_content(result: Resolved, cache: Path | None) -> Resolved:
    if result.path is None or result.name is None:
        return result
    problem = content_problem(result.path, result.name, cache)
    if not problem:
        return result
    what = "shows a reader no text" if problem == "empty" else "is a placeholder or a refusal, not an answer"
    return replace(result, problem=problem, detail=f"{result.name} {what}")


def _whole(output: Path, cache: Path | None) -> list[Resolved]:
    """Every file with content; empty ones, placeholders and pictures count only if there is nothing else."""
    results: list[Resolved] = []
    unsupported: UnreadableError | None = None
    for name in _files(output):
        try:
            results.append(_judged_by_content(Resolved(name, output / name, name, "exact"), cache))
        except UnreadableError as error:
            if PurePosixPath(name).suffix.lower() in documents.SUPPORTED:
                raise
            unsupported = unsupported or error
    if good := [result for result in results if not result.problem]:
        return good
    if unsupported:
        raise unsupported
    return results or [Resolved("", None, None, "missing", "missing", "the output folder holds no file")]


def _locate(output: Path, files: list[str], name: str, wanted: Sequence[str], strict: bool) -> Resolved:
    missing = Resolved(name, None, None, "missing", "missing")
    asked = PurePosixPath(name.replace("\\", "/"))
    if asked.is_absolute() or ".." in asked.parts or not asked.name:
        return replace(missing, detail="is no path inside the output folder")
    linked = _has_link(output, asked)
    exact = output / asked
    if not linked and exact.is_file():
        return Resolved(name, exact, str(asked), "exact")
    refused = f"{asked} is a symbolic link; " if linked else ""
    if strict:
        return replace(missing, detail=f"{refused}no file of exactly this name; the output holds {_listed(files)}")
    suffix = asked.suffix.lower()
    alike = [file for file in files if PurePosixPath(file).suffix.lower() == suffix]
    only_one_wanted = sum(PurePosixPath(other).suffix.lower() == suffix for other in wanted) == 1
    candidates: list[tuple[Rule, list[str]]] = [
        ("nested", [file for file in alike if PurePosixPath(file).name == asked.name]),
        ("case", [file for file in alike if _key(PurePosixPath(file).stem) == _key(asked.stem)]),
    ]
    for rule, found in candidates:
        if len(found) > 1:
            return replace(missing, detail=f"{refused}{len(found)} files answer to this name: {_listed(found)}")
        if found:
            return Resolved(name, output / found[0], found[0], rule, detail=f"{refused}taken: {found[0]}")
    if suffix and only_one_wanted and len(alike) == 1:
        detail = f"{refused}taken: {alike[0]}, the only {suffix} file"
        return Resolved(name, output / alike[0], alike[0], "only-of-extension", detail=detail)
    others = [file for file in files if _key(PurePosixPath(file).stem) == _key(asked.stem)]
    if others:
        return replace(missing, problem="wrong extension", detail=f"{suffix} is wanted; found {_listed(others)}")
    return replace(missing, detail=f"{refused}no such file; the output holds {_listed(files)}")


def _files(output: Path) -> Iterator[str]:
    """Regular files in order of path, without links, build artefacts and dot files."""
    names = []
    for folder, folders, files in os.walk(output, followlinks=False):
        folders[:] = [sub for sub in folders if sub not in _ARTEFACT_FOLDERS and not sub.startswith(".")]
        names += [Path(folder, file).relative_to(output) for file in files]
    for name in sorted(names):
        artefact = name.suffix.lower() in _ARTEFACT_SUFFIXES or name.name in _ARTEFACT_NAMES
        if not artefact and not name.name.startswith((".", "~$")) and _is_regular(output / name):
            yield name.as_posix()


def _is_regular(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()


def _has_link(output: Path, asked: PurePosixPath) -> bool:
    return any((output / part).is_symlink() for part in (asked, *asked.parents) if part.name)


def _key(stem: str) -> str:
    return re.sub(r"[\s_\-]+", "", unicodedata.normalize("NFKC", stem).casefold())


def _listed(names: Sequence[str], limit: int = 5) -> str:
    shown = ", ".join(names[:limit]) or "no file"
    return f"{shown} and {len(names) - limit} more" if len(names) > limit else shown

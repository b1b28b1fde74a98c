"""A bundle on disk: submission.yaml and one run file, read so that every problem is found at once, with its line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from evalsuite.errors import InputError, UsageError, at, shown
from evalsuite.retrieval.corpus import Corpus
from evalsuite.retrieval.submissionkeys import COLLECTION, GROUPS, KEYS, Key, fault

SHEET = "submission.yaml"
SEAL = "seal.json"
SCORED = "scored"
LIVE = "live"
RUN = re.compile(r"run\.(trec|tsv|jsonl)(\.gz)?")
RUN_NAMES = "run.trec, run.tsv or run.jsonl, each also with .gz"
MAX_SHEET_BYTES = 1024 * 1024
MAX_DEPTH = 20
REMOTE = ("hf:", "ir_datasets:")


@dataclass(frozen=True)
class Finding:
    """A problem: the bundle cannot be scored as it stands. A warning: a reader of its numbers must know it."""

    severity: Literal["problem", "warning"]
    rule: str
    where: str
    message: str


def problem(rule: str, where: str | Path, message: str) -> Finding:
    return Finding("problem", rule, str(where), " ".join(message.split()))


def warning(rule: str, where: str | Path, message: str) -> Finding:
    return Finding("warning", rule, str(where), " ".join(message.split()))


@dataclass
class Sheet:
    """submission.yaml: sound values by path of keys, and the line that each key stands on."""

    path: Path
    values: dict[tuple[str, ...], Any] = field(default_factory=dict)
    lines: dict[tuple[str, ...], int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def of_corpus(self, name: str) -> str | None:
        """One of name, version, sha256, view, source of the test collection."""
        value = self.values.get((*COLLECTION, name))
        return None if value is None else str(value)

    @property
    def tag(self) -> str:
        return str(self.values.get(("tag",), ""))

    @property
    def measures(self) -> list[str]:
        return list(self.values.get(("research goal", "evaluation", "reported measures"), []))

    def where(self, path: tuple[str, ...]) -> str:
        """The line of a key, or of the innermost group around it that is there."""
        while path and path not in self.lines:
            path = path[:-1]
        return at(self.path, self.lines.get(path))


def renamed(corpus: Corpus, name: str | None) -> Corpus:
    """The corpus under the name that a bundle has for it: without a card it is called as its folder is, here and there."""
    if name is not None and not corpus.card.get("name"):
        corpus.name = name
    return corpus


def is_bundle(folder: Path) -> bool:
    """Whether a folder is meant as a bundle."""
    return folder.is_dir() and ((folder / SHEET).exists() or (folder / SEAL).exists())


def require_bundle(folder: Path) -> Path:
    """The folder itself. Raises UsageError if there is none."""
    if not folder.is_dir():
        told = "is a file" if folder.exists() else "no such folder"
        raise UsageError(f"{told}; a bundle is a folder with {SHEET} and a run file", where=str(folder))
    return folder


def run_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if RUN.fullmatch(path.name))


def find_run(folder: Path) -> tuple[Path | None, list[Finding]]:
    """The run file of a bundle, and what is wrong with the files beside it."""
    findings = [
        problem("link", path, "is a link; a bundle holds plain files, so that it can be moved")
        for path in sorted(folder.rglob("*"))
        if path.is_symlink()
    ]
    found = run_files(folder)
    if not found:
        others = ", ".join(sorted(path.name for path in folder.iterdir() if path.name != SHEET)) or "nothing"
        told = f"holds no run file; accepted is {RUN_NAMES}; found beside {SHEET}: {others}"
        return None, [*findings, problem("run", folder, told)]
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        return None, [*findings, problem("run", folder, f"holds {len(found)} run files, {names}; keep one")]
    if not found[0].is_file():
        return None, [*findings, problem("run", found[0], "is no plain file")]
    return found[0], findings


def require_near(source: str) -> None:
    """Raise UsageError for a corpus that would have to be fetched: what is fetched must be named by who runs the command."""
    if source.startswith(REMOTE):
        raise UsageError(f"the corpus {source} is not on this machine; to read it: --corpus {source}")


# ---------------------------------------------------------------- submission.yaml


def read_sheet(folder: Path) -> Sheet:
    """submission.yaml of a bundle with all that is wrong with it."""
    sheet = Sheet(folder / SHEET)
    node = _parsed(sheet)
    if node is not None:
        _collect(sheet, node)
        _judge(sheet)
    return sheet


def _parsed(sheet: Sheet) -> yaml.MappingNode | None:
    path = sheet.path
    if not path.is_file():
        told = "is missing" if not path.exists() else "must be a plain file"
        sheet.findings.append(problem("sheet", path, f"{told}; evalsuite submit new FOLDER writes a template"))
        return None
    try:
        if path.stat().st_size > MAX_SHEET_BYTES:
            sheet.findings.append(problem("sheet", path, f"is larger than {MAX_SHEET_BYTES // 2**20} MiB"))
            return None
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        sheet.findings.append(problem("sheet", path, f"cannot be read: {error.strerror}"))
        return None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        sheet.findings.append(problem("sheet", at(path, line), "is not UTF-8; save it as UTF-8"))
        return None
    line, depth = 1, 0
    try:
        for event in yaml.parse(text, yaml.SafeLoader):
            line = event.start_mark.line + 1 if event.start_mark else line
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                sheet.findings.append(problem("sheet", at(path, line), "is nested too deeply to be read"))
                return None
            if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
                sheet.findings.append(
                    problem("sheet", at(path, line), "has an anchor or alias (& or *); write the value out")
                )
                return None
        node = yaml.compose(text, yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        told = getattr(error, "problem", None) or str(error)
        sheet.findings.append(problem("sheet", at(path, mark.line + 1 if mark else None), f"is not YAML: {told}"))
        return None
    except (ValueError, OverflowError) as error:  # \U with a number that is no character
        sheet.findings.append(problem("sheet", at(path, line), f"is not YAML: {error}"))
        return None
    if not isinstance(node, yaml.MappingNode):
        told = "is empty" if node is None else "must hold keys with values"
        sheet.findings.append(problem("sheet", path, f"{told}; evalsuite submit new FOLDER writes a template"))
        return None
    return node


def _collect(sheet: Sheet, node: yaml.MappingNode) -> None:
    """Values and lines of the keys that we know; keys that stand twice, and groups that are none."""
    known = {key.path: key for key in KEYS}
    groups = {key.path[:depth] for key in KEYS for depth in range(1, len(key.path))}
    for path, line, value in _pairs(sheet, node, (), groups):
        if path in groups:
            if isinstance(value, yaml.ScalarNode) and value.tag == "tag:yaml.org,2002:null":
                continue
            held = ", ".join(key.path[len(path)] for key in KEYS if key.path[: len(path)] == path)
            told = f"{' / '.join(path)} must hold keys ({held}); found {shown(_plain(value))}"
            sheet.findings.append(problem("sheet", at(sheet.path, line), told))
        elif len(path) == 1 and path not in known:
            told = (
                f"{path[0]!r} is none of the keys; accepted are {', '.join(GROUPS)}, and keys of your own inside them"
            )
            sheet.findings.append(problem("sheet", at(sheet.path, line), told))
        elif path in known:
            sheet.values[path] = _value(known[path], value)


def _pairs(
    sheet: Sheet, node: yaml.MappingNode, above: tuple[str, ...], groups: set[tuple[str, ...]]
) -> Iterator[tuple[tuple[str, ...], int, yaml.Node]]:
    for key, value in node.value:
        line = key.start_mark.line + 1
        name = key.value if isinstance(key, yaml.ScalarNode) else shown(_plain(key))
        path = (*above, name)
        if path in sheet.lines:
            told = f"{' / '.join(path)} stands twice, first on line {sheet.lines[path]}; keep one"
            sheet.findings.append(problem("sheet", at(sheet.path, line), told))
            continue
        sheet.lines[path] = line
        if path in groups and isinstance(value, yaml.MappingNode):
            yield from _pairs(sheet, value, path, groups)
        else:
            yield path, line, value


def _value(key: Key, node: yaml.Node) -> Any:
    """A value as Python has it; a text stands as it is written, so that version 1.10 stays 1.10."""
    if isinstance(node, yaml.ScalarNode) and node.tag != "tag:yaml.org,2002:null" and key.kind in ("text", "sha256"):
        return node.value
    if isinstance(node, yaml.SequenceNode) and key.kind in ("texts", "measures"):
        return [item.value if isinstance(item, yaml.ScalarNode) else _plain(item) for item in node.value]
    return _plain(node)


@dataclass(frozen=True)
class _Unread:
    """A value that cannot be made: a date that is none, !!bool maybe."""

    told: str

    def __repr__(self) -> str:
        return f"what cannot be read ({self.told})"


def _plain(node: yaml.Node) -> Any:
    loader = yaml.SafeLoader("")
    try:
        value = loader.construct_object(node, deep=True)
        shown(value)  # a number may be too long for it
        return value
    except Exception as error:  # PyYAML lets through whatever its constructors raise
        told = " ".join(str(getattr(error, "problem", None) or error).split())
        foreign = isinstance(node, yaml.ScalarNode) and not node.tag.startswith("tag:yaml.org,2002:")
        return node.value if foreign else _Unread(told)
    finally:
        loader.dispose()


def _judge(sheet: Sheet) -> None:
    """Note every needed key that is missing or empty and every value that is of another kind, and take it out."""
    for key in KEYS:
        value = sheet.values.get(key.path)
        where = sheet.where(key.path)
        if value is None or (value == "" and key.kind == "text"):
            sheet.values.pop(key.path, None)
            if key.needed:
                told = "must be filled in" if key.path in sheet.lines else "is missing"
                sheet.findings.append(problem("needed", where, f"{key.name} {told}: {key.about}"))
        elif isinstance(value, _Unread):
            del sheet.values[key.path]
            sheet.findings.append(problem("value", where, f"{key.name} cannot be read: {value.told}"))
        elif told_fault := fault(key.kind, value):
            del sheet.values[key.path]
            sheet.findings.append(problem("value", where, f"{key.name}: {told_fault}"))
        elif isinstance(value, str):
            sheet.values[key.path] = value.strip()


def of_error(rule: str, error: InputError) -> Finding:
    return problem(rule, error.where, error.message)

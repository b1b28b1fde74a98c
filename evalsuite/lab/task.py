"""Task and Criterion: LAB's task.json as published, with what rubric.yaml and contested.yaml add."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from evalsuite.errors import InputError, shown
from evalsuite.lab.jsonfile import read_object
from evalsuite.lab.rubric import Entry, fail, read_contested, read_rubric
from evalsuite.lab.tasktree import TASK_FILE, choose, find_tasks, tasks_root
from evalsuite.storage import sha256_file, sha256_json

TASK_KEYS = frozenset({"title", "instructions", "criteria", "deliverables", "work_type", "tags"}) | {
    "language",
    "jurisdiction",
    "version",
}
CRITERION_KEYS = frozenset({"id", "title", "match_criteria", "deliverables", "sources"})
UNVERSIONED = "unversioned"
VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+(?:[-+][0-9A-Za-z.+-]+)?")
FILE_NAME = re.compile(r"\S(.*\S)?\.[A-Za-z0-9]{1,8}")


@dataclass(frozen=True)
class Criterion:
    """One line of a rubric. check, critical, quotes and notes come from rubric.yaml, contested from contested.yaml."""

    id: str
    title: str
    match_criteria: str
    deliverables: tuple[str, ...] = ()
    """Names of the deliverables it looks at; empty: the whole output."""
    sources: tuple[str, ...] = ()
    redlines: bool = False
    """LAB's evaluation_options.include_docx_redlines."""
    check: dict[str, Any] | None = None
    critical: bool = False
    quotes: tuple[dict[str, str], ...] = ()
    """[{file, quote}]: what in the documents the criterion rests on."""
    notes: str = ""
    contested: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    """Keys of task.json that are not named above."""

    @property
    def sha256(self) -> str:
        """Hash over everything that matters for grading it."""
        parts = [self.id, self.title, self.match_criteria, list(self.deliverables), self.redlines, self.check]
        return sha256_json(parts)


class DocumentFolder:
    """The files below a folder of documents, listed and hashed once; tasks over one shared folder share it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def entries(self) -> tuple[list[Path], list[Path]]:
        """(files, links that leave the folder), both sorted by relative name. The latter are nobody's documents."""
        files, stray = [], []
        inside = self.folder.resolve()
        for place, folders, names in os.walk(self.folder):
            here = Path(place)
            stray += [here / name for name in folders if (here / name).is_symlink()]
            for path in map(here.joinpath, names):
                leaves = path.is_symlink() and not path.resolve().is_relative_to(inside)
                if leaves or not path.is_file():
                    stray.append(path)
                else:
                    files.append(path)
        return sorted(files, key=self.name), sorted(stray, key=self.name)

    def name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()

    @cached_property
    def hashes(self) -> dict[str, str]:
        """{relative name: sha256}"""
        return {self.name(path): sha256_file(path) for path in self.entries[0]}

    @cached_property
    def sha256(self) -> str:
        """Hash over every file's relative name and bytes."""
        return sha256_json(self.hashes)


@dataclass(frozen=True)
class Task:
    """A matter with its rubric. Documents are neither opened nor hashed before they are asked for."""

    id: str
    """Slash path under the tasks root, e.g. "corporate-ma/change-of-control-review"."""
    folder: Path
    documents: Path
    """documents/ or docs_dir, resolved; it may not exist."""
    title: str
    instructions: str
    criteria: tuple[Criterion, ...]
    deliverables: tuple[str, ...] = ()
    work_type: str | None = None
    tags: tuple[str, ...] = ()
    language: str | None = None
    jurisdiction: str | None = None
    version: str = UNVERSIONED
    """As its author counts, e.g. "1.2.0"; LAB's tasks have none."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Keys of task.json that are not fields here (`id`, `docs_dir`, `metadata` ...)."""
    files: dict[str, str] = field(default_factory=dict)
    """Name -> sha256 of task.json and of instructions.md, rubric.yaml, contested.yaml where they exist."""
    notes: tuple[str, ...] = ()
    """What a user should know and no error: a missing documents folder, a weight that is ignored."""
    pool: dict[Path, DocumentFolder] = field(default_factory=dict, repr=False, compare=False)

    @property
    def document_folder(self) -> DocumentFolder:
        return self.pool.setdefault(self.documents, DocumentFolder(self.documents))

    def document_files(self) -> list[Path]:
        """All documents, recursive, sorted by relative name; links that leave the folder are left out."""
        return list(self.document_folder.entries[0])

    @cached_property
    def sha256(self) -> str:
        """Hash over `files` and every document's name and bytes."""
        return sha256_json({"files": self.files, "documents": self.document_folder.sha256})

    @property
    def reference(self) -> Path:
        return self.folder / "reference"

    @property
    def corrupted(self) -> Path:
        return self.folder / "corrupted"

    @property
    def twins(self) -> dict[str, Path]:
        """Name -> folder, sorted, of each corrupted twin."""
        return {path.name: path for path in sorted(self.corrupted.glob("*")) if path.is_dir()}


def load_tasks(paths: Sequence[str | Path], select: str | None = None) -> list[Task]:
    """Tasks below the paths (task folders, areas, task roots, LAB checkouts), sorted by id.

    `select`: "all", an area, a workflow, an exact id, or several with commas between. Only what is selected is read.
    Raises InputError for a task that cannot be taken as it stands, UsageError for a selection that names nothing.
    """
    found = find_tasks(paths)
    pool: dict[Path, DocumentFolder] = {}
    tasks, errors = [], list[tuple[str, InputError]]()
    for name in choose(found, select):
        folder, root = found[name]
        try:
            tasks.append(_load(folder, root, pool))
        except InputError as error:
            errors.append((name, error))
    if errors:
        _, first = errors[0]
        others = ", ".join(name for name, _ in errors[1:6]) + (", ..." if len(errors) > 6 else "")
        more = f" (and {len(errors) - 1} more tasks cannot be read: {others})" if others else ""
        raise InputError(first.message + more, where=first.where) from first
    return tasks


def load_task(folder: Path, root: Path | None = None) -> Task:
    """One task. `root` is what its id is relative to; by default it is looked for as `tasktree.tasks_root` says."""
    return _load(Path(folder), root or tasks_root(Path(folder)), {})


def _load(folder: Path, root: Path, pool: dict[Path, DocumentFolder]) -> Task:
    folder, root = Path(os.path.abspath(folder)), Path(os.path.abspath(root))  # noqa: PTH100 - links are kept
    source = folder / TASK_FILE
    data, digest = read_object(source)
    files = {TASK_FILE: digest}
    problems: list[str] = []
    notes: list[str] = []
    title = _text(data, "title", "", problems)
    instructions = _instructions(data, folder, files, problems)
    deliverables, renamed = _deliverables(data.get("deliverables"), "deliverables", problems)
    criteria = _criteria(data.get("criteria"), renamed, problems, notes)
    documents = _documents(data.get("docs_dir"), folder, root, problems)
    labels = {key: _optional(data, key, problems) for key in ("work_type", "language", "jurisdiction")}
    tags = _strings(data.get("tags"), "tags", problems)
    version = _version(data.get("version"), problems)
    fail(problems, source)
    if not documents.is_dir():
        notes.append(f"the documents folder {os.path.relpath(documents, folder)} does not exist")
    return Task(
        id=folder.relative_to(root).as_posix() if folder != root else folder.name,
        folder=folder,
        documents=documents,
        title=title,
        instructions=instructions,
        criteria=_with_rubric(criteria, folder, files),
        deliverables=deliverables,
        tags=tags,
        **labels,
        version=version,
        extra={key: value for key, value in data.items() if key not in TASK_KEYS},
        files=files,
        notes=tuple(notes),
        pool=pool,
    )


def _text(record: dict[str, Any], key: str, prefix: str, problems: list[str]) -> str:
    value = record.get(key)
    if isinstance(value, str) and value.strip():
        return value
    found = "it is missing" if key not in record else f"found {shown(value)}"
    problems.append(f"{prefix}{key} must be a non-empty string; {found}")
    return ""


def _optional(record: dict[str, Any], key: str, problems: list[str]) -> str | None:
    value = record.get(key)
    if value is not None and not isinstance(value, str):
        problems.append(f"{key} must be a string or absent; found {shown(value)}")
        return None
    return value or None


def _version(value: Any, problems: list[str]) -> str:
    if isinstance(value, str) and VERSION.fullmatch(value):
        return value
    if value is not None:
        problems.append(f'version must be a semantic version such as "1.2.0", or absent; found {shown(value)}')
    return UNVERSIONED


def _strings(value: Any, key: str, problems: list[str]) -> tuple[str, ...]:
    """A string or a list of strings; absent is ()."""
    if value is None or value == "":
        return ()
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list) or not all(isinstance(item, str) and item.strip() for item in items):
        problems.append(f"{key} must be a list of non-empty strings; found {shown(value)}")
        return ()
    return tuple(dict.fromkeys(items))


def _instructions(data: dict[str, Any], folder: Path, files: dict[str, str], problems: list[str]) -> str:
    """The key, or where it is missing or blank the neighbour instructions.md of LAB's oldest tasks."""
    neighbour = folder / "instructions.md"
    if data.get("instructions") not in (None, "") or not neighbour.is_file():
        return _text(data, "instructions", "", problems)
    try:
        text = neighbour.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        problems.append(f"instructions.md is not UTF-8 at byte {error.start + 1}")
        return ""
    files[neighbour.name] = sha256_file(neighbour)
    if not text.strip():
        problems.append("instructions is missing and instructions.md is empty")
    return text


def _deliverables(value: Any, key: str, problems: list[str]) -> tuple[tuple[str, ...], dict[str, str]]:
    """(file names, {name in the object: file name}) of a list, an object name -> file name, or nothing."""
    renamed: dict[str, str] = {}
    if isinstance(value, dict):
        for name, file in value.items():
            renamed[name] = file if isinstance(file, str) and FILE_NAME.fullmatch(file) else name
        value = list(renamed.values())
    names = _strings(value, key, problems)
    for name in names:
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            problems.append(f"{key}: {shown(name)} leaves the output folder")
    return names, renamed


def _documents(value: Any, folder: Path, root: Path, problems: list[str]) -> Path:
    """documents/, or docs_dir: relative to the task, within the folder that holds the tasks root, not around it."""
    value = "documents" if value is None else value
    if not isinstance(value, str) or not value.strip() or PurePosixPath(value).is_absolute():
        problems.append(f"docs_dir must be a relative path; found {shown(value)}")
        return folder / "documents"
    places = [(folder, root)]
    if folder.is_symlink():
        places.append((folder.resolve(), tasks_root(folder.resolve())))
    paths = [(Path(os.path.normpath(here / value)), here, top) for here, top in places]
    path, here, top = next((place for place in paths if place[0].is_dir()), paths[0])
    if not path.is_relative_to(top.parent):
        problems.append(f"docs_dir {value!r} leaves {top.parent}, the folder that holds the tasks")
    elif here.resolve().is_relative_to(path.resolve()):
        problems.append(
            f"docs_dir {value!r} holds the task itself, rubric and all; documents need a folder of their own"
        )
    return path


def _criteria(value: Any, renamed: dict[str, str], problems: list[str], notes: list[str]) -> list[Criterion]:
    if not isinstance(value, list) or not value:
        problems.append(f"criteria must be a non-empty list; found {shown(value)}")
        return []
    criteria: list[Criterion] = []
    places: dict[str, int] = {}
    weighted = 0
    for number, record in enumerate(value):
        prefix = f"criteria[{number}]"
        if not isinstance(record, dict):
            problems.append(f"{prefix} must be an object with id, title, match_criteria; found {shown(record)}")
            continue
        criterion = _criterion(record, prefix, renamed, problems)
        if criterion.id in places:
            problems.append(f"{prefix}.id {criterion.id!r} is already the id of criteria[{places[criterion.id]}]")
        elif criterion.id:
            places[criterion.id] = number
        weighted += "weight" in record
        criteria.append(criterion)
    if weighted:
        notes.append(f"{weighted} criteria have a weight, which is ignored: all criteria count the same")
    return criteria


def _criterion(record: dict[str, Any], prefix: str, renamed: dict[str, str], problems: list[str]) -> Criterion:
    name = record.get("id")
    if isinstance(name, int) and not isinstance(name, bool):
        record = record | {"id": str(name)}
    extra = {key: item for key, item in record.items() if key not in CRITERION_KEYS}
    options = record.get("evaluation_options") or {}
    redlines = options.get("include_docx_redlines") if isinstance(options, dict) else options
    if redlines is not None and not isinstance(redlines, bool):
        problems.append(f"{prefix}.evaluation_options.include_docx_redlines must be true or false")
    names, _ = _deliverables(record.get("deliverables"), f"{prefix}.deliverables", problems)
    return Criterion(
        id=_text(record, "id", prefix + ".", problems),
        title=_text(record, "title", prefix + ".", problems),
        match_criteria=_text(record, "match_criteria", prefix + ".", problems),
        deliverables=tuple(renamed.get(name, name) for name in names),
        sources=_strings(record.get("sources"), f"{prefix}.sources", problems),
        redlines=redlines is True,
        extra=extra,
    )


def _with_rubric(criteria: list[Criterion], folder: Path, files: dict[str, str]) -> tuple[Criterion, ...]:
    ids = {criterion.id for criterion in criteria}
    entries: dict[str, Entry] = {}
    contested: dict[str, str] = {}
    if (path := folder / "rubric.yaml").is_file():
        files[path.name] = sha256_file(path)
        entries = read_rubric(path, ids)
    if (path := folder / "contested.yaml").is_file():
        files[path.name] = sha256_file(path)
        contested = read_contested(path, ids)
    if not entries and not contested:
        return tuple(criteria)
    return tuple(_merged(c, entries.get(c.id, Entry()), contested.get(c.id)) for c in criteria)


def _merged(criterion: Criterion, entry: Entry, contested: str | None) -> Criterion:
    return Criterion(**(vars(criterion) | vars(entry) | {"contested": contested}))

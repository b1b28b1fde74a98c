"""What a revision changes in tasks, and which stored results outlive it: task by task, criterion by criterion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from evalsuite.lab.grading.judging import JUDGINGS, Judging
from evalsuite.lab.task import UNVERSIONED, Criterion, DocumentFolder, Task, load_tasks

Status = Literal["same", "changed", "added", "removed"]
GIVEN = ("instructions", "documents", "deliverables", "language", "jurisdiction")
"""What makes another matter of a task: outputs made before it are no answers to the one after it."""
SETTLES = ("reworded", "check", "scope")
"""What makes another question of a criterion, whoever decides it."""
HEX = 12


@dataclass(frozen=True)
class Side:
    """A task in one of the two versions."""

    id: str
    version: str
    sha256: str
    folder: str


@dataclass(frozen=True)
class CriterionChange:
    """A criterion that is not the same in both. `id` is B's, or A's where B has it no more."""

    id: str
    title: str
    what: tuple[str, ...]
    """added, removed; renamed, reworded, check, scope, grounds, critical, contested, notes, keys."""
    was: str | None = None
    """The id in A, where that is another."""


@dataclass(frozen=True)
class FileChanges:
    """Names of files, relative to their folder."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


@dataclass(frozen=True)
class TaskChange:
    """One task in A and B. `what` names the parts that differ."""

    id: str
    status: Status
    a: Side | None
    b: Side | None
    what: tuple[str, ...] = ()
    documents: FileChanges = FileChanges()
    reference: FileChanges = FileChanges()
    corrupted: FileChanges = FileChanges()
    criteria: tuple[CriterionChange, ...] = ()
    n_criteria: int = 0
    """In B, or in A where B has the task no more."""
    rerun: tuple[str, ...] = ()
    """The parts for whose sake trials must be run again."""
    again: tuple[str, ...] = ()
    """Where no trial need be run again: ids of B's criteria that stored verdicts do not answer (profile `full`)."""
    faults: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pair:
    """A task in A and in B, loaded, with the change between them."""

    a: Task | None
    b: Task | None
    change: TaskChange
    was: dict[str, str] = field(default_factory=dict)
    """B's criterion id -> A's, for those that both have."""


def compare(a: str | Path, b: str | Path, select: str | None = None) -> list[Pair]:
    """Tasks of two folders, roots or checkouts, matched by id; two lone tasks are matched whatever their ids."""
    old = {task.id: task for task in load_tasks([a], select)}
    new = {task.id: task for task in load_tasks([b], select)}
    if len(old) == len(new) == 1:
        old = dict(zip(new, old.values(), strict=True))
    return [pair(old.get(name), new.get(name)) for name in sorted({*old, *new})]


def pair(a: Task | None, b: Task | None) -> Pair:
    """What changes from task A to task B; one of them may be missing, not both."""
    if b is None:
        assert a is not None
        return Pair(a, b, TaskChange(a.id, "removed", _side(a), None, n_criteria=len(a.criteria)))
    if a is None:
        return Pair(a, b, TaskChange(b.id, "added", None, _side(b), n_criteria=len(b.criteria)))
    matched = _matched(a.criteria, b.criteria)
    criteria = _criteria(a.criteria, b.criteria, matched)
    documents = FileChanges()
    if a.document_folder.sha256 != b.document_folder.sha256:
        documents = _files(a.documents, b.documents)
    reference, corrupted = _files(a.reference, b.reference), _files(a.corrupted, b.corrupted)
    parts = {
        "version": a.version != b.version,
        "title": a.title != b.title,
        "instructions": a.instructions != b.instructions,
        "documents": bool(documents),
        "deliverables": a.deliverables != b.deliverables,
        "language": a.language != b.language,
        "jurisdiction": a.jurisdiction != b.jurisdiction,
        "keys": (a.work_type, a.tags, a.extra) != (b.work_type, b.tags, b.extra),
        "criteria": bool(criteria),
        "reference": bool(reference),
        "corrupted": bool(corrupted),
    }
    what = tuple(name for name, differs in parts.items() if differs)
    if not what and a.sha256 != b.sha256:
        what = ("form of the files",)
    rerun = tuple(name for name in what if name in GIVEN)
    open_ = [new.id for new in b.criteria if not _answered(a, matched.get(new.id), b, new)]
    change = TaskChange(
        id=b.id,
        status="changed" if what else "same",
        a=_side(a),
        b=_side(b),
        what=what,
        documents=documents,
        reference=reference,
        corrupted=corrupted,
        criteria=criteria,
        n_criteria=len(b.criteria),
        rerun=rerun,
        again=() if rerun else tuple(open_),
        faults=tuple(_faults(a, b)),
    )
    return Pair(a, b, change, {name: old.id for name, old in matched.items()})


def stays(a: Task, old: Criterion, b: Task, new: Criterion, judging: Judging, *, judged: bool) -> bool:
    """Whether a verdict on `old` is one on `new`: the same check, or the same question put to a judge about the same files."""
    if not judged:
        return not set(_differences(old, new)) & set(SETTLES)
    asked = [
        (judging.prompt_prefix(task, ()), judging.prompt_criterion(one), one.deliverables, one.redlines, one.check)
        for task, one in ((a, old), (b, new))
    ]
    return asked[0] == asked[1]


def _answered(a: Task, old: Criterion | None, b: Task, new: Criterion) -> bool:
    return old is not None and stays(a, old, b, new, JUDGINGS["full"], judged=new.check is None)


def _side(task: Task) -> Side:
    return Side(task.id, task.version, task.sha256, str(task.folder))


def _faults(a: Task, b: Task) -> list[str]:
    if a.sha256 == b.sha256 or a.version == UNVERSIONED:
        return []
    if b.version == UNVERSIONED:
        return [f"version {a.version} became {UNVERSIONED}"]
    if a.version == b.version:
        return [f"version {a.version} has two contents: {a.sha256[:HEX]} and {b.sha256[:HEX]}"]
    went_down = _precedence(b.version) < _precedence(a.version)
    return [f"the version went down, from {a.version} to {b.version}"] if went_down else []


def _precedence(version: str) -> tuple[Any, ...]:
    """Order of semantic versions (semver.org, 11): a pre-release comes before its release, build data does not count."""
    core, _, early = version.partition("+")[0].partition("-")
    marks = [(not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in early.split(".")]
    return [int(number) for number in core.split(".")], not early, marks


def _files(a: Path, b: Path) -> FileChanges:
    old, new = (DocumentFolder(folder).hashes for folder in (a, b))
    return FileChanges(
        added=tuple(name for name in new if name not in old),
        removed=tuple(name for name in old if name not in new),
        changed=tuple(name for name in new if name in old and new[name] != old[name]),
    )


def _matched(old: Sequence[Criterion], new: Sequence[Criterion]) -> dict[str, Criterion]:
    """{B's id: A's criterion}: same id and text; then same text, for ids are dealt anew; then same id, for texts are reworded."""
    left = list(old)
    matched: dict[str, Criterion] = {}
    rules: tuple[Callable[[Criterion, Criterion], bool], ...] = (
        lambda one, other: one.id == other.id and _text(one) == _text(other),
        lambda one, other: _text(one) == _text(other),
        lambda one, other: one.id == other.id,
    )
    for same in rules:
        for criterion in new:
            found = next((one for one in left if criterion.id not in matched and same(one, criterion)), None)
            if found:
                matched[criterion.id] = found
                left.remove(found)
    return matched


def _text(criterion: Criterion) -> tuple[str, str]:
    return criterion.title, criterion.match_criteria


def _criteria(
    a: Sequence[Criterion], b: Sequence[Criterion], matched: dict[str, Criterion]
) -> tuple[CriterionChange, ...]:
    """The criteria that are not the same, B's in its order and then those that are gone."""
    changes = []
    for new in b:
        old = matched.get(new.id)
        what = _differences(old, new) if old else ("added",)
        if what:
            changes.append(CriterionChange(new.id, new.title, what, old.id if old and old.id != new.id else None))
    kept = {old.id for old in matched.values()}
    gone = [CriterionChange(old.id, old.title, ("removed",)) for old in a if old.id not in kept]
    return (*changes, *gone)


def _differences(old: Criterion, new: Criterion) -> tuple[str, ...]:
    parts = {
        "renamed": old.id != new.id,
        "reworded": _text(old) != _text(new),
        "check": old.check != new.check,
        "scope": (old.deliverables, old.redlines) != (new.deliverables, new.redlines),
        "grounds": old.quotes != new.quotes,
        "critical": old.critical != new.critical,
        "contested": old.contested != new.contested,
        "notes": old.notes != new.notes,
        "keys": (old.sources, old.extra) != (new.sources, new.extra),
    }
    return tuple(name for name, differs in parts.items() if differs)

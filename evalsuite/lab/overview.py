"""Tasks as JSON: one in full for `lab show`, many in a line each for `lab list`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evalsuite.lab.task import Criterion, Task


def overview(tasks: Sequence[Task], *, hashed: bool = False) -> list[dict[str, Any]]:
    """One object per task; documents are counted, and read only if the hash over each task is asked for."""
    return [
        {
            "id": task.id,
            "title": task.title,
            "version": task.version,
            "area": task.id.split("/")[0],
            "work_type": task.work_type,
            "n_criteria": len(task.criteria),
            "n_checks": sum(criterion.check is not None for criterion in task.criteria),
            "n_documents": len(task.document_files()),
            "deliverables": list(task.deliverables),
            "tags": list(task.tags),
            "language": task.language,
            **({"sha256": task.sha256} if hashed else {}),
        }
        for task in tasks
    ]


def describe(task: Task) -> dict[str, Any]:
    """Everything about a task, rubric included: never for an agent's eyes."""
    return {
        **overview([task], hashed=True)[0],
        "jurisdiction": task.jurisdiction,
        "instructions": task.instructions,
        "folder": str(task.folder),
        "documents_folder": str(task.documents),
        "documents": [task.document_folder.name(path) for path in task.document_files()],
        "criteria": [_criterion(criterion) for criterion in task.criteria],
        "extra": task.extra,
        "notes": list(task.notes),
        "files": task.files,
        "has_reference": task.reference.is_dir(),
        "corrupted": list(task.twins),
    }


def _criterion(criterion: Criterion) -> dict[str, Any]:
    return {
        "id": criterion.id,
        "title": criterion.title,
        "match_criteria": criterion.match_criteria,
        "deliverables": list(criterion.deliverables),
        "sources": list(criterion.sources),
        "redlines": criterion.redlines,
        "check": criterion.check,
        "critical": criterion.critical,
        "quotes": list(criterion.quotes),
        "notes": criterion.notes,
        "contested": criterion.contested,
        "extra": criterion.extra,
        "sha256": criterion.sha256,
    }

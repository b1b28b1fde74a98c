"""The proof of a deterministic check: the reference passes every check, a corrupted twin fails exactly its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from evalsuite.errors import InputError
from evalsuite.lab.documents import Extracted, UnreadableError, read
from evalsuite.lab.findings import Finding, listed
from evalsuite.lab.grading.checks import Check, compile_check
from evalsuite.lab.grading.deliverables import resolve
from evalsuite.lab.task import Task


def check_twins(task: Task) -> Iterator[Finding]:
    """Findings about reference/ and corrupted/. A twin holds what it alters; the rest is the reference's."""
    checked = {criterion.id: criterion for criterion in task.criteria if criterion.check is not None}
    if not checked:
        return
    if not task.reference.is_dir():
        yield Finding(
            "no-reference", "warning", task.id, f"{len(checked)} checks are not proven: there is no reference/"
        )
        return
    checks = {name: compile_check(criterion.check, name) for name, criterion in checked.items()}
    for name, why in failing(task, checks, [task.reference]).items():
        yield Finding("reference-fails", "error", f"{task.id} {name}", f"the reference does not pass the check: {why}")
    twins = task.twins
    for name, twin in twins.items():
        where = f"{task.id} corrupted/{name}"
        if name not in checked:
            yield Finding("corrupted-unknown", "error", where, "no criterion of this id has a check")
            continue
        failed = failing(task, checks, [twin, task.reference])
        if name not in failed:
            yield Finding("corrupted-passes", "error", where, "the corrupted deliverable passes the check")
        if others := [other for other in failed if other != name]:
            yield Finding("corrupted-fails-others", "error", where, f"it fails {listed(others)} as well")
    if lacking := [name for name in checked if name not in twins]:
        yield Finding(
            "no-corrupted-twin", "warning", task.id, f"no corrupted/ twin proves the checks of {listed(lacking)}"
        )


def failing(task: Task, checks: Mapping[str, Check], folders: Sequence[Path]) -> dict[str, str]:
    """{criterion id: why} of the checks (by criterion id) that fail on what is in `folders`; an earlier folder hides a later one."""
    failed = {}
    seen: dict[tuple[str, ...], list[Extracted]] = {}
    for criterion in task.criteria:
        if criterion.id not in checks:
            continue
        names = criterion.deliverables
        try:
            if names not in seen:
                seen[names] = _deliverables(names, folders)
            found = checks[criterion.id](seen[names])
        except (InputError, UnreadableError) as error:
            failed[criterion.id] = error.message
            continue
        if not found.ok:
            failed[criterion.id] = found.why
    return failed


def _deliverables(names: Sequence[str], folders: Sequence[Path]) -> list[Extracted]:
    """What a criterion that names these looks at. Raises InputError where a deliverable is missing, empty or a placeholder."""
    documents: dict[str, Extracted] = {}
    for wanted in names or _names(folders):
        results = [result for folder in folders for result in resolve(folder, [wanted]) if result.path]
        if not results:
            raise InputError(f"{wanted} is missing")
        first = results[0]
        if first.problem or first.path is None or first.name is None:
            raise InputError(f"{wanted} is {first.problem}")
        documents[first.name] = read(first.path, name=first.name)
    return list(documents.values())


def _names(folders: Sequence[Path]) -> list[str]:
    found = {path.relative_to(folder).as_posix() for folder in folders for path in folder.rglob("*") if path.is_file()}
    return sorted(found)

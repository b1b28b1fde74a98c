"""Where tasks lie: folders with a task.json below the given paths, the ids they have there, and selections of ids."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path

from evalsuite.errors import InputError, UsageError

TASK_FILE = "task.json"
NOT_TASKS = frozenset({"documents", "dms", "reference", "corrupted", "output", "node_modules"})


def tasks_root(path: Path) -> Path:
    """The folder that task ids below `path` are relative to.

    The nearest folder named `tasks` at or above `path`; from LAB's `tasks/<area>/tasks` the outer one, unless the area
    is a checkout of its own (it holds .git or pyproject.toml). Outside any `tasks`: a lone task's parent, else `path`.
    """
    path = _plain(path)
    for folder in (path, *path.parents):
        if folder.name == "tasks":
            while folder.parent.parent.name == "tasks" and not _is_checkout(folder.parent):
                folder = folder.parent.parent
            return folder
    return path.parent if (path / TASK_FILE).is_file() else path


def find_tasks(paths: Sequence[str | Path]) -> dict[str, tuple[Path, Path]]:
    """{task id: (folder, root)} of every task below the paths, sorted by id.

    A path is a task folder, an area, a task root, or a checkout with a `tasks/` folder, of which only that is read.
    Links to folders are followed, each target once. Raises InputError where there is no task, or two have the same id.
    """
    found: dict[str, tuple[Path, Path]] = {}
    seen: set[str] = set()
    for given in paths:
        top = _top(Path(given))
        root = tasks_root(top)
        known = os.path.realpath(top) in seen
        folders = _task_folders(top, seen)
        if not folders and not known:
            raise InputError(f"holds no task: no {TASK_FILE} in it or below it", where=str(given))
        for folder in folders:
            name = folder.relative_to(root).as_posix()
            if name in found:
                raise InputError(
                    f"two tasks have the id {name!r}: {found[name][0]} and {folder}; give one of them", where=str(given)
                )
            found[name] = folder, root
    return dict(sorted(found.items()))


def choose(ids: Iterable[str], select: str | None) -> list[str]:
    """The ids that a selection names: "all", an area or another leading part of the path, an exact id, a comma list.

    Raises UsageError with near names for a part that names nothing.
    """
    ids = list(ids)
    wanted = [part.strip().strip("/") for part in ("all" if select is None else select).split(",")]
    chosen: set[str] = set()
    for part in filter(None, wanted):
        hits = ids if part == "all" else [name for name in ids if name == part or name.startswith(part + "/")]
        if not hits:
            raise UsageError(_unknown(part, ids), where="--select")
        chosen.update(hits)
    if not chosen:
        raise UsageError("the selection is empty; give all, an area, a workflow or a task id", where="--select")
    return [name for name in ids if name in chosen]


def _unknown(part: str, ids: list[str]) -> str:
    known = {"/".join(name.split("/")[:depth]) for name in ids for depth in range(1, name.count("/") + 2)}
    ends = [name for name in sorted(known) if name.endswith("/" + part)]
    near = ends[:5] or get_close_matches(part, sorted(known), n=5, cutoff=0.5)
    areas = sorted({name.split("/")[0] for name in ids})
    hint = f"near it: {', '.join(near)}" if near else f"there is: {', '.join(areas[:12])}"
    return f"no task, workflow or area is called {part!r}; {hint}"


def _plain(path: Path) -> Path:
    """Absolute, without `.` and `..`, links kept."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - Path.absolute keeps `..`


def _is_checkout(folder: Path) -> bool:
    return (folder / ".git").exists() or (folder / "pyproject.toml").exists()


def _top(path: Path) -> Path:
    if not path.exists():
        raise InputError("no such task folder", where=str(path))
    path = _plain(path)
    if path.is_file():
        if path.name != TASK_FILE:
            raise InputError(f"is a file; a task is a folder with a {TASK_FILE}", where=str(path))
        path = path.parent
    inside = path / "tasks"
    if inside.is_dir() and not (path / TASK_FILE).exists() and ("tasks" not in path.parts or _is_checkout(path)):
        return inside
    return path


def _task_folders(top: Path, seen: set[str]) -> list[Path]:
    """Folders with a task.json at or below `top`, real ones before links; `seen` holds the real paths walked so far."""
    found: list[Path] = []
    real, links = [top], list[Path]()
    while real or links:
        folder = real.pop() if real else links.pop()
        target = os.path.realpath(folder)
        if target in seen:
            continue
        seen.add(target)
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name, reverse=True)
        except OSError as error:
            raise InputError(f"cannot be listed: {error.strerror}", where=str(folder)) from error
        for entry in entries:
            if entry.name == TASK_FILE:
                found.append(folder)
            elif entry.name not in NOT_TASKS and not entry.name.startswith(".") and entry.is_dir():
                (links if entry.is_symlink() else real).append(Path(entry.path))
    return found

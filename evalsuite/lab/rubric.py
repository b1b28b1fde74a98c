"""rubric.yaml and contested.yaml: what we keep beside a LAB task, by criterion id."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import yaml

from evalsuite.errors import InputError, at, shown
from evalsuite.yamlfiles import load_yaml

RUBRIC_KEYS = ("check", "critical", "sources", "notes")


@dataclass(frozen=True)
class Entry:
    """What rubric.yaml says about one criterion."""

    check: dict[str, Any] | None = None
    critical: bool = False
    quotes: tuple[dict[str, str], ...] = ()
    notes: str = ""


def read_rubric(path: Path, ids: Collection[str]) -> dict[str, Entry]:
    """{criterion id: entry}. Raises InputError listing every problem: unknown ids, keys, types, invalid checks."""
    top = _mapping(path)
    problems = [f"key {key!r} is not known (known: criteria)" for key in top if key != "criteria"]
    criteria = top.get("criteria")
    if not isinstance(criteria, dict):
        problems.append(f"criteria must map criterion ids to entries; found {shown(criteria)}")
        criteria = {}
    entries = {}
    for key, value in criteria.items():
        name = str(key)
        if name not in ids:
            problems.append(f"criteria.{name}: task.json has no criterion with this id")
        elif not isinstance(value, dict):
            problems.append(f"criteria.{name} must be a mapping with {', '.join(RUBRIC_KEYS)}; found {shown(value)}")
        else:
            entries[name] = _entry(value, f"criteria.{name}", f"{path}: criteria.{name}.check", problems)
    fail(problems, path)
    return entries


def read_contested(path: Path, ids: Collection[str]) -> dict[str, str]:
    """{criterion id: why it is arguable}, from a mapping at the top or under `criteria`. Raises InputError."""
    top = _mapping(path)
    inner = top.get("criteria", top) if len(top) == 1 else top
    if not isinstance(inner, dict):
        raise InputError(f"criteria must map criterion ids to reasons; found {shown(inner)}", where=str(path))
    problems = []
    for name, reason in inner.items():
        if str(name) not in ids:
            problems.append(f"{name}: task.json has no criterion with this id")
        elif not isinstance(reason, str) or not reason.strip():
            problems.append(f"{name}: the reason must be a non-empty string; found {shown(reason)}")
    fail(problems, path)
    return {str(name): reason.strip() for name, reason in inner.items()}


def fail(problems: list[str], path: Path) -> None:
    """Raise one InputError that lists all problems of a file, if there are any."""
    if problems:
        count = f"{len(problems)} problems: " if len(problems) > 1 else ""
        raise InputError(count + "; ".join(problems), where=str(path))


def _entry(value: dict[Any, Any], key: str, where: str, problems: list[str]) -> Entry:
    from evalsuite.lab.grading.checks import compile_check

    for name in value:
        if name not in RUBRIC_KEYS:
            problems.append(f"{key}.{name} is not known (known: {', '.join(RUBRIC_KEYS)})")
    check, critical, notes = _json(value.get("check")), value.get("critical", False), value.get("notes") or ""
    if check is not None:
        try:
            compile_check(check, where)
        except InputError as error:
            problems.append(f"{error.where.removeprefix(where.split(': ')[0] + ': ')}: {error.message}")
    if isinstance(check, str):
        check = {"quote": check}
    if not isinstance(critical, bool):
        problems.append(f"{key}.critical must be true or false; found {shown(critical)}")
    if not isinstance(notes, str):
        problems.append(f"{key}.notes must be a string; found {shown(notes)}")
    sources = value.get("sources") or []
    if not isinstance(sources, list) or not all(_is_source(source) for source in sources):
        problems.append(f"{key}.sources must be a list of {{file, quote}}; found {shown(sources)}")
        sources = []
    return Entry(check, critical is True, tuple(dict(source) for source in sources), str(notes))


def _is_source(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == {"file", "quote"}
        and all(isinstance(text, str) and text.strip() for text in value.values())
    )


def _json(value: Any) -> Any:
    """A YAML value as JSON has it: dates become ISO strings, keys strings."""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, dict):
        return {str(key): _json(item) for key, item in value.items()}
    return [_json(item) for item in value] if isinstance(value, list) else value


def _mapping(path: Path) -> dict[Any, Any]:
    try:
        content = load_yaml(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InputError(f"is not UTF-8 at byte {error.start + 1}", where=str(path)) from error
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise InputError(f"is not valid YAML: {error.problem}", where=at(path, line)) from error
    except yaml.YAMLError as error:
        raise InputError(f"is not valid YAML: {error}", where=str(path)) from error
    if not isinstance(content, dict):
        raise InputError(f"must be a mapping; found {shown(content)}", where=str(path))
    return content

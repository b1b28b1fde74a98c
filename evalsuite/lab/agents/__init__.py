"""Built-in agents by name, other people's by entry point, module:callable or command line."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from evalsuite.errors import EvalsuiteError, UsageError, shown
from evalsuite.lab.agents.base import (
    Agent,
    Assignment,
    Ending,
    Limits,
    Matter,
    Transcript,
    deliverable_names,
    read_transcript,
)

ENTRY_POINTS = "evalsuite.agents"

# name -> (module, class); imported when first used, so that nothing heavy loads for a name.
AGENTS: dict[str, tuple[str, str]] = {
    "react": ("react", "ReactAgent"),
    "extractive": ("extractive", "Extractive"),
    "reference": ("audit", "Reference"),
    "empty": ("audit", "Empty"),
    "parrot": ("audit", "Parrot"),
    "title-echo": ("audit", "TitleEcho"),
    "injector": ("audit", "Injector"),
    "stuffing": ("audit", "Stuffing"),
    "replay": ("replay", "Replay"),
    "command": ("command", "Command"),
}
WITH_ARGUMENT = {"replay": "PATH", "command": "CMD"}


def accepted(written: str = "") -> str:
    """How an agent may be named, plug-ins included; names like the one written come first."""
    names = [*AGENTS, *plugins()]
    near = difflib.get_close_matches(written, names, n=3, cutoff=0.6)
    forms = [f"{name}:{WITH_ARGUMENT[name]}" if name in WITH_ARGUMENT else name for name in dict.fromkeys(near + names)]
    return ", ".join([*forms, "module:callable"])


def plugins() -> dict[str, EntryPoint]:
    """Agents that installed packages offer in the group "evalsuite.agents"."""
    return {point.name: point for point in entry_points(group=ENTRY_POINTS)}


def catalogue() -> list[dict[str, str]]:
    """The built-in agents with what they are, as `evalsuite lab list` shows them."""
    entries = []
    for name, (module, attribute) in AGENTS.items():
        kind = getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
        about = (kind.__doc__ or "").split("\n\n")[0]
        form = f"{name}:{WITH_ARGUMENT[name]}" if name in WITH_ARGUMENT else name
        entries.append({"name": form, "about": " ".join(about.split())})
    return entries + [{"name": name, "about": f"plug-in: {point.value}"} for name, point in sorted(plugins().items())]


def create(spec: str) -> Agent:
    """The agent a user named. Raises UsageError that lists what is accepted, names like the one written first."""
    name, colon, argument = spec.partition(":")
    if name in AGENTS:
        return _builtin(name, argument, bool(colon))
    found = plugins()
    if spec in found:
        return _agent(_load(found[spec].load, f"entry point {spec!r}"), spec)
    if name and argument and not name.startswith((".", "/")):
        return _agent(_load(lambda: _attribute(name, argument), spec), spec)
    raise UsageError(f"{shown(spec)} is not an agent; accepted are {accepted(name)}")


def _builtin(name: str, argument: str, written: bool) -> Agent:
    module, attribute = AGENTS[name]
    if name in WITH_ARGUMENT and not argument.strip():
        raise UsageError(f"{name} needs its {WITH_ARGUMENT[name]}: write {name}:{WITH_ARGUMENT[name]}")
    if written and name not in WITH_ARGUMENT:
        raise UsageError(f"{name} takes nothing after a colon; found {shown(argument)}")
    kind = getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
    agent: Agent = kind(argument) if name in WITH_ARGUMENT else kind()
    return agent


def _attribute(module: str, path: str) -> Any:
    value: Any = importlib.import_module(module)
    for part in path.split("."):
        value = getattr(value, part)
    return value


def _load(load: Callable[[], Any], what: str) -> Any:
    try:
        return load()
    except Exception as error:  # somebody else's code
        near = f"; accepted are {accepted(what.partition(':')[0])}" if isinstance(error, ModuleNotFoundError) else ""
        raise UsageError(f"{what} cannot be imported: {type(error).__name__}: {error}{near}") from error


def _agent(target: Any, spec: str) -> Agent:
    """A class that has `work` is made without arguments; an object that has it is taken; a function is wrapped."""
    from evalsuite.lab.agents.function import FunctionAgent

    if isinstance(target, type) and hasattr(target, "work"):
        try:
            target = target()
        except EvalsuiteError:
            raise
        except Exception as error:  # somebody else's code
            raise UsageError(f"{spec} cannot be made: {type(error).__name__}: {error}") from error
    if hasattr(target, "work"):
        missing = [part for part in ("name", "settings") if not hasattr(target, part)]
        if missing:
            raise UsageError(f"{spec} is no agent: it has work but no {' and no '.join(missing)}")
        if getattr(target, "privileged", False):
            raise UsageError(f"{spec} asks for the rubric (privileged); only the suite's own audit agents may see it")
        for flag in ("privileged", "needs_model"):
            if not hasattr(target, flag):
                setattr(target, flag, False)
        agent: Agent = target
        return agent
    if not callable(target):
        raise UsageError(f"{spec} is no agent and no function that takes an assignment; found {shown(target)}")
    return FunctionAgent(target, spec)


__all__ = [
    "AGENTS",
    "Agent",
    "Assignment",
    "Ending",
    "Limits",
    "Matter",
    "Transcript",
    "accepted",
    "create",
    "deliverable_names",
    "plugins",
    "read_transcript",
]

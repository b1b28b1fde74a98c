"""Built-in retrievers by name, other people's by entry point or module:Class, and how one is written on a command line."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, get_args, get_type_hints

from evalsuite.errors import EvalsuiteError, UsageError, shown
from evalsuite.retrieval.retrievers.base import Builtin, Hits, Retriever, Role, Track

ENTRY_POINTS = "evalsuite.retrievers"

# name -> (module of this package, or with a dot of its neighbour, and class); imported when first used, so that nothing
# heavy loads for a name.
BUILTIN: dict[str, tuple[str, str]] = {
    "bm25": ("lexical", "BM25"),
    "rank-bm25": ("lexical", "RankBM25"),
    "dense": ("dense", "Dense"),
    "hybrid": ("fusion", "Hybrid"),
    "sparse": ("sparse", "Sparse"),
    "late": ("late", "Late"),
    "rewrite": ("rewrite", "Rewrite"),
    "agentic": ("agentic", "Agentic"),
    "rerank": ("rerank", "Rerank"),
    "random": ("controls", "Random"),
    "prior": ("controls", "Prior"),
    "runfile": ("runfile", "RunFile"),
    "http": ("endpoint", "Endpoint"),
    "recorded": (".verifiers.recorded", "Recorded"),
    "cross-encoder": (".verifiers.crossencoder", "CrossEncoderVerifier"),
    "llm": (".verifiers.llm", "LLMVerifier"),
}
GRAMMAR = "NAME[:key=value,...], hybrid:A+B, runfile:PATH, http://HOST:PORT[,key=value,...], module:Class; key=(NAME:key=value,...) for one inside another"


@dataclass(frozen=True)
class System:
    """A retriever with the name it goes by.

    `builtin`: all that shapes its output is known by content, so a finished run may stand for a new one. `known`: its
    settings are known, so an interrupted run of it can be told from that of another and be resumed.
    """

    name: str
    retriever: Retriever
    builtin: bool
    known: bool = True

    def settings(self) -> dict[str, Any]:
        """Class and settings, as run.json records them."""
        kind = type(self.retriever)
        own = getattr(self.retriever, "settings", dict)
        about = {
            key: getattr(self.retriever, key, default) for key, default in (("role", "retriever"), ("track", "none"))
        }
        return {"name": self.name, "class": f"{kind.__module__}:{kind.__qualname__}", **about, "settings": own()}


def builtin_class(name: str) -> type[Builtin]:
    """The class of a built-in retriever."""
    module, attribute = BUILTIN[name]
    found: type[Builtin] = getattr(importlib.import_module(f".{module}", __name__), attribute)
    return found


def plugins() -> dict[str, EntryPoint]:
    """Retrievers that installed packages offer in the group "evalsuite.retrievers"."""
    return {point.name: point for point in entry_points(group=ENTRY_POINTS)}


def create(spec: str | Retriever, cache: Path | None = None) -> System:
    """A system from what the user wrote: NAME[:key=value,...], hybrid:A+B, runfile:PATH, http://HOST:PORT, module:Class, or an object.

    Raises UsageError naming what would be accepted.
    """
    if not isinstance(spec, str):
        name = str(getattr(spec, "name", type(spec).__name__))
        return _builtin(name, spec) if isinstance(spec, Builtin) else _foreign(name, spec)
    head, _, rest = spec.partition(":")
    if head in ("http", "https") and rest.startswith("//"):
        head, rest = "http", f"url={spec}"
    if head == "hybrid":
        written = rest or "bm25+dense"
        parts = [create(part, cache).retriever for part in _split(written, r"\+(?=[A-Za-z_][\w.-]*(?:[:+]|$))")]
        foreign = [type(part).__name__ for part in parts if not isinstance(part, Builtin)]
        if foreign:
            raise UsageError(
                f"hybrid fuses built-in retrievers and run files; {foreign[0]} is neither (write runfile:PATH)"
            )
        return _builtin(_label(spec), builtin_class("hybrid")(parts=parts, cache=cache))  # type: ignore[call-arg]
    if head == "runfile":
        if not rest:
            raise UsageError("runfile needs a path: runfile:PATH")
        return System(f"runfile:{Path(rest).name}", builtin_class("runfile")(path=rest), builtin=True)  # type: ignore[call-arg]
    if head in BUILTIN:
        kind = builtin_class(head)
        arguments = _arguments(kind, rest, head)
        if lacking := [name for name in required(kind) if name not in arguments]:
            raise UsageError(
                f"{head} needs {', '.join(f'{name}=' for name in lacking)}; written as {head}:key=value,..."
            )
        return _builtin(_label(spec, *arguments.values()), kind(**arguments, cache=cache))
    found = plugins()
    if head in found:
        kind = _import(lambda: found[head].load(), f"entry point {head!r}")
        return System(spec, _checked(_build(kind, rest, head), head), builtin=False)
    if head and rest and "/" not in head:
        attribute, _, written = rest.partition(":")
        kind = _import(lambda: getattr(importlib.import_module(head), attribute), f"{head}:{attribute}")
        return System(spec, _checked(_build(kind, written, spec), spec), builtin=False)
    names = ", ".join([*BUILTIN, *found])
    raise UsageError(f"{spec!r} is not a retriever; accepted are {names}; written as {GRAMMAR}")


def _builtin(name: str, retriever: Builtin) -> System:
    return System(name, _checked(retriever, name), builtin=not retriever.live)


def _foreign(name: str, retriever: Any) -> System:
    return System(name, _checked(retriever, name), builtin=False, known=hasattr(retriever, "settings"))


def _label(spec: str, *values: Any) -> str:
    """The spec as it is shown: paths that exist are cut to their last part."""
    for value in map(str, [*values, *re.findall(r"(?<==)[^,()+]+", spec)]):
        if "/" in value and Path(value).exists():
            spec = spec.replace(value, Path(value).name)
    return spec


def _split(written: str, separator: str) -> list[str]:
    """Split at a regular expression, but not inside parentheses."""
    parts, start = [], 0
    for match in re.finditer(separator, written):
        before = written[start : match.start()]
        if before.count("(") <= before.count(")"):
            parts.append(before)
            start = match.end()
    return [*parts, written[start:]]


def _import(load: Callable[[], Any], what: str) -> Any:
    try:
        return load()
    except Exception as error:  # somebody else's code
        raise UsageError(f"{what} cannot be imported: {type(error).__name__}: {error}") from error


def _build(kind: Any, written: str, name: str) -> Any:
    if not callable(kind):
        raise UsageError(f"{name} is no class or function that makes a retriever; found {shown(kind)}")
    arguments = _arguments(kind, written, name)
    try:
        return kind(**arguments)
    except EvalsuiteError:
        raise
    except Exception as error:  # somebody else's code
        raise UsageError(f"{name} cannot be made: {type(error).__name__}: {error}") from error


def _checked(retriever: Any, name: str) -> Retriever:
    if not isinstance(retriever, Retriever):
        raise UsageError(f"{name} is not a retriever: it needs index(corpus) and search(queries, k)")
    for key, accepted in (("role", get_args(Role)), ("track", get_args(Track))):
        if (found := getattr(retriever, key, accepted[0])) not in accepted:
            raise UsageError(f"{name}: its {key} is {shown(found)}; accepted are {', '.join(accepted)}")
    return retriever


def parameters(kind: Any) -> dict[str, tuple[Any, Any]]:
    """Parameter name -> (type, default) of a retriever class, as a command line may set them."""
    if isinstance(kind, type) and issubclass(kind, Builtin):
        hints = get_type_hints(kind, include_extras=True)
        own = [
            f
            for f in fields(kind)
            if f.init and f.name not in ("cache", "parts") and f.metadata.get("command_line", True)
        ]
        return {f.name: (hints[f.name], None if f.default is MISSING else f.default) for f in own}
    found = inspect.signature(kind, eval_str=True).parameters.values()
    usable = [p for p in found if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    return {p.name: (str if p.annotation is p.empty else p.annotation, p.default) for p in usable}


def required(kind: type[Builtin]) -> list[str]:
    """Settings that a built-in retriever has no default for."""
    return [f.name for f in fields(kind) if f.init and f.default is MISSING and f.default_factory is MISSING]


def _arguments(kind: Any, written: str, name: str) -> dict[str, Any]:
    from pydantic import TypeAdapter, ValidationError

    if not written:
        return {}
    accepted = parameters(kind)
    arguments: dict[str, Any] = {}
    for pair in _split(written, r",(?=[A-Za-z_-]+=)"):
        key, equals, value = pair.partition("=")
        value = value[1:-1] if value[:1] == "(" and value[-1:] == ")" else value
        key = key.strip().replace("-", "_")
        if not equals or key not in accepted:
            keys = ", ".join(accepted) or "none"
            raise UsageError(f"{name}: {pair!r} is not a setting; write key=value with the keys {keys}")
        try:
            arguments[key] = TypeAdapter(accepted[key][0]).validate_python(value)
        except ValidationError as error:
            raise UsageError(f"{name}: {key}={value}: {error.errors()[0]['msg']}") from error
    return arguments


__all__ = [
    "BUILTIN",
    "Builtin",
    "Hits",
    "Retriever",
    "System",
    "builtin_class",
    "create",
    "parameters",
    "plugins",
    "required",
]

"""The keys of submission.yaml: ir-metadata.org's groups, what of them is needed, and the template that explains them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from evalsuite.errors import UsageError, shown
from evalsuite.retrieval.measures import DEFAULT_MEASURES, Measure
from evalsuite.retrieval.retrievers.base import Track

Kind = Literal["text", "texts", "yes or no", "amount", "sha256", "measures", "stages", "track"]
Path = tuple[str, ...]

ACCEPTED: dict[str, str] = {
    "text": "a text of one line",
    "texts": "a list of texts, as [one, two]; [] where there is none",
    "yes or no": "true or false",
    "amount": "a number of 0 or more, or unknown",
    "sha256": "64 hex digits",
    "measures": "a list of measures, as [nDCG@10, R@100]",
    "stages": "a list of stages in the order they work, as [bm25, {name: my-reranker, depth: 100}]",
    "track": ", ".join(get_args(Track)),
}


@dataclass(frozen=True)
class Key:
    """One key: where it stands, what it holds, what it means. One that is not `needed` may stay empty or be left out."""

    path: Path
    kind: Kind
    about: str
    needed: bool = True
    start: Any = None

    @property
    def name(self) -> str:
        return " / ".join(self.path)


COLLECTION: Path = ("data", "test collection")

KEYS = (
    Key(("tag",), "text", "short name of the system, as a leaderboard shows it"),
    Key(("actor", "team"), "text", "who hands this in"),
    Key(("actor", "contact"), "text", "a name, a page or an address", needed=False),
    Key(("platform", "hardware", "cpu", "model"), "text", "processor", needed=False),
    Key(("platform", "hardware", "gpu", "model"), "text", "graphics card", needed=False),
    Key(("platform", "hardware", "ram"), "text", "memory, as 64 GB", needed=False),
    Key(("platform", "operating system", "distribution"), "text", "as Debian 13", needed=False),
    Key(("platform", "software", "libraries"), "texts", "libraries that searched, with versions, as [bm25s 0.3.16]"),
    Key(("research goal", "venue", "name"), "text", "conference, workshop or shared task", needed=False),
    Key(("research goal", "publication", "doi"), "text", "paper that describes the system", needed=False),
    Key(
        ("research goal", "evaluation", "reported measures"),
        "measures",
        "what it is scored by",
        start=list(DEFAULT_MEASURES),
    ),
    Key(("research goal", "evaluation", "baseline"), "texts", "systems it is to be compared with", needed=False),
    Key(("implementation", "executable", "cmd"), "text", "the command, or the service, that made the run"),
    Key(("implementation", "source", "repository"), "text", "where the code is", needed=False),
    Key(("implementation", "source", "commit"), "text", "which state of it", needed=False),
    Key((*COLLECTION, "name"), "text", "the corpus"),
    Key((*COLLECTION, "version"), "text", "its version"),
    Key((*COLLECTION, "sha256"), "sha256", "its content, as evalsuite hashes it"),
    Key((*COLLECTION, "view"), "text", "the judgements it is scored against"),
    Key((*COLLECTION, "source"), "text", "where it was read from; --corpus names another place", needed=False),
    Key(("data", "training data"), "texts", "everything it was trained or tuned on, [] for nothing"),
    Key(("method", "automatic"), "yes or no", "true: no person wrote queries or touched results for this run"),
    Key(("method", "description"), "text", "what the system does, in a sentence or two"),
    Key(("method", "retrieval"), "stages", "its stages, as [bm25, {name: my-reranker, depth: 100}]"),
    Key(("method", "track"), "track", "where a language model is called: " + ACCEPTED["track"]),
    Key(("resources", "indexing seconds"), "amount", "on the platform above", start="unknown"),
    Key(("resources", "search seconds"), "amount", "for all queries", start="unknown"),
    Key(("resources", "tokens"), "amount", "of language models, prompts and replies", start="unknown"),
    Key(("resources", "cost usd"), "amount", "what these tokens cost", start="unknown"),
)
GROUPS = tuple(dict.fromkeys(key.path[0] for key in KEYS))

HEAD = """\
# A submission to evalsuite. The groups are those of ir-metadata.org; keys of your own may stand beside these.
# NEEDED: must be filled in. Optional: may stay empty. Then: evalsuite submit check {folder}
"""


def template(folder: str, known: Mapping[Path, Any]) -> str:
    """submission.yaml for `folder` with every key explained and the `known` values filled in."""
    lines = [HEAD.format(folder=folder)]
    before: Path = ()
    for key in KEYS:
        shared = next((i for i, (a, b) in enumerate(zip(before, key.path, strict=False)) if a != b), len(before))
        lines += [f"{'  ' * depth}{key.path[depth]}:\n" for depth in range(shared, len(key.path) - 1)]
        value = known.get(key.path, key.start)
        written = "" if value is None else " " + json.dumps(value, ensure_ascii=False)
        mark = "NEEDED: " if key.needed and value is None else "" if key.needed else "optional: "
        lines.append(f"{'  ' * (len(key.path) - 1)}{key.path[-1]}:{written}  # {mark}{key.about}\n")
        before = key.path
    return "".join(lines)


def fault(kind: Kind, value: Any) -> str | None:
    """What is wrong with a value of that kind, or None."""
    if kind == "measures":
        return _measures_fault(value)
    sound: dict[Kind, Callable[[], bool]] = {
        "text": lambda: _is_text(value),
        "texts": lambda: isinstance(value, list) and all(map(_is_text, value)),
        "yes or no": lambda: isinstance(value, bool),
        "amount": lambda: value == "unknown" or (_is_number(value) and 0 <= value < float("inf")),
        "sha256": lambda: isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) is not None,
        "stages": lambda: isinstance(value, list) and bool(value) and all(map(_is_stage, value)),
        "track": lambda: value in get_args(Track),
    }
    return None if sound[kind]() else f"found {shown(value)}; accepted is {ACCEPTED[kind]}"


def _measures_fault(value: Any) -> str | None:
    if not isinstance(value, list) or not value or not all(map(_is_text, value)):
        return f"found {shown(value)}; accepted is {ACCEPTED['measures']}"
    told = []
    for name in value:
        try:
            Measure.parse(name)
        except UsageError as error:
            told.append(error.message)
    return "; ".join(told) or None


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip()) and value.strip().isprintable()


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_stage(value: Any) -> bool:
    return _is_text(value) or (isinstance(value, dict) and _is_text(value.get("name")))

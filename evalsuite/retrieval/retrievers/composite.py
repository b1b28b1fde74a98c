"""Systems made of other systems: what they inherit from their parts, and what those that ask an LLM share."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from evalsuite.errors import UsageError
from evalsuite.models import ChatModel, create_model
from evalsuite.progress import track as progress
from evalsuite.replies import Replies
from evalsuite.retrieval.corpus import Corpus, Query
from evalsuite.retrieval.retrievers.base import Builtin, Hits, Role, Track

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass
class Composite(Builtin):
    """Base of systems with parts; `own_role` and `own_track` are what it is whatever its parts are."""

    own_role: ClassVar[Role] = "retriever"
    own_track: ClassVar[Track] = "none"

    @property
    @abstractmethod
    def inner(self) -> Sequence[Builtin]:
        """The parts."""

    @property
    def role(self) -> Role:  # type: ignore[override]
        return max((self.own_role, *(part.role for part in self.inner)), key=get_args(Role).index)

    @property
    def track(self) -> Track:  # type: ignore[override]
        return max((self.own_track, *(part.track for part in self.inner)), key=get_args(Track).index)

    @property
    def live(self) -> bool:  # type: ignore[override]
        return any(part.live for part in self.inner)


def part_of(owner: str, written: str, cache: Path | None) -> Builtin:
    """The system that `owner` is built over, from what the user wrote. Raises UsageError for what cannot be one."""
    from evalsuite.retrieval.retrievers import create

    retriever = create(written, cache).retriever
    if not isinstance(retriever, Builtin) or retriever.role == "verifier":
        raise UsageError(f"{owner} is built over a built-in retriever or a run file; {written!r} is neither")
    return retriever


def described(part: Builtin) -> dict[str, Any]:
    """A part as the settings of the whole show it."""
    return {"class": type(part).__name__, **part.settings()}


def merged_facts(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of all parts: tokens, cost, calls, index bytes summed, notes joined, of anything else the last one's.

    Times per query are left out: those of one part are not those of the whole.
    """
    merged = {key: value for facts in parts for key, value in facts.items() if key != "seconds_per_query"}
    for key in ("calls", "calls_stored", "index_bytes"):
        if key in merged:
            merged[key] = sum(facts.get(key) or 0 for facts in parts)
    if "cached" in merged:
        merged["cached"] = all(facts["cached"] for facts in parts if "cached" in facts)
    if "tokens" in merged:
        used = [facts["tokens"] for facts in parts if "tokens" in facts]
        merged["tokens"] = {name: sum(tokens[name] for tokens in used) for name in used[0]}
        costs = [facts.get("cost", 0.0) for facts in parts]
        merged["cost"] = None if None in costs else sum(costs)
    if "notes" in merged:
        merged["notes"] = list(dict.fromkeys(note for facts in parts for note in facts.get("notes", [])))
    return merged


def texts_of(corpus: Corpus, wanted: Collection[int]) -> dict[int, str]:
    """Document number -> contents, of these documents, in one pass over the corpus."""
    left, found = set(wanted), {}
    for number, document in enumerate(corpus.documents() if left else ()):
        if number in left:
            found[number] = document.contents
            left.discard(number)
            if not left:
                break
    return found


def excluded_of(corpus: Corpus) -> dict[str, set[int]]:
    """Query id -> numbers of the documents that are never ranked for it, so that no model reads them either."""
    found: dict[str, set[int]] = {}
    for query, document in corpus.exclusions.tolist():
        found.setdefault(corpus.queries[query].id, set()).add(document)
    return found


def ranked_rows(hits: Hits, queries: Sequence[Query], excluded: Mapping[str, set[int]]) -> list[list[int]]:
    """Per query its documents, best first, without the excluded."""
    rows = []
    for query, row, scores in zip(queries, hits.documents, hits.scores, strict=True):
        gone = excluded.get(query.id, set())
        order = np.argsort(-scores, kind="stable")
        rows.append([d for d in row[order].tolist() if d >= 0 and d not in gone])
    return rows


def hits_of(rows: Sequence[Sequence[int]], k: int) -> Hits:
    """Rankings as hits: the score of a document is the number of documents from it to the end of the list."""
    width = min(k, max(map(len, rows), default=0))
    documents: NDArray[np.int64] = np.full((len(rows), width), -1, dtype=np.int64)
    scores = np.full((len(rows), width), -np.inf)
    for place, row in enumerate(rows):
        kept = list(row[:width])
        documents[place, : len(kept)] = kept
        scores[place, : len(kept)] = np.arange(len(kept), 0, -1)
    return Hits(documents, scores)


@dataclass
class Asking(Composite):
    """Base of systems that ask an LLM about queries or candidates. Answers are stored under `cache`, by content.

    `temperature=model` leaves the provider's own. Usage counts stored answers as paid at the time; the time per query is
    told only where every answer was fresh.
    """

    model: str
    base_url: str | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | Literal["model"] = 0.0
    seed: int | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    concurrency: Annotated[int, Field(ge=1)] = field(default=4, metadata={"setting": False})

    def __post_init__(self) -> None:
        if not self.model:
            raise UsageError("the model has no name; model=PROVIDER/NAME, for a server of your own also base_url=URL")
        self._seconds: list[float] = []

    def settings(self) -> dict[str, Any]:
        """Without what `describe` of the model says: its name, endpoint and settings."""
        told = ("model", "base_url", "temperature", "seed", "max_tokens")
        return {key: value for key, value in super().settings().items() if key not in told}

    def _replies(self) -> Replies:
        store = None if self.cache is None else self.cache / "replies"
        return Replies(self._make, store, concurrency=self.concurrency)

    def _make(self) -> ChatModel:
        own = {
            "temperature": None if self.temperature == "model" else self.temperature,
            "seed": self.seed,
            "max_tokens": self.max_tokens,
        }
        return create_model(self.model, base_url=self.base_url, settings=own)

    def _ask_all(
        self, replies: Replies, ask: Callable[[Item], Awaitable[Result]], items: Sequence[Item]
    ) -> list[tuple[Result, float]]:
        """`ask` on every item, with the seconds each took."""
        with progress(f"asking {self.model}", len(items)) as advance:

            async def timed(item: Item) -> tuple[Result, float]:
                began = time.perf_counter()
                found = await ask(item)
                advance(1)
                return found, time.perf_counter() - began

            return replies.map(timed, items)

    def _account(self, own: dict[str, Any], seconds: Sequence[float]) -> None:
        """Renew `facts` after a search: those of the parts and one's own, and how long each query took."""
        self._seconds.extend(seconds)
        self.facts = merged_facts(*(part.facts for part in self.inner), own)
        self.facts["seconds_per_query"] = None if self.facts.get("calls_stored") else self._seconds


def usage_of(replies: Replies) -> dict[str, Any]:
    """Facts on what the answers of a model cost."""
    used = replies.used
    calls = used.requests + used.stored
    return {"calls": calls, "calls_stored": used.stored, "tokens": used.tokens, "cost": used.cost}

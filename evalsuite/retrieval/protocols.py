"""Named protocols: how a pool is filled, how a verifier ranks it, and how the best retriever is chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from evalsuite.errors import UsageError
from evalsuite.retrieval.corpus import Corpus
from evalsuite.retrieval.poolfile import Pool
from evalsuite.retrieval.pools import Families, Source, name_systems, pool_of, search_systems
from evalsuite.retrieval.retrievers import Retriever


@dataclass(frozen=True)
class Task:
    """One task of a protocol: the depth of each of its systems, and the view it is scored on."""

    name: str
    depths: tuple[int, ...]
    view: str


@dataclass(frozen=True)
class Protocol:
    """Everything that two parties must agree on before their gaps can be compared.

    `systems` are those it names, one for each depth of a task; without them any families will do, each system to `depth`.
    `sizes` are the pools; none means everything that was found. `orders`: how often a verifier ranks, each time from
    another shuffle. `choose`: the queries whose scores decide which retriever is the best.
    """

    name: str
    source: str
    seed: int
    orders: int
    choose: Literal["dev", "test"]
    verifier_protocol: str
    verifier_settings: Mapping[str, Any]
    systems: tuple[str, ...] = ()
    tasks: tuple[Task, ...] = ()
    depth: int = 0
    sizes: tuple[int, ...] = ()

    def task(self, name: str | None, corpus_name: str) -> Task:
        """The task of that name, by default the one the corpus is called after. Raises UsageError if there is none."""
        wanted = name or corpus_name.rpartition("-")[2]
        found = [task for task in self.tasks if task.name == wanted]
        if not found:
            known = "its tasks, which set the depths, are " + ", ".join(task.name for task in self.tasks)
            raise UsageError(f"{self.name} has no task {wanted!r}; {known if self.tasks else 'it knows no tasks'}")
        return found[0]

    def record(self) -> dict[str, Any]:
        """What a pool's recipe says of it."""
        verifier = {"protocol": self.verifier_protocol, **self.verifier_settings}
        return {"name": self.name, "orders": self.orders, "choose": self.choose, "verifier": verifier}


OBLIQ_TASKS = (
    Task("twitter", (25, 15, 15), "pooled"),
    Task("wildchat", (155, 75, 75), "pooled"),
    Task("math", (165, 85, 85), "pooled"),
    Task("writing", (155, 75, 75), "gold"),
    Task("congress", (55, 25, 25), "gold"),
)

PROTOCOLS: dict[str, Protocol] = {
    "obliq-2605.06235": Protocol(
        name="obliq-2605.06235",
        source="arXiv 2605.06235v2 and the authors' scripts",
        seed=42,
        orders=1,
        choose="test",
        verifier_protocol="tournament",
        verifier_settings={"batch": 20, "promoted": 4, "tails": "in turn by elimination depth", "temperature": 1.0},
        systems=("gemini-embedding-2-preview", "Qwen3-Embedding-4B", "Qwen3-Embedding-0.6B"),
        tasks=OBLIQ_TASKS,
    ),
    "evalsuite-1": Protocol(
        name="evalsuite-1",
        source="evalsuite",
        seed=42,
        orders=3,
        choose="dev",
        verifier_protocol="listwise",
        verifier_settings={"temperature": 0.0},
        depth=300,
        sizes=(30, 100, 300),
    ),
}


def protocol(name: str) -> Protocol:
    """The protocol of that name. Raises UsageError naming those there are."""
    if name not in PROTOCOLS:
        raise UsageError(f"{name!r} is no protocol; accepted are {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def search_for_protocol(
    corpus: Corpus, wanted: Protocol, families: Families, task: str | None = None, *, cache: Path | None = None
) -> list[Source]:
    """Rank the corpus as the protocol has it.

    Where it names systems, those of `families` stand for them, in that order; else any two or more families will do.
    `task` is one of the protocol's, by default the one the corpus is called after.
    Raises UsageError for another number of systems, a single family, an unknown task, another view than the task's.
    """
    systems = name_systems(families, cache)
    if not wanted.systems:
        if task is not None:
            wanted.task(task, corpus.name)
        if len(families) < 2:
            raise UsageError(f"{wanted.name} takes two or more families; found {', '.join(families) or 'none'}")
        return search_systems(corpus, systems, [wanted.depth] * len(systems))
    chosen = wanted.task(task, corpus.name)
    if corpus.view != chosen.view:
        raise UsageError(
            f"{wanted.name} scores {chosen.name} on view {chosen.view!r}; this is view {corpus.view!r} (--view sets it)"
        )
    if len(systems) != len(wanted.systems):
        named = ", ".join(wanted.systems)
        raise UsageError(f"{wanted.name} takes {len(wanted.systems)} systems, for {named}; found {len(systems)}")
    return search_systems(corpus, systems, chosen.depths)


def pool_for_protocol(corpus: Corpus, wanted: Protocol, sources: Sequence[Source]) -> Pool:
    """The hard pool that these rankings give; its recipe names the protocol."""
    pool = pool_of(corpus, sources, sizes=wanted.sizes, seed=wanted.seed)
    return replace(pool, recipe={"protocol": wanted.record(), **pool.recipe})


def build_protocol_pool(
    corpus: Corpus,
    wanted: str | Protocol,
    systems: Sequence[str | Retriever] | Families,
    task: str | None = None,
    *,
    cache: Path | None = None,
) -> Pool:
    """The pool of `corpus` under a protocol; a plain list of systems is one family, "dense". Errors: `search_for_protocol`."""
    found = protocol(wanted) if isinstance(wanted, str) else wanted
    families = systems if isinstance(systems, Mapping) else {"dense": systems}
    return pool_for_protocol(corpus, found, search_for_protocol(corpus, found, families, task, cache=cache))

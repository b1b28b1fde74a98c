"""The items of an eval file: what is one test, what it is called, and what it can be chosen by. Nothing is loaded for it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from evalsuite.errors import EvalsuiteError
from evalsuite.gate.evalfile import ELSEWHERE, LabGate, RetrievalGate

ASKING = ("rewrite", "agentic", "llm")
LISTWISE = re.compile(r"\bby=(pointwise|listwise|tournament|binary)\b")


@dataclass(frozen=True)
class Pair:
    """A corpus x a retriever."""

    corpus: str
    system: str
    name: str
    asks: bool
    mechanism: str | None = None
    area: None = None


@dataclass(frozen=True)
class Worker:
    """An agent, with a model and a harness profile where it uses them."""

    agent: str
    model: str | None
    profile: str

    @property
    def name(self) -> str:
        parts = [self.agent, *([self.model] if self.model else [])]
        return "+".join([*parts, *([self.profile] if self.profile != "default" else [])])


@dataclass(frozen=True)
class OneTrial:
    """A task x an agent x a trial."""

    task: str
    worker: Worker
    trial: int
    asks: bool
    mechanism: None = None

    @property
    def name(self) -> str:
        return f"{self.task}/{self.worker.name}/{self.trial}"

    @property
    def key(self) -> str:
        return f"{self.task}/{self.trial}"

    @property
    def area(self) -> str:
        return self.task.split("/")[0]


@dataclass(frozen=True)
class Overall:
    """All trials of an agent on the tasks of a file."""

    worker: Worker
    asks: bool
    mechanism: None = None
    area: None = None

    @property
    def name(self) -> str:
        return f"overall/{self.worker.name}"


Planned = Pair | OneTrial | Overall


def planned(gate: RetrievalGate | LabGate) -> list[Planned]:
    """The items of a file, in its order. Raises EvalsuiteError for tasks that cannot be found."""
    return list(_pairs(gate)) if isinstance(gate, RetrievalGate) else list(_trials(gate))


def _pairs(gate: RetrievalGate) -> Iterator[Pair]:
    for corpus, label in labels(gate.retrieval).items():
        mechanism = None if corpus.startswith(ELSEWHERE) else _mechanism(Path(corpus))
        for system in gate.systems:
            asks = asks_model(system) if gate.live is None else gate.live
            yield Pair(corpus, system, f"{label}/{system}", asks, mechanism)


def labels(corpora: Sequence[str]) -> dict[str, str]:
    """Corpus -> what it is called: the name of its folder, with as many folders above as tell it from the others."""
    parts = {c: (c,) if c.startswith(ELSEWHERE) else Path(c).resolve().parts[1:] for c in corpora}
    depth, found = 0, dict.fromkeys(corpora, "")
    while len(set(found.values())) < len(found) or not depth:
        depth += 1
        found = {corpus: "/".join(parts[corpus][-depth:]) for corpus in corpora}
    return found


def _mechanism(folder: Path) -> str | None:
    from evalsuite.retrieval.layouts import find_layout

    try:
        layout = find_layout(folder)
    except EvalsuiteError:  # told when the item is run
        return None
    return layout.card.mechanism or layout.mechanism


def asks_model(spec: str) -> bool:
    """Whether a retriever, or one inside it, asks an LLM that is no Python function."""
    heads = re.findall(r"(?:^|[(+]|\w=)([A-Za-z][\w-]*)", spec)
    asking = any(head in ASKING for head in heads) or ("rerank" in heads and LISTWISE.search(spec) is not None)
    models = re.findall(r"\bmodel=([^,()+]+)", spec)
    return asking and not (models and all(model.startswith("function:") for model in models))


def _trials(gate: LabGate) -> Iterator[OneTrial | Overall]:
    from evalsuite.lab.tasktree import choose, find_tasks

    tasks = choose(find_tasks(gate.tasks), gate.select)
    workers = [worker for agent in gate.systems for worker in _workers(gate, agent)]
    judged = any(map(_real, gate.judges))
    asks = {w: judged or (w.model is not None and _real(w.model)) if gate.live is None else gate.live for w in workers}
    for task in tasks:
        for worker in workers:
            for trial in range(1, gate.trials + 1):
                yield OneTrial(task, worker, trial, asks[worker])
    if gate.overall:
        yield from (Overall(worker, asks[worker]) for worker in workers)


def _real(model: str) -> bool:
    return not model.startswith("function:")


def _workers(gate: LabGate, agent: str) -> Iterator[Worker]:
    """Built-in agents other than react use neither model nor profile; a command is told the model's name."""
    from evalsuite.lab.agents import AGENTS

    head = agent.partition(":")[0]
    alone = head in AGENTS and head not in ("react", "command")
    for profile in ["default"] if alone or head == "command" else gate.profiles:
        for model in [None] if alone or not gate.models else gate.models:
            yield Worker(agent, model, profile)

"""Synthetic worlds whose truth is known: scores as arrays for Monte Carlo, the same as real run folders, and a corpus with missing golds.

Scores are sums of bounded, symmetric effects, so that they stay inside [0, 1] uncut and their expectations are exact:
    retriever(q) = 0.35 + difficulty(cluster) + difficulty(q) + own effect(cluster) + own effect(q)      in [0.05, 0.65]
    verifier(q)  = retriever's expectation + gap + own effects                                          gap at most 0.35
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from conftest import write_beir
from numpy.typing import NDArray

from evalsuite.records import Manifest, QueryResult, Suite
from evalsuite.storage import RunWriter, identity, sha256_json
from evalsuite.summary import protocol_id, write_summary

MEASURES = ("nDCG@10", "R@10")
BASE = 0.35


@dataclass(frozen=True)
class World:
    """Scores of one measure: `verifier` float [orders, queries], `retrievers` float [systems, queries].

    `clusters` int [queries]: queries of one cluster share a gold, and their scores are correlated. `gap` is the true
    expectation of verifier minus retriever, whichever retriever.
    """

    clusters: NDArray[np.int64]
    verifier: NDArray[np.float64]
    retrievers: NDArray[np.float64]
    gap: float
    mechanisms: list[str] = field(default_factory=list)
    splits: list[str | None] = field(default_factory=list)

    @property
    def golds(self) -> list[list[str]]:
        """Relevant documents per query: one of its own, one of its cluster."""
        return [[f"d{query}", f"shared{cluster}"] for query, cluster in enumerate(self.clusters)]


def world(
    rng: np.random.Generator,
    *,
    gap: float = 0.0,
    clusters: int = 40,
    largest: int = 3,
    shared: float = 0.5,
    systems: int = 1,
    orders: int = 1,
) -> World:
    """A world of `clusters` clusters of 1 to `largest` queries. `shared` is the share of each effect's width that a cluster has in
    common: 0 makes queries independent, 1 makes those of a cluster alike. All retrievers are equally good: gap(q) has the
    same expectation against each, so a winner's lead over the others is chance.
    """
    sizes = rng.integers(1, largest + 1, clusters)
    member = np.repeat(np.arange(clusters), sizes)
    difficulty = _effect(rng, 1, member, shared, 0.2)
    retrievers = BASE + difficulty + _effect(rng, systems, member, shared, 0.1)
    verifier = BASE + gap + difficulty + _effect(rng, 1, member, shared, 0.1) + _effect(rng, orders, member, 0, 0.02)
    return World(member, verifier, retrievers, gap, ["descriptive"] * len(member), [None] * len(member))


def _effect(
    rng: np.random.Generator, rows: int, member: NDArray[np.int64], shared: float, width: float
) -> NDArray[np.float64]:
    """Uniform effects float [rows, queries] in [-width, width], mean 0: a cluster's part and a query's part."""
    of_cluster = rng.uniform(-width, width, (rows, int(member.max()) + 1))[:, member]
    return shared * of_cluster + (1 - shared) * rng.uniform(-width, width, (rows, len(member)))


def write_runs(folder: Path, made: World, measures: Sequence[str] = MEASURES) -> tuple[list[Path], list[Path]]:
    """The world as complete run folders: (verifier's, one per order; retrievers')."""
    verifiers = [
        write_run(folder / f"verifier-{order}", f"verifier:order={order}", row, made, role="verifier", order=order)
        for order, row in enumerate(made.verifier, start=1)
    ]
    retrievers = [
        write_run(folder / f"retriever-{number}", f"retriever-{number}", row, made, measures=measures)
        for number, row in enumerate(made.retrievers)
    ]
    return verifiers, retrievers


def write_run(
    path: Path,
    name: str,
    scores: NDArray[np.float64],
    made: World,
    *,
    role: str = "retriever",
    track: str = "none",
    measures: Sequence[str] = MEASURES,
    corpus: str = "world",
    skip: Sequence[int] = (),
    **settings: Any,
) -> Path:
    """One complete run folder whose measures all have these scores float [queries]; `skip` leaves queries out."""
    protocol = {"view": "gold", "measures": list(measures)}
    suite = Suite(name=corpus, version="1.0.0", sha256=sha256_json([corpus, made.golds]))
    own = {"pool_sha256": sha256_json(made.golds)} if role == "verifier" else {}
    system = {"name": name, "class": "tests.worlds", "role": role, "track": track, "settings": {**own, **settings}}
    manifest = Manifest(
        kind="retrieval", suite=suite, system=system, protocol={"id": protocol_id(protocol), **protocol}
    )
    manifest.run_id, manifest.identity = path.name, identity(manifest)
    writer = RunWriter(path, manifest)
    writer.append(
        (
            QueryResult(
                id=f"q{query:04d}",
                mechanism=made.mechanisms[query],
                measures=dict.fromkeys(measures, float(scores[query])),
                judged_at_10=1.0,
                top=[(golds[0], 1.0, 1)],
                split=made.splits[query],
                relevant=len(golds),
                missed=[(golds[1], None, 1)],
            )
            for query, golds in enumerate(made.golds)
            if query not in skip
        ),
        sync=False,
    )
    writer.close("complete", usage={"tokens": 0, "cost": 0, "seconds": {"search": 0.0}})
    write_summary(path)
    return path


@dataclass(frozen=True)
class Unjudged:
    """A corpus on disk some of whose relevant documents nobody judged: `relevant` is the truth, {query id: document ids}."""

    folder: Path
    relevant: dict[str, set[str]]
    judged: dict[str, set[str]]

    @property
    def missing(self) -> dict[str, set[str]]:
        return {query: found - self.judged[query] for query, found in self.relevant.items()}


def write_unjudged(
    folder: Path, rng: np.random.Generator, *, documents: int = 400, queries: int = 20, golds: int = 8, missing: float
) -> Unjudged:
    """A corpus of `queries` topics with `golds` relevant documents each, every one of which is missing from the qrels with
    probability `missing` (a query keeps one at least). As many documents of other topics are judged 0.
    """
    names = [f"d{number:04d}" for number in range(documents)]
    texts = [{"_id": name, "text": " ".join(f"w{word}" for word in rng.integers(0, 2000, 30))} for name in names]
    relevant, judged, rows = {}, {}, []
    for query in range(queries):
        own = {names[i] for i in rng.choice(documents, golds, replace=False)}
        kept = {name for name in sorted(own) if rng.random() >= missing} or {min(own)}
        relevant[f"q{query}"], judged[f"q{query}"] = own, kept
        others = [names[i] for i in rng.choice(documents, 2 * golds, replace=False)]
        rows += [(f"q{query}", name, 1) for name in sorted(kept)]
        rows += [(f"q{query}", name, 0) for name in others if name not in own][:golds]
    asked = [{"_id": name, "text": f"what is said of topic {name}"} for name in relevant]
    return Unjudged(write_beir(folder, texts, asked, gold=rows), relevant, judged)

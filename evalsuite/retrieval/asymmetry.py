"""The gap between what a verifier recognises and what retrievers surface: gap(q) = V(q) - R(q).

V and R of a task are the best of the verifiers and of the scalable first stages (OBLIQ-Bench, arXiv 2605.06235, section 3);
here per query, with the winner chosen on other queries than those it is reported on, and intervals over clusters of queries
that share a group or a relevant document.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evalsuite.errors import RunError, UsageError
from evalsuite.gapnumbers import FOLD_SEED, Choose
from evalsuite.retrieval.corpus import Corpus
from evalsuite.retrieval.evaluate import DEPTH, evaluate
from evalsuite.retrieval.formats import load_corpus
from evalsuite.retrieval.gapreport import GapReport, Study
from evalsuite.retrieval.gapruns import read_runs, require_comparable, retrievers_of, verifiers_of
from evalsuite.retrieval.measures import DEFAULT_MEASURES, Measure
from evalsuite.retrieval.obliqueness import obliqueness
from evalsuite.retrieval.protocols import protocol as named_protocol
from evalsuite.retrieval.retrievers import BUILTIN, Retriever, builtin_class, create, parameters
from evalsuite.retrieval.retrievers.dense import Dense
from evalsuite.storage import default_cache

MEASURES = ("nDCG@10", "R@10")
PROTOCOL = "evalsuite-1"


def gap(
    corpus: str | Path | Corpus,
    verifiers: str | Path | Retriever | Sequence[str | Path | Retriever],
    retrievers: str | Path | Retriever | Sequence[str | Path | Retriever],
    *,
    pool: str | Path | None = None,
    size: int | None = None,
    orders: int | None = None,
    measures: Sequence[str] = MEASURES,
    protocol: str = PROTOCOL,
    view: str | None = None,
    depth: int = DEPTH,
    out: str | Path = "reports",
    cache: str | Path | None = None,
    fresh: bool = False,
) -> GapReport:
    """Measure the gap of a corpus: run, or reuse, every verifier in each order and every retriever, then `gap_of_runs`.

    Systems are written as for `evaluate`; a finished run folder may stand for one. `pool` and `size` are what built-in verifiers
    rank; `orders` (default: the protocol's) how often, each in another order. Raises RunError if a system fails.
    """
    rules = named_protocol(protocol)
    n_orders = rules.orders if orders is None else orders
    if n_orders < 1:
        raise UsageError(f"orders must be 1 or more; found {n_orders}")
    loaded = corpus if isinstance(corpus, Corpus) else load_corpus(corpus, view)
    wanted = [str(Measure.parse(name)) for name in dict.fromkeys(measures)]
    graded = list(dict.fromkeys([*DEFAULT_MEASURES, *wanted]))
    settings = {"pool": pool, "size": size, "protocol": rules.verifier_protocol, **rules.verifier_settings}
    asked = [ordered for item in _listed(verifiers) for ordered in _in_orders(item, n_orders, settings)]
    rivals = _listed(retrievers)

    def folder(system: Any) -> Path:
        if _is_run(system):
            return Path(system)
        [outcome] = evaluate(loaded, system, depth=depth, measures=graded, out=out, cache=cache, fresh=fresh)
        if outcome.summary is None:
            raise RunError(f"failed: {outcome.manifest.error}", where=str(outcome.path))
        return outcome.path

    runs = [folder(system) for system in asked], [folder(system) for system in rivals]
    report = gap_of_runs(*runs, measures=wanted, choose=rules.choose, seed=rules.seed, corpus=loaded)
    report.protocol = {"name": rules.name, **report.protocol}
    place = default_cache() if cache is None else Path(cache)
    report.obliqueness = obliqueness(
        loaded,
        dense=_dense(rivals, place),
        gaps={row["id"]: row["gap"][wanted[0]] for row in report.queries},
        clusters={row["id"]: row["cluster"] for row in report.queries},
        cache=place,
    )
    return report


def _dense(systems: Sequence[Any], cache: Path) -> Dense | None:
    """The first of the systems that is a dense retriever."""
    made = (create(item, cache).retriever for item in systems if not _is_run(item))
    return next((retriever for retriever in made if isinstance(retriever, Dense)), None)


def _listed(items: Any) -> list[Any]:
    return list(items) if isinstance(items, (list, tuple)) else [items]


def _is_run(item: Any) -> bool:
    return isinstance(item, (str, Path)) and (Path(item) / "run.json").is_file()


def _in_orders(item: Any, orders: int, settings: dict[str, Any]) -> list[Any]:
    """A built-in verifier as written, once per order, with the settings that it takes and that were not written."""
    head, _, rest = str(item).partition(":")
    if not isinstance(item, str) or _is_run(item) or head not in BUILTIN:
        return [item]
    accepted = parameters(builtin_class(head))
    written = {key for key in accepted if re.search(rf"(^|,)\s*{key}=", rest.replace("-", "_"))}
    added = [f"{k}={v}" for k, v in settings.items() if v is not None and k in accepted and k not in written]
    if "order" not in accepted or "order" in written:
        return [_written(head, rest, added)]
    return [_written(head, rest, [*added, f"order={order}"]) for order in range(1, orders + 1)]


def _written(head: str, rest: str, added: list[str]) -> str:
    settings = ",".join([*([rest] if rest else []), *added])
    return f"{head}:{settings}" if settings else head


def gap_of_runs(
    verifier_runs: Sequence[str | Path],
    retriever_runs: Sequence[str | Path],
    *,
    measures: Sequence[str] = MEASURES,
    choose: Choose = "dev",
    seed: int = FOLD_SEED,
    corpus: Corpus | None = None,
) -> GapReport:
    """The gap from finished run folders alone: several orders of one verifier are averaged, several verifiers compete.

    A query that a verifier ranked nothing for is unknown to it and left out. Systems that read everything and second stages are
    listed and never R. With `corpus` all its judgements are used, else what the results tell. Raises RunError for runs that do
    not belong together.
    """
    if not verifier_runs or not retriever_runs:
        raise UsageError("a gap needs at least one verifier and one retriever")
    verifiers, retrievers = verifiers_of(read_runs(verifier_runs)), retrievers_of(read_runs(retriever_runs))
    require_comparable([run for group in verifiers.values() for run in group], list(retrievers.values()), measures)
    return Study(verifiers, retrievers, list(measures), choose, seed, corpus).report()


__all__ = ["GapReport", "gap", "gap_of_runs"]

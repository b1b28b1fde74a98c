"""The flow: corpus x retriever -> run folder."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalsuite.errors import EvalsuiteError, RunError, UsageError
from evalsuite.progress import track
from evalsuite.records import Manifest, QueryResult, Suite, Summary
from evalsuite.retrieval.corpus import Corpus
from evalsuite.retrieval.formats import load_corpus
from evalsuite.retrieval.measures import DEFAULT_MEASURES, Graded, Measure
from evalsuite.retrieval.retrievers import Builtin, Hits, Retriever, System, create
from evalsuite.retrieval.runs import Run, in_order, run_lines
from evalsuite.retrieval.texts import write_texts
from evalsuite.statistics import INTERVAL, LEVEL, RESAMPLES, SEED
from evalsuite.storage import (
    RunWriter,
    atomic_file,
    default_cache,
    environment,
    identity,
    place_run,
    read_manifest,
    require_folder,
    sha256_file,
    slug,
)
from evalsuite.summary import protocol_id, write_summary

QUERY_CHUNK = 256
TOP = 10
MISSED = 100
UNRANKED = np.iinfo(np.int64).max
DEPTH = 1000
PACKAGES = (
    "numpy",
    "scipy",
    "bm25s",
    "numba",
    "rank-bm25",
    "sentence-transformers",
    "transformers",
    "torch",
    "faiss-cpu",
)


@dataclass(frozen=True)
class Outcome:
    """One corpus x retriever. `summary` is None when the retriever failed; `manifest.error` then says why."""

    path: Path
    manifest: Manifest
    summary: Summary | None
    reused: bool = False


def evaluate(
    corpora: str | Path | Corpus | Sequence[str | Path | Corpus],
    retrievers: str | Retriever | Sequence[str | Retriever],
    *,
    view: str | None = None,
    depth: int | None = DEPTH,
    measures: Sequence[str] = DEFAULT_MEASURES,
    out: str | Path = "reports",
    cache: str | Path | None = None,
    fresh: bool = False,
) -> list[Outcome]:
    """Score every retriever on every corpus; one run folder each under `out`, in the order given.

    `depth` cuts each ranking (None: not at all). A finished run with the same corpus, settings, protocol, code and
    package versions is returned as it is, an interrupted one is resumed, unless `fresh`. A retriever that raises is
    recorded as failed and the others go on. Raises EvalsuiteError for input that cannot be used.
    """
    if depth is not None and depth < 1:
        raise UsageError(f"depth must be 1 or more; found {depth}")
    cutoffs = [str(Measure.parse(name)) for name in dict.fromkeys(measures)]
    if not cutoffs:
        raise UsageError("no measure is named")
    place = default_cache() if cache is None else Path(cache)
    require_folder(Path(out), "output")
    require_folder(place, "cache")
    systems = [create(item, place) for item in ([retrievers] if isinstance(retrievers, str) else _listed(retrievers))]
    if not systems:
        raise UsageError("no retriever is named; evalsuite retrieval list shows them")
    loaded = [item if isinstance(item, Corpus) else load_corpus(item, view) for item in _listed(corpora)]
    return [
        _Evaluation(corpus, system, depth, cutoffs, Path(out), fresh).run() for corpus in loaded for system in systems
    ]


def _listed(items: Any) -> list[Any]:
    return list(items) if isinstance(items, (list, tuple)) else [items]


class _Evaluation:
    """One corpus x retriever."""

    def __init__(
        self, corpus: Corpus, system: System, depth: int | None, measures: list[str], out: Path, fresh: bool
    ) -> None:
        if isinstance(system.retriever, Builtin):
            corpus = system.retriever.scope(corpus)
        self.corpus, self.system, self.depth = corpus, system, depth
        self.measures = [Measure.parse(name) for name in measures]
        self.manifest = _manifest(corpus, system, depth, measures)
        self.path = self._folder(out, fresh)

    def _folder(self, out: Path, fresh: bool) -> Path:
        self.manifest.identity = identity(self.manifest)
        label = "-".join(slug(part) for part in (self.corpus.name, self.corpus.view, self.system.name))
        return place_run(
            out,
            f"{label}-{self.manifest.identity[:8]}",
            fresh=fresh,
            resume=self.system.known,
            reuse=self.system.known and self.system.builtin,
        )

    def run(self) -> Outcome:
        if (self.path / "run.json").exists():
            stored = read_manifest(self.path)
            if stored.status == "complete":
                return Outcome(self.path, stored, _summary(self.path), reused=True)
        self.manifest.run_id = self.path.name
        _reset_peak_memory()
        started = time.perf_counter()
        try:
            self.system.retriever.index(self.corpus)
        except Exception as error:
            if isinstance(error, EvalsuiteError) and self.system.builtin:
                raise
            writer = RunWriter(self.path, self.manifest)
            return Outcome(self.path, writer.close("failed", error=_told(error, "index")), None)
        seconds = {"index": time.perf_counter() - started}
        writer = RunWriter(self.path, self.manifest)
        for scratch in self.path.glob("artifacts/.*.tmp"):  # of a process that was killed; it would be hashed
            scratch.unlink()
        resumed = len(writer.done)
        try:
            seconds["search"] = self._search_all(writer)
            _join_parts(self.path)
            write_texts(self.path, self.corpus, writer.done.values())
        except KeyboardInterrupt:
            writer.close("interrupted")
            raise
        except Exception as error:
            manifest = writer.close("failed", error=_told(error, "search"))
            if isinstance(error, EvalsuiteError) and self.system.builtin:
                raise
            return Outcome(self.path, manifest, None)
        manifest = writer.close("complete", **self._measured(seconds, resumed))
        return Outcome(self.path, manifest, _summary(self.path))

    def _search_all(self, writer: RunWriter) -> float:
        """Search, grade and store the queries chunk by chunk; a chunk that is stored already is skipped. Seconds spent."""
        corpus, spent = self.corpus, 0.0
        wanted = len(corpus) if self.depth is None else self.depth
        if len(corpus.exclusions):
            wanted += int(np.bincount(corpus.exclusions[:, 0]).max())
        with track(f"searching {corpus.name} with {self.system.name}", len(corpus.queries)) as advance:
            for start in range(0, len(corpus.queries), QUERY_CHUNK):
                queries = corpus.queries[start : start + QUERY_CHUNK]
                if not all(("query", query.id) in writer.done for query in queries):
                    began = time.perf_counter()
                    found = self.system.retriever.search(queries, min(wanted, len(corpus)))
                    spent += time.perf_counter() - began
                    run = in_order(as_run(found, corpus, start, len(queries), self.system.name), corpus, self.depth)
                    with atomic_file(self.path / "artifacts" / "parts" / f"{start:08d}.gz") as stream:
                        stream.write(run_lines(run, corpus, slug(self.system.name)))
                    if isinstance(self.system.retriever, Builtin) and self.system.retriever.trace:
                        lines = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in self.system.retriever.trace)
                        with atomic_file(self.path / "artifacts" / "trace" / f"{start:08d}.jsonl") as stream:
                            stream.write(lines.encode("utf-8", "replace"))
                    writer.append(unit for unit in self._grade(run, start, len(queries)) if unit.key not in writer.done)
                advance(len(queries))
        return spent

    def _grade(self, run: Run, start: int, n: int) -> Iterable[QueryResult]:
        corpus = self.corpus
        ranking = np.full((n, run.documents.shape[1]), -1)
        scores = np.full(ranking.shape, -np.inf)
        ranking[run.queries - start], scores[run.queries - start] = run.documents, run.scores
        graded = Graded(ranking, corpus.qrels.of_queries(start, start + n), len(corpus))
        values = {str(measure): measure(graded) for measure in self.measures}
        judged = Measure("Judged", 10)(graded)
        missed = self._missed(ranking, graded)
        for row in range(n):
            query = corpus.queries[start + row]
            shown = range(min(TOP, int(graded.retrieved[row].sum())))
            yield QueryResult(
                id=query.id,
                mechanism=query.mechanism,
                group=query.group,
                measures={name: float(value[row]) for name, value in values.items()},
                judged_at_10=float(judged[row]),
                top=[
                    (
                        corpus.doc_ids[ranking[row, i]],
                        float(scores[row, i]),
                        int(graded.grades[row, i]) if graded.judged[row, i] else None,
                    )
                    for i in shown
                ],
                missing=not graded.retrieved[row].any(),
                text=query.text,
                twin_of=query.twin_of,
                split=query.split,
                relevant=int(graded.n_relevant[row]),
                missed=missed[row],
            )

    def _missed(self, ranking: NDArray[np.int64], graded: Graded) -> list[list[tuple[str, int | None, int]]]:
        """Per query its relevant documents below the first TOP, best rank first, those of the same rank best grade first."""
        qrels, n_documents = graded.qrels, len(self.corpus)
        rank = np.full(len(qrels.query), UNRANKED)
        rows, places = np.nonzero(graded.relevant)
        judged = qrels.query * n_documents + qrels.document
        rank[np.searchsorted(judged, rows * n_documents + ranking[rows, places])] = places + 1
        wanted = np.flatnonzero((qrels.grade > 0) & (rank > TOP))
        order = wanted[np.lexsort((qrels.document[wanted], -qrels.grade[wanted], rank[wanted], qrels.query[wanted]))]
        starts = np.searchsorted(qrels.query[order], np.arange(graded.n_queries + 1))
        found = []
        for first, last in pairwise(starts):
            shown = order[first : min(last, first + MISSED)]
            columns = qrels.document[shown].tolist(), rank[shown].tolist(), qrels.grade[shown].tolist()
            found.append(
                [(self.corpus.doc_ids[d], r if r < UNRANKED else None, g) for d, r, g in zip(*columns, strict=True)]
            )
        return found

    def _measured(self, seconds: dict[str, float], resumed: int) -> dict[str, Any]:
        facts = dict(getattr(self.system.retriever, "facts", {}))
        searched = len(self.corpus.queries) - resumed
        read = facts.pop("made_elsewhere", False)
        free = self.system.builtin and not read
        timed = seconds["search"] > 0 and not read
        usage = {
            "tokens": facts.pop("tokens", 0 if free else "unknown"),
            "cost": _known(facts.pop("cost", 0 if free else None)),
            "seconds": {part: None if read else round(value, 3) for part, value in seconds.items()},
            "queries_per_second": round(searched / seconds["search"], 1) if timed else None,
            "seconds_per_query": _percentiles(facts.pop("seconds_per_query", None)),
            "index_bytes": facts.pop("index_bytes", None),
            "peak_memory_bytes": None if read else _peak_memory(),
            "index_cached": facts.pop("cached", False),
            "query_vectors_cached": facts.pop("query_vectors_cached", False),
        }
        notes = [*self.manifest.notes, *(f"{self.system.name}: {note}" for note in facts.pop("notes", []))]
        if resumed:
            notes.append(f"resumed: {resumed} of {len(self.corpus.queries)} queries were graded in an earlier session")
        if facts.get("truncated_share"):
            share, limit = facts["truncated_share"], facts.get("max_seq_length")
            notes.append(
                f"{self.system.name}: {share:.1%} of documents are longer than the {limit} tokens the model reads, and are cut"
            )
        return {"usage": usage, "notes": notes, "system": {**self.manifest.system, "facts": facts}}


def as_run(found: Any, corpus: Corpus, start: int, n: int, name: str) -> Run:
    """What retriever `name` returned for queries start..start+n-1, checked: Hits, or {query id: {document id: score}}."""
    where = f"retriever {name}"
    if isinstance(found, dict):
        asked = {query.id for query in corpus.queries[start : start + n]}
        if extra := [name for name in found if name not in asked]:
            raise RunError(f"search answered query {extra[0]!r}, which it was not asked", where=where)
        return Run.of_dicts(corpus, found, where)
    if not isinstance(found, Hits):
        raise RunError(f"search must return Hits or a dict of dicts; found {type(found).__name__}", where=where)
    documents, scores = np.asarray(found.documents, np.int64), np.asarray(found.scores, np.float64)
    if documents.ndim != 2 or documents.shape != scores.shape or len(documents) != n:
        raise RunError(
            f"Hits must be two arrays of shape ({n}, k); found {documents.shape}, {scores.shape}", where=where
        )
    present = documents >= 0
    if documents.max(initial=-1) >= len(corpus) or not np.isfinite(scores[present]).all():
        raise RunError("Hits hold a document number out of range, or a score that is not finite", where=where)
    ordered = np.sort(documents, axis=1)
    if ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any():
        raise RunError("Hits rank a document twice for one query", where=where)
    return Run(np.arange(start, start + n), documents, np.where(present, scores, -np.inf))


def _manifest(corpus: Corpus, system: System, depth: int | None, measures: list[str]) -> Manifest:
    protocol: dict[str, Any] = {
        "view": corpus.view,
        "measures": measures,
        "gain": "linear",
        "ties": "score descending, then document id descending; scores as float64",
        "exclusions": "removed before the cut",
        "copies": "merged" if corpus.copies else "separate",
        "missing_query": "counts as 0",
        "interval": {
            "method": INTERVAL.format("groups"),
            "level": LEVEL,
            "resamples": RESAMPLES,
            "seed": SEED,
        },
    }
    described = {**system.settings(), "depth": depth}
    if not system.builtin:
        module = sys.modules.get(type(system.retriever).__module__)
        source = getattr(module, "__file__", None)
        described["source_sha256"] = sha256_file(Path(source)) if source else "unknown"
    return Manifest(
        kind="retrieval",
        suite=Suite(
            name=corpus.name,
            version=corpus.version,
            sha256=corpus.sha256,
            files=corpus.files,
            filler=bool(corpus.card.get("filler")),
        ),
        system=described,
        protocol={"id": protocol_id(protocol), **protocol},
        environment=environment(PACKAGES),
        notes=corpus.notes,
    )


def _summary(path: Path) -> Summary:
    summary = write_summary(path)
    if not isinstance(summary, Summary):
        raise RunError("is not a retrieval run", where=str(path))
    return summary


def _join_parts(folder: Path) -> None:
    """Concatenate the stored parts (gzip members) to run.trec.gz, then drop them: all at once, lest a kill leave some."""
    parts, joined = folder / "artifacts" / "parts", folder / ".joined"
    if parts.exists():
        with atomic_file(folder / "artifacts" / "run.trec.gz") as stream:
            for part in sorted(parts.glob("*.gz")):
                stream.write(part.read_bytes())
        parts.rename(joined)
    shutil.rmtree(joined, ignore_errors=True)


def _known(cost: float | None) -> float | str:
    return "unknown" if cost is None else cost


def _percentiles(seconds: list[float] | None) -> dict[str, float] | None:
    return {f"p{q}": round(float(np.percentile(seconds, q)), 6) for q in (50, 95, 99)} if seconds else None


def _told(error: Exception, stage: str) -> str:
    return f"{stage}: {type(error).__name__}: {' '.join(str(error).split())}"


def _reset_peak_memory() -> None:
    with contextlib.suppress(OSError):  # not Linux, or not allowed: the peak then covers the whole process
        Path("/proc/self/clear_refs").write_text("5")


def _peak_memory() -> int | None:
    """Peak resident memory in bytes since the last reset, or None where the system does not tell."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    match = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(match[1]) * 1024 if match else None

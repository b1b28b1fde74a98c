"""Run folders as a gap needs them: which runs belong together, what each query got, what was ranked, what is relevant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from evalsuite.errors import RunError
from evalsuite.gapnumbers import grades_of, unordered
from evalsuite.records import Manifest, QueryResult
from evalsuite.retrieval.corpus import Corpus, Qrels, Query
from evalsuite.storage import read_manifest, read_units, sha256_json
from evalsuite.textfiles import read_lines

SHOWN = 12


@dataclass(frozen=True)
class SeenRun:
    """One finished retrieval run."""

    path: Path
    manifest: Manifest
    queries: dict[str, QueryResult]

    @property
    def role(self) -> str:
        return str(self.manifest.system.get("role") or "retriever")

    @property
    def track(self) -> str:
        return str(self.manifest.system.get("track") or "none")

    @property
    def settings(self) -> dict[str, Any]:
        return dict(self.manifest.system.get("settings") or {})

    @property
    def name(self) -> str:
        return unordered(str(self.manifest.system.get("name") or self.path.name))

    @property
    def order(self) -> int:
        return int(self.settings.get("order") or 1)

    @cached_property
    def rankings(self) -> dict[str, list[str]]:
        """Query id -> document ids, best first, from artifacts/run.trec.gz; empty where the folder has none."""
        found: dict[str, list[str]] = {}
        stored = self.path / "artifacts" / "run.trec.gz"
        if stored.exists():
            for _, line in read_lines(stored):
                cells = line.split("\t")
                found.setdefault(cells[0], []).append(cells[2])
        return found


def read_runs(paths: Iterable[str | Path]) -> list[SeenRun]:
    """Finished retrieval runs. Raises RunError for a folder that is none."""
    found = []
    for path in map(Path, paths):
        manifest = read_manifest(path)
        if manifest.kind != "retrieval":
            raise RunError("is a run of LAB tasks; a gap is measured between retrieval runs", where=str(path))
        if manifest.status != "complete":
            reason = f": {manifest.error}" if manifest.error else ""
            raise RunError(f"is {manifest.status}{reason}; a gap needs finished runs", where=str(path))
        units = [unit for unit in read_units(path) if isinstance(unit, QueryResult)]
        if not units:
            raise RunError("holds no graded query", where=str(path))
        found.append(SeenRun(path, manifest, {unit.id: unit for unit in units}))
    return found


def require_comparable(verifiers: Sequence[SeenRun], retrievers: Sequence[SeenRun], measures: Sequence[str]) -> None:
    """Raises RunError unless all runs are of one corpus version, view and protocol and have the measures, all retrievers graded the
    same queries, and verifiers no others."""
    first = retrievers[0]
    for run in (*retrievers, *verifiers):
        where, one, two = str(run.path), first.manifest, run.manifest
        if one.suite.sha256 != two.suite.sha256:
            told = [f"{m.suite.name} {m.suite.version} ({m.suite.sha256[:SHOWN]})" for m in (one, two)]
            raise RunError(f"is of corpus {told[1]}, but {first.path} is of {told[0]}", where=where)
        old, new = ({k: v for k, v in m.protocol.items() if k not in ("id", "measures")} for m in (one, two))
        for key in sorted(old.keys() | new.keys()):
            if old.get(key) != new.get(key):
                told = [str(protocol.get(key)) for protocol in (old, new)]
                raise RunError(f"was scored with {key} {told[1]}, but {first.path} with {told[0]}", where=where)
        strange = run.queries.keys() - first.queries.keys()
        lacking = first.queries.keys() - run.queries.keys() if run.role != "verifier" else set()
        if strange or lacking:
            told = (
                [f"{len(strange)} more", f"as {min(strange)!r}"]
                if strange
                else [f"{len(lacking)} less", f"as {min(lacking)!r}"]
            )
            raise RunError(f"graded other queries than {first.path}: {', '.join(told)}", where=where)
        known = next(iter(run.queries.values())).measures
        if absent := [name for name in measures if name not in known]:
            raise RunError(f"has no {', '.join(absent)}; it has {', '.join(known)}", where=where)


def verifiers_of(runs: Sequence[SeenRun]) -> dict[str, list[SeenRun]]:
    """Verifier runs by label, each with one run per order. Raises RunError for a run that is no verifier's, or an order twice."""
    found: dict[str, list[SeenRun]] = {}
    labels: dict[str, str] = {}
    for run in runs:
        if run.role != "verifier":
            raise RunError(f"is a run of a {run.role}, not of a verifier: {run.name}", where=str(run.path))
        settings = {key: value for key, value in run.settings.items() if key != "order"}
        key = sha256_json([run.manifest.system.get("class"), run.name, settings])
        taken = run.name in labels.values() and key not in labels
        label = labels.setdefault(key, f"{run.name} ({run.path.name})" if taken else run.name)
        if run.order in {other.order for other in found.get(label, [])}:
            raise RunError(f"is a second run of {label} with order {run.order}", where=str(run.path))
        found.setdefault(label, []).append(run)
    return {label: sorted(group, key=lambda run: run.order) for label, group in found.items()}


def retrievers_of(runs: Sequence[SeenRun]) -> dict[str, SeenRun]:
    """Retrievers and second stages by label. Raises RunError for a verifier's run, or a folder that is named twice."""
    found: dict[str, SeenRun] = {}
    for run in runs:
        if run.role == "verifier":
            raise RunError(f"is a run of a verifier, {run.name}, which retrieves nothing", where=str(run.path))
        if any(run.path.resolve() == other.path.resolve() for other in found.values()):
            raise RunError("is named twice", where=str(run.path))
        found[f"{run.name} ({run.path.name})" if run.name in found else run.name] = run
    return found


def why_apart(run: SeenRun) -> str:
    """Why a system is no first-stage retriever that could be R, or ""."""
    if run.role != "retriever":
        return run.role
    return run.track if run.track == "read-everything" else ""


def judgements(runs: Sequence[SeenRun], corpus: Corpus | None) -> dict[str, dict[str, int]]:
    """{query id: {document id: grade}}: all of the corpus, or what the runs' results tell."""
    if corpus is not None:
        found: dict[str, dict[str, int]] = {}
        qrels = corpus.qrels
        for query, document, grade in zip(
            qrels.query.tolist(), qrels.document.tolist(), qrels.grade.tolist(), strict=True
        ):
            found.setdefault(corpus.queries[query].id, {})[corpus.doc_ids[document]] = grade
        return found
    return grades_of(unit for run in runs for unit in run.queries.values())


def relevant(grades: dict[str, int]) -> list[str]:
    return [document for document, grade in grades.items() if grade > 0]


def candidate_corpus(manifest: Manifest, candidates: dict[str, list[str]], known: dict[str, dict[str, int]]) -> Corpus:
    """The candidates of some queries, with what is known to be relevant, as a corpus without texts."""
    documents = dict.fromkeys(d for query, own in candidates.items() for d in (*own, *known[query]))
    number = {document: place for place, document in enumerate(documents)}
    rows = [(q, number[d], grade) for q, query in enumerate(candidates) for d, grade in known[query].items()]
    return Corpus(
        name=manifest.suite.name,
        version=manifest.suite.version,
        view=str(manifest.protocol.get("view", "")),
        doc_ids=list(documents),
        files=manifest.suite.files,
        stream=lambda: iter(()),
        queries=[Query(query, "") for query in candidates],
        qrels=Qrels.of(*np.array(rows, dtype=np.int64).reshape(-1, 3).T),
    )

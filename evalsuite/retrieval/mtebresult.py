"""A result as MTEB stores it, so that it travels there too. Matched to TaskResult of mteb 2.26.24."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from evalsuite.errors import UsageError
from evalsuite.retrieval.bundles import is_bundle
from evalsuite.retrieval.corpus import Corpus
from evalsuite.retrieval.measures import measure
from evalsuite.retrieval.runs import Run
from evalsuite.retrieval.submission import check, require_sound
from evalsuite.storage import write_json

MTEB_VERSION = "2.26.24"
CUTOFFS = (1, 3, 5, 10, 20, 100, 1000)
# Our families by MTEB's names; all are trec_eval's.
NAMES = {"nDCG": "ndcg_at", "AP": "map_at", "R": "recall_at", "P": "precision_at", "RR": "mrr_at"}
SPLIT = "test"
LANGUAGES = {"en": "eng-Latn", "de": "deu-Latn", "fr": "fra-Latn", "es": "spa-Latn", "it": "ita-Latn"}


def task_result(
    corpus: Corpus, run: Run, *, task: str | None = None, seconds: float | None = None, split: str = SPLIT
) -> dict[str, Any]:
    """{"task_name", "dataset_revision", "mteb_version", "scores": {split: [{...}]}, ...} of a run in scoring order.

    `dataset_revision` is our sha256 of the corpus. Queries without an answer count as 0.
    """
    ranking = np.full((len(corpus.queries), run.documents.shape[1]), -1)
    ranking[run.queries] = run.documents
    names = {f"{ours}@{k}": f"{theirs}_{k}" for ours, theirs in NAMES.items() for k in CUTOFFS}
    values = measure(ranking, corpus.qrels, len(corpus), list(names))
    scores = {theirs: round(float(values[ours].mean()), 6) for ours, theirs in names.items()}
    language = str(corpus.card.get("language", "en"))
    entry = {
        **scores,
        "main_score": scores["ndcg_at_10"],
        "hf_subset": "default",
        "languages": [LANGUAGES.get(language, language)],
        "mteb_version": MTEB_VERSION,
    }
    return {
        "dataset_revision": corpus.sha256,
        "task_name": task or corpus.name,
        "mteb_version": MTEB_VERSION,
        "scores": {split: [entry]},
        "evaluation_time": seconds,
        "kg_co2_emissions": None,
        "date": None,
        "evaluation_phases": None,
    }


def _require_ours(place: Path) -> None:
    if place.is_dir():
        raise UsageError("is a folder; name the JSON file to write", where=str(place))
    bundle = next((folder for folder in place.resolve().parents if is_bundle(folder)), None)
    if bundle is not None:
        raise UsageError(f"lies in the bundle {bundle}; name a file outside of it", where=str(place))
    if not place.exists():
        return
    try:
        content = json.loads(place.read_bytes()) if place.is_file() else None
    except (OSError, ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or not {"task_name", "scores"} <= content.keys():
        raise UsageError("is there already and is no result of MTEB's; name a new file", where=str(place))


def export(
    folder: str | Path, target: str | Path, *, corpus: str | None = None, task: str | None = None
) -> dict[str, Any]:
    """Write the result of a bundle as one JSON file of MTEB's. Raises InputError for a bundle with problems.

    Raises UsageError for a target inside a bundle, and for one that is there and is no such file.
    """
    place = Path(target)
    _require_ours(place)
    found = check(folder, corpus=corpus)
    _, loaded = require_sound(found)
    assert found.run is not None
    seconds = found.sheet.values.get(("resources", "search seconds"))
    spent = float(seconds) if isinstance(seconds, (int, float)) else None
    result = task_result(loaded, found.run, task=task, seconds=spent)
    write_json(place, result)
    return result

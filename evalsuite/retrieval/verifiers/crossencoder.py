"""Cross-encoders: query and document read together by one transformer, every score kept as soon as it is known."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from evalsuite.errors import InputError, UsageError
from evalsuite.progress import track
from evalsuite.retrieval.corpus import Corpus, Query
from evalsuite.retrieval.retrievers.dense import locate_model
from evalsuite.retrieval.verifiers.base import Verifier
from evalsuite.storage import sha256_json

FITTING = ("ForSequenceClassification", "ForCausalLM")


class PairScorer:
    """A sentence-transformers CrossEncoder. Its scores are raw logits, which do not saturate into ties as a sigmoid's do.

    Scores are stored under `cache` by model, query and text, batch by batch: a kill costs one batch. Raises InputError for
    a folder that holds no cross-encoder.
    """

    def __init__(
        self, model: str, cache: Path | None, *, max_seq_length: int | None = None, batch_size: int = 32
    ) -> None:
        if not model:
            raise UsageError("a cross-encoder needs model=FOLDER or model=NAME of the Hugging Face hub")
        self.model, self.max_seq_length, self.batch_size = model, max_seq_length, batch_size
        self.folder, self.digest = locate_model(model)
        self._encoder: Any = None
        self._store = self._open(cache)
        self.pairs = self.stored = self.truncated = 0

    def settings(self) -> dict[str, Any]:
        return {"model": Path(self.model).name, "model_sha256": self.digest, "max_seq_length": self.max_seq_length}

    def facts(self) -> dict[str, Any]:
        """Of all pairs scored so far: how many, from the store, and the share longer than the model reads."""
        share = self.truncated / self.pairs if self.pairs else 0.0
        found: dict[str, Any] = {"pairs": self.pairs, "pairs_stored": self.stored, "truncated_pairs_share": share}
        if share:
            found["notes"] = [
                f"{share:.1%} of the pairs of query and document are longer than the model reads, and are cut"
            ]
        return found

    def scores(self, query: str, texts: Sequence[str]) -> NDArray[np.float64]:
        """One score per text, float64 [texts]; higher is more relevant."""
        keys = [sha256_json([query, text]) for text in texts]
        known: dict[str, tuple[float, bool]] = {}
        longest_first = sorted(range(len(texts)), key=lambda i: (-len(texts[i]), keys[i]))
        for start in range(0, len(texts), self.batch_size):
            batch = longest_first[start : start + self.batch_size]
            found = self._look_up([keys[i] for i in batch])
            new = [i for i in batch if keys[i] not in found]
            self.stored += len(batch) - len(new)
            known |= found
            if new:
                known |= self._keep([keys[i] for i in new], self._predict(query, [texts[i] for i in new]))
        self.pairs += len(texts)
        self.truncated += sum(known[key][1] for key in keys)
        return np.array([known[key][0] for key in keys], dtype=np.float64)

    # -- the model -----------------------------------------------------------------------------------------------

    def _load(self) -> Any:
        if self._encoder is None:
            from sentence_transformers import CrossEncoder
            from torch.nn import Identity
            from transformers.utils import logging as transformers_logging

            self._require_head()
            transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
            try:
                encoder = CrossEncoder(self.folder, local_files_only=True, activation_fn=Identity())
            except (OSError, ValueError, KeyError) as error:
                raise InputError(f"cannot be loaded as a cross-encoder: {error}", where=self.model) from error
            if self.max_seq_length is not None:
                encoder.max_seq_length = self.max_seq_length
            self._encoder = encoder
        return self._encoder

    def _require_head(self) -> None:
        """Other models load too, with a head of random numbers and no more than a warning."""
        config = Path(self.folder) / "config.json"
        try:
            built_for = [str(name) for name in json.loads(config.read_bytes()).get("architectures") or []]
        except (OSError, ValueError, AttributeError) as error:
            raise InputError(f"has no config.json that can be read ({error})", where=self.model) from error
        if not any(name.endswith(FITTING) for name in built_for):
            told = ", ".join(built_for) or "nothing"
            raise InputError(f"is no cross-encoder: its config.json names {told}, no {FITTING[0]}", where=self.model)

    def _predict(self, query: str, texts: list[str]) -> list[tuple[float, bool]]:
        encoder = self._load()
        pairs = [(query, text) for text in texts]
        scores = np.asarray(encoder.predict(pairs, batch_size=self.batch_size, show_progress_bar=False))
        if scores.ndim != 1:
            raise InputError(f"gives {scores.shape[1]} scores a pair; a ranking needs one", where=self.model)
        if not np.isfinite(scores).all():
            raise InputError("gives a score that is not finite", where=self.model)
        limit = encoder.max_seq_length
        ids = encoder.tokenizer([query] * len(texts), texts, truncation=True, max_length=limit + 1)["input_ids"]
        return [(float(score), len(tokens) > limit) for score, tokens in zip(scores, ids, strict=True)]

    # -- the store -----------------------------------------------------------------------------------------------

    def _open(self, cache: Path | None) -> sqlite3.Connection:
        versions = [version(name) for name in ("sentence-transformers", "transformers", "torch")]
        place = ":memory:"
        if cache is not None:
            (cache / "cross-encoder").mkdir(parents=True, exist_ok=True)
            name = sha256_json([self.digest, self.max_seq_length, versions])[:24]
            place = str(cache / "cross-encoder" / f"{name}.sqlite")
        try:
            store = sqlite3.connect(place, timeout=60)
            store.execute("PRAGMA synchronous = OFF")  # it outlives the process, maybe not the machine
            store.execute("CREATE TABLE IF NOT EXISTS scores (pair TEXT PRIMARY KEY, score REAL, truncated INTEGER)")
        except sqlite3.DatabaseError as error:
            raise InputError(f"is no store of scores ({error}); delete it", where=place) from error
        return store

    def _look_up(self, keys: list[str]) -> dict[str, tuple[float, bool]]:
        marks = ", ".join("?" * len(keys))
        rows = self._store.execute(f"SELECT pair, score, truncated FROM scores WHERE pair IN ({marks})", keys)
        return {pair: (score, bool(truncated)) for pair, score, truncated in rows}

    def _keep(self, keys: list[str], found: list[tuple[float, bool]]) -> dict[str, tuple[float, bool]]:
        with self._store:
            rows = [(key, *values) for key, values in zip(keys, found, strict=True)]
            self._store.executemany("INSERT OR IGNORE INTO scores VALUES (?, ?, ?)", rows)
        return dict(zip(keys, found, strict=True))


@dataclass
class CrossEncoderVerifier(Verifier):
    """A sentence-transformers CrossEncoder, from a folder or the Hugging Face hub, that scores every candidate."""

    model: str = ""
    max_seq_length: Annotated[int, Field(ge=1)] | None = None
    batch_size: Annotated[int, Field(ge=1)] = field(default=32, metadata={"setting": False})

    def __post_init__(self) -> None:
        super().__post_init__()
        self._scorer = PairScorer(
            self.model, self.cache, max_seq_length=self.max_seq_length, batch_size=self.batch_size
        )

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), **self._scorer.settings()}

    def index(self, corpus: Corpus) -> None:
        super().index(corpus)
        self._texts = self.read_texts(corpus)

    def _score(self, queries: Sequence[Query], shown: list[list[int]]) -> list[NDArray[np.float64]]:
        found = []
        with track(f"scoring with {Path(self.model).name}", len(queries)) as advance:
            for query, documents in zip(queries, shown, strict=True):
                found.append(self._scorer.scores(query.text, [self._texts[number] for number in documents]))
                advance(1)
        facts = self._scorer.facts()
        self.facts |= {**facts, "notes": [*self._own_notes, *facts.get("notes", [])]}
        return found

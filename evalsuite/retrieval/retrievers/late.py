"""Late interaction: one vector per token, exact MaxSim over all documents."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from evalsuite.retrieval.corpus import Corpus, Query
from evalsuite.retrieval.retrievers.base import TIE_ROOM, Hits, settle
from evalsuite.retrieval.retrievers.encoders import Arrays, Matrix, ShardedEncoder, offsets, running_top_k

QUERY_TOKENS, DOCUMENT_TOKENS = 512, 32_768


@dataclass
class Late(ShardedEncoder):
    """ColBERT's MaxSim: for each query token the best document token, summed; vectors of length 1.

    `model`: a MultiVectorEncoder, PyLate or Stanford ColBERT folder, with its markers, query expansion, projection and
    skip list; of any other sentence-transformers folder the token embeddings, through its Dense layer if it has one.
    `max_seq_length` is that of documents. Source: Khattab & Zaharia, SIGIR 2020.
    """

    kind: ClassVar[str] = "late"

    def _open(self) -> Any:
        from sentence_transformers import MultiVectorEncoder

        if _is_multi_vector(Path(self._folder)):
            encoder = MultiVectorEncoder(self._folder, local_files_only=True)
        else:
            encoder = _of_single_vector_model(self._folder)
        if self.max_seq_length is not None:
            encoder[0].document_length = self.max_seq_length
        return encoder

    def _limit(self, encoder: Any) -> int | None:
        known = [encoder.max_seq_length, getattr(encoder[0], "document_length", None)]
        return min((limit for limit in known if limit is not None), default=None)

    def index(self, corpus: Corpus) -> None:
        super().index(corpus)
        self.facts["trained_for_late_interaction"] = _is_multi_vector(Path(self._folder))

    def _tokens(self, texts: list[str], task: str) -> Arrays:
        """Vectors of all tokens float32 [tokens, d], and per text where its own start; a text without any gets zeros."""
        found = self._encode(texts, task, convert_to_numpy=True, normalize_embeddings=True)
        filled = [one if len(one) else np.zeros((1, one.shape[1]), one.dtype) for one in found]
        return {"tokens": np.concatenate(filled).astype(np.float32), "starts": offsets([len(one) for one in filled])}

    def _arrays(self, texts: list[str]) -> Arrays:
        return self._tokens(texts, "document")

    def _score(self, queries: Arrays) -> Iterator[Matrix]:
        """Scores [queries, some documents], block by block; at most 512 x 32,768 token pairs are held at once."""
        for tokens, starts in self._shards("tokens", "starts"):
            for first, last in _blocks(starts, DOCUMENT_TOKENS):
                block = tokens[starts[first] : starts[last]]
                parts = [
                    maxsim(
                        queries["tokens"][queries["starts"][a] : queries["starts"][b]],
                        queries["starts"][a:b] - queries["starts"][a],
                        block,
                        starts[first:last] - starts[first],
                    )
                    for a, b in _blocks(queries["starts"], QUERY_TOKENS)
                ]
                yield np.concatenate(parts)

    def search(self, queries: Sequence[Query], k: int) -> Hits:
        asked, n = self._tokens([query.text for query in queries], "query"), len(self._corpus)
        k = min(k, n)
        documents, scores = running_top_k(self._score(asked), len(queries), min(k + TIE_ROOM, n))

        def all_scores(row: int) -> Matrix:
            first, last = asked["starts"][row : row + 2]
            alone = {"tokens": asked["tokens"][first:last], "starts": np.array([0, last - first])}
            return np.concatenate([part[0] for part in self._score(alone)])

        return settle(documents, scores, k, self._corpus, all_scores)


def maxsim(
    queries: Matrix, query_starts: NDArray[np.int64], documents: Matrix, document_starts: NDArray[np.int64]
) -> Matrix:
    """MaxSim float32 [queries, documents] of token vectors [tokens, d]; each text starts where its entry says, none empty."""
    best = np.maximum.reduceat(queries @ documents.T, document_starts, axis=1)
    return np.asarray(np.add.reduceat(best, query_starts, axis=0))


def _blocks(starts: NDArray[np.int64], most: int) -> Iterator[tuple[int, int]]:
    """Ranges of texts that hold at most `most` tokens together; a longer text is a range of its own."""
    first, n = 0, len(starts) - 1
    while first < n:
        last = max(first + 1, int(np.searchsorted(starts, starts[first] + most, side="right")) - 1)
        yield first, last
        first = last


def _is_multi_vector(folder: Path) -> bool:
    """Whether sentence-transformers has weights for all of it; to anything else it adds a layer of random ones."""
    saved, plain = folder / "config_sentence_transformers.json", folder / "config.json"
    config = json.loads(saved.read_text(encoding="utf-8")) if saved.exists() else {}
    if config.get("model_type") in ("MultiVectorEncoder", "ColBERT") or "query_prefix" in config:
        return True
    architectures = json.loads(plain.read_text(encoding="utf-8")).get("architectures") or [] if plain.exists() else []
    return any(name == "HF_ColBERT" for name in architectures)


def _of_single_vector_model(folder: str) -> Any:
    """The token embeddings of a single-vector model: its Transformer and its Dense layers, without the pooling."""
    from sentence_transformers import MultiVectorEncoder, SentenceTransformer
    from sentence_transformers.base.modules import Dense, Transformer
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

    source = SentenceTransformer(folder, local_files_only=True)
    kept = [module for module in source if isinstance(module, (Transformer, Dense))]
    if not kept or not isinstance(kept[0], Transformer):
        raise ValueError("it has no Transformer module, so no token embeddings")
    for module in kept[1:]:
        module.module_input_name = module.module_output_name = "token_embeddings"
    return MultiVectorEncoder(modules=[*kept, MultiVectorMask()], prompts=source.prompts)

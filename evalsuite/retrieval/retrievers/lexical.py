"""BM25: bm25s over a score matrix built through scipy, and rank-bm25 as the slow reference."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import tempfile
from array import array
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from pydantic import Field

from evalsuite.progress import track
from evalsuite.retrieval.corpus import Corpus, Query
from evalsuite.retrieval.retrievers.base import TIE_ROOM, Builtin, Hits, settle
from evalsuite.storage import sha256_json

Positive = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]

TOKEN = re.compile(r"\w\w+")
BLOCK = 20_000
# Query-document pairs that numpy has scored before numba has compiled (6-8 s); both give the same ranking.
NUMBA_FROM = 20_000_000


def stop_words(name: str) -> frozenset[str]:
    """The named stop words: "en" is bm25s' English list, "none" is empty."""
    if name == "none":
        return frozenset()
    from bm25s.stopwords import STOPWORDS_EN

    return frozenset(STOPWORDS_EN)


def tokenize(text: str, stop: frozenset[str]) -> list[str]:
    """Lower-cased runs of two or more word characters, without stop words (bm25s' and scikit-learn's default)."""
    return [token for token in TOKEN.findall(text.lower()) if token not in stop]


@dataclass
class BM25(Builtin):
    """BM25 by bm25s. variant=lucene: idf = ln(1 + (N-df+.5)/(df+.5)); variant=okapi: ln((N-df+.5)/(df+.5)), not below 0,
    and a factor k1+1 (Robertson's idf with ATIRE's tf: rank-bm25's formula but for its idf floor).

    Source: Robertson et al., TREC-3 (1994); Kamphuis et al., ECIR 2020 (variants); Lù, arXiv 2407.03618 (bm25s).
    """

    k1: Positive = 1.5
    b: Share = 0.75
    variant: Literal["lucene", "okapi"] = "lucene"
    stopwords: Literal["en", "none"] = "en"

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "tokenizer": f"lower-case, {TOKEN.pattern}", "stemmer": "none"}

    def index(self, corpus: Corpus) -> None:
        import bm25s  # noqa: F401 - imported here so that its seconds are not counted as search

        self._corpus, self._work = corpus, 0
        folder = None
        if self.cache is not None:
            folder = self.cache / "bm25" / sha256_json([self.settings(), corpus.documents_sha256, 2])[:24]
        self.facts = {"cached": folder is not None and folder.exists()}
        if folder is not None and folder.exists():
            self._load(folder)
        else:
            self._build(corpus)
            if folder is not None:
                self._save(folder)
        self.facts["index_bytes"] = sum(
            a.nbytes for a in (self._scores["data"], self._scores["indices"], self._scores["indptr"])
        )

    def _build(self, corpus: Corpus) -> None:
        counts, self._vocabulary = count_terms(corpus, stop_words(self.stopwords))
        lengths = np.asarray(counts.sum(axis=1)).ravel()
        n = len(corpus)
        matrix = counts.tocsc()
        df = np.diff(matrix.indptr).astype(np.float64)
        ratio = (n - df + 0.5) / (df + 0.5)
        idf = np.log1p(ratio) if self.variant == "lucene" else np.maximum(np.log(ratio), 0) * (self.k1 + 1)
        mean = lengths.mean() or 1.0
        norm = (self.k1 * (1 - self.b + self.b * lengths / mean)).astype(np.float32)
        data = matrix.data / (matrix.data + norm[matrix.indices])
        data *= np.repeat(idf.astype(np.float32), np.diff(matrix.indptr))
        indptr = matrix.indptr.astype(np.int64)  # bm25s' compiled loop is slower with int32
        self._scores = {"data": data, "indices": matrix.indices, "indptr": indptr, "num_docs": n}

    def _save(self, folder: Path) -> None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".tmp-"))
        for part in ("data", "indices", "indptr"):
            np.save(scratch / f"{part}.npy", self._scores[part])
        (scratch / "vocabulary.json").write_text(json.dumps(list(self._vocabulary)), encoding="utf-8")
        os.sync()
        try:
            scratch.rename(folder)
        except OSError:  # another process was first, with the same content
            shutil.rmtree(scratch)

    def _load(self, folder: Path) -> None:
        self._scores = {part: np.load(folder / f"{part}.npy", mmap_mode="r") for part in ("data", "indices", "indptr")}
        self._scores["num_docs"] = len(self._corpus)
        words = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))
        self._vocabulary = {word: number for number, word in enumerate(words)}

    def search(self, queries: Sequence[Query], k: int) -> Hits:
        stop = stop_words(self.stopwords)
        known = [[self._vocabulary[t] for t in tokenize(q.text, stop) if t in self._vocabulary] for q in queries]
        asked = [row for row, tokens in enumerate(known) if tokens]
        n = len(self._corpus)
        documents = np.full((len(queries), min(k, n)), -1, dtype=np.int64)
        scores = np.full(documents.shape, -np.inf)
        if asked:
            self._work += len(queries) * n
            numba = self._work >= NUMBA_FROM
            engine = self._engine(numba)
            found = engine.retrieve(
                [known[row] for row in asked],
                k=min(k + TIE_ROOM, n),
                show_progress=False,
                backend_selection="numba" if numba else "numpy",
                n_threads=(os.cpu_count() or 1) if numba else 0,
            )
            hits = settle(
                found.documents,
                found.scores,
                min(k, n),
                self._corpus,
                lambda row: engine.get_scores_from_ids(known[asked[row]]),
                positive=True,
            )
            documents[asked], scores[asked] = hits
        return Hits(documents, scores)

    def _engine(self, numba: bool) -> Any:
        import bm25s

        engine = bm25s.BM25(k1=self.k1, b=self.b, backend="numba" if numba else "numpy", auto_compile=False)
        engine.scores, engine.vocab_dict, engine.nonoccurrence_array = self._scores, self._vocabulary, None
        engine.unique_token_ids_set = range(len(self._vocabulary))
        return engine


def count_terms(corpus: Corpus, stop: frozenset[str]) -> tuple[Any, dict[str, int]]:
    """Term counts as a sparse matrix [documents, vocabulary] float32, and the vocabulary. One pass, blocks of documents."""
    vocabulary: defaultdict[str, int] = defaultdict()
    vocabulary.default_factory = vocabulary.__len__
    for word in stop:
        vocabulary[word]
    blocks: list[Any] = []
    tokens, ends = array("i"), array("q", [0])

    def flush() -> None:
        ids = np.frombuffer(tokens, dtype=np.int32)
        indptr = np.frombuffer(ends, dtype=np.int64)
        kept = ids >= len(stop)
        starts = np.concatenate([[0], np.cumsum(kept)])[indptr]
        block = sp.csr_matrix(
            (np.ones(int(starts[-1]), np.float32), ids[kept] - len(stop), starts.astype(np.int32)),
            shape=(len(ends) - 1, len(vocabulary) - len(stop)),
        )
        block.sum_duplicates()
        blocks.append(block)

    with track("tokenising", len(corpus)) as advance:
        for document in corpus.documents():
            tokens.extend(map(vocabulary.__getitem__, TOKEN.findall(document.contents.lower())))
            ends.append(len(tokens))
            if len(ends) > BLOCK:
                flush()
                tokens, ends = array("i"), array("q", [0])
                advance(BLOCK)
        flush()
    words = {word: number - len(stop) for word, number in vocabulary.items() if number >= len(stop)}
    for block in blocks:
        block.resize(block.shape[0], len(words))
    return sp.vstack(blocks, format="csr"), words


@dataclass
class RankBM25(Builtin):
    """BM25Okapi of the rank-bm25 package, on the same tokens: slow, and with its own floor for negative idf."""

    k1: Positive = 1.5
    b: Share = 0.75
    epsilon: Positive = 0.25
    stopwords: Literal["en", "none"] = "en"

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "tokenizer": f"lower-case, {TOKEN.pattern}", "stemmer": "none"}

    def index(self, corpus: Corpus) -> None:
        from rank_bm25 import BM25Okapi

        self._corpus = corpus
        stop = stop_words(self.stopwords)
        with track("tokenising", len(corpus)):
            texts = [tokenize(document.contents, stop) for document in corpus.documents()]
        self._engine = BM25Okapi(texts, k1=self.k1, b=self.b, epsilon=self.epsilon) if any(texts) else None

    def search(self, queries: Sequence[Query], k: int) -> Hits:
        stop, n = stop_words(self.stopwords), len(self._corpus)
        scores: NDArray[np.float64] = np.zeros((len(queries), n))
        with track("searching", len(queries)) as advance:
            for row, query in enumerate(queries):
                if self._engine is not None:
                    scores[row] = self._engine.get_scores(tokenize(query.text, stop))
                advance(1)
        documents = np.where(scores != 0, np.arange(n), -1)
        hits = settle(documents, np.where(scores != 0, scores, -math.inf), n, self._corpus, lambda row: scores[row])
        return Hits(hits.documents[:, :k], hits.scores[:, :k])

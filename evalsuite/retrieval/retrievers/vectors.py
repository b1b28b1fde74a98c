"""Searching document vectors by inner product: exactly, or with a FAISS index that says how much it loses."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from evalsuite.retrieval.retrievers.base import top_k

Vectors = NDArray[np.float32]
Engine = Literal["exact", "faiss-flat", "faiss-hnsw", "faiss-ivf"]

CHUNK_ROWS = 16_384
QUERY_BLOCK = 256
HNSW = {"M": 32, "efConstruction": 200, "efSearch": 256}
IVF = {"nprobe": 32}
ENGINE_SETTINGS = {"faiss-hnsw": HNSW, "faiss-ivf": IVF}


def exact_search(queries: Vectors, shards: Iterable[Vectors], k: int) -> tuple[NDArray[np.int64], Vectors]:
    """The k highest inner products per query over all shards, by chunked matrix products and a running top-k.

    `queries` float32 [q, d]; `shards` float32 [*, d] in document order. Returns documents int [q, min(k, n)] and scores
    float32, unordered. Memory is bounded by one chunk of 16,384 documents and 256 queries.
    """
    best_documents = np.empty((len(queries), 0), dtype=np.int64)
    best_scores = np.empty((len(queries), 0), dtype=np.float32)
    start = 0
    for chunk in _chunks(shards):
        parts = []
        for first in range(0, len(queries), QUERY_BLOCK):
            rows = slice(first, first + QUERY_BLOCK)
            scores = queries[rows] @ chunk.T
            picked = top_k(scores, k)
            documents = np.concatenate([best_documents[rows], picked + start], axis=1)
            merged = np.concatenate([best_scores[rows], np.take_along_axis(scores, picked, 1)], axis=1)
            kept = top_k(merged, k)
            parts.append((np.take_along_axis(documents, kept, 1), np.take_along_axis(merged, kept, 1)))
        best_documents = np.concatenate([documents for documents, _ in parts])
        best_scores = np.concatenate([merged for _, merged in parts])
        start += len(chunk)
    return best_documents, best_scores


def _chunks(shards: Iterable[Vectors]) -> Iterator[Vectors]:
    """Shards joined to chunks of CHUNK_ROWS; a larger shard is cut without copying."""
    waiting: list[Vectors] = []
    for shard in shards:
        if not waiting and len(shard) >= CHUNK_ROWS:
            yield from (shard[i : i + CHUNK_ROWS] for i in range(0, len(shard), CHUNK_ROWS))
            continue
        waiting.append(shard)
        if sum(map(len, waiting)) >= CHUNK_ROWS:
            yield np.concatenate(waiting)
            waiting = []
    if waiting:
        yield np.concatenate(waiting)


def faiss_index(engine: Engine, path: Path | None, shards: Callable[[], Iterator[Vectors]], n: int) -> Any:
    """A FAISS index over the shards, read memory-mapped from `path` or built, stored there and then read back."""
    import faiss

    if path is not None and path.exists():
        return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
    dimension = next(shards()).shape[1]
    index: Any
    if engine == "faiss-flat":
        index = faiss.IndexFlatIP(dimension)
    elif engine == "faiss-hnsw":
        index = faiss.IndexHNSWFlat(dimension, HNSW["M"], faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction, index.hnsw.efSearch = HNSW["efConstruction"], HNSW["efSearch"]
    else:
        cells = ivf_cells(n)
        index = faiss.IndexIVFFlat(faiss.IndexFlatIP(dimension), dimension, cells, faiss.METRIC_INNER_PRODUCT)
        index.train(_sample(shards, n, cells * 64))
        index.nprobe = min(IVF["nprobe"], cells)
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1 if engine == "faiss-hnsw" else threads)  # HNSW differs from run to run on several
    try:
        for shard in shards():
            index.add(np.ascontiguousarray(shard))
    finally:
        faiss.omp_set_num_threads(threads)
    if path is None:
        return index
    scratch = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    faiss.write_index(index, str(scratch))
    scratch.replace(path)
    return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)


def ivf_cells(n: int) -> int:
    """Cells of the inverted file: 4 sqrt(n), with at least 39 training points each (FAISS' own minimum)."""
    return max(1, min(int(4 * n**0.5), n // 39))


def _sample(shards: Callable[[], Iterator[Vectors]], n: int, size: int) -> Vectors:
    """At most `size` vectors, evenly spaced over the corpus."""
    wanted = np.linspace(0, n - 1, min(size, n)).astype(np.int64)
    parts, start = [], 0
    for shard in shards():
        inside = wanted[(wanted >= start) & (wanted < start + len(shard))]
        parts.append(shard[inside - start])
        start += len(shard)
    return np.ascontiguousarray(np.concatenate(parts))

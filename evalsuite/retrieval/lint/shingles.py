"""Near duplicates: sets of word shingles, MinHash with banding to find candidates, Jaccard of the whole sets to decide.

Sources: Broder (1997), On the resemblance and containment of documents; banding: Leskovec, Rajaraman & Ullman, Mining of
Massive Datasets, ch. 3. The sets lie in a temporary file (8 bytes a word), the band keys in memory (160 bytes a document).
"""

from __future__ import annotations

import tempfile
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

SHINGLE = 5
NEAR = 0.8
# 20 bands of 5 rows: a pair of Jaccard 0.8 becomes a candidate with probability 1 - (1 - 0.8^5)^20 = 0.9996.
BANDS, ROWS = 20, 5
WINDOW = 20  # documents of one bucket that are compared with each; larger buckets join through their neighbours
SEED = 20260501

Hashes = NDArray[np.uint64]
_RADIX = np.uint64(0x9E3779B97F4A7C15)


def mixed(values: Hashes) -> Hashes:
    """A bijection of 64-bit numbers whose output bits all depend on all input bits. Source: splitmix64, Steele et al. (2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def word_hashes(numbers: NDArray[np.int64]) -> Hashes:
    """Vocabulary numbers to hashes."""
    return mixed((numbers.astype(np.uint64) + np.uint64(1)) * _RADIX)


def rolled(words: Hashes, width: int) -> Hashes:
    """A hash of every `width` words in a row: [n] -> [n - width + 1]."""
    total = np.zeros(max(len(words) - width + 1, 0), dtype=np.uint64)
    for place in range(width):
        total = total * _RADIX + words[place : place + len(total)]
    return mixed(total)


def inside(lengths: NDArray[np.int64], width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of texts laid end to end: the starts of `width` words that lie in one text, and that text's number."""
    text = np.repeat(np.arange(len(lengths)), lengths)
    start = np.arange(len(text))
    whole = start + width <= np.cumsum(lengths)[text]
    return start[whole], text[whole]


class ShingleSets:
    """The shingle set of every document. Documents are added in order, block by block."""

    def __init__(self, n_documents: int) -> None:
        rng = np.random.default_rng(SEED)
        self._factors = rng.integers(2**63, size=(BANDS, ROWS), dtype=np.uint64) * np.uint64(2) + np.uint64(1)
        self._shifts = rng.integers(2**63, size=(BANDS, ROWS), dtype=np.uint64)
        self._bands: Hashes = np.zeros((n_documents, BANDS), dtype=np.uint64)
        self.sizes = np.zeros(n_documents, dtype=np.int64)
        self._file = tempfile.TemporaryFile(prefix="evalsuite-lint-")  # noqa: SIM115 - lives as long as the sets

    def add(self, first: int, words: Hashes, lengths: NDArray[np.int64]) -> None:
        """The texts of documents first, first + 1, ... as word hashes laid end to end."""
        start, text = inside(lengths, SHINGLE)
        if len(start) == 0:
            return
        hashes = rolled(words, SHINGLE)[start]
        order = np.lexsort((hashes, text))
        hashes, text = hashes[order], text[order]
        fresh = np.append(True, (hashes[1:] != hashes[:-1]) | (text[1:] != text[:-1]))
        hashes, text = hashes[fresh], text[fresh]
        self._file.write(hashes.tobytes())
        sizes = np.bincount(text, minlength=len(lengths))
        self.sizes[first : first + len(lengths)] = sizes
        filled = np.flatnonzero(sizes)
        starts = (np.cumsum(sizes) - sizes)[filled]
        for band in range(BANDS):
            key = np.zeros(len(filled), dtype=np.uint64)
            for factor, shift in zip(self._factors[band], self._shifts[band], strict=True):
                key = mixed(key * _RADIX + np.minimum.reduceat(hashes * factor + shift, starts))
            self._bands[first + filled, band] = key

    @cached_property
    def _sets(self) -> Hashes:
        self._file.flush()
        return np.memmap(self._file, dtype=np.uint64, mode="r") if self.sizes.any() else np.empty(0, dtype=np.uint64)

    @cached_property
    def _ends(self) -> NDArray[np.int64]:
        return np.cumsum(self.sizes)

    def jaccard(self, one: int, other: int) -> float:
        """Shared shingles over all shingles of two documents that have some."""
        first, second = (self._sets[self._ends[d] - self.sizes[d] : self._ends[d]] for d in (one, other))
        shared = len(np.intersect1d(first, second, assume_unique=True))
        return shared / (len(first) + len(second) - shared)

    def candidates(self) -> NDArray[np.int64]:
        """Pairs of documents, int [m, 2], first < second, that agree in a band and may reach NEAR by their sizes."""
        n, filled = len(self.sizes), np.flatnonzero(self.sizes)
        found = np.empty(0, dtype=np.int64)
        for band in range(BANDS):
            order = filled[np.argsort(self._bands[filled, band], kind="stable")]
            keys = self._bands[order, band]
            pairs = []
            for gap in range(1, WINDOW):
                same = np.flatnonzero(keys[gap:] == keys[:-gap])
                if len(same) == 0:
                    break
                pairs.append(order[same] * n + order[same + gap])
            found = np.unique(np.concatenate([found, *pairs]))
        one, other = found // max(n, 1), found % max(n, 1)
        small, large = np.sort(self.sizes[np.stack([one, other])], axis=0)
        kept = small >= NEAR * large
        return np.stack([one[kept], other[kept]], axis=1)

    def groups(self) -> NDArray[np.int64]:
        """Documents joined by chains of pairs with a Jaccard of NEAR or more: the first document of its group, int [n]."""
        above = list(range(len(self.sizes)))

        def root(document: int) -> int:
            while above[document] != document:
                above[document] = document = above[above[document]]
            return document

        for one, other in self.candidates().tolist():
            first, second = sorted((root(one), root(other)))
            if first != second and self.jaccard(one, other) >= NEAR:
                above[second] = first
        return np.array([root(document) for document in above], dtype=np.int64)

"""One pass over the documents: what the rules need of the texts and of the raw records, and no text."""

from __future__ import annotations

import hashlib
import json
import re
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evalsuite.progress import track
from evalsuite.retrieval.corpus import Corpus, Document
from evalsuite.retrieval.formats import records
from evalsuite.retrieval.layouts import Layout
from evalsuite.retrieval.lint.shingles import SHINGLE, Hashes, ShingleSets, inside, rolled, word_hashes
from evalsuite.retrieval.retrievers.lexical import TOKEN, stop_words

BLOCK_WORDS = 200_000
GRAM = 4
RARE_DF = 5  # documents a word may stand in and still point at them: "df <= a few"
COMMON_GRAM_DF = 10  # a run of words in more documents than this is boilerplate
PREFIX = "(start of the id)"
CUT_OFF = re.compile(r"(?:[\w,;:–-]|…|\.\.\.|\[?truncated\]?)\s*$", re.IGNORECASE)
SURFACE_WORD = re.compile(r"\d[\d.,:/-]*\d|\w[\w-]*")

Pairs = NDArray[np.int64]


def words_of(text: str) -> list[str]:
    """The tokens of our BM25, stop words kept."""
    return TOKEN.findall(text.lower())


@dataclass
class Scan:
    """What one pass leaves in memory. Shapes are [documents] unless said; sets of documents name first copies only.

    `lengths`: characters of the contents. `cut_off`: ends in the middle of a word or clause. `shingles`: of first copies.
    `df`: word of a watched query -> documents that hold it; `rare`: those documents, where df <= RARE_DF.
    `grams`: hash of GRAM words in a row -> documents, for the runs of watched queries: query -> {hash: words} in `runs`.
    `surface`: kept documents -> words as written. `labels` int [m, 2]: document and code of each metadata value; `names`:
    code -> (key, value) for values of golds; `keys`: metadata key -> documents that have it.
    """

    lengths: NDArray[np.int64]
    cut_off: NDArray[np.bool_]
    shingles: ShingleSets
    runs: dict[int, dict[int, str]]
    df: dict[str, int] = field(default_factory=dict)
    rare: dict[str, set[int]] = field(default_factory=dict)
    grams: dict[int, set[int]] = field(default_factory=dict)
    surface: dict[int, frozenset[str]] = field(default_factory=dict)
    labels: Pairs = field(default_factory=lambda: np.empty((0, 2), dtype=np.int64))
    names: dict[int, tuple[str, str]] = field(default_factory=dict)
    keys: Counter[str] = field(default_factory=Counter)


def raw_documents(corpus: Corpus, layout: Layout | None) -> Iterator[tuple[Document, dict[str, Any]]]:
    """Every document of the corpus with its record as published; the record is empty where there is no file."""
    if layout is None:
        for document in corpus.documents():
            yield document, {}
        return
    for path in layout.documents:
        for _, record in records(path):
            name = str(record["_id"] if record.get("_id") is not None else record["id"])
            if name not in corpus.copies:
                yield Document(name, record.get("title") or "", record["text"]), record


def metadata(record: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(key, value) of all that a record holds beside id, title and text: dotted keys, each member of a list."""
    for key, value in record.items():
        if key not in ("_id", "id", "title", "text"):
            yield from _flat("" if key == "metadata" and isinstance(value, dict) else key, value)


def _flat(key: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(f"{key}.{name}" if key else str(name), inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _flat(key, inner)
    elif value not in (None, ""):
        yield key, value if isinstance(value, str) else json.dumps(value)


def runs_of_words(text: str, vocabulary: dict[str, int]) -> dict[int, str]:
    """Hash -> words of every GRAM words in a row of which two or more are no stop words."""
    words, stop = words_of(text), stop_words("en")
    hashes = rolled(word_hashes(np.array([vocabulary[w] for w in words], dtype=np.int64)), GRAM).tolist()
    runs = {code: words[place : place + GRAM] for place, code in enumerate(hashes)}
    return {code: " ".join(run) for code, run in runs.items() if sum(w not in stop for w in run) >= 2}


class Scanner:
    """Reads the documents once.

    `watched`: query number -> text of the queries whose words are looked for. `golds`: documents that are relevant to any
    query. `kept`: documents whose words are kept as written.
    """

    def __init__(self, corpus: Corpus, watched: dict[int, str], golds: set[int], kept: set[int]) -> None:
        vocabulary: defaultdict[str, int] = defaultdict()
        vocabulary.default_factory = vocabulary.__len__
        vocabulary[""]  # fills texts shorter than one shingle
        for text in watched.values():
            for word in words_of(text):
                vocabulary[word]
        self._words = list(vocabulary)
        self._runs = {query: runs_of_words(text, vocabulary) for query, text in watched.items()}
        self._wanted: Hashes = np.array(sorted({c for run in self._runs.values() for c in run}), dtype=np.uint64)
        self._vocabulary, self._golds, self._kept, self._corpus = vocabulary, golds, kept, corpus
        self._df = np.zeros(len(self._words), dtype=np.int64)
        self._rare: list[tuple[int, int]] = []
        self._hits: list[tuple[int, int]] = []

    def scan(self, layout: Layout | None) -> Scan:
        n, first_copy = len(self._corpus), ~self._corpus.is_copy
        found = Scan(np.zeros(n, dtype=np.int64), np.zeros(n, dtype=bool), ShingleSets(n), self._runs)
        labels, tokens, lengths, first = array("q"), array("q"), array("q"), 0
        with track(f"linting {self._corpus.name}", n) as advance:
            for number, (document, record) in enumerate(raw_documents(self._corpus, layout)):
                contents = document.contents
                found.lengths[number] = len(contents)
                found.cut_off[number] = bool(CUT_OFF.search(contents, max(0, len(contents) - 20)))
                if number in self._kept:
                    found.surface[number] = frozenset(SURFACE_WORD.findall(contents))
                labels.extend(self._labels(number, document.id, record, found))
                words = list(map(self._vocabulary.__getitem__, words_of(contents))) if first_copy[number] else []
                words += [0] * (SHINGLE - len(words)) if words else []
                tokens.extend(words)
                lengths.append(len(words))
                if len(tokens) >= BLOCK_WORDS or number == n - 1:
                    self._take(found.shingles, first, np.array(tokens), np.array(lengths))
                    advance(len(lengths))
                    tokens, lengths, first = array("q"), array("q"), number + 1
        found.labels = np.array(labels, dtype=np.int64).reshape(-1, 2)
        found.df = {word: int(df) for word, df in zip(self._words, self._df, strict=True) if df}
        for word, document_number in self._rare:
            if self._df[word] <= RARE_DF:
                found.rare.setdefault(self._words[word], set()).add(document_number)
        for code, document_number in self._hits:
            found.grams.setdefault(code, set()).add(document_number)
        return found

    def _labels(self, number: int, name: str, record: dict[str, Any], found: Scan) -> Iterator[int]:
        """Document number and code of each value of its metadata, and of its id without the digits at the end."""
        pairs = dict.fromkeys(metadata(record))
        found.keys.update({key for key, _ in pairs})
        start = re.sub(r"[\W_]*\d+$", "", name)
        if start and start != name:
            pairs[PREFIX, start] = None
        for key, value in pairs:
            code = int.from_bytes(hashlib.blake2b(f"{key}\0{value}".encode("utf-8", "replace"), digest_size=7).digest())
            if number in self._golds:
                found.names.setdefault(code, (key, value))
            yield from (number, code)

    def _take(self, shingles: ShingleSets, first: int, tokens: Pairs, lengths: Pairs) -> None:
        hashes = word_hashes(tokens)
        shingles.add(first, hashes, lengths)
        text = np.repeat(np.arange(len(lengths)), lengths)
        watched = (tokens > 0) & (tokens < len(self._words))
        pairs = np.unique(text[watched] * len(self._words) + tokens[watched])
        word, document = pairs % len(self._words), pairs // len(self._words) + first
        rare = self._df[word] <= RARE_DF
        self._rare += zip(word[rare].tolist(), document[rare].tolist(), strict=True)
        self._df += np.bincount(word, minlength=len(self._words))
        start, text = inside(lengths, GRAM)
        if len(self._wanted) and len(start):
            codes = rolled(hashes, GRAM)[start]
            hit = np.isin(codes, self._wanted)
            self._hits += zip(codes[hit].tolist(), (text[hit] + first).tolist(), strict=True)

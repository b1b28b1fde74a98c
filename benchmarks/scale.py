"""Write a corpus of synthetic filler, of any size: for measuring time and memory, never quality. Same arguments, same bytes.

python benchmarks/scale.py FOLDER --documents 100000 --queries 500 --seed 7

Words are drawn from a Zipf-Mandelbrot vocabulary, so that posting lists have the lengths of real ones; a query is six words of
its one relevant document. The card says `filler: true`: reports and leaderboards give such runs no place.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

VOCABULARY = 300_000
MEAN_LENGTH = 100
QUERY_WORDS = 6
CARD = """\
# Synthetic filler: random words without meaning, written by benchmarks/scale.py. For time and memory only; no score on it is one.
name: filler-{documents}
version: 1.0.0
title: Synthetic filler of {documents} documents
filler: true
mechanism: filler
language: none
licence: CC0-1.0
provenance: random words, seed {seed}
counts: {{documents: {documents}, queries: {queries}}}
known_limits: [nothing can be learned from it but speed]
"""


def texts(documents: int, seed: int) -> Iterator[list[str]]:
    """Word lists of the documents, drawn in blocks so that any number fits in memory."""
    rng = np.random.default_rng(seed)
    weights = 1 / (np.arange(VOCABULARY) + 2.7) ** 1.07
    bounds = np.cumsum(weights / weights.sum())
    for start in range(0, documents, 10_000):
        n = min(10_000, documents - start)
        lengths = np.clip(rng.lognormal(np.log(MEAN_LENGTH) - 0.08, 0.4, n).astype(int), 8, 512)
        drawn = np.searchsorted(bounds, rng.random(lengths.sum())).clip(0, VOCABULARY - 1)
        for words in np.split(drawn, np.cumsum(lengths)[:-1]):
            yield [f"w{number}" for number in words]


def write(folder: Path, documents: int, queries: int, seed: int) -> None:
    """Write the corpus; `queries` is at most `documents`. The card is written last, so that a torn folder has none."""
    rng = np.random.default_rng(seed + 1)
    asked = {int(place): number for number, place in enumerate(rng.choice(documents, queries, replace=False))}
    (folder / "qrels").mkdir(parents=True)
    with (
        (folder / "corpus.jsonl").open("w") as corpus,
        (folder / "queries.jsonl").open("w") as queried,
        (folder / "qrels" / "gold.tsv").open("w") as judged,
    ):
        judged.write("query-id\tcorpus-id\tscore\n")
        for place, words in enumerate(texts(documents, seed)):
            corpus.write(json.dumps({"_id": f"f{place}", "text": " ".join(words)}) + "\n")
            if place in asked:
                chosen = rng.choice(words, min(QUERY_WORDS, len(words)), replace=False).tolist()
                queried.write(json.dumps({"_id": f"q{asked[place]}", "text": " ".join(chosen)}) + "\n")
                judged.write(f"q{asked[place]}\tf{place}\t1\n")
    (folder / "corpus.yaml").write_text(CARD.format(documents=documents, queries=queries, seed=seed))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a folder that does not exist yet")
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    if given.folder.exists():
        parser.error(f"{given.folder} exists already")
    if not 1 <= given.queries <= given.documents:
        parser.error(f"--queries must be 1 to the number of documents; found {given.queries} of {given.documents}")
    write(given.folder, given.documents, given.queries, given.seed)
    print(f"{given.documents:,} documents, {given.queries:,} queries -> {given.folder}")


if __name__ == "__main__":
    main()

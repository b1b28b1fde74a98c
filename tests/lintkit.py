"""A small corpus that passes every rule of the corpus linter, to plant one defect in."""

import hashlib
import json
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from conftest import write_jsonl, write_tsv

FAMILIES, OTHERS, ZEROS = 104, 260, 8
MECHANISMS = ("descriptive", "analogue", "tip-of-the-tongue")


@dataclass
class Made:
    """The parts of a corpus, as they go to disk. A family is an oblique query, its surface twin and two golds."""

    documents: dict[str, dict[str, Any]] = field(default_factory=dict)
    queries: dict[str, dict[str, Any]] = field(default_factory=dict)
    qrels: dict[tuple[str, str], int] = field(default_factory=dict)
    split: dict[str, str] = field(default_factory=dict)
    recorded: list[dict[str, Any]] = field(default_factory=list)
    exclusions: dict[str, list[str]] = field(default_factory=dict)
    card: dict[str, Any] = field(default_factory=dict)
    common: list[str] = field(default_factory=list)

    @property
    def oblique(self) -> list[str]:
        return [name for name in self.queries if not name.endswith("-s")]

    @property
    def others(self) -> list[str]:
        golds = {document for (_, document), grade in self.qrels.items() if grade}
        return [name for name in self.documents if name not in golds]

    def golds(self, query: str) -> list[str]:
        return [document for (name, document), grade in self.qrels.items() if name == query and grade]

    def add(self, name: str, text: str, **fields: Any) -> str:
        self.documents[name] = {"_id": name, "text": text, "metadata": {"language": "en"}, **fields}
        return name

    def judge_all(self, queries: Iterable[str]) -> None:
        for query in queries:
            for document in self.documents:
                self.qrels.setdefault((query, document), 0)

    def relevant(self, query: str, documents: Iterable[str]) -> None:
        """These and no others are relevant to the query and its twin."""
        for name in (query, f"{query}-s"):
            for document in self.golds(name):
                del self.qrels[name, document]
            self.qrels |= {(name, document): 1 for document in documents}
        self.recorded += [{"qid": query, "docid": document, "score": 3} for document in documents]
        seen = {(row["qid"], row["docid"]): row for row in self.recorded}
        self.recorded = list(seen.values())

    def keep(self, families: int) -> None:
        """Only the first families; documents stay."""
        kept = {name for query in self.oblique[:families] for name in (query, f"{query}-s")}
        self.queries = {name: query for name, query in self.queries.items() if name in kept}
        self.qrels = {pair: grade for pair, grade in self.qrels.items() if pair[0] in kept}
        self.split = {name: side for name, side in self.split.items() if name in kept}
        self.recorded = [row for row in self.recorded if row["qid"] in kept]

    def reorder(self, names: Iterable[str]) -> None:
        self.documents = {name: self.documents[name] for name in names}

    def write(self, folder: Path, **card: Any) -> Path:
        """The corpus folder; `card` replaces keys of corpus.yaml, None takes them out."""
        files = [
            write_jsonl(folder / "corpus.jsonl", self.documents.values()),
            write_jsonl(folder / "queries.jsonl", self.queries.values()),
            write_tsv(
                folder / "qrels" / "gold.tsv",
                [(*pair, grade) for pair, grade in self.qrels.items()],
                ("query-id", "corpus-id", "score"),
            ),
        ]
        if self.recorded:
            files.append(write_jsonl(folder / "judgements" / "reader.jsonl", self.recorded))
        if self.split:
            files.append(write_tsv(folder / "split.tsv", self.split.items(), ("query-id", "split")))
        if self.exclusions:
            (folder / "exclusions.json").write_text(json.dumps(self.exclusions))
            files.append(folder / "exclusions.json")
        stated = {
            "name": "made",
            "version": "1.0.0",
            "licence": "CC0-1.0",
            "provenance": "made for a test from random words",
            "mechanism": "descriptive",
            "known_limits": ["it means nothing"],
            "counts": {
                "documents": len(self.documents),
                "queries": len(self.queries),
                "judgements": len(self.qrels),
                "relevant": sum(map(bool, self.qrels.values())),
            },
            "sha256": {str(f.relative_to(folder)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files},
        } | self.card
        stated = {key: value for key, value in {**stated, **card}.items() if value is not None}
        (folder / "corpus.yaml").write_text(yaml.safe_dump(stated), encoding="utf-8")
        return folder


def clean(seed: int = 5) -> Made:
    """104 independent families over 468 documents. Oblique queries use words that no document has; documents use 300 common
    words, and the golds of a family three words of their own, which its twin names.
    """
    rng = random.Random(seed)
    syllables = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]

    def fresh_words(n: int, taken: set[str]) -> list[str]:
        words: list[str] = []
        while len(words) < n:
            word = "".join(rng.choices(syllables, k=4))
            if word not in taken:
                taken.add(word)
                words.append(word)
        return words

    taken: set[str] = set()
    made = Made(common=fresh_words(300, taken))
    abstract = fresh_words(60, taken)

    def text(extra: Iterable[str] = ()) -> str:
        words = rng.choices(made.common, k=rng.randint(35, 60))
        for word in extra:
            words.insert(rng.randrange(len(words)), word)
        return " ".join(words).capitalize() + "."

    names = iter(rng.sample([f"{a}{b}{c}" for a in "bcdf" for b in "ghjk" for c in syllables], FAMILIES * 2 + OTHERS))

    def document(extra: Iterable[str] = ()) -> str:
        return made.add(next(names), text(extra), metadata={"language": "en", "year": rng.randint(1990, 2020)})

    for number in range(FAMILIES):
        query, own = f"q{number:03d}", fresh_words(3, taken)
        group = {"group": f"g{number:03d}"}
        mechanism = MECHANISMS[number % 3]
        asked = " ".join(rng.choices(abstract, k=14))
        made.queries[query] = {"_id": query, "text": asked, "metadata": {"mechanism": mechanism, **group}}
        about = {"mechanism": "surface", "twin_of": query, **group}
        made.queries[f"{query}-s"] = {"_id": f"{query}-s", "text": " ".join(own), "metadata": about}
        golds = [document(own), document(own)]
        made.relevant(query, golds)
        for name in (query, f"{query}-s"):
            made.split[name] = "dev" if number % 4 == 0 else "test"
    for _ in range(OTHERS):
        document()
    others = made.others
    for query in made.oblique:
        for name in rng.sample(others, ZEROS):
            made.qrels[query, name] = made.qrels[f"{query}-s", name] = 0
    made.reorder(rng.sample(list(made.documents), len(made.documents)))
    return made

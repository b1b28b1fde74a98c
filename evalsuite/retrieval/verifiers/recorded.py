"""Recorded judgements: V from scores that somebody gave once, the same to the digit on every machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from evalsuite.errors import InputError, UsageError, shown
from evalsuite.retrieval.corpus import Corpus, Query
from evalsuite.retrieval.retrievers.base import Track
from evalsuite.retrieval.runs import read_run
from evalsuite.retrieval.verifiers.base import Verifier
from evalsuite.storage import sha256_file
from evalsuite.textfiles import require_file

FOLDER = "judgements"


@dataclass
class Recorded(Verifier):
    """Scores from a corpus's judgements/<name>.jsonl, or from any `file` of lines {"qid", "docid", "score"}.

    Without `name` the corpus's only one. What is judged there is the pool, unless `pool` is given: then every candidate of
    a judged query must be judged. Queries without judgements are left out of the run.
    """

    track: ClassVar[Track] = "read-everything"
    name: str | None = None
    file: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._source: tuple[str, str] | None = None
        if self.file is not None:
            require_file(Path(self.file))
            if self.name is not None:
                raise UsageError("recorded takes name= or file=, not both")

    def settings(self) -> dict[str, Any]:
        own = super().settings()
        own.pop("file")
        name, sha256 = self._source or (self.name, None)
        return {**own, "name": name, "judgements_sha256": sha256}

    def _find_candidates(self, corpus: Corpus) -> Mapping[str, Iterable[str]]:
        path = self._locate(corpus)
        self._source = path.name.partition(".jsonl")[0], sha256_file(path)
        run = read_run(path, corpus)
        self._scores = {
            corpus.queries[query].id: {
                int(document): float(score) for document, score in zip(documents, scores, strict=True) if document >= 0
            }
            for query, documents, scores in zip(run.queries, run.documents, run.scores, strict=True)
        }
        if self.pool is None:
            return {qid: [corpus.doc_ids[number] for number in row] for qid, row in self._scores.items()}
        wanted = {qid: names for qid, names in super()._find_candidates(corpus).items() if qid in self._scores}
        lacking = [
            (qid, name)
            for qid, names in wanted.items()
            for name in names
            if corpus.doc_number[name] not in self._scores[qid]
        ]
        if lacking:
            (qid, name), total = lacking[0], sum(len(list(names)) for names in wanted.values())
            raise InputError(
                f"{len(lacking)} of {total} candidates of the pool are not judged, first document {shown(name)} of query "
                f"{shown(qid)}; judge them, or leave pool= out to rank what is judged",
                where=str(path),
            )
        return wanted

    def _locate(self, corpus: Corpus) -> Path:
        if self.file is not None:
            return Path(self.file)
        folder = None if corpus.root is None else corpus.root / FOLDER
        if folder is None or not folder.is_dir():
            raise InputError(f"ships no recorded judgements ({FOLDER}/NAME.jsonl); use file=PATH", where=corpus.name)
        found = {path.name.partition(".jsonl")[0]: path for path in sorted(folder.glob("*.jsonl*"))}
        if self.name is None and len(found) == 1:
            return next(iter(found.values()))
        if self.name not in found:
            what = "choose one by name=" if self.name is None else f"has no {shown(self.name)}"
            raise InputError(f"{what}; there are {', '.join(found) or 'none'}", where=str(folder))
        return found[self.name]

    def _score(self, queries: Sequence[Query], shown: list[list[int]]) -> list[list[float]]:
        return [
            [self._scores[query.id][number] for number in documents]
            for query, documents in zip(queries, shown, strict=True)
        ]

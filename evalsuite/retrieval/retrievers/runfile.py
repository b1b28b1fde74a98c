"""A run file as a retriever: somebody else's ranking, scored and fused like any other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from evalsuite.retrieval.corpus import Corpus, Query
from evalsuite.retrieval.retrievers.base import Builtin, Hits
from evalsuite.retrieval.runs import in_order, read_run
from evalsuite.storage import sha256_file
from evalsuite.textfiles import require_file


@dataclass
class RunFile(Builtin):
    """The rankings of a TREC, TSV or JSONL run file (also .gz)."""

    path: str = field(metadata={"command_line": False})

    def __post_init__(self) -> None:
        require_file(Path(self.path))

    def settings(self) -> dict[str, Any]:
        return {
            **super().settings(),
            "path": Path(self.path).name,
            "sha256": sha256_file(Path(self.path)),
        }

    def index(self, corpus: Corpus) -> None:
        run = in_order(read_run(Path(self.path), corpus), corpus)
        self._rows = {corpus.queries[query].id: row for row, query in enumerate(run.queries)}
        self._run = run
        self.facts = {"depth": int(run.documents.shape[1]), "made_elsewhere": True}

    def search(self, queries: Sequence[Query], k: int) -> Hits:
        depth = min(k, self._run.documents.shape[1])
        hits = Hits(np.full((len(queries), depth), -1), np.full((len(queries), depth), -np.inf))
        for place, query in enumerate(queries):
            row = self._rows.get(query.id)
            if row is not None:
                hits.documents[place], hits.scores[place] = (
                    self._run.documents[row, :depth],
                    self._run.scores[row, :depth],
                )
        return hits

"""artifacts/texts.jsonl.gz: the texts behind a run's rankings, so that a report needs no corpus."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from evalsuite.records import QueryResult, Unit
from evalsuite.retrieval.corpus import Corpus, Document
from evalsuite.storage import atomic_file

CUT = 2_000
LEVEL = 4


def write_texts(run: Path, corpus: Corpus, units: Iterable[Unit]) -> None:
    """Write every document in a `top` or `missed` of the units: {"_id", "title", "text", "cut"?}, in corpus order.

    Title and text are cut at `CUT` characters each; "cut" is true where one was. Same units, same bytes.
    """
    wanted: set[str] = set()
    for unit in units:
        if isinstance(unit, QueryResult):
            wanted.update(entry[0] for entry in (*unit.top, *unit.missed))
    with (
        atomic_file(run / "artifacts" / "texts.jsonl.gz") as stream,
        gzip.GzipFile(filename="", mode="wb", compresslevel=LEVEL, fileobj=stream, mtime=0) as packed,
    ):
        for document in corpus.documents() if wanted else ():
            if document.id in wanted:
                packed.write(_line(document))
                wanted.remove(document.id)
                if not wanted:
                    break


def _line(document: Document) -> bytes:
    record: dict[str, Any] = {"_id": document.id, "title": document.title[:CUT], "text": document.text[:CUT]}
    if len(document.title) > CUT or len(document.text) > CUT:
        record["cut"] = True
    return json.dumps(record, ensure_ascii=False).encode("utf-8", "replace") + b"\n"

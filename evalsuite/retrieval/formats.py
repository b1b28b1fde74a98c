"""Corpora as they are published: our folders, BEIR, OBLIQ-Bench, Hugging Face repositories, ir_datasets.

Everything is checked while it is read, one document at a time; the first problem is an error with file and line.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from evalsuite.errors import InputError, MissingDependencyError, at, shown
from evalsuite.progress import track
from evalsuite.retrieval.corpus import Corpus, Document, Qrels, Query, merge_copies
from evalsuite.storage import sha256_file
from evalsuite.textfiles import read_jsonl, read_lines, require_file

SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet")
# OBLIQ-Bench names its mechanisms by folder; ours are the singular terms of the paper.
OBLIQ_MECHANISMS = {
    "descriptive": "descriptive",
    "analogues": "analogue",
    "tip-of-tongue": "tip-of-the-tongue",
}
PREFERRED_VIEWS = ("gold", "test")


class Card(BaseModel):
    """corpus.yaml. Only the keys the code acts on are named here; the rest is for readers and kept."""

    model_config = ConfigDict(extra="allow")

    name: str | None = None
    version: str = "unversioned"
    mechanism: str | None = None
    default_view: str | None = None
    duplicates: Literal["separate", "merge"] = "separate"
    sha256: dict[str, str] = {}


@dataclass
class Layout:
    """Where the parts of a corpus lie. `views` maps a view's name to its judgement files."""

    name: str
    documents: list[Path]
    queries: list[Path]
    views: dict[str, list[Path]]
    exclusions: Path | None = None
    mechanism: str | None = None
    card: Card = field(default_factory=Card)
    root: Path = Path()
    notes: list[str] = field(default_factory=list)


def load_corpus(source: str | Path, view: str | None = None) -> Corpus:
    """Load and check a corpus.

    `source` is a folder (ours, BEIR's or OBLIQ-Bench's layout), "ir_datasets:ID" or "hf:owner/name[/config][@revision]".
    `view` names the judgements: gold, pooled, or a BEIR split; by default the card's, else gold, else test, else the only one.
    Raises InputError naming file and line for anything that cannot be scored as it stands.
    """
    text = str(source)
    if text.startswith("ir_datasets:"):
        return _from_ir_datasets(text.removeprefix("ir_datasets:"), view)
    layout = _huggingface_layout(text.removeprefix("hf:")) if text.startswith("hf:") else find_layout(Path(source))
    return _load(layout, view)


# ---------------------------------------------------------------- where the files are


def find_layout(folder: Path) -> Layout:
    """Recognise a corpus folder. Raises InputError that says what was looked for."""
    if not folder.exists():
        raise InputError("no such corpus folder", where=str(folder))
    if not folder.is_dir():
        raise InputError(
            "is a file; a corpus is a folder with corpus.jsonl, queries.jsonl and qrels/", where=str(folder)
        )
    for layout in (_flat_layout(folder), _obliq_layout(folder), _split_layout(folder, "", "")):
        if layout is not None:
            return layout
    inside = sorted(str(p.parent.relative_to(folder)) for p in folder.glob("*/*/corpus/corpus.jsonl*"))
    inside = [name.removesuffix("/corpus") for name in inside]
    hint = f"; it contains the corpora {', '.join(inside)}: name one of them" if inside else ""
    raise InputError(
        "is not a corpus: looked for corpus.jsonl (.jsonl.gz, .parquet) with queries and qrels/ (BEIR), "
        f"and for corpus/ with queries+qrels/ (OBLIQ-Bench){hint}",
        where=str(folder),
    )


def _one(folder: Path, stem: str) -> list[Path]:
    """The file `stem`.jsonl, .jsonl.gz or .parquet in a folder, as a list of none or one."""
    found = [folder / (stem + suffix) for suffix in SUFFIXES if (folder / (stem + suffix)).exists()]
    if len(found) > 1:
        raise InputError(f"holds both {found[0].name} and {found[1].name}; keep one", where=str(folder))
    return found


def _flat_layout(folder: Path) -> Layout | None:
    documents, queries = _one(folder, "corpus"), _one(folder, "queries")
    card_file = folder / "corpus.yaml"
    if not documents and not card_file.exists():
        return None
    if not documents:
        raise InputError("has a card but no corpus.jsonl (.jsonl.gz, .parquet)", where=str(folder))
    if not queries:
        raise InputError("has documents but no queries.jsonl (.jsonl.gz, .parquet)", where=str(folder))
    views = {path.stem: [path] for path in sorted((folder / "qrels").glob("*.tsv"))}
    if not views:
        raise InputError("has no judgements: qrels/<view>.tsv is missing", where=str(folder))
    exclusions = folder / "exclusions.json"
    return Layout(
        name=folder.resolve().name,
        documents=documents,
        queries=queries,
        views=views,
        exclusions=exclusions if exclusions.exists() else None,
        card=_read_card(card_file),
        root=folder,
    )


def _obliq_layout(folder: Path) -> Layout | None:
    inner = folder / "queries+qrels"
    if not inner.is_dir():
        return None
    documents, queries = _one(folder / "corpus", "corpus"), _one(inner, "queries")
    if not documents or not queries:
        lacking = "corpus/corpus.jsonl" if not documents else "queries+qrels/queries.jsonl"
        raise InputError(f"looks like an OBLIQ-Bench task but has no {lacking}", where=str(folder))
    files = {"gold": inner / "qrels.tsv", "pooled": inner / "qrels_pool.tsv"}
    views = {name: [path] for name, path in files.items() if path.exists()}
    if not views:
        raise InputError("has no judgements: qrels.tsv and qrels_pool.tsv are both missing", where=str(inner))
    exclusions = inner / "per_query_excluded_ids.json"
    return Layout(
        name=folder.resolve().name,
        documents=documents,
        queries=queries,
        views=views,
        exclusions=exclusions if exclusions.exists() else None,
        mechanism=OBLIQ_MECHANISMS.get(folder.resolve().parent.name),
        card=_read_card(folder / "corpus.yaml"),
        root=folder,
    )


def _split_layout(folder: Path, prefix: str, name: str) -> Layout | None:
    """Hugging Face's folders of shards: [prefix]corpus/, [prefix]queries/, [prefix]qrels/ (or default/), a view a file stem."""
    documents = _shards(folder / f"{prefix}corpus")
    queries = _shards(folder / f"{prefix}queries")
    qrels = [p for part in ("qrels", "default") for p in _shards(folder / f"{prefix}{part}", (".tsv", *SUFFIXES))]
    if not documents or not queries or not qrels:
        return None
    views: dict[str, list[Path]] = {}
    for path in qrels:
        views.setdefault(path.name.split(".")[0].split("-")[0], []).append(path)
    notes = []
    if (folder / f"{prefix}top_ranked").is_dir():
        notes.append(
            "the repository's top_ranked lists are not read: any per-query exclusions they hold are not applied"
        )
    return Layout(
        name=name or folder.resolve().name,
        documents=documents,
        queries=queries,
        views=views,
        card=_read_card(folder / "corpus.yaml"),
        root=folder,
        notes=notes,
    )


def _shards(folder: Path, suffixes: tuple[str, ...] = SUFFIXES) -> list[Path]:
    return sorted(p for p in folder.glob("*") if p.name.endswith(suffixes)) if folder.is_dir() else []


def _huggingface_layout(spec: str) -> Layout:
    from huggingface_hub import snapshot_download

    path, _, revision = spec.partition("@")
    parts = path.split("/")
    if len(parts) not in (2, 3) or not all(parts):
        raise InputError(
            "write hf:owner/name, hf:owner/name/config or hf:owner/name/config@revision", where=f"hf:{spec}"
        )
    repository, config = "/".join(parts[:2]), parts[2] if len(parts) == 3 else ""
    patterns = [f"{config}/*", f"*/{config}/*", f"{config}-*/*"] if config else None

    def download(name: str, wanted: list[str] | None, at_revision: str | None) -> Path:
        try:
            return Path(snapshot_download(name, repo_type="dataset", revision=at_revision, allow_patterns=wanted))
        except Exception as error:  # the hub client raises a dozen unrelated types
            raise InputError(f"cannot be read from Hugging Face: {error}", where=f"hf:{spec}") from error

    folder = download(repository, patterns, revision or None)
    if not config:
        layout = _flat_layout_of_hub(folder, lambda: download(f"{repository}-qrels", None, None)) or find_layout(folder)
        return replace(layout, name=parts[1])
    for task in sorted({p.parent.parent for p in folder.glob(f"**/{config}/corpus/*")}):
        return replace(find_layout(task), name=f"{parts[1]}-{config}")
    layout_or_none = _split_layout(folder, f"{config}-", f"{parts[1]}-{config}")
    if layout_or_none is None:
        raise InputError(f"has no configuration {config!r} in a layout we know", where=f"hf:{spec}")
    return layout_or_none


def _flat_layout_of_hub(folder: Path, qrels: Callable[[], Path]) -> Layout | None:
    """BEIR on the hub keeps the judgements of owner/name in a second repository, owner/name-qrels."""
    if _shards(folder / "qrels", (".tsv", *SUFFIXES)) or (folder / "default").is_dir():
        return None
    documents = _one(folder, "corpus") or _shards(folder / "corpus")
    queries = _one(folder, "queries") or _shards(folder / "queries")
    if not documents or not queries:
        return None
    views = {path.stem: [path] for path in sorted(qrels().glob("*.tsv"))}
    return Layout(name="", documents=documents, queries=queries, views=views, root=folder)


def _read_card(path: Path) -> Card:
    if not path.exists():
        return Card()
    try:
        content = yaml.safe_load(require_file(path).read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = at(path, mark.line + 1 if mark else None)
        raise InputError(f"is not YAML: {getattr(error, 'problem', None) or error}", where=where) from error
    if not isinstance(content, dict):
        raise InputError(f"is not a mapping of keys; found {shown(content)}", where=str(path))
    try:
        return Card.model_validate(content)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(str(part) for part in problem["loc"])
        raise InputError(f"key {key!r}: {problem['msg']}; found {shown(problem['input'])}", where=str(path)) from error


# ---------------------------------------------------------------- what is in the files


def _records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (where, record) of a .jsonl, .jsonl.gz or .parquet file."""
    if path.name.endswith(".parquet"):
        import pyarrow as pa
        import pyarrow.parquet as pq

        require_file(path)
        try:
            row = 0
            for batch in pq.ParquetFile(path).iter_batches(batch_size=2048):
                for record in batch.to_pylist():
                    row += 1
                    yield at(path, row, unit="row"), record
        except (pa.ArrowInvalid, OSError) as error:
            raise InputError(f"is not readable Parquet ({error})", where=str(path)) from error
    else:
        for line, record in read_jsonl(path):
            yield at(path, line), record


def _id(record: dict[str, Any], keys: tuple[str, ...], where: str) -> str:
    for key in keys:
        value = record.get(key)
        if isinstance(value, str) and value:
            if any(c in value for c in "\t\r\n"):
                raise InputError(
                    f"the id {shown(value)} holds a tab or line break, which no run file can carry", where=where
                )
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if value is not None:
            raise InputError(f"key {key!r} must be a non-empty string; found {shown(value)}", where=where)
    raise InputError(f"has no {keys[0]!r}; found the keys {', '.join(record) or '(none)'}", where=where)


def _string(record: dict[str, Any], key: str, where: str, *, optional: bool = False) -> str:
    value = record.get(key)
    if value is None and optional:
        return ""
    if not isinstance(value, str):
        found = f"found {shown(value)}" if key in record else f"found the keys {', '.join(record)}"
        raise InputError(f"key {key!r} must be a string; {found}", where=where)
    return value


def _documents(paths: list[Path]) -> Iterator[tuple[str, Document]]:
    for path in paths:
        for where, record in _records(path):
            document = Document(
                _id(record, ("_id", "id"), where),
                _string(record, "title", where, optional=True),
                _string(record, "text", where),
            )
            yield where, document


def _queries(layout: Layout) -> dict[str, tuple[str, Query]]:
    """Query id -> (where, query), in file order."""
    found: dict[str, tuple[str, Query]] = {}
    for path in layout.queries:
        for where, record in _records(path):
            name, text = _id(record, ("_id", "id"), where), _string(record, "text", where)
            if not text.strip():
                raise InputError(f"query {name!r} has an empty text", where=where)
            if name in found:
                raise InputError(f"query id {name!r} appears twice, first at {found[name][0]}", where=where)
            metadata = record.get("metadata") or {}
            if not isinstance(metadata, dict):
                raise InputError(f"key 'metadata' must be an object; found {shown(metadata)}", where=where)
            labels = {
                key: _string(metadata, key, where) for key in ("mechanism", "group", "twin_of") if metadata.get(key)
            }
            labels.setdefault("mechanism", layout.card.mechanism or layout.mechanism or "")
            found[name] = where, Query(name, text, **{k: v for k, v in labels.items() if v})
    for where, query in found.values():
        if query.twin_of is not None and query.twin_of not in found:
            raise InputError(
                f"query {query.id!r} is the twin of {query.twin_of!r}, which is no query here", where=where
            )
    return found


def read_qrels(path: Path) -> Iterator[tuple[str, str, str, int]]:
    """Yield (where, query id, document id, grade) of a qrels file: TAB-separated, or records with the same names."""
    if not path.name.endswith(".tsv"):
        for where, record in _records(path):
            query, document = (
                _id(record, ("query-id", "query_id"), where),
                _id(record, ("corpus-id", "corpus_id"), where),
            )
            yield where, query, document, _grade(record.get("score"), where)
        return
    columns = 3
    for line, text in read_lines(path):
        where = at(path, line)
        if not text.strip():
            continue
        cells = text.split("\t")
        if line == 1 and cells[0].strip().lower().replace("_", "-") in ("query-id", "qid"):
            columns = len(cells)
            continue
        if len(cells) == 2 == columns:
            cells.append("1")
        if len(cells) != 3:
            raise InputError(
                f"has {len(cells)} column(s); needed are query-id, corpus-id, score separated by TABs", where=where
            )
        if not cells[0] or not cells[1]:
            raise InputError("an id is empty", where=where)
        yield where, cells[0], cells[1], _grade(cells[2].strip(), where)


def _grade(value: Any, where: str) -> int:
    try:
        number = float(value)
        if number == int(number):
            return int(number)
    except (TypeError, ValueError, OverflowError):
        pass
    raise InputError(f"the score must be a whole number; found {shown(value)}", where=where)


def _exclusions(path: Path) -> dict[str, list[str]]:
    try:
        content = json.loads(require_file(path).read_text(encoding="utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"is not JSON: {error}", where=at(path, getattr(error, "lineno", None))) from error
    if not isinstance(content, dict):
        raise InputError('must be an object {"query id": ["document id", ...]}', where=str(path))
    for query, documents in content.items():
        if not isinstance(documents, list) or not all(isinstance(d, str) for d in documents):
            raise InputError(f"key {query!r} must be a list of document ids; found {shown(documents)}", where=str(path))
    return content


# ---------------------------------------------------------------- putting it together


def _load(layout: Layout, view: str | None) -> Corpus:
    card = layout.card
    chosen = _choose_view(layout, view)
    for name, expected in card.sha256.items():
        file = require_file(layout.root / name)
        if (found := sha256_file(file)) != expected:
            raise InputError(f"its sha256 is {found[:12]}..., the card says {expected[:12]}...", where=str(file))
    parts = [*layout.documents, *layout.queries, *layout.views[chosen]]
    if layout.exclusions is not None:
        parts.append(layout.exclusions)
    scan = _scan(lambda: _documents(layout.documents), str(layout.root))
    corpus = Corpus(
        name=card.name or layout.name,
        version=card.version,
        view=chosen,
        doc_ids=scan.doc_ids,
        queries=[],
        qrels=Qrels.of(*np.empty((3, 0), dtype=np.int64)),
        files={
            str(p.relative_to(layout.root)) if p.is_relative_to(layout.root) else p.name: sha256_file(p) for p in parts
        },
        stream=lambda: (document for _, document in _documents(layout.documents)),
        same_text=scan.same_text,
        notes=[*layout.notes, *scan.notes],
        documents_sha256=scan.documents_sha256,
    )
    queries = _queries(layout)
    judged = {
        q for name in layout.views if name != chosen for path in layout.views[name] for _, q, _, _ in read_qrels(path)
    }
    rows = [row for path in layout.views[chosen] for row in read_qrels(path)]
    _judge(corpus, queries, rows, elsewhere=judged, strict=True)
    if layout.exclusions is not None:
        _exclude(corpus, queries, _exclusions(layout.exclusions), str(layout.exclusions))
    if copies := int(corpus.is_copy.sum()):
        how = "scored as one" if card.duplicates == "merge" else "scored as separate documents"
        corpus.notes.append(f"{copies} documents repeat another's text exactly; they are {how}")
    return merge_copies(corpus) if card.duplicates == "merge" else corpus


def _choose_view(layout: Layout, view: str | None) -> str:
    wanted = view or layout.card.default_view
    if wanted is None:
        wanted = next((name for name in PREFERRED_VIEWS if name in layout.views), None)
    if wanted is None and len(layout.views) == 1:
        wanted = next(iter(layout.views))
    if wanted is None:
        raise InputError(
            f"has several views: {', '.join(layout.views)}; choose one with --view", where=str(layout.root)
        )
    if wanted not in layout.views:
        raise InputError(f"has no view {wanted!r}; it has {', '.join(layout.views)}", where=str(layout.root))
    return wanted


class Scan(NamedTuple):
    """What one pass over the documents leaves in memory."""

    doc_ids: list[str]
    same_text: NDArray[np.int64]
    documents_sha256: str
    notes: list[str]


def _scan(read: Callable[[], Iterator[tuple[str, Document]]], where: str) -> Scan:
    """Read all documents once: ids, first document with the same contents, content hash. Keeps no text.

    A document without text is kept and noted, not refused: Cranfield has two, one of them relevant.
    """
    numbers: dict[str, int] = {}
    empty: list[str] = []
    texts = bytearray()
    digest = hashlib.sha256()
    with track("reading documents") as advance:
        for where, document in read():
            if document.id in numbers:
                raise InputError(
                    f"document id {document.id!r} appears twice (as document {numbers[document.id] + 1})", where=where
                )
            try:
                contents = document.contents.encode()
                digest.update(f"{document.id}\0{document.title}\0{document.text}\0".encode())
            except UnicodeEncodeError as error:
                raise InputError(f"holds half a surrogate pair ({error.reason})", where=where) from error
            if not contents:
                empty.append(where)
            numbers[document.id] = len(numbers)
            texts += hashlib.blake2b(contents, digest_size=8).digest()
            if len(numbers) % 1000 == 0:
                advance(1000)
    if not numbers:
        raise InputError("holds no documents", where=where)
    _, first, inverse = np.unique(np.frombuffer(texts, dtype=np.uint64), return_index=True, return_inverse=True)
    notes = [f"{len(empty)} documents have no text, the first at {empty[0]}"] if empty else []
    return Scan(list(numbers), first[inverse].astype(np.int64), digest.hexdigest(), notes)


def _judge(
    corpus: Corpus,
    queries: dict[str, tuple[str, Query]],
    rows: list[tuple[str, str, str, int]],
    *,
    elsewhere: set[str],
    strict: bool,
) -> None:
    """Keep the queries that the view judges, and the judgements, in `corpus`; every id is checked."""
    grades: dict[tuple[str, str], tuple[str, int]] = {}
    repeated = 0
    for where, query, document, grade in rows:
        if query not in queries:
            raise InputError(f"judges query {query!r}, which is not among the queries", where=where)
        if document not in corpus.doc_number:
            raise InputError(f"judges document {document!r}, which is not in the corpus", where=where)
        known = grades.setdefault((query, document), (where, grade))
        if known[1] != grade:
            raise InputError(f"grades {query!r} / {document!r} as {grade}, but {known[0]} says {known[1]}", where=where)
        repeated += known[0] != where
    here = {query for query, _ in grades}
    if not here:
        raise InputError("holds no judgements", where=f"{corpus.name}, view {corpus.view}")
    for name, (where, _) in queries.items():
        if strict and name not in here and name not in elsewhere:
            raise InputError(f"query {name!r} has no judged document", where=where)
    corpus.queries = [query for _, query in queries.values() if query.id in here]
    corpus.unjudged_queries = frozenset(queries.keys() - here)
    pairs = [(corpus.query_number[q], corpus.doc_number[d], grade) for (q, d), (_, grade) in grades.items()]
    corpus.qrels = Qrels.of(*np.array(pairs, dtype=np.int64).T)
    if left_out := len(corpus.unjudged_queries):
        corpus.notes.append(
            f"{left_out} of {len(queries)} queries are not judged in view {corpus.view!r} and are left out"
        )
    if repeated:
        corpus.notes.append(f"{repeated} judgements are repeated with the same grade; each counts once")
    relevant = np.bincount(corpus.qrels.query[corpus.qrels.grade > 0], minlength=len(corpus.queries))
    if without := int((relevant == 0).sum()):
        corpus.notes.append(f"{without} queries have no relevant document and score 0 for every system")


def _exclude(corpus: Corpus, queries: dict[str, tuple[str, Query]], table: dict[str, list[str]], where: str) -> None:
    golds = {
        (int(q), int(d))
        for q, d, g in zip(corpus.qrels.query, corpus.qrels.document, corpus.qrels.grade, strict=True)
        if g > 0
    }
    pairs, unknown = set(), 0
    for name, documents in table.items():
        if name not in queries:
            raise InputError(f"excludes documents for query {name!r}, which is not among the queries", where=where)
        query = corpus.query_number.get(name)
        if query is None:
            continue
        for document in documents:
            number = corpus.doc_number.get(document)
            if number is None:
                unknown += 1
                continue
            if (query, number) in golds:
                raise InputError(
                    f"query {name!r} excludes {document!r}, which is relevant to it in view {corpus.view!r}",
                    where=where,
                )
            pairs.add((query, number))
    corpus.exclusions = np.array(sorted(pairs), dtype=np.int64).reshape(-1, 2)
    if unknown:
        corpus.notes.append(f"{unknown} excluded ids are not in the corpus; there is nothing to exclude for them")


# ---------------------------------------------------------------- ir_datasets


def _from_ir_datasets(name: str, view: str | None) -> Corpus:
    try:
        import ir_datasets
    except ImportError as error:
        raise MissingDependencyError(
            "needs the extra: pip install 'evalsuite[ir-datasets]'", where=f"ir_datasets:{name}"
        ) from error
    place = f"ir_datasets:{name}"
    if view not in (None, "qrels"):
        raise InputError(f"has no view {view!r}; an ir_datasets id names one set of judgements", where=place)
    try:
        dataset = ir_datasets.load(name)
        lacking = [part for part in ("docs", "queries", "qrels") if not getattr(dataset, f"has_{part}")()]
    except KeyError as error:
        raise InputError("is not an ir_datasets id", where=place) from error
    if lacking:
        raise InputError(f"has no {' and no '.join(lacking)}; choose an id that names a judged query set", where=place)

    def documents() -> Iterator[tuple[str, Document]]:
        for number, record in enumerate(dataset.docs_iter(), 1):
            yield f"{place}, document {number}", Document(record.doc_id, "", record.default_text())

    try:
        scan = _scan(documents, place)
        found: dict[str, tuple[str, Query]] = {}
        for record in dataset.queries_iter():
            if not record.default_text().strip():
                raise InputError(f"query {record.query_id!r} has an empty text", where=place)
            found[record.query_id] = place, Query(record.query_id, record.default_text())
        rows = [
            (f"{place}, judgement {n}", r.query_id, r.doc_id, r.relevance)
            for n, r in enumerate(dataset.qrels_iter(), 1)
        ]
    except (OSError, RuntimeError, EOFError) as error:
        raise InputError(f"cannot be read: {error}", where=place) from error
    parts = {"queries": [(q.id, q.text) for _, q in found.values()], "qrels": [row[1:] for row in rows]}
    hashes = {part: hashlib.sha256(json.dumps(content).encode()).hexdigest() for part, content in parts.items()}
    corpus = Corpus(
        name=name,
        version="ir_datasets",
        view="qrels",
        doc_ids=scan.doc_ids,
        queries=[],
        qrels=Qrels.of(*np.empty((3, 0), dtype=np.int64)),
        files={"docs": scan.documents_sha256, **hashes},
        notes=scan.notes,
        stream=lambda: (document for _, document in documents()),
        same_text=scan.same_text,
        documents_sha256=scan.documents_sha256,
    )
    _judge(corpus, found, rows, elsewhere=set(), strict=False)
    return corpus

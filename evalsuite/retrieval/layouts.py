"""Where the parts of a published corpus lie: our folders, BEIR's, OBLIQ-Bench's, and repositories on Hugging Face."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from evalsuite.errors import InputError, at, shown
from evalsuite.textfiles import require_file
from evalsuite.yamlfiles import load_yaml

SUFFIXES = (".jsonl", ".jsonl.gz", ".parquet")
# OBLIQ-Bench names its mechanisms by folder; ours are the singular terms of the paper.
OBLIQ_MECHANISMS = {
    "descriptive": "descriptive",
    "analogues": "analogue",
    "tip-of-tongue": "tip-of-the-tongue",
}


UNVERSIONED = "unversioned"


class Card(BaseModel):
    """corpus.yaml. Only the keys the code acts on are named here; the rest is for readers and kept."""

    model_config = ConfigDict(extra="allow")

    name: str | None = None
    version: str = UNVERSIONED
    mechanism: str | None = None
    default_view: str | None = None
    duplicates: Literal["separate", "merge"] = "separate"
    filler: bool = False
    sha256: dict[str, str] = {}


@dataclass
class Layout:
    """Where the parts of a corpus lie. `views` maps a view's name to its judgement files."""

    name: str
    documents: list[Path]
    queries: list[Path]
    views: dict[str, list[Path]]
    exclusions: Path | None = None
    split: Path | None = None
    mechanism: str | None = None
    card: Card = field(default_factory=Card)
    root: Path = Path()
    notes: list[str] = field(default_factory=list)


def find_layout(folder: Path) -> Layout:
    """Recognise a corpus folder. Raises InputError that says what was looked for."""
    if not folder.exists():
        raise InputError("no such corpus folder", where=str(folder))
    if not folder.is_dir():
        raise InputError(
            "is a file; a corpus is a folder with corpus.jsonl, queries.jsonl and qrels/", where=str(folder)
        )
    for layout in (_flat_layout(folder), _obliq_layout(folder), _split_layout(folder, "")):
        if layout is not None:
            return layout
    nested = {p.parent.parent for depth in ("*", "*/*") for p in folder.glob(f"{depth}/corpus/corpus.jsonl*")}
    inside = sorted(str(p.relative_to(folder)) for p in nested | {p.parent for p in folder.glob("*/corpus.jsonl*")})
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


def _layout(
    folder: Path, documents: list[Path], queries: list[Path], views: dict[str, list[Path]], exclusions: Path
) -> Layout:
    return Layout(
        name=folder.resolve().name,
        documents=documents,
        queries=queries,
        views=views,
        exclusions=exclusions if exclusions.exists() else None,
        split=split if (split := folder / "split.tsv").exists() else None,
        card=_read_card(folder / "corpus.yaml"),
        root=folder,
    )


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
    return _layout(folder, documents, queries, views, folder / "exclusions.json")


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
    layout = _layout(folder, documents, queries, views, inner / "per_query_excluded_ids.json")
    return replace(layout, mechanism=OBLIQ_MECHANISMS.get(folder.resolve().parent.name))


def _split_layout(folder: Path, prefix: str) -> Layout | None:
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
        name=folder.resolve().name,
        documents=documents,
        queries=queries,
        views=views,
        card=_read_card(folder / "corpus.yaml"),
        root=folder,
        notes=notes,
    )


def _shards(folder: Path, suffixes: tuple[str, ...] = SUFFIXES) -> list[Path]:
    return sorted(p for p in folder.glob("*") if p.name.endswith(suffixes)) if folder.is_dir() else []


def huggingface_layout(spec: str) -> Layout:
    """Fetch owner/name[/config][@revision] (from the local cache when offline) and find the corpus in it.

    Its version is the commit, unless a card gives one. Raises InputError for what cannot be fetched or recognised.
    """
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
    layout: Layout | None
    if config:
        tasks = sorted({p.parent.parent for p in folder.glob(f"**/{config}/corpus/*")})
        layout = find_layout(tasks[0]) if tasks else _split_layout(folder, f"{config}-")
    else:
        layout = _flat_layout_of_hub(folder, lambda: download(f"{repository}-qrels", None, None)) or find_layout(folder)
    if layout is None:
        raise InputError(f"has no configuration {config!r} in a layout we know", where=f"hf:{spec}")
    version = folder.name if layout.card.version == UNVERSIONED else layout.card.version  # the commit
    card = layout.card.model_copy(update={"version": version})
    return replace(layout, name="-".join(parts[1:]), card=card)


def _flat_layout_of_hub(folder: Path, qrels: Callable[[], Path]) -> Layout | None:
    """BEIR on the hub keeps the judgements of owner/name in a second repository, owner/name-qrels."""
    if _shards(folder / "qrels", (".tsv", *SUFFIXES)) or (folder / "default").is_dir():
        return None
    documents = _one(folder, "corpus") or _shards(folder / "corpus")
    queries = _one(folder, "queries") or _shards(folder / "queries")
    if not documents or not queries:
        return None
    judgements = qrels()
    views = {path.stem: [path] for path in sorted(judgements.glob("*.tsv"))}
    if not views:
        raise InputError("has no judgements: looked for *.tsv", where=str(judgements))
    return Layout(name="", documents=documents, queries=queries, views=views, root=folder)


def _read_card(path: Path) -> Card:
    if not path.exists():
        return Card()
    try:
        content = load_yaml(require_file(path).read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, ValueError) as error:
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

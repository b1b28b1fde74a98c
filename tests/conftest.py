"""Small corpora written to disk from plain data, and the command line: `cli` in a process of its own, `command` in ours."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import settings

from evalsuite import Corpus
from evalsuite.cli import main

# The same cases in every run, so that a merge never fails on a draw of its own; --hypothesis-profile=default draws anew.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.load_profile("steady")

LONGEST = (
    "test_corpora.py",
    "test_page_browser.py",
    "test_neural_retrievers.py",
    "test_page_hostile.py",
    "test_tasks_bundled.py",
    "test_lab_grid.py",
    "test_verifiers_llm.py",
    "test_retrievers.py",
    "test_task_files.py",
    "test_llm_retrievers.py",
    "test_lab_llm.py",
    "test_pytest_plugin_agents.py",
    "test_lab_cli.py",
    "test_pytest_plugin_verdicts.py",
    "test_evaluate.py",
    "test_statistics_simulated.py",
    "test_pytest_plugin.py",
    "test_bad_input.py",
    "test_lab_grid_profiles.py",
)
APART = ("test_corpora.py", "test_docs.py")
"""Files whose tests share nothing that takes long: each goes to whoever is free."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file stays with one worker of pytest-xdist, so that what its tests share is made once; marks of groups do nothing
    under pytest 9.2 (xdist 3.8 writes them to an attribute that it no longer reads)."""
    from xdist.scheduler import LoadScopeScheduling

    class Files(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::")[0]
            return nodeid if Path(file).name in APART else file

    return Files(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest begin first, so that no worker ends alone; pages of the docs go last, and find vectors encoded already."""
    place = {name: number for number, name in enumerate(LONGEST)} | {"test_docs.py": len(LONGEST) + 1}
    items.sort(key=lambda item: place.get(item.path.name, len(LONGEST)))


CACHES = count()
SHARED = Path(os.environ.get("EVALSUITE_SHARED") or Path(__file__).parents[2] / "shared")

DOCUMENTS = [
    {"_id": "d1", "title": "Renewal", "text": "The term renews for one year unless either party gives notice."},
    {"_id": "d2", "title": "", "text": "Landlord may assign this lease freely; tenant needs consent to assign."},
    {"_id": "d3", "text": "Invoices are payable within thirty days of receipt."},
    {"_id": "d4", "title": "Caps", "text": "Liability is limited to the fees paid in the last year."},
    {"_id": "d5", "text": "Either party may end this agreement on thirty days notice."},
    {"_id": "d6", "text": "The seller keeps title to the goods until the price is paid."},
]
QUERIES = [
    {"_id": "q1", "text": "thirty days notice"},
    {"_id": "q2", "text": "consent to assign the lease"},
    {"_id": "q3", "text": "fees paid last year"},
]
QRELS = [("q1", "d5", 2), ("q1", "d1", 1), ("q1", "d3", 0), ("q2", "d2", 1), ("q3", "d4", 2), ("q3", "d1", 0)]


def write_jsonl(path: Path, records: Iterable[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records), encoding="utf-8")
    return path


def write_tsv(path: Path, rows: Iterable[Iterable[Any]], header: Iterable[str] = ()) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, delimiter="\t", lineterminator="\n").writerows([*([header] if header else []), *rows])
    return path


def write_beir(
    folder: Path,
    documents: list[dict[str, Any]] = DOCUMENTS,
    queries: list[dict[str, Any]] = QUERIES,
    **views: list[tuple[str, str, int]],
) -> Path:
    """A corpus folder; the keyword arguments are its views (by default one, "test")."""
    write_jsonl(folder / "corpus.jsonl", documents)
    write_jsonl(folder / "queries.jsonl", queries)
    for view, rows in (views or {"test": QRELS}).items():
        write_tsv(folder / "qrels" / f"{view}.tsv", rows, ("query-id", "corpus-id", "score"))
    return folder


def judgements(corpus: Corpus) -> dict[tuple[str, str], int]:
    """{(query id, document id): grade}"""
    rows = zip(corpus.qrels.query, corpus.qrels.document, corpus.qrels.grade, strict=True)
    return {(corpus.queries[query].id, corpus.doc_ids[document]): int(grade) for query, document, grade in rows}


@pytest.fixture
def corpus_folder(tmp_path: Path) -> Path:
    return write_beir(tmp_path / "corpus")


@pytest.fixture
def shared_data() -> Path:
    """../shared/data or $EVALSUITE_SHARED/data: real data that is not ours to ship."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"no {SHARED / 'data'}")
    return SHARED / "data"


@pytest.fixture
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache folder for all workers of the session: what takes a minute to encode is encoded once."""
    base = tmp_path_factory.getbasetemp()
    place = (base.parent if base.name.startswith("popen-") else base) / "shared-cache"
    place.mkdir(exist_ok=True)
    return place


class Result(NamedTuple):
    code: int
    stdout: str
    stderr: str


Cli = Callable[..., Result]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVALSUITE_CACHE", str(tmp_path_factory.getbasetemp() / "caches" / str(next(CACHES))))


@pytest.fixture
def cli() -> Cli:
    """The installed command: cli("retrieval", "list") -> exit code, stdout, stderr."""

    def run(*arguments: object) -> Result:
        command = [str(Path(sys.executable).parent / "evalsuite"), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
        return Result(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Cli]:
    """The same in this process, which saves the second that Python needs to start."""

    def run(*arguments: object) -> Result:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["evalsuite", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return Result(int(end.value.code or 0), *capsys.readouterr())

    return run


@pytest.fixture
def run(project: Path, pytester: pytest.Pytester) -> Callable[..., pytest.RunResult]:
    """`pytest` in the scratch `project` of the file that asks, strict about markers."""

    def start(*arguments: str) -> pytest.RunResult:
        return pytester.runpytest_subprocess("--strict-markers", "-p", "no:hypothesispytest", *arguments)

    return start

"""hf:owner/name[/config][@revision]: data sets of the Hugging Face hub, read from its cache on disk, without a network."""

import gzip
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import DOCUMENTS, QRELS, QUERIES, judgements, write_jsonl, write_tsv

from evalsuite import load_corpus
from evalsuite.errors import InputError

FIRST, SECOND = "1" * 40, "2" * 40
GRADES = {(query, document): grade for query, document, grade in QRELS}
SPACED = [{"_id": f"{document['_id']} of 6", "text": document["text"]} for document in DOCUMENTS]
NAMED = [{"query-id": query, "corpus-id": document, "score": grade} for query, document, grade in QRELS]

Publish = Callable[..., Path]


@pytest.fixture
def publish(tmp_path, monkeypatch) -> Publish:
    """publish("owner/name", fill): the hub's cache holds what `fill(folder)` wrote, as after a download."""
    cache = tmp_path / "hub"
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    # Read from the environment once, when the package is first imported, which another test may have done.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    def put(repository: str, fill: Callable[[Path], object], commit: str = FIRST, ref: str = "main") -> Path:
        folder = cache / f"datasets--{repository.replace('/', '--')}"
        written, snapshot = tmp_path / "upload" / repository / commit, folder / "snapshots" / commit
        written.mkdir(parents=True)
        fill(written)
        for file in [path for path in written.rglob("*") if path.is_file()]:
            blob = folder / "blobs" / hashlib.sha256(file.read_bytes()).hexdigest()
            blob.parent.mkdir(parents=True, exist_ok=True)
            blob.write_bytes(file.read_bytes())
            link = snapshot / file.relative_to(written)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(blob)
        (folder / "refs").mkdir(exist_ok=True)
        (folder / "refs" / ref).write_text(commit)
        return snapshot

    return put


def write_parquet(path: Path, records: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(records), path)


def write_packed(path: Path, records: list[dict]) -> None:
    path.write_bytes(gzip.compress("".join(json.dumps(record) + "\n" for record in records).encode()))


# ---------------------------------------------------------------- OBLIQ-Bench


def obliq(folder):
    """The repository dianetc/OBLIQ-Bench with two of its tasks."""
    for task in ("analogues/math", "descriptive/twitter"):
        inner = folder / task / "queries+qrels"
        write_jsonl(folder / task / "corpus" / "corpus.jsonl", SPACED)
        write_jsonl(inner / "queries.jsonl", QUERIES)
        rows = [(query, f"{document} of 6", 2) for query, document, grade in QRELS if grade]
        write_tsv(inner / "qrels.tsv", rows, ("query-id", "corpus-id", "score"))
        write_tsv(inner / "qrels_pool.tsv", [*rows, ("q1", "d3 of 6", 1)], ("query-id", "corpus-id", "score"))
        (inner / "per_query_excluded_ids.json").write_text('{"q2": ["d6 of 6"]}')
    (folder / "README.md").write_text("# OBLIQ-Bench\n")


def test_a_task_of_obliq_bench_is_its_configuration(publish):
    publish("dianetc/OBLIQ-Bench", obliq)
    corpus = load_corpus("hf:dianetc/OBLIQ-Bench/math")
    assert (corpus.name, corpus.view, corpus.queries[0].mechanism) == ("OBLIQ-Bench-math", "gold", "analogue")
    assert len(corpus) == 6
    assert judgements(corpus)["q1", "d5 of 6"] == 2
    assert [(corpus.queries[q].id, corpus.doc_ids[d]) for q, d in corpus.exclusions] == [("q2", "d6 of 6")]
    assert len(judgements(load_corpus("hf:dianetc/OBLIQ-Bench/math", "pooled"))) == len(judgements(corpus)) + 1


def test_the_files_of_a_task_are_hashed_by_content(publish):
    snapshot = publish("dianetc/OBLIQ-Bench", obliq) / "descriptive" / "twitter"
    corpus = load_corpus("hf:dianetc/OBLIQ-Bench/twitter")
    file = snapshot / "corpus" / "corpus.jsonl"
    assert corpus.files["corpus/corpus.jsonl"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert corpus.sha256 == load_corpus(snapshot).sha256


def test_a_bench_without_a_configuration_names_its_tasks(publish):
    publish("dianetc/OBLIQ-Bench", obliq)
    with pytest.raises(InputError, match="analogues/math, descriptive/twitter: name one of them"):
        load_corpus("hf:dianetc/OBLIQ-Bench")


def test_an_unknown_configuration_is_an_error(publish):
    publish("dianetc/OBLIQ-Bench", obliq)
    with pytest.raises(InputError, match="has no configuration 'physics'") as error:
        load_corpus("hf:dianetc/OBLIQ-Bench/physics")
    assert error.value.where == "hf:dianetc/OBLIQ-Bench/physics"


# ---------------------------------------------------------------- BEIR


def beir(folder):
    write_packed(folder / "corpus.jsonl.gz", DOCUMENTS)
    write_packed(folder / "queries.jsonl.gz", QUERIES)


def beir_qrels(folder):
    write_tsv(folder / "train.tsv", QRELS[:3], ("query-id", "corpus-id", "score"))
    write_tsv(folder / "test.tsv", QRELS[3:], ("query-id", "corpus-id", "score"))


def test_beir_keeps_its_judgements_in_a_second_repository(publish):
    publish("BeIR/leases", beir)
    publish("BeIR/leases-qrels", beir_qrels, commit=SECOND)
    corpus, train = load_corpus("hf:BeIR/leases"), load_corpus("hf:BeIR/leases", "train")
    assert (corpus.name, corpus.view, len(corpus)) == ("leases", "test", 6)
    assert {**judgements(corpus), **judgements(train)} == GRADES
    assert corpus.files.keys() >= {"corpus.jsonl.gz", "queries.jsonl.gz", "test.tsv"}


def test_without_that_repository_there_are_no_judgements_to_score(publish):
    publish("BeIR/leases", beir)
    with pytest.raises(InputError, match="cannot be read from Hugging Face") as error:
        load_corpus("hf:BeIR/leases")
    assert error.value.where == "hf:BeIR/leases"


def test_a_second_repository_without_judgements_is_an_error_that_says_so(publish):
    publish("BeIR/leases", beir)
    publish("BeIR/leases-qrels", lambda folder: (folder / "README.md").write_text("soon"))
    with pytest.raises(InputError, match="no judgements"):
        load_corpus("hf:BeIR/leases")


def test_a_whole_beir_folder_may_be_one_repository(publish):
    def fill(folder):
        beir(folder)
        write_tsv(folder / "qrels" / "test.tsv", QRELS, ("query-id", "corpus-id", "score"))

    publish("someone/leases", fill)
    assert judgements(load_corpus("hf:someone/leases")) == GRADES


# ---------------------------------------------------------------- Parquet shards


@pytest.mark.parametrize("qrels", ["qrels", "default"])
def test_shards_of_parquet_are_one_corpus_in_order(publish, qrels):
    def fill(folder):
        for number in range(3):
            shard = [{"title": "", **document} for document in DOCUMENTS[2 * number : 2 * number + 2]]
            write_parquet(folder / "corpus" / f"corpus-0000{number}-of-00003.parquet", shard)
        write_parquet(folder / "queries" / "queries-00000-of-00001.parquet", QUERIES)
        write_parquet(folder / qrels / "test-00000-of-00002.parquet", NAMED[:3])
        write_parquet(folder / qrels / "test-00001-of-00002.parquet", NAMED[3:])

    publish("someone/leases", fill)
    corpus = load_corpus("hf:someone/leases")
    assert (corpus.view, corpus.doc_ids) == ("test", ["d1", "d2", "d3", "d4", "d5", "d6"])
    assert [document.contents for document in corpus.documents()][3].startswith("Caps Liability")
    assert judgements(corpus) == GRADES


def mteb(folder):
    """mteb's mirror of the bench: a folder per configuration and part, `id` for `_id`."""
    for config in ("math", "writing"):
        for part, records in (("corpus", DOCUMENTS), ("queries", QUERIES)):
            renamed = [{"id": record["_id"], "text": record["text"]} for record in records]
            write_parquet(folder / f"{config}-{part}" / "test-00000-of-00001.parquet", renamed)
        write_parquet(folder / f"{config}-qrels" / "test-00000-of-00001.parquet", NAMED)
    write_parquet(
        folder / "writing-top_ranked" / "test-00000-of-00001.parquet", [{"query-id": "q1", "corpus-ids": ["d1"]}]
    )


def test_a_configuration_may_be_the_prefix_of_its_folders(publish):
    publish("mteb/OBLIQBenchRetrieval", mteb)
    corpus = load_corpus("hf:mteb/OBLIQBenchRetrieval/math")
    assert (corpus.name, len(corpus), corpus.view) == ("OBLIQBenchRetrieval-math", 6, "test")
    assert judgements(corpus) == GRADES
    assert corpus.notes == []


def test_lists_of_candidates_are_not_read_and_the_corpus_says_so(publish):
    publish("mteb/OBLIQBenchRetrieval", mteb)
    (note,) = load_corpus("hf:mteb/OBLIQBenchRetrieval/writing").notes
    assert "top_ranked lists are not read" in note


# ---------------------------------------------------------------- revisions and errors


@pytest.mark.parametrize(
    ("spec", "n_documents"),
    [("hf:someone/leases", 6), ("hf:someone/leases@v1", 5), (f"hf:someone/leases@{FIRST}", 5)],
)
def test_a_revision_is_a_branch_a_tag_or_a_commit(publish, spec, n_documents):
    def fill(documents):
        def write(folder):
            write_jsonl(folder / "corpus.jsonl", documents)
            write_jsonl(folder / "queries.jsonl", QUERIES)
            write_tsv(folder / "qrels" / "test.tsv", QRELS, ("query-id", "corpus-id", "score"))

        return write

    publish("someone/leases", fill(DOCUMENTS[:5]), commit=FIRST, ref="v1")
    publish("someone/leases", fill(DOCUMENTS), commit=SECOND)
    assert len(load_corpus(spec)) == n_documents


def test_a_configuration_may_have_a_revision(publish):
    publish("dianetc/OBLIQ-Bench", obliq, ref="v1")
    assert load_corpus("hf:dianetc/OBLIQ-Bench/math@v1").name == "OBLIQ-Bench-math"
    with pytest.raises(InputError, match="cannot be read from Hugging Face"):
        load_corpus("hf:dianetc/OBLIQ-Bench/math@v2")


@pytest.mark.parametrize("spec", ["hf:leases", "hf:", "hf:a/b/c/d", "hf:/leases", "hf:someone//math"])
def test_a_name_that_is_no_repository_is_an_error_that_says_how_to_write_one(publish, spec):
    with pytest.raises(InputError, match="write hf:owner/name, hf:owner/name/config") as error:
        load_corpus(spec)
    assert error.value.where == spec


def test_a_data_set_that_cannot_be_had_is_one_line_and_exit_code_2(publish, cli, tmp_path):
    result = cli("retrieval", "run", "hf:someone/nothing", "-r", "random", "-o", tmp_path / "out")
    assert result.code == 2
    assert result.stderr.startswith("error: hf:someone/nothing: cannot be read from Hugging Face: ")
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_command_line_scores_a_data_set_of_the_hub(publish, cli, tmp_path):
    publish("BeIR/leases", beir)
    publish("BeIR/leases-qrels", beir_qrels, commit=SECOND)
    result = cli("retrieval", "run", "hf:BeIR/leases", "-r", "bm25", "-o", tmp_path / "out", "--json")
    (run,) = json.loads(result.stdout)
    assert (result.code, run["corpus"], run["view"], run["n_queries"]) == (0, "leases", "test", 2)
    assert run["measures"]["RR@10"]["mean"] == 1.0

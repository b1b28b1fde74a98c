"""The flow: run folders, repeated runs, resumed runs, failing retrievers."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tinymodel import save_tiny_model

from evalsuite import EvalsuiteError, Hits, evaluate, read_summary, verify
from evalsuite.storage import RunWriter, read_manifest, read_units

EVALSUITE = Path(sys.executable).parent / "evalsuite"
WORDS = [f"w{i}" for i in range(400)]


def write_corpus(folder, n_documents, n_queries, length=6, seed=1):
    """A corpus of random words; query i is made of words of document i, which is its gold."""
    rng = random.Random(seed)
    folder.mkdir(parents=True)
    texts = [" ".join(rng.choices(WORDS, k=length)) for _ in range(n_documents)]
    documents = [{"_id": f"d {i}", "title": "", "text": text} for i, text in enumerate(texts)]
    queries = [{"_id": f"q {i}", "text": " ".join(texts[i].split()[:3])} for i in range(n_queries)]
    for name, rows in (("corpus", documents), ("queries", queries)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "qrels").mkdir()
    judged = "".join(f"q {i}\td {i}\t1\n" for i in range(n_queries))
    (folder / "qrels" / "gold.tsv").write_text("query-id\tcorpus-id\tscore\n" + judged)
    return folder


@pytest.fixture
def corpus(tmp_path):
    return write_corpus(tmp_path / "made", 300, 40)


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))

    def run(corpus, *retrievers, **options):
        return evaluate(corpus, list(retrievers), out=tmp_path / "out", cache=tmp_path / "cache", **options)

    return run


def lines(path):
    return (path / "results.jsonl").read_bytes()


def shell(arguments, **environment):
    """The real command in a process of its own, with the tests' plug-ins importable."""
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parent)} | {k: str(v) for k, v in environment.items()}
    return subprocess.Popen([EVALSUITE, *map(str, arguments)], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_a_run_folder_holds_what_the_formats_say_and_verifies(corpus, run):
    [outcome] = run(corpus, "bm25")
    names = {str(p.relative_to(outcome.path)) for p in outcome.path.rglob("*") if p.is_file()}
    assert names == {"run.json", "results.jsonl", "summary.json", "artifacts/run.trec.gz", "artifacts/texts.jsonl.gz"}
    assert outcome.manifest.status == "complete"
    assert verify(outcome.path) == {"ok": True, "checked": verify(outcome.path)["checked"], "mismatches": []}
    unit = json.loads(lines(outcome.path).splitlines()[0])
    assert set(unit) >= {"unit", "id", "mechanism", "group", "measures", "judged@10", "top"}
    assert unit["top"][0][0] == "d 0"
    assert outcome.manifest.system["settings"]["k1"] == 1.5
    assert outcome.manifest.suite.sha256
    assert outcome.summary.measures["R@100"].low <= outcome.summary.measures["R@100"].mean


def test_twice_the_same_to_the_last_digit(corpus, run):
    systems = ["bm25", "rank-bm25", "random", "prior", "hybrid:bm25+random", "plugin_retrievers:Overlap"]
    first, second = run(corpus, *systems, fresh=True), run(corpus, *systems, fresh=True)
    for a, b in zip(first, second, strict=True):
        assert a.path != b.path
        assert lines(a.path) == lines(b.path)
        assert (a.path / "artifacts/run.trec.gz").read_bytes() == (b.path / "artifacts/run.trec.gz").read_bytes()


def test_a_finished_run_is_not_run_again_unless_asked(corpus, run):
    [first], [again], [fresh] = run(corpus, "bm25"), run(corpus, "bm25"), run(corpus, "bm25", fresh=True)
    assert (first.reused, again.reused, fresh.reused) == (False, True, False)
    assert again.path == first.path != fresh.path
    assert again.summary == first.summary


def test_a_changed_corpus_setting_depth_or_measure_is_another_run(corpus, run, tmp_path):
    paths = {run(corpus, "bm25")[0].path, run(corpus, "bm25:k1=0.9")[0].path, run(corpus, "bm25", depth=5)[0].path}
    paths.add(run(corpus, "bm25", measures=["AP"])[0].path)
    with (corpus / "corpus.jsonl").open("a") as stream:
        stream.write('{"_id": "new", "text": "w1"}\n')
    paths.add(run(corpus, "bm25")[0].path)
    assert len(paths) == 5


def test_a_plugin_is_never_answered_from_a_finished_run_since_its_code_may_have_changed(corpus, run):
    first, second = run(corpus, "plugin_retrievers:Overlap"), run(corpus, "plugin_retrievers:Overlap")
    assert first[0].path != second[0].path
    assert not second[0].reused


def test_the_run_file_that_is_kept_scores_the_same_when_it_is_handed_in(corpus, run):
    [outcome] = run(corpus, "bm25")
    [scored] = run(corpus, f"runfile:{outcome.path / 'artifacts/run.trec.gz'}", depth=None)
    assert scored.summary.measures == outcome.summary.measures


def test_depth_cuts_every_ranking(corpus, run):
    [outcome] = run(corpus, "random", depth=7, measures=["R@100", "P@10"])
    import gzip

    rows = gzip.decompress((outcome.path / "artifacts/run.trec.gz").read_bytes()).decode().splitlines()
    assert len(rows) == 7 * 40


def test_a_query_without_any_document_counts_as_zero_and_is_named(corpus, run):
    [outcome] = run(corpus, "plugin_retrievers:Silent")
    assert outcome.summary.n_queries == 40
    assert outcome.summary.missing_queries == ["q 0"]
    first = read_units(outcome.path)[0]
    assert first.missing and set(first.measures.values()) == {0.0}


@pytest.mark.parametrize(
    ("retriever", "error"),
    [
        ("Broken", "search: RuntimeError: the search server went away"),
        ("Lying", "document 'no-such-document' is not in"),
    ],
)
def test_a_retriever_that_fails_is_recorded_and_the_others_go_on(corpus, run, retriever, error):
    failed, scored = run(corpus, f"plugin_retrievers:{retriever}", "bm25")
    assert failed.summary is None
    assert failed.manifest.status == "failed"
    assert error in failed.manifest.error
    assert scored.summary is not None


def test_an_object_with_index_and_search_is_a_retriever(corpus, run):
    class Reversed:
        def index(self, corpus):
            self.n = len(corpus)

        def search(self, queries, k):
            import numpy as np

            documents = np.tile(np.arange(self.n)[::-1][:k], (len(queries), 1))
            return Hits(documents, -np.tile(np.arange(documents.shape[1], dtype=float), (len(queries), 1)))

    [outcome] = run(corpus, Reversed(), depth=300)
    assert outcome.manifest.system["name"] == "Reversed"
    assert outcome.summary.measures["R@100"].mean == 0
    assert read_units(outcome.path)[0].top[0][0] == "d 299"


@pytest.mark.parametrize(
    "spec", ["plugin_retrievers:not_a_retriever", "plugin_retrievers:Nothing", "no_module:X", "bm52"]
)
def test_what_is_no_retriever_is_refused_before_anything_runs(corpus, run, tmp_path, spec):
    with pytest.raises(EvalsuiteError):
        run(corpus, "random", spec)
    assert not (tmp_path / "out").exists()


def test_an_object_without_settings_never_goes_on_from_another_s_results(corpus, run):
    from plugin_retrievers import Overlap

    first, second = run(corpus, Overlap(1.0))[0], run(corpus, Overlap(2.0))[0]
    manifest = json.loads((first.path / "run.json").read_text())
    (first.path / "run.json").write_text(json.dumps(manifest | {"status": "interrupted"}))
    third = run(corpus, Overlap(3.0))[0]
    assert len({first.path, second.path, third.path}) == 3


def test_an_answer_to_a_query_that_was_not_asked_is_a_failure(corpus, run):
    class Chatty:
        def index(self, corpus):
            self.queries = corpus.queries

        def search(self, queries, k):
            return {query.id: {"d 0": 1.0} for query in [*queries, self.queries[0]]} | {"q elsewhere": {"d 0": 1.0}}

    [outcome] = run(corpus, Chatty())
    assert "answered query 'q elsewhere', which it was not asked" in outcome.manifest.error


def test_a_plugin_that_inherits_its_constructor_takes_the_same_settings(corpus, run):
    [outcome] = run(corpus, "plugin_retrievers:Silent:bonus=2.5")
    assert min(score for unit in read_units(outcome.path) for _, score, _ in unit.top) == 3.5


def test_settings_of_a_plugin_are_given_like_those_of_a_builtin(corpus, run):
    [outcome] = run(corpus, "plugin_retrievers:Overlap:bonus=2.5")
    assert min(score for unit in read_units(outcome.path) for _, score, _ in unit.top) == 3.5


def test_three_lines_of_python(tmp_path, monkeypatch):
    corpora = Path(__file__).parent.parent / "corpora"
    runs = evaluate(corpora / "clauses-mini", ["bm25"], out=tmp_path)
    assert 0 < runs[0].summary.by_mechanism["descriptive"]["nDCG@10"].mean < 0.3
    assert read_summary(runs[0].path).measures == runs[0].summary.measures


def test_every_flipped_byte_is_found_by_verify(corpus, run):
    [outcome] = run(corpus, "bm25")
    for name in ("results.jsonl", "artifacts/run.trec.gz", "summary.json"):
        file = outcome.path / name
        kept = file.read_bytes()
        place = kept.index(b"0.") if name != "artifacts/run.trec.gz" else len(kept) // 2
        file.write_bytes(kept[:place] + b"9" + kept[place + 1 :])
        assert not verify(outcome.path)["ok"], name
        file.write_bytes(kept)
    assert verify(outcome.path)["ok"]


# ---------------------------------------------------------------- interrupted


def test_killed_while_searching_it_resumes_and_searches_nothing_twice(tmp_path):
    corpus, log = write_corpus(tmp_path / "made", 900, 900), tmp_path / "log"
    command = ["retrieval", "run", corpus, "-r", "plugin_retrievers:Overlap", "--cache", tmp_path / "cache"]
    killed = shell([*command, "-o", tmp_path / "out"], SEARCH_LOG=log, KILL_AT="q 600")
    assert killed.wait() == -9
    [folder] = (tmp_path / "out").iterdir()
    assert read_manifest(folder).status == "running"
    kept = lines(folder)
    assert len(kept.splitlines()) == 512
    (folder / "results.jsonl").write_bytes(kept + b'{"unit": "query", "id": "q 51')  # a torn last line
    log.write_text("")
    resumed = shell([*command, "-o", tmp_path / "out", "--json"], SEARCH_LOG=log)
    output, _ = resumed.communicate()
    assert resumed.returncode == 0
    assert log.read_text().splitlines()[0] == "q 512"
    assert "resumed: 512 of 900 queries" in json.loads(output)[0]["notes"][-1]
    whole = shell([*command, "-o", tmp_path / "whole"])
    whole.communicate()
    [uninterrupted] = (tmp_path / "whole").iterdir()
    assert lines(folder) == lines(uninterrupted)
    assert (folder / "artifacts/run.trec.gz").read_bytes() == (uninterrupted / "artifacts/run.trec.gz").read_bytes()
    assert verify(folder)["ok"]


@pytest.mark.parametrize("moment", ["before the summary", "while parts are dropped", "before the end is recorded"])
def test_killed_at_the_very_end_nothing_is_lost(corpus, run, moment):
    [first] = run(corpus, "bm25")
    ranking, results, manifest = first.path / "artifacts/run.trec.gz", lines(first.path), first.path / "run.json"
    kept = ranking.read_bytes()
    (first.path / "summary.json").unlink()
    if moment != "before the summary":
        manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"status": "running", "files": {}}))
    if moment == "while parts are dropped":
        (first.path / ".joined").mkdir()
        (first.path / ".joined" / "00000000.gz").write_bytes(b"a part of it")
        (first.path / "artifacts" / ".texts.jsonl.gz.1.1.tmp").write_bytes(b"half a file")
    [again] = run(corpus, "bm25")
    assert again.path == first.path
    assert (lines(again.path), ranking.read_bytes()) == (results, kept)
    assert verify(again.path)["ok"]
    assert not (again.path / ".joined").exists()
    assert not list(again.path.rglob("*.tmp"))


def test_an_interrupt_says_so_exits_130_and_resumes(tmp_path):
    corpus = write_corpus(tmp_path / "made", 600, 600)
    command = ["retrieval", "run", corpus, "-r", "plugin_retrievers:Interrupted", "-o", tmp_path / "out"]
    stopped = shell([*command, "--cache", tmp_path / "c"], KILL_AT="q 256")
    _, error = stopped.communicate()
    assert stopped.returncode == 130
    assert b"run the same command again" in error
    [folder] = (tmp_path / "out").iterdir()
    assert read_manifest(folder).status == "interrupted"
    again = shell([*command, "--cache", tmp_path / "c"])
    again.communicate()
    assert again.returncode == 0
    assert read_manifest(folder).status == "complete"
    assert len(read_units(folder)) == 600


def test_a_second_writer_of_the_same_run_is_refused(corpus, run, tmp_path):
    [outcome] = run(corpus, "bm25")
    writer = RunWriter(outcome.path, outcome.manifest.model_copy(update={"status": "running"}))
    with pytest.raises(EvalsuiteError, match="another process is writing this run"):
        run(corpus, "bm25")
    writer.close("complete")


@pytest.mark.model
def test_killed_while_encoding_3000_documents_it_encodes_at_most_one_shard_again(tmp_path):
    corpus = write_corpus(tmp_path / "made", 3_000, 50, length=4)
    model = save_tiny_model(tmp_path, WORDS)
    command = ["retrieval", "run", corpus, "-r", f"dense:model={model}", "--json"]
    first = shell([*command, "-o", tmp_path / "out", "--cache", tmp_path / "cache"])
    deadline = time.monotonic() + 240
    while len(shards := sorted((tmp_path / "cache").rglob("shard-*.npy"))) < 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    first.kill()
    assert first.wait() == -9
    shards = sorted((tmp_path / "cache").rglob("shard-*.npy"))
    assert 1 <= len(shards) < 3
    written = {shard: shard.stat().st_mtime_ns for shard in shards}
    second = shell([*command, "-o", tmp_path / "out", "--cache", tmp_path / "cache"])
    output, error = second.communicate()
    assert second.returncode == 0, error
    assert {shard: shard.stat().st_mtime_ns for shard in shards} == written
    [result] = json.loads(output)
    manifest = read_manifest(Path(result["run"]))
    assert manifest.system["facts"]["shards"] == 3
    assert manifest.system["facts"]["shards_reused"] == len(shards)
    [whole] = evaluate(corpus, f"dense:model={model}", out=tmp_path / "other", cache=tmp_path / "empty")
    assert lines(whole.path) == lines(Path(result["run"]))

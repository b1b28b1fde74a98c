"""Bundles that were damaged or made to trip their reader: each gives its list of problems, none an internal fault."""

import gzip
import json
import os
import socket
import threading
import time

import numpy as np
import pytest
from bundlekit import RUN, bundle_of, edit
from test_submissions_honesty import big_corpus, lines_of, warned

from evalsuite import evaluate
from evalsuite.retrieval.formats import load_corpus
from evalsuite.retrieval.honesty import same_as, warnings_of
from evalsuite.retrieval.runs import Run, in_order, read_run
from evalsuite.retrieval.seals import read_seal, seal, verify
from evalsuite.retrieval.submission import check


@pytest.fixture
def bundle(corpus_folder, tmp_path):
    return bundle_of(tmp_path / "bundle", corpus_folder)


def messages(folder, **options):
    return [finding.message for finding in check(folder, **options).problems]


# ---------------------------------------------------------------- submission.yaml


@pytest.mark.parametrize(
    "value", ["!!bool maybe", '!!int ""', "!!timestamp foo", "[" * 400 + "]" * 400, "0x" + "f" * 9000, '"\\UFFFFFFFF"']
)
@pytest.mark.parametrize("verb", ["check", "seal", "score"])
def test_a_value_that_yaml_trips_over_is_a_problem_at_its_line(bundle, command, value, verb):
    edit(bundle / "submission.yaml", "automatic: true", f"automatic: {value}")
    lines = (bundle / "submission.yaml").read_text().splitlines()
    line = next(number for number, text in enumerate(lines, 1) if "automatic: " in text)
    done = command("submit", verb, bundle)
    assert done.code == 2
    assert f"submission.yaml:{line}: " in done.stdout + done.stderr


def test_so_is_one_deep_inside_a_list_and_one_that_names_a_key(bundle):
    edit(bundle / "submission.yaml", "{name: resort, depth: 10}", '{name: resort, depth: !!int ""}')
    edit(bundle / "submission.yaml", "tag: overlap", "tag: overlap\n? [!!bool maybe]\n: x")
    found = check(bundle).problems
    assert len(found) == 2
    assert "method / retrieval cannot be read" in found[1].message


def test_a_sealed_bundle_with_one_does_not_verify(bundle):
    seal(bundle)
    edit(bundle / "submission.yaml", "automatic: true", "automatic: !!bool maybe")
    report = verify(bundle)
    assert not report["ok"]
    assert any(m["what"].startswith("submission.yaml: ") for m in report["mismatches"])


# ---------------------------------------------------------------- the run file


@pytest.mark.parametrize("make", [lambda path: path.mkdir(), os.mkfifo])
@pytest.mark.parametrize("verb", ["check", "seal"])
def test_a_run_that_is_no_plain_file_is_a_problem(bundle, command, make, verb):
    (bundle / "run.trec").unlink()
    make(bundle / "run.trec")
    done = command("submit", verb, bundle)
    assert done.code == 2
    assert "run.trec: is no plain file" in done.stdout + done.stderr


def test_damaged_gzip_does_not_hide_the_lines_before_the_damage(corpus_folder, tmp_path):
    folder = bundle_of(tmp_path / "cut", corpus_folder)
    (folder / "run.trec").unlink()
    packed = gzip.compress(("q1 Q0 d99 1 9 x\nq1 Q0 d6 first 8 x\n" + RUN).encode(), mtime=0)[:-12]
    (folder / "run.trec.gz").write_bytes(packed)
    found = messages(folder)
    assert [text.split(" (")[0] for text in found] == [
        "document 'd99' is not in corpus",
        "gzip data is cut short or damaged",
        "the rank must be a whole number; found 'first'",
    ]


def test_a_live_run_that_is_a_folder_is_no_run(bundle):
    (bundle / "live" / "one" / "artifacts" / "run.trec.gz").mkdir(parents=True)
    assert messages(bundle) == []


# ---------------------------------------------------------------- warnings


def test_copies_that_are_excluded_for_a_query_are_no_copies_of_its_gold(tmp_path):
    folder = big_corpus(tmp_path / "corpus", twins=True)
    corpus = load_corpus(folder)
    rows = {f"q{i:02}": [("doc30", 9.0), (f"doc{i:02}", 5.0), (f"copy{i:02}", 4.0)] for i in range(12)}
    path = tmp_path / "run.trec"
    path.write_text(lines_of(rows))

    def rules():
        return [finding.rule for finding in warnings_of(corpus, in_order(read_run(path, corpus), corpus), [], path)]

    assert "golds-without-text" in rules()
    corpus.exclusions = np.array([(i, corpus.doc_number[f"copy{i:02}"]) for i in range(12)])
    assert "golds-without-text" not in rules()


def test_one_query_with_more_golds_than_the_run_is_deep_hides_no_perfect_order(tmp_path):
    folder = big_corpus(tmp_path / "corpus")
    with (folder / "qrels" / "test.tsv").open("a") as stream:
        stream.writelines(f"q00\tdoc{i:02}\t1\n" for i in range(20, 26))
    ranking = {f"q{i:02}": [f"doc{i:02}", "doc30"] for i in range(1, 12)} | {"q00": ["doc00", "doc20"]}
    assert "perfect" in warned(bundle_of(tmp_path / "bundle", folder, lines_of(ranking)))
    ranking |= {f"q{i:02}": ["doc30", f"doc{i:02}"] for i in range(3)}
    assert "perfect" not in warned(bundle_of(tmp_path / "honest", folder, lines_of(ranking)))


def test_a_bundle_that_cannot_be_read_is_a_warning_of_the_one_compared_with_it(corpus_folder, bundle, tmp_path):
    bad = bundle_of(tmp_path / "bad", corpus_folder, RUN + "q1 Q0 d99 5 0.4 x\n")
    none = bundle_of(tmp_path / "none", corpus_folder)
    (none / "run.trec").unlink()
    found = [finding for finding in check(bundle, against=[bad, none]).findings if finding.rule == "same-as"]
    assert [finding.severity for finding in found] == ["warning", "warning"]
    assert f"is not compared with {bad}: " in found[0].message and "d99" in found[0].message
    assert f"is not compared with {none}: holds 0 run files" in found[1].message


def test_the_same_documents_for_other_queries_or_for_one_are_not_the_same_run(corpus_folder, tmp_path):
    corpus = load_corpus(corpus_folder)
    rows = [np.array([0, 1]), np.array([2, 3]), np.array([3, 5])]
    scores = [np.array([2.0, 1.0])] * 3
    mine = Run.of_rows([0, 1, 2], rows, scores)
    moved = Run.of_rows([0, 1], rows[:2], scores[:2])
    one = Run.of_rows([0, 1, 2], [rows[0], rows[0], rows[0]], scores)
    two, other = Run.of_rows([0, 1], rows[:2], scores[:2]), Run.of_rows([0, 2], rows[:2], scores[:2])
    measures = ["nDCG@10", "AP"]
    assert list(same_as(corpus, mine, [("moved", moved), ("one", one)], measures, tmp_path)) == []
    assert list(same_as(corpus, two, [("other", other)], measures, tmp_path)) == []
    [whole] = same_as(corpus, mine, [("itself", mine)], measures, tmp_path)
    assert whole.message == "the whole ranking is the same as in itself for 3 of 3 queries"


# ---------------------------------------------------------------- seals and remote corpora


def test_a_seal_of_another_version_is_not_read_as_ours(bundle):
    seal(bundle)
    made = read_seal(bundle).model_copy(update={"seal_version": 2}).closed()
    (bundle / "seal.json").write_bytes(made.encoded())
    [mismatch] = verify(bundle)["mismatches"]
    assert "seal_version 2" in mismatch["what"]


@pytest.mark.parametrize("source", ["hf:someone/corpus", "ir_datasets:vaswani"])
def test_nothing_is_fetched_because_a_bundle_names_it(bundle, corpus_folder, command, source, monkeypatch):
    asked = []
    monkeypatch.setattr("evalsuite.retrieval.submission.load_corpus", lambda *a: asked.append(a))
    monkeypatch.setattr("evalsuite.retrieval.seals.load_corpus", lambda *a: asked.append(a))
    edit(bundle / "submission.yaml", f'source: "{corpus_folder}"', f'source: "{source}"')
    [told] = messages(bundle)
    assert f"is not on this machine; to read it: --corpus {source}" in told
    monkeypatch.undo()
    seal(bundle, corpus=str(corpus_folder))
    monkeypatch.setattr("evalsuite.retrieval.seals.load_corpus", lambda *a: asked.append(a))
    done = command("verify", bundle)
    assert done.code == 2
    assert f"--corpus {source}" in done.stderr
    assert asked == []


# ---------------------------------------------------------------- live systems


def test_fresh_makes_a_new_run_of_a_live_system(corpus_folder, tmp_path, command):
    def scored(*more):
        done = command("submit", "score", "-r", "bm25", "-c", corpus_folder, "-o", tmp_path / "out", "--json", *more)
        assert done.code == 0, done.stderr
        return json.loads(done.stdout)[0]["run"]

    first = scored()
    assert scored() == first
    assert scored("--fresh") != first


@pytest.mark.parametrize("head", ["HTTP/1.0 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"])
def test_a_reply_that_dribbles_until_the_connection_is_closed_is_cut_too(corpus_folder, tmp_path, head):
    ended = threading.Event()

    def dribble(listener):
        while not ended.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                try:
                    connection.sendall(head.encode())
                    for _ in range(120):
                        connection.sendall(b" ")
                        time.sleep(0.05)
                except OSError:
                    continue

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=dribble, args=(listener,), daemon=True).start()
        spec = f"http://127.0.0.1:{listener.getsockname()[1]},timeout=0.3,retries=0"
        began = time.perf_counter()
        [outcome] = evaluate(corpus_folder, spec, out=tmp_path / "out")
        assert time.perf_counter() - began < 3
        ended.set()
    assert "query 'q1': gave no full reply in 0.3 s (timeout=) (1 attempt)" in outcome.manifest.error

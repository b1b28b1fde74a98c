"""Corpora are read as they are published: BEIR folders, OBLIQ-Bench tasks and our own, by folder layout alone."""

import gzip
import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import DOCUMENTS, QRELS, QUERIES, judgements, write_beir, write_jsonl, write_tsv

from evalsuite import evaluate, load_corpus
from evalsuite.errors import InputError

HEADER = ("query-id", "corpus-id", "score")


def excluded(corpus):
    return {(corpus.queries[q].id, corpus.doc_ids[d]) for q, d in corpus.exclusions.tolist()}


def means(outcome):
    return {name: interval.mean for name, interval in outcome.summary.measures.items()}


def score(corpus, run, tmp_path, **options):
    """The outcome of scoring a run file given as (query, document, score) rows."""
    path = write_tsv(tmp_path / "run.tsv", run)
    return evaluate(corpus, f"runfile:{path}", out=tmp_path / "out", fresh=True, **options)[0]


def top(outcome):
    """Query id -> ranked document ids."""
    lines = (outcome.path / "results.jsonl").read_text(encoding="utf-8").splitlines()
    return {unit["id"]: [name for name, *_ in unit["top"]] for unit in map(json.loads, lines)}


# ---------------------------------------------------------------- BEIR


def test_a_beir_folder_holds_documents_queries_and_judgements(corpus_folder):
    corpus = load_corpus(corpus_folder)
    assert corpus.doc_ids == ["d1", "d2", "d3", "d4", "d5", "d6"]
    assert [(query.id, query.text) for query in corpus.queries] == [(q["_id"], q["text"]) for q in QUERIES]
    assert judgements(corpus) == {(query, document): grade for query, document, grade in QRELS}
    assert (corpus.name, corpus.version, corpus.view, corpus.notes) == ("corpus", "unversioned", "test", [])


def test_judged_zeros_are_kept(corpus_folder):
    assert judgements(load_corpus(corpus_folder))["q1", "d3"] == 0


def test_title_and_text_are_joined_by_a_space(corpus_folder):
    contents = {document.id: document.contents for document in load_corpus(corpus_folder).documents()}
    assert contents["d4"] == "Caps Liability is limited to the fees paid in the last year."
    assert contents["d2"] == DOCUMENTS[1]["text"], "an empty title adds nothing"
    assert contents["d3"] == DOCUMENTS[2]["text"], "nor does a missing one"


def as_gzip(path):
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()


def as_parquet(path):
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    pq.write_table(pa.Table.from_pylist(records), path.with_suffix(".parquet"))
    path.unlink()


@pytest.mark.parametrize("convert", [as_gzip, as_parquet])
@pytest.mark.parametrize("part", ["corpus", "queries"])
def test_gzip_and_parquet_hold_the_same_as_plain_lines(tmp_path, part, convert):
    plain, other = load_corpus(write_beir(tmp_path / "plain")), write_beir(tmp_path / "other")
    convert(other / f"{part}.jsonl")
    corpus = load_corpus(other)
    assert list(corpus.documents()) == list(plain.documents())
    assert corpus.queries == plain.queries
    assert judgements(corpus) == judgements(plain)


FILES = ["corpus.jsonl", "queries.jsonl", "qrels/test.tsv", "exclusions.json", "corpus.yaml"]


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda content: b"\xef\xbb\xbf" + content, id="BOM"),
        pytest.param(lambda content: content.replace(b"\n", b"\r\n"), id="CRLF"),
        pytest.param(lambda content: content.rstrip(b"\n"), id="no final newline"),
        pytest.param(lambda content: content + b"\n\n", id="blank lines at the end"),
    ],
)
def test_how_an_editor_saves_a_file_changes_nothing(corpus_folder, file, change):
    (corpus_folder / "exclusions.json").write_text('{"q1":\n ["d6"]}\n')
    (corpus_folder / "corpus.yaml").write_text("name: leases\nversion: 1.2.0\n")
    before = load_corpus(corpus_folder)
    path = corpus_folder / file
    path.write_bytes(change(path.read_bytes()))
    after = load_corpus(corpus_folder)
    assert list(after.documents()) == list(before.documents())
    assert after.queries == before.queries
    assert judgements(after) == judgements(before)
    assert excluded(after) == excluded(before) == {("q1", "d6")}
    assert (after.name, after.version) == ("leases", "1.2.0")


def test_whole_numbers_as_ids_are_read_as_strings(tmp_path):
    documents = [{"_id": 7, "text": "seven"}, {"_id": "8", "text": "eight"}]
    corpus = load_corpus(write_beir(tmp_path / "c", documents, [{"_id": 1, "text": "seven"}], test=[(1, 7, 1)]))
    assert corpus.doc_ids == ["7", "8"]
    assert judgements(corpus) == {("1", "7"): 1}


def test_whole_numbers_as_ids_are_read_as_strings_in_exclusions_too(tmp_path):
    documents = [{"_id": 7, "text": "seven"}, {"_id": 8, "text": "eight"}]
    folder = write_beir(tmp_path / "c", documents, [{"_id": 1, "text": "seven"}], test=[(1, 7, 1)])
    (folder / "exclusions.json").write_text('{"1": [8]}')
    assert excluded(load_corpus(folder)) == {("1", "8")}


def test_documents_without_text_are_kept_and_noted(tmp_path):
    folder = write_beir(tmp_path / "c", [*DOCUMENTS, {"_id": "d7", "text": ""}], test=[*QRELS, ("q1", "d7", 1)])
    corpus = load_corpus(folder)
    assert "d7" in corpus.doc_ids
    assert corpus.notes == [f"1 documents have no text, the first at {folder / 'corpus.jsonl'}:7"]


def test_a_judgement_given_twice_with_one_grade_counts_once_and_is_noted(tmp_path):
    corpus = load_corpus(write_beir(tmp_path / "c", test=[*QRELS, QRELS[0]]))
    assert judgements(corpus) == {(query, document): grade for query, document, grade in QRELS}
    assert corpus.notes == ["1 judgements are repeated with the same grade; each counts once"]


def test_labels_of_a_query_come_from_its_metadata(tmp_path):
    labels = {"mechanism": "analogue", "group": "g1", "twin_of": "q1"}
    corpus = load_corpus(write_beir(tmp_path / "c", queries=[*QUERIES[:2], {**QUERIES[2], "metadata": labels}]))
    query = corpus.queries[2]
    assert (query.mechanism, query.group, query.twin_of) == ("analogue", "g1", "q1")


# ---------------------------------------------------------------- views


TRAIN, TEST = QRELS[:3], QRELS[3:]


def test_a_view_keeps_the_queries_it_judges_and_notes_how_many_are_left_out(tmp_path):
    folder = write_beir(tmp_path / "c", train=TRAIN, test=TEST)
    train, test = load_corpus(folder, "train"), load_corpus(folder, "test")
    assert [query.id for query in train.queries] == ["q1"]
    assert [query.id for query in test.queries] == ["q2", "q3"]
    assert train.notes == ["2 of 3 queries are not judged in view 'train' and are left out"]
    assert train.unjudged_queries == {"q2", "q3"}


@pytest.mark.parametrize(
    ("views", "chosen"),
    [
        (["test"], "test"),
        (["dev"], "dev"),
        (["dev", "test", "train"], "test"),
        (["gold", "pooled", "test"], "gold"),
    ],
)
def test_the_default_view_is_gold_then_test_then_the_only_one(tmp_path, views, chosen):
    assert load_corpus(write_beir(tmp_path / "c", **dict.fromkeys(views, QRELS))).view == chosen


def test_several_views_without_gold_or_test_must_be_chosen_from(tmp_path):
    folder = write_beir(tmp_path / "c", dev=QRELS, train=QRELS)
    with pytest.raises(InputError, match=r"several views: dev, train; choose one with --view"):
        load_corpus(folder)


def test_the_cards_default_view_comes_first(tmp_path):
    folder = write_beir(tmp_path / "c", gold=QRELS, pooled=QRELS)
    (folder / "corpus.yaml").write_text("default_view: pooled\n")
    assert load_corpus(folder).view == "pooled"
    assert load_corpus(folder, "gold").view == "gold"


# ---------------------------------------------------------------- the card


def test_the_card_gives_name_version_and_the_mechanism_of_queries_without_one(tmp_path):
    queries = [*QUERIES[:2], {**QUERIES[2], "metadata": {"mechanism": "surface"}}]
    folder = write_beir(tmp_path / "c", queries=queries)
    (folder / "corpus.yaml").write_text("name: leases\nversion: 0.3.1\nmechanism: descriptive\nlanguage: en\n")
    corpus = load_corpus(folder)
    assert (corpus.name, corpus.version) == ("leases", "0.3.1")
    assert [query.mechanism for query in corpus.queries] == ["descriptive", "descriptive", "surface"]


def test_a_file_must_have_the_hash_its_card_states(corpus_folder):
    file = corpus_folder / "corpus.jsonl"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    (corpus_folder / "corpus.yaml").write_text(f"sha256: {{corpus.jsonl: {digest}}}\n")
    assert len(load_corpus(corpus_folder)) == 6
    file.write_bytes(file.read_bytes().replace(b"freely", b"FREELY"))
    with pytest.raises(InputError, match=f"{file}: its sha256 is .*, the card says {digest[:12]}"):
        load_corpus(corpus_folder)


COPY = {**DOCUMENTS[4], "_id": "copy of d5"}


def with_copy(folder, duplicates, rows):
    write_beir(folder, [*DOCUMENTS, COPY], gold=rows)
    (folder / "corpus.yaml").write_text(f"duplicates: {duplicates}\n")
    return folder


def test_copies_are_separate_documents_unless_the_card_merges_them(tmp_path):
    write_beir(tmp_path / "c", [*DOCUMENTS, COPY])
    corpus = load_corpus(tmp_path / "c")
    assert len(corpus) == 7
    assert corpus.notes == ["1 documents repeat another's text exactly; they are scored as separate documents"]


def test_merged_copies_are_one_document_with_the_best_grade(tmp_path):
    rows = [("q1", "d5", 0), ("q1", "copy of d5", 2), *QRELS[3:]]
    corpus = load_corpus(with_copy(tmp_path / "c", "merge", rows))
    assert corpus.doc_ids == ["d1", "d2", "d3", "d4", "d5", "d6"]
    assert [document.id for document in corpus.documents()] == corpus.doc_ids
    assert judgements(corpus)["q1", "d5"] == 2
    assert corpus.notes == ["1 documents repeat another's text exactly; they are scored as one"]


def test_merging_numbers_the_documents_after_a_copy_anew(tmp_path):
    documents = [DOCUMENTS[0], {**DOCUMENTS[0], "_id": "copy of d1"}, *DOCUMENTS[1:]]
    folder = write_beir(tmp_path / "c", documents)
    (folder / "corpus.yaml").write_text("duplicates: merge\n")
    (folder / "exclusions.json").write_text('{"q2": ["d6"]}')
    corpus = load_corpus(folder)
    assert judgements(corpus) == {(query, document): grade for query, document, grade in QRELS}
    assert excluded(corpus) == {("q2", "d6")}


def test_excluding_a_copy_excludes_the_document_it_is_merged_with(tmp_path):
    folder = with_copy(tmp_path / "c", "merge", QRELS)
    (folder / "exclusions.json").write_text('{"q2": ["copy of d5"]}')
    assert excluded(load_corpus(folder)) == {("q2", "d5")}


def test_excluding_a_copy_of_a_relevant_document_is_an_error_that_names_the_file(tmp_path):
    folder = with_copy(tmp_path / "c", "merge", QRELS)
    (folder / "exclusions.json").write_text('{"q1": ["copy of d5"]}')
    with pytest.raises(InputError, match="'q1' excludes a copy of 'd5', which is relevant") as error:
        load_corpus(folder)
    assert error.value.where == str(folder / "exclusions.json")


def test_a_run_may_rank_a_merged_copy_which_counts_once_at_its_best_score(tmp_path):
    folder = with_copy(tmp_path / "c", "merge", QRELS)
    run = [("q1", "d5", 1.0), ("q1", "d1", 2.0), ("q1", "copy of d5", 3.0)]
    assert top(score(folder, run, tmp_path))["q1"] == ["d5", "d1"]


def test_a_run_over_separate_copies_ranks_both(tmp_path):
    folder = with_copy(tmp_path / "c", "separate", QRELS)
    run = [("q1", "d5", 1.0), ("q1", "d1", 2.0), ("q1", "copy of d5", 3.0)]
    assert top(score(folder, run, tmp_path))["q1"] == ["copy of d5", "d1", "d5"]


# ---------------------------------------------------------------- OBLIQ-Bench


MATH = [
    {"_id": "IMO___2004___Problem 1", "text": "Show that the sum of two squares is never three modulo four."},
    {"_id": "USAMO___1999___2", "text": "Colour the plane with two colours; prove a monochrome rectangle exists."},
    {"_id": "Putnam___2011___A3", "text": "Find the limit of the ratio of two integrals of powers of sine."},
    {"_id": "IMO___2010___5", "text": "Six boxes hold one coin each; two kinds of moves are allowed."},
]


def write_obliq(root, task="analogues/math", header=HEADER, with_scores=True, pooled=True, exclusions=True):
    """A task laid out as dianetc/OBLIQ-Bench publishes it."""
    folder, inner = root / task, root / task / "queries+qrels"
    write_jsonl(folder / "corpus" / "corpus.jsonl", MATH)
    write_jsonl(
        inner / "queries.jsonl",
        [
            {"_id": MATH[0]["_id"], "text": MATH[0]["text"]},
            {"_id": "query 2", "text": "Colour the boxes of the plane."},
        ],
    )
    gold = [(MATH[0]["_id"], MATH[3]["_id"], 2), ("query 2", MATH[1]["_id"], 2)]
    pool = [*gold, ("query 2", MATH[3]["_id"], 2)]
    columns = 3 if with_scores else 2
    write_tsv(inner / "qrels.tsv", [row[:columns] for row in gold], header)
    if pooled:
        write_tsv(inner / "qrels_pool.tsv", [row[:columns] for row in pool], header)
    if exclusions:
        table = {MATH[0]["_id"]: [MATH[0]["_id"], "a post outside this corpus"]}
        (inner / "per_query_excluded_ids.json").write_text(json.dumps(table))
    return folder


def test_an_obliq_task_is_read_as_published(tmp_path):
    corpus = load_corpus(write_obliq(tmp_path))
    assert (corpus.name, corpus.view) == ("math", "gold")
    assert corpus.doc_ids[0] == "IMO___2004___Problem 1"
    assert judgements(corpus) == {
        ("IMO___2004___Problem 1", "IMO___2010___5"): 2,
        ("query 2", "USAMO___1999___2"): 2,
    }
    assert excluded(corpus) == {("IMO___2004___Problem 1", "IMO___2004___Problem 1")}
    assert corpus.notes == ["1 excluded ids are not in the corpus; there is nothing to exclude for them"]


def test_the_pooled_judgements_are_the_view_pooled(tmp_path):
    corpus = load_corpus(write_obliq(tmp_path), "pooled")
    assert len(judgements(corpus)) == 3
    assert judgements(corpus)["query 2", "IMO___2010___5"] == 2


def test_a_task_without_pool_has_the_view_gold_alone(tmp_path):
    with pytest.raises(InputError, match="has no view 'pooled'; it has gold"):
        load_corpus(write_obliq(tmp_path, pooled=False), "pooled")


@pytest.mark.parametrize("header", [HEADER, ("query_id", "corpus_id", "score")])
def test_the_header_may_be_written_with_dashes_or_underscores(tmp_path, header):
    assert set(judgements(load_corpus(write_obliq(tmp_path, header=header))).values()) == {2}


@pytest.mark.parametrize("header", [HEADER[:2], ("query_id", "corpus_id")])
def test_two_columns_mean_grade_1(tmp_path, header):
    corpus = load_corpus(write_obliq(tmp_path, header=header, with_scores=False))
    assert set(judgements(corpus).values()) == {1}


def test_two_columns_may_end_in_crlf(tmp_path):
    folder = write_obliq(tmp_path, header=HEADER[:2], with_scores=False)
    file = folder / "queries+qrels" / "qrels.tsv"
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert judgements(load_corpus(folder))["query 2", "USAMO___1999___2"] == 1


def test_a_header_of_two_columns_may_stand_over_three(tmp_path):
    assert set(judgements(load_corpus(write_obliq(tmp_path, header=("query_id", "corpus_id")))).values()) == {2}


@pytest.mark.parametrize(
    ("task", "mechanism"),
    [
        ("descriptive/twitter", "descriptive"),
        ("analogues/writing", "analogue"),
        ("tip-of-tongue/congress", "tip-of-the-tongue"),
        ("elsewhere/task", None),
    ],
)
def test_the_folder_above_a_task_names_the_mechanism(tmp_path, task, mechanism):
    corpus = load_corpus(write_obliq(tmp_path, task, exclusions=False))
    assert {query.mechanism for query in corpus.queries} == {mechanism}


def test_a_task_is_found_from_inside_its_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(write_obliq(tmp_path))
    corpus = load_corpus(".")
    assert (corpus.name, corpus.queries[0].mechanism) == ("math", "analogue")


def test_the_root_of_the_bench_names_the_tasks_inside(tmp_path):
    write_obliq(tmp_path)
    write_obliq(tmp_path, "descriptive/twitter")
    with pytest.raises(
        InputError, match="it contains the corpora analogues/math, descriptive/twitter: name one of them"
    ):
        load_corpus(tmp_path)


def test_a_mechanisms_folder_names_the_tasks_inside(tmp_path):
    write_obliq(tmp_path)
    with pytest.raises(InputError, match="it contains the corpora math: name one of them"):
        load_corpus(tmp_path / "analogues")


def test_an_excluded_document_takes_no_place_in_a_run_files_top_k(tmp_path):
    folder = write_obliq(tmp_path)
    ids = [document["_id"] for document in MATH]
    run = [(ids[0], ids[0], 9.0), (ids[0], ids[3], 8.0), ("query 2", ids[0], 9.0), ("query 2", ids[1], 8.0)]
    outcome = score(folder, run, tmp_path, depth=1, measures=["RR@10", "P@1"])
    assert top(outcome) == {ids[0]: [ids[3]], "query 2": [ids[0]]}
    assert means(outcome) == {"RR@10": 0.5, "P@1": 0.5}


def test_an_excluded_document_takes_no_place_in_a_retrievers_top_k(tmp_path):
    self_match = MATH[0]["_id"]
    without = evaluate(write_obliq(tmp_path / "free", exclusions=False), "bm25", depth=1, out=tmp_path / "o")[0]
    assert top(without)[self_match] == [self_match], "the query's own text ranks first"
    applied = evaluate(write_obliq(tmp_path), "bm25", depth=1, out=tmp_path / "o")[0]
    assert len(top(applied)[self_match]) == 1
    assert self_match not in top(applied)[self_match]


# ---------------------------------------------------------------- ids


ODD_IDS = [
    "IMO___2004___Problem 1",
    "§ 7 Abs. 2",
    " padded ",
    "日本語 文書",
    "naïve\u00a0id",
    "a\u2028b",
    '"quoted"',
    "#",
    "1e3",
    "-",
    "🙂",
]


def test_ids_with_spaces_and_unicode_survive_from_run_to_run_file_to_score(tmp_path, command):
    documents = [{"_id": name, "text": f"clause number {i} " + "lease " * i} for i, name in enumerate(ODD_IDS)]
    queries = [{"_id": f"{name} ?", "text": f"lease number {i}"} for i, name in enumerate(ODD_IDS)]
    rows = [(query["_id"], ODD_IDS[i - 3], i % 3) for i, query in enumerate(queries)]
    folder = tmp_path / "odd"
    write_jsonl(folder / "corpus.jsonl", documents)
    write_jsonl(folder / "queries.jsonl", queries)
    lines = ["\t".join(HEADER), *("\t".join(map(str, row)) for row in rows)]
    (folder / "qrels").mkdir()
    (folder / "qrels" / "gold.tsv").write_text("\n".join(lines), encoding="utf-8")
    out = tmp_path / "out"
    ran = json.loads(command("retrieval", "run", folder, "-r", "bm25", "-o", out, "--json").stdout)[0]
    file = Path(ran["run"]) / "artifacts" / "run.trec.gz"
    assert any(f"\tQ0\t{ODD_IDS[0]}\t" in line for line in gzip.decompress(file.read_bytes()).decode().split("\n"))
    again = json.loads(command("retrieval", "score", file, "-c", folder, "-o", out, "--json").stdout)[0]
    assert again["measures"] == ran["measures"]
    assert again["measures"]["AP"]["mean"] > 0


# ---------------------------------------------------------------- what a corpus is, by content


@pytest.fixture
def gold_and_pooled(tmp_path):
    folder = write_beir(tmp_path / "c", gold=QRELS, pooled=[*QRELS, ("q1", "d4", 0)])
    (folder / "exclusions.json").write_text('{"q1": ["d6"]}')
    return folder


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("corpus.jsonl", "freely", "freelY"),
        ("queries.jsonl", "thirty", "thirtY"),
        ("qrels/gold.tsv", "q1\td5\t2", "q1\td5\t1"),
        ("exclusions.json", "d6", "d2"),
    ],
)
def test_one_changed_byte_changes_the_hash_of_its_file_and_of_the_corpus(gold_and_pooled, file, old, new):
    before = load_corpus(gold_and_pooled)
    path = gold_and_pooled / file
    path.write_text(path.read_text().replace(old, new, 1))
    after = load_corpus(gold_and_pooled)
    assert {name for name in before.files if before.files[name] != after.files[name]} == {file}
    assert after.files[file] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert after.sha256 != before.sha256


def test_another_views_judgements_do_not_change_the_hash(gold_and_pooled):
    before = load_corpus(gold_and_pooled)
    write_tsv(gold_and_pooled / "qrels" / "pooled.tsv", QRELS, HEADER)
    assert load_corpus(gold_and_pooled).sha256 == before.sha256


def test_each_view_has_its_own_hash(gold_and_pooled):
    assert load_corpus(gold_and_pooled, "gold").sha256 != load_corpus(gold_and_pooled, "pooled").sha256


def test_the_hash_does_not_depend_on_where_the_folder_lies(gold_and_pooled, tmp_path):
    moved = shutil.copytree(gold_and_pooled, tmp_path / "elsewhere" / "c")
    assert load_corpus(moved).sha256 == load_corpus(gold_and_pooled).sha256


@pytest.mark.parametrize("key", ["mechanism: surface", "duplicates: merge"])
def test_a_card_that_changes_the_numbers_changes_the_hash(tmp_path, key):
    folder = write_beir(tmp_path / "c", [*DOCUMENTS, COPY])
    before = load_corpus(folder)
    (folder / "corpus.yaml").write_text(f"{key}\n")
    assert load_corpus(folder).sha256 != before.sha256


# ---------------------------------------------------------------- size and real data


PEAK = """
import re, sys
from pathlib import Path
import numpy, yaml
from evalsuite import load_corpus

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024

before = peak()
corpus = load_corpus(sys.argv[1])
read = sum(len(document.text) for document in corpus.documents())
print(len(corpus), read, peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory of one process is read from /proc")
def test_documents_stay_on_disk(tmp_path):
    n, filler = 40_000, "the tenant shall keep the premises in good repair " * 80
    folder = write_beir(tmp_path / "big", queries=QUERIES[:1], test=[("q1", "d5", 1)])
    with (folder / "corpus.jsonl").open("w") as stream:
        stream.writelines(f'{{"_id": "d{i}", "text": "{i} {filler}"}}\n' for i in range(n))
    size = (folder / "corpus.jsonl").stat().st_size
    done = subprocess.run([sys.executable, "-c", PEAK, str(folder)], capture_output=True, text=True, check=True)
    documents, characters, grown = map(int, done.stdout.split())
    assert documents == n
    assert characters > 0.95 * size > 150e6
    assert grown < size / 3


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "documents", "queries", "without_text"), [("cranfield", 1400, 225, 2), ("cuad-clauses", 6663, 38, 0)]
)
def test_real_beir_data_loads(shared_data, name, documents, queries, without_text):
    corpus = load_corpus(shared_data / name)
    assert (corpus.name, corpus.view) == (name, "test")
    assert (len(corpus), len(corpus.queries)) == (documents, queries)
    assert sum(not document.contents for document in corpus.documents()) == without_text

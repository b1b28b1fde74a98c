"""The bundled corpora: their proof, their independence, and that nobody wrote them with a template."""

import json
import subprocess
import sys
from collections import defaultdict
from itertools import combinations
from pathlib import Path

import pytest
import yaml

from evalsuite import evaluate, load_corpus
from evalsuite.reporting.leaderboard import leaderboard
from evalsuite.retrieval.proof import prove

ROOT = Path(__file__).parents[1]
LARGE = ["agent-logs", "clauses", "fact-patterns", "hearings"]
SIZES = {"agent-logs": (160, 16), "clauses": (300, 30), "fact-patterns": (240, 40), "hearings": (300, 60)}


def records(name, file):
    return [json.loads(line) for line in (ROOT / "corpora" / name / file).read_text(encoding="utf-8").splitlines()]


def golds(corpus):
    found = defaultdict(set)
    for query, document, grade in zip(corpus.qrels.query, corpus.qrels.document, corpus.qrels.grade, strict=True):
        if grade > 0:
            found[corpus.queries[query].id].add(int(document))
    return found


def runs_of(text, n):
    words = "".join(char.lower() if char.isalnum() else " " for char in text).split()
    return {tuple(words[i : i + n]) for i in range(len(words) - n + 1)}


@pytest.mark.model
@pytest.mark.parametrize("name", [*LARGE, "clauses-mini"])
def test_the_proof_holds_and_is_the_one_in_the_card(name, shared_cache):
    proof = prove(ROOT / "corpora" / name, cache=shared_cache)
    assert [check.check for check in proof.checks if not check.ok] == []
    card = yaml.safe_load((ROOT / "corpora" / name / "corpus.yaml").read_text())["proof"]
    told = {system: str(value).split()[0] for system, value in card["oblique"].items()}
    for system in ("bm25", "dense"):
        assert f"{proof.scores['oblique'][system].mean:.3f}" == f"{float(told[system]):.3f}"


@pytest.mark.parametrize("name", LARGE)
def test_it_has_the_size_that_was_promised_and_a_twin_for_every_oblique_query(name):
    corpus = load_corpus(ROOT / "corpora" / name)
    oblique = [query for query in corpus.queries if query.twin_of is None]
    assert (len(corpus), len(oblique)) >= SIZES[name]
    assert {query.twin_of for query in corpus.queries if query.twin_of} == {query.id for query in oblique}
    relevant = golds(corpus)
    assert all(relevant[query.id] == relevant[query.twin_of] for query in corpus.queries if query.twin_of)


@pytest.mark.parametrize("name", LARGE)
def test_every_pair_is_judged_or_excluded_zeros_included(name):
    corpus = load_corpus(ROOT / "corpora" / name)
    assert len(corpus.qrels.grade) + len(corpus.exclusions) == len(corpus) * len(corpus.queries)
    assert (corpus.qrels.grade == 0).any()


def test_there_are_a_hundred_independent_groups_and_no_document_is_relevant_to_two_of_them():
    groups = 0
    for name in LARGE:
        corpus = load_corpus(ROOT / "corpora" / name)
        by_group, relevant = defaultdict(set), golds(corpus)
        for query in corpus.queries:
            by_group[query.group] |= relevant[query.id]
        assert all(not one & other for one, other in combinations(by_group.values(), 2))
        groups += len(by_group)
    assert groups >= 100


@pytest.mark.parametrize("name", LARGE)
def test_dev_and_test_share_no_group(name):
    corpus = load_corpus(ROOT / "corpora" / name)
    sides = defaultdict(set)
    for query in corpus.queries:
        sides[query.group].add(query.split)
    assert set(map(frozenset, sides.values())) == {frozenset({"dev"}), frozenset({"test"})}


@pytest.mark.parametrize("name", LARGE)
def test_no_two_documents_share_eight_words_in_a_row(name):
    seen = {}
    for document in records(name, "corpus.jsonl"):
        for run in runs_of(document["text"], 8):
            assert seen.setdefault(run, document["_id"]) == document["_id"], (" ".join(run), seen[run], document["_id"])


@pytest.mark.parametrize("name", LARGE)
def test_documents_of_one_query_are_no_nearer_to_each_other_in_words_than_to_the_rest(name):
    """Shared runs of five words, per pair of documents: a template would show among the golds of one query."""
    corpus, texts = load_corpus(ROOT / "corpora" / name), [d["text"] for d in records(name, "corpus.jsonl")]
    shingles = [runs_of(text, 5) for text in texts]
    within = [
        len(shingles[a] & shingles[b])
        for query, found in golds(corpus).items()
        if not query.endswith("-s")
        for a, b in combinations(sorted(found), 2)
    ]
    assert sum(within) <= 0.1 * max(len(within), 1)


@pytest.mark.parametrize("name", LARGE)
def test_labels_stand_in_the_annotations_and_nowhere_in_the_documents(name):
    documents, labelled = records(name, "corpus.jsonl"), records(name, "annotations.jsonl")
    assert [document["_id"] for document in documents] == [entry["_id"] for entry in labelled]
    assert all(document.keys() == {"_id", "title", "text"} for document in documents)


def test_filler_for_benchmarks_is_the_same_for_the_same_seed_and_never_gets_a_place(tmp_path):
    made = []
    for name in ("a", "b"):
        arguments = ["--documents", "300", "--queries", "20", "--seed", "5"]
        command = [sys.executable, ROOT / "benchmarks" / "scale.py", tmp_path / name, *arguments]
        subprocess.run(command, check=True, capture_output=True)
        made.append((tmp_path / name / "corpus.jsonl").read_bytes())
    assert made[0] == made[1]
    evaluate(tmp_path / "a", ["bm25", "random"], out=tmp_path / "runs")
    board = leaderboard([tmp_path / "runs"])
    assert "synthetic filler" in str(board)

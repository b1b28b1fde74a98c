"""Obliqueness of a query without a language model: figures that can be reckoned by hand, and how they go with a gap."""

import math

import numpy as np
import pytest
from conftest import write_beir
from tinymodel import save_tiny_model

from evalsuite import load_corpus
from evalsuite.retrieval.obliqueness import obliqueness
from evalsuite.retrieval.retrievers.dense import Dense

DOCUMENTS = [
    {"_id": "a", "text": "red apple pie"},
    {"_id": "b", "text": "green apple tart"},
    {"_id": "c", "text": "blue whale song"},
    {"_id": "d", "text": "grey whale bone"},
]
QUERIES = [
    {"_id": "plain", "text": "red apple"},
    {"_id": "oblique", "text": "green apple"},
    {"_id": "silent", "text": "fish of the sea"},
]
GOLD = [("plain", "a", 1), ("oblique", "c", 1), ("oblique", "d", 1), ("silent", "c", 1)]


@pytest.fixture
def corpus(tmp_path):
    return load_corpus(write_beir(tmp_path / "corpus", DOCUMENTS, QUERIES, gold=GOLD))


def figures(found):
    return {entry.id: entry for entry in found.queries}


def idf(df, n=4):
    return math.log1p((n - df + 0.5) / (df + 0.5))


def test_overlap_is_the_idf_weighted_share_of_the_query_s_words_in_its_golds(corpus):
    plain = figures(obliqueness(corpus))["plain"]
    assert plain.overlap == pytest.approx(1.0)
    hard_negative = idf(2) / (idf(1) + idf(2))  # "apple" of "red apple", in document b
    assert plain.overlap_margin == pytest.approx(1.0 - hard_negative)


def test_an_oblique_query_shares_more_with_hard_negatives_than_with_its_golds(corpus):
    oblique = figures(obliqueness(corpus))["oblique"]
    assert oblique.overlap == 0.0
    assert oblique.overlap_margin == pytest.approx(-(1.0 + idf(2) / (idf(1) + idf(2))) / 2)


def test_the_rank_of_the_best_gold_is_one_past_the_corpus_where_bm25_finds_none(corpus):
    found = figures(obliqueness(corpus))
    assert (found["plain"].bm25_rank, found["oblique"].bm25_rank, found["silent"].bm25_rank) == (1, 5, 5)


def test_words_that_no_document_has_count_as_not_shared(corpus):
    assert figures(obliqueness(corpus))["silent"].overlap == 0.0


def test_excluded_documents_are_no_hard_negatives(tmp_path):
    folder = write_beir(tmp_path / "corpus", DOCUMENTS, QUERIES, gold=GOLD)
    (folder / "exclusions.json").write_text('{"plain": ["b"]}')
    assert figures(obliqueness(load_corpus(folder)))["plain"].overlap_margin == pytest.approx(1.0)


@pytest.mark.model
def test_the_dense_margin_is_similarity_to_golds_minus_that_to_the_nearest_others(tmp_path, corpus):
    words = sorted({word for record in [*DOCUMENTS, *QUERIES] for word in record["text"].split()})
    dense = Dense(model=str(save_tiny_model(tmp_path, words)), cache=tmp_path / "cache")
    found = figures(obliqueness(corpus, dense=dense))["oblique"]
    hits = dense.search([query for query in corpus.queries if query.id == "oblique"], 4)
    score = dict(zip((corpus.doc_ids[d] for d in hits.documents[0]), hits.scores[0], strict=True))
    assert found.dense_margin == pytest.approx((score["c"] + score["d"]) / 2 - (score["a"] + score["b"]) / 2, abs=1e-5)
    assert found.dense_rank == min(list(score).index("c"), list(score).index("d")) + 1


def test_the_correlation_with_the_gap_is_spearman_s_over_the_queries_that_have_one(corpus):
    found = obliqueness(corpus, gaps={"plain": 0.0, "oblique": 0.9, "silent": 0.8})
    assert found.correlation["bm25_rank"].rho == pytest.approx(np.sqrt(3) / 2)
    assert found.correlation["bm25_rank"].n == 3
    assert "dense_rank" not in found.correlation
    some = obliqueness(corpus, gaps={"plain": 0.0})
    assert [entry.id for entry in some.queries] == ["plain"]

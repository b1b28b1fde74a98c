"""Measures equal trec_eval's, query by query; pytrec-eval-terrier and ir_measures are the oracles."""

import ir_measures
import numpy as np
import pytest
import pytrec_eval
from hypothesis import given, settings
from hypothesis import strategies as st

from evalsuite import Corpus, Measure, Qrels, Query, Run, in_order, measure
from evalsuite.errors import InputError, UsageError

ORACLE = {
    "nDCG": "ndcg",
    "nDCG@5": "ndcg_cut_5",
    "nDCG@10": "ndcg_cut_10",
    "R@5": "recall_5",
    "R@100": "recall_100",
    "P@5": "P_5",
    "P@10": "P_10",
    "AP": "map",
    "AP@5": "map_cut_5",
    "RR": "recip_rank",
    "Rprec": "Rprec",
    "Bpref": "bpref",
}


def make_corpus(qrels, doc_ids, exclusions=()):
    """A corpus of ids only: scoring never reads a text."""
    queries = [Query(name, name) for name in qrels]
    numbers = {name: i for i, name in enumerate(doc_ids)}
    rows = [(q, numbers[d], g) for q, name in enumerate(qrels) for d, g in qrels[name].items()]
    corpus = Corpus(
        name="made",
        version="1",
        view="gold",
        doc_ids=list(doc_ids),
        queries=queries,
        qrels=Qrels.of(*np.array(rows, dtype=np.int64).T),
        files={},
        stream=lambda: iter(()),
    )
    corpus.exclusions = (
        np.array([(corpus.query_number[q], numbers[d]) for q, d in exclusions]).reshape(-1, 2).astype(int)
    )
    return corpus


def ours(corpus, run, names, depth=None):
    """{query: {measure: value}} by our engine."""
    ordered = in_order(Run.of_dicts(corpus, run, "test"), corpus, depth)
    ranking = np.full((len(corpus.queries), ordered.documents.shape[1]), -1)
    ranking[ordered.queries] = ordered.documents
    values = measure(ranking, corpus.qrels, len(corpus), names)
    return {query.id: {name: values[name][i] for name in names} for i, query in enumerate(corpus.queries)}


def trec(qrels, run):
    evaluator = pytrec_eval.RelevanceEvaluator(qrels, set(ORACLE.values()) | {"map_cut.5", "ndcg_cut.5,10", "P.5,10"})
    return evaluator.evaluate({q: {d: float(s) for d, s in row.items()} for q, row in run.items()})


def graded_run(seed, n_queries=40, n_docs=300, depth=150, grades=(0, 1, 2, 3), ties=True):
    """Random judgements (a few documents per query judged) and a random run over judged and unjudged documents."""
    rng = np.random.default_rng(seed)
    docs = [f"d{i:03d}" for i in rng.permutation(n_docs)]
    qrels, run = {}, {}
    for q in range(n_queries):
        judged = rng.choice(n_docs, rng.integers(1, 40), replace=False)
        qrels[f"q{q}"] = {docs[d]: int(rng.choice(grades)) for d in judged}
        found = rng.choice(n_docs, rng.integers(1, depth), replace=False)
        scores = rng.integers(0, 20, len(found)) / 4 if ties else rng.permutation(len(found)) / 7
        run[f"q{q}"] = {docs[d]: float(s) for d, s in zip(found, scores, strict=True)}
    return docs, qrels, run


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("ties", [True, False])
def test_every_measure_equals_trec_eval_per_query(seed, ties):
    docs, qrels, run = graded_run(seed, ties=ties)
    mine, theirs = ours(make_corpus(qrels, docs), run, list(ORACLE)), trec(qrels, run)
    for query, values in mine.items():
        for name, value in values.items():
            assert value == pytest.approx(theirs[query][ORACLE[name]], abs=1e-6), (query, name)


def test_exclusions_are_removed_before_the_cut():
    docs, qrels, run = graded_run(3)
    excluded = [(q, d) for q in qrels for d in list(run[q])[:7] if qrels[q].get(d, 0) <= 0]
    left = {q: {d: s for d, s in row.items() if (q, d) not in set(excluded)} for q, row in run.items()}
    mine, theirs = ours(make_corpus(qrels, docs, excluded), run, list(ORACLE)), trec(qrels, left)
    assert excluded
    for query, values in mine.items():
        for name, value in values.items():
            assert value == pytest.approx(theirs.get(query, {}).get(ORACLE[name], 0.0), abs=1e-6), (query, name)


def test_negative_grades_are_judged_but_count_neither_way_as_in_trec_eval():
    docs, qrels, run = graded_run(5, grades=(-1, 0, 1, 2))
    qrels = {q: row for q, row in qrels.items() if any(g > 0 for g in row.values())}
    run = {q: run[q] for q in qrels}
    mine, theirs = ours(make_corpus(qrels, docs), run, list(ORACLE)), trec(qrels, run)
    for query, values in mine.items():
        for name, value in values.items():
            assert value == pytest.approx(theirs[query][ORACLE[name]], abs=1e-6), (query, name)


@pytest.mark.parametrize("k", [1, 5, 10, 1000])
def test_judged_at_k_is_that_of_ir_measures(k):
    docs, qrels, run = graded_run(9, ties=False)
    mine = ours(make_corpus(qrels, docs), run, [f"Judged@{k}"])
    for row in ir_measures.iter_calc([ir_measures.Judged @ k], qrels, run):
        assert mine[row.query_id][f"Judged@{k}"] == pytest.approx(row.value, abs=1e-9)


def test_reciprocal_rank_at_k_breaks_ties_like_the_other_measures():
    corpus = make_corpus({"q": {"a": 1}}, ["a", "b"])
    assert ours(corpus, {"q": {"a": 1.0, "b": 1.0}}, ["RR@10", "RR@1"])["q"] == {"RR@10": 0.5, "RR@1": 0.0}


def test_scores_are_compared_as_float64():
    corpus = make_corpus({"q": {"a": 1}}, ["a", "b"])
    assert ours(corpus, {"q": {"a": 1.00000002, "b": 1.00000001}}, ["P@1"])["q"]["P@1"] == 1.0


def test_a_query_missing_from_the_run_counts_as_zero():
    docs, qrels, run = graded_run(1)
    del run["q0"]
    mine = ours(make_corpus(qrels, docs), run, list(ORACLE))
    assert all(value == 0 for value in mine["q0"].values())
    assert len(mine) == len(qrels)


def test_an_empty_run_scores_zero_everywhere():
    docs, qrels, _ = graded_run(1)
    mine = ours(make_corpus(qrels, docs), {}, list(ORACLE))
    assert {value for row in mine.values() for value in row.values()} == {0.0}


def test_hand_computed_values():
    corpus = make_corpus({"q": {"a": 2, "b": 1, "c": 0, "e": 1}}, list("abcdef"))
    values = ours(
        corpus, {"q": {"d": 4, "b": 3, "c": 2, "a": 1}}, ["nDCG@3", "AP", "RR", "Bpref", "Judged@2", "Rprec"]
    )["q"]
    ideal = 2 + 1 / np.log2(3) + 1 / np.log2(4)
    assert values["nDCG@3"] == pytest.approx((1 / np.log2(3)) / ideal)
    assert values["AP"] == pytest.approx((1 / 2 + 2 / 4) / 3)
    assert values["RR"] == 0.5
    assert values["Bpref"] == pytest.approx((1 + 0) / 3)
    assert values["Judged@2"] == 0.5
    assert values["Rprec"] == pytest.approx(1 / 3)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 3), min_size=1),
    st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from([0.0, 0.5, 1.0, -2.0]), min_size=1),
)
def test_small_cases_with_many_ties_equal_trec_eval(judged, scores):
    qrels, run = {"q": judged}, {"q": scores}
    mine, theirs = ours(make_corpus(qrels, "abcdefgh"), run, list(ORACLE))["q"], trec(qrels, run)["q"]
    for name, value in mine.items():
        assert value == pytest.approx(theirs[ORACLE[name]], abs=1e-6), name


def test_the_cut_at_depth_keeps_the_tied_document_that_trec_eval_ranks_first():
    corpus = make_corpus({"q": {"c": 1}}, list("abc"))
    assert ours(corpus, {"q": {"a": 1.0, "b": 1.0, "c": 1.0}}, ["R@100"], depth=1)["q"]["R@100"] == 1.0


@pytest.mark.parametrize("name", ["nDCG@10", "nDCG", "R@100", "AP", "AP@5", "RR@10", "Rprec", "Bpref", "Judged@10"])
def test_a_measure_prints_as_it_is_written(name):
    assert str(Measure.parse(name)) == name


@pytest.mark.parametrize("name", ["ndcg@10", "R", "P@0", "Bpref@5", "Recall@10", "", "nDCG@-1"])
def test_a_name_that_is_no_measure_is_refused_with_the_accepted_ones(name):
    with pytest.raises(UsageError, match=r"not a measure; accepted are nDCG\[@k\], R@k"):
        Measure.parse(name)


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ({"x": {"a": 1.0}}, "query 'x'"),
        ({"q": {"z": 1.0}}, "document 'z' is not in the corpus"),
        ({"q": {"a": float("nan")}}, "NaN"),
        ({"q": {"a": "high"}}, "not a number"),
    ],
)
def test_a_dict_run_that_cannot_be_scored_is_refused(run, message):
    with pytest.raises(InputError, match=message):
        Run.of_dicts(make_corpus({"q": {"a": 1}}, ["a"]), run, "test")

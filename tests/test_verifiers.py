"""Verifiers without an LLM: recorded judgements, cross-encoders; orders, ties, and rankings made of many small ones."""

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import QRELS, write_beir, write_jsonl
from hypothesis import given
from hypothesis import strategies as st
from tinymodel import save_tiny_model

from evalsuite import EvalsuiteError, evaluate, load_corpus
from evalsuite.errors import InputError, UsageError
from evalsuite.retrieval.poolfile import Pool, PoolRow, corpus_identity, write_pool
from evalsuite.retrieval.retrievers import create
from evalsuite.retrieval.verifiers.base import shuffled, untied
from evalsuite.retrieval.verifiers.crossencoder import PairScorer
from evalsuite.retrieval.verifiers.ranking import completed, sliding_windows, tournament
from evalsuite.storage import read_units

ROOT = Path(__file__).parents[1]
MINI = ROOT / "corpora" / "clauses-mini"
EVALSUITE = Path(sys.executable).parent / "evalsuite"
WORDS = [f"w{i}" for i in range(60)]


@pytest.fixture
def verify(tmp_path):
    def verify(corpus, spec, **options):
        [outcome] = evaluate(corpus, spec, out=tmp_path / "out", cache=tmp_path / "cache", **options)
        return outcome

    return verify


def pool_file(path, corpus, *, n=None, queries=None, sizes=None):
    """A pool of all documents (or golds and the first others up to n) for every query (or these)."""
    golds = {query.id: [] for query in corpus.queries}
    for query, document, grade in zip(corpus.qrels.query, corpus.qrels.document, corpus.qrels.grade, strict=True):
        if grade > 0:
            golds[corpus.queries[query].id].append(corpus.doc_ids[document])
    rows = {}
    for qid in queries or golds:
        others = [name for name in corpus.doc_ids if name not in golds[qid]]
        rows[qid] = PoolRow(qid, tuple(golds[qid]), tuple(others[: (n or len(corpus)) - len(golds[qid])]), {})
    recipe = {"seed": 42, "families": {}}
    return write_pool(Pool(corpus_identity(corpus), "hard", recipe, sizes or (n or len(corpus),), rows), path)


def rankings(outcome):
    """{query id: [(document, score)]}, the first ten."""
    return {unit.id: [(name, score) for name, score, _ in unit.top] for unit in read_units(outcome.path)}


# ---------------------------------------------------------------- recorded


def test_recorded_judgements_reproduce_v_of_the_bundled_corpus_to_the_digit(verify, tmp_path):
    first = verify(MINI, "recorded:name=blind-reader")
    second = verify(MINI, "recorded:name=blind-reader", fresh=True)
    assert first.summary.measures["nDCG@10"].mean == 1.0
    assert first.path != second.path
    assert (first.path / "results.jsonl").read_bytes() == (second.path / "results.jsonl").read_bytes()


def test_queries_without_judgements_are_left_out_and_never_count_as_zero(verify):
    outcome = verify(MINI, "recorded")
    assert outcome.summary.n_queries == 10
    assert set(outcome.summary.by_mechanism) == {"descriptive"}
    assert any("10 of 20 queries have nothing to verify" in note for note in outcome.manifest.notes)
    system = outcome.manifest.system
    assert system["role"] == "verifier"
    assert system["settings"]["name"] == "blind-reader"
    assert system["settings"]["judgements_sha256"] == load_corpus(MINI).card["sha256"]["judgements/blind-reader.jsonl"]


def test_each_order_breaks_ties_its_own_way_and_always_the_same_way(verify):
    first, second, third = (verify(MINI, f"recorded:order={order}") for order in (1, 2, 3))
    again = verify(MINI, "recorded:order=2", fresh=True)
    listed = [rankings(outcome) for outcome in (first, second, third)]
    assert len({json.dumps(found) for found in listed}) == 3
    assert rankings(again) == listed[1]
    assert all(
        [round(score) for _, score in listed[0][qid]] == [round(score) for _, score in listed[2][qid]]
        for qid in listed[0]
    )


def test_recorded_judgements_rank_a_pool_that_they_cover(verify, tmp_path):
    corpus = load_corpus(MINI)
    pool = pool_file(tmp_path / "small.pool.jsonl", corpus, n=20)
    outcome = verify(corpus, f"recorded:pool={pool}")
    assert outcome.summary.n_queries == 10
    assert outcome.manifest.system["facts"]["candidates_per_query"] == 20
    assert str(tmp_path) not in (outcome.path / "run.json").read_text()


def test_candidates_that_nobody_judged_are_counted(tmp_path, corpus_folder, verify):
    corpus = load_corpus(corpus_folder)
    file = write_jsonl(tmp_path / "some.jsonl", [{"qid": "q1", "docid": "d5", "score": 3}])
    pool = pool_file(tmp_path / "all.pool.jsonl", corpus)
    with pytest.raises(InputError, match="5 of 6 candidates of the pool are not judged, first document"):
        verify(corpus, f"recorded:file={file},pool={pool}")


def test_relevant_documents_outside_what_was_judged_are_told(tmp_path, corpus_folder, verify):
    file = write_jsonl(tmp_path / "some.jsonl", [{"qid": "q1", "docid": "d5", "score": 3}])
    outcome = verify(corpus_folder, f"recorded:file={file}")
    assert outcome.manifest.system["facts"]["relevant_outside_pool"] == 1
    assert any("1 of 2 relevant documents are not among the candidates" in note for note in outcome.manifest.notes)


@pytest.mark.parametrize(
    ("record", "problem"),
    [
        ({"qid": "q9", "docid": "d1", "score": 1}, "some.jsonl:2: query 'q9' is not in"),
        ({"qid": "q1", "docid": "d9", "score": 1}, "some.jsonl:2: document 'd9' is not in"),
        ({"qid": "q1", "docid": "d1", "score": "high"}, "some.jsonl:2: the score must be a number; found 'high'"),
        ({"qid": "q1", "docid": "d1", "score": None}, "some.jsonl:2: the score must be a number; found None"),
        ({"qid": "q1", "docid": "d5", "score": 1}, "some.jsonl:2: document 'd5' is ranked twice"),
        ({"qid": "q1", "docid": "d1"}, "some.jsonl:2: has no score"),
    ],
)
def test_a_judgement_that_cannot_be_taken_names_file_and_line(record, problem, tmp_path, corpus_folder, verify):
    file = write_jsonl(tmp_path / "some.jsonl", [{"qid": "q1", "docid": "d5", "score": 3}, record])
    with pytest.raises(InputError) as error:
        verify(corpus_folder, f"recorded:file={file}")
    assert problem in str(error.value)


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        ("recorded:name=nobody", "has no 'nobody'; there are blind-reader"),
        ("recorded:name=blind-reader,file={there}", "name= or file=, not both"),
        ("recorded:file=no/such.jsonl", "no such file"),
        ("recorded:size=10", "size takes the first of a pool; it needs pool=FILE"),
        ("recorded:order=0", "order=0"),
        ("recorded:pool=no/such.pool.jsonl", "no such file"),
        ("cross-encoder", "a cross-encoder needs model=FOLDER"),
        ("llm:protocol=pointwise", "llm needs model=NAME"),
        (
            "llm:model=function:m:f,protocol=pairwise",
            "Input should be 'pointwise', 'listwise', 'tournament' or 'binary'",
        ),
        ("llm:model=function:labkit:judge", "a verifier needs pool=FILE"),
        ("hybrid:bm25+recorded", "it cannot be part of another system"),
    ],
)
def test_a_verifier_that_is_asked_for_wrongly_says_what_is_accepted(spec, problem, tmp_path, verify):
    there = write_jsonl(tmp_path / "there.jsonl", [{"qid": "d01", "docid": "cm-001", "score": 0}])
    with pytest.raises(EvalsuiteError) as error:
        verify(MINI, spec.format(there=there))
    assert problem in str(error.value)


def test_a_corpus_without_judgements_says_so(corpus_folder, verify):
    with pytest.raises(InputError, match="ships no recorded judgements"):
        verify(corpus_folder, "recorded")


def test_a_pool_made_for_another_corpus_is_refused(tmp_path, corpus_folder, verify):
    pool = pool_file(tmp_path / "other.pool.jsonl", load_corpus(corpus_folder))
    with pytest.raises(InputError, match="clauses-mini"):
        verify(MINI, f"recorded:pool={pool}")


def test_a_size_beyond_the_pool_is_refused(tmp_path, verify):
    pool = pool_file(tmp_path / "some.pool.jsonl", load_corpus(MINI), n=20)
    with pytest.raises(UsageError, match="20; found 30"):
        verify(MINI, f"recorded:pool={pool},size=30")


def test_exclusions_and_qrels_follow_the_queries_that_are_left(tmp_path, verify):
    folder = write_beir(tmp_path / "corpus", gold=QRELS)
    (folder / "exclusions.json").write_text(json.dumps({"q1": ["d2"], "q3": ["d6"]}))
    rows = [{"qid": "q3", "docid": name, "score": score} for name, score in (("d6", 3), ("d4", 2), ("d1", 1))]
    outcome = verify(folder, f"recorded:file={write_jsonl(tmp_path / 'some.jsonl', rows)}")
    assert rankings(outcome) == {"q3": [("d4", 2.0), ("d1", 1.0)]}
    assert outcome.summary.measures["nDCG@10"].mean == 1.0


# ---------------------------------------------------------------- orders and ties


@given(st.lists(st.sampled_from([0.0, 1.0, 2.0, 2.5, 3.0]), min_size=1, max_size=60))
def test_ties_are_broken_in_the_order_shown_and_no_other_pair_changes_places(scores):
    broken = untied(np.array(scores))
    assert len(set(broken.tolist())) == len(scores)
    wanted = sorted(range(len(scores)), key=lambda place: (-scores[place], place))
    assert np.argsort(-broken).tolist() == wanted
    step = np.diff(np.unique(scores)).min(initial=1.0)
    assert ((broken >= scores) & (broken < np.array(scores) + step)).all()


def test_scores_without_ties_stay_as_they_are():
    assert untied(np.array([0.25, -3.0, 7.5])).tolist() == [0.25, -3.0, 7.5]


def test_the_order_shown_depends_on_the_seed_and_the_query_and_not_on_the_pools_own_order():
    names = [f"d{i}" for i in range(40)]
    assert shuffled(range(40), names, 1, "q1") == shuffled(reversed(range(40)), names, 1, "q1")
    orders = [shuffled(range(40), names, order, qid) for order in (1, 2, 3) for qid in ("q1", "q2")]
    assert len({tuple(order) for order in orders}) == 6
    assert all(sorted(order) == list(range(40)) for order in orders)


# ---------------------------------------------------------------- rankings of many small ones


class Comparer:
    """Puts high numbers first, and counts."""

    def __init__(self):
        self.calls = []

    async def __call__(self, items):
        self.calls.append(len(items))
        return sorted(items, reverse=True)


@pytest.mark.parametrize(("n", "calls"), [(1, 1), (20, 1), (21, 2), (30, 2), (31, 3), (100, 9), (305, 30)])
def test_sliding_windows_carry_the_best_ten_to_the_top(n, calls):
    comparer = Comparer()
    ranked = asyncio.run(sliding_windows(list(range(n)), comparer))
    assert ranked[:10] == list(range(n))[::-1][:10]
    assert sorted(ranked) == list(range(n))
    assert len(comparer.calls) == calls
    assert max(comparer.calls) <= 20


@pytest.mark.parametrize(
    ("n", "calls"), [(1, 0), (2, 1), (20, 1), (21, 2), (100, 6), (101, 7), (105, 9), (305, 21), (401, 25)]
)
def test_the_tournament_asks_once_per_batch_and_ends_with_twenty_or_fewer(n, calls):
    comparer = Comparer()
    shown = np.random.default_rng(5).permutation(n).tolist()
    ranked = asyncio.run(tournament(shown, comparer))
    assert sorted(ranked) == list(range(n))
    assert ranked[0] == n - 1
    assert len(comparer.calls) == calls
    assert max(comparer.calls, default=0) <= 20


def test_the_eliminated_follow_latest_round_first_and_in_turn_over_the_batches():
    shown = [*range(100, 120), *range(200, 220), *range(300, 302)]
    ranked = asyncio.run(tournament(shown, Comparer()))
    # 4 + 4 + 2 go on; the rest of both full batches, in turn: 215 is the fifth of its batch as 115 is of its own.
    assert ranked[:10] == [301, 300, 219, 218, 217, 216, 119, 118, 117, 116]
    assert ranked[10:16] == [115, 215, 114, 214, 113, 213]


def test_a_perfect_judge_loses_golds_that_meet_in_one_batch_of_the_tournament():
    crowded = [*range(94, 100), *range(0, 94)]
    ranked = asyncio.run(tournament(crowded, Comparer()))
    assert ranked[:4] == [99, 98, 97, 96]
    assert [ranked.index(gold) for gold in (95, 94)] == [20, 25]


def test_batches_of_one_round_are_under_way_together():
    under_way = most = 0

    async def permute(items):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0.01)
        under_way -= 1
        return list(items)

    asyncio.run(tournament(list(range(100)), permute))
    assert most == 5


@pytest.mark.parametrize(
    ("answer", "ranking", "mended"),
    [
        ([2, 1, 3], [1, 0, 2], False),
        ([3], [2, 0, 1], True),
        ([3, 3, 9, 0, -1, 1], [2, 0, 1], True),
        ([], [0, 1, 2], True),
        ([1, 2, 3, 3], [0, 1, 2], True),
    ],
)
def test_an_answer_is_mended_by_the_order_shown_and_the_mending_is_told(answer, ranking, mended):
    assert completed(answer, 3) == (ranking, mended)


# ---------------------------------------------------------------- cross-encoders


def save_cross_encoder(folder, *, labels=1, max_length=32):
    """A real BertForSequenceClassification, tiny, with random weights."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    torch.manual_seed(11)
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate([*special, *WORDS])}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=max_length, **names).save_pretrained(folder)
    config = BertConfig(
        vocab_size=64,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=max_length,
        initializer_range=0.5,
        num_labels=labels,
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def cross_encoder(tmp_path_factory):
    import torch

    torch.set_num_threads(1)  # two would wait for each other on a busy machine
    return save_cross_encoder(tmp_path_factory.mktemp("model") / "tiny-cross")


def word_corpus(folder, n_documents, n_queries, length=8):
    rng = np.random.default_rng(3)
    texts = [" ".join(rng.choice(WORDS, length)) for _ in range(n_documents)]
    documents = [{"_id": f"d{i}", "text": text} for i, text in enumerate(texts)]
    queries = [{"_id": f"q{i}", "text": " ".join(texts[i].split()[:3])} for i in range(n_queries)]
    return write_beir(folder, documents, queries, gold=[(f"q{i}", f"d{i}", 1) for i in range(n_queries)])


def by_hand(folder, query, text):
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model, tokenizer = AutoModelForSequenceClassification.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        return model(**tokenizer(query, text, return_tensors="pt", truncation=True)).logits.item()


@pytest.mark.model
def test_a_cross_encoder_ranks_the_pool_by_the_models_own_logits(cross_encoder, tmp_path, verify):
    corpus = load_corpus(word_corpus(tmp_path / "corpus", 20, 3))
    pool = pool_file(tmp_path / "some.pool.jsonl", corpus, n=12)
    outcome = verify(corpus, f"cross-encoder:model={cross_encoder},pool={pool}")
    texts = {document.id: document.contents for document in corpus.documents()}
    for query in corpus.queries:
        top = rankings(outcome)[query.id]
        assert len(top) == 10
        for name, score in top[:3]:
            assert score == pytest.approx(by_hand(cross_encoder, query.text, texts[name]), abs=1e-5)
    settings = outcome.manifest.system["settings"]
    assert settings["model"] == "tiny-cross"
    assert len(settings["model_sha256"]) == 64
    assert settings["size"] == 12
    assert outcome.manifest.system["facts"]["pairs"] == 36
    assert str(tmp_path) not in (outcome.path / "run.json").read_text()


@pytest.mark.model
def test_other_orders_and_larger_sizes_score_only_what_is_new(cross_encoder, tmp_path, verify):
    corpus = load_corpus(word_corpus(tmp_path / "corpus", 20, 3))
    pool = pool_file(tmp_path / "some.pool.jsonl", corpus, n=12, sizes=(6, 12))
    spec = f"cross-encoder:model={cross_encoder},pool={pool}"
    facts = [
        verify(corpus, f"{spec},{rest}").manifest.system["facts"] for rest in ("size=6", "size=6,order=2", "size=12")
    ]
    assert [(found["pairs"], found["pairs_stored"]) for found in facts] == [(18, 0), (18, 18), (36, 18)]


@pytest.mark.model
def test_pairs_longer_than_the_model_reads_are_a_fact_and_a_note(cross_encoder, tmp_path, verify):
    folder = word_corpus(tmp_path / "corpus", 8, 2)
    lines = [json.loads(line) for line in (folder / "corpus.jsonl").read_text().splitlines()]
    lines[5]["text"] = lines[6]["text"] = "w1 " * 200
    corpus = load_corpus(write_beir(folder, lines, [{"_id": "q0", "text": "w1 w2"}], gold=[("q0", "d0", 1)]))
    spec = f"cross-encoder:model={cross_encoder},pool={pool_file(tmp_path / 'a.pool.jsonl', corpus)}"
    for _ in range(2):  # the second time from the store
        outcome = verify(corpus, spec, fresh=True)
        assert outcome.manifest.system["facts"]["truncated_pairs_share"] == 0.25
        assert any("25.0% of the pairs" in note for note in outcome.manifest.notes)


@pytest.mark.model
def test_a_killed_cross_encoder_repeats_no_batch_and_ends_with_the_same_results(cross_encoder, tmp_path, verify):
    folder = word_corpus(tmp_path / "corpus", 30, 12)
    corpus = load_corpus(folder)
    pool = pool_file(tmp_path / "all.pool.jsonl", corpus)
    spec = f"cross-encoder:model={cross_encoder},pool={pool},batch_size=4"
    line = [EVALSUITE, "retrieval", "run", folder, "-r", spec, "-o", tmp_path / "out", "--cache", tmp_path / "cache"]
    process = subprocess.Popen(
        list(map(str, line)), stdout=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None and stored(tmp_path) < 60:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    kept = stored(tmp_path)
    assert 60 <= kept < 360
    resumed = verify(corpus, spec)
    facts = resumed.manifest.system["facts"]
    assert (facts["pairs"], facts["pairs_stored"]) == (360, kept)
    [whole] = evaluate(corpus, spec, out=tmp_path / "other", cache=tmp_path / "other-cache")
    assert (resumed.path / "results.jsonl").read_bytes() == (whole.path / "results.jsonl").read_bytes()


def stored(tmp_path):
    for file in (tmp_path / "cache" / "cross-encoder").glob("*.sqlite"):
        try:
            with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as store:
                return store.execute("SELECT count(*) FROM scores").fetchone()[0]
        except sqlite3.OperationalError:  # just made
            pass
    return 0


@pytest.mark.model
def test_a_model_that_is_no_cross_encoder_is_refused_before_it_ranks_at_random(tmp_path, corpus_folder):
    with pytest.raises(InputError, match=r"is no cross-encoder: its config\.json names BertModel"):
        PairScorer(str(save_tiny_model(tmp_path / "bi", WORDS)), None).scores("w1", ["w2"])
    with pytest.raises(InputError, match="gives 3 scores a pair"):
        PairScorer(str(save_cross_encoder(tmp_path / "three", labels=3)), None).scores("w1", ["w2"])


def test_a_model_folder_that_is_not_there_or_holds_no_model_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(InputError, match="is neither a folder nor a model that can be fetched"):
        create(f"cross-encoder:model={tmp_path / 'nowhere'}", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="is not a sentence-transformers model folder"):
        create(f"cross-encoder:model={tmp_path / 'empty'}", tmp_path)


def test_a_damaged_store_of_scores_is_named(cross_encoder, tmp_path):
    PairScorer(str(cross_encoder), tmp_path)
    [file] = tmp_path.glob("cross-encoder/*.sqlite")
    file.write_text("not a database, but a text that is long enough to look like one")
    with pytest.raises(InputError, match="is no store of scores"):
        PairScorer(str(cross_encoder), tmp_path)


def test_a_corpus_without_any_candidate_is_an_error(tmp_path, corpus_folder):
    corpus = load_corpus(corpus_folder)
    file = write_jsonl(tmp_path / "some.jsonl", [{"qid": "q1", "docid": "d5", "score": 3}])
    verifier = create(f"recorded:file={file}").retriever
    with pytest.raises(InputError, match="ranks no query that view"):
        verifier.scope(replace(corpus, queries=[], unjudged_queries=frozenset({"q1"})))

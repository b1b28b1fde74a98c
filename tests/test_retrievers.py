"""Built-in retrievers: what each ranks, and how it agrees with the reference implementation of its kind."""

import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_evaluate import WORDS, write_corpus
from tinymodel import save_tiny_model

from evalsuite import Query, load_corpus
from evalsuite.errors import EvalsuiteError, InputError, UsageError
from evalsuite.retrieval.retrievers import create, lexical
from evalsuite.retrieval.retrievers.vectors import CHUNK_ROWS, exact_search


@pytest.fixture
def corpus(tmp_path):
    return load_corpus(write_corpus(tmp_path / "made", 400, 30, length=12))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("tiny"), WORDS, prompts={"query": "w1 w2 ", "document": ""})


def ranked(spec, corpus, k=50, queries=None, cache=None):
    """[[(document id, score), ...] per query] of a retriever."""
    retriever = create(spec, cache).retriever
    retriever.index(corpus)
    hits = retriever.search(queries or corpus.queries, k)
    return [
        [(corpus.doc_ids[d], s) for d, s in zip(documents, scores, strict=True) if d >= 0]
        for documents, scores in zip(hits.documents.tolist(), hits.scores.tolist(), strict=True)
    ]


def bare_bm25s(corpus, **options):
    import bm25s

    engine = bm25s.BM25(k1=1.5, b=0.75, **options)
    texts = [d.contents for d in corpus.documents()]
    engine.index(bm25s.tokenize(texts, stopwords="en", show_progress=False), show_progress=False)
    return [engine.get_scores(lexical.tokenize(q.text, lexical.stop_words("en"))) for q in corpus.queries]


@pytest.mark.parametrize(
    ("spec", "options"),
    [("bm25", {"method": "lucene"}), ("bm25:variant=okapi", {"method": "atire", "idf_method": "robertson"})],
)
def test_bm25_gives_the_scores_of_bm25s(corpus, spec, options):
    for row, theirs in zip(ranked(spec, corpus, k=400), bare_bm25s(corpus, **options), strict=True):
        assert len(row) == (theirs > 0).sum()
        for name, score in row:
            assert score == pytest.approx(theirs[corpus.doc_number[name]], abs=1e-5)


@pytest.mark.parametrize(
    "text", ["A b cd e_f 12 x1", "naïve café—co-op, o'clock", "日本語 テスト ab", "\u0661\u0662 _ __"]
)
def test_tokens_are_those_of_bm25s(text):
    import bm25s

    theirs = bm25s.tokenize([text], stopwords="en", return_ids=False, show_progress=False)[0]
    assert lexical.tokenize(text, lexical.stop_words("en")) == theirs


@pytest.mark.parametrize("k", [1, 10, 100, 5000])
def test_bm25_ranks_the_same_with_numba_and_with_numpy(corpus, monkeypatch, k):
    plain = ranked("bm25", corpus, k)
    monkeypatch.setattr(lexical, "NUMBA_FROM", 0)
    assert ranked("bm25", corpus, k) == plain


def test_okapi_agrees_with_rank_bm25_on_terms_in_less_than_half_of_the_documents(corpus):
    for ours, reference in zip(
        ranked("bm25:variant=okapi", corpus, 400), ranked("rank-bm25", corpus, 400), strict=True
    ):
        assert [name for name, _ in ours] == [name for name, _ in reference]
        assert [s for _, s in ours] == pytest.approx([s for _, s in reference], abs=1e-5)


def test_okapi_gives_a_term_of_most_documents_nothing_where_rank_bm25_has_a_floor(tmp_path):
    folder = write_corpus(tmp_path / "made", 20, 2)
    rows = [f'{{"_id": "d {i}", "text": "common rare{i} word{i}"}}\n' for i in range(20)]
    (folder / "corpus.jsonl").write_text("".join(rows))
    corpus = load_corpus(folder)
    query = [Query("x", "common")]
    assert ranked("bm25:variant=okapi", corpus, queries=query) == [[]]
    [floored] = ranked("rank-bm25", corpus, queries=query)
    assert len(floored) == 20
    assert all(score > 0 for _, score in floored)


def test_ties_at_the_cut_are_those_trec_eval_ranks_first(tmp_path):
    folder = write_corpus(tmp_path / "made", 100, 1)
    (folder / "corpus.jsonl").write_text(
        "".join(f'{{"_id": "d {i}", "text": "same words here"}}\n' for i in range(100))
    )
    corpus = load_corpus(folder)
    [found] = ranked("bm25", corpus, 7, [Query("x", "same words")])
    assert [name for name, _ in found] == sorted(corpus.doc_ids, reverse=True)[:7]


@pytest.mark.parametrize("text", ["zzz", "the and of", "?!", "x"])
def test_a_query_without_a_known_word_finds_nothing(corpus, text):
    assert ranked("bm25", corpus, queries=[Query("x", text), corpus.queries[0]])[0] == []
    assert ranked("rank-bm25", corpus, queries=[Query("x", text)]) == [[]]


def test_a_repeated_query_word_counts_each_time(corpus):
    word = corpus.queries[0].text.split()[0]
    once, twice = ranked("bm25", corpus, queries=[Query("a", word), Query("b", f"{word} {word}")])
    assert [s for _, s in twice] == pytest.approx([2 * s for _, s in once])


def test_a_corpus_without_a_single_word_can_be_searched(tmp_path):
    folder = write_corpus(tmp_path / "made", 3, 1)
    (folder / "corpus.jsonl").write_text("".join(f'{{"_id": "d {i}", "text": "? {i}"}}\n' for i in range(3)))
    corpus = load_corpus(folder)
    assert ranked("bm25", corpus) == ranked("rank-bm25", corpus) == [[]]


def test_the_bm25_index_is_cached_and_gives_the_same_ranking(corpus, tmp_path):
    first = create("bm25", tmp_path / "cache")
    first.retriever.index(corpus)
    again = create("bm25", tmp_path / "cache")
    again.retriever.index(corpus)
    assert (first.retriever.facts["cached"], again.retriever.facts["cached"]) == (False, True)
    assert ranked("bm25", corpus, cache=tmp_path / "cache") == ranked("bm25", corpus)


def test_random_is_the_same_for_the_same_seed_and_differs_between_queries_and_seeds(corpus):
    one, two, other = ranked("random", corpus), ranked("random", corpus), ranked("random:seed=1", corpus)
    assert one == two != other
    assert one[0] != one[1]
    assert len({name for name, _ in one[0]}) == 50


def test_prior_ranks_by_length_whatever_the_query(corpus):
    lengths = {d.id: len(d.contents) for d in corpus.documents()}
    longest, shortest = ranked("prior", corpus)[0], ranked("prior:order=shortest", corpus)[5]
    assert [lengths[name] for name, _ in longest] == sorted(lengths.values(), reverse=True)[:50]
    assert [lengths[name] for name, _ in shortest] == sorted(lengths.values())[:50]


def test_hybrid_adds_reciprocal_ranks(tmp_path):
    corpus = load_corpus(write_corpus(tmp_path / "made", 5, 1))
    for name, order in (("a", [0, 1, 2]), ("b", [2, 0, 3])):
        rows = [f"q 0\tQ0\td {d}\t{r}\t{-r}\tt\n" for r, d in enumerate(order, 1)]
        (tmp_path / f"{name}.tsv").write_text("".join(rows))
    [fused] = ranked(f"hybrid:runfile:{tmp_path}/a.tsv+runfile:{tmp_path}/b.tsv", corpus)
    expected = {"d 0": 1 / 61 + 1 / 62, "d 2": 1 / 63 + 1 / 61, "d 1": 1 / 62, "d 3": 1 / 63}
    assert dict(fused) == pytest.approx(expected)
    assert [name for name, _ in fused] == sorted(expected, key=expected.get, reverse=True)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("bm52", "accepted are bm25, rank-bm25, dense, hybrid"),
        ("bm25:k=3", "keys k1, b, variant, stopwords"),
        ("bm25:k1=high", "k1=high"),
        ("bm25:variant=atire", "'lucene' or 'okapi'"),
        ("dense:engine=faiss", "'exact', 'faiss-flat', 'faiss-hnsw' or 'faiss-ivf'"),
        ("hybrid:bm25", "two or more"),
        ("runfile", "needs a path"),
        ("hybrid:bm25+plugin_retrievers:Overlap", "fuses built-in retrievers"),
    ],
)
def test_a_retriever_written_wrongly_is_refused_with_what_is_accepted(spec, message, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    with pytest.raises(UsageError, match=message):
        create(spec)


# ---------------------------------------------------------------- exact search


@pytest.mark.parametrize("shards", [[5], [1000, 24, 300], [CHUNK_ROWS + 10, 3000], [700] * 30])
def test_exact_search_finds_what_a_full_product_finds(shards):
    rng = np.random.default_rng(1)
    parts = [rng.standard_normal((n, 16), dtype=np.float32) for n in shards]
    queries = rng.standard_normal((300, 16), dtype=np.float32)
    documents, scores = exact_search(queries, parts, 10)
    full = queries @ np.concatenate(parts).T
    assert np.allclose(np.sort(scores, 1), np.sort(full, 1)[:, -10:], atol=1e-5)
    assert np.allclose(np.take_along_axis(full, documents, 1), scores, atol=1e-5)


# ---------------------------------------------------------------- dense


@pytest.mark.model
def test_dense_ranks_by_the_inner_product_of_what_the_model_encodes(corpus, model):
    from sentence_transformers import SentenceTransformer

    encoder = SentenceTransformer(str(model))
    texts = [d.contents for d in corpus.documents()]
    documents = encoder.encode(texts, normalize_embeddings=True)
    queries = encoder.encode(["w1 w2 " + q.text for q in corpus.queries], normalize_embeddings=True)
    for row, scores in zip(ranked(f"dense:model={model}", corpus, 20), queries @ documents.T, strict=True):
        assert [s for _, s in row] == pytest.approx(np.sort(scores)[::-1][:20], abs=1e-5)


@pytest.mark.model
def test_prompts_similarity_and_length_are_the_models_own_unless_set(corpus, model):
    own = create(f"dense:model={model}").retriever
    own.index(corpus)
    assert own.facts["query_prompt"] == "w1 w2 "
    assert (own.facts["max_seq_length"], own.facts["similarity"]) == (64, "cosine")
    changed = create(f"dense:model={model},query_prompt=,max_seq_length=8,similarity=dot").retriever
    changed.index(corpus)
    assert (changed.facts["query_prompt"], changed.facts["max_seq_length"]) == ("", 8)
    scores = [abs(s) for row in ranked(f"dense:model={model},similarity=dot", corpus) for _, s in row]
    assert max(scores) > 1.01


@pytest.mark.model
def test_the_share_of_truncated_documents_is_reported(tmp_path, model):
    folder = write_corpus(tmp_path / "made", 10, 2, length=8)
    with (folder / "corpus.jsonl").open("a") as stream:
        for i in range(10, 14):
            stream.write(f'{{"_id": "d {i}", "text": "{" ".join(["w3"] * (61 + i - 10))}"}}\n')
    retriever = create(f"dense:model={model}").retriever
    retriever.index(load_corpus(folder))
    assert retriever.facts["truncated_share"] == pytest.approx(2 / 14)  # 62 words and [CLS], [SEP] just fit


@pytest.mark.model
def test_flat_faiss_ranks_as_exact_search_and_approximate_ones_tell_their_recall(tmp_path, model):
    corpus = load_corpus(write_corpus(tmp_path / "made", 3000, 20, length=5))
    cache = tmp_path / "cache"
    exact = ranked(f"dense:model={model}", corpus, 30, cache=cache)
    flat = ranked(f"dense:model={model},engine=faiss-flat", corpus, 30, cache=cache)
    for ours, theirs in zip(exact, flat, strict=True):
        assert [s for _, s in ours] == pytest.approx([s for _, s in theirs], abs=1e-5)
    for engine in ("faiss-hnsw", "faiss-ivf"):
        retriever = create(f"dense:model={model},engine={engine}", cache).retriever
        retriever.index(corpus)
        hits = retriever.search(corpus.queries, 30)
        found = [{corpus.doc_ids[d] for d in row if d >= 0} for row in hits.documents]
        share = np.mean([len(f & {name for name, _ in e}) / 30 for f, e in zip(found, exact, strict=True)])
        assert retriever.facts["recall@30_of_exact"] == pytest.approx(share, abs=0.01)
        assert share > 0.5
        assert list(cache.rglob(f"{engine}-*.index"))


@pytest.mark.model
def test_cached_vectors_are_searched_without_loading_the_model(tmp_path, model):
    folder, cache = write_corpus(tmp_path / "made", 100, 5), tmp_path / "cache"
    script = f"""
import sys
from evalsuite import evaluate
[run] = evaluate({str(folder)!r}, "dense:model={model}", out=sys.argv[1], cache={str(cache)!r})
print("torch" in sys.modules, run.summary.measures["nDCG@10"].mean)
"""
    said = [
        subprocess.run(
            [sys.executable, "-c", script, tmp_path / out], check=True, capture_output=True, text=True
        ).stdout
        for out in ("one", "two")
    ]
    assert [line.split()[0] for line in said] == ["True", "False"]
    assert said[0].split()[1] == said[1].split()[1]


def test_a_lexical_run_imports_no_torch(tmp_path):
    folder = write_corpus(tmp_path / "made", 100, 5)
    script = f"""
import sys
from evalsuite import evaluate
evaluate({str(folder)!r}, ["bm25", "random", "prior", "hybrid:bm25+random"], out={str(tmp_path / "out")!r})
print(sorted({{"torch", "sentence_transformers", "faiss", "transformers"}} & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["no/such-model", "."])
def test_a_model_that_cannot_be_had_is_one_clear_error(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(EvalsuiteError, match=r"neither a folder nor a model|not a sentence-transformers model folder"):
        create(f"dense:model={name}")


def test_the_default_model_is_checked_by_its_hash(monkeypatch):
    from evalsuite.retrieval.retrievers import dense

    assert dense.locate_model("all-MiniLM-L6-v2")[1] == dense.DEFAULT_MODEL_SHA256
    monkeypatch.setattr(dense, "DEFAULT_MODEL_SHA256", "0" * 64)
    with pytest.raises(InputError, match="its weights are not the ones we know"):
        dense.locate_model("all-MiniLM-L6-v2")


# ---------------------------------------------------------------- real data, values measured outside this project

SHARED = Path(__file__).parents[2] / "shared" / "data"
needs_shared = pytest.mark.skipif(not SHARED.exists(), reason="../shared/data is not here")


@pytest.mark.shared
@needs_shared
@pytest.mark.parametrize(
    ("name", "spec", "ndcg", "recall"),
    [
        ("cranfield", "bm25", 0.369, 0.709),
        ("cuad-clauses", "bm25", 0.427, None),
        pytest.param("cranfield", "dense", 0.400, 0.772, marks=[pytest.mark.model, pytest.mark.slow]),
    ],
)
def test_the_reference_values_are_reached(tmp_path, shared_cache, name, spec, ndcg, recall):
    from evalsuite import evaluate

    [run] = evaluate(SHARED / name, spec, out=tmp_path, cache=shared_cache)
    assert run.summary.measures["nDCG@10"].mean == pytest.approx(ndcg, abs=0.0006)
    if recall is not None:
        assert run.summary.measures["R@100"].mean == pytest.approx(recall, abs=0.0006)


@pytest.mark.shared
@needs_shared
def test_a_trec_run_on_real_data_scores_exactly_as_pytrec_eval_says(tmp_path):
    import pytrec_eval

    from evalsuite import evaluate
    from evalsuite.retrieval.formats import read_qrels
    from evalsuite.storage import read_units

    corpus = load_corpus(SHARED / "cranfield")
    rng = random.Random(4)
    run = {q.id: {d: rng.randint(0, 400) / 8 for d in rng.sample(corpus.doc_ids, 900)} for q in corpus.queries}
    rows = [f"{q} Q0 {d} 1 {s} other\n" for q, row in run.items() for d, s in row.items()]
    rng.shuffle(rows)
    (tmp_path / "run.trec").write_text("".join(rows))
    [scored] = evaluate(corpus, f"runfile:{tmp_path / 'run.trec'}", depth=None, out=tmp_path / "out")
    qrels: dict[str, dict[str, int]] = {}
    for _, query, document, grade in read_qrels(SHARED / "cranfield" / "qrels" / "test.tsv"):
        qrels.setdefault(query, {})[document] = grade
    oracle = {"nDCG@10": "ndcg_cut_10", "R@100": "recall_100", "AP": "map", "P@10": "P_10", "Bpref": "bpref"}
    theirs = pytrec_eval.RelevanceEvaluator(qrels, {"ndcg_cut.10", "recall.100", "map", "P.10", "bpref"}).evaluate(run)
    for unit in read_units(scored.path):
        for name, other in oracle.items():
            assert unit.measures[name] == pytest.approx(theirs[unit.id][other], abs=1e-6)

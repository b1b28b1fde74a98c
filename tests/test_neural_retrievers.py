"""sparse and late: the scores are those of the plain definition, the index is kept shard by shard."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from test_evaluate import WORDS, write_corpus
from test_retrievers import ranked
from tinymodel import save_tiny_model

from evalsuite import Query, evaluate, load_corpus
from evalsuite.errors import InputError, UsageError
from evalsuite.retrieval.retrievers import create
from evalsuite.retrieval.retrievers import late as late_module
from evalsuite.retrieval.retrievers.encoders import running_top_k

pytestmark = pytest.mark.model


@pytest.fixture
def corpus(tmp_path):
    return load_corpus(write_corpus(tmp_path / "made", 150, 12, length=9))


@pytest.fixture(scope="module")
def dense_model(tmp_path_factory):
    return save_tiny_model(tmp_path_factory.mktemp("tiny"), WORDS, prompts={"query": "w1 w2 ", "document": "w3 "})


@pytest.fixture(scope="module")
def sparse_model(dense_model, tmp_path_factory):
    """A SPLADE folder with random weights: its masked language model and max pooling."""
    import torch
    from sentence_transformers import SparseEncoder
    from sentence_transformers.sparse_encoder.modules import MLMTransformer, SpladePooling
    from transformers import AutoTokenizer, BertConfig, BertForMaskedLM

    torch.manual_seed(3)
    base = tmp_path_factory.mktemp("mlm")
    tokenizer = AutoTokenizer.from_pretrained(dense_model)
    tokenizer.add_special_tokens({"mask_token": "[MASK]"})
    tokenizer.save_pretrained(base)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.5,
    )
    language_model = BertForMaskedLM(config)
    language_model.cls.predictions.bias.data.fill_(-6.0)  # so that most weights are 0
    language_model.save_pretrained(base)
    model = SparseEncoder(
        modules=[MLMTransformer(str(base), max_seq_length=64), SpladePooling("max")], prompts={"query": "w5 "}
    )
    model.save(str(base / "model"))
    return base / "model"


@pytest.fixture(scope="module")
def colbert_model(dense_model, tmp_path_factory):
    """A ColBERT folder with random weights: markers, a projection to 8 dimensions, query expansion, a skip list."""
    import torch
    from sentence_transformers import MultiVectorEncoder
    from sentence_transformers.base.modules import Dense, Transformer
    from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask
    from transformers import AutoTokenizer

    torch.manual_seed(4)
    base = tmp_path_factory.mktemp("colbert")
    shutil.copytree(dense_model, base / "base")
    tokenizer = AutoTokenizer.from_pretrained(dense_model)
    tokenizer.mask_token = "[UNK]"
    tokenizer.save_pretrained(base / "base")
    expansion = {"strategy": "fixed", "length": 12, "attend": False}
    model = MultiVectorEncoder(
        modules=[
            Transformer(str(base / "base"), document_length=10, query_expansion=expansion),
            Dense(32, 8, bias=False, activation_function=torch.nn.Identity(), module_input_name="token_embeddings"),
            MultiVectorMask(skiplist_words=["w0", "w1"]),
        ],
        prompts={"query": "w7 ", "document": "w8 "},
    )
    model.save(str(base / "model"))
    return base / "model"


def texts(corpus):
    return [document.contents for document in corpus.documents()]


def expected(scores, corpus, k, *, positive=False):
    """[[(id, score)]] of a full score matrix, best first, later ids first among equals."""
    rows = []
    for row in scores:
        pairs = [(name, float(s)) for name, s in zip(corpus.doc_ids, row, strict=True) if s > 0 or not positive]
        rows.append(sorted(sorted(pairs, reverse=True), key=lambda pair: -pair[1])[:k])
    return rows


def assert_same(found, wanted):
    for row, theirs in zip(found, wanted, strict=True):
        assert [name for name, _ in row] == [name for name, _ in theirs]
        assert [score for _, score in row] == pytest.approx([score for _, score in theirs], abs=1e-4)


# ---------------------------------------------------------------- sparse


def test_sparse_scores_are_the_dense_product_of_the_same_weights(corpus, sparse_model):
    from sentence_transformers import SparseEncoder

    encoder = SparseEncoder(str(sparse_model))
    documents = encoder.encode_document(texts(corpus)).to_dense().numpy()
    queries = encoder.encode_query([q.text for q in corpus.queries]).to_dense().numpy()
    assert 0 < (documents > 0).mean() < 0.5
    wanted = expected(queries @ documents.T, corpus, 20, positive=True)
    assert_same(ranked(f"sparse:model={sparse_model}", corpus, 20), wanted)


def test_sparse_tells_how_many_weights_a_text_has(corpus, sparse_model):
    from sentence_transformers import SparseEncoder

    encoder = SparseEncoder(str(sparse_model))
    retriever = create(f"sparse:model={sparse_model}").retriever
    retriever.index(corpus)
    retriever.search(corpus.queries[:5], 10)
    retriever.search(corpus.queries[5:], 10)
    documents = encoder.encode_document(texts(corpus)).to_dense().numpy()
    queries = encoder.encode_query([q.text for q in corpus.queries]).to_dense().numpy()
    assert retriever.facts["nonzeros_per_document"] == pytest.approx((documents > 0).sum(1).mean(), abs=0.01)
    assert retriever.facts["nonzeros_per_query"] == pytest.approx((queries > 0).sum(1).mean(), abs=0.01)


def test_max_active_dims_keeps_the_heaviest_weights_of_each_text(corpus, sparse_model):
    retriever = create(f"sparse:model={sparse_model},max_active_dims=3").retriever
    retriever.index(corpus)
    retriever.search(corpus.queries, 10)
    assert retriever.facts["nonzeros_per_document"] <= 3
    assert retriever.facts["nonzeros_per_query"] <= 3


def test_documents_that_share_no_weight_with_the_query_are_not_returned(corpus, sparse_model):
    [few] = ranked(f"sparse:model={sparse_model},max_active_dims=1", corpus, 150, corpus.queries[:1])
    assert 0 < len(few) < 150
    assert all(score > 0 for _, score in few)


def test_the_same_texts_tie_and_go_by_id_in_sparse(tmp_path, sparse_model):
    folder = write_corpus(tmp_path / "made", 100, 1)
    rows = "".join(f'{{"_id": "d {i}", "text": "w1 w2 w3"}}\n' for i in range(100))
    (folder / "corpus.jsonl").write_text(rows)
    corpus = load_corpus(folder)
    [found] = ranked(f"sparse:model={sparse_model}", corpus, 7, [Query("x", "w1 w2 w3")])
    assert [name for name, _ in found] == sorted(corpus.doc_ids, reverse=True)[:7]


def test_a_single_vector_model_is_no_sparse_encoder_and_gets_no_random_layer(corpus, dense_model):
    with pytest.raises(InputError, match="is no sparse encoder"):
        ranked(f"sparse:model={dense_model}", corpus)


def test_a_masked_language_model_alone_is_a_sparse_encoder(corpus, sparse_model, tmp_path):
    plain = tmp_path / "plain"
    shutil.copytree(sparse_model.parent, plain, ignore=shutil.ignore_patterns("model"))
    given = "query_prompt=w5 "
    assert_same(ranked(f"sparse:model={plain},{given}", corpus, 20), ranked(f"sparse:model={sparse_model}", corpus, 20))


# ---------------------------------------------------------------- late


def plain_maxsim(queries, documents):
    """The definition, in three loops."""
    scores = np.zeros((len(queries), len(documents)))
    for i, query in enumerate(queries):
        for j, document in enumerate(documents):
            for token in query:
                scores[i, j] += max(float(token @ other) for other in document)
    return scores


@pytest.mark.parametrize("pairs", [(512, 32_768), (5, 40), (1, 1)])
def test_late_scores_are_maxsim_however_the_work_is_cut(corpus, colbert_model, monkeypatch, pairs):
    from sentence_transformers import MultiVectorEncoder

    monkeypatch.setattr(late_module, "QUERY_TOKENS", pairs[0])
    monkeypatch.setattr(late_module, "DOCUMENT_TOKENS", pairs[1])
    encoder = MultiVectorEncoder(str(colbert_model))
    queries = encoder.encode_query([q.text for q in corpus.queries], convert_to_numpy=True, normalize_embeddings=True)
    documents = encoder.encode_document(texts(corpus), convert_to_numpy=True, normalize_embeddings=True)
    assert {len(tokens) for tokens in queries} == {12}
    assert len({len(tokens) for tokens in documents}) > 1
    wanted = expected(plain_maxsim(queries, documents), corpus, 20)
    assert_same(ranked(f"late:model={colbert_model}", corpus, 20), wanted)


def test_a_single_vector_model_gives_its_token_embeddings_and_is_said_to_be_untrained_for_it(corpus, dense_model):
    from sentence_transformers import SentenceTransformer

    encoder = SentenceTransformer(str(dense_model))

    def tokens(items, prompt):
        found = encoder.encode(items, prompt=prompt, output_value="token_embeddings")
        return [(one / one.norm(dim=1, keepdim=True)).numpy() for one in found]

    wanted = plain_maxsim(tokens([q.text for q in corpus.queries], "w1 w2 "), tokens(texts(corpus), "w3 "))
    assert_same(ranked(f"late:model={dense_model}", corpus, 20), expected(wanted, corpus, 20))
    retriever = create(f"late:model={dense_model}").retriever
    retriever.index(corpus)
    assert retriever.facts["trained_for_late_interaction"] is False


def test_a_dense_layer_of_a_single_vector_model_projects_the_tokens(corpus, dense_model, tmp_path):
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense

    torch.manual_seed(5)
    encoder = SentenceTransformer(str(dense_model))
    encoder.append(Dense(32, 4, activation_function=torch.nn.Identity()))
    encoder.save(str(tmp_path / "projected"))
    retriever = create(f"late:model={tmp_path / 'projected'}", tmp_path / "cache").retriever
    retriever.index(corpus)
    [stored] = (tmp_path / "cache").rglob("*.tokens.npy")
    assert np.load(stored).shape[1] == 4


def save_as_pylate(source, folder, version):
    """The layout of PyLate: Transformer and Dense alone, markers and lengths in the config."""
    shutil.copytree(source, folder)
    modules = json.loads((folder / "modules.json").read_text())
    kept = [module for module in modules if module["type"].split(".")[-1] in ("Transformer", "Dense")]
    kept[1]["type"] = "pylate.models.Dense.Dense"
    (folder / "modules.json").write_text(json.dumps(kept))
    config = {"query_prefix": "w7 ", "document_prefix": "w8 ", "query_length": 12, "document_length": 10}
    config |= {"do_query_expansion": True, "attend_to_expansion_tokens": False, "skiplist_words": ["w0", "w1"]}
    config |= {"model_type": "ColBERT"} if version == 3 else {}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(config))
    own = folder / "sentence_bert_config.json"
    plain = {"max_seq_length": 64} | {
        key: value
        for key, value in json.loads(own.read_text()).items()
        if key not in ("query_expansion", "document_length", "query_length")
    }
    own.write_text(json.dumps(plain))
    return folder


@pytest.mark.parametrize("version", [2, 3])
def test_a_pylate_folder_ranks_as_the_same_model_in_sentence_transformers_format(
    corpus, colbert_model, tmp_path, version
):
    folder = save_as_pylate(colbert_model, tmp_path / "pylate", version)
    assert_same(ranked(f"late:model={folder}", corpus, 20), ranked(f"late:model={colbert_model}", corpus, 20))


def test_a_stanford_folder_gets_its_own_projection(corpus, colbert_model, tmp_path):
    import torch
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "stanford"
    shutil.copytree(colbert_model.parent / "base", folder)
    for file in ("modules.json", "config_sentence_transformers.json"):
        (folder / file).unlink(missing_ok=True)
    weights = load_file(folder / "model.safetensors")
    projection = np.random.default_rng(6).standard_normal((4, 32)).astype(np.float32)
    save_file(
        {f"bert.{name}": weight for name, weight in weights.items()} | {"linear.weight": torch.from_numpy(projection)},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    config = json.loads((folder / "config.json").read_text()) | {"architectures": ["HF_ColBERT"]}
    (folder / "config.json").write_text(json.dumps(config))
    retriever = create(f"late:model={folder}", tmp_path / "cache").retriever
    retriever.index(corpus)
    [stored] = (tmp_path / "cache").rglob("*.tokens.npy")
    assert np.load(stored).shape[1] == 4
    assert retriever.facts["trained_for_late_interaction"] is True
    assert ranked(f"late:model={folder}", corpus) == ranked(f"late:model={folder}", corpus)


def test_prompts_can_be_given_and_are_told(corpus, dense_model):
    retriever = create(f"late:model={dense_model},query_prompt=w9 ,document_prompt=").retriever
    retriever.index(corpus)
    assert (retriever.facts["query_prompt"], retriever.facts["document_prompt"]) == ("w9 ", "")
    assert ranked(f"late:model={dense_model},query_prompt=w9 ", corpus) != ranked(f"late:model={dense_model}", corpus)


@pytest.mark.parametrize("blocks", [[1, 1, 1], [40, 3], [7, 90, 5]])
def test_a_running_top_k_is_the_top_k_of_everything(blocks):
    full = np.random.default_rng(1).standard_normal((6, sum(blocks)), dtype=np.float32)
    cut = np.cumsum(blocks)[:-1]
    documents, scores = running_top_k(np.split(full, cut, axis=1), 6, 10)
    assert np.array_equal(np.sort(scores, 1), np.sort(full, 1)[:, -10:])
    assert np.array_equal(np.take_along_axis(full, documents, 1), scores)


# ---------------------------------------------------------------- both


@pytest.fixture(params=["sparse", "late"])
def spec(request, sparse_model, colbert_model):
    return f"{request.param}:model={sparse_model if request.param == 'sparse' else colbert_model}"


def test_documents_longer_than_the_model_reads_are_counted_and_noted(tmp_path, spec):
    folder = write_corpus(tmp_path / "made", 60, 3, length=9)
    long = '{"_id": "d 60", "text": "' + " ".join(f"w{i}" for i in range(200)) + '"}\n'
    with (folder / "corpus.jsonl").open("a") as stream:
        stream.write(long)
    limit = 16 if spec.startswith("sparse") else 14
    [run] = evaluate(folder, f"{spec},max_seq_length={limit}", out=tmp_path / "out", cache=tmp_path / "cache")
    assert run.manifest.system["facts"]["truncated_share"] == pytest.approx(1 / 61)
    assert any(f"1.6% of documents are longer than the {limit} tokens" in note for note in run.manifest.notes)


def test_a_second_run_encodes_no_document(tmp_path, corpus, spec, monkeypatch):
    first = ranked(spec, corpus, cache=tmp_path / "cache")
    again = create(spec, tmp_path / "cache").retriever
    monkeypatch.setattr(type(again), "_arrays", lambda *_: pytest.fail("encoded again"))
    again.index(corpus)
    assert again.facts["cached"] is True
    assert again.facts["index_bytes"] > 0
    hits = again.search(corpus.queries, 50)
    assert [[corpus.doc_ids[d] for d in row if d >= 0] for row in hits.documents] == [
        [name for name, _ in row] for row in first
    ]


def test_another_model_setting_or_text_is_another_index(tmp_path, spec):
    cache = tmp_path / "cache"
    made = write_corpus(tmp_path / "made", 30, 2)
    for written, folder in [(spec, made), (f"{spec},document_prompt=w9 ", made), (spec, None)]:
        corpus = load_corpus(folder or write_corpus(tmp_path / "other", 30, 2, seed=2))
        retriever = create(written, cache).retriever
        retriever.index(corpus)
        assert retriever.facts["cached"] is False
    assert len(list(cache.glob("*/*"))) == 3


def test_a_killed_index_is_completed_and_keeps_the_shards_it_has(tmp_path, spec):
    folder, cache = write_corpus(tmp_path / "made", 2100, 3, length=4), tmp_path / "cache"
    script = (
        "from evalsuite import load_corpus; from evalsuite.retrieval.retrievers import create; from pathlib import Path;"
        f"create({spec!r}, Path({str(cache)!r})).retriever.index(load_corpus({str(folder)!r}))"
    )
    process = subprocess.Popen([sys.executable, "-c", script])
    deadline = time.monotonic() + 120
    while not list(cache.rglob("shard-000000.json")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    corpus = load_corpus(folder)
    retriever = create(spec, cache).retriever
    retriever.index(corpus)
    assert 1 <= retriever.facts["shards_reused"] < retriever.facts["shards"] == 3
    assert ranked(spec, corpus, cache=cache) == ranked(spec, corpus)


def test_settings_name_the_model_by_content_not_by_place(spec, tmp_path, sparse_model, colbert_model):
    source = sparse_model if spec.startswith("sparse") else colbert_model
    shutil.copytree(source, tmp_path / "elsewhere" / "model")
    moved = create(f"{spec.split(':')[0]}:model={tmp_path / 'elsewhere' / 'model'}")
    assert moved.settings() == create(spec).settings()
    assert str(tmp_path) not in json.dumps(moved.settings())


@pytest.mark.parametrize("name", ["sparse", "late"])
@pytest.mark.parametrize(
    ("written", "error", "message"),
    [
        ("", UsageError, "needs model="),
        (":model=", UsageError, "the model has no name"),
        (":model=.", InputError, "is not a sentence-transformers model folder"),
        (":model=x,max_seq_length=0", UsageError, "max_seq_length=0"),
        (":dims=3", UsageError, "write key=value with the keys model"),
    ],
)
def test_what_cannot_be_used_is_one_clear_error(name, written, error, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        create(name + written)


def test_a_folder_that_holds_no_weights_is_one_clear_error(corpus, spec, sparse_model, colbert_model, tmp_path):
    kind, source = ("sparse", sparse_model) if spec.startswith("sparse") else ("late", colbert_model)
    shutil.copytree(source, tmp_path / "broken", ignore=shutil.ignore_patterns("*.safetensors"))
    with pytest.raises(InputError, match="cannot be loaded by sentence-transformers"):
        ranked(f"{kind}:model={tmp_path / 'broken'}", corpus)

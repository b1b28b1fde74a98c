"""rewrite, agentic, rerank: what is asked, what becomes of the answers, what it costs, and that nothing is asked twice."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import DOCUMENTS, QUERIES, write_beir
from pydantic_ai.messages import ModelResponse, TextPart
from test_evaluate import WORDS, write_corpus
from test_lab_llm import server  # noqa: F401 - a fixture
from test_verifiers import save_cross_encoder, word_corpus
from tinymodel import save_tiny_model

from evalsuite import EvalsuiteError, evaluate, load_corpus
from evalsuite.errors import UsageError
from evalsuite.retrieval.retrievers import create
from evalsuite.retrieval.verifiers.crossencoder import PairScorer
from evalsuite.storage import read_units

EVALSUITE = Path(sys.executable).parent / "evalsuite"
HERE = "function:test_llm_retrievers"

# ---------------------------------------------------------------- models that answer exactly

FENCED = re.compile(r"⟦BEGIN (?P<name>[A-Z]+)(?: (?P<number>\d+))?⟧\n(?P<text>.*?)\n⟦END", re.DOTALL)


def asked(messages):
    """What the last prompt holds: {"QUERY": text, "NOTES": text, "DOCUMENT": [texts]}, and the number of this call."""
    prompt = str(messages[-1].parts[-1].content)
    blocks = [(match["name"], match["text"]) for match in FENCED.finditer(prompt)]
    found = dict(blocks) | {"DOCUMENT": [text for name, text in blocks if name == "DOCUMENT"]}
    calls = Path(os.environ["CALLS"])
    done = calls.read_text().count("\n") if calls.exists() else 0
    if str(done + 1) == os.environ.get("KILL_AT"):
        os.kill(os.getpid(), signal.SIGKILL)
    with calls.open("a") as stream:
        stream.write(json.dumps(found, ensure_ascii=False) + "\n")
    return found


def answer(**fields):
    return ModelResponse(parts=[TextPart(json.dumps(fields))])


def goods(messages, info):
    asked(messages)
    return answer(text="title to the goods")


def echo(messages, info):
    return answer(text=asked(messages)["QUERY"].upper())


def silent(messages, info):
    asked(messages)
    return answer(text="")


def last_word_hunter(messages, info):
    """Chooses the last document shown and searches for its last word next."""
    shown = asked(messages)["DOCUMENT"]
    word = re.findall(r"\w+", shown[-1])[-1] if shown else ""
    return answer(relevant=[len(shown)] if shown else [], notes=f"saw {len(shown)}", search=word)


def browser(messages, info):
    """Searches for the last word of the last document shown and chooses nothing."""
    return answer(relevant=[], notes="", search=re.findall(r"\w+", asked(messages)["DOCUMENT"][-1])[-1])


def content(messages, info):
    """Chooses nothing and stops."""
    asked(messages)
    return answer(relevant=[], notes="", search="")


def careless(messages, info):
    """Numbers of documents that were not shown, or twice."""
    asked(messages)
    return answer(relevant=[99, 1, 0, 1], notes="", search="")


def longest(messages, info):
    """Scores a document by its length: 3 from 60 characters on."""
    return answer(score=3 if len(asked(messages)["DOCUMENT"][0]) >= 60 else 0)


def everything(messages, info):
    asked(messages)
    return answer(relevant="yes")


def backwards(messages, info):
    return answer(ranking=list(range(len(asked(messages)["DOCUMENT"]), 0, -1)))


# ---------------------------------------------------------------- help


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """What the models above were asked, call by call."""
    place = tmp_path / "calls.jsonl"
    monkeypatch.setenv("CALLS", str(place))
    return lambda: [json.loads(line) for line in place.read_text().splitlines()] if place.exists() else []


@pytest.fixture
def run(tmp_path, calls):
    def run(corpus, spec, **options):
        [outcome] = evaluate(corpus, spec, out=tmp_path / "out", cache=tmp_path / "cache", **options)
        return outcome

    return run


@pytest.fixture
def plain(corpus_folder, tmp_path):
    """{query id: [document id, ...]} of a retriever, by its run."""

    def plain(spec, folder=corpus_folder):
        [outcome] = evaluate(folder, spec, out=tmp_path / "plain", cache=tmp_path / "cache")
        return ranking(outcome)

    return plain


def ranking(outcome):
    return {unit.id: [name for name, _, _ in unit.top] for unit in read_units(outcome.path)}


def trace(outcome):
    """{query id: record}"""
    lines = [
        line for file in (outcome.path / "artifacts" / "trace").iterdir() for line in file.read_text().splitlines()
    ]
    return {record["qid"]: record for record in map(json.loads, lines)}


def excluding(tmp_path, **pairs):
    """The small corpus, with documents that are never ranked for a query."""
    folder = write_beir(tmp_path / "excluding", test=[("q1", "d5", 1), ("q2", "d2", 1), ("q3", "d4", 1)])
    (folder / "exclusions.json").write_text(json.dumps(pairs))
    return folder


# ---------------------------------------------------------------- rewrite


def test_rewrite_searches_what_the_model_wrote_in_place_of_the_query(run, corpus_folder, calls, plain, tmp_path):
    outcome = run(corpus_folder, f"rewrite:model={HERE}:goods")
    other = write_beir(tmp_path / "other", queries=[{**query, "text": "title to the goods"} for query in QUERIES])
    assert ranking(outcome) == plain("bm25", other)
    assert sorted(call["QUERY"] for call in calls()) == sorted(query["text"] for query in QUERIES)


def test_hyde_searches_the_query_and_the_hypothetical_document(run, corpus_folder, plain, tmp_path):
    outcome = run(corpus_folder, f"rewrite:model={HERE}:goods,mode=hyde")
    texts = [{**query, "text": f"{query['text']} title to the goods"} for query in QUERIES]
    assert ranking(outcome) == plain("bm25", write_beir(tmp_path / "other", queries=texts))


def test_what_was_searched_can_be_read_in_the_run_folder(run, corpus_folder):
    outcome = run(corpus_folder, f"rewrite:model={HERE}:echo")
    assert {qid: record["searched"] for qid, record in trace(outcome).items()} == {
        query["_id"]: query["text"].upper() for query in QUERIES
    }


def test_a_run_says_role_track_model_prompt_and_what_it_is_built_over(run, corpus_folder):
    spec = f"rewrite:model={HERE}:goods,over=(bm25:k1=0.9,b=0.4),max_tokens=50"
    system = run(corpus_folder, spec).manifest.system
    settings = system["settings"]
    assert (system["role"], system["track"]) == ("retriever", "query")
    assert settings["model"]["name"] == f"{HERE}:goods"
    assert (settings["model"]["temperature"], settings["model"]["max_tokens"]) == (0.0, 50)
    assert len(settings["prompt_sha256"]) == 64
    assert (settings["over"]["class"], settings["over"]["k1"], settings["over"]["b"]) == ("BM25", 0.9, 0.4)
    assert "concurrency" not in settings


def test_usage_has_tokens_cost_and_seconds_per_query(run, corpus_folder):
    outcome = run(corpus_folder, f"rewrite:model={HERE}:goods")
    usage = outcome.manifest.usage
    assert usage["tokens"]["input"] > 100
    assert usage["cost"] == 0.0
    assert 0 < usage["seconds_per_query"]["p50"] <= usage["seconds_per_query"]["p95"]
    assert outcome.manifest.system["facts"]["calls"] == 3


def test_a_repeated_run_asks_nothing_counts_what_was_paid_and_tells_no_times_of_stored_answers(
    run, corpus_folder, calls
):
    first = run(corpus_folder, f"rewrite:model={HERE}:goods")
    again = run(corpus_folder, f"rewrite:model={HERE}:goods", fresh=True)
    assert first.path != again.path
    assert len(calls()) == 3
    assert ranking(again) == ranking(first)
    assert again.manifest.usage["tokens"] == first.manifest.usage["tokens"]
    assert again.manifest.system["facts"]["calls_stored"] == 3
    assert again.manifest.usage["seconds_per_query"] is None


def test_an_empty_answer_is_asked_for_once_more_and_then_fails_the_run(run, corpus_folder, calls, tmp_path):
    with pytest.raises(EvalsuiteError, match="text: String should have at least 1 character"):
        run(corpus_folder, f"rewrite:model={HERE}:silent,concurrency=1")
    assert len(calls()) == 2
    [stored] = (tmp_path / "out").glob("*/run.json")
    assert json.loads(stored.read_text())["status"] == "failed"


@pytest.mark.model
def test_the_note_on_truncation_of_what_is_inside_survives(run, tmp_path):
    model = save_tiny_model(tmp_path / "tiny", WORDS)
    folder = write_corpus(tmp_path / "made", 20, 2, length=30)
    for spec in (
        f"rewrite:model={HERE}:echo,over=(dense:model={model},max_seq_length=8)",
        f"agentic:model={HERE}:content,over=(dense:model={model},max_seq_length=8)",
        f"rerank:model={HERE}:everything,by=binary,first=(dense:model={model},max_seq_length=8)",
    ):
        outcome = run(folder, spec)
        assert any("100.0% of documents are longer than the 8 tokens" in note for note in outcome.manifest.notes)
        assert str(tmp_path) not in (outcome.path / "run.json").read_text()


def test_hybrid_takes_the_highest_track_the_tokens_and_the_trace_of_its_parts(run, corpus_folder):
    outcome = run(corpus_folder, f"hybrid:rewrite:model={HERE}:echo+bm25")
    assert (outcome.manifest.system["role"], outcome.manifest.system["track"]) == ("retriever", "query")
    assert outcome.manifest.usage["tokens"]["input"] > 100
    assert outcome.manifest.usage["seconds_per_query"] is None
    assert len(trace(outcome)) == 3


# ---------------------------------------------------------------- agentic


def test_each_hop_shows_new_documents_the_notes_and_searches_what_the_model_asked_for(run, corpus_folder, calls):
    outcome = run(corpus_folder, f"agentic:model={HERE}:last_word_hunter,hops=3,docs=1,concurrency=1")
    hops = trace(outcome)["q1"]["hops"]
    assert [hop["searched"] for hop in hops] == ["thirty days notice", "notice", "notice"]
    assert [hop["shown"] for hop in hops] == [["d5"], ["d1"], []]
    mine = [call for call in calls() if call["QUERY"] == "thirty days notice"]
    assert [call["NOTES"] for call in mine] == ["none yet", "saw 1", "saw 1"]
    assert mine[0]["DOCUMENT"] == ["Either party may end this agreement on thirty days notice."]
    assert outcome.manifest.system["track"] == "query"


def test_the_chosen_come_first_then_the_shown_by_the_original_query_and_nothing_else(run, corpus_folder, plain):
    outcome = run(corpus_folder, f"agentic:model={HERE}:last_word_hunter,hops=1,docs=3,over=bm25:stopwords=none")
    original = plain("bm25:stopwords=none")
    for qid, row in ranking(outcome).items():
        shown = original[qid][:3]
        assert row == [shown[-1], *shown[:-1]]


def test_a_document_that_only_a_later_search_found_stands_last_unless_it_is_chosen(tmp_path, run):
    documents = [
        {"_id": "a", "text": "red stone"},
        {"_id": "b", "text": "red kite"},
        {"_id": "c", "text": "wall of stone"},
    ]
    folder = write_beir(tmp_path / "made", documents, [{"_id": "q", "text": "red"}], test=[("q", "c", 1)])
    chosen = run(folder, f"agentic:model={HERE}:last_word_hunter,hops=2,docs=2")
    assert [hop["relevant"] for hop in trace(chosen)["q"]["hops"]] == [["a"], ["c"]]
    assert ranking(chosen)["q"] == ["a", "c", "b"]
    assert ranking(run(folder, f"agentic:model={HERE}:browser,hops=2,docs=2"))["q"] == ["b", "a", "c"]


def test_lists_are_capped_and_the_cap_is_said(run, corpus_folder):
    outcome = run(corpus_folder, f"agentic:model={HERE}:content,hops=2,docs=1")
    assert all(len(row) <= 2 for row in ranking(outcome).values())
    assert outcome.manifest.system["facts"]["list_cap"] == 2
    assert any("lists hold at most 2 documents; R@k beyond 2 is capped" in note for note in outcome.manifest.notes)


def test_an_empty_search_stops(run, corpus_folder, calls):
    outcome = run(corpus_folder, f"agentic:model={HERE}:content,hops=4,docs=2")
    assert len(calls()) == 3
    assert outcome.manifest.system["facts"]["hops_per_query"] == 1


def test_chosen_numbers_of_no_document_are_dropped_and_counted(run, corpus_folder, plain):
    outcome = run(corpus_folder, f"agentic:model={HERE}:careless,hops=1,docs=3")
    assert any("9 chosen numbers were repeated or of no document shown" in note for note in outcome.manifest.notes)
    assert ranking(outcome) == {qid: row[:3] for qid, row in plain("bm25").items()}


def test_documents_are_cut_at_chars_and_the_share_is_said(run, corpus_folder, calls):
    outcome = run(corpus_folder, f"agentic:model={HERE}:content,hops=1,docs=2,chars=10")
    assert all(len(text) <= 10 for call in calls() for text in call["DOCUMENT"])
    assert any("100.0% of the documents shown are longer than 10 characters" in note for note in outcome.manifest.notes)


@pytest.mark.parametrize(
    "spec",
    [
        f"agentic:model={HERE}:last_word_hunter,hops=2,docs=6,over=prior",
        f"rerank:model={HERE}:everything,by=binary,first=prior,depth=6",
    ],
)
def test_a_document_excluded_for_a_query_is_never_shown_to_the_model(run, tmp_path, calls, spec):
    run(excluding(tmp_path, q1=["d1"], q2=["d6", "d4"]), spec)
    text = {document["_id"]: document["text"] for document in DOCUMENTS}
    shown = {query["_id"]: "" for query in QUERIES}
    for call in calls():
        [qid] = [query["_id"] for query in QUERIES if query["text"] == call["QUERY"]]
        shown[qid] += "\n".join(call["DOCUMENT"])
    assert text["d1"] not in shown["q1"] and text["d1"] in shown["q2"]
    assert text["d6"] not in shown["q2"] and text["d4"] not in shown["q2"] and text["d4"] in shown["q3"]


# ---------------------------------------------------------------- rerank


@pytest.mark.model
def test_a_cross_encoder_orders_the_first_documents_and_leaves_the_rest_below(run, tmp_path, plain):
    folder = word_corpus(tmp_path / "made", 40, 4)
    model = save_cross_encoder(tmp_path / "cross")
    outcome = run(folder, f"rerank:model={model},first=prior,depth=7")
    corpus, scorer = load_corpus(folder), PairScorer(str(model), None)
    texts = {document.id: document.contents for document in corpus.documents()}
    for query in corpus.queries:
        first = plain("prior", folder)[query.id]
        scores = dict(zip(first[:7], scorer.scores(query.text, [texts[name] for name in first[:7]]), strict=True))
        assert ranking(outcome)[query.id] == [*sorted(first[:7], key=scores.get, reverse=True), *first[7:]]
    system = outcome.manifest.system
    assert (system["role"], system["track"]) == ("second-stage", "none")
    assert (system["settings"]["first"]["class"], system["settings"]["depth"]) == ("Prior", 7)
    assert system["settings"]["model_sha256"] == scorer.digest
    assert outcome.manifest.usage["seconds_per_query"]["p50"] >= 0


def test_an_llm_reranks_by_the_named_protocol_and_equal_scores_keep_the_first_stages_order(run, corpus_folder, plain):
    prior, lengths = plain("prior:order=shortest"), {}
    for document in load_corpus(corpus_folder).documents():
        lengths[document.id] = len(document.contents)
    by_length = run(corpus_folder, f"rerank:model={HERE}:longest,by=pointwise,first=prior:order=shortest,depth=5")
    all_alike = run(corpus_folder, f"rerank:model={HERE}:everything,by=binary,first=prior:order=shortest,depth=5")
    reversed_ = run(corpus_folder, f"rerank:model={HERE}:backwards,by=listwise,first=prior:order=shortest,depth=5")
    for qid, row in prior.items():
        long = [name for name in row[:5] if lengths[name] >= 60]
        short = [name for name in row[:5] if lengths[name] < 60]
        assert long and short
        assert ranking(by_length)[qid] == [*long, *short, *row[5:]]
        assert ranking(all_alike)[qid] == row
        assert ranking(reversed_)[qid] == [*reversed(row[:5]), *row[5:]]
    assert (by_length.manifest.system["role"], by_length.manifest.system["track"]) == ("second-stage", "query")
    assert by_length.manifest.system["facts"]["calls"] == 15


def test_a_query_without_any_document_costs_no_call(run, tmp_path, calls):
    folder = write_beir(tmp_path / "made", queries=[{"_id": "q1", "text": "zzz"}, *QUERIES[1:]])
    outcome = run(folder, f"rerank:model={HERE}:backwards,by=listwise")
    assert ranking(outcome)["q1"] == []
    assert len(calls()) <= 2


def test_rerank_over_rewrite_adds_up_the_tokens_and_keeps_the_trace(run, corpus_folder):
    alone = run(corpus_folder, f"rewrite:model={HERE}:echo").manifest.usage["tokens"]["input"]
    spec = f"rerank:model={HERE}:backwards,by=listwise,first=(rewrite:model={HERE}:echo,over=(bm25:k1=1,b=0.5))"
    both = run(corpus_folder, spec)
    assert both.manifest.usage["tokens"]["input"] > alone
    assert both.manifest.system["facts"]["calls"] > 3
    assert trace(both)["q1"]["searched"] == "THIRTY DAYS NOTICE"
    assert (both.manifest.system["role"], both.manifest.system["track"]) == ("second-stage", "query")


# ---------------------------------------------------------------- all three


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("rewrite", "rewrite needs model="),
        ("rewrite:model=", "the model has no name"),
        ("rewrite:model=nonsense", "is not a model; accepted"),
        (f"rewrite:model={HERE}:goods,mode=hide", "'rewrite' or 'hyde'"),
        (f"rewrite:model={HERE}:goods,over=plugin_retrievers:Overlap", "over a built-in retriever or a run file"),
        (f"agentic:model={HERE}:goods,over=nothing", "'nothing' is not a retriever"),
        (f"agentic:model={HERE}:goods,hops=0", "hops=0"),
        (f"rerank:model={HERE}:goods,first=recorded,by=binary", "over a built-in retriever or a run file"),
        (f"rerank:model={HERE}:goods,by=vote", "'cross-encoder', 'pointwise', 'listwise'"),
        ("rerank:model=x,base_url=http://localhost:1", "base_url is for an LLM"),
        (f"rerank:model={HERE}:goods,by=binary,max_seq_length=9", "max_seq_length is for by=cross-encoder"),
    ],
)
def test_what_cannot_be_run_is_refused_with_what_is_accepted(spec, message, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    with pytest.raises(UsageError, match=re.escape(message)):
        create(spec)


def test_a_plug_in_says_its_role_and_track_and_a_wrong_one_is_refused(run, corpus_folder):
    class Plug:
        role, track = "retriever", "index"

        def index(self, corpus):
            self.corpus = corpus

        def search(self, queries, k):
            return {query.id: {self.corpus.doc_ids[0]: 1.0} for query in queries}

    class Second(Plug):
        role = "second-stage"

    class Boastful(Plug):
        track = "free"

    class Confused(Plug):
        role = "reranker"

    found = [run(corpus_folder, kind()).manifest.system for kind in (Plug, Second)]
    assert [(system["role"], system["track"]) for system in found] == [
        ("retriever", "index"),
        ("second-stage", "index"),
    ]
    with pytest.raises(UsageError, match="its track is 'free'; accepted are none, query, index, read-everything"):
        run(corpus_folder, Boastful())
    with pytest.raises(UsageError, match="its role is 'reranker'; accepted are retriever, second-stage, verifier"):
        run(corpus_folder, Confused())


def test_the_list_shows_role_track_and_what_must_be_given(command):
    shown = command("retrieval", "list", "--json")
    entries = {entry["name"]: entry for entry in json.loads(shown.stdout)["retrievers"]}
    about = {name: (entry["role"], entry["track"]) for name, entry in entries.items()}
    assert about["bm25"] == about["sparse"] == about["late"] == ("retriever", "none")
    assert about["rewrite"] == about["agentic"] == ("retriever", "query")
    assert about["rerank"] == ("second-stage", "none")
    assert about["llm"][0] == "verifier"
    assert entries["rewrite"]["required"] == ["model"]
    assert "second-stage" in command("retrieval", "list").stdout


@pytest.mark.parametrize(
    ("spec", "total"),
    [
        (f"rewrite:model={HERE}:echo,concurrency=1", 3),
        (f"agentic:model={HERE}:last_word_hunter,hops=3,docs=2,concurrency=1", 6),
        (f"rerank:model={HERE}:longest,by=pointwise,first=prior,concurrency=1", 18),
    ],
)
def test_a_killed_run_goes_on_without_repeating_a_call(corpus_folder, tmp_path, calls, run, spec, total):
    whole = run(corpus_folder, spec)
    made = calls()
    assert len(made) == total
    (tmp_path / "calls.jsonl").unlink()
    line = [EVALSUITE, "retrieval", "run", corpus_folder, "-r", spec]
    line += ["--out", tmp_path / "killed", "--cache", tmp_path / "other-cache"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    killed = subprocess.run(line, env=environment | {"KILL_AT": str(total - 1)}, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert len(calls()) == total - 2
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert sorted(map(str, calls())) == sorted(map(str, made))
    [folder] = (tmp_path / "killed").iterdir()
    assert [unit.top for unit in read_units(folder)] == [unit.top for unit in read_units(whole.path)]


@pytest.mark.llm
def test_all_three_work_behind_a_real_server_and_again_when_it_is_gone(server, tmp_path):  # noqa: F811
    folder = write_beir(tmp_path / "made", queries=QUERIES[:2], test=[("q1", "d5", 1), ("q2", "d2", 1)])
    common = f"model=openai/smollm2,base_url={server.url},max_tokens=400,concurrency=1"
    specs = [
        f"rewrite:{common}",
        f"agentic:{common},hops=2,docs=1",
        f"rerank:{common},first=prior,by=listwise,depth=3",
    ]
    options = {"cache": tmp_path / "cache", "measures": ["nDCG@10"]}
    began = time.monotonic()
    fresh = evaluate(folder, specs, out=tmp_path / "one", **options)
    print(f"{time.monotonic() - began:.0f} s for {[o.manifest.system['facts']['calls'] for o in fresh]} calls")
    for outcome in fresh:
        assert outcome.manifest.usage["tokens"]["input"] > 100
        assert outcome.manifest.usage["cost"] == "unknown"
        assert outcome.manifest.usage["seconds_per_query"]["p50"] > 0
    server.kill()
    stored = evaluate(folder, specs, out=tmp_path / "two", **options)
    for before, after in zip(fresh, stored, strict=True):
        facts = after.manifest.system["facts"]
        assert facts["calls"] == facts["calls_stored"] == before.manifest.system["facts"]["calls"]
        assert ranking(after) == ranking(before)

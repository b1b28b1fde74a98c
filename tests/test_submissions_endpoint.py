"""A live search service, asked over loopback: scored like any retriever, timed, and never believed unchecked."""

import gzip
import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from conftest import write_beir
from searchapp import TOKEN, good, serving

from evalsuite import evaluate
from evalsuite.errors import UsageError
from evalsuite.retrieval.formats import load_corpus
from evalsuite.retrieval.retrievers import create


@pytest.fixture(scope="module")
def service():
    with serving() as running:
        yield running


@pytest.fixture
def run(corpus_folder, tmp_path, service):
    """Score /NAME/search of the service; keywords are settings."""

    def evaluated(name, depth=1000, **settings):
        written = "".join(f",{key}={value}" for key, value in {"pause": 0.01, **settings}.items())
        [outcome] = evaluate(corpus_folder, f"{service.url}/{name}{written}", depth=depth, out=tmp_path / "out")
        return outcome

    return evaluated


def test_it_is_scored_as_the_same_ranking_in_a_run_file_is(run, corpus_folder, tmp_path):
    live = run("good")
    stored = live.path / "artifacts" / "run.trec.gz"
    [filed] = evaluate(corpus_folder, f"runfile:{stored}", depth=None, out=tmp_path / "filed")
    assert live.summary.measures == filed.summary.measures
    assert live.summary.measures["nDCG@10"].mean > 0.5


def test_it_is_asked_with_ids_texts_and_the_depth_and_every_query_in_a_request_of_its_own(run, service):
    service.bodies.clear()
    run("good", depth=4)
    assert service.bodies[0] == {"queries": [{"id": "q1", "text": "thirty days notice"}], "k": 4}
    assert [[query["id"] for query in body["queries"]] for body in service.bodies] == [["q1"], ["q2"], ["q3"]]


def test_batches_hold_so_many_queries_and_give_the_same_numbers(run, service):
    service.bodies.clear()
    batched = run("good", batch=2)
    assert [len(body["queries"]) for body in service.bodies] == [2, 1]
    assert batched.summary.measures == run("good").summary.measures
    assert "2 queries a request: the seconds of a query are those of its request" in batched.manifest.notes[-1]


def test_k_is_never_more_than_there_are_documents(run, service):
    service.bodies.clear()
    run("good")
    assert {body["k"] for body in service.bodies} == {6}


def test_latencies_are_those_the_service_takes(run):
    usage = run("steady").manifest.usage
    latency = usage["seconds_per_query"]
    assert 0.02 <= latency["p50"] < latency["p95"] <= latency["p99"]
    assert latency["p99"] > 0.15
    assert (usage["tokens"], usage["cost"]) == ("unknown", "unknown")


def test_a_finished_run_never_stands_for_a_new_one(run, service):
    before = service.seen["good"]
    assert run("good").path != run("good").path
    assert service.seen["good"] == before + 6


def test_neither_does_that_of_a_hybrid_with_it(corpus_folder, tmp_path, service):
    spec = f"hybrid:bm25+{service.url}/good"
    first, second = (evaluate(corpus_folder, spec, out=tmp_path / "out")[0] for _ in range(2))
    assert first.path != second.path
    assert first.summary.measures == second.summary.measures


def test_what_fails_in_passing_is_asked_again_and_told(run):
    outcome = run("flaky")
    assert outcome.summary.measures == run("good").summary.measures
    assert "3 requests had to be sent again; seconds per query are those of the answers" in outcome.manifest.notes[-1]


def test_a_query_without_results_counts_as_0(run):
    assert run("empty").summary.missing_queries == ["q1", "q2", "q3"]


FAULTS = {
    "unknown-id": "query 'q2': result 1: document 'd99' is not in corpus",
    "number-id": "query 'q2': result 1: the id must be a string; found 5",
    "nan": "query 'q2': result 1: the score must be a finite number; found nan",
    "infinite": "query 'q2': result 1: the score must be a finite number; found inf",
    "huge": "query 'q2': result 1: the score must be a finite number; found 1000",
    "text-score": "query 'q2': result 1: the score must be a finite number; found 'high'",
    "true-score": "query 'q2': result 1: the score must be a finite number; found True",
    "no-score": """query 'q2': result 1 must be {"id": ..., "score": ...}; found {'id': 'd1'}""",
    "pairs": """query 'q2': result 1 must be {"id": ..., "score": ...}; found ['d1', 1.0]""",
    "not-a-list": "query 'q2': the results must be a list; found {'d1': 1.0}",
    "twice": "query 'q2': result 2: document 'd2' is ranked twice",
    "ascending": "query 'q2': result 2 has a higher score than the one before it (2.0 after 1.0); best comes first",
    "too-many": "query 'q1': 7 results; 6 were asked for",
    "too-few-lists": "query 'q1': 0 lists of results for 1 queries; needed is one each",
    "too-many-lists": "query 'q1': 2 lists of results for 1 queries; needed is one each",
    "other-key": """query 'q1': the reply must be {"results": [[{"id", "score"}, ...], ...]}; found the keys hits""",
    "a-list": """query 'q1': the reply must be {"results": [[{"id", "score"}, ...], ...]}; found []""",
    "not-json": "query 'q1': the reply is not JSON (Expecting value: line 1 column 1 (char 0)); it begins '<html>Bad",
    "failing": "query 'q1': answered 500 Internal Server Error: 'the index is gone' (3 attempts)",
    "missing": "query 'q1': answered 404 Not Found: 'Not Found'; needed is 200",
    "moved": "query 'q1': answered 307 Temporary Redirect; give the address that it points to: '/good/search'; needed",
    "guarded": "answered 401 Unauthorized: 'who are you?'; a token is taken from the environment variable EVALSUITE_E",
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_service_that_lies_or_fails_gives_one_error_that_names_the_query(run, service, name):
    outcome = run(name, retries=2)
    assert (outcome.summary, outcome.manifest.status) == (None, "failed")
    assert outcome.manifest.error.startswith(f"search: RunError: {service.url}/{name}: ")
    assert FAULTS[name] in outcome.manifest.error


def test_an_error_of_a_batch_names_its_first_and_last_query(run):
    assert "the 3 queries from 'q1' to 'q3': answered 500" in run("failing", batch=8, retries=0).manifest.error


@pytest.mark.parametrize("name", ["slow", "trickling"])
def test_a_reply_is_waited_for_so_long_and_not_longer(run, name):
    began = time.perf_counter()
    outcome = run(name, timeout=0.3, retries=1)
    assert time.perf_counter() - began < 3
    assert "query 'q1': gave no full reply in 0.3 s (timeout=) (2 attempts)" in outcome.manifest.error


def test_a_service_that_is_not_there_is_told_as_such(corpus_folder, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    spec = f"http://127.0.0.1:{port},retries=1,pause=0"
    [outcome] = evaluate(corpus_folder, spec, out=tmp_path / "out")
    assert "query 'q1': cannot be reached: Connection refused (2 attempts)" in outcome.manifest.error


def test_a_peer_that_speaks_no_http_is_told_as_such(corpus_folder, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def babble():
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")

        threading.Thread(target=babble, daemon=True).start()
        [outcome] = evaluate(
            corpus_folder, f"http://127.0.0.1:{listener.getsockname()[1]},retries=0", out=tmp_path / "out"
        )
    assert "query 'q1': gave no HTTP reply: 'SSH-2.0-OpenSSH_9.6' (1 attempt)" in outcome.manifest.error


def test_a_failed_run_goes_on_where_it_stopped_and_other_systems_are_scored(command, corpus_folder, tmp_path, service):
    done = command(
        "retrieval", "run", corpus_folder, "-r", f"{service.url}/nan", "-r", "bm25", "-o", tmp_path / "out", "--json"
    )
    assert done.code == 3
    failed, scored = json.loads(done.stdout)
    assert "query 'q2'" in failed["error"]
    assert scored["measures"]["nDCG@10"]["mean"] > 0


def test_latencies_are_in_the_json_in_the_terminal_and_on_the_page(command, corpus_folder, tmp_path, service):
    systems, out, page = ("-r", f"{service.url}/steady", "-r", "bm25"), tmp_path / "out", tmp_path / "page.html"
    done = command("retrieval", "run", corpus_folder, *systems, "-o", out, "--json")
    found = json.loads(done.stdout)[0]["usage"]["seconds_per_query"]
    assert set(found) == {"p50", "p95", "p99"}
    again = command("retrieval", "run", corpus_folder, *systems, "-o", out, "--report", page)
    assert "p99 ms" in again.stdout
    for name, seconds in found.items():
        assert f'<th scope="col" class="n">{name} ms</th>' in page.read_text()
        assert seconds > 0


def test_runs_without_latencies_have_no_column_for_them(command, corpus_folder, tmp_path):
    page = tmp_path / "page.html"
    done = command("retrieval", "run", corpus_folder, "-r", "bm25", "-o", tmp_path / "out", "--report", page)
    assert "p50" not in done.stdout + page.read_text().split("<script")[0]


# ---------------------------------------------------------------- replies packet by packet


class Packets(BaseHTTPRequestHandler):
    """Writes head and body in packets of their own; /NAME/search behaves as NAME says."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps(good(asked)).encode()
        self.server.n_seen += 1
        name = self.path.split("/")[1]
        whole = not (name in ("cut", "dropped") or (name.endswith("-once") and self.server.n_seen == 2))
        self.close_connection = not whole
        if name.startswith("dropped") and not whole:
            return
        self.send_response(200)
        if name == "zipped":
            body = gzip.compress(body)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if whole else body[:10])

    def log_message(self, *arguments):
        pass


@pytest.fixture
def packets():
    with ThreadingHTTPServer(("127.0.0.1", 0), Packets) as server:
        server.daemon_threads, server.n_seen = True, 0
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("name", ["cut-once", "dropped-once"])
def test_a_reply_that_breaks_off_is_asked_for_again(name, packets, corpus_folder, tmp_path, run):
    [outcome] = evaluate(corpus_folder, f"{packets}/{name},pause=0", out=tmp_path / "out")
    assert outcome.summary.measures == run("good").summary.measures
    assert "1 requests had to be sent again" in outcome.manifest.notes[-1]


BROKEN = {
    "cut": "query 'q1': the connection ended after 10 of 99 bytes (2 attempts)",
    "dropped": "query 'q1': the connection ended before the reply: Remote end closed connection without response (2 att",
    "zipped": "query 'q1': the reply has Content-Encoding 'gzip', which was not asked for; needed is plain JSON",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_connection_that_was_made_is_not_said_to_be_none(name, packets, corpus_folder, tmp_path):
    [outcome] = evaluate(corpus_folder, f"{packets}/{name},retries=1,pause=0", out=tmp_path / "out")
    assert BROKEN[name] in outcome.manifest.error


def test_no_query_waits_for_a_delayed_acknowledgement(packets, corpus_folder):
    """A service that writes head and body apart, with Nagle's algorithm, stalls for 40 ms on a peer that is slow to acknowledge."""
    corpus, retriever = load_corpus(corpus_folder), create(f"{packets}/good").retriever
    retriever.index(corpus)
    retriever.search([corpus.queries[0]] * 40, 6)
    assert sorted(retriever.facts["seconds_per_query"])[10] < 0.035


# ---------------------------------------------------------------- secrets


def test_a_token_comes_from_the_environment_and_is_kept_nowhere(run, service, monkeypatch):
    monkeypatch.setenv("EVALSUITE_ENDPOINT_TOKEN", TOKEN)
    outcome = run("guarded")
    assert outcome.summary.missing_queries == []
    assert service.headers[-1]["authorization"] == f"Bearer {TOKEN}"
    kept = [path for path in outcome.path.rglob("*") if path.is_file()]
    assert len(kept) == 5
    assert not any(TOKEN.encode() in path.read_bytes() for path in kept)


@pytest.mark.parametrize(
    "url",
    [
        "http://me:hidden@127.0.0.1:1",
        "https://hidden@127.0.0.1",
        "http://127.0.0.1:1/?key=hidden",
        "http://127.0.0.1:1/#hidden",
    ],
)
def test_an_address_with_a_secret_is_refused_and_not_repeated(url):
    with pytest.raises(UsageError, match="put a token into the environment variable EVALSUITE_ENDPOINT_TOKEN") as error:
        create(url)
    assert "hidden" not in str(error.value)


@pytest.mark.parametrize("url", ["http://", "http://127.0.0.1:port", "http://[::1"])
def test_an_address_that_cannot_be_asked_is_refused(url):
    with pytest.raises(UsageError, match="accepted is http://HOST:PORT or https://HOST"):
        create(url)


def test_search_at_the_end_of_the_address_may_be_written(service):
    assert create(f"{service.url}/good/search").retriever.url == f"{service.url}/good"


# ---------------------------------------------------------------- evalsuite submit score


def test_submit_score_takes_an_endpoint(command, corpus_folder, tmp_path, service):
    spec = f"{service.url}/good,batch=2"
    done = command("submit", "score", "--endpoint", spec, "-c", corpus_folder, "-o", tmp_path / "out", "--json")
    assert done.code == 0
    [found] = json.loads(done.stdout)
    assert found["system"] == spec
    assert found["measures"]["R@10"]["mean"] > 0.5


def test_submit_score_of_an_endpoint_that_fails_ends_with_3(command, corpus_folder, tmp_path, service):
    done = command("submit", "score", "--endpoint", f"{service.url}/nan", "-c", corpus_folder, "-o", tmp_path / "out")
    assert done.code == 3
    assert "query 'q2': result 1: the score must be a finite number; found nan" in done.stderr


def test_submit_score_says_what_an_endpoint_looks_like(command):
    done = command("submit", "score", "--endpoint", "127.0.0.1:8000", "-c", "corpus")
    assert done.code == 2
    assert "--endpoint must begin with http:// or https://" in done.stderr


def test_ids_with_spaces_and_unicode_survive_the_wire(tmp_path, service, monkeypatch):
    import searchapp as app

    monkeypatch.setitem(app.TEXTS, "d 7 é中", {"notice"})
    documents = [{"_id": name, "text": " ".join(words)} for name, words in app.TEXTS.items()]
    queries = [{"_id": "q é 1", "text": "notice"}]
    folder = write_beir(tmp_path / "spaced", documents, queries, test=[("q é 1", "d 7 é中", 1)])
    [outcome] = evaluate(folder, f"{service.url}/good", out=tmp_path / "out")
    assert outcome.summary.measures["R@10"].mean == 1

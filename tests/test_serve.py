"""The served page: this machine, this token, this page and nobody else; what is sent is kept whole or not at all."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, urlsplit

import pytest
from test_lab_numbers import graded
from test_review import exported, named, review

from evalsuite.errors import RunError
from evalsuite.reporting.review import read_reviews
from evalsuite.reporting.script import policy
from evalsuite.reporting.serve import PageServer
from evalsuite.storage import trial_folder
from evalsuite.summary import verify

EVALSUITE = str(Path(sys.executable).parent / "evalsuite")


class Answer(NamedTuple):
    code: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def error(self):
        return json.loads(self.body)["error"]


class Served:
    """`evalsuite serve` in a process of its own."""

    def __init__(self, *arguments):
        line = [EVALSUITE, "serve", *map(str, arguments), "--json"]
        pipe = subprocess.PIPE
        # a job of a background shell ignores Ctrl-C, and so would its children
        preexec = lambda: signal.signal(signal.SIGINT, signal.default_int_handler)  # noqa: E731
        self.process = subprocess.Popen(line, stdout=pipe, stderr=pipe, text=True, preexec_fn=preexec)
        self.started = json.loads(self.process.stdout.readline())
        self.url = self.started["url"]
        self.port = urlsplit(self.url).port
        self.token = self.url.partition("?token=")[2]

    def ask(self, method, path, body=None, host=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        named_ = {key.replace("_", "-"): value for key, value in headers.items()}
        connection.request(method, path, body, {"Host": host or f"127.0.0.1:{self.port}", **named_})
        answer = connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())

    def get(self, path="/", **more):
        return self.ask("GET", f"{path}{'&' if '?' in path else '?'}token={self.token}", **more)

    def post(self, document, **more):
        body = document if isinstance(document, bytes) else json.dumps(document).encode()
        return self.ask("POST", f"/reviews?token={self.token}", body, **more)

    def raw(self, text):
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            connection.sendall(text.encode("latin-1"))
            connection.shutdown(socket.SHUT_WR)
            answer = b""
            while block := connection.recv(65536):
                answer += block
        return answer

    def end(self, by=signal.SIGINT):
        if self.process.poll() is None:
            self.process.send_signal(by)
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run with a transcript, a hostile deliverable, and links out of it."""
    top = tmp_path_factory.mktemp("served")
    run = named(top / "out" / "one", *graded({"a": ["PF"], "b": ["PP"]}))
    trial = trial_folder(run, "a", 1)
    (trial / "deliverables").mkdir(parents=True)
    (trial / "deliverables" / "memo.html").write_text("<script>alert(1)</script>")
    (trial / "transcript.jsonl").write_text('{"turn": 1}\n' * 1000)
    (top / "secret.txt").write_text("secret")
    (trial / "link.txt").symlink_to(top / "secret.txt")
    (trial / "up").symlink_to(top)
    os.mkfifo(trial / "pipe")
    return run


@pytest.fixture(scope="module")
def served(folder):
    server = Served(folder.parent)
    yield server
    assert server.end() == (0, "", "stopped; the reviews are in the run folders\n")


@pytest.fixture
def fresh(tmp_path):
    """A run of its own, served."""
    run = named(tmp_path / "out" / "one", *graded({"a": ["PF"], "b": ["PP"]}))
    server = Served(run)
    yield server, run
    server.end(signal.SIGKILL)


def test_a_folder_that_is_not_there_is_not_served(tmp_path):
    with pytest.raises(RunError, match="no such run folder"):
        PageServer([tmp_path / "nowhere"])


def test_the_address_has_a_token_and_the_page_comes_with_its_policy(served, folder):
    assert served.started == {"url": f"http://127.0.0.1:{served.port}/?token={served.token}", "runs": [str(folder)]}
    assert len(served.token) >= 43
    with urllib.request.urlopen(served.url) as answer:
        page, headers = answer.read(), answer.headers
    assert page.startswith(b"<!doctype html>")
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Content-Security-Policy"] == f"{policy(served=True)}; frame-ancestors 'none'"
    assert "connect-src 'self'" in headers["Content-Security-Policy"]
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"


def test_localhost_is_an_address_too(served):
    assert served.get(host=f"localhost:{served.port}").code == 200


@pytest.mark.parametrize("query", ["", "?token=", "?token=wrong", "?token=%ff%00", "?token", "?Token={}", "?token={}x"])
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("path", ["/", "/reviews", "/artifact", "/favicon.ico"])
def test_without_the_token_there_is_nothing(served, folder, method, path, query):
    answer = served.ask(method, path + query.format(served.token), b"{}" if method == "POST" else None)
    assert (answer.code, answer.error["kind"]) == (403, "forbidden")
    assert served.token.encode() not in answer.body


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{}", "127.0.0.1", "localhost", "127.0.0.1:1", "[::1]:{}"]
)
def test_a_page_of_another_name_is_refused(served, host):
    assert served.get(host=host.format(served.port)).code == 403


def test_a_request_without_a_host_or_with_two_is_refused(served):
    line = f"GET /?token={served.token} HTTP/1.1\r\n"
    own = f"Host: 127.0.0.1:{served.port}\r\n"
    assert b" 403 " in served.raw(f"{line}\r\n").split(b"\r\n")[0]
    assert b" 403 " in served.raw(f"{line}{own}Host: evil.example\r\n\r\n").split(b"\r\n")[0]
    assert b" 200 " in served.raw(f"{line}{own}\r\n").split(b"\r\n")[0]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ],
)
def test_another_site_cannot_send_reviews_even_with_the_token(served, folder, headers):
    answer = served.post(exported(review(folder, "C-2", "pass")), **headers)
    assert answer.code == 403
    assert read_reviews(folder) == []


def test_it_listens_on_this_machine_only(served):
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", served.port), timeout=10)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD", "OPTIONS", "TRACE", "BREW"])
def test_other_methods_are_refused(served, method):
    answer = served.ask(method, f"/?token={served.token}")
    assert answer.code == 501
    assert answer.headers["Content-Type"] == "application/json"


def test_other_addresses_are_refused(served):
    assert served.get("/reviews").code == 405
    assert served.get("/run.json").code == 404
    assert served.ask("POST", f"/?token={served.token}", b"{}").code == 404
    assert served.ask("GET", f"http://[bad/?token={served.token}").code == 404


@pytest.mark.parametrize(
    "text", ["\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9\r\n\r\n", "\xff\x00\r\n\r\n", "x" * 70_000, "GET /\r\n"]
)
def test_garbage_is_answered_or_dropped_and_the_server_goes_on(served, text):
    assert b"<!doctype" not in served.raw(text)
    assert served.get().code == 200


def test_a_silent_client_keeps_nobody_waiting(served):
    with socket.create_connection(("127.0.0.1", served.port)) as silent:
        silent.sendall(b"POST /reviews")
        assert served.get().code == 200


# Artifacts


def artifact(served, path, run="one"):
    return served.get(f"/artifact?run={quote(run, safe='')}&path={quote(path, safe='')}")


def test_a_transcript_is_served_as_it_is(served):
    answer = artifact(served, "artifacts/a/trial-1/transcript.jsonl")
    assert (answer.code, answer.body) == (200, b'{"turn": 1}\n' * 1000)


def test_a_deliverable_is_never_a_page(served):
    answer = artifact(served, "artifacts/a/trial-1/deliverables/memo.html")
    assert answer.code == 200
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "path",
    [
        "",
        "run.json",
        "results.jsonl",
        "/etc/passwd",
        "artifacts/../run.json",
        "artifacts/../../../secret.txt",
        "artifacts//etc/passwd",
        "artifacts/./a",
        "artifacts/a",
        "artifacts/a/trial-1/link.txt",
        "artifacts/a/trial-1/up/secret.txt",
        "artifacts/a/trial-1/pipe",
        "artifacts/a/trial-1/none",
        "artifacts/a\0/b",
        "artifacts\\..\\run.json",
        "artifacts/" + "x" * 5000,
        "artifacts/%2e%2e/run.json",
    ],
)
def test_nothing_outside_the_artifacts_is_served(served, path):
    answer = artifact(served, path)
    assert (answer.code, answer.error["kind"]) == (400, "bad_input")


@pytest.mark.parametrize("run", ["", ".", "..", "two", "../out/one", "one/../one"])
def test_a_run_is_found_by_its_name_and_not_by_a_path(served, run):
    assert artifact(served, "artifacts/a/trial-1/transcript.jsonl", run).code == 400


# Reviews


def test_a_review_is_in_the_run_folder_when_it_is_answered_and_on_the_page_then(fresh):
    server, run = fresh
    before = server.get().body
    assert before.startswith(b"<!doctype html>")
    assert server.get().body == before
    own = {"Origin": f"http://127.0.0.1:{server.port}", "Sec_Fetch_Site": "same-origin"}
    answer = server.post(exported(review(run, "C-2", "pass")), **own)
    assert (answer.code, json.loads(answer.body)) == (200, {"added": 1, "already_there": 0})
    assert [r.verdict for r in read_reviews(run)] == ["pass"]
    assert json.loads(server.post(exported(review(run, "C-2", "pass"))).body) == {"added": 0, "already_there": 1}
    after = server.get()
    assert after.code == 200
    assert after.body != before
    assert verify(run)["ok"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"\xff\xfe{", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"null", "is no export of reviews"),
        (b'{"format": "evalsuite-review", "version": 1, "reviews": [{}]}', "nothing was taken in, 1 of 1 are wrong"),
    ],
)
def test_what_cannot_be_taken_in_is_answered_with_the_reason(served, folder, body, told):
    answer = served.post(body)
    assert (answer.code, answer.error["kind"]) == (400, "bad_input")
    assert told in answer.error["message"]
    assert not (folder / "reviews.jsonl").exists()


def test_a_body_that_is_too_large_or_has_no_length_or_is_cut_off_is_refused(served, folder):
    answer = served.post(b" " * (10 * 2**20 + 1))
    assert (answer.code, answer.error["message"]) == (413, "at most 10485760 bytes are taken; found 10485761")
    start = f"POST /reviews?token={served.token} HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\n"
    for header, code in (
        ("", 411),
        ("Content-Length: -1\r\n", 411),
        ("Content-Length: 1e3\r\n", 411),
        ("Transfer-Encoding: chunked\r\nContent-Length: 2\r\n", 411),
        ("Content-Length: 99999999999\r\n", 413),
        ("Content-Length: 100\r\n", 400),
    ):
        assert f" {code} ".encode() in served.raw(f"{start}{header}\r\n{{}}").split(b"\r\n")[0]
    assert not (folder / "reviews.jsonl").exists()


def test_many_posts_at_once_are_all_kept_once(fresh):
    server, run = fresh
    entries = [review(run, "C-2", "pass", who=f"R{number}") for number in range(30)]
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda entry: server.post(exported(entry, entries[0])), entries))
    assert {answer.code for answer in answers} == {200}
    assert sorted(r.reviewer for r in read_reviews(run)) == sorted(f"R{number}" for number in range(30))
    assert sum(json.loads(answer.body)["added"] for answer in answers) == 30


@pytest.mark.parametrize("moment", [0.02, 0.05, 0.1])
def test_killed_while_it_takes_reviews_in_what_was_answered_is_there_and_the_rest_can_be_sent_again(tmp_path, moment):
    run = named(tmp_path / "out" / "one", *graded({"a": ["PF"], "b": ["PP"]}))
    entries = [review(run, "C-2", "pass", who=f"R{number}") for number in range(60)]
    server = Served(run)
    answered = []

    def send(entry):
        try:
            if server.post(exported(entry)).code == 200:
                answered.append(entry["reviewer"])
        except (OSError, http.client.HTTPException):
            pass

    with ThreadPoolExecutor(4) as pool:
        sent = [pool.submit(send, entry) for entry in entries]
        time.sleep(moment)
        server.process.kill()
        for one in sent:
            one.result()
    server.process.communicate()
    assert {r.reviewer for r in read_reviews(run)} >= set(answered)
    again = Served(run)
    assert again.post(exported(*entries)).code == 200
    assert sorted(r.reviewer for r in read_reviews(run)) == sorted(f"R{number}" for number in range(60))
    assert again.end()[0] == 0


def test_a_folder_that_breaks_while_it_is_served_is_told_and_the_server_goes_on(fresh):
    server, run = fresh
    results = (run / "results.jsonl").read_bytes()
    (run / "results.jsonl").write_bytes(results + b"{\n")
    answer = server.get()
    assert (answer.code, answer.error["kind"]) == (400, "bad_input")
    assert "results.jsonl:7" in answer.error["where"]
    (run / "results.jsonl").write_bytes(results)
    assert server.get().code == 200


def test_a_run_folder_that_cannot_be_written_is_told(fresh):
    server, run = fresh
    (run / "reviews.jsonl").mkdir()
    answer = server.post(exported(review(run, "C-2", "pass")))
    assert (answer.code, answer.error["kind"]) == (400, "bad_run")


# The command


def test_ctrl_c_ends_it_with_0_and_a_line(fresh):
    server, _ = fresh
    server.get()
    assert server.end() == (0, "", "stopped; the reviews are in the run folders\n")


def test_a_taken_port_is_told(fresh, cli):
    server, run = fresh
    done = cli("serve", run, "--port", server.port)
    assert (done.code, done.stdout) == (2, "")
    assert done.stderr == f"error: port {server.port} cannot be used (Address already in use); 0 takes a free one\n"


def test_a_folder_without_runs_is_told(tmp_path, cli):
    done = cli("serve", tmp_path)
    assert (done.code, done.stderr) == (2, f"error: {tmp_path}: is not a run folder and holds none\n")

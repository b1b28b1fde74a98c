"""A search service as a retriever: POST /search over HTTP, every reply checked before it is believed."""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import os
import socket
import ssl
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar
from urllib.parse import urlsplit

import numpy as np
from pydantic import Field

from evalsuite.errors import RunError, UsageError, shown
from evalsuite.retrieval.corpus import Corpus, Query
from evalsuite.retrieval.retrievers.base import Builtin, Hits
from evalsuite.retrieval.runs import Run

TOKEN = "EVALSUITE_ENDPOINT_TOKEN"
MAX_REPLY_BYTES = 256 * 1024 * 1024
CHUNK = 65_536
LONGEST_PAUSE = 30.0


class _PassingError(Exception):
    """A failure that another attempt may not meet."""

    def __init__(self, told: str, pause: float | None = None) -> None:
        super().__init__(told)
        self.pause = pause


@dataclass
class Endpoint(Builtin):
    """A search service of yours: POST URL/search with {"queries": [{"id", "text"}], "k": n}; one request at a time.

    The reply is {"results": [[{"id", "score"}, ...], ...]}, one list a query, best first. `batch` queries go into a request;
    with more than one, each counts as slow as its whole request. A reply that takes longer than `timeout` seconds, a lost
    connection and a status of 429 or 5xx are tried again `retries` times, after 1, 2, 4 ... times `pause` seconds.
    A token in the environment variable EVALSUITE_ENDPOINT_TOKEN is sent as a bearer token and kept nowhere.
    """

    live: ClassVar[bool] = True

    url: str
    batch: Annotated[int, Field(ge=1)] = 1
    timeout: Annotated[float, Field(gt=0)] = field(default=30.0, metadata={"setting": False})
    retries: Annotated[int, Field(ge=0)] = field(default=3, metadata={"setting": False})
    pause: Annotated[float, Field(ge=0)] = field(default=0.5, metadata={"setting": False})

    def __post_init__(self) -> None:
        self.url = _address(self.url)
        parts = urlsplit(self.url)
        self._host, self._path = parts.netloc, parts.path + "/search"
        self._secure = parts.scheme == "https"
        self._connection: http.client.HTTPConnection | None = None
        self._seconds: list[float] = []
        self._again = 0

    def index(self, corpus: Corpus) -> None:
        """Nothing is sent: the service has indexed the corpus itself."""
        self._corpus = corpus
        self._seconds, self._again = [], 0
        self.facts = {}

    def search(self, queries: Sequence[Query], k: int) -> Hits:
        documents, scores = [], []
        try:
            for start in range(0, len(queries), self.batch):
                batch = queries[start : start + self.batch]
                reply, seconds = self._ask(batch, k)
                for query, row in zip(batch, self._rows(reply, batch), strict=True):
                    found = self._checked(row, query, k)
                    documents.append(np.array([d for d, _ in found], np.int64))
                    scores.append(np.array([s for _, s in found], np.float64))
                self._seconds += [seconds] * len(batch)
        finally:
            self._close()
        self.facts["seconds_per_query"] = self._seconds
        self.facts["notes"] = self._notes()
        run = Run.of_rows(range(len(queries)), documents, scores)
        return Hits(run.documents, run.scores)

    def _notes(self) -> list[str]:
        told = [f"{self._again} requests had to be sent again; seconds per query are those of the answers"]
        shared = [f"{self.batch} queries a request: the seconds of a query are those of its request"]
        return (told if self._again else []) + (shared if self.batch > 1 else [])

    # ---------------------------------------------------------------- asking

    def _ask(self, batch: Sequence[Query], k: int) -> tuple[bytes, float]:
        """The body of the reply, and the seconds from sending to its last byte. Raises RunError when no attempt succeeds."""
        body = json.dumps({"queries": [{"id": query.id, "text": query.text} for query in batch], "k": k}).encode()
        last: _PassingError | None = None
        for attempt in range(self.retries + 1):
            if last is not None:
                self._again += 1
                wait = last.pause if last.pause is not None else self.pause * 2 ** (attempt - 1)
                time.sleep(min(wait, LONGEST_PAUSE))
            began = time.perf_counter()
            try:
                return self._post(body, batch), time.perf_counter() - began
            except _PassingError as error:
                last = error
                self._close()
        tried = "1 attempt" if not self.retries else f"{self.retries + 1} attempts"
        raise RunError(f"{_named(batch)}: {last} ({tried})", where=self.url) from last

    def _post(self, body: bytes, batch: Sequence[Query]) -> bytes:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if token := os.environ.get(TOKEN, "").strip():
            if not (token.isascii() and token.isprintable()):
                raise UsageError(f"the token in {TOKEN} must be printable ASCII")
            headers["Authorization"] = f"Bearer {token}"
        connection = self._open()
        late = threading.Event()
        held: list[socket.socket] = []  # the connection forgets its socket where the reply ends with it
        found = bytearray()
        timer = threading.Timer(self.timeout, _cut, (connection, held, late))
        timer.start()
        try:
            if connection.sock is None:
                connection.connect()
            held.append(connection.sock)
            connection.request("POST", self._path, body, headers)
            _hasten(held[0])
            reply = connection.getresponse()
            wanted = reply.length
            _hasten(held[0])
            while not late.is_set() and (chunk := reply.read1(CHUNK)):
                found += chunk
                _hasten(held[0])
                if len(found) > MAX_REPLY_BYTES:
                    raise RunError(f"{_named(batch)}: replied more than {MAX_REPLY_BYTES >> 20} MiB", where=self.url)
        except ssl.SSLCertVerificationError as error:
            raise RunError(
                f"has a certificate that cannot be verified: {error.verify_message}", where=self.url
            ) from error
        except (OSError, http.client.HTTPException) as error:
            if late.is_set() or isinstance(error, TimeoutError):
                raise _PassingError(f"gave no full reply in {self.timeout:g} s (timeout=)") from error
            raise _PassingError(_lost(error, bool(held), len(found))) from error
        finally:
            timer.cancel()
        reply.close()
        if late.is_set():
            raise _PassingError(f"gave no full reply in {self.timeout:g} s (timeout=)")
        if wanted is not None and len(found) < wanted:
            raise _PassingError(f"the connection ended after {len(found):,} of {wanted:,} bytes")
        self._require_ok(reply, bytes(found), batch)
        return bytes(found)

    def _require_ok(self, reply: http.client.HTTPResponse, body: bytes, batch: Sequence[Query]) -> None:
        coding = reply.getheader("Content-Encoding", "identity")
        if reply.status == 200 and coding.lower() == "identity":
            return
        if reply.status == 200:
            told = f"the reply has Content-Encoding {shown(coding)}, which was not asked for; needed is plain JSON"
            raise RunError(f"{_named(batch)}: {told}", where=self.url)
        said = " ".join(body[:2000].decode("utf-8", "replace").split())
        told = f"answered {reply.status} {reply.reason}".rstrip() + (f": {shown(said, 200)}" if said else "")
        if reply.status == 429 or reply.status >= 500:
            after = reply.getheader("Retry-After", "")
            raise _PassingError(told, float(after) if after.isdecimal() else None)
        if 300 <= reply.status < 400:
            told += f"; give the address that it points to: {shown(reply.getheader('Location', ''))}"
        if reply.status in (401, 403):
            told += f"; a token is taken from the environment variable {TOKEN}"
        raise RunError(f"{_named(batch)}: {told}; needed is 200", where=self.url)

    def _open(self) -> http.client.HTTPConnection:
        if self._connection is None:
            kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
            self._connection = kind(self._host, timeout=self.timeout)
        return self._connection

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # ---------------------------------------------------------------- believing

    def _rows(self, reply: bytes, batch: Sequence[Query]) -> list[Any]:
        try:
            told = json.loads(reply)
        except (ValueError, RecursionError) as error:
            start = shown(reply[:60].decode("utf-8", "replace"))
            raise RunError(
                f"{_named(batch)}: the reply is not JSON ({error}); it begins {start}", where=self.url
            ) from error
        rows = told.get("results") if isinstance(told, dict) else None
        if not isinstance(rows, list):
            found = f"the keys {', '.join(map(str, told)) or '(none)'}" if isinstance(told, dict) else shown(told)
            wanted = '{"results": [[{"id", "score"}, ...], ...]}'
            raise RunError(f"{_named(batch)}: the reply must be {wanted}; found {found}", where=self.url)
        if len(rows) != len(batch):
            raise RunError(
                f"{_named(batch)}: {len(rows)} lists of results for {len(batch)} queries; needed is one each",
                where=self.url,
            )
        return rows

    def _checked(self, row: Any, query: Query, k: int) -> list[tuple[int, float]]:
        """(document number, score) of one query. Raises RunError at the first result that cannot be believed."""

        def no(told: str) -> RunError:
            return RunError(f"query {query.id!r}: {told}", where=self.url)

        if not isinstance(row, list):
            raise no(f"the results must be a list; found {shown(row)}")
        if len(row) > k:
            raise no(f"{len(row)} results; {k} were asked for")
        found: dict[int, float] = {}
        names: set[str] = set()
        last = math.inf
        for place, result in enumerate(row, 1):
            if not isinstance(result, dict) or not {"id", "score"} <= result.keys():
                raise no(f'result {place} must be {{"id": ..., "score": ...}}; found {shown(result)}')
            name, score = result["id"], result["score"]
            if not isinstance(name, str):
                raise no(f"result {place}: the id must be a string; found {shown(name)}")
            number = self._corpus.doc_number.get(name)
            if number is None:
                raise no(f"result {place}: document {name!r} is not in {self._corpus.name}")
            if isinstance(score, bool) or not isinstance(score, (int, float)) or not math.isfinite(_float(score)):
                raise no(f"result {place}: the score must be a finite number; found {shown(score)}")
            if score > last:
                raise no(
                    f"result {place} has a higher score than the one before it ({score} after {last}); best comes first"
                )
            last = score
            if name in names:
                raise no(f"result {place}: document {name!r} is ranked twice")
            names.add(name)
            found.setdefault(number, float(score))
        return list(found.items())


def _address(url: str) -> str:
    """The address without a final slash. Raises UsageError for one that cannot be asked, or that holds a secret."""
    wanted = "http://HOST:PORT or https://HOST[/PATH]"
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise UsageError(f"the address of the endpoint cannot be read ({error}); accepted is {wanted}") from error
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise UsageError(
            f"the address of an endpoint is written into run folders, so it must hold no user, password, query or fragment; "
            f"put a token into the environment variable {TOKEN}"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{shown(url)} is no address of an endpoint; accepted is {wanted}")
    return url.rstrip("/").removesuffix("/search")


def _cut(connection: http.client.HTTPConnection, held: list[socket.socket], late: threading.Event) -> None:
    """End a request that takes too long, whatever it is doing: a peer that sends a byte a second meets no read timeout."""
    late.set()
    sock = held[0] if held else connection.sock
    if sock is not None:
        with contextlib.suppress(OSError):  # it ended by itself
            sock.shutdown(socket.SHUT_RDWR)


def _hasten(sock: socket.socket) -> None:
    """Acknowledge at once what has come: a service that writes head and body apart waits for it, else for 40 ms."""
    if hasattr(socket, "TCP_QUICKACK"):
        with contextlib.suppress(OSError):  # the connection has ended, as reading it will tell
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def _lost(error: Exception, reached: bool, n_bytes: int) -> str:
    """What became of a request without a whole reply."""
    if not reached:
        what = "no TLS connection can be made" if isinstance(error, ssl.SSLError) else "cannot be reached"
        return f"{what}: {_told(error)}"
    if isinstance(error, http.client.IncompleteRead):
        return f"the chunked reply broke off after {n_bytes:,} bytes"
    if isinstance(error, http.client.HTTPException) and not isinstance(error, http.client.RemoteDisconnected):
        return f"gave no HTTP reply: {shown(_told(error))}"
    return f"the connection ended {f'after {n_bytes:,} bytes' if n_bytes else 'before the reply'}: {_told(error)}"


def _named(batch: Sequence[Query]) -> str:
    first, last = batch[0].id, batch[-1].id
    return f"query {first!r}" if len(batch) == 1 else f"the {len(batch)} queries from {first!r} to {last!r}"


def _told(error: Exception) -> str:
    return " ".join((getattr(error, "strerror", None) or str(error) or type(error).__name__).split())


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf

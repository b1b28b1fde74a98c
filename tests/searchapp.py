"""A search service as its author would write it, and services that fail or lie: /NAME/search behaves as NAME says."""

import asyncio
import contextlib
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from conftest import DOCUMENTS
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

TOKEN = "a-token-that-must-stay-secret"
TEXTS = {document["_id"]: set(document["text"].lower().strip(".").split()) for document in DOCUMENTS}
Hits = list[dict[str, Any]]


def search(query: dict[str, str], k: int) -> Hits:
    """Documents by the number of shared words, best first."""
    words = set(query["text"].lower().split())
    found = [{"id": name, "score": float(len(words & own))} for name, own in TEXTS.items() if words & own]
    return sorted(found, key=lambda hit: (-hit["score"], hit["id"]))[:k]


def good(body: dict[str, Any]) -> dict[str, Any]:
    return {"results": [search(query, body["k"]) for query in body["queries"]]}


def answer(change: Callable[[Hits], Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """A service that lies about query q2 only."""

    def reply(body: dict[str, Any]) -> dict[str, Any]:
        rows = [search(query, body["k"]) for query in body["queries"]]
        return {
            "results": [change(row) if q["id"] == "q2" else row for q, row in zip(body["queries"], rows, strict=True)]
        }

    return reply


def with_score(score: Any) -> Callable[[Hits], Hits]:
    return lambda row: [{**row[0], "score": score}, *row[1:]]


LIES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "good": good,
    "unknown-id": answer(lambda row: [{"id": "d99", "score": 1.0}]),
    "number-id": answer(lambda row: [{"id": 5, "score": 1.0}]),
    "nan": answer(with_score(float("nan"))),
    "infinite": answer(with_score(float("inf"))),
    "huge": answer(with_score(10**400)),
    "text-score": answer(with_score("high")),
    "true-score": answer(with_score(True)),
    "no-score": answer(lambda row: [{"id": "d1"}]),
    "pairs": answer(lambda row: [["d1", 1.0]]),
    "not-a-list": answer(lambda row: {"d1": 1.0}),
    "twice": answer(lambda row: [row[0], row[0]]),
    "ascending": answer(lambda row: [{"id": "d1", "score": 1.0}, {"id": "d2", "score": 2.0}]),
    "too-many": lambda body: {
        "results": [[{"id": name, "score": 1.0} for name in (*TEXTS, "d1")] for _ in body["queries"]]
    },
    "too-few-lists": lambda body: {"results": []},
    "too-many-lists": lambda body: {"results": [[], []] * len(body["queries"])},
    "other-key": lambda body: {"hits": []},
    "a-list": lambda body: [],
    "empty": lambda body: {"results": [[] for _ in body["queries"]]},
}


class Service:
    """What the service saw: requests by behaviour, and their bodies and headers."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""

    async def answer(self, request: Request) -> Response:
        name = request.path_params["name"]
        body = await request.json()
        self.seen[name] += 1
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        if name in LIES:
            return Response(json.dumps(LIES[name](body)), media_type="application/json")
        return await getattr(self, name.replace("-", "_"))(body, request)

    async def not_json(self, body: dict[str, Any], request: Request) -> Response:
        return PlainTextResponse("<html>Bad Gateway</html>")

    async def failing(self, body: dict[str, Any], request: Request) -> Response:
        return PlainTextResponse("the index is gone", 500)

    async def missing(self, body: dict[str, Any], request: Request) -> Response:
        return PlainTextResponse("Not Found", 404)

    async def moved(self, body: dict[str, Any], request: Request) -> Response:
        return RedirectResponse("/good/search", 307)

    async def flaky(self, body: dict[str, Any], request: Request) -> Response:
        """Every first request of a pair fails."""
        if self.seen["flaky"] % 2:
            return PlainTextResponse("busy", 503, headers={"Retry-After": "0"})
        return JSONResponse(good(body))

    async def guarded(self, body: dict[str, Any], request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return PlainTextResponse("who are you?", 401)
        return JSONResponse(good(body))

    async def slow(self, body: dict[str, Any], request: Request) -> Response:
        await asyncio.sleep(5)
        return JSONResponse(good(body))

    async def trickling(self, body: dict[str, Any], request: Request) -> Response:
        """A byte now and then: no single read takes long."""

        async def drops() -> Any:
            for _ in range(100):
                yield b" "
                await asyncio.sleep(0.05)

        return StreamingResponse(drops(), media_type="application/json")

    async def steady(self, body: dict[str, Any], request: Request) -> Response:
        """Query q3 takes longer than the others."""
        await asyncio.sleep(0.2 if body["queries"][0]["id"] == "q3" else 0.02)
        return JSONResponse(good(body))


@contextlib.contextmanager
def serving() -> Iterator[Service]:
    """The service on a free port of the loopback interface."""
    service = Service()
    app = Starlette(routes=[Route("/{name}/search", service.answer, methods=["POST"])])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, log_level="error", lifespan="off", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        service.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        yield service
        server.should_exit = True
        thread.join(10)

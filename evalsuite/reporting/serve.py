"""The page on this machine only, with reviews that are taken in as they are made.

GET /            the page, built anew when a run's files change       POST /reviews    an export of reviews, see `review`
GET /artifact    ?run=&path= a file of a run folder as plain text
Every address carries the token that `evalsuite serve` prints.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import secrets
import shutil
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from evalsuite.errors import EvalsuiteError, InputError, UsageError, shown
from evalsuite.reporting.artifacts import open_inside
from evalsuite.reporting.review import import_reviews
from evalsuite.reporting.sections import read_sections, run_folders
from evalsuite.storage import read_manifest

ADDRESS = "127.0.0.1"
LARGEST_BODY = 10 * 2**20
MOST_DRAINED = 64 * 2**20
SECONDS = 30
NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
WATCHED = ("run.json", "results.jsonl", "reviews.jsonl")


def build_page(paths: Sequence[Path]) -> bytes:
    """The page about these runs as bytes of UTF-8, able to save reviews here."""
    from evalsuite.reporting.page import write

    page = io.BytesIO()
    write(read_sections(paths), page, served=True)
    return page.getvalue()


class PageServer(ThreadingHTTPServer):
    """Serves the page about run folders, or folders that hold some, on 127.0.0.1 and `port` (0: any free one).

    Raises RunError if there is no run in `paths`, and UsageError if the port is taken.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, paths: Sequence[Path], port: int = 0) -> None:
        self.paths = list(paths)
        self.folders()
        self.token = secrets.token_urlsafe(32)
        self.importing = threading.Lock()
        self._building = threading.Lock()
        self._page: tuple[object, bytes] | None = None
        try:
            super().__init__((ADDRESS, port), _Handler)
        except OSError as error:
            raise UsageError(f"port {port} cannot be used ({error.strerror}); 0 takes a free one") from error

    @property
    def url(self) -> str:
        """The address to open, with the token."""
        return f"http://{ADDRESS}:{self.server_port}/?token={self.token}"

    @property
    def hosts(self) -> tuple[str, str]:
        return f"{ADDRESS}:{self.server_port}", f"localhost:{self.server_port}"

    def folders(self) -> list[Path]:
        """The run folders that are there now."""
        return [folder for path in self.paths for folder in run_folders(path)]

    def page(self) -> bytes:
        """The page as the folders are now. Raises EvalsuiteError for a run folder that is broken."""
        with self._building:
            stamp = [_stamp(folder / name) for folder in self.folders() for name in WATCHED]
            if self._page is None or self._page[0] != stamp:
                self._page = stamp, build_page(self.paths)
            return self._page[1]

    def take(self, document: Any) -> dict[str, int]:
        """Take reviews in, one document at a time."""
        with self.importing:
            taken = import_reviews(document, self.folders())
        return {"added": sum(run.added for run in taken), "already_there": sum(run.already_there for run in taken)}

    def folder(self, run: str) -> Path:
        """The run folder that the page calls `run`. Raises InputError unless there is one."""
        found = {f.resolve(): f for f in self.folders() if run in (read_manifest(f).run_id or f.absolute().name,)}
        if len(found) != 1:
            raise InputError(f"{len(found) or 'no'} run folders are called {shown(run)}")
        return next(iter(found.values()))


def _stamp(path: Path) -> tuple[str, int, int, int]:
    try:
        facts = path.stat()
    except OSError:
        return str(path), 0, 0, 0
    return str(path), facts.st_mtime_ns, facts.st_size, facts.st_ino


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    timeout = SECONDS
    server_version = "evalsuite"
    sys_version = ""
    _read = False

    def do_GET(self) -> None:
        self._guarded(self._get)

    def do_POST(self) -> None:
        self._guarded(self._post)

    def _guarded(self, answer: Any) -> None:
        try:
            if self._trusted():
                answer()
            else:
                self._error(403, "forbidden", "open the address that evalsuite serve printed, with its token")
        except EvalsuiteError as error:
            self._error(400, error.kind, error.message, error.where)
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            return
        except OSError as error:
            self._error(500, "file_system", error.strerror or str(error), str(error.filename or ""))
        except Exception as error:
            self.server.handle_error(self.request, self.client_address)
            self._error(500, "internal", f"{type(error).__name__}: {error}")
        self._drain()

    def _trusted(self) -> bool:
        """Asked by our own address (a page of another name cannot be rebound to it), with the token, by no other site."""
        given = parse_qs(self.path.partition("?")[2]).get("token", [""])
        if self.headers.get_all("Host", []) not in [[host] for host in self.server.hosts]:
            return False
        if not secrets.compare_digest(given[-1].encode(errors="replace"), self.server.token.encode()):
            return False
        origins = self.headers.get_all("Origin", [])
        sites = self.headers.get_all("Sec-Fetch-Site", [])
        own = [f"http://{host}" for host in self.server.hosts]
        return self.command != "POST" or (
            all(origin in own for origin in origins) and all(site == "same-origin" for site in sites)
        )

    def _get(self) -> None:
        place, _, query = self.path.partition("?")
        if place == "/":
            from evalsuite.reporting.script import policy

            allowed = f"{policy(served=True)}; frame-ancestors 'none'"
            self._send(200, "text/html; charset=utf-8", self.server.page(), allowed)
        elif place == "/artifact":
            self._artifact({key: values[-1] for key, values in parse_qs(query).items()})
        elif place == "/reviews":
            self._error(405, "usage", "reviews are sent by POST")
        else:
            self._error(404, "usage", "there is /, /artifact and /reviews")

    def _artifact(self, query: dict[str, str]) -> None:
        name = query.get("path", "")
        if not name.startswith("artifacts/"):
            raise InputError(f"path must begin with artifacts/; found {shown(name)}")
        with open_inside(self.server.folder(query.get("run", "")), name) as stream:
            size = os.fstat(stream.fileno()).st_size
            self._head(200, "text/plain; charset=utf-8", size, f"{NOTHING}; sandbox")
            shutil.copyfileobj(stream, self.wfile)

    def _post(self) -> None:
        length = self._length()
        if self.path.partition("?")[0] != "/reviews":
            self._error(404, "usage", "reviews are sent to /reviews")
        elif length is None:
            self._error(411, "usage", "a Content-Length in bytes is needed")
        elif length > LARGEST_BODY:
            self._error(413, "usage", f"at most {LARGEST_BODY} bytes are taken; found {length}")
        else:
            self._take(length)

    def _length(self) -> int | None:
        found = self.headers.get("Content-Length", "")
        plain = found.isascii() and found.isdigit() and len(found) < 20
        return int(found) if plain and "Transfer-Encoding" not in self.headers else None

    def _drain(self) -> None:
        """Read what was sent and not wanted: a connection closed before that loses the answer on its way."""
        left = 0 if self._read else min(self._length() or 0, MOST_DRAINED)
        with contextlib.suppress(OSError):
            while left > 0 and (block := self.rfile.read(min(left, 2**16))):
                left -= len(block)

    def _take(self, length: int) -> None:
        self._read = True
        body = self.rfile.read(length)
        if len(body) < length:
            raise InputError(f"the body was cut off: {len(body)} bytes of {length}")
        try:
            document = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise InputError(f"is not JSON ({error})", where="the body") from error
        self._json(200, self.server.take(document))

    def _error(self, code: int, kind: str, message: str, where: str = "") -> None:
        self._json(code, {"error": {"kind": kind, "message": message, "where": where}})

    def _json(self, code: int, value: Any) -> None:
        self._send(code, "application/json", json.dumps(value).encode(), NOTHING)

    def _send(self, code: int, kind: str, body: bytes, policy: str) -> None:
        self._head(code, kind, len(body), policy)
        self.wfile.write(body)

    def _head(self, code: int, kind: str, length: int, policy: str) -> None:
        self.send_response(code)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(length)),
            ("Content-Security-Policy", policy),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cache-Control", "no-store"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Cross-Origin-Opener-Policy", "same-origin"),
        ):
            self.send_header(name, value)
        self.end_headers()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What http.server itself refuses, in our form."""
        self._error(int(code), "usage", message or "cannot be answered")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing: an address holds the token."""

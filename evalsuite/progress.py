"""Progress of long work, reported to whoever asked: a door installs a reporter, a wing calls `track`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Advance = Callable[[int], None]
Start = Callable[[str, int | None], tuple[Advance, Callable[[], None]]]

_start: ContextVar[Start | None] = ContextVar("evalsuite_progress", default=None)


@contextmanager
def reporting_to(start: Start) -> Iterator[None]:
    """Inside the block, `start(what, total)` is called for each tracked job; it returns (advance, stop)."""
    token = _start.set(start)
    try:
        yield
    finally:
        _start.reset(token)


@contextmanager
def track(what: str, total: int | None = None) -> Iterator[Advance]:
    """Announce a job of `total` units; the yielded function advances it by n. Silent without a reporter."""
    start = _start.get()
    if start is None:
        yield lambda n: None
        return
    advance, stop = start(what, total)
    try:
        yield advance
    finally:
        stop()

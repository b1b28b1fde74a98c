"""What the corpus linter says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from evalsuite.retrieval.lint.subject import Subject

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """`rule` is the stable name, `where` the corpus with a file, query or document.

    error: a score on the corpus may mean something other than it says. warning: a reader of the scores must know it.
    """

    rule: str
    severity: Severity
    where: str
    message: str


Rule = Callable[["Subject"], Iterator[Finding]]


def listed(names: Iterable[str], limit: int = 5) -> str:
    """ "a, b, c and 4 more" """
    found = list(names)
    more = f" and {len(found) - limit} more" if len(found) > limit else ""
    return ", ".join(found[:limit]) + more

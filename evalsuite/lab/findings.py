"""What a linter says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """`rule` is the stable name, `where` the task id with the criterion or document."""

    rule: str
    severity: Severity
    where: str
    message: str


def listed(names: Sequence[str], limit: int = 6) -> str:
    """ "a, b, c and 4 more" """
    more = f" and {len(names) - limit:,} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more

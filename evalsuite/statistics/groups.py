"""Which units belong together: intervals and tests take whole groups."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray


def group_numbers(groups: Sequence[Hashable]) -> NDArray[np.int64]:
    """Group labels [n] to group numbers [n], 0 for the first label met."""
    seen: dict[Hashable, int] = {}
    return np.array([seen.setdefault(label, len(seen)) for label in groups], dtype=np.int64)


def shared_clusters(items: Sequence[Iterable[Hashable]]) -> NDArray[np.int64]:
    """Rows that share a label, directly or through others, get one number: the connected components, int [n].

    `items` are the labels of each row, e.g. the relevant documents of each query. Components are numbered 0, 1, ... as first
    met; a row without labels is one of its own. Source: union-find, Galler & Fischer (1964), CACM 7.
    """
    above = list(range(len(items)))

    def root(row: int) -> int:
        while above[row] != row:
            above[row] = row = above[above[row]]
        return row

    first: dict[Hashable, int] = {}
    for row, labels in enumerate(items):
        for label in labels:
            above[root(row)] = root(first.setdefault(label, row))
    return group_numbers([root(row) for row in range(len(items))])

"""Rankings made of many small ones: sliding windows and the tournament, whoever does the comparing.

`permute` gets some of the items, in the order in which they are shown, and returns them best first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import chain, zip_longest
from typing import TypeVar

Item = TypeVar("Item")
Permute = Callable[[Sequence[Item]], Awaitable[list[Item]]]
Gather = Callable[[Iterable[Awaitable[list[Item]]]], Awaitable[list[list[Item]]]]

WINDOW, STEP = 20, 10
BATCH, PROMOTED = 20, 4


async def at_once(calls: Iterable[Awaitable[list[Item]]]) -> list[list[Item]]:
    """All calls concurrently, their results in order."""
    return list(await asyncio.gather(*calls))


async def sliding_windows(items: Sequence[Item], permute: Permute[Item]) -> list[Item]:
    """One pass from the bottom: windows of 20 that move up by 10, so that the best 10 of each go on.

    Calls: 1 for up to 20 items, else 1 + ceil((n - 20) / 10). Source: Sun et al., EMNLP 2023 (RankGPT).
    """
    ranked = list(items)
    end = len(ranked)
    while True:
        start = max(0, end - WINDOW)
        ranked[start:end] = await permute(ranked[start:end])
        if start == 0:
            return ranked
        end -= STEP


async def tournament(items: Sequence[Item], permute: Permute[Item], gather: Gather[Item] = at_once) -> list[Item]:
    """Rounds of batches of 20 in the order given; the top 4 of each batch go on, until 20 or fewer are left to be ranked.

    Behind them stand the eliminated, those of later rounds first; of one round the fifth of every batch, then the sixths,
    and so on. The promoted enter the next round in the same way: the firsts of every batch, then the seconds. Batches of a
    round are asked for through `gather`; one of a single item is not. Source: the oracle of OBLIQ-Bench (arXiv 2605.06235).
    """
    left = list(items)
    eliminated: list[Item] = []
    while len(left) > BATCH:
        batches = [left[start : start + BATCH] for start in range(0, len(left), BATCH)]
        asked = await gather(permute(batch) for batch in batches if len(batch) > 1)
        ranked = [*asked, *(batch for batch in batches if len(batch) == 1)]
        left = _round_robin([batch[:PROMOTED] for batch in ranked])
        eliminated = _round_robin([batch[PROMOTED:] for batch in ranked]) + eliminated
    return (await permute(left) if len(left) > 1 else left) + eliminated


def _round_robin(batches: Sequence[Sequence[Item]]) -> list[Item]:
    nothing = object()
    return [item for item in chain.from_iterable(zip_longest(*batches, fillvalue=nothing)) if item is not nothing]  # type: ignore[misc]


def completed(labels: Sequence[int], n: int) -> tuple[list[int], bool]:
    """The labels 1..n as places 0..n-1 in the order answered, and whether the answer had to be mended.

    Unknown and repeated labels are dropped, missing ones appended in the order shown.
    """
    places = [label - 1 for label in dict.fromkeys(labels) if 1 <= label <= n]
    whole = [*places, *sorted(set(range(n)) - set(places))]
    return whole, whole != [label - 1 for label in labels]

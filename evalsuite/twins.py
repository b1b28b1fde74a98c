"""Surface twins: an oblique query, and the query that asks for the same documents in their own words."""

from __future__ import annotations

from collections.abc import Iterable

from evalsuite.records import QueryResult


def twin_pairs(queries: Iterable[QueryResult]) -> list[tuple[QueryResult, QueryResult]]:
    """(oblique, literal) for every two queries of a run one of which names the other as its twin.

    The literal one is that of mechanism surface; of two of one mechanism, or of none, it is the one that names the other.
    """
    by_id = {query.id: query for query in queries}
    pairs = [(by_id[query.twin_of], query) for query in by_id.values() if query.twin_of in by_id]
    return [(b, a) if a.mechanism == "surface" != b.mechanism else (a, b) for a, b in pairs]

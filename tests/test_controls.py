"""Controls: where queries say what they want in the words of their golds, no gap may appear; where they do not, it must.

tests/controls/README.md says how the controls were read. Their documents are real data that is not ours to ship, so these tests
skip where it is absent.
"""

from pathlib import Path

import pytest

from evalsuite.retrieval.asymmetry import gap

ROOT = Path(__file__).parents[1]


def test_clauses_mini_stands_far_off_the_diagonal(tmp_path):
    found = gap(ROOT / "corpora" / "clauses-mini", "recorded", ["bm25", "prior"], out=tmp_path)
    v, r, between = found.V["nDCG@10"], found.R["nDCG@10"], found.gap["nDCG@10"]
    assert list(found.by_mechanism) == ["descriptive"]
    assert v.mean == 1.0
    assert r.mean < 0.4
    assert between.low > 0.4
    assert between.p <= 0.05
    assert found.share_positive["nDCG@10"].mean == 1.0
    assert v.mean > found.pool.shuffled["nDCG@10"][2]


DENSE = f"runfile:{ROOT / 'tests' / 'controls' / 'cranfield-dense.trec.gz'}"  # encoding Cranfield takes three minutes
SYSTEMS = ["bm25", DENSE, f"hybrid:bm25+{DENSE}"]


@pytest.mark.shared
def test_cranfield_sits_near_the_diagonal(tmp_path, shared_data):
    """Over what BM25 and MiniLM find in their first 20: no relevant document is added that no retriever had surfaced."""
    judgements = ROOT / "tests" / "controls" / "cranfield-found.jsonl"
    found = gap(shared_data / "cranfield", f"recorded:file={judgements}", SYSTEMS, out=tmp_path)
    between = found.gap["nDCG@10"]
    assert found.n == 20
    assert found.V["nDCG@10"].mean > found.pool.shuffled["nDCG@10"][2]
    assert abs(between.mean) < 0.2
    assert between.high < 0.4
    assert found.pool.unranked["nDCG@10"] < 0.05


@pytest.mark.shared
def test_cuad_sits_near_the_diagonal_where_only_judged_clauses_are_ranked(tmp_path, shared_data):
    """Six in ten of the clauses that a retriever puts first are unjudged there, so R over the whole corpus is no measure of it."""
    judgements = ROOT / "tests" / "controls" / "cuad-clauses.jsonl"
    found = gap(
        shared_data / "cuad-clauses", f"recorded:file={judgements}", "bm25", depth=10_000, orders=1, out=tmp_path
    )
    assert found.n == 20
    assert found.V["nDCG@10"].mean > found.pool.shuffled["nDCG@10"][2]
    assert found.pool.gap["nDCG@10"].mean < 0.2
    assert min(system.judged_at_10 for system in found.systems) < 0.6
    assert found.gap["nDCG@10"].low is None  # all clause types share clauses with others: one cluster, no interval


@pytest.mark.shared
def test_golds_that_are_added_to_a_pool_open_a_gap_of_their_own(tmp_path, shared_data):
    """The same reader, the same queries: with all golds added, V is what no retriever could have handed it."""
    means = []
    for name in ("cranfield-found", "cranfield"):
        judgements = ROOT / "tests" / "controls" / f"{name}.jsonl"
        found = gap(shared_data / "cranfield", f"recorded:file={judgements}", "bm25", orders=1, out=tmp_path)
        means.append(found.gap["nDCG@10"].mean)
    assert means[1] - means[0] > 0.05

"""Controls: where queries say what they want in the words of their golds, no gap may appear; where they do not, it must.

tests/controls/README.md says how the controls were read. Their documents are real data that is not ours to ship, so these tests
skip where it is absent.
"""

from pathlib import Path

import pytest

from evalsuite.retrieval.asymmetry import gap

ROOT = Path(__file__).parents[1]
CONTROLS = ("cranfield", "cuad-clauses")


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


@pytest.mark.shared
@pytest.mark.parametrize("control", CONTROLS)
def test_a_control_lies_much_nearer_to_the_diagonal(tmp_path, shared_data, control):
    """Compared inside the reader's pool: the controls' pools hold 24 documents, so V over them is not R over a whole corpus."""
    judgements = ROOT / "tests" / "controls" / f"{control}.jsonl"
    oblique = gap(ROOT / "corpora" / "clauses-mini", "recorded", "bm25", orders=1, out=tmp_path)
    found = gap(shared_data / control, f"recorded:file={judgements}", "bm25", orders=1, out=tmp_path)
    assert found.n == 20
    assert found.V["nDCG@10"].mean > found.pool.shuffled["nDCG@10"][2]
    assert found.pool.gap["nDCG@10"].mean < oblique.pool.gap["nDCG@10"].mean / 2
    if found.n_clusters > 1:
        assert found.gap["nDCG@10"].high < oblique.gap["nDCG@10"].low
    else:  # all CUAD clause types share clauses with others: no interval can be had, and none is given
        assert found.gap["nDCG@10"].low is None

"""The gap between recognised and surfaced: intervals cover, tests keep their size, winners are chosen without flattery, and what
cannot be known or compared is said."""

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import QRELS, write_beir, write_jsonl
from scipy.stats import binom
from worlds import World, world, write_run, write_runs

from evalsuite import EvalsuiteError, evaluate
from evalsuite.gapnumbers import difference, folds, plan, winners
from evalsuite.reporting.boards import title
from evalsuite.reporting.page import build
from evalsuite.reporting.paired import twin_differences
from evalsuite.reporting.recognised import recognised
from evalsuite.reporting.sections import read_section
from evalsuite.reporting.standings import grouped, standings
from evalsuite.retrieval.asymmetry import gap, gap_of_runs
from evalsuite.retrieval.protocols import protocol

ROOT = Path(__file__).parents[1]
WORLDS = 400
ONE_MECHANISM = lambda made: np.zeros(len(made.clusters), dtype=np.int64)  # noqa: E731


def estimated(made: World, choose: str = "dev", seed: int = 42):
    """The gap as gap_of_runs has it, without the files."""
    steps = plan(choose, made.splits, made.clusters, ONE_MECHANISM(made), seed)
    chosen, _ = winners(made.retrievers, steps, ONE_MECHANISM(made))
    rows = steps.reported
    r = made.retrievers[chosen[rows], np.flatnonzero(rows)]
    return difference(made.verifier.mean(axis=0)[rows] - r, made.clusters[rows])


def within(hits: int, chance: float, n: int = WORLDS) -> bool:
    """Whether so many hits of n are what a binomial of this chance gives 99.9 % of the time."""
    low, high = binom.ppf([0.0005, 0.9995], n, chance)
    return bool(low <= hits <= high)


def covered(truth: float, found) -> bool:
    return found.low <= truth <= found.high


# ---------------------------------------------------------------- known truth


@pytest.mark.parametrize("true_gap", [0.0, 0.2])
def test_the_interval_of_the_gap_covers_the_truth_as_often_as_it_says(true_gap):
    rng = np.random.default_rng(1)
    hits = sum(covered(true_gap, estimated(world(rng, gap=true_gap, clusters=30, largest=4))) for _ in range(WORLDS))
    assert within(hits, 0.95)


def test_with_few_clusters_the_interval_still_covers():
    rng = np.random.default_rng(2)
    hits = sum(covered(0.1, estimated(world(rng, gap=0.1, clusters=8, largest=3))) for _ in range(WORLDS))
    assert hits / WORLDS > 0.91


def test_queries_that_share_golds_taken_for_independent_ones_would_not_cover():
    rng = np.random.default_rng(3)
    made = [world(rng, gap=0.1, clusters=30, largest=8, shared=1.0) for _ in range(WORLDS)]
    assert within(sum(covered(0.1, estimated(one)) for one in made), 0.95)
    gaps = [one.verifier[0] - one.retrievers[0] for one in made]
    alone = sum(abs(own.mean() - 0.1) <= 1.96 * own.std(ddof=1) / np.sqrt(len(own)) for own in gaps)
    assert alone / WORLDS < 0.85


def test_the_test_of_size_5_percent_rejects_5_percent_where_nothing_differs():
    rng = np.random.default_rng(4)
    rejected = sum(estimated(world(rng, clusters=30, largest=4)).p <= 0.05 for _ in range(WORLDS))
    assert within(rejected, 0.05)


def test_a_real_gap_is_found():
    rng = np.random.default_rng(5)
    assert all(estimated(world(rng, gap=0.2, clusters=30)).p <= 0.05 for _ in range(50))


def bias(choose: str, splits: bool = False) -> float:
    """Mean error of the gap against 20 equally good retrievers, in standard errors."""
    rng = np.random.default_rng(6)
    errors = []
    for _ in range(200):
        made = world(rng, gap=0.2, clusters=20, systems=20)
        if splits:
            made.splits[:] = ["dev" if cluster % 2 else "test" for cluster in made.clusters]
        errors.append(estimated(made, choose).mean - 0.2)
    return float(np.mean(errors) / (np.std(errors, ddof=1) / np.sqrt(len(errors))))


def test_a_winner_chosen_on_one_half_and_reported_on_the_other_leaves_the_gap_unbiased():
    assert abs(bias("dev")) < 3.3


def test_a_winner_chosen_on_dev_leaves_the_gap_on_test_unbiased():
    assert abs(bias("dev", splits=True)) < 3.3


def test_the_paper_s_protocol_chooses_on_the_test_scores_and_underestimates_the_gap():
    paper = protocol("obliq-2605.06235")
    assert paper.choose == "test"
    assert bias(paper.choose) < -10


# ---------------------------------------------------------------- who stands for whom


def test_folds_never_divide_a_cluster_and_share_every_mechanism():
    rng = np.random.default_rng(7)
    clusters = world(rng, clusters=40, largest=4).clusters
    strata = (clusters % 3).astype(np.int64)
    fold = folds(clusters, strata, seed=1)
    assert all(len(set(fold[clusters == cluster])) == 1 for cluster in clusters)
    for stratum in range(3):
        counts = np.bincount(fold[strata == stratum], minlength=10)
        assert counts.min() >= 1
        assert counts.max() <= counts.mean() + 4


def test_each_mechanism_has_its_own_winner(tmp_path):
    made = world(np.random.default_rng(8), clusters=20, largest=1, systems=2)
    made.mechanisms[:] = ["descriptive", "surface"] * 10
    of_surface = np.array([name == "surface" for name in made.mechanisms])
    verifier = write_run(tmp_path / "v", "reader", np.full(20, 0.9), made, role="verifier")
    words = write_run(tmp_path / "words", "words", np.where(of_surface, 0.8, 0.1), made)
    dense = write_run(tmp_path / "dense", "dense", np.where(of_surface, 0.4, 0.3), made)
    found = gap_of_runs([verifier], [words, dense])
    assert found.by_mechanism["surface"].retriever == "words"
    assert found.by_mechanism["descriptive"].retriever == "dense"
    assert found.R["nDCG@10"].mean == pytest.approx((0.8 + 0.3) / 2)


def test_second_stages_and_systems_that_read_everything_are_listed_and_never_r(tmp_path):
    made = world(np.random.default_rng(9), gap=0.3)
    [verifier], [first] = write_runs(tmp_path, made)
    n = len(made.clusters)
    stage = write_run(tmp_path / "rerank", "rerank", np.full(n, 0.99), made, role="second-stage")
    reader = write_run(tmp_path / "reader", "long-context", np.full(n, 0.99), made, track="read-everything")
    query = write_run(tmp_path / "query", "rewrite", made.retrievers[0] + 0.01, made, track="query")
    found = gap_of_runs([verifier], [stage, first, reader, query])
    assert found.retriever == "rewrite"
    apart = {system.system: system.apart for system in found.systems}
    assert apart == {
        "verifier": "",
        "rerank": "second-stage",
        "retriever-0": "",
        "long-context": "read-everything",
        "rewrite": "",
    }
    assert any("rerank, long-context" in note for note in found.notes)
    with pytest.raises(EvalsuiteError, match="no retriever can be R"):
        gap_of_runs([verifier], [stage, reader])


def test_v_is_the_mean_over_orders_and_their_spread_is_told(tmp_path):
    made = world(np.random.default_rng(10), gap=0.2, orders=3)
    found = gap_of_runs(*write_runs(tmp_path, made))
    assert found.V["nDCG@10"].mean == pytest.approx(made.verifier.mean())
    [spread, _] = found.spread
    means = made.verifier.mean(axis=1)
    assert spread.orders == [1, 2, 3]
    assert spread.means == pytest.approx(list(means))
    assert spread.sd == pytest.approx(np.std(means, ddof=1))
    assert not any("order" in note for note in found.notes)


def test_one_order_alone_is_noted(tmp_path):
    found = gap_of_runs(*write_runs(tmp_path, world(np.random.default_rng(11))))
    assert any("in 1 order only" in note for note in found.notes)


def test_several_verifiers_compete_as_retrievers_do(tmp_path):
    made = world(np.random.default_rng(12), gap=0.3)
    [good], retrievers = write_runs(tmp_path, made)
    poor = write_run(tmp_path / "poor", "poor", made.retrievers[0], made, role="verifier")
    found = gap_of_runs([poor, good], retrievers)
    assert found.verifier == "verifier"
    assert {win["system"] for win in found.winners if win["side"] == "V"} == {"verifier"}


# ---------------------------------------------------------------- from run folders


def test_the_numbers_from_run_folders_are_those_of_the_arrays(tmp_path):
    made = world(np.random.default_rng(13), gap=0.2, systems=3, orders=2)
    found = gap_of_runs(*write_runs(tmp_path, made), seed=42)
    expected = estimated(made, seed=42)
    assert found.gap["nDCG@10"].mean == pytest.approx(expected.mean, abs=1e-12)
    assert found.gap["nDCG@10"].low == pytest.approx(expected.low, abs=1e-12)
    assert found.gap["nDCG@10"].p == expected.p
    assert found.n_clusters == len(set(made.clusters))
    assert [row["gap"]["nDCG@10"] for row in found.queries] == pytest.approx(
        [row["V"]["nDCG@10"] - row["R"]["nDCG@10"] for row in found.queries]
    )


def test_dev_queries_choose_and_are_not_reported(tmp_path):
    made = world(np.random.default_rng(14), gap=0.2, systems=2)
    made.splits[:] = ["dev" if cluster < 10 else "test" for cluster in made.clusters]
    n_dev = made.splits.count("dev")
    found = gap_of_runs(*write_runs(tmp_path, made))
    assert found.n == len(made.clusters) - n_dev
    assert list(found.left_out.values()) == ["of split dev: winners are chosen on it"] * n_dev
    assert {win["part"] for win in found.winners} == {"dev"}


def test_a_query_that_the_verifier_did_not_judge_is_unknown_and_not_zero(tmp_path):
    made = world(np.random.default_rng(15), gap=0.2)
    _, retrievers = write_runs(tmp_path, made)
    verifier = write_run(tmp_path / "v", "reader", made.verifier[0], made, role="verifier", skip=[0, 1, 2])
    found = gap_of_runs([verifier], retrievers)
    assert found.n == len(made.clusters) - 3
    assert set(found.left_out) == {"q0000", "q0001", "q0002"}
    assert found.V["nDCG@10"].mean == pytest.approx(made.verifier[0][3:].mean())
    assert any(note.startswith(f"3 of {len(made.clusters)} queries are left out") for note in found.notes)


def test_one_cluster_over_half_of_the_queries_is_warned_of(tmp_path):
    made = world(np.random.default_rng(16), clusters=12, largest=1)
    chained = World(
        np.array([0] * 7 + list(range(1, 6))), made.verifier, made.retrievers, 0.0, made.mechanisms, made.splits
    )
    found = gap_of_runs(*write_runs(tmp_path, chained))
    assert (found.n_clusters, found.largest_cluster) == (6, 7)
    assert any("holds 7 of 12" in note for note in found.notes)


def test_all_queries_in_one_cluster_give_no_interval_and_say_how_r_was_chosen(tmp_path):
    made = world(np.random.default_rng(17), clusters=4, largest=1, systems=2)
    joined = World(np.zeros(4, dtype=np.int64), made.verifier, made.retrievers, 0.0, made.mechanisms, made.splits)
    found = gap_of_runs(*write_runs(tmp_path, joined))
    assert (found.gap["nDCG@10"].low, found.gap["nDCG@10"].p) == (None, None)
    assert "one cluster" in found.protocol["winners"]


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("corpus", "is of corpus other 1.0.0"),
        ("measures", "has no R@10; it has nDCG@10"),
        ("queries", "graded other queries"),
        ("verifier as retriever", "is a run of a verifier"),
        ("retriever as verifier", "is a run of a retriever, not of a verifier"),
        ("twice", "is named twice"),
        ("order twice", "is a second run of verifier with order 1"),
        ("nothing in common", "no query is left to report"),
        ("no folder", "no such run folder"),
    ],
)
def test_runs_that_do_not_belong_together_are_refused_with_the_reason(tmp_path, case, said):
    made = world(np.random.default_rng(18), clusters=6)
    [verifier], [retriever] = write_runs(tmp_path, made)
    scores, n = made.retrievers[0], len(made.clusters)
    other = tmp_path / "other"
    runs = {
        "corpus": lambda: ([verifier], [retriever, write_run(other, "x", scores, made, corpus="other")]),
        "measures": lambda: ([verifier], [retriever, write_run(other, "x", scores, made, measures=["nDCG@10"])]),
        "queries": lambda: ([verifier], [retriever, write_run(other, "x", scores, made, skip=[1])]),
        "verifier as retriever": lambda: ([verifier], [verifier]),
        "retriever as verifier": lambda: ([retriever], [retriever]),
        "twice": lambda: ([verifier], [retriever, retriever]),
        "order twice": lambda: ([verifier, verifier], [retriever]),
        "nothing in common": lambda: ([_missing(other, scores, made, n)], [retriever]),
        "no folder": lambda: ([verifier], [other]),
    }[case]()
    with pytest.raises(EvalsuiteError, match=said):
        gap_of_runs(*runs)


def _missing(path, scores, made, n):
    """A verifier's run that has every query and ranked nothing for any of them."""
    write_run(path, "mute", scores, made, role="verifier")
    lines = [json.loads(line) | {"missing": True} for line in (path / "results.jsonl").read_text().splitlines()]
    write_jsonl(path / "results.jsonl", lines)
    return path


# ---------------------------------------------------------------- with a real corpus


@pytest.fixture
def judged(tmp_path):
    """Six documents, three queries, the first two fully judged by a reader who sees everything."""
    folder = write_beir(tmp_path / "corpus")
    grades = {(query, document): grade for query, document, grade in QRELS}
    rows = [
        {"qid": query, "docid": f"d{i}", "score": grades.get((query, f"d{i}"), 0)}
        for query in ("q1", "q2")
        for i in range(1, 7)
    ]
    write_jsonl(folder / "judgements" / "reader.jsonl", rows)
    return folder


def test_the_gap_of_a_corpus_runs_every_order_and_system_once(tmp_path, judged):
    found = gap(judged, "recorded", ["bm25", "random"], measures=["nDCG@10", "P@5"], out=tmp_path / "reports")
    assert found.V["nDCG@10"].mean == 1.0
    assert found.n == 2
    assert set(found.left_out) == {"q3"}
    assert found.protocol["name"] == "evalsuite-1"
    folders = sorted((tmp_path / "reports").iterdir())
    assert len(folders) == 5
    stamps = [(folder / "run.json").stat().st_mtime_ns for folder in folders]
    again = gap(judged, "recorded", ["bm25", "random"], measures=["nDCG@10", "P@5"], out=tmp_path / "reports")
    assert again == found
    assert stamps == [(folder / "run.json").stat().st_mtime_ns for folder in folders]


def test_recall_at_k_is_refused_where_the_pool_is_no_larger_than_k(tmp_path, judged):
    with pytest.raises(EvalsuiteError, match="R@10 means nothing here"):
        gap(judged, "recorded", "bm25", out=tmp_path / "reports")


def test_r_restricted_to_the_verifier_s_pool_shows_what_the_pool_gives_away(tmp_path):
    folder = write_beir(tmp_path / "corpus")
    shown = [("q1", "d5", 2), ("q1", "d1", 1), ("q1", "d6", 0), ("q2", "d2", 1), ("q2", "d6", 0)]
    write_jsonl(folder / "judgements" / "reader.jsonl", [{"qid": q, "docid": d, "score": s} for q, d, s in shown])
    run = [
        ("q1", "d3", 9),
        ("q1", "d6", 8),
        ("q1", "d5", 7),
        ("q1", "d1", 6),
        ("q2", "d4", 9),
        ("q2", "d2", 8),
        ("q2", "d6", 7),
    ]
    write_jsonl(tmp_path / "run.jsonl", [{"qid": q, "docid": d, "score": s} for q, d, s in [*run, ("q3", "d4", 1)]])
    found = gap(folder, "recorded", f"runfile:{tmp_path / 'run.jsonl'}", measures=["RR@10"], out=tmp_path / "reports")
    assert found.R["RR@10"].mean == pytest.approx((1 / 3 + 1 / 2) / 2)
    assert found.pool.R["RR@10"].mean == pytest.approx((1 / 2 + 1) / 2)
    assert found.pool.candidates == (2, 2.5, 3)
    assert found.pool.unranked["RR@10"] == 0
    # two golds among three candidates: 2/3 + 1/3 * 1/2; one among two: 1/2 + 1/2 * 1/2
    assert found.pool.chance["RR@10"] == pytest.approx((5 / 6 + 3 / 4) / 2)


def test_the_drop_between_surface_twins_is_the_report_s(tmp_path):
    runs = evaluate(ROOT / "corpora" / "clauses-mini", ["recorded", "bm25"], out=tmp_path)
    found = gap_of_runs([runs[0].path], [runs[1].path])
    drop = next(twin.drop for twin in found.twins if (twin.system, twin.measure) == ("bm25", "nDCG@10"))
    told = twin_differences(read_section(runs[1].path))["nDCG@10"]
    assert drop.mean == pytest.approx(-told.mean)
    assert drop.n == told.n == 10
    assert {twin.system for twin in found.twins} == {"bm25"}  # the reader judged no literal query


# ---------------------------------------------------------------- the command


def test_the_command_prints_one_document_with_the_promised_keys(tmp_path, command, judged):
    args = ["retrieval", "gap", judged, "-v", "recorded", "-r", "bm25", "-r", "random", "-m", "nDCG@10"]
    done = command(*args, "-o", tmp_path / "r", "--json")
    assert done.code == 0, done.stderr
    found = json.loads(done.stdout)
    assert {"corpus", "verifier", "retriever", "V", "R", "gap", "share_positive"} <= found.keys()
    assert {"mean", "low", "high"} <= found["gap"]["nDCG@10"].keys()
    assert "judged@10" in found["systems"][0]
    assert "note: 1 of 3 queries are left out" in done.stderr


def test_the_command_s_table_names_the_winners_and_what_the_numbers_rest_on(tmp_path, command, judged):
    done = command("retrieval", "gap", judged, "-v", "recorded", "-r", "bm25", "-m", "nDCG@10", "-o", tmp_path / "r")
    assert done.code == 0, done.stderr
    for told in ("V - R", "recorded", "bm25", "chance", "corpus sha256", "seed 42", "evalsuite-1", "in hindsight"):
        assert told in done.stdout


def test_run_folders_stand_for_systems_and_need_no_corpus(tmp_path, command):
    verifiers, retrievers = write_runs(tmp_path, world(np.random.default_rng(19), gap=0.2, orders=3))
    folders = [part for run in verifiers for part in ("-v", run)] + [part for run in retrievers for part in ("-r", run)]
    done = command("retrieval", "gap", *folders, "--json")
    assert done.code == 0, done.stderr
    assert json.loads(done.stdout)["gap"]["nDCG@10"]["mean"] == pytest.approx(0.2, abs=0.05)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "needs a verifier"),
        (["-v", "recorded", "-r", "bm25"], "name a corpus, or run folders only; 'recorded' is no run folder"),
        (["corpora/clauses-mini", "-v", "recorded", "-r", "bm25", "--protocol", "mine"], "'mine' is no protocol"),
    ],
)
def test_what_cannot_be_measured_exits_2_with_the_reason(command, monkeypatch, arguments, said):
    monkeypatch.chdir(ROOT)
    done = command("retrieval", "gap", *arguments)
    assert done.code == 2
    assert said in done.stderr


def test_folds_that_choose_different_retrievers_are_noted(tmp_path):
    made = world(np.random.default_rng(20), clusters=8, largest=1, systems=2)
    own = np.arange(8) % 2 == 0  # each is best where the other is not, so that whoever is left out tips the balance
    runs = [
        write_run(tmp_path / name, name, np.where(own == side, 0.6, 0.2), made)
        for name, side in (("a", True), ("b", False))
    ]
    found = gap_of_runs([write_run(tmp_path / "v", "reader", np.full(8, 0.9), made, role="verifier")], runs)
    assert found.R["nDCG@10"].mean == pytest.approx(0.2)
    assert found.hindsight["nDCG@10"]["R"] == pytest.approx(0.4)
    assert any("the folds choose different retrievers (descriptive: a and b)" in note for note in found.notes)


# ---------------------------------------------------------------- on the page


def test_the_page_s_figure_has_the_numbers_of_the_gap(tmp_path):
    made = world(np.random.default_rng(21), gap=0.25, systems=3, orders=3)
    made.mechanisms[:] = ["descriptive" if cluster % 2 else "surface" for cluster in made.clusters]
    verifiers, retrievers = write_runs(tmp_path, made)
    points = recognised([read_section(path) for path in [*retrievers, *verifiers]])
    found = gap_of_runs(verifiers, retrievers)
    assert [point.name for point in points] == [f"world 1.0.0, {name}" for name in found.by_mechanism]
    for point, part in zip(points, found.by_mechanism.values(), strict=True):
        assert (point.V, point.R, point.gap) == (part.V["nDCG@10"], part.R["nDCG@10"], part.gap["nDCG@10"])
    build([tmp_path], tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "Recognised against surfaced" in page
    assert f"{points[0].gap.mean:.3f}" in page


def test_a_page_without_verifiers_has_no_such_figure(tmp_path):
    _, [retriever] = write_runs(tmp_path / "runs", world(np.random.default_rng(22)))
    assert recognised([read_section(retriever)]) == []
    build([retriever], tmp_path / "page.html")
    assert "Recognised against surfaced" not in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_second_stages_have_a_board_of_their_own(tmp_path):
    made = world(np.random.default_rng(23), clusters=6)
    paths = [
        write_run(tmp_path / role, role, made.retrievers[0], made, role=role)
        for role in ("retriever", "second-stage", "verifier")
    ]
    groups = grouped([read_section(path) for path in paths])
    assert [standings(group).role for group in groups] == ["", "second-stage", "verifier"]
    assert "second stages, which reorder" in title(standings(groups[1]))

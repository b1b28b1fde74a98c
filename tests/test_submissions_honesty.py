"""Warnings: what a reader of a submitted run must know, and what is no reason to warn."""

import re

import pytest
from bundlekit import RUN, bundle_of, edit
from conftest import DOCUMENTS, QUERIES, write_beir

from evalsuite.retrieval.formats import load_corpus
from evalsuite.retrieval.seals import read_seal, seal, verify
from evalsuite.retrieval.submission import check


@pytest.fixture
def bundle(corpus_folder, tmp_path):
    return bundle_of(tmp_path / "bundle", corpus_folder)


def warned(folder, **options):
    found = check(folder, **options)
    assert found.problems == []
    return {finding.rule: finding.message for finding in found.warnings}


def big_corpus(folder, n_queries=12, n_documents=40, twins=False):
    """Each query qI has the gold docI; with twins, docI has the same text as copyI."""
    documents = [{"_id": f"doc{i:02}", "text": f"text number {i}"} for i in range(n_documents)]
    if twins:
        documents += [{"_id": f"copy{i:02}", "text": f"text number {i}"} for i in range(n_queries)]
    queries = [{"_id": f"q{i:02}", "text": f"number {i}"} for i in range(n_queries)]
    rows = [(f"q{i:02}", f"doc{i:02}", 1) for i in range(n_queries)]
    rows += [(f"q{i:02}", f"doc{(i + 1) % n_documents:02}", 0) for i in range(n_queries)]
    return write_beir(folder, documents, queries, test=rows)


def lines_of(ranking):
    """A run from {query: [document, ...]}; a document may be (document, score)."""
    out = []
    for query, documents in ranking.items():
        for rank, entry in enumerate(documents, 1):
            name, value = entry if isinstance(entry, tuple) else (entry, 100 - rank)
            out.append(f"{query} Q0 {name} {rank} {value} x\n")
    return "".join(out)


def test_a_sound_bundle_of_a_small_corpus_has_nothing_to_tell_but_its_depth_and_few_judgements(bundle):
    assert warned(bundle) == {
        "depth": "3 of 3 queries rank fewer than 100 documents (the fewest: 3, 'q2'); "
        "nDCG@10, R@10, R@100, AP, RR@10, P@10, Judged@10, Bpref would see more of a deeper run",
        "judged": "Judged@10 is 0.333 of the places, empty ones included, below 0.5: "
        "most of what it ranks first was never judged, or is missing, and counts as wrong",
    }


def test_depth_is_measured_against_the_deepest_cutoff_and_the_size_of_the_corpus(corpus_folder, tmp_path):
    full = lines_of({q["_id"]: [d["_id"] for d in DOCUMENTS] for q in QUERIES})
    assert "depth" not in warned(bundle_of(tmp_path / "full", corpus_folder, full))
    short = bundle_of(tmp_path / "short", corpus_folder)
    edit(
        short / "submission.yaml",
        '["nDCG@10", "R@10", "R@100", "AP", "RR@10", "P@10", "Rprec", "Judged@10", "Bpref"]',
        "[nDCG@3, Rprec]",
    )
    assert "depth" not in warned(short)
    edit(short / "submission.yaml", "[nDCG@3, Rprec]", "[nDCG@4, Rprec]")
    assert warned(short)["depth"] == (
        "2 of 3 queries rank fewer than 4 documents (the fewest: 3, 'q2'); nDCG@4 would see more of a deeper run"
    )


@pytest.mark.parametrize("measure", ["AP", "nDCG", "RR", "Bpref"])
def test_a_measure_without_a_cutoff_looks_at_a_hundred_documents_or_all_there_are(tmp_path, measure):
    corpus = big_corpus(tmp_path / "corpus", n_documents=120)
    names = [f"doc{i:02}" for i in range(100, 120)] + [f"doc{i:02}" for i in range(100)]
    for depth in (99, 100):
        folder = bundle_of(tmp_path / str(depth), corpus, lines_of({f"q{i:02}": names[:depth] for i in range(12)}))
        sheet = (folder / "submission.yaml").read_text()
        (folder / "submission.yaml").write_text(
            re.sub(r"reported measures: \[.*?\]", f"reported measures: [{measure}]", sheet)
        )
        assert warned(folder).get("depth") == (
            "12 of 12 queries rank fewer than 100 documents (the fewest: 99, 'q00'); "
            f"{measure} would see more of a deeper run"
            if depth == 99
            else None
        )


def test_missing_queries_are_named(corpus_folder, tmp_path):
    only = "".join(line + "\n" for line in RUN.splitlines() if line.startswith("q1"))
    folder = bundle_of(tmp_path / "few", corpus_folder, only)
    assert warned(folder)["missing-queries"] == "2 of 3 queries got no document and count as 0: q2, q3"


def test_unjudged_tops_are_told_below_a_threshold_that_may_be_set(tmp_path):
    corpus = big_corpus(tmp_path / "corpus")
    names = [f"doc{i:02}" for i in range(40)]
    folder = bundle_of(
        tmp_path / "bundle", corpus, lines_of({f"q{i:02}": names[-10:] + names[:-10] for i in range(12)})
    )
    assert warned(folder)["judged"].startswith(
        "Judged@10 is 0.000, below 0.5: most of what it ranks first was never judged"
    )
    assert "judged" not in warned(folder, min_judged=0.0)


def test_a_ranking_of_one_judged_document_is_one_of_nine_places_without(tmp_path):
    corpus = big_corpus(tmp_path / "corpus")
    folder = bundle_of(tmp_path / "bundle", corpus, lines_of({f"q{i:02}": [f"doc{i:02}"] for i in range(12)}))
    assert warned(folder)["judged"].startswith("Judged@10 is 0.100 of the places, empty ones included, below 0.5: ")
    assert "judged" not in warned(folder, min_judged=0.1)
    assert seal(folder)[0].measures["Judged@10"].mean == 1.0


def corpus_with_golds_without_text(folder, n_queries, n_documents):
    """Every query has a relevant document, and all of them one more, "empty", that has no text."""
    documents = [{"_id": "empty", "text": " "}] + [{"_id": f"d{i:03}", "text": f"t {i}"} for i in range(n_documents)]
    queries = [{"_id": f"q{i}", "text": f"t {i}"} for i in range(n_queries)]
    rows = [(f"q{i}", name, 1) for i in range(n_queries) for name in ("empty", f"d{i:03}")]
    return write_beir(folder, documents, queries, test=rows)


@pytest.mark.parametrize(
    ("n_queries", "n_documents", "above", "expected"),
    [(3, 120, 3, True), (1, 120, 1, True), (1, 20, 1, False), (3, 120, 0, False), (12, 20, 12, True)],
)
def test_a_gold_without_text_above_all_that_are_none_is_told_where_chance_does_not_explain_it(
    tmp_path, n_queries, n_documents, above, expected
):
    corpus = corpus_with_golds_without_text(tmp_path / "corpus", n_queries, n_documents)
    ranking = {}
    for i in range(n_queries):
        found, other = f"d{i:03}", f"d{n_documents - 1:03}"
        ranking[f"q{i}"] = [found, "empty", other] if i < above else [found, other, "empty"]
    told = warned(bundle_of(tmp_path / "bundle", corpus, lines_of(ranking))).get("golds-without-text")
    wanted = f"in {above} of {n_queries} queries it ranks a gold that has no text above all documents that are none"
    assert (told is not None and told.startswith(wanted)) is expected


def test_a_gold_without_text_that_ties_with_others_is_not_told(tmp_path):
    corpus = corpus_with_golds_without_text(tmp_path / "corpus", 3, 120)
    ranking = {f"q{i}": [(f"d{i:03}", 2.0), ("empty", 1.0), ("d119", 1.0)] for i in range(3)}
    assert "golds-without-text" not in warned(bundle_of(tmp_path / "bundle", corpus, lines_of(ranking)))


def test_copies_that_are_merged_leave_one_document_without_text(tmp_path):
    folder = write_beir(tmp_path / "corpus", [*DOCUMENTS, {"_id": "e1", "text": ""}, {"_id": "e2", "text": " "}])
    assert load_corpus(folder).no_text.tolist() == [6, 7]
    (folder / "corpus.yaml").write_text("duplicates: merge\n")
    assert load_corpus(folder).no_text.tolist() == [6]


@pytest.mark.parametrize("honest", [True, False])
def test_golds_above_documents_of_the_same_text_are_told(tmp_path, honest):
    corpus = big_corpus(tmp_path / "corpus", twins=True)
    ranking = {}
    for i in range(12):
        gold, twin = f"doc{i:02}", f"copy{i:02}"
        pair = [(gold, 5.0), (twin, 5.0)] if honest else [(gold, 5.0), (twin, 4.9)]
        ranking[f"q{i:02}"] = [("doc30", 9.0), *pair]
    found = warned(bundle_of(tmp_path / "bundle", corpus, lines_of(ranking)))
    if honest:
        assert "golds-without-text" not in found
    else:
        assert found["golds-without-text"].startswith(
            "in 12 of 12 cases it ranks a gold above a document with the same text that is none"
        )


def test_an_order_of_twins_that_chance_explains_is_not_told(tmp_path):
    corpus = big_corpus(tmp_path / "corpus", twins=True)
    ranking = {}
    for i in range(12):
        pair = [f"doc{i:02}", f"copy{i:02}"]
        ranking[f"q{i:02}"] = ["doc30", *(pair if i % 2 else pair[::-1])]
    assert "golds-without-text" not in warned(bundle_of(tmp_path / "bundle", corpus, lines_of(ranking)))


@pytest.mark.parametrize(("wrong", "expected"), [(0, True), (2, False)])
def test_an_order_as_of_the_judgements_themselves_is_told(tmp_path, wrong, expected):
    corpus = big_corpus(tmp_path / "corpus")
    ranking = {f"q{i:02}": ([f"doc{i:02}", "doc30"] if i >= wrong else ["doc30", f"doc{i:02}"]) for i in range(12)}
    found = warned(bundle_of(tmp_path / "bundle", corpus, lines_of(ranking)))
    assert ("perfect" in found) is expected


def test_the_run_of_another_bundle_is_recognised(corpus_folder, bundle, tmp_path):
    twin = bundle_of(tmp_path / "copied", corpus_folder, tag="new-idea")
    assert warned(twin, against=[bundle])["same-as"] == f"is byte for byte the run of {bundle}"
    scaled = re.sub(r" (\d\.\d) overlap", lambda m: f" {float(m[1]) * 3} mine", RUN)
    rescaled = bundle_of(tmp_path / "rescaled", corpus_folder, scaled)
    assert warned(rescaled, against=[bundle])["same-as"] == (
        f"the whole ranking is the same as in {bundle} for 3 of 3 queries"
    )
    other = bundle_of(tmp_path / "other", corpus_folder, RUN.replace("d5 1", "d4 1").replace("d4 2", "d5 2"))
    assert "same-as" not in warned(other, against=[bundle])


def test_the_same_scores_by_another_order_are_recognised(tmp_path, command):
    """Unjudged documents that change places change no score."""
    corpus = big_corpus(tmp_path / "corpus", n_queries=20)
    rows = {f"q{i:02}": [f"doc{i:02}", "doc30", "doc31", "doc32"] for i in range(20)}
    first = bundle_of(tmp_path / "first", corpus, lines_of(rows))
    swapped = rows | {f"q{i:02}": [f"doc{i:02}", "doc31", "doc30", "doc32"] for i in range(2)}
    second = bundle_of(tmp_path / "second", corpus, lines_of(swapped), tag="new-idea")
    told = (
        f"every query has the same scores as in {first} (nDCG@10, R@10, R@100, AP, RR@10, P@10, Rprec, Judged@10, Bpref), "
        "and the ranking itself differs in 2 of 20"
    )
    assert warned(second, against=[first])["same-as"] == told
    done = command("submit", "seal", second, "--against", first)
    assert f"warning: {told}" in done.stderr.splitlines()
    assert told not in read_seal(second).warnings
    assert verify(second)["ok"]
    one_better = rows | {"q00": ["doc30", "doc00", "doc31", "doc32"], "q01": ["doc30", "doc01", "doc31", "doc32"]}
    assert "same-as" not in warned(bundle_of(tmp_path / "third", corpus, lines_of(one_better)), against=[first])


def test_warnings_alone_are_no_reason_for_exit_2(bundle, command):
    done = command("submit", "check", bundle)
    assert done.code == 0
    assert done.stdout.startswith(f"warning: {bundle}/run.trec: 3 of 3 queries rank fewer than")

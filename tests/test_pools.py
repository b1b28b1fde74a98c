"""Pools: what a verifier is given to rank, what chance scores on it, and what each family of retrievers adds."""

import gzip
import itertools
import json

import numpy as np
import pytest
from conftest import write_beir, write_jsonl, write_tsv

from evalsuite import load_corpus, measure
from evalsuite.errors import InputError, UsageError
from evalsuite.retrieval.pools import (
    build_pool,
    chance,
    leave_one_family_out,
    pool_of,
    read_pool,
    refuse_recall,
    search_families,
    shuffled,
    write_pool,
)
from evalsuite.retrieval.protocols import build_protocol_pool, protocol
from evalsuite.retrieval.verifiers import ranking as ranking_of_verifiers

ROOT = "corpora/clauses-mini"
IDS = [f"d{number}" for number in range(1, 13)]


def ranking(folder, name, **lists):
    """A run file that ranks these documents, best first: ranking(folder, "a", q1="d1 d2")."""
    rows = [(q, d, -rank) for q, docids in lists.items() for rank, d in enumerate(docids.split())]
    return f"runfile:{write_tsv(folder / f'{name}.tsv', rows, ('qid', 'docid', 'score'))}"


@pytest.fixture
def small(tmp_path):
    """Twelve documents; q1 has the golds d1 and d2, q2 has d3, and d12 is excluded for q2."""
    documents = [{"_id": docid, "text": f"text {docid}"} for docid in IDS]
    queries = [{"_id": "q1", "text": "one"}, {"_id": "q2", "text": "two"}]
    gold = [("q1", "d1", 2), ("q1", "d2", 1), ("q1", "d4", 0), ("q2", "d3", 1)]
    folder = write_beir(tmp_path / "small", documents, queries, gold=gold)
    (folder / "exclusions.json").write_text('{"q2": ["d12"]}')
    return load_corpus(folder)


@pytest.fixture
def families(tmp_path):
    """Two families, three systems."""
    return {
        "lexical": [ranking(tmp_path, "a", q1="d1 d4 d5 d6", q2="d12 d4 d3 d5")],
        "dense": [
            ranking(tmp_path, "b", q1="d7 d4 d2 d8", q2="d12 d6 d7 d8"),
            ranking(tmp_path, "c", q1="d5 d9 d10 d11", q2="d9 d6 d10 d11"),
        ],
    }


def test_documents_are_taken_rank_by_rank_in_turn_and_each_once(small, families):
    pool = build_pool(small, families, depth=3, sizes=(8,))
    assert pool.rows["q1"].golds == ("d1", "d2")
    assert pool.rows["q1"].docs == ("d7", "d5", "d4", "d9", "d10")


def test_a_row_says_what_each_family_found_within_its_depth_golds_too(small, families):
    row = build_pool(small, families, depth=3, sizes=(8,)).rows["q1"]
    assert row.sources == {"lexical": ("d1", "d4", "d5"), "dense": ("d7", "d4", "d2", "d5", "d9", "d10")}


def test_an_excluded_document_is_no_candidate_and_takes_no_place_within_the_depth(small, families):
    row = build_pool(small, families, depth=2, sizes=(8,)).rows["q2"]
    assert row.sources["lexical"] == ("d4", "d3")
    assert row.docs == ("d4", "d6", "d9", "d7")


def test_depths_are_given_per_family_or_per_system(small, families):
    row = build_pool(small, families, depth={"lexical": 1, "dense": 1, "runfile:c.tsv": 2}, sizes=(8,)).rows["q1"]
    assert row.docs == ("d7", "d5", "d9")


def test_a_pool_of_k_is_all_golds_and_the_first_others_so_smaller_pools_lie_inside_larger_ones(small, families):
    pool = build_pool(small, families, depth=4, sizes=(3, 5, 9))
    inside = [set(pool.candidates("q1", size)) for size in (3, 5, 9)]
    assert [len(found) for found in inside] == [3, 5, 9]
    assert {"d1", "d2"} < inside[0] < inside[1] < inside[2]


def test_golds_that_alone_exceed_k_all_stay(small, families):
    pool = build_pool(small, families, sizes=(1, 4))
    assert sorted(pool.candidates("q1", 1)) == ["d1", "d2"]
    assert pool.candidates("q2", 1) == ["d3"]


def test_without_sizes_the_pool_is_everything_that_was_found(small, families):
    pool = pool_of(small, search_families(small, families, depth=4), sizes=())
    assert pool.sizes == (10,)
    assert len(pool.candidates("q1")) == 10


def test_the_candidates_come_in_the_same_order_for_the_same_seed_and_another_for_another(small, families):
    first, again, other = (build_pool(small, families, sizes=(9,), seed=seed) for seed in (1, 1, 2))
    assert first.candidates("q1") == again.candidates("q1") != other.candidates("q1")


def test_the_order_shown_says_nothing_about_what_is_gold_or_how_large_the_pool_is():
    corpus = load_corpus(ROOT)
    pool = build_pool(corpus, {}, kind="random", sizes=(20, 60))
    places = [pool.candidates(q).index(g) for q, row in pool.rows.items() for g in row.golds]
    assert np.mean(places) == pytest.approx(29.5, abs=3 * 17.3 / np.sqrt(len(places)))
    small = pool.candidates("d01", 20)
    assert small == [docid for docid in pool.candidates("d01", 60) if docid in set(small)]


def test_a_random_pool_is_drawn_by_its_seed_without_golds_and_exclusions_among_the_others(small):
    pools = [build_pool(small, {}, kind="random", sizes=(12,), seed=seed) for seed in (1, 1, 2)]
    assert set(pools[0].candidates("q1")) == set(IDS)
    assert set(pools[0].candidates("q2")) == set(IDS) - {"d12"}
    assert pools[0] == pools[1]
    assert pools[0].rows["q1"].docs != pools[2].rows["q1"].docs


def test_a_random_draw_favours_no_document():
    corpus = load_corpus(ROOT)
    drawn = [
        d for seed in range(60) for d in build_pool(corpus, {}, kind="random", sizes=(20,), seed=seed).rows["d01"].docs
    ]
    counts = np.unique(drawn, return_counts=True)[1]
    assert len(counts) == 53  # 60 documents, 7 of them gold
    assert ((counts - counts.mean()) ** 2 / counts.mean()).sum() < 52 + 4 * np.sqrt(2 * 52)  # chi-squared


def test_copies_that_the_corpus_merges_are_one_candidate(tmp_path):
    documents = [
        {"_id": "a", "text": "same words"},
        {"_id": "b", "text": "same words"},
        {"_id": "c", "text": "other words"},
    ]
    folder = write_beir(tmp_path / "twins", documents, [{"_id": "q", "text": "words"}], gold=[("q", "c", 1)])
    (folder / "corpus.yaml").write_text("name: twins\nversion: 1.0.0\nduplicates: merge\n")
    pool = build_pool(load_corpus(folder), {"lexical": ["bm25"]})
    assert sorted(pool.candidates("q")) == ["a", "c"]


def test_a_plug_in_that_returns_a_dict_fills_a_pool_like_any_other(small):
    class Backwards:
        name = "backwards"

        def index(self, corpus):
            self.ids = corpus.doc_ids

        def search(self, queries, k):
            return {query.id: {docid: float(place) for place, docid in enumerate(self.ids)} for query in queries}

    row = build_pool(small, {"own": [Backwards()]}, depth=3, sizes=(9,)).rows["q2"]
    assert row.docs == ("d11", "d10", "d9")


@pytest.mark.parametrize(
    ("given", "settings", "message"),
    [
        ({}, {}, "needs at least one family"),
        ({"lexical": []}, {}, "family 'lexical' names no system"),
        ({"a": ["bm25"], "b": ["bm25"]}, {}, "system 'bm25' is named twice"),
        ({"a": ["bm25"]}, {"depth": 0}, "depth of bm25 must be 1 or more; found 0"),
        ({"a": ["bm25"]}, {"depth": {"b": 3}}, "a depth is given for 'b', which is neither a family nor a system"),
        ({"a": ["bm25", "random"]}, {"depth": {"bm25": 3}}, "depth of random must be 1 or more; found none"),
        ({"a": ["bm25"]}, {"sizes": (10, 0)}, "sizes must be 1 or more; found 10, 0"),
        ({}, {"kind": "random", "sizes": ()}, "sizes must be 1 or more; found none"),
        ({"a": ["bm25"]}, {"seed": -1}, "the seed must be 0 or more; found -1"),
        ({"a": ["recorded"]}, {}, "is a verifier: it ranks a pool and cannot fill one"),
    ],
)
def test_a_pool_that_cannot_be_made_is_refused_with_the_reason(small, given, settings, message):
    with pytest.raises(UsageError, match=message):
        build_pool(small, given, **settings)


def test_asking_for_a_larger_pool_or_another_query_than_there_is_is_refused(small, families):
    pool = build_pool(small, families, sizes=(5,))
    with pytest.raises(UsageError, match="made for sizes up to 5; found 6"):
        pool.candidates("q1", 6)
    with pytest.raises(UsageError, match="no query 'q9'"):
        pool.candidates("q9")


# ---------------------------------------------------------------- the file


@pytest.mark.parametrize("suffix", [".pool.jsonl", ".pool.jsonl.gz"])
def test_a_pool_is_read_as_it_was_written(small, families, tmp_path, suffix):
    pool = build_pool(small, families, sizes=(4, 9))
    read = read_pool(write_pool(pool, tmp_path / f"hard{suffix}"), small)
    assert read == pool
    assert read.sha256 == pool.sha256


@pytest.mark.parametrize("suffix", [".pool.jsonl", ".pool.jsonl.gz"])
def test_two_builds_give_the_same_bytes(small, families, tmp_path, suffix):
    paths = [write_pool(build_pool(small, families), tmp_path / f"{n}{suffix}") for n in "ab"]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_ids_with_spaces_and_letters_of_any_script_survive(tmp_path):
    documents = [{"_id": "§ 5 a", "text": "first words"}, {"_id": "条款 2", "text": "second words"}]
    folder = write_beir(tmp_path / "c", documents, [{"_id": "q 1", "text": "words"}], gold=[("q 1", "条款 2", 1)])
    corpus = load_corpus(folder)
    pool = read_pool(write_pool(build_pool(corpus, {"lexical": ["bm25"]}), tmp_path / "p.pool.jsonl.gz"), corpus)
    assert sorted(pool.candidates("q 1")) == ["§ 5 a", "条款 2"]


def test_the_first_line_holds_the_whole_recipe(small, families, tmp_path):
    path = write_pool(build_pool(small, families, depth={"lexical": 4, "dense": 3}, seed=7), tmp_path / "p.pool.jsonl")
    header = json.loads(path.read_text().splitlines()[0])
    assert header["corpus"] == {"name": "small", "version": "unversioned", "view": "gold", "sha256": small.sha256}
    found = {
        name: [(s["system"], s["depth"]) for s in systems] for name, systems in header["recipe"]["families"].items()
    }
    assert found == {"lexical": [("runfile:a.tsv", 4)], "dense": [("runfile:b.tsv", 3), ("runfile:c.tsv", 3)]}
    assert header["recipe"]["seed"] == 7
    assert len(header["recipe"]["families"]["lexical"][0]["settings"]["settings"]["sha256"]) == 64


def test_a_file_that_is_not_named_as_a_pool_is_never_written_over(small, families):
    corpus_file = small.root / "corpus.jsonl"
    before = corpus_file.read_bytes()
    with pytest.raises(UsageError, match=r"ends with \.pool\.jsonl or \.pool\.jsonl\.gz"):
        write_pool(build_pool(small, families), corpus_file)
    assert corpus_file.read_bytes() == before


def test_a_pool_made_for_another_version_is_refused_and_both_are_named(small, families, tmp_path):
    path = write_pool(build_pool(small, families), tmp_path / "p.pool.jsonl")
    write_jsonl(small.root / "queries.jsonl", [{"_id": "q1", "text": "other"}, {"_id": "q2", "text": "two"}])
    changed = load_corpus(small.root)
    with pytest.raises(InputError, match="was made for small unversioned, view gold") as refused:
        read_pool(path, changed)
    assert refused.value.where == f"{path}:1"
    assert small.sha256[:12] in refused.value.message
    assert changed.sha256[:12] in refused.value.message


def edited(path, line, **changes):
    """The file with keys of one line replaced (or, where the value is None, taken out)."""
    lines = path.read_text().splitlines()
    record = {**json.loads(lines[line - 1]), **changes}
    lines[line - 1] = json.dumps({key: value for key, value in record.items() if value is not None})
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(
    ("line", "changes", "message"),
    [
        (1, {"format": "other"}, "is no pool file"),
        (1, {"version": 2}, "is of version 2; this release reads 1"),
        (1, {"kind": "soft"}, "must be hard or random; found 'soft'"),
        (1, {"sizes": [9, 4]}, "sizes must be ascending"),
        (1, {"sizes": None}, "key 'sizes' must be list; found None"),
        (1, {"recipe": {"families": {}}}, "families and a seed"),
        (1, {"corpus": {"name": "small"}}, "must hold name, version, view, sha256"),
        (1, {"note": "mine"}, "unknown key 'note'"),
        (2, {"golds": None}, "must hold qid, golds, docs, from"),
        (2, {"golds": ["d1", "d2", "d3"]}, "its golds are not the relevant documents of query 'q1'"),
        (2, {"docs": "d5"}, "key 'docs' must be a list of document ids"),
        (2, {"docs": ["d5", "d5"]}, "names a document twice"),
        (2, {"docs": ["d1", "d7", "d4", "d5", "d9"]}, "'d1' is among golds and docs"),
        (
            2,
            {"docs": ["d4", "d5", "d6", "d7", "d8", "d9", "d99"]},
            "family 'dense' found 'd10', which is not in the pool",
        ),
        (2, {"docs": [*IDS[3:], "d99"]}, "document 'd99' is not in small"),
        (2, {"from": {"lexical": []}}, "must hold the families of the first line: lexical, dense"),
        (2, {"qid": "q9"}, "query 'q9' is not in small"),
        (3, {"qid": "q1"}, "query 'q1' has a line above"),
        (3, {"docs": IDS[3:12]}, "document 'd12' is excluded for query 'q2'"),
    ],
)
def test_a_bad_line_is_refused_with_file_and_line(small, families, tmp_path, line, changes, message):
    path = edited(write_pool(build_pool(small, families), tmp_path / "p.pool.jsonl"), line, **changes)
    with pytest.raises(InputError, match=message) as refused:
        read_pool(path, small)
    assert refused.value.where == f"{path}:{line}"


def test_an_edit_that_leaves_every_line_sound_is_told_by_the_hash(small, families, tmp_path):
    path = write_pool(build_pool(small, families), tmp_path / "p.pool.jsonl")
    row = json.loads(path.read_text().splitlines()[1])
    with pytest.raises(InputError, match="edited or cut short"):
        read_pool(edited(path, 2, docs=row["docs"][::-1]), small)


def test_a_file_that_lost_its_last_lines_is_refused(small, families, tmp_path):
    path = write_pool(build_pool(small, families), tmp_path / "p.pool.jsonl")
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(InputError, match="edited or cut short"):
        read_pool(path, small)


def test_a_gzipped_pool_that_was_cut_is_refused(small, families, tmp_path):
    path = write_pool(build_pool(small, families), tmp_path / "p.pool.jsonl.gz")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match="gzip data is cut short or damaged"):
        read_pool(path, small)


def test_the_gzip_header_holds_no_time(small, families, tmp_path):
    content = write_pool(build_pool(small, families), tmp_path / "p.pool.jsonl.gz").read_bytes()
    assert content[4:8] == bytes(4)
    assert gzip.decompress(content).startswith(b'{"format": "evalsuite-pool", "version": 1')


# ---------------------------------------------------------------- chance

NAMES = ["nDCG@3", "nDCG", "R@2", "P@3", "P@9", "AP", "AP@3", "RR", "RR@2", "Rprec", "Judged@3", "Bpref"]


@pytest.fixture
def judged(tmp_path):
    """Three queries with 5 or 6 candidates: grades 0-2, judged zeros in and outside the pool, one without any zero."""
    documents = [{"_id": docid, "text": docid} for docid in IDS]
    rows = {
        "q1": {"d1": 2, "d2": 1, "d3": 0, "d4": 0, "d11": 0},
        "q2": {"d5": 1},
        "q3": {"d6": 1, "d7": 1, "d8": 2, "d9": 0},
    }
    queries = [{"_id": name, "text": name} for name in rows]
    gold = [(q, d, grade) for q, row in rows.items() for d, grade in row.items()]
    corpus = load_corpus(write_beir(tmp_path / "judged", documents, queries, gold=gold))
    found = ranking(tmp_path, "a", q1="d3 d4 d5 d6", q2="d1 d2 d3 d4", q3="d9 d1 d2")
    return corpus, build_pool(corpus, {"lexical": [found]}, sizes=(6,))


def test_chance_is_the_mean_over_all_orders_of_the_candidates(judged):
    corpus, pool = judged
    expected = []
    for number, query in enumerate(corpus.queries):
        orders = np.array(list(itertools.permutations(corpus.doc_number[d] for d in pool.candidates(query.id))))
        one = corpus.qrels.of_queries(number, number + 1)
        values = [measure(order[None], one, len(corpus), NAMES) for order in orders]
        expected.append([np.mean([value[name][0] for value in values]) for name in NAMES])
    by_hand = dict(zip(NAMES, np.mean(expected, axis=0), strict=True))
    assert chance(pool, corpus, NAMES) == pytest.approx(by_hand, abs=1e-12)


def test_shuffles_scatter_around_chance_and_are_seeded():
    corpus = load_corpus(ROOT)
    pool = build_pool(corpus, {"lexical": ["bm25"]}, sizes=(20, 40))
    exact, drawn = chance(pool, corpus, size=20), shuffled(pool, corpus, size=20)
    for name, (mean, low, high) in drawn.items():
        assert low < exact[name] < high
        assert mean == pytest.approx(exact[name], abs=4 * (high - low) / 3.92 / np.sqrt(200))
    assert drawn == shuffled(pool, corpus, size=20)


def test_chance_falls_as_the_pool_grows():
    corpus = load_corpus(ROOT)
    pool = build_pool(corpus, {"lexical": ["bm25"], "dense": ["random"]}, sizes=(15, 30, 55))
    scores = [chance(pool, corpus, ["nDCG@10"], size)["nDCG@10"] for size in pool.sizes]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] > 2 * scores[2]


def test_recall_is_refused_where_some_query_has_no_more_candidates_than_the_cutoff(small, families):
    pool = build_pool(small, families, depth=2, sizes=(5, 8))  # q1 has 6 candidates, q2 has 5
    refuse_recall("R@4", pool, 8)
    refuse_recall("nDCG@10", pool, 8)
    with pytest.raises(UsageError, match=r"R@5 means nothing here: 1 of 2 queries \('q2' is one\)"):
        refuse_recall("R@5", pool, 8)
    with pytest.raises(UsageError, match="R@5 means nothing here: 2 of 2 queries"):
        chance(pool, small, ["nDCG@10", "R@5"], 5)
    with pytest.raises(UsageError, match="R@100 means nothing"):
        shuffled(pool, small, ["R@100"])


# ---------------------------------------------------------------- leave one family out


@pytest.fixture
def rivals(tmp_path):
    """Four queries, two golds each: g finds both, h and i find the second only, h higher up than i."""
    queries = [{"_id": f"q{n}", "text": str(n)} for n in range(4)]
    documents = [{"_id": f"{kind}{n}", "text": f"{kind}{n}"} for n in range(4) for kind in ("own", "shared", "x", "y")]
    gold = [(f"q{n}", f"{kind}{n}", 1) for n in range(4) for kind in ("own", "shared")]
    corpus = load_corpus(write_beir(tmp_path / "rivals", documents, queries, gold=gold))
    g = ranking(tmp_path, "g", **{f"q{n}": f"own{n} x{n} y{n} shared{n}" for n in range(4)})
    h = ranking(tmp_path, "h", **{f"q{n}": f"shared{n} x{n}" for n in range(4)})
    i = ranking(tmp_path, "i", **{f"q{n}": f"x{n} shared{n}" for n in range(4)})
    sources = search_families(corpus, {"g": [g], "others": [h, i]})
    return corpus, pool_of(corpus, sources), {source.system.name: source.run for source in sources}


def test_a_familys_own_relevant_documents_are_those_that_no_other_family_finds(rivals):
    left = {found.family: found for found in leave_one_family_out(*rivals)}
    assert left["g"].unique == {f"q{n}": (f"own{n}",) for n in range(4)}
    assert left["others"].n_unique == 0


def test_without_its_own_documents_a_family_drops_and_the_others_rise(rivals):
    found = leave_one_family_out(*rivals, measure="R@2")[0]
    assert found.scores == {"runfile:g.tsv": (0.5, 0.0), "runfile:h.tsv": (0.5, 1.0), "runfile:i.tsv": (0.5, 1.0)}
    assert found.own == (-0.5, None, None)  # the same for every query: a bootstrap has nothing to say
    assert found.others == (0.5, None, None)


def test_kendalls_tau_tells_how_far_the_order_of_systems_hangs_on_the_family(rivals):
    on_g, on_others = leave_one_family_out(*rivals, measure="nDCG@4")
    assert on_others.tau == (1.0, None, None)
    # with: g 0.877 > h 0.613 > i 0.387; without: h 1 > i 0.631 > g 0.431: one pair of three in the same order
    assert on_g.tau[0] == pytest.approx(-1 / 3)


def test_the_change_has_an_interval_over_clusters_of_queries(rivals, tmp_path):
    corpus, _, runs = rivals
    some = ranking(tmp_path, "k", q0="own0", q1="own1", q2="x2", q3="x3")
    sources = search_families(corpus, {"k": [some], "h": [f"runfile:{tmp_path}/h.tsv"]})
    found = leave_one_family_out(
        corpus, pool_of(corpus, sources), runs | {s.system.name: s.run for s in sources}, "R@1"
    )[0]
    mean, low, high = found.own
    assert mean == -0.25
    assert low < mean < high


def test_systems_of_no_family_take_part_in_the_ranking_and_those_of_one_must(rivals):
    corpus, pool, runs = rivals
    outsider = {**runs, "outsider": runs["runfile:h.tsv"]}
    assert "outsider" in leave_one_family_out(corpus, pool, outsider)[0].scores
    with pytest.raises(UsageError, match=r"no run of runfile:i\.tsv"):
        leave_one_family_out(corpus, pool, {name: run for name, run in runs.items() if name != "runfile:i.tsv"})


def test_two_systems_have_no_tau(rivals, tmp_path):
    corpus = rivals[0]
    sources = search_families(corpus, {"g": [f"runfile:{tmp_path}/g.tsv"], "h": [f"runfile:{tmp_path}/h.tsv"]})
    pair = {source.system.name: source.run for source in sources}
    assert [found.tau for found in leave_one_family_out(corpus, pool_of(corpus, sources), pair)] == [None, None]


# ---------------------------------------------------------------- protocols


def test_the_papers_pool_is_the_union_of_three_systems_at_its_tasks_depths_with_all_golds(tmp_path):
    corpus = load_corpus(ROOT)
    wanted = {"bm25": 55, "rank-bm25": 25, "random": 25}
    pool = build_protocol_pool(corpus, "obliq-2605.06235", list(wanted), "congress")
    found = {entry["system"]: entry["depth"] for entry in pool.recipe["families"]["dense"]}
    assert found == wanted
    union = build_pool(corpus, {"dense": list(wanted)}, depth=wanted, sizes=(60,), seed=42)
    assert all(set(pool.candidates(qid)) == set(union.candidates(qid)) for qid in pool.rows)
    assert pool.recipe["protocol"] == {
        "name": "obliq-2605.06235",
        "orders": 1,
        "choose": "test",
        "verifier": {
            "protocol": "tournament",
            "batch": 20,
            "promoted": 4,
            "tails": "in turn by elimination depth",
            "temperature": 1.0,
        },
    }


def test_the_papers_depths_and_views_are_those_of_its_scripts():
    tasks = {task.name: (*task.depths, task.view) for task in protocol("obliq-2605.06235").tasks}
    assert tasks == {
        "twitter": (25, 15, 15, "pooled"),
        "wildchat": (155, 75, 75, "pooled"),
        "math": (165, 85, 85, "pooled"),
        "writing": (155, 75, 75, "gold"),
        "congress": (55, 25, 25, "gold"),
    }


def test_the_papers_tournament_is_the_one_that_the_verifier_plays():
    settings = protocol("obliq-2605.06235").verifier_settings
    assert (settings["batch"], settings["promoted"]) == (ranking_of_verifiers.BATCH, ranking_of_verifiers.PROMOTED)


@pytest.mark.parametrize(("name", "task"), [("math", "math"), ("OBLIQ-Bench-math", "math"), ("writing", "writing")])
def test_the_task_is_the_one_the_corpus_is_called_after(name, task):
    assert protocol("obliq-2605.06235").task(None, name).name == task


def test_our_own_protocol_takes_any_two_families_three_sizes_three_orders_and_chooses_on_dev():
    pool = build_protocol_pool(load_corpus(ROOT), "evalsuite-1", {"lexical": ["bm25"], "control": ["random"]})
    assert pool.sizes == (30, 100, 300)
    assert (pool.recipe["protocol"]["orders"], pool.recipe["protocol"]["choose"]) == (3, "dev")


@pytest.mark.parametrize(
    ("name", "systems", "task", "message"),
    [
        ("obliq", ["bm25"], None, "'obliq' is no protocol; accepted are obliq-2605.06235, evalsuite-1"),
        (
            "obliq-2605.06235",
            ["bm25"],
            None,
            "has no task 'mini'; its tasks, which set the depths, are twitter, wildchat",
        ),
        ("obliq-2605.06235", ["bm25"], "math", "scores math on view 'pooled'; this is view 'gold'"),
        ("obliq-2605.06235", ["bm25"], "writing", "takes 3 systems, for gemini-embedding-2-preview, .*; found 1"),
        ("evalsuite-1", ["bm25"], None, "takes two or more families; found dense"),
        ("evalsuite-1", {"a": ["bm25"], "b": ["random"]}, "math", "has no task 'math'; it knows no tasks"),
    ],
)
def test_a_protocol_that_does_not_fit_is_refused_with_what_it_takes(name, systems, task, message):
    with pytest.raises(UsageError, match=message):
        build_protocol_pool(load_corpus(ROOT), name, systems, task)


# ---------------------------------------------------------------- the command


def test_the_command_writes_the_pool_and_prints_chance_and_what_each_family_adds(command, tmp_path):
    path = tmp_path / "hard.pool.jsonl"
    sizes = [part for size in (10, 20, 40) for part in ("--size", size)]
    families = ["-f", "lexical=bm25", "-f", "lexical=bm25:variant=okapi", "-f", "control=random"]
    done = command("retrieval", "pool", ROOT, *families, "--depth", 20, *sizes, "-o", path)
    assert done.code == 0
    assert "20 queries, 118 golds (4 / 5.9 / 8 a query)" in done.stdout
    corpus = load_corpus(ROOT)
    pool = read_pool(path, corpus)
    assert f"{chance(pool, corpus, ['nDCG@10'], 20)['nDCG@10']:.3f}" in done.stdout
    assert "R@10 means nothing here" in done.stdout
    assert "bm25 (20), bm25:variant=okapi (20)" in done.stdout
    assert pool.sha256[:12] in done.stdout


def test_the_json_holds_all_that_the_screen_shows(command, tmp_path):
    path = tmp_path / "hard.pool.jsonl.gz"
    families = ["-f", "lexical=bm25", "-f", "lexical=rank-bm25", "-f", "control=random"]
    sizes = ["--size", 10, "--size", 30]
    done = command(
        "retrieval", "pool", ROOT, *families, "--depth", 12, "--depth", "control=3", *sizes, "-o", path, "--json"
    )
    found = json.loads(done.stdout)
    pool = read_pool(path)
    assert (found["pool"], found["sha256"], found["n_golds"]) == (str(path), pool.sha256, 118)
    assert found["golds_per_query"] == {"min": 4, "mean": 5.9, "max": 8}
    ten, thirty = found["sizes"]
    assert "R@10" in ten["refused"] and "R@10" not in ten["chance"]
    assert ten["candidates"] == {"min": 10, "mean": 10, "max": 10}
    assert thirty["n_short"] == 20
    assert thirty["shuffled"]["nDCG@10"]["low"] < thirty["chance"]["nDCG@10"] < thirty["shuffled"]["nDCG@10"]["high"]
    lexical, control = found["families"]
    assert control["systems"] == {"random": 3}
    assert lexical["golds_found"] + control["golds_only_here"] + found["n_golds_found_by_none"] == 118
    assert lexical["tau"]["mean"] is not None
    assert found["clusters"] == {"n": 7, "largest": 6}  # twins, and queries that share a gold


def test_the_command_refuses_recall_only_and_says_when_golds_exceed_the_pool(command, tmp_path):
    done = command(
        "retrieval", "pool", ROOT, "--kind", "random", "--size", 5, "-o", tmp_path / "r.pool.jsonl", "--json"
    )
    five = json.loads(done.stdout)["sizes"][0]
    assert set(five["chance"]) == {"nDCG@10"}
    assert len(five["golds_exceed"]) == 12
    assert json.loads(done.stdout)["families"] == []


def test_the_command_takes_a_protocol_by_name(command, tmp_path):
    path = tmp_path / "o.pool.jsonl"
    stand_ins = ["-f", "dense=bm25", "-f", "dense=rank-bm25", "-f", "dense=random"]
    arguments = ["--protocol", "obliq-2605.06235", "--task", "congress", *stand_ins, "-o", path]
    assert command("retrieval", "pool", ROOT, *arguments).code == 0
    assert read_pool(path).recipe["protocol"]["name"] == "obliq-2605.06235"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-f", "bm25"], "'bm25' is no family; write NAME=SYSTEM"),
        (["-f", "a=bm25", "--depth", "many"], "'many' is no depth"),
        (["-f", "a=bm25", "--task", "math"], "a task belongs to a protocol"),
        (["-f", "a=bm25", "--protocol", "evalsuite-1", "--size", "9"], "the protocol sets size; leave"),
        (["-f", "a=bm25", "-m", ","], "no measure is named"),
        (["-f", "a=bm25", "-m", "recall"], "'recall' is not a measure"),
        (["-f", "a=bm25", "-o", "x.jsonl"], "ends with .pool.jsonl or .pool.jsonl.gz"),
        ([], "needs at least one family"),
    ],
)
def test_a_command_that_makes_no_sense_ends_with_2_and_says_why(command, tmp_path, arguments, message):
    done = command("retrieval", "pool", ROOT, "-o", tmp_path / "x.pool.jsonl", *arguments)
    assert done.code == 2
    assert message in done.stderr
    assert not list(tmp_path.glob("x*"))

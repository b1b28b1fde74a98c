"""What the corpus linter finds: a clean corpus passes, and every planted defect is named by its rule, and by no other."""

import json
import random
from copy import deepcopy
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from lintkit import Made, clean
from tinymodel import save_tiny_model

from evalsuite.errors import InputError, UsageError
from evalsuite.retrieval.formats import load_corpus
from evalsuite.retrieval.lint import RULES, estimate, lint, write_sample
from evalsuite.retrieval.lint.shingles import NEAR, ShingleSets, word_hashes

CLEAN = clean()


@pytest.fixture
def made() -> Made:
    return deepcopy(CLEAN)


@pytest.fixture
def rules(made, tmp_path):
    """{rule: severity} that the corpus gets, however it was changed; the messages are kept in `rules.told`."""

    def check(*, card=None, **options):
        folder = made.write(tmp_path / "made", **(card or {}))
        findings = lint(folder, **options)
        check.told = {finding.rule: f"{finding.where}: {finding.message}" for finding in findings}
        worst = {}
        for finding in findings:
            worst[finding.rule] = "error" if "error" in (finding.severity, worst.get(finding.rule)) else "warning"
        return worst

    return check


def test_a_clean_corpus_passes_every_rule(rules):
    assert rules() == {}
    assert len(RULES) >= 25


# ---------------------------------------------------------------- duplicates


def test_48_per_cent_exact_duplicates_are_an_error(made, rules):
    for number, name in enumerate(made.others + made.others[:170]):
        made.add(f"copy{number}x", made.documents[name]["text"])
    made.reorder(random.Random(1).sample(list(made.documents), len(made.documents)))
    assert rules() == {"duplicates-exact": "error"}
    assert "(47.9%)" in rules.told["duplicates-exact"]


def test_one_exact_duplicate_is_a_warning_and_none_where_the_card_merges_them(made, rules):
    made.add("copy", made.documents[made.others[0]]["text"])
    assert rules() == {"duplicates-exact": "warning"}
    assert rules(card={"duplicates": "merge"}) == {}


def test_near_duplicates_are_found_and_similar_texts_are_not(made, rules):
    first, second = made.others[:2]
    made.add("near", made.documents[first]["text"].replace(".", " indeed."))
    words = made.documents[second]["text"].split()
    words[::8] = ["changed"] * len(words[::8])
    made.add("apart", " ".join(words))
    assert rules() == {"duplicates-near": "warning"}
    assert f"those of {min(first, 'near', key=list(made.documents).index)}" in rules.told["duplicates-near"]


def test_an_exact_copy_of_a_gold_that_is_not_judged_is_an_error(made, rules):
    gold = made.golds("q007")[0]
    made.add("twin", made.documents[gold]["text"])
    assert rules() == {"duplicates-exact": "warning", "gold-twin-unjudged": "error"}
    assert f"twin of {gold} for q007" in rules.told["gold-twin-unjudged"]


def test_a_copy_that_is_judged_the_same_or_excluded_is_no_unjudged_twin(made, rules):
    for name, query in (("twin", "q007"), ("other", "q008")):
        made.add(name, made.documents[made.golds(query)[0]]["text"])
    made.qrels |= {("q007", "twin"): 1, ("q007-s", "twin"): 1}
    made.recorded.append({"qid": "q007", "docid": "twin", "score": 3})
    made.exclusions = {"q008": ["other"], "q008-s": ["other"]}
    assert rules() == {"duplicates-exact": "warning"}


def test_a_near_duplicate_of_a_gold_that_is_not_judged_is_a_warning(made, rules):
    gold = made.golds("q007")[0]
    made.add("twin", made.documents[gold]["text"].replace(".", " indeed."))
    assert rules() == {"duplicates-near": "warning", "gold-twin-unjudged": "warning"}


def test_minhash_finds_the_pairs_that_exact_jaccard_finds():
    rng = random.Random(3)
    base = [rng.choices(range(5000), k=60) for _ in range(60)]
    texts = [text[:] for text in base for _ in range(4)]
    for place, text in enumerate(texts):
        for _ in range(place % 4):
            text[rng.randrange(60)] = rng.randrange(5000)
    sets = ShingleSets(len(texts))
    for first in range(0, len(texts), 100):
        block = texts[first : first + 100]
        words = np.array([word for text in block for word in text])
        sets.add(first, word_hashes(words), np.array([len(text) for text in block]))
    shingles = [{tuple(text[i : i + 5]) for i in range(56)} for text in texts]
    alike = {
        (i, j)
        for i in range(len(texts))
        for j in range(i + 1, len(texts))
        if len(shingles[i] & shingles[j]) >= NEAR * len(shingles[i] | shingles[j])
    }
    candidates = {tuple(pair) for pair in sets.candidates().tolist()}
    assert len(alike) > 50
    assert alike <= candidates
    assert all(sets.jaccard(i, j) == len(shingles[i] & shingles[j]) / len(shingles[i] | shingles[j]) for i, j in alike)


# ---------------------------------------------------------------- golds and priors


def test_golds_in_five_per_cent_of_the_documents_give_a_prior_that_beats_bm25(made, rules):
    rng = random.Random(1)
    popular = rng.sample(made.others, 24)
    for query in made.oblique:
        made.relevant(query, rng.choices(popular, weights=range(1, 25), k=9))
    assert {"gold-concentration": "warning", "gold-prior": "error"}.items() <= rules().items()
    assert "on 24 of 468 documents (5.1%)" in rules.told["gold-concentration"]
    assert rules.told.keys() <= {"gold-concentration", "gold-prior", "connected-component", "power", "split-leak"}


def test_a_prior_that_does_not_beat_bm25_but_scores_is_a_warning(made, rules):
    popular = made.others[:24]
    for number, query in enumerate(made.oblique):
        own = made.golds(query)
        made.relevant(query, [*own, popular[number % 24], popular[number % 5]])
        made.queries[query]["text"] += " " + made.queries[f"{query}-s"]["text"]
    made.judge_all(made.oblique)
    assert rules()["gold-prior"] == "warning"


def test_golds_that_are_the_longest_documents_are_found_by_length(made, rules):
    rng = random.Random(1)
    longest = made.others[:10]
    for name in longest:
        made.documents[name]["text"] += " " + " ".join(rng.choices(made.common, k=rng.randint(60, 90))) + "."
    for query in made.oblique:
        made.relevant(query, [made.golds(query)[0], *rng.sample(longest, 2)])
    found = rules()
    assert found["length-baseline"] == "error"
    assert "longest first reaches nDCG@10 0." in rules.told["length-baseline"]
    assert rules.told["length-baseline"].endswith("more than chance, and more than bm25")


# ---------------------------------------------------------------- words that queries share with their golds


def test_rare_words_shared_with_a_gold_are_a_warning_and_an_error_from_a_tenth_of_the_queries_on(made, rules):
    for number, query in enumerate(made.oblique[:12]):
        made.documents[made.golds(query)[0]]["text"] += f" Rareword{number}x."
        if number == 0:
            made.queries[query]["text"] += f" rareword{number}x"
            made.judge_all([query])
    assert rules() == {"rare-terms": "warning"}
    assert "q000 (rareword0x)" in rules.told["rare-terms"]
    for number, query in enumerate(made.oblique[1:12], start=1):
        made.queries[query]["text"] += f" rareword{number}x"
    made.judge_all(made.oblique[:12])
    assert rules() == {"rare-terms": "error"}


def test_a_surface_twin_may_share_rare_words(made, rules):
    assert all(
        made.queries[f"{q}-s"]["text"].split()[0] in made.documents[made.golds(q)[0]]["text"].lower() for q in ["q001"]
    )
    assert rules() == {}


def test_four_words_in_a_row_copied_from_a_gold_are_named(made, rules):
    copied = made.documents[made.golds("q005")[0]]["text"].lower().split()[3:7]
    made.queries["q005"]["text"] += " " + " ".join(copied)
    made.judge_all(["q005"])
    found = rules()
    assert {"copied-words": "warning"}.items() <= found.items()
    assert found.keys() <= {"copied-words", "rare-terms"}  # the four may be among the golds' own words
    assert f'q005 ("{" ".join(copied)}")' in rules.told["copied-words"]


def test_a_recollection_that_names_what_it_is_after_is_named(made, rules):
    [query] = [q for q in made.oblique if made.queries[q]["metadata"]["mechanism"] == "tip-of-the-tongue"][:1]
    made.queries[query]["text"] += ", in Kestrelton I think, around 1987"
    made.documents[made.golds(query)[0]]["text"] += " Seen at Kestrelton, 1987."
    made.judge_all([query])
    assert rules() == {"names-and-numbers": "warning", "rare-terms": "warning"}
    assert f"{query} (Kestrelton, 1987)" in rules.told["names-and-numbers"]


# ---------------------------------------------------------------- labels beside the text


def test_a_metadata_value_that_only_the_golds_of_a_query_hold_is_an_error(made, rules):
    for number, query in enumerate(made.oblique):
        for gold in made.golds(query):
            made.documents[gold]["metadata"]["k"] = [f"value {number}", "all"]
    assert rules() == {"label-leak": "error"}
    assert "value of k" in rules.told["label-leak"]
    assert "for 104 queries" in rules.told["label-leak"]


def test_a_value_that_sets_golds_apart_from_distractors_is_an_error(made, rules):
    others = set(made.others)
    for name, document in made.documents.items():
        document["origin"] = "filler" if name in others else "annotated"
    assert rules() == {"label-leak": "error"}
    assert "origin 'annotated'" in rules.told["label-leak"]


def test_ids_that_carry_the_label_are_an_error(made, rules):
    renamed = {}
    for number, query in enumerate(made.oblique):
        renamed |= {gold: f"k{number:03d}-{place}" for place, gold in enumerate(made.golds(query))}
    made.documents = {
        renamed.get(name, name): {**document, "_id": renamed.get(name, name)}
        for name, document in made.documents.items()
    }
    made.qrels = {(query, renamed.get(name, name)): grade for (query, name), grade in made.qrels.items()}
    for row in made.recorded:
        row["docid"] = renamed.get(row["docid"], row["docid"])
    found = rules()
    assert found["label-leak"] == "error"
    assert found.keys() <= {"label-leak", "golds-in-order"}
    assert "start of the id" in rules.told["label-leak"]


def test_fingerprints_in_the_metadata_that_answer_the_query_are_an_error(made, rules):
    rng = random.Random(2)
    for query in made.oblique:
        words = made.queries[query]["text"].split()
        for gold in made.golds(query):
            made.documents[gold]["metadata"]["fingerprint"] = " ".join(rng.sample(words, 6))
    assert rules() == {"metadata-answers": "error", "label-fields": "warning"}


def test_annotations_are_known_by_the_names_of_their_fields(made, rules):
    made.documents[made.others[0]]["abstract_proof_move"] = "induction"
    assert rules() == {"label-fields": "warning"}
    assert "abstract_proof_move (1 documents)" in rules.told["label-fields"]


def test_documents_sorted_by_label_are_a_warning(made, rules):
    golds = [gold for query in made.oblique for gold in made.golds(query)]
    others = made.others
    made.reorder([x for pair in zip(golds[::2], golds[1::2], others, strict=False) for x in pair] + others[104:])
    found = rules()
    assert found == {"golds-in-order": "warning"}


# ---------------------------------------------------------------- splits, components, power


@pytest.mark.parametrize("kind", ["gold", "group", "twin", "text", "copy of a gold", "author or source of a gold"])
def test_what_dev_and_test_share_is_an_error(made, rules, kind):
    dev, test = "q000", "q001"
    assert (made.split[dev], made.split[test]) == ("dev", "test")
    expected = {"split-leak": "error"}
    if kind == "gold":
        made.relevant(test, [*made.golds(test), made.golds(dev)[0]])
    elif kind == "group":
        for name in (test, f"{test}-s"):
            made.queries[name]["metadata"]["group"] = "g000"
    elif kind == "twin":
        made.queries[f"{test}-s"]["metadata"]["group"] = "another"
        made.split[f"{test}-s"] = "dev"
    elif kind == "text":
        made.queries[test]["text"] = made.queries[dev]["text"].upper()
    elif kind == "copy of a gold":
        made.add("copy", made.documents[made.golds(dev)[0]]["text"])
        for query in (dev, test):
            made.relevant(query, [*made.golds(query), "copy"])
        made.relevant(dev, made.golds(dev)[:2])
        made.qrels |= {("q000", "copy"): 0, ("q000-s", "copy"): 0}
        expected |= {"duplicates-exact": "warning", "gold-twin-unjudged": "error"}
    else:
        for query in (dev, test):
            made.documents[made.golds(query)[0]]["metadata"]["author"] = "A. Writer"
        for name in made.others[:2]:
            made.documents[name]["metadata"]["author"] = "A. Writer"
    assert rules() == expected
    shared = "gold" if kind == "twin" else kind  # a query and its twin have the same golds
    assert f"share a {shared} with a dev query" in rules.told["split-leak"]


def test_no_split_at_all_is_a_warning(made, rules):
    made.split = {}
    assert rules() == {"split-missing": "warning"}


def test_one_component_of_65_per_cent_of_the_queries_is_an_error(made, rules):
    chain = made.oblique[:68]
    for one, other in pairwise(chain):
        made.relevant(other, [*made.golds(other)[:2], made.golds(one)[0]])
    made.split = {name: "dev" if name[:4] in chain else "test" for name in made.queries}
    assert rules() == {"connected-component": "error", "power": "warning"}
    assert "68 of 104 queries (65%)" in rules.told["connected-component"]
    assert "37 independent groups" in rules.told["power"]


def test_fewer_than_100_independent_groups_say_what_difference_they_can_show(made, rules):
    made.keep(60)
    for query in made.oblique[::2]:
        made.queries[query]["text"] += " " + made.queries[f"{query}-s"]["text"].split()[0]
    made.judge_all(made.oblique)
    found = rules()
    assert found["power"] == "warning"
    assert found.keys() == {"power", "rare-terms"}
    assert "60 independent groups" in rules.told["power"]
    assert "must lie 0." in rules.told["power"]


def test_forty_queries_are_few(made, rules):
    made.keep(40)
    assert rules() == {"few-queries": "warning", "power": "warning"}
    assert "40 oblique queries" in rules.told["few-queries"]


# ---------------------------------------------------------------- judgements and twins


def test_only_positives_are_a_warning(made, rules):
    made.qrels = {pair: grade for pair, grade in made.qrels.items() if grade}
    assert rules() == {"no-judged-zeros": "warning"}


def test_a_first_page_that_is_mostly_unjudged_is_a_warning(made, rules):
    for query in made.oblique:
        made.queries[query]["text"] += " " + " ".join(made.common[:3])
    assert rules() == {"unjudged-share": "warning"}


def test_a_missing_twin_is_a_warning(made, rules):
    del made.queries["q004-s"], made.split["q004-s"]
    made.qrels = {pair: grade for pair, grade in made.qrels.items() if pair[0] != "q004-s"}
    assert rules() == {"twin-missing": "warning"}
    assert "q004" in rules.told["twin-missing"]


def test_a_twin_with_other_grades_is_an_error(made, rules):
    made.qrels["q004-s", made.golds("q004")[0]] = 2
    assert rules() == {"twin-golds-differ": "error"}


def test_a_mechanism_that_nobody_knows_is_a_warning(made, rules):
    made.queries["q004"]["metadata"]["mechanism"] = "vibes"
    assert rules() == {"mechanism-unknown": "warning"}
    assert "'vibes'" in rules.told["mechanism-unknown"]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"qid": "q999", "docid": "x", "score": 1}, "unknown query 'q999'"),
        ({"qid": "q001", "docid": "nowhere", "score": 1}, "unknown document 'nowhere'"),
        ({"qid": "q001", "docid": "GOLD", "score": 3}, "scores q001 / GOLD again"),
        ({"qid": "q001", "docid": "OTHER", "score": 7}, "scores 7, outside 0-3"),
        ({"qid": "q001", "docid": "OTHER", "score": "high"}, "the score must be a number"),
    ],
)
def test_a_recorded_judgement_that_cannot_be_is_an_error(made, rules, row, told):
    names = {"GOLD": made.golds("q001")[0], "OTHER": made.others[0]}
    made.recorded.append({**row, "docid": names.get(row["docid"], row["docid"])})
    for short, name in names.items():
        told = told.replace(short, name)
    assert rules() == {"judgements": "error"}
    assert told in rules.told["judgements"]


def test_recorded_judgements_that_miss_golds_or_queries_are_a_warning(made, rules):
    made.recorded = made.recorded[3:]
    assert rules() == {"judgements": "warning"}
    assert "1 of 104 queries have no score, 1 of 206 golds" in rules.told["judgements"]


# ---------------------------------------------------------------- documents


def test_a_document_of_five_characters_is_a_warning_and_a_gold_of_five_an_error(made, rules):
    made.add("tiny", "Aye .")
    assert rules() == {"tiny-documents": "warning"}
    made.documents[made.golds("q001")[0]]["text"] = "Yes ."
    assert rules() == {"tiny-documents": "error"}


def test_texts_cut_at_10000_characters_in_the_middle_of_a_word_are_a_warning(made, rules):
    rng = random.Random(4)
    for name in made.others[:30]:
        text = " ".join(rng.choices(made.common, k=1500))[:9999]
        made.documents[name]["text"] = f"{text}x"
    made.documents[made.others[40]]["text"] = " ".join(rng.choices(made.common, k=800)) + "."
    assert rules() == {"truncated-texts": "warning"}
    assert "30 documents are as long as the longest (10000 characters" in rules.told["truncated-texts"]


def test_documents_longer_than_the_model_reads_are_counted(made, rules, tmp_path):
    model = save_tiny_model(tmp_path, made.common, max_length=48)
    assert rules(model=str(model)) == {"truncated-by-model": "warning"}
    assert "reads 48 tokens" in rules.told["truncated-by-model"]
    model = save_tiny_model(tmp_path / "long", made.common, max_length=128)
    assert rules(model=str(model)) == {}


# ---------------------------------------------------------------- pools


def test_a_pool_of_16_with_12_golds_and_one_smaller_than_the_cutoff_are_errors(made, rules, tmp_path):
    from evalsuite.retrieval.pools import build_pool, write_pool

    made.relevant("q000", [*made.golds("q000"), *made.others[:10]])
    corpus = load_corpus(made.write(tmp_path / "made"))
    sizes = {"small": (8, 16), "large": (150,)}
    paths = {
        name: write_pool(build_pool(corpus, {}, sizes=sizes[name], kind="random"), tmp_path / f"{name}.pool.jsonl")
        for name in sizes
    }
    assert rules(pool=paths["large"]) == {}
    findings = lint(tmp_path / "made", pool=paths["small"])
    assert {f.rule for f in findings} == {"pool-too-small"}
    told = [f"{f.severity} {f.where}: {f.message}" for f in findings]
    assert told[0] == "error made pool of 8: as few as 8 candidates: any order of them has R@10 1"
    assert "relevant" in told[1]
    assert "a random order of the candidates is expected to have nDCG@10" in told[2]
    assert any(
        line.startswith("warning made pool of 16: as few as 16 candidates: any order of them has R@100")
        for line in told
    )


# ---------------------------------------------------------------- the card


@pytest.mark.parametrize(
    ("card", "severity", "told"),
    [
        ({"licence": None}, "error", "names no licence"),
        ({"provenance": None}, "warning", "lacks provenance"),
        ({"mechanism": None}, "warning", "lacks mechanism"),
        ({"known_limits": []}, "warning", "lacks known_limits"),
        ({"counts": {"documents": 467, "queries": 208}}, "error", "documents 467 (found 468)"),
        ({"counts": None}, "warning", "lacks counts"),
        ({"sha256": {}}, "warning", "5 data files have no sha256: corpus.jsonl"),
    ],
)
def test_what_the_card_lacks_or_gets_wrong(rules, card, severity, told):
    assert rules(card=card) == {"card": severity}
    assert told in rules.told["card"]


def test_a_corpus_without_a_card_is_an_error(made, tmp_path):
    folder = made.write(tmp_path / "made")
    (folder / "corpus.yaml").unlink()
    assert [(f.rule, f.severity) for f in lint(folder) if f.rule == "card"] == [("card", "error")]


# ---------------------------------------------------------------- the audit of missed golds


def fill(path, relevant):
    """Answer every pair of a sample by `relevant(record)`."""
    header, *lines = path.read_text().splitlines()
    records = [json.loads(line) for line in lines]
    for record in records:
        record["relevant"] = relevant(record)
    path.write_text("\n".join([header, *(json.dumps(record) for record in records)]) + "\n")
    return records


def test_the_audit_recovers_the_share_of_golds_that_the_judgements_lack(made, tmp_path):
    for query in made.oblique:
        made.queries[query]["text"] += " " + " ".join(made.common[int(query[1:]) : int(query[1:]) + 4])
    truth = {(q, d) for q in made.oblique for d in random.Random(q).sample(made.others, 3)}
    for pair in truth:
        made.qrels.pop(pair, None)
        made.qrels.pop((f"{pair[0]}-s", pair[1]), None)
    corpus = load_corpus(made.write(tmp_path / "made"))
    sample = tmp_path / "sample.jsonl"
    assert write_sample(corpus, sample, n=4000, seed=1) == 4000
    fill(sample, lambda record: (record["qid"], record["docid"]) in truth)
    found = estimate(sample, corpus)
    rate = len(truth) / (len(truth) + found.known)
    assert found.low < rate < found.high
    assert abs(found.rate - rate) < 0.1
    assert [(f.rule, f.severity) for f in lint(tmp_path / "made", audit=sample) if f.rule == "missed-golds"] == [
        ("missed-golds", "error")
    ]


def test_the_sample_is_unjudged_pairs_of_oblique_queries_half_of_them_high_in_bm25(made, tmp_path):
    for query in made.oblique:
        made.queries[query]["text"] += f" {made.common[int(query[1:])]}"
    corpus = load_corpus(made.write(tmp_path / "made"))
    sample = tmp_path / "sample.jsonl"
    write_sample(corpus, sample, n=100, seed=1)
    header, *records = [json.loads(line) for line in sample.read_text().splitlines()]
    strata = [record["stratum"] for record in records]
    assert sorted(strata) == ["rest"] * 50 + ["top 100 of bm25"] * 50
    assert strata != sorted(strata)  # shuffled: the stratum is not told by the place
    assert len({(r["qid"], r["docid"]) for r in records}) == 100
    assert not any((r["qid"], r["docid"]) in made.qrels or r["qid"].endswith("-s") for r in records)
    assert all(r["text"] == made.documents[r["docid"]]["text"] and r["relevant"] is None for r in records)
    assert sum(header["strata"].values()) == 104 * 468 - 104 * (2 + 8)
    first = sample.read_bytes()
    write_sample(corpus, sample, n=100, seed=1)
    assert sample.read_bytes() == first
    write_sample(corpus, sample, n=100, seed=2)
    assert sample.read_bytes() != first


def test_a_fully_judged_corpus_has_nothing_to_audit(made, tmp_path, command):
    made.keep(50)
    made.judge_all(made.oblique)
    folder = made.write(tmp_path / "made")
    done = command("retrieval", "lint", folder, "--audit-sample", tmp_path / "sample.jsonl")
    assert done.code == 0
    assert "every pair of query and document is judged" in done.stdout
    assert not (tmp_path / "sample.jsonl").exists()


def test_a_sample_that_is_unfinished_changed_or_of_another_corpus_is_refused(made, tmp_path):
    corpus = load_corpus(made.write(tmp_path / "made"))
    sample = tmp_path / "sample.jsonl"
    write_sample(corpus, sample, n=20)
    with pytest.raises(InputError, match="20 of 20 pairs are not judged yet"):
        estimate(sample, corpus)
    fill(sample, lambda record: "maybe")
    with pytest.raises(InputError, match="must be true or false; found 'maybe'"):
        estimate(sample, corpus)
    fill(sample, lambda record: False)
    assert estimate(sample, corpus).rate == 0
    whole = sample.read_text()
    sample.write_text("\n".join(whole.splitlines()[:-1]) + "\n")
    with pytest.raises(InputError, match="its 19 pairs are not the 20 that were drawn"):
        estimate(sample, corpus)
    sample.write_text(whole)
    made.qrels["q001", made.others[0]] = 1
    with pytest.raises(InputError, match="drawn from another corpus"):
        estimate(sample, load_corpus(made.write(tmp_path / "changed")))
    with pytest.raises(UsageError, match="n must be 1 or more"):
        write_sample(corpus, sample, n=0)


# ---------------------------------------------------------------- the command, and real corpora


def test_the_command_exits_1_on_errors_and_0_on_warnings(made, tmp_path, command):
    folder = made.write(tmp_path / "made")
    assert command("retrieval", "lint", folder) == (0, "0 errors, 0 warnings\n", "")
    made.split = {}
    done = command("retrieval", "lint", made.write(tmp_path / "warned"), "--json")
    assert done.code == 0
    [finding] = json.loads(done.stdout)["findings"]
    assert finding.keys() == {"rule", "severity", "where", "message"}
    assert (finding["rule"], finding["severity"]) == ("split-missing", "warning")
    done = command("retrieval", "lint", made.write(tmp_path / "wrong", licence=None), folder)
    assert done.code == 1
    assert "error: made corpus.yaml: names no licence" in done.stdout
    assert done.stdout.endswith("[split-missing]\n1 errors, 1 warnings\n")
    assert command("retrieval", "lint", tmp_path / "nowhere").code == 2
    assert command("retrieval", "lint", folder, folder, "--audit", "x").code == 2


def test_the_command_prints_the_missing_rate(made, tmp_path, command):
    folder, sample = made.write(tmp_path / "made"), tmp_path / "sample.jsonl"
    assert command("retrieval", "lint", folder, "--audit-sample", sample, "--n", 30).code == 0
    fill(sample, lambda record: False)
    done = command("retrieval", "lint", folder, "--audit", sample)
    assert done.code == 0
    assert "audit: 0.0% [0.0%, " in done.stdout
    told = json.loads(command("retrieval", "lint", folder, "--audit", sample, "--json").stdout)
    assert told["audit"]["rate"] == 0
    assert told["audit"]["known"] == 208


def test_the_bundled_corpus_has_no_error(command):
    done = command("retrieval", "lint", Path(__file__).parents[1] / "corpora" / "clauses-mini", "--json")
    assert done.code == 0
    found = {finding["rule"] for finding in json.loads(done.stdout)["findings"]}
    assert found == {"split-missing", "power", "few-queries"}


def test_cranfield_and_cuad_have_the_faults_that_are_known_of_them(shared_data):
    cranfield = {finding.rule for finding in lint(shared_data / "cranfield")}
    assert {"card", "tiny-documents", "unjudged-share", "mechanism-unknown", "connected-component"} <= cranfield
    assert {"rare-terms", "label-leak", "gold-prior"}.isdisjoint(cranfield)
    cuad = {finding.rule for finding in lint(shared_data / "cuad-clauses")}
    assert {"card", "duplicates-near", "gold-twin-unjudged", "few-queries", "connected-component"} <= cuad

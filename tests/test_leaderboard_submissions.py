"""What a leaderboard says of systems that others hand in: under whose name, at what cost, with which warnings, and how alike."""

import json
import re
import shutil

import pytest
from bundlekit import RUN, bundle_of, edit
from test_leaderboard import noisy, retrieval

from evalsuite import evaluate
from evalsuite.reporting.leaderboard import as_json, build, leaderboard
from evalsuite.retrieval.seals import read_seal, seal, verify
from evalsuite.retrieval.submission import new, score_live
from evalsuite.storage import sha256_file


@pytest.fixture
def place(tmp_path):
    (tmp_path / "all").mkdir()
    return tmp_path / "all"


def sealed(folder, corpus, run=RUN, declared=(), **changed):
    """A sealed bundle; `declared` are resources as (key, amount)."""
    bundle = bundle_of(folder, corpus, run, **changed)
    for key, amount in declared:
        edit(bundle / "submission.yaml", f'{key}: "unknown"', f"{key}: {amount}")
    seal(bundle)
    return bundle


def systems(*paths):
    [group] = as_json(leaderboard(paths))["groups"]
    return {system["system"]: system for board in group["boards"] for system in board["systems"]}


def notes(*paths):
    return [note for group in as_json(leaderboard(paths))["groups"] for note in group["notes"]]


# ---------------------------------------------------------------- what it took


def test_a_ranking_of_another_system_has_no_time_and_no_cost_of_ours(corpus_folder, tmp_path):
    (tmp_path / "mine.trec").write_text(RUN)
    for spec in (f"runfile:{tmp_path / 'mine.trec'}", f"hybrid:bm25+runfile:{tmp_path / 'mine.trec'}"):
        [outcome] = evaluate(corpus_folder, spec, out=tmp_path / "out")
        usage = outcome.manifest.usage
        assert (usage["tokens"], usage["cost"]) == ("unknown", "unknown")
        assert usage["seconds"] == {"index": None, "search": None}
        assert usage["queries_per_second"] is usage["peak_memory_bytes"] is None
        assert "made_elsewhere" not in outcome.manifest.system["facts"]
    own = systems(tmp_path / "out")["runfile:mine.trec"]["resources"]
    assert own and set(own.values()) == {None}


def test_a_bundle_is_not_drawn_against_time_or_cost(place, corpus_folder):
    sealed(place / "one", corpus_folder)
    evaluate(corpus_folder, ["bm25", "random"], out=place / "runs")
    build([place], place.parent / "page.html")
    page = (place.parent / "page.html").read_text()
    assert "not drawn: ms/query unknown" in page
    assert "Not drawn against cost $: it is 0 for all of the 2 systems it is known of." in page
    assert set(systems(place)["overlap (a team)"]["resources"].values()) == {None}


def test_what_an_author_declares_is_shown_as_declared_and_never_drawn(place, corpus_folder, command, tmp_path):
    amounts = [("search seconds", 6), ("cost usd", 12.5), ("indexing seconds", 90)]
    sealed(place / "one", corpus_folder, declared=amounts)
    evaluate(corpus_folder, ["bm25", "random"], out=place / "runs")
    done = command("leaderboard", place, "-o", tmp_path / "page.html")
    assert "2,000 (d) │" in done.stdout and "(d): as its author declares" in done.stdout
    page = (tmp_path / "page.html").read_text()
    assert '<td class="n">12.5 (d)</td>' in page and '<td class="n">90 (d)</td>' in page
    assert "(d): as its author declares</caption>" in page
    assert "not drawn: as its author declares" in page
    own = systems(place)["overlap (a team)"]
    assert set(own["resources"].values()) == {None}
    assert own["declared"] == {"index s": 90, "search s": 6, "queries/s": 0.5, "ms/query": 2000, "cost $": 12.5}


def test_a_live_bundle_has_what_was_measured_on_the_live_run(place, corpus_folder):
    filled = bundle_of(place.parent / "filled", corpus_folder)
    new(place / "live", str(corpus_folder))
    shutil.copyfile(filled / "submission.yaml", place / "live" / "submission.yaml")
    edit(place / "live" / "submission.yaml", 'search seconds: "unknown"', "search seconds: 6")
    live = score_live("bm25", folder=place / "live")
    seal(place / "live")
    own = systems(place)["overlap (a team)"]
    assert own["resources"]["queries/s"] == live.manifest.usage["queries_per_second"] > 0
    assert (own["resources"]["cost $"], own["declared"]) == (0, {})


# ---------------------------------------------------------------- what verify refuses has no place


def test_a_file_that_the_seal_does_not_name_takes_the_place_away(place, corpus_folder):
    bundle = sealed(place / "one", corpus_folder)
    evaluate(corpus_folder, "bm25", out=place / "runs")
    assert leaderboard([place]).problems == []
    (bundle / "extra").write_text("x")
    [(run, why)] = leaderboard([place]).unverifiable
    assert run.startswith("one/scored/") and "extra: stored not in the seal" in why
    assert not verify(bundle)["ok"]


def test_a_foreign_run_in_a_bundle_is_no_competitor_but_a_problem(place, corpus_folder):
    bundle = sealed(place / "one", corpus_folder)
    foreign = evaluate(corpus_folder, "random", out=place.parent / "elsewhere")[0].path
    evaluate(corpus_folder, "bm25", out=place / "runs")
    shutil.copytree(foreign, bundle / "scored" / foreign.name)
    found = leaderboard([place])
    assert list(systems(place)) == ["bm25"]
    told = dict(found.problems)
    assert told.pop(f"one/scored/{foreign.name}").endswith("a sealed bundle, whose seal.json does not name it")
    [why] = told.values()
    assert f"scored/{foreign.name}/" in why and "not in the seal" in why


def test_a_scored_run_of_somebody_else_s_bundle_does_not_stand_in_for_it(place, corpus_folder):
    ours = sealed(place / "ours", corpus_folder, team="We")
    copied = place / "copied"
    shutil.copytree(ours, copied)
    edit(copied / "submission.yaml", "team: We", "team: Mallory")
    files = read_seal(ours).files | {"submission.yaml": sha256_file(copied / "submission.yaml")}
    forged = read_seal(ours).model_copy(update={"team": "Mallory", "files": files})
    (copied / "seal.json").write_bytes(forged.closed().encoded())
    assert verify(copied)["ok"]
    assert set(systems(place)) == {"overlap (We)", "overlap (Mallory)"}


# ---------------------------------------------------------------- names


def test_a_submission_stands_under_its_tag_and_its_team_and_is_not_taken_for_a_built_in(place, corpus_folder):
    sealed(place / "one", corpus_folder, tag="bm25", team="Mallory")
    evaluate(corpus_folder, "bm25", out=place / "runs")
    assert set(systems(place)) == {"bm25", "bm25 (Mallory)"}
    assert not any("was run" in note for note in notes(place))


def test_runs_of_different_systems_with_one_name_are_not_said_to_be_runs_of_one(place, corpus_folder):
    for folder, run in (("a", RUN), ("b", RUN.replace("3.5", "9.5"))):
        (place / folder).mkdir()
        (place / folder / "mine.trec").write_text(run)
        evaluate(corpus_folder, f"runfile:{place / folder / 'mine.trec'}", out=place / "runs")
    assert notes(place) == [
        "2 runs with different settings go by the name runfile:mine.trec; each is shown by its folder."
    ]


# ---------------------------------------------------------------- warnings


def test_the_warnings_of_a_seal_stand_beside_the_system(place, corpus_folder, command, tmp_path):
    perfect = "".join(f"q{i} Q0 {doc} 1 1.0 x\n" for i, doc in ((1, "d1"), (2, "d2")))
    bundle = sealed(place / "one", corpus_folder, perfect, tag="<b>sly", team="a team")
    warnings = json.loads((bundle / "seal.json").read_text())["warnings"]
    assert len(warnings) > 1
    evaluate(corpus_folder, "bm25", out=place / "runs")
    done = command("leaderboard", place, "-o", tmp_path / "page.html")
    said = re.sub(r"\s+", " ", done.stdout)
    page = (tmp_path / "page.html").read_text()
    for warning in warnings:
        assert f"warning: <b>sly (a team): {warning}" in said
    assert page.count("<li>warning: <bdi>&lt;b&gt;sly (a team)</bdi>: <bdi>") == len(warnings)
    assert "<b>sly" not in page
    assert systems(place)["<b>sly (a team)"]["warnings"] == warnings
    assert systems(place)["bm25"]["warnings"] == []


# ---------------------------------------------------------------- systems that are alike


def said(path):
    return [word for word in as_json(leaderboard([path]))["groups"][0]["boards"][0]["words"] if "same scores" in word]


def test_systems_with_the_same_scores_on_every_query_are_named_once(place):
    for name in ("one", "two", "three"):
        retrieval(place / name, noisy(0.5, 20))
    retrieval(place / "four", noisy(0.5, 20, seed=3))
    retrieval(place / "five", list(reversed(noisy(0.5, 20))))
    [told] = said(place)
    assert re.fullmatch(r"(\w+), (\w+) and (\w+) have the same scores on every query\.", told)
    assert set(re.findall(r"one|two|three|four|five", told)) == {"one", "two", "three"}


@pytest.mark.parametrize("values", [[0.2, 0.3, 0.4, 0.5], [0.0] * 20])
def test_few_queries_and_scores_that_are_all_0_or_1_tell_nothing(place, values):
    for name in ("one", "two"):
        retrieval(place / name, values)
    assert said(place) == []

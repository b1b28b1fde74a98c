"""The leaderboard over sealed bundles: their names and tracks, what is unsealed, what does not verify, versions apart."""

import json
import shutil

import pytest
from bundlekit import bundle_of
from conftest import QUERIES, write_jsonl
from test_leaderboard import noisy, retrieval

from evalsuite import EvalsuiteError, evaluate
from evalsuite.reporting.leaderboard import as_json, build, leaderboard
from evalsuite.retrieval.seals import Seal, read_seal, seal

OTHER = """\
q1 Q0 d1 1 3.5 x
q1 Q0 d5 2 2.5 x
q2 Q0 d5 1 2.0 x
q3 Q0 d6 1 2.0 x
"""


@pytest.fixture
def handed_in(tmp_path, corpus_folder):
    """Two sealed bundles, one that uses an LLM per query, and an unsealed run of ours."""
    place = tmp_path / "all"
    place.mkdir()
    seal(bundle_of(place / "one", corpus_folder))
    seal(bundle_of(place / "two", corpus_folder, OTHER, tag="thinker", track="query"))
    evaluate(corpus_folder, "bm25", out=place / "runs")
    return place


def boards(found):
    return {b["title"]: {s["system"]: s["sealed"] for s in b["systems"]} for g in found["groups"] for b in g["boards"]}


def test_bundles_stand_under_their_tags_by_track_and_unsealed_runs_are_told_apart(handed_in, tmp_path):
    found = as_json(build([handed_in], tmp_path / "page.html"))
    assert boards(found) == {
        "all queries, track none": {"overlap (a team)": True, "bm25": False},
        "all queries, track query": {"thinker (a team)": True},
    }
    assert [(b["mechanism"], b["track"]) for b in found["groups"][0]["boards"]] == [
        ("unspecified", "none"),
        ("unspecified", "query"),
    ]
    assert (found["runs"], found["sealed"], found["errors"]) == (3, 2, 0)
    page = (tmp_path / "page.html").read_text()
    assert page.count("<td>sealed</td>") == 2 and page.count("<td>unsealed</td>") == 1
    assert "Sealed: 2 of 3." in page


def test_the_terminal_tells_sealed_from_unsealed_where_a_ranking_has_both(handed_in, command, tmp_path):
    both = command("leaderboard", handed_in, "-o", tmp_path / "page.html")
    assert both.code == 0 and both.stdout.endswith(f"3 runs, 2 sealed -> {tmp_path / 'page.html'}\n")
    cells = [line.split("│") for line in both.stdout.splitlines() if line.startswith("│")]
    assert {row[1].strip(): row[-2].strip() for row in cells[:2]} == {"overlap (a team)": "yes", "bm25": "no"}
    alone = command("leaderboard", handed_in / "one", "-o", tmp_path / "page.html")
    assert alone.code == 0 and " sealed ┃" not in alone.stdout and "1 run, 1 sealed" in alone.stdout


def sealed_anew(bundle, **changes):
    """Write the seal with other content and the hashes that fit it."""
    (bundle / "seal.json").write_bytes(Seal.model_validate(read_seal(bundle).model_dump() | changes).closed().encoded())


def files(place):
    return sorted(path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file())


def test_one_flipped_bit_anywhere_in_a_bundle_takes_its_place_away_and_the_file_is_named(handed_in):
    bundle = handed_in / "one"
    caught = []
    for name in files(bundle):
        whole = (bundle / name).read_bytes()
        for position in {0, len(whole) // 3, len(whole) - 2}:
            (bundle / name).write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
            found = leaderboard([handed_in])
            assert "overlap (a team)" not in [label for group in found.groups for label in group.labels], (
                name,
                position,
            )
            [(run, why)] = found.problems
            assert run.startswith("one/scored/") and name.rpartition("/")[2] in why, (name, position)
            caught.append(name)
        (bundle / name).write_bytes(whole)
    assert len(caught) > 15 and leaderboard([handed_in]).problems == []


def test_a_file_that_went_missing_is_named(handed_in):
    (handed_in / "one" / "run.trec").unlink()
    [(_, why)] = leaderboard([handed_in]).unverifiable
    assert why.startswith("does not verify: run.trec: stored ") and "..., derived missing" in why


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"macro": {"nDCG@10": {"mean": 0.99, "low": 0.9, "high": 1.0, "n": 3}}}, "macro.nDCG@10.mean"),
        ({"corpus": {"name": "another", "version": "1", "sha256": "0" * 64, "view": "test"}}, "name of the corpus"),
        ({"tag": "another"}, "submission.yaml tag: stored another, derived overlap"),
    ],
)
def test_a_seal_that_was_made_anew_around_other_numbers_is_caught(handed_in, change, said):
    sealed_anew(handed_in / "one", **change)
    [(_, why)] = leaderboard([handed_in]).unverifiable
    assert said in why


def test_a_run_that_is_not_what_its_own_hashes_say_has_no_place_and_the_command_ends_with_3(
    handed_in, command, tmp_path
):
    [results] = (handed_in / "runs").glob("*/results.jsonl")
    results.write_text(results.read_text().replace('"nDCG@10":', '"nDCG@10": '))
    done = command("leaderboard", handed_in, "-o", tmp_path / "page.html")
    assert done.code == 3 and "results.jsonl is not what was hashed in run.json" in done.stdout.replace("\n", " ")
    assert "does not verify" in (tmp_path / "page.html").read_text()
    assert [p["why"] for p in as_json(leaderboard([handed_in]))["problems"]] == [
        "does not verify: results.jsonl is not what was hashed in run.json"
    ]


@pytest.mark.parametrize("content", ["[]", "{", '{"files": 3}', '{"tag": "x"}'])
def test_a_seal_that_is_none_is_listed_and_the_others_still_ranked(handed_in, content):
    (handed_in / "one" / "seal.json").write_text(content)
    found = leaderboard([handed_in])
    assert len(found.unreadable) == 1 and "seal.json" in found.unreadable[0][1]
    assert found.n_runs == 3 and found.n_sealed == 1


def test_a_seal_that_points_outside_its_folder_reads_nothing_there(handed_in, tmp_path):
    (tmp_path / "secret").write_text("x")
    sealed_anew(handed_in / "one", files=read_seal(handed_in / "one").files | {"../../secret": "0" * 64})
    [(_, why)] = leaderboard([handed_in]).unverifiable
    assert "../../secret: stored 000000000000..., derived missing" in why


def test_a_copy_of_a_run_counts_once_and_the_sealed_one_is_shown(handed_in, tmp_path):
    [run] = (handed_in / "one" / "scored").iterdir()
    for name in ("a-before", "z-after"):
        shutil.copytree(run, handed_in / name / run.name)
    again = handed_in / "z-after" / run.name / "run.json"  # as a copy that was taken up and finished once more
    again.write_text(json.dumps(json.loads(again.read_text()) | {"finished_at": "2031-01-01T00:00:00Z"}))
    found = as_json(leaderboard([handed_in]))
    assert found["runs"] == 3 and boards(found)["all queries, track none"] == {"overlap (a team)": True, "bm25": False}


def test_live_runs_inside_a_bundle_are_no_entries_of_their_own(handed_in, corpus_folder):
    bundle = handed_in / "one"
    evaluate(corpus_folder, "random", out=bundle / "live", depth=2)
    [live] = (bundle / "live").iterdir()
    kept = {f"live/{live.name}/{name}": "0" * 64 for name in ("run.json", "results.jsonl")}
    sealed_anew(bundle, files=read_seal(bundle).files | kept)
    found = leaderboard([handed_in])
    assert "random" not in [label for group in found.groups for label in group.labels]
    assert "live/" in found.unverifiable[0][1]
    with pytest.raises(EvalsuiteError, match="inside a sealed bundle; name the bundle"):
        leaderboard([live])


def test_versions_of_a_corpus_stand_apart_and_name_each_other(tmp_path, corpus_folder):
    evaluate(corpus_folder, "bm25", out=tmp_path / "runs")
    write_jsonl(corpus_folder / "queries.jsonl", [query | {"text": "notice"} for query in QUERIES])
    evaluate(corpus_folder, "bm25", out=tmp_path / "runs")
    groups = as_json(leaderboard([tmp_path / "runs"]))["groups"]
    assert [len(group["boards"][0]["systems"]) for group in groups] == [1, 1]
    for group, other in (groups, groups[::-1]):
        [note] = group["notes"]
        assert other["sha256"][:12] in note and note.endswith("other data, whose numbers do not compare.")


def test_systems_of_two_tracks_are_ranked_apart_for_each_mechanism(tmp_path):
    for name, track, mean in (("bm25", "none", 0.2), ("dense", "none", 0.5), ("hyde", "query", 0.9)):
        retrieval(tmp_path / name, noisy(mean, 20, seed=len(name)), mechanisms=("a", "b"), system={"track": track})
    [group] = as_json(leaderboard([tmp_path]))["groups"]
    found = {b["title"]: [(s["system"], s["letters"]) for s in b["systems"]] for b in group["boards"]}
    assert found == {
        "a queries, track none": [("dense", "a"), ("bm25", "b")],
        "a queries, track query": [("hyde", None)],
        "b queries, track none": [("dense", "a"), ("bm25", "b")],
        "b queries, track query": [("hyde", None)],
    }

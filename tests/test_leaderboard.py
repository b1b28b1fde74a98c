"""The leaderboard: who stands where, which systems do not differ, what has no place, and nothing in the page can run."""

import base64
import hashlib
import json
import random
import re
from html.parser import HTMLParser
from itertools import combinations, count

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from test_evaluate import write_corpus

from evalsuite import EvalsuiteError, evaluate
from evalsuite.reporting.charts import number
from evalsuite.reporting.leaderboard import as_json, build, find_runs, leaderboard
from evalsuite.reporting.standings import letters

MANIFEST = {
    "schema_version": 1,
    "suite": {"name": "planted", "version": "1.0.0", "sha256": "abc"},
    "status": "complete",
    "environment": {"platform": "p", "cpus": 2},
}
USAGE = {
    "tokens": 0,
    "cost": 0,
    "seconds": {"index": 1.5, "search": 2.0},
    "queries_per_second": 100.0,
    "index_bytes": 2_000_000,
}


def save(folder, manifest, units):
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(MANIFEST | manifest))
    (folder / "results.jsonl").write_text("".join(json.dumps(unit) + "\n" for unit in units))
    return folder


def retrieval(folder, values, *, mechanisms=(None,), groups=None, measure="nDCG@10", **manifest):
    """A run whose queries score `values`, for each mechanism."""
    ids = count()
    units = [
        {
            "unit": "query",
            "id": f"q{next(ids)}",
            "mechanism": mechanism,
            "group": str(groups[i]) if groups else None,
            "measures": {measure: value, "AP": value / 2},
            "judged@10": 1.0,
        }
        for mechanism in mechanisms
        for i, value in enumerate(values)
    ]
    system = {"name": folder.name, **manifest.pop("system", {})}
    head = {"kind": "retrieval", "system": system, "protocol": {"view": "gold", "id": "p1"}, "usage": USAGE}
    return save(folder, head | manifest, units)


def lab(folder, passed, *, trials=1, **manifest):
    """A run of one criterion a task; `passed` has True, False or None (an error) per task."""
    units = []
    for task, outcome in enumerate(passed):
        for trial in range(1, trials + 1):
            name = {"task": f"area/t{task}", "trial": trial}
            work = {"stop_reason": "done", "finished": True, "seconds": 30.0, "turns": 4, "cost": 0.25}
            verdict = {True: "pass", False: "fail", None: "error"}[outcome]
            error = {"error_kind": "timeout"} if outcome is None else {}
            units.append({"unit": "trial", **name, **work, "tokens": {"input": 1000, "output": 10}})
            units.append({"unit": "criterion", **name, "id": "C-1", "title": "t", "verdict": verdict, **error})
    plan = {"trials": trials, "tasks": {f"area/t{task}": 1 for task in range(len(passed))}}
    head = {"kind": "lab", "system": {"name": folder.name}, "protocol": {"id": "p1"}, "plan": plan}
    return save(folder, head | manifest, units)


def noisy(mean, n=40, seed=0, spread=0.05):
    values = random.Random(seed)
    return [mean + values.uniform(-spread, spread) for _ in range(n)]


def board(path, place=0):
    return as_json(leaderboard([path]))["groups"][0]["boards"][place]


def lettered(path, place=0):
    return {entry["system"]: entry["letters"] for entry in board(path, place)["systems"]}


def test_systems_planted_apart_get_letters_of_their_own_and_equal_ones_share_one(tmp_path):
    retrieval(tmp_path / "good", noisy(0.8, seed=1))
    retrieval(tmp_path / "also-good", noisy(0.8, seed=2))
    retrieval(tmp_path / "middle", noisy(0.5, seed=3))
    retrieval(tmp_path / "bad", noisy(0.1, seed=4))
    found = lettered(tmp_path)
    assert found["good"] == found["also-good"] == "a"
    assert (found["middle"], found["bad"]) == ("b", "c")
    assert list(found)[2:] == ["middle", "bad"]
    said = board(tmp_path)["words"]
    assert re.fullmatch(r"(also-)?good and (also-)?good do not differ\.", said[1])
    assert " has the highest nDCG@10 of 4 systems: 0." in said[0]


def test_forty_systems_get_letters_too(tmp_path):
    """780 pairs: with 10,000 flips the least p that Holm's correction leaves would be 0.08."""
    for place in range(40):
        retrieval(tmp_path / f"s{place}", noisy(0.2 + 0.3 * (place % 2), seed=place))
    found = lettered(tmp_path)
    assert set(found.values()) == {"a", "b"}
    assert {name for name, letter in found.items() if letter == "a"} == {f"s{n}" for n in range(1, 40, 2)}


def test_a_system_between_two_that_differ_shares_a_letter_with_each(tmp_path):
    drift = [random.Random(9).uniform(-0.2, 0.2) for _ in range(40)]
    noise = random.Random(5)
    for name, mean in (("high", 0.55), ("between", 0.5), ("low", 0.45)):
        retrieval(tmp_path / name, [mean + d + noise.gauss(0, 0.13) for d in drift])
    pairs = {frozenset((e["a"], e["b"])): e["p_corrected"] for e in board(tmp_path)["differences"]}
    found = lettered(tmp_path)
    assert pairs[frozenset(("high", "low"))] < 0.05 < min(p for p in pairs.values() if p > 0.05)
    for pair, p in pairs.items():
        one, two = pair
        assert bool(set(found[one]) & set(found[two])) == (p > 0.05)


@given(
    st.integers(1, 8).flatmap(
        lambda n: st.tuples(st.just(n), st.sets(st.sampled_from([*combinations(range(n), 2)] or [()])))
    )
)
def test_two_systems_share_a_letter_just_when_they_do_not_differ(case):
    n, differ = case
    differ.discard(())
    found = letters(n, differ)
    for one, two in combinations(range(n), 2):
        assert bool(set(found[one]) & set(found[two])) == ((one, two) not in differ)
    assert all(found)
    members = [{i for i in range(n) if letter in found[i]} for letter in {x for own in found for x in own}]
    assert not any(a < b for a in members for b in members)


def test_a_tangle_that_52_letters_cannot_tell_has_none():
    apart = [(i, i + 1) for i in range(0, 24, 2)]
    assert letters(24, apart) is None


def test_queries_of_one_group_are_one_piece_of_evidence(tmp_path):
    one, two = noisy(0.55, 40, seed=1), noisy(0.5, 40, seed=2)
    for name, values in (("one", one), ("two", two)):
        retrieval(tmp_path / "alone" / name, values)
        retrieval(tmp_path / "grouped" / name, values, groups=[i // 14 for i in range(40)])
    assert lettered(tmp_path / "alone") == {"one": "a", "two": "b"}
    assert lettered(tmp_path / "grouped") == {"one": None, "two": None}
    assert board(tmp_path / "grouped")["no_letters"] == "3 query groups cannot show a difference at 5 % among 2 systems"


def test_every_mechanism_has_a_ranking_of_its_own_and_there_is_none_over_all(tmp_path):
    for name, oblique in (("lexical", 0.1), ("dense", 0.6)):
        folder = retrieval(tmp_path / name, noisy(0.5, seed=len(name)), mechanisms=("descriptive", "surface"))
        lines = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
        for line in lines:
            if line["mechanism"] == "descriptive":
                line["measures"]["nDCG@10"] = oblique
            elif name == "lexical":
                line["measures"]["nDCG@10"] = 0.9
        (folder / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    boards = as_json(leaderboard([tmp_path]))["groups"][0]["boards"]
    assert [(b["title"], b["systems"][0]["system"]) for b in boards] == [
        ("descriptive queries", "dense"),
        ("surface queries", "lexical"),
    ]


def test_without_ndcg_the_first_measure_is_the_headline(tmp_path):
    retrieval(tmp_path / "one", noisy(0.5), measure="RR@10")
    assert board(tmp_path)["measure"] == "RR@10"
    assert board(tmp_path)["words"] == [
        f"one is the only system: RR@10 {number(**value(board(tmp_path)))}, n = 40.",
    ]


def value(found):
    return {key: found["systems"][0][key] for key in ("mean", "low", "high")}


def test_every_number_is_that_of_summary_json(tmp_path):
    runs = evaluate(write_corpus(tmp_path / "made", 60, 12), ["bm25", "random"], out=tmp_path / "out")
    page = tmp_path / "page.html"
    [group] = as_json(build([tmp_path / "out"], page))["groups"]
    [ranked] = group["boards"]
    text = page.read_text()
    for run in runs:
        stored = json.loads((run.path / "summary.json").read_text())
        [entry] = [e for e in ranked["systems"] if e["system"] == stored["system"]]
        assert entry["measures"] == stored["measures"]
        for measure in stored["measures"].values():
            assert f'<td class="n">{number(measure["mean"], measure["low"], measure["high"])}</td>' in text
    assert ranked["systems"][0]["system"] == "bm25"


def test_runs_without_a_result_come_first_with_the_reason_and_have_no_place(tmp_path):
    retrieval(tmp_path / "fine", noisy(0.5))
    retrieval(tmp_path / "broke", [0.9], status="failed", error="the search server went away")
    retrieval(tmp_path / "stopped", [0.9] * 3, status="interrupted")
    retrieval(tmp_path / "hollow", [])
    page = tmp_path / "page.html"
    found = build([tmp_path], page)
    assert dict(found.problems) == {
        "broke, on planted": "failed: the search server went away (1 unit recorded)",
        "stopped, on planted": "interrupted (3 units recorded)",
        "hollow, on planted": "complete, and holds no result",
    }
    assert list(lettered(tmp_path)) == ["fine"]
    text = page.read_text()
    assert "! 3 of 4 runs have no place here:" in text
    assert text.index("the search server went away") < text.index("<section>")
    assert text.count("! failed: the search server went away") == 2  # a row of the figure, and its description


def test_all_pass_ranks_agents_and_a_withheld_one_comes_last_with_the_reason(tmp_path):
    lab(tmp_path / "strong", [True] * 18 + [False] * 2)
    lab(tmp_path / "weak", [False] * 18 + [True] * 2)
    lab(tmp_path / "ungraded", [True] * 19 + [None])
    found = as_json(build([tmp_path], tmp_path / "page.html"))
    [group] = found["groups"]
    assert [b["measure"] for b in group["boards"]] == ["all-pass", "criteria passed, mean of tasks"]
    assert lettered(tmp_path) == {"strong": "a", "weak": "b"}
    [without] = group["without"]
    assert (without["system"], without["why"]) == ("ungraded", "all-pass withheld: 1 error")
    assert found["errors"] == 1
    assert group["boards"][0]["systems"][0]["resources"]["agent $/trial"] == 0.25
    text = (tmp_path / "page.html").read_text()
    assert text.rindex("! all-pass withheld: 1 error") > text.index(">weak</text>")


def test_one_task_ranks_agents_and_claims_no_difference(tmp_path):
    lab(tmp_path / "strong", [True])
    lab(tmp_path / "weak", [False])
    assert lettered(tmp_path) == {"strong": None, "weak": None}
    assert board(tmp_path)["words"][-1] == "No letters: 1 task cannot show a difference at 5 % among 2 systems."


@pytest.mark.parametrize(
    "other",
    [
        {"suite": {"name": "planted", "version": "1.1.0", "sha256": "def"}},
        {"protocol": {"view": "gold", "id": "p2"}},
        {"system": {"role": "verifier"}},
        {"notes": ["two is an audit agent that sees the rubric or the reference; no score"]},
    ],
)
def test_other_versions_protocols_verifiers_and_audits_stand_apart(tmp_path, other):
    retrieval(tmp_path / "one", noisy(0.5))
    retrieval(tmp_path / "two", noisy(0.6), **other)
    groups = as_json(leaderboard([tmp_path]))["groups"]
    assert [[e["system"] for e in g["boards"][0]["systems"]] for g in groups] == [["one"], ["two"]]


def test_runs_of_other_queries_or_numbers_of_trials_stand_apart(tmp_path):
    retrieval(tmp_path / "a" / "one", noisy(0.5, 10))
    retrieval(tmp_path / "a" / "two", noisy(0.5, 9))
    lab(tmp_path / "b" / "one", [True, False])
    lab(tmp_path / "b" / "two", [True, False], trials=2)
    assert [len(g["boards"][0]["systems"]) for g in as_json(leaderboard([tmp_path]))["groups"]] == [1, 1, 1, 1]


def test_a_system_that_was_run_twice_is_shown_twice_by_folder(tmp_path):
    for place in ("monday/bm25", "tuesday/bm25"):
        retrieval(tmp_path / place, noisy(0.5))
    retrieval(tmp_path / "other", noisy(0.2, seed=7))
    found = as_json(leaderboard([tmp_path]))["groups"][0]
    assert {e["system"] for e in found["boards"][0]["systems"]} == {
        "bm25 (monday/bm25)",
        "bm25 (tuesday/bm25)",
        "other",
    }
    assert found["notes"] == ["bm25 was run 2 times; each run is shown by its folder."]


def test_times_of_different_machines_are_said_not_to_compare(tmp_path):
    retrieval(tmp_path / "one", noisy(0.5))
    retrieval(tmp_path / "two", noisy(0.5), environment={"platform": "p", "cpus": 64})
    [note] = as_json(leaderboard([tmp_path]))["groups"][0]["notes"]
    assert "their times do not compare" in note


def test_runs_are_found_at_any_depth_each_once_and_not_inside_runs_or_hidden_folders(tmp_path):
    deep = retrieval(tmp_path / "all" / "baselines" / "x" / "bm25", noisy(0.5))
    retrieval(deep / "artifacts" / "copy", noisy(0.5))
    retrieval(tmp_path / "all" / ".trash" / "old", noisy(0.5))
    (tmp_path / "all" / "link").symlink_to(retrieval(tmp_path / "elsewhere" / "dense", noisy(0.4)))
    (tmp_path / "all" / "loop").symlink_to(tmp_path / "all")
    assert [name for _, name in find_runs(tmp_path / "all")] == ["baselines/x/bm25", "link"]
    assert leaderboard([tmp_path / "all", deep, tmp_path / "elsewhere"]).n_runs == 2


def test_a_folder_that_cannot_be_read_is_listed_and_the_others_still_ranked(tmp_path):
    retrieval(tmp_path / "fine", noisy(0.5))
    torn = retrieval(tmp_path / "torn", noisy(0.5))
    (torn / "results.jsonl").write_text('{"unit": "query"}\n')
    (retrieval(tmp_path / "no-json", [0.5]) / "run.json").write_text('{"kind": "retrieval", "suite"')
    found = leaderboard([tmp_path])
    assert [name for name, _ in found.unreadable] == ["no-json", "torn"]
    assert "results.jsonl:1" in found.unreadable[1][1]
    assert list(lettered(tmp_path)) == ["fine"]


def test_nothing_to_read_is_an_error_and_an_earlier_page_stays(tmp_path):
    page = tmp_path / "page.html"
    page.write_text("earlier")
    (tmp_path / "empty").mkdir()
    (retrieval(tmp_path / "runs" / "torn", [0.5]) / "run.json").write_text("[]")
    for path in (tmp_path / "empty", tmp_path / "nowhere", tmp_path / "runs", page):
        with pytest.raises(EvalsuiteError):
            build([path], page)
    with pytest.raises(EvalsuiteError, match="is a folder"):
        build([retrieval(tmp_path / "fine", noisy(0.5))], tmp_path / "empty")
    assert page.read_text() == "earlier"


@pytest.mark.parametrize(
    "usage",
    [
        {},
        {"seconds": 1.5, "cost": "unknown"},
        {"seconds": None, "cost": -1, "queries_per_second": True, "index_bytes": "big"},
    ],
)
def test_a_stranger_s_idea_of_usage_is_unknown_and_the_plot_says_so(tmp_path, usage):
    for name in ("one", "two"):
        retrieval(tmp_path / name, noisy(0.5), usage=usage)
    found = as_json(build([tmp_path], tmp_path / "page.html"))
    assert set(found["groups"][0]["boards"][0]["systems"][0]["resources"].values()) == {None}
    assert "Not drawn against cost $: known of 0 of 2 systems." in (tmp_path / "page.html").read_text()


def test_a_time_that_came_from_the_cache_is_not_plotted(tmp_path):
    retrieval(tmp_path / "one", noisy(0.5))
    retrieval(tmp_path / "two", noisy(0.6), usage=USAGE | {"queries_per_second": 10.0})
    retrieval(tmp_path / "three", noisy(0.7), usage=USAGE | {"query_vectors_cached": True})
    build([tmp_path], tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert "not drawn: its queries came from the cache" in text
    assert '<td class="n">10 (c)</td>' in text


def test_a_number_that_a_run_does_not_have_keeps_it_off_that_plot_alone(tmp_path):
    retrieval(tmp_path / "one", noisy(0.5))
    retrieval(tmp_path / "two", noisy(0.6), usage=USAGE | {"index_bytes": 5_000_000})
    retrieval(tmp_path / "three", noisy(0.7), usage={key: USAGE[key] for key in USAGE if key != "index_bytes"})
    build([tmp_path], tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text()
    assert text.count(">not drawn: index MB unknown<") == 1
    assert "Not drawn against ms/query: it is 10 for all of the 3 systems it is known of." in text


def test_numbers_that_are_no_scores_have_no_place(tmp_path):
    retrieval(tmp_path / "fine", noisy(0.5))
    retrieval(tmp_path / "huge", [1e308] * 40)
    found = build([tmp_path], tmp_path / "page.html")
    assert found.problems == [("huge, on planted", "has a measure that is no score: not finite, or beyond 1e12")]
    json.dumps(as_json(found), allow_nan=False)


def test_a_long_name_is_cut_in_sentences_and_stands_in_full_in_the_table(tmp_path):
    retrieval(tmp_path / "one", noisy(0.5), system={"name": "model-" + "x" * 194})
    assert f"model-{'x' * 73}… is the only system" in board(tmp_path)["words"][0]
    assert list(lettered(tmp_path)) == ["model-" + "x" * 194]


def test_exact_ties_are_said_in_words(tmp_path):
    for name in ("one", "two"):
        retrieval(tmp_path / name, noisy(0.5))
    said = board(tmp_path)["words"]
    assert re.match(r"(one and two|two and one) share the highest nDCG@10 of 2 systems", said[0])
    assert said[1].endswith(" do not differ.")


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.policy = set(), set(), ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attributes}
        if ("http-equiv", "Content-Security-Policy") in attributes:
            self.policy = dict(attributes)["content"]


def test_hostile_names_are_text_on_a_page_that_can_run_and_load_nothing(tmp_path):
    evil = '</title></svg></style><script>alert(1)</script>" onload=x \u202e\x00 ' + "x" * 200
    for place, name in enumerate(("one", "two")):
        retrieval(
            tmp_path / name,
            noisy(0.5),
            mechanisms=(evil,),
            measure=evil,
            system={"name": evil},
            suite={"name": evil, "version": evil, "sha256": evil},
            protocol={"view": evil, "id": evil},
            usage=USAGE | {"queries_per_second": 10.0**place, "cost": place},
        )
    retrieval(tmp_path / "broke", [], status="failed", error=evil, system={"name": evil})
    text = (build([tmp_path], tmp_path / "page.html"), (tmp_path / "page.html").read_text())[1]
    page = Page(text)
    assert not page.tags & {"script", "img", "iframe", "link", "object"}
    assert not {name for name in page.attributes if name.startswith("on") or name in ("style", "src")}
    assert all(re.fullmatch(r"#group-\d+", link) for link in re.findall(r'href="([^"]*)"', text))
    assert not re.search("[\u202e\x00]", text)
    style = re.search("<style>(.*?)</style>", text, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert page.policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    drawings = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(drawings) == 3
    for drawing in drawings:
        etree.fromstring(drawing)


def test_the_command_writes_the_page_and_ends_with_3_where_a_run_has_no_result(tmp_path, command):
    retrieval(tmp_path / "runs" / "fine", noisy(0.5))
    page = tmp_path / "page.html"
    done = command("leaderboard", tmp_path / "runs", "-o", page)
    assert (done.code, page.exists()) == (0, True)
    assert "fine is the only system" in " ".join(done.stdout.split())
    retrieval(tmp_path / "runs" / "broke", [], status="failed", error="no \x1b[31m memory")
    done = command("leaderboard", tmp_path / "runs", "-o", page)
    assert done.code == 3
    assert "\x1b[31m memory" not in done.stdout
    assert done.stdout.index("no \\u001b[31m memory") < done.stdout.index("fine")


def test_json_is_one_document_with_every_pair(tmp_path, command):
    for place, name in enumerate(("one", "two", "three")):
        retrieval(tmp_path / "runs" / name, noisy(0.5 + place / 10, seed=place))
    done = command("leaderboard", tmp_path / "runs", "-o", tmp_path / "page.html", "--json")
    found = json.loads(done.stdout)
    assert (done.code, found["runs"], found["errors"], found["page"]) == (0, 3, 0, str(tmp_path / "page.html"))
    [ranked] = found["groups"][0]["boards"]
    assert [e["system"] for e in ranked["systems"]] == ["three", "two", "one"]
    assert len(ranked["differences"]) == 3
    assert all(e["mean"] > 0 and e["low"] <= e["mean"] <= e["high"] for e in ranked["differences"])


def test_nothing_to_rank_is_one_line_and_exit_2(tmp_path, command):
    done = command("leaderboard", tmp_path, "-o", tmp_path / "page.html")
    assert done.code == 2
    assert "is not a run folder and holds none" in done.stderr

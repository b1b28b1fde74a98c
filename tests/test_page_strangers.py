"""Run folders that a stranger wrote by the formats get a page; broken ones an error with file and line, and the old page stays."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hostilekit import EVIL, WHOLE, hostile_lab, hostile_retrieval
from pagekit import Reader, chromium, lab_runs, write_run

from evalsuite.errors import EvalsuiteError
from evalsuite.reporting.page import build

RETRIEVAL = {
    "kind": "retrieval",
    "suite": {"name": "s", "sha256": "x"},
    "system": {},
    "protocol": {},
    "status": "complete",
}
LAB = RETRIEVAL | {"kind": "lab"}
QUERY = {"unit": "query", "id": "q", "measures": {"AP": 0.5}, "judged@10": 1.0}
TRIAL = {"unit": "trial", "task": "t", "trial": 1, "stop_reason": "done", "finished": True}
CRITERION = {"unit": "criterion", "task": "t", "trial": 1, "id": "C", "title": "x", "verdict": "pass"}
RANKED = QUERY | {"top": [["constructor", 1, None]], "missed": [["d", None, 1]]}
VOTE = {"judge": "a", "verdict": "pass", "seconds": math.inf, "cost": math.inf}


def torn(*units):
    return "".join(json.dumps(unit) + "\n" for unit in units) + '{"unit": "que'


# manifest, units or the text of results.jsonl, runs without a headline
STRANGERS = {
    "retrieval of minimal keys": (RETRIEVAL, [QUERY], 0),
    "lab of minimal keys": (LAB, [CRITERION, TRIAL], 0),
    "a query without its unit": (RETRIEVAL, [{key: QUERY[key] for key in ("id", "measures", "judged@10")}], 0),
    "lab without trial lines": (LAB, [CRITERION], 1),
    "a trial without criteria": (LAB, [TRIAL], 1),
    "zero criteria planned": (LAB | {"plan": {"tasks": {"t": 0}, "trials": 1}}, [TRIAL], 1),
    "a task planned and never worked": (
        LAB | {"plan": {"tasks": {"t": 1, "u": 3}, "trials": 1}},
        [CRITERION, TRIAL],
        1,
    ),
    "no results": (RETRIEVAL, [], 1),
    "no results of a lab run": (LAB, [], 1),
    "running": (RETRIEVAL | {"status": "running"}, [QUERY], 1),
    "running, its last line torn": (RETRIEVAL | {"status": "running"}, torn(QUERY), 1),
    "a lab run that was killed": (LAB | {"status": "running"}, torn(TRIAL, CRITERION), 1),
    "nothing but a torn line": (LAB | {"status": "interrupted"}, torn(), 1),
    "blank lines and CRLF": (RETRIEVAL, "\r\n" + json.dumps(QUERY) + "\r\n\r\n", 0),
    "a line of 1 MB": (RETRIEVAL, [QUERY | {"extra": "y" * 1_000_000}], 0),
    "a negative trial": (LAB, [TRIAL | {"trial": -3}, CRITERION | {"trial": -3}], 0),
    "a trial of 31 digits": (LAB, [TRIAL | {"trial": 10**30}, CRITERION | {"trial": 10**30}], 0),
    "a trial of 400 digits": (LAB, [TRIAL | {"trial": 10**400}, CRITERION | {"trial": 10**400}], 0),
    "a task of 10,000 characters": (LAB, [TRIAL | {"task": "t" * 10_000}, CRITERION | {"task": "t" * 10_000}], 0),
    "NaN for judged@10": (RETRIEVAL, [QUERY | {"judged@10": math.nan}], 0),
    "infinite seconds and cost": (
        LAB,
        [TRIAL | {"cost": math.inf, "seconds": math.nan}, CRITERION | {"votes": [VOTE]}],
        0,
    ),
    "huge numbers of use": (RETRIEVAL | {"usage": {"seconds": 10**400, "cost": 1e308, "index_bytes": -1}}, [QUERY], 0),
    "NaN of use": (RETRIEVAL | {"usage": {"seconds": {"index": math.nan}, "cost": math.nan}}, [QUERY], 0),
    "an environment of lists": (RETRIEVAL | {"environment": {"platform": ["x"], "cpus": {"n": 2}}}, [QUERY], 0),
    "names that are numbers": (
        RETRIEVAL | {"system": {"name": 7, "role": 8}, "protocol": {"id": 9, "view": [1]}},
        [QUERY],
        0,
    ),
    "texts of a suite called __proto__": (RETRIEVAL | {"suite": {"name": "s", "sha256": "__proto__"}}, [RANKED], 0),
    "half characters in every key": (
        LAB,
        [TRIAL | {"x": {"\ud800": ["\udc00"]}, "tokens": {"\ud800": 1}}, CRITERION | {"x": {"\ud800": 1}}],
        0,
    ),
    "unsupported claims of any shape": (
        LAB,
        [TRIAL | {"grounding": {"claims": 3, "unsupported": [None, 7, ["x"], {}]}}, CRITERION],
        0,
    ),
    "no claims looked up": (LAB, [TRIAL | {"grounding": {"claims": None, "unsupported": None}}, CRITERION], 0),
}


def write(folder, manifest, content):
    run = write_run(folder, manifest, content if isinstance(content, list) else [])
    if isinstance(content, str):
        (run / "results.jsonl").write_bytes(content.encode())
    return run


@pytest.mark.parametrize("name", STRANGERS)
def test_a_stranger_s_folder_gets_a_page(tmp_path, name):
    manifest, content, n_failed = STRANGERS[name]
    page = build([write(tmp_path / "run", manifest, content)], tmp_path / "page.html")
    assert (page.n_runs, page.n_failed) == (1, n_failed)


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.mark.browser
def test_every_view_of_every_stranger_opens(browser, tmp_path):
    runs = [write(tmp_path / f"run {i}", *case[:2]) for i, case in enumerate(STRANGERS.values())]
    page = build(runs, tmp_path / "page.html")
    reader = Reader(browser, page.path.as_uri())
    views = ["#/retrieval", "#/query?id=q", "#/lab", "#/verdicts", "#/task?task=t"]
    for view in views:
        reader.go(view)
        for href in dict.fromkeys(
            reader.page.eval_on_selector_all("#view a", "all => all.map(a => a.getAttribute('href'))")
        ):
            if href.startswith(("#/trial", "#/query", "#/verdicts?at")) and href not in views:
                views.append(href)
        for option in reader.page.eval_on_selector_all("#view select option", "all => all.map(one => one.value)"):
            if view in ("#/retrieval", "#/lab") and option.isdigit():
                views.append(f"{view}?group={option}")
        assert reader.page.locator("#problem").inner_text() == "", view
    assert len(views) > 40
    assert reader.console == []
    reader.close()


def swapped(file, make):
    def change(run):
        (run / file).unlink()
        make(run / file)

    return change


def put(file, content):
    return lambda run: (run / file).write_bytes(content)


RESULTS = b"".join(json.dumps(unit).encode() + b"\n" for unit in (TRIAL, CRITERION))
# what is done to a lab run; the place that the error names
BROKEN = {
    "run.json is a list": (put("run.json", b"[]"), "run.json"),
    "run.json is empty": (put("run.json", b""), "run.json"),
    "run.json is cut off": (put("run.json", b'{"kind": "lab",\n "suite"'), "run.json"),
    "run.json is nested deeply": (put("run.json", b'{"a":' * 50_000), "run.json"),
    "run.json is no UTF-8": (put("run.json", b'{"kind": "\xff"}'), "run.json"),
    "run.json is a folder": (swapped("run.json", Path.mkdir), "run.json"),
    "the kind is unknown": (put("run.json", json.dumps(LAB | {"kind": "other"}).encode()), "run.json"),
    "the plan is none": (put("run.json", json.dumps(LAB | {"plan": {"tasks": {"t": "many"}}}).encode()), ""),
    "units of the other kind": (put("run.json", json.dumps(RETRIEVAL).encode()), ""),
    "results.jsonl is a folder": (swapped("results.jsonl", Path.mkdir), "results.jsonl"),
    "a finished run is torn": (put("results.jsonl", RESULTS + b'{"unit": "cri'), "results.jsonl:3"),
    "a list as a line": (put("results.jsonl", RESULTS + b"[]\n"), "results.jsonl:3"),
    "a line of no UTF-8": (put("results.jsonl", RESULTS + b'"\xff"\n'), "results.jsonl:3"),
    "a deeply nested line": (put("results.jsonl", RESULTS + b"[" * 100_000 + b"\n"), "results.jsonl:3"),
    "a line of 9 MB": (put("results.jsonl", RESULTS + b'{"x": "' + b"y" * 9_000_000 + b'"}\n'), "results.jsonl:3"),
    "a unit twice": (put("results.jsonl", RESULTS + RESULTS), "results.jsonl:3"),
    "a verdict of its own": (put("results.jsonl", RESULTS.replace(b'"pass"', b'"maybe"')), "results.jsonl:2"),
    "a number of 5,000 digits": (
        put("results.jsonl", RESULTS.replace(b'"trial": 1', b'"trial": ' + b"1" * 5000)),
        "results.jsonl:1",
    ),
    "NaN as a measure": (
        put("results.jsonl", b'{"unit":"query","id":"q","measures":{"AP":NaN},"judged@10":1}\n'),
        "results.jsonl:1",
    ),
    "an unknown unit": (put("results.jsonl", RESULTS + b'{"unit": "other"}\n'), "results.jsonl:3"),
    "claims that are words": (
        put("results.jsonl", RESULTS.replace(b"}\n", b', "grounding": {"claims": "many"}}\n', 1)),
        "results.jsonl:1",
    ),
    "no measures": (
        put("results.jsonl", b'{"unit":"query","id":"q","measures":{},"judged@10":1}\n'),
        "results.jsonl:1",
    ),
    "a review that is none": (put("reviews.jsonl", b"{}\n"), "reviews.jsonl:1"),
    "a review of half a character": (
        put("reviews.jsonl", b'{"unit": "review", "reason": "\\ud800"}\n'),
        "reviews.jsonl:1",
    ),
    "reviews behind a link": (lambda run: (run / "reviews.jsonl").symlink_to("results.jsonl"), "reviews.jsonl"),
}


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_folder_is_an_error_with_its_place_and_the_old_page_stays(tmp_path, command, name, as_json):
    change, place = BROKEN[name]
    run = write(tmp_path / "run", LAB, [TRIAL, CRITERION])
    page = tmp_path / "page.html"
    assert command("report", run, "-o", page).code == 0
    before = page.read_bytes()
    change(run)
    done = command("report", run, "-o", page, *["--json"] * as_json)
    where = str(run / place) if place else str(run)
    assert done.code == 2
    if as_json:
        told = json.loads(done.stdout)["error"]
        assert told["where"] == where
        assert done.stderr == ""
    else:
        assert done.stdout == ""
        assert done.stderr.startswith(f"error: {where}: ")
        assert done.stderr.count("\n") == 1
    assert page.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html", "run"]


def test_one_broken_folder_among_good_ones_keeps_the_page_from_being_written(tmp_path):
    good = write(tmp_path / "a", LAB, [TRIAL, CRITERION])
    write(tmp_path / "b", LAB, torn(TRIAL))
    with pytest.raises(EvalsuiteError, match=r"b/results\.jsonl:2: "):
        build([good, tmp_path], tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_killed_while_it_writes_the_old_page_stays_and_the_next_one_is_whole(tmp_path):
    runs = lab_runs(tmp_path / "runs")
    page = build(runs[:1], tmp_path / "page.html").path
    before = page.read_bytes()
    process = subprocess.Popen([sys.executable, "-c", BUILD, str(page), *map(str, runs)])
    deadline = time.monotonic() + 30
    while not list(tmp_path.glob(".page.html.*")) and time.monotonic() < deadline:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(list(tmp_path.glob(".page.html.*"))) == 1  # it was in the middle
    assert page.read_bytes() == before
    assert build(runs, page).n_runs == 2
    assert page.read_bytes().endswith(b"</html>\n")


BUILD = """
import sys
from evalsuite.reporting import page
from pathlib import Path
page.build(map(Path, sys.argv[2:]), Path(sys.argv[1]))
"""


@pytest.mark.parametrize("name", ["a b'\"\n<b>%#?&", "__proto__", "é\u202e", os.fsdecode(b"\xff\xfe"), "-o", "x" * 255])
def test_a_folder_may_have_any_name(tmp_path, name):
    run = write(tmp_path / name, LAB, [TRIAL, CRITERION])
    page = build([run], tmp_path / "page.html")
    assert page.n_runs == 1
    assert "<b>" not in page.path.read_text().split("<script")[0]


def test_a_link_to_a_folder_and_the_folder_itself_are_one_run(tmp_path):
    run = write(tmp_path / "run", LAB, [TRIAL, CRITERION])
    (tmp_path / "link").symlink_to(run)
    assert build([run, tmp_path / "link", tmp_path], tmp_path / "page.html").n_runs == 1


@pytest.mark.browser
def test_two_runs_of_one_name_keep_their_links_and_reviews_apart(browser, tmp_path):
    units = [TRIAL, CRITERION]
    one = write(tmp_path / "a" / "same", LAB, units)
    two = write(
        tmp_path / "b" / "same", LAB | {"suite": {"name": "s", "sha256": "y"}}, [TRIAL, CRITERION | {"title": "y"}]
    )
    reader = Reader(browser, build([one, two], tmp_path / "page.html").path.as_uri())
    reader.go("#/verdicts")
    for number in range(2):
        row = reader.page.locator(".verdict-row").nth(number)
        title = row.locator("th").inner_text()
        row.locator("a").first.click()
        reader.page.wait_for_function("title => document.querySelector('.detail h2')?.innerText === title", arg=title)
    reader.page.fill("#reviewer", "Ann")
    reader.page.keyboard.press("Escape")
    reader.page.keyboard.press("p")
    reader.page.wait_for_selector(".review .said")
    reader.page.select_option("select[aria-label=review]", "some")
    assert reader.page.locator(".verdict-row").count() == 1
    with reader.page.expect_download() as download:
        reader.page.click("#export-reviews")
    [review] = json.loads(Path(download.value.path()).read_text())["reviews"]
    assert review["run"] == "same"  # as `evalsuite review import` knows it
    assert reader.console == []
    reader.close()


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    top = tmp_path_factory.mktemp("hostile")
    return {
        "lab": [hostile_lab(top / "lab1", WHOLE), hostile_lab(top / "lab2", "other")],
        "retrieval": [hostile_retrieval(top / "r1", WHOLE), hostile_retrieval(top / "r2", "other", "other")],
    }


@pytest.mark.parametrize("action", ["compare", "compare --anyway", "leaderboard", "report", "verify"])
@pytest.mark.parametrize("kind", ["lab", "retrieval"])
def test_no_text_of_a_run_steers_the_terminal(hostile, tmp_path, command, kind, action):
    runs = hostile[kind]
    arguments = {
        "compare": ["compare", *runs],
        "compare --anyway": ["compare", "--anyway", runs[0], hostile["lab" if kind == "retrieval" else "retrieval"][0]],
        "leaderboard": ["leaderboard", *runs, "-o", tmp_path / "board.html"],
        "report": ["report", *runs, "-o", tmp_path / "page.html"],
        "verify": ["verify", runs[0]],
    }[action]
    done = command(*arguments)
    assert done.code in (0, 2, 3), done.stderr[-2000:]
    printed = set(done.stdout + done.stderr) - {"\n", "\u2069"}  # an end of isolation that isolates nothing
    steering = {char for char in printed if char in EVIL and not char.isprintable()}
    assert steering == set()
    document = json.loads(command(*arguments, "--json").stdout)
    assert document

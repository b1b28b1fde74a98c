"""Text of agents, judges and strangers in every field of a run folder: the page shows it, and none of it runs or restyles it."""

import csv
import io
import json
from pathlib import Path
from urllib.parse import urlencode

import pytest
from hostilekit import EVIL, FORMULA, LONG, MARKUP, NAMES, PATH, WHOLE, hostile_lab, hostile_retrieval
from pagekit import Reader, chromium, lab_runs
from test_serve import Served

from evalsuite.reporting.page import build
from evalsuite.reporting.review import read_reviews

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    top = tmp_path_factory.mktemp("hostile")
    return [
        hostile_lab(top / "lab1", WHOLE),
        hostile_lab(top / "lab2", "__proto__"),
        hostile_retrieval(top / "retrieval1", f"{WHOLE}r"),
        hostile_retrieval(top / "retrieval2", "constructor", "__proto__"),
    ]


@pytest.fixture(scope="module")
def page_file(runs, tmp_path_factory):
    return build(runs, tmp_path_factory.mktemp("page") / "report.html").path


@pytest.fixture
def reader(browser, page_file):
    found = Reader(browser, page_file.as_uri())
    yield found
    found.close()
    assert found.console == []
    assert found.requests == [page_file.as_uri()]


def at(view, **values):
    known = {key: value.encode("utf-8", "replace") for key, value in values.items()}
    return f"#/{view}?{urlencode(known)}"


def verdict(*parts):
    return at("verdicts", at="~".join(str(part).replace("%", "%25").replace("~", "%7E") for part in parts))


VIEWS = {
    "overview": "#/overview",
    "retrieval": "#/retrieval",
    "retrieval by a hostile measure": at("retrieval", measure=EVIL, a=f"{WHOLE}r", b="constructor"),
    "query": at("query", id=EVIL),
    "query called __proto__": at("query", id="__proto__", b="constructor"),
    "query of two lines": at("query", id="C-1\nC-2"),
    "query with a long name": at("query", id=LONG),
    "lab": "#/lab",
    "task": at("task", task=PATH),
    "task that is no path": at("task", task=EVIL),
    "task called __proto__": at("task", task="__proto__"),
    "trial": at("trial", run=WHOLE, task=PATH, trial="1"),
    "trial without files": at("trial", run="__proto__", task="__proto__", trial="1"),
    "verdicts": "#/verdicts",
    "verdict": verdict(WHOLE, PATH, 1, "constructor"),
    "verdict with an error": verdict(WHOLE, PATH, 1, EVIL),
    "verdict of __proto__": verdict("__proto__", "__proto__", 1, "a~b%7Ec"),
}
FOUND = """() => {
  const hidden = /[\\u202a-\\u202e\\u2066\\u2067\\u0000-\\u0008\\u001b\\u200b\\u2028\\ud800-\\udfff]/u, bad = [];
  for (const element of document.querySelectorAll("*"))
    for (const { name, value } of element.attributes) {
      if (name.startsWith("on")) bad.push([element.localName, name, value]);
      if (/^(src|href|action|formaction|xlink:href|srcdoc)$/.test(name) && !value.startsWith("#")) bad.push([element.localName, name, value]);
      if (name === "style" && !element.closest("table")) bad.push([element.localName, name, value]);
      if (/^(title|aria-label|placeholder|class|id)$/.test(name) && hidden.test(value)) bad.push([element.localName, name, value]);
    }
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text; (text = texts.nextNode()); )
    if (text.parentElement.localName !== "script" && hidden.test(text.data)) bad.push(["text", text.data.slice(0, 80)]);
  const style = (element) => (({ display, visibility, color, fontSize, position }) => [display, visibility, color, fontSize, position])(getComputedStyle(element));
  return {
    bad: bad.slice(0, 5),
    strange: [...new Set([...document.querySelectorAll("iframe, object, embed, base, link, img, audio, video, template, form[action], meta[http-equiv=refresh]")].map((e) => e.localName))],
    ran: "pwned" in window || "pwned" in {},
    sheets: document.styleSheets.length,
    body: style(document.body),
    top: style(document.querySelector("header.top")),
    shown: document.body.innerText.length > 100,
    problem: document.getElementById("problem").innerText,
    wide: document.documentElement.scrollWidth > innerWidth,
  };
}"""


@pytest.fixture(scope="module")
def plain_styles(browser, tmp_path_factory):
    """How a page without any hostile text looks."""
    top = tmp_path_factory.mktemp("plain")
    [run] = lab_runs(top, ("careful",), 1)
    page = build([run], top / "page.html")
    found = {}
    for width in (1440, 390):
        reader = Reader(browser, page.path.as_uri(), width)
        found[width] = {key: reader.page.evaluate(FOUND)[key] for key in ("body", "top", "sheets")}
        reader.close()
    return found


@pytest.mark.parametrize("width", [1440, 390])
def test_nothing_runs_or_restyles_the_page_in_any_view(browser, page_file, plain_styles, width):
    reader = Reader(browser, page_file.as_uri(), width)
    for name, view in VIEWS.items():
        reader.page.evaluate("hash => { location.hash = hash }", view)
        ready = (
            ".detail h2"
            if name.startswith("verdict ") or name == "verdict"
            else "#view:not([hidden]) h1, #overview:not([hidden])"
        )
        reader.page.wait_for_selector(ready, state="attached")
        reader.page.wait_for_timeout(100)
        reader.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
        found = reader.page.evaluate(FOUND)
        assert found | {"bad": [], "strange": [], "ran": False, "shown": True, "problem": "", "wide": False} == found, (
            name
        )
        assert {key: found[key] for key in plain_styles[width]} == plain_styles[width], name
        assert reader.console == [], name
    assert reader.requests == [page_file.as_uri()]
    reader.close()


SHOWN = {
    "retrieval by a hostile measure": ["</script><script>pwned=1"],
    "query": [MARKUP, "[U+202E]", "[U+0000]"],
    "trial": [MARKUP, "[U+001B][31m", "[U+2028]", "{{ 7*7 }}", "javascript:alert(1)"],
    "verdict": [MARKUP, "[U+202E]", FORMULA],
    "task that is no path": [MARKUP],
}


@pytest.mark.parametrize("view", SHOWN)
def test_hostile_text_is_there_to_read(reader, view):
    reader.go(VIEWS[view])
    reader.page.wait_for_function("() => document.querySelector('#view').innerText.length > 500")
    reader.page.wait_for_timeout(200)
    reader.page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })")
    text = reader.page.locator("#view").text_content()
    for words in SHOWN[view]:
        assert words in text


def test_every_verdict_row_leads_to_its_own_verdict(reader):
    """Ids with %, ~, #, /, line breaks, __proto__ and half characters come back from the link as they were."""
    reader.go(at("verdicts", run="__proto__", task="~"))
    rows = reader.page.locator(".verdict-row")
    assert rows.count() == len(NAMES) + 2
    for number in range(rows.count()):
        wanted = rows.nth(number).locator("th .id").inner_text()
        rows.nth(number).locator("a").first.click()
        reader.page.wait_for_function(
            "wanted => document.querySelector('.detail h2 .id')?.innerText === wanted", arg=wanted
        )
        address = reader.page.evaluate("location.hash")
        assert reader.page.evaluate("document.querySelector('tr[aria-current] a').getAttribute('href')") == address


def test_exported_rows_hold_the_text_as_it_was_and_no_formula(reader, runs):
    reader.go(at("verdicts", run="__proto__", task="~"))
    files = {}
    for kind in ("csv", "jsonl"):
        with reader.page.expect_download() as download:
            reader.page.click(f"#as-{kind}")
        files[kind] = Path(download.value.path()).read_bytes().decode()
    units = [json.loads(line) for line in (runs[1] / "results.jsonl").read_text().splitlines()]
    wanted = {unit["id"]: unit for unit in units if unit["unit"] == "criterion" and unit["task"] == "~"}
    records = {record["criterion"]: record for record in map(json.loads, files["jsonl"].split("\n")[:-1])}
    assert len(records) == len(wanted)
    for name, record in records.items():
        assert record["title"] == mended(next(u["title"] for key, u in wanted.items() if mended(key) == name))
        assert record["votes"][0]["reasoning"] == mended(EVIL)
    table = list(csv.DictReader(io.StringIO(files["csv"], newline="")))
    assert {row["criterion"] for row in table} >= {"constructor", "C-1\nC-2", "%"}
    for row in table:
        assert not [cell for cell in row.values() if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert f"'{FORMULA}" in {row["title"] for row in table}


def mended(text):
    return text.encode("utf-8", "replace").decode()


HASHES = [
    "#/__proto__",
    "#/constructor?x=1",
    "#/verdicts?sort=constructor&q=%",
    "#/verdicts?sort=-__proto__&verdict=constructor,toString&marks=__proto__&cause=__proto__&review=__proto__",
    "#/verdicts?at=%&__proto__=1&constructor=2",
    "#/verdicts?at=~~~&q=%E0%A4%A&area=%00",
    "#/retrieval?group=__proto__&measure=constructor&a=toString&b=%ff&mechanism=__proto__&sort=-constructor",
    "#/retrieval?group=1e999&group=-1&sort=hasOwnProperty",
    "#/query?group=NaN&id=%F0%9F",
    "#/lab?group=__proto__&sort=__proto__&q=%",
    "#/task?task=constructor%00",
    "#/trial?run=__proto__&task=toString&trial=NaN",
    "#/trial?run=%27%22%3E%3Cscript%3Epwned%3D1%3C/script%3E&task=%3Cimg%20src=x%20onerror=alert(1)%3E&trial=1",
    "#//evil.example/?x#y?z#",
    "#javascript:alert(1)",
    "#/verdicts?q=" + "x%20" * 25_000,
    "#/query?id=" + "%E2%80%AE" * 10_000,
    "#" + "/" * 100_000,
    "#chunk-index",
    "#filter",
]


def test_no_address_breaks_the_page_or_runs(reader):
    for address in HASHES:
        reader.page.evaluate("hash => { location.hash = hash }", address)
        reader.page.wait_for_selector("#view:not([hidden]) h1, #overview:not([hidden])", state="attached")
        reader.page.wait_for_timeout(60)
        found = reader.page.evaluate(FOUND)
        expected = {"bad": [], "strange": [], "ran": False, "shown": True, "problem": "", "wide": False}
        assert found | expected == found, address[:100]
        assert reader.console == [], address[:100]


def exchange(*reviews, **changes):
    return json.dumps(
        {"format": "evalsuite-review", "version": 1, "exported_at": "now", "reviews": list(reviews)} | changes
    )


SAID = {
    "unit": "review",
    "run": "__proto__",
    "task": "~",
    "trial": 1,
    "criterion": "%",
    "unit_sha256": "0",
    "machine": "fail",
    "verdict": "pass",
    "reason": WHOLE,
    "reviewer": MARKUP,
    "at": "2026-05-01T12:00:00Z",
}
NOT_TAKEN = {
    "no JSON": ("{", "is not JSON"),
    "null": ("null", "is no export"),
    "a list": ("[]", "is no export"),
    "another version": (exchange(version=2), "is no export"),
    "reviews that are an object": (exchange(reviews={"__proto__": []}), "is no export"),
    "polluted": (exchange(json.loads('{"__proto__": {"pwned": 1}, "unit": "review"}')), "review 1 is not a review"),
    "null as a review": (exchange(SAID, None), "review 2 is not a review"),
    "a number as a reason": (exchange(SAID | {"reason": 7}), "review 1 is not a review"),
    "an object as a run": (exchange(SAID | {"run": {"toString": 1}}), "review 1 is not a review"),
    "a verdict of its own": (exchange(SAID | {"verdict": "constructor"}), "review 1 is not a review"),
    "trial one and a half": (exchange(SAID | {"trial": 1.5}), "review 1 is not a review"),
    "deep": ("[" * 200_000, "is not JSON"),
}


def test_a_hostile_review_file_is_refused_whole_and_says_why(reader, tmp_path):
    reader.go("#/verdicts")
    for number, (name, (text, told)) in enumerate(NOT_TAKEN.items()):
        file = tmp_path / f"theirs-{number}.json"  # one each: the page may still read the last one
        file.write_text(text, encoding="utf-8", errors="surrogatepass")
        reader.page.evaluate("() => document.querySelector('.files [role=status]').replaceChildren()")
        reader.page.set_input_files("#import-reviews", file)
        reader.page.wait_for_function("words => document.body.innerText.includes(words)", arg=told)
        assert not reader.page.evaluate("'pwned' in window || 'pwned' in {}"), name
    reader.page.select_option("select[aria-label=review]", "overridden")
    assert reader.page.locator(".verdict-row").count() == 2  # those of the run folders


def test_hostile_reviews_are_taken_in_as_text(browser, page_file, tmp_path):
    reader = Reader(browser, page_file.as_uri() + verdict("__proto__", "~", 1, "%"))
    big = SAID | {"reason": "W" * 5_000_000, "criterion": "constructor", "__proto__": {"pwned": 1}}
    (tmp_path / "theirs.json").write_text(exchange(SAID, big, SAID | {"run": "elsewhere"}))
    reader.page.set_input_files("#import-reviews", tmp_path / "theirs.json")
    reader.page.wait_for_function(
        "() => document.body.innerText.includes('2 taken in, 0 were there already, 1 are about runs')"
    )
    reader.page.wait_for_selector(".review .said")
    assert MARKUP in reader.page.locator(".review .said").inner_text()
    found = reader.page.evaluate(FOUND)
    assert (found["bad"], found["ran"], found["wide"], reader.console) == ([], False, False, [])
    reader.close()


@pytest.fixture
def served(browser, tmp_path):
    """A lab run with a hostile transcript too long for the page, served, and open in the browser."""
    [run] = lab_runs(tmp_path, ("careful",), 1)
    path = run / "artifacts" / "corporate-ma__data-room" / "trial-1" / "transcript.jsonl"
    path.write_text(json.dumps({"role": "user", "text": "x" * 2_100_000}) + "\n" + json.dumps({"text": EVIL}) + "\n")
    server = Served(run)
    reader = Reader(browser, server.url)
    yield run, server, reader
    reader.close()
    server.end()


def test_served_an_override_by_keyboard_is_in_the_run_folder_and_stays(served):
    run, server, reader = served
    page = reader.go("#/verdicts?verdict=fail")
    page.keyboard.press("j")
    page.wait_for_selector("#reviewer")
    page.focus("#reviewer")
    page.keyboard.type("Ann")
    page.keyboard.press("Escape")
    page.keyboard.press("p")
    page.get_by_text("You say pass, the run says fail: please give the reason.").wait_for()
    page.keyboard.type(MARKUP)
    page.keyboard.press("Escape")
    page.keyboard.press("p")
    page.get_by_text("Saved in the run folder.").wait_for()
    [kept] = read_reviews(run)
    assert (kept.reviewer, kept.reason, kept.machine, kept.verdict) == ("Ann", MARKUP, "fail", "pass")
    page.reload()
    page.wait_for_selector(".review .said")
    assert f"Ann overrides: ✓ pass. {MARKUP}" in page.locator(".review .said").inner_text()
    assert page.evaluate("localStorage.getItem('evalsuite-reviews')") == "[]"
    assert reader.console == []
    assert all(request.startswith(f"http://127.0.0.1:{server.port}/") for request in reader.requests)


def test_served_a_review_of_a_verdict_graded_again_says_so_and_is_kept_in_the_browser(served):
    run, _, reader = served
    page = reader.go("#/verdicts?verdict=pass")
    page.keyboard.press("j")
    page.wait_for_selector("#reviewer")
    results = run / "results.jsonl"
    results.write_text(results.read_text().replace("it is there.", "it is there, graded again."))
    page.fill("#reviewer", "Ann")
    page.keyboard.press("Escape")
    page.keyboard.press("p")
    page.get_by_text("Not saved: ").wait_for()
    told = page.locator("#review-told").inner_text()
    assert "was reviewed on another verdict" in told
    assert "It is kept in this browser." in told
    assert read_reviews(run) == []
    assert [line for line in reader.console if "400" not in line] == []  # Chromium's own line about the answer


def test_served_a_transcript_that_is_too_long_is_loaded_as_text(served):
    _, server, reader = served
    page = reader.go(at("trial", run="careful", task="corporate-ma/data-room", trial="1"))
    assert "Not all of it is on this page: cut after" in page.locator("#view").inner_text()
    page.get_by_role("button", name="load it").click()
    page.locator("pre", has_text="javascript:alert").wait_for()
    found = page.evaluate(FOUND)
    assert (found["bad"], found["strange"], found["ran"], found["problem"]) == ([], [], False, "")
    assert reader.console == []
    server.end()
    page.get_by_role("button", name="load it").click()
    page.get_by_text("The server does not answer").wait_for()

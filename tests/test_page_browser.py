"""The report in a real Chromium, from file://, as reviewers work in it."""

import csv
import io
import json
import re
from pathlib import Path

import pytest
from conftest import write_beir
from pagekit import AXE, Reader, chromium, lab_runs, write_run

from evalsuite import compare, evaluate
from evalsuite.cli import main
from evalsuite.reporting.page import build
from evalsuite.reporting.review import read_reviews
from evalsuite.summary import read_summary, verify

pytestmark = pytest.mark.browser
DISPUTED = "#/verdicts?marks=disputed"


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two LAB runs and two retrieval runs with literal twins."""
    place = tmp_path_factory.mktemp("runs")
    queries = [
        {
            "_id": "q1",
            "text": "what ends when nobody speaks up",
            "metadata": {"mechanism": "descriptive", "group": "g1"},
        },
        {"_id": "q2", "text": "consent to assign the lease", "metadata": {"mechanism": "surface", "group": "g2"}},
        {
            "_id": "q1-s",
            "text": "term renews unless notice",
            "metadata": {"mechanism": "surface", "group": "g1", "twin_of": "q1"},
        },
    ]
    qrels = [("q1", "d1", 1), ("q1", "d5", 1), ("q2", "d2", 2), ("q1-s", "d1", 1), ("q1-s", "d5", 1)]
    corpus = write_beir(place / "corpus", queries=queries, gold=qrels)
    retrieved = evaluate(corpus, ["bm25", "random"], out=place / "retrieval", cache=place / "cache", depth=4)
    return [*(run.path for run in retrieved), *lab_runs(place / "lab")]


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


def rows(reader):
    return reader.page.locator(".verdict-row").all_inner_texts()


def shown(reader):
    """How many verdicts the list says that it shows."""
    told = reader.page.locator(".list > .status").inner_text()
    return int(re.match(r"[\d,]+", told)[0].replace(",", ""))


def test_the_first_screen_says_what_was_run_what_came_out_and_what_went_wrong(reader, runs):
    text = reader.page.locator("#overview").inner_text()
    assert "4 runs" in text
    assert text.index("have no headline number") < text.index("matters 1.0.0")
    for run in runs:
        summary = read_summary(run)
        assert summary.protocol in text
        assert summary.system in text


def test_numbers_on_the_page_are_those_of_the_summary(reader, runs):
    text = reader.page.locator("#overview").text_content()
    for run in runs[:2]:
        for value in read_summary(run).measures.values():
            assert f"{value.mean:.3f}" in text
    for run in runs[2:]:
        rate = read_summary(run).critical_rate
        assert rate.rate is None or f"{rate.rate:.3f}" in text
        low, high = read_summary(run).all_pass_bounds
        assert f"all-pass lies between {low:.3f} and {high:.3f}" in text


def test_verdicts_stand_errors_first_and_filters_narrow_them(reader, runs):
    reader.go("#/verdicts")
    units = [json.loads(line) for run in runs[2:] for line in (run / "results.jsonl").read_text().splitlines()]
    verdicts = [unit for unit in units if unit["unit"] == "criterion"]
    assert shown(reader) == len(verdicts)
    assert "error" in rows(reader)[0]
    reader.page.fill("#filter", "landlord")
    assert shown(reader) == sum("landlord" in unit["title"] for unit in verdicts)
    reader.page.fill("#filter", "")
    reader.page.get_by_role("button", name="pass", exact=False).first.click()
    assert shown(reader) == sum(unit["verdict"] == "pass" for unit in verdicts)
    assert all("pass" in row for row in rows(reader))
    assert "verdict=pass" in reader.page.url


def test_words_are_found_in_the_judges_reasons_when_asked(reader):
    reader.go("#/verdicts")
    reader.page.fill("#filter", "not stated")
    assert shown(reader) == 0
    reader.page.check("#reasons")
    reader.page.wait_for_function("() => document.querySelectorAll('.verdict-row').length > 0")
    assert shown(reader) > 0


def test_headings_sort(reader):
    reader.go("#/verdicts")
    reader.page.get_by_role("button", name="criterion").click()
    first = [row.split()[0] for row in rows(reader)]
    assert first == sorted(first)
    reader.page.get_by_role("button", name="criterion").click()
    last = [row.split()[0] for row in rows(reader)]
    assert last == sorted(last, reverse=True)
    assert reader.page.locator("th[aria-sort=descending]").inner_text().startswith("criterion")


def test_a_verdict_is_a_link_that_survives_a_reload(reader):
    reader.go(DISPUTED)
    reader.page.keyboard.press("j")
    reader.page.wait_for_selector(".detail h2")
    title, url = reader.page.locator(".detail h2").inner_text(), reader.page.url
    reader.page.reload()
    reader.page.wait_for_selector(".detail h2")
    assert reader.page.locator(".detail h2").inner_text() == title
    assert reader.page.url == url
    assert "judges disagree" in reader.page.locator(".facts").inner_text()
    reader.requests[:] = reader.requests[:1]


def test_quotes_are_marked_in_the_deliverable_and_invented_ones_are_called_so(reader):
    reader.go("#/verdicts?marks=disputed&run=careful")
    reader.page.keyboard.press("j")
    reader.page.get_by_role("button", name="show in the deliverable").first.click()
    assert "We advise to seek the Supplier's consent" in reader.page.locator("mark.here").inner_text()
    reader.go("#/verdicts?marks=unsupported")
    reader.page.keyboard.press("j")
    reader.page.wait_for_selector(".lost")
    assert "not found in the deliverable" in reader.page.locator(".quote.lost").first.inner_text()


def test_a_quote_with_other_quotation_marks_and_line_breaks_is_found(reader):
    reader.go("#/verdicts?at=hasty~corporate-ma%2Fchange-of-control~2~C-004")
    reader.page.wait_for_selector(".paper mark")
    marked = reader.page.locator(".paper mark").first.inner_text()
    assert marked.split() == [
        "the",
        "Supplier",
        "may",
        "terminate",
        "on",
        "ninety",
        "(90)",
        "days’",
        "notice",
        "if",
        "control",
        "of",
        "Orrin",
        "Freight",
        "Ltd",
        "changes",
    ]


def test_a_reviewer_walks_overrides_exports_and_the_command_line_takes_it_in(
    browser, runs, tmp_path, capsys, monkeypatch
):
    import shutil

    run = tmp_path / "careful"
    shutil.copytree(runs[2], run)
    page = build([run], tmp_path / "page.html").path
    reader = Reader(browser, page.as_uri())
    reader.go("#/verdicts?verdict=fail&review=none")
    reader.page.keyboard.press("u")
    reader.page.wait_for_selector(".review")
    reader.page.keyboard.press("p")
    assert "needs a name" in reader.page.locator("#review-told").inner_text()
    reader.page.fill("#reviewer", "Ada Lindqvist")
    reader.page.keyboard.press("Escape")
    reader.page.keyboard.press("p")
    assert "please give the reason" in reader.page.locator("#review-told").inner_text()
    reader.page.fill("#reason", "The memo says so in its first paragraph.")
    reader.page.keyboard.press("Escape")
    reader.page.keyboard.press("p")
    reader.page.wait_for_selector(".review .said")
    assert "Ada Lindqvist overrides" in reader.page.locator(".review .said").inner_text()

    reader.page.reload()
    reader.page.wait_for_selector("#export-reviews")
    with reader.page.expect_download() as download:
        reader.page.click("#export-reviews")
    exported = tmp_path / "reviews.json"
    download.value.save_as(exported)
    reader.close()
    assert reader.console == []

    before = (run / "results.jsonl").read_bytes()
    monkeypatch.setattr("sys.argv", ["evalsuite", "review", "import", str(exported), str(run)])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code, capsys.readouterr()
    [review] = read_reviews(run)
    assert (review.reviewer, review.machine, review.verdict) == ("Ada Lindqvist", "fail", "pass")
    assert (run / "results.jsonl").read_bytes() == before

    again = Reader(browser, build([run], tmp_path / "again.html").path.as_uri())
    assert "1 overridden" in again.page.locator("#overview").text_content()
    again.go("#/verdicts?review=overridden")
    assert len(rows(again)) == 1
    again.close()


def test_reviews_of_a_colleague_are_taken_in_by_the_page(browser, page_file, tmp_path):
    one = Reader(browser, page_file.as_uri())
    one.go("#/verdicts?verdict=pass")
    one.page.keyboard.press("j")
    one.page.wait_for_selector(".review")
    one.page.fill("#reviewer", "Bo Tran")
    one.page.get_by_role("button", name=re.compile("^pass p")).click()
    one.page.wait_for_selector(".review .said")
    with one.page.expect_download() as download:
        one.page.click("#export-reviews")
    download.value.save_as(tmp_path / "theirs.json")
    one.close()
    two = Reader(browser, page_file.as_uri())
    two.go("#/verdicts")
    two.page.set_input_files("#import-reviews", tmp_path / "theirs.json")
    two.page.wait_for_function("() => document.body.innerText.includes('1 taken in')")
    two.page.select_option("select[aria-label=review]", "some")
    assert shown(two) == 1
    (tmp_path / "broken.json").write_text("{")
    two.page.set_input_files("#import-reviews", tmp_path / "broken.json")
    two.page.wait_for_function("() => document.body.innerText.includes('Nothing was taken in: the file is not JSON')")
    two.close()
    assert one.console == two.console == []


def test_the_chosen_rows_are_exported_as_csv_and_jsonl(reader, tmp_path):
    reader.go(DISPUTED)
    n = shown(reader)
    files = {}
    for kind in ("csv", "jsonl"):
        with reader.page.expect_download() as download:
            reader.page.click(f"#as-{kind}")
        files[kind] = Path(download.value.path()).read_text(encoding="utf-8")
    table = list(csv.DictReader(io.StringIO(files["csv"])))
    records = [json.loads(line) for line in files["jsonl"].splitlines()]
    assert len(table) == len(records) == n
    assert [row["criterion"] for row in table] == [record["criterion"] for record in records]
    assert all({vote["verdict"] for vote in record["votes"]} == {"pass", "fail"} for record in records)


def test_what_changed_since_another_run_is_what_compare_says(reader, runs):
    found = compare(runs[2], runs[3])
    wanted = {
        "newly failed": found.newly_failed,
        "newly passed": found.newly_passed,
        "flipped in some trials": found.flipped,
        "ungraded in one of them": found.errors,
    }
    assert any(wanted.values())
    reader.go("#/verdicts?run=hasty")
    reader.page.select_option("#against", "careful")
    for words, changes in wanted.items():
        chip = reader.page.get_by_role("button", name=f"{words} {len(changes)}")
        chip.click()
        assert shown(reader) == 2 * len(changes)
        reader.page.get_by_role("button", name=f"{words} {len(changes)}").click()
    reader.go("#/verdicts?run=hasty&against=careful&change=error")
    ids = {row.split()[0] for row in rows(reader)}
    assert ids == {change.criterion for change in found.errors}


def test_the_map_leads_to_the_task_and_on_to_the_trial(reader):
    reader.go("#/lab")
    reader.page.get_by_role("link", name="corporate-ma/data-room").click()
    reader.page.wait_for_selector("table.grid")
    assert reader.page.locator("table.grid tbody tr").count() == 2
    reader.page.get_by_role("link", name="careful, trial 2").click()
    reader.page.wait_for_selector(".transcript")
    text = reader.page.locator("#view").inner_text()
    for words in ("clause 14.9", "order to the judge", "1 of 3 (33 %): framework-agreement.docx", "tool results 960"):
        assert words in text
    assert reader.page.locator(".transcript details[open]").count() == 0
    reader.page.get_by_role("button", name="open all").click()
    assert "14.2 Change of control." in reader.page.locator(".transcript pre").last.inner_text()


def test_a_query_shows_its_ranking_its_words_and_what_was_missed(reader, runs):
    reader.go("#/retrieval?measure=nDCG@10")
    assert "twin" in reader.page.locator("#view").inner_text()
    reader.page.locator("#view a", has_text="q1-s").first.click()
    reader.page.wait_for_selector("mark")
    text = reader.page.locator("#view").inner_text()
    assert "term renews unless notice" in text
    units = [json.loads(line) for line in (runs[0] / "results.jsonl").read_text().splitlines()]
    unit = next(unit for unit in units if unit["id"] == "q1-s")
    for document, _, _ in unit["top"]:
        assert document in text
    assert f"{unit['measures']['nDCG@10']:.3f}" in text


def test_a_verifier_is_set_against_the_retriever_with_the_gap_and_its_interval(browser, runs, tmp_path):
    retrieved = runs[0]
    manifest = json.loads((retrieved / "run.json").read_text())
    manifest |= {"run_id": "reader", "system": {"name": "reader", "role": "verifier"}, "files": {}, "identity": ""}
    units = [json.loads(line) for line in (retrieved / "results.jsonl").read_text().splitlines()]
    for unit in units:
        unit["measures"] = dict.fromkeys(unit["measures"], 0.9)
    verifier = write_run(tmp_path / "reader", manifest, units)
    gap = compare(retrieved, verifier).differences["nDCG@10"]
    reader = Reader(browser, build([retrieved, verifier], tmp_path / "page.html").path.as_uri())
    reader.go("#/retrieval?measure=nDCG%4010")
    text = reader.page.locator("#view").inner_text()
    assert "V − R is above 0 for" in text
    mean, low, high = (f"{value:+.3f}".replace("-", "−") for value in (gap.mean, gap.low, gap.high))
    assert f"reader − bm25 = {mean} (95 % interval {low} to {high}" in text
    assert "reader" not in reader.page.locator("#overview .bars").first.text_content()
    reader.close()
    assert reader.console == []


def test_a_view_that_opens_takes_the_focus_to_its_heading(reader):
    assert reader.page.evaluate("document.activeElement.tagName") == "BODY"
    reader.page.get_by_role("link", name="LAB", exact=True).click()
    reader.page.wait_for_function("() => document.activeElement.tagName === 'H1'")
    assert reader.page.locator("h1:focus").inner_text()


def test_the_list_says_which_of_its_verdicts_is_shown(reader):
    reader.go(DISPUTED)
    assert "showing" not in reader.page.locator(".list > .status").inner_text()
    reader.page.keyboard.press("j")
    reader.page.wait_for_function("() => document.querySelector('.list > .status').textContent.includes(', showing 1')")


def test_the_keyboard_alone_reaches_help_filter_and_verdicts(reader):
    reader.go("#/verdicts")
    reader.page.keyboard.press("?")
    assert reader.page.locator("#help").is_visible()
    reader.page.keyboard.press("Escape")
    assert not reader.page.locator("#help").is_visible()
    reader.page.keyboard.press("/")
    reader.page.keyboard.type("schedules")
    reader.page.keyboard.press("Escape")
    reader.page.keyboard.press("j")
    reader.page.wait_for_selector(".detail h2")
    first = reader.page.locator(".detail h2").inner_text()
    address = reader.page.url
    reader.page.keyboard.press("j")
    reader.page.wait_for_function("url => location.href !== url", arg=address)
    reader.page.keyboard.press("k")
    reader.page.wait_for_function("url => location.href === url", arg=address)
    assert reader.page.locator(".detail h2").inner_text() == first


VIEWS = {
    "overview": "",
    "retrieval": "#/retrieval",
    "query": "#/query?group=0&id=q1",
    "lab": "#/lab",
    "task": "#/task?task=corporate-ma%2Fchange-of-control",
    "trial": "#/trial?run=careful&task=corporate-ma%2Fchange-of-control&trial=1",
    "verdicts": "#/verdicts",
    "verdict": "#/verdicts?marks=disputed&at=careful~corporate-ma%2Fchange-of-control~1~C-002",
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark"), (1440, "dark"), (390, "light")])
def test_every_view_is_accessible_and_fits_its_screen(browser, page_file, view, width, scheme):
    reader = Reader(browser, page_file.as_uri() + VIEWS[view], width, scheme, bypass_csp=True)
    reader.page.wait_for_selector("#view:not([hidden]) h1" if VIEWS[view] else "#overview h1", state="attached")
    if view == "verdict":
        reader.page.wait_for_selector(".detail h2")
    reader.shot(f"{view}-{width}-{scheme}")
    reader.page.add_script_tag(path=AXE)
    found = reader.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    serious = [
        (violation["id"], [node["html"][:200] for node in violation["nodes"]][:5])
        for violation in found["violations"]
        if violation["impact"] in ("serious", "critical")
    ]
    assert serious == []
    assert reader.page.evaluate("document.documentElement.scrollWidth") <= width
    reader.close()


def test_without_script_the_overview_still_reads(browser, page_file):
    reader = Reader(browser, page_file.as_uri(), java_script_enabled=False)
    assert "nDCG@10" in reader.page.locator("#overview").inner_text()
    assert not reader.page.locator("nav.views").is_visible()
    reader.close()


def test_the_runs_behind_the_page_verify(runs):
    for run in runs[:2]:
        assert verify(run)["ok"]

"""Models and harnesses on the report: which runs of a page are a grid, that its numbers are `grid`'s, and a real browser on it."""

import json
import re
import shutil
import sys
from html.parser import HTMLParser

import pytest
from hostilekit import WHOLE
from labkit import write_task
from pagekit import OURS, Reader, chromium, tags
from test_lab_grid import AGENT
from test_lab_grid import WORDS as POINTS

from evalsuite.cli import main
from evalsuite.errors import UsageError
from evalsuite.lab.evaluate import run
from evalsuite.reporting.gridpage import headline
from evalsuite.reporting.grids import grid
from evalsuite.reporting.page import build

TITLE = '<h2 id="grid-1">Models and harnesses</h2>'
WEAK, STRONG = "function:crossing:weak", "function:crossing:strong"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Runs of two scripted models in three harnesses over eight tasks in `out`, and the page that the same command wrote."""
    folder = tmp_path_factory.mktemp("page-grid")
    (folder / "crossing.py").write_text(AGENT.replace("function:planted:", "function:crossing:"))
    criteria = [(f"C-{n:03}", words, f"PASS if the memo has {words}.", words) for n, words in enumerate(POINTS)]
    for number in range(8):
        write_task(folder / "tasks" / "area" / f"matter-{number}", checks=True, criteria=criteria)
    line = f"evalsuite lab grid tasks -a crossing:work -m {WEAK},{STRONG} -p minimal,review,compact -k 1 -o out --cache cache"  # in this process: a test of what the page says pays for one import
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))
        patch.setattr(sys, "argv", [*line.split(), "--baseline", "compact", "--report", "page.html"])
        with pytest.raises(SystemExit, match="0"):
            main()
    return folder


@pytest.fixture(scope="module")
def html(place):
    return (place / "page.html").read_text()


def paged(folder, *runs, **options):
    return build(runs or [folder], folder.parent / f"{folder.name}.html", **options).path.read_text()


def rows(html):
    """The cells' texts of all table rows of the page's first grid."""
    found = []

    class Rows(HTMLParser):
        inside = False

        def handle_starttag(self, tag, attributes):
            if tag == "tr":
                found.append([])
            elif tag in ("th", "td"):
                self.inside = True
                found[-1].append("")

        def handle_endtag(self, tag):
            self.inside = self.inside and tag not in ("th", "td")

        def handle_data(self, data):
            if self.inside:
                found[-1][-1] += data

    Rows().feed(section(html))
    return found


def section(html):
    return html[html.index(TITLE) :].partition("</section>")[0]


def test_the_numbers_on_the_page_are_those_of_the_grid(place, html):
    report, shown = grid([place / "out"], baseline="compact"), rows(html)
    for cell in report.cells:
        rate = cell.criterion_rate
        [row] = [
            row for row in shown if f"{rate.rate:.3f} ({rate.low:.3f}–{rate.high:.3f})" in row and cell.harness in row
        ]
        assert row[-2:] == [f"{cell.tokens:,.0f}", "unknown"]
    for measure, shares in report.components.items():
        for share in shares:
            known = share.variance is not None
            part = f"{share.share:.0%}" if share.share is not None else "nothing varies" if known else "not known"
            between = "cannot be told" if not known else f"{share.variance:.5f} (no interval)"
            if share.low is not None:
                between = f"{share.variance:.5f} ({share.low:.5f}–{share.high:.5f})"
            assert [share.source, part, between] in [[row[0], row[1], row[-1]] for row in shown], measure
            assert not share.note or f"<li>{share.source}: {share.note}</li>" in section(html)
    told = {1: "helps", -1: "harms", 0: "cannot be told"}
    for row in report.helps:
        if row.low is not None:
            between = f"{row.mean:+.3f} ({row.low:+.3f} to {row.high:+.3f})"
            assert [row.model, row.harness, told[row.told], between] in [cells[:4] for cells in shown]
    for row in report.spreads:
        if row.measure == "criterion_rate":
            between = f"{row.spread:.3f} ({row.low:.3f}–{row.high:.3f})"
            assert [row.model or "mean over models", row.best, row.worst, between] in shown
    assert report.dominated
    for row in report.dominated:
        spends = [f"{row.spends:,.0f} tokens", f"{row.by_spends:,.0f} tokens"]
        [cells] = [cells for cells in shown if cells[0] == (row.model or "over all models") and cells[-2:] == spends]
        assert cells[1:4] == [row.harness, row.by, "told" if row.told else "by the means, cannot be told"]
    assert "None" not in section(html) and "nan" not in section(html)


def test_the_baseline_of_the_command_is_that_of_its_page_and_a_later_report_takes_the_default(place, html):
    assert "<caption>Criterion rate against compact</caption>" in html
    assert "<caption>Criterion rate against minimal</caption>" in paged(place / "out")
    assert "against review</caption>" in paged(place / "out", baseline="review")
    with pytest.raises(UsageError, match="'nobody' is no harness of this grid; they are compact, minimal, review"):
        paged(place / "out", baseline="nobody")


def test_the_headline_says_what_helps_whom_and_what_the_spread_is_made_of(place):
    report = grid([place / "out"], baseline="compact")
    said = headline(report)
    named = []
    for row in report.helps:
        if (row.measure, row.harness) == ("criterion_rate", "review"):
            assert row.told == 1
            named.append(f"{row.model} by {row.mean:.3f} ({row.low:.3f}–{row.high:.3f})")
    assert said.startswith(f"review helps {' and '.join(named)}, over compact. Harness is ")
    for share in report.components["criterion_rate"][:2]:
        ends = f"({share.low**0.5:.3f}–{share.high**0.5:.3f})"
        part = f"is {share.share:.0%} of the spread of criterion rate, sd {share.variance**0.5:.3f} {ends}."
        assert f"{share.source.capitalize()} {part}" in said
    harmed = headline(grid([place / "out"], baseline="review"))
    [worst] = [row for row in report.spreads if (row.model, row.measure) == (WEAK, "criterion_rate")]
    assert harmed.startswith(f"compact harms {WEAK} by {worst.spread:.3f} (")
    assert ", against review. No harness is told to help a model over review. Harness is " in harmed


def test_harms_are_said_where_something_helps_and_the_interaction_where_it_is_the_largest_share(place):
    report = grid([place / "out"], baseline="minimal")
    numbers = {"mean": -0.6, "low": -0.7, "high": -0.5, "p": 0.001, "p_corrected": 0.004}
    told = {(WEAK, "review"): 1, (STRONG, "review"): -1, (WEAK, "compact"): -1}
    for row in report.helps:
        row.told = told.get((row.model, row.harness), 0)
        for name, value in numbers.items():
            setattr(row, name, value if row.told < 0 else getattr(row, name))
    report.helped_by = {WEAK: "review", STRONG: None}
    for share, row in zip((0.05, 0.05, 0.8), report.components["criterion_rate"], strict=False):
        row.share = share
    said = headline(report)
    assert said.startswith(f"review helps {WEAK} by ")
    assert f"review harms {STRONG} by 0.600 (0.500–0.700), against minimal." in said
    assert f"compact harms {WEAK} by 0.600 (0.500–0.700), against minimal." in said
    assert "Model x harness is 80% of the spread of criterion rate, sd " in said
    report.components["criterion_rate"][0].share = 0.9
    assert "Model x harness" not in headline(report)


def test_where_nothing_can_be_told_the_headline_says_so(place, tmp_path):
    assert headline(grid([place / "out"])).startswith("No harness is told to help a model over minimal. Harness is ")
    alike = headline(grid([path for path in (place / "out").iterdir() if "minimal" in path.name]))
    assert alike.startswith("How much of the spread is harness cannot be told: one harness only. Model is ")
    changed(place, tmp_path / "same", results=graded("fail"))
    assert headline(grid([tmp_path / "same"])).endswith("The criterion rate is the same in every cell, task and trial.")
    changed(place, tmp_path / "broken", results=graded("error"))
    assert headline(grid([tmp_path / "broken"])) == "Nothing can be told: no task is graded in full in every cell."
    html = paged(tmp_path / "broken")
    assert ["nothing graded in full"] * 2 in [row[-4:-2] for row in rows(html)]
    assert "Which harnesses are dominated is not known: no task is graded in full." in section(html)
    assert section(html).count("<li>area/matter-") == 8 and "<summary>2 more</summary>" in section(html)


def changed(place, target, *, results=None, manifest=None):
    """A copy of the runs; `results` gives what to change in a unit of a folder, `manifest` edits run.json."""
    shutil.copytree(place / "out", target)
    for folder in target.iterdir():
        if manifest:
            about = json.loads((folder / "run.json").read_text())
            manifest(about)
            (folder / "run.json").write_text(json.dumps(about))
        if results:
            units = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
            lines = (json.dumps(unit | results(unit, folder.name)) + "\n" for unit in units)
            (folder / "results.jsonl").write_text("".join(lines))


def graded(verdict):
    """Every criterion with this verdict."""
    kind = "unsupported_quote" if verdict == "error" else None
    return lambda unit, _: {"verdict": verdict, "error_kind": kind} if unit["unit"] == "criterion" else {}


def test_a_task_with_an_ungraded_cell_is_named_with_the_reason_and_is_in_no_number(place, tmp_path):
    def broken(unit, folder):
        if unit["unit"] == "trial":
            return {"cost": unit["tokens"]["input"] / 1e5}
        return graded("error")(unit, folder) if "weak-review" in folder and unit["task"] == "area/matter-3" else {}

    changed(place, tmp_path / "ungraded", results=broken)
    html = paged(tmp_path / "ungraded")
    [entry] = grid([tmp_path / "ungraded"]).left_out
    assert "! 1 task of 8 is left out of every number" in section(html)
    assert f"<li>area/matter-3: {entry.why[0]}</li>" in section(html)
    assert "unsupported_quote" in entry.why[0] and f"{WEAK} with review" in entry.why[0]
    assert "2 models x 3 harnesses, 7 tasks" in section(html)
    assert {row[-1] for row in rows(html)[1:7]} == {"0.0100", "0.0150", "0.0200"}
    assert ["0.0150 USD", "0.0100 USD"] in [row[-2:] for row in rows(html)]


def test_runs_that_are_no_grid_have_no_section_and_no_error(place, tmp_path):
    folders = sorted((place / "out").iterdir())
    assert TITLE in paged(place / "out", *folders[:3])
    for runs in (folders[:1], folders[:-1]):
        assert "grid-" not in paged(tmp_path / "page", *runs).partition("<main>")[2].partition("<script")[0]
    outcomes = run([place / "tasks"], ["empty", "extractive"], out=tmp_path / "out", cache=tmp_path / "cache")
    assert grid([tmp_path / "out"]).models == ["(no model)"]
    assert "Models and harnesses" not in paged(tmp_path / "page", *(outcome.path for outcome in outcomes))
    paged(tmp_path / "page", *(outcome.path for outcome in outcomes), baseline="empty")


def test_names_from_run_folders_are_text(place, tmp_path):
    def hostile(about):
        about["system"]["model"]["name"] += WHOLE
        about["system"]["profile"]["name"] += WHOLE
        about["notes"] = [WHOLE]

    changed(place, tmp_path / "hostile", manifest=hostile)
    html = paged(tmp_path / "hostile").partition("<dialog")[0]
    assert set(tags(html, allow=("#",))) <= OURS
    assert "&lt;/script&gt;&lt;script&gt;pwned=1" in section(html)
    assert not re.search("[\u202e\u200b\x00\x07\x1b\u2028]", section(html))


@pytest.mark.browser
def test_a_browser_shows_it_on_a_wide_and_on_a_narrow_screen(place):
    url = (place / "page.html").as_uri()
    with chromium() as browser:
        for width in (1440, 500):
            reader = Reader(browser, url, width=width)
            reader.page.wait_for_selector("html.scripted")
            reader.page.get_by_role("link", name="Models and harnesses").click()
            heading = reader.page.get_by_role("heading", name="Models and harnesses")
            assert heading.is_visible()
            table = reader.page.get_by_role("region", name=re.compile("^cells"))
            assert table.locator("svg .dot").count() == 6
            assert table.locator("svg").first.bounding_box()["width"] > 100
            assert reader.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            assert reader.console == [] and reader.requests == [url]
            reader.close()

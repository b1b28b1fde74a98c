"""The first screen: errors first, a sentence a board, and one click to the verdicts that ask for a reviewer."""

import json
import re

import pytest
from pagekit import Reader, chromium, lab_runs

from evalsuite.reporting.opening import attention, failures, spent
from evalsuite.reporting.page import build
from evalsuite.reporting.sections import read_sections
from evalsuite.reporting.words import duration


def test_verdicts_for_a_reviewer_are_counted_as_the_records_say(tmp_path):
    runs = lab_runs(tmp_path)
    lines = [json.loads(line) for run in runs for line in (run / "results.jsonl").read_text().splitlines()]
    verdicts = [line for line in lines if line["unit"] == "criterion"]
    judged = [{vote["verdict"] for vote in unit["votes"]} for unit in verdicts]
    told = {link.split("?")[1]: said for said, link in attention(read_sections(runs))}
    assert told["verdict=error"] == f"{sum(unit['verdict'] == 'error' for unit in verdicts)} errors"
    assert told["marks=disputed"] == f"{judged.count({'pass', 'fail'})} where judges disagree"
    assert told["review=none"] == "none reviewed yet"


def test_a_withheld_headline_says_what_it_lies_between(tmp_path):
    sections = read_sections(lab_runs(tmp_path))
    for section, why in failures(sections):
        low, high = section.summary.all_pass_bounds
        assert why.endswith(f"all-pass lies between {low:.3f} and {high:.3f}")


def test_time_of_lab_runs_is_that_of_agents_and_judges(tmp_path):
    sections = read_sections(lab_runs(tmp_path))
    seconds = sum(section.summary.usage[who]["seconds"] for section in sections for who in ("agent", "judges"))
    assert duration(seconds) in spent(sections)


@pytest.mark.parametrize(("seconds", "said"), [(1.53, "1.5 s"), (600, "10 min"), (24_780, "6 h 53 min")])
def test_durations_are_said_in_the_unit_they_deserve(seconds, said):
    assert duration(seconds) == said


@pytest.mark.browser
def test_one_click_leads_to_what_each_count_says(tmp_path):
    page = build(lab_runs(tmp_path), tmp_path / "page.html").path
    with chromium() as browser:
        for number in range(1, 4):
            reader = Reader(browser, page.as_uri())
            link = reader.page.locator(".scripted-only a").nth(number)
            said = link.inner_text()
            assert link.bounding_box()["y"] < 900
            link.click()
            reader.page.wait_for_selector(".list > .status")
            assert reader.page.locator(".list > .status").inner_text().split()[0] == re.match(r"[\d,]+", said)[0]
            reader.close()


@pytest.mark.browser
def test_on_a_phone_a_verdict_stands_in_place_of_the_list_and_closes_to_it(tmp_path):
    page = build(lab_runs(tmp_path), tmp_path / "page.html").path
    with chromium() as browser:
        reader = Reader(browser, page.as_uri() + "#/verdicts", width=390)
        reader.page.locator(".verdict-row a").first.click()
        reader.page.wait_for_selector(".detail h2")
        assert not reader.page.locator(".list").is_visible()
        reader.page.get_by_role("link", name="close").click()
        reader.page.wait_for_selector(".list")
        assert reader.page.locator(".verdict-row").first.is_visible()
        reader.close()

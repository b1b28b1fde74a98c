"""The page: it says what summary.json says, shows what went wrong, and nothing in it can run."""

import json
from pathlib import Path

import pytest
from pagekit import OURS, tags
from test_evaluate import write_corpus

from evalsuite import EvalsuiteError, evaluate
from evalsuite.reporting.boards import measured
from evalsuite.reporting.page import build


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    corpus = write_corpus(tmp_path / "made", 60, 10)
    return evaluate(corpus, ["bm25", "random", "plugin_retrievers:Broken"], out=tmp_path / "out")


def test_every_number_on_the_page_is_that_of_the_summary(runs, tmp_path):
    page = build([run.path for run in runs], tmp_path / "page.html")
    text = page.path.read_text()
    for run in runs[:2]:
        for value in run.summary.measures.values():
            assert f'<td class="n">{measured(value)}</td>' in text
    assert runs[0].manifest.protocol["id"] in text
    assert runs[0].manifest.suite.sha256 in text


def test_failed_runs_come_first_and_carry_no_score(runs, tmp_path):
    page = build([tmp_path / "out"], tmp_path / "page.html")
    text = page.path.read_text()
    assert (page.n_runs, page.n_failed) == (3, 1)
    assert "1 of 3 runs has no headline number" in text
    assert text.index("has no headline number") < text.index("<table")
    assert "the search server went away" in text


def test_runs_under_another_protocol_or_on_other_data_are_shown_apart(tmp_path):
    corpus = write_corpus(tmp_path / "made", 60, 10)
    one = evaluate(corpus, ["bm25"], out=tmp_path / "out")
    two = evaluate(corpus, ["bm25"], measures=["nDCG@10"], out=tmp_path / "out")
    text = build([one[0].path, two[0].path], tmp_path / "page.html").path.read_text()
    assert text.count("<h2 id=") == 2


def test_an_unfinished_run_is_shown_without_a_score(runs, tmp_path):
    manifest = json.loads((runs[0].path / "run.json").read_text())
    (runs[0].path / "run.json").write_text(json.dumps(manifest | {"status": "interrupted"}))
    text = build([runs[0].path], tmp_path / "page.html").path.read_text()
    assert "interrupted" in text
    assert "10 queries were graded; no score is shown for a part of a run" in text


def test_hostile_text_is_shown_and_never_markup(tmp_path):
    evil = "</script><img src=x onerror=alert(1)><style>*{display:none}</style>"
    corpus = write_corpus(tmp_path / "made", 10, 3)
    for name in ("corpus.jsonl", "queries.jsonl", "qrels/gold.tsv"):
        file = corpus / name
        file.write_text(file.read_text().replace("d 1", f"d {evil}").replace("q 1", f"q {evil}"))
    (corpus / "corpus.yaml").write_text(json.dumps({"name": f"n {evil}", "mechanism": evil}))
    [run] = evaluate(corpus, ["bm25"], out=tmp_path / "out")
    text = build([run.path], tmp_path / "page.html").path.read_text()

    assert set(tags(text, allow=("#",))) <= OURS
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    assert text.count("<style") == 1 + text.split("<script>")[1].count("<style")
    assert "default-src &#39;none&#39;" in text


def test_a_stranger_s_run_folder_of_the_formats_gets_a_report(tmp_path):
    folder = tmp_path / "theirs"
    folder.mkdir()
    manifest = {
        "schema_version": 1,
        "kind": "retrieval",
        "suite": {"name": "theirs", "version": "2", "sha256": "abc"},
        "system": {"name": "other"},
        "protocol": {"view": "gold"},
        "environment": {},
        "status": "complete",
        "started_at": "2026-01-01T00:00:00Z",
        "usage": {"tokens": 0, "seconds": 1.5, "cost": "unknown"},
    }
    (folder / "run.json").write_text(json.dumps(manifest))
    unit = {"unit": "query", "mechanism": "descriptive", "group": "g", "judged@10": 1.0, "top": [["d", 1.5, None]]}
    rows = [unit | {"id": f"q{i}", "measures": {"nDCG@10": i / 4}} for i in range(5)]
    (folder / "results.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = build([folder], tmp_path / "page.html").path.read_text()
    assert "0.500 (no interval)" in text


@pytest.mark.parametrize(
    "line", ['{"unit": "query"}', "[]", "{", '{"unit":"query","id":"q","measures":{"AP":"x"},"judged@10":1}']
)
def test_a_broken_run_folder_is_an_error_with_file_and_line(runs, tmp_path, line):
    results = runs[0].path / "results.jsonl"
    results.write_text(results.read_text() + line + "\n")
    with pytest.raises(EvalsuiteError, match=r"results\.jsonl:11: "):
        build([runs[0].path], tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()

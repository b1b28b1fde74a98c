"""What the page carries: every chunk against the run folders it was made of, within a budget, whatever lies in them."""

import base64
import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest
from conftest import write_beir
from labkit import write_task
from test_evaluate import lines, shell, write_corpus

from evalsuite import EvalsuiteError, Hits, evaluate, lab_run, verify
from evalsuite.records import CriterionResult, TrialResult
from evalsuite.reporting.pack import LIMIT, pack
from evalsuite.reporting.review import unit_sha256
from evalsuite.reporting.sections import read_sections
from evalsuite.reporting.trialdata import MOST
from evalsuite.storage import read_units

VERDICTS = ("error", "fail", "pass")


def unpack(paths, limit=LIMIT):
    """{chunk name: what it holds}, with runs on the same data in one group."""
    sections = read_sections(paths)
    groups = {}
    for number, section in enumerate(sections):
        groups.setdefault((section.manifest.suite.sha256, section.manifest.protocol.get("id")), []).append(number)
    packed = list(pack(sections, list(groups.values()), [], [], limit))
    assert len({name for name, _ in packed}) == len(packed)
    return {name: strictly(gzip.decompress(base64.b64decode(text, validate=True))) for name, text in packed}


def strictly(content):
    """As a browser reads JSON: UTF-8, no NaN."""

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    return json.loads(content.decode("utf-8"), parse_constant=refuse)


def size(paths, limit):
    groups = [[number] for number in range(len(read_sections(paths)))]
    return sum(len(text) for _, text in pack(read_sections(paths), groups, [], [], limit))


# ---------------------------------------------------------------- runs by hand, as a stranger writes them


def vote(verdict, judge="a", **more):
    return {"judge": judge, "vote": 1, "verdict": verdict, "reasoning": f"because {verdict}", "quotes": [], **more}


def criterion(name, verdict, votes=(), **more):
    return {"unit": "criterion", "task": "area/task", "trial": 1, "id": name, "title": f"Title {name}"} | {
        "verdict": verdict,
        "votes": list(votes),
        **more,
    }


def trial(**more):
    return {"unit": "trial", "task": "area/task", "trial": 1, "stop_reason": "done", "finished": True, **more}


def write_run(folder, units, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    manifest = {
        "kind": "lab",
        "suite": {"name": "s", "sha256": "abc"},
        "system": {"name": "x"},
        "protocol": {"id": "p"},
    }
    (folder / "run.json").write_text(json.dumps(manifest | {"status": "complete"} | changes))
    (folder / "results.jsonl").write_text("".join(json.dumps(unit) + "\n" for unit in units))
    return folder


def keep(folder, name, content, task="area__task"):
    path = folder / "artifacts" / task / "trial-1" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def verdict_rows(chunks):
    """Every verdict as a dict, with its detail."""
    index = chunks["index"]
    columns = index["verdicts"]
    for row in range(columns["n"]):
        found = {key: values[row] for key, values in columns.items() if key != "n"}
        criteria, number = chunks["criteria"], found["criterion"]
        own = {key: criteria[key][number] for key in ("task", "id", "title", "critical")}
        own["contested"] = criteria["contested"].get(str(number))
        kinds, files = [*index["error_kinds"], None], [*index["files"], None]
        detail = chunks[f"verdict-{row // index['rows']['verdicts']}"][row % index["rows"]["verdicts"]]
        yield found | {
            "id": own["id"],
            "title": own["title"],
            "task": index["tasks"][own["task"]]["id"],
            "verdict": VERDICTS[found["verdict"]],
            "cause": index["causes"][found["cause"]],
            "error_kind": kinds[found["error_kind"]],
            "file": files[found["file"]],
            "detail": detail,
        }


# ---------------------------------------------------------------- verdicts


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """Two runs of one matter, two trials each: one agent writes the memo, the other leaves nothing."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    task = write_task(tmp_path / "tasks" / "area" / "matter")
    for agent in ("react", "empty"):
        lab_run(
            [task],
            [agent],
            models=["function:labkit:associate"] if agent == "react" else [],
            judges=["function:labkit:judge"],
            trials=2,
            out=tmp_path / "out",
            cache=tmp_path / "cache",
        )
    return tmp_path / "out"


def test_every_verdict_on_the_page_is_that_of_the_results(lab):
    sections = read_sections([lab])
    chunks = unpack([lab])
    shown = {(row["run"], row["task"], row["trial"], row["id"]): row for row in verdict_rows(chunks)}
    graded = [(r, u) for r, s in enumerate(sections) for u in s.units if isinstance(u, CriterionResult)]
    assert len(shown) == len(graded) == 12
    for run, unit in graded:
        row = shown[run, unit.task, unit.trial, unit.id]
        assert (row["verdict"], row["title"], row["file"]) == (unit.verdict, unit.title, unit.resolved_file)
        assert row["detail"]["sha"] == unit_sha256(unit)
        assert [v["reasoning"] for v in row["detail"]["votes"]] == [v.reasoning for v in unit.votes]
        assert not any("key" in v for v in row["detail"]["votes"])


def test_a_trial_carries_its_record_its_deliverables_and_its_transcript(lab):
    chunks = unpack([lab])
    index = chunks["index"]
    number = next(i for i, t in enumerate(index["trials"]) if index["runs"][t["run"]]["system"].startswith("react"))
    held = chunks[f"trial-{number}"]
    section = next(s for s in read_sections([lab]) if s.manifest.system["name"].startswith("react"))
    tried = index["trials"][number]["trial"]
    record = next(u for u in section.units if isinstance(u, TrialResult) and u.trial == tried)
    assert held["record"] == record.model_dump(mode="json")
    extracted = (section.folder / f"artifacts/area__matter/trial-{tried}/extracted/memo.md.txt").read_text()
    assert held["deliverables"] == [{"name": "memo.md", "text": extracted, "left_out": None}]
    kept = (section.folder / f"artifacts/area__matter/trial-{tried}/transcript.jsonl").read_text().splitlines()
    assert held["transcript"] == [json.loads(line) for line in kept]
    assert index["left_out"] == {"deliverables": 0, "transcripts": 0, "documents": 0, "bytes": 0, "limit": LIMIT}


def test_runs_say_what_they_are_and_trials_how_they_ended(lab):
    index = unpack([lab])["index"]
    for run, section in zip(index["runs"], read_sections([lab]), strict=True):
        assert run["run"] == section.manifest.run_id
        assert run["headline"] == {"measure": "all_pass", **section.summary.all_pass.model_dump(mode="json")}
    assert index["groups"][0]["runs"] == [0, 1]
    assert {t["stop_reason"] for t in index["trials"]} == {"done"}
    assert sorted((t["all_pass"], t["passed"], t["criteria"]) for t in index["trials"]) == 2 * [(False, 0, 3)] + 2 * [
        (True, 3, 3)
    ]


def test_rows_stand_in_rubric_order_and_c_2_before_c_10(tmp_path):
    names = ["C-10", "C-2", "C-1"]
    run = write_run(tmp_path / "r", [trial(), *(criterion(name, "pass") for name in names)])
    assert [row["id"] for row in verdict_rows(unpack([run]))] == ["C-1", "C-2", "C-10"]


BITS = {
    1: criterion("x", "fail", [vote("pass", "a"), vote("fail", "b")]),
    2: criterion("x", "fail", [vote("pass"), vote("fail") | {"vote": 2}]),
    4: criterion("x", "error", [vote("error", error_kind="unsupported_quote")], error_kind="unsupported_quote"),
    8: criterion("x", "pass", [vote("pass")], contested="arguable"),
    16: criterion("x", "pass", [vote("pass")], critical=True),
    32: criterion("x", "pass", [vote("pass", "check:quote")]),
    256: criterion("x", "pass", [vote("pass")], resolved_file="m.md", resolution_rule="exact, case"),
    0: criterion("x", "pass", [vote("pass")], resolved_file="m.md", resolution_rule="exact, missing"),
}


@pytest.mark.parametrize("bit", BITS)
def test_what_is_odd_about_a_verdict(tmp_path, bit):
    [row] = verdict_rows(unpack([write_run(tmp_path / "r", [trial(), BITS[bit]])]))
    assert row["bits"] == bit


def test_verdicts_that_differ_between_trials_and_between_comparable_runs(tmp_path):
    same = criterion("same", "pass", [vote("pass")])
    for name, verdict in (("one", "pass"), ("two", "fail")):
        own = [criterion("other", verdict, [vote(verdict)]), same]
        more = [trial(trial=2), criterion("other", "pass", [vote("pass")], trial=2), same | {"trial": 2}]
        write_run(tmp_path / name, [trial(), *own, *more])
    found = {(row["run"], row["trial"], row["id"]): row["bits"] for row in verdict_rows(unpack([tmp_path]))}
    assert {key: bits for key, bits in found.items() if bits} == {
        (0, 1, "other"): 128,
        (1, 1, "other"): 64 | 128,
        (1, 2, "other"): 64,
    }


QUOTED = vote("fail", quotes=["wrong words"])
CAUSES = {
    "format": criterion("x", "fail", [vote("fail", "deliverable")]),
    "judge-contested": criterion("x", "fail", [vote("fail", "a"), vote("pass", "b")]),
    "not read": criterion("x", "fail", [QUOTED], sources=["lease.docx", "letter.pdf"]),
    "read, not used": criterion("x", "fail", [vote("fail")], sources=["lease.docx", "note.txt"]),
    "wrong": criterion("x", "fail", [QUOTED], sources=["documents/note.txt"]),
    "": criterion("x", "pass", [vote("pass")], sources=["lease.docx"]),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_why_a_criterion_failed(tmp_path, cause):
    read = trial(documents_total=3, documents_read=["note.txt"])
    [row] = verdict_rows(unpack([write_run(tmp_path / "r", [read, CAUSES[cause]])]))
    assert row["cause"] == cause


def test_the_sources_of_a_criterion_come_from_the_task_and_the_rubric(tmp_path):
    task = write_task(tmp_path / "tasks" / "area" / "matter", checks=True)
    record = json.loads((task / "task.json").read_text())
    record["criteria"][0]["sources"] = ["note.txt", "lease.docx"]
    (task / "task.json").write_text(json.dumps(record))
    rubric = task / "rubric.yaml"
    quoted = "    sources:\n    - {file: note.txt, quote: ninety (90) days' notice}\n"
    first, second = rubric.read_text().index("  C-002:\n"), len("  C-002:\n")
    rubric.write_text(rubric.read_text()[: first + second] + quoted + rubric.read_text()[first + second :])
    [outcome] = lab_run([task], ["empty"], out=tmp_path / "out", cache=tmp_path / "cache")
    sources = {unit.id: unit.sources for unit in read_units(outcome.path) if isinstance(unit, CriterionResult)}
    assert sources == {"C-001": ["note.txt", "lease.docx"], "C-002": ["note.txt"], "C-003": []}


# ---------------------------------------------------------------- queries


class Fixed:
    """Ranks documents d0, d1, d2 ... for every query, as many as it is asked for."""

    def index(self, corpus):
        self.numbers = np.array([corpus.doc_number[f"d{i}"] for i in range(len(corpus) - 1)])

    def search(self, queries, k):
        documents = np.tile(self.numbers[:k], (len(queries), 1))
        return Hits(documents, -np.tile(np.arange(documents.shape[1], dtype=float), (len(queries), 1)))


@pytest.fixture
def ranked(tmp_path):
    """30 documents of which d29 is never ranked; the ranking is d0, d1 ..., cut at 20."""
    documents = [{"_id": f"d{i}", "title": f"T{i}", "text": f"text {i} " * (400 if i == 12 else 1)} for i in range(30)]
    queries = [
        {"_id": "q1", "text": "first", "metadata": {"mechanism": "analogue", "group": "g"}},
        {"_id": "q2", "text": "second", "metadata": {"twin_of": "q1", "group": "g"}},
        {"_id": "q3", "text": "third"},
    ]
    qrels = [("q1", f"d{i}", grade) for i, grade in ((3, 1), (29, 3), (25, 1), (12, 1), (10, 2), (11, 0), (28, 3))]
    corpus = write_beir(tmp_path / "corpus", documents, queries, test=[*qrels, ("q2", "d9", 1), ("q3", "d10", 1)])
    [outcome] = evaluate(corpus, [Fixed()], depth=20, out=tmp_path / "out", cache=tmp_path / "cache")
    return outcome.path


def test_relevant_documents_below_the_first_ten_are_kept_with_their_rank(ranked):
    first, second, third = read_units(ranked)
    assert first.missed == [
        ("d10", 11, 2),
        ("d12", 13, 1),
        ("d28", None, 3),
        ("d29", None, 3),
        ("d25", None, 1),
    ]
    assert (second.missed, third.missed) == ([], [("d10", 11, 1)])
    assert [unit.relevant for unit in (first, second, third)] == [6, 1, 1]
    assert [unit.text for unit in (first, second, third)] == ["first", "second", "third"]
    assert [unit.twin_of for unit in (first, second, third)] == [None, "q1", None]


def test_at_most_a_hundred_missed_documents_the_best_ranked_first(tmp_path):
    documents = [{"_id": f"d{i}", "text": f"text {i}"} for i in range(300)]
    qrels = [("q1", f"d{i}", 1) for i in range(300)]
    corpus = write_beir(tmp_path / "corpus", documents, [{"_id": "q1", "text": "all"}], test=qrels)
    [outcome] = evaluate(corpus, [Fixed()], out=tmp_path / "out", cache=tmp_path / "cache")
    [unit] = read_units(outcome.path)
    assert unit.missed == [(f"d{i}", i + 1, 1) for i in range(10, 110)]
    assert unit.relevant == 300


def test_the_texts_of_all_documents_that_a_result_names_are_kept(ranked):
    kept = [
        json.loads(line) for line in gzip.decompress((ranked / "artifacts/texts.jsonl.gz").read_bytes()).splitlines()
    ]
    assert [record["_id"] for record in kept] == [f"d{i}" for i in (*range(11), 12, 25, 28, 29)]
    assert kept[3] == {"_id": "d3", "title": "T3", "text": "text 3 "}
    cut = next(record for record in kept if record["_id"] == "d12")
    assert (len(cut["text"]), cut["cut"]) == (2000, True)
    assert "artifacts/texts.jsonl.gz" in json.loads((ranked / "run.json").read_text())["files"]
    assert verify(ranked)["ok"]


def test_every_query_and_document_on_the_page_is_that_of_the_run(ranked):
    chunks = unpack([ranked])
    index = chunks["index"]
    for row, unit in enumerate(read_units(ranked)):
        about = index["query_table"][index["queries"]["query"][row]]
        assert (about["id"], about["text"], about["twin_of"]) == (unit.id, unit.text, unit.twin_of)
        assert (about["mechanism"], about["cluster"], about["relevant"]) == (unit.mechanism, unit.group, unit.relevant)
        for name, value in unit.measures.items():
            assert index["queries"]["values"][name][row] == pytest.approx(value, abs=5e-7)
        detail = chunks["query-0"][row]
        assert [tuple(entry) for entry in detail["missed"]] == unit.missed
        assert [tuple(entry) for entry in detail["top"]] == unit.top
    [(suite, places)] = index["docs"].items()
    assert suite == index["runs"][0]["suite"]["sha256"]
    assert chunks[f"docs-{places['d3']}"]["d3"] == {"title": "T3", "text": "text 3 "}
    assert chunks[f"docs-{places['d12']}"]["d12"]["cut"] is True


def test_a_run_file_that_is_scored_keeps_the_same_queries_and_texts(ranked, tmp_path):
    handed_in = f"runfile:{ranked / 'artifacts/run.trec.gz'}"
    [scored] = evaluate(tmp_path / "corpus", [handed_in], depth=None, out=tmp_path / "out", cache=tmp_path / "cache")
    assert read_units(scored.path) == read_units(ranked)
    texts = "artifacts/texts.jsonl.gz"
    assert (scored.path / texts).read_bytes() == (ranked / texts).read_bytes()


def test_killed_and_resumed_the_texts_are_those_of_a_run_in_one_go(tmp_path):
    corpus = write_corpus(tmp_path / "made", 700, 600)
    command = ["retrieval", "run", corpus, "-r", "plugin_retrievers:Overlap", "--cache", tmp_path / "cache"]
    killed = shell([*command, "-o", tmp_path / "out"], SEARCH_LOG=tmp_path / "log", KILL_AT="q 520")
    assert killed.wait() == -9
    [folder] = (tmp_path / "out").iterdir()
    assert not (folder / "artifacts/texts.jsonl.gz").exists()
    for out in ("out", "whole"):
        assert shell([*command, "-o", tmp_path / out], SEARCH_LOG=tmp_path / "log").wait() == 0
    [whole] = (tmp_path / "whole").iterdir()
    assert lines(folder) == lines(whole)
    texts = "artifacts/texts.jsonl.gz"
    assert (folder / texts).read_bytes() == (whole / texts).read_bytes()
    assert verify(folder)["ok"]


# ---------------------------------------------------------------- the budget


@pytest.fixture
def large(tmp_path):
    """Six trials, two with an error, two that fail, two that pass; transcripts and deliverables that hardly compress."""
    units = []
    for number, verdict in enumerate(("pass", "fail", "error") * 2):
        task = f"area/t{number}"
        for name, length in (("transcript.jsonl", 40_000), ("extracted/memo.md.txt", 20_000)):
            words = base64.b64encode(os.urandom(length)).decode()
            text = json.dumps({"role": "agent", "text": words}) + "\n" if name.endswith("l") else words
            keep(tmp_path / "run", name, text.encode(), f"area__t{number}")
        units += [
            trial(task=task, output={"memo.md": "0"}),
            criterion("x", verdict, task=task, error_kind="timeout" if verdict == "error" else None),
        ]
    return write_run(tmp_path / "run", units)


def test_what_does_not_fit_is_named_and_counted_and_errors_are_kept_longest(large):
    whole = unpack([large])
    assert whole["index"]["left_out"]["transcripts"] == whole["index"]["left_out"]["deliverables"] == 0
    limit = 6 * 28_000 + 3 * 55_000 + 10_000
    chunks = unpack([large], limit)
    assert size([large], limit) < limit
    left = chunks["index"]["left_out"]
    assert (left["deliverables"], left["transcripts"], left["limit"]) == (0, 3, limit)
    assert left["bytes"] == sum(
        (large / f"artifacts/area__t{n}/trial-1/transcript.jsonl").stat().st_size for n in (0, 3, 4)
    )
    kept = [bool(chunks[f"trial-{n}"]["transcript"]) for n in range(6)]
    assert kept == [False, True, True, False, False, True]
    assert chunks["trial-0"]["left_out"] == "53 kB; in artifacts/area__t0/trial-1/transcript.jsonl of the run folder"
    assert chunks["trial-1"] == whole["trial-1"]


def test_the_smallest_page_still_has_every_verdict_and_says_where_the_rest_is(large):
    chunks = unpack([large], 1)
    assert sum(1 for _ in verdict_rows(chunks)) == 6
    assert chunks["index"]["left_out"]["deliverables"] == chunks["index"]["left_out"]["transcripts"] == 6
    [file] = chunks["trial-0"]["deliverables"]
    assert file == {
        "name": "memo.md",
        "text": None,
        "left_out": "27 kB; in artifacts/area__t0/trial-1/extracted/memo.md.txt of the run folder",
    }


def test_documents_that_do_not_fit_are_counted(ranked):
    chunks = unpack([ranked], 1)
    assert (chunks["index"]["docs"], chunks["index"]["left_out"]["documents"]) == ({}, 15)


@pytest.mark.parametrize("limit", [1_000, 60_000, 150_000, 250_000, 400_000])
def test_no_limit_is_passed_once_the_verdicts_fit(large, limit):
    assert size([large], limit) <= max(limit, size([large], 1) + 16)  # it names the limit


# ---------------------------------------------------------------- what strangers and enemies leave in a folder


def test_a_stranger_s_folder_without_trials_votes_or_artifacts_has_its_verdicts(tmp_path):
    bare = {"unit": "criterion", "task": "t", "trial": 1, "id": "c", "title": "T", "verdict": "fail"}
    run = write_run(tmp_path / "theirs", [bare], suite={"name": "s", "version": "2", "sha256": "abc"}, protocol={})
    chunks = unpack([run])
    [row] = verdict_rows(chunks)
    assert (row["verdict"], row["cause"], row["task"]) == ("fail", "", "t")
    assert chunks["index"]["runs"][0]["run"] == "theirs"
    assert chunks["trial-0"] == {"record": None, "deliverables": [], "transcript": None, "left_out": None}
    assert "no trial line" in chunks["index"]["trials"][0]["problem"]


def test_a_stranger_s_queries_need_neither_text_nor_documents(tmp_path):
    query = {"id": "q", "measures": {"AP": 0.5}, "judged@10": 1.0, "top": [["d", 1.5, None]]}
    chunks = unpack([write_run(tmp_path / "theirs", [query], kind="retrieval")])
    assert chunks["index"]["query_table"][0]["text"] is None
    assert chunks["index"]["docs"] == {}
    assert chunks["query-0"] == [{"top": [["d", 1.5, None]], "missed": []}]


def test_a_folder_without_results_is_on_the_page(tmp_path):
    run = write_run(tmp_path / "r", [], status="failed", error="the agent's key is missing")
    index = unpack([run])["index"]
    assert (index["runs"][0]["error"], index["runs"][0]["headline"]) == ("the agent's key is missing", None)
    assert index["verdicts"]["n"] == 0


def test_lines_of_a_transcript_that_are_no_json_objects_are_kept_as_they_are(tmp_path):
    run = write_run(tmp_path / "r", [trial(), criterion("x", "pass")])
    good = {"role": "agent", "text": "a\0b"}
    bad = [b'{"torn": ', b"[1, 2]", b'{"a": NaN}', b"\xff\xfe", b"\0", b'{"n": ' + b"9" * 5000 + b"}", b"[" * 5000]
    content = b"\n".join(
        [json.dumps(good).encode() + b"\r", b"", *bad, b'{"half": "\\ud800"}', b'{"x": "' + b"y" * 10**6 + b'"}']
    )
    keep(run, "transcript.jsonl", content)
    held = unpack([run])["trial-0"]["transcript"]
    assert held[0] == good
    assert held[1:8] == [{"raw": line.decode("utf-8", "replace")} for line in bad]
    assert held[8] == {"half": "\ud800"}
    assert len(held[9]["x"]) == 10**6


def test_a_huge_file_is_cut_with_a_note(tmp_path):
    run = write_run(tmp_path / "r", [trial(output={"memo.md": "0"}), criterion("x", "pass")])
    keep(run, "transcript.jsonl", b'{"n": 1}\n' * 300_000)
    keep(run, "extracted/memo.md.txt", "é".encode() * 1_500_000)
    chunks = unpack([run])
    held = chunks["trial-0"]
    assert held["left_out"].startswith("cut after 2.0 MB of 2.7 MB; the rest is in artifacts/area__task/trial-1/tr")
    assert len(held["transcript"]) == MOST // 9
    [file] = held["deliverables"]
    assert file["text"] == "é" * 1_000_000
    assert file["left_out"].startswith("cut after 2.0 MB of 3.0 MB; the rest is in artifacts/area__task/trial-1/ex")
    assert (chunks["index"]["left_out"]["transcripts"], chunks["index"]["left_out"]["deliverables"]) == (1, 1)


def test_what_has_no_text_says_so(tmp_path):
    run = write_run(tmp_path / "r", [trial(output=dict.fromkeys(["a.bin", "b.txt", "c.md", "d.md"], "0"))])
    keep(run, "deliverables/a.bin", b"\0\1\2\xff")
    keep(run, "deliverables/b.txt", "plain é".encode())
    keep(run, "deliverables/d.md", b"raw")
    keep(run, "extracted/d.md.txt", b"as judges saw it")
    found = {file["name"]: (file["text"], file["left_out"]) for file in unpack([run])["trial-0"]["deliverables"]}
    assert found == {
        "a.bin": (None, "no text was extracted"),
        "b.txt": ("plain é", None),
        "c.md": (None, "the run folder does not hold it"),
        "d.md": ("as judges saw it", None),
    }


def test_deliverables_that_no_record_names_are_found_in_the_folder(tmp_path):
    run = write_run(tmp_path / "r", [trial()])
    keep(run, "deliverables/b.txt", b"b")
    keep(run, "deliverables/deep/a.txt", b"a")
    assert [file["name"] for file in unpack([run])["trial-0"]["deliverables"]] == ["b.txt", "deep/a.txt"]


def test_nothing_outside_the_run_folder_is_read(tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("a secret")
    names = ["link.md", "../../../../../secret.txt", str(secret), "through/secret.txt", "nul\0.txt"]
    run = write_run(
        tmp_path / "r", [trial(output=dict.fromkeys(names, "0")), trial(task="linked"), trial(task="piped")]
    )
    (run / "artifacts/area__task/trial-1/deliverables").mkdir(parents=True)
    (run / "artifacts/area__task/trial-1/deliverables/link.md").symlink_to(secret)
    (run / "artifacts/area__task/trial-1/deliverables/through").symlink_to(tmp_path)
    (run / "artifacts/area__task/trial-1/transcript.jsonl").symlink_to(secret)
    (run / "artifacts/linked").symlink_to(tmp_path)
    (tmp_path / "trial-1/deliverables").mkdir(parents=True)
    (tmp_path / "trial-1/deliverables/x.txt").write_text("a secret")
    (run / "artifacts/piped/trial-1").mkdir(parents=True)
    os.mkfifo(run / "artifacts/piped/trial-1/transcript.jsonl")
    chunks = unpack([run])
    assert "a secret" not in json.dumps(chunks)
    assert [file["left_out"] for file in chunks["trial-0"]["deliverables"]] == 5 * ["the run folder does not hold it"]


def test_a_task_id_that_is_no_path_costs_only_that_trial_its_files(tmp_path):
    bad = [trial(task="../x", output={"a.md": "0"}), criterion("x", "pass", task="../x")]
    run = write_run(tmp_path / "r", [*bad, trial(), criterion("x", "pass")])
    keep(run, "transcript.jsonl", b'{"n": 1}\n')
    (run / "artifacts" / ".." / "x").mkdir()
    chunks = unpack([run])
    assert "the task id must be a slash path" in chunks["trial-0"]["left_out"]
    assert chunks["trial-0"]["deliverables"][0]["left_out"] == chunks["trial-0"]["left_out"]
    assert chunks["trial-1"]["transcript"] == [{"n": 1}]


def test_text_that_no_browser_takes_is_mended_and_the_rest_stays(tmp_path):
    units = [
        trial(cost=float("nan")),
        criterion("x", "pass", [vote("pass", odd=float("inf"))], title="half \ud800 and \0"),
    ]
    run = write_run(tmp_path / "r", units)
    chunks = unpack([run])
    [row] = verdict_rows(chunks)
    assert row["title"] == "half ? and \0"
    assert "odd" not in row["detail"]["votes"][0]
    assert chunks["index"]["trials"][0]["cost"] is None
    assert chunks["trial-0"]["record"]["cost"] is None


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"_id": "d3"}', '{"_id": 3, "text": "x"}', '{"_id": "d3", "text": "x", "title": 5}']
)
def test_broken_texts_are_an_error_with_file_and_line(ranked, line):
    texts = ranked / "artifacts/texts.jsonl.gz"
    texts.write_bytes(gzip.compress(b'{"_id": "d0", "text": "x"}\n' + line.encode() + b"\n"))
    with pytest.raises(EvalsuiteError, match=r"texts\.jsonl\.gz:2: "):
        unpack([ranked])


def test_texts_behind_a_link_are_not_read(ranked, tmp_path):
    texts = ranked / "artifacts/texts.jsonl.gz"
    texts.rename(tmp_path / "elsewhere.gz")
    texts.symlink_to(tmp_path / "elsewhere.gz")
    assert unpack([ranked])["index"]["docs"] == {}


def test_a_text_longer_than_our_own_runs_keep_is_cut(ranked):
    long = json.dumps({"_id": "d0", "text": "x" * 10**6})
    (ranked / "artifacts/texts.jsonl.gz").write_bytes(gzip.compress(long.encode() + b"\n"))
    assert unpack([ranked])["docs-0"] == {"d0": {"title": "", "text": "x" * 2000, "cut": True}}


def test_a_folder_named_twice_is_one_run(ranked):
    assert len(read_sections([ranked, ranked.parent, ranked / "."])) == 1


def test_the_same_runs_give_the_same_chunks(lab):
    def chunks():
        sections = read_sections([lab])
        return {name: text for name, text in pack(sections, [[0, 1]], []) if name != "index"}

    assert chunks() == chunks()

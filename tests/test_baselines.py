"""The committed baselines: whole, of the data and the systems that are here, and no system has become worse since."""

import importlib.util
import json
from pathlib import Path

import pytest
from labkit import write_task
from test_evaluate import write_corpus

from evalsuite import load_corpus
from evalsuite.gate.functions import assert_no_regression
from evalsuite.lab.evaluate import suite_of
from evalsuite.lab.task import load_tasks
from evalsuite.reporting.leaderboard import as_json, leaderboard
from evalsuite.reporting.page import build
from evalsuite.retrieval.evaluate import evaluate
from evalsuite.storage import read_manifest, write_json
from evalsuite.summary import verify

ROOT = Path(__file__).parents[1]
AGAIN = "run `make baselines` and commit reports/baselines/"

spec = importlib.util.spec_from_file_location("baselines", ROOT / "scripts" / "baselines.py")
baselines = importlib.util.module_from_spec(spec)
spec.loader.exec_module(baselines)


def manifests():
    return [read_manifest(run) for run in baselines.runs(baselines.PLACE)]


def one(corpus, system):
    [run] = [
        run
        for run in baselines.runs(baselines.PLACE)
        if (manifest := read_manifest(run)).suite.name == corpus and manifest.system["name"] == system
    ]
    return run


# ---------------------------------------------------------------- what is committed


def test_every_baseline_verifies_and_every_file_is_as_it_was_sealed():
    assert baselines.check(baselines.PLACE) == [], AGAIN
    found = as_json(leaderboard([baselines.PLACE]))
    assert found["problems"] == [] and found["sealed"] == found["runs"] == len(manifests())


@pytest.mark.parametrize("corpus", sorted(path.name for path in (ROOT / "corpora").iterdir() if path.is_dir()))
def test_every_retriever_has_a_run_on_the_corpus_as_it_is_now(corpus):
    loaded = load_corpus(ROOT / "corpora" / corpus)
    own = baselines.VERIFIERS if (ROOT / "corpora" / corpus / "judgements").is_dir() else []
    found = {m.system["name"]: m.suite.sha256 for m in manifests() if m.suite.name == corpus}
    assert found.keys() == {*baselines.RETRIEVERS, *own}, AGAIN
    assert set(found.values()) == {loaded.sha256}, AGAIN


def test_every_embedded_agent_has_a_run_on_the_tasks_as_they_are_now():
    found = {m.system["name"]: m.suite.sha256 for m in manifests() if m.kind == "lab"}
    now = suite_of(load_tasks([ROOT / "tasks"]))
    assert found == dict.fromkeys(baselines.EMBEDDED, now.sha256), AGAIN


def test_the_baselines_are_small_and_repeat_nothing():
    files = [path for path in baselines.PLACE.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 15_000_000
    assert {path.name for path in files if path.suffix == ".gz"} == {"run.trec.gz"}
    assert not [path for path in files if path.name == "transcript.jsonl"]


@pytest.mark.model
@pytest.mark.parametrize("system", ["bm25", "dense"])
def test_no_retriever_has_become_worse_than_its_baseline(system, tmp_path, shared_cache):
    [now] = evaluate(ROOT / "corpora" / "clauses", system, out=tmp_path, cache=shared_cache, fresh=True)
    for mechanism in ("descriptive", "surface"):
        assert_no_regression(now, one("clauses", system), margin=0.02, mechanism=mechanism)


def test_a_worse_retriever_does_not_pass_the_gate(tmp_path):
    [worse] = evaluate(ROOT / "corpora" / "clauses", "bm25:k1=0.0,b=0.0", out=tmp_path, fresh=True)
    with pytest.raises(AssertionError, match=r"worse by more than 0\.001"):
        assert_no_regression(worse, one("clauses", "bm25"), margin=0.001, mechanism="surface")


# ---------------------------------------------------------------- how they are made


@pytest.fixture
def made(tmp_path):
    """Two retrievers on a corpus and two agents on a task, made by the script."""
    corpus = write_corpus(tmp_path / "corpora" / "made", 40, 12)
    write_task(tmp_path / "tasks" / "area" / "one", checks=True)
    place = tmp_path / "reports" / "baselines"

    def make(retrievers=("bm25", "random"), agents=("extractive", "parrot")):
        return baselines.make(place, [corpus], tmp_path / "tasks", list(retrievers), list(agents))

    assert make() == 0
    return place, make, corpus


def test_what_only_repeats_other_files_is_left_out_and_named_with_its_hash(made, tmp_path):
    place, _, corpus = made
    assert baselines.check(place) == []
    [bm25] = place.glob("made-*-bm25-*")
    names = sorted(str(path.relative_to(bm25)) for path in bm25.rglob("*") if path.is_file())
    assert names == ["artifacts/run.trec.gz", "results.jsonl", "run.json", "summary.json"]
    [whole] = evaluate(corpus, "bm25", out=tmp_path / "whole", fresh=True)
    left = json.loads((bm25 / "run.json").read_text())["left_out"]
    assert left == {"artifacts/texts.jsonl.gz": whole.manifest.files["artifacts/texts.jsonl.gz"]}
    assert verify(bm25)["ok"]
    kept = {run.name.rsplit("-", 2)[1]: [p.name for p in run.rglob("deliverables/*")] for run in place.glob("*one*")}
    assert kept == {"extractive": ["memo.md"], "parrot": []}
    assert build([place], tmp_path / "report.html").n_failed == 0


def test_a_second_call_repeats_no_run_and_leaves_nothing_behind(made, capsys):
    place, make, _ = made
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    assert make() == 0
    assert "4 runs" in (told := capsys.readouterr().err) and "4 of them were there already" in told
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before
    assert [path.name for path in place.parent.iterdir()] == ["baselines"]


def test_a_system_that_is_no_longer_named_has_no_baseline(made):
    place, make, _ = made
    assert make(retrievers=["random"], agents=["parrot"]) == 0
    assert {read_manifest(run).system["name"] for run in baselines.runs(place)} == {"random", "parrot"}
    assert baselines.check(place) == []


def test_a_run_that_fails_leaves_the_baselines_as_they_were(made, capsys, monkeypatch):
    place, make, _ = made
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    before = {path: path.read_bytes() for path in place.rglob("*") if path.is_file()}
    assert make(retrievers=["bm25", "plugin_retrievers:Broken"]) == 3
    assert "the search server went away" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in place.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["run.json", "summary.json", "results.jsonl", "artifacts/run.trec.gz"])
def test_one_flipped_bit_is_caught_and_the_file_named(made, name):
    place, _, _ = made
    [file] = place.glob(f"made-*-random-*/{name}")
    content = file.read_bytes()
    for position in (0, len(content) // 2, len(content) - 1):
        file.write_bytes(content[:position] + bytes([content[position] ^ 1]) + content[position + 1 :])
        assert baselines.check(place) == [f"{file.relative_to(place)}: is not what was sealed"]
    file.unlink()
    assert baselines.check(place) == [f"{file.relative_to(place)}: missing"]


def test_a_file_that_is_not_sealed_and_a_seal_that_was_edited_are_caught(made):
    place, _, _ = made
    (place / "more.txt").write_text("x")
    assert baselines.check(place) == ["more.txt: not in seal.json"]
    (place / "more.txt").unlink()
    sealed = json.loads((place / "seal.json").read_text())
    write_json(place / "seal.json", sealed | {"evalsuite": "9.9"})
    assert baselines.check(place) == ["seal.json: is not what its own sha256 was made of"]


# ---------------------------------------------------------------- how they are used


def test_a_lent_baseline_is_not_run_again_and_counts_once_on_the_leaderboard(made, tmp_path):
    place, _, corpus = made
    out = tmp_path / "reports" / "make-run"
    assert baselines.lend(place, out) == 4 and baselines.lend(place, out) == 0
    [bm25, prior] = evaluate(corpus, ["bm25", "prior"], out=out)
    assert bm25.reused and not prior.reused
    found = as_json(leaderboard([out, place]))
    assert (found["runs"], found["sealed"], found["problems"]) == (5, 4, [])
    systems = {s["system"]: s["sealed"] for g in found["groups"] for b in g["boards"] for s in b["systems"]}
    assert systems == {"bm25": True, "random": True, "prior": False, "extractive": True, "parrot": True}


def test_a_lent_run_that_was_cut_off_half_way_is_not_taken_for_whole(made, tmp_path, monkeypatch):
    place, _, _ = made
    out = tmp_path / "out"

    def killed(source, target):
        target.mkdir(parents=True)
        (target / "run.json").write_bytes((source / "run.json").read_bytes())
        raise KeyboardInterrupt

    monkeypatch.setattr(baselines.shutil, "copytree", killed)
    with pytest.raises(KeyboardInterrupt):
        baselines.lend(place, out)
    monkeypatch.undo()
    assert [path for path in out.iterdir() if path.name[0] != "."] == []
    assert baselines.lend(place, out) == 4
    assert all((run / "results.jsonl").exists() for run in baselines.runs(out))
    assert all(run.name[0] != "." for run in out.iterdir())


def test_a_baseline_of_other_code_is_not_lent(made, tmp_path):
    place, _, _ = made
    for run in baselines.runs(place):
        about = json.loads((run / "run.json").read_text())
        about["environment"]["source_sha256"] = "other"
        write_json(run / "run.json", about)
    assert baselines.lend(place, tmp_path / "out") == 0 and not (tmp_path / "out").exists()


def test_the_script_says_what_it_can_do_and_checks_what_is_committed(capsys):
    assert baselines.main([]) == 2 and "lend FOLDER" in capsys.readouterr().err
    assert baselines.main(["check"]) == 0 and capsys.readouterr().err.endswith("baselines, ok\n")

"""What the plugin must not blur: errors and failures, what each eval file asks for, and that no model is asked unless allowed."""

import json
import xml.etree.ElementTree as ET

import pytest
import yaml
from labkit import write_task
from test_pytest_plugin import corpus, logged, runs
from test_pytest_plugin_agents import AGENTS, gate, server  # noqa: F401 - a fixture

from evalsuite.gate.running import Session

pytest_plugins = ["pytester"]

RETRIEVERS = """
import os
from evalsuite.models import create_model

class Flat:
    def index(self, corpus):
        self.names = [d.id for d in corpus.documents()]

    def search(self, queries, k):
        return {query.id: {name: 1.0 for name in self.names} for query in queries}

class Asking(Flat):
    def __init__(self):
        self.model = create_model("some", base_url=os.environ["MODEL_URL"])

    def search(self, queries, k):
        from pydantic_ai import Agent
        Agent(self.model.model).run_sync(queries[0].text)
        return super().search(queries, k)

class Crash(Flat):
    def search(self, queries, k):
        raise RuntimeError("the search server went away")
"""
ASKING_AGENT = """

async def asking(assignment):
    from evalsuite.models import create_model
    from pydantic_ai import Agent
    await Agent(create_model("some", base_url=os.environ["MODEL_URL"]).model).run("hello")
    await good(assignment)
"""
ODD = """

class Odd:
    name = "odd"

    def settings(self):
        raise SystemError("odd")

    async def work(self, assignment):
        await good(assignment)
"""


@pytest.fixture
def project(pytester, monkeypatch):
    """A scratch project with a corpus, retrievers, tasks and agents of its own."""
    monkeypatch.setenv("LOG", str(pytester.path / "log"))
    monkeypatch.setenv("MODEL_URL", "http://127.0.0.1:9/v1")
    corpus(pytester.path / "corpora" / "mine")
    (pytester.path / "mine.py").write_text(RETRIEVERS)
    for name in ("corporate-ma/one", "tax/three"):
        write_task(pytester.path / "tasks" / name, checks=True)
    (pytester.path / "crew.py").write_text(AGENTS + ASKING_AGENT)
    return pytester.path


# ---------------------------------------------------------------- error is not failure


def test_a_crash_in_a_test_that_uses_a_fixture_is_an_error_everywhere(project, run):
    (project / "test_quality.py").write_text(
        "import pytest\n\n"
        "def test_crash(evaluate_retriever):\n"
        "    evaluate_retriever('corpora/mine', 'mine:Crash')\n\n"
        "def test_incomparable(evaluate_retriever, assert_no_regression):\n"
        "    one = evaluate_retriever('corpora/mine', 'mine:Flat')\n"
        "    assert_no_regression(one, one.path, measure='P@3')\n\n"
        "def test_broke(run_task):\n"
        "    run_task('tasks/tax/three', 'crew:crash')\n\n"
        "def test_red(evaluate_retriever):\n"
        "    assert evaluate_retriever('corpora/mine', 'mine:Flat').summary.measures['nDCG@10'].mean > 2\n\n"
        "@pytest.mark.xfail\n"
        "def test_expected(evaluate_retriever):\n"
        "    evaluate_retriever('corpora/mine', 'mine:Crash')\n\n"
        "def test_green(evaluate_retriever):\n"
        "    evaluate_retriever('corpora/mine', 'mine:Flat')\n"
    )
    for more in ((), ("-n", "2")):
        done = run("--junitxml=junit.xml", "-rE", *more)
        assert done.ret == 1
        done.assert_outcomes(passed=1, failed=1, errors=3, xfailed=1)
        done.stdout.fnmatch_lines(["ERROR test_quality.py::test_crash - evalsuite.gate.errors.GateError*"])
        cases = ET.parse(project / "junit.xml").iter("testcase")
        kinds = {case.get("name"): [part.tag for part in case if part.tag != "properties"] for case in cases}
        assert kinds == {
            "test_crash": ["error"],
            "test_incomparable": ["error"],
            "test_broke": ["error"],
            "test_red": ["failure"],
            "test_expected": ["skipped"],
            "test_green": [],
        }
    run("--lf").assert_outcomes(failed=1, errors=3)


# ---------------------------------------------------------------- files that share a run


def test_files_that_share_a_run_each_get_their_trials(project, run):
    gate(project, "a", system="crew:good")
    gate(project, "b", system="crew:good", trials=3)
    run().assert_outcomes(passed=2 + 6)
    lines = logged(project)
    assert len(lines) == len(set(lines)) == 2 * 6
    assert len(runs(project)) == 1


def test_files_that_share_a_run_cannot_have_two_budgets(project, run):
    gate(project, "a", system="crew:good", max_cost=5)
    gate(project, "b", systems=["crew:good", "crew:forgetful"], max_cost=1)
    gate(project, "c", system="crew:good", max_cost=5)
    done = run("-v")
    done.assert_outcomes(passed=2 + 2, failed=2, errors=2)
    done.stdout.fnmatch_lines(
        ["*max_cost is 1.0 here and 5.0 in *a.eval.yaml, which shares this run; give both the same*"]
    )


# ---------------------------------------------------------------- no model unless allowed


@pytest.mark.parametrize("live", [{}, {"live": False}])
def test_code_that_does_not_say_so_asks_no_model(project, run, server, monkeypatch, live):  # noqa: F811
    monkeypatch.setenv("MODEL_URL", server.url)
    keys = {"retrieval": "corpora/mine", "system": "mine:Asking", "thresholds": {"R@100": 0.1}, **live}
    (project / "quality.eval.yaml").write_text(yaml.safe_dump(keys))
    gate(project, system="crew:asking", select="tax", **live)
    done = run()
    done.assert_outcomes(errors=2)
    assert server.asked == 0
    assert "the model is not asked here" in done.stdout.str()
    run("--eval-live").assert_outcomes(passed=2)
    assert server.asked == 2


def test_neither_does_a_fixture_nor_a_retriever_made_in_its_test(project, run, server, monkeypatch):  # noqa: F811
    monkeypatch.setenv("MODEL_URL", server.url)
    (project / "test_quality.py").write_text(
        "import mine\n\n"
        "def test_named(evaluate_retriever):\n"
        "    evaluate_retriever('corpora/mine', 'mine:Asking')\n\n"
        "def test_object(evaluate_retriever):\n"
        "    evaluate_retriever('corpora/mine', mine.Asking())\n\n"
        "def test_task(run_task):\n"
        "    run_task('tasks/tax/three', 'crew:asking')\n"
    )
    run().assert_outcomes(errors=3)
    assert server.asked == 0
    run("--eval-live").assert_outcomes(passed=3)
    assert server.asked == 3


# ---------------------------------------------------------------- faults


def test_a_fault_in_one_file_is_its_error_and_no_trial_is_worked_again(project, run):
    (project / "crew.py").write_text(AGENTS + ODD)
    gate(project, "a", system="crew:good")
    gate(project, "b", system="crew:Odd")
    done = run()
    done.assert_outcomes(passed=2, errors=2)
    done.stdout.fnmatch_lines(["*the agent crew:Odd gave no result: SystemError: odd"])
    lines = logged(project)
    assert len(lines) == len(set(lines)) == 2 * 2


def test_what_a_fault_leaves_is_told_to_every_item_and_work_is_called_once(tmp_path):
    called = []

    def work():
        called.append(1)
        raise MemoryError("no room")

    session = Session(tmp_path / "out", shared=tmp_path / "shared")
    for _ in range(2):
        with pytest.raises(Exception, match="MemoryError: no room"):
            session._once(["trials"], work)
    again = Session(tmp_path / "out", shared=tmp_path / "shared")
    with pytest.raises(Exception, match="MemoryError: no room"):
        again._once(["trials"], work)
    assert called == [1]


def test_a_record_that_was_cut_off_does_not_stand_for_a_whole_one(tmp_path, monkeypatch):
    from evalsuite.gate.work import Done

    session = Session(tmp_path / "out", shared=tmp_path / "shared")
    monkeypatch.setattr("os.fsync", lambda file: None)
    monkeypatch.setattr("pathlib.Path.write_text", _cut)
    assert session._once(["x"], lambda: {"a": Done("p")}) == {"a": Done("p")}
    [record] = (tmp_path / "shared").glob("*.json")
    assert json.loads(record.read_bytes())


def _cut(path, text, **_):
    path.write_bytes(text[: len(text) // 2].encode())


def test_a_key_of_limits_that_is_none_is_told_those_of_limits(project, run):
    gate(project, system="crew:good", limits={"turn": 3})
    done = run()
    done.stdout.fnmatch_lines(["*limits.turn: is no key; meant is turns? (accepted: turns, tokens, seconds, cost)"])

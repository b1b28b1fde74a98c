"""What the plugin is made of, without a session: whose module is imported, what a file may say, what died, what functions take."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import write_beir
from labkit import write_task

from evalsuite import assert_no_regression, lab_run, run_task
from evalsuite.errors import UsageError
from evalsuite.gate.errors import GateError
from evalsuite.gate.evalfile import EvalFileError, read_eval_file
from evalsuite.gate.functions import evaluate_retriever
from evalsuite.gate.judging import Judged, judge
from evalsuite.gate.modules import at_home, modules_of
from evalsuite.gate.plan import planned
from evalsuite.gate.running import Session
from evalsuite.gate.work import DIED, EvalFile

# ---------------------------------------------------------------- whose module

SEARCH = """
import helper

class Truncating:
    def index(self, corpus):
        self.names = [d.id for d in corpus.documents()]

    def search(self, queries, k):
        return {query.id: {name: helper.score(n) for n, name in enumerate(self.names)} for query in queries}
"""
AGENT = """
from helper import TEXT

def work(given):
    (given.workspace.output / "memo.md").write_text(TEXT)
"""


def written(folder, **modules):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def gate(path, **keys):
    """The eval file with all its items selected."""
    path.write_text(yaml.safe_dump(keys))
    read = read_eval_file(path)
    return EvalFile(path, read, list(planned(read)))


def judged(session, *files):
    """For every item of every file what it came to, or why it came to nothing."""
    found = []
    for file in files:
        for item in file.selected:
            into = Judged()
            try:
                judge(session, files, file, item, into)
                found.append(into.met)
            except GateError as error:
                found.append(error.message)
    return found


@pytest.fixture(autouse=True)
def as_before(tmp_path):
    """Whatever a gate imports, nothing of it is left."""
    yield
    assert not [place for place in sys.path if place.startswith(str(tmp_path))]
    assert not {"search", "helper", "crew"} & set(sys.modules)


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_each_eval_file_gets_the_modules_of_its_own_folder(tmp_path, order):
    corpus = write_beir(tmp_path / "corpus")
    score = {"a": "def score(n): return 1.0 + n % 2", "b": "def score(n): return 1 / 0"}
    files = {}
    for name in order:
        folder = written(tmp_path / name, search=SEARCH, helper=score[name])
        files[name] = gate(
            folder / "q.eval.yaml", retrieval=str(corpus), system="search:Truncating", thresholds={"R@100": 0.9}
        )
    session = Session(tmp_path / "out")
    found = dict(zip(order, judged(session, *files.values()), strict=True))
    assert found["a"] is True
    assert "ZeroDivisionError" in found["b"]


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_so_do_agents_and_code_that_is_alike_but_imports_something_else_makes_no_common_run(tmp_path, order):
    task = write_task(tmp_path / "tasks" / "tax" / "one", checks=True)
    helper = {"a": "TEXT = 'Terminate on ninety days notice and seek consent.'", "b": "TEXT = 'nothing'"}
    files = []
    for name in order:
        folder = written(tmp_path / name, crew=AGENT, helper=helper[name])
        files.append(
            gate(folder / "q.eval.yaml", tasks=str(task), system="crew:work", thresholds={"criterion_rate": 0.3})
        )
    first, second = judged(Session(tmp_path / "out"), *files)
    assert first is (order[0] == "a")
    assert str(tmp_path / order[1] / "crew.py") in second and str(tmp_path / order[0] / "crew.py") in second
    assert str(files[0].path) in second and "what they import may differ" in second

    (tmp_path / "b" / "crew.py").write_text(f"{AGENT}\n# another\n")
    found = judged(Session(tmp_path / "other"), *files)
    assert dict(zip(order, found, strict=True)) == {"a": True, "b": False}


def test_a_module_that_is_loaded_from_elsewhere_is_out_of_the_way_and_then_back(tmp_path, monkeypatch):
    elsewhere, home = written(tmp_path / "tests", search="WHO = 'tests'"), written(tmp_path / "a", search="WHO = 'a'")
    monkeypatch.syspath_prepend(str(elsewhere))
    import search as loaded

    try:
        for _ in range(2):
            with at_home(home):
                import search

                assert search.WHO == "a" and Path.cwd() == home
                search.seen = getattr(search, "seen", 0) + 1
            assert sys.modules["search"] is loaded and loaded.WHO == "tests"
        assert search.seen == 2  # loaded once
    finally:
        del sys.modules["search"]
        monkeypatch.undo()


def test_what_lies_in_two_folders_cannot_be_imported_late_and_what_lies_in_one_can(tmp_path):
    a, b = written(tmp_path / "a", helper="", crew="WHO = 'a'"), written(tmp_path / "b", helper="")
    with modules_of(a, b):
        import crew

        assert crew.WHO == "a"
        with pytest.raises(
            ImportError, match=r"helper is there as .*a/helper.py and as .*b/helper.py, whose trials run"
        ):
            import helper  # noqa: F401


# ---------------------------------------------------------------- what a file may say


def problems(tmp_path, text):
    path = tmp_path / "bad.eval.yaml"
    path.write_text(text)
    with pytest.raises(EvalFileError) as error:
        read_eval_file(path)
    return [problem.removeprefix(f"{path}: ") for problem in error.value.problems]


def test_lists_of_rules_take_plain_numbers_and_names_that_stand_twice_count_once(tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "run.json").write_text("{}")
    path = tmp_path / "good.eval.yaml"
    path.write_text("retrieval: .\nsystem: bm25\nthresholds: {nDCG@10: [{baseline: base}, 0.5], R@10: [0.2]}\n")
    rules = read_eval_file(path).thresholds
    assert [rule.at_least for rule in rules["nDCG@10"]] == [None, 0.5]
    assert rules["nDCG@10"][0].baseline == tmp_path / "base" and rules["R@10"][0].at_least == 0.2
    path.write_text(
        "tasks: [., .]\nsystem: react\nmodels: [a/b, a/b]\nprofiles: [minimal, minimal]\njudges: [c/d, c/d]\n"
    )
    found = read_eval_file(path)
    assert (len(found.tasks), found.models, found.profiles, found.judges) == (1, ["a/b"], ["minimal"], ["c/d"])


def test_every_name_of_a_list_that_is_wrong_is_told(tmp_path):
    told = problems(
        tmp_path, "retrieval: [no, none]\nsystems: [bm52, bm25, dens]\nthresholds: {nDCG10: 1, P: 1}\n1: 3\n"
    )
    assert [line.partition(":")[0] for line in told] == [
        "retrieval.0", "retrieval.1", "systems.0", "systems.2", "thresholds.nDCG10", "thresholds.P", "1",
    ]  # fmt: skip
    told = problems(
        tmp_path,
        "tasks: [no, none]\nsystems: [react, reat]\nprofiles: []\nthresholds:\n  all_pass: {at_least: 1, mechanism: x}\n"
        "  critical_rate: [0.5, {at_least: 1, of: low}]\n  adjusted_all_pass: 1\n"
        "overall: {critical_rate: {baseline: none}, all_pass: {at_least: 1, mechanism: x}}\n",
    )
    assert [line.partition(": ")[0] for line in told] == [
        "tasks.0", "tasks.1", "systems.1", "profiles", "thresholds.all_pass", "thresholds.critical_rate.1",
        "thresholds.adjusted_all_pass", "overall.critical_rate.baseline", "overall.all_pass",
        "model", "overall.critical_rate",
    ]  # fmt: skip
    assert (
        "model: is missing; the agent react needs a model, by the key `model`: openai/NAME, anthropic/NAME ..." in told
    )


def test_without_retrieval_or_tasks_the_other_keys_are_looked_at_all_the_same(tmp_path):
    first, *others = problems(tmp_path, "retreival: .\nsytem: bm25\nthresholds: {}\n")
    assert first.startswith(
        "needs either retrieval: CORPUS or tasks: FOLDER; found the keys retreival, sytem, thresholds"
    )
    assert [line.partition(":")[0] for line in others] == ["systems", "thresholds", "retreival", "sytem"]
    first, *others = problems(tmp_path, "task: .\nsystem: extractive\nvote: 1\noverall: {all_pas: 1}\n")
    assert [line.partition(": ")[0] for line in others] == ["overall.all_pas", "task", "vote"]
    first, *others = problems(tmp_path, "retrieval: .\ntasks: .\nsystem: extractive\nvote: 1\n")
    assert "found both" in first and [line.partition(":")[0] for line in others] == ["vote"]


# ---------------------------------------------------------------- what died, what left


def died(folder, *files):
    """Whether another process dies of working these eval files."""
    code = (
        "import sys; from pathlib import Path; from test_pytest_plugin_units import *\n"
        "files = [gate(Path(name), **yaml.safe_load(Path(name).read_text())) for name in sys.argv[1:]]\n"
        "judged(Session(Path('out').absolute(), shared=Path('shared').absolute()), *files)\n"
    )
    line = [sys.executable, "-c", code, *(str(file.path) for file in files)]
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    done = subprocess.run(line, cwd=folder, env=os.environ | {"PYTHONPATH": paths}, check=False, timeout=60)
    return done.returncode == 4


def test_what_a_process_that_died_had_begun_is_not_begun_again_and_what_it_had_finished_counts(tmp_path):
    for name in ("one", "three", "two"):
        write_task(tmp_path / "tasks" / "tax" / name, checks=True)
    write_beir(tmp_path / "corpus")
    crew = (
        "import os\n"
        "class Dies:\n"
        "    def index(self, corpus): raise KeyboardInterrupt\n"  # no more is begun than by one that dies
        "    search = index\n"
        "def work(given):\n"
        f"    with open({str(tmp_path / 'log')!r}, 'a') as stream:\n"
        "        stream.write(given.matter.id + '\\n')\n"
        "    if given.matter.id == 'tax/three':\n"
        "        os._exit(4)\n"
        "    (given.workspace.output / 'memo.md').write_text('Notice of ninety days.')\n"
    )
    folder = written(tmp_path / "evals", crew=crew, gone="import os\nos._exit(4)\n")
    pair = gate(folder / "p.eval.yaml", retrieval="../corpus", system="crew:Dies", thresholds={"R@100": 0.1})
    keys = {"tasks": "../tasks", "concurrency": 1, "thresholds": {"criterion_rate": 0.0}}
    trials = gate(folder / "t.eval.yaml", **keys, system="crew:work", overall={"all_pass": 0})
    gone = gate(folder / "g.eval.yaml", **keys, system="gone:work", select="tax/one")

    def session(*files):
        return judged(Session(tmp_path / "out", shared=tmp_path / "shared"), *files)

    with pytest.raises(KeyboardInterrupt):
        session(pair)
    assert session(pair) == [f"the retriever crew:Dies gave no result: {DIED}"]
    assert died(tmp_path, trials, gone) and died(tmp_path, trials, gone)
    assert session(trials, gone) == [
        True, f"tax/three/crew:work/1 has no result: {DIED}", True, f"{DIED}: tax/three/1",
        f"the agent gone:work gave no result: {DIED}",
    ]  # fmt: skip
    assert (tmp_path / "log").read_text().split() == ["tax/one", "tax/three", "tax/two"]


def test_code_that_leaves_is_an_error_in_one_line(tmp_path):
    write_beir(tmp_path / "corpus")
    folder = written(
        tmp_path / "evals", crew="class Leaves:\n    def index(self, corpus): raise SystemExit(4)\n    search = index\n"
    )
    file = gate(folder / "q.eval.yaml", retrieval="../corpus", system="crew:Leaves", thresholds={"R@100": 0.1})
    assert judged(Session(tmp_path / "out"), file) == ["the retriever crew:Leaves gave no result: SystemExit: 4"]
    with at_home(folder), pytest.raises(GateError, match="gave no result: SystemExit: 4"):
        evaluate_retriever("../corpus", "crew:Leaves", out=tmp_path / "out")


# ---------------------------------------------------------------- what functions take


@pytest.mark.parametrize("name", ["models", "judges", "profiles"])
def test_a_name_where_a_list_of_names_belongs_is_told_and_none_is_the_default(tmp_path, name):
    task = write_task(tmp_path / "tasks" / "tax" / "one", checks=True)
    for wrong in ("openai/some", [3], {"openai/some": 1}):
        with pytest.raises(UsageError, match=rf"{name} must be a list of names; found "):
            run_task(task, "empty", out=tmp_path / "out", **{name: wrong})
        with pytest.raises(UsageError, match=rf"{name} must be a list of names; found "):
            lab_run(task, "empty", out=tmp_path / "out", **{name: wrong})
    assert run_task(task, "empty", out=tmp_path / "out", **{name: None}).complete


def test_a_margin_must_be_a_number_of_0_or_more_and_the_baseline_may_be_an_outcome(tmp_path):
    outcome = evaluate_retriever(write_beir(tmp_path / "corpus"), "bm25", out=tmp_path / "out")
    for margin in (-0.1, float("nan"), float("inf"), "0.1"):
        with pytest.raises(UsageError, match="margin must be a number of 0 or more; found"):
            assert_no_regression(outcome, outcome.path, margin=margin)
    assert_no_regression(outcome, outcome)

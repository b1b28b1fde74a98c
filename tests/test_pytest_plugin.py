"""The pytest plugin as an engineer runs it: a scratch project, an eval file of three lines, `pytest` in a process of its own."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import yaml
from conftest import write_beir

from evalsuite import verify
from evalsuite.gate.evalfile import EvalFileError, read_eval_file
from evalsuite.gate.plan import asks_model, labels

pytest_plugins = ["pytester"]

WORDS = ["lease", "notice", "consent", "price", "title", "fees", "term", "goods", "cap", "tenant", "seller", "invoice"]
RETRIEVERS = '''
import os, time
from pathlib import Path

def log(line):
    with Path(os.environ.get("LOG", os.devnull)).open("a") as stream:
        stream.write(line + "\\n")

class Good:
    """Ranks by shared words."""
    worse = ()

    def index(self, corpus):
        log("index " + type(self).__name__)
        self.documents = [(d.id, set(d.contents.split())) for d in corpus.documents()]

    def search(self, queries, k):
        return {query.id: self.one(query) for query in queries}

    def one(self, query):
        log(f"{type(self).__name__} {query.id}")
        words = set(query.text.split())
        found = {name: float(len(words & own)) for name, own in self.documents}
        if query.id in self.worse:
            found = {name: -score for name, score in found.items()}
        return found

class Worse(Good):
    """The same, upside down for four queries."""
    worse = ("q02", "q05", "q07", "q11")

class Crash(Good):
    def search(self, queries, k):
        raise RuntimeError("the search server went away")

class Slow(Good):
    """Is quick on the first 256 queries, then waits."""
    def one(self, query):
        if int(query.id[1:]) >= 256 and not Path("go").exists():
            log("waiting")
            time.sleep(60)
        return super().one(query)
'''
THREE = "retrieval: corpora/mine\nsystem: mine:{}\nthresholds: {{nDCG@10: 0.9}}\n"


def corpus(folder, n=12):
    """Query i asks for word i, which stands in document i alone."""
    words = [WORDS[i] if i < len(WORDS) else f"word{i}" for i in range(n)]
    documents = [{"_id": f"d{i:02}", "text": f"{word} agreement"} for i, word in enumerate(words)]
    queries = [{"_id": f"q{i:02}", "text": f"which {word} applies"} for i, word in enumerate(words)]
    write_beir(folder, documents, queries, test=[(f"q{i:02}", f"d{i:02}", 1) for i in range(n)])
    (folder / "corpus.yaml").write_text("name: mine\nmechanism: analogue\ndefault_view: test\n")


@pytest.fixture
def project(pytester, monkeypatch):
    """A scratch project with a corpus and retrievers of its own."""
    monkeypatch.setenv("LOG", str(pytester.path / "log"))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    corpus(pytester.path / "corpora" / "mine")
    (pytester.path / "mine.py").write_text(RETRIEVERS)
    return pytester.path


def logged(project):
    place = project / "log"
    return place.read_text().splitlines() if place.exists() else []


def runs(project):
    return sorted(path.parent for path in (project / "reports" / "pytest").glob("*/run.json"))


def status(folder):
    return json.loads((folder / "run.json").read_text())["status"]


# ---------------------------------------------------------------- green, red, error


def test_three_lines_are_green_and_name_number_interval_and_run_folder(project, run):
    (project / "quality.eval.yaml").write_text("retrieval: corpora/mine\nsystem: bm25\nthresholds: {nDCG@10: 0.9}\n")
    assert run("--setup-plan").ret == 0 and not runs(project)
    done = run("-v")
    assert done.ret == 0
    done.assert_outcomes(passed=1)
    done.stdout.fnmatch_lines(["quality.eval.yaml::mine/bm25 PASSED*"])
    done.stdout.re_match_lines([r"quality.eval.yaml::mine/bm25  nDCG@10 1.000 \[1.000, 1.000\], at least 0.9"])
    [folder] = runs(project)
    done.stdout.fnmatch_lines([f"  reports/pytest/{folder.name}"])
    assert verify(folder)["ok"]

    again = run()
    again.assert_outcomes(passed=1)
    assert runs(project) == [folder]


def test_a_worse_retriever_turns_red_and_the_message_names_difference_interval_and_worst_queries(project, run):
    (project / "quality.eval.yaml").write_text(THREE.format("Good"))
    run().assert_outcomes(passed=1)
    [baseline] = runs(project)
    (project / "baselines").mkdir()
    baseline.rename(project / "baselines" / "good")
    rule = {"nDCG@10": {"baseline": "../baselines/good", "margin": 0.02}}
    (project / "evals").mkdir()
    for name, system, more in (
        ("same", "Good", {}),
        ("worse", "Worse", {}),
        ("other", "Good", {"measures": ["nDCG@10", "AP"]}),
    ):
        gate = {"retrieval": "../corpora/mine", "system": f"mine:{system}", "thresholds": rule, **more}
        (project / "evals" / f"{name}.eval.yaml").write_text(yaml.safe_dump(gate))
    (project / "quality.eval.yaml").write_text(THREE.format("Worse"))
    done = run("evals", "quality.eval.yaml")
    assert done.ret == 1
    done.assert_outcomes(passed=1, failed=2, errors=1)
    text = done.stdout.str()
    assert (
        "same.eval.yaml::mine/mine:Good  nDCG@10 1.000 against 1.000 of the baseline, +0.000 the same for every" in text
    )
    said = re.search(
        r"nDCG@10 (0\.\d+) against 1\.000 of the baseline, (-0\.\d+) \[(-0\.\d+), (-0\.\d+)\]: is worse by more than 0.02; "
        r"the lower end must be above -0.02\n  the worst 4 of 4 queries that lost, of 12:\n((?:    q.*\n)+)  baseline: .*good",
        text,
    )
    assert said, text
    mean, low, high = (float(said[part]) for part in (2, 3, 4))
    assert low < mean < high < 0
    assert sorted(re.findall(r"q\d\d", said[5])) == ["q02", "q05", "q07", "q11"]
    assert "first relevant at 12: which consent applies" in said[5]
    assert "the worst 4 of 4 queries below 0.9, of 12:" in text
    assert re.search(
        r"ERROR at setup of mine/mine:Good.*cannot be compared with the baseline.*the measures differ", text, re.S
    )


def test_a_crash_is_an_error_while_the_others_pass_and_junit_and_page_have_all_of_it(project, run):
    (project / "quality.eval.yaml").write_text(
        "retrieval: corpora/mine\nsystems: [mine:Crash, mine:Good, mine:Worse, mine:Gone]\nthresholds: {nDCG@10: {at_least: 0.9, of: low}}\n"
    )
    done = run("--junitxml=junit.xml", "--eval-report=site/page.html", "--eval-out=elsewhere")
    assert done.ret == 1
    done.assert_outcomes(passed=1, failed=1, errors=2)
    done.stdout.fnmatch_lines(
        [
            "*the retriever mine:Crash gave no result: search: RuntimeError: the search server went away",
            "*the retriever mine:Gone gave no result: mine:Gone cannot be imported: AttributeError*",
            "page: site/page.html",
        ]
    )
    assert "Traceback" not in done.stdout.str()
    cases = {case.get("name"): case for case in ET.parse(project / "junit.xml").iter("testcase")}
    kinds = {name: [part.tag for part in case if part.tag != "properties"] for name, case in cases.items()}
    assert kinds == {
        "mine/mine:Crash": ["error"],
        "mine/mine:Good": [],
        "mine/mine:Worse": ["failure"],
        "mine/mine:Gone": ["error"],
    }
    found = {p.get("name"): p.get("value") for p in cases["mine/mine:Worse"].iter("property")}
    low, mean, high = (float(found[f"evalsuite.nDCG@10{end}"]) for end in (".low", "", ".high"))
    assert 0 < low < mean < high < 1
    assert found["evalsuite.protocol"] and found["evalsuite.cost"] == "unknown"
    assert Path(found["evalsuite.run"]).parent == project / "elsewhere"
    page = (project / "site" / "page.html").read_text()
    assert all(name in page for name in ("mine:Good", "mine:Worse", "mine:Crash", "the search server went away"))


# ---------------------------------------------------------------- chosen and repeated


def test_last_failed_names_and_markers_choose_items(project, run):
    (project / "quality.eval.yaml").write_text(
        THREE.format("Good, mine:Worse").replace("system: ", "systems: [").replace("\nthr", "]\nthr")
    )
    (project / "test_other.py").write_text("def test_other(): pass\n")
    run().assert_outcomes(passed=2, failed=1)
    before = len(logged(project))
    done = run("--lf", "-v")
    done.assert_outcomes(failed=1)
    assert {line.split()[0] for line in logged(project)[before:] if "index" not in line} == {"Worse"}
    for option, value, chosen in (
        ("-k", "Good", ["Good"]),
        ("-m", 'mechanism(name="analogue")', ["Good", "Worse"]),
        ("-m", 'cost(kind="paid")', []),
        ("-m", "not cost", ["other"]),
    ):
        listed = run("--collect-only", "-q", option, value).stdout.str()
        assert re.findall(r"::(?:mine/mine:|test_)(\w+)", listed) == chosen, (option, value)


def test_every_problem_of_an_eval_file_is_told_at_once_with_file_and_key(project, run):
    (project / "bad.eval.yaml").write_text(
        "retrieval: corpora/none\nsystem: bm52\nvew: gold\ndepth: 0\n"
        "thresholds:\n  nDCG10: 0.3\n  R@10: {margin: 0.1}\n  AP: {baseline: baselines/x, mechanisms: y}\n"
    )
    done = run()
    assert done.ret == pytest.ExitCode.INTERRUPTED
    told = [line for line in done.stdout.lines if "bad.eval.yaml: " in line]
    keys = [re.match(r".*bad\.eval\.yaml: ([\w.@]+):", line)[1] for line in told]
    assert sorted(keys) == sorted(
        [
            "retrieval",
            "system",
            "vew",
            "depth",
            "thresholds.nDCG10",
            "thresholds.R@10",
            "thresholds.AP.baseline",
            "thresholds.AP.mechanisms",
        ]
    )
    done.stdout.fnmatch_lines(["*system: 'bm52' is no retriever; meant is bm25?*", "*vew: is no key; meant is view?*"])


def test_a_threshold_that_stands_twice_is_refused(tmp_path):
    path = tmp_path / "bad.eval.yaml"
    path.write_text("retrieval: .\nsystem: bm25\nthresholds:\n  nDCG@10: 0.9\n  nDCG@10: 0.1\n")
    with pytest.raises(EvalFileError, match=r"the key 'nDCG@10' appears twice.*line 5"):
        read_eval_file(path)


@pytest.mark.parametrize(
    ("spec", "asks"),
    [
        ("bm25", False),
        ("mine:rewrite", False),
        ("hybrid:bm25+dense", False),
        ("rerank:model=folder/cross", False),
        ("rerank:by=listwise,model=openai/some", True),
        ("rewrite:model=openai/some,over=bm25", True),
        ("rewrite:model=function:mine:answer", False),
        ("rerank:model=folder/cross,first=(agentic:model=openai/some)", True),
    ],
)
def test_the_name_of_a_retriever_tells_whether_a_model_is_asked(spec, asks):
    assert asks_model(spec) is asks


def test_corpora_of_one_name_are_told_apart_by_the_folders_above():
    assert list(labels(["/a/x/mine", "/a/y/mine", "hf:owner/name"]).values()) == ["x/mine", "y/mine", "hf:owner/name"]


# ---------------------------------------------------------------- silent unless asked


def test_without_eval_files_nothing_is_loaded_and_nothing_is_said(pytester):
    pytester.makepyfile(
        """
        import sys

        def test_light():
            ours = {name for name in sys.modules if name.split(".")[0] == "evalsuite"}
            assert ours == {"evalsuite", "evalsuite.pytest_plugin", "evalsuite.gate"}
            assert not {"pydantic", "numpy", "yaml", "torch"} & set(sys.modules)
        """
    )
    done = pytester.runpytest_subprocess("-p", "no:hypothesispytest")
    done.assert_outcomes(passed=1)
    assert not [line for line in done.stdout.lines if "evalsuite" in line and not line.startswith("plugins:")]
    assert not (pytester.path / "reports").exists()


def test_the_plugin_is_imported_in_less_than_20_milliseconds():
    code = (
        "import pytest, time; t = time.perf_counter(); import evalsuite.pytest_plugin; print(time.perf_counter() - t)"
    )
    seconds = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
        for _ in range(3)
    ]
    assert min(seconds) < 0.02


# ---------------------------------------------------------------- xdist, Ctrl-C


def test_with_two_workers_nothing_is_run_twice(project, run):
    for name in ("a", "b"):
        (project / f"{name}.eval.yaml").write_text(
            "retrieval: corpora/mine\nsystems: [mine:Good, mine:Worse, mine:Crash]\nthresholds: {nDCG@10: 0.9}\n"
            f"depth: {20 if name == 'a' else 30}\n"
        )
    (project / "again.eval.yaml").write_text((project / "a.eval.yaml").read_text())
    done = run("-n", "2", "--eval-report=page.html")
    assert done.ret == 1
    done.assert_outcomes(passed=3, failed=3, errors=3)
    lines = logged(project)
    assert {line: lines.count(line) for line in lines} == {
        **{f"index {name}": 2 for name in ("Good", "Worse", "Crash")},
        **{f"{name} q{i:02}": 2 for name in ("Good", "Worse") for i in range(12)},
    }
    text = done.stdout.str()
    assert len(re.findall(r"^\w+\.eval\.yaml::mine/mine:\w+  ", text, re.M)) == 9
    assert (project / "page.html").exists()
    assert not list((project / "reports" / "pytest").glob(".*"))


def interrupted(project, waiting, *arguments):
    """Start pytest, send SIGINT once `waiting()` is true, give the exit code and what it printed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "no:hypothesispytest", *arguments],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        for _ in range(600):
            if waiting() or process.poll() is not None:
                break
            time.sleep(0.05)
        os.kill(process.pid, signal.SIGINT)
        text, _ = process.communicate(timeout=30)
    finally:
        process.kill()
    return process.returncode, text


def test_an_interrupted_session_ends_with_2_and_the_next_one_goes_on(project, run):
    corpus(project / "corpora" / "mine", n=300)
    (project / "quality.eval.yaml").write_text(THREE.format("Slow"))
    code, text = interrupted(project, lambda: "waiting" in logged(project))
    assert code == pytest.ExitCode.INTERRUPTED, text
    [folder] = runs(project)
    assert status(folder) == "interrupted"
    first = [line for line in logged(project) if line.startswith("Slow")]
    assert len(first) == 256
    (project / "go").touch()
    run().assert_outcomes(passed=1)
    assert status(folder) == "complete"
    second = [line for line in logged(project) if line.startswith("Slow")][256:]
    assert not set(first) & set(second) and len(second) == 44


# ---------------------------------------------------------------- from Python


def test_fixtures_and_functions_give_the_same_message(project, run):
    (project / "test_quality.py").write_text(
        "import pytest\n"
        "from evalsuite import EvalsuiteError, assert_no_regression as check\n\n"
        "def test_red(evaluate_retriever, assert_no_regression):\n"
        "    good = evaluate_retriever('corpora/mine', 'mine:Good')\n"
        "    worse = evaluate_retriever('corpora/mine', 'mine:Worse')\n"
        "    check(good, good.path)\n"
        "    with pytest.raises(AssertionError, match='R@10'):\n"
        "        check(worse, good.path, measure='RR@10', margin=0.1, mechanism='analogue')\n"
        "    assert_no_regression(worse, good.path)\n\n"
        "def test_crash(evaluate_retriever):\n"
        "    with pytest.raises(EvalsuiteError, match='the search server went away'):\n"
        "        evaluate_retriever('corpora/mine', 'mine:Crash')\n\n"
        "def test_live(evaluate_retriever):\n"
        "    evaluate_retriever('corpora/mine', 'rewrite:model=openai/some')\n"
    )
    done = run("-rs", "--eval-report=page.html")
    done.assert_outcomes(failed=1, passed=1, skipped=1)
    done.stdout.fnmatch_lines(
        [
            "*RegressionError: mine/mine:Worse: nDCG@10 0.*: is worse by more than 0.02; *",
            "*the worst 4 of 4 queries that lost, of 12:",
            "*q02 *",
            "  reports/pytest/mine-test-mine-Good-*",
            "page: page.html",
            "SKIPPED*would ask a model; pytest --eval-live allows it",
        ]
    )
    assert "in assert_no_regression" not in done.stdout.str()

"""The command line: what it prints, what it imports, how it ends."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from test_evaluate import EVALSUITE, shell, write_corpus

from evalsuite.retrieval.retrievers import BUILTIN


@pytest.fixture
def corpus(tmp_path):
    return write_corpus(tmp_path / "made", 60, 10)


def run(*arguments, **environment):
    process = shell(arguments, **environment)
    output, error = process.communicate()
    return process.returncode, output.decode(), error.decode()


@pytest.mark.parametrize(
    "command", [[], ["retrieval"], ["retrieval", "run"], ["retrieval", "score"], ["verify"], ["report"]]
)
def test_help_suffices_and_imports_nothing_heavy(command):
    code = "import sys; sys.argv = ['evalsuite', *sys.argv[1:]]; from evalsuite.cli import main\ntry: main()\nfinally: "
    code += "print(sorted({'numpy', 'torch', 'jinja2', 'yaml', 'scipy'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code, *command, "--help"], capture_output=True, text=True, check=True)
    assert "Usage: evalsuite" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_run_prints_a_table_notes_and_where_the_folders_are(corpus, tmp_path):
    code, output, error = run("retrieval", "run", corpus, "-r", "bm25", "-r", "random", "-o", tmp_path / "out")
    assert code == 0
    assert "nDCG@10" in output and "95 % interval" in output
    assert "system: bm25: k1=1.5, b=0.75, variant=lucene, stopwords=en" in error
    folders = [line.removeprefix("run folder: ") for line in error.splitlines() if line.startswith("run folder: ")]
    assert len(folders) == 2
    assert all((Path(folder) / "summary.json").exists() for folder in folders)


def test_json_is_one_document_of_the_agreed_shape(corpus, tmp_path):
    code, output, _ = run("retrieval", "run", corpus, "-r", "bm25", "-r", "prior", "-o", tmp_path / "out", "--json")
    assert code == 0
    first, second = json.loads(output)
    assert (first["system"], second["system"]) == ("bm25", "prior")
    assert {"run", "kind", "system", "corpus", "view", "n_queries", "measures", "by_mechanism", "usage"} <= first.keys()
    assert {"mean", "low", "high"} <= first["measures"]["nDCG@10"].keys()
    assert {"index", "search"} == first["usage"]["seconds"].keys()


def test_errors_among_the_results_exit_3_and_the_rest_is_scored(corpus, tmp_path):
    command = ["retrieval", "run", corpus, "-r", "plugin_retrievers:Broken", "-r", "bm25", "-o", tmp_path / "out"]
    code, output, error = run(*command, "--json")
    assert code == 3
    broken, scored = json.loads(output)
    assert broken["status"] == "failed" and broken["measures"] == {}
    assert scored["measures"]
    code, output, error = run(*command)
    assert code == 3
    assert "the search server went away" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["retrieval", "run"], "Missing argument 'corpora'"),
        (["retrieval", "run", "x", "-r"], "requires an argument"),
        (["retrieval", "rnu"], "No such command 'rnu'"),
        (["retrieval", "run", "x", "--retreiver", "bm25"], "No such option"),
        (["retrieval", "run", "x", "-r", "bm25", "--depth", "many"], "Invalid value for '--depth'"),
    ],
)
def test_a_wrong_command_is_one_line_and_exit_2(arguments, message):
    code, output, error = run(*arguments)
    assert (code, output, len(error.strip().splitlines())) == (2, "", 1)
    assert message in error
    code, output, error = run(*arguments, "--json")
    assert code == 2
    assert json.loads(output)["error"]["kind"] == "usage"


def test_debug_shows_the_traceback():
    code, _, error = run("retrieval", "run", "nowhere", "-r", "bm25", "--debug")
    assert code != 0
    assert "Traceback" in error


def test_list_names_every_retriever_with_its_settings():
    code, output, _ = run("retrieval", "list", "--json")
    assert code == 0
    listed = {entry["name"]: entry["settings"] for entry in json.loads(output)["retrievers"]}
    assert set(listed) == set(BUILTIN)
    assert listed["bm25"] == {"k1": 1.5, "b": 0.75, "variant": "lucene", "stopwords": "en"}
    assert run("retrieval", "list")[0] == 0


def test_verify_exits_3_and_names_what_differs(corpus, tmp_path):
    _, output, _ = run("retrieval", "run", corpus, "-r", "bm25", "-o", tmp_path / "out", "--json")
    folder = Path(json.loads(output)[0]["run"])
    assert run("verify", folder)[0] == 0
    summary = json.loads((folder / "summary.json").read_text())
    stored = summary["measures"]["nDCG@10"]["mean"]
    summary["measures"]["nDCG@10"]["mean"] = stored + 0.01
    (folder / "summary.json").write_text(json.dumps(summary))
    code, output, _ = run("verify", folder, "--json")
    assert code == 3
    mismatch = {"what": "summary.json measures.nDCG@10.mean", "stored": stored + 0.01, "derived": stored}
    assert json.loads(output)["mismatches"] == [mismatch]


def test_the_report_is_written_about_the_runs_of_the_command(corpus, tmp_path):
    page = tmp_path / "page.html"
    code, _, error = run("retrieval", "run", corpus, "-r", "bm25", "-o", tmp_path / "out", "--report", page)
    assert code == 0
    assert f"report: {page}" in error
    assert '<h2 id="group-1">made' in page.read_text()


def test_a_retriever_of_an_installed_package_is_found_by_its_entry_point(corpus, tmp_path):
    package = tmp_path / "site" / "overlap-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: overlap\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[evalsuite.retrievers]\noverlap = plugin_retrievers:Overlap\n")
    path = f"{package.parent}:{Path(__file__).parent}"
    code, output, _ = run("retrieval", "list", "--json", PYTHONPATH=path)
    assert (code, json.loads(output)["plugins"]) == (0, ["overlap"])
    command = ["retrieval", "run", corpus, "-r", "overlap:bonus=1", "-o", tmp_path / "out", "--json"]
    code, output, _ = run(*command, PYTHONPATH=path)
    assert code == 0
    assert json.loads(output)[0]["measures"]["R@100"]["mean"] > 0.5


def test_the_command_is_installed():
    assert EVALSUITE.exists()

"""Input that cannot be scored as it stands: exit code 2, one line that says what is wrong and where, nothing left behind.

The last part is the mirror image: what is not as the book has it and must still be read as meant.
"""

import gzip
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import QRELS, write_beir, write_jsonl

from evalsuite import evaluate

SURROGATE = '"\\ud800"'


class Case(NamedTuple):
    """`prepare(folder)` damages the corpus folder and returns what to run; `{}` in `where` is the folder."""

    prepare: Callable[[Path], list[object]]
    where: str
    says: str
    kind: str = "bad_input"


def corpus(file: str, content: str | bytes, where: str, says: str) -> Case:
    """A corpus in which `file` holds `content`, after what it held before if the content starts with "+"."""

    def prepare(folder: Path) -> list[object]:
        path, data = folder / file, content.encode() if isinstance(content, str) else content
        before = path.read_bytes() if data.startswith(b"+") else b""
        path.write_bytes(before + data.removeprefix(b"+"))
        return ["retrieval", "run", folder, "-r", "random"]

    return Case(prepare, where, says)


def damaged(damage: Callable[[Path], object], where: str, says: str) -> Case:
    def prepare(folder: Path) -> list[object]:
        damage(folder)
        return ["retrieval", "run", folder, "-r", "random"]

    return Case(prepare, where, says)


def run_file(name: str, content: str | bytes, line: int | None, says: str) -> Case:
    def prepare(folder: Path) -> list[object]:
        path = folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return ["retrieval", "score", path, "-c", folder]

    return Case(prepare, f"{{}}/{name}" + (f":{line}" if line else ""), says)


def arguments(*written: str, says: str, where: str = "", kind: str = "usage") -> Case:
    """A `retrieval run` over a good corpus with these arguments."""
    return Case(lambda folder: ["retrieval", "run", folder, *written], where, says, kind)


def query(text: str, **more: Any) -> str:
    return "+" + json.dumps({"_id": "q4", "text": text, **more}) + "\n"


def parquet_without_utf8(folder: Path) -> None:
    (folder / "corpus.jsonl").unlink()
    text = pa.array([b"\xff"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"_id": ["d1"], "text": text}), folder / "corpus.parquet")


def replace_by_folder(file: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / file).unlink(missing_ok=True)
        (folder / file).mkdir()

    return damage


def replace_by_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("not a folder")


def empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def two_obliq_tasks(folder: Path) -> None:
    empty(folder)
    write_jsonl(folder / "analogues" / "math" / "corpus" / "corpus.jsonl", [])
    write_jsonl(folder / "descriptive" / "twitter" / "corpus" / "corpus.jsonl", [])


GOOD = "q1 Q0 d5 1 2.5 tag\nq1 Q0 d1 2 1.5 tag\n"

CASES = {
    # run files
    "unknown document": run_file("r.trec", GOOD + "q1 Q0 d99 3 1 tag\n", 3, "document 'd99' is not in corpus"),
    "unknown query": run_file("r.trec", GOOD + "q99 Q0 d1 1 1 tag\n", 3, "query 'q99' is not in corpus"),
    "document ranked twice": run_file("r.trec", GOOD + "q1 Q0 d5 3 1 tag\n", 3, "'d5' is ranked twice for query 'q1'"),
    "NaN score": run_file("r.trec", GOOD + "q1 Q0 d2 3 nan tag\n", 3, "must be finite; found nan"),
    "infinite score": run_file("r.trec", GOOD + "q1 Q0 d2 3 -inf tag\n", 3, "must be finite; found -inf"),
    "score that is no number": run_file("r.trec", GOOD + "q1 Q0 d2 3 high tag\n", 3, "must be a number; found 'high'"),
    "score with an underscore": run_file("r.trec", GOOD + "q1 Q0 d2 3 1_0 tag\n", 3, "must be a number; found '1_0'"),
    "score beyond float": run_file(
        "r.jsonl", '{"qid": "q1", "docid": "d1", "score": 1' + "0" * 400 + "}\n", 1, "the score must be"
    ),
    "score true": run_file("r.jsonl", '{"qid": "q1", "docid": "d1", "score": true}\n', 1, "must be a number"),
    "JSONL run without docid": run_file("r.jsonl", '{"qid": "q1", "score": 1}\n', 1, "has no docid; needed are qid"),
    "JSONL run with a null id": run_file("r.jsonl", '{"qid": null, "docid": "d1", "score": 1}\n', 1, "qid"),
    "four columns": run_file(
        "r.trec",
        GOOD + "q1 Q0 d2 3\n",
        3,
        "has 4 columns between spaces, the separator of this file; found 'q1 Q0 d2 3'; "
        "needed are qid Q0 docid rank score tag (6)",
    ),
    "spaced ids in a spaced run": run_file(
        "r.trec", GOOD + "q1 Q0 my doc 3 1 tag\n", 3, "has 7 columns between spaces"
    ),
    "spaces in a run of TABs": run_file(
        "r.tsv",
        "q1\td5\t2\nq1 d1 1\n",
        2,
        "has 1 column between TABs, the separator of this file; found 'q1 d1 1'; "
        "needed are TAB-separated qid docid score (3)",
    ),
    "score in full-width digits": run_file("r.tsv", "q1\td5\t１２\n", 1, "must be a number; found '１２'"),
    "JSONL run with full-width digits": run_file(
        "r.jsonl", '{"qid": "q1", "docid": "d1", "score": "１２"}\n', 1, "must be a number; found '１２'"
    ),
    "JSONL run with a key twice": run_file(
        "r.jsonl", '{"qid": "q1", "qid": "q2", "docid": "d1", "score": 1}\n', 1, "the key 'qid' appears twice"
    ),
    "TSV run with a fourth column": run_file("r.tsv", "q1\td5\t2\nq1\td1\t1\tx\n", 2, "has 4 columns"),
    "run cut short": run_file(
        "r.trec.gz", gzip.compress(b"".join(b"q1 Q0 d%d 1 %d t\n" % (i, i) for i in range(1, 7)))[:-12], 6, "cut short"
    ),
    "run named .gz": run_file("r.trec.gz", GOOD, None, "is named .gz but does not hold gzip data"),
    "run not in UTF-8": run_file("r.trec", GOOD.encode() + b"q1 Q0 d\xe9 3 1 tag\n", 3, "is not UTF-8 at byte 8"),
    "empty run": run_file("r.trec", "", None, "the file is empty"),
    "run of blank lines": run_file("r.trec", "\n\n", None, "holds no ranking"),
    "run of a header": run_file("r.tsv", "qid\tdocid\tscore\n", None, "holds no ranking"),
    "missing run": Case(lambda f: ["retrieval", "score", f / "no.trec", "-c", f], "{}/no.trec", "no such file"),
    "folder for a run": Case(lambda f: ["retrieval", "score", f / "qrels", "-c", f], "{}/qrels", "is a directory"),
    # documents and queries
    "broken JSON": corpus("corpus.jsonl", '+{"_id": "d7", "text\n', "{}/corpus.jsonl:7", "is not a JSON object"),
    "JSON list": corpus("corpus.jsonl", '+["d7", "text"]\n', "{}/corpus.jsonl:7", "is not a JSON object"),
    "nested JSON": corpus("corpus.jsonl", "+" + "[" * 100_000 + "\n", "{}/corpus.jsonl:7", "nested too deeply"),
    "no id": corpus("corpus.jsonl", '+{"text": "x"}\n', "{}/corpus.jsonl:7", "has no '_id'; found the keys text"),
    "empty id": corpus(
        "corpus.jsonl", '+{"_id": "", "text": "x"}\n', "{}/corpus.jsonl:7", "must be a non-empty string"
    ),
    "id with a tab": corpus("corpus.jsonl", '+{"_id": "a\\tb", "text": ""}\n', "{}/corpus.jsonl:7", "holds a tab"),
    "no text": corpus("corpus.jsonl", '+{"_id": "d7"}\n', "{}/corpus.jsonl:7", "key 'text' must be a string"),
    "text is a number": corpus("corpus.jsonl", '+{"_id": "d7", "text": 5}\n', "{}/corpus.jsonl:7", "found 5"),
    "same document id twice": corpus(
        "corpus.jsonl", '+{"_id": "d2", "text": "x"}\n', "{}/corpus.jsonl:7", "'d2' appears twice (as document 2)"
    ),
    "documents not in UTF-8": corpus("corpus.jsonl", b'+{"_id": "\xff"}\n', "{}/corpus.jsonl:7", "is not UTF-8"),
    "half a surrogate": corpus(
        "corpus.jsonl", f'+{{"_id": "d7", "text": {SURROGATE}}}\n', "{}/corpus.jsonl:7", "half a surrogate pair"
    ),
    "10 MB line": corpus("corpus.jsonl", b"+" + b"x" * 10_000_000, "{}/corpus.jsonl:7", "longer than 8 MiB"),
    "no documents": corpus("corpus.jsonl", "\n\n", "{}/corpus.jsonl", "holds no documents"),
    "empty documents file": corpus("corpus.jsonl", "", "{}/corpus.jsonl", "the file is empty"),
    "folder for documents": damaged(replace_by_folder("corpus.jsonl"), "{}/corpus.jsonl", "is a directory"),
    "documents twice": corpus("corpus.jsonl.gz", b"", "{}", "holds both corpus.jsonl and corpus.jsonl.gz; keep one"),
    "Parquet in name only": damaged(
        lambda f: (f / "corpus.jsonl").rename(f / "corpus.parquet"), "{}/corpus.parquet", "is not readable Parquet"
    ),
    "Parquet not in UTF-8": damaged(parquet_without_utf8, "{}/corpus.parquet", "'utf-8' codec"),
    "same query id twice": corpus(
        "queries.jsonl", '+{"_id": "q1", "text": "x"}\n', "{}/queries.jsonl:4", "appears twice"
    ),
    "query with empty text": corpus("queries.jsonl", query("  "), "{}/queries.jsonl:4", "'q4' has an empty text"),
    "query without judgements": corpus("queries.jsonl", query("x"), "{}/queries.jsonl:4", "has no judged document"),
    "half a surrogate in a query": corpus(
        "queries.jsonl", f'+{{"_id": "q4", "text": {SURROGATE}}}\n', "{}/queries.jsonl:4", "half a surrogate pair"
    ),
    "metadata is a list": corpus(
        "queries.jsonl", query("x", metadata=["a"]), "{}/queries.jsonl:4", "must be an object"
    ),
    "twin of no query": corpus(
        "queries.jsonl", query("x", metadata={"twin_of": "q9"}), "{}/queries.jsonl:4", "twin of 'q9', which is no query"
    ),
    # judgements
    "unknown document judged": corpus(
        "qrels/test.tsv", "+q1\td99\t1\n", "{}/qrels/test.tsv:8", "judges document 'd99'"
    ),
    "unknown query judged": corpus("qrels/test.tsv", "+q99\td1\t1\n", "{}/qrels/test.tsv:8", "judges query 'q99'"),
    "half a grade": corpus("qrels/test.tsv", "+q1\td2\t0.5\n", "{}/qrels/test.tsv:8", "whole number; found '0.5'"),
    "grade NaN": corpus("qrels/test.tsv", "+q1\td2\tnan\n", "{}/qrels/test.tsv:8", "whole number; found 'nan'"),
    "grade with an underscore": corpus("qrels/test.tsv", "+q1\td2\t1_0\n", "{}/qrels/test.tsv:8", "found '1_0'"),
    "grade out of range": corpus("qrels/test.tsv", "+q1\td2\t1e30\n", "{}/qrels/test.tsv:8", "found '1e30'"),
    "two grades": corpus(
        "qrels/test.tsv", "+q1\td5\t1\n", "{}/qrels/test.tsv:8", "as 1, but {}/qrels/test.tsv:2 says 2"
    ),
    "TREC qrels": corpus(
        "qrels/test.tsv", "q1\t0\td1\t1\n", "{}/qrels/test.tsv:1", "has 4 column(s); needed are query-id"
    ),
    "spaces for TABs": corpus(
        "qrels/test.tsv", "query-id corpus-id score\n", "{}/qrels/test.tsv:1", "separated by TABs"
    ),
    "empty id judged": corpus("qrels/test.tsv", "+q1\t\t1\n", "{}/qrels/test.tsv:8", "an id is empty"),
    "judgements without a row": corpus(
        "qrels/test.tsv", "query-id\tcorpus-id\tscore\n", "{}/qrels/test.tsv", "holds no judgements"
    ),
    "folder for judgements": damaged(replace_by_folder("qrels/test.tsv"), "{}/qrels/test.tsv", "is a directory"),
    "no judgements": damaged(lambda f: shutil.rmtree(f / "qrels"), "{}", "qrels/<view>.tsv is missing"),
    "no queries": damaged(lambda f: (f / "queries.jsonl").unlink(), "{}", "has documents but no queries.jsonl"),
    # exclusions
    "excluded gold": corpus(
        "exclusions.json", '{"q1": ["d5"]}', "{}/exclusions.json", "'q1' excludes 'd5', which is relevant to it"
    ),
    "exclusions of no query": corpus("exclusions.json", '{"q9": ["d5"]}', "{}/exclusions.json", "for query 'q9'"),
    "exclusions not JSON": corpus("exclusions.json", '{"q1":\n oops}', "{}/exclusions.json:2", "is not JSON"),
    "exclusions a list": corpus("exclusions.json", '["q1"]', "{}/exclusions.json", "must be an object"),
    "exclusions a string": corpus("exclusions.json", '{"q1": "d2"}', "{}/exclusions.json", "must be a list"),
    "exclusions of one query twice": corpus(
        "exclusions.json", '{"q1": ["d2"], "q1": ["d6"]}', "{}/exclusions.json", "key 'q1' appears twice"
    ),
    "exclusions nested": corpus("exclusions.json", "[" * 100_000, "{}/exclusions.json", "nested too deeply"),
    "exclusions empty": corpus("exclusions.json", "", "{}/exclusions.json", "the file is empty"),
    "folder for exclusions": damaged(replace_by_folder("exclusions.json"), "{}/exclusions.json", "is a directory"),
    # the card
    "card not YAML": corpus("corpus.yaml", "name: x\ntitle: [\n", "{}/corpus.yaml:3", "is not YAML"),
    "card with a key twice": corpus(
        "corpus.yaml", "name: x\nname: y\n", "{}/corpus.yaml:2", "the key 'name' appears twice"
    ),
    "card a list": corpus("corpus.yaml", "- name\n", "{}/corpus.yaml", "is not a mapping of keys"),
    "card with a wrong value": corpus("corpus.yaml", "duplicates: drop\n", "{}/corpus.yaml", "key 'duplicates': Input"),
    "card with an impossible date": corpus("corpus.yaml", "released: 2026-13-45\n", "{}/corpus.yaml", "is not YAML"),
    "card with a view it lacks": corpus(
        "corpus.yaml", "default_view: gold\n", "{}/corpus.yaml", "has no view 'gold'; it has test"
    ),
    "card with another hash": corpus("corpus.yaml", "sha256: {queries.jsonl: 0}\n", "{}/corpus.yaml", "key 'sha256"),
    "card naming no file": corpus("corpus.yaml", "sha256: {gone.jsonl: 'ab'}\n", "{}/gone.jsonl", "no such file"),
    # places
    "no corpus folder": damaged(shutil.rmtree, "{}", "no such corpus folder"),
    "file for a corpus": damaged(replace_by_file, "{}", "a corpus is a folder with"),
    "not a corpus": damaged(empty, "{}", "is not a corpus: looked for corpus.jsonl"),
    "OBLIQ-Bench, no task named": damaged(
        two_obliq_tasks, "{}", "it contains the corpora analogues/math, descriptive/twitter: name one of them"
    ),
    # arguments
    "unknown view": arguments("-r", "random", "--view", "dev", where="{}", says="no view 'dev'", kind="bad_input"),
    "unknown retriever": arguments("-r", "bm52", says="'bm52' is not a retriever; accepted are bm25,"),
    "unknown setting": arguments("-r", "bm25:k2=1", says="'k2=1' is not a setting; write key=value with the keys k1,"),
    "setting of the wrong type": arguments("-r", "bm25:k1=high", says="k1=high: Input should be a valid number"),
    "setting NaN": arguments("-r", "bm25:k1=nan", says="k1=nan"),
    "setting out of choice": arguments("-r", "bm25:variant=x", says="should be 'lucene' or 'okapi'"),
    "setting out of range": arguments("-r", "bm25:b=7", says="b=7: Input should be less than or equal to 1"),
    "class that is not there": arguments("-r", "os:Nothing", says="os:Nothing cannot be imported"),
    "module without a name": arguments("-r", ":Nothing", says=":Nothing"),
    "function that makes no retriever": arguments("-r", "json:loads", says="json:loads"),
    "hybrid of one": arguments("-r", "hybrid:bm25", says="hybrid needs two or more retrievers"),
    "runfile without a path": arguments("-r", "runfile:", says="runfile needs a path"),
    "unknown measure": arguments("-r", "random", "-m", "NDCG@10", says="'NDCG@10' is not a measure; accepted are nDCG"),
    "measure without its k": arguments("-r", "random", "-m", "R", says="'R' is not a measure; accepted are"),
    "measure at 0": arguments("-r", "random", "-m", "nDCG@0", says="'nDCG@0' is not a measure"),
    "no measure": arguments("-r", "random", "-m", ",", says="no measure is named"),
    "depth 0": arguments("-r", "random", "--depth", "0", says="depth must be 1 or more; found 0"),
    "depth that is no number": arguments("-r", "random", "--depth", "ten", says="--depth"),
    "unknown option": arguments("-r", "random", "--deep", says="No such option: --deep"),
    "no retriever": arguments(says="--retriever"),
    "second retriever is bad": arguments(
        "-r", "random", "-r", "runfile:no.trec", where="no.trec", says="no such file", kind="bad_input"
    ),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture
def prepared(case: Case, corpus_folder: Path, tmp_path: Path) -> tuple[list[object], Path]:
    """The command to run, and the folder its runs would go to."""
    return [*case.prepare(corpus_folder), "--out", tmp_path / "out"], tmp_path / "out"


def one_error_line(result, where: str, says: str) -> None:
    assert result.code == 2, result
    assert result.stderr.startswith(f"error: {where}: " if where else "error: ")
    assert says in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_bad_input_is_one_line_with_its_place_and_exit_code_2(case, prepared, corpus_folder, command):
    written, out = prepared
    result = command(*written)
    where, says = (text.replace("{}", str(corpus_folder)) for text in (case.where, case.says))
    one_error_line(result, where, says)
    assert not out.exists(), "nothing is left behind"


def test_bad_input_with_json_is_one_document(case, prepared, corpus_folder, command):
    written, out = prepared
    result = command(*written, "--json")
    where, says = (text.replace("{}", str(corpus_folder)) for text in (case.where, case.says))
    document = json.loads(result.stdout)
    assert result.code == 2
    assert document.keys() == {"error"}
    assert document["error"].keys() == {"kind", "message", "where"}
    assert (document["error"]["kind"], document["error"]["where"]) == (case.kind, where)
    assert says in document["error"]["message"]
    assert result.stderr == ""
    assert not out.exists()


@pytest.mark.parametrize("name", ["document ranked twice", "broken JSON", "unknown view", "unknown option"])
def test_so_it_is_for_the_installed_command(name, corpus_folder, tmp_path, cli):
    case = CASES[name]
    result = cli(*case.prepare(corpus_folder), "--out", tmp_path / "out")
    one_error_line(result, case.where.replace("{}", str(corpus_folder)), case.says)
    assert not (tmp_path / "out").exists()


# ---------------------------------------------------------------- where output goes


def test_the_output_folder_must_not_be_a_file(corpus_folder, tmp_path, command):
    (tmp_path / "out").write_text("mine")
    result = command("retrieval", "run", corpus_folder, "-r", "random", "--out", tmp_path / "out")
    one_error_line(result, "", f"{tmp_path / 'out'} is a file; the output must be a folder")
    assert (tmp_path / "out").read_text() == "mine"


def test_the_output_folder_must_not_lie_below_a_file(corpus_folder, tmp_path, command):
    (tmp_path / "out").write_text("mine")
    result = command("retrieval", "run", corpus_folder, "-r", "random", "--out", tmp_path / "out" / "runs")
    one_error_line(result, "", str(tmp_path / "out"))


@pytest.fixture
def run_folder(corpus_folder: Path, tmp_path: Path) -> Path:
    return evaluate(corpus_folder, "random", out=tmp_path / "runs")[0].path


def test_a_page_cannot_be_written_over_a_folder(run_folder, tmp_path, command):
    one_error_line(command("report", run_folder, "-o", tmp_path), "", str(tmp_path))


# ---------------------------------------------------------------- damaged run folders


def rewrite(file: str, change: Callable[[str], str]) -> Callable[[Path], None]:
    def damage(run: Path) -> None:
        before = (run / file).read_text()
        assert change(before) != before
        (run / file).write_text(change(before))

    return damage


DAMAGE = {
    "run.json missing": (lambda run: (run / "run.json").unlink(), "{}", "is not a run folder"),
    "run.json cut": (rewrite("run.json", lambda text: text[:40]), "{}/run.json", "Invalid JSON"),
    "run.json without its suite": (
        rewrite("run.json", lambda text: text.replace('"suite"', '"sweet"')),
        "{}/run.json",
        "suite: Field required",
    ),
    "results not JSON": (
        rewrite("results.jsonl", lambda text: text + "}{\n"),
        "{}/results.jsonl:4",
        "not a JSON object",
    ),
    "results not UTF-8": (
        lambda run: (run / "results.jsonl").write_bytes(b"\xff\n"),
        "{}/results.jsonl:1",
        "is not UTF-8",
    ),
    "a query graded twice": (
        rewrite("results.jsonl", lambda text: text + text.splitlines()[0] + "\n"),
        "{}/results.jsonl:4",
        "query 'q1' is graded twice, first on line 1",
    ),
    "a query without its measures": (
        rewrite("results.jsonl", lambda text: text.replace('"measures"', '"treasures"', 1)),
        "{}/results.jsonl:1",
        "measures: Field required",
    ),
    "a query with other measures": (
        rewrite("results.jsonl", lambda text: text.replace('"AP"', '"PA"', 1)),
        "{}/results.jsonl",
        "measures",
    ),
    "a measure NaN": (
        rewrite("results.jsonl", lambda text: re.sub(r'"Bpref":[0-9.]+', '"Bpref":NaN', text, count=1)),
        "{}/results.jsonl:1",
        "Bpref",
    ),
}


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
@pytest.mark.parametrize("action", ["verify", "report"])
@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_run_folder_is_an_error_with_its_place(name, action, as_json, run_folder, tmp_path, command):
    damage, place, says = DAMAGE[name]
    damage(run_folder)
    where = place.replace("{}", str(run_folder))
    page = tmp_path / "page.html"
    written = [action, run_folder, *(["-o", page] if action == "report" else [])]
    if as_json:
        result = command(*written, "--json")
        assert (result.code, result.stderr) == (2, "")
        error = json.loads(result.stdout)["error"]
        assert error["where"].startswith(where)
        assert says in error["message"]
    else:
        result = command(*written)
        assert result.code == 2
        assert result.stderr.startswith(f"error: {where}")
        assert says in result.stderr
        assert result.stderr.count("\n") == 1
    assert not page.exists()


@pytest.mark.parametrize("action", ["verify", "report"])
def test_a_run_folder_that_is_not_there_is_an_error(action, tmp_path, command):
    one_error_line(command(action, tmp_path / "gone"), str(tmp_path / "gone"), "no such run folder")


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("results.jsonl", lambda text: re.sub(r'"AP":[0-9.]+', '"AP":0.123', text, count=1)),
        ("summary.json", lambda text: text.replace('"mean": ', '"mean": 1', 1)),
        ("run.json", lambda text: text.replace('"depth": 1000', '"depth": 100')),
    ],
    ids=["a measure", "a mean", "a setting"],
)
def test_verify_finds_an_altered_number_and_exits_with_3(file, change, run_folder, command):
    assert command("verify", run_folder).code == 0
    rewrite(file, change)(run_folder)
    result = command("verify", run_folder, "--json")
    assert result.code == 3
    assert not json.loads(result.stdout)["ok"]


def test_verify_finds_a_lost_artifact(run_folder, command):
    (run_folder / "artifacts" / "run.trec.gz").unlink()
    result = command("verify", run_folder, "--json")
    assert result.code == 3
    assert [mismatch["what"] for mismatch in json.loads(result.stdout)["mismatches"]] == ["artifacts/run.trec.gz"]


@pytest.mark.parametrize("place", ["absolute", "above", "link", "circle", "no name"])
def test_verify_reads_no_file_outside_the_run_folder(place, run_folder, tmp_path, command):
    secret = tmp_path / "secret.txt"
    secret.write_text("not yours\n")
    links = {"link": "artifacts/link.txt", "circle": "artifacts/circle.txt"}
    names = {"absolute": str(secret), "above": "../" * 40 + str(secret)[1:], "no name": "a\0b", **links}
    name = names[place]
    (run_folder / links["link"]).symlink_to(secret)
    (run_folder / links["circle"]).symlink_to(run_folder / links["circle"])
    rewrite("run.json", lambda text: text.replace('"artifacts/run.trec.gz":', f"{json.dumps(name)}:"))(run_folder)
    result = command("verify", run_folder, "--json")
    assert result.code == 3
    [found] = [mismatch for mismatch in json.loads(result.stdout)["mismatches"] if mismatch["what"] == name]
    assert found["derived"] == "not in the run folder"


# ---------------------------------------------------------------- what must be read as meant


RANKED = [
    ("q1", "d5", 3.5),
    ("q1", "d1", 2.25),
    ("q1", "d3", -1.0),
    ("q2", "d6", 1e-3),
    ("q2", "d2", 5e-4),
    ("q3", "d4", 7),
]
TREC = "".join(f"{q} Q0 {d} {rank} {s} tag\n" for rank, (q, d, s) in enumerate(RANKED, 1)).encode()
TSV = "".join(f"{q}\t{d}\t{s}\n" for q, d, s in RANKED).encode()
JSONL = "".join(json.dumps({"qid": q, "docid": d, "score": s}) + "\n" for q, d, s in RANKED).encode()
SHUFFLED = b"".join(sorted(TREC.splitlines(keepends=True), reverse=True))

AS_MEANT = {
    "BOM": ("r.trec", b"\xef\xbb\xbf" + TREC),
    "CRLF": ("r.trec", TREC.replace(b"\n", b"\r\n")),
    "no final newline": ("r.trec", TREC[:-1]),
    "blank lines at the end": ("r.trec", TREC + b"\n \n\n"),
    "blank lines between queries": ("r.trec", TREC.replace(b"q2", b"\nq2", 1)),
    "blank line at the start": ("r.trec", b"\n" + TREC),
    "TABs": ("r.trec", TREC.replace(b" ", b"\t")),
    "several spaces": ("r.trec", TREC.replace(b" ", b"   ")),
    "lines not sorted": ("r.trec", SHUFFLED),
    "queries interleaved": ("r.trec", b"".join(sorted(TREC.splitlines(keepends=True), key=lambda line: line[6:]))),
    "ranks wrong": ("r.trec", b"".join(b"%b Q0 %b 0 %g x\n" % (q.encode(), d.encode(), s) for q, d, s in RANKED)),
    "ranks no numbers": ("r.trec", TREC.replace(b" 1 ", b" first ")),
    "iteration not Q0": ("r.trec", TREC.replace(b"Q0", b"1")),
    "no suffix": ("run", TREC),
    "gzip without its suffix": ("r.trec", gzip.compress(TREC)),
    "gzip": ("r.trec.gz", gzip.compress(TREC)),
    "gzip in two members": ("r.trec.gz", gzip.compress(TREC[:50]) + gzip.compress(TREC[50:])),
    "TSV": ("r.tsv", TSV),
    "TSV with a header": ("r.tsv", b"qid\tdocid\tscore\n" + TSV),
    "TSV with a BOM, a header and CRLF": (
        "r.tsv",
        b"\xef\xbb\xbf" + (b"qid\tdocid\tscore\n" + TSV).replace(b"\n", b"\r\n"),
    ),
    "TSV with a blank line at the start": ("r.tsv", b"\n" + TSV),
    "JSONL": ("r.jsonl", JSONL),
    "JSONL with a BOM": ("r.jsonl", b"\xef\xbb\xbf" + JSONL),
    "JSONL with blank lines": ("r.jsonl", b"\n" + JSONL.replace(b"\n", b"\n\n")),
    "JSONL with more keys": ("r.jsonl", JSONL.replace(b"}", b', "rank": 9, "tag": "x"}')),
    "JSONL with scores in quotes": ("r.jsonl", JSONL.replace(b"7}", b'"7"}')),
    "JSONL, gzip": ("r.jsonl.gz", gzip.compress(JSONL)),
}


def measured(folder: Path, name: str, content: bytes, out: Path) -> dict[str, dict[str, float]]:
    """Query id -> measures of a run file."""
    (folder / name).write_bytes(content)
    path = evaluate(folder, f"runfile:{folder / name}", out=out)[0].path
    units = map(json.loads, (path / "results.jsonl").read_text().splitlines())
    return {unit["id"]: unit["measures"] for unit in units}


@pytest.fixture(scope="module")
def as_written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, float]]:
    """The measures of the plain TREC run."""
    place = tmp_path_factory.mktemp("plain")
    return measured(write_beir(place / "corpus"), "plain.trec", TREC, place / "out")


@pytest.mark.parametrize("name", AS_MEANT)
def test_a_run_file_is_read_as_meant(name, as_written, corpus_folder, tmp_path):
    assert as_written["q1"]["nDCG@10"] == 1.0
    assert as_written["q2"]["RR@10"] == 0.5, "scores rank, wherever the line stands"
    assert measured(corpus_folder, *AS_MEANT[name], tmp_path / "out") == as_written


def test_a_run_may_hold_queries_that_the_view_does_not_judge(tmp_path, as_written):
    folder = write_beir(tmp_path / "corpus", test=QRELS[:3], train=QRELS[3:])
    assert measured(folder, "r.trec", TREC, tmp_path / "out") == {"q1": as_written["q1"]}


def test_queries_a_run_lacks_count_as_0_and_are_named(corpus_folder, tmp_path, command):
    (corpus_folder / "r.trec").write_bytes(TREC.splitlines(keepends=True)[0])
    result = command("retrieval", "score", corpus_folder / "r.trec", "-c", corpus_folder, "-o", tmp_path / "out")
    assert result.code == 0
    assert "2 queries (q2, q3) got no document and count as 0" in result.stderr

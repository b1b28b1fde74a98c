"""ir_datasets:ID: any id of the ir_datasets catalogue that has documents, queries and judgements."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import DOCUMENTS, QRELS, QUERIES, judgements

from evalsuite import load_corpus
from evalsuite.errors import InputError

ir_datasets = pytest.importorskip("ir_datasets")

Register = Callable[..., str]


@pytest.fixture
def register(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Register:
    """register(docs=..., queries=..., qrels=...): a data set from small files under an id of its own, by public API."""
    monkeypatch.setenv("IR_DATASETS_HOME", str(tmp_path / "home"))

    def put(
        docs: list[tuple[str, str]] | None = None,
        queries: list[tuple[str, str]] | None = None,
        qrels: list[tuple[str, str, int]] | None = None,
    ) -> str:
        def write(name: str, lines: list[str] | None) -> str | None:
            if lines is None:
                return None
            (tmp_path / name).write_text("".join(line + "\n" for line in lines), encoding="utf-8")
            return str(tmp_path / name)

        dataset = ir_datasets.create_dataset(
            docs_tsv=write("docs.tsv", docs and ["\t".join(row) for row in docs]),
            queries_tsv=write("queries.tsv", queries and ["\t".join(row) for row in queries]),
            qrels_trec=write("qrels.txt", qrels and [f"{q} 0 {d} {grade}" for q, d, grade in qrels]),
        )
        ir_datasets.registry.register(str(tmp_path), dataset)
        return f"ir_datasets:{tmp_path}"

    return put


DOCS = [(document["_id"], document["text"]) for document in DOCUMENTS]
ASKED = [(query["_id"], query["text"]) for query in QUERIES]


def test_documents_queries_and_judgements_are_those_of_the_data_set(register):
    corpus = load_corpus(register(DOCS, ASKED, QRELS))
    assert [(document.id, document.contents) for document in corpus.documents()] == DOCS
    assert [(query.id, query.text) for query in corpus.queries] == ASKED
    assert judgements(corpus) == {(query, document): grade for query, document, grade in QRELS}
    assert (corpus.version, corpus.view, corpus.notes) == ("ir_datasets", "qrels", [])


def test_queries_without_judgements_are_left_out_and_noted(register):
    corpus = load_corpus(register(DOCS, [*ASKED, ("q4", "who pays")], QRELS))
    assert [query.id for query in corpus.queries] == ["q1", "q2", "q3"]
    assert corpus.notes == ["1 of 4 queries are not judged in view 'qrels' and are left out"]


def test_the_hash_follows_the_content(register, tmp_path):
    source = register(DOCS, ASKED, QRELS)
    before = load_corpus(source).sha256
    assert load_corpus(source).sha256 == before
    for name, old, new in (
        ("docs.tsv", "freely", "freelY"),
        ("queries.tsv", "thirty", "ten"),
        ("qrels.txt", "d5 2", "d5 1"),
    ):
        file = tmp_path / name
        whole = file.read_text()
        file.write_text(whole.replace(old, new))
        assert load_corpus(source).sha256 != before
        file.write_text(whole)


def test_the_command_line_scores_an_id(register, command, tmp_path):
    source = register(DOCS, ASKED, QRELS)
    result = command("retrieval", "run", source, "-r", "bm25", "-o", tmp_path / "out", "--json")
    (run,) = json.loads(result.stdout)
    assert (result.code, run["view"], run["n_queries"]) == (0, "qrels", 3)
    assert run["measures"]["RR@10"]["mean"] == 1.0


def test_an_unknown_id_is_one_line_and_exit_code_2(cli, tmp_path):
    result = cli("retrieval", "run", "ir_datasets:no/such-id", "-r", "random", "-o", tmp_path / "out")
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr == "error: ir_datasets:no/such-id: is not an ir_datasets id\n"


@pytest.mark.parametrize(
    ("parts", "lacking"),
    [
        ({"docs": DOCS, "queries": ASKED}, "has no qrels;"),
        ({"docs": DOCS}, "has no queries and no qrels;"),
        ({"queries": ASKED, "qrels": QRELS}, "has no docs;"),
    ],
)
def test_an_id_that_lacks_a_part_is_an_error(register, parts, lacking):
    source = register(**parts)
    with pytest.raises(InputError, match=f"{lacking} choose an id that names a judged query set") as error:
        load_corpus(source)
    assert error.value.where == source


def test_an_id_has_one_view(register):
    source = register(DOCS, ASKED, QRELS)
    assert load_corpus(source, "qrels").view == "qrels"
    with pytest.raises(InputError, match="has no view 'test'; an ir_datasets id names one set of judgements"):
        load_corpus(source, "test")


@pytest.mark.parametrize(
    ("docs", "queries", "qrels", "says"),
    [
        ([*DOCS, ("d2", "again")], ASKED, QRELS, "document 7: document id 'd2' appears twice"),
        (DOCS, [*ASKED, ("q2", "again")], QRELS, "query id 'q2' appears twice"),
        (DOCS, [*ASKED, ("q4", " ")], QRELS, "query 'q4' has an empty text"),
        (DOCS, ASKED, [*QRELS, ("q1", "d99", 1)], "judgement 7: judges document 'd99'"),
        (DOCS, ASKED, [*QRELS, ("q99", "d1", 1)], "judgement 7: judges query 'q99'"),
        (DOCS, ASKED, [*QRELS, ("q1", "d5", 0)], "judgement 7: grades 'q1' / 'd5' as 0, but"),
    ],
)
def test_a_data_set_is_checked_like_any_other(register, docs, queries, qrels, says):
    source = register(docs, queries, qrels)
    with pytest.raises(InputError) as error:
        load_corpus(source)
    assert says in str(error.value)
    assert str(error.value).startswith(source)


@pytest.mark.parametrize(
    ("file", "content"),
    [("docs.tsv", None), ("docs.tsv", b"d1\t\xff\n"), ("qrels.txt", b"q1 0 d1 high\n"), ("qrels.txt", b"q1 d1\n")],
)
def test_files_that_cannot_be_read_are_an_error(register, tmp_path, file, content):
    source = register(DOCS, ASKED, QRELS)
    if content is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_bytes(content)
    with pytest.raises(InputError, match="cannot be read: ") as error:
        load_corpus(source)
    assert error.value.where == source

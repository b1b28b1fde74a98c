"""Two versions of a corpus: what changed in it by content, and whether scores or ranks moved."""

import json
from dataclasses import dataclass, field

import pytest
from conftest import DOCUMENTS, QRELS, QUERIES, write_beir

from evalsuite.errors import UsageError
from evalsuite.retrieval.formats import load_corpus
from evalsuite.retrieval.revision import FIRST, revision
from evalsuite.retrieval.versions import versions

WORLD_QUERIES = [{"_id": f"q{i}", "text": f"question number {i}"} for i in range(12)]
WORLD_DOCUMENTS = [{"_id": f"d{i}", "text": f"answer number {i}"} for i in range(60)]
STEPS = (0, 1, 3, 6)


@dataclass
class Placed:
    """Puts the document of query i at a rank of its own choice: a system of known quality."""

    name: str
    worst: int
    ids: list[str] = field(default_factory=list, init=False)

    def settings(self):
        return {"worst": self.worst}

    def index(self, corpus):
        self.ids = corpus.doc_ids

    def search(self, queries, k):
        found = {}
        for query in queries:
            number = int(query.id[1:])
            others = [name for name in self.ids if name != f"d{number}"][:20]
            place = self.worst + number % 2
            ranking = [*others[:place], f"d{number}", *others[place:]]
            found[query.id] = {name: float(-rank) for rank, name in enumerate(ranking)}
        return found


def placed():
    return [Placed(f"rank-{worst}", worst) for worst in STEPS]


def world(folder, name, queries=WORLD_QUERIES, documents=WORLD_DOCUMENTS, extra=()):
    rows = [(q["_id"], f"d{q['_id'][1:]}", 1) for q in queries]
    return write_beir(folder / name, documents, queries, test=[*rows, *extra])


@pytest.fixture
def changes(tmp_path):
    """changes(documents=.., queries=.., test=rows) -> what became of the small corpus, and the pairs of queries."""
    number = 0

    def compare(documents=DOCUMENTS, queries=QUERIES, rows=QRELS):
        nonlocal number
        number += 1
        a = write_beir(tmp_path / f"a{number}")
        b = write_beir(tmp_path / f"b{number}", documents, queries, test=rows)
        return revision(load_corpus(a), load_corpus(b))

    return compare


def replaced(records, name, **values):
    return [{**record, **values} if record["_id"] == name else record for record in records]


def counts(change):
    return {kind: n for kind, n in change.model_dump(exclude={"first"}).items() if n}


# What changed


def test_a_corpus_has_not_changed_from_itself(changes):
    found, same_query = changes()
    assert counts(found.documents) == {"same": 6}
    assert counts(found.queries) == {"same": 3}
    assert counts(found.judgements) == {"same": 6}
    assert counts(found.exclusions) == {} and found.relabelled == []
    assert same_query == {"q1": "q1", "q2": "q2", "q3": "q3"}


def test_documents_are_told_apart_as_added_removed_and_changed(changes):
    documents = [*replaced(DOCUMENTS, "d3", text="Another text."), {"_id": "d7", "text": "A new one."}]
    found, _ = changes(documents=[d for d in documents if d["_id"] != "d6"])
    assert counts(found.documents) == {"same": 4, "changed": 1, "removed": 1, "added": 1}
    assert found.documents.first == {"changed": ["d3"], "removed": ["d6"], "added": ["d7"]}
    assert counts(found.judgements) == {"same": 6}


def test_a_title_is_part_of_a_document(changes):
    found, _ = changes(documents=replaced(DOCUMENTS, "d1", title="Term"))
    assert found.documents.first == {"changed": ["d1"]}


def test_a_document_with_a_new_id_is_renamed_and_keeps_its_judgements(changes):
    documents = replaced(DOCUMENTS, "d5", _id="x5")
    rows = [(q, "x5" if d == "d5" else d, grade) for q, d, grade in QRELS]
    found, _ = changes(documents=documents, rows=rows)
    assert counts(found.documents) == {"same": 5, "renamed": 1}
    assert found.documents.first == {"renamed": ["d5 -> x5"]}
    assert counts(found.judgements) == {"same": 6}


def test_ids_that_were_dealt_anew_are_renamed_not_changed(changes):
    order = {"q1": "q2", "q2": "q3", "q3": "q1"}
    found, same_query = changes(
        queries=[{**query, "_id": order[query["_id"]]} for query in QUERIES],
        rows=[(order[query], document, grade) for query, document, grade in QRELS],
    )
    assert counts(found.queries) == {"renamed": 3}
    assert same_query == order
    assert counts(found.judgements) == {"same": 6}


def test_a_reworded_query_is_the_same_query_changed(changes):
    found, same_query = changes(queries=replaced(QUERIES, "q2", text="may the tenant assign"))
    assert found.queries.first == {"changed": ["q2"]}
    assert same_query["q2"] == "q2"


def test_another_group_or_mechanism_of_a_query_is_told(changes):
    found, _ = changes(queries=replaced(QUERIES, "q2", metadata={"group": "g"}))
    assert counts(found.queries) == {"same": 3}
    assert found.relabelled == ["q2"]


def test_judgements_are_told_apart_as_added_removed_and_regraded(changes):
    rows = [("q1", "d5", 1), *QRELS[1:5], ("q3", "d2", 1)]
    found, _ = changes(rows=rows)
    assert counts(found.judgements) == {"same": 4, "changed": 1, "removed": 1, "added": 1}
    assert found.judgements.first == {"changed": ["q1 d5: 2 -> 1"], "removed": ["q3 d1"], "added": ["q3 d2"]}


def test_judgements_of_a_removed_query_are_removed_with_it(changes):
    found, same_query = changes(queries=QUERIES[:2], rows=QRELS[:4])
    assert found.queries.first == {"removed": ["q3"]}
    assert counts(found.judgements) == {"same": 4, "removed": 2}
    assert "q3" not in same_query


def test_only_the_first_ids_are_named_but_all_are_counted(changes):
    new = [{"_id": f"n{i}", "text": f"new {i}"} for i in range(FIRST + 4)]
    found, _ = changes(documents=[*DOCUMENTS, *new])
    assert found.documents.added == FIRST + 4
    assert found.documents.first["added"] == [f"n{i}" for i in range(FIRST)]


def test_exclusions_are_compared_too(tmp_path):
    a, b = (write_beir(tmp_path / name) for name in "ab")
    (a / "exclusions.json").write_text('{"q1": ["d2", "d4"]}')
    (b / "exclusions.json").write_text('{"q1": ["d4"], "q2": ["d6"]}')
    found, _ = revision(load_corpus(a), load_corpus(b))
    assert counts(found.exclusions) == {"same": 1, "removed": 1, "added": 1}
    assert found.exclusions.first == {"removed": ["q1 d2"], "added": ["q2 d6"]}


# What moved


def test_nothing_moves_from_a_corpus_to_itself(tmp_path):
    a = world(tmp_path, "a")
    found = versions(a, a, placed(), out=tmp_path / "reports")
    assert [system.difference.mean for system in found.systems] == [0, 0, 0, 0]
    assert (found.tau.value, found.tau.low, found.tau.high, found.tau.moved) == (1, 1, 1, [])
    assert "Scores did not move" in found.sentence and "Ranks did not move" in found.sentence


def test_scores_can_move_while_ranks_stay(tmp_path):
    a = world(tmp_path, "a")
    missed = [(q["_id"], f"d{40 + i}", 1) for i, q in enumerate(WORLD_QUERIES)]
    found = versions(a, world(tmp_path, "b", extra=missed), placed(), out=tmp_path / "reports")
    for system in found.systems:
        assert system.difference.mean == pytest.approx(system.b.mean - system.a.mean)
        assert system.difference.mean < 0 and system.difference.p_corrected <= 0.05
        assert system.difference.high < 0
    assert found.changes.judgements.added == 12
    assert found.tau.value == 1 and found.tau.pairs == 6
    assert found.sentence.startswith("Scores moved: nDCG@10 of 4 of 4 systems")
    assert "Ranks did not move: all 6 pairs" in found.sentence


class Turned(Placed):
    """Better than all on a corpus with the document "marker", else worse than all."""

    def index(self, corpus):
        super().index(corpus)
        self.worst = 0 if "marker" in self.ids else 9


def test_ranks_can_move_with_the_pairs_that_changed_their_order(tmp_path):
    a = world(tmp_path, "a")
    b = world(tmp_path, "b", documents=[*WORLD_DOCUMENTS, {"_id": "marker", "text": "the last becomes the first"}])
    systems = [*(Placed(f"rank-{worst}", worst) for worst in (1, 3, 6)), Turned("turned", 9)]
    found = versions(a, b, systems, out=tmp_path / "reports")
    assert found.tau.moved == [("rank-1", "turned"), ("rank-3", "turned"), ("rank-6", "turned")]
    assert found.tau.value == 0
    assert found.tau.high < 1
    assert "Ranks moved: 3 of 6 pairs" in found.sentence


def test_p_values_are_corrected_over_the_systems(tmp_path):
    a = world(tmp_path, "a")
    b = world(tmp_path, "b", extra=[(q["_id"], "d50", 1) for q in WORLD_QUERIES])
    found = versions(a, b, placed(), out=tmp_path / "reports")
    assert [s.difference.p_corrected for s in found.systems] == pytest.approx(
        [4 * s.difference.p for s in found.systems]
    )


def test_differences_are_of_the_queries_that_both_have_and_scores_of_all(tmp_path):
    a = world(tmp_path, "a", queries=WORLD_QUERIES[:10])
    b = world(tmp_path, "b", queries=WORLD_QUERIES[4:])
    found = versions(a, b, placed(), out=tmp_path / "reports")
    for system in found.systems:
        assert (system.a.n, system.b.n, system.difference.n) == (10, 8, 6)
        assert system.difference.mean == 0
    assert found.changes.queries.removed == 4 and found.changes.queries.added == 2
    assert found.tau.value == 1


def test_versions_without_a_common_query_have_ranks_and_no_differences(tmp_path):
    a = world(tmp_path, "a", queries=WORLD_QUERIES[:6])
    b = world(tmp_path, "b", queries=WORLD_QUERIES[6:])
    found = versions(a, b, placed(), out=tmp_path / "reports")
    assert [system.difference for system in found.systems] == [None] * 4
    assert found.tau.value == 1
    assert "Nothing can be said of scores" in found.sentence


def test_queries_of_one_group_in_either_version_are_one(tmp_path):
    grouped = [{**q, "metadata": {"group": f"g{i // 2}"}} for i, q in enumerate(WORLD_QUERIES)]
    found = versions(world(tmp_path, "a"), world(tmp_path, "b", queries=grouped), placed(), out=tmp_path / "reports")
    assert {(s.difference.n, s.difference.n_groups) for s in found.systems} == {(12, 6)}
    assert found.changes.relabelled == [q["_id"] for q in WORLD_QUERIES]


def test_renamed_queries_are_paired_by_their_text(tmp_path):
    a = world(tmp_path, "a", queries=WORLD_QUERIES[:8])
    queries = [{**q, "_id": f"q{i + 20}"} for i, q in enumerate(WORLD_QUERIES[:8])]
    found = versions(a, world(tmp_path, "b", queries=queries), ["bm25"], out=tmp_path / "reports")
    assert found.systems[0].difference.n == 8
    assert found.changes.queries.renamed == 8


def test_two_systems_have_no_order_worth_a_tau(tmp_path):
    found = versions(world(tmp_path, "a"), world(tmp_path, "b"), placed()[:2], out=tmp_path / "reports")
    assert found.tau.value is None and found.tau.low is None
    assert "3 systems" in found.tau.reason and found.tau.reason in found.sentence


def test_views_of_one_corpus_are_compared_like_versions(tmp_path):
    corpus = write_beir(tmp_path / "corpus", gold=QRELS, pooled=[*QRELS, ("q2", "d1", 1)])
    found = versions(corpus, corpus, "bm25", view_a="gold", view_b="pooled", out=tmp_path / "reports")
    assert (found.a.view, found.b.view) == ("gold", "pooled")
    assert found.changes.documents.same == 6
    assert counts(found.changes.judgements) == {"same": 6, "added": 1}
    assert (found.a.relevant, found.b.relevant) == (4, 5)


def test_a_system_that_fails_on_one_side_is_named_and_left_out(tmp_path):
    class Broken(Placed):
        def search(self, queries, k):
            if len(self.ids) > 60:
                raise RuntimeError("too large")
            return super().search(queries, k)

    b = world(tmp_path, "b", documents=[*WORLD_DOCUMENTS, {"_id": "more", "text": "more"}])
    found = versions(world(tmp_path, "a"), b, [*placed(), Broken("broken", 2)], out=tmp_path / "reports")
    broken = found.systems[-1]
    assert broken.a is not None and broken.b is None and broken.difference is None
    assert broken.errors == {"b": "search: RuntimeError: too large"}
    assert found.tau.pairs == 6


def test_a_measure_outside_the_usual_ones_is_measured(tmp_path):
    found = versions(world(tmp_path, "a"), world(tmp_path, "b"), "bm25", measure="P@3", out=tmp_path / "reports")
    assert found.measure == "P@3"
    assert 0 < found.systems[0].a.mean <= 1 / 3


def test_a_system_named_twice_is_refused(tmp_path):
    with pytest.raises(UsageError, match="named twice"):
        versions(world(tmp_path, "a"), world(tmp_path, "b"), ["bm25", "bm25"], out=tmp_path / "reports")


# The command


def run_folders(folder):
    return sorted(path.parent for path in folder.glob("*/run.json"))


def test_the_command_prints_the_change_the_scores_and_the_sentence(command, tmp_path):
    a, out = write_beir(tmp_path / "a"), tmp_path / "reports"
    b = write_beir(tmp_path / "b", DOCUMENTS[:5], test=QRELS)
    result = command("retrieval", "versions", a, b, "-r", "bm25", "-r", "rank-bm25", "-r", "prior", "-o", out)
    assert result.code == 0
    assert "documents removed: d6" in result.stdout
    assert all(name in result.stdout for name in ("bm25", "rank-bm25", "prior"))
    assert "pairs of systems" in result.stdout


def test_the_command_s_json_has_the_agreed_keys_and_runs_are_used_again(command, tmp_path):
    a, b, out = write_beir(tmp_path / "a"), write_beir(tmp_path / "b", DOCUMENTS[:5]), tmp_path / "reports"
    arguments = ("retrieval", "versions", a, b, "-r", "bm25", "-r", "prior", "-o", out, "--json")
    first = command(*arguments)
    folders = run_folders(out)
    written = [(path / "run.json").stat().st_mtime_ns for path in folders]
    found = json.loads(first.stdout)
    assert found.keys() == {"a", "b", "measure", "changes", "systems", "tau", "sentence"}
    assert found["systems"][0].keys() >= {"system", "a", "b", "difference"}
    assert found["tau"]["value"] is None and found["tau"]["reason"]
    assert command(*arguments).stdout == first.stdout
    assert len(folders) == 4 and run_folders(out) == folders
    assert [(path / "run.json").stat().st_mtime_ns for path in folders] == written


def test_the_command_refuses_what_it_cannot_read_with_exit_2(command, tmp_path):
    a = write_beir(tmp_path / "a")
    result = command("retrieval", "versions", a, a, "-r", "bm25", "--view-b", "pooled", "-o", tmp_path, "--json")
    assert result.code == 2
    assert "pooled" in json.loads(result.stdout)["error"]["message"]


def test_ids_with_control_characters_do_not_reach_the_terminal(command, tmp_path):
    a = write_beir(tmp_path / "a")
    b = write_beir(tmp_path / "b", [*DOCUMENTS, {"_id": "d\x1b[31m", "text": "red"}])
    result = command("retrieval", "versions", a, b, "-r", "bm25", "-o", tmp_path / "reports")
    assert "\x1b" not in result.stdout and "\\x1b" in result.stdout

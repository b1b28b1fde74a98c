"""Bundles of retriever authors: begun from a template, checked as a whole, scored like any run file."""

import gzip
import json
import os
import re
import shutil

import pytest
from bundlekit import FILLED, RUN, bundle_of, edit, fill
from conftest import write_beir

from evalsuite import evaluate
from evalsuite.errors import InputError, UsageError
from evalsuite.retrieval.seals import read_seal
from evalsuite.retrieval.submission import check, new, score


@pytest.fixture
def bundle(corpus_folder, tmp_path):
    return bundle_of(tmp_path / "bundle", corpus_folder)


def told(findings, folder):
    """Findings as "file:line: message", files relative to the bundle."""
    return [f"{os.path.relpath(f.where, folder)}: {f.message}".removeprefix(".: ") for f in findings]


# ---------------------------------------------------------------- a new bundle


def test_a_fresh_template_lacks_exactly_what_an_author_must_say(corpus_folder, tmp_path):
    source = tmp_path / "mine.trec"
    source.write_text(RUN)
    new(tmp_path / "fresh", str(corpus_folder), run=source)
    lines = (tmp_path / "fresh" / "submission.yaml").read_text().splitlines()
    open_lines = [number for number, line in enumerate(lines, 1) if "  # NEEDED" in line]
    found = check(tmp_path / "fresh")
    assert [int(finding.where.rpartition(":")[2]) for finding in found.problems] == open_lines
    assert len(open_lines) == len(FILLED)
    assert found.problems[0].message == ("tag must be filled in: short name of the system, as a leaderboard shows it")


def test_every_key_of_the_template_is_explained(corpus_folder, tmp_path):
    new(tmp_path / "fresh", str(corpus_folder))
    for line in (tmp_path / "fresh" / "submission.yaml").read_text().splitlines():
        assert line.endswith(":") or "# " in line, line


@pytest.mark.parametrize("name", ["a.run", "run.txt", "run.csv.gz", "run"])
def test_a_run_of_another_form_is_refused_at_once(corpus_folder, tmp_path, name):
    (tmp_path / name).write_text(RUN)
    with pytest.raises(UsageError, match="the name must end as in"):
        new(tmp_path / "fresh", str(corpus_folder), run=tmp_path / name)
    assert not (tmp_path / "fresh").exists()


def test_nothing_is_written_over_a_bundle(corpus_folder, bundle):
    before = (bundle / "submission.yaml").read_bytes()
    with pytest.raises(UsageError, match="holds a submission already"):
        new(bundle, str(corpus_folder))
    assert (bundle / "submission.yaml").read_bytes() == before


def as_tsv():
    rows = [line.split() for line in RUN.splitlines()]
    return "".join(f"{row[0]}\t{row[2]}\t{row[4]}\n" for row in rows)


def as_jsonl():
    rows = [line.split() for line in RUN.splitlines()]
    return "".join(json.dumps({"qid": r[0], "docid": r[2], "score": float(r[4])}) + "\n" for r in rows)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("form", "text"), [("trec", RUN), ("tsv", as_tsv()), ("jsonl", as_jsonl())])
def test_every_form_gives_the_numbers_of_retrieval_score(corpus_folder, tmp_path, form, text, packed):
    name = f"mine.{form}" + (".gz" if packed else "")
    content = gzip.compress(text.encode()) if packed else text.encode()
    (tmp_path / name).write_bytes(content)
    new(tmp_path / "bundle", str(corpus_folder), run=tmp_path / name)
    fill(tmp_path / "bundle")
    outcome, found = score(tmp_path / "bundle", out=tmp_path / "out")
    [plain] = evaluate(corpus_folder, f"runfile:{tmp_path / name}", depth=None, out=tmp_path / "plain")
    assert outcome.summary.measures == plain.summary.measures
    assert found.problems == []


def test_it_is_scored_under_its_tag_in_its_track_by_its_measures(corpus_folder, tmp_path):
    folder = bundle_of(tmp_path / "bundle", corpus_folder, tag="my-system 2", track="query")
    edit(folder / "submission.yaml", '"P@10", ', "")
    outcome, _ = score(folder, out=tmp_path / "out")
    system = outcome.manifest.system
    assert (system["name"], system["track"], system["role"]) == ("my-system 2", "query", "retriever")
    assert "P@10" not in outcome.summary.measures
    assert "nDCG@10" in outcome.summary.measures


# ---------------------------------------------------------------- every problem at once


def sheet(folder):
    return folder / "submission.yaml"


def run_file(folder):
    return folder / "run.trec"


def write_run(name, content):
    def change(folder):
        run_file(folder).unlink()
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return change


def add_lines(*lines):
    return lambda folder: run_file(folder).write_text(RUN + "".join(f"{line}\n" for line in lines))


def change_sheet(*pairs):
    def change(folder):
        for old, changed in pairs:
            edit(sheet(folder), old, changed)

    return change


def several(*changes):
    def change(folder):
        for one in changes:
            one(folder)

    return change


SPACED = "columns between spaces, the separator of this file; found"
NEEDED = "needed are qid Q0 docid rank score tag (6)"
FINITE = "the score must be"
LINES = (
    "q1 Q0 d99 5 0.4 overlap",
    "q9 Q0 d1 1 0.4 overlap",
    "q1 Q0 d5 6 0.1 overlap",
    "q2 Q0 d4 4 nan overlap",
    "q2 Q0 d6 5 low overlap",
    "q3 Q0 d2 4 inf",
    "q3 Q0 d3 fifth 0.2 overlap",
    "q8 Q0 d88 1 NaN overlap",
)
OF_LINES = [
    "run.trec:11: document 'd99' is not in corpus",
    "run.trec:12: query 'q9' is not in corpus",
    "run.trec:13: document 'd5' is ranked twice for query 'q1'",
    f"run.trec:14: {FINITE} finite; found nan",
    f"run.trec:15: {FINITE} a number; found 'low'",
    f"run.trec:16: has 5 {SPACED} 'q3 Q0 d2 4 inf'; {NEEDED}",
    "run.trec:18: query 'q8' is not in corpus",
    "run.trec:18: document 'd88' is not in corpus",
    f"run.trec:18: {FINITE} finite; found NaN",
    "run.trec:17: the rank must be a whole number; found 'fifth'",
]


def card(folder, text):
    """Give the corpus of a bundle a corpus.yaml."""
    (folder.parent / "corpus" / "corpus.yaml").write_text(text)


# name -> (what was done to a sound bundle, every problem that must be told). Lines of submission.yaml are written L(key).
MALFORMED = {
    "no submission.yaml": (
        lambda folder: sheet(folder).unlink(),
        ["submission.yaml: is missing; evalsuite submit new FOLDER writes a template"],
    ),
    "empty submission.yaml": (
        lambda folder: sheet(folder).write_text(""),
        ["submission.yaml: is empty; evalsuite submit new FOLDER writes a template"],
    ),
    "a list for submission.yaml": (
        lambda folder: sheet(folder).write_text("- tag\n"),
        ["submission.yaml: must hold keys with values; evalsuite submit new FOLDER writes a template"],
    ),
    "no YAML": (
        change_sheet(("tag: overlap", "tag: [overlap")),
        ["submission.yaml:4: is not YAML: expected ',' or ']', but got ':'"],
    ),
    "no UTF-8": (
        lambda folder: sheet(folder).write_bytes(sheet(folder).read_bytes().replace(b"a team", b"\xe9quipe")),
        ["submission.yaml:L(team): is not UTF-8; save it as UTF-8"],
    ),
    "an alias": (
        change_sheet(("team: a team", "team: &who a team"), ("cmd: python search.py", "cmd: *who")),
        ["submission.yaml:L(team): has an anchor or alias (& or *); write the value out"],
    ),
    "keys twice, of ours and of nobody": (
        change_sheet(
            ("tag: overlap", "tag: overlap\ntag: other\nauthor: me"),
            ("team: a team", "team: a team\n  team: b team"),
        ),
        [
            "submission.yaml:4: tag stands twice, first on line 3; keep one",
            "submission.yaml:5: 'author' is none of the keys; accepted are tag, actor, platform, research goal, "
            "implementation, data, method, resources, and keys of your own inside them",
            "submission.yaml:8: actor / team stands twice, first on line 7; keep one",
        ],
    ),
    "values of other kinds": (
        change_sheet(
            ("automatic: true", "automatic: mostly"),
            ("track: none", "track: some"),
            ("libraries: [python 3.11]", "libraries: python 3.11"),
            ("retrieval: [overlap, {name: resort, depth: 10}]", "retrieval: []"),
            ('tokens: "unknown"', "tokens: -1"),
            ('"nDCG@10", "R@10"', '"NDCG@10", "R"'),
        ),
        [
            "submission.yaml:L(libraries): platform / software / libraries: found 'python 3.11'; accepted is a list of texts, "
            "as [one, two]; [] where there is none",
            "submission.yaml:L(reported measures): research goal / evaluation / reported measures: 'NDCG@10' is not a measure; "
            "accepted are nDCG[@k], R@k, P@k, AP[@k], RR[@k], Rprec, Judged@k, Bpref; 'R' is not a measure; "
            "accepted are nDCG[@k], R@k, P@k, AP[@k], RR[@k], Rprec, Judged@k, Bpref",
            "submission.yaml:L(automatic): method / automatic: found 'mostly'; accepted is true or false",
            "submission.yaml:L(retrieval): method / retrieval: found []; accepted is a list of stages in the order they work, "
            "as [bm25, {name: my-reranker, depth: 100}]",
            "submission.yaml:L(track): method / track: found 'some'; accepted is none, query, index, read-everything",
            "submission.yaml:L(tokens): resources / tokens: found -1; accepted is a number of 0 or more, or unknown",
        ],
    ),
    "groups that hold no keys, and are left out": (
        several(
            change_sheet(("actor:\n  team: a team", "actor: a team\nx-group:")),
            lambda folder: sheet(folder).write_text(re.sub(r"(?ms)^resources:.*", "", sheet(folder).read_text())),
            change_sheet(("  contact:  # optional: a name, a page or an address\n", "")),
        ),
        [
            "submission.yaml:4: actor must hold keys (team, contact); found 'a team'",
            "submission.yaml:5: 'x-group' is none of the keys; accepted are tag, actor, platform, research goal, "
            "implementation, data, method, resources, and keys of your own inside them",
            "submission.yaml:4: actor / team is missing: who hands this in",
            *(
                f"submission.yaml: resources / {key} is missing: {about}"
                for key, about in {
                    "indexing seconds": "on the platform above",
                    "search seconds": "for all queries",
                    "tokens": "of language models, prompts and replies",
                    "cost usd": "what these tokens cost",
                }.items()
            ),
        ],
    ),
    "no run": (
        lambda folder: run_file(folder).rename(folder / "results.txt"),
        [
            "holds no run file; accepted is run.trec, run.tsv or run.jsonl, each also with .gz; "
            "found beside submission.yaml: results.txt"
        ],
    ),
    "two runs": (
        lambda folder: (folder / "run.tsv").write_text(as_tsv()),
        ["holds 2 run files, run.trec, run.tsv; keep one"],
    ),
    "a link": (
        lambda folder: (
            run_file(folder).rename(folder.parent / "elsewhere"),
            run_file(folder).symlink_to(folder.parent / "elsewhere"),
        ),
        ["run.trec: is a link; a bundle holds plain files, so that it can be moved"],
    ),
    "an empty run": (write_run("run.trec", ""), ["run.trec: the file is empty"]),
    "gzip in name only": (
        write_run("run.trec.gz", RUN),
        ["run.trec.gz: is named .gz but does not hold gzip data"],
    ),
    "gzip cut short": (
        write_run("run.trec.gz", gzip.compress(RUN.encode(), mtime=0)[:-12]),
        [
            "run.trec.gz:9: gzip data is cut short or damaged (Compressed file ended before the end-of-stream marker was "
            "reached)"
        ],
    ),
    "lines of all bad kinds": (
        add_lines(*LINES),
        OF_LINES,
    ),
    "ranks that contradict the scores": (
        lambda folder: run_file(folder).write_text(RUN.replace("d5 1 3.5", "d5 2 3.5").replace("d3 2 2.5", "d3 1 2.5")),
        [
            "run.trec:1: query 'q1': rank 2 has a higher score (3.5) than rank 1 (2.5); ranks and scores must give one order"
        ],
    ),
    "lines that are not UTF-8": (
        lambda folder: run_file(folder).write_bytes(
            RUN.encode().replace(b"q2 Q0 d2", b"q2 \xff d2").replace(b"d6 3", b"\xfe 3")
        ),
        ["run.trec:5: is not UTF-8 at byte 4 of the line", "run.trec:10: is not UTF-8 at byte 7 of the line"],
    ),
    "JSON lines of all bad kinds": (
        write_run(
            "run.jsonl",
            as_jsonl()
            + '{"qid": "q1"}\n[1]\n{"qid": "q1", "docid": "d4", "score": "x"}\nq1 d4\n{"qid": "", "docid": "d4", "score": 1}\n'
            + '{"qid": "q1", "docid": "d6", "score": NaN}\n',
        ),
        [
            "run.jsonl:11: has no docid, score; needed are qid, docid, score",
            "run.jsonl:12: is not a JSON object (line does not match requested type (line 12)); found '[1]'",
            "run.jsonl:13: the score must be a number; found 'x'",
            "run.jsonl:14: is not a JSON object (Expecting value: line 1 column 1 (char 0)); found 'q1 d4'",
            "run.jsonl:15: key 'qid' must be a non-empty string; found ''",
            "run.jsonl:16: the score must be finite; found nan",
        ],
    ),
    "ids with spaces between spaces": (
        add_lines("q1 Q0 d 6 5 0.1 overlap", "q 2 Q0 d6 5 0.1 overlap"),
        [
            f"run.trec:11: has 7 {SPACED} 'q1 Q0 d 6 5 0.1 overlap'; {NEEDED}",
            f"run.trec:12: has 7 {SPACED} 'q 2 Q0 d6 5 0.1 overlap'; {NEEDED}",
        ],
    ),
    "spaces between TABs": (
        write_run("run.tsv", as_tsv() + "q1 d6 0.1\nq1 Q0 d6 5 0.1 overlap\n"),
        [
            f"run.tsv:{line}: has 1 column between TABs, the separator of this file; found {text!r}; "
            "needed are TAB-separated qid docid score (3)"
            for line, text in ((11, "q1 d6 0.1"), (12, "q1 Q0 d6 5 0.1 overlap"))
        ],
    ),
    "keys twice and digits that are not ASCII": (
        write_run(
            "run.jsonl",
            as_jsonl()
            + '{"qid": "q1", "qid": "q2", "docid": "d4", "score": 1}\n{"qid": "q1", "docid": "d4", "score": "１２"}\n',
        ),
        [
            "run.jsonl:11: is not a JSON object (the key 'qid' appears twice in one object); "
            """found '{"qid": "q1", "qid": "q2", "docid": "d4", "score": 1}'""",
            "run.jsonl:12: the score must be a number; found '１２'",
        ],
    ),
    "ranks and scores that are not ASCII": (
        add_lines("q1 Q0 d4 ５ 0.1 overlap", "q1 Q0 d6 6 ０ overlap", "q2 Q0 d6 1_0 0.1 overlap"),
        [
            "run.trec:12: the score must be a number; found '０'",
            "run.trec:11: the rank must be a whole number; found '５'",
            "run.trec:13: the rank must be a whole number; found '1_0'",
        ],
    ),
    "ranks in the opposite order": (
        lambda folder: run_file(folder).write_text(
            "".join(f"q1 Q0 d{i} {4 - i} {5 - i} overlap\n" for i in range(1, 4))
            + "q2 Q0 d1 1 5 x\nq2 Q0 d2 2 3 x\nq2 Q0 d3 2 9 x\n"
        ),
        [
            "run.trec:2: query 'q1': rank 2 has a higher score (3) than rank 1 (2); ranks and scores must give one order",
            "run.trec:1: query 'q1': rank 3 has a higher score (4) than rank 2 (3); ranks and scores must give one order",
            "run.trec:6: query 'q2': rank 2 has a higher score (9) than rank 1 (5); ranks and scores must give one order",
        ],
    ),
    "another state of the corpus": (
        change_sheet(('version: "unversioned"', "version: 2.0"), ("sha256: ", "sha256: '0' #")),
        [
            "submission.yaml:L(sha256): data / test collection / sha256: found '0'; accepted is 64 hex digits",
            "submission.yaml:L(version): the bundle is for version 2.0; the corpus at CORPUS has version unversioned",
        ],
    ),
    "another corpus": (
        lambda folder: change_sheet(('name: "corpus"', 'name: "clauses"'))(folder) or card(folder, "name: corpus\n"),
        ["submission.yaml:L(name): the bundle is for name clauses; the corpus at CORPUS has name corpus"],
    ),
    "another view": (
        change_sheet(('view: "test"', 'view: "gold"')),
        ["submission.yaml:L(view): data / test collection / view: found 'gold'; accepted is test"],
    ),
    "another view, and a run of all bad kinds": (
        several(change_sheet(('view: "test"', 'view: "gold"')), add_lines(*LINES)),
        [
            "submission.yaml:L(view): data / test collection / view: found 'gold'; accepted is test",
            *OF_LINES,
        ],
    ),
    "no corpus where it should be": (
        change_sheet(('source: "', 'source: "/nowhere')),
        [
            "submission.yaml:L(source): the corpus '/nowhereCORPUS' cannot be read (/nowhereCORPUS: no such corpus folder); "
            "--corpus names another place"
        ],
    ),
    "no corpus, and a run of all bad kinds": (
        several(change_sheet(('source: "', 'source: "/nowhere')), add_lines(*LINES)),
        [
            "submission.yaml:L(source): the corpus '/nowhereCORPUS' cannot be read (/nowhereCORPUS: no such corpus folder); "
            "--corpus names another place",
            *(told for told in OF_LINES if " is not in corpus" not in told),
        ],
    ),
    "no source, and a run of all bad kinds": (
        several(
            lambda folder: sheet(folder).write_text(re.sub("source: .*", "source:", sheet(folder).read_text())),
            add_lines(*LINES),
        ),
        [
            "submission.yaml:L(source): names no source of the corpus; fill in data / test collection / source, "
            "or give --corpus",
            *(told for told in OF_LINES if " is not in corpus" not in told),
        ],
    ),
    "problems everywhere": (
        several(
            change_sheet(("tag: overlap", "tag:"), ("automatic: true", "automatic:")),
            add_lines("q1 Q0 d99 5 0.4 overlap"),
        ),
        [
            "submission.yaml:3: tag must be filled in: short name of the system, as a leaderboard shows it",
            "submission.yaml:L(automatic): method / automatic must be filled in: true: no person wrote queries or touched "
            "results for this run",
            "run.trec:11: document 'd99' is not in corpus",
        ],
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_bundle_gets_the_complete_list_of_its_problems_and_exit_2(name, bundle, corpus_folder, command):
    change, wanted = MALFORMED[name]
    change(bundle)
    text = sheet(bundle).read_bytes().decode("utf-8", "replace") if sheet(bundle).exists() else ""
    lines = {}
    for number, line in enumerate(text.splitlines(), 1):
        lines.setdefault(line.partition(":")[0].strip(), number)
    if "test collection" in lines:  # the name, version and sha256 meant are those of the corpus
        after = text.splitlines()[lines["test collection"] :]
        lines |= {
            key: lines["test collection"] + 1 + i
            for i, key in enumerate(row.partition(":")[0].strip() for row in after[:5])
        }
    wanted = [
        re.sub(r"L\(([^)]*)\)", lambda m: str(lines[m[1]]), line).replace("CORPUS", str(corpus_folder))
        for line in wanted
    ]
    done = (
        command("submit", "check", bundle, "--corpus", corpus_folder, "--json")
        if not text
        else command("submit", "check", bundle, "--json")
    )
    assert done.code == 2
    found = json.loads(done.stdout)
    listed = [f"{os.path.relpath(p['where'], bundle)}: {p['message']}".removeprefix(".: ") for p in found["problems"]]
    assert listed == wanted
    assert not found["ok"]


def test_there_are_twenty_malformed_bundles_and_more():
    assert len(MALFORMED) >= 20


@pytest.mark.parametrize("verb", ["score", "seal"])
def test_a_bundle_with_problems_is_neither_scored_nor_sealed(bundle, command, tmp_path, verb):
    add_lines("q1 Q0 d99 5 0.4 x", "q1 Q0 d98 5 0.4 x")(bundle)
    more = ["-o", tmp_path / "out"] if verb == "score" else []
    done = command("submit", verb, bundle, *more)
    assert done.code == 2
    assert (
        f"error: {bundle}/run.trec:11: document 'd99' is not in corpus; 1 more: evalsuite submit check" in done.stderr
    )
    assert not (tmp_path / "out").exists()
    assert {path.name for path in bundle.iterdir()} == {"run.trec", "submission.yaml"}


def test_text_and_json_tell_the_same(bundle, command):
    add_lines(*LINES)(bundle)
    text = command("submit", "check", bundle)
    plain = json.loads(command("submit", "check", bundle, "--json").stdout)
    assert text.stdout.splitlines()[:-1] == [
        f"{kind[:-1]}: {f['where']}: {f['message']}" for kind in ("problems", "warnings") for f in plain[kind]
    ]
    assert text.stdout.splitlines()[-1] == f"{bundle}: 10 problems, 0 warnings"


def test_a_version_that_looks_like_a_number_stays_as_it_is_written(tmp_path):
    corpus = write_beir(tmp_path / "corpus")
    (corpus / "corpus.yaml").write_text('version: "1.10"\n')
    assert check(bundle_of(tmp_path / "quoted", corpus)).problems == []
    folder = bundle_of(tmp_path / "plain", corpus)
    edit(sheet(folder), '"1.10"', "1.10")
    assert check(folder).problems == []
    assert check(folder).sheet.of_corpus("version") == "1.10"


def test_keys_of_ones_own_stand_inside_the_groups(bundle):
    edit(sheet(bundle), "team: a team", "team: a team\n  orcid: 0000\n  roles: {lead: me}")
    assert check(bundle).problems == []


def test_a_folder_that_is_not_there_is_told(command, tmp_path):
    done = command("submit", "check", tmp_path / "none")
    assert (done.code, done.stdout) == (2, "")
    assert "no such folder; a bundle is a folder with submission.yaml and a run file" in done.stderr


def test_the_corpus_may_lie_elsewhere(bundle, corpus_folder, tmp_path):
    moved = shutil.move(corpus_folder, tmp_path / "moved" / "corpus")
    assert [f.rule for f in check(bundle).problems] == ["corpus"]
    assert check(bundle, corpus=str(moved)).problems == []


# ---------------------------------------------------------------- reading all problems of a run file


def test_the_first_problem_is_still_raised_where_one_is_enough(corpus_folder, bundle):
    add_lines(*LINES)(bundle)
    with pytest.raises(InputError, match=r"run.trec:11: document 'd99' is not in corpus"):
        evaluate(corpus_folder, f"runfile:{run_file(bundle)}", depth=None, out=bundle.parent / "out")


def test_a_bad_first_line_is_no_measure_for_the_others(corpus_folder, tmp_path):
    folder = bundle_of(tmp_path / "b", corpus_folder, "a\tb\tc\td\n" + as_tsv(), "run.tsv")
    assert told(check(folder).problems, folder) == [
        f"run.tsv:1: has 4 columns between TABs; found 'a\\tb\\tc\\td'; {NEEDED}, or TAB-separated qid docid score (3)"
    ]


def test_nor_is_a_first_line_without_any_separator(corpus_folder, tmp_path):
    folder = bundle_of(tmp_path / "b", corpus_folder, "#made-by-us\n" + as_tsv(), "run.tsv")
    assert told(check(folder).problems, folder) == [
        f"run.tsv:1: has 1 column between spaces; found '#made-by-us'; {NEEDED}, or TAB-separated qid docid score (3)"
    ]


# ---------------------------------------------------------------- a corpus without a name of its own


def test_without_a_card_the_content_decides_and_not_the_name_of_the_folder(bundle, corpus_folder, tmp_path, command):
    moved = shutil.move(corpus_folder, tmp_path / "beir-download")
    for verb in ("check", "score", "seal"):
        more = ["-o", tmp_path / "out"] if verb == "score" else []
        done = command("submit", verb, bundle, "--corpus", moved, *more)
        assert done.code == 0, done.stdout + done.stderr
    assert read_seal(bundle).corpus.name == "corpus"
    again = shutil.move(moved, tmp_path / "elsewhere")
    assert command("verify", bundle, "--corpus", again).code == 0


def test_a_name_on_a_card_decides(bundle, corpus_folder):
    (corpus_folder / "corpus.yaml").write_text("name: another\n")
    assert told(check(bundle).problems, bundle)[0].endswith(f"the corpus at {corpus_folder} has name another")


def test_queries_that_other_views_judge_are_known_to_a_bundle_with_a_wrong_view(tmp_path):
    views = {"dev": [("q1", "d5", 1)], "train": [("q2", "d2", 1), ("q3", "d4", 1)]}
    folder = write_beir(tmp_path / "corpus", **views)
    (tmp_path / "run.trec").write_text("q2 Q0 d2 1 1 x\nq2 Q0 d9 2 0.5 x\n")
    new(tmp_path / "b", str(folder), run=tmp_path / "run.trec", view="dev")
    fill(tmp_path / "b")
    edit(sheet(tmp_path / "b"), 'view: "dev"', 'view: "test"')
    assert [line.partition(": ")[2] for line in told(check(tmp_path / "b").problems, tmp_path / "b")] == [
        "data / test collection / view: found 'test'; accepted is dev, train",
        "document 'd9' is not in corpus",
    ]

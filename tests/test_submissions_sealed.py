"""Sealed bundles: what anyone with the corpus derives again, and that not one byte can change unseen."""

import contextlib
import gzip
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bundlekit import RUN, bundle_of, edit
from conftest import QRELS, write_beir
from searchapp import serving

from evalsuite.errors import RunError, UsageError
from evalsuite.retrieval.seals import read_seal, seal, verify
from evalsuite.summary import read_summary


@pytest.fixture
def sealed(corpus_folder, tmp_path):
    folder = bundle_of(tmp_path / "bundle", corpus_folder)
    seal(folder)
    return folder


def wrong(folder, **options):
    report = verify(folder, **options)
    assert report["ok"] is not bool(report["mismatches"])
    return [mismatch["what"] for mismatch in report["mismatches"]]


def test_a_seal_has_hashes_versions_and_numbers(sealed, corpus_folder):
    found = read_seal(sealed)
    [run_folder] = (sealed / "scored").iterdir()
    summary = read_summary(run_folder)
    assert found.measures == summary.measures
    assert found.protocol == summary.protocol
    assert (found.run.file, found.run.queries, found.run.documents) == ("run.trec", 3, 10)
    assert (found.corpus.name, found.corpus.version, found.corpus.view) == ("corpus", "unversioned", "test")
    assert found.suite.keys() == {"name", "version"}
    assert found.warnings[0].startswith("3 of 3 queries rank fewer than 100 documents")
    kept = {path.relative_to(sealed).as_posix() for path in sealed.rglob("*") if path.is_file()}
    assert found.files.keys() == kept - {"seal.json"}


def test_it_verifies_where_it_was_made(sealed, command):
    done = command("verify", sealed, "--json")
    assert done.code == 0
    report = json.loads(done.stdout)
    assert (report["ok"], report["mismatches"]) == (True, [])
    assert report["checked"] > 100


def test_it_verifies_on_another_machine_with_a_copy_of_the_corpus_elsewhere(sealed, corpus_folder, tmp_path):
    """Moved, packed and unpacked, the old places gone, in a process of its own from another folder."""
    packed = shutil.make_archive(str(tmp_path / "sent"), "zip", sealed)
    there = tmp_path / "another machine" / "é"
    shutil.unpack_archive(packed, there / "received")
    shutil.move(corpus_folder, there / "data" / "corpus")
    shutil.rmtree(sealed)
    command = [
        sys.executable,
        "-c",
        "from evalsuite.cli import main; main()",
        "verify",
        "received",
        "-c",
        "data/corpus",
    ]
    done = subprocess.run(command, cwd=there, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("received: ok, ")


def test_without_the_corpus_it_says_how_to_name_it(sealed, corpus_folder, tmp_path, command):
    shutil.move(corpus_folder, tmp_path / "away")
    done = command("verify", sealed)
    assert done.code == 2
    assert "the corpus corpus unversioned cannot be read: " in done.stderr
    assert "--corpus says where it is" in done.stderr


def test_every_flipped_byte_of_every_file_is_caught_and_the_file_is_named(sealed):
    """First, last and six places between in each file; the lowest bit, or the one that makes a capital of a letter."""
    dice = random.Random(8)
    files = sorted(path for path in sealed.rglob("*") if path.is_file())
    assert {path.name for path in files} >= {"run.trec", "submission.yaml", "seal.json", "results.jsonl", "run.json"}
    for path in files:
        content = path.read_bytes()
        places = {0, len(content) - 1, *dice.sample(range(len(content)), min(6, len(content)))}
        for place in sorted(places):
            flipped = bytearray(content)
            flipped[place] ^= dice.choice([1, 32])
            path.write_bytes(flipped)
            found = wrong(sealed)
            name = path.relative_to(sealed).as_posix()
            assert any(what.startswith(name) for what in found), (name, place, found)
        path.write_bytes(content)
    assert wrong(sealed) == []


def test_spaces_and_line_breaks_of_a_seal_are_bytes_too(sealed):
    content = (sealed / "seal.json").read_bytes()
    for changed in (content + b"\n", content.replace(b"  ", b" ", 1), json.dumps(json.loads(content)).encode()):
        (sealed / "seal.json").write_bytes(changed)
        assert wrong(sealed) == ["seal.json bytes"]


def test_a_number_that_is_changed_with_its_hash_is_found_by_deriving_it(sealed):
    found = read_seal(sealed)
    found.measures["nDCG@10"].mean += 0.1
    (sealed / "seal.json").write_bytes(found.closed().encoded())
    assert wrong(sealed) == ["measures nDCG@10 mean"]


def test_so_is_every_other_claim(sealed):
    """A forger who hashes the seal again is found out by whatever the claim is about."""
    good = read_seal(sealed)
    claims = {
        "tag": ("tag", "better"),
        "team": ("team", "other"),
        "track": ("track", "query"),
        "corpus": ("corpus", good.corpus.model_copy(update={"version": "9"})),
        "protocol": ("protocol", "0" * 12),
        "queries in the run": ("run", good.run.model_copy(update={"queries": 9})),
        "documents in the run": ("run", good.run.model_copy(update={"documents": 9})),
        "seal.json run file": (
            "run",
            good.run.model_copy(update={"file": next(name for name in good.files if name.endswith("run.trec.gz"))}),
        ),
        "run.trec as the run": ("run", good.run.model_copy(update={"sha256": "0" * 64})),
        "missing_queries": ("missing_queries", ["q1"]),
        "warnings": ("warnings", []),
        "n_queries": ("n_queries", 4),
    }
    for named, (key, value) in claims.items():
        (sealed / "seal.json").write_bytes(good.model_copy(update={key: value}).closed().encoded())
        assert any(named in what for what in wrong(sealed)), named


def test_a_better_run_under_the_old_numbers_is_caught(sealed):
    better = RUN.replace("q3 Q0 d1 1", "q3 Q0 d4 1").replace("q3 Q0 d4 2", "q3 Q0 d1 2")
    (sealed / "run.trec").write_text(better)
    found = wrong(sealed)
    assert {"run.trec", "run.trec as the run", "measures nDCG@10 mean", "query q3 nDCG@10"} <= set(found)


def test_files_added_and_taken_away_are_named(sealed):
    (sealed / "notes.txt").write_text("x")
    [summary] = sealed.glob("scored/*/summary.json")
    summary.unlink()
    report = verify(sealed)
    named = {m["what"]: (m["stored"], m["derived"]) for m in report["mismatches"]}
    assert named["notes.txt"][0] == "not in the seal"
    assert named[summary.relative_to(sealed).as_posix()][1] == "missing"


def test_a_file_behind_a_link_is_no_file_of_the_bundle(sealed, tmp_path):
    (sealed / "run.trec").rename(tmp_path / "run.trec")
    (sealed / "run.trec").symlink_to(tmp_path / "run.trec")
    report = verify(sealed)
    assert {"what": "run.trec", "stored": read_seal(sealed).files["run.trec"], "derived": "not a plain file"} in report[
        "mismatches"
    ]


def test_other_judgements_are_another_corpus(sealed, tmp_path):
    other = write_beir(tmp_path / "other" / "corpus", test=[*QRELS[:-1], ("q3", "d1", 1)])
    found = wrong(sealed, corpus=str(other))
    assert "corpus sha256" in found
    assert "measures nDCG@10 mean" in found


def test_a_corpus_whose_ids_are_others_is_told_not_raised(sealed, tmp_path):
    documents = [{"_id": f"x{i}", "text": f"text {i}"} for i in range(3)]
    other = write_beir(
        tmp_path / "other" / "corpus", documents, test=[("q1", "x1", 1), ("q2", "x1", 1), ("q3", "x1", 1)]
    )
    found = wrong(sealed, corpus=str(other))
    assert "corpus sha256" in found
    assert any(what.startswith("the numbers: ") for what in found)


def test_exit_3_and_every_mismatch_in_words(sealed, command):
    edit(sealed / "submission.yaml", "team: a team", "team: b team")
    done = command("verify", sealed)
    assert done.code == 3
    lines = done.stdout.splitlines()
    assert lines[0].startswith("submission.yaml: stored ")
    assert lines[1] == "submission.yaml team: stored a team, derived b team"
    assert lines[-1].startswith(f"{sealed}: MISMATCH, ")


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b'{"seal_version": 1}'])
def test_a_seal_that_is_none_is_a_mismatch(sealed, content):
    (sealed / "seal.json").write_bytes(content)
    [what] = wrong(sealed)
    assert what.startswith("seal.json: ")


def test_a_bundle_without_a_seal_says_how_to_get_one(corpus_folder, tmp_path, command):
    folder = bundle_of(tmp_path / "bundle", corpus_folder)
    done = command("verify", folder)
    assert done.code == 2
    assert "is not sealed: it has no seal.json; evalsuite submit seal makes one" in done.stderr
    with pytest.raises(RunError, match="is not sealed"):
        read_seal(folder)


def test_a_corpus_is_none_of_a_run_folders_options(sealed, command):
    [run_folder] = (sealed / "scored").iterdir()
    assert command("verify", run_folder).code == 0
    done = command("verify", run_folder, "--corpus", "x")
    assert done.code == 2
    assert "--corpus belongs to a bundle" in done.stderr


def test_sealing_again_replaces_seal_and_scores(sealed):
    first = read_seal(sealed)
    edit(sealed / "submission.yaml", "tag: overlap", "tag: renamed")
    assert "submission.yaml" in wrong(sealed)
    seal(sealed)
    assert wrong(sealed) == []
    [run_folder] = (sealed / "scored").iterdir()
    assert "renamed" in run_folder.name
    assert read_seal(sealed).measures == first.measures


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("again", [False, True])
def test_a_seal_that_is_interrupted_anywhere_leaves_the_bundle_as_it_was(
    corpus_folder, tmp_path, monkeypatch, again, late
):
    """Ctrl-C at each file or folder that is put in its place, before or after it is."""
    made = bundle_of(tmp_path / "bundle", corpus_folder)
    if again:
        seal(made)
        edit(made / "submission.yaml", "tag: overlap", "tag: renamed")
    before = contents(made)
    moves = {name: getattr(Path, name) for name in ("rename", "replace")}

    def stopping(name):
        def move(self, target):
            nonlocal left
            left -= 1
            if left == 0 and not late:
                raise KeyboardInterrupt
            moved = moves[name](self, target)
            if left == 0:
                raise KeyboardInterrupt
            return moved

        return move

    for n in range(1, 100):
        folder, left = shutil.copytree(made, tmp_path / str(n)), n
        with monkeypatch.context() as patched:
            for name in moves:
                patched.setattr(Path, name, stopping(name))
            with contextlib.suppress(KeyboardInterrupt):
                seal(folder)
        if contents(folder) != before:  # it was done
            break
    assert wrong(folder) == []
    assert n > 8


@pytest.mark.parametrize("limit", [300, 2000, 4000])
def test_a_disk_that_is_full_leaves_the_seal_and_the_scores_as_they_were(sealed, limit):
    """Files of more than `limit` bytes cannot be written."""
    before = contents(sealed)
    command = (
        f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit})); "
        "from evalsuite.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", command, "submit", "seal", str(sealed)], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert contents(sealed) == before
    assert wrong(sealed) == []


def test_the_command_seals_and_shows_the_numbers(corpus_folder, tmp_path, command):
    folder = bundle_of(tmp_path / "bundle", corpus_folder)
    done = command("submit", "seal", folder)
    assert done.code == 0
    assert done.stdout.splitlines()[0].startswith("nDCG@10 0.")
    plain = json.loads(command("submit", "seal", folder, "--json").stdout)
    assert plain["measures"]["nDCG@10"]["mean"] == read_seal(folder).measures["nDCG@10"].mean


# ---------------------------------------------------------------- a live system into a bundle


@pytest.fixture(scope="module")
def service():
    with serving() as running:
        yield running


@pytest.fixture
def live(corpus_folder, tmp_path, service, command):
    """A bundle whose run was made by a service."""
    folder = bundle_of(tmp_path / "live-bundle", corpus_folder)
    (folder / "run.trec").unlink()
    done = command("submit", "score", folder, "--endpoint", f"{service.url}/good", "--json")
    assert done.code == 0, done.stderr
    return folder, json.loads(done.stdout)[0]


def test_a_live_run_is_kept_with_its_latencies_sealed_and_verified(live):
    folder, scored = live
    assert {path.name for path in folder.iterdir()} == {"submission.yaml", "run.trec.gz", "live"}
    made, _, _ = seal(folder)
    assert made.measures["nDCG@10"].mean == scored["measures"]["nDCG@10"]["mean"]
    assert scored["usage"]["seconds_per_query"]["p99"] > 0
    assert any(name.startswith("live/") for name in made.files)
    assert wrong(folder) == []


def test_a_live_run_under_another_ranking_is_a_problem(live, command):
    folder, _ = live
    (folder / "run.trec.gz").write_bytes(gzip.compress(RUN.encode()))
    done = command("submit", "check", folder)
    assert done.code == 2
    assert "run.trec.gz: is the run of none of the live runs in live/" in done.stdout


def test_a_run_that_is_there_is_not_replaced_by_a_live_one(corpus_folder, tmp_path, service, command):
    folder = bundle_of(tmp_path / "bundle", corpus_folder)
    done = command("submit", "score", folder, "--endpoint", f"{service.url}/good")
    assert done.code == 2
    assert "holds a run file already, run.trec" in done.stderr
    assert (folder / "run.trec").read_text() == RUN


def test_a_live_run_that_fails_leaves_no_run_and_may_be_tried_again(corpus_folder, tmp_path, service, command):
    folder = bundle_of(tmp_path / "bundle", corpus_folder)
    (folder / "run.trec").unlink()
    assert command("submit", "score", folder, "--endpoint", f"{service.url}/nan").code == 3
    assert not list(folder.glob("run.*"))
    assert command("submit", "score", folder, "--endpoint", f"{service.url}/good").code == 0
    seal(folder)
    assert wrong(folder) == []


def test_a_retriever_by_name_is_scored_into_a_bundle_too(corpus_folder, tmp_path, command):
    folder = bundle_of(tmp_path / "bundle", corpus_folder)
    (folder / "run.trec").unlink()
    assert command("submit", "score", folder, "--retriever", "bm25").code == 0
    assert seal(folder)[0].run.file == "run.trec.gz"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name a bundle, or a live system"),
        (["--endpoint", "http://127.0.0.1:1", "--model", "x"], "exclude each other"),
        (["--retriever", "bm25"], "a live system needs a corpus"),
        (["BUNDLE", "--view", "test"], "--view belongs to a live system"),
        (["BUNDLE", "--retriever", "bm25", "--view", "gold"], "holds a run file already"),
    ],
)
def test_what_makes_no_sense_together_is_said(corpus_folder, tmp_path, command, arguments, message):
    folder = bundle_of(tmp_path / "bundle", corpus_folder)
    done = command("submit", "score", *[folder if item == "BUNDLE" else item for item in arguments])
    assert done.code == 2
    assert message in done.stderr


# ---------------------------------------------------------------- MTEB


def test_the_export_has_the_keys_of_mtebs_task_result_and_trec_evals_numbers(sealed, tmp_path, command):
    """The keys, and their order, are those that TaskResult.to_disk of mteb 2.26.24 writes; it reads the file as it is."""
    target = tmp_path / "result.json"
    done = command("submit", "export", sealed, "--mteb", target, "--task", "SmallRetrieval")
    assert done.code == 0
    result = json.loads(target.read_text())
    assert list(result) == [
        "dataset_revision",
        "task_name",
        "mteb_version",
        "scores",
        "evaluation_time",
        "kg_co2_emissions",
        "date",
        "evaluation_phases",
    ]
    [entry] = result["scores"]["test"]
    numbers = read_seal(sealed).measures
    same = {"ndcg_at_10": "nDCG@10", "recall_at_100": "R@100", "mrr_at_10": "RR@10", "precision_at_10": "P@10"}
    for theirs, ours in same.items():
        assert entry[theirs] == pytest.approx(numbers[ours].mean, abs=1e-6)
    assert entry["map_at_1000"] == pytest.approx(numbers["AP"].mean, abs=1e-6)
    assert entry["main_score"] == entry["ndcg_at_10"]
    assert (entry["hf_subset"], entry["languages"]) == ("default", ["eng-Latn"])
    assert (result["task_name"], result["dataset_revision"]) == ("SmallRetrieval", read_seal(sealed).corpus.sha256)


def test_a_result_may_be_written_again_but_nothing_else_is_written_over(sealed, tmp_path, command):
    target = tmp_path / "result.json"
    assert command("submit", "export", sealed, "--mteb", target).code == 0
    first = target.read_bytes()
    assert command("submit", "export", sealed, "--mteb", target).code == 0
    assert target.read_bytes() == first
    (tmp_path / "link.json").symlink_to(sealed / "seal.json")
    for name, content in {
        "notes.txt": b"mine",
        "a.json": b'{"task_name": "x"}',
        "b.json": b"[1]",
        "c.json": b"",
    }.items():
        (tmp_path / name).write_bytes(content)
    before = contents(tmp_path)
    for name in ("notes.txt", "a.json", "b.json", "c.json"):
        done = command("submit", "export", sealed, "--mteb", tmp_path / name)
        assert (done.code, done.stdout) == (2, "")
        assert done.stderr == (
            f"error: {tmp_path / name}: is there already and is no result of MTEB's; name a new file\n"
        )
    [run_folder] = (sealed / "scored").iterdir()
    inside = [sealed / "submission.yaml", sealed / "new.json", run_folder / "run.json", tmp_path / "link.json"]
    for place in inside:
        done = command("submit", "export", sealed, "--mteb", place)
        assert (done.code, done.stdout) == (2, "")
        assert done.stderr == f"error: {place}: lies in the bundle {sealed}; name a file outside of it\n"
    assert contents(tmp_path) == before


def test_a_folder_is_no_file_to_export_to(sealed, tmp_path):
    from evalsuite.retrieval.mtebresult import export

    with pytest.raises(UsageError, match="is a folder; name the JSON file to write"):
        export(sealed, tmp_path)

"""Harness as a variable: the crossed model, grids through run folders, and what the report says of scripted agents."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from labkit import write_task

from evalsuite.errors import UsageError
from evalsuite.lab.evaluate import run
from evalsuite.records import Rate
from evalsuite.reporting.griddata import Cells
from evalsuite.reporting.grids import Cell, _dominated, _helps, grid
from evalsuite.statistics import best_minus_worst, crossed_components, variance_components

EVALSUITE = str(Path(sys.executable).parent / "evalsuite")
SOURCES = ("model", "harness", "model x harness", "task", "task x system", "trial")

# ---------------------------------------------------------------- the model


def table(rng, n_tasks, model, harness, *, both=0.0, task=0.12, system=0.05, trials=2, criteria=20):
    """Shares of criteria passed [task, model, harness, trial] with planted effects of models and harnesses on the rate."""
    shape = (n_tasks, len(model), len(harness))
    effects = np.asarray(model)[None, :, None] + np.asarray(harness)[None, None, :] + both
    rates = 0.5 + effects + rng.normal(0, task, (n_tasks, 1, 1)) + rng.normal(0, system, shape)
    return rng.binomial(criteria, np.clip(rates, 0.02, 0.98)[..., None], (*shape, trials)) / criteria


PLANTED = {
    "both": ([-0.08, 0.08], [-0.1, -0.03, 0.03, 0.1], 0.0),
    "harness alone": ([0.0, 0.0, 0.0], [-0.1, 0.0, 0.1], 0.0),
    "together": ([-0.05, 0.0, 0.05], [-0.05, 0.0, 0.05], 0.08 * np.array([[1, -1, 0], [-1, 1, 0], [0, 0, 0]])),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_effects_are_recovered_and_lie_within_the_intervals(name):
    model, harness, both = PLANTED[name]
    size = (len(model) - 1) * (len(harness) - 1)
    truth = {
        "model": np.var(model, ddof=1),
        "harness": np.var(harness, ddof=1),
        "model x harness": float((np.asarray(both) ** 2).sum()) / size,
        "task": 0.12**2 + 0.05**2 / (len(model) * len(harness)),  # the mean over these systems is the task's
        "task x system": 0.05**2,
    }
    rng = np.random.default_rng(8)
    found = [crossed_components(table(rng, 12, model, harness, both=both)) for _ in range(200)]
    for source, value in truth.items():
        held = np.mean([c[source].low <= value + 1e-9 and value <= c[source].high for c in found])
        assert held >= 0.9, (source, held)
        estimates = np.array([c[source].variance for c in found])
        assert estimates.mean() == pytest.approx(value, rel=0.12, abs=3e-4), source
    noise = np.array([c["trial"].variance for c in found])
    assert noise.mean() == pytest.approx(0.25 * 0.9 / 20, rel=0.05)


def test_without_an_effect_its_interval_holds_0_and_the_best_harness_is_no_finding():
    rng = np.random.default_rng(3)
    tables = [table(rng, 10, [0.0, 0.0], [0.0] * 4) for _ in range(200)]
    found = [crossed_components(values) for values in tables]
    for source in SOURCES[:3]:
        assert np.mean([c[source].low == 0 for c in found]) >= 0.93, source
    spreads = [best_minus_worst(values[:, 0].mean(axis=2)) for values in tables]
    assert min(spread.spread for spread in spreads) > 0
    assert np.mean([spread.low == 0 for spread in spreads]) >= 0.95


def test_the_true_spread_lies_within_its_interval():
    rng, truth = np.random.default_rng(4), 0.15
    for n_tasks in (6, 20):
        tables = [table(rng, n_tasks, [0.0], [-0.1, -0.02, 0.05])[:, 0].mean(axis=2) for _ in range(200)]
        spreads = [best_minus_worst(values) for values in tables]
        assert np.mean([spread.low <= truth <= spread.high for spread in spreads]) >= 0.93
    assert (spreads[0].best, spreads[0].worst) == (2, 0)


def test_on_one_axis_the_estimates_are_those_of_henderson():
    """With one model the design is harness x task, whose ANOVA estimates another module makes in another way."""
    values = table(np.random.default_rng(5), 9, [0.0], [-0.1, 0.0, 0.15])
    tasks, _, harnesses, _ = np.indices(values.shape).reshape(4, -1)
    factors = {"task": tasks, "harness": harnesses, "both": list(zip(tasks, harnesses, strict=True))}
    other = variance_components(values.ravel(), factors)
    found = crossed_components(values)
    assert found["harness"].variance == pytest.approx(other["harness"])
    assert found["task x system"].variance == pytest.approx(other["both"])
    assert found["trial"].variance == pytest.approx(other["residual"])


def test_what_a_design_cannot_tell_is_null_and_says_why():
    rng = np.random.default_rng(6)
    found = crossed_components(table(rng, 8, [0.0], [-0.1, 0.1], trials=1))
    assert (found["model"].variance, found["model"].note) == (None, "one model only")
    assert found["model x harness"].variance is None
    assert (found["task x system"].variance, found["trial"].note) == (None, "with task x system")
    assert found["harness"].low is not None
    few = crossed_components(table(rng, 4, [0.0, 0.1], [-0.1, 0.1]))
    assert all(c.variance is not None and c.low is None for c in few.values())
    assert few["harness"].note == "4 tasks are too few for an interval"
    assert crossed_components(table(rng, 1, [0.0, 0.1], [-0.1, 0.1]))["harness"].note == "one task only"


def test_a_negative_estimate_is_shown_as_0_and_said():
    rng = np.random.default_rng(1)
    found = [crossed_components(table(rng, 8, [0.0, 0.0], [0.0, 0.0]))["model"] for _ in range(20)]
    negative = [c for c in found if "negative" in c.note]
    assert negative and len(negative) < 20
    assert all(c.variance == 0 and c.low == 0 for c in negative)
    assert "shown as 0" in negative[0].note


def test_where_every_task_gives_the_same_no_interval_claims_to_be_certain():
    found = crossed_components(np.zeros((8, 2, 3, 2)))
    assert all(
        (c.variance, c.low, c.high) == (0, None, None) and "the same in every task" in c.note for c in found.values()
    )
    spread = best_minus_worst(np.tile([0.2, 0.4], (8, 1)))
    assert (spread.best, spread.worst, spread.low, spread.high) == (1, 0, None, None)
    assert spread.spread == pytest.approx(0.2)
    always, never, sometimes = np.ones(6), np.zeros(6), np.array([1.0, 0, 1, 0, 1, 0])
    spread = best_minus_worst(np.stack([always, never, sometimes], axis=1))
    assert (spread.spread, spread.low, spread.high) == (1, None, None)
    assert best_minus_worst(np.stack([sometimes, never, never], axis=1)).low == 0
    nearly = np.array([1.0, 1, 1, 1, 1, 0.8])
    assert best_minus_worst(np.stack([nearly, never], axis=1)).high == 1  # of shares no difference is larger


# ---------------------------------------------------------------- through run folders

WORDS = [f"point number {chr(97 + n)}" for n in range(12)]
AGENT = '''
"""An agent whose chance of each point depends on model and harness alone, and models that are never asked."""
import hashlib, os, random
from evalsuite.lab.agents import Ending

MODEL = {"function:planted:weak": -0.15, "function:planted:strong": 0.15}
HARNESS = {"minimal": (-0.1, 1000), "review": (0.15, 2000), "compact": (-0.12, 1500)}
WORDS = [f"point number {chr(97 + n)}" for n in range(12)]

def weak(messages, info): raise AssertionError
def strong(messages, info): raise AssertionError

def work(given):
    effect, tokens = HARNESS[given.profile.name]
    seed = f"{given.matter.id} {given.trial} {given.model.name} {given.profile.name}"
    if os.environ.get("BREAK") == seed:
        raise RuntimeError("the disk is full")
    chance = random.Random(int(hashlib.sha256(seed.encode()).hexdigest(), 16))
    rate = 0.5 + MODEL[given.model.name] + effect
    said = [f"The lease makes {words} of the deal." for words in WORDS if chance.random() < rate]
    (given.workspace.output / "memo.md").write_text("\\n\\n".join(said) + "\\n.")
    return Ending("done", turns=1, tokens={"input": tokens, "output": 10}, cost=None)

work.needs_model = True
'''


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with eight tasks and the planted agent; commands run in it."""
    folder = tmp_path_factory.mktemp("grid")
    (folder / "planted.py").write_text(AGENT)
    criteria = [(f"C-{n:03}", words, f"PASS if the memo has {words}.", words) for n, words in enumerate(WORDS)]
    for number in range(8):
        write_task(folder / "tasks" / "area" / f"matter-{number}", checks=True, criteria=criteria)
    return folder


def evalsuite(place, *line, code=0, **environment):
    done = subprocess.run(
        [EVALSUITE, "lab", "grid", *line, *([] if "--from" in line else ["--cache", "cache"])],
        cwd=place,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
    )
    assert done.returncode == code, done.stderr[-3000:]
    return done


LINE = ("tasks", "--agents", "planted:work", "--models", "function:planted:weak,function:planted:strong")


@pytest.fixture(scope="module")
def worked(place):
    """The whole grid by the command line: its JSON."""
    line = (*LINE, "--profiles", "minimal,review,compact", "--trials", "2", "-o", "out", "--json")
    return json.loads(evalsuite(place, *line).stdout)


def test_a_grid_of_scripted_agents_recovers_what_was_planted(worked):
    assert worked["models"] == ["function:planted:weak", "function:planted:strong"]
    assert (worked["harnesses"], worked["baseline"]) == (["minimal", "review", "compact"], "minimal")
    assert (len(worked["tasks"]), worked["trials"], worked["left_out"]) == (8, 2, [])
    shares = {row["source"]: row for row in worked["components"]["criterion_rate"]}
    assert tuple(shares) == SOURCES
    truth = {"model": 0.045, "harness": np.var([-0.1, 0.15, -0.12], ddof=1), "model x harness": 0.0}
    for source, value in truth.items():
        assert shares[source]["low"] <= value <= shares[source]["high"], source
    assert shares["model"]["low"] > 0.01 and shares["harness"]["low"] > 0.005
    assert sum(row["share"] for row in shares.values()) == pytest.approx(1)
    spreads = {row["model"]: row for row in worked["spreads"] if row["measure"] == "criterion_rate"}
    assert all(row["low"] <= 0.27 <= row["high"] and row["best"] == "review" for row in spreads.values())
    assert set(spreads) == {*worked["models"], None}


def test_the_harness_that_helps_is_named_and_the_dominated_one_too(worked):
    assert worked["helped_by"] == dict.fromkeys(worked["models"], "review")
    helps = {(row["model"], row["harness"]): row for row in worked["helps"] if row["measure"] == "criterion_rate"}
    assert len(helps) == 4
    assert {row["told"] for (_, harness), row in helps.items() if harness == "review"} == {1}
    assert all(row["p_corrected"] >= row["p"] for row in helps.values())
    everywhere = [row for row in worked["dominated"] if row["model"] is None]
    assert [(row["harness"], row["by"], row["unit"]) for row in everywhere] == [("compact", "minimal", "tokens")]
    assert (everywhere[0]["spends"], everywhere[0]["by_spends"]) == (1510, 1010)
    assert everywhere[0]["low"] < 0 < everywhere[0]["high"] and not everywhere[0]["told"]
    assert "review" not in {row["harness"] for row in worked["dominated"]}


def test_cells_are_ordinary_runs_and_from_reports_on_them_again(place, worked):
    folders = [cell["run"] for cell in worked["cells"]]
    assert len(folders) == 6 and all((place / folder / "run.json").exists() for folder in folders)
    assert all(re.fullmatch("[0-9a-f]{64}", cell["results_sha256"]) for cell in worked["cells"])
    assert json.loads(evalsuite(place, "--from", *folders, "--json").stdout) == worked
    shown = evalsuite(place, "--from", "out", "--baseline", "compact").stdout
    assert "where the spread of criterion rate comes from" in shown
    assert "against compact" in shown and "review helps it most" in shown
    assert "dominated over all models: compact by minimal" in shown
    assert "by the means, cannot be told; 1,510 against 1,010 tokens a trial" in shown


def test_a_grid_with_a_hole_or_a_cell_twice_is_refused(place, worked):
    folders = [place / cell["run"] for cell in worked["cells"]]
    with pytest.raises(UsageError, match="has holes: there is no run of function:planted:strong with compact;"):
        grid(folders[:-1])
    with pytest.raises(UsageError, match="needs two models or two harnesses; found function:planted:weak with minimal"):
        grid(folders[:1])
    said = evalsuite(place, *LINE, "--profiles", "minimal,review", "--trials", "1", "-o", "one", "--dry-run").stdout
    assert said.count("trials: 8 over 8 tasks") == 4
    evalsuite(place, *LINE, "-p", "minimal", "--trials", "1", "-o", "one", "--json")
    with pytest.raises(
        UsageError, match=r"cannot be in one grid with .*: the numbers of trials differ: 1 and 2 a task"
    ):
        grid([folders[1], place / "one"])
    copied = place / "copied" / folders[0].name
    shutil.copytree(folders[0], copied)
    with pytest.raises(UsageError, match=r"is the same model and harness as .*; name one of the two"):
        grid([*folders, copied])
    ignored = ("-m", "x/y", "--select", "area", "-k", "2", "--max-cost", "1", "--fresh", "-o", "x", "--sandbox", "auto")
    said = evalsuite(place, "--from", "out", *ignored, code=2).stderr
    assert "takes no --models, --trials, --select, --max-cost, --sandbox, --out, --fresh" in said
    assert "'nobody' is no harness" in evalsuite(place, *LINE, "--baseline", "nobody", code=2).stderr


def test_agents_that_do_not_cross_are_refused_before_anything_is_spent(place):
    said = evalsuite(place, "tasks", "-a", "extractive,react", "-m", "function:planted:weak", code=2).stderr
    assert "extractive takes neither model nor profile; react takes a model and a profile" in said
    said = evalsuite(place, "tasks", "-m", "function:planted:weak", code=2).stderr
    assert "a grid needs two models or two harnesses; found 1 cell" in said


def test_a_broken_trial_leaves_its_task_out_and_is_no_fail(place):
    broken = "area/matter-3 2 function:planted:weak review"
    line = (*LINE, "-p", "minimal,review", "-o", "broken", "--json")
    done = evalsuite(place, *line, code=3, BREAK=broken)
    found = json.loads(done.stdout)
    assert "area/matter-3 is left out of every number" in done.stderr
    [entry] = found["left_out"]
    assert entry["task"] == "area/matter-3"
    assert entry["why"] == ["function:planted:weak with review: the agent broke: RuntimeError: the disk is full"]
    assert len(found["tasks"]) == 7 and {cell["criterion_rate"]["n_tasks"] for cell in found["cells"]} == {7}
    assert [cell["status"] for cell in found["cells"]].count("interrupted") == 1
    again = evalsuite(place, *line)
    assert "note: finished cells of planted:work are taken as they are" in again.stderr
    healed = json.loads(again.stdout)
    assert (healed["left_out"], len(healed["tasks"])) == ([], 8)
    before = next(cell for cell in found["cells"] if cell["status"] == "interrupted")
    assert before["run"] in [cell["run"] for cell in healed["cells"]]
    assert {cell["run"] for cell in healed["cells"]} == {cell["run"] for cell in found["cells"]}
    assert len(json.loads(evalsuite(place, "--from", "broken", "--json").stdout)["cells"]) == 4


def test_a_cell_with_more_trials_is_refused_before_anything_is_spent(place):
    one, line = [*LINE, "-k", "1", "-o", "more", "-p"], ["minimal,review"]
    evalsuite(place, *LINE, "-k", "2", "-o", "more", "-p", "minimal")
    before = sorted(path.name for path in (place / "more").iterdir())
    for dry in ([], ["--dry-run"]):
        said = evalsuite(place, *one, *line, *dry, code=2).stderr
        assert "holds more trials than asked for" in said and "name --trials 2" in said
    assert sorted(path.name for path in (place / "more").iterdir()) == before
    assert json.loads(evalsuite(place, *one, "minimal", "--json").stdout)["trials"] == 2  # all cells have as many


def test_the_baseline_is_named_as_the_report_names_it_and_that_is_known_before_anything_is_spent(place):
    (place / "other.py").write_text(
        "from planted import work as one\n\ndef work(given): one(given)\nwork.needs_model = True\n"
    )
    two = [*LINE, "-a", "other:work", "-p", "minimal,review", "-o", "named", "--dry-run"]
    labels = "planted:work minimal, planted:work review, other:work minimal, other:work review"
    for wrong in ("minimal", "planted:work"):
        assert f"they are {labels}" in evalsuite(place, *two, "--baseline", wrong, code=2).stderr
    evalsuite(place, *two, "--baseline", "other:work review")
    changed = place / "mine" / "minimal.yaml"
    changed.parent.mkdir()
    changed.write_text("extends: minimal\nabout: Another one of that name.\n")
    said = evalsuite(place, *LINE, "-p", f"minimal,{changed}", "--baseline", "minimal", "--dry-run", code=2).stderr
    [hashed, _] = re.findall(r"planted:work minimal \([0-9a-f]{8}\)", said)
    evalsuite(place, *LINE, "-p", "minimal", "-p", str(changed), "--baseline", hashed, "--dry-run")
    assert not (place / "named").exists()


def test_cells_that_other_code_made_are_told(place, worked, tmp_path):
    shutil.copytree(place / "out", tmp_path / "out")
    assert not [note for note in grid([tmp_path / "out"]).notes if "not made alike" in note]
    [path] = (tmp_path / "out").glob("*strong-review*/run.json")
    about = json.loads(path.read_text())
    about["environment"] |= {"source_sha256": "older", "sandbox": {"name": "none", "shell": False}}
    path.write_text(json.dumps(about))
    [told] = [note for note in grid([tmp_path / "out"]).notes if "not made alike" in note]
    assert "source_sha256 (" in told and "older)" in told and "sandbox.name (" in told and "python" not in told


def priced(place, target, costs):
    """The grid of `worked` where trials of these models cost what `costs` says of their tokens; the others nothing known."""
    shutil.copytree(place / "out", target)
    for folder in target.iterdir():
        lines = [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]
        for model, cost in costs.items():
            for line in lines:
                if model in folder.name and line["unit"] == "trial":
                    line["cost"] = cost(line["tokens"]["input"])
        (folder / "results.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return grid([target])


def test_what_is_spent_is_told_in_a_unit_that_is_known_for_each_model(place, worked, tmp_path):
    found = priced(place, tmp_path / "one", {"strong": lambda tokens: tokens / 1e6})
    assert {(row.model, row.unit) for row in found.dominated} >= {("function:planted:strong", "USD"), (None, "tokens")}
    assert "USD" not in {row.unit for row in found.dominated if row.model != "function:planted:strong"}
    free = priced(place, tmp_path / "two", {"strong": lambda tokens: tokens / 1e6, "weak": lambda tokens: 0.0})
    units = {row.model: row.unit for row in free.dominated}
    assert (units[None], units["function:planted:weak"]) == ("USD", "tokens")


def test_a_page_that_cannot_be_written_is_told_before_anything_is_spent_and_costs_no_table(place, worked, tmp_path):
    (tmp_path / "file").touch()
    for page in (tmp_path / "file" / "page.html", tmp_path / ("x" * 300)):
        line = (*LINE, "-p", "minimal,review", "-o", str(tmp_path / "out"), "--report", str(page))
        evalsuite(place, *line, code=2)
        assert not (tmp_path / "out").exists()
    evalsuite(place, "--from", "out", "--report", str(tmp_path / "new" / "page.html"))
    assert (tmp_path / "new" / "page.html").exists()


def crossing(n_tasks, harnesses, models):
    """Cells of a grid that was never worked, and what they spend: every harness more than the one before."""
    rate = Rate(n=n_tasks, n_tasks=n_tasks)
    cells = Cells([f"m{m}" for m in range(models)], [f"h{h}" for h in range(harnesses)], {}, 2)
    about = {"run": "", "run_id": "", "identity": "", "results_sha256": None, "status": "complete", "error": None}
    rows = [
        Cell(model=m, harness=h, criterion_rate=rate, all_pass=rate, tokens=n, cost=None, **about)
        for m in cells.models
        for n, h in enumerate(cells.harnesses)
    ]
    return cells, rows


def test_without_an_effect_no_harness_is_told_to_be_dominated_and_none_that_is_not_told_to_harm():
    rng, (cells, rows) = np.random.default_rng(9), crossing(14, 4, 2)
    told = contradicted = 0
    for _ in range(100):
        array = table(rng, 14, [0.0, 0.0], [0.0] * 4)
        found = [row for row in _dominated(cells, rows, array)[0] if row.told]
        told += bool(found)
    assert told <= 5
    effects = [0.12, 0.06, 0.0, 0.0]  # where there is one, what is told here is told against the baseline too
    for _ in range(30):
        array = table(rng, 14, [0.0, 0.1], effects)
        harms = {(row.model, row.harness) for row in _helps(cells, array, "criterion_rate", "h0") if row.told < 0}
        found = [row for row in _dominated(cells, rows, array)[0] if row.told and row.model and row.by == "h0"]
        told += len(found)
        contradicted += sum((row.model, row.harness) not in harms for row in found)
    assert told > 10 and contradicted == 0


def test_a_grid_whose_tasks_all_broke_has_no_numbers(place, tmp_path, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.syspath_prepend(str(place))
    tasks = write_task(tmp_path / "tasks" / "area" / "judged")
    outcomes = run([tasks], ["empty", "extractive"], out=tmp_path / "out", cache=tmp_path / "cache", trials=2)
    found = grid([outcome.path for outcome in outcomes])
    assert (found.tasks, found.components, found.helps) == ([], {}, [])
    assert found.dominated_unknown == "no task is graded in full"
    assert all(cell.criterion_rate.rate is None for cell in found.cells)
    assert found.models == ["(no model)"]
    with pytest.raises(UsageError, match="no harness of this grid; they are empty, extractive"):
        grid([outcome.path for outcome in outcomes], baseline="x")

"""Grading without an agent: outputs that lie in a folder, or the outputs of a run under another judge or rubric."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from evalsuite.errors import EvalsuiteError, InputError, RunError, UsageError, shown
from evalsuite.lab.agents.grader import UNREAD
from evalsuite.lab.evaluate import (
    INTERRUPTED,
    PACKAGES,
    Outcome,
    in_loop,
    missing_units,
    notes_of,
    outcome_of,
    plan_of,
    suite_of,
    told,
)
from evalsuite.lab.grading.grade import Grader, errors_for, without_checks
from evalsuite.lab.options import Options
from evalsuite.lab.task import Task, load_tasks
from evalsuite.lab.trial import examine, hashes
from evalsuite.records import CriterionResult, Manifest, TrialResult, Vote, criterion_key
from evalsuite.storage import (
    RunWriter,
    environment,
    identity,
    place_run,
    read_manifest,
    read_units,
    sha256_json,
    slug,
    trial_folder,
)


def grade(output: str | Path, task: str | Path | Task, **options: Any) -> Outcome:
    """Grade deliverables that anybody made: the files below `output`, as trial 1 of the task.

    `output` may be the folder of deliverables itself, or one that holds it as output/ or deliverables/. Links, and run
    folders that the command itself writes there, are no deliverables.
    """
    chosen = Options(**options)
    place = Path(output)
    if not place.is_dir():
        raise InputError("is not a folder of deliverables", where=str(place))
    inside = [
        found for name in ("output", "deliverables") if (found := place / name).is_dir() and not found.is_symlink()
    ]
    files = inside[0] if inside else place
    tasks = [task] if isinstance(task, Task) else load_tasks([task])
    if len(tasks) != 1:
        raise UsageError(f"{task} holds {len(tasks)} tasks; outputs are graded against one")
    sealed, refused = _handed_in(files, chosen)
    system = {"name": place.resolve().name, "agent": "outputs", "output_sha256": sha256_json(sealed)}
    trial = TrialResult(task=tasks[0].id, trial=1, stop_reason="done", finished=True, cost=None, output=sealed)
    trial.flags = [{"flag": "refused file", "where": name, "text": why} for name, why in refused.items()]
    trial.documents_total = len(tasks[0].document_files())
    notes = ["agent's cost and tokens unknown: outputs were handed in"]
    return in_loop(_graded(chosen, tasks, system, [(trial, files)], {"trials": 1}, notes), chosen)


def regrade(
    run: str | Path,
    tasks: Sequence[str | Path | Task] | None = None,
    *,
    revised: Mapping[str, str] | None = None,
    **options: Any,
) -> Outcome:
    """Grade the outputs of a run again: with another judge, rubric or profile, into a run folder of its own.

    Votes of the run whose question is the same (prompt, judge, vote number) are taken over and cost nothing; so a run that
    somebody else hands in is checked with another judge or vote number. `tasks` says where the tasks lie if they are not
    where the run found them. `revised`: the tasks are a revision, under which other verdicts must stay what they were, so
    the protocol must be the run's own; {task id: why} are tasks whose trials are left out.
    """
    chosen = Options(**options)
    source = Path(run)
    manifest = read_manifest(source)
    if manifest.kind != "lab":
        raise RunError(f"is a {manifest.kind} run; only lab runs are graded again", where=str(source))
    units = read_units(source)
    left_out = revised or {}
    trials = [u for u in units if isinstance(u, TrialResult) and u.final and u.task not in left_out]
    loaded = _tasks_of(manifest, trials, tasks, left_out)
    if manifest.system.get("agent") == "harvey-labs" and any(
        note.startswith("output/ is missing") for note in manifest.notes
    ):
        raise RunError("was imported without its output/; there is nothing to grade again", where=str(source))
    places = [(trial, trial_folder(source, trial.task, trial.trial) / "deliverables") for trial in trials]
    plan = {"trials": manifest.plan.get("trials") or max(trial.trial for trial in trials)}
    system = {
        **manifest.system,
        "regraded_from": manifest.identity or sha256_json(manifest.suite.files),
        "output_sha256": sha256_json([[trial.task, trial.trial, trial.output] for trial in trials]),
    }
    notes = [f"outputs of {source.name}, graded again"]
    notes += [f"{task} is left out: {why}" for task, why in left_out.items()]
    taken = [vote for unit in units if isinstance(unit, CriterionResult) for vote in unit.votes if vote.key]
    protocol = manifest.protocol if revised is not None else None
    return in_loop(_graded(chosen, loaded, system, places, plan, notes, taken, protocol), chosen)


def _handed_in(files: Path, options: Options) -> tuple[dict[str, str], dict[str, str]]:
    """({name: sha256} of the deliverables in a folder, {name: why} of what is none)."""
    own, inside = options.out.resolve(), files.resolve()
    if own == inside:
        raise UsageError(
            "runs are written into the folder of deliverables itself; give another --out", where=str(files)
        )
    kept = {
        name: digest
        for name, digest in hashes(files).items()
        if not (inside / name).is_relative_to(own) or inside.is_relative_to(own)
    }
    links = sorted(path.relative_to(files).as_posix() for path in files.rglob("*") if path.is_symlink())
    refused = {ascii(name)[1:-1]: "is a symbolic link" for name in links}
    refused |= {ascii(name)[1:-1]: "its name cannot be printed" for name in kept if not name.isprintable()}
    return {name: digest for name, digest in kept.items() if name.isprintable()}, refused


def _tasks_of(
    manifest: Manifest,
    trials: Sequence[TrialResult],
    tasks: Sequence[str | Path | Task] | None,
    left_out: Mapping[str, str],
) -> list[Task]:
    if not trials:
        raise RunError("holds no finished trial; finish the run first", where=manifest.run_id)
    wanted = ({trial.task for trial in trials} | set(manifest.plan.get("tasks") or ())) - left_out.keys()
    given = list(tasks) if tasks else manifest.plan.get("sources") or []
    if not given:
        raise UsageError("the run does not say where its tasks lie; give them with --tasks")
    loaded = [task for task in given if isinstance(task, Task)]
    paths = [path for path in given if not isinstance(path, Task)]
    loaded += load_tasks(paths) if paths else []
    found = [task for task in loaded if task.id in wanted]
    if missing := wanted - {task.id for task in found}:
        raise UsageError(f"no task {sorted(missing)[0]!r} in {', '.join(map(str, given))}; it is in the run")
    return found


async def _graded(
    options: Options,
    tasks: Sequence[Task],
    system: Mapping[str, Any],
    places: Sequence[tuple[TrialResult, Path]],
    plan: dict[str, Any],
    notes: list[str],
    taken: Sequence[Vote] = (),
    protocol: Mapping[str, Any] | None = None,
) -> Outcome:
    """Copy the outputs into a run folder and grade them there. `taken`: votes that need not be asked for again.

    Raises UsageError where another `protocol` is asked for than the options make.
    """
    grader = options.grader()
    if protocol is not None:
        _same_protocol(protocol, grader.protocol(), judged=bool(taken))
    for judge in grader.panel.judges:
        judge.cache.taken |= {vote.key: vote for vote in taken if vote.judge == judge.name}
    by_id = {task.id: task if options.judging != "lab-compat" else without_checks(task) for task in tasks}
    manifest = Manifest(
        kind="lab",
        suite=suite_of(list(by_id.values())),
        system=dict(system),
        protocol=grader.protocol(),
        environment=environment(PACKAGES),
        plan={**plan, **plan_of(list(by_id.values()))},
        notes=[*notes, *notes_of(list(by_id.values()))],
    )
    manifest.identity = identity(manifest)
    label = f"{slug(manifest.suite.name)}-{slug(str(system['name']))}-{manifest.identity[:8]}"
    path = place_run(options.out, label, fresh=options.fresh, resume=True, reuse=True)
    if (path / "run.json").exists() and read_manifest(path).status == "complete":
        return outcome_of(path, read_manifest(path), reused=True)
    manifest.run_id = path.name
    writer = RunWriter(path, manifest)
    slots = asyncio.Semaphore(options.concurrency)

    async def one(trial: TrialResult, files: Path) -> None:
        async with slots:
            await _trial(grader, by_id[trial.task], trial, files, writer, options.place)

    try:
        await asyncio.gather(*(one(trial, files) for trial, files in places))
    except (KeyboardInterrupt, asyncio.CancelledError):
        writer.close("interrupted", error=INTERRUPTED)
        raise
    missing = missing_units(list(by_id.values()), plan["trials"], writer.done)
    error = told(writer, missing) if missing else None
    manifest = writer.close("interrupted" if missing else "complete", error=error)
    return outcome_of(path, manifest)


def _same_protocol(stored: Mapping[str, Any], chosen: Mapping[str, Any], *, judged: bool) -> None:
    """Judges may be new where no verdict is a judge's."""
    free = {"id"} if judged else {"id", "judges"}
    keys = [key for key in dict.fromkeys([*stored, *chosen]) if stored.get(key) != chosen.get(key)]
    differ = [key for key in keys if key not in free]
    if not differ:
        return
    key = differ[0]
    raise UsageError(
        f"verdicts are carried over only under the protocol that they were given under, and {key} differs: "
        f"{shown(stored.get(key), 200)} and {shown(chosen.get(key), 200)}; evalsuite lab regrade asks other judges"
    )


async def _trial(grader: Grader, task: Task, trial: TrialResult, files: Path, writer: RunWriter, cache: Path) -> None:
    folder = trial_folder(writer.path, task.id, trial.trial)
    stored = writer.done.get(trial.key)
    try:
        if isinstance(stored, TrialResult):
            trial = stored
        else:
            _copy(trial, files, folder)
            kept = [flag for flag in trial.flags if flag.get("flag") in ("refused file", UNREAD)]
            trial = trial.model_copy(update={"flags": kept})
            trial = await asyncio.to_thread(examine, trial, task, folder, trial.output, cache)
            writer.append([trial])
        await grader.grade(task, trial.trial, folder / "deliverables", trial.output, writer.done.keys(), writer.append)
    except Exception as error:
        said = error.message if isinstance(error, EvalsuiteError) else f"{type(error).__name__}: {error}"
        left = [c for c in task.criteria if criterion_key(task.id, trial.trial, c.id) not in writer.done]
        writer.append(errors_for(left, task, trial.trial, "unreadable", said))


def _copy(trial: TrialResult, files: Path, folder: Path) -> None:
    """The deliverables as the trial lists them, and its transcript. Links are not followed: what they hide is then missing."""
    shutil.rmtree(folder / "deliverables", ignore_errors=True)
    (folder / "deliverables").mkdir(parents=True)
    for name in trial.output:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise RunError(
                f"lists {shown(name)} as a deliverable, which is no name inside its folder", where=str(files)
            )
        linked = any((files / part).is_symlink() for part in (path, *path.parents))
        if not linked and (files / name).is_file():
            (folder / "deliverables" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(files / name, folder / "deliverables" / name)
    transcript = files.parent / "transcript.jsonl"
    if transcript.is_file() and not transcript.is_symlink():
        shutil.copyfile(transcript, folder / "transcript.jsonl")

"""reports/baselines/: what the suite's own retrievers and agents reach on all of corpora/ and tasks/, sealed.

baselines.py make           run all of it anew and replace reports/baselines/; what is there with the same identity is kept
baselines.py lend FOLDER    copy there what is of this very code and machine, so that a run in FOLDER need not repeat it
baselines.py check          verify every run, and every file against seal.json
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from evalsuite.errors import EvalsuiteError
from evalsuite.lab.agents import AGENTS
from evalsuite.lab.evaluate import PACKAGES as LAB_PACKAGES
from evalsuite.records import Manifest
from evalsuite.retrieval.evaluate import PACKAGES as RETRIEVAL_PACKAGES
from evalsuite.storage import environment, read_manifest, sha256_file, sha256_json, write_json
from evalsuite.summary import verify

ROOT = Path(__file__).parents[1]
PLACE = ROOT / "reports" / "baselines"
SEAL = "seal.json"

# Every built-in retriever whose model, if it has one, comes with the package. The others are in docs/baselines.md.
RETRIEVERS = [
    "bm25",
    "rank-bm25",
    "dense",
    "late:model=all-MiniLM-L6-v2",
    "hybrid:bm25+dense",
    "random",
    "prior",
]
VERIFIERS = ["recorded"]  # where a corpus has judgements/
EMBEDDED = ["extractive", "reference", "empty", "parrot", "title-echo", "injector", "stuffing"]


def say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def make(place: Path, corpora: list[Path], tasks: Path, retrievers: list[str], agents: list[str]) -> int:
    """Replace `place` by new baselines; 3, and `place` as it was, if one of them did not come out whole.

    Work is done in a hidden neighbour, which an interrupted call leaves behind for the next one to go on with.
    """
    from evalsuite.lab import evaluate as lab
    from evalsuite.retrieval.evaluate import evaluate

    work, new, old = (place.with_name(f".{place.name}-{part}") for part in ("work", "new", "old"))
    lend(place, work)
    cache = work / ".cache"
    outcomes: list[Any] = []
    for corpus in corpora:
        own = VERIFIERS if (corpus / "judgements").is_dir() else []
        outcomes += evaluate(corpus, [*retrievers, *own], out=work, cache=cache)
    if any(tasks.rglob("task.json")):
        outcomes += lab.run(tasks, agents, out=work, cache=cache)
    problems = [f"{o.path.name}: {o.manifest.error or o.manifest.status}" for o in outcomes if not _whole(o)]
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    for outcome in outcomes:
        if _whole(outcome):
            thin(outcome.path, new / outcome.path.name)
    seal(new)
    problems += check(new)
    for problem in problems:
        say(f"error: {problem}")
    if problems:
        say(f"{place} is left as it was")
        return 3
    shutil.rmtree(old, ignore_errors=True)
    if place.exists():
        place.rename(old)
    new.rename(place)
    shutil.rmtree(old, ignore_errors=True)
    shutil.rmtree(work)
    again = sum(outcome.reused for outcome in outcomes)
    size = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
    say(f"{len(outcomes)} runs -> {place} ({size / 1e6:.1f} MB); {again} of them were there already")
    return 0


def _whole(outcome: Any) -> bool:
    return outcome.manifest.status == "complete" and outcome.summary is not None


def thin(run: Path, target: Path) -> None:
    """Copy a run without what only repeats other files here; run.json names that with its hashes under `left_out`."""
    manifest = read_manifest(run)
    repeated = [name for name in manifest.files if _repeats(name, manifest)]
    left_out = {**(manifest.model_extra or {}).get("left_out", {}), **{name: manifest.files[name] for name in repeated}}
    manifest.files = {name: digest for name, digest in manifest.files.items() if name not in left_out}
    if "sources" in manifest.plan:  # where the tasks lie: here from the top of the project, in a loan where this one is
        manifest.plan["sources"] = [_near(Path(path)) for path in manifest.plan["sources"]]
    for name in ("summary.json", *manifest.files):
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(run / name, target / name)
    write_json(target / "run.json", manifest.model_dump(mode="json") | {"left_out": left_out})


def _near(path: Path) -> str:
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path)


def _repeats(name: str, manifest: Manifest) -> bool:
    """Texts of the corpus, what agents read, text extracted from deliverables, and deliverables of the audit agents."""
    if manifest.kind == "retrieval":
        return name == "artifacts/texts.jsonl.gz"
    agent = str(manifest.system.get("agent"))
    audit = AGENTS.get(agent, ("",))[0] == "audit"
    return name.startswith("artifacts/") and (audit or "/deliverables/" not in name)


def seal(place: Path) -> None:
    """Write seal.json: the hash of every other file, and of that."""
    files = {name: sha256_file(place / name) for name in _names(place)}
    content = {"kind": "baselines", "evalsuite": version("evalsuite"), "files": files}
    write_json(place / SEAL, content | {"sha256": sha256_json(content)})


def _names(place: Path) -> list[str]:
    found = (path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file())
    return sorted(name for name in found if name != SEAL)


def runs(place: Path) -> list[Path]:
    """Run folders right in `place`."""
    return sorted(path.parent for path in place.glob("*/run.json"))


def check(place: Path) -> list[str]:
    """What does not hold: a run that does not verify, a file that is not what seal.json says, missing, or not in it."""
    if not (place / SEAL).is_file():
        return [f"{place} has no {SEAL}"]
    sealed = json.loads((place / SEAL).read_bytes())
    own = sealed.pop("sha256", None)
    found = [] if own == sha256_json(sealed) else [f"{SEAL}: is not what its own sha256 was made of"]
    present = _names(place)
    for name in sorted({*sealed["files"], *present}):
        if name not in present:
            found.append(f"{name}: missing")
        elif name not in sealed["files"]:
            found.append(f"{name}: not in {SEAL}")
        elif sha256_file(place / name) != sealed["files"][name]:
            found.append(f"{name}: is not what was sealed")
    if found:
        return found
    for run in runs(place):
        found += [
            f"{run.name}: {m['what']}: stored {m['stored']}, derived {m['derived']}" for m in verify(run)["mismatches"]
        ]
    return found


def lend(place: Path, target: Path) -> int:
    """Copy the runs of this code, these packages and this machine to `target`; the number of runs copied."""
    copied = 0
    for run in usable(place):
        if not (target / run.name).exists():
            copy = target / f".{run.name}"  # under its name only once it is whole
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(run, copy)
            manifest = read_manifest(copy)
            if "sources" in manifest.plan:
                manifest.plan["sources"] = [str(ROOT / path) for path in manifest.plan["sources"]]
                write_json(copy / "run.json", manifest.model_dump(mode="json"))
            copy.rename(target / run.name)
            copied += 1
    return copied


def usable(place: Path) -> Iterator[Path]:
    """The runs that were made by this code with these packages on such a machine as this."""
    here = {kind: environment(names) for kind, names in (("retrieval", RETRIEVAL_PACKAGES), ("lab", LAB_PACKAGES))}
    for run in runs(place):
        manifest = read_manifest(run)
        told = {key: value for key, value in manifest.environment.items() if key != "sandbox"}
        if manifest.status == "complete" and told == here[manifest.kind]:
            yield run


def main(arguments: list[str]) -> int:
    match arguments:
        case ["make"]:
            corpora = sorted(path for path in (ROOT / "corpora").iterdir() if path.is_dir())
            return make(PLACE, corpora, ROOT / "tasks", RETRIEVERS, EMBEDDED)
        case ["lend", folder]:
            copied = lend(PLACE, Path(folder))
            total = len(runs(PLACE))
            say(f"{copied} of {total} baselines are of this code and machine, and new in {folder}")
            return 0
        case ["check"]:
            problems = check(PLACE)
            for problem in problems:
                say(f"error: {problem}")
            say(f"{len(runs(PLACE))} baselines, {'ok' if not problems else 'MISMATCH'}")
            return 3 if problems else 0
    say((__doc__ or "").strip())
    return 2


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except EvalsuiteError as error:
        say(f"error: {error}")
        sys.exit(2)
    except KeyboardInterrupt:
        say("interrupted; run the same command again to go on from here")
        sys.exit(130)

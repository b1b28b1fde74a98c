"""Runs what a session of tests needs, each thing once: retrievers one by one, the trials of agents together."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from evalsuite.gate.errors import GateError, GateSkipped
from evalsuite.gate.evalfile import LabGate, RetrievalGate
from evalsuite.gate.modules import at_home
from evalsuite.gate.plan import OneTrial, Overall, Pair, Planned
from evalsuite.gate.work import BROKEN, DIED, Done, EvalFile, Notes, asking, told
from evalsuite.reporting.sections import Section, read_section
from evalsuite.storage import atomic_file, sha256_json

NOT_LIVE = "would ask a model; pytest --eval-live allows it, and a recording in the eval file stands in for it"
FAULT = "fault"


@dataclass
class Session:
    """Where runs go and what they may do. `shared`: a folder through which the worker processes of pytest-xdist share."""

    out: Path
    live: bool = False
    shared: Path | None = None
    _done: dict[str, dict[str, Done]] = field(default_factory=dict)
    _sections: dict[str, Section] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.notes = Notes(self.shared)

    def pair(self, file: EvalFile, pair: Pair) -> Done:
        """The run of a corpus x retriever, which several files may name."""
        self._require(file, pair)
        gate = file.gate
        assert isinstance(gate, RetrievalGate)
        about = [pair.corpus, pair.system, file.path.parent, gate.view, gate.depth, gate.computed, gate.recording]
        how = [str(part) for part in about]
        [done] = self._once(
            how,
            lambda: {"": self._evaluated(file, gate, pair) if self.notes.begin(*how) else Done(error=DIED)},
            lock=one_at_a_time(file.path.parent / pair.corpus, pair.system),
        ).values()
        return done

    def worker(self, files: Sequence[EvalFile], file: EvalFile, item: OneTrial | Overall) -> Done:
        """The run that holds an item's trial. The first call works the selected trials of all `files`, together.

        Among several processes one does so; the others wait for it, and read what it left. If it dies, the next one goes on
        with the trials that it had not begun.
        """
        self._require(file, item)

        def work() -> dict[str, Done]:
            from evalsuite.gate.trials import work_trials

            mine = [one for one in files if isinstance(one.gate, LabGate)]
            found = work_trials(mine, self.out, self.notes, live=self.live)
            return {
                f"{one.path}::{name}": done
                for one, ended in zip(mine, found, strict=True)
                for name, done in ended.items()
            }

        return self._once(["trials"], work)[f"{file.path}::{item.worker.name}"]

    def section(self, done: Done) -> Section | None:
        """The run folder, read once: nothing of this session writes it any more."""
        if done.path is None or not (Path(done.path) / "run.json").is_file():
            return None
        if done.path not in self._sections:
            self._sections[done.path] = read_section(Path(done.path))
        return self._sections[done.path]

    @contextmanager
    def alone(self, what: Sequence[str]) -> Iterator[None]:
        """While this is held, no other process of the session holds the same."""
        if self.shared is None:
            yield
            return
        self.shared.mkdir(parents=True, exist_ok=True)
        with (self.shared / f"{sha256_json(list(what))}.lock").open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield

    def _require(self, file: EvalFile, item: Planned) -> None:
        if not file.may_run(item, self.live):
            raise GateSkipped(NOT_LIVE)

    def _once(
        self, what: Sequence[str], work: Callable[[], dict[str, Done]], lock: Sequence[str] | None = None
    ) -> dict[str, Done]:
        """What `work` gives, called once in the session, whichever process comes first; one process at a time per `lock`.

        Raises GateError, every time, where it broke: what is paid for is not begun again for the next item.
        """
        key = sha256_json(list(what))
        if key not in self._done:
            with self.alone(lock or what):
                self._done[key] = self._shared(self.shared / f"{key}.json", work) if self.shared else _kept(work)
        found = self._done[key]
        if FAULT in found:
            raise GateError(found[FAULT].error or FAULT)
        return found

    def _shared(self, record: Path, work: Callable[[], dict[str, Done]]) -> dict[str, Done]:
        if not record.exists():
            found = {name: asdict(done) for name, done in _kept(work).items()}
            with atomic_file(record, sync=False) as stream:
                stream.write(json.dumps(found).encode())
        return {name: Done(**done) for name, done in json.loads(record.read_text(encoding="utf-8")).items()}

    def _evaluated(self, file: EvalFile, gate: RetrievalGate, pair: Pair) -> Done:
        from evalsuite.retrieval.evaluate import evaluate
        from evalsuite.retrieval.retrievers import BUILTIN

        home = str(file.path.parent)  # a run is known by what it names, which is another module in another folder
        foreign = pair.system.partition(":")[0] not in BUILTIN or "function:" in pair.system
        fresh = foreign and self.notes.first(home, "home", pair.corpus, pair.system) != home
        with at_home(file.path.parent), asking(self.live):
            try:
                [outcome] = evaluate(
                    pair.corpus,
                    pair.system,
                    view=gate.view,
                    depth=gate.depth,
                    measures=gate.computed,
                    out=self.out,
                    cache=gate.recording if pair.asks else None,
                    fresh=fresh,
                )
            except BROKEN as error:
                return Done(error=told(error))
        return Done(str(outcome.path), outcome.manifest.error)


def one_at_a_time(data: object, system: object) -> list[str]:
    """What two calls have in common that may come to write one run folder: the data, by path or name, and the system."""
    named = str(data if isinstance(data, (str, Path)) else getattr(data, "name", None) or getattr(data, "id", ""))
    place = Path(named)
    return [
        str(place.resolve() if place.exists() else named),
        system if isinstance(system, str) else type(system).__name__,
    ]


def _kept(work: Callable[[], dict[str, Done]]) -> dict[str, Done]:
    try:
        return work()
    except BROKEN as error:
        return {FAULT: Done(error=told(error))}

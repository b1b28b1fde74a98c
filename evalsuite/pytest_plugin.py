"""The pytest plugin: *.eval.yaml files as tests, and fixtures of the same. Without either it does nothing."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from evalsuite.gate import OUT

if TYPE_CHECKING:
    from evalsuite.errors import EvalsuiteError
    from evalsuite.gate.judging import Judged
    from evalsuite.gate.plan import Planned
    from evalsuite.gate.running import Session
    from evalsuite.gate.work import EvalFile
    from evalsuite.lab.evaluate import Outcome as LabOutcome
    from evalsuite.retrieval.evaluate import Outcome

SUFFIXES = (".eval.yaml", ".eval.yml")
PREFIX = "evalsuite."
AGAIN = "again"
"""The outcome of an item whose worker died: another worker says what it comes to."""
MARKERS = (
    "area(name): area of law of a task in an eval file; -m 'area(name=\"corporate-ma\")'",
    "mechanism(name): mechanism of a corpus in an eval file; -m 'mechanism(name=\"descriptive\")'",
    'cost(kind): of an item of an eval file, "paid" if it would ask a model, else "free"; -m \'cost(kind="free")\'',
)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("evalsuite", "evaluations (*.eval.yaml)")
    group.addoption("--eval-live", action="store_true", help="let systems and judges of evaluations ask their models")
    group.addoption("--eval-out", metavar="FOLDER", help=f"folder for the run folders [default: {OUT} in the rootdir]")
    group.addoption("--eval-report", metavar="FILE", help="write an HTML page about the runs of this session")


def pytest_configure(config: pytest.Config) -> None:
    for line in MARKERS:
        config.addinivalue_line("markers", line)
    config.pluginmanager.register(_Summary(config), "evalsuite-summary")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if file_path.name.endswith(SUFFIXES):
        return GateFile.from_parent(parent, path=file_path)
    return None


def pytest_collection_finish(session: pytest.Session) -> None:
    for item in session.items:
        if isinstance(item, GateItem):
            item.file.selected.append(item.planned)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that ends with an error of evalsuite has no number to fail on: it is an error, as if its setup had crashed."""
    report = yield
    if call.excinfo and report.when == "call" and report.failed and "evalsuite.errors" in sys.modules:
        from evalsuite.errors import EvalsuiteError

        if call.excinfo.errisinstance(EvalsuiteError) and not call.excinfo.errisinstance(AssertionError):
            report.when = "setup"
    return report


class GateFile(pytest.File):
    """An eval file: its items are pairs of corpus and retriever, or trials of agents."""

    def collect(self) -> Iterator[GateItem]:
        from evalsuite.errors import EvalsuiteError
        from evalsuite.gate.evalfile import EvalFileError, read_eval_file
        from evalsuite.gate.plan import planned
        from evalsuite.gate.work import EvalFile

        try:
            gate = read_eval_file(self.path)
            items = planned(gate)
        except EvalFileError as error:
            raise self.CollectError("\n".join(error.problems)) from None
        except EvalsuiteError as error:
            raise self.CollectError(f"{self.path}: {error}") from None
        file = EvalFile(self.path, gate)
        for item in items:
            yield GateItem.from_parent(self, name=item.name, planned=item, file=file)


class GateItem(pytest.Item):
    """One item. It is run while it is set up, so that what crashes is an error; the test itself holds numbers against thresholds."""

    def __init__(self, *, planned: Planned, file: EvalFile, **about: Any) -> None:
        super().__init__(**about)
        self.planned, self.file = planned, file
        self.judged: Judged | None = None
        for name in ("area", "mechanism"):
            if value := getattr(planned, name):
                self.add_marker(getattr(pytest.mark, name)(name=value))
        self.add_marker(pytest.mark.cost(kind="paid" if planned.asks else "free"))

    def setup(self) -> None:
        if self.config.getoption("setuponly"):  # --setup-plan too: nothing is worked
            return
        from evalsuite.errors import EvalsuiteError
        from evalsuite.gate.errors import GateSkipped
        from evalsuite.gate.judging import Judged, judge

        files = {id(item.file): item.file for item in self.session.items if isinstance(item, GateItem)}
        self.judged = Judged()
        why = ""
        try:
            judge(_session(self.config), list(files.values()), self.file, self.planned, self.judged)
        except GateSkipped as reason:
            why = f"skipped: {reason.message}"
            raise pytest.skip.Exception(reason.message) from None
        except EvalsuiteError as error:
            why = f"error: {error.message}"
            raise pytest.fail.Exception(_told(error), pytrace=False) from None
        finally:
            self.user_properties += [(PREFIX + name, value) for name, value in self.judged.numbers.items()]
            self.user_properties.append((f"{PREFIX}result", why or self.judged.said))

    def runtest(self) -> None:
        assert self.judged is not None
        if not self.judged.met:
            pytest.fail(self.judged.failure(), pytrace=False)

    def reportinfo(self) -> tuple[os.PathLike[str] | str, int | None, str]:
        return self.path, None, self.name


def _told(error: EvalsuiteError) -> str:
    """What is wrong comes first: the short summary shows one line."""
    lines = [error.message, *getattr(error, "lines", ()), *([f"in {error.where}"] if error.where else [])]
    return "\n  ".join(lines)


def _session(config: pytest.Config) -> Session:
    from evalsuite.gate.running import Session

    if SESSION not in config.stash:
        out, worker = _out(config), getattr(config, "workerinput", None)
        shared = _sharing(out, worker["testrunuid"]) if worker else None
        config.stash[SESSION] = Session(out, config.getoption("eval_live"), shared)
    return config.stash[SESSION]


SESSION = pytest.StashKey["Session"]()


def _out(config: pytest.Config) -> Path:
    given = config.getoption("eval_out")
    return config.invocation_params.dir / given if given else config.rootpath / OUT


def _sharing(out: Path, session: str) -> Path:
    """Where the workers of one session of pytest-xdist tell each other what is done."""
    return out / f".sharing-{session}"


# ---------------------------------------------------------------- fixtures


@pytest.fixture
def evaluate_retriever(request: pytest.FixtureRequest) -> Iterator[Callable[..., Outcome]]:
    """evaluate_retriever(corpus, retriever, ...) -> Outcome: score one retriever; the run goes to --eval-out and into the page."""
    from evalsuite.gate import functions
    from evalsuite.gate.plan import asks_model
    from evalsuite.gate.running import one_at_a_time
    from evalsuite.gate.work import asking

    def run(corpus: Any, retriever: Any, **options: Any) -> Outcome:
        _require_live(request.config, isinstance(retriever, str) and asks_model(retriever))
        with _session(request.config).alone(one_at_a_time(corpus, retriever)):
            outcome = functions.evaluate_retriever(corpus, retriever, **{"out": _out(request.config), **options})
        _record(request.node, outcome.path)
        return outcome

    with asking(request.config.getoption("eval_live")):
        yield run


@pytest.fixture
def run_task(request: pytest.FixtureRequest) -> Iterator[Callable[..., LabOutcome]]:
    """run_task(task, agent, ...) -> Outcome: work and grade one task; the run goes to --eval-out and into the page."""
    from evalsuite.gate import functions
    from evalsuite.gate.errors import GateSkipped
    from evalsuite.gate.running import one_at_a_time
    from evalsuite.gate.work import asking

    def run(task: Any, agent: str, **options: Any) -> LabOutcome:
        models = functions.models_of(options)
        _require_live(request.config, any(not model.startswith("function:") for model in models))
        try:
            with _session(request.config).alone(one_at_a_time(task, agent)):
                outcome = functions.run_task(task, agent, **{"out": _out(request.config), **options})
        except GateSkipped as reason:
            pytest.skip(reason.message)
        _record(request.node, outcome.path)
        return outcome

    with asking(request.config.getoption("eval_live")):
        yield run


@pytest.fixture
def assert_no_regression(request: pytest.FixtureRequest) -> Callable[..., None]:
    """assert_no_regression(run, baseline, measure="nDCG@10", margin=0.02): fails with the difference and the worst queries."""
    from evalsuite.gate import functions

    return functions.assert_no_regression


def _require_live(config: pytest.Config, asks: bool) -> None:
    if asks and not config.getoption("eval_live"):
        pytest.skip("would ask a model; pytest --eval-live allows it")


def _record(node: pytest.Item, run: Path) -> None:
    from evalsuite.gate.judging import facts
    from evalsuite.reporting.sections import read_section

    node.user_properties += [(PREFIX + name, value) for name, value in facts(read_section(run)).items()]


# ---------------------------------------------------------------- what is told at the end


class _Summary:
    """A line for every item, where the runs lie, and the page; in the process that the user started."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.results: dict[str, str] = {}
        self.runs: dict[str, None] = {}
        self.page: str | None = None
        self.shared: set[str] = set()
        self.crashed: dict[str, pytest.TestReport] = {}

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport, sched: Any) -> None:
        """Called by pytest-xdist when a worker has died. Another one judges the item: what was begun is not begun again."""
        if not crashitem.partition("::")[0].endswith(SUFFIXES):
            return
        self.crashed[crashitem] = copy(report)
        report.outcome = AGAIN  # type: ignore[assignment]
        with suppress(NotImplementedError):  # by these schedulers it is given to another worker anyway
            sched.mark_test_pending(crashitem)

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, str] | None:
        return ("", "", "") if report.outcome == AGAIN else None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.outcome != AGAIN:
            self.crashed.pop(report.nodeid, None)
        for name, value in report.user_properties:
            if name == f"{PREFIX}result":
                self.results[report.nodeid] = str(value)
            elif name == f"{PREFIX}run":
                self.runs[str(value)] = None

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Called by pytest-xdist for every worker."""
        self.shared.add(node.workerinput["testrunuid"])

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        wanted = self.config.getoption("eval_report")
        if hasattr(self.config, "workerinput"):
            return
        for report in list(self.crashed.values()):  # no other worker was left
            report.when = "setup"
            self.config.hook.pytest_runtest_logreport(report=report)
            session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED
        for name in self.shared:
            shutil.rmtree(_sharing(_out(self.config), name), ignore_errors=True)
        if wanted and not self.runs:
            self.page = "not written: no run came of this session"
        elif wanted:
            self.page = self._write(self.config.invocation_params.dir / wanted, session)

    def _write(self, page: Path, session: pytest.Session) -> str:
        from evalsuite.errors import EvalsuiteError
        from evalsuite.reporting.page import build

        try:
            build(map(Path, self.runs), page)
        except (EvalsuiteError, OSError) as error:
            if session.exitstatus == pytest.ExitCode.OK:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED
            return f"not written: {error}"
        return _near(page)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.results and not self.runs and not self.page:
            return
        terminalreporter.section("evalsuite")
        for name, result in self.results.items():
            terminalreporter.line(f"{name}  {result}")
        if self.runs:
            terminalreporter.line("run folders:")
        for run in self.runs:
            terminalreporter.line(f"  {_near(Path(run))}")
        if self.page:
            terminalreporter.line(f"page: {self.page}")


def _near(path: Path) -> str:
    """A path as one would type it here."""
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)

"""evalsuite: retrieval and legal-agent evaluation with numbers one can trust.

from pathlib import Path
from evalsuite import evaluate, lab_run, report
runs = evaluate("corpora/clauses-mini", ["bm25", "dense"])
print(runs[0].summary.measures["nDCG@10"])
runs = lab_run("tasks", "extractive")
print(runs[0].summary.all_pass)
report(["reports"], Path("report.html"))
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evalsuite.errors import EvalsuiteError
    from evalsuite.gate.functions import assert_no_regression, evaluate_retriever, run_task
    from evalsuite.lab.evaluate import plan as lab_plan
    from evalsuite.lab.evaluate import run as lab_run
    from evalsuite.lab.regrade import grade as lab_grade
    from evalsuite.lab.regrade import regrade as lab_regrade
    from evalsuite.lab.task import Task, load_tasks
    from evalsuite.reporting.agreement import review_report
    from evalsuite.reporting.compare import compare
    from evalsuite.reporting.leaderboard import leaderboard
    from evalsuite.reporting.page import build as report
    from evalsuite.reporting.review import import_reviews
    from evalsuite.retrieval.asymmetry import gap, gap_of_runs
    from evalsuite.retrieval.corpus import Corpus, Document, Qrels, Query
    from evalsuite.retrieval.evaluate import Outcome, evaluate
    from evalsuite.retrieval.formats import load_corpus
    from evalsuite.retrieval.lint import lint as corpus_lint
    from evalsuite.retrieval.measures import DEFAULT_MEASURES, Measure, measure
    from evalsuite.retrieval.pools import build_pool, read_pool, write_pool
    from evalsuite.retrieval.proof import prove
    from evalsuite.retrieval.retrievers.base import Hits, Retriever
    from evalsuite.retrieval.runs import Run, in_order, read_run
    from evalsuite.retrieval.versions import versions as corpus_versions
    from evalsuite.summary import read_summary, verify

_HOME = {
    "EvalsuiteError": "errors",
    "assert_no_regression": "gate.functions",
    "evaluate_retriever": "gate.functions",
    "run_task": "gate.functions",
    "Corpus": "retrieval.corpus",
    "Document": "retrieval.corpus",
    "Qrels": "retrieval.corpus",
    "Query": "retrieval.corpus",
    "Outcome": "retrieval.evaluate",
    "evaluate": "retrieval.evaluate",
    "load_corpus": "retrieval.formats",
    "DEFAULT_MEASURES": "retrieval.measures",
    "Measure": "retrieval.measures",
    "measure": "retrieval.measures",
    "Hits": "retrieval.retrievers.base",
    "Retriever": "retrieval.retrievers.base",
    "Run": "retrieval.runs",
    "in_order": "retrieval.runs",
    "read_run": "retrieval.runs",
    "gap": "retrieval.asymmetry",
    "gap_of_runs": "retrieval.asymmetry",
    "build_pool": "retrieval.pools",
    "read_pool": "retrieval.pools",
    "write_pool": "retrieval.pools",
    "prove": "retrieval.proof",
    "corpus_lint": "retrieval.lint:lint",
    "corpus_versions": "retrieval.versions:versions",
    "Task": "lab.task",
    "lab_grade": "lab.regrade:grade",
    "lab_plan": "lab.evaluate:plan",
    "lab_regrade": "lab.regrade:regrade",
    "lab_run": "lab.evaluate:run",
    "load_tasks": "lab.task",
    "compare": "reporting.compare",
    "import_reviews": "reporting.review",
    "leaderboard": "reporting.leaderboard",
    "report": "reporting.page:build",
    "review_report": "reporting.agreement",
    "read_summary": "summary",
    "verify": "summary",
}

__all__ = [
    "DEFAULT_MEASURES",
    "Corpus",
    "Document",
    "EvalsuiteError",
    "Hits",
    "Measure",
    "Outcome",
    "Qrels",
    "Query",
    "Retriever",
    "Run",
    "Task",
    "assert_no_regression",
    "build_pool",
    "compare",
    "corpus_lint",
    "corpus_versions",
    "evaluate",
    "evaluate_retriever",
    "gap",
    "gap_of_runs",
    "import_reviews",
    "in_order",
    "lab_grade",
    "lab_plan",
    "lab_regrade",
    "lab_run",
    "leaderboard",
    "load_corpus",
    "load_tasks",
    "measure",
    "prove",
    "read_pool",
    "read_run",
    "read_summary",
    "report",
    "review_report",
    "run_task",
    "verify",
    "write_pool",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that `import evalsuite` costs nothing."""
    if name not in _HOME:
        raise AttributeError(f"module 'evalsuite' has no attribute {name!r}")
    module, _, attribute = _HOME[name].partition(":")
    return getattr(importlib.import_module(f"evalsuite.{module}"), attribute or name)


def __dir__() -> list[str]:
    return __all__

"""Deterministic rules over a corpus, its queries and its judgements: no model is asked."""

from evalsuite.retrieval.lint.audit import Audit, estimate, write_sample
from evalsuite.retrieval.lint.check import RULES, lint
from evalsuite.retrieval.lint.findings import Finding

__all__ = ["RULES", "Audit", "Finding", "estimate", "lint", "write_sample"]

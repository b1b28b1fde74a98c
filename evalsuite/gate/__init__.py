"""Gates: what must hold of a retriever or an agent, read from a file, run, and judged. The pytest plugin is their door."""

OUT = "reports/pytest"
"""Where run folders go unless told."""

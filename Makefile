# make run    install what is needed, score the built-in retrievers on the bundled data, write the report
# make test   install what is needed, lint, run all tests
# make lint   ruff and mypy        make bench   the performance ratios of benchmarks/

BIN := .venv/bin
# Real data beside the project, scored too where it is there.
CORPORA := corpora/clauses-mini $(wildcard ../shared/data/cranfield)
RETRIEVERS := -r bm25 -r dense -r hybrid:bm25+dense -r random -r prior

.PHONY: run test lint bench setup

run: setup
	$(BIN)/evalsuite retrieval run $(CORPORA) $(RETRIEVERS) -o reports/make-run --report reports/make-run/report.html

test: lint
	$(BIN)/python -m pytest -q -n 2 --dist loadfile

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: setup
	$(BIN)/python benchmarks/retrieval.py

setup:
	@scripts/setup.sh

# make run    install what is needed, score the built-in retrievers and agents on the bundled data, measure the gap, write the report
# make test   install what is needed, lint, run all tests
# make lint   ruff and mypy        make bench   the performance ratios of benchmarks/        make test-slow   tests that take minutes each
# make baselines   run every retriever and agent that needs no model of its own anew, and seal reports/baselines/

BIN := .venv/bin
# Real data beside the project, scored too where it is there.
CORPORA := $(wildcard corpora/*) $(wildcard ../shared/data/cranfield)
RETRIEVERS := -r bm25 -r dense -r hybrid:bm25+dense -r random -r prior
# The embedded agent, and the audit agents that show what the rubric is worth: reference must pass all, the others little.
AGENTS := -a extractive -a reference -a empty -a parrot -a title-echo -a injector -a stuffing

.PHONY: run test test-slow lint bench baselines setup

run: setup
	$(BIN)/python scripts/baselines.py lend reports/make-run
	$(BIN)/evalsuite retrieval run $(CORPORA) $(RETRIEVERS) -o reports/make-run
	for corpus in $(wildcard corpora/*); do $(BIN)/evalsuite retrieval gap $$corpus -v recorded $(RETRIEVERS) -o reports/make-run || exit 1; done
	$(BIN)/evalsuite lab run tasks $(AGENTS) -o reports/make-run
	$(BIN)/evalsuite report reports/make-run -o reports/make-run/report.html
	$(BIN)/evalsuite leaderboard reports/make-run reports/baselines -o reports/make-run/leaderboard.html

# One thread each: three workers with two would wait for each other.
test: lint
	@scripts/setup-tests.sh
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m "not slow" -n 3 --dist loadscope --no-loadscope-reorder

test-slow: setup
	@scripts/setup-tests.sh
	$(BIN)/python -m pytest -q -m slow

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: setup
	$(BIN)/python benchmarks/retrieval.py
	$(BIN)/python benchmarks/lab.py
	$(BIN)/python benchmarks/report.py

baselines: setup
	$(BIN)/python scripts/baselines.py make

# Compiled once: where Python is told to write no bytecode, every command would compile the package anew.
setup:
	@scripts/setup.sh
	@$(BIN)/python -m compileall -q evalsuite

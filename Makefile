# One word per intent; CI runs the same words. Every word sets up first, which costs nothing when nothing changed.
PYTHON ?= python3
BIN := .venv/bin
TIDEMARK_HOME ?= .tidemark
FUZZ_SECONDS ?= 600
FAULT_ROUNDS ?= 50
FAULT_SEED ?= 1
TEST_PROCESSES ?= 2 # tests that share servers stay in one process (tests/fixtures/shares.py); 0: all in one, in order

# Compiled test modules are kept: collection would compile 25,000 lines again in every process.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup demo up down check test test-slow fuzz faults bench docs features lock clean

setup:  ## the virtual environment from the lock, the jars, and what makes Spark start sooner
	@$(PYTHON) scripts/bootstrap.py

demo:  ## start everything, send a stream, show what came out of it
	@$(PYTHON) scripts/bootstrap.py --no-class-archive
	@$(BIN)/tidemark demo

up: setup  ## start the stack; Ctrl-C stops it
	@$(BIN)/tidemark up

down: setup  ## stop a stack started with `tidemark up --detach`
	@$(BIN)/tidemark down

check: setup  ## everything that needs no running service
	@$(BIN)/python -m scripts.check

test: check  ## every check and every test
	@$(BIN)/pytest -m "not slow" -n $(TEST_PROCESSES) --no-loadscope-reorder --durations=15
	@$(BIN)/python -m tests.features --brief

test-slow: setup  ## the long suites: kills of a running stack, faults, planted bugs of growing builds, imports of real files
	@$(BIN)/pytest -m slow --durations=15

fuzz: setup  ## hostile input for FUZZ_SECONDS: the decoder against its reference, the API against its OpenAPI document
	@FUZZ_SECONDS=$(FUZZ_SECONDS) $(BIN)/python -m tests.fuzz

faults: setup  ## kills, pauses and crash points under load, FAULT_ROUNDS kills of each service; one JSON verdict
	@$(BIN)/python -m tests.faults --seed $(FAULT_SEED) --rounds $(FAULT_ROUNDS)

bench: setup  ## figures against a peer measured in the same run, one JSON line each
	@$(BIN)/python -m benchmarks

docs: setup  ## dbt docs of the last build
	@cd dbt_project && ../$(BIN)/dbt docs generate --profiles-dir . --empty-catalog

features: setup  ## feature rows -> tests -> passed or missing, from the last run
	@$(BIN)/python -m tests.features

lock: setup  ## compile requirements.lock from requirements.in
	@$(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --no-emit-find-links --universal \
		--python-version 3.11 requirements.in -o requirements.lock

clean:  ## remove this home's data (the stack must be down) and build output; keeps .venv and downloaded jars
	@test ! -x $(BIN)/python || $(BIN)/python -m local_stack.clean
	@rm -rf dbt_project/target dbt_project/logs .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

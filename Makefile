# Every target works from a fresh clone: what it needs is installed into .venv and tests/interop/node, once.
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help run test check types floors style test-only coverage simulate soak bench bench-full replay system clean

PYTHON ?= python3
BIN := .venv/bin
NODE := tests/interop/node
SEED ?= 1
DATA ?= $(or $(CRDT_SYNC_DATA),../shared/data)
# Suites whose worth is the number of tries that they get through, of which coverage would cost most.
PROOFS := tests/simulation tests/faults tests/laws/test_hostile_serving_path.py tests/integration/test_tenants.py \
	tests/interop/test_valid_histories.py
PYTEST := -m pytest -q -n auto --maxprocesses=4 --dist worksteal

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' Makefile

run: .venv/.installed ## Start a relay on this machine, with a token to try it; options with ARGS="--port 9000"
	@$(BIN)/crdt-sync serve --demo acme $(ARGS)

test: system check test-only ## Install everything, then run every check and every test
	@echo "== all green"

check: style types floors ## Format, lint, types and import floors, without tests

style: .venv/.equipped
	@echo "== ruff" && $(BIN)/ruff check . && $(BIN)/ruff format --check .

types: .venv/.equipped
	@echo "== mypy" && $(BIN)/mypy

floors: .venv/.equipped
	@echo "== import floors" && $(BIN)/lint-imports --no-cache --no-logo

test-only: .venv/.equipped $(NODE)/.installed ## Run all tests; narrow with ARGS="-k wire"
	@echo "== tests" && $(BIN)/python $(PYTEST) tests $(ARGS)

# Apart from the tests of every change: it makes them half as long again, and every process that they start.
coverage: .venv/.equipped $(NODE)/.installed ## Run all tests but those with many tries, and say what they do not reach
	@echo "== tests" && $(BIN)/coverage erase && $(BIN)/coverage run $(PYTEST) $(PROOFS:%=--ignore=%) tests $(ARGS)
	@echo "== coverage" && $(BIN)/coverage combine --quiet && $(BIN)/coverage report

simulate: .venv/.equipped ## Replay one simulated world and print what happened: make simulate SEED=7
	@$(BIN)/python -m tests.simulation --seed $(SEED) $(ARGS)

soak: .venv/.equipped $(NODE)/.installed ## Long runs that are no tests: make soak ARGS="hostile --scale 0.1 --seed 7"
	@$(BIN)/python -m tests.soak $(ARGS)

bench: .venv/.equipped ## Measure the relay beside its peers, in minutes; others with ARGS="gate forks"
	@$(BIN)/python -m benchmarks --workloads --check $(ARGS)

# On an idle machine: with other work beside it, figures say more about that work.
bench-full: .venv/.equipped ## Run all benchmarks, the workloads in full; ARGS="--keep" makes them the table, the plots and the page
	@$(BIN)/python -m pip install -qq --editable '.[test,bench]'
	@$(BIN)/python -m benchmarks --full --check $(ARGS)

replay: .venv/.installed ## Send the retail data set through peers and a relay, and compare the sums
	@$(BIN)/crdt-sync replay retail --data $(DATA)/online_retail.csv.gz --peers 8 --relay embedded $(ARGS)

clean: ## Remove what the targets above have installed or written (documents stay)
	rm -rf .venv $(NODE)/node_modules $(NODE)/.installed .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache dist

system:
	@.ci/system-packages $(PYTHON)

.venv/.installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -qq --editable .
	@touch $@

.venv/.equipped: .venv/.installed
	$(BIN)/python -m pip install -qq --editable '.[test]'
	@touch $@

# Without npm the tests that need Node skip and say so; with CI=true they fail.
$(NODE)/.installed: $(NODE)/package-lock.json
	@if command -v npm >/dev/null; then cd $(NODE) && npm ci --loglevel=error && touch .installed; fi

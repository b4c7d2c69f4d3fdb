# Two commands do everything: `make demo` and `make test`. They make their own environment in .venv.
PYTHON ?= python3
PORT ?= 8000
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 2

MONEY := $(addprefix tests/test_,$(addsuffix .py,money verdicts outcomes reconcile review runtime stores rules migrations pace alarms monitoring backup store_setup privacy webhooks guard oversight sync held_up late))

.PHONY: demo test lint types layers check unit coverage simulate bench screenshot prove clean

demo: $(VENV)/.demo
	@$(BIN)/order-actions demo --port $(PORT) $(if $(NO_OPEN),--no-open) $(if $(KEEP),--keep $(KEEP)) $(if $(ONLY),--only $(ONLY))

test: lint types layers check unit

lint: $(VENV)/.test
	$(BIN)/ruff check .

types: $(VENV)/.test
	$(BIN)/mypy

layers: $(VENV)/.test
	$(BIN)/lint-imports

check: $(VENV)/.test
	$(BIN)/order-actions check --bundle .

unit: $(VENV)/.test
	$(BIN)/pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

# Every line and branch of the modules that decide about money: setup.cfg [coverage:run] names them.
coverage: $(VENV)/.test
	$(BIN)/coverage run -m pytest -q $(MONEY)
	$(BIN)/coverage report

# RUNS=2000 SEED=1 JOBS=1 KEYS=honoured|ignored; RUNS=1 tells the story of one seed.
simulate: $(VENV)/.test
	@RUNS=$(or $(RUNS),2000) SEED=$(or $(SEED),1) JOBS=$(or $(JOBS),1) KEYS=$(or $(KEYS),honoured) $(BIN)/python -m tests.proofs.sim

# ORDERS=1000000 stored while the list is measured a second time.
bench: $(VENV)/.test
	@$(BIN)/python -m bench $(ORDERS)

screenshot: $(VENV)/.test
	$(BIN)/python docs/screenshot.py

# What needs an hour: money moves once, however the plug is pulled, and no request of a stranger breaks anything.
prove: test coverage
	RUNS=100000 JOBS=2 $(BIN)/python -m tests.proofs.sim
	RUNS=100000 JOBS=2 KEYS=ignored $(BIN)/python -m tests.proofs.sim
	$(BIN)/python -m tests.proofs.races --rounds 300 --engine sqlite
	$(BIN)/python -m tests.proofs.races --rounds 300 --engine postgres
	$(BIN)/python -m tests.proofs.matrix --engine sqlite
	$(BIN)/python -m tests.proofs.matrix --engine postgres
	$(BIN)/python -m tests.proofs.kills --kills 500 --engine sqlite
	$(BIN)/python -m tests.proofs.kills --kills 400 --engine postgres --seed 2
	$(BIN)/python -m tests.proofs.kills --kills 100 --engine postgres --seed 3 --restart-database
	$(BIN)/python -m tests.proofs.hostile --requests 100000
	$(BIN)/python -m tests.proofs.burst --webhooks 10000 --engine sqlite
	$(BIN)/python -m tests.proofs.burst --webhooks 10000 --engine postgres

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || (echo "Python 3.11 or newer is needed; set PYTHON=…" >&2; exit 1)
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: setup.cfg pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.test: setup.cfg pyproject.toml | $(VENV)/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@ $(VENV)/.demo

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

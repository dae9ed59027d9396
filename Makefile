# `make demo` and `make test` need Python 3.11 or newer with its venv module, and nothing else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Nothing leaves this machine: no usage reports from any dependency.
export DO_NOT_TRACK = 1
export DAGSTER_DISABLE_TELEMETRY = 1
export FEAST_USAGE = False
export GX_ANALYTICS_ENABLED = false
export DAGSTER_HOME ?= $(CURDIR)/dagster_home

.PHONY: help install demo dev test test-all coverage soak feast-tests check format bench lock clean

help:  ## What there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

install: $(INSTALLED)  ## Install into .venv from the lock of exact versions

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; choose it with PYTHON=python3.12 make ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $(INSTALLED)

demo: $(INSTALLED)  ## Build the last 30 days of the fraud repo and put them online
	$(BIN)/feature-platform demo

dev: $(INSTALLED)  ## Dagster's UI and daemon on http://127.0.0.1:3000
	$(BIN)/dagster dev --workspace workspace.yaml --host 127.0.0.1 --port 3000

test: $(INSTALLED)  ## The fast suite, in random order
	$(BIN)/python -m pytest -n 2 -m "not server and not browser and not slow" $(COVERAGE)

test-all: $(INSTALLED)  ## What needs servers, a browser, or time
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "server or browser or slow"

coverage:  ## The fast suite, with the branches it covers; fails below the floor
	$(MAKE) test COVERAGE=--cov

soak: $(INSTALLED)  ## Histories of materializations with fresh seeds, for SOAK_MINUTES (60)
	$(BIN)/python -W ignore tests/soak.py

feast-tests: $(INSTALLED)  ## Feast's own tests on our stores and engine: FEAST_SRC=path/to/a/checkout
	$(BIN)/python tests/feast_universal/run.py "$(FEAST_SRC)"

check: $(INSTALLED)  ## Lint, format, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(INSTALLED)  ## Format and mend what can be mended
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(INSTALLED)  ## Every benchmark; one JSON line a case
	@for each in benchmarks/*.py; do echo "# $$each" >&2; $(BIN)/python $$each || exit 1; done

lock:  ## Resolve the lock again (needs uv)
	uv pip compile --universal --python-version 3.11 --all-extras --no-annotate --no-header \
	  --no-emit-index-url --output-file requirements.lock pyproject.toml

clean:  ## Forget what runs have written
	rm -rf feature_repo/data dagster_home/storage dagster_home/history dagster_home/schedules \
	  dagster_home/logs dagster_home/alerts dagster_home/.telemetry dagster_home/.nux

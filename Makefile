# Everything a newcomer needs. `make help` describes each target.
PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3.11)
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help install install-dev programs demo test conformance torture soak lint bench lock clean

help: ## show what each target does
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.installed ## make .venv with the csor command in it, from the hash-pinned lock

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "Python 3.11 or later is needed (looked for '$(PYTHON)'; set PYTHON=...)"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.lock pyproject.toml | $(VENV)/bin/python
	$(PIP) install -q --require-hashes -r requirements.lock
	$(PIP) install -q --no-deps --no-build-isolation -e .
	@touch $@

install-dev: $(VENV)/.installed-dev ## the same, with what tests and linters need

$(VENV)/.installed-dev: requirements-dev.lock $(VENV)/.installed
	$(PIP) install -q --require-hashes -r requirements-dev.lock
	@touch $@

programs: ## install headless Chromium and haproxy for the tests where that can be done (Debian, as root); else say why not
	@sh tests/install-programs.sh

demo: install ## build, serve and play a simulated nation; ONCE=1 stops after the table
	@$(BIN)/csor demo --data data/demo $(if $(ONCE),--once,)

test: install-dev programs ## install what the tests need and run them all
	$(BIN)/python -m pytest -n auto --dist loadfile $(ARGS)

conformance: install-dev ## one table of every outside suite: cases, passed, differing, and the file with the reasons
	@$(BIN)/python -m tests.conformance

torture: install-dev ## faults and races for the better part of an hour: killed primaries, full disks, clocks that jump
	$(BIN)/python -m pytest -m torture -s tests/torture $(ARGS)

soak: install-dev ## an hour of mixed load on both stores: exit 1 where memory, files or threads go on growing (ARGS="--minutes 5")
	$(BIN)/python -m bench.soak $(ARGS)

lint: install-dev ## style, types, floors of the house
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict -p app.fhir -p app.statistics -p app.store -p app.security
	$(BIN)/lint-imports --no-cache

bench: install-dev ## speed, as ratios to a named yardstick in the same run
	$(BIN)/python -m bench

lock: ## resolve the dependencies again and pin them by hash (needs uv)
	uv pip compile -q --python-version 3.11 pyproject.toml --no-header --no-annotate --generate-hashes --group build -o requirements.lock
	uv pip compile -q --python-version 3.11 pyproject.toml --no-header --no-annotate --generate-hashes --group build --group dev --extra lint -c requirements.lock -o requirements-dev.lock

clean: ## remove what these targets made, but not your data
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

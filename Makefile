# Every target prepares what it needs: a virtual environment in .venv with the tested versions (constraints.txt).
# Choose another interpreter with `make PYTHON=/path/to/python3.12 …`, another build of torch with `make TORCH=…`.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo test lint types docs-check clean

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
TORCH ?= torch==2.13.0
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do \
	"$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo "$$name"; break; }; done)

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' Makefile

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "genlens needs Python >= 3.11; none was found. Install one or pass PYTHON=…" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$(TORCH)" -c constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(STAMP)

setup: $(STAMP) ## make the virtual environment (all other targets do it themselves)

demo: $(STAMP) ## explain a classifier whose true reliance is known; writes build/demo/
	$(BIN)/genlens demo --out build/demo

test: $(STAMP) ## run the tests, a worker a core
	$(BIN)/python -m pytest -n auto --dist loadfile

lint: $(STAMP) ## check style and imports
	$(BIN)/ruff check src tests benchmarks examples

types: $(STAMP) ## check the annotations (mypy, strict)
	$(BIN)/mypy

docs-check: $(STAMP) ## check that commands and links in the docs exist and that their examples run
	$(BIN)/python -m pytest -q tests/test_docs.py

clean: ## remove the virtual environment, the demo and caches (trainings under build/ stay)
	rm -rf $(VENV) build/demo dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

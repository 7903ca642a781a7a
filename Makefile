# `make` lists the targets. All they need: make, and Python 3.11 or newer with its venv module.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV ?= .venv
BIN := $(VENV)/bin
FIT := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
# The first interpreter that runs and is new enough; empty when there is none.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	"$$python" -c "$(FIT)" >/dev/null 2>&1 && echo "$$python" && break; done)
CONSTRAINTS := $(if $(wildcard constraints.txt),-c constraints.txt)
PIP := $(BIN)/python -m pip install --disable-pip-version-check $(CONSTRAINTS)
ARGS ?=

.PHONY: help install demo test test-slow lint bench clean

help: ## this list
	@sed -nE 's/^([a-z-]+):.*## /\1\t/p' Makefile | expand -t 12
	@echo "ARGS=... passes options on, as in: make demo ARGS='--world-videos 100'"

demo: $(VENV)/.demo ## train on real clips and a rendered world, and show what came of it (about 6 minutes)
	@$(BIN)/rapt demo $(ARGS)

install: $(VENV)/.dev ## make the environment for working on Rapt

test: lint ## every check and test but those that take minutes
	$(BIN)/python -m pytest -m "not slow" $(ARGS)

test-slow: install ## the tests that take minutes or the whole machine
	$(BIN)/python -m pytest -m slow $(ARGS)

lint: install ## style, types, and which package may import which
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install ## the figures of the README beside their alternatives, into build/bench
	$(BIN)/python -m benchmarks.main $(ARGS)

clean: ## remove the environment and all that was built here; data in RAPT_HOME stay
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

$(VENV)/.demo: pyproject.toml $(wildcard constraints.txt) | $(BIN)/python
	@echo "installing what the demo needs into $(VENV) (several GB with torch; once)"
	$(PIP) --quiet -e '.[training,laptop]'
	@touch $@

$(VENV)/.dev: pyproject.toml $(wildcard constraints.txt) | $(BIN)/python
	$(PIP) --quiet -e '.[training,laptop,dev]'
	@touch $@ $(VENV)/.demo

$(BIN)/python:
	@"$(PYTHON)" -c "$(FIT)" >/dev/null 2>&1 || { \
		echo "PYTHON='$(PYTHON)' does not run, is older than 3.11, or lacks venv:" \
			"install Python 3.11 or newer (Debian, Ubuntu: also python3-venv)," \
			"then: make $(MAKECMDGOALS) PYTHON=/its/path" >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV)

# `make` lists the targets. All they need: make, and Python 3.11 or newer with its venv module.
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

VENV ?= .venv
BIN := $(VENV)/bin
FIT := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
# The first interpreter that runs and is new enough; empty when there is none.
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3; do \
	"$$python" -c "$(FIT)" >/dev/null 2>&1 && echo "$$python" && break; done)
LOCKED := --extra training --extra laptop --extra monitoring --extra dev --universal --python-version 3.11 --generate-hashes
LOCK_IMAGE = $(BIN)/uv pip compile --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --quiet \
	-c constraints.txt --custom-compile-command "make lock"
INSTALLED := $(VENV)/.installed
ARGS ?=
# Most tests wait for processes of theirs; those of one file run one after the other.
AT_ONCE := -n auto --maxprocesses 4 --dist loadfile

.PHONY: help install demo test test-slow test-cluster lint bench bench-serving bench-experiments bench-stream lock clean

help: ## this list
	@sed -nE 's/^([a-z-]+):.*## /\1\t/p' Makefile | expand -t 12
	@echo "ARGS=... passes options on, as in: make demo ARGS='--world-videos 100'"

demo: $(INSTALLED) ## train on real clips and a rendered world, serve the model, close the loop (about 6 minutes)
	@$(BIN)/rapt demo $(ARGS)

install: $(INSTALLED) ## make the environment for working on Rapt

test: lint ## every check and test but those that take minutes
	$(BIN)/python -m pytest -m "not slow and not cluster" $(AT_ONCE) $(ARGS)

test-slow: install ## the tests that take minutes or the whole machine
	$(BIN)/python -m pytest -m "slow and not cluster" $(ARGS) || [ $$? -eq 5 ] # 5: there is none

test-cluster: install ## the tests on a real cluster: needs docker, kind, kubectl, helm
	$(BIN)/python -m pytest -m cluster $(ARGS)

lint: install ## style, types, and which package may import which
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install ## the figures of the README beside their alternatives, into build/bench
	$(BIN)/python -m benchmarks.main $(ARGS)

bench-serving: install ## what a prediction costs, beside five other servers (about 8 minutes)
	$(BIN)/python -m benchmarks.serving $(ARGS)

bench-experiments: install ## how often canaries decide rightly and how soon; what joining labels costs
	$(BIN)/python -m benchmarks.experiments $(ARGS)

bench-stream: install ## what following the stream costs, beside Bytewax on the same Kafka (needs Java and Maven)
	$(BIN)/python -m benchmarks.stream $(ARGS)

lock: install ## renew constraints.txt after a change of pyproject.toml; ARGS=--upgrade takes newer versions too
	$(BIN)/uv pip compile pyproject.toml $(LOCKED) --no-emit-index-url --no-annotate --quiet \
		--custom-compile-command "make lock" -o constraints.txt $(ARGS)
	$(LOCK_IMAGE) pyproject.toml --extra serving -o images/serving.txt
	$(LOCK_IMAGE) pyproject.toml --extra training --no-emit-package triton -o images/training.txt
	$(LOCK_IMAGE) pyproject.toml --extra monitoring -o images/monitoring.txt
	$(LOCK_IMAGE) --no-deps images/media.in -o images/media.txt
	$(LOCK_IMAGE) images/tools.in -o images/tools.txt

clean: ## remove the environment and all that was built here; data in RAPT_HOME stay
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

$(INSTALLED): pyproject.toml constraints.txt tools/install.py | $(BIN)/python
	@echo "installing into $(VENV): several GB with torch, once"
	@$(BIN)/python tools/install.py
	@touch $@

$(BIN)/python:
	@"$(PYTHON)" -c "$(FIT)" >/dev/null 2>&1 || { \
		echo "PYTHON='$(PYTHON)' does not run, is older than 3.11, or lacks venv:" \
			"install Python 3.11 or newer (Debian, Ubuntu: also python3-venv)," \
			"then: make $(MAKECMDGOALS) PYTHON=/its/path" >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV)

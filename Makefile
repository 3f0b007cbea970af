# Everything on a fresh machine with only python3 and make: `make demo`, `make test`.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: help env demo test check slow drill drill-short soak dependencies gpu-check clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

env: $(STAMP)  ## create .venv with the pinned versions

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else f"python >= 3.11 is needed, found {v[0]}.{v[1]}: run make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	$(BIN)/python -c 'import pipelines.crops.kernels'
	touch $@

demo: env  ## draw a picture set, train five minutes on the CPU, report kNN accuracy
	$(BIN)/python -m shards demo data/demo
	$(BIN)/python train.py demo

check: env  ## format, lint, types and import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check  ## check, then every quick test that needs no GPU
	$(BIN)/pytest -n auto

slow: env  ## the tests marked slow as well
	$(BIN)/pytest -n auto --slow

drill: env  ## 300 trials of what can happen to a run, into docs/drill.md; goes on where it stopped
	$(BIN)/python -m tests.drill --page docs/drill.md

drill-short: env  ## one trial of each cheap kind, two minutes
	$(BIN)/python -m tests.drill --short --again

soak: env  ## half an hour of two ranks: does anything grow?
	$(BIN)/python -m tests.drill.soak --minutes 30

dependencies: env  ## docs/dependencies.md from the installed packages
	$(BIN)/python tests/tools/dependencies.py

gpu-check:  ## on a machine with a GPU: all figures into gpu-check.json; needs no network, goes on where it was killed
	$(if $(wildcard $(BIN)/python),$(BIN)/python,$(PYTHON)) -m pipelines gpu-check --json gpu-check.json

clean:  ## remove the environment, demo data and demo run
	rm -rf $(VENV) data/demo runs/demo

# make run   the environment, then the main job on the embedded data
# make test  the environment, then the quick tests
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help run test test-all lint bench clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: $(STAMP)  ## train, score and report an Attention U-Net on the embedded data
	$(BIN)/python experiments/run.py model=attention_unet

test: $(STAMP)  ## quick tests (CPU, no data, no network)
	$(BIN)/python -m pytest

test-all: $(STAMP)  ## slow tests too
	$(BIN)/python -m pytest -m "not gpu"

lint: $(STAMP)  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(STAMP)  ## every benchmark against its peer (installs the peers; long; run nothing beside it)
	$(BIN)/python -m pip install --quiet --constraint requirements.lock --editable '.[bench]'
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

clean:  ## remove the environment
	rm -rf $(VENV)

$(STAMP): pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint requirements.lock --editable '.[dev]'
	@touch $@

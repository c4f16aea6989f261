# make run   the environment, then the main job on the embedded data
# make test  the environment, then the quick tests
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DOCS_STAMP := $(VENV)/.docs
# The benchmarks' peers want older versions of some packages: they get an environment of their own.
BENCH := .venv-bench
BENCH_STAMP := $(BENCH)/.installed

.PHONY: help run test test-all lint docs study bench clean

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

docs: $(DOCS_STAMP)  ## the documentation, into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

study: $(STAMP)  ## four architectures × 3 seeds on the phantom, killed once and continued, compared; then a search
	-timeout --signal=KILL 240 $(BIN)/python sweeps/run.py sweep=study
	$(BIN)/python sweeps/run.py sweep=study
	$(BIN)/python experiments/compare.py runs=runs/study
	$(BIN)/python sweeps/run.py sweep=study_search
	$(BIN)/python experiments/compare.py runs=runs/study_search output=comparison_search

bench: $(BENCH_STAMP)  ## every benchmark against its peer (installs the peers; long; run nothing beside it)
	@for script in benchmarks/[a-z]*.py; do echo "== $$script"; $(BENCH)/bin/python $$script || exit 1; done

clean:  ## remove the environments
	rm -rf $(VENV) $(BENCH)

NEW_PYTHON := $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'

$(STAMP): pyproject.toml requirements.lock
	$(NEW_PYTHON)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint requirements.lock --editable '.[dev]'
	@touch $@

$(DOCS_STAMP): $(STAMP)
	$(BIN)/python -m pip install --quiet --constraint requirements.lock --editable '.[docs]'
	@touch $@

# As in the lock, but for packages of which panoptica wants older versions.
OLDER := connected-components-3d|numpy|pandas|plotly|rich
$(BENCH_STAMP): pyproject.toml requirements.lock
	$(NEW_PYTHON)
	test -x $(BENCH)/bin/python || $(PYTHON) -m venv $(BENCH)
	grep -vE '^($(OLDER))==' requirements.lock > $(BENCH)/constraints.txt
	$(BENCH)/bin/python -m pip install --quiet --constraint $(BENCH)/constraints.txt --editable '.[bench]'
	# A peer brings torchvision, which needs torch's CUDA build; nothing here needs it.
	$(BENCH)/bin/python -c 'import torchvision' 2>/dev/null || $(BENCH)/bin/python -m pip uninstall --quiet --yes torchvision
	@touch $@

# make run   environment, then the pipeline (dvc repro), to registered models
# make ui    Prefect's UI with the flows: retrain, sweep, promote, rollback
# make test  lint, types, tests; under ten minutes on two cores, from a bare clone
PYTHON ?= python3
VENV := .venv
# Stages are started as `python -m …`: the environment's Python must come first on PATH.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export DVC_NO_ANALYTICS := 1
export PYTHONUNBUFFERED := 1
READY := $(VENV)/.ready

.PHONY: run ui test test-slow lint types unit lock clean

run: $(READY)
	dvc repro
	@bertline scoreboard
	@printf '\nNext:\n'
	@test ! -d data/models/finetuned/docs_topic || printf '  %s\n' \
	  '$(VENV)/bin/bertline predict docs_topic "Compute the eigenvalues of a symmetric matrix."'
	@printf '  %s\n  %s\n' \
	  '$(VENV)/bin/bertline fill-mask "Return a new [MASK] of the given shape."' \
	  '$(VENV)/bin/mlflow ui --backend-store-uri sqlite:///mlflow.db'

ui: $(READY)
	python -m pipelines.serve

test: lint types unit

lint: $(READY)
	ruff check .
	ruff format --check .
	lint-imports

types: $(READY)
	mypy

unit: $(READY)
	pytest -n 2 --dist loadscope --no-loadscope-reorder -m "not slow"

test-slow: $(READY)
	pytest -n 2 --dist loadscope --no-loadscope-reorder -m slow

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "bertline needs Python 3.11 or later; try: make PYTHON=python3.11 $(MAKECMDGOALS)")'
	test -x $(VENV)/bin/python || $(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --no-compile --requirement requirements.lock
	@$(VENV)/bin/python -m compileall -qq -j 0 $(VENV)/lib || true # pip would compile on one core; some packages hold files of other Pythons
	$(VENV)/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

# Pins what pyproject.toml's ranges resolve to in an empty environment.
lock:
	$(PYTHON) -m venv --clear .make/lock
	.make/lock/bin/pip install --quiet torch==2.13.0 '.[pipeline,benchmarks,test]' setuptools
	.make/lock/bin/pip freeze --all --exclude bertline --exclude pip | sed 's/+cpu$$//' > requirements.lock

clean:
	rm -rf .make .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

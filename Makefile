# secretjax: `make results` and `make test` need python3 (3.11 or later, with venv), make, and a
# Python package index that pip can reach. Everything is installed into $(VENV), nothing elsewhere.

PY      ?= python3
VENV    ?= .venv
PARAMS  ?= params/default.yaml
RESULTS ?= results
SITE    ?= site
JOBS    ?= 2
PYTEST_ARGS ?= -n 2 --dist loadfile

BIN   := $(VENV)/bin
STAMP := $(VENV)/.installed
# Compiled programs are kept between runs and shared by the notebooks' kernels.
export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/.cache/jax

.DEFAULT_GOAL := help
.PHONY: help venv results test lint types lab site bench dist lock clean

help:  ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(firstword $(MAKEFILE_LIST)) | expand -t 10

$(STAMP): requirements.lock pyproject.toml
	@$(PY) -c 'import sys, venv; sys.exit(sys.version_info < (3, 11) and "secretjax: \
	Python 3.11 or later is needed, $(PY) is " + sys.version.split()[0] + \
	"; name another with: make PY=python3.12")'
	$(PY) -m venv $(VENV)
	@# uv itself comes from the lock, hashes checked, before it installs the rest of it.
	awk '/^[a-z]/ {keep = /^uv==/} keep' requirements.lock > $(VENV)/uv.lock
	$(BIN)/python -m pip install --quiet --require-hashes -r $(VENV)/uv.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@

venv: $(STAMP)  ## the virtual environment, from the hashed lock

results: $(STAMP)  ## the default study end to end, into results and site
	$(BIN)/secretjax run $(PARAMS) --jobs $(JOBS) --results $(RESULTS) --site $(SITE)

test: $(STAMP)  ## all tests
	@# one thread of XLA in each of pytest's processes: hand-overs cost more than they give
	NPROC=1 $(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(STAMP)  ## ruff over package, tests and notebooks
	$(BIN)/ruff check .

types: $(STAMP)  ## pyright over package and tests; it needs node, or fetches one
	$(BIN)/pyright --pythonpath $(BIN)/python

lab: $(STAMP)  ## JupyterLab on 127.0.0.1 with the notebooks open
	$(BIN)/secretjax lab

site: $(STAMP)  ## the site again, from the newest run in results
	$(BIN)/secretjax publish $(RESULTS) --site $(SITE)

bench: $(STAMP)  ## exact events a second on this machine
	$(BIN)/secretjax bench

dist: $(STAMP)  ## wheel and source archive into dist, which `secretjax init` works from too
	$(BIN)/python -m hatchling build

lock: $(STAMP)  ## renew both lock files after a change of pyproject.toml
	$(BIN)/uv pip compile --quiet pyproject.toml --group dev --universal \
	  --fork-strategy fewest --generate-hashes --no-emit-index-url --no-header -o requirements.lock
	sed -n '/^[a-z]/ s/ *\\$$//p' requirements.lock > requirements-conda.txt

clean:  ## remove the environment, the caches and the site; results stay
	rm -rf $(VENV) $(SITE) .cache .pytest_cache .ruff_cache .hypothesis
	find secretjax tests -name __pycache__ -type d -prune -exec rm -rf {} +

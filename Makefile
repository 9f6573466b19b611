# The two commands of the README: `make quickstart` and `make test`. Each makes its own environment at the first call.

PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
READY := $(VENV)/.ready
# One test process more than cores: many tests wait for servers to start.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(1 + len(getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count()))(0)))')

# What `make test-training` installs first.
TORCH ?= torch==2.13.0

.PHONY: quickstart test test-vllm test-training lint types bench faults fuzz docs clean

quickstart: $(INSTALLED)  ## start servers, collect rollouts of the calendar environment, show rewards, stop everything
	@PATH="$(abspath $(VENV))/bin:$$PATH" bash data/quickstart.sh

test: lint types  ## what CI runs
	@$(PY) -m pytest -q -n $(WORKERS) --dist worksteal

test-vllm: $(READY)  ## our model servers before a real vLLM on this machine's CPU; its environment is made once (gigabytes)
	@export NEMO_GYM_VLLM_PYTHON="$$(PYTHON=$(abspath $(PY)) bash tests/real_vllm/make_environment.sh)" && $(PY) -m pytest -q -rA tests/real_vllm

test-training: $(VENV)-training/.ready  ## model server, adapters and demo on torch and the trainers' own code; its environment is made once (a gigabyte on CPUs)
	@OMP_NUM_THREADS=1 $(VENV)-training/bin/python -m pytest -q -rA -m training tests responses_api_models

lint: $(READY)
	@$(PY) -m ruff check . && $(PY) -m ruff format --check .

types: $(READY)
	@$(PY) -m mypy

bench: $(READY)  ## the figures of docs/performance.md in short, targets beside them; a few minutes
	@$(PY) -m tests.benchmarks

faults: $(READY)  ## everything that may break around a collection, broken on purpose: the table of docs/reliability.md
	@$(PY) -m tests.faults

# A minute on two cores; EXAMPLES=3000 for a night.
EXAMPLES ?= 100

fuzz: $(READY)  ## made-up input for every endpoint and every parser, thousands of cases
	@$(PY) -m pytest -q -n $(WORKERS) --dist worksteal tests/fuzz --fuzz-examples=$(EXAMPLES)

docs: $(READY)  ## the reference of the public modules, from their docstrings, into build/reference
	@$(PY) docs/reference.py build/reference && echo "build/reference/index.html"

# Made again whenever the project's dependencies change. The first is all that running needs, the second what testing does.
$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	@echo "Making $(VENV) (once; about half a minute)"
	@$(PYTHON) -m venv $(VENV)
	@$(PY) -m pip install --quiet --disable-pip-version-check --editable .
	@touch $(INSTALLED)

$(READY): $(INSTALLED)
	@echo "Adding what tests need (once; about half a minute)"
	@$(PY) -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(READY)

# SkyRL and verl pin versions of what their GPU workers need, which are not tested: hence without dependencies, but for those
# that their trainers import.
$(VENV)-training/.ready: pyproject.toml
	@echo "Making $(VENV)-training (once; a few minutes)"
	@$(PYTHON) -m venv $(VENV)-training
	@$(VENV)-training/bin/pip install --quiet --disable-pip-version-check $(TORCH)
	@$(VENV)-training/bin/pip install --quiet --disable-pip-version-check --editable '.[dev,demo]'
	@$(VENV)-training/bin/pip install --quiet --disable-pip-version-check ray tensordict codetiming torchdata cachetools jaxtyping loguru
	@$(VENV)-training/bin/pip install --quiet --disable-pip-version-check --no-deps skyrl==0.3.0 verl==0.9.1
	@touch $@

clean:  ## remove the environment and everything that runs left
	rm -rf $(VENV) $(VENV)-training .nemo_gym build results

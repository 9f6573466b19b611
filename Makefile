# The two commands of the README: `make quickstart` and `make test`. Each makes its own environment at the first call.

PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
READY := $(VENV)/.ready
# One test process more than cores: many tests wait for servers to start.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(1 + len(getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count()))(0)))')

.PHONY: quickstart test test-vllm lint types bench docs clean

quickstart: $(INSTALLED)  ## start servers, collect rollouts of the calendar environment, show rewards, stop everything
	@PATH="$(abspath $(VENV))/bin:$$PATH" bash data/quickstart.sh

test: lint types  ## what CI runs
	@$(PY) -m pytest -q -n $(WORKERS) --dist worksteal

test-vllm: $(READY)  ## our model servers before a real vLLM on this machine's CPU; its environment is made once (gigabytes)
	@export NEMO_GYM_VLLM_PYTHON="$$(PYTHON=$(abspath $(PY)) bash tests/real_vllm/make_environment.sh)" && $(PY) -m pytest -q -rA tests/real_vllm

lint: $(READY)
	@$(PY) -m ruff check . && $(PY) -m ruff format --check .

types: $(READY)
	@$(PY) -m mypy

bench: $(READY)  ## the figures of docs/performance.md
	@$(PY) -m tests.benchmarks.imports && $(PY) -m tests.benchmarks.clients && $(PY) -m tests.benchmarks.rollouts

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

clean:  ## remove the environment and everything that runs left
	rm -rf $(VENV) .nemo_gym build results

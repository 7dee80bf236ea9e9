PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: install demo test benchmark clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable ".[dev]"
	touch $@

# Trains a pair of encoders on handwritten digits and finds what it memorised.
demo: $(INSTALLED)
	$(BIN)/lightly-memloc demo

test: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	OMP_NUM_THREADS=1 $(BIN)/pytest

# What measuring costs, and how well it can be followed; takes about 15 minutes.
benchmark: $(INSTALLED)
	$(BIN)/python tests/benchmarks/overhead.py | tee docs/results/overhead.txt
	$(BIN)/python tests/benchmarks/online.py | tee docs/results/online.txt
	$(BIN)/python tests/benchmarks/online_agreement.py | tee docs/results/online_agreement.txt

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# The theme's authors advertise another tool in each build.
export NO_MKDOCS_2_WARNING := 1
INSTALLED := $(VENV)/.installed

.PHONY: install demo test docs docs-serve benchmark clean

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

# The site goes to site/index.html.
docs: $(INSTALLED)
	$(BIN)/mkdocs build --strict

docs-serve: $(INSTALLED)
	$(BIN)/mkdocs serve

# What measuring costs, and how well it can be followed; takes about 15 minutes.
benchmark: $(INSTALLED)
	$(BIN)/python tests/benchmarks/overhead.py | tee docs/results/overhead.txt
	$(BIN)/python tests/benchmarks/online.py | tee docs/results/online.txt
	$(BIN)/python tests/benchmarks/online_agreement.py | tee docs/results/online_agreement.txt

clean:
	rm -rf $(VENV) build dist site *.egg-info .mypy_cache .pytest_cache .ruff_cache

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# The theme's authors advertise another tool in each build.
export NO_MKDOCS_2_WARNING := 1
INSTALLED := $(VENV)/.installed

.PHONY: install demo lint test test-fast test-lowest release docs docs-serve benchmark clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable ".[dev]"
	touch $@

# Trains a pair of encoders on handwritten digits and finds what it memorised.
demo: $(INSTALLED)
	$(BIN)/lightly-memloc demo

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest

# All but the tests marked slow, for the work in between: less than three minutes.
test-fast: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -m "not slow"

# Runs the core tests with the declared minimum of every dependency. Set PYTHON to test
# with another interpreter.
LOWEST := .venv-lowest
CORE := $(addprefix tests/,functional metrics layers data runtime evaluators estimation results probes) \
	$(patsubst %,tests/training/test_%.py,backbones config methods pair run training_data)

test-lowest:
	$(PYTHON) -m venv --clear $(LOWEST)
	sed -n '/^dependencies/,$$s/^.*"\([a-z][a-z0-9-]*\)>=\([0-9.]*\)".*$$/\1==\2/p' pyproject.toml > $(LOWEST)/lowest.txt
	$(LOWEST)/bin/pip install --quiet --editable ".[timm]" pytest tensorboard \
		--constraint $(LOWEST)/lowest.txt
	OMP_NUM_THREADS=1 $(LOWEST)/bin/python -m pytest -o addopts= $(CORE)
	$(LOWEST)/bin/lightly-memloc train --help

# Builds wheel and sdist, installs each into an empty environment, runs the demo there.
release: $(INSTALLED)
	rm -rf build dist
	$(BIN)/python -m build --outdir dist
	$(BIN)/twine check --strict dist/*
	$(PYTHON) -m venv build/empty
	build/empty/bin/pip install --quiet dist/*.whl
	cd build && empty/bin/lightly-memloc demo --smoke --out from-wheel
	build/empty/bin/pip install --quiet --force-reinstall --no-deps dist/*.tar.gz
	cd build && empty/bin/lightly-memloc demo --smoke --out from-sdist
	cmp build/from-wheel/unit-mem/units.csv build/from-sdist/unit-mem/units.csv
	test -s build/from-wheel/report.html -a -s build/from-sdist/report.html

# The site goes to site/index.html.
docs: $(INSTALLED)
	$(BIN)/mkdocs build --strict

docs-serve: $(INSTALLED)
	$(BIN)/mkdocs serve

# What measuring costs, how well it can be followed, how fast the report opens, how often
# intervals cover the truth, and what is said of encoders that memorised nothing; takes
# about two hours.
benchmark: $(INSTALLED)
	$(BIN)/python tests/benchmarks/overhead.py | tee docs/results/overhead.txt
	$(BIN)/python tests/benchmarks/online.py | tee docs/results/online.txt
	$(BIN)/python tests/benchmarks/online_agreement.py | tee docs/results/online_agreement.txt
	$(BIN)/python tests/benchmarks/report.py | tee docs/results/report.txt
	$(BIN)/python tests/benchmarks/scale.py | tee docs/results/scale.txt
	$(BIN)/python -m tests.benchmarks.calibration
	$(BIN)/python -m tests.benchmarks.null_pairs

clean:
	rm -rf $(VENV) $(LOWEST) build dist site *.egg-info .mypy_cache .pytest_cache .ruff_cache

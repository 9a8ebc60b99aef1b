# Two commands for a newcomer: `make demo` and `make test`. Each sets up all that it needs in .venv.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-browser lint format types check clean

demo: .venv/installed
	$(BIN)/taesan demo --output runs/demo

test: .venv/installed-dev
	$(BIN)/python -m pytest --ignore=tests/browser

test-browser: .venv/installed-dev
	$(BIN)/python -m pytest tests/browser

lint: .venv/installed-dev
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks

format: .venv/installed-dev
	$(BIN)/ruff check --fix src tests benchmarks
	$(BIN)/ruff format src tests benchmarks

types: .venv/installed-dev
	$(BIN)/pyright

check: lint types test

clean:
	rm -rf .venv build dist .pytest_cache .ruff_cache .hypothesis

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("taesan needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name another: make PYTHON=python3.12 ...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[onnx,report,serve]'
	touch $@

.venv/installed-dev: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

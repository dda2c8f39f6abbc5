# Needs python3 (3.11, 3.12 or 3.13) and make; all else is installed into .venv, each file checked against its hash.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.stamp
SPARK := .venv/.spark
.DEFAULT_GOAL := help
.PHONY: help setup run test fuzz lint types bench up lock clean reset

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-7s %s\n", $$1, $$2}' Makefile

setup: $(STAMP)  ## Install everything into .venv; done once, and again when requirements.txt or pyproject.toml change

run: setup  ## Simulate a publisher's exports, then one whole night on them: exports to published rankings
	@$(BIN)/shortlist simulate --out exports --days 30 --people 2000 --content 300 --seed 7 --end 2026-06-30
	@$(BIN)/shortlist run --config shortlist.toml --as-of 2026-07-01

test: setup $(SPARK)  ## Run all tests, in three processes; installs Spark for them, once
	@env -u PYTHONDONTWRITEBYTECODE OMP_NUM_THREADS=1 $(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder

fuzz: setup  ## Damage exports and read them, 60 s a format: make fuzz, or make fuzz FORMAT=ga4
	@$(BIN)/python -m tests.fuzz $(FORMAT)

lint: setup  ## Check style and layout
	@$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: setup  ## Check types
	@$(BIN)/mypy

bench: setup  ## Measure one claim, e.g. make bench NAME=features
	@$(BIN)/python -m benchmarks.$(or $(NAME),$(error which one? make bench NAME=...; see benchmarks/))

up: setup  ## Airflow and MLflow with their pages, on this machine only, until Ctrl-C
	@$(BIN)/shortlist up

lock: setup  ## Write requirements*.txt anew from requirements*.in: newest versions, all platforms, with hashes
	@$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --python-version 3.11 requirements.in -o requirements.txt
	@$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --python-version 3.11 -c requirements.txt requirements-spark.in -o requirements-spark.txt

clean:  ## Remove .venv and caches; exports, lake and published tables stay
	@rm -rf .venv *.egg-info build .pytest_cache .mypy_cache .ruff_cache .hypothesis && find . -name __pycache__ -prune -exec rm -rf {} +

reset:  ## Remove what `make run` made from the exports: lake, published, state (with the vault and all models)
	@rm -rf lake published state

$(STAMP): requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { echo "$(PYTHON) is not Python 3.11, 3.12 or 3.13. Name one: make setup PYTHON=python3.12" >&2; exit 1; }
	@echo "Installing into .venv: a minute or two, once."
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "$(PYTHON) cannot make a virtual environment. On Debian or Ubuntu: apt install python3-venv" >&2; exit 1; }
	@sed -n '/^uv==/,/[^\\]$$/p' requirements.txt > .venv/uv.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .venv/uv.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r requirements.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

$(SPARK): requirements-spark.txt $(STAMP)
	@echo "Installing Spark into .venv for the tests: a minute, once."
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-build-isolation --compile-bytecode --require-hashes -r requirements-spark.txt
	@touch $(SPARK)

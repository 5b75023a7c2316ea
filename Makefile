# What a developer or a visitor does with Amends. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCKS := requirements.txt requirements-dev.txt
# Workers, commands and tests are many processes. Without compiled modules each would spend a second or two compiling the same ones.
unexport PYTHONDONTWRITEBYTECODE
COMPILE := uv pip compile --quiet --generate-hashes --universal --python-version 3.11 --no-header \
	--no-emit-index-url --no-emit-find-links pyproject.toml

.PHONY: help setup lock run demo test check format bench bench-large bench-audit bench-pages screenshots faults guards

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## Make .venv and install the locked requirements
	@PYTHON="$(PYTHON)" bash deploy/setup $(VENV) $(LOCKS)

lock: setup ## Make the locks again from pyproject.toml (add UPGRADE=1 for newer versions)
	@$(BIN)/$(COMPILE) $(if $(UPGRADE),--upgrade) --output-file requirements.txt
	@$(BIN)/$(COMPILE) $(if $(UPGRADE),--upgrade) --extra parquet --group dev --constraint requirements.txt \
		--output-file requirements-dev.txt
	@echo "Made again: $(LOCKS). Run make setup to install them."

run: setup ## Set everything up, do the job on the demo's incident, then serve pages and workers until Ctrl-C
	@exec $(BIN)/python manage.py run

demo: setup ## The same without serving
	@exec $(BIN)/python manage.py run --no-serve

test: setup ## The whole suite, on a database and a broker of its own
	@# Much of it waits for processes that start and stop: four at a time keep two cores busy. The longest files come first in the order.
	@$(BIN)/python -m pytest --numprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

check: setup ## Formatting, lint, types, import floors, migrations, deployment checks
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy .
	@$(BIN)/lint-imports
	@$(BIN)/python -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run
	@AMENDS_ENV=production SECRET_KEY=$$($(BIN)/python -c "import secrets; print(secrets.token_urlsafe(64))") \
		ALLOWED_HOSTS=amends.example DATABASE_URL=postgresql://unused/unused REDIS_URL=redis://unused \
		$(BIN)/python manage.py check --deploy --fail-level WARNING

format: setup ## Format and mend what can be mended by itself
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

bench: setup ## Measure preview and apply against a floor and Django's own ways (ROWS=1000000 WORKERS=2; ROWS=100000 is a quick look)
	@$(BIN)/python -m benchmarks $(if $(ROWS),--rows $(ROWS)) $(if $(WORKERS),--workers $(WORKERS)) $(ARGS)

bench-large: setup ## Ten million transactions beside one, two workers beside one (long; 20 GB of disk); its result is kept
	@$(BIN)/python -m benchmarks.large $(ARGS)

bench-audit: setup ## What the trail costs, how fast it is verified, and an evidence pack's memory, at a million transactions (ROWS=100000)
	@$(BIN)/python -m benchmarks.audit $(if $(ROWS),--rows $(ROWS))
	@$(BIN)/python -m benchmarks.verification $(if $(ROWS),--rows $(ROWS))
	@$(BIN)/python -m benchmarks.evidence $(if $(ROWS),--rows $(ROWS))

bench-pages: setup ## Time and queries of every page at a million transactions and 400,000 proposals (ROWS=100000)
	@$(BIN)/python -m benchmarks.pages $(if $(ROWS),--rows $(ROWS))

screenshots: setup ## The pictures of docs/tour.md, taken of the demo by Chromium (ARGS="--all FOLDER" for every page)
	@AMENDS_HOME="$${AMENDS_HOME:-.amends}/screenshots" $(BIN)/python -m tests.screenshots $(ARGS)

faults: setup ## The fault campaign: 1,000 kills and all other faults, about 25 minutes (SEED=1 KILLS=100 FAULT="broker" ARGS=--quick)
	@$(BIN)/python -m tests.faults $(if $(SEED),--seed $(SEED)) $(if $(KILLS),--kills $(KILLS)) $(if $(FAULT),--fault "$(FAULT)") $(ARGS)

guards: setup ## Take out each guard in turn: the fault that it is there for must go red
	@rm -f .amends-guards.json
	@AMENDS_GUARDS_SUMMARY=.amends-guards.json $(BIN)/python -m pytest -q tests/faults/test_guards_removed.py
	@$(BIN)/python -m tests.faults.told .amends-guards.json

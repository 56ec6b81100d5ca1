# Every verb sets up .venv by itself when it is needed; nothing but Python, make and git is assumed.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore

.PHONY: run test check format bench bench-clock bench-console bench-polling bench-start bench-backup soak faults docs screenshots clean
.DEFAULT_GOAL := run

run: .venv/run ## Start central, three nodes and the console (ARGS="--nodes 5 --skew")
	@$(BIN)/python run_cluster.py $(ARGS)

test: .venv/dev ## Every test, in under 3 minutes
	@$(BIN)/pytest $(ARGS)

check: .venv/dev ## Format, lint, types, import rules and the quick tests: before every commit
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/pytest -m "not e2e"

format: .venv/dev ## Put the code into its one format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: .venv/dev ## Print the figures of replication beside their physical limits
	@$(BIN)/python -m benchmarks.replication $(ARGS)

bench-clock: .venv/dev ## Print how well the clock keeps time, beside others
	@$(BIN)/python -m benchmarks.clock $(ARGS)

bench-console: .venv/dev ## Print what the console costs, beside a DataTable
	@$(BIN)/python -m benchmarks.console $(ARGS)

bench-start: .venv/dev ## Print how long a start takes, also after kill -9 with 400 MiB
	@$(BIN)/python -m benchmarks.start $(ARGS)

bench-backup: .venv/dev ## Print what a backup of 400 MiB costs, and whether polls feel it
	@$(BIN)/python -m benchmarks.backup $(ARGS)

bench-polling: .venv/dev ## Print what a thousand polls and a status cost, beside bare aiohttp
	@$(BIN)/python -m benchmarks.polling $(ARGS)

soak: .venv/dev ## Whatever can be tried long: seeds, kills, stories, with their figures (ARGS="--share 0.1")
	@$(BIN)/python -m benchmarks.soak $(ARGS)

faults: .venv/dev ## Run every test of a fault, and write down how each ended in docs/faults.md
	@$(BIN)/pytest -m fault --faults=docs/faults.json $(ARGS); ended=$$?; \
		$(BIN)/python -m docs.generate; exit $$ended

docs: .venv/dev ## Generate what is generated of the documents from the code
	@$(BIN)/python -m docs.generate

screenshots: .venv/dev ## Draw the pictures of docs/pictures anew
	@$(BIN)/python -m docs.screenshots

clean: ## Remove what was made here, but no records
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info

.venv/run: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=python3.11 ..."; exit 2; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	@$(BIN)/python -m pip install --quiet --editable .
	@touch $@

.venv/dev: .venv/run
	@$(BIN)/python -m pip install --quiet --group dev
	@touch $@

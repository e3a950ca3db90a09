# Everything a newcomer runs. Only Python 3.11 or later has to be there; the rest goes into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
SEEDS ?= 1000

.PHONY: help setup demo test check sim bench clean

help:
	@echo "make setup   own .venv with the locked dependencies"
	@echo "make demo    start a grid, load 336,776 flights into a table, kill a primary, count what was lost"
	@echo "make test    all tests that this machine can run"
	@echo "make check   lint, types, layers"
	@echo "make sim     SEEDS=$(SEEDS)  the replication simulator's campaign"
	@echo "make bench   against Redis, DuckDB, PostgreSQL, Hazelcast … (needs redis-server, redis-tools, postgresql; mvn and a JDK 17)"

setup: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "KubeGrid needs Python 3.11 or later; this is %s. Try: make PYTHON=python3.11" % sys.version.split()[0])'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the locked dependencies into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	@# Where PYTHONDONTWRITEBYTECODE is set nothing else compiles: each process of a grid would, all that it imports.
	@$(BIN)/python -m compileall -q -j 0 $(VENV)/lib src >/dev/null || true
	@touch $(STAMP)

demo: setup
	@$(BIN)/python -m demo

test: setup
	@# Two beside each other: those without processes of their own, of which who is done first takes from the other, so that no
	@# long file is left alone at the end; then those that wait for processes more than they work, file by file, for the
	@# tests of a file share a grid. Whole grids need both cores. The first part that fails is the last one.
	@$(BIN)/python -m pytest -n 2 --dist worksteal tests/unit tests/fuzz tests/sim
	@$(BIN)/python -m pytest -n 2 --dist loadfile tests/integration
	@$(BIN)/python -m pytest tests/e2e

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

sim: setup
	@$(BIN)/python -m tests.sim --seeds $(SEEDS)

bench: setup
	@$(BIN)/python -m bench.redis_ratio
	@$(BIN)/python -m bench.failover
	@$(BIN)/python -m bench.load
	@$(BIN)/python -m bench.client
	@$(BIN)/python -m bench.sql
	@$(BIN)/python -m bench.small_sql
	@$(BIN)/python -m bench.tpch
	@$(BIN)/python -m bench.turns
	@$(BIN)/python -m bench.bare
	@$(BIN)/python -m bench.floor
	@$(BIN)/python -m bench.cuts

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

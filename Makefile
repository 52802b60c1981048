# Everything is set up on demand: `make demo` or `make test` in a fresh clone needs only
# make, git and a Python of 3.11 or newer. Nothing is installed outside this directory.

VENV ?= .venv
# The interpreter that makes $(VENV); empty means: the first on PATH that is new enough.
PYTHON ?=
# Processes that share the test suite.
JOBS ?= auto
# More options for pytest, for example: make test ARGS="-x -k rollback"
ARGS ?=
# `make constraints UPGRADE=--upgrade` lets every pin move, not only the new ones.
UPGRADE ?=

VERSIONS := 3.11 3.12 3.13
PY := $(VENV)/bin/python
STAMP := $(VENV)/.ready
PIP := $(PY) -m pip --disable-pip-version-check --no-input
CHECKED := $(wildcard src tests benchmarks examples)
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))

.DEFAULT_GOAL := help
.PHONY: help setup test test-fast test-all lint types pytest demo bench format constraints clean FORCE

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1|\2/p' Makefile | awk -F'|' '{printf "make %-12s %s\n", $$1, $$2}'

# The stamp names the directory it was made for: an environment that was interrupted, lost its
# interpreter or was moved with the clone has no valid stamp and is made again from nothing.
ifneq ($(shell test -x $(PY) && cat $(STAMP) 2>/dev/null),$(CURDIR))
$(STAMP): FORCE
endif

$(STAMP): constraints.txt pyproject.toml
	@set -e; \
	if ! { test -x $(PY) && test "$$(cat $@ 2>/dev/null)" = "$(CURDIR)"; }; then \
		python="$(PYTHON)"; \
		for candidate in python3 python3.13 python3.12 python3.11; do \
			test -z "$$python" || break; \
			! $$candidate -c '$(NEW_ENOUGH)' 2>/dev/null || python=$$candidate; \
		done; \
		test -n "$$python" || { \
			echo "No Python of 3.11 or newer: tried python3, python3.13, python3.12 and python3.11." >&2; \
			echo "Install one, or name it: make PYTHON=/path/to/python3 $(MAKECMDGOALS)" >&2; exit 1; }; \
		"$$python" -c '$(NEW_ENOUGH)' || { \
			echo "PYTHON=$$python is not a Python of 3.11 or newer." >&2; exit 1; }; \
		"$$python" -c 'import ensurepip, venv' 2>/dev/null || { \
			echo "$$python cannot make virtual environments: its venv or ensurepip module is missing." >&2; \
			echo "On Debian and Ubuntu: apt install python3-venv. Or name another: make PYTHON=/path/to/python3" >&2; \
			exit 1; }; \
		echo "Making $(VENV) with $$("$$python" --version)"; \
		"$$python" -m venv --clear $(VENV); \
	fi
	@rm -f $@
	@$(PIP) install --quiet --require-hashes -r constraints.txt
	@$(PIP) install --quiet --no-deps --no-build-isolation --editable .
	@printf '%s\n' "$(CURDIR)" > $@

setup: $(STAMP) ## make or bring up to date the environment in .venv

test: lint pytest ## lint, types and every test: what a change has to pass

lint: types ## ruff and mypy
types: $(STAMP)
	@$(PY) -m ruff check $(CHECKED)
	@$(PY) -m ruff format --check $(CHECKED)
	@$(PY) -m mypy $(CHECKED)

pytest: $(STAMP)
	@$(PY) -m pytest -n $(JOBS) $(ARGS)

# Everything is set up on demand: `make demo` or `make test` in a fresh clone needs only
# make, git and a Python of 3.11 or newer. Nothing is installed outside this directory.

VENV = .venv
# The interpreter that makes $(VENV); empty means: the first on PATH that is new enough.
PYTHON =
# Processes that share the test suite.
JOBS = auto
# More options for pytest, for example: make test ARGS="-x -k rollback"
ARGS =
# `make constraints UPGRADE=--upgrade` lets every pin move, not only the new ones.
UPGRADE =

VERSIONS = 3.11 3.12 3.13
PY = $(VENV)/bin/python
PIP = $(PY) -m pip --disable-pip-version-check --no-input
STAMP = $(VENV)/.ready
# What `make bench-peers` measures beside Perdure is in an environment of its own.
PEERS = .venv-peers
PEERS_STAMP = $(PEERS)/.ready
PEERS_PINS = benchmarks/peers/constraints.txt
CHECKED = $(wildcard src tests benchmarks examples)
CACHES = .hypothesis .mypy_cache .pytest_cache .ruff_cache

NEW_ENOUGH = import sys; sys.exit(sys.version_info < (3, 11))

# Shell: sets $$python, or says what is missing and stops.
define FIND_PYTHON
python="$(PYTHON)"; \
for candidate in python3 python3.13 python3.12 python3.11; do \
	test -z "$$python" || break; \
	! $$candidate -c '$(NEW_ENOUGH)' 2>/dev/null || python=$$candidate; \
done; \
test -n "$$python" || { \
	echo "No Python of 3.11 or newer: tried python3, python3.13, python3.12 and python3.11." >&2; \
	echo "Install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 1; }; \
"$$python" -c '$(NEW_ENOUGH)' || { \
	echo "PYTHON=$$python is not a Python of 3.11 or newer." >&2; exit 1; }; \
"$$python" -c 'import ensurepip, venv' 2>/dev/null || { \
	echo "$$python cannot make virtual environments: its venv or ensurepip module is missing." >&2; \
	echo "On Debian and Ubuntu: apt install python3-venv" >&2; \
	echo "Or name another: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; exit 1; }
endef

.DEFAULT_GOAL := help
# Lint first and pytest last, so that its closing line is the last line, whatever -j says.
.NOTPARALLEL:
.PHONY: help setup demo test test-fast test-all pytest lint format fuzz bench bench-growth bench-peers constraints clean remake

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1|\2/p' Makefile | \
		awk -F'|' '{ printf "make %-12s %s\n", $$1, $$2 }'

setup: $(STAMP) ## make .venv, or bring it up to date

# The stamp holds the directory it was made in: an environment whose making was interrupted, that
# lost its interpreter or was moved has no valid stamp, and is made again from nothing.
ifneq ($(shell test -x $(PY) && cat $(STAMP) 2>/dev/null),$(CURDIR))
$(STAMP): remake
endif

$(STAMP): constraints.txt pyproject.toml
	@set -e; \
	if ! { test -x $(PY) && test "$$(cat $@ 2>/dev/null)" = "$(CURDIR)"; }; then \
		$(FIND_PYTHON); \
		echo "Making $(VENV) with $$("$$python" --version)"; \
		"$$python" -m venv --clear $(VENV); \
	fi; \
	rm -f $@; \
	$(PIP) install --quiet --require-hashes -r constraints.txt; \
	$(PIP) install --quiet --no-deps --no-build-isolation --editable .; \
	printf '%s\n' "$(CURDIR)" > $@

demo: $(STAMP) ## an agent is killed and resumes
	@$(VENV)/bin/perdure demo

test: lint pytest ## what a change has to pass: lint, types and every test

test-fast: $(STAMP) ## the unit tests alone
	@$(PY) -m pytest tests/unit $(ARGS)

test-all: lint ## the suite on every Python of 3.11, 3.12 and 3.13 on PATH or under pyenv
	@passed=; failed=; missing=; \
	pyenv=$$(pyenv root 2>/dev/null || echo "$$HOME/.pyenv"); \
	for version in $(VERSIONS); do \
		found=; \
		for candidate in python$$version "$$pyenv"/versions/$$version.*/bin/python; do \
			test -z "$$found" || break; \
			! "$$candidate" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$$version')" \
				2>/dev/null || found=$$candidate; \
		done; \
		if test -z "$$found"; then missing="$$missing $$version"; continue; fi; \
		echo "Python $$version"; \
		if $(MAKE) --no-print-directory pytest VENV=.venv-$$version PYTHON="$$found"; \
		then passed="$$passed $$version"; else failed="$$failed $$version"; fi; \
	done; \
	echo "passed:$${passed:- none}; failed:$${failed:- none}; not found:$${missing:- none}"; \
	test -n "$$passed" && test -z "$$failed"

pytest: $(STAMP)
	@$(PY) -m pytest -n $(JOBS) --dist worksteal $(ARGS)

lint: $(STAMP) ## ruff and mypy --strict
	@$(PY) -m ruff check $(CHECKED)
	@$(PY) -m ruff format --check $(CHECKED)
	@$(PY) -m mypy $(CHECKED)

format: $(STAMP) ## let ruff format the code and fix what it can
	@$(PY) -m ruff format $(CHECKED)
	@$(PY) -m ruff check --fix $(CHECKED)

fuzz: $(STAMP) ## look for inputs that parsers of stored bytes fail on, for a minute; takes atheris
	@$(PY) -m tests.fuzz.harness tests/fuzz/corpus -max_total_time=60 $(ARGS)

bench: $(STAMP) ## the benchmarks, each as a ratio to a floor of the same run
	@$(PY) -m benchmarks $(ARGS)

bench-growth: $(STAMP) ## costs of a conversation of 100 to 100,000 messages; ARGS=--write renews docs/
	@$(PY) -m benchmarks.growth $(ARGS)

bench-peers: $(PEERS_STAMP) ## Perdure beside other libraries; ARGS=--write renews docs/benchmarks.md
	@PYTHONPATH=src $(PEERS)/bin/python -m benchmarks.peers $(ARGS)
	@PYTHONPATH=src $(PEERS)/bin/python -m benchmarks.peers.langgraph_threads
	@PYTHONPATH=src $(PEERS)/bin/python -m benchmarks.peers.openai_sessions

ifneq ($(shell test -x $(PEERS)/bin/python && cat $(PEERS_STAMP) 2>/dev/null),$(CURDIR))
$(PEERS_STAMP): remake
endif

$(PEERS_STAMP): $(PEERS_PINS)
	@set -e; $(FIND_PYTHON); \
	echo "Making $(PEERS) with $$("$$python" --version)"; \
	"$$python" -m venv --clear $(PEERS); \
	$(PEERS)/bin/python -m pip --disable-pip-version-check --no-input install --quiet \
		--require-hashes -r $(PEERS_PINS); \
	printf '%s\n' "$(CURDIR)" > $@

# Perdure's own dependencies are the same versions for the peers as everywhere else.
constraints: ## pin the dependencies again; UPGRADE=--upgrade moves every pin
	@set -e; $(FIND_PYTHON); \
	work=$$(mktemp -d); trap 'rm -rf "$$work"' EXIT; trap 'exit 130' INT TERM; \
	"$$python" -m venv "$$work/venv"; \
	"$$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check uv; \
	pin() { \
		file="$$1"; shift; \
		cp "$$file" "$$work/pins.txt"; \
		"$$work/venv/bin/uv" pip compile "$$@" --quiet \
			--universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
			--no-emit-index-url --no-emit-find-links $(UPGRADE) --output-file "$$work/pins.txt"; \
		grep -v '^ *#' "$$work/pins.txt" > "$$work/constraints.txt"; \
		if grep '://' "$$work/constraints.txt"; then exit 1; fi; \
		cp "$$work/constraints.txt" "$$file"; \
	}; \
	pin constraints.txt pyproject.toml --all-extras --group dev; \
	cp constraints.txt "$$work/ours.txt"; \
	pin "$$work/ours.txt" pyproject.toml; \
	pin $(PEERS_PINS) pyproject.toml benchmarks/peers/requirements.txt --constraint "$$work/ours.txt"

clean: ## remove the environments, caches and build results
	@rm -rf .venv .venv-* build dist $(CACHES)
	@find $(CHECKED) -name __pycache__ -type d -prune -exec rm -rf {} +

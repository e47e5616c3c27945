# The project's commands. `make` alone lists them. They make their own virtual environment, and make it again when
# pyproject.toml changes.

PYTHON ?= $(firstword $(foreach name,python3 python3.13 python3.12 python3.11,$(if $(shell $(name) -c \
	'import sys; print(sys.version_info >= (3, 11) or "")' 2>/dev/null | grep True),$(name))))
VENV := .venv
BIN := $(VENV)/bin
G4F := .venv-g4f
LLMOCK := .venv-llmock
CLIENTS := .venv-clients
HOUSES := .venv-houses
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input

# In CI errors alone; for people warnings too.
QUIET := $(if $(CI),-qq,-q)

# What the tests need of the system, and pip cannot bring: browsers for the page, a compiler for the benchmarks' own upstream,
# and on Linux valgrind, which counts instructions. Where something is missing, root gets Debian's, and others are told before anything starts.
MISSING := $(strip $(if $(shell command -v chromium || command -v chromium-browser || command -v google-chrome-stable || \
	command -v google-chrome),,chromium) \
	$(if $(shell command -v firefox-esr || command -v firefox),,firefox-esr) \
	$(if $(shell echo 'int main(void) { return 0; }' | gcc -xc -o /dev/null - 2> /dev/null && echo yes),,gcc libc6-dev) \
	$(if $(filter Linux,$(shell uname)),$(if $(shell command -v valgrind && command -v vgdb),,valgrind)))

# Tests of so many files run side by side; what measures runs alone, after them.
JOBS ?= $(shell cores=$$(nproc 2> /dev/null || echo 1); echo $$((cores < 4 ? cores : 4)))

# Tests without an engine, a browser or a socket: tests/support/no_sockets.py holds them to it. `make check` has the layers.
QUICK := tests/wires tests/gateway tests/kinds tests/engine/test_engine_request.py tests/engine/test_gguf.py \
	tests/engine/test_schema.py tests/streams/test_memory.py tests/streams/test_readers.py tests/streams/test_record_encoder.py \
	tests/streams/test_records.py tests/cli/test_markdown.py tests/cli/test_telling.py tests/test_answer.py tests/test_config.py \
	tests/test_limiter.py

# A Python that is named, and is of another version than the environment's, has the environment made anew.
VERSION = import sys; print(sys.version_info[:2])
OTHER := $(if $(filter command environment,$(firstword $(origin PYTHON))),$(shell [ ! -x $(BIN)/python ] || \
	[ "$$($(PYTHON) -c '$(VERSION)')" = "$$($(BIN)/python -c '$(VERSION)')" ] || echo yes))
ifeq ($(OTHER),yes)
.PHONY: $(BIN)/python $(VENV)/.dev $(VENV)/.chat
endif

# What `make chat` asks: make chat PROMPT="Why is the sky blue?"
PROMPT ?= Hello! What is the capital of France, and what is it known for?
export PROMPT

.DEFAULT_GOAL := help
.PHONY: help chat test quick pythons houses proof check bench bench-peers docs site vendor system clean

help: ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

chat: $(VENV)/.chat ## set up, fetch the weights (98 MB), and stream an answer; PROMPT="…" asks something else
	@$(BIN)/autonomousai pull > /dev/null
	@$(BIN)/autonomousai chat --temperature 0 "$$PROMPT"

test: $(if $(MISSING),system) $(VENV)/.dev $(G4F)/.ready $(LLMOCK)/.ready $(CLIENTS)/.ready ## set up, and run all tests
	@$(BIN)/autonomousai pull > /dev/null
	@$(BIN)/autonomousai pull qwen2.5-coder-0.5b > /dev/null # 490 MB: what tests of tools run on
	@$(MAKE) --no-print-directory check
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --ignore tests/bench --ignore tests/houses
	$(BIN)/python -m pytest tests/bench
	@$(MAKE) --no-print-directory pythons

quick: $(VENV)/.dev ## run the tests without engine, browser and sockets: half a minute
	$(BIN)/python -m pytest -q -n $(JOBS) -m "not thorough" --hypothesis-profile quick -p tests.support.no_sockets $(QUICK)

pythons: $(VENV)/.dev ## run a sample of the tests with each further Python of the machine, 3.11 to 3.14: a minute each
	@$(BIN)/python tests/pythons.py $(JOBS)

houses: $(VENV)/.dev $(HOUSES)/.ready ## run coding agents (Codex, opencode, Aider, Qwen Code) against the server, and the server on Ray; fetches 600 MB
	$(BIN)/python -m pytest tests/houses

proof: $(VENV)/.dev $(VENV)/.weights $(LLMOCK)/.ready ## run the proofs whole, for half an hour, and write docs/proof.md
	$(BIN)/python docs/prove.py

check: $(VENV)/.dev ## format, lint, types, layers: seconds
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_layers.py

bench: $(VENV)/.dev $(VENV)/.weights ## time what must be quick, beside what it could be; wants gcc and Linux
	@$(BIN)/python bench/all.py

bench-peers: $(VENV)/.dev $(VENV)/.weights ## the same beside other clients and gateways; writes docs/performance
	@$(BIN)/python bench/peers.py
	@$(BIN)/python bench/costs.py --write
	@$(BIN)/python bench/all.py --peers --write

docs: $(VENV)/.dev $(VENV)/.weights ## run every example of the documentation, and follow its links
	$(BIN)/python -m pytest -q tests/test_docs.py tests/test_tutorial.py tests/test_site.py

site: $(VENV)/.dev ## build the documentation's site into site/
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

vendor: ## fetch the chat page's libraries from npm, at their recorded versions: only for who changes the record
	$(PYTHON) docs/vendor.py

system:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
		echo "installing what the tests need of Debian: $(MISSING)" >&2; \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $(MISSING); \
	else \
		echo "make: the tests need what is not here; on Debian: apt-get install $(MISSING)" >&2; exit 1; \
	fi

clean: ## remove the environments and what tools have left
	rm -rf $(VENV) $(G4F) $(LLMOCK) $(CLIENTS) $(HOUSES) .venv-peers .venv-3.* .bench .mypy_cache .ruff_cache .pytest_cache .hypothesis dist build site

$(VENV)/.weights: $(VENV)/.dev
	@$(BIN)/autonomousai pull > /dev/null
	@$(BIN)/autonomousai pull qwen2.5-coder-0.5b > /dev/null
	@touch $@

# Debian's python3 comes without what `venv` needs to put pip inside; pip itself can install into any environment.
$(BIN)/python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "make: no Python of 3.11 or later was found; install one, or name it: make PYTHON=/path/to/python3" >&2; exit 1; fi
	@echo "setting up $(VENV)" >&2
	@rm -rf $(VENV)
	@if $(PYTHON) -m pip --python $(PYTHON) --version > /dev/null 2>&1; then \
		$(PYTHON) -m venv --without-pip $(VENV) && \
		$(PYTHON) -m pip --python $(BIN)/python --disable-pip-version-check --no-input install $(QUIET) "pip>=23"; \
	elif $(PYTHON) -c "import ensurepip" > /dev/null 2>&1; then \
		$(PYTHON) -m venv $(VENV); \
	else \
		echo "make: $(PYTHON) has neither pip nor ensurepip; on Debian: apt-get install python3-pip" >&2; exit 1; \
	fi || { rm -rf $(VENV); exit 1; }

# The tests' environment has everything that the chat needs.
$(VENV)/.chat: pyproject.toml | $(BIN)/python
	@if [ $(VENV)/.dev -nt pyproject.toml ]; then :; else \
		echo "installing what a chat needs" >&2; $(PIP) install $(QUIET) -e ".[local]"; fi
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	@echo "installing what the tests need" >&2
	@$(PIP) install $(QUIET) -e ".[dev]"
	@touch $@

$(G4F)/.ready: pyproject.toml tests/compat/g4f_env.py | $(VENV)/.dev
	@$(BIN)/python tests/compat/g4f_env.py $(G4F)
	@touch $@

$(LLMOCK)/.ready: tests/compat/llmock_env.py | $(VENV)/.dev
	@$(BIN)/python tests/compat/llmock_env.py $(LLMOCK)
	@touch $@

$(CLIENTS)/.ready: tests/compat/clients_env.py tests/compat/clients/package-lock.json | $(VENV)/.dev
	@$(BIN)/python tests/compat/clients_env.py $(CLIENTS)
	@touch $@

$(HOUSES)/.ready: tests/houses/houses_env.py tests/houses/package-lock.json | $(VENV)/.dev
	@$(BIN)/python -m tests.houses.houses_env $(HOUSES)
	@touch $@

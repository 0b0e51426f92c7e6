# `make serve` serves the demo application, `make test` runs what CI runs. `make help` lists the rest.
# PYTHON=python3.13 chooses the interpreter; each version has a virtual environment and a build of its own.

PYTHON ?= python3
SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# 3.13, or 3.14t for a free-threaded one; `none` where there is no interpreter, which scripts/preflight explains
TAG := $(shell $(PYTHON) -c 'import sys, sysconfig; print("%d.%d%s" % (*sys.version_info[:2], "t" * bool(sysconfig.get_config_var("Py_GIL_DISABLED"))))' 2>/dev/null || echo none)
VENV := $(CURDIR)/.venv-$(TAG)
BIN := $(VENV)/bin
LIBDIR := $(shell $(PYTHON) -c 'import sysconfig; print(sysconfig.get_config_var("LIBDIR") or "")' 2>/dev/null)

# maturin builds without libpython and cargo's tests with it: in one directory each would undo the other's work
EXTENSION_TARGET := $(CURDIR)/target/python-$(TAG)
CARGO_ENV := PYO3_PYTHON=$(BIN)/python CARGO_TARGET_DIR=$(CURDIR)/target/cargo-$(TAG) \
	LD_LIBRARY_PATH=$(LIBDIR):$$LD_LIBRARY_PATH DYLD_FALLBACK_LIBRARY_PATH=$(LIBDIR):$$DYLD_FALLBACK_LIBRARY_PATH
MATURIN := env -u CONDA_PREFIX VIRTUAL_ENV=$(VENV) CARGO_TARGET_DIR=$(EXTENSION_TARGET) $(BIN)/maturin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

SOURCES := Cargo.toml Cargo.lock pyproject.toml README.md LICENSE-MIT LICENSE-APACHE \
	$(shell find crates -name '*.rs' -o -name Cargo.toml) $(shell find python -name '*.py' -o -name '*.pyi')
PYTHON_CODE := python tests bench conformance scripts
FUZZ_SECONDS ?= 20

say = @echo "==> $(1)"

.PHONY: help
help: ## list what there is
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 20
	@echo "  PYTHON=python3.13 make ... takes another interpreter (now: $(PYTHON), which is $(TAG))"

.PHONY: serve
serve: $(VENV)/.built-release ## build in release mode and serve the demo application (ARGS are passed on)
	@exec $(BIN)/whiskyjack whiskyjack.demo:application $(ARGS)

.PHONY: build
build: $(VENV)/.built-release ## build in release mode into the virtual environment

# A build that counts, the work it is trained with, and a build that goes by the counts.
.PHONY: wheel
wheel: $(VENV)/.made ## build a wheel into dist/, optimized by a profile (PGO; needs `rustup component add llvm-tools`)
	@sh scripts/preflight $(PYTHON) llvm-tools
	$(call say,a wheel for Python $(TAG) in dist - it is built twice; some five minutes)
	@$(MATURIN) build --release --pgo --quiet --interpreter $(BIN)/python --out dist

.PHONY: test
test: lint test-rust test-python ## run everything that CI runs
	$(call say,everything passed)

.PHONY: lint
lint: $(VENV)/.built-test $(VENV)/.tools ## check formatting, clippy, ruff and types
	$(call say,cargo fmt)
	@cargo fmt --all --check
	$(call say,cargo clippy)
	@$(CARGO_ENV) cargo clippy --locked --quiet --workspace --all-targets -- -D warnings
	$(call say,ruff)
	@$(BIN)/ruff check --quiet $(PYTHON_CODE)
	@$(BIN)/ruff format --quiet --check $(PYTHON_CODE) \
		|| { echo "ruff would change the format of some files: ruff format --diff $(PYTHON_CODE)" >&2; exit 1; }
	$(call say,mypy)
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/mypy --no-error-summary bench/*.py bench/clients/*.py scripts/*.py

.PHONY: test-rust
test-rust: $(VENV)/.made
	$(call say,cargo tests)
	@if cargo nextest --version >/dev/null 2>&1; then \
		$(CARGO_ENV) cargo nextest run --locked --workspace --no-fail-fast --status-level fail --cargo-quiet \
		&& $(CARGO_ENV) cargo test --locked --quiet --workspace --doc; \
	else \
		$(CARGO_ENV) cargo test --locked --quiet --workspace --no-fail-fast; \
	fi

.PHONY: test-python
test-python: $(VENV)/.built-test $(VENV)/.tools
	$(call say,pytest)
	@$(BIN)/python -m pytest $(ARGS)

# The part of both that asks what several threads do, for an interpreter in which they run at the same time.
THREADS_MATTER := tests/test_free_threading.py tests/test_same_connection.py tests/test_gateway.py tests/test_environ.py \
	tests/test_deadline.py tests/test_embedded.py tests/test_recycling.py tests/test_websockets.py tests/test_slow_clients.py

.PHONY: test-threads
test-threads: $(VENV)/.built-test $(VENV)/.tools
	$(call say,what threads matter to)
	@$(CARGO_ENV) cargo test --locked --quiet -p whiskyjack-wsgi
	@$(BIN)/python -m pytest $(THREADS_MATTER) $(ARGS)

.PHONY: fuzz
fuzz: ## fuzz the protocol, FUZZ_SECONDS=20 for each target (TARGETS="head chunked" takes some of them)
	@TARGETS="$(TARGETS)" sh scripts/fuzz -max_total_time=$(FUZZ_SECONDS)

# The same inputs each time on a fresh clone, and a bound for slow machines.
.PHONY: fuzz-smoke
fuzz-smoke:
	@cargo fmt --manifest-path fuzz/Cargo.toml --check
	@TARGETS="$(TARGETS)" sh scripts/fuzz -seed=1 -runs=20000 -max_total_time=10

.PHONY: bench
bench: | preflight ## measure against other servers (ARGS are passed to bench/run.py)
	@$(PYTHON) bench/run.py $(ARGS)

.PHONY: instructions
instructions: $(VENV)/.built-release ## count the instructions of a request and compare with the baseline (needs valgrind)
	@$(CARGO_ENV) $(BIN)/python bench/instructions.py $(ARGS)

.PHONY: conformance
conformance: $(VENV)/.built-release ## put the corpus to this and other servers (ARGS are passed to conformance/run.py)
	@$(BIN)/python conformance/run.py $(ARGS)

.PHONY: reference
reference: $(VENV)/.built-release ## write docs/reference.md from the settings
	@$(BIN)/whiskyjack --print-reference > docs/reference.md

.PHONY: clean
clean: ## remove what was built, virtual environments included
	rm -rf target fuzz/target .venv-* python/whiskyjack/*.so

.PHONY: preflight
preflight:
	@sh scripts/preflight $(PYTHON)

$(VENV)/.made: | preflight
	$(call say,virtual environment .venv-$(TAG))
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install 'maturin>=1.16,<2'
	@touch $@

$(VENV)/.tools: tests/requirements.txt $(VENV)/.made
	$(call say,what the tests need)
	@$(PIP) install -r tests/requirements.txt
	@touch $@

# Both profiles put their library in the same place, so the last one built is the one that is there.
$(VENV)/.built-release: $(VENV)/.made $(SOURCES) | preflight
	$(call say,building for Python $(TAG) in release mode - a minute or two the first time)
	@rm -f $(VENV)/.built-*
	@$(MATURIN) develop --release --quiet
	@touch $@

$(VENV)/.built-test: $(VENV)/.made $(SOURCES) | preflight
	$(call say,building for Python $(TAG) with debug assertions)
	@rm -f $(VENV)/.built-*
	@$(MATURIN) develop --quiet
	@touch $@

# kubestudy: `make run` runs the main job on this machine, `make test` all tests. Both do their own
# set-up: Python environments in .venv and .venv-trial, the example data in data/, and for the tests
# a Kubernetes cluster built from Go modules and Debian packages, cached in ~/.cache/kubestudy.

SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
TRIAL := .venv-trial/bin
PIP := -m pip --disable-pip-version-check --no-input
CLUSTER := $(PYTHON) -m tests.testcluster
PYTEST := $(BIN)/python -m pytest
PREPARE := $(PYTHON) -m tests.support.prepare

.DEFAULT_GOAL := help
.PHONY: help setup run test check format generate lock sbom audit \
	cluster-up cluster-down bench bench-search clean \
	test-unit test-cli test-examples test-trial test-prometheus test-apiserver test-faults test-fuzz test-e2e

help: ## List the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

run: .venv/ready .venv-trial/ready data/NOTICE.txt ## Tune a small real BERT on real news texts, on this machine
	PATH="$(CURDIR)/$(TRIAL):$$PATH" $(BIN)/kubestudy run manifests/examples/news-grid.yaml

setup: .venv/ready .venv-trial/ready data/NOTICE.txt ## Make the environments and the example data

# The cheap and telling ones first. What those on Kubernetes want is built beside them.
TESTS := test-unit test-cli test-trial test-examples test-prometheus test-apiserver test-e2e
test: ## Run all tests (with all set-up; under 40 minutes)
	@$(PREPARE) & trap "kill $$! 2>/dev/null" EXIT; $(MAKE) --no-print-directory $(TESTS); exit $$?

test-unit: .venv/ready ## Test the core, the algorithms and the API models (seconds)
	$(PYTEST) tests/unit

test-cli: .venv/ready ## Test the command line and local runs
	$(PYTEST) tests/cli

test-trial: .venv-trial/ready data/NOTICE.txt ## Test the trial package with the real Trainer
	$(TRIAL)/python -m pytest tests/trial

test-examples: .venv/ready .venv-trial/ready data/NOTICE.txt ## Run every example
	PATH="$(CURDIR)/$(TRIAL):$$PATH" $(PYTEST) tests/examples

test-prometheus: .venv/ready ## Test reading metrics from a real Prometheus (Debian's)
	$(PYTEST) tests/prometheus

test-apiserver: .venv/ready .venv-trial/ready data/NOTICE.txt ## Test the API and the controller on a real API server
	$(PREPARE) programs
	PATH="$(CURDIR)/$(TRIAL):$$PATH" $(PYTEST) tests/apiserver

test-faults: .venv/ready ## Test faults at length: 500 kills, ten minutes of partition, a lost node, odd input (two hours)
	$(PREPARE) programs
	KUBESTUDY_THOROUGH=1 $(PYTEST) tests/unit/test_state_machine.py $(addprefix tests/apiserver/test_, \
		kills.py faults.py watching.py obstacles.py leading.py clocks.py same_suggestions.py)
	KUBESTUDY_THOROUGH=1 $(PYTEST) tests/e2e/test_node_faults.py tests/e2e/test_log_storms.py
	$(MAKE) --no-print-directory test-fuzz

FUZZ_MINUTES ?= 60
test-fuzz: .venv/ready ## Give odd input to all that reads what others wrote, for FUZZ_MINUTES (60)
	PYTHONPATH=controller:trial_image $(BIN)/python -m tests.fuzz --minutes $(FUZZ_MINUTES)

test-e2e: .venv/ready data/NOTICE.txt ## Test images, controller and real training on a whole cluster
	$(PREPARE) programs images others
	$(PYTEST) tests/e2e

check: .venv/ready ## Lint, types, layers, generated files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python manifests/generate.py --check

format: .venv/ready ## Format the code and mend what can be mended
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

generate: .venv/ready ## Write the generated manifests
	$(BIN)/python manifests/generate.py

bench: .venv/ready ## Measure the overhead on the test cluster
	$(BIN)/python -m bench.overhead

bench-search: ## Compare the search with Optuna, Ray Tune and Syne Tune (hours; see docs/search-benchmarks.md)
	$(PYTHON) -m bench.search

# In an environment of its own that goes afterwards: neither tool is one of ours.
TOOL = tool=$$(mktemp -d) && trap "rm -rf $$tool" EXIT && $(PYTHON) -m venv $$tool && $$tool/bin/python $(PIP) install -q
sbom: ## Write the controller's bill of materials (CycloneDX) to dist/sbom.cdx.json
	@mkdir -p dist
	$(TOOL) cyclonedx-bom && $$tool/bin/cyclonedx-py requirements requirements.lock -o dist/sbom.cdx.json

audit: ## Ask PyPI for known vulnerabilities of the locked dependencies
	$(TOOL) pip-audit && $$tool/bin/pip-audit --disable-pip --require-hashes --strict -r requirements.lock

cluster-up: ## Bring up a one-node Kubernetes on this machine (Debian, root, Go)
	$(CLUSTER) up

cluster-down: ## Take it down and leave nothing behind
	$(CLUSTER) down

COMPILE = $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-annotate --no-header --upgrade
lock: .venv/ready ## Pin the newest versions of all dependencies
	$(BIN)/python $(PIP) install -q uv
	$(COMPILE) --extra controller pyproject.toml -o requirements.lock
	$(COMPILE) --extra controller --group dev pyproject.toml -o requirements-dev.lock
	$(COMPILE) --group test -o requirements-test.lock
	$(COMPILE) --extra trainer trial_image/pyproject.toml -o trial_image/requirements.lock

clean: ## Remove environments, caches, data and results
	rm -rf .venv .venv-trial .venv-bench .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache \
		data results

# An environment is ready when all of it is in; one that was cut off is made anew.
VENV = rm -rf $(@D) && $(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14) and "kubestudy needs Python 3.11 to 3.13; set PYTHON=...")' \
	&& { $(PYTHON) -m venv $(@D) || { apt-get update -q && apt-get install -yq python3-venv && $(PYTHON) -m venv $(@D); }; }

.venv/ready: requirements-dev.lock pyproject.toml
	$(VENV)
	$(BIN)/python $(PIP) install -q --require-hashes -r requirements-dev.lock
	$(BIN)/python $(PIP) install -q --no-deps -e .
	@touch $@

.venv-trial/ready: trial_image/requirements.lock requirements-test.lock trial_image/pyproject.toml
	$(VENV)
	@echo "Installing torch and transformers (3 GB; a few minutes)..."
	$(TRIAL)/python $(PIP) install -q --require-hashes -r trial_image/requirements.lock
	$(TRIAL)/python $(PIP) install -q --require-hashes -r requirements-test.lock
	$(TRIAL)/python $(PIP) install -q --no-deps -e trial_image
	@touch $@

data/NOTICE.txt: manifests/examples/prepare_data.py
	$(PYTHON) manifests/examples/prepare_data.py data
	@touch $@

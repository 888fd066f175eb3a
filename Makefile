# Every command of this repository.  `make` or `make help` lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
HACK := $(PYTHON) -m hack
# Each of the many programs that the tests start would compile all of its modules again.
unexport PYTHONDONTWRITEBYTECODE

##@ Start here
.PHONY: help
help: ## List the commands
	@awk 'BEGIN {FS = ":.*## "} \
	  /^##@/ {printf "\n\033[1m%s\033[0m\n", substr($$0, 5)} \
	  /^[a-zA-Z_-]+:.*## / {printf "  \033[36m%-16s\033[0m %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo

.PHONY: demo
demo: $(READY) ## Play a model's whole life on real data (sets up everything, keeps the cluster)
	@$(BIN)/python -m examples.weather.demo

.PHONY: demo-down
demo-down: ## Remove what the demo made, and the cluster that it started
	@$(HACK) demo-down

##@ Change something
.PHONY: setup
setup: $(READY) ## Make the virtual environment from hash-locked requirements

$(READY): requirements/dev.txt pyproject.toml
	@echo "==> Python environment in $(VENV) (hash-locked; a few minutes the first time)"
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: fmt
fmt: $(READY) ## Format, and fix what a tool can fix
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

.PHONY: crds
crds: $(READY) ## Write the CRDs from the API types, and what is generated from them
	@$(BIN)/modelyard-crds crds
	@$(BIN)/python -m hack.manifests

LOCK = uv pip compile --quiet --generate-hashes --no-annotate --no-emit-index-url \
  --no-emit-find-links --python-version 3.11 --custom-compile-command "make lock"
ROOMS := operator training serving scoring router monitor

.PHONY: lock
lock: ## Lock the requirements anew, with hashes and without index addresses (needs uv)
	@for room in $(ROOMS); do $(LOCK) pyproject.toml --extra $$room --output-file requirements/$$room.txt; done
	@$(LOCK) pyproject.toml $(addprefix --extra ,$(ROOMS)) --group dev --output-file requirements/dev.txt
	@$(LOCK) --override requirements/clients-override.in requirements/clients.in --output-file requirements/clients.txt
	@for peer in mlserver kserve litserve bentoml; do $(LOCK) requirements/bench-$$peer.in --output-file requirements/bench-$$peer.txt; done
	@echo 'hatchling>=1.27' | $(LOCK) - --output-file requirements/build.txt

##@ Prove it
.PHONY: lint
lint: $(READY) ## Style, import rules, types, spelling, generated files
	@echo "==> ruff";     $(BIN)/ruff check . && $(BIN)/ruff format --check .
	@echo "==> imports";  $(BIN)/lint-imports
	@echo "==> types";    $(BIN)/mypy
	@echo "==> spelling"; $(BIN)/codespell README.md CONTRIBUTING.md CHANGELOG.md docs core operator training serving router monitor hack examples bench charts tests
	@$(MAKE) verify

.PHONY: verify
verify: $(READY) ## What is generated is current; operator/ stays a folder
	@echo "==> generated files"
	@test ! -e operator/__init__.py || { echo "operator/__init__.py must not exist: it shadows the standard library's operator"; exit 1; }
	@$(BIN)/modelyard-crds --check crds

.PHONY: test-fast
test-fast: $(READY) ## The inner loop: everything that needs no cluster, under a minute
	@$(BIN)/pytest -q -n auto --dist worksteal -p no:schemathesis -m "not cluster and not envoy and not clients and not slow"

.PHONY: test
test: $(READY) ## Every level, on a real cluster that it sets up
	@echo "==> tests that need no cluster"
	@$(BIN)/pytest -q -m "not cluster"
	@$(HACK) test

.PHONY: soak
soak: $(READY) ## The long tests: half load and nonsense for MODELYARD_SOAK_SECONDS each (3600), new examples, a long fuzz
	@$(BIN)/pytest -q -m soak tests/soak
	@MODELYARD_FUZZ=$${MODELYARD_FUZZ:-20} $(BIN)/pytest -q -m "hypothesis and not cluster" tests/unit tests/contract

##@ Cluster
.PHONY: cluster-up
cluster-up: ## Bring up a Kubernetes (kind where Docker answers, else from its own sources)
	@$(HACK) cluster up

.PHONY: cluster-down
cluster-down: ## Stop it and leave nothing behind
	@$(HACK) cluster down

.PHONY: cluster-purge
cluster-purge: ## Stop it and delete its state too (what was built stays cached)
	@$(HACK) cluster purge

.PHONY: cluster-status
cluster-status: ## Say how it is
	@$(HACK) cluster status

.PHONY: images
images: ## Build the six images and load them into the cluster (unchanged inputs rebuild nothing)
	@$(HACK) images

.PHONY: install
install: ## Install the chart into the cluster, with the images just built
	@$(HACK) install

.PHONY: uninstall
uninstall: ## Remove the release
	@$(HACK) uninstall

##@ Measure
.PHONY: bench
bench: $(READY) ## Run the benchmarks that need no cluster
	@$(BIN)/python -m bench

.PHONY: bench-serving
bench-serving: $(READY) ## Measure the model server beside its peers (ten minutes; needs Go and two cores)
	@$(BIN)/python -m bench serving

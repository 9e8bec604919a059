# `make run` and `make test` are all that a newcomer needs: Python 3.11 and git, nothing else.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
SITE_VENV := .venv-docs
INSTALLED := $(VENV)/.installed
export PATH := $(CURDIR)/$(BIN):$(PATH)
export DVC_NO_ANALYTICS := 1

RESULT ?= results/pneumonia/train2356
TESTS ?=

MLFLOW_STORE ?= sqlite:///mlflow.db
MLFLOW_ARTIFACTS ?= mlartifacts
MLFLOW_HOST ?= 127.0.0.1
MLFLOW_PORT ?= 5000
MLFLOW_AUTH ?=

# A line `##@ Title` begins a group, `target: ## what it does` is a line of it.
.PHONY: help
help: ## this list
	@colour=0; if [ -t 1 ]; then colour=1; fi; awk -v colour=$$colour ' \
	  function painted(code, text) { return colour ? "\033[" code "m" text "\033[0m" : text } \
	  BEGIN { FS = ":[^#]*## "; print painted("1", "auscult") ": reproducible training of auscultation classifiers" } \
	  /^##@ / { print "\n" painted("1", substr($$0, 5)) } \
	  /^[a-z-]+:.*## / { printf "  make %s %s\n", painted("36", sprintf("%-8s", $$1)), $$2 } \
	  END { print "\nVariables: PYTHON, RESULT (make run), TESTS (what pytest takes), MLFLOW_STORE, MLFLOW_PORT.\nauscult --help: all commands of auscult. README.md: where to begin." }' $(MAKEFILE_LIST)

##@ Begin
$(INSTALLED): requirements.lock pyproject.toml
	@command -v $(PYTHON) > /dev/null || { echo "error: $(PYTHON) was not found; install Python 3.11, or say make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

.PHONY: install
install: $(INSTALLED) ## the environment, in .venv, as pinned in requirements.lock

.PHONY: data
data: $(INSTALLED) ## the demo data, from the DVC remote inside the repository
	dvc pull --quiet

.PHONY: run
run: data ## the main job: from the demo data to results/pneumonia/train2356/report.html
	snakemake --cores all $(RESULT)
	@test -f $(RESULT)/report.html || { echo "error: $(RESULT) holds no report; remove that folder and run again"; exit 1; }
	@echo "The report: $(RESULT)/report.html"

##@ Check a change

.PHONY: test
test: data ## the tests
	pytest --numprocesses 2 --dist worksteal $(TESTS)

.PHONY: verify
verify: data ## the long tests: end to end, killed and resumed, many experiments
	pytest --numprocesses 2 --dist worksteal -m 'slow and not gpu and not soak' --durations 15 $(TESTS) \
	  $(if $(filter-out -%,$(TESTS)),,$$(grep -rl --include='*.py' 'mark\.slow' tests)) # collecting all files would take a minute

.PHONY: soak
soak: data ## the long tests at full length, an hour or two: all collections, all kills, what is learned
	pytest --soak --numprocesses 2 --dist worksteal -m 'slow and not gpu' --durations 15 $(TESTS)
	pytest --soak -m cluster tests/cluster/test_study.py

.PHONY: fuzz
fuzz: $(INSTALLED) ## 200,000 new examples against the parsers of raw text
	pytest --numprocesses 2 -m fuzz $(TESTS)

.PHONY: gpu
gpu: $(INSTALLED) ## the tests that need a CUDA device
	pytest -m gpu $(TESTS)

.PHONY: cluster
cluster: data ## the tests on a real Slurm of one node; needs root and Debian's packages of .ci/run
	pytest -m 'cluster and not soak' --durations 15 $(or $(TESTS),tests/cluster)

.PHONY: check
check: $(INSTALLED) ## format, lint, types, import layers, workflow, no patients' data in git
	python tools/refuse_patient_data.py --tracked
	ruff format --check .
	ruff check .
	snakefmt --check Snakefile rules
	basedpyright
	lint-imports --no-cache
	snakemake --lint

.PHONY: hooks
hooks: $(INSTALLED) ## check format, schemas and patients' data before each commit
	pre-commit install

##@ Look

.PHONY: bench
bench: $(INSTALLED) ## speed, as ratios to other libraries; time and memory as the work grows
	python -m bench
	python -m bench.growth

$(SITE_VENV)/.installed: requirements-docs.lock
	$(PYTHON) -m venv $(SITE_VENV)
	$(SITE_VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements-docs.lock
	touch $@

# Not --quiet: MkDocs then counts no warning, and --strict lets all pass.
.PHONY: docs
docs: $(SITE_VENV)/.installed ## the documentation as a site, in site/; fails at a dead link
	@PATH=$(CURDIR)/$(SITE_VENV)/bin:$$PATH NO_MKDOCS_2_WARNING=1 mkdocs build --strict
	@echo "The site: site/index.html; with search: $(SITE_VENV)/bin/mkdocs serve"

.PHONY: mlflow
mlflow: $(INSTALLED) ## the runs in the browser, at http://127.0.0.1:5000; other stores: docs/tracking.md
	MLFLOW_DISABLE_TELEMETRY=true mlflow server --backend-store-uri $(MLFLOW_STORE) \
	  --artifacts-destination $(MLFLOW_ARTIFACTS) --host $(MLFLOW_HOST) --port $(MLFLOW_PORT) \
	  $(if $(MLFLOW_AUTH),--app-name basic-auth)

##@ Tidy

.PHONY: clean
clean: ## remove what can be made again (the data and the environment stay)
	rm -rf work results logs benchmarks site .snakemake

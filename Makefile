# `make run` and `make test` are all that a newcomer needs: Python 3.11 and git, nothing else.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
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

.PHONY: help
help: ## what there is to make
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

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

.PHONY: test
test: data ## the tests, at most 15 minutes on 2 cores
	pytest --numprocesses 2 $(TESTS)

.PHONY: verify
verify: data ## the long proofs
	pytest --numprocesses 2 -m 'slow and not gpu' --durations 15 $(TESTS)

.PHONY: fuzz
fuzz: $(INSTALLED) ## 200,000 new examples against the parsers of raw text
	pytest --numprocesses 2 -m fuzz $(TESTS)

.PHONY: gpu
gpu: $(INSTALLED) ## the tests that need a CUDA device
	pytest -m gpu $(TESTS)

.PHONY: cluster
cluster: data ## the tests on a real Slurm of one node; needs root, slurm-wlm and munge
	pytest -m cluster $(or $(TESTS),tests/cluster)

.PHONY: check
check: $(INSTALLED) ## format, lint, types, layers, workflow
	ruff format --check .
	ruff check .
	snakefmt --check Snakefile rules
	basedpyright
	lint-imports --no-cache
	snakemake --lint

.PHONY: bench
bench: $(INSTALLED) ## speed, as ratios within one run
	python bench/throughput.py
	python bench/training.py
	python bench/embedding.py
	python bench/metrics.py
	python bench/augment.py

.PHONY: mlflow
mlflow: $(INSTALLED) ## the runs in the browser, at http://127.0.0.1:5000; other stores: docs/tracking.md
	MLFLOW_DISABLE_TELEMETRY=true mlflow server --backend-store-uri $(MLFLOW_STORE) \
	  --artifacts-destination $(MLFLOW_ARTIFACTS) --host $(MLFLOW_HOST) --port $(MLFLOW_PORT) \
	  $(if $(MLFLOW_AUTH),--app-name basic-auth)

.PHONY: clean
clean: ## remove what can be made again (the data and the environment stay)
	rm -rf work results logs benchmarks .snakemake

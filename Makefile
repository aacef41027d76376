# `make demo` and `make test` set everything up; all targets keep to .venv in this folder.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast test-pythons lint format docs lock audit dist clean

help:  ## this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):[^#]*## */  make \1\t/' | expand -t 22

demo: .venv/runtime.stamp  ## find lesions on the sample pictures, into demo-output/; installs the runtime only
	$(BIN)/acne-run --source samples --save demo-output --json demo-output/results.jsonl
	@echo "Look at demo-output/."

test: .venv/dev.stamp  ## all tests; installs the trainer and the exporter too
	$(PYTEST)

test-fast: .venv/dev.stamp  ## the tests without trainings and conversions
	$(PYTEST) -m "not slow"

test-pythons: .venv/dev.stamp  ## the tests on Python 3.10 to 3.13; where TensorFlow is missing, those of runtime and monitor
	./tests/on_every_python.sh

lint: .venv/dev.stamp  ## ruff and mypy
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: .venv/dev.stamp  ## sort imports and format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

docs: .venv/dev.stamp  ## the documentation as a site, into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

audit: .venv/dev.stamp .venv/audit.stamp  ## known vulnerabilities and licences of all packages; asks the package registry
	$(BIN)/pip-audit --progress-spinner off --requirement dev.lock --disable-pip --require-hashes
	$(BIN)/python tests/licences.py

dist: .venv/audit.stamp  ## wheel, sdist and SBOM (CycloneDX) of an installed runtime, into dist/
	rm -rf dist .venv-dist
	$(BIN)/python -m build --outdir dist
	$(PYTHON) -m venv .venv-dist
	.venv-dist/bin/python -m pip install --quiet --disable-pip-version-check "$$(ls dist/*.whl)[onnx,litert,heif]"
	.venv-dist/bin/python -m pip uninstall --quiet --yes pip setuptools
	$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --output-reproducible \
		--output-file dist/sbom.cdx.json .venv-dist
	rm -rf .venv-dist

lock: .venv/bin/python  ## choose the versions in dev.lock again
	$(PIP) uv
	$(BIN)/uv pip compile --quiet pyproject.toml --extra train --extra export --extra dev --extra docs --universal \
		--python-version 3.11 --no-emit-package acne-edge --no-header --no-annotate --generate-hashes \
		--output-file dev.lock

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/runtime.stamp: pyproject.toml | .venv/bin/python
	$(PIP) --editable '.[onnx]'
	@touch $@

.venv/dev.stamp: pyproject.toml dev.lock | .venv/bin/python
	$(PIP) --require-hashes --requirement dev.lock
	$(PIP) --no-deps --editable .
	$(PIP) --require-hashes --no-deps --requirement no-deps.lock
	@touch $@ .venv/runtime.stamp

.venv/audit.stamp: pyproject.toml | .venv/bin/python
	$(PIP) --editable '.[audit]'
	@touch $@

clean:  ## remove what the other targets made
	rm -rf .venv .venv-dist demo-output site dist

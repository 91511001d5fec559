# make demo: explain a few digits. make test: the whole suite. Both set up their own virtual environment first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test check lint types bench clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

demo: $(READY)
	$(BIN)/abele demo

test: $(READY)
	$(BIN)/python -m pytest

check: lint types
	$(BIN)/python -m pytest -m 'not slow'

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache

# The figures of README.md. A forest for MNIST is trained once; finished measurements in benchmarks/results are kept.
DATA_DIR ?= ../shared/data
MEASURE = $(BIN)/python benchmarks/quality.py --images 200 --data_dir $(DATA_DIR) --out benchmarks/results
FOREST := runs/mnist-forest/checkpoint

$(FOREST): | $(READY)
	$(BIN)/abele train training/mnist-forest.yaml --data-dir $(DATA_DIR) --overwrite

bench: $(FOREST)
	$(MEASURE) mnist-cnn mnist-cnn
	$(MEASURE) $(FOREST) mnist-forest
	$(MEASURE) digits-cnn digits-cnn --autoencoder digits --data digits:test
	$(MEASURE) mnist-cnn mnist-cnn-paper --preset paper
	$(BIN)/python benchmarks/table.py
	$(BIN)/python benchmarks/saliency.py mnist-cnn --data mnist:test --images 200 --data_dir $(DATA_DIR)

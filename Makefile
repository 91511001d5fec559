# make demo: explain a few digits. make test: the whole suite. Both set up their own virtual environment first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
LOWEST := .venv-lowest

# Tests read their bytecode from the second run on, whatever the environment says: half a minute of CPU time.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test check fuzz lowest lint types notebooks bench sweep page docs pictures clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(READY)

demo: $(READY)
	$(BIN)/abele demo

# Files with long tests, of which there are few, would come last without --no-loadscope-reorder.
test: $(READY)
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

check: lint types
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder -m 'not slow'

# The quick tests with the lowest versions that pyproject.toml allows, in a virtual environment of their own.
lowest:
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/pip install --quiet uv
	$(LOWEST)/bin/uv pip install --python $(LOWEST)/bin/python --resolution lowest-direct --editable '.[dev]'
	$(LOWEST)/bin/python -m pytest -n auto --dist loadfile --no-loadscope-reorder -m 'not slow'

# The property-based tests alone, TIMES as many cases as in the suite, other ones each time; SEED repeats a run.
TIMES ?= 50
SEED ?= $(shell od -An -N4 -tu4 /dev/urandom | tr -d ' ')
fuzz: SEED := $(SEED)
fuzz: $(READY)
	@echo "again with: make fuzz TIMES=$(TIMES) SEED=$(SEED)"
	ABELE_FUZZ=$(TIMES) $(BIN)/python -m pytest -m hypothesis -n auto --hypothesis-seed=$(SEED) --hypothesis-show-statistics

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/mypy

# All notebooks, small, with the seconds of each; nothing is written back.
notebooks: $(READY)
	$(BIN)/python -m pytest tests/project/test_documents.py -k a_notebook --durations 0

clean:
	rm -rf $(VENV) $(LOWEST) .pytest_cache .mypy_cache .ruff_cache

# The measurements of README.md and of pages in docs/. Two forests are trained once; finished measurements are kept.
DATA_DIR ?= ../shared/data
MEASURE = $(BIN)/python benchmarks/quality.py --images 100 --data_dir $(DATA_DIR) --out benchmarks/results
FOREST := runs/mnist-forest/checkpoint
FASHION_FOREST := runs/fashion-mnist-forest/checkpoint

runs/%-forest/checkpoint: | $(READY)
	$(BIN)/abele train training/$*-forest.yaml --data-dir $(DATA_DIR) --overwrite

EVALUATE = OMP_NUM_THREADS=1 $(BIN)/abele evaluate --data-dir $(DATA_DIR)
ON_MNIST = mnist:test:200 --costly-images 10 --autoencoder mnist --oracle mnist-oracle
ON_FASHION = fashion-mnist:test:200 --map-images 40 --costly-images 10 --autoencoder fashion-mnist --oracle fashion-mnist-oracle
ON_DIGITS = digits:test:100 --costly-images 30 --autoencoder digits --oracle digits-oracle

bench: $(FOREST) $(FASHION_FOREST)
	$(MEASURE) mnist-cnn mnist-cnn
	$(MEASURE) $(FOREST) mnist-forest
	$(MEASURE) digits-cnn digits-cnn --autoencoder digits --data digits:test
	$(MEASURE) mnist-cnn mnist-cnn-paper --preset paper
	$(BIN)/python benchmarks/table.py
	$(EVALUATE) $(ON_MNIST) --black-box mnist-cnn --out benchmarks/evaluation/mnist-cnn
	$(EVALUATE) $(ON_MNIST) --black-box $(FOREST) --out benchmarks/evaluation/mnist-forest
	$(EVALUATE) $(ON_FASHION) --black-box fashion-mnist-cnn --out benchmarks/evaluation/fashion-mnist-cnn
	$(EVALUATE) $(ON_FASHION) --black-box $(FASHION_FOREST) --out benchmarks/evaluation/fashion-mnist-forest
	$(EVALUATE) $(ON_DIGITS) --black-box digits-cnn --out benchmarks/evaluation/digits-cnn
	$(EVALUATE) $(ON_DIGITS) --black-box digits-forest --out benchmarks/evaluation/digits-forest
	$(BIN)/abele compare digits:test:7 digits:test:44 --autoencoder digits --black-box digits-cnn --out runs/comparison
	cp runs/comparison/*-comparison.png docs/comparison.png
	$(BIN)/python benchmarks/page.py

# Which latent size and weight? Short trainings beside each other; those that are stored are kept.
sweep: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/sweep.py --data_dir $(DATA_DIR)
	$(BIN)/python benchmarks/sweep_page.py

# All that is generated: tables, figures, plots, model cards, first lines of the recipes. Measures nothing.
page: $(READY)
	$(BIN)/python benchmarks/data_sets.py
	$(BIN)/python benchmarks/audit_page.py
	$(BIN)/python benchmarks/own_images_page.py
	$(BIN)/python benchmarks/table.py
	$(BIN)/python benchmarks/page.py
	$(BIN)/python benchmarks/sweep_page.py
	$(BIN)/python benchmarks/models_table.py
	$(BIN)/python benchmarks/model_cards.py

# The documentation as a site: strictly (a warning is an error, every name must be known), and without a network.
docs: $(READY)
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going docs build/docs

pictures: $(READY)
	$(BIN)/python docs/pictures.py

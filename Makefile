# Every command of a developer. Each makes .venv when it is missing; nothing else on the machine is touched.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# One file of tests at a time on each core, each with one thread: threads that share cores wait for each other.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses logical --maxprocesses 8 --dist loadfile

.PHONY: help demo demo-training weights test test-heavy test-real consumers lint docs bench bundle clean

help:
	@echo "make demo       one synthetic patient, segmented from FLAIR alone with the weights of the bundle (a minute after the installation)"
	@echo "make demo-training  synthetic cohort, teacher, student, baseline and one table (about 10 minutes on 2 cores)"
	@echo "make weights    the weights of the bundle again, from nothing (3 to 4 hours on 2 cores)"
	@echo "make test       the test suite"
	@echo "make test-heavy faults, inputs by the thousand, every documented command (about 20 minutes on 2 cores)"
	@echo "make test-real  the tests on real BraTS cases; set PKDR_REAL_DATA to their folder"
	@echo "make consumers  MONAI Label, NVIDIA FLARE and MONAI Deploy with the bundle, each installed below .consumers/"
	@echo "make lint       ruff and mypy"
	@echo "make docs       the documentation as a site, build/docs/docs/index.html; a warning is an error"
	@echo "make bench      speed and memory as ratios measured side by side"
	@echo "make bundle     the bundle's zip below dist/, verified; RUN=runs/pkdr_t2 puts in the weights of a training"
	@echo "make clean      remove .venv, .consumers and what the demo wrote"

$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,brain,browser,dicom,fast,onnx,openvino,prepare,slurm]'
	@touch $@

demo: $(INSTALLED)
	$(BIN)/python -m experiments.demo

demo-training: $(INSTALLED)
	$(BIN)/python -m experiments.demo_training

weights: $(INSTALLED)
	$(BIN)/python -m experiments.weights

test: $(INSTALLED)
	$(PYTEST)

test-heavy: $(INSTALLED)
	-$(BIN)/pip install --quiet --disable-pip-version-check --only-binary atheris -c constraints.txt -e '.[fuzz]' # not there for every Python
	$(PYTEST) tests/heavy

test-real: $(INSTALLED)
	$(BIN)/python -m pytest -m real

consumers: $(INSTALLED)
	$(BIN)/python -m tests.consumers

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(INSTALLED)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[docs]'
	$(BIN)/python -m sphinx --quiet --fail-on-warning --keep-going -b html -c docs . build/docs

bench: $(INSTALLED)
	$(BIN)/python -m benchmarks

bundle: $(INSTALLED)
	$(BIN)/pkdr bundle build $(if $(RUN),--run $(RUN))
	$(BIN)/pkdr bundle verify dist/pkdr_brats_mri.zip

clean:
	rm -rf $(VENV) demo .consumers

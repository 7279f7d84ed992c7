# Two commands on a fresh machine, each does all of its own set-up:
#   make run     a virtual environment, the package, and the suite `quick`: leaderboard, contact sheets, one HTML page
#   make test    a virtual environment, the package with its tools, lint, types and tests
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
FIRST_DAY = tests/test_wheel.py tests/test_commands.py tests/checks/test_drift_action.py tests/strangers/test_nine_uses.py

.PHONY: run test test-slow test-slurm test-first-day test-data test-weights rehearsal lint bench clean

run: $(VENV)/installed
	$(BIN)/t2ibench run

test: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 -m "not slow"

test-slow: $(VENV)/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 -m slow

# what a stranger meets first: nine uses from an empty folder, the commands of the pages, the wheel, the drift action
test-first-day: $(VENV)/installed-dev
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 -m slow $(FIRST_DAY)

# the script of docs/cluster.md on a Slurm of one node: apt-get install slurmctld slurmd slurm-client munge, as root
test-slurm: $(VENV)/installed-dev
	$(BIN)/pytest -q -rs -m slow tests/runner/test_schedulers.py

# real copies of published data sets: make test-data DATA=FOLDER, which holds cub/, coco/ … (docs/data.md)
test-data: $(VENV)/installed-dev
	T2IBENCH_TEST_DATA=$(DATA) $(BIN)/pytest -q -rs tests/datasets/test_real_copies.py

# published weights: make test-weights WEIGHTS=FOLDER, which holds ViT-B-32.pt, fs3.npy … (docs/weights.md)
test-weights: $(VENV)/installed-dev
	T2IBENCH_TEST_WEIGHTS=$(WEIGHTS) $(BIN)/pytest -q -rs tests/networks/test_real_weights.py

# stand-ins of CelebA-HQ and CUB: every recipe of the track text_to_image trains for two minutes, and is scored. An hour
rehearsal: $(VENV)/installed-dev
	T2IBENCH_REHEARSAL_MINUTES=2 $(BIN)/pytest -q -m slow tests/test_rehearsal.py

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/installed-dev
	$(BIN)/python benchmarks/speed

$(VENV)/installed: setup.cfg pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "t2ibench needs Python 3.11 or newer: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info

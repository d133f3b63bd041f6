# make demo      train on real data, print metrics and predictions
# make test      run the tests but the long ones; PYTEST_ARGS="-k topk" passes arguments on
# make test-all  run all tests
# make lint      ruff, cython-lint, mypy
# make docs      build the documentation, warnings are errors
# make fuzz      attack folders and the rest at random, TRIES=1000 times a test, from SEED=0
# make gpu       check on a GPU what only a GPU shows, in ten minutes; the report goes to OUT=folder
# make clean     remove what the above made
#
# Everything goes into the virtual environment .venv. It is made from the first of the interpreters below that is new
# enough; choose another with make PYTHON=/path/to/python.

VENV ?= .venv
NEW_ENOUGH := -c 'import sys; sys.exit(sys.version_info < (3, 11))'
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python; do \
	$$python $(NEW_ENOUGH) 2>/dev/null && echo $$python && break; done)
PIP := $(VENV)/bin/python -m pip --quiet --disable-pip-version-check
KERNELS := setup.py xclassic/_kernels/block_levels.cpp \
	$(wildcard xclassic/_kernels/*.pyx xclassic/_kernels/*.pxd xclassic/_kernels/*.h)

.PHONY: demo test test-all fuzz lint docs gpu clean
.DELETE_ON_ERROR:

demo: $(VENV)/package.stamp
	@$(VENV)/bin/python examples/demo.py

test: $(VENV)/test.stamp
	$(VENV)/bin/python -m pytest --numprocesses auto -m "not long" $(PYTEST_ARGS)

test-all: $(VENV)/test.stamp
	$(VENV)/bin/python -m pytest --numprocesses auto $(PYTEST_ARGS)

fuzz: TRIES ?= 1000
fuzz: SEED ?= 0
fuzz: $(VENV)/test.stamp
	XCLASSIC_FUZZ_TRIES=$(TRIES) XCLASSIC_FUZZ_SEED=$(SEED) \
	$(VENV)/bin/python -m pytest --numprocesses auto tests/fuzz $(PYTEST_ARGS)

lint: export PATH := $(abspath $(VENV)/bin):$(PATH)
lint: $(VENV)/lint.stamp
	ruff check
	ruff format --check
	cython-lint xclassic
	mypy

docs: $(VENV)/docs.stamp
	$(VENV)/bin/python -m sphinx --jobs auto --fail-on-warning --keep-going -q docs docs/_build/html
	@echo "The documentation is in docs/_build/html/index.html"

# Nothing is installed for it: the Python that has PyTorch is taken as it is, and the package built for it if it has none.
gpu:
	@$(or $(shell for python in $(PYTHON) $(VENV)/bin/python; do \
	$$python -c 'import torch' 2>/dev/null && echo $$python && break; done),$(PYTHON)) benchmarks/gpu.py $(OUT:%=--out %)

# The kernels are compiled here; Python sources are used where they lie, so changing them needs no new installation.
$(VENV)/package.stamp: pyproject.toml $(KERNELS) | $(VENV)/bin/python
	@echo "Installing xclassic into $(VENV); compiling its kernels takes a minute or two."
	@$(PIP) install --editable .
	@touch $@

# The package is installed already, so only what the extra names is fetched.
$(VENV)/%.stamp: $(VENV)/package.stamp
	@echo "Installing what \"make $*\" needs into $(VENV)."
	@$(PIP) install 'xclassic[$*]'
	@touch $@

$(VENV)/bin/python:
	@$(or $(PYTHON),false) $(NEW_ENOUGH) || { echo "xclassic needs Python 3.11 or newer$(PYTHON:%=, and % is not). \
	Name yours: make PYTHON=/path/to/python" >&2; exit 1; }
	@echo "Making the virtual environment $(VENV) with $(PYTHON)."
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	echo "On Debian and Ubuntu: apt install python3-venv python3-dev g++" >&2; exit 1; }

clean:
	rm -rf $(VENV) build dist docs/_build docs/api/generated *.egg-info
	rm -f xclassic/_kernels/*.so xclassic/_kernels/*.pyd
	rm -f xclassic/_kernels/_memoryviews.c $(patsubst %.pyx,%.cpp,$(wildcard xclassic/_kernels/*.pyx))

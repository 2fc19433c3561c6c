# The two commands are `make demo` and `make test`; both set up all they need.
SHELL := /bin/bash
VENV := .venv
PYTHON := $(VENV)/bin/python
FIND_LINKS := $(if $(PIP_FIND_LINKS),--find-links "$(PIP_FIND_LINKS)")
READY := $(VENV)/.ready
# Who looks on sees what is fetched; a log need not keep it.
QUIET := $(if $(MAKE_TERMERR),,--quiet)
# Every task of Airflow is a process of its own: without bytecode each compiles all it imports.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo up down env clean test corpora bench check lock help

help:  ## This list.
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "make %-8s %s\n", $$1, $$2}'

$(READY): requirements.txt pyproject.toml
	@echo "· making the virtual environment"
	@test -x $(PYTHON) || python3.11 -m venv $(VENV) || python3 -m venv $(VENV)
	@$(VENV)/bin/pip install --quiet --disable-pip-version-check uv
	@UV_COMPILE_BYTECODE_TIMEOUT=600 $(VENV)/bin/uv pip install $(QUIET) --compile-bytecode --python $(PYTHON) $(FIND_LINKS) \
		-r requirements.txt
	@$(VENV)/bin/uv pip install --quiet --python $(PYTHON) --no-deps --editable .
	@rm -rf hounsfield.egg-info  # else Airflow finds our entry points twice, and says so
	@touch $@

demo: $(READY)  ## The main job, end to end; DICOM=/path for your own studies.
	@$(PYTHON) -m operators.local demo $(if $(DICOM),--dicom "$(DICOM)")

up: $(READY)  ## Start the services.
	@$(PYTHON) -m operators.local up

down: $(READY)  ## Stop the services.
	@$(PYTHON) -m operators.local down

env: $(READY)  ## For a shell, so that airflow and hounsfield find them: eval "$$(make -s env)".
	@$(PYTHON) -m operators.local env

clean:  ## Stop the services and forget everything they wrote.
	@if [ -x $(PYTHON) ]; then $(PYTHON) -m operators.local clean; fi
	@rm -rf .hounsfield

test: $(READY)  ## All tests; those that want a missing server skip, saying so.
	@$(PYTHON) -m pytest -n 2 --dist loadscope --no-loadscope-reorder

# The real files lie where the tests look for them, too.
corpora: export HOUNSFIELD_TEST_DATA ?= $(abspath ../shared/data)
corpora: $(READY)  ## De-identification over whole corpora, as tests/bench/FIGURES.md has it; hours.
	@$(PYTHON) -m tests.deid.midi --seed 141592
	@$(PYTHON) -m tests.bench.burned_in
	@$(PYTHON) -m tests.bench.burned_in --real

bench: $(READY)  ## Speed beside others, as ratios; memory.
	@$(PYTHON) -m tests.bench.receive
	@$(PYTHON) -m tests.bench.deid_headers
	@$(PYTHON) -m tests.bench.deid_stage
	@$(PYTHON) -m tests.bench.deid_memory
	@$(PYTHON) -m tests.bench.volumes

check: $(READY)  ## Style, types and floors.
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports

# CUDA comes with torch where torch wants it; the lock serves machines without it too.
CUDA := cuda-bindings cuda-pathfinder cuda-toolkit triton $(addprefix nvidia-,cublas cuda-cupti \
	cuda-nvrtc cuda-runtime cudnn-cu13 cufft cufile curand cusolver cusparse cusparselt-cu13 \
	nccl-cu13 nvjitlink nvshmem-cu13 nvtx)

lock: $(READY)  ## Compile requirements.txt anew from pyproject.toml.
	@$(VENV)/bin/uv pip compile --quiet pyproject.toml --extra dev --python-version 3.11 \
		$(FIND_LINKS) --no-emit-index-url --no-emit-find-links --output-file requirements.txt \
		$(addprefix --no-emit-package ,$(CUDA)) --custom-compile-command "make lock"
	@sed -i 's/^torch==\([0-9.]*\)+cpu$$/torch==\1/' requirements.txt
	@! grep -E '^(nvidia|cuda)-' requirements.txt

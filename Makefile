# `make` alone prints what can be made. Settings: make reproduce PROFILE=full
PROFILE ?= quick
PYTHON ?= python3.11
TORCH_INDEX ?=

# An active conda environment is used, but never conda's base; otherwise .venv, made here.
CONDA := $(if $(filter base,$(CONDA_DEFAULT_ENV)),,$(CONDA_PREFIX))
ENV := $(or $(CONDA),.venv)
PY := $(ENV)/bin/python
TORCH := $(shell sed -n 's/^torch==/torch==/p' requirements/lock.txt)
# The stamp's name holds the lock's content: another lock, or an install cut short, has no stamp yet.
STAMP := $(ENV)/.metastudy-$(shell cksum < requirements/lock.txt | tr ' ' '-')
BENCH_STAMP := $(STAMP)-bench-$(shell cksum < requirements/bench.txt | tr ' ' '-')
PIP := $(PY) -m pip install --quiet --disable-pip-version-check
NBVAL := --nbval-lax --nbval-current-env --nbval-cell-timeout=600 --nbval-sanitize-with tests/nbval_sanitize.cfg

.DEFAULT_GOAL := help
.PHONY: help env reproduce status data check-data datasheets test lab notebooks verify calibrate bench lint lock clean distclean

help:  ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' Makefile
	@echo
	@echo "  PROFILE=quick|full   parameters of the notebooks (notebooks/parameters/), now $(PROFILE)"
	@echo "  PYTHON=...           a Python 3.11 to make .venv from, now $(PYTHON)"
	@echo '  WORKS="sinusoid ..." parts of the speed measurement; also head, conv4, protonet'
	@echo "  TORCH_INDEX=URL      where torch comes from; for its build without CUDA on Linux:"
	@echo "                       make env TORCH_INDEX=https://download.pytorch.org/whl/cpu"

env: $(STAMP)  ## Make .venv with the pinned packages (or fill the active conda environment)

$(STAMP):
	@rm -f $(ENV)/.metastudy-*
ifeq ($(CONDA),)
	@$(PY) -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(ENV) || { \
	  echo "no Python 3.11 at '$(PYTHON)': install it, or name it: make env PYTHON=path" >&2; exit 1; }
endif
	@$(PY) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if v == (3, 11) else \
	  "$(ENV) has Python %d.%d but the study is pinned to 3.11: make distclean, then make env PYTHON=path" % v)'
	$(PIP) --no-deps $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH)
	$(PIP) -r requirements/lock.txt
	$(PIP) --no-build-isolation --no-deps -e .
	@touch $@

reproduce: env  ## Run the notebooks that are not up to date; tables and figures go to results/
	@$(PY) -m metastudy.reproduce --profile $(PROFILE)

status: env  ## Say which notebooks are not up to date, and why
	@$(PY) -m metastudy.reproduce --profile $(PROFILE) --status

data: env  ## Fetch and verify the public data of a profile: make data PROFILE=full
	@$(PY) -m metastudy.fetch --profile $(PROFILE)

check-data: env  ## Read every public source, compare its counts, and check all families and their task lists
	@$(PY) -m metastudy.loaders
	@METASTUDY_SLOW_TESTS=1 $(PY) -m pytest -q tests/families/test_catalogue.py tests/families/test_public_summaries.py

datasheets: env  ## Write data/README.md from data/registry.yaml
	@$(PY) -m metastudy.datasheets

test: env  ## Run the tests, then every notebook, comparing its outputs with the committed ones
	@$(PY) -m pytest tests notebooks $(NBVAL)

lab: env  ## Open the notebooks in JupyterLab
	@$(PY) -m ipykernel install --prefix $(ENV) --name metastudy --display-name "Python (metastudy)"
	$(PY) -m jupyterlab notebooks $(if $(filter 0,$(shell id -u)),--allow-root)

notebooks: reproduce  ## Put the outputs of the executed notebooks into the committed ones
	@$(PY) tools/refresh_notebooks.py --profile $(PROFILE)
	@$(PY) tools/refresh_readme.py --profile $(PROFILE)

verify: env  ## Check results/ against its manifests and against the committed tables
	@$(PY) -m metastudy.verify --profile $(PROFILE)

calibrate: env  ## Measure how often the tests are wrong: thousands of comparisons without a difference
	@$(PY) -m metastudy.calibrate

bench: $(BENCH_STAMP)  ## Measure speed beside other implementations, which it installs
	@$(PY) -m benchmarks.run $(if $(WORKS),--works $(WORKS))
	@$(if $(WORKS),:,$(PY) -m benchmarks.throughput)
	@$(if $(WORKS),:,$(PY) -m benchmarks.search_speed)

# On top of the lock, and without dependencies: nothing of the study's own may be replaced, least of all torch.
$(BENCH_STAMP): $(STAMP)
	@rm -f $(STAMP)-bench-*
	$(PIP) --no-deps -r requirements/bench.txt
	@touch $@

lint: env  ## Check the style of code and notebooks
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .

lock: env  ## Write requirements/*.txt from pyproject.toml
	@$(PY) tools/lock.py

clean:  ## Remove caches and results that are not committed
	@rm -rf results/*/notebooks results/*/.partial results/*/.lock .pytest_cache .ruff_cache .hypothesis
	@find results data -name '*.partial*' -delete 2>/dev/null || true
	@find . -path ./.venv -prune -o -path ./.git -prune -o \
	  \( -name __pycache__ -o -name .ipynb_checkpoints \) -type d -exec rm -rf {} +

distclean: clean  ## Also remove .venv
	@rm -rf .venv src/*.egg-info

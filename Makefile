# `make help` lists the targets. Everything runs in .venv, made here from pyproject.toml under
# constraints.txt; test-newest, test-oldest, audit and docs have an environment each of their own.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NEWEST := .venv-newest
OLDEST := .venv-oldest
AUDIT := .venv-audit
S3 := .venv-s3
DOCS := .venv-docs
PIP := -m pip install --quiet --disable-pip-version-check
export DAGSTER_HOME ?= $(CURDIR)/.dagster_home
MODULE := atlas_assets.definitions
ATLAS_DATA_DIR ?= data

.DEFAULT_GOAL := help
.PHONY: help atlas sweep analyses ui test test-newest test-oldest test-cluster test-s3 check audit bench bench-s3 reliability docs pictures train-embedded explorer format clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(VENV)/.product: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP) -c constraints.txt -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.product
	$(BIN)/python $(PIP) -c constraints.txt -e '.[dev]'
	@touch $@

atlas: $(VENV)/.product ## build the whole atlas with the model in force (default: the embedded one)
	@$(BIN)/atlas build

sweep: $(VENV)/.product ## from existing activations: masks at every setting, the published tables
	@$(BIN)/python -m atlas_assets.orchestration.instance
	$(BIN)/dagster job execute -m $(MODULE) -j sweep
	@$(BIN)/atlas where

analyses: $(VENV)/.product ## from existing masks and tables: further analyses, figures, reports
	@$(BIN)/python -m atlas_assets.orchestration.instance
	$(BIN)/dagster job execute -m $(MODULE) -j analyses
	@$(BIN)/atlas where

ui: $(VENV)/.product ## open the Dagster UI on every run made so far (http://127.0.0.1:3000)
	@$(BIN)/atlas ui

test: $(VENV)/.dev ## the tests: no network, GPU or token needed
	@# compiled modules are kept, whatever the environment says: the tests start hundreds of processes
	@# three workers for two cores: for a sixth of the time a worker waits for daemons and servers
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder

test-newest: ## orchestration's tests with the newest Dagster in range that has a webserver
	$(PYTHON) -m venv $(NEWEST)
	grep -v '^dagster' constraints.txt > $(NEWEST)/constraints.txt
	$(NEWEST)/bin/python $(PIP) -c $(NEWEST)/constraints.txt --upgrade \
	  dagster dagster-webserver -e '.[dev]'
	@$(NEWEST)/bin/python -m pip freeze | grep -i '^dagster'
	$(NEWEST)/bin/python -m pytest -n 2 --dist loadfile atlas_assets_tests/orchestration

# the test tools stay as pinned, for it is the product's ranges that are tried; pandas and pyarrow,
# which the tests compare with, are the newest that fit
test-oldest: ## files, loaders, assets and checks with the lowest versions that pyproject.toml allows
	$(PYTHON) -m venv $(OLDEST)
	$(OLDEST)/bin/python $(PIP) -c constraints.txt uv
	$(OLDEST)/bin/uv pip compile --quiet --resolution lowest-direct \
	  --python $(OLDEST)/bin/python --output-file $(OLDEST)/constraints.txt pyproject.toml
	grep -E '^(hypothesis|pytest|pytest-xdist)==' constraints.txt > $(OLDEST)/tools.txt
	$(OLDEST)/bin/python $(PIP) -c $(OLDEST)/constraints.txt \
	  -r $(OLDEST)/tools.txt pandas pyarrow -e .
	$(OLDEST)/bin/python -m pytest -n 2 --dist loadfile atlas_assets_tests/storage \
	  atlas_assets_tests/test_io.py atlas_assets_tests/orchestration/io_managers \
	  atlas_assets_tests/orchestration/checks atlas_assets_tests/orchestration/test_assets.py

# distributed leaves the sockets of a scheduler that was killed to the collector, whose warning would
# fail a run of tests that all passed, at its very end
test-cluster: $(VENV)/.dev ## runs on Dask's workers and in PostgreSQL that are killed or stopped
	-$(BIN)/python $(PIP) -c constraints.txt -e '.[postgres]'
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest --run-slow \
	  -W 'ignore:unclosed <socket:ResourceWarning' atlas_assets_tests/engines atlas_assets_tests/deploy

# the server needs a botocore that s3fs does not allow, so it has an environment of its own
$(S3)/.server: $(VENV)/.dev
	$(PYTHON) -m venv $(S3)
	$(S3)/bin/python $(PIP) 'moto[server]==5.2.5'
	$(BIN)/python $(PIP) -c constraints.txt -e '.[s3]'
	@touch $@

test-s3: $(S3)/.server ## atlases in an object store, against a real S3 server on 127.0.0.1
	env -u PYTHONDONTWRITEBYTECODE ATLAS_TEST_S3_SERVER=$(CURDIR)/$(S3)/bin/moto_server \
	  $(BIN)/python -m pytest --run-s3 atlas_assets_tests/remote

bench-s3: $(S3)/.server ## requests, bytes and events of an atlas in an object store
	ATLAS_TEST_S3_SERVER=$(CURDIR)/$(S3)/bin/moto_server $(BIN)/python -m benchmarks.object_store

check: $(VENV)/.dev ## lint, format check, types, dependencies declared as they are imported
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/deptry .

audit: ## known vulnerabilities of the pinned packages; says so where the database does not answer
	$(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python $(PIP) -c constraints.txt pip-audit==2.10.1
	$(AUDIT)/bin/python tools/audit.py

bench: $(VENV)/.dev ## measure the bars of docs/performance.md on this machine
	$(BIN)/python -m benchmarks

reliability: $(VENV)/.dev ## kills, races, bad disks, mutated files: the figures of docs/reliability.md
	$(BIN)/python -m reliability

docs: ## the documentation as a site, in site/index.html; every link is checked
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python $(PIP) -r docs/requirements.txt
	PYTHONPATH=$(CURDIR) $(DOCS)/bin/python -m mkdocs build --clean --quiet
	@echo "file://$(CURDIR)/site/index.html"

pictures: $(VENV)/.dev ## the pictures of README and docs, of the atlas in force; needs Chromium and its driver
	$(BIN)/python -m tools.pictures

train-embedded: $(VENV)/.product ## train the embedded model anew (an hour or two); resumes when killed
	$(BIN)/python -m tools.train_embedded --states data/training/embedded

explorer: ## build the explorer's page from explorer/ into the package; needs Node 20 or later
	cd explorer && npm ci --no-audit --no-fund && npm run build

format: $(VENV)/.dev ## format and fix what ruff can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## remove the virtual environments and caches (never the data)
	rm -rf $(VENV) $(NEWEST) $(OLDEST) $(AUDIT) $(S3) $(DOCS) site build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis

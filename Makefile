# One word for each thing to do. Every target sets up what it needs, in .venv, the first time.

VENV   ?= .venv
ARGS   ?=
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python3.14; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)

BIN    := $(VENV)/bin
RUN    := $(VENV)/.run
DEV    := $(VENV)/.dev
FUZZ   := $(VENV)/.fuzz
PIP     = $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes
PYTEST  = $(BIN)/python -m pytest
LOCK    = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --custom-compile-command 'make lock'

AZURITE = 3.35.0
IMAGE   = apidanalytics:0.1.0
ENGINE ?= $(shell docker info >/dev/null 2>&1 && echo docker || echo podman)

.PHONY: help demo demo-s3 azurite run test lint fmt bench soak fuzz image lock clean
.DEFAULT_GOAL := help

help: ## what there is to do
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(RUN) ## traffic of three tenants, a worker killed in the middle, every record counted in the lake
	@$(BIN)/python -m apidanalytics demo $(ARGS)

demo-s3: $(DEV) ## the same over a real S3 server (SeaweedFS) and the collection service, read back from the bucket
	@$(BIN)/python -m apidanalytics demo --s3 $(ARGS)

run: $(RUN) ## the service in the foreground, with everything it needs embedded; data in ./data
	@$(BIN)/python -m apidanalytics run --embedded $(ARGS)

test: $(DEV) ## the whole test suite, under ten minutes on two cores
	@$(PYTEST) -n 3 --dist worksteal -m 'not soak and not image' --durations 10 $(ARGS)

lint: $(DEV) ## style, types, risky calls, import floors, pinned requirements
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive src 2>/dev/null
	$(BIN)/lint-imports --no-logo
	$(BIN)/python .ci/check_text.py
	$(BIN)/python .ci/check_requirements.py

fmt: $(DEV) ## put the code in form
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format .

bench: $(DEV) ## speed and memory against two yardsticks (needs wrk); ARGS=--quick for a short one
	@$(BIN)/python -m benchmarks $(ARGS)

soak: $(DEV) ## the long runs; ARGS="-k faults --minutes 30 --seed 7": everything that can go wrong, at once
	$(PYTEST) -m soak --timeout 0 $(ARGS)

fuzz: $(FUZZ) ## bytes that look for a way to break it; ARGS="--seconds 60" shares a minute among all targets
	@$(BIN)/python -m tests.fuzz $(ARGS)

image: $(DEV) ## the container image, built and tried with docker or podman; ENGINE=podman, BUILD_ARGS="--network host"
	@$(ENGINE) info >/dev/null || { echo "make: $(ENGINE) does not answer; docker or podman is needed" >&2; exit 1; }
	BUILDAH_FORMAT=docker $(ENGINE) build --file deploy/Dockerfile --tag $(IMAGE) $(BUILD_ARGS) .
	@ENGINE=$(ENGINE) $(PYTEST) -m image --timeout 600 $(ARGS) tests/image

azurite: | $(BIN)/python ## the Azure emulator for the tests (needs npm); without it they are skipped
	@test -x $(VENV)/azurite/node_modules/.bin/azurite-blob || \
		npm install --no-save --no-package-lock --no-audit --no-fund --loglevel error \
		--prefix $(VENV)/azurite azurite@$(AZURITE)

lock: $(DEV) ## pin the requirements anew, in requirements/*.txt
	$(LOCK) $(ARGS) pyproject.toml --output-file requirements/run.txt >/dev/null
	$(LOCK) $(ARGS) --all-extras pyproject.toml requirements/dev.in --constraints requirements/run.txt \
		--output-file requirements/dev.txt >/dev/null
	$(LOCK) $(ARGS) --all-extras pyproject.toml --constraints requirements/dev.txt \
		--output-file requirements/image.txt >/dev/null
	$(LOCK) $(ARGS) requirements/build.in --constraints requirements/dev.txt \
		--output-file requirements/build.txt >/dev/null
	$(LOCK) $(ARGS) requirements/fuzz.in --output-file requirements/fuzz.txt >/dev/null

clean: ## remove the set-up and every cache; never ./data
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .fuzz
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "make: Python 3.11 or newer is needed, and neither python3 nor python3.11 to" \
		"python3.14 is one. Install it, or name it: make PYTHON=/path/to/python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: $(PYTHON) is not" \
		"Python 3.11 or newer" >&2; exit 1; }
	@echo "Setting up $(VENV), once ..."
	@$(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); echo "make: $(PYTHON) cannot make a virtual" \
		"environment; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }

# The package itself needs no build: a .pth file leads to src, and a two-line script is the command.
$(RUN): requirements/run.txt | $(BIN)/python
	@$(PIP) -r requirements/run.txt
	@echo "$(CURDIR)/src" > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/apidanalytics.pth"
	@printf '#!/bin/sh\nexec "$$(dirname "$$0")/python" -m apidanalytics "$$@"\n' > $(BIN)/apidanalytics
	@chmod +x $(BIN)/apidanalytics
	@touch $@

$(DEV): requirements/dev.txt $(RUN)
	@echo "Setting up the tools in $(VENV), once ..."
	@$(PIP) -r requirements/dev.txt
	@touch $@

$(FUZZ): requirements/fuzz.txt $(DEV)
	@$(PIP) -r requirements/fuzz.txt
	@touch $@

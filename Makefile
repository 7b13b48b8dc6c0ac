# Every target makes .venv and installs what it needs when that is missing or stale, and is quick when it is not.
# A stamp file records the hash of all pyproject.toml files, so leftovers of an older checkout are noticed.

PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	command -v $$p >/dev/null && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV   := .venv
BIN    := $(VENV)/bin
PLUGINS := $(sort $(dir $(wildcard plugins/*/pyproject.toml)))
DISTS  := core $(PLUGINS:/=)
DEMO   := core plugins/vision
STATE  := $(shell cat $(DISTS:=/pyproject.toml) dev-requirements.txt Makefile | cksum | cut -d' ' -f1)
USE    := $(VENV)/.use-$(STATE)
DEV    := $(VENV)/.dev-$(STATE)
EDITABLE = -e './core[parquet,report]' $(foreach d,$(1:core=),-e ./$(d))
SHARED ?= ../shared/data
DEMO_EPOCHS ?= 60

.PHONY: demo test test-all lint bench mutants docs clean help

help:
	@echo "make demo | test | test-all | lint | bench | mutants | docs | clean"

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed; none was found on PATH"; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)

$(USE): | $(BIN)/python
	@echo "installing $(DEMO) into $(VENV) (a few minutes, once)"
	@$(BIN)/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(call EDITABLE,$(DEMO))
	@rm -f $(VENV)/.use-*; touch $@

$(DEV): $(USE)
	@echo "installing $(filter-out $(DEMO),$(DISTS)), test and lint tools into $(VENV)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check $(call EDITABLE,$(DISTS)) -r dev-requirements.txt
	@rm -f $(VENV)/.dev-*; touch $@

demo: $(USE)
	$(BIN)/unlabeled vision pretrain simclr --data digits --out runs/demo --epochs $(DEMO_EPOCHS) --overwrite
	$(BIN)/unlabeled vision probe runs/demo --data digits
	@echo "Next: unlabeled vision pretrain simclr --data PATH/TO/YOUR/IMAGES --out runs/mine"
	@echo "      unlabeled vision probe runs/mine --data PATH/TO/LABELLED/FOLDERS   (commands live in $(BIN))"

test: $(DEV)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile -m "not slow"

test-all: $(DEV)
	@UNLABELED_DATA=$(SHARED) $(BIN)/python -m pytest

lint: $(DEV)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: $(DEV)
	@$(BIN)/python bench/run.py --data $(SHARED)

mutants: $(DEV)
	$(BIN)/python tests/mutants.py

docs: $(DEV)
	@$(BIN)/python docs/generate.py
	@$(BIN)/mkdocs build --strict --quiet && echo "site/index.html"

clean:
	rm -rf $(VENV) site .pytest_cache .ruff_cache .mypy_cache

# Triptych: `make demo` installs and opens the workbench with its example collection; `make test` runs every check.

PYTHON ?= python3
VENV   ?= .venv
# hnswlib is the one dependency that is compiled here. auto: try, and go on without it; yes: stop without it; no: do not try.
HNSW   ?= auto

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
LOCKED := install --require-hashes --no-compile --no-deps --prefer-binary
# Copies a lock file without, or with nothing but, the entry of hnswlib.
WITHOUT_HNSW := awk '/^[^ \#]/ {hnsw = /^hnswlib==/} !hnsw'
ONLY_HNSW    := awk '/^[^ \#]/ {hnsw = /^hnswlib==/} hnsw'
# Some packages bring their own test suites, 40 MB that nobody runs here.
WITHOUT_SUITES := cd $(VENV)/lib/python3*/site-packages && find numpy pandas scipy -type d -name tests -prune -exec rm -rf {} +

.PHONY: demo install test test-models soak faults check lock docs screenshots chromium clean help
.DEFAULT_GOAL := help

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: install  ## install, then open the workbench with the example collection
	@$(BIN)/triptych demo $(ARGS)

install: $(VENV)/run.stamp  ## install what running needs

test: $(VENV)/test.stamp chromium check  ## install the checks' tools, then run every check

check:  ## run every check with what is installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict engine app
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

test-models: $(VENV)/test.stamp  ## compare exports with the libraries they come from, and train on a handful of texts; installs torch beside the rest
	@test -d $(VENV)-models || $(PYTHON) -m venv $(VENV)-models
	@$(VENV)-models/bin/python -m pip --disable-pip-version-check --quiet install torch==2.13.0 -e '.[export,train,test]'
	$(VENV)-models/bin/python -m pytest tests/models_reference tests/engine/training tests/models/test_convert.py $(ARGS)

soak: $(VENV)/run.stamp  ## use the workbench for an hour with ten clients, kill it every minute or two, and count what is lost
	$(BIN)/python -m tests.soak $(ARGS)

faults: $(VENV)/test.stamp  ## kill the program 200 times while it works, and compare what stands with an undisturbed run; takes minutes
	$(BIN)/python -m tests.faults.many_kills $(ARGS)

lock:  ## pin the newest allowed dependencies with their hashes; needs uv
	$(UV) $(LOCK) --custom-compile-command "make lock" --extra install pyproject.toml -o requirements.lock
	$(UV) $(LOCK) --custom-compile-command "make lock" --extra install --extra test -c requirements.lock pyproject.toml -o requirements-test.lock

docs:  ## write the reference pages anew from the program
	$(BIN)/python tests/docs/reference.py

screenshots: $(VENV)/test.stamp chromium  ## take the README's pictures anew
	$(BIN)/python tests/browser/screenshots.py

clean:  ## remove the environment and every cache; workspaces stay
	rm -rf $(VENV) $(VENV)-models build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

UV   ?= uv
LOCK := pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-config --python-version 3.11 --upgrade

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 or newer is needed; there is no '$(PYTHON)' here. Name one with: make $(MAKECMDGOALS) PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; '$(PYTHON)' is $$($(PYTHON) --version). Name another with: make $(MAKECMDGOALS) PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "This Python cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@echo "Making a virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: requirements.lock pyproject.toml | $(BIN)/python
	@echo "Installing the pinned packages (once; a minute or two)"
	@$(WITHOUT_HNSW) requirements.lock > $(VENV)/wheels.txt
	@$(PIP) $(LOCKED) -r $(VENV)/wheels.txt
	@$(MAKE) --no-print-directory hnsw-$(HNSW)
	@$(PIP) install --no-deps --no-build-isolation --no-compile -e .
	@$(WITHOUT_SUITES)
	@touch $@

$(VENV)/test.stamp: requirements-test.lock $(VENV)/run.stamp
	@echo "Installing the tools that the checks need"
	@$(WITHOUT_HNSW) requirements-test.lock > $(VENV)/wheels.txt
	@$(PIP) $(LOCKED) -r $(VENV)/wheels.txt
	@touch $@

.PHONY: hnsw-auto hnsw-yes hnsw-no
hnsw-no:
	@echo "Without hnswlib: dense search stays exact, which is quick up to some hundred thousand passages."

hnsw-yes:
	@$(ONLY_HNSW) requirements.lock > $(VENV)/hnsw.txt
	@$(BIN)/python -c 'import hnswlib' 2>/dev/null || CXXFLAGS="-g0 $$CXXFLAGS" $(PIP) $(LOCKED) -r $(VENV)/hnsw.txt

hnsw-auto:
	@$(MAKE) --no-print-directory hnsw-yes 2>$(VENV)/hnsw.log >&2 || { $(MAKE) --no-print-directory hnsw-no; \
	  echo "It could not be compiled here ($(VENV)/hnsw.log says why). A C++ compiler helps: apt install g++ python3-dev, or"; \
	  echo "xcode-select --install; then: make hnsw-yes"; }

chromium:
	@for browser in "$$TRIPTYCH_CHROMIUM" chromium chromium-browser google-chrome; do \
	  [ -n "$$browser" ] && command -v "$$browser" >/dev/null && exit 0; done; \
	if ! command -v apt-get >/dev/null; then echo "The browser tests need chromium: install it, or name it in TRIPTYCH_CHROMIUM"; exit 1; fi; \
	if [ "$$(id -u)" = 0 ]; then root=; elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then root=sudo; \
	else echo "The browser tests need chromium: sudo apt-get install chromium"; exit 1; fi; \
	echo "Installing chromium for the browser tests"; \
	$$root apt-get -qq update && $$root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends chromium >/dev/null

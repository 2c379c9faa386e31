# From a fresh clone, `make html` needs Python 3.11 or newer, make and Node 20 or newer, and nothing else.

PYTHON ?= python3
PORT   ?= 8000

VENV   := .venv
BIN    := $(VENV)/bin
STAMPS := $(VENV)/stamps
HTML   := _build/html
WHEEL  := dist/tinytorch.stamp

PACKAGE_FILES := $(shell find tinytorch datasets -type f -not -path '*/__pycache__/*' 2>/dev/null)
RUNTIME_FILES := lite/runtime.py lite/live/boot.js $(shell find lite/runtime -type f -not -path '*/__pycache__/*' 2>/dev/null)
BUNDLE        := docs/_static/live/page.js
SCREENS       := docs/_static/screens/stamp
BUNDLE_FILES  := lite/build.mjs $(shell find lite/live -type f 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: help html serve test oracle bench clean environment runtime

help: ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

html: environment runtime $(BUNDLE) $(SCREENS) ## build the site into _build/html
	$(BIN)/sphinx-build -W --keep-going -q -c . -d _build/doctrees -b html docs $(HTML)
	@echo "The site is in $(HTML); 'make serve' shows it."

serve: ## show the built site at http://localhost:8000 (PORT=… for another port)
	@test -f $(HTML)/index.html || { echo "There is no site yet: run 'make html' first." >&2; exit 1; }
	@echo "http://localhost:$(PORT)  (Ctrl-C stops)"
	@$(BIN)/python -m http.server --bind 127.0.0.1 --directory $(HTML) $(PORT)

test: $(STAMPS)/test html ## lint, check types, and run every test, with the browser
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pytest

oracle: environment ## add PyTorch, which the numerical tests compare with (large)
	$(BIN)/pip install -q -c constraints.txt -e '.[oracle]'

bench: $(STAMPS)/test html ## measure tinytorch against PyTorch, a page's start against bare Pyodide, and tito
	$(BIN)/python -m benchmarks
	$(BIN)/python -m benchmarks.boot --page modules/01_tensor.html
	$(BIN)/python -m benchmarks.workshop

clean: ## delete everything that was built
	rm -rf $(VENV) _build dist lite/node_modules lite/static docs/_static/live docs/_static/katex docs/_static/screens .pytest_cache .mypy_cache .ruff_cache

environment: $(STAMPS)/site

$(STAMPS)/python: Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "TinyTorch needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1)." >&2; \
	  echo "Name another one like this: make html PYTHON=python3.12" >&2; exit 1; }
	@node -e 'process.exit(process.versions.node.split(".")[0] < 20 ? 1 : 0)' 2>/dev/null || { \
	  echo "TinyTorch's page is bundled with Node 20 or newer; found: $$(node --version 2>/dev/null || echo none)." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@mkdir -p $(STAMPS)
	@touch $@

$(STAMPS)/site: $(STAMPS)/python pyproject.toml constraints.txt
	$(BIN)/pip install -q -c constraints.txt -e '.[cli,site]'
	@touch $@

$(STAMPS)/test: $(STAMPS)/site
	$(BIN)/pip install -q -c constraints.txt -e '.[test]'
	@touch $@

lite/node_modules/.package-lock.json: lite/package.json lite/package-lock.json $(STAMPS)/python
	cd lite && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

# The wheel keeps its version in its name, so a stamp stands for it.
$(WHEEL): $(STAMPS)/site $(PACKAGE_FILES) pyproject.toml README.md LICENSE
	rm -rf dist
	$(BIN)/python -m build --wheel --no-isolation --outdir dist . > _build.log 2>&1 || { cat _build.log; rm -f _build.log; exit 1; }
	@rm -f _build.log
	@touch $@

runtime: lite/static/runtime.stamp

lite/static/runtime.stamp: $(WHEEL) $(RUNTIME_FILES) lite/node_modules/.package-lock.json
	$(BIN)/python lite/runtime.py --wheel dist/tinytorch-*.whl
	@touch $@

$(SCREENS): $(STAMPS)/site docs/screens.py tito.py $(PACKAGE_FILES)
	$(BIN)/python docs/screens.py $(@D)
	@touch $@

$(BUNDLE): lite/node_modules/.package-lock.json $(BUNDLE_FILES)
	cd lite && npm run --silent build
	@touch $@

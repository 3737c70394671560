# Costweir: `make demo` shows thirteen months of AI spend in the browser, `make test` proves the promises.
SHELL := /bin/sh
.DEFAULT_GOAL := help
PYTHON ?= python3
ARGS ?=
# One worker more than cores: tests that start servers wait more than they compute.
PYTEST_ARGS ?= -n $(shell echo $$(($$(getconf _NPROCESSORS_ONLN) + 1))) --dist loadgroup
UV = $(shell command -v uv 2>/dev/null || echo .tools/bin/uv)

.PHONY: help demo up test check bench bench-gateway bench-overspend soak docs test-peers test-containers format clean browser

help: ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/:/' | column -t -s:

.tools/bin/uv:
	@command -v uv >/dev/null 2>&1 || { \
	  $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Costweir needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" >&2; exit 2; }; \
	  $(PYTHON) -m venv .tools || { echo "Python has no venv module here. On Debian and Ubuntu: apt install python3-venv" >&2; exit 2; }; \
	  .tools/bin/pip install --quiet --disable-pip-version-check uv; }
	@mkdir -p .tools/bin && { [ -e .tools/bin/uv ] || ln -s "$$(command -v uv)" .tools/bin/uv; }

.venv/.runtime: pyproject.toml uv.lock hatch_build.py | .tools/bin/uv
	@$(UV) sync --quiet --frozen --inexact --no-default-groups && touch $@

.venv/.dev: pyproject.toml uv.lock hatch_build.py | .tools/bin/uv
	@$(UV) sync --quiet --frozen --inexact && touch $@ .venv/.runtime

demo: .venv/.runtime ## load the sample world and serve it (ARGS=--no-serve loads and exits)
	@.venv/bin/costweir demo $(ARGS)

up: .venv/.runtime ## serve your own data
	@.venv/bin/costweir up $(ARGS)

test: .venv/.dev browser ## run every test that needs no outside server
	@.venv/bin/pytest $(PYTEST_ARGS) --ignore=tests/peers --ignore=tests/containers tests

check: .venv/.dev ## format, lint, types and import contracts
	@.venv/bin/ruff format --check . && .venv/bin/ruff check . && .venv/bin/pyright && .venv/bin/lint-imports

format: .venv/.dev ## rewrite the files in house style
	@.venv/bin/ruff format . && .venv/bin/ruff check --fix .

bench: .venv/.dev ## measure the figures in docs/figures.md
	@for bench in load_aws questions start ledger alert_rules scrape; do .venv/bin/python bench/$$bench.py || exit 1; done

bench-gateway: .venv/.dev ## measure the gateway beside its peers (docs/gateway-bench.md)
	@.venv/bin/python bench/gateway.py

bench-overspend: .venv/.dev ## try to overspend a budget, here and with a peer (docs/overspend.md)
	@.venv/bin/python bench/overspend.py

soak: .venv/.dev ## ten minutes of kill -9 (docs/soak.md)
	@.venv/bin/python bench/soak.py

docs: .venv/.dev ## write the generated pages again
	@.venv/bin/python docs/generate.py

test-peers: .venv/.dev ## run against real servers of others (may install them)
	@$(UV) pip install --quiet --python .venv/bin/python 'moto[server,s3]>=5.2'
	@.venv/bin/pytest -p no:cacheprovider tests/peers --run-peers

test-containers: .venv/.dev ## build our image and run the profile lite with a container engine
	@.venv/bin/pytest -n 0 -p no:cacheprovider tests/containers --run-containers

browser: .venv/.dev
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
	  [ -d "/Applications/Google Chrome.app" ] || .venv/bin/playwright install chromium

clean: ## forget the environments
	@rm -rf .venv .tools dist build

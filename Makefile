# make demo: the page on the bundled checkpoint.   make test: every test.   make install: both's ground.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: install demo test lint clean

install: .venv/.installed

demo: .venv/.installed
	$(BIN)/python app.py

# A browser for the page's tests: the system's Chromium, installed where apt-get can.
test: .venv/.installed-dev
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || \
	  command -v google-chrome >/dev/null || \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium; } || \
	  { echo "make test needs Chromium, and apt-get could not install it" >&2; exit 1; }
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m pytest -n 2 --dist loadfile

lint: .venv/.installed-dev
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

clean:
	rm -rf .venv

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q --upgrade pip

.venv/.installed: .venv/bin/python requirements.txt
	$(BIN)/python -m pip install -q -r requirements.txt
	@touch $@

.venv/.installed-dev: .venv/.installed requirements-dev.txt requirements-train.txt requirements-fast.txt
	$(BIN)/python -m pip install -q -r requirements-dev.txt
	@touch $@
